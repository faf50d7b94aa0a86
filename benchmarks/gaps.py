#!/usr/bin/env python3
"""Gaps between tokens of running streams while a long prompt arrives.

    gaps.py [--streams 8] [--tokens 2000] [--rounds 3] [--threads N] [--json OUT.json]
            [--cpu] [--chaski build/tools/chaski] MODEL.gguf

Starts a server of its own and `streams` generations without end. When all of them run, a prompt of
about `tokens` tokens arrives, new in every round. A gap is the time between two pieces of one
stream. Printed are the median of the gaps without the prompt (plain), and median and 95th
percentile of those from its sending to its first token (during), as multiples of the plain median,
beside how long the prompt took. On a machine with other work the gaps are theirs too: with --cpu
the server has one thread and its clocks are its own CPU time (a library that is put in front of
clock_gettime), and the times are those that the pieces carry.
"""
import argparse
import calendar
import http.client
import json
import os
import statistics
import subprocess
import tempfile
import threading
import time

from prefix import text
from speculation import Server, cpu_name


CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
int clock_gettime(clockid_t id, struct timespec *t)
{
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    if (id != CLOCK_MONOTONIC && id != CLOCK_REALTIME)
        return real(id, t);
    const int rc = real(CLOCK_PROCESS_CPUTIME_ID, t);
    t->tv_sec += 1000000;
    return rc;
}
"""


def cpu_clock(folder):
    source, lib = os.path.join(folder, "clock.c"), os.path.join(folder, "clock.so")
    with open(source, "w", encoding="utf-8") as f:
        f.write(CLOCK)
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", lib, source, "-ldl"], check=True)
    os.environ["LD_PRELOAD"] = lib


def stamp(line):
    """Seconds of created_at: 1970-01-12T13:46:40.123456789Z."""
    at = line["created_at"]
    return calendar.timegm(time.strptime(at[:19], "%Y-%m-%dT%H:%M:%S")) + float("0" + at[19:-1])


class Stream(threading.Thread):
    """A generation; `times` are the moments at which its pieces came."""

    def __init__(self, port, prompt, n, n_ctx):
        super().__init__(daemon=True)
        self.port, self.times, self.n = port, [], n
        self.stop = self.ended = False
        self.body = json.dumps({"model": "m", "prompt": prompt, "raw": True, "options": {
            "num_predict": n, "temperature": 0.9, "seed": 1, "num_ctx": n_ctx, "speculate": False}})

    def run(self):
        while not self.stop:
            c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
            c.request("POST", "/api/generate", self.body)
            reply = c.getresponse()
            first = True
            while not self.stop:
                line = json.loads(reply.readline() or b'{"done":true}')
                if "created_at" in line:
                    self.times.append((stamp(line), first))
                first = False
                if line["done"]:
                    break
            c.close()
            self.stop |= self.n == 1


def gaps(streams, begin, end):
    out = []
    for s in streams:
        t = list(s.times)
        out += [b - a for (a, _), (b, first) in zip(t, t[1:])
                if not first and b > begin and a < end]
    return sorted(out)


def p95(values):
    return values[int(len(values) * 0.95)]


def main():
    a = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    a.add_argument("model")
    a.add_argument("--streams", type=int, default=8)
    a.add_argument("--tokens", type=int, default=2000)
    a.add_argument("--rounds", type=int, default=3)
    a.add_argument("--threads", type=int, default=0)
    a.add_argument("--plain", type=float, default=4, help="seconds without the prompt")
    a.add_argument("--cpu", action="store_true")
    a.add_argument("--json")
    a.add_argument("--chaski", default="build/tools/chaski")
    args = a.parse_args()
    n_ctx = args.tokens * 2
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        if args.cpu:
            args.threads = 1
            cpu_clock(folder)
        server = Server(args.chaski, args.threads, folder)
        try:
            with open(os.path.join(folder, "Modelfile"), "w", encoding="utf-8") as f:
                f.write(f"FROM {os.path.abspath(args.model)}\n")
            subprocess.run([args.chaski, "create", "m", "-f", f.name], env=server.env, check=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            streams = [Stream(server.port, f"Story number {i}: once", 4000, n_ctx)
                       for i in range(args.streams)]
            for s in streams:
                s.start()
            while any(len(s.times) < 10 for s in streams):
                time.sleep(0.05)
            for r in range(args.rounds):
                t0 = streams[0].times[-1][0]
                time.sleep(args.plain)
                t1 = streams[0].times[-1][0]
                one = Stream(server.port, text(args.tokens, 1000 + r), 1, n_ctx)
                one.start()
                one.join()
                t2 = one.times[0][0]
                plain, during = gaps(streams, t0, t1), gaps(streams, t1, t2)
                every = sorted(plain + during)
                m = statistics.median(plain)
                rounds.append({"plain_ms": 1e3 * m, "plain_p95": p95(plain) / m,
                               "during_median": statistics.median(during) / m,
                               "during_p95": p95(during) / m, "prompt_s": t2 - t1,
                               "all_p95_to_median": p95(every) / statistics.median(every)})
                print(" ".join(f"{k} {v:.2f}" for k, v in rounds[-1].items()), flush=True)
            for s in streams:
                s.stop = True
        finally:
            server.stop()
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump({"cpu": cpu_name(), "model": os.path.basename(args.model),
                       "streams": args.streams, "tokens": args.tokens, "threads": args.threads,
                       "load": os.getloadavg()[0], "rounds": rounds}, f, indent=1)


if __name__ == "__main__":
    main()
