#!/usr/bin/env python3
"""benchmarks/structured.py CHASKI MODEL.gguf.. [-n 1000] - answers under random schemas, with real models.

1. N generations at temperature 1, split over the models: each must parse and validate (the PyPI package
   jsonschema judges), or end with done_reason "length". Four run at a time. What has no limit gets one
   (strings, lists, more properties), or small models write on for ever.
2. Tokens a second beside free text, in turns: under a schema that nobody asked for before (no mask is
   there), under the same one again, and with the option jump_forward.

Exit status 1 when an answer was wrong."""
import argparse
import concurrent.futures
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import jsonschema

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests"))
from schemas_random import random_schema  # noqa: E402

DRAFT = jsonschema.Draft202012Validator
LIST = {"type": "object", "required": ["items"], "properties": {"items": {
    "type": "array", "minItems": 40, "items": {
        "type": "object", "required": ["name", "n", "ok"], "additionalProperties": False,
        "properties": {"name": {"type": "string"}, "n": {"type": "integer"}, "ok": {"type": "boolean"}}}}}}


class Server:
    def __init__(self, chaski, store):
        with socket.create_server(("127.0.0.1", 0)) as s:
            self.host = "127.0.0.1:%d" % s.getsockname()[1]
        env = dict(os.environ, OLLAMA_HOST=self.host, OLLAMA_MODELS=store)
        self.p = subprocess.Popen([chaski, "serve"], env=env, stderr=subprocess.DEVNULL)
        self.env = env
        for _ in range(100):
            try:
                urllib.request.urlopen("http://%s/" % self.host).read()
                return
            except OSError:
                time.sleep(0.1)
        raise SystemExit("the server does not start")

    def generate(self, **body):
        body = json.dumps({"stream": False, "raw": True, **body}).encode()
        return json.load(urllib.request.urlopen(urllib.request.Request("http://%s/api/generate" % self.host, body)))


def bounded(s):
    if isinstance(s, dict):
        s = {k: v if k in ("enum", "const") else bounded(v) for k, v in s.items()}
        if s.get("type") == "string":
            s.setdefault("maxLength", 40)
        elif s.get("type") == "array":
            s.setdefault("maxItems", 4)
        elif s.get("type") == "object":
            s.setdefault("maxProperties", len(s.get("properties", {})) + 1)
    elif isinstance(s, list):
        s = [bounded(v) for v in s]
    return s


def judge(server, model, seed):
    """"good", "length", or what is wrong."""
    schema = bounded(random_schema(random.Random(seed)))
    a = server.generate(model=model, prompt="An example in JSON:\n", format=schema,
                        options={"temperature": 1, "seed": seed, "num_predict": 400})
    if a["done_reason"] == "length":
        return "length"
    try:
        DRAFT(schema, format_checker=DRAFT.FORMAT_CHECKER).validate(json.loads(a["response"]))
    except (ValueError, jsonschema.ValidationError) as e:
        return "%s seed %d: %.200s\n  %s\n  %.300s" % (model, seed, e, json.dumps(schema), a["response"])
    return "good"


def speeds(server, model, rounds):
    ways = ["free", "cold", "again", "jump"]
    best = dict.fromkeys(ways, 0.0)
    for seed in range(rounds):
        for name in ways:
            more = {} if name == "free" else {"format": dict(LIST, title="%s %s" % (model, seed))}
            options = {"temperature": 1, "seed": seed, "num_predict": 200, "speculate": False,
                       "jump_forward": name == "jump"}
            a = server.generate(model=model, prompt="A JSON list of things:\n", options=options, **more)
            if a["eval_count"] >= 100:  # a free answer may end early
                best[name] = max(best[name], a["eval_count"] / a["eval_duration"] * 1e9)
    return best


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("chaski")
    ap.add_argument("model", nargs="+")
    ap.add_argument("-n", type=int, default=1000)
    ap.add_argument("--rounds", type=int, default=5)
    a = ap.parse_args()
    counts, wrong = {"good": 0, "length": 0}, []
    with tempfile.TemporaryDirectory() as store:
        server = Server(os.path.abspath(a.chaski), store)
        try:
            for i, path in enumerate(a.model):
                with open(os.path.join(store, "Modelfile"), "w") as f:
                    f.write("FROM %s\n" % os.path.abspath(path))
                subprocess.run([a.chaski, "create", "m%d" % i, "-f", f.name], env=server.env, check=True,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                jobs = [pool.submit(judge, server, "m%d" % (s % len(a.model)), s) for s in range(a.n)]
                for job in jobs:
                    if job.result() in counts:
                        counts[job.result()] += 1
                    else:
                        wrong.append(job.result())
            print("\n".join(wrong[:20]))
            print("%d generations: %d valid, %d cut by num_predict, %d wrong"
                  % (a.n, counts["good"], counts["length"], len(wrong)))
            if not a.rounds:
                return len(wrong) > 0
            print("\n| model | free t/s | new schema | of free | the same again | of free | jump_forward | of free |\n"
                  "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
            for i, path in enumerate(a.model):
                v = speeds(server, "m%d" % i, a.rounds)
                print("| %s | %.1f |" % (os.path.basename(path), v["free"])
                      + "".join(" %.1f | %.2f |" % (v[w], v[w] / (v["free"] or 1)) for w in ("cold", "again", "jump")))
        finally:
            server.p.terminate()
            server.p.wait()
    return len(wrong) > 0


sys.exit(main())
