"""tests/api/test_faults.py - the server under bad luck: crowds, clients that vanish, kill -9, a full disk.

A soak of 10 000 requests beside 500 idle connections (fewer under a sanitizer, which also says what
a leak is); what a killed server leaves; files that may not grow; bodies and readers that stop.
"""
import hashlib
import http.client
import json
import os
import pathlib
import random
import resource
import signal
import socket
import threading
import time

import pytest

from conftest import Server, forge_gguf, model_bytes

# ---- the soak -------------------------------------------------------------------------------


def rss(server):
    with open(f"/proc/{server.process.pid}/smaps_rollup") as f:
        return sum(int(line.split()[1]) for line in f if line.startswith(("Rss:",)))


class Client(threading.Thread):
    """One keep-alive connection that asks good and bad things, and sometimes vanishes."""

    def __init__(self, server, n, seed):
        super().__init__()
        self.server, self.n, self.random = server, n, random.Random(seed)
        self.wrong, self.c, self.seed = [], None, seed

    def ask(self, method, path, body=None, want=200):
        if self.c is None:
            self.c = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=120)
        name = f"c{self.seed}-{self.n}"
        if isinstance(body, dict):
            body = json.dumps(body).encode()
        self.c.request(method, path, body, {"X-Request-Id": name})
        r = self.c.getresponse()
        text = r.read()
        if r.status != want or r.headers["X-Request-Id"] != name:
            self.wrong.append((method, path, r.status, r.headers["X-Request-Id"], text[:100]))
        return text

    def generate(self, stream):
        words = self.random.randint(1, 6)
        text = self.ask("POST", "/api/generate", {
            "model": "m", "prompt": f"fake:words={words} say", "stream": stream, "raw": True,
            "options": {"num_predict": words, "temperature": 0}})
        rows = [json.loads(x) for x in text.splitlines()]
        done = [row["done"] for row in rows]
        if done != [False] * (len(rows) - 1) + [True] or not text.endswith(b"}\n" if stream else b"}"):
            self.wrong.append(("stream", text[:200]))
        if self.server.is_fake:
            joined = "".join(row["response"] for row in rows)
            if joined != "".join(f"w{i} " for i in range(words)):
                self.wrong.append(("text", joined))

    def vanish(self):
        """Half a request, or a whole one whose answer nobody reads."""
        with socket.create_connection(("127.0.0.1", self.server.port), 60) as s:
            body = json.dumps({"model": "m", "prompt": "fake:words=50 fake:delay=1", "raw": True,
                               "options": {"num_predict": 4}}).encode()
            head = f"POST /api/generate HTTP/1.1\r\nHost: x.localhost\r\nContent-Length: {len(body)}\r\n\r\n"
            whole = head.encode() + body
            s.sendall(whole[:self.random.choice([1, 20, len(head), len(whole) - 1, len(whole)])])
            if self.random.random() < 0.3:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # RST
            elif self.random.random() < 0.3:
                s.settimeout(0.05)
                try:
                    s.recv(10)
                except OSError:
                    pass

    def one(self):
        x = self.random.random()
        if x < 0.25:
            self.ask("GET", "/api/version")
        elif x < 0.35:
            json.loads(self.ask("GET", "/api/tags"))["models"]
        elif x < 0.45:
            json.loads(self.ask("GET", "/api/ps"))["models"]
        elif x < 0.5:
            json.loads(self.ask("POST", "/api/show", {"model": "m"}))["model_info"]
        elif x < 0.6:
            self.ask("POST", "/api/generate", {"model": "nope", "prompt": "x"}, 404)
        elif x < 0.67:
            self.ask("POST", "/api/chat", b'{"model":"m","messages":[{', 400)
        elif x < 0.72:
            self.ask("POST", "/v1/chat/completions", {"model": "m", "messages": 5}, 400)
        elif x < 0.76:
            self.ask("GET", "/api/generate", want=405)
        elif x < 0.8:
            self.ask("GET", "/api/" + "x" * self.random.randint(1, 2000), want=404)
        elif x < 0.84:
            self.ask("HEAD", "/api/blobs/sha256:" + "0" * 64, want=404)
        elif x < 0.88:
            self.vanish()
        else:
            self.generate(stream=x < 0.94)

    def run(self):
        while self.n:
            self.n -= 1
            try:
                self.one()
            except (OSError, http.client.HTTPException, ValueError, KeyError) as e:
                self.wrong.append(repr(e))
                self.c = None


def everybody_at_once(server, n=32):
    """How many sequences run at the same time is chance in a crowd, and each has pages that stay."""
    def ask():
        server.post("/api/generate", {"model": "m", "prompt": "fake:words=50 fake:delay=1 " * 4, "raw": True,
                                      "stream": False, "options": {"num_predict": 60}})
    threads = [threading.Thread(target=ask) for _ in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


def crowd(server, n, seed):
    clients = [Client(server, n // 8, seed * 8 + i) for i in range(8)]
    for c in clients:
        c.start()
    for c in clients:
        c.join()
        if c.c:
            c.c.close()
    wrong = [w for c in clients for w in c.wrong]
    assert not wrong, wrong[:5]


def test_ten_thousand_requests_beside_five_hundred_idle(make_server):
    # Without the prefix cache, which grows with what is asked, to its bound: that is no leak.
    s = make_server(CHASKI_PREFIX_CACHE="0")
    small = s.is_sanitized()
    n, n_idle = (1200, 100) if small else (10_000, 500)
    if not s.is_fake:
        s.post("/api/generate", {"model": "m", "keep_alive": -1})
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 2048)), hard))
    idle = [socket.create_connection(("127.0.0.1", s.port), 20) for _ in range(n_idle)]
    for i, c in enumerate(idle):  # some have said something
        if i % 3 == 1:
            c.sendall(b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n")
        elif i % 3 == 2:
            c.sendall(b"GET /api/version HT")
    crowd(s, n // 4, 1)  # what is allocated once
    everybody_at_once(s)  # as many sequences, pages and threads as there ever are
    before = rss(s)
    crowd(s, n // 2, 2)
    crowd(s, n // 4, 3)
    after = rss(s)
    for i, c in enumerate(idle):
        if i % 3 == 1:
            assert b'"version"' in c.recv(4096)
            c.sendall(b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b'"version"' in c.recv(4096), "an idle connection still serves"
        c.close()
    assert s.process.poll() is None
    counts = [float(x.rpartition(" ")[2]) for x in s.get("/metrics").text.splitlines()
              if x.startswith("chaski_requests_total{")]
    assert sum(counts) > 0.85 * n
    if not small:
        assert after <= before * 1.02 + 256, f"{before} KiB, then {after} KiB"
    # Nothing is left running.
    for _ in range(100):
        rows = [x for x in s.get("/metrics").text.splitlines() if x.startswith("chaski_requests_running{")]
        if all(x.endswith(" 0") for x in rows):
            break
        time.sleep(0.1)
    assert all(x.endswith(" 0") for x in rows), rows


# ---- kill -9 --------------------------------------------------------------------------------


def check_store(s):
    """Every manifest's blobs are there, with their bytes; nothing else has a blob's name."""
    root = pathlib.Path(s.store)
    for path in (root / "manifests").rglob("*"):
        if path.is_file() and not path.name.startswith("."):
            m = json.loads(path.read_bytes())
            for layer in [m["config"], *m["layers"]]:
                blob = root / "blobs" / layer["digest"].replace(":", "-")
                assert blob.stat().st_size == layer["size"]
    for blob in (root / "blobs").glob("sha256-*"):
        assert blob.name == "sha256-" + hashlib.sha256(blob.read_bytes()).hexdigest()


def kill(s):
    s.process.send_signal(signal.SIGKILL)
    s.process.wait()
    s.log_file.close()


def test_a_file_that_is_written_is_no_left_over(make_server, tmp_path):
    """A second server on the same store takes nothing from the first one's upload."""
    s = make_server()
    data = os.urandom(400_000)
    name = "sha256:" + hashlib.sha256(data).hexdigest()
    with socket.create_connection(("127.0.0.1", s.port), 20) as c:
        c.sendall(f"POST /api/blobs/{name} HTTP/1.1\r\nHost: localhost\r\n"
                  f"Content-Length: {len(data)}\r\n\r\n".encode() + data[:-1])
        blobs = pathlib.Path(s.store) / "blobs"
        for _ in range(100):
            if list(blobs.glob(".chaski-*")):
                break
            time.sleep(0.02)
        (blobs / ".chaski-1-1-0").write_bytes(b"of a crash")
        second = Server(s.store)
        assert [p.name for p in blobs.glob(".chaski-*")] != []
        assert not (blobs / ".chaski-1-1-0").exists()
        second.stop()
        c.sendall(data[-1:])
        assert c.recv(100).startswith(b"HTTP/1.1 201")


@pytest.mark.fake
def test_kill_in_the_middle_of_uploads_and_creates(tmp_path):
    rng = random.Random(7)
    store = tmp_path / "store"
    s = Server(store)
    kept = s.put_blob(forge_gguf())
    s.create("base", files={"a.gguf": kept})
    for turn in range(6):
        data = forge_gguf(str(turn), [("x.y", 8, (6_000_000).to_bytes(8, "little") + os.urandom(6_000_000))])
        name = "sha256:" + hashlib.sha256(data).hexdigest()
        cut = rng.choice([100, 3_000_000, len(data)])

        def upload():
            try:
                with socket.create_connection(("127.0.0.1", s.port), 20) as c:
                    c.sendall(f"POST /api/blobs/{name} HTTP/1.1\r\nHost: localhost\r\n"
                              f"Content-Length: {len(data)}\r\n\r\n".encode() + data[:cut])
                    c.settimeout(2)
                    c.recv(100)
            except OSError:
                pass

        def create():
            for i in range(200):
                try:
                    s.post("/api/create", {"model": f"t{turn}-{i}", "from": "base", "stream": False,
                                           "system": f"{turn} {i}"}, timeout=5)
                except (OSError, http.client.HTTPException):
                    return

        threads = [threading.Thread(target=upload), threading.Thread(target=create)]
        for t in threads:
            t.start()
        time.sleep(rng.uniform(0.02, 0.3))
        kill(s)
        for t in threads:
            t.join()
        check_store(s)
        s = Server(store)
        check_store(s)
        assert not list((store / "blobs").glob(".*")), "left-overs are swept at once"
        assert any(m["name"] == "base:latest" for m in s.get("/api/tags").json()["models"])
        assert s.put_blob(data) == name  # the same upload again is whole
        s.create("again", files={"a.gguf": name})
    check_store(s)
    assert s.stop() == 0


# ---- a full disk ----------------------------------------------------------------------------


def test_a_disk_that_takes_no_more(make_server):
    """RLIMIT_FSIZE stands for the full disk: a write fails in the middle."""
    s = make_server()
    resource.prlimit(s.process.pid, resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
    blobs = pathlib.Path(s.store) / "blobs"
    before = sorted(p.name for p in blobs.iterdir())
    data = os.urandom(3_000_000)
    a = s.post("/api/blobs/sha256:" + hashlib.sha256(data).hexdigest(), data)
    assert a.status in (500, 507) and a.json()["error"] and str(s.store) not in a.text
    assert sorted(p.name for p in blobs.iterdir()) == before, "nothing stays"
    assert s.post("/api/create", {"model": "small", "from": "m", "system": "x", "stream": False}).status == 200
    resource.prlimit(s.process.pid, resource.RLIMIT_FSIZE, (10, 1_000_000))
    a = s.post("/api/create", {"model": "none", "from": "m", "system": "much longer than ten", "stream": False})
    assert a.status == 500 and a.json()["error"]
    assert {m["name"] for m in s.get("/api/tags").json()["models"]} == {"m:latest", "small:latest"}
    resource.prlimit(s.process.pid, resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
    assert s.post("/api/generate", {"model": "m", "prompt": "fake:words=1", "stream": False,
                                    "options": {"num_predict": 1}}).status == 200


# ---- those who stop -------------------------------------------------------------------------


@pytest.fixture
def short(make_server):
    return make_server(CHASKI_LIMIT_HEAD_SECONDS="1", CHASKI_LIMIT_IDLE_SECONDS="2",
                       CHASKI_LIMIT_STALL_SECONDS="1", CHASKI_LIMIT_WRITE_SECONDS="1")


def closes(c):
    """Does the server close within some seconds, whatever it sends before?"""
    c.settimeout(20)
    try:
        while c.recv(65536):
            pass
    except ConnectionError:
        pass
    return True


@pytest.mark.parametrize("sent", [
    b"", b"G", b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{",
    b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
    b"POST /api/blobs/sha256:" + b"1" * 64 + b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"])
def test_who_stops_is_closed(short, sent):
    with socket.create_connection(("127.0.0.1", short.port), 20) as c:
        c.sendall(sent)
        assert closes(c)
    assert short.get("/health").status == 200


def test_a_head_in_drops_is_closed(short):
    with socket.create_connection(("127.0.0.1", short.port), 20) as c:
        begun = time.monotonic()
        try:
            for b in b"GET / HTTP/1.1\r\nX-Drop: " + b"x" * 200:
                c.sendall(bytes([b]))
                time.sleep(0.1)
            assert False, "still open after 20 s"
        except ConnectionError:
            pass
        assert time.monotonic() - begun < 15


@pytest.mark.fake
def test_who_does_not_read_is_closed_and_its_work_ends(short):
    with socket.socket() as c:
        c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        c.connect(("127.0.0.1", short.port))
        body = json.dumps({"model": "m", "prompt": "fake:words=100000 fake:bytes=20000"}).encode()
        c.sendall(b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
                  + body)
        for _ in range(100):
            time.sleep(0.1)
            if "does not read" in short.log():
                break
        assert "does not read" in short.log()
    for _ in range(50):
        rows = [x for x in short.get("/metrics").text.splitlines() if x.startswith("chaski_requests_running{")]
        if rows and all(x.endswith(" 0") for x in rows):
            break
        time.sleep(0.1)
    assert rows and all(x.endswith(" 0") for x in rows)


@pytest.mark.fake
def test_running_answers_are_not_idle(short):
    a = short.post("/api/generate", {"model": "m", "prompt": "fake:prompt=4000 fake:words=2", "stream": False})
    assert a.status == 200 and a.json()["response"] == "w0 w1 "
