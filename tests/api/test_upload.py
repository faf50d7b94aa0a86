"""tests/api/test_upload.py - blobs: streamed to the disk, checked, refused early (17.2)."""
import hashlib
import os
import socket
import time

import pytest


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def head_of(path, *headers):
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()


def fresh(n=1000):
    return os.urandom(n)


def stored(server, digest):
    return os.path.exists(os.path.join(server.store, "blobs", digest.replace(":", "-")))


def nothing_left_behind(server):
    for _ in range(40):
        if all(len(x) == 71 for x in os.listdir(os.path.join(server.store, "blobs"))):
            return True
        time.sleep(0.05)
    return False


def test_new_then_there(server):
    data = fresh()
    d = digest_of(data)
    assert server.ask("HEAD", "/api/blobs/" + d).status == 404
    a = server.post("/api/blobs/" + d, data)
    assert (a.status, a.body) == (201, b"") and stored(server, d)
    a = server.post("/api/blobs/" + d, data)
    assert (a.status, a.body) == (200, b"")
    assert server.ask("HEAD", "/api/blobs/" + d).status == 200
    assert server.ask("HEAD", "/api/blobs/" + d.replace(":", "-")).status == 200
    assert server.ask("HEAD", "/api/blobs/" + d.replace(":", "%3A")).status == 200


def test_empty_blob(server):
    a = server.post("/api/blobs/" + digest_of(b""), b"", headers={"Content-Length": "0"})
    assert a.status in (200, 201)


def test_wrong_digest(server):
    data = fresh()
    want = "sha256:" + "1" * 64
    a = server.post("/api/blobs/" + want, data)
    assert a.status == 400
    assert a.json() == {"error": f'digest mismatch, expected "{want}", got "{digest_of(data)}"'}
    assert not stored(server, want) and nothing_left_behind(server)


@pytest.mark.parametrize("path", ["x", "sha256:12", "sha256:" + "g" * 64, "..%2f..%2fetc"])
def test_bad_digest(server, path):
    a = server.post("/api/blobs/" + path, b"x")
    assert a.status == 400 and a.json() == {"error": "invalid digest format"}
    assert server.ask("HEAD", "/api/blobs/" + path).status in (400, 404)


def chunked(data, sizes):
    out, at, i = b"", 0, 0
    while at < len(data):
        part = data[at:at + sizes[i % len(sizes)]]
        out += b"%x\r\n" % len(part) + part + b"\r\n"
        at += len(part)
        i += 1
    return out + b"0\r\n\r\n"


@pytest.mark.parametrize("sizes", [[1], [7, 4096], [65536]])
def test_chunked_bodies(server, sizes):
    data = fresh(3000 if sizes == [1] else 300000)
    d = digest_of(data)
    out = server.raw(head_of("/api/blobs/" + d, "Transfer-Encoding: chunked", "Connection: close")
                     + chunked(data, sizes))
    assert out.startswith(b"HTTP/1.1 201 ") and stored(server, d)


def test_byte_by_byte(server):
    data = fresh(20)
    d = digest_of(data)
    with socket.create_connection(("127.0.0.1", server.port), 10) as s:
        for b in head_of("/api/blobs/" + d, "Content-Length: 20") + data:
            s.sendall(bytes([b]))
        assert s.recv(4096).startswith(b"HTTP/1.1 201 ")


def test_expect_continue(server):
    data = fresh()
    d = digest_of(data)
    with socket.create_connection(("127.0.0.1", server.port), 10) as s:
        s.sendall(head_of("/api/blobs/" + d, f"Content-Length: {len(data)}",
                          "Expect: 100-continue"))
        assert s.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
        s.sendall(data)
        assert s.recv(4096).startswith(b"HTTP/1.1 201 ")
    with socket.create_connection(("127.0.0.1", server.port), 10) as s:
        s.sendall(head_of("/api/blobs/" + d, f"Content-Length: {len(data)}",
                          "Expect: 100-continue"))
        assert s.recv(4096).startswith(b"HTTP/1.1 200 ")


def test_connection_goes_on_after_an_upload(server):
    """Uploads, and what h2o answers, in turn on one connection."""
    with socket.create_connection(("127.0.0.1", server.port), 10) as s:
        for _ in range(3):
            data = fresh(100000)
            s.sendall(head_of("/api/blobs/" + digest_of(data), f"Content-Length: {len(data)}") + data)
            assert s.recv(4096).startswith(b"HTTP/1.1 201 ")
            s.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert s.recv(4096).endswith(b"Ollama is running")
        # A blob that is there already, with a short body that is read away.
        s.sendall(head_of("/api/blobs/" + digest_of(data), f"Content-Length: {len(data)}") + data)
        assert s.recv(4096).startswith(b"HTTP/1.1 200 ")
        s.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert s.recv(4096).endswith(b"Ollama is running")


def test_pipelined_behind_and_before(server):
    a, b = fresh(5000), fresh(5000)
    get = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    up = [head_of("/api/blobs/" + digest_of(x), f"Content-Length: {len(x)}") + x for x in (a, b)]
    out = server.raw(up[0] + get + up[1] + last)
    assert out.count(b"HTTP/1.1 201 ") == 2 and out.count(b"Ollama is running") == 2
    assert stored(server, digest_of(a)) and stored(server, digest_of(b))


@pytest.mark.parametrize("headers", [
    ["Content-Length: 5", "Content-Length: 5"], ["Content-Length: 5", "Transfer-Encoding: chunked"],
    ["Content-Length: -5"], ["Content-Length: 5x"], ["Transfer-Encoding: gzip, chunked"],
    ["Content-Length: 99999999999999999999"], ["bad header: x"], ["X : y"]])
def test_doubtful_framing_is_refused(server, headers):
    out = server.raw(head_of("/api/blobs/sha256:" + "0" * 64, *headers) + b"hello")
    assert out.startswith(b"HTTP/1.1 400 ") and b"Connection: close" in out
    if "bad" not in headers[0] and "X " not in headers[0]:  # lengths: so for every route
        out = server.raw(head_of("/api/show", *headers) + b"hello")
        assert out.startswith(b"HTTP/1.1 400 ") and b"Connection: close" in out


@pytest.mark.parametrize("body", [b"x\r\n", b"5\r\nhelloX\r\n", b"fffffffffffffffff\r\n", b"\r\n",
                                  b"5\rhello\r\n0\r\n\r\n"])
def test_broken_chunks_are_refused(server, body):
    out = server.raw(head_of("/api/blobs/sha256:" + "0" * 64, "Transfer-Encoding: chunked") + body,
                     until=b"}")
    assert out.startswith(b"HTTP/1.1 400 ") and b"broken chunked" in out
    assert nothing_left_behind(server)


def test_a_head_without_end_is_refused(server):
    out = server.raw(b"POST /api/blobs/sha256:0 HTTP/1.1\r\nX: " + b"y" * 40000)
    assert out.startswith(b"HTTP/1.1 400 ")


def test_a_broken_off_upload_leaves_nothing(server):
    with socket.create_connection(("127.0.0.1", server.port), 10) as s:
        s.sendall(head_of("/api/blobs/sha256:" + "2" * 64, "Content-Length: 3000000"))
        s.sendall(fresh(1500000))
        time.sleep(0.2)
    assert nothing_left_behind(server)


def test_origins_hold_for_uploads(server):
    data = fresh()
    a = server.post("/api/blobs/" + digest_of(data), data, headers={"Origin": "http://evil.example"})
    assert (a.status, a.body) == (403, b"") and not stored(server, digest_of(data))
    a = server.post("/api/blobs/" + digest_of(data), data, headers={"Host": "evil.example"})
    assert a.status == 403
    a = server.post("/api/blobs/" + digest_of(data), data, headers={"Origin": "http://localhost:1"})
    assert (a.status, a.headers["Access-Control-Allow-Origin"]) == (201, "http://localhost:1")


def test_more_than_the_disk_has_is_refused_before_it_comes(server):
    out = server.raw(head_of("/api/blobs/sha256:" + "3" * 64, "Content-Length: 900000000000000"),
                     until=b"}")
    assert b"no space left" in out and nothing_left_behind(server)


def memory_kib(server):
    with open(f"/proc/{server.process.pid}/status") as f:
        return int(next(x for x in f if x.startswith("VmRSS")).split()[1])


def test_a_large_upload_does_not_grow_memory(make_server):
    s = make_server(model=False)
    mib = int(os.environ.get("CHASKI_TEST_UPLOAD_MIB", "300"))
    part = fresh(1 << 20)
    h = hashlib.sha256()
    for _ in range(mib):
        h.update(part)
    with socket.create_connection(("127.0.0.1", s.port), 120) as c:
        # h2o has answered on this connection before: the upload is taken from it all the same.
        c.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert c.recv(4096).endswith(b"Ollama is running")
        before, most = memory_kib(s), 0
        c.sendall(head_of("/api/blobs/sha256:" + h.hexdigest(), "Transfer-Encoding: chunked"))
        for i in range(mib):
            c.sendall(b"100000\r\n" + part + b"\r\n")
            if i % 16 == 0:
                most = max(most, memory_kib(s))
        c.sendall(b"0\r\n\r\n")
        assert c.recv(4096).startswith(b"HTTP/1.1 201 ")
    assert s.is_sanitized() or most - before < 32 * 1024
