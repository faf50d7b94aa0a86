#!/usr/bin/env python3
"""benchmarks/serve.py BUILD [--model GGUF] [--json FILE] [--seconds S] [--only a,b] - the server's figures.

One command, one table: small calls a second (closed loop, 16 keep-alive connections), their times at
100 a second while a model generates, what HTTP and JSON cost beside a token, the time to the first
token beside one step of ten rows, eight streams beside one, and the gaps between tokens when a prompt
of 2 000 tokens arrives. Each with its bar. The client of the small calls is benchmarks/http_load.c;
streams are read by one thread here that only notes times.

Wall figures want a quiet machine. What a busy one still tells: CPU time of the server a request
(utime + stime of the process), and ratios, whose two sides are measured in turns in one run.
"""
import argparse
import json
import os
import pathlib
import platform
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROWS = []


def row(name, value, unit, bar=None, good=None, note=""):
    ROWS.append({"name": name, "value": value, "unit": unit, "bar": bar, "good": good, "note": note})
    mark = {True: "ok", False: "MISSED", None: ""}[good]
    print(f"  {name}: {value:.4g} {unit} {mark} {note}", file=sys.stderr, flush=True)


class Server:
    def __init__(self, program, store, log, **env):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.p = subprocess.Popen([program, "serve"], stderr=open(log, "wb"), stdout=subprocess.DEVNULL,
                                  env={**os.environ, "OLLAMA_MODELS": str(store),
                                       "OLLAMA_HOST": f"127.0.0.1:{self.port}", **env})
        for _ in range(400):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise SystemExit(f"{program} does not start, see {log}")

    def stop(self):
        self.p.terminate()
        self.p.wait(30)

    def cpu(self):
        """Seconds of CPU of all its threads, to the nanosecond (clock_getcpuclockid)."""
        return time.clock_gettime((~self.p.pid << 3) | 2)

    def loop_cpu(self):
        """Of the thread of the event loop, which is the first one."""
        where = pathlib.Path(f"/proc/{self.p.pid}/task/{self.p.pid}/schedstat")
        return int(where.read_text().split()[0]) * 1e-9

    def ask(self, path, body, method="POST"):
        import http.client
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        c.request(method, path, json.dumps(body) if not isinstance(body, bytes) else body)
        r = c.getresponse()
        text = r.read()
        c.close()
        if r.status not in (200, 201):
            raise SystemExit(f"{path}: {r.status} {text[:300]}")
        return json.loads(text) if text else None


class Streams:
    """Generations read together by one thread: when did each line come?"""

    def __init__(self, port):
        self.port, self.sel = port, selectors.DefaultSelector()

    def start(self, body, name):
        s = socket.create_connection(("127.0.0.1", self.port), 30)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        text = json.dumps(body).encode()
        stream = {"name": name, "times": [], "last": b"", "begun": time.perf_counter()}
        s.sendall(b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                  b"Content-Length: %d\r\n\r\n" % len(text) + text)
        self.sel.register(s, selectors.EVENT_READ, stream)
        return stream

    def run(self, when=None):
        """Until all have ended; `when(self, n_lines)` may start more."""
        n = 0
        while self.sel.get_map():
            for key, _ in self.sel.select(60):
                data = key.fileobj.recv(65536)
                now = time.perf_counter()
                stream = key.data
                if not data:
                    self.sel.unregister(key.fileobj)
                    key.fileobj.close()
                    continue
                lines = data.count(b'"response":"')
                stream["times"] += [now] * lines
                stream["last"] = (stream["last"] + data)[-4096:]
                n += lines
            if when:
                when(self, n)


def final(stream):
    line = next(x for x in reversed(stream["last"].split(b"\n")) if b'"done":true' in x)
    return json.loads(line[line.index(b"{"):])


# ---- the figures ----------------------------------------------------------------------------


def small_calls(build, server, seconds):
    for path in ["/api/version", "/api/tags", "/api/ps", "/health"]:
        best, least = None, None
        for _ in range(4):
            before = server.cpu()
            out = json.loads(subprocess.run(
                [f"{build}/benchmarks/http_load", str(server.port), path, "-c", "16", "-s", str(seconds)],
                capture_output=True, check=True).stdout)
            cost = (server.cpu() - before) / out["requests"] * 1e6
            assert not out["bad"], out
            best = out if not best or out["per_second"] > best["per_second"] else best
            least = min(cost, least or cost)
        client = best["client_cpu_s"] / best["requests"] * 1e6
        row(f"{path}, 16 connections", best["per_second"], "requests/s", ">= 20000",
            best["per_second"] >= 20000,
            f"server {least:.1f} us, client {client:.1f} us of CPU a request, p99 {best['p99_ms']:.2f} ms")


def calls_beside_generation(build, server, seconds):
    stop = threading.Event()

    def generate():
        i = 0
        while not stop.is_set():
            i += 1
            server.ask("/api/generate", {"model": "m", "prompt": f"Story {i}:", "raw": True, "stream": False,
                                         "options": {"num_predict": 100, "temperature": 0}})

    t = threading.Thread(target=generate)
    t.start()
    time.sleep(0.5)
    for path in ["/api/version", "/api/tags"]:
        outs = [json.loads(subprocess.run(
            [f"{build}/benchmarks/http_load", str(server.port), path, "-c", "4", "-r", "100",
             "-s", str(max(3, 2 * seconds))], capture_output=True, check=True).stdout) for _ in range(3)]
        best = min(outs, key=lambda o: o["p99_ms"])
        row(f"{path} at 100/s while a model generates, p99", best["p99_ms"], "ms", "<= 2",
            best["p99_ms"] <= 2, f"median {best['p50_ms']:.2f} ms; p99 of the {len(outs)} windows "
            + ", ".join(f"{o['p99_ms']:.2f} (the server's part {o['server_p99_ms']:.2f})" for o in outs))
    stop.set()
    t.join()


def http_and_json(build, server, folder, model_ms):
    """CPU of a word that costs nothing to make: the engine that says words (tests/fake_engine.c)."""
    fake = Server(f"{build}/tests/chaski-fake", folder / "fake-store", folder / "fake.log",
                  CHASKI_LOG="warn")
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/api"))
    from conftest import forge_gguf
    import hashlib
    data = forge_gguf()
    name = "sha256:" + hashlib.sha256(data).hexdigest()
    fake.ask("/api/blobs/" + name, data)
    fake.ask("/api/create", {"model": "m", "files": {"a.gguf": name}, "stream": False})
    least = None
    for _ in range(5):
        before = fake.cpu()
        s = Streams(fake.port)
        n = 20000
        one = s.start({"model": "m", "prompt": f"fake:words={n} fake:delay=0", "options": {"num_predict": n}}, "one")
        s.run()
        cost = (fake.cpu() - before) / n * 1e3
        assert final(one)["eval_count"] == n
        least = min(cost, least or cost)
    fake.stop()
    share = least / model_ms * 100
    row("the lines of a streamed token (printed and sent, many at a time), of SmolLM2's token", share, "%", "<= 2", share <= 2,
        f"{least * 1e3:.1f} us of CPU against {model_ms:.2f} ms")
    # A token at a time, the loop wakes for each: its own thread, beside a model that generates.
    before, n = server.loop_cpu(), 0
    s = Streams(server.port)
    for i in range(4):
        s.start({"model": "m", "prompt": f"Tale {i}:", "raw": True, "options": {
            "num_predict": 256, "temperature": 0, "stop": []}}, i)
    streams = [key.data for key in s.sel.get_map().values()]
    s.run()
    n = sum(final(x)["eval_count"] for x in streams)
    loop = (server.loop_cpu() - before) / n * 1e3
    row("the loop thread's CPU a token, of SmolLM2's token", loop / model_ms * 100, "%", "<= 2",
        loop / model_ms * 100 <= 2, f"{loop * 1e3:.1f} us")


def first_token(build, server, model, threads):
    words = server.ask("/api/tokenize", {"model": "m", "content": "One two three four five six seven eight nine ten"})["tokens"]
    text = server.ask("/api/detokenize", {"model": "m", "tokens": words[:9]})["content"]
    times, steps = [], []
    for i in range(24):
        prompt = f"{i % 10}{text}"  # another beginning each time: nothing cached
        n = len(server.ask("/api/tokenize", {"model": "m", "content": prompt})["tokens"])
        s = Streams(server.port)
        one = s.start({"model": "m", "prompt": prompt, "raw": True,
                       "options": {"num_predict": 1, "temperature": 0}}, i)
        s.run()
        times.append((one["times"][0] - one["begun"]) * 1e3)
        assert n == 10, n
        if i % 4 == 3:  # in turns
            p = subprocess.run([f"{build}/tools/chaski", "bench", "-m", model, "-p", "10", "-n", "0",
                                "-t", str(threads), "-r", "5", "-o", "json"], capture_output=True, text=True)
            rows = [r for r in json.loads(p.stdout) if r["n_prompt"] == 10]
            steps.append(10 / max(rows[0]["samples_ts"]) * 1e3)
    a, b = min(times), min(steps)
    row("first token of 10 tokens, beside a step of 10 rows", a / b, "x", "<= 1.5", a / b <= 1.5,
        f"{a:.2f} ms against {b:.2f} ms (medians {statistics.median(times):.2f}, {statistics.median(steps):.2f})")


def together(server, n, tokens=128):
    s = Streams(server.port)
    streams = [s.start({"model": "m", "prompt": f"Chapter {i}: It was", "raw": True, "options": {
        "num_predict": tokens, "temperature": 0.8, "seed": i + 1}}, i) for i in range(n)]
    s.run()
    begun = min(x["times"][0] for x in streams)
    ended = max(x["times"][-1] for x in streams)
    return sum(final(x)["eval_count"] for x in streams) / (ended - begun)


def eight_streams(server):
    ones, eights, cost = [], [], {}
    for _ in range(4):
        for n, rates in ((1, ones), (8, eights)):
            before = server.cpu()
            rates.append(together(server, n))
            took = (server.cpu() - before) / (128 * n) * 1e3
            cost[n] = min(took, cost.get(n, took))
    ratio = max(eights) / max(ones)
    row("8 streams beside one, tokens/s together", ratio, "x", ">= 3", ratio >= 3,
        f"{max(eights):.0f} against {max(ones):.0f}; CPU a token {cost[8]:.2f} against {cost[1]:.2f} ms")
    return 1e3 / max(ones)


def gaps(server):
    best = None
    for turn in range(3):
        s, started = Streams(server.port), []
        streams = [s.start({"model": "m", "prompt": f"Verse {turn} {i}: It was", "raw": True, "options": {
            "num_predict": 200, "temperature": 0.8, "seed": i + 1}}, i) for i in range(8)]
        long = (f"{turn} of many words and no end " * 250)

        def when(s, n):
            if n >= 400 and not started:
                started.append(s.start({"model": "m", "prompt": long, "raw": True, "options": {
                    "num_predict": 1, "num_ctx": 8192}}, "long"))

        s.run(when)
        n_prompt = final(started[0])["prompt_eval_count"]
        all_gaps = sorted(b - a for x in streams for a, b in zip(x["times"], x["times"][1:]))
        p50, p95 = all_gaps[len(all_gaps) // 2], all_gaps[len(all_gaps) * 95 // 100]
        worst = all_gaps[-1]
        if not best or p95 / p50 < best[0]:
            best = (p95 / p50, p50 * 1e3, p95 * 1e3, worst * 1e3, n_prompt)
    row("8 streams and a prompt of 2000 tokens: p95 of the gap beside the median", best[0], "x", "<= 3",
        best[0] <= 3, f"median {best[1]:.1f} ms, p95 {best[2]:.1f} ms, largest {best[3]:.1f} ms, "
        f"prompt of {best[4]} tokens")


def main():
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("build")
    a.add_argument("--model", default=str(pathlib.Path.home() / ".cache/chaski/models/SmolLM2-135M-Instruct.Q4_1.gguf"))
    a.add_argument("--json")
    a.add_argument("--seconds", type=float, default=2)
    a.add_argument("--only", default="small,beside,eight,http,first,gaps")
    a = a.parse_args()
    only = set(a.only.split(","))
    threads = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        server = Server(f"{a.build}/tools/chaski", folder / "store", folder / "log", OLLAMA_KEEP_ALIVE="-1")
        try:
            (folder / "Modelfile").write_text(f"FROM {os.path.abspath(a.model)}\n")
            subprocess.run([f"{a.build}/tools/chaski", "create", "m", "-f", folder / "Modelfile"], check=True,
                           capture_output=True, env={**os.environ, "OLLAMA_HOST": f"127.0.0.1:{server.port}"})
            for i in range(4):
                server.ask("/api/copy", {"source": "m", "destination": f"copy{i}"})
            if "small" in only:
                small_calls(a.build, server, a.seconds)
            server.ask("/api/generate", {"model": "m"})
            if "beside" in only:
                calls_beside_generation(a.build, server, a.seconds)
            token_ms = eight_streams(server) if only & {"eight", "http"} else None
            if "http" in only:
                http_and_json(a.build, server, folder, token_ms)
            if "first" in only:
                first_token(a.build, server, a.model, threads)
            if "gaps" in only:
                gaps(server)
        finally:
            server.stop()
    cpu = next((x.partition(":")[2].strip() for x in open("/proc/cpuinfo") if x.startswith("model name")),
               platform.machine())
    print(f"\n{cpu}, {threads} threads, {pathlib.Path(a.model).name}; load {os.getloadavg()[0]:.1f}\n")
    print("| what | value | bar | | |\n|---|---|---|---|---|")
    for r in ROWS:
        print(f"| {r['name']} | {r['value']:.4g} {r['unit']} | {r['bar'] or ''} | "
              f"{ {True: 'ok', False: 'missed', None: ''}[r['good']]} | {r['note']} |")
    if a.json:
        pathlib.Path(a.json).write_text(json.dumps({
            "cpu": cpu, "threads": threads, "model": pathlib.Path(a.model).name,
            "load": os.getloadavg(), "rows": ROWS}, indent=1) + "\n")


if __name__ == "__main__":
    main()
