#!/usr/bin/env python3
"""How much sooner the first token of a prompt comes when the prompt came before.

    prefix.py [--tokens 2000] [--rounds 5] [--repeats 10] [--threads N] [--json OUT.json]
              [--chaski build/tools/chaski] MODEL.gguf

Starts a server of its own. Each round asks a prompt of about `tokens` tokens that is new from its
first word on, then the same one `repeats` times, and the next turn after it: the prompt, its answer
and a few words more. The time is from sending to the first piece of the stream, the answer is
compared: it must be the same. Beside the ratio of the medians stands the ratio of the server's CPU
time per request, which a busy machine disturbs less.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

from speculation import Server, cpu_name

WORDS = ("river stone lamp garden window paper morning station copper bridge winter letter orange "
         "harbour silver engine table forest candle mountain").split()


def text(tokens, salt):
    words, x = [f"Number {salt}:"], salt * 7919 + 1
    for _ in range(tokens):
        x = (x * 1103515245 + 12345) % 2**31
        words.append(WORDS[x // 65536 % len(WORDS)])
    return " ".join(words)


def ask(server, prompt, n_ctx, context=None, n=1):
    """Seconds to the first piece, CPU seconds of the whole, the text, the final object."""
    body = {"model": "m", "prompt": prompt, "stream": True,
            "options": {"num_predict": n, "temperature": 0, "num_ctx": n_ctx, "speculate": False}}
    if context:
        body["context"] = context
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}/api/generate",
                                     json.dumps(body).encode())
    cpu, begin, first, got = server.cpu_seconds(), time.monotonic(), None, ""
    with urllib.request.urlopen(request, timeout=900) as reply:
        for line in reply:
            first = first or time.monotonic() - begin
            o = json.loads(line)
            got += o["response"]
    return first, server.cpu_seconds() - cpu, got, o


def main():
    a = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    a.add_argument("model")
    a.add_argument("--tokens", type=int, default=2000)
    a.add_argument("--rounds", type=int, default=5)
    a.add_argument("--repeats", type=int, default=10)
    a.add_argument("--threads", type=int, default=0)
    a.add_argument("--json")
    a.add_argument("--chaski", default="build/tools/chaski")
    args = a.parse_args()
    n_ctx = args.tokens * 2
    cold, warm, turn, cpu_cold, cpu_warm = [], [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        server = Server(args.chaski, args.threads, folder)
        try:
            with open(os.path.join(folder, "Modelfile"), "w", encoding="utf-8") as f:
                f.write(f"FROM {os.path.abspath(args.model)}\n")
            subprocess.run([args.chaski, "create", "m", "-f", f.name], env=server.env, check=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            ask(server, "warm up", n_ctx)
            for r in range(args.rounds):
                prompt = text(args.tokens, r)
                first, cpu, want, o = ask(server, prompt, n_ctx)
                n, cached = o["prompt_eval_count"], o.get("prompt_eval_cached_count", 0)
                cold.append(first)
                cpu_cold.append(cpu)
                before = server.cpu_seconds()
                for _ in range(args.repeats):
                    first, _, got, o = ask(server, prompt, n_ctx)
                    warm.append(first)
                    if got != want or o["prompt_eval_count"] != n:
                        sys.exit("the answer of a cached prompt differs")
                cpu_warm.append((server.cpu_seconds() - before) / args.repeats)
                again = o.get("prompt_eval_cached_count", 0)
                turn.append(ask(server, "And now?", n_ctx, context=o["context"])[0])
        finally:
            server.stop()
    mid = statistics.median
    out = {"cpu": cpu_name(), "model": os.path.basename(args.model), "prompt_tokens": n,
           "cached_cold": cached, "cached_warm": again, "threads": args.threads,
           "load": os.getloadavg()[0], "cold": cold, "warm": warm, "next_turn": turn,
           "cpu_cold": cpu_cold, "cpu_warm": cpu_warm, "ratio": mid(cold) / mid(warm),
           "cpu_ratio": mid(cpu_cold) / max(mid(cpu_warm), 1e-3)}
    print(f"{out['model']}: {n} tokens, {again} of them found: first token after "
          f"{1e3 * mid(cold):.0f} ms new ({1e3 * min(cold):.0f}..{1e3 * max(cold):.0f}), "
          f"{1e3 * mid(warm):.1f} ms again ({1e3 * min(warm):.1f}..{1e3 * max(warm):.1f}), "
          f"{1e3 * mid(turn):.1f} ms next turn: {out['ratio']:.0f} times sooner, "
          f"{out['cpu_ratio']:.0f} times less CPU time")
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump(out, f, indent=1)


if __name__ == "__main__":
    main()
