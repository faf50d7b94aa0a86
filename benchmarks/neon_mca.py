#!/usr/bin/env python3
"""What the ARM kernels' inner loops would reach, by llvm-mca: no ARM machine is needed.

    neon_mca.py ARM_BUILD [--mca PATH/llvm-mca] [--only Q4_0]

ARM_BUILD is a build folder of the cross build (build/arm64-all after `tests/run.sh aarch64`). Takes
the object code of the products (kernels/arm/), finds in each function the innermost loop with the
most multiplies (the widest tile), and prints a Markdown table: what the loop holds for a block of
32 values x rows x columns, and multiply-adds a cycle against the peak of the core's multiply of
that table (SMLAL, SDOT, SMMLA; FMLA for floats). What llvm-mca knows: ports, latencies, a window of instructions, all loads from L1, no
branch missed. What it does not: caches, the loop's start and end. LLVM 18 or newer: older ones have
no model of these cores and would quietly take the Cortex-A57's (the script says which version ran).
"""
import argparse
import glob
import os
import re
import subprocess
import sys

# core: (model of llvm-mca, MAC a cycle of the best multiply that a table has). N1 and A76 have two
# vector pipes (one of them multiplies 8 bits to 16), V1 four (two). LLVM has no model of the A76 and
# takes the A57's, a core of half its width: N1 is its sibling, so N1's model stands in.
CORES = {"Neoverse-N1": ("neoverse-n1", {"neon": 8, "dotprod": 32, "f32": 8}),
         "Neoverse-V1": ("neoverse-v1", {"neon": 16, "dotprod": 64, "i8mm": 128, "f32": 16}),
         "Cortex-A76": ("neoverse-n1", {"neon": 8, "dotprod": 32, "f32": 8})}
TABLES = ("neon", "dotprod", "i8mm")
LINE = re.compile(r"^\s*([0-9a-f]+):\s+(\S+)\s*([^/]*)")
HEAD = re.compile(r"^[0-9a-f]+ <([^>]+)>:")


def functions(path):
    """name -> [(address, mnemonic, operands)]"""
    text = subprocess.run(["aarch64-linux-gnu-objdump", "-d", "--no-show-raw-insn", path],
                          capture_output=True, text=True, check=True).stdout
    found, name = {}, None
    for line in text.splitlines():
        if head := HEAD.match(line):
            name = head.group(1)
            found[name] = []
        elif name and (m := LINE.match(line)):
            found[name].append((int(m.group(1), 16), m.group(2), m.group(3).strip()))
    return found


def macs(op, args):
    """Multiply-adds of one instruction; not the f32 ones of the scales unless they are the work."""
    if op in ("sdot", "usdot", "udot"):
        return 16
    if op in ("smmla", "usmmla", "ummla"):
        return 32
    if op in ("smull", "smull2", "smlal", "smlal2") and ".8h" in args.split(",")[0]:
        return 8
    return 0


def fmacs(op, args):
    return 4 if op == "fmla" and ".4s" in args.split(",")[0] else 0


def loops(code):
    """Innermost loops: [first, last] indices."""
    at = {c[0]: i for i, c in enumerate(code)}
    ranges = []
    for i, (_, op, args) in enumerate(code):
        if op.startswith(("b.", "cb", "tb")) or op == "b":
            target = re.search(r"\b([0-9a-f]+) <", args)
            to = at.get(int(target.group(1), 16)) if target else None
            if to is not None and to < i:
                ranges.append((to, i))
    return [r for r in ranges if not any(o != r and r[0] <= o[0] and o[1] <= r[1] for o in ranges)]


def cycles(mca, model, body, rounds=100):
    text = "".join(f"{op} {re.sub(' <.*', '', args)}\n" for _, op, args in body if not op.startswith(("b.", "cb", "tb"))
                   and op != "b")
    p = subprocess.run([mca, "-mtriple=aarch64", f"-mcpu={model}", "-mattr=+dotprod,+i8mm,+fullfp16",
                        f"-iterations={rounds}", "-instruction-info=false",
                        "-resource-pressure=false"], input=text, capture_output=True, text=True)
    total = re.search(r"Total Cycles:\s+(\d+)", p.stdout)
    if not total:
        raise SystemExit(f"llvm-mca: {p.stderr.strip()[:400]}")
    return int(total.group(1)) / rounds


def best_loop(code, count):
    good = [(sum(count(op, args) for _, op, args in code[a:b + 1]), -(b - a), a, b)
            for a, b in loops(code)]
    return max(good, default=(0, 0, 0, 0))


def vector(op, args):
    return bool(re.match(r"(\{ *)?[vqds]\d", args)) and not op.startswith(("ld", "st"))


def row(args, table, name, code):
    count = fmacs if name in ("F32", "F16", "BF16") else macs
    n, _, a, b = best_loop(code, count)
    if not n:
        return None
    body = code[a:b + 1]
    loads = sum(op.startswith("ld") for _, op, _ in body)
    spills = sum("[sp" in ops and re.match(r"[qv]\d", ops) is not None for _, op, ops in body)
    muls = sum(count(op, ops) > 0 for _, op, ops in body)
    alu = sum(vector(op, ops) for _, op, ops in body)
    out = [f"{name} {table}", str(n), str(n // 128) if count is macs else "", str(len(body)), str(muls), str(alu),
           str(loads), str(spills)]
    for model, peaks in CORES.values():
        peak = peaks.get("f32" if count is fmacs else table)
        if not peak:
            out += ["", ""]
            continue
        rate = n / cycles(args.mca, model, body)
        out += [f"{rate:.1f}", f"{100 * rate / peak:.0f} %"]
    return out


def newest():
    return next((p for v in range(30, 17, -1) for p in (f"/usr/bin/llvm-mca-{v}", f"/usr/lib/llvm-{v}/bin/llvm-mca")
                 if os.path.exists(p)), "llvm-mca")


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("arm_build")
    ap.add_argument("--mca", default=newest())
    ap.add_argument("--only", help="a type of weights")
    args = ap.parse_args()
    version = re.search(r"version (\d+)\S*", subprocess.run(
        [args.mca, "--version"], capture_output=True, text=True, check=True).stdout)
    if not version or int(version.group(1)) < 18:
        print("llvm-mca is too old: it has no model of these cores", file=sys.stderr)
        return 77
    print(f"llvm-mca {version.group()}; MAC a cycle and share of the peak\n")
    heads = ["kernel", "MAC", "row-columns of 32", "instr", "mul", "vector", "loads", "spills"]
    for core in CORES:
        heads += [core, "of peak"]
    print("| " + " | ".join(heads) + " |")
    print("|" + " --- |" + " ---: |" * (len(heads) - 1))
    for table in TABLES:
        for kind in ("quants", "floats"):
            for path in sorted(glob.glob(f"{args.arm_build}/kernels/libkernels_*{table}.a.p/*{kind}_{table}.c.o")):
                for name, code in sorted(functions(path).items()):
                    short = name.split(".")[0].removeprefix("mul_")
                    short = short.upper() if name.startswith("mul_") else short.replace("sweep_", "panel ")
                    if not name.startswith(("mul_", "sweep_")) or args.only and short.upper() != args.only.upper():
                        continue
                    cells = row(args, table, short, code)
                    if cells:
                        print("| " + " | ".join(cells) + " |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
