#!/usr/bin/env python3
"""benchmarks/cancel.py BUILD [MODEL.gguf ...] [--tries N] - what a client that leaves still costs.

For each model and each of four moments (waiting in the queue, loading, in the prompt, generating) a
client closes its connection, and the server's process is watched: CPU time from then on, a thread (two
threads that work for 10 ms are 10 ms), and what of it came after the first 50 ms. Beside them one
decode step of the model. In the queue nothing is computed: there the time is until /metrics no longer
counts the request, asked again and again beside a model that generates. The bar: 50 ms, or one decode
step where that is longer; in the queue, behind the step that runs. "Memory back" compares
RSS before the request with RSS after it: pages of the prefix cache that stay on purpose are off.

CPU time does not depend on what else the machine does, but a thread that waits for its turn ends
later: a busy machine moves time behind the first 50 ms and adds none.
"""
import argparse
import json
import os
import pathlib
import re
import socket
import subprocess
import tempfile
import time

from serve import Server


def send(port, body):
    s = socket.create_connection(("127.0.0.1", port), 30)
    text = json.dumps(body).encode()
    s.sendall(b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(text) + text)
    return s


def metric(server, name):
    import http.client
    c = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    c.request("GET", "/metrics")
    text = c.getresponse().read().decode()
    c.close()
    return sum(float(x) for x in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.M))


def rss(server):
    text = pathlib.Path(f"/proc/{server.p.pid}/smaps_rollup").read_text()
    return int(re.search(r"^Anonymous: +(\d+)", text, re.M)[1]) / 1024


def leave(server, s, threads):
    """Close, then ms of CPU a thread from now on: all, and behind the first 50 ms."""
    s.close()
    before, t0, at50 = server.cpu(), time.perf_counter(), None
    last, still = before, t0
    while time.perf_counter() - still < 0.3 and time.perf_counter() - t0 < 30:
        time.sleep(0.005)
        now = server.cpu()
        if at50 is None and time.perf_counter() - t0 >= 0.05:
            at50 = now
        if now - last > 0.0005: # the reading itself costs nothing there
            still = time.perf_counter()
        last = now
    return (last - before) * 1e3 / threads, (last - at50) * 1e3 / threads


def one_model(program, path, tries, threads, folder, cache):
    env = {"OLLAMA_NUM_PARALLEL": "1", "CHASKI_PREFIX_CACHE": "0", "CHASKI_PACK_CACHE": cache,
           "CHASKI_LOG": "warn"}
    server = Server(program, folder / "store", folder / "log", **env)
    turn, rows = 0, {}

    def body(**more):
        nonlocal turn
        turn += 1
        options = {"temperature": 0, "num_predict": 4000, "num_ctx": 8192, **more.pop("options", {})}
        return {"model": "m", "prompt": f"Tale {turn}:", "raw": True, "options": options, **more}

    def note(name, got, memory=None):
        a = rows.setdefault(name, {"all": [], "late": [], "memory": []})
        a["all"].append(got[0])
        a["late"].append(got[1])
        if memory is not None:
            a["memory"].append(memory)

    try:
        (folder / "Modelfile").write_text(f"FROM {os.path.abspath(path)}\n")
        subprocess.run([program, "create", "m", "-f", folder / "Modelfile"], check=True, capture_output=True,
                       env={**os.environ, "OLLAMA_HOST": f"127.0.0.1:{server.port}"})
        load = None
        for i in range(3):
            answer = server.ask("/api/generate", body(stream=False, options={"num_predict": 48}, keep_alive=0))
            while metric(server, "chaski_models_loaded"):
                time.sleep(0.01)
            load = min(load or 1e9, answer["load_duration"] * 1e-9)
        step = answer["eval_duration"] / answer["eval_count"] * 1e-6

        for i in range(tries): # loading
            before = rss(server)
            s = send(server.port, body())
            time.sleep(load * (i + 0.5) / tries * 0.9)
            got = leave(server, s, threads)
            if metric(server, "chaski_models_loaded"): # too late: it was generating
                server.ask("/api/generate", {"model": "m", "keep_alive": 0})
                time.sleep(0.5)
            else:
                note("loading", got, rss(server) - before)
        server.ask("/api/generate", body(stream=False, options={"num_predict": 8}))
        before = rss(server)
        for i in range(tries): # in the prompt
            words = f"{turn} of many words and no end " * 900
            s = send(server.port, body(prompt=words))
            time.sleep(0.15 + 0.1 * i / tries)
            note("in the prompt", leave(server, s, threads))
        for i in range(tries): # generating
            s = send(server.port, body())
            got = b""
            while got.count(b'"response"') < 5 + i:
                got += s.recv(65536)
            note("generating", leave(server, s, threads))
        for i in range(tries): # in the queue
            first = send(server.port, body())
            first.recv(10)
            s = send(server.port, body())
            while metric(server, "chaski_requests_waiting") < 1:
                time.sleep(0.002)
            s.close()
            t0 = time.perf_counter()
            while metric(server, "chaski_requests_waiting") >= 1:
                pass
            gone = (time.perf_counter() - t0) * 1e3
            note("in the queue", (gone, leave(server, first, threads)[1]))
        rows["generating"]["memory"].append(metric(server, "chaski_kv_pages_used"))
    finally:
        server.stop()
    return step, load, rows


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("build")
    a.add_argument("models", nargs="*", default=[
        str(pathlib.Path.home() / ".cache/chaski/models/SmolLM2-135M-Instruct.Q4_1.gguf")])
    a.add_argument("--tries", type=int, default=6)
    a = a.parse_args()
    threads = len(os.sched_getaffinity(0))
    print("| model | the client left | worst, ms a thread | of it behind 50 ms | bar, ms | | memory |")
    print("|---|---|---|---|---|---|---|")
    for path in a.models:
        for cached in False, True:
            with tempfile.TemporaryDirectory() as folder:
                folder = pathlib.Path(folder)
                step, load, rows = one_model(f"{a.build}/tools/chaski", path, a.tries, threads, folder,
                                             str(folder / "packed") if cached else "")
                for name, r in rows.items():
                    if cached and name != "loading":
                        continue # the same
                    bar = max(50, step) + (step if name == "in the queue" else 0)  # the running one's step
                    memory = ""
                    if name == "loading":
                        memory = f"{max(r['memory']):+.1f} MiB"
                    elif r["memory"]:
                        memory = f"{r['memory'][0]:.0f} pages"
                    print(f"| {pathlib.Path(path).stem} (step {step:.1f} ms, load {load * 1e3:.0f} ms) | {name}"
                          f"{', cached' if cached else ''} | {max(r['all']):.1f} | {max(r['late']):.1f} | {bar:.0f} | "
                          f"{'ok' if max(r['all']) <= bar else 'MISSED'} | {memory} |", flush=True)


if __name__ == "__main__":
    main()
