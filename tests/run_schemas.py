#!/usr/bin/env python3
"""Constrained output, judged by others.

    tests/run_schemas.py CHASKI [--data DIR] [--samples N]

1. The cases of DIR (check_jsonschema.py beside its *.jsonl.xz): nothing may be wrong.
2. Random texts that `chaski accept` says may be produced, for the schemas of tests/data/schemas.jsonl (and
   of DIR): each must end, parse, and validate with the PyPI package jsonschema. A text that ran into a wall,
   where nothing may follow and it is no value yet, fails.
3. The texts that a line of schemas.jsonl names: `yes` may be produced, `no` may not.
Last line: N passed, N failed, N skipped.
"""
import argparse
import json
import lzma
import pathlib
import random
import subprocess
import sys

from schemas_random import random_schema

HERE = pathlib.Path(__file__).resolve().parent
LONGEST = 4096  # bytes of a sample; chaski stops there
REFUSED = 8  # percent of the schemas that may be refused: the suite has some that no value obeys


class Accept:
    def __init__(self, chaski):
        self.p = subprocess.Popen([chaski, "accept"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, **request):
        self.p.stdin.write(json.dumps(request).encode() + b"\n")
        self.p.stdin.flush()
        word, _, rest = self.p.stdout.readline().decode().strip().partition(":")
        if not word:
            raise SystemExit("chaski accept died on %s" % json.dumps(request)[:500])
        return word, rest.strip()


def schemas(folder):
    for line in open(HERE / "data/schemas.jsonl", encoding="utf-8"):
        yield json.loads(line)
    for name in ("real", "suite") if folder else ():
        with lzma.open(folder / (name + ".jsonl.xz"), "rt", encoding="ascii") as f:
            next(f)
            for line in f:
                case = json.loads(line)
                yield {"id": case["id"], "draft": case["draft"], "schema": case["schema"]}


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("chaski")
    ap.add_argument("--data", type=pathlib.Path)
    ap.add_argument("--samples", type=int, default=8)
    ap.add_argument("--random", type=int, default=150, help="random schemas")
    a = ap.parse_args()
    passed = failed = skipped = 0
    if a.data and not a.data.is_dir():
        print("no cases at %s: skipped" % a.data)
        skipped += 1
        a.data = None
    if a.data:
        rc = subprocess.run([sys.executable, a.data / "check_jsonschema.py", "--accept", a.chaski + " accept"],
                            stdout=subprocess.PIPE, text=True)
        print("\n".join(rc.stdout.splitlines()[-6:]))
        passed, failed = passed + (rc.returncode == 0), failed + (rc.returncode != 0)
    try:
        import jsonschema
    except ImportError:
        print("no package jsonschema: random texts skipped")
        print("%d passed, %d failed, %d skipped" % (passed, failed, skipped + 1))
        return failed != 0
    accept, refused = Accept(a.chaski), 0
    r = random.Random(11)
    cases = list(schemas(a.data)) + [{"id": "random/%d" % i, "draft": "2020-12", "schema": random_schema(r)}
                                     for i in range(a.random)]
    for case in cases:
        kind = jsonschema.Draft7Validator if case["draft"] == "draft-07" else jsonschema.Draft202012Validator
        for text, right in [(t, "accept") for t in case.get("yes", ())] + [(t, "reject") for t in case.get("no", ())]:
            word, rest = accept.ask(schema=case["schema"], text=text)
            passed, failed = passed + (word == right), failed + (word != right)
            if word != right:
                print("FAIL %s: %s %s for %s" % (case["id"], word, rest, text))
        if "\\\\p{" in json.dumps(case["schema"]) or "\\\\P{" in json.dumps(case["schema"]):
            skipped += 1  # Python's patterns have no \p{..}: the judge cannot read it
            continue
        judge = kind(case["schema"], format_checker=kind.FORMAT_CHECKER)
        for seed in range(a.samples):
            word, rest = accept.ask(schema=case["schema"], sample=seed)
            if word == "refused":
                if not case["id"].startswith("suite/"):
                    print("FAIL %s: refused: %s" % (case["id"], rest))
                    failed += 1
                refused += 1
                break
            text = json.loads(rest)
            if len(text.encode()) >= LONGEST:
                skipped += 1  # still going on: says nothing
                continue
            try:
                value = json.loads(text)
                why = next((e.message for e in judge.iter_errors(value)), None)
            except ValueError as e:
                why = "no JSON: %s" % e
            if why is None and accept.ask(schema=case["schema"], text=text)[0] != "accept":
                why = "made, but not accepted"
            if why:
                print("FAIL %s: seed %d: %s: %.300s" % (case["id"], seed, why, text))
                failed += 1
            else:
                passed += 1
    if refused * 100 > REFUSED * len(cases):
        print("FAIL %d of %d schemas refused" % (refused, len(cases)))
        failed += 1
    print("%d of %d schemas refused; skipped: samples still going on at %d bytes, patterns with \\p{..}"
          % (refused, len(cases), LONGEST))
    print("%d passed, %d failed, %d skipped" % (passed, failed, skipped))
    return failed != 0


sys.exit(main())
