#!/usr/bin/env python3
"""tests/run_check_bench.py CHECK_KERNELS - the bench of check_kernels says what it was asked, in JSON
that reads, and refuses what it does not know with the list of what there is. No time is judged."""
import json
import subprocess
import sys


def run(*args):
    return subprocess.run([sys.argv[1], *args], capture_output=True, text=True, timeout=240)


def need(ok, what, r=None):
    if not ok:
        sys.exit(f"run_check_bench: {what}\n{r.stdout if r else ''}{r.stderr if r else ''}")


r = run("--bench", "--only", "mul_mat:Q4_0", "--shape", "40x3x64", "--ms", "1", "--json", "--counters")
need(r.returncode == 0, "a kernel and a shape", r)
report = json.loads(r.stdout)
rows = report["results"]
need(rows and all(x["kernel"] == "mul_mat:Q4_0" for x in rows), "only the kernel asked for", r)
need(all(x["shape"][1:] == [3, 64] and 0 < x["ns"] <= x["ns_p10"] <= x["ns_median"] for x in rows),
     "shape and times", r)
need(all(x["ops"] == 2 * x["shape"][0] * 3 * 64 for x in rows), "two operations a multiply-add", r)
need(report["counters"] or report["no_counters"], "counters, or the reason why not", r)
need(report["counters"] == ("cycles" in rows[0]), "cycles only where there are counters", r)
tables = [x["table"] for x in rows]

r = run("--bench", "--only", "rms", "--isa", tables[-1] + ",ref", "--shape", "1x2x100", "--ms", "1", "--json")
rows = json.loads(r.stdout)["results"]
need([x["table"] for x in rows] == [tables[-1], "ref"], "the tables asked for, in that order", r)

r = run("--bench", "--only", "rms_norm", "--isa", "ref", "--shape", "1x2x100", "--ms", "1")
need(r.returncode == 0 and "rms_norm" in r.stdout and "avx" not in r.stdout, "--isa ref runs ref alone", r)

for args, words in (
        (("--bench", "--only", "no such"), ("no kernel", "mul_mat:Q4_K", "rms_norm")),
        (("--bench", "--isa", "z80"), ("no table", "ref")),
        (("--bench", "--shape", "12x12"), ("MxNxK",)),
        (("--bench", "--only", "mul_mat:Q4_K", "--shape", "16x1x33"), ("whole blocks",)),
        (("--bench", "--only", "rms_norm", "--shape", "2x1x32"), ("M must be 1",)),
        (("--frobnicate",), ("--frobnicate", "--help")),
        (("--only", "no such"), ("no test", "mul_mat:Q4_K")),
        (("--isa", "z80"), ("no table", "ref"))):
    r = run(*args)
    need(r.returncode != 0 and all(w in r.stderr for w in words), f"{args} is refused clearly", r)

r = run("--help")
need(r.returncode == 0 and "--shape MxNxK" in r.stdout and "attend_span:f16" in r.stdout, "--help", r)
print("the bench of check_kernels: all as asked")
