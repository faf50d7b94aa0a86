"""benchmarks/load.py - from exec to the first token: a cold process, a warm page cache.

`chaski logits` on one token: the process starts, reads the header, builds the tokenizer, packs the
weights or maps them from CHASKI_PACK_CACHE (every chunk is checksummed), computes one token, writes
its logits and ends. Wall time and CPU time of all threads, from before the fork to after the exit.

    python3 benchmarks/load.py build/tools/chaski MODEL.gguf [--runs 15]

On a busy machine wall time says little: `chrt -f 10 python3 benchmarks/load.py ..` (as root) goes
before everybody else's work.
"""
import argparse
import os
import pathlib
import resource
import struct
import subprocess
import tempfile
import time


def once(chaski, model, tokens, cache):
    env = {k: v for k, v in os.environ.items() if k != "CHASKI_PACK_CACHE"}
    if cache:
        env["CHASKI_PACK_CACHE"] = str(cache)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    subprocess.run([chaski, "logits", "-m", model, "--tokens", str(tokens), "--out", "/dev/null"],
                   env=env, check=True)
    wall = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall * 1e3, cpu * 1e3


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("chaski")
    p.add_argument("model")
    p.add_argument("--runs", type=int, default=15)
    a = p.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as d:
        tokens, cache = pathlib.Path(d, "ids.i32"), pathlib.Path(d, "cache")
        tokens.write_bytes(struct.pack("<i", 5))
        once(a.chaski, a.model, tokens, cache)  # warms the page cache, writes the cache file
        ways = {"packed": None, "mapped": cache}
        times = {name: [] for name in ways}
        for _ in range(a.runs):
            for name, folder in ways.items():
                times[name].append(once(a.chaski, a.model, tokens, folder))
        print("| model | weights | wall ms: best, median | CPU ms: best, median |\n"
              "| --- | --- | ---: | ---: |")
        for name, rows in times.items():
            w, c = (sorted(x) for x in zip(*rows))
            print(f"| {os.path.basename(a.model)} | {name} | {w[0]:.0f}, {w[len(w) // 2]:.0f} | "
                  f"{c[0]:.0f}, {c[len(c) // 2]:.0f} |")


if __name__ == "__main__":
    main()
