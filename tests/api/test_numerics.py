"""tests/api/test_numerics.py - `--numerics fast`: off unless asked for, told in the reply, refused by name.

CHASKI=path    the program; build/tools/chaski otherwise. The model is a small random one of f32
weights (tests/make_tiny.c).
"""
import json
import os
import pathlib
import socket
import subprocess
import time
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHASKI = pathlib.Path(os.environ.get("CHASKI", ROOT / "build" / "tools" / "chaski"))
MAKE = CHASKI.parents[1] / "tests" / "make_tiny"
pytestmark = pytest.mark.skipif(not (CHASKI.exists() and MAKE.exists()),
                                reason=f"{CHASKI} or {MAKE} is not built")
PROMPT = "the quick brown fox jumps over the lazy dog"  # more than 16 tokens: a byte each


@pytest.fixture
def model(tmp_path):
    subprocess.run([MAKE, tmp_path / "m.gguf", "llama", "F32"], check=True)
    return tmp_path / "m.gguf"


def bench(model, *flags, **env):
    p = subprocess.run([CHASKI, "bench", "-m", model, "-p", "32", "-n", "2", "-r", "1", "--limits=false",
                        "-o", "json", *flags], capture_output=True, text=True,
                       env={**os.environ, **env})
    return p, [row["numerics"] for row in json.loads(p.stdout)] if p.returncode == 0 else None


def has_units(model):
    return bench(model, "--numerics", "fast")[1] == ["fast", "fast"]


def answer(tmp_path, model, *flags, **env):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    base = f"http://127.0.0.1:{port}"
    env = {**os.environ, "OLLAMA_HOST": base, "OLLAMA_MODELS": str(tmp_path / "store"), **env}
    log = open(tmp_path / "log", "w+")
    server = subprocess.Popen([CHASKI, "serve", *flags], env=env, stderr=log)
    try:
        for _ in range(200):
            try:
                urllib.request.urlopen(base + "/api/version", timeout=1)
                break
            except OSError:
                time.sleep(0.05)
        (tmp_path / "Modelfile").write_text(f"FROM {model}\n")
        subprocess.run([CHASKI, "create", "m", "-f", tmp_path / "Modelfile"], check=True, env=env,
                       capture_output=True)
        body = {"model": "m", "prompt": PROMPT, "raw": True, "stream": False,
                "options": {"temperature": 0, "num_predict": 2}}
        ask = urllib.request.Request(base + "/api/generate", json.dumps(body).encode())
        reply = json.load(urllib.request.urlopen(ask, timeout=60))
    finally:
        server.terminate()
        server.wait()
    log.seek(0)
    return reply, log.read()


def test_nobody_gets_it_unasked(tmp_path, model):
    assert bench(model)[1] == ["exact", "exact"]
    reply, log = answer(tmp_path, model)
    assert "numerics" not in reply and "numerics" not in log


def test_the_reply_and_the_log_say_so(tmp_path, model):
    if not has_units(model):
        pytest.skip("this CPU has no units for bf16")
    for flags, env in ((["--numerics", "fast"], {}), ([], {"CHASKI_NUMERICS": "fast"})):
        reply, log = answer(tmp_path, model, *flags, **env)
        assert reply["numerics"] == "fast"
        assert log.count("outside the contract of bits, results depend") == 1
    reply, log = answer(tmp_path, model, "--numerics", "exact", CHASKI_NUMERICS="fast")
    assert "numerics" not in reply  # the flag wins


def test_kernels_without_such_units_are_used_and_named(tmp_path, model):
    p, said = bench(model, "--numerics", "fast", CHASKI_ISA="ref")
    assert said == ["exact", "exact"] and 'exact kernels "ref"' in p.stderr
    reply, log = answer(tmp_path, model, "--numerics", "fast", CHASKI_ISA="ref")
    assert "numerics" not in reply and 'exact kernels "ref"' in log


@pytest.mark.parametrize("command", ["serve", "bench", "logits"])
def test_another_word_is_refused(command, model):
    more = {"serve": [], "bench": ["-m", model],
            "logits": ["-m", model, "--tokens", "x", "--out", "y"]}[command]
    p = subprocess.run([CHASKI, command, *more, "--numerics", "quick"], capture_output=True, text=True)
    assert p.returncode == 2 and "--numerics wants exact or fast" in p.stderr
