#!/usr/bin/env python3
"""Tokens a second of N requests together against one alone, through the server, interleaved.

    parallel.py [--sequences 8] [--rounds 3] [--tokens 64] [--threads N] [--json OUT.json]
                [--chaski build/tools/chaski] MODEL.gguf

Starts a server of its own (benchmarks/speculation.py's). Every request has a prompt of its own of a
few tokens and asks for `tokens` more, without drafts; the figure counts all generated tokens over
the time from the first request's sending to the last answer, so prompts and HTTP are in it.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from speculation import Server, cpu_name


def together(server, n, tokens, salt):
    """Tokens a second of n requests at once."""
    replies = [None] * n

    def ask(i):
        replies[i] = server.ask("m", f"{salt} {i}:", {"num_predict": tokens, "speculate": False,
                                                      "temperature": 0, "num_ctx": 1024})
    threads = [threading.Thread(target=ask, args=(i,)) for i in range(n)]
    begin = time.monotonic()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    took = time.monotonic() - begin
    if None in replies:
        sys.exit("a request failed")
    return sum(r["eval_count"] for r in replies) / took


def main():
    a = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    a.add_argument("model")
    a.add_argument("--sequences", type=int, default=8)
    a.add_argument("--rounds", type=int, default=3)
    a.add_argument("--tokens", type=int, default=64)
    a.add_argument("--threads", type=int, default=0)
    a.add_argument("--json")
    a.add_argument("--chaski", default="build/tools/chaski")
    args = a.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["OLLAMA_NUM_PARALLEL"] = str(args.sequences)
        server = Server(args.chaski, args.threads, folder)
        try:
            with open(os.path.join(folder, "Modelfile"), "w", encoding="utf-8") as f:
                f.write(f"FROM {os.path.abspath(args.model)}\n")
            subprocess.run([args.chaski, "create", "m", "-f", f.name], env=server.env, check=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            together(server, args.sequences, 4, "warm")
            one, many = [], []
            for r in range(args.rounds):
                one.append(together(server, 1, args.tokens, f"a{r}"))
                many.append(together(server, args.sequences, args.tokens, f"b{r}"))
        finally:
            server.stop()
    out = {"cpu": cpu_name(), "model": os.path.basename(args.model), "sequences": args.sequences,
           "tokens": args.tokens, "threads": args.threads, "load": os.getloadavg()[0], "one": one,
           "many": many, "ratio": statistics.median(many) / statistics.median(one)}
    print(f"{out['model']}: one {statistics.median(one):.1f} t/s ({min(one):.1f}..{max(one):.1f}), "
          f"{args.sequences} together {statistics.median(many):.1f} t/s ({min(many):.1f}.."
          f"{max(many):.1f}): {out['ratio']:.2f} times")
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump(out, f, indent=1)


if __name__ == "__main__":
    main()
