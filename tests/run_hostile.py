#!/usr/bin/env python3
"""tests/run_hostile.py BUILD [--asan] [--all] [--only WORD] [--no-server] [--keep FOLDER]

Some hundreds of wrong GGUF files (tests/hostile_files.py) through `chaski inspect`, `logits`,
`tokenize`, `bench`, and through the server: each gives one clear line and exit 1, or a right
answer; no signal, under 10 s, under 1 GiB. The server answers each with JSON and a fitting status,
goes on answering, and a good model says the same at the end as at the start.

--all runs every case (some thousands, half an hour); without it every few-th, the same ones in
every run. --keep writes the files that failed into FOLDER. Last line: N passed, N failed.
"""
import argparse
import concurrent.futures
import hashlib
import http.client
import json
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import hostile_files  # noqa: E402

GIB = 1 << 30
JINJA = ("{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}"
         "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")


def command(args, folder, limit_s, stdin=b""):
    """(status, stderr, seconds, peak bytes); status is negative for a signal."""
    with tempfile.TemporaryFile(dir=folder) as given:
        given.write(stdin)
        given.seek(0)
        t0 = time.monotonic()
        p = subprocess.Popen(args, stdin=given, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        late = threading.Timer(limit_s, p.kill)
        late.start()
        err = p.stderr.read()
        _, status, usage = os.wait4(p.pid, 0)
        late.cancel()
        p.stderr.close()
        p.returncode = os.waitstatus_to_exitcode(status)
        return p.returncode, err, time.monotonic() - t0, usage.ru_maxrss * 1024


def complaint(what, got, limit_s, asan):
    """What is wrong with an outcome, or None."""
    status, err, seconds, peak = got
    if b"Sanitizer" in err or b"runtime error" in err:
        return f"{what}: " + err.decode(errors="replace")[:3000]
    if seconds > limit_s:
        return f"{what}: {seconds:.1f} s"
    if status < 0:
        return f"{what}: signal {-status}"
    if status > 1:
        return f"{what}: exit {status}"
    if peak > GIB and not asan:
        return f"{what}: {peak >> 20} MiB"
    # Log lines begin with a time; the error is the one line that begins with its word.
    lines = [x for x in err.split(b"\n")[:-1] if not re.match(rb"\d{4}-\d\d-\d\dT\S+Z ", x)]
    if status == 1 and (len(lines) != 1 or not lines[0].startswith(b"Error: ")
                        or len(lines[0]) < 12):
        return f"{what}: exit 1 with {err[:300]!r}"
    if not err.isascii():
        try:
            err.decode()
        except UnicodeDecodeError:
            return f"{what}: an error that is no UTF-8: {err[:200]!r}"
    if re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", err):
        return f"{what}: control characters in {err[:200]!r}"
    return None


class Files:
    """The command line on each case."""

    def __init__(self, build, asan, folder):
        self.chaski, self.asan, self.folder = str(build / "tools/chaski"), asan, folder
        self.limit_s = 60 if asan else 10
        self.ids = {}
        for what, ids in (("few", [0, 1, 0, 1, 2, 5, 1, 0]), ("out", [1, 320]), ("minus", [1, -1]),
                          ("far", [2147483647]), ("least", [-2147483648])):
            self.ids[what] = pathlib.Path(folder) / f"{what}.i32"
            self.ids[what].write_bytes(struct.pack(f"<{len(ids)}i", *ids))

    def run(self, case):
        name, make, want = case
        data = make()
        tag = hashlib.sha256(name.encode()).hexdigest()[:16]
        here = pathlib.Path(tempfile.mkdtemp(dir=self.folder))
        path, out = here / "m.gguf", here / "m.f32"
        path.write_bytes(data)
        turn = int(tag, 16)
        wrong = list(self.ids)[1 + turn % 4]
        runs = [
            ("inspect", ["inspect", path] + (["--json"] if turn % 3 == 0 else [])),
            ("logits",
             ["logits", "-m", path, "--tokens", self.ids["few"], "--out", out, "--threads", "2"]),
            ("logits of wrong ids",
             ["logits", "-m", path, "--tokens", self.ids[wrong], "--out", out, "--threads", "1"]),
            ("tokenize", ["tokenize", "-m", path] + (["--special", "--bos"] if turn % 2 else [])),
            ("bench", ["bench", "-m", path, "-p", "8", "-n", "2", "-r", "1", "-t", "2",
                       "--limits=false"])
        ]
        bad = []
        for what, args in runs:
            got = command([self.chaski, *map(str, args)], self.folder, self.limit_s,
                          "The \u00fc\U0001f600 <|im_start|> a\x00b  in\n".encode() +
                          b"\xff\xc3" * 9)
            c = complaint(what, got, self.limit_s, self.asan)
            if c:
                bad.append(c)
            elif what == "logits" and want == "ok" and got[
                    0] != 0 and b"outside the vocabulary" not in got[1]:
                bad.append(f"a right file is refused: {got[1][:200]!r}")
            elif what == "logits" and want not in (None, "ok",
                                                   "nan") and (got[0] != 1
                                                               or want.encode() not in got[1]):
                bad.append(f"{want!r} is not named: exit {got[0]}, {got[1][:200]!r}")
            elif what == "logits of wrong ids" and want == "ok" and got[0] != 1 and wrong != "out":
                bad.append("a token id outside the vocabulary is taken")
        shutil.rmtree(here)
        return name, data, bad


class Server:

    def __init__(self, build, asan, folder):
        self.asan = asan
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.log = open(pathlib.Path(folder) / "server.log", "w+b")
        suppress = pathlib.Path(__file__).resolve().parent / "api/lsan.supp"
        env = {
            **os.environ, "OLLAMA_HOST": f"127.0.0.1:{self.port}",
            "OLLAMA_MODELS": str(pathlib.Path(folder) / "store"),
            "LSAN_OPTIONS": f"suppressions={suppress}:print_suppressions=0"
        }
        self.process = subprocess.Popen([str(build / "tools/chaski"), "serve"],
                                        env=env,
                                        stdout=subprocess.DEVNULL,
                                        stderr=self.log)
        for _ in range(400):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise SystemExit("the server does not start")

    def ask(self, method, path, body=None, limit_s=None):
        c = http.client.HTTPConnection("127.0.0.1",
                                       self.port,
                                       timeout=limit_s or (60 if self.asan else 10))
        try:
            c.request(method, path, body if isinstance(body,
                                                       (bytes, type(None))) else json.dumps(body))
            r = c.getresponse()
            return r.status, r.read()
        finally:
            c.close()

    def peak(self):
        """Memory now and at most, open files, threads."""
        here = pathlib.Path(f"/proc/{self.process.pid}")
        status = (here / "status").read_text()
        memory = {k: int(re.search(k + r":\s+(\d+)", status)[1]) * 1024 for k in ("VmRSS", "VmHWM")}
        return {**memory, "files": len(os.listdir(here / "fd")),
                "threads": int(re.search(r"Threads:\s+(\d+)", status)[1])}

    def ask_json(self, what, bad, allowed, *args, **more):
        """The parsed answer; what is wrong with it goes to `bad`."""
        try:
            status, body = self.ask(*args, **more)
        except (OSError, http.client.HTTPException) as e:
            bad.append(f"{what}: {e!r}")
            return 0, None
        if status not in allowed:
            bad.append(f"{what}: status {status}: {body[:300]!r}")
        try:
            v = json.loads(body)
        except ValueError:
            bad.append(f"{what}: {body[:200]!r} is not JSON")
            return status, None
        if status != 200 and (list(v) != ["error"] or len(v["error"]) < 5):
            bad.append(f"{what}: {body[:300]!r} is no error object")
        return status, v

    def good_answer(self):
        return self.ask(
            "POST", "/api/generate", {
                "model": "good", "prompt": "the an", "stream": False,
                "options": {"temperature": 0, "num_predict": 12}
            })

    def start(self, data):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        self.ask("POST", "/api/blobs/" + digest, data)
        self.ask("POST", "/api/create",
                 {"model": "good", "files": {"g.gguf": digest}, "stream": False})
        status, body = self.good_answer()
        if status != 200:
            raise SystemExit(f"the good model does not answer: {body}")
        self.said = json.loads(body)["response"]

    def run(self, case):
        name, make, want = case
        data, bad = make(), []
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        status, _ = self.ask("POST", "/api/blobs/" + digest, data)
        if status not in (200, 201):
            bad.append(f"upload: status {status}")
        status, _ = self.ask_json("create", bad, (200, 400, 500, 501), "POST", "/api/create",
                                  {"model": "bad", "files": {"b.gguf": digest}, "stream": False})
        if status == 200:
            options = {"num_predict": 3, "temperature": 0.5, "seed": 1, "num_ctx": 64}
            for what, path, more in (("generate", "/api/generate", {"prompt": "the a\u00fc"}),
                                     ("chat", "/api/chat",
                                      {"messages": [{"role": "user", "content": "x"}]
                                       }), ("generate raw", "/api/generate",
                                            {"prompt": "the", "raw": True, "keep_alive": 0})):
                status, v = self.ask_json(
                    what, bad, (200, 400, 500, 501), "POST", path,
                    {"model": "bad", "stream": False, "options": options, **more})
                if want == "ok" and status != 200:
                    bad.append(f"{what}: a right file is refused: {v}")
                if want == "nan" and (status != 500 or "the model gave a logit" not in str(v)):
                    bad.append(f"{what}: an answer from weights that are no numbers: {v}")
            self.ask_json("show", bad, (200, 400, 500, 501), "POST", "/api/show",
                          {"model": "bad", "verbose": True})
            status, v = self.ask_json("tags", bad, (200, ), "GET", "/api/tags")
            if v and {m["name"] for m in v["models"]} != {"good:latest", "bad:latest"}:
                bad.append(f"tags: {v}")
            status, body = self.ask("DELETE", "/api/delete", {"model": "bad"})
            if status != 200:
                bad.append(f"delete: {status} {body}")
        try:
            if self.ask("GET", "/api/version", limit_s=5 if self.asan else 1)[0] != 200:
                bad.append("/api/version does not answer 200")
        except OSError as e:
            bad.append(f"/api/version: {e!r}")
        return name, data, bad

    def crowd(self, bases, cases):
        """Good and bad models, more than may be loaded, all asked for at once by clients of which
        some leave: each answer is what it is alone. [complaint]"""
        bad, alone = [], {}
        for i, data in enumerate([*bases.values(), *cases]):
            digest = "sha256:" + hashlib.sha256(data).hexdigest()
            self.ask("POST", "/api/blobs/" + digest, data)
            status, body = self.ask(
                "POST", "/api/create",
                {"model": f"c{i}", "files": {"c.gguf": digest}, "stream": False})
            if status != 200:
                return [f"crowd: create {i}: {body}"]

        def chat(name, limit_s=120, **more):
            status, body = self.ask(
                "POST",
                "/api/chat", {
                    "model": name, "messages": [{"role": "user", "content": "the"}],
                    "stream": False, "options": {"temperature": 0, "num_predict": 5}, **more
                },
                limit_s=limit_s)
            v = json.loads(body)
            return status, v["message"]["content"] if status == 200 else v["error"]

        for i in range(len(bases) + len(cases)):
            alone[f"c{i}"] = chat(f"c{i}")

        def client(seed):
            rng = random.Random(seed)
            for _ in range(6):
                name, kind = rng.choice(list(alone)), rng.random()
                try:
                    if kind < 0.6:
                        got = chat(name, keep_alive=rng.choice([0, "1s", "5m"]))
                        if got != alone[name]:
                            bad.append(f"crowd: {name} says {got}, alone {alone[name]}")
                    elif kind < 0.85:
                        self.ask("POST",
                                 "/api/generate", {
                                     "model": name, "prompt": "the " * 40, "stream": False,
                                     "options": {"num_predict": 300}
                                 },
                                 limit_s=rng.choice([0.01, 0.05]))
                    else:
                        self.ask("GET", rng.choice(["/api/ps", "/api/tags"]), limit_s=120)
                except TimeoutError:
                    if kind < 0.6 or kind >= 0.85:
                        bad.append(f"crowd: {name} does not answer")
                except OSError as e:
                    bad.append(f"crowd: {name}: {e!r}")

        threads = [threading.Thread(target=client, args=(i, )) for i in range(16)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        return bad

    def end(self, before):
        """The last checks: [complaint]."""
        bad = []
        status, body = self.good_answer()
        if status != 200 or json.loads(body)["response"] != self.said:
            bad.append(f"the good model says something else at the end: {body}")
        memory = self.peak()
        if not self.asan and memory["VmHWM"] > 2 * GIB:
            bad.append(f"memory went up to {memory['VmHWM'] >> 20} MiB")
        if not self.asan and memory["VmRSS"] > before["VmRSS"] + (200 << 20):
            bad.append(f"memory grew from {before['VmRSS'] >> 20} to {memory['VmRSS'] >> 20} MiB")
        for what in ("files", "threads"):
            if memory[what] > before[what] + 8:
                bad.append(f"{before[what]} {what} at the start, {memory[what]} at the end")
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(60)
        self.log.seek(0)
        log = self.log.read()
        if status != 0:
            bad.append(f"the server ended with {status}: {log[-2000:].decode(errors='replace')}")
        if b"Sanitizer" in log or b"runtime error" in log:
            at = min(i for i in (log.find(b"Sanitizer"), log.find(b"runtime error")) if i >= 0)
            bad.append(log[max(0, at - 500):at + 4000].decode(errors="replace"))
        return bad


def base_files(build, folder):
    bases = {}
    template = pathlib.Path(folder) / "template"
    template.write_text(JINJA)
    for arch in ("llama", "qwen2", "gemma3"):
        for kind in ("F32", "Q8_0", "Q4_0"):
            path = pathlib.Path(folder) / "base.gguf"
            subprocess.run([build / "tests/make_tiny", path, arch, kind, template], check=True)
            bases[arch, kind] = path.read_bytes()
    return bases


def chosen(cases, step, offset):
    """Every `step`-th of the cases that come in dozens; all that are one of a kind."""
    for i, case in enumerate(cases):
        many = re.search(
            r"cut at|flipped|at random|: (tokenizer|llama|gemma3|general)\.\S+ = | has type | is 0x"
            r"|^qwen2|^gemma3", case[0])
        if not many or (i + offset) % step == 0 or case[0].endswith("unchanged"):
            yield case


def main():
    a = argparse.ArgumentParser()
    a.add_argument("build", type=pathlib.Path)
    a.add_argument("--asan", action="store_true")
    a.add_argument("--all", action="store_true")
    a.add_argument("--only", default="")
    a.add_argument("--no-server", action="store_true")
    a.add_argument("--no-files", action="store_true")
    a.add_argument("--keep", type=pathlib.Path)
    a = a.parse_args()
    passed = failed = 0

    def count(got):
        nonlocal passed, failed
        name, data, bad = got
        passed, failed = passed + (not bad), failed + bool(bad)
        for b in bad:
            print(f"FAILED {name}: {b}", flush=True)
        if bad and a.keep:
            a.keep.mkdir(exist_ok=True)
            (a.keep / (re.sub(r"[^A-Za-z0-9]+", "-", name)[:80] + ".gguf")).write_bytes(data)

    with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
        bases = base_files(a.build, folder)

        def cases(offset):
            every = (c for c in hostile_files.all_cases(bases) if a.only in c[0])
            return every if a.all else chosen(every, 23 if a.asan else 6, offset)

        t0 = time.monotonic()
        if not a.no_files:
            files = Files(a.build, a.asan, folder)
            hard = resource.getrlimit(resource.RLIMIT_AS)[1]
            if not a.asan:  # children inherit it
                resource.setrlimit(resource.RLIMIT_AS, (GIB, hard))
            with concurrent.futures.ThreadPoolExecutor(2) as pool:
                waiting = []
                for case in cases(0):
                    waiting.append(pool.submit(files.run, case))
                    while len(waiting) > 4:  # cases are made as they are needed
                        count(waiting.pop(0).result())
                for w in waiting:
                    count(w.result())
            resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
            print(f"{passed + failed} files through the commands in {time.monotonic() - t0:.0f} s",
                  flush=True)
        if not a.no_server:
            t0, n, before = time.monotonic(), 0, None
            server = Server(a.build, a.asan, folder)
            try:
                server.start(bases["llama", "Q8_0"])
                for case in cases(3):
                    count(server.run(case))
                    n += 1
                    if n == 100:
                        before = server.peak()
                    if server.process.poll() is not None:
                        break
                crowd = ("llama: 3 kv heads", "llama: bos is 320",
                         "llama: output_norm.weight is NaN", "llama: no output_norm.weight",
                         "llama: pre unknown", "template: a huge repeat", "two tokens")
                data = [c[1]() for c in hostile_files.all_cases(bases) if c[0] in crowd]
                count(("many models at once", b"", server.crowd(bases, data)))
                count(("the server at the end", b"", server.end(before or server.peak())))
            finally:
                if server.process.poll() is None:
                    server.process.kill()
            print(f"{n} files through the server in {time.monotonic() - t0:.0f} s", flush=True)
    print(f"{passed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
