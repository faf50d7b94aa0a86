#!/usr/bin/env python3
"""How near quantized arithmetic comes to the model in full f32: chaski beside llama.cpp.

    accuracy.py [--build build] [--venv DIR] [--text FILE] [--tokens 256] [--json OUT] [--fast]
                MODEL.gguf ...

For each model: the F32 twin is written (benchmarks/make_f32.c), its logits along the text are the
truth (f32 weights, f32 activations, f32 KV cache, by `chaski logits`, which equals float64
references to an NMSE of 1e-12). Then the quantized file through chaski and through llama.cpp (source
build of llama-cpp-python 0.3.36, as in vs_llama_cpp.py), f16 KV cache, teacher-forced on the same
tokens. Printed: mean KL divergence from the truth in nats, and how often the best token is the same
where the truth leads by 0.25 nat or more.

--fast adds what `--numerics fast` costs: the F32 twin again, its prompt in bf16 (one batch of all tokens).
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import vs_llama_cpp  # noqa: E402

RUNNER = r"""
import ctypes, sys
import numpy as np
import llama_cpp as L
path, ids, out = sys.argv[1:4]
ids = np.fromfile(ids, "<i4").tolist()
quiet = L.llama_log_callback(lambda *a: None)  # kept: the library holds only its address
L.llama_log_set(quiet, ctypes.c_void_p())
L.llama_backend_init()
model = L.llama_model_load_from_file(path.encode(), L.llama_model_default_params())
cp = L.llama_context_default_params()
cp.n_ctx, cp.n_batch, cp.n_ubatch, cp.flash_attn_type = len(ids) + 32, len(ids), 512, 0
cp.n_threads = cp.n_threads_batch = 2
if hasattr(cp, "n_outputs_max"):
    cp.n_outputs_max = len(ids)
ctx = L.llama_init_from_model(model, cp)
n_vocab = L.llama_vocab_n_tokens(L.llama_model_get_vocab(model))
b = L.llama_batch_init(len(ids), 0, 1)
b.n_tokens = len(ids)
for i, t in enumerate(ids):
    b.token[i], b.pos[i], b.n_seq_id[i], b.logits[i] = t, i, 1, 1
    b.seq_id[i][0] = 0
if L.llama_decode(ctx, b):
    sys.exit("llama_decode failed")
p = L.llama_get_logits(ctx)
np.ctypeslib.as_array(p, shape=(len(ids) * n_vocab,)).astype("<f4").tofile(out)
"""

TEXT = """The harbour lay quiet under a thin fog when the ferry came in from the islands. Two men on the
quay caught the ropes and made them fast, and the captain leaned from the window of the bridge to ask
whether the doctor had arrived. Nobody had seen her. In the office of the shipping company a clerk was
counting coins into small paper rolls: 50 cents, 1 euro, 2 euro.

def median(values):
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2

Water boils at 100 degrees Celsius at sea level because its vapour pressure there equals that of the
air. On a mountain the pressure is lower, so it boils sooner, and potatoes take longer to cook.
"""


def log_softmax(x):
    x = x.astype(np.float64)
    x -= x.max(axis=1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True))


def compare(truth, other):
    a, b = log_softmax(truth), log_softmax(other)
    kl = (np.exp(a) * (a - b)).sum(axis=1).mean()
    two = np.partition(a, -2, axis=1)[:, -2:]
    clear = (two[:, 1] - two[:, 0]) >= 0.25
    same = (a.argmax(1) == b.argmax(1))[clear].mean()
    return float(kl), float(same), int(clear.sum())


def logits(chaski, model, ids, kv):
    with tempfile.TemporaryDirectory() as d:
        np.array(ids, "<i4").tofile(os.path.join(d, "ids"))
        subprocess.check_call([chaski, "logits", "-m", model, "--tokens", os.path.join(d, "ids"),
                               "--out", os.path.join(d, "out"), "--kv", kv])
        return np.fromfile(os.path.join(d, "out"), "<f4").reshape(len(ids), -1)


def compare_caches(chaski, models, text, n):
    """What each type of key-value cache costs, beside the same model with an f32 one."""
    print("| model | tokens | cache | KL to f32 | best token |\n| --- | ---: | --- | ---: | ---: |")
    for model in models:
        ids = json.loads(subprocess.check_output([chaski, "tokenize", "-m", model, "--bos"],
                                                 input=text.encode()))[:n]
        truth = logits(chaski, model, ids, "f32")
        for kv in "f16", "q8_0", "q4_0":
            kl, same, _ = compare(truth, logits(chaski, model, ids, kv))
            print(f"| {os.path.basename(model)} | {len(ids)} | {kv} | {kl:.4f} | {same:.3f} |", flush=True)


def main():
    ap = argparse.ArgumentParser(description=__doc__,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("models", nargs="+")
    ap.add_argument("--build", default=os.path.join(vs_llama_cpp.HERE, "..", "build"))
    ap.add_argument("--chaski")
    ap.add_argument("--make-f32")
    ap.add_argument("--venv", default=os.path.expanduser("~/.cache/chaski/llama-cpp-venv"))
    ap.add_argument("--text")
    ap.add_argument("--tokens", type=int, default=256)
    ap.add_argument("--json")
    ap.add_argument("--fast", action="store_true")
    ap.add_argument("--caches", action="store_true", help="types of the key-value cache, not llama.cpp")
    args = ap.parse_args()
    chaski = args.chaski or os.path.join(args.build, "tools", "chaski")
    make_f32 = args.make_f32 or os.path.join(args.build, "benchmarks", "make_f32")
    text = open(args.text).read() if args.text else TEXT
    if args.caches:
        compare_caches(chaski, args.models, text, args.tokens)
        return
    python = vs_llama_cpp.build_venv(args.venv, "")
    rows = []
    print("| model | tokens | KL chaski | KL llama.cpp | ratio | best token chaski | llama.cpp |\n"
          "| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for model in args.models:
        with tempfile.TemporaryDirectory() as d:
            ids = json.loads(subprocess.check_output([chaski, "tokenize", "-m", model, "--bos"],
                                                     input=text.encode()))[:args.tokens]
            f = os.path.join(d, "ids.i32")
            np.array(ids, "<i4").tofile(f)
            twin = os.path.join(d, "f32.gguf")
            subprocess.check_call([make_f32, model, twin])
            out = {}
            for name, path, kv in (("truth", twin, "f32"), ("chaski", model, "f16")):
                o = os.path.join(d, name)
                subprocess.check_call([chaski, "logits", "-m", path, "--tokens", f, "--out", o,
                                       "--kv", kv])
                out[name] = np.fromfile(o, "<f4").reshape(len(ids), -1)
            if args.fast:
                o = os.path.join(d, "fast")
                p = subprocess.run([chaski, "logits", "-m", twin, "--tokens", f, "--out", o, "--kv", "f32",
                                    "--numerics", "fast"], stderr=subprocess.PIPE, text=True, check=True)
                if "outside the contract" not in p.stderr:
                    sys.exit("--fast: this CPU has no units for bf16")
                out["fast"] = np.fromfile(o, "<f4").reshape(len(ids), -1)
            o = os.path.join(d, "llama")
            subprocess.check_call([python, "-c", RUNNER, model, f, o], stderr=subprocess.DEVNULL)
            out["llama"] = np.fromfile(o, "<f4").reshape(len(ids), -1)
        ka, sa, n = compare(out["truth"], out["chaski"])
        kb, sb, _ = compare(out["truth"], out["llama"])
        rows.append({"model": os.path.basename(model), "tokens": len(ids), "clear": n,
                     "kl_chaski": ka, "kl_llama_cpp": kb, "same_chaski": sa, "same_llama_cpp": sb})
        print(f"| {rows[-1]['model']} | {len(ids)} | {ka:.5f} | {kb:.5f} | {ka / kb:.2f} | "
              f"{sa:.1%} of {n} | {sb:.1%} |", flush=True)
        if args.fast:
            kf, sf, _ = compare(out["truth"], out["fast"])
            rows[-1] |= {"kl_fast_f32": kf, "same_fast_f32": sf}
            print(f"| its F32 twin, --numerics fast | {len(ids)} | {kf:.5f} | | | {sf:.1%} of {n} | |",
                  flush=True)
    if args.json:
        json.dump(rows, open(args.json, "w"), indent=1)


if __name__ == "__main__":
    main()
