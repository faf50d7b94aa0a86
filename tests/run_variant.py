#!/usr/bin/env python3
"""tests/run_variant.py FOLDER - the README's "Kernel research" as a new user does it: the copy of a file of
kernels becomes the table "variant", beside its base, in a scratch build of check_kernels in FOLDER.
The copied template loses the minima, so that Q4_0 must pass and Q4_1 must fail."""
import json
import os
import platform
import re
import shutil
import subprocess
import sys

root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
folder = os.path.abspath(sys.argv[1])
build, home = os.path.join(folder, "build"), os.path.join(folder, "home")


def run(*args, **more):
    return subprocess.run(args, capture_output=True, text=True, cwd=root, timeout=900, **more)


def need(ok, what, r=None):
    if not ok:
        sys.exit(f"run_variant: {what}\n{r.stdout[-3000:] + r.stderr[-3000:] if r else ''}")


flags = open("/proc/cpuinfo").read() if os.path.exists("/proc/cpuinfo") else ""
if platform.machine() != "x86_64" or " avx2 " not in flags:
    print("skipped: the example of the README is for x86-64 with AVX2")
    sys.exit(0)
base = "avx512vnni" if "avx512_vnni" in flags else "avx2"

shutil.rmtree(folder, ignore_errors=True)
os.makedirs(home)
readme = open(os.path.join(root, "README.md")).read().split("\n## Kernel research\n")[1].split("\n## ")[0]
commands = [c.split("  #")[0].strip().replace("avx512vnni", base)
            for c in re.findall(r"^    (.*)$", readme, re.M)]
for c in [c for c in commands if c.startswith(("cp ", "sed "))]:
    r = run("sh", "-c", c, env=dict(os.environ, HOME=home))
    need(r.returncode == 0, f"the README's command: {c}", r)
options = [w.replace("$HOME", home) for c in commands if c.startswith("meson configure") for w in c.split()
           if w.startswith("-Dvariant") and not w.endswith("=")]
need(len(options) == 2, f"the README's options of meson: {options}")

template = open(os.path.join(home, "try.h")).read()  # the README copies it
need("if (has_min(type))" in template, "a template with minima")
open(os.path.join(home, "try.h"), "w").write(template.replace("if (has_min(type))", "if (0)"))
need('#include "try.h"' in open(os.path.join(home, "try.c")).read(), "the copy includes the copied template")

small = ("-Dkernels_only=true", "--buildtype=plain", "-Doptimization=1")
r = run("meson", "setup", os.path.join(folder, "none"), *small, options[0], "-Dvariant_of=none")
need(r.returncode != 0 and "avx2" in r.stdout, "a base that is not there is refused with the list", r)
r = run("meson", "setup", build, *small, *options)
need(r.returncode == 0, "meson setup", r)
r = run("ninja", "-C", build, "kernels/check_kernels")
need(r.returncode == 0, "it builds", r)

check = os.path.join(build, "kernels/check_kernels")
r = run(check, "--isa", "variant", "--only", "mul_mat:Q4_0")
need(r.returncode == 0 and " 0 failed" in r.stdout and "variant" in r.stdout, "Q4_0 has ref's bits", r)
r = run(check, "--isa", "variant", "--only", "mul_mat:Q4_1")
need(r.returncode != 0, "Q4_1 without minima is found", r)
r = run(check, "--isa", base, "--only", "mul_mat:Q4_1")
need(r.returncode == 0 and " 0 failed" in r.stdout, "the base is what it was", r)
r = run(check, "--bench", "--isa", f"{base},variant", "--only", "mul_mat:Q4_0", "--shape", "64x1x256", "--ms", "1",
        "--json")
need(r.returncode == 0, "the bench", r)
tables = [x["table"] for x in json.loads(r.stdout)["results"]]
need(tables == [base, "variant"], f"the bench measures both: {tables}", r)
print(f"a variant of {base}: built, tested, measured\n1 passed, 0 failed")
