#!/usr/bin/env python3
"""tests/run_vocabs.py - every case of the shared tokenizer data against check_vocab.

    run_vocabs.py PATH/check_vocab [--only NAMES] [--verbose]

One process a vocabulary: ids in four modes, the detokenized text, the bytes of each token and
which tokens end a generation. Ends with "N passed, N failed". What is not there (the data, a
vocabulary file, a kind of tokenizer) is named and left out. Exit status 1 if a case failed.
"""
import argparse
import glob
import hashlib
import json
import lzma
import os
import struct
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def read(path):
    with lzma.open(path) as f:
        return json.loads(f.read())


def text_of(entry):
    return bytes.fromhex(entry["hex"]) if "hex" in entry else entry["text"].encode("utf-8")


def ask(program, path, requests):
    p = subprocess.run([program, path], input="\n".join(requests) + "\n", capture_output=True, text=True)
    if p.returncode == 2 and "is not supported" in p.stderr:
        return None
    if p.returncode:
        raise RuntimeError(p.stderr.strip())
    print("  " + p.stderr.strip())
    return p.stdout.split("\n")


def id_list(line):
    return [int(x) for x in line.split(",") if x.strip()]


def check(program, path, vocab, texts, fail):
    """-> (passed, failed), or None where the kind is not supported"""
    entries = [("text %d [%s]" % (e["n"], e["cls"]), text_of(e), c) for e, c in zip(texts, vocab["cases"])]
    entries += [("own %d" % n, text_of(c), c) for n, c in enumerate(vocab["own"])]
    before, after = vocab["frame"]["before"], vocab["frame"]["after"]
    requests, wants = ["b"], [("frame", [before, after], "frame")]
    for name, data, case in entries:
        # Where the two references differ, the ids that the models were trained with are right.
        plain = case.get("hf", case["ids"])
        special = case.get("special", plain)
        requests += ["t " + data.hex(), "s " + data.hex()]
        wants += [(name, plain, "ids"), (name + " --special", special, "ids")]
        for key, inner in (("bos", plain), ("special_bos", special)):
            if "hf" not in case and case.get(key, before + inner + after) != before + inner + after:
                fail("%s: %s is not the frame around the ids" % (name, key))
        ids = case.get("special", case["ids"])
        if ids:
            # The data's detokenized texts are those of the ids with special tokens parsed.
            requests.append("d " + ",".join(map(str, ids)))
            wants.append((name + " detok", case.get("detok", data.hex()), "hex"))
    n_tokens = vocab["info"]["n_tokens"]
    requests += ["p %d" % i for i in range(n_tokens)]
    answers = ask(program, path, requests)
    if answers is None:
        return None
    passed = failed = 0
    for (name, want, kind), line in zip(wants, answers):
        if kind == "frame":
            got = [id_list(x) for x in line.split("/")]
        else:
            got = id_list(line) if kind == "ids" else line
        if got == want:
            passed += 1
        else:
            failed += 1
            fail("%s\n    want %s\n    got  %s" % (name, str(want)[:300], str(got)[:300]))
    shown, plain, eog = hashlib.sha256(), hashlib.sha256(), set()
    for i, line in enumerate(answers[len(wants):len(wants) + n_tokens]):
        a, b, ends = line.split(" ")
        for digest, piece in ((shown, bytes.fromhex(a)), (plain, bytes.fromhex(b))):
            digest.update(struct.pack("<I", len(piece)) + piece)
        if ends == "1":
            eog.add(i)
    listed = {t["id"] for t in vocab["tokens"]}
    for name, got, want in (("pieces", shown.hexdigest(), vocab["pieces_sha256"]),
                            ("plain pieces", plain.hexdigest(), vocab["plain_pieces_sha256"]),
                            ("eog", eog & listed, {t["id"] for t in vocab["tokens"] if t.get("eog")})):
        if got == want:
            passed += 1
        else:
            failed += 1
            fail("%s: want %s, got %s" % (name, want, got))
    return passed, failed


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("program")
    ap.add_argument("--data", default=os.path.join(ROOT, "..", "shared", "data", "vocabs"))
    ap.add_argument("--cache", default=os.path.expanduser(os.environ.get("CHASKI_CACHE") or "~/.cache/chaski"))
    ap.add_argument("--only", default="")
    ap.add_argument("--verbose", action="store_true", help="all failures, not five a vocabulary")
    args = ap.parse_args()
    passed = failed = 0
    if not os.path.exists(os.path.join(args.data, "texts.json.xz")):
        print("skipped: no tokenizer data in", args.data)
    else:
        texts = read(os.path.join(args.data, "texts.json.xz"))["texts"]
        only = set(filter(None, args.only.split(",")))
        for name in sorted(glob.glob(os.path.join(args.data, "*.json.xz"))):
            vocab = None if name.endswith("texts.json.xz") else read(name)
            if not vocab or (only and vocab["vocab"] not in only):
                continue
            path = os.path.join(args.cache, vocab["file"])
            if not os.path.exists(path):
                print("%s: skipped, %s is not fetched" % (vocab["vocab"], vocab["file"]))
                continue
            said = []
            result = check(args.program, path, vocab, texts, said.append)
            if result is None:
                print("%s: skipped, kind \"%s\" is not supported" % (vocab["vocab"], vocab["model"]))
                continue
            for line in said if args.verbose else said[:5]:
                print("  FAIL", line)
            print("%s: %d passed, %d failed" % (vocab["vocab"], result[0], result[1]))
            passed, failed = passed + result[0], failed + result[1]
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
