#!/usr/bin/env python3
"""The engine's logits on the tiny models of the shared data, against their references.

    run_archs.py PATH/chaski [--data ../shared/data/archs] [--only NAMES]

For each model: the logits with an f32 cache and with an f16 cache against the reference
(check_logits.py), and then the same bits whatever the instruction set, the threads and the batch.
A q8_0 cache against the f32 one: keys and values are rounded to 1/127 of the largest of their 32,
which is an error of 1e-5 to 1e-4 of their energy, and gave logits an NMSE of 6.5e-5 to 3e-4; the
limit is 5e-4, of a model with experts for the middle one of its tokens (where two experts are nearly
alike another one is chosen, and that token has other logits).
A model whose architecture or type this version does not know is named and left out. Ends with
"N passed, N failed, N skipped". Exit status 1 if a check failed, 77 if the data is not there.
"""
import argparse
import array
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FAMILIES = ("llama", "llama-mha-tied", "llama3-rope", "llama-linear", "llama-yarn", "llama-bias",
            "llama-hd128", "mixtral", "qwen2", "qwen2-tied", "qwen3moe", "gemma3",
            "gemma3-global", "bert", "bert-cls", "nomic-bert")
Q8_NMSE = 5e-4
ISAS = ("ref", "avx2", "avx512", "avx512vnni", "avxvnni", "amx", "neon", "dotprod", "i8mm")
UNKNOWN = re.compile(r"unsupported|have no kernels|not supported|supported architectures|cannot be|unknown arch", re.I)


class Tally:
    good = bad = left = 0

    def say(self, ok, text):
        if ok is None:
            self.left += 1
        elif ok:
            self.good += 1
        else:
            self.bad += 1
        print({True: "ok  ", False: "FAIL", None: "skip"}[ok], text, flush=True)


def logits(args, folder, name, out, *flags, isa=None):
    env = dict(os.environ)
    env.pop("CHASKI_ISA", None)
    if isa:
        env["CHASKI_ISA"] = isa
    return subprocess.run(
        [args.chaski, "logits", "-m", f"{folder}/{name}.gguf", "--tokens", f"{folder}/{name}.i32",
         "--out", out, *flags], env=env, capture_output=True, text=True, timeout=300)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def floats(path):
    return array.array("f", read(path))


def check_q8(args, folder, name, tally):
    out = f"{folder}/{name}.q8_0"
    p = logits(args, folder, name, out, "--kv", "q8_0")
    if p.returncode:
        tally.say(False, f"{name}: q8_0 cache: {p.stderr.strip()}")
        return
    a, b = floats(f"{folder}/{name}.f32"), floats(out)
    n_rows = len(read(f"{folder}/{name}.i32")) // 4
    n = len(a) // n_rows if len(a) % n_rows == 0 and len(a) > 4096 else len(a)  # one row: pooled
    rows = [(sum((x - y) ** 2 for x, y in zip(a[i:i + n], b[i:i + n])), sum(x * x for x in a[i:i + n]))
            for i in range(0, len(a), n)]
    nmse = sum(r[0] for r in rows) / sum(r[1] for r in rows)
    middle = sorted(r[0] / r[1] for r in rows)[len(rows) // 2]
    what = middle if "moe" in name or name == "mixtral" else nmse
    tally.say(len(a) == len(b) and what <= Q8_NMSE,
              f"{name}: q8_0 cache: NMSE {nmse:.3g}, of the middle token {middle:.3g} (limit {Q8_NMSE:g})")
    base = read(out)
    for isa in sorted(args.isas):
        p = logits(args, folder, name, f"{folder}/{name}.other", "--kv", "q8_0", "--threads", "2",
                   "--batch", "7", isa=isa)
        tally.say(p.returncode == 0 and read(f"{folder}/{name}.other") == base,
                  f"{name}: q8_0 cache: bits of {isa}")


def check_model(args, folder, name, tally):
    checker = os.path.join(args.data, "check_logits.py")
    for kv in ("f32", "f16"):
        out = f"{folder}/{name}.{kv}"
        p = logits(args, folder, name, out, "--kv", kv)
        if p.returncode:
            why = p.stderr.strip().splitlines()[-1:] or [f"status {p.returncode}"]
            tally.say(None if p.returncode == 1 and UNKNOWN.search(why[0]) else False,
                      f"{name}: {why[0]}")
            return
        p = subprocess.run([sys.executable, checker, name, out, "--kv", kv],
                           capture_output=True, text=True)
        said = (p.stdout + p.stderr).strip().splitlines()[-1:] or ["the checker says nothing"]
        tally.say(p.returncode == 0, f"{kv} cache: {said[0]}")

    if not name.startswith("quant-"):
        check_q8(args, folder, name, tally)

    # OpenBLAS: no contract of bits, but the same model. 48 tokens in one batch go through sgemm.
    out = f"{folder}/{name}.blas"
    p = logits(args, folder, name, out, "--kv", "f32", "--batch", "64", isa="blas")
    if p.returncode:
        tally.say(None if "cannot be opened" in p.stderr else False, f"{name}: blas: {p.stderr.strip()}")
    else:
        floats = ["--float-activations"] if name.startswith("quant-") else []
        p = subprocess.run([sys.executable, checker, name, out, "--kv", "f32", *floats],
                           capture_output=True, text=True)
        said = (p.stdout + p.stderr).strip().splitlines()[-1:] or ["the checker says nothing"]
        tally.say(p.returncode == 0, f"OpenBLAS: {said[0]}")

    base, other = read(f"{folder}/{name}.f16"), f"{folder}/{name}.other"
    few = name.startswith("quant-")  # one model a type: the way through the kernels is what differs
    plans = [(t, b) for t in (1, 2) for b in ((1, 64) if few else (1, 7, 64))]
    for isa in ISAS:
        differ = []
        for threads, batch in plans:
            p = logits(args, folder, name, other, "--kv", "f16", "--threads", str(threads),
                       "--batch", str(batch), isa=isa)
            if p.returncode:
                break
            if read(other) != base:
                differ.append(f"{threads} threads, batch {batch}")
        if not p.returncode:
            tally.say(not differ, f"{name}: bits of {isa} " +
                      ("equal" if not differ else "DIFFER with " + "; ".join(differ)))
        elif isa in args.isas:
            tally.say(False, f"{name}: {isa}: {p.stderr.strip()}")


def known_isas(args, folder, name):
    """Those this CPU and this build have: the others are refused with an error."""
    return {isa for isa in ISAS
            if logits(args, folder, name, f"{folder}/probe", isa=isa).returncode == 0}


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("chaski")
    ap.add_argument("--data", default=os.path.join(ROOT, "..", "shared", "data", "archs"))
    ap.add_argument("--only", help="names, parted by commas")
    args = ap.parse_args()
    maker = os.path.join(args.data, "make_tiny.py")
    if not os.path.exists(maker):
        print(f"no shared data in {args.data}")
        return 77
    listed = subprocess.run([sys.executable, maker, "--list"], capture_output=True, text=True)
    quants = sorted(set(re.findall(r"\bquant-[A-Z0-9_]+[A-Za-z0-9_]*", listed.stdout)))
    names = args.only.split(",") if args.only else [*FAMILIES, *quants]
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        p = subprocess.run([sys.executable, maker, "--out", folder, *names],
                           capture_output=True, text=True)
        if p.returncode:
            print("make_tiny.py failed:", p.stderr.strip()[-400:])
            return 1
        args.isas = known_isas(args, folder, names[0])
        print("instruction sets:", ", ".join(i for i in ISAS if i in args.isas))
        for name in names:
            check_model(args, folder, name, tally)
    print(f"{tally.good} passed, {tally.bad} failed, {tally.left} skipped")
    return 1 if tally.bad or not tally.good else 0


if __name__ == "__main__":
    sys.exit(main())
