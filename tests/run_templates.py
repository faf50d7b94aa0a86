#!/usr/bin/env python3
"""tests/run_templates.py - every case of the template data against check_template.

    run_templates.py PATH/check_template [--only REGEX] [--strict] [--show N]

The cases of tests/data/go-templates.jsonl, made at random and rendered by Go's own text/template,
and those of the shared data. One process renders all of them. What is not there (the data, a fetched template, a model file) is
named and left out. Beside the text, each render's trusted spans are checked: sorted, apart,
inside the text. Ends with "N passed, N failed". Exit status 1 if a case failed. --strict
compares the words of all errors and counts the cases in which a friendlier renderer may give text.
"""
import argparse
import json
import lzma
import os
import re
import struct
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def cases(folder):
    with open(os.path.join(ROOT, "tests", "data", "go-templates.jsonl"), encoding="ascii") as f:
        yield from map(json.loads, f)
    for name in ("jinja-lang", "jinja-chat", "go-lang", "go-chat"):
        if not os.path.exists(os.path.join(folder, name + ".jsonl.xz")):
            print("skipped: no cases at %s" % os.path.join(folder, name))
            continue
        with lzma.open(os.path.join(folder, name + ".jsonl.xz"), "rt", encoding="ascii", newline="\n") as f:
            head = json.loads(next(f))
            for line in f:
                case = json.loads(line)
                given = dict(head["inputs"][case["input_ref"]])
                given.update((k, case[k]) for k in ("bos_token", "eos_token") if k in case)
                given["$now"] = head["now"]
                case["input"] = given
                yield case


def gguf_template(path):
    """tokenizer.chat_template of a GGUF file, or None. Only as much of a reader as that needs."""
    sizes = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
    with open(path, "rb") as f:
        number = lambda n, kind: struct.unpack("<" + kind, f.read(n))[0]
        text = lambda: f.read(number(8, "Q"))
        _magic, _version, _tensors, keys = struct.unpack("<4sIQQ", f.read(24))
        for _ in range(keys):
            key, kind = text(), number(4, "I")
            if kind == 8:
                value = text()
                if key == b"tokenizer.chat_template":
                    return value.decode("utf-8")
            elif kind == 9:
                inner, n = number(4, "I"), number(8, "Q")
                if inner == 8:
                    for _ in range(n):
                        f.seek(number(8, "Q"), 1)
                else:
                    f.seek(n * sizes[inner], 1)
            else:
                f.seek(sizes[kind], 1)
    return None


class Sources:
    def __init__(self, cache, data):
        self.cache, self.data, self.known = cache, data, {}

    def get(self, case):
        if "template" in case:
            return case["template"]
        rel = case["template_file"]
        if rel not in self.known:
            path = os.path.join(self.data if rel.startswith("go/") else self.cache, rel)
            if not os.path.exists(path):
                self.known[rel] = None
            elif rel.endswith(".gguf"):
                self.known[rel] = gguf_template(path)
            else:
                with open(path, encoding="utf-8", newline="") as f:
                    self.known[rel] = f.read()
        return self.known[rel]


def judge(case, got, strict):
    """-> "" or what is wrong"""
    if "text" in got:
        end, n = 0, len(got["text"].encode("utf-8"))
        for k, (a, b) in enumerate(got["trusted"]):
            if not (a < b <= n and (a > end or (k == 0 and a == 0))):
                return "trusted spans out of order: %r" % got["trusted"]
            end = b
    if "expect" in case:
        return "" if got.get("text") == case["expect"] else "want %r\n got  %r" % (
            case["expect"], got.get("text", "error: " + got.get("error", "")))
    error = case["error"]
    if error["kind"] in ("security", "template") and not strict:
        other = case.get("expect_if_mutable")
        return "" if "error" in got or other is None or got["text"] == other else \
            "want an error or %r\n got  %r" % (other, got["text"])
    if "text" in got:
        return "want an error (%s: %s)\n got  %r" % (error["kind"], error["message"], got["text"])
    # Python puts the class of its exception in front; the words are compared without it.
    message = re.sub(r"^[A-Z][A-Za-z]*Error: ", "", error["message"])
    if (error["kind"] == "raise" or strict or case["lang"] == "go") and message not in got["error"]:
        return "want error %r\n got  %r" % (error["message"], got["error"])
    return ""


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("program")
    ap.add_argument("--data", default=os.path.join(ROOT, "..", "shared", "data", "templates"))
    ap.add_argument("--cache", default=os.path.expanduser(os.environ.get("CHASKI_CACHE") or "~/.cache/chaski"))
    ap.add_argument("--only")
    ap.add_argument("--strict", action="store_true")
    ap.add_argument("--show", type=int, default=10)
    args = ap.parse_args()
    sources, todo, skipped = Sources(args.cache, args.data), [], {}
    for case in cases(args.data):
        if args.only and not re.search(args.only, case["id"]):
            continue
        source = sources.get(case)
        if source is None:
            skipped[case["template_file"]] = skipped.get(case["template_file"], 0) + 1
        else:
            todo.append((case, source))
    last, requests = None, []
    for case, source in todo:
        ask = {"lang": case["lang"], "input": case["input"]}
        if (case["lang"], source) != last:
            ask["template"], last = source, (case["lang"], source)
        requests.append(json.dumps(ask))
    p = subprocess.run([args.program], input="\n".join(requests) + "\n", capture_output=True, text=True)
    answers = p.stdout.split("\n")
    passed = failed = 0
    if p.returncode or len(answers) < len(todo):
        print("the checker ended with status %d after %d answers\n%s" % (p.returncode, len(answers) - 1, p.stderr))
        if len(answers) <= len(todo):
            print("at", todo[len(answers) - 1][0]["id"])
        failed += 1
    for (case, _), line in zip(todo, answers):
        if not line:
            break
        note = judge(case, json.loads(line), args.strict)
        passed, failed = passed + (not note), failed + bool(note)
        if note:
            print("FAIL", case["id"])
            if failed <= args.show:
                print("  " + note.replace("\n", "\n  "))
    for name, n in sorted(skipped.items()):
        print("skipped %d: not fetched: %s" % (n, name))
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
