#!/usr/bin/env python3
"""Real models, from file to answer: the same bits by every way, and answers that make sense.

    run_models.py PATH/chaski [--only NAMES]

Uses what is in the cache (CHASKI_CACHE, ~/.cache/chaski); names what is not. For each model: the
file is sound, the vocabulary gives a text back, logits have the same bits with every instruction
set, thread count and batch, and the server answers alike alone, asked again, and beside
others. Ends with "N passed, N failed, N skipped". Exit status 1 if a check failed.
"""
import argparse
import concurrent.futures
import http.client
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time

CACHE = os.path.expanduser(os.environ.get("CHASKI_CACHE") or "~/.cache/chaski")
MODELS = {"smollm2": "SmolLM2-135M-Instruct.Q4_1.gguf", "gemma3": "gemma-3-270m-q4_k_m.gguf",
          "qwen2.5-coder": "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"}
TEXT = "The capital of France is Paris. The capital of Italy is Rome. The capital of Spain is"
ISAS = ("ref", "avx2", "avx512", "avx512vnni", "avxvnni", "amx", "neon", "dotprod", "i8mm")
counts = {True: 0, False: 0, None: 0}


def say(ok, text):
    counts[ok] += 1
    print({True: "ok  ", False: "FAIL", None: "skip"}[ok], text, flush=True)


def chaski(args, *words, text=None, isa=None):
    env = {k: v for k, v in os.environ.items() if k != "CHASKI_ISA"}
    if isa:
        env["CHASKI_ISA"] = isa
    return subprocess.run([args.chaski, *words], input=text, capture_output=True, text=True, env=env,
                          timeout=600)


def check_file(args, name, path):
    p = chaski(args, "inspect", path)
    say(p.returncode == 0 and "token_embd.weight" in p.stdout, f"{name}: inspect finds the tensors")
    p = chaski(args, "tokenize", "-m", path, "--bos", text=TEXT)
    ids = json.loads(p.stdout) if p.returncode == 0 else []
    say(10 < len(ids) < 60, f"{name}: {len(ids)} tokens for {len(TEXT)} characters")
    return ids


def check_bits(args, name, path, ids, folder):
    tokens, out = f"{folder}/ids.i32", f"{folder}/logits.f32"
    with open(tokens, "wb") as f:
        f.write(struct.pack(f"<{len(ids)}i", *ids))
    base, ways = None, [(None, 1, 64), (None, 2, 7), (None, 2, 1), *((isa, 2, 64) for isa in ISAS)]
    for isa, threads, batch in ways:
        p = chaski(args, "logits", "-m", path, "--tokens", tokens, "--out", out, "--threads",
                   str(threads), "--batch", str(batch), isa=isa)
        way = f"{name}: {isa or 'best'} kernels, {threads} threads, batch {batch}"
        if p.returncode:
            if isa is None:
                say(False, f"{way}: {p.stderr.strip()}")
            continue  # an instruction set that this CPU or this build has not
        with open(out, "rb") as f:
            got = f.read()
        base = base or got
        say(got == base, f"{way}: the same bits")


class Server:
    def __init__(self, args, folder):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        self.env = {**os.environ, "OLLAMA_HOST": self.host, "OLLAMA_MODELS": f"{folder}/store"}
        self.log = open(f"{folder}/serve.log", "wb")
        program = args.chaski if isinstance(args.chaski, list) else [args.chaski]
        self.process = subprocess.Popen([*program, "serve"], env=self.env, stderr=self.log)
        for _ in range(600):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("the server does not start")

    def ask(self, path, body):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        c.request("POST", path, json.dumps({**body, "stream": False}))
        r = c.getresponse()
        answer = json.loads(r.read())
        if r.status != 200:
            raise RuntimeError(f"{path}: {r.status} {answer}")
        return answer

    def stop(self):
        self.process.terminate()
        status = self.process.wait(30)
        self.log.close()
        return status


def check_answers(args, server, name, path, folder):
    with open(f"{folder}/Modelfile", "w") as f:
        f.write(f"FROM {path}\n")
    p = subprocess.run([args.chaski, "create", "m-" + name, "-f", f"{folder}/Modelfile"],
                       env=server.env, capture_output=True, text=True)
    say(p.returncode == 0, f"{name}: create: {(p.stderr.strip().splitlines() or [''])[-1]}")
    if p.returncode:
        return
    greedy = {"model": "m-" + name, "prompt": TEXT, "raw": True,
              "options": {"temperature": 0, "num_predict": 12}}
    text = server.ask("/api/generate", greedy)["response"]
    say("Madrid" in text, f"{name}: goes on with {text!r}")
    again = server.ask("/api/generate", greedy)["response"]
    say(again == text, f"{name}: the same when asked again")

    drawn = {"model": "m-" + name, "messages": [{"role": "user", "content": "Name three colours."}],
             "options": {"temperature": 1, "seed": 7, "num_predict": 40}}
    alone = server.ask("/api/chat", drawn)["message"]["content"]
    say(bool(alone.strip()), f"{name}: chat answers {alone[:60]!r}")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        others = [dict(drawn, options={"seed": i, "num_predict": 30 + i}) for i in (1, 2, 3)]
        answers = list(pool.map(lambda b: server.ask("/api/chat", b)["message"]["content"],
                                [others[0], drawn, others[1], others[2]]))
    say(answers[1] == alone, f"{name}: the same beside three other requests")


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("chaski")
    ap.add_argument("--only", help="names, parted by commas")
    args = ap.parse_args()
    args.chaski = os.path.abspath(args.chaski)
    with tempfile.TemporaryDirectory() as folder:
        server = Server(args, folder)
        try:
            for name in args.only.split(",") if args.only else MODELS:
                path = os.path.join(CACHE, "models", MODELS[name])
                if not os.path.exists(path):
                    say(None, f"{name}: {path} is not there")
                    continue
                try:
                    ids = check_file(args, name, path)
                    check_bits(args, name, path, ids, folder)
                    check_answers(args, server, name, path, folder)
                except (OSError, RuntimeError, ValueError, KeyError) as why:
                    say(False, f"{name}: {why!r}")
        finally:
            status = server.stop()
        say(status == 0, f"the server ends with status {status}")
    print(f"{counts[True]} passed, {counts[False]} failed, {counts[None]} skipped")
    return 1 if counts[False] else 0


if __name__ == "__main__":
    sys.exit(main())
