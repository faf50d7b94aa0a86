#!/usr/bin/env python3
"""A real embedding model against the paper: all-MiniLM-L6-v2, from its safetensors to the answer.

    run_minilm.py PATH/chaski

Writes the model's GGUF (tests/minilm.py), serves it, and compares the vector of each text of
tests/data/minilm/texts.json with the stored reference: cosine at least 0.9999. Then the same
bits by every way: alone, together, 1 and 2 threads, every instruction set, by each route. Ends with
"N passed, N failed, N skipped". Exit status 1 if a check failed, 77 if the model or a package is
not there.
"""
import argparse
import base64
import concurrent.futures
import http.client
import json
import os
import subprocess
import sys
import tempfile
import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import minilm
from run_models import ISAS, Server, counts, say

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "minilm")


def ask(server, path, body):
    c = http.client.HTTPConnection("127.0.0.1", server.port, timeout=300)
    c.request("POST", path, json.dumps(body))
    r = c.getresponse()
    answer = json.loads(r.read())
    if r.status != 200:
        raise RuntimeError(f"{path}: {r.status} {answer}")
    return answer


def embed(server, texts, **more):
    a = ask(server, "/api/embed", {"model": "minilm", "input": texts, **more})
    return np.array(a["embeddings"], np.float64).astype(np.float32), a


def check_reference(server, texts, want):
    got, _ = embed(server, texts)
    ref = [np.frombuffer(base64.b64decode(r["vector"]), "<f4").astype(np.float64) for r in want]
    cosine = [float(g.astype(np.float64) @ r) for g, r in zip(got, ref)]
    worst = int(np.argmin(cosine))
    say(len(got) == len(ref) and cosine[worst] >= 0.9999,
        f"{len(ref)} texts, smallest cosine {cosine[worst]:.12f} ({texts[worst][:30]!r})")
    lengths = [abs(float(np.linalg.norm(g.astype(np.float64))) - 1) for g in got]
    say(max(lengths) < 1e-6, f"length 1 within {max(lengths):.1e}")
    n = [ask(server, "/api/embed", {"model": "minilm", "input": t or [""]})["prompt_eval_count"]
         for t in texts]
    say(n == [r["n"] for r in want], "as many tokens as the reference has")
    return got


def check_company(server, texts, base):
    """The same bits alone, in any order, from many clients at once, by every route."""
    alone = np.concatenate([embed(server, [t])[0] for t in texts])
    say(np.array_equal(alone, base), "each text alone: the same bits")
    back, _ = embed(server, texts[::-1])
    say(np.array_equal(back[::-1], base), "in the other order: the same bits")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(lambda i: embed(server, texts[i::8])[0], range(8)))
    say(all(np.array_equal(p, base[i::8]) for i, p in enumerate(parts)),
        "from 8 clients at once: the same bits")
    for form in ("float", "base64"):
        rows = ask(server, "/v1/embeddings", {"model": "minilm", "input": texts, "encoding_format": form})["data"]
        got = [np.frombuffer(base64.b64decode(r["embedding"]), "<f4") if form == "base64"
               else np.array(r["embedding"], np.float64).astype(np.float32) for r in rows]
        say(np.array_equal(np.array(got), base), f"/v1/embeddings, {form}: the same bits")
    old = ask(server, "/api/embeddings", {"model": "minilm", "prompt": texts[2]})["embedding"]
    say(np.array_equal(np.array(old), base[2].astype(np.float64)), "/api/embeddings: the same bits")
    few, _ = embed(server, texts[:5], dimensions=100)
    cut = base[:5, :100].astype(np.float64)
    cut /= np.linalg.norm(cut, axis=1, keepdims=True)
    say(few.shape == (5, 100) and np.abs(few - cut).max() < 1e-6, "dimensions: cut, and of length 1 again")


def check_ways(args, model, texts, base, folder):
    for isa, threads in [(None, 1), (None, 2), *((isa, 2) for isa in ISAS)]:
        way = f"{isa or 'best'} kernels, {threads} threads"
        env = {k: v for k, v in os.environ.items() if k != "CHASKI_ISA"}
        if isa:
            env["CHASKI_ISA"] = isa
        got = []
        for i in (2, 5, 37):
            ids, out = f"{folder}/ids.i32", f"{folder}/vector.f32"
            p = subprocess.run([args.chaski, "tokenize", "-m", model, "--bos"], input=texts[i],
                               capture_output=True, text=True)
            np.array(json.loads(p.stdout), "<i4").tofile(ids)
            p = subprocess.run([args.chaski, "logits", "-m", model, "--tokens", ids, "--out", out,
                                "--threads", str(threads)], env=env, capture_output=True, text=True)
            if p.returncode:
                break
            v = np.fromfile(out, "<f4").astype(np.float64)
            got.append(v.astype(np.float32))
        if p.returncode:
            if isa is None:
                say(False, f"{way}: {p.stderr.strip()}")
            continue  # an instruction set that this CPU or this build has not
        if isa is None and threads == 1:
            first = got
            say(all(abs(v / np.linalg.norm(v.astype(np.float64)) - base[i]).max() < 1e-6
                    for v, i in zip(got, (2, 5, 37))), f"{way}: chaski logits gives the pooled vector")
        say(all(np.array_equal(a, b) for a, b in zip(got, first)), f"{way}: the same bits")


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("chaski")
    args = ap.parse_args()
    args.chaski = os.path.abspath(args.chaski)
    if not minilm.is_there():
        print(f"skipped: {minilm.FOLDER} is not there")
        return 77
    try:
        import gguf  # noqa: F401
    except ImportError:
        print("skipped: the Python package gguf is not there")
        return 77
    texts = minilm.texts()
    with open(os.path.join(DATA, "vectors.json"), encoding="utf-8") as f:
        want = json.load(f)
    with tempfile.TemporaryDirectory() as folder:
        server = Server(args, folder)
        try:
            for name, f16 in (("F16", True), ("F32", False)):
                model = f"{folder}/{name}.gguf"
                minilm.write_gguf(model, f16)
                with open(f"{folder}/Modelfile", "w", encoding="utf-8") as f:
                    f.write(f"FROM {model}\n")
                p = subprocess.run([args.chaski, "create", "minilm", "-f", f"{folder}/Modelfile"],
                                   env=server.env, capture_output=True, text=True)
                say(p.returncode == 0, f"{name}: create: {(p.stderr.strip().splitlines() or [''])[-1]}")
                base = check_reference(server, texts, want)
            check_company(server, texts, base)
            check_ways(args, model, texts, base, folder)
        except (OSError, RuntimeError, ValueError, KeyError) as why:
            say(False, repr(why))
        finally:
            status = server.stop()
        say(status == 0, f"the server ends with status {status}")
    print(f"{counts[True]} passed, {counts[False]} failed, {counts[None]} skipped")
    return 1 if counts[False] else 0


if __name__ == "__main__":
    sys.exit(main())
