#!/usr/bin/env python3
"""Real models against an independent engine's F32 run (tests/data/models, benchmarks/make_golden.py).

    run_golden.py CHASKI

For each model in the cache (CHASKI_CACHE or ~/.cache/chaski, folder models):
  the ids of the text are the reference's;
  the best token is the same at 97 % or more of the positions where the reference leads by 0.25 or more;
  free-running greedy text is the reference's until a near-tie (a lead under 0.25);
  the peak of resident memory while loading is at most 1.25 times the file plus 64 MB, scratch of the
  step included.
Models that are not there are named. Last line: N passed, N failed.
"""
import array
import glob
import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
passed = failed = skipped = 0


def check(good, what):
    global passed, failed
    if good:
        passed += 1
    else:
        failed += 1
    print(("ok   " if good else "FAIL ") + what, flush=True)


def logits(chaski, model, ids, out):
    """Run `chaski logits`; its peak resident bytes."""
    cmd = [chaski, "logits", "-m", model, "--tokens", ids, "--out", out, "--batch", "64"]
    child = subprocess.Popen(cmd)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"FAIL {' '.join(cmd)}: status {status}")
    return usage.ru_maxrss * 1024


def memory(chaski, name, model):
    """Few tokens, so that the logits in memory are few. A child's peak counts what this process
    held when it was started: so this comes before anything large is read."""
    with tempfile.TemporaryDirectory() as d:
        f = os.path.join(d, "ids")
        with open(f, "wb") as h:
            array.array("i", [1, 2, 3, 4]).tofile(h)
        peak = logits(chaski, model, f, os.path.join(d, "out"))
    most = 1.25 * os.path.getsize(model) + (64 << 20)
    check(peak <= most, f"{name}: peak memory {peak >> 20} MiB of {int(most) >> 20}")


def best_tokens(path, n):
    a = array.array("f")
    with open(path, "rb") as f:
        a.frombytes(f.read())
    width = len(a) // n
    out = []
    for i in range(n):
        row = a[i * width:(i + 1) * width]
        out.append(row.index(max(row)))
    return out


def one(chaski, name, gold, model, d):
    ids = json.loads(subprocess.check_output([chaski, "tokenize", "-m", model, "--bos"],
                                             input=gold["text"].encode()))
    n_text, n = gold["n_text"], len(gold["ids"])
    check(ids[:n_text] == gold["ids"][:n_text], f"{name}: ids of the text")

    f, out = os.path.join(d, "ids"), os.path.join(d, "out")
    with open(f, "wb") as h:
        array.array("i", gold["ids"]).tofile(h)
    logits(chaski, model, f, out)
    best = best_tokens(out, n)
    clear = [i for i in range(n) if gold["lead"][i] >= 0.25]
    same = sum(best[i] == gold["best"][i] for i in clear)
    check(same >= 0.97 * len(clear), f"{name}: best token equal at {same} of {len(clear)} positions")

    # The reference's continuation is its own best tokens: ours is equal as long as ours are.
    at = n_text - 1
    while at < n - 1 and best[at] == gold["best"][at]:
        at += 1
    check(at == n - 1 or gold["lead"][at] < 0.25,
          f"{name}: greedy text equal for {at - n_text + 1} of {n - n_text} tokens")


def main():
    global skipped
    chaski = sys.argv[1]
    cache = os.path.expanduser(os.environ.get("CHASKI_CACHE") or "~/.cache/chaski")
    there = []
    for path in sorted(glob.glob(os.path.join(HERE, "data", "models", "*.json"))):
        with open(path) as f:
            gold = json.load(f)
        name = os.path.basename(path)[:-5]
        model = os.path.join(cache, "models", gold["file"])
        if os.path.exists(model):
            there.append((name, gold, model))
        else:
            skipped += 1
            print(f"skip {name}: {gold['file']} is not in {cache}/models")
    for name, _, model in there:
        memory(chaski, name, model)
    for name, gold, model in there:
        with tempfile.TemporaryDirectory() as d:
            one(chaski, name, gold, model, d)
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
