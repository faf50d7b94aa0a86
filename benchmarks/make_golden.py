#!/usr/bin/env python3
"""Makes tests/data/models/NAME.json: what a real model should say, by an independent engine.

    make_golden.py --venv DIR --make-f32 build/benchmarks/make_f32 NAME=MODEL.gguf ...

llama.cpp (llama-cpp-python 0.3.36) tokenizes the text of accuracy.py, continues it greedily on the
F32 twin of the model (f32 weights, f32 cache), and gives the best token and its lead over the second
at every position. tests/run_golden.py holds chaski's quantized run against that.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from accuracy import TEXT  # noqa: E402

RUNNER = r"""
import ctypes, json, sys
import numpy as np
import llama_cpp as L
path, n_text, n_more = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
text = sys.stdin.buffer.read()
quiet = L.llama_log_callback(lambda *a: None)
L.llama_log_set(quiet, ctypes.c_void_p())
L.llama_backend_init()
model = L.llama_model_load_from_file(path.encode(), L.llama_model_default_params())
vocab = L.llama_model_get_vocab(model)
n_vocab = L.llama_vocab_n_tokens(vocab)
buf = (L.llama_token * 4096)()
n = L.llama_tokenize(vocab, text, len(text), buf, 4096, True, False)
ids = list(buf[:n])[:n_text]
cp = L.llama_context_default_params()
cp.n_ctx, cp.n_batch, cp.n_ubatch, cp.flash_attn_type = n_text + n_more + 32, 512, 512, 0
cp.type_k = cp.type_v = 0
cp.n_threads = cp.n_threads_batch = 2
if hasattr(cp, "n_outputs_max"):
    cp.n_outputs_max = 512
ctx = L.llama_init_from_model(model, cp)
best, lead = [], []
def feed(tokens, pos):
    b = L.llama_batch_init(len(tokens), 0, 1)
    b.n_tokens = len(tokens)
    for i, t in enumerate(tokens):
        b.token[i], b.pos[i], b.n_seq_id[i], b.logits[i] = t, pos + i, 1, 1
        b.seq_id[i][0] = 0
    if L.llama_decode(ctx, b):
        sys.exit("llama_decode failed")
    x = np.ctypeslib.as_array(L.llama_get_logits(ctx), shape=(len(tokens), n_vocab))
    for row in x:
        two = np.partition(row, -2)[-2:]
        best.append(int(row.argmax()))
        lead.append(round(float(two[1] - two[0]), 3))
feed(ids, 0)
for i in range(n_more):
    ids.append(best[-1])
    feed(ids[-1:], len(ids) - 1)
print(json.dumps({"n_text": n_text, "ids": ids, "best": best, "lead": lead}))
"""


def main():
    ap = argparse.ArgumentParser(description=__doc__,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("models", nargs="+")
    ap.add_argument("--venv", required=True)
    ap.add_argument("--make-f32", required=True)
    args = ap.parse_args()
    here = os.path.dirname(os.path.abspath(__file__))
    for spec in args.models:
        name, path = spec.split("=", 1)
        with tempfile.TemporaryDirectory() as d:
            twin = os.path.join(d, "twin.gguf")
            subprocess.check_call([args.make_f32, path, twin])
            out = subprocess.check_output([os.path.join(args.venv, "bin", "python"), "-c", RUNNER,
                                           twin, "150", "40"], input=TEXT.encode())
        data = json.loads(out)
        data["file"] = os.path.basename(path)
        data["text"] = TEXT
        target = os.path.join(here, "..", "tests", "data", "models", name + ".json")
        with open(target, "w") as f:
            json.dump(data, f, separators=(",", ":"))
            f.write("\n")
        print(target, len(data["ids"]), "tokens")


if __name__ == "__main__":
    main()
