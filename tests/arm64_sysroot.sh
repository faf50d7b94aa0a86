#!/usr/bin/env bash
# Makes a folder with Debian's arm64 builds of the libraries chaski links, for a cross build of the
# whole program, and leaves this machine as it is.
#
#     tests/arm64_sysroot.sh FOLDER
#
# `dpkg --add-architecture arm64` would change the machine for good. Instead apt works on a state of
# its own inside FOLDER, with this machine's sources and keys and an empty list of installed
# packages for arm64: it fetches what is missing, dpkg-deb unpacks it, nothing is installed and no
# script of a package runs. libc and the compiler's library come from the cross compiler's packages.
#
# FOLDER/root is the result, FOLDER/cross.ini the file for meson, FOLDER/run the emulator with these
# libraries (ARM_CPU=cortex-a72 FOLDER/run PROGRAM), FOLDER/list the packages. What is there already
# is kept: a second call needs no network. Exit status 1: one line says why.
set -u
[ $# = 1 ] || { echo "use: arm64_sysroot.sh FOLDER"; exit 2; }
mkdir -p "$1" || exit 1
folder=$(cd "$1" && pwd)
version=1 # of this recipe: another number makes the folder anew
wanted=(libh2o-evloop-dev libwslay-dev zlib1g-dev libssl-dev libjansson-dev libpcre2-dev
  libcurl4-openssl-dev libcmocka-dev)
mark="$version $(. /etc/os-release 2>/dev/null; echo "${ID:-} ${VERSION_ID:-}") ${wanted[*]}"

give_up() {
  echo "no arm64 libraries: $*"
  rm -rf "$folder/apt" "$folder/root.new"
  exit 1
}

# The whole root or none: a run that was cut off leaves only root.new.
if [ "$(cat "$folder/root/done" 2>/dev/null)" != "$mark" ]; then
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || give_up "this is no Debian"
  apt=$folder/apt
  rm -rf "$apt" "$folder/root.new"
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$folder/root.new" || give_up "$folder cannot be written"
  : >"$apt/status"
  cat >"$apt/conf" <<CONF
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Install-Recommends "false";
APT::Sandbox::User "$(id -un)";
Dir::State "$apt";
Dir::State::Lists "$apt/lists";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
Dir::Cache::archives "$apt/cache/archives";
Dir::Log "$apt";
Acquire::Languages "none";
CONF
  export APT_CONFIG=$apt/conf
  log=$apt/log
  apt-get -q -o APT::Update::Error-Mode=any update >"$log" 2>&1 || give_up "apt-get update: $(grep -E '^[EW]:' "$log" | head -n 1)"
  # The names alone: what libc and its friends bring is the cross compiler's.
  apt-get -q -s install "${wanted[@]}" >"$log" 2>&1 || give_up "apt-get: $(grep -E '^E:' "$log" | head -n 1)"
  mapfile -t names < <(sed -n 's/^Inst \([^ ]*\) .*/\1/p' "$log" | sed 's/:arm64$//' |
    grep -vE '^(libc6|libc6-dev|libc-dev-bin|linux-libc-dev|gcc-12-base|libgcc-s1|rpcsvc-proto|debconf|cdebconf|dpkg|tar|perl.*|openssl)$')
  (cd "$apt/cache/archives" && apt-get -q download "${names[@]}") >"$log" 2>&1 ||
    give_up "apt-get download: $(grep -E '^E:' "$log" | head -n 1)"
  for deb in "$apt"/cache/archives/*.deb; do
    dpkg-deb -x "$deb" "$folder/root.new" || give_up "$deb cannot be unpacked"
  done
  printf '%s\n' "${names[@]}" >"$folder/list"
  # What nobody links or reads here.
  rm -rf "$folder/root.new/usr/share/doc" "$folder/root.new/usr/share/man" "$apt"
  echo "$mark" >"$folder/root.new/done"
  rm -rf "$folder/root"
  mv "$folder/root.new" "$folder/root"
fi

# kept FILE: as written by standard input; its time is what makes meson configure again, so it
# stays while the text is the same.
kept() {
  cat >"$1.new" || exit 1
  if cmp -s "$1.new" "$1"; then rm "$1.new"; else mv "$1.new" "$1"; fi
}
lib=$folder/root/usr/lib/aarch64-linux-gnu
libs=$lib:$folder/root/lib/aarch64-linux-gnu
kept "$folder/run" <<RUN
#!/bin/sh
exec qemu-aarch64 -cpu "\${ARM_CPU:-max}" -L /usr/aarch64-linux-gnu -E 'LD_LIBRARY_PATH=$libs' "\$@"
RUN
chmod +x "$folder/run"
kept "$folder/cross.ini" <<INI
[constants]
root = '$folder/root'
[binaries]
c = 'aarch64-linux-gnu-gcc'
ar = 'aarch64-linux-gnu-ar'
strip = 'aarch64-linux-gnu-strip'
pkgconfig = 'pkg-config'
exe_wrapper = '$folder/run'
[built-in options]
c_args = ['-isystem', root / 'usr/include/aarch64-linux-gnu', '-isystem', root / 'usr/include']
c_link_args = ['-L$lib', '-Wl,-rpath-link,$libs']
[properties]
sys_root = root
pkg_config_libdir = ['$lib/pkgconfig', root / 'usr/share/pkgconfig']
[host_machine]
system = 'linux'
cpu_family = 'aarch64'
cpu = 'aarch64'
endian = 'little'
INI
