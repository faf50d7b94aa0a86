#!/usr/bin/env python3
"""What drafts from the text so far win and cost: the same requests with and without, interleaved.

    speculation.py [--rounds 5] [--tokens 256] [--threads N] [--json OUT.json]
                   [--chaski build/tools/chaski] MODEL.gguf

Starts a server of its own on a free port with an empty folder of models, and asks each prompt in
turn with options.speculate true and false, so that a slow moment of the machine hits both. Answers
must be equal, or the run fails. The figures are generated tokens a second (eval_count /
eval_duration), the ratio of the medians, and the ratio of the server's CPU time per token, which a
busy machine disturbs less. "edit" asks for a file again with a small change, "story" for prose
without repeats (sampled, temperature 0.8), "code" for new code.
"""
import argparse
import json
import os
import platform
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

CODE = '''
class Inventory:
    def __init__(self, name):
        self.name = name
        self.items = {}
        self.history = []

    def add(self, item, count, price):
        if count <= 0:
            raise ValueError("count must be positive")
        if item in self.items:
            old_count, old_price = self.items[item]
            self.items[item] = (old_count + count, price)
        else:
            self.items[item] = (count, price)
        self.history.append(("add", item, count))

    def remove(self, item, count):
        if item not in self.items:
            raise KeyError(item)
        old_count, price = self.items[item]
        if count > old_count:
            raise ValueError("not enough items")
        if count == old_count:
            del self.items[item]
        else:
            self.items[item] = (old_count - count, price)
        self.history.append(("remove", item, count))

    def total_value(self):
        total = 0
        for item, (count, price) in self.items.items():
            total += count * price
        return total
'''
PROMPTS = {
    "edit": ("Here is a Python file:\n```python" + CODE + "```\nWrite the whole file again. Change "
             "only one thing: rename the method total_value to value_of_stock. Answer with the code only.", 0),
    "story": ("Write a long story about an old lighthouse keeper who finds a message in a bottle.",
              0.8),
    "code": ("Write a C program that reads a text file and prints the ten most frequent words.",
             0),
}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    def __init__(self, chaski, threads, folder):
        self.port = free_port()
        self.log_path = os.path.join(folder, "log")
        env = dict(os.environ, OLLAMA_HOST=f"127.0.0.1:{self.port}", OLLAMA_DEBUG="1",
                   OLLAMA_MODELS=os.path.join(folder, "models"), OLLAMA_KEEP_ALIVE="-1")
        if threads:
            env["CHASKI_THREADS"] = str(threads)
        self.log = open(self.log_path, "w", encoding="utf-8")
        self.env = env
        self.process = subprocess.Popen([chaski, "serve"], env=env, stdout=self.log,
                                        stderr=self.log)
        for _ in range(200):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=1).read()
                return
            except OSError:
                time.sleep(0.05)
        sys.exit("the server does not answer")

    def ask(self, model, prompt, options):
        body = json.dumps({"model": model, "prompt": prompt, "stream": False, "options": options})
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/api/generate",
                                         body.encode())
        before = self.cpu_seconds()
        reply = json.load(urllib.request.urlopen(request, timeout=900))
        reply["cpu"] = self.cpu_seconds() - before
        return reply

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="utf-8") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def drafts(self):
        """(drafted, accepted) of the last request that drafted, from the debug log."""
        with open(self.log_path, encoding="utf-8") as f:
            found = re.findall(r"(\d+) drafted, (\d+) of these came", f.read())
        return tuple(map(int, found[-1])) if found else (0, 0)

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()


def cpu_name():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        for line in f:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def main():
    a = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    a.add_argument("model")
    a.add_argument("--rounds", type=int, default=5)
    a.add_argument("--tokens", type=int, default=256)
    a.add_argument("--threads", type=int, default=0)
    a.add_argument("--json")
    a.add_argument("--only", help="one prompt: edit, story or code")
    a.add_argument("--chaski", default="build/tools/chaski")
    args = a.parse_args()
    out = {"cpu": cpu_name(), "model": os.path.basename(args.model), "tokens": args.tokens,
           "threads": args.threads, "load": os.getloadavg()[0], "prompts": {}}
    with tempfile.TemporaryDirectory() as folder:
        server = Server(args.chaski, args.threads, folder)
        try:
            with open(os.path.join(folder, "Modelfile"), "w", encoding="utf-8") as f:
                f.write(f"FROM {os.path.abspath(args.model)}\n")
            subprocess.run([args.chaski, "create", "m", "-f", f.name], env=server.env, check=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            print(f"{out['cpu']}, load {out['load']:.1f}, {out['model']}")
            print(f"{'prompt':8}{'tokens':>8}{'off t/s':>10}{'on t/s':>10}{'ratio':>8}{'CPU':>8}"
                  f"{'drafted':>9}{'came':>7}")
            for name, (prompt, temperature) in PROMPTS.items():
                if args.only and name != args.only:
                    continue
                speed = {True: [], False: []}
                cpu = {True: [], False: []}
                for i in range(args.rounds):
                    texts = set()
                    for on in ((True, False), (False, True))[i % 2]:
                        options = {"seed": 7 + i, "temperature": temperature, "speculate": on,
                                   "num_predict": args.tokens}
                        prompt_only = server.ask("m", prompt, dict(options, num_predict=0))
                        r = server.ask("m", prompt, options)
                        texts.add((r["response"], r["eval_count"], r["done_reason"]))
                        speed[on].append(r["eval_count"] * 1e9 / r["eval_duration"])
                        cpu[on].append((r["cpu"] - prompt_only["cpu"]) / r["eval_count"])
                    if len(texts) != 1:
                        sys.exit(f"{name}: the answers differ")
                count = next(iter(texts))[1]
                on_s, off_s = statistics.median(speed[True]), statistics.median(speed[False])
                ratio_cpu = statistics.median(cpu[False]) / max(1e-9, statistics.median(cpu[True]))
                drafted, came = server.drafts()
                print(f"{name:8}{count:8}{off_s:10.1f}{on_s:10.1f}{on_s / off_s:8.2f}"
                      f"{ratio_cpu:8.2f}{drafted:9}{came:7}", flush=True)
                out["prompts"][name] = {"on": speed[True], "off": speed[False],
                                        "ratio": on_s / off_s, "cpu_ratio": ratio_cpu, "drafted": drafted, "came": came}
        finally:
            server.stop()
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump(out, f, indent=1)


if __name__ == "__main__":
    main()
