#!/usr/bin/env python3
"""tests/run_plot.py PLOT DATA - benchmarks/plot draws every kernel of a stored run at its place in a
well-formed SVG, with its share of the roof of its table, and refuses what it cannot read."""
import json
import math
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET

plot, data = sys.argv[1], sys.argv[2]
roofline, kernels = os.path.join(data, "roofline.json"), os.path.join(data, "kernels.json")
SVG = "{http://www.w3.org/2000/svg}"


def run(*args):
    return subprocess.run([sys.executable, plot, *args], capture_output=True, text=True, timeout=60)


def need(ok, what, r=None):
    if not ok:
        sys.exit(f"run_plot: {what}\n{r.stdout[:2000] + r.stderr if r else ''}")


def points(svg):
    """{title: (x, y)} of the marks inside the area."""
    found = {}
    for tag in ("circle", "rect", "path"):
        for e in ET.fromstring(svg).iter(SVG + tag):
            title = e.find(SVG + "title")
            if title is not None and ":" in title.text and "GOP/s" in title.text:
                found[title.text] = (float(e.get("cx", 0)), float(e.get("cy", 0)))
    return found


rows = [r for r in json.load(open(kernels))["results"] if r["table"] != "ref"]
r = run(roofline, kernels)
need(r.returncode == 0, "it draws", r)
drawn = points(r.stdout)
need(len(drawn) == len(rows), f"{len(rows)} kernels, {len(drawn)} points", r)
at = {}
for row in rows:
    name = f"{row['kernel']} {'x'.join(map(str, row['shape']))} {row['table']}: {row['gops']:.1f} GOP/s"
    hit = [t for t in drawn if t.startswith(name)]
    need(len(hit) == 1, f"a point for {name}", r)
    at[name] = (row, *drawn[hit[0]])
ordered = sorted(at.values(), key=lambda i: i[0]["gops"])
need(all(a[2] >= b[2] for a, b in zip(ordered, ordered[1:])), "more operations a second stand higher")
lo, hi = (min(at.values(), key=lambda i: i[0]["ops"] / i[0]["bytes"]),
          max(at.values(), key=lambda i: i[0]["ops"] / i[0]["bytes"]))
need(lo[1] < hi[1], "more operations a byte stand further right")
mid = at[next(iter(at))]
scale = (hi[1] - lo[1]) / math.log10(hi[0]["ops"] / hi[0]["bytes"] / (lo[0]["ops"] / lo[0]["bytes"]))
want = lo[1] + scale * math.log10(mid[0]["ops"] / mid[0]["bytes"] / (lo[0]["ops"] / lo[0]["bytes"]))
need(abs(want - mid[1]) < 0.2, "places are logarithms")
row = next(x for x in rows if x["kernel"].startswith("mul_mat") and x["table"] == "avx2")
roof = next(x["best"] for x in json.load(open(roofline))["rows"]
            if x["what"] == "ops" and x["table"] == "avx2" and row["peak"] in x["kinds"])
need(any(f"avx2: {row['gops']:.1f} GOP/s" in t and f"{100 * row['gops'] / roof:.0f} % of its roof" in t
         for t in drawn), "the share of the table's own roof", r)

with tempfile.TemporaryDirectory() as tmp:
    out = os.path.join(tmp, "out.svg")
    r = run(roofline, kernels, "-o", out, "--only", "rms_norm", "--table", "avx2", "--labels", "all")
    need(r.returncode == 0 and not r.stdout, "-o writes a file", r)
    drawn = points(open(out).read())
    need(drawn and all(t.startswith("rms_norm") and " avx2:" in t for t in drawn), "--only, --table")
    broken = os.path.join(tmp, "broken.json")
    open(broken, "w").write('{"cpu": "x"}')
    for args in ((broken, kernels), (roofline, broken), (roofline, os.path.join(tmp, "none.json")),
                 (roofline, kernels, "--only", "no such kernel")):
        r = run(*args)
        need(r.returncode != 0 and r.stderr.startswith("plot: "), f"{args[-1]} is refused in one line", r)
print(f"benchmarks/plot: {len(rows)} kernels at their places")
