#!/usr/bin/env python3
"""chaski against llama.cpp: same file, same threads, one run on one machine, interleaved.

    vs_llama_cpp.py [--threads 2] [--rounds 5] [-p 512] [-n 128] [--depth 0] [--isa NAME]
                    [--json OUT.json] [--md OUT.md] [--chaski build/tools/chaski] [--venv DIR] MODEL.gguf ...

llama.cpp is the one in the source distribution of the PyPI package llama-cpp-python 0.3.36, built
for the machine at hand with its default (native) flags into --venv (default
~/.cache/chaski/llama-cpp-venv) the first time; that takes some minutes.

Every round runs both programs once, in turn, each in a fresh process: a prompt of p tokens (one
batch of 512 rows at a time, logits of the last), then n tokens one by one from an empty context.
With --depth N both run behind N tokens of context (evaluated before the clock starts).
llama.cpp runs with and without flash attention and is given its better one. The figure is the
ratio of the medians; all samples go to the JSON. --isa names chaski's kernels only: compare with a
llama.cpp built for the same instruction set where that matters (see --cmake-args).
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))

# Runs inside the venv. Prints {"pp": tokens/s, "tg": tokens/s}.
RUNNER = r"""
import ctypes, json, sys, time
import llama_cpp as L
path, (threads, p, n, depth, flash) = sys.argv[1], map(int, sys.argv[2:7])
quiet = L.llama_log_callback(lambda *a: None)  # kept: the library holds only its address
L.llama_log_set(quiet, ctypes.c_void_p())
L.llama_backend_init()
mp = L.llama_model_default_params()
model = L.llama_model_load_from_file(path.encode(), mp)
if not model:
    sys.exit("llama.cpp cannot load " + path)
cp = L.llama_context_default_params()
cp.n_ctx = depth + max(p, n) + 64
cp.n_batch = cp.n_ubatch = 512
cp.n_threads = cp.n_threads_batch = threads
cp.flash_attn_type = 1 if flash else 0
ctx = L.llama_init_from_model(model, cp)
if not ctx:
    sys.exit("llama.cpp cannot make a context")
vocab = L.llama_model_get_vocab(model)
n_vocab = L.llama_vocab_n_tokens(vocab)
x, ids = 12345, []
for i in range(max(p, n, depth)):
    x = (x * 1664525 + 1013904223) & 0xffffffff
    ids.append((x >> 8) % n_vocab)
at = 0  # tokens in the cache
def back_to_depth():  # the tokens of the depth stay: they are evaluated once
    global at
    if at > depth and not L.llama_memory_seq_rm(L.llama_get_memory(ctx), 0, depth, -1):
        # a cache of a sliding window cannot go back: anew
        L.llama_memory_clear(L.llama_get_memory(ctx), True)
        at = 0
    at = min(at, depth)
    for i in range(at, depth, 512):
        decode(ids[i:min(i + 512, depth)])
    L.llama_synchronize(ctx)
    at = depth
def decode(tokens):
    arr = (L.llama_token * len(tokens))(*tokens)
    if L.llama_decode(ctx, L.llama_batch_get_one(arr, len(tokens))):
        sys.exit("llama_decode failed")
def prompt():
    global at
    back_to_depth()
    t = time.perf_counter()
    for i in range(0, p, 512):
        decode(ids[i:min(i + 512, p)])
    L.llama_synchronize(ctx)
    at += p
    return time.perf_counter() - t
def generate(k):
    global at
    back_to_depth()
    t = time.perf_counter()
    for token in ids[:k]:
        decode([token])
        L.llama_synchronize(ctx)
    at += k
    return time.perf_counter() - t
out = {}
if p:
    prompt()
    out["pp"] = p / prompt()
if n:
    generate(2)
    out["tg"] = n / generate(n)
print(json.dumps(out))
"""


def build_venv(folder, cmake_args):
    python = os.path.join(folder, "bin", "python")
    probe = [python, "-c", "import llama_cpp; assert llama_cpp.__version__ == '0.3.36'"]
    if os.path.exists(python) and subprocess.call(probe, stderr=subprocess.DEVNULL) == 0:
        return python
    print("building llama-cpp-python 0.3.36 from its source distribution ...", file=sys.stderr)
    if not os.path.exists(python):
        subprocess.check_call([sys.executable, "-m", "venv", folder])
    env = dict(os.environ)
    if cmake_args:
        env["CMAKE_ARGS"] = cmake_args
    subprocess.check_call([python, "-m", "pip", "install", "--quiet", "--no-binary",
                           "llama-cpp-python", "llama-cpp-python==0.3.36"], env=env)
    return python


def cpu_name():
    try:
        for line in open("/proc/cpuinfo"):
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
            if line.startswith("flags"):
                flags = line.split()
                isa = [f for f in ("avx2", "avx_vnni", "avx512_vnni", "amx_int8") if f in flags]
                return f"{name} ({', '.join(isa)})"
    except OSError:
        pass
    return platform.processor() or platform.machine()


def run_chaski(args, model, p, n):
    env = dict(os.environ)
    if args.isa:
        env["CHASKI_ISA"] = args.isa
    out = subprocess.check_output([args.chaski, "bench", "-m", model, "-p", str(p), "-n", str(n),
                                   "-d", str(args.depth), "-t", str(args.threads), "-r", "1",
                                   "-o", "json"], env=env)
    res = {}
    for row in json.loads(out):
        res["pp" if row["n_prompt"] else "tg"] = row["avg_ts"]
        res["isa"] = row["isa"]
    return res


def run_llama(args, python, model, p, n, flash):
    out = subprocess.check_output([python, "-c", RUNNER, model, str(args.threads), str(p), str(n),
                                   str(args.depth), str(int(flash))], stderr=subprocess.DEVNULL)
    return json.loads(out)


def main():
    ap = argparse.ArgumentParser(description=__doc__,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("models", nargs="+")
    ap.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    ap.add_argument("--rounds", type=int, default=5)
    ap.add_argument("-p", type=int, default=512)
    ap.add_argument("-n", type=int, default=128)
    ap.add_argument("--depth", type=int, default=0, help="tokens of context before either test")
    ap.add_argument("--isa")
    ap.add_argument("--json")
    ap.add_argument("--md")
    ap.add_argument("--chaski", default=os.path.join(HERE, "..", "build", "tools", "chaski"))
    ap.add_argument("--venv", default=os.path.expanduser("~/.cache/chaski/llama-cpp-venv"))
    ap.add_argument("--cmake-args", default="", help="for the build of llama.cpp, e.g. "
                    "'-DGGML_NATIVE=OFF -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON'")
    args = ap.parse_args()
    python = build_venv(args.venv, args.cmake_args)

    report = {"cpu": cpu_name(), "date": time.strftime("%Y-%m-%d"), "threads": args.threads,
              "rounds": args.rounds, "depth": args.depth,
              "command": " ".join(map(os.path.basename, sys.argv)), "models": []}
    lines = ["| model | test | chaski t/s | llama.cpp t/s | ratio | min..max of both |",
             "| --- | --- | ---: | ---: | ---: | --- |"]
    for model in args.models:
        samples = {"chaski": {"pp": [], "tg": []}, "llama.cpp": {"pp": [], "tg": []},
                   "llama.cpp fa": {"pp": [], "tg": []}}
        isa = ""
        for _ in range(args.rounds):
            got = run_chaski(args, model, args.p, args.n)
            isa = got.pop("isa", isa)
            for k, v in got.items():
                samples["chaski"][k].append(v)
            for name, flash in (("llama.cpp", False), ("llama.cpp fa", True)):
                for k, v in run_llama(args, python, model, args.p, args.n, flash).items():
                    samples[name][k].append(v)
        entry = {"model": os.path.basename(model), "isa": isa, "samples": samples, "ratio": {}}
        behind = f" @ d{args.depth}" if args.depth else ""
        for k, label in (("pp", f"pp{args.p}{behind}"), ("tg", f"tg{args.n}{behind}")):
            ours = samples["chaski"][k]
            if not ours:
                continue
            theirs = max((samples["llama.cpp"][k], samples["llama.cpp fa"][k]),
                         key=statistics.median)
            a, b = statistics.median(ours), statistics.median(theirs)
            entry["ratio"][k] = a / b
            lines.append(f"| {entry['model']} | {label} | {a:.1f} | {b:.1f} | {a / b:.2f} | "
                         f"{min(ours):.1f}..{max(ours):.1f}, {min(theirs):.1f}..{max(theirs):.1f} |")
            print(lines[-1], file=sys.stderr, flush=True)
        report["models"].append(entry)
    head = f"{report['cpu']}, {args.threads} threads, {report['date']}, {args.rounds} rounds, " \
           f"chaski kernels: {report['models'][0]['isa']}\n"
    text = head + "\n" + "\n".join(lines) + "\n"
    print(text)
    if args.json:
        with open(args.json, "w") as f:
            json.dump(report, f, indent=1)
    if args.md:
        with open(args.md, "w") as f:
            f.write(text)


if __name__ == "__main__":
    main()
