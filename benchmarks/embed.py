#!/usr/bin/env python3
"""What many short texts cost beside one long one: embeddings through the server.

    embed.py PATH/chaski MODEL.gguf [--rounds N]

CPU time of the server's process (all threads, /proc/PID/stat), the smallest of many rounds in turn:
64 texts of 8 tokens in one request, one text of 512 tokens, and the 64 texts one request each.
tests/minilm.py writes MiniLM's GGUF.
"""
import argparse
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time


def cpu_ms(pid):
    with open(f"/proc/{pid}/schedstat") as f:
        own = int(f.read().split()[0])
    total = own
    for t in os.listdir(f"/proc/{pid}/task"):
        if t != str(pid):
            with open(f"/proc/{pid}/task/{t}/schedstat") as f:
                total += int(f.read().split()[0])
    return total / 1e6


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("chaski")
    ap.add_argument("model")
    ap.add_argument("--rounds", type=int, default=12)
    args = ap.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        env = {**os.environ, "OLLAMA_HOST": f"127.0.0.1:{port}", "OLLAMA_MODELS": f"{folder}/store"}
        server = subprocess.Popen([args.chaski, "serve"], env=env, stderr=subprocess.DEVNULL)
        try:
            for _ in range(100):
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    time.sleep(0.05)
            with open(f"{folder}/Modelfile", "w") as f:
                f.write(f"FROM {os.path.abspath(args.model)}\n")
            subprocess.run([args.chaski, "create", "m", "-f", f"{folder}/Modelfile"], env=env, check=True,
                           capture_output=True)
            c = http.client.HTTPConnection("127.0.0.1", port)

            def ask(texts):
                c.request("POST", "/api/embed", json.dumps({"model": "m", "input": texts}))
                return json.loads(c.getresponse().read())["prompt_eval_count"]

            short = [f"the house number {i} is here" for i in range(10, 74)]
            long = " ".join(["the"] * 510)
            ways = {"64 texts of 8 tokens, one request": lambda: ask(short),
                    "1 text of 512 tokens": lambda: ask([long]),
                    "64 texts, a request each": lambda: sum(ask([t]) for t in short)}
            best, tokens = {}, {}
            for _ in range(args.rounds):
                for name, run in ways.items():
                    t0 = cpu_ms(server.pid)
                    tokens[name] = run()
                    took = cpu_ms(server.pid) - t0
                    best[name] = min(best.get(name, took), took)
            base = best["1 text of 512 tokens"]
            for name in ways:
                print(f"{name:36s} {tokens[name]:5d} tokens {best[name]:8.1f} ms CPU  x{best[name] / base:.2f}")
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    sys.exit(main())
