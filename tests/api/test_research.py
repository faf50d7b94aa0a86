"""tests/api/test_research.py - the measuring commands: what they print can be read by programs and is
whole. No time is judged.

CHASKI=path    the program; build/tools/chaski otherwise
"""
import json
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHASKI = os.environ.get("CHASKI", str(ROOT / "build" / "tools" / "chaski"))
MAKE_TINY = pathlib.Path(CHASKI).parent.parent / "tests" / "make_tiny"
pytestmark = pytest.mark.skipif(not os.path.exists(CHASKI), reason=f"{CHASKI} is not built")


def chaski(*args, **env):
    return subprocess.run([CHASKI, *args], capture_output=True, text=True, timeout=240,
                          env={**os.environ, **env})


# ---- roofline ---------------------------------------------------------------------------------


def test_roofline_json_has_every_limit_for_every_count_of_threads():
    p = chaski("roofline", "--threads", "2", "--seconds", "1", "--json")
    assert p.returncode == 0, p.stderr
    report = json.loads(p.stdout)
    assert report["threads"] == 2 and report["cpu"] and report["buffer_bytes"] >= 1 << 23
    rows = report["rows"]
    for what in ("clock", "read"):
        assert {r["threads"] for r in rows if r["what"] == what} == {1, 2}, what
    assert [r["threads"] for r in rows if r["what"] == "barrier"] == [2]
    assert any(r.get("level") == "memory" for r in rows)
    for r in rows:
        assert r["windows"] > 0 and r["best"] > 0, r
        if r["what"] != "barrier":  # there smaller is better
            assert r["best"] >= r["p10"] >= r["median"] > 0, r
    loops = [r for r in rows if r["what"] == "ops"]
    if any(r["table"] == "avx2" for r in loops):
        kinds = {k for r in loops for k in r["kinds"]}
        assert kinds == {"f32", "int4", "int8"}


def test_roofline_table():
    p = chaski("roofline", "-t", "1", "-s", "1")
    assert p.returncode == 0 and "| read memory | " in p.stdout and "GHz" in p.stdout


@pytest.mark.parametrize("args", [["-t", "-1"], ["-s", "0"], ["x"]])
def test_roofline_wrong_use(args):
    assert chaski("roofline", *args).returncode == 2


# ---- bench: limits and the trace ----------------------------------------------------------------

LLAMA_BLOCK = ["rms_norm", "qkv", "rope_store", "attend", "quantize", "wo", "add", "rms_norm", "gate_up",
               "silu_mul", "down", "add"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    if not MAKE_TINY.exists():
        pytest.skip(f"{MAKE_TINY} is not built")
    path = tmp_path_factory.mktemp("research") / "tiny.gguf"
    subprocess.run([MAKE_TINY, path, "llama", "Q8_0"], check=True)
    return str(path)


def test_bench_names_the_limit_of_each_figure(tiny):
    p = chaski("bench", "-m", tiny, "-p", "40", "-n", "8", "-r", "1", "-t", "1", "-o", "json")
    assert p.returncode == 0, p.stderr
    rows = json.loads(p.stdout)
    assert [(r["n_prompt"], r["n_gen"]) for r in rows] == [(40, 0), (0, 8)]
    assert "read" in rows[1]["limit"] and "GB/s" in rows[1]["limit"]
    for r in rows:
        if "limit_ts" in r:
            assert abs(r["limit_share"] * r["limit_ts"] - r["avg_ts"]) < 1e-6 * r["avg_ts"]
    p = chaski("bench", "-m", tiny, "-p", "40", "-n", "8", "-r", "1", "-t", "1", "-o", "json",
               "--limits=false")
    assert not any("limit" in k for r in json.loads(p.stdout) for k in r)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_trace_has_every_operator_of_every_thread(tiny, tmp_path, threads):
    out = tmp_path / "out.json"
    p = chaski("bench", "-m", tiny, "-p", "40", "-n", "3", "-r", "1", "-t", str(threads),
               "--limits=false", "--trace", str(out))
    assert p.returncode == 0 and "lost in waiting" in p.stderr, p.stderr
    events = json.loads(out.read_text())["traceEvents"]
    names = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    spans = [e for e in events if e["ph"] == "X"]
    assert names == {i: f"thread {i}" for i in range(threads)}
    assert {e["tid"] for e in spans} == set(names)
    assert {e["cat"] for e in spans} <= {"step", "op", "wait"}
    seen = 0
    for tid in names:
        mine = sorted((e for e in spans if e["tid"] == tid), key=lambda e: (e["ts"], -e["dur"]))
        steps = [e for e in mine if e["cat"] == "step"]
        for step in steps:
            seen += tid == 0
            t0, t1 = step["ts"], step["ts"] + step["dur"]
            inside = [e for e in mine if e["cat"] != "step" and t0 <= e["ts"] < t1]
            assert all(e["ts"] + e["dur"] <= t1 + 0.01 for e in inside)
            ops = [e for e in inside if e["cat"] == "op"]
            # begin and end nest: operators follow each other, a wait lies within one
            for a, b in zip(ops, ops[1:]):
                assert a["ts"] + a["dur"] <= b["ts"] + 0.01
            for w in (e for e in inside if e["cat"] == "wait" and e["name"] == "wait"):
                assert any(o["ts"] <= w["ts"] + 0.01 and w["ts"] + w["dur"] <= o["ts"] + o["dur"] + 0.01
                           for o in ops), w
            # every operator, in the order of the family's block
            layers = sorted({o["args"]["layer"] for o in ops} - {-1})
            assert layers == list(range(len(layers))) and layers
            for il in layers:
                assert [o["name"] for o in ops if o["args"]["layer"] == il] == LLAMA_BLOCK
            assert [o["name"] for o in ops if o["args"]["layer"] == -1] == ["embed", "out_norm", "head"]
            covered = sum(o["dur"] for o in ops) + sum(
                e["dur"] for e in inside if e["name"] in ("start", "end"))
            assert covered >= 0.95 * step["dur"]
        assert [s["args"]["rows"] for s in steps][:1] in ([40], [1])
        if tid == 0:
            assert [s["args"]["rows"] for s in steps] == [40, 1, 1, 1]
    assert seen == 4


def test_trace_that_cannot_be_written_is_told(tiny, tmp_path):
    p = chaski("bench", "-m", tiny, "-p", "8", "-n", "0", "-r", "1", "--limits=false", "--trace",
               str(tmp_path / "no" / "out.json"))
    assert p.returncode == 1 and "No such file" in p.stderr
