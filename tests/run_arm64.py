#!/usr/bin/env python3
"""The whole program built for 64-bit ARM, under an emulator: the bits of this machine's build.

    run_arm64.py BUILD ARM_BUILD EMULATOR [--data ../shared/data/archs]

BUILD and ARM_BUILD are build folders of this machine and of ARM; EMULATOR runs a program of
ARM_BUILD (the file `run` of arm64_sysroot.sh). Compared by their bytes: logits of tiny models made
here (tests/make_tiny.c) and of those of the shared data, with every table of kernels, one thread and
two; the answer of a server over HTTP; 8 tokens of SmolLM2. Ends with "N passed, N failed, N skipped".
"""
import argparse
import os
import struct
import subprocess
import sys
import tempfile

import run_archs
import run_models

ARM_ISAS = ("ref", "neon", "dotprod", "i8mm")
PROMPT = [1, 70, 105, 90, 88, 300, 71, 5, 6, 7, 8, 9, 10, 11, 12, 200, 201, 42, 43, 44]
counts = {True: 0, False: 0, None: 0}


def say(ok, text):
    counts[ok] += 1
    print({True: "ok  ", False: "FAIL", None: "skip"}[ok], text, flush=True)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def environment(isa):
    env = {k: v for k, v in os.environ.items() if k != "CHASKI_ISA"}
    return {**env, "CHASKI_ISA": isa} if isa else env


def logits(program, model, tokens, out, *flags, isa=None):
    """The bytes, or None when there is no such table of kernels or no kernel for the type."""
    p = subprocess.run([*program, "logits", "-m", model, "--tokens", tokens, "--out", out, *flags],
                       env=environment(isa), capture_output=True, text=True, timeout=600)
    if p.returncode:
        if isa and "no kernels called" in p.stderr or run_archs.UNKNOWN.search(p.stderr):
            return None
        raise RuntimeError((p.stderr.strip().splitlines() or [f"status {p.returncode}"])[-1])
    return read(out)


def check_bits(args, name, model, tokens, folder, ways):
    want = logits(args.here, model, tokens, f"{folder}/here.f32")
    if want is None:
        say(None, f"{name}: this version has no kernels for it")
        return
    differ, equal = [], []
    for isa, threads, batch in ways:
        got = logits(args.arm, model, tokens, f"{folder}/arm.f32", "--threads", str(threads),
                     "--batch", str(batch), isa=isa)
        (equal if got == want else differ).append(f"{isa}, {threads} threads, batch {batch}")
    say(not differ, f"{name}: " + ("DIFFER: " + "; ".join(differ) if differ else
                                   f"{len(want) // 4} logits equal, {len(equal)} ways"))


def tables(args, model, tokens, folder):
    """The tables of kernels that the emulated CPU runs: all but `ref` are there to be tested."""
    return [isa for isa in ARM_ISAS
            if logits(args.arm, model, tokens, f"{folder}/probe", isa=isa) is not None]


def answer(program, folder, models):
    """What a server says to one request a model, over HTTP."""
    os.makedirs(folder)
    server = run_models.Server(argparse.Namespace(chaski=program), folder)
    try:
        texts = []
        for name, path in models:
            with open(f"{folder}/Modelfile", "w") as f:
                f.write(f"FROM {path}\n")
            p = subprocess.run([*program, "create", name, "-f", f"{folder}/Modelfile"],
                               env=server.env, capture_output=True, text=True, timeout=300)
            if p.returncode:
                raise RuntimeError(f"create {name}: {p.stderr.strip()}")
            for options in ({"temperature": 0}, {"temperature": 1, "seed": 5}):
                got = server.ask("/api/generate", {
                    "model": name, "prompt": "The quick brown fox jumps over the lazy dog.",
                    "raw": True, "options": {**options, "num_predict": 16}})
                texts.append((got["response"], got["prompt_eval_count"], got["eval_count"]))
    finally:
        status = server.stop()
    if status:
        raise RuntimeError(f"the server ends with status {status}: {read(folder + '/serve.log')!r}")
    return texts


def check_server(args, folder, models):
    here = answer(args.here, f"{folder}/serve-here", models)
    arm = answer(args.arm, f"{folder}/serve-arm", models)
    for i, (a, b) in enumerate(zip(here, arm)):
        say(a == b and a[2] > 0, f"serve: answer {i}: {b[0]!r}, {b[2]} tokens" +
            ("" if a == b else f", but here {a[0]!r}"))


def check_tiny(args, folder):
    """Models that this repository makes: they need nothing else."""
    tokens, served = f"{folder}/tiny.i32", []
    with open(tokens, "wb") as f:
        f.write(struct.pack(f"<{len(PROMPT)}i", *PROMPT))
    for arch in ("llama", "qwen2", "gemma3"):
        for kind in ("F32", "Q8_0", "Q4_0"):
            model = f"{folder}/{arch}-{kind}.gguf"
            subprocess.run([args.make_tiny, model, arch, kind], check=True)
            if not args.isas:
                args.isas = tables(args, model, tokens, folder)
                print("ARM tables of kernels:", ", ".join(args.isas), flush=True)
                say(set(ARM_ISAS) == set(args.isas), "the tables for this CPU are there")
            ways = [(i, t, b) for i in args.isas for t, b in ((1, 1), (2, 7), (2, 64))]
            check_bits(args, f"{arch} {kind}", model, tokens, folder, ways)
        served.append((f"t-{arch}", model))
    check_server(args, folder, served)


def check_shared(args, folder):
    maker = os.path.join(args.data, "make_tiny.py")
    if not os.path.exists(maker):
        say(None, f"models of the shared data: there is no {maker}")
        return
    python = [sys.executable, maker]
    listed = subprocess.run([*python, "--list"], capture_output=True, text=True).stdout
    names = [*run_archs.FAMILIES, *sorted({w for w in listed.split() if w.startswith("quant-")})]
    p = subprocess.run([*python, "--out", folder, *names], capture_output=True, text=True)
    if p.returncode:
        say(False, f"make_tiny.py: {p.stderr.strip()[-300:]}")
        return
    ways = [(i, 2, 64) for i in args.isas if i != "ref"] + [(args.isas[-1], 1, 1)]
    for name in names:
        check_bits(args, name, f"{folder}/{name}.gguf", f"{folder}/{name}.i32", folder, ways)


def check_real(args, folder):
    path = os.path.join(run_models.CACHE, "models", run_models.MODELS["smollm2"])
    if not os.path.exists(path):
        say(None, f"SmolLM2: {path} is not there")
        return
    tokens = f"{folder}/smollm2.i32"
    with open(tokens, "wb") as f:
        f.write(struct.pack("<8i", 504, 3575, 282, 4649, 314, 7042, 30, 378))
    best = args.isas[-1]
    check_bits(args, "8 tokens of SmolLM2", path, tokens, folder, [(best, 2, 8), ("neon", 2, 8), (best, 1, 1)])


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("build")
    ap.add_argument("arm_build")
    ap.add_argument("emulator")
    ap.add_argument("--data", default=os.path.join(run_archs.ROOT, "..", "shared", "data", "archs"))
    args = ap.parse_args()
    args.here = [os.path.abspath(f"{args.build}/tools/chaski")]
    args.arm = [os.path.abspath(args.emulator), os.path.abspath(f"{args.arm_build}/tools/chaski")]
    args.make_tiny = os.path.abspath(f"{args.build}/tests/make_tiny")
    args.isas = []
    with tempfile.TemporaryDirectory() as folder:
        for part in (check_tiny, check_shared, check_real):
            try:
                part(args, folder)
            except (OSError, RuntimeError, ValueError, KeyError, subprocess.SubprocessError) as why:
                say(False, f"{part.__name__}: {why!r}")
    print(f"{counts[True]} passed, {counts[False]} failed, {counts[None]} skipped")
    return 1 if counts[False] or not counts[True] else 0


if __name__ == "__main__":
    sys.exit(main())
