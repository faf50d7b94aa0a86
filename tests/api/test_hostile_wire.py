"""tests/api/test_hostile_wire.py - what comes over the wire that no HTTP client sends: odd paths,
methods and heads, halves of requests, clients that leave, wait or do not read, files that are no
models, a damaged store. After each test the server is whole (test_hostile.py).
"""
import hashlib
import json
import os
import socket
import threading
import time

import pytest
from test_hostile import C, COPY, CREATE, DELETE, G, ONE, SHOW, error_of
from test_hostile import still_whole  # noqa: F401 - runs by itself


PATHS = [
    "/../etc/passwd", "/..", "/api/../../etc/passwd", "/api/./version", "/api//version",
    "/api/version%00", "/api/version%2e%2e", "/%2e%2e/%2e%2e/etc/passwd",
    "/api/blobs/..%2f..%2f..%2fetc%2fpasswd", "/api/blobs/%2e%2e", "/api/blobs/a/b", "/api/blobs/",
    "/api/blobs", "/api/%", "/api/%g", "/api/%f", "/api/%-1", "/%", "/%00", "/\\..\\x",
    "/api/VERSION", "/API/version", "/api/version;x", "/api/version/x", "/api/show/", "/api",
    "/api/", "/.git/config", "/~root", "*", "http://localhost/api/version", "http://evil.example/",
    "//evil.example/api/version", "/" + "a" * 5000, "/" + "%61" * 3000,
    "/api/version?" + "q" * 9000, "/?/../x", "/#", "/ x", "", "/\xff\xfe", "/\x7f"
]


def test_odd_paths(server):
    for path in PATHS:
        for method in ("GET", "POST", "DELETE", "HEAD"):
            with socket.create_connection(("127.0.0.1", server.port), 10) as s:
                s.sendall(
                    f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n"
                    "Connection: close\r\n\r\n{}"
                    .encode("latin1"))
                out = b""
                try:
                    while part := s.recv(65536):
                        out += part
                except ConnectionResetError:
                    pass
            assert b"root:" not in out and b" 500 " not in out.split(b"\r\n")[0], (path, out[:300])
            if out:
                assert out.startswith(b"HTTP/1.1 "), (path, out[:100])
                status = int(out[9:12])
                assert status in (200, 204, 301, 307, 308, 400, 401, 403, 404, 405, 413,
                                  501), (method, path, status)


@pytest.mark.parametrize("method", [
    "PUT", "PATCH", "TRACE", "CONNECT", "OPTIONS", "get", "G" * 5000, "PROPFIND", "", "\xff",
    "G\0T", "PRI"
])
def test_odd_methods(server, method):
    for path in ("/api/generate", "/", "/api/blobs/sha256:" + "0" * 64):
        try:
            out = server.raw(
                f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode(
                    "latin1"),
                timeout=15)
        except ConnectionResetError:
            continue
        assert not out or out.startswith(b"HTTP/1.1 4") or out.startswith(
            b"HTTP/1.1 204"), out[:200]


GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize("head", [
    b"",
    b"\r\n\r\n",
    b"\n\n",
    b"\0\0\0\0\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET /\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET / HTTP/0.9\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost\r\n\r\n",
    b"GET / HTTP/1.1\r\n: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\n folded: x\r\n\r\n",
    b"GET / HTTP/1.1\nHost: localhost\n\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: \0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX: \x01\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 5000 + b"\r\n",
    b"GET / HTTP/1.1\r\nX: " + b"y" * 600000 + b"\r\n\r\n",
    GET + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
    b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
    b"SSH-2.0-x\r\n",
    b"*1\r\n$4\r\nPING\r\n",
    POST + b"Content-Length: -1\r\n\r\n",
    POST + b"Content-Length: 1x\r\n\r\n",
    POST + b"Content-Length: 99999999999999999999999\r\n\r\n",
    POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    POST + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx",
    POST + b"Transfer-Encoding: gzip\r\n\r\nxx",
    POST + b"Expect: 200-maybe\r\nContent-Length: 2\r\n\r\n{}",
])
def test_odd_heads(server, head):
    """Any answer but a success that acts, or none: the connection may also just close."""
    with socket.create_connection(("127.0.0.1", server.port), 10) as s:
        out = b""
        try:
            s.sendall(head)
            s.shutdown(socket.SHUT_WR)
            s.settimeout(5)
            while part := s.recv(65536):
                out += part
        except OSError:  # reset, closed before our shutdown, or silent
            pass
    assert not out or out.startswith((b"HTTP/1.1 ", b"HTTP/1.0 ")), out[:200]
    assert b"HTTP/1.1 5" not in out[:12], out[:300]


# ---- halves, hurry, patience -----------------------------------------------------------------


def post_head(path, length, *more):
    return "\r\n".join(
        [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {length}", *more, "",
         ""]).encode()


def test_half_bodies_and_goodbyes(server):
    body = json.dumps(
        {"model": "m", "prompt": "x", "stream": True, "options": {"num_predict": 200}}).encode()
    for path in (G, C, SHOW, CREATE, COPY, "/api/blobs/sha256:" + "1" * 64):
        for cut in (0, 1, len(body) // 2, len(body) - 1):
            with socket.create_connection(("127.0.0.1", server.port), 10) as s:
                s.sendall(post_head(path, len(body)) + body[:cut])
    for wait in (0, 0.001, 0.01, 0.05):
        for _ in range(5):  # the whole request, and gone before or in the answer
            with socket.create_connection(("127.0.0.1", server.port), 10) as s:
                s.sendall(post_head(G, len(body)) + body)
                time.sleep(wait)
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset
    for _ in range(200):
        if not any(x["active"] for x in server.get("/api/ps").json()["models"]):
            return
        time.sleep(0.02)
    pytest.fail("the engine works for nobody")


def test_many_leave_at_once(server):
    body = json.dumps(
        {"model": "m", "prompt": "x " * 60, "stream": True,
         "options": {"num_predict": 6}}).encode()

    def one(i):
        with socket.create_connection(("127.0.0.1", server.port), 60) as s:
            s.sendall(post_head(G, len(body)) + body)
            if i % 3:
                s.recv(1 + i * 37)

    threads = [threading.Thread(target=one, args=(i, )) for i in range(48)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    a = server.post(G, {"model": "m", "prompt": "Hi", "stream": False, "options": ONE}, timeout=60)
    assert a.status == 200, a.text


def test_slow_senders_hold_nobody_up(server):
    held = []
    for i in range(40):
        s = socket.create_connection(("127.0.0.1", server.port), 10)
        s.sendall(post_head(G, 1000)[:20 + i] if i % 2 else post_head(G, 1000) + b"{")
        held.append(s)
    for _ in range(5):
        for s in held:
            try:
                s.sendall(b" ")
            except OSError:
                pass
        t0 = time.monotonic()
        assert server.get("/api/version", timeout=5).status == 200
        assert time.monotonic() - t0 < 1
    a = server.post(G, {"model": "m", "prompt": "Hi", "stream": False, "options": ONE}, timeout=60)
    assert a.status == 200
    for s in held:
        s.close()


def test_a_reader_that_does_not_read(server):
    body = json.dumps({"model": "m", "prompt": "x", "options": {"num_predict": 100}}).encode()
    held = []
    for _ in range(8):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        s.connect(("127.0.0.1", server.port))
        s.sendall((post_head(G, len(body)) + body) * 3)
        held.append(s)
    a = server.post(G, {"model": "m", "prompt": "Hi", "stream": False, "options": ONE}, timeout=60)
    assert a.status == 200
    for s in held:
        s.close()


def test_pipelined_nonsense_behind_a_good_request(server):
    out = server.raw(b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n\0\xffnonsense\r\n\r\n",
                     timeout=15)
    assert out.startswith(b"HTTP/1.1 200 ")


def test_oversized_bodies_are_cut_off(server):
    for path, size in ((SHOW, 2 << 20), (COPY, 2 << 20), (CREATE, 5 << 20)):
        try:
            a = server.post(path, b'{"model":"' + b"m" * size + b'"}')
        except (BrokenPipeError, ConnectionResetError):
            continue  # refused before all of it was sent
        assert (a.status, a.json()) == (413, {"error": "request body too large"}), path


# ---- files through the API -------------------------------------------------------------------


@pytest.mark.parametrize("data", [
    b"", b"x", b"GGUF", b"GGUF" + b"\xff" * 100, b"GGML" * 100, b"PK\3\4" * 50, b"{}",
    bytes(4096), b"GGUF\3\0\0\0" + b"\xff" * 16, b"GGUF\3\0\0\0" + bytes(16)
])
def test_what_is_no_model_is_not_made_one(server, data):
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    assert server.post("/api/blobs/" + digest, data,
                       headers={"Content-Length": str(len(data))}).status in (200, 201)
    a = server.post(CREATE, {"model": "never", "files": {"m.gguf": digest}, "stream": False})
    assert a.status in (400, 500, 501), a.text
    error_of(a)
    a = server.post(CREATE, {"model": "never", "files": {"m.gguf": digest}})
    assert '"error"' in a.text and "success" not in a.text
    assert server.post(SHOW, {"model": "never"}).status == 404


# ---- a store that somebody damaged -----------------------------------------------------------


def test_a_damaged_store_breaks_no_other_model(make_server):
    """Manifests as no program writes them: each is an error of its model, and hides no other."""
    s = make_server()
    library = next(s.store.glob("manifests/*/*"))
    good = json.loads((library / "m/latest").read_bytes())
    layer = next(x for x in good["layers"] if x["mediaType"].endswith("image.model"))

    def blob(data, kind):
        digest = hashlib.sha256(data).hexdigest()
        (s.store / "blobs" / f"sha256-{digest}").write_bytes(data)
        return {
            "mediaType": f"application/vnd.ollama.image.{kind}", "digest": f"sha256:{digest}",
            "size": len(data)
        }

    def layers(*some):
        return {**good, "layers": list(some)}

    broken = [
        b"", b"x", b"null", b"[]", b"\0" * 99, b"\xff" * 50, b"[" * 99999,
        json.dumps(good).encode()[:-9], {**good, "layers": {}},
        layers(1),
        layers(None),
        layers({**layer, "digest": 5}),
        layers({**layer, "size": -1}),
        layers({**layer, "digest": "sha256:../../../../etc/passwd"}),
        layers({**layer, "digest": "sha256:" + "0" * 64}),
        layers({**layer, "size": "x"}),
        layers({**layer, "mediaType": 5}),
        layers({**layer, "mediaType": "x" * 9999}),
        layers(*[layer] * 2000),
        {**good, "config": {**layer, "mediaType": good["config"]["mediaType"]}},
        layers(layer, blob(b"[]", "params")),
        layers(layer, blob(b"\xff", "system")),
        layers(layer, blob(b"{}", "messages"))
    ]
    for i, manifest in enumerate(broken):
        (library / f"broken{i}").mkdir()
        (library / f"broken{i}" / "latest"
         ).write_bytes(manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode())
    for name in ("dir", "link", "fifo", ".hidden", "a b"):
        (library / name).mkdir()
    (library / "dir/latest").mkdir()
    os.symlink("/etc/passwd", library / "link/latest")
    os.mkfifo(library / "fifo/latest")
    (library / "a b/latest").write_text(json.dumps(good))
    (library / "file").write_bytes(b"x")
    for name in [f"broken{i}"
                 for i in range(len(broken))] + ["dir", "link", "fifo", ".hidden", "a b"]:
        for path, body in ((SHOW, {}), (G, {"prompt": "x", "stream": False, "options": ONE})):
            a = s.post(path, {"model": name, **body})
            if s.is_fake and a.status == 200:
                continue  # the fake engine opens no files
            assert a.status in (400, 404, 500), (name, path, a.status, a.text[:300])
            assert "root:" not in error_of(a)
        a = s.ask("DELETE", DELETE, {"model": name})
        assert a.status in (200, 400, 404, 500), (name, a.text)
    assert "m:latest" in [x["name"] for x in s.get("/api/tags").json()["models"]]
    a = s.post(G, {"model": "m", "prompt": "x", "stream": False, "options": ONE})
    assert a.status == 200, a.text
