"""tests/api/test_research.py - the measuring commands: what they print can be read by programs and is
whole. No time is judged.

CHASKI=path    the program; build/tools/chaski otherwise. MAKE_TINY likewise.
"""
import json
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHASKI = os.environ.get("CHASKI", str(ROOT / "build" / "tools" / "chaski"))
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
