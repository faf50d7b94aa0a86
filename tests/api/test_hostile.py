"""tests/api/test_hostile.py - requests that no client means well: every field with every wrong type,
numbers at their ends, nesting, names and digests that want out of the store, odd paths, heads, halves.

After each test the same process answers, the store holds what it held, and nothing lies beside it.
What a single field's error says is in test_errors.py; here it is 400 and names the field.
"""
import hashlib
import json
import os
import random
import socket
import threading
import time

import pytest

G, C, SHOW, COPY, CREATE, DELETE = ("/api/generate", "/api/chat", "/api/show", "/api/copy", "/api/create",
                                    "/api/delete")
MSG = [{"role": "user", "content": "x"}]
ONE = {"num_predict": 1}


def tree(server):
    """All files of the store but its blobs, and what lies beside the store."""
    inside = [p for p in server.store.rglob("*") if p.is_file() and "blobs" not in p.parts]
    beside = [p for p in server.store.parent.iterdir() if p.is_file()]
    return sorted(str(p) for p in inside + beside)


@pytest.fixture(autouse=True)
def still_whole(server):
    pid, before = server.process.pid, tree(server)
    yield
    t0 = time.monotonic()
    assert server.get("/api/version", timeout=5).status == 200
    assert time.monotonic() - t0 < (5 if server.is_sanitized() else 1)
    assert server.process.poll() is None and server.process.pid == pid
    assert tree(server) == before
    assert "m:latest" in [x["name"] for x in server.get("/api/tags").json()["models"]]
    assert server.post(SHOW, {"model": "m"}).status == 200


def error_of(a):
    v = a.json()
    assert list(v) == ["error"] and len(v["error"]) > 4, a.text
    assert a.headers["Content-Type"].startswith("application/json")
    for secret in ("/tmp", "/home", "/root", "errno", "0x7f"):
        assert secret not in v["error"], a.text
    return v["error"]


# ---- types ---------------------------------------------------------------------------------------

SAMPLES = {"string": "x", "number": 7, "fraction": 1.5, "boolean": True, "array": [1], "object": {"a": 1}}
NUMBER = {"number", "fraction"}
FIELDS = [ # path, a right body, field, what is right
    *[(G, {"model": "m", "prompt": "x", "options": ONE}, f, ok) for f, ok in (
        ("model", {"string"}), ("prompt", {"string"}), ("suffix", {"string"}), ("system", {"string"}),
        ("template", {"string"}), ("raw", {"boolean"}), ("stream", {"boolean"}), ("options", {"object"}),
        ("context", {"array"}), ("images", set()), ("truncate", {"boolean"}), ("shift", {"boolean"}),
        ("keep_alive", {"string"} | NUMBER), ("logprobs", {"boolean"}), ("top_logprobs", {"number"}),
        ("think", {"string", "boolean"}), ("format", {"object"}))],
    *[(C, {"model": "m", "messages": MSG, "options": ONE}, f, ok) for f, ok in (
        ("model", {"string"}), ("messages", set()), ("tools", {"array"}), ("stream", {"boolean"}),
        ("options", {"object"}), ("truncate", {"boolean"}), ("shift", {"boolean"}),
        ("keep_alive", {"string"} | NUMBER), ("logprobs", {"boolean"}), ("top_logprobs", {"number"}),
        ("think", {"string", "boolean"}), ("format", {"object"}))],
    *[(SHOW, {"model": "m"}, f, ok) for f, ok in (
        ("model", {"string"}), ("verbose", {"boolean"}), ("system", {"string"}), ("options", {"object"}))],
    *[(COPY, {"source": "nope", "destination": "n"}, f, {"string"}) for f in ("source", "destination")],
    *[(CREATE, {"model": "never", "from": "nope"}, f, ok) for f, ok in (
        ("model", {"string"}), ("from", {"string"}), ("files", {"object"}), ("stream", {"boolean"}),
        ("template", {"string"}), ("system", {"string"}), ("license", {"string", "array"}),
        ("parameters", {"object"}), ("messages", set()), ("quantize", {"string"}),
        ("adapters", {"object"}))],
    (DELETE, {"model": "nope"}, "model", {"string"}),
]


@pytest.mark.parametrize("path, body, field, right", FIELDS,
                         ids=[f"{p.rsplit('/')[-1]}.{f}" for p, _, f, _ in FIELDS])
def test_a_wrong_type_is_a_400_that_names_the_field(server, path, body, field, right):
    method = "DELETE" if path == DELETE else "POST"
    for kind, value in SAMPLES.items():
        if kind in right:
            continue
        a = server.ask(method, path, {**body, field: value})
        text = error_of(a)
        if field in ("quantize", "adapters"):
            assert a.status in (400, 501), (kind, a.text)
            continue
        assert a.status == 400, (kind, a.status, a.text)
        # keep_alive and format have texts of their own, the first as clients know it.
        assert field in text or field == "keep_alive" and "Unsupported type" in text, (kind, text)
    if field == "options":
        body = {"model": "m"} # without a prompt: an answer would be as long as it likes
    a = server.ask(method, path, {**body, field: None})
    error = a.body if path in (G, C, SHOW) and field not in ("model", "messages") else b""
    assert b"cannot unmarshal" not in error and a.status < 500


@pytest.mark.parametrize("message", [
    "x", 1, [], None, {"role": 1}, {"role": []}, {"role": "user", "content": 1}, {"role": "user", "content": [1]},
    {"role": "user", "content": [{}]}, {"role": "user", "content": [{"type": "text", "text": 1}]},
    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]},
    {"role": "user", "content": "x", "images": "x"}, {"role": "user", "content": "x", "images": [1]},
    {"role": "user", "content": "x", "tool_calls": "x"}, {"role": "user", "content": "x", "tool_calls": [1]},
    {"role": "user", "content": "x", "tool_name": 1}, {"role": "user", "content": "x", "thinking": {}}])
def test_a_wrong_message_is_a_400(server, message):
    a = server.post(C, {"model": "m", "messages": [message], "options": ONE})
    assert a.status == 400 and "essage" in error_of(a), a.text


ODD_NUMBERS = [-1, 0, 1, 2 ** 31 - 1, 2 ** 31, -2 ** 31 - 1, 2 ** 32, 2 ** 53 + 1, 2 ** 63 - 1, -2 ** 63, 0.5, -0.0,
               1e-320, 1e38, 1e39, 1e308, -1e308]
OPTIONS = ["num_ctx", "num_batch", "num_thread", "num_keep", "num_predict", "seed", "top_k", "repeat_last_n", "temperature",
           "top_p", "min_p", "typical_p", "repeat_penalty", "presence_penalty", "frequency_penalty", "num_gpu", "main_gpu"]


@pytest.mark.parametrize("option", OPTIONS)
def test_numbers_at_their_ends(server, option):
    for n in ODD_NUMBERS:
        a = server.post(G, {"model": "m", "prompt": "x", "stream": False, "options": {**ONE, option: n}} if option != "num_predict"
                        else {"model": "m", "prompt": "", "stream": False, "options": {option: n}})
        assert a.status in (200, 400), (n, a.status, a.text)
        if a.status == 400:
            assert option in error_of(a) or "request (" in a.text, (n, a.text)
    for v in ("1", True, [1], {"a": 1}, [], "", "NaN"):
        a = server.post(G, {"model": "m", "prompt": "x", "stream": False, "options": {**ONE, option: v}})
        assert a.status == 400 and f'option "{option}" must be of type' in error_of(a), (v, a.text)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "9" * 400, "0x10", "01", "+1", ".5", "1.", "1e",
                                  "--1", "1_000", "true false", "'1'", "nul", "\u0661"])
def test_what_is_no_json_number(server, text):
    a = server.post(G, b'{"model":"m","prompt":"x","options":{"seed":' + text.encode() + b"}}")
    assert a.status == 400
    error_of(a)


@pytest.mark.parametrize("stop", [[1], [None], {"a": "b"}, 5, True, ["x"] * 65, ["y" * 1025], "z" * 5000, ["a\0b"]])
def test_wrong_stops(server, stop):
    a = server.post(G, {"model": "m", "prompt": "x", "stream": False, "options": {**ONE, "stop": stop}})
    assert a.status == 400 and ("stop" in error_of(a) or "NUL" in a.text), a.text


@pytest.mark.parametrize("keep", ["1e9h", "-", "5", "h", "1h1", "99999999999999999999h", "0x5s", "1 h", "\u0665s", "nan", "inf",
                                  "9223372036854775808ns", "." , ".s", "1..5s", "--1s", "1h" * 10000 + "x"])
def test_wrong_durations(server, keep):
    a = server.post(G, {"model": "m", "keep_alive": keep})
    assert a.status == 400 and "time: " in error_of(a), a.text[:200]
    assert len(a.body) < 1000


@pytest.mark.parametrize("keep", [1e300, -1e300, 2 ** 62, -2 ** 63, 1e-300, 2 ** 63 - 1])
def test_endless_durations(server, keep):
    assert server.post(G, {"model": "m", "keep_alive": keep, "stream": False}).status == 200
    at = server.get("/api/ps").json()["models"]
    assert all(x["expires_at"][:4].isdigit() for x in at)
    server.post(G, {"model": "m", "keep_alive": "5m"})


@pytest.mark.parametrize("context", [[-1], [2 ** 31], [2 ** 31 - 1], [0.5], ["1"], [None], [[1]], [2 ** 63 - 1]])
def test_wrong_contexts(server, context):
    a = server.post(G, {"model": "m", "prompt": "x", "context": context, "stream": False, "options": ONE})
    if server.is_fake and context == [2 ** 31 - 1]:
        return # the fake engine has no vocabulary
    assert a.status == 400, a.text
    error_of(a)


# ---- JSON ------------------------------------------------------------------------------------------


def broken_bodies():
    rng = random.Random(5)
    good = json.dumps({"model": "m", "prompt": "x\u00e9\U0001f600\\\"", "options": {"num_predict": 1, "stop": ["a", "b"]},
                       "messages": MSG, "stream": False}, ensure_ascii=False).encode()
    yield from (good[:n] for n in range(1, len(good), 3))
    for _ in range(60):
        b = bytearray(good)
        for _ in range(rng.randrange(1, 4)):
            b[rng.randrange(len(b))] = rng.randrange(256)
        yield bytes(b)
    for n in (127, 129, 1000, 100000):
        for a, z in ((b"[", b"]"), (b'{"a":', b"}"), (b'[{"b":', b"}]")):
            yield b'{"model":"m","x":' + a * n + b"1" + z * n + b"}"
            yield a * n
    yield from (b'{"model":"m"' + x for x in (
        b',"prompt":"\xff\xfe"}', b',"prompt":"\xc0\x80"}', b',"prompt":"\xed\xa0\x80"}', b',"prompt":"\xf4\x90\x80\x80"}',
        b',"prompt":"\\ud800"}', b',"prompt":"\\udc00\\ud800"}', b',"prompt":"\\u12"}', b',"prompt":"\\x41"}',
        b',"prompt":"a\x01b\nc"}', b',"prompt":"', b',,}', b':', b',"model":"m","model":[]}', b',"\\u0000":1}',
        b',"\xff":1}', b',"":1}', b'}}}}', b"} {", b"}\0\0\0", b',"prompt":"x"/*c*/}', b",'prompt':'x'}"))
    yield from (b"\xef\xbb\xbf{}", b"\0", b"\xff", b"{\"a\"", b"tru", b"-", b'"', b"\\", b"\x1f\x8b\x08\0\0", b"model=m&prompt=x",
                b"<?xml version='1.0'?><a/>", b"{}" * 1000, b" " * 70000, b"[" * 500000)
    yield b'{"model":"m",' + b",".join(b'"k%d":%d' % (i, i) for i in range(50000)) + b"}"
    yield b'{"model":"m","' + b"k" * 900000 + b'":1}'
    yield b'{"model":"m","options":{' + b",".join(b'"o%d":1' % i for i in range(20000)) + b',"num_predict":1}}'


def test_broken_json_on_every_route(server):
    bodies = list(broken_bodies())
    if not server.is_fake: # a body that lost its num_predict would be answered at length
        bodies = [b.replace(b'"prompt"', b'"system"').replace(b'"messages"', b'"massages"') for b in bodies]
    for i, body in enumerate(bodies):
        for path in ((G, C, SHOW, CREATE, COPY, DELETE) if len(body) < 200 else (G, (C, SHOW)[i % 2])):
            a = server.ask("DELETE", path, body.replace(b'"m"', b'"gone"')) if path == DELETE else server.post(path, body)
            assert a.status in (200, 400, 403, 404, 413, 501), (path, body[:200], a.status, a.text[:300])
            assert len(a.body) < 2_000_000
            if a.status != 200:
                error_of(a)
            else:
                a.text  # UTF-8, whatever came in


def test_wide_requests_end_soon(server):
    t0 = time.monotonic()
    for body in ({"model": "m", "messages": MSG * 16385}, {"model": "m", "messages": [{"role": "user", "content": "x", "tool_calls": [{}] * 50000}], "options": ONE},
                 {"model": "m", "messages": [{"role": "r" * 100000, "content": "x"}], "options": ONE},
                 {"model": "m", "messages": MSG, "tools": [{}] * 100000}):
        a = server.post(C, {"stream": False, **body})
        assert a.status in (200, 400), a.text[:300]
    assert time.monotonic() - t0 < (60 if server.is_sanitized() else 10)


# ---- names, digests, paths ---------------------------------------------------------------------------

BAD_NAMES = [ # white space round a name is cut off (3), so " m" is none
    "..", ".", "/", "//", "///", "../m", "../../m", "../../../../etc/passwd", "/etc/passwd", "m/../m", "m/..", "a/b/c/../d", "a/b/c/d/e",
    "a//b", "/m", "m/", "m//", ":", ":m", "m:", "m::", "m:a:b", "m:/x", "m:../x", "m:..", "m:.", "m:-", "-m", ".m", "m:.hidden",
    "a b", "m\tm", "m\nm", "m\r\nX: y", "m\x01", "m\x7f", "m\x1b[31m", "\u00e9", "m\u202e", "\U0001f600", "m%2fx", "m%00", "m\\x",
    "..\\m", "C:\\m", "C:/m", "m?x", "m#x", "m*", "m|x", "m<x", "m'", 'm"', "m;ls", "$(id)", "`id`", "m&x", "m=x", "m@sha256:0",
    "m@", "~", "~/m", "a" * 81, "m:" + "t" * 81, "n" * 81 + "/m", "h" * 351 + "/n/m", "x" * 100000, "http://", "://m", "file:///etc/passwd",
    "file://x/../../m", "ns.dot/m", "h/ns/m/../x:t",
]


def routes_with_names(name):
    yield "POST", G, {"model": name, "prompt": "x", "stream": False}
    yield "POST", C, {"model": name, "messages": MSG, "stream": False}
    yield "POST", SHOW, {"model": name}
    yield "DELETE", DELETE, {"model": name}
    yield "POST", COPY, {"source": name, "destination": "never"}
    yield "POST", COPY, {"source": "m", "destination": name}
    yield "POST", CREATE, {"model": name, "from": "m", "stream": False}
    yield "POST", CREATE, {"model": "never", "from": name, "stream": False}


def test_bad_names_on_every_route(server):
    assert len(set(BAD_NAMES)) >= 60
    for name in BAD_NAMES:
        for method, path, body in routes_with_names(name):
            a = server.ask(method, path, body)
            assert a.status in (400, 404), (path, body, a.status, a.text[:300])
            assert len(error_of(a)) < 1100, (path, a.text[:1200])
            assert min(a.body) >= 32, (path, a.body) # controls are escaped


BAD_DIGESTS = [
    "", "x", "sha256", "sha256:", "sha256-", "sha256:0", "sha256:" + "0" * 63, "sha256:" + "0" * 65, "sha256:" + "g" * 64, "md5:" + "0" * 32,
    "sha512:" + "0" * 128, "0" * 64, "sha256:" + "0" * 64 + "/", "sha256:../../../../etc/passwd", "sha256-..", "../manifests", "..", ".", "...",
    "sha256:" + "../" * 21 + "a", "sha256:" + "0" * 62 + "..", "sha256 :" + "0" * 64, " sha256:" + "0" * 64, "sha256:" + "0" * 64 + " ",
    "sha256:" + " " * 64, "sha256:" + "-1" * 32, "sha256:" + "0x" * 32, "sha256;" + "0" * 64, "sha256::" + "0" * 63,
    "sha256_" + "0" * 64, "sha256:" + "0" * 100000, "\u0661" * 64, "sha256:" + "\u0660" * 64,
]


def quoted(s):
    return "".join(chr(b) if 48 <= b < 58 or 65 <= b < 91 or 97 <= b < 123 or chr(b) in "-_." else f"%{b:02x}" for b in s.encode())


def test_bad_digests_on_every_route(server):
    for d in BAD_DIGESTS:
        a = server.post(CREATE, {"model": "never", "files": {"m.gguf": d}, "stream": False})
        assert a.status == 400, (d, a.status, a.text)
        assert len(error_of(a)) < 700
        if len(d) > 1000:
            continue
        for path in {quoted(d), d if d.isascii() and " " not in d else quoted(d)}:
            for method in ("HEAD", "POST"):
                a = server.ask(method, "/api/blobs/" + path, b"hello" if method == "POST" else None)
                assert a.status in (400, 404, 405, 307), (method, path, a.status, a.text[:200])
    blobs = os.listdir(server.store / "blobs")
    assert all(len(x) == 71 and x.startswith("sha256-") for x in blobs), blobs


@pytest.mark.parametrize("name", ["/etc/passwd", "../x.gguf", "a/../../x.gguf", "..\\x.gguf", "C:\\x.gguf", "C:x", "\\\\host\\x", "", "a/..", ".."])
def test_bad_file_names_in_create(server, name):
    a = server.post(CREATE, {"model": "never", "files": {name: server.model_digest}, "stream": False})
    assert a.status == 400 and "file path must be relative" in error_of(a), a.text


PATHS = ["/../etc/passwd", "/..", "/api/../../etc/passwd", "/api/./version", "/api//version", "/api/version%00", "/api/version%2e%2e",
         "/%2e%2e/%2e%2e/etc/passwd", "/api/blobs/..%2f..%2f..%2fetc%2fpasswd", "/api/blobs/%2e%2e", "/api/blobs/a/b", "/api/blobs/", "/api/blobs",
         "/api/%", "/api/%g", "/api/%f", "/api/%-1", "/%", "/%00", "/\\..\\x", "/api/VERSION", "/API/version", "/api/version;x",
         "/api/version/x", "/api/show/", "/api", "/api/", "/.git/config", "/~root", "*", "http://localhost/api/version", "http://evil.example/",
         "//evil.example/api/version", "/" + "a" * 5000, "/" + "%61" * 3000, "/api/version?" + "q" * 9000, "/?/../x", "/#", "/ x", "",
         "/\xff\xfe", "/\x7f"]


def test_odd_paths(server):
    for path in PATHS:
        for method in ("GET", "POST", "DELETE", "HEAD"):
            with socket.create_connection(("127.0.0.1", server.port), 10) as s:
                s.sendall(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}".encode("latin1"))
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
                assert status in (200, 204, 301, 307, 308, 400, 401, 403, 404, 405, 413, 501), (method, path, status)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "TRACE", "CONNECT", "OPTIONS", "get", "G" * 5000, "PROPFIND", "", "\xff", "G\0T", "PRI"])
def test_odd_methods(server, method):
    for path in ("/api/generate", "/", "/api/blobs/sha256:" + "0" * 64):
        try:
            out = server.raw(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode("latin1"), timeout=15)
        except ConnectionResetError:
            continue
        assert not out or out.startswith(b"HTTP/1.1 4") or out.startswith(b"HTTP/1.1 204"), out[:200]


@pytest.mark.parametrize("head", [
    b"", b"\r\n\r\n", b"\n\n", b"\0\0\0\0\r\n\r\n", b"GET\r\n\r\n", b"GET /\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/0.9\r\n\r\n", b"GET / HTTP/1.1\r\nHost\r\n\r\n",
    b"GET / HTTP/1.1\r\n: x\r\n\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\n folded: x\r\n\r\n", b"GET / HTTP/1.1\nHost: localhost\n\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", b"GET / HTTP/1.1\r\nHost: \0\r\n\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: \x01\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 5000 + b"\r\n", b"GET / HTTP/1.1\r\nX: " + b"y" * 600000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", b"SSH-2.0-x\r\n", b"*1\r\n$4\r\nPING\r\n",
    b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1x\r\n\r\n",
    b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx",
    b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\nxx", b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nExpect: 200-maybe\r\nContent-Length: 2\r\n\r\n{}",
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
        except (ConnectionResetError, BrokenPipeError, TimeoutError):
            pass
    assert not out or out.startswith((b"HTTP/1.1 ", b"HTTP/1.0 ")), out[:200]
    assert b"HTTP/1.1 5" not in out[:12], out[:300]


# ---- halves, hurry, patience -----------------------------------------------------------------------------


def post_head(path, length, *more):
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {length}", *more, "", ""]).encode()


def test_half_bodies_and_goodbyes(server):
    body = json.dumps({"model": "m", "prompt": "x", "stream": True, "options": {"num_predict": 200}}).encode()
    for path in (G, C, SHOW, CREATE, COPY, "/api/blobs/sha256:" + "1" * 64):
        for cut in (0, 1, len(body) // 2, len(body) - 1):
            with socket.create_connection(("127.0.0.1", server.port), 10) as s:
                s.sendall(post_head(path, len(body)) + body[:cut])
    for wait in (0, 0.001, 0.01, 0.05):
        for _ in range(5): # the whole request, and gone before or in the answer
            with socket.create_connection(("127.0.0.1", server.port), 10) as s:
                s.sendall(post_head(G, len(body)) + body)
                time.sleep(wait)
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0") # a reset
    for _ in range(200):
        if not any(x["active"] for x in server.get("/api/ps").json()["models"]):
            return
        time.sleep(0.02)
    pytest.fail("the engine works for nobody")


def test_many_leave_at_once(server):
    body = json.dumps({"model": "m", "prompt": "x " * 60, "stream": True, "options": {"num_predict": 6}}).encode()

    def one(i):
        with socket.create_connection(("127.0.0.1", server.port), 60) as s:
            s.sendall(post_head(G, len(body)) + body)
            if i % 3:
                s.recv(1 + i * 37)

    threads = [threading.Thread(target=one, args=(i,)) for i in range(48)]
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
    out = server.raw(b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n\0\xffnonsense\r\n\r\n", timeout=15)
    assert out.startswith(b"HTTP/1.1 200 ")


def test_oversized_bodies_are_cut_off(server):
    for path, size in ((SHOW, 2 << 20), (COPY, 2 << 20), (CREATE, 5 << 20)):
        try:
            a = server.post(path, b'{"model":"' + b"m" * size + b'"}')
        except (BrokenPipeError, ConnectionResetError):
            continue # refused before all of it was sent
        assert (a.status, a.json()) == (413, {"error": "request body too large"}), path


# ---- files through the API ------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"x", b"GGUF", b"GGUF" + b"\xff" * 100, b"GGML" * 100, b"PK\3\4" * 50, b"{}", bytes(4096),
                                  b"GGUF\3\0\0\0" + b"\xff" * 16, b"GGUF\3\0\0\0" + bytes(16)])
def test_what_is_no_model_is_not_made_one(server, data):
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    assert server.post("/api/blobs/" + digest, data, headers={"Content-Length": str(len(data))}).status in (200, 201)
    a = server.post(CREATE, {"model": "never", "files": {"m.gguf": digest}, "stream": False})
    assert a.status in (400, 500, 501), a.text
    error_of(a)
    a = server.post(CREATE, {"model": "never", "files": {"m.gguf": digest}})
    assert '"error"' in a.text and "success" not in a.text
    assert server.post(SHOW, {"model": "never"}).status == 404


# ---- a store that somebody damaged -------------------------------------------------------------------------


def test_a_damaged_store_breaks_no_other_model(make_server):
    """Manifests as no program writes them: each is an error of its model, and hides none of the others."""
    s = make_server()
    library = next(s.store.glob("manifests/*/*"))
    good = json.loads((library / "m/latest").read_bytes())
    layer = next(x for x in good["layers"] if x["mediaType"].endswith("image.model"))

    def blob(data, kind):
        digest = hashlib.sha256(data).hexdigest()
        (s.store / "blobs" / f"sha256-{digest}").write_bytes(data)
        return {"mediaType": f"application/vnd.ollama.image.{kind}", "digest": f"sha256:{digest}", "size": len(data)}

    def layers(*some):
        return {**good, "layers": list(some)}

    broken = [b"", b"x", b"null", b"[]", b"\0" * 99, b"\xff" * 50, b"[" * 99999, json.dumps(good).encode()[:-9],
              {**good, "layers": {}}, layers(1), layers(None), layers({**layer, "digest": 5}), layers({**layer, "size": -1}),
              layers({**layer, "digest": "sha256:../../../../etc/passwd"}), layers({**layer, "digest": "sha256:" + "0" * 64}),
              layers({**layer, "size": "x"}), layers({**layer, "mediaType": 5}), layers({**layer, "mediaType": "x" * 9999}),
              layers(*[layer] * 2000), {**good, "config": {**layer, "mediaType": good["config"]["mediaType"]}},
              layers(layer, blob(b"[]", "params")), layers(layer, blob(b"\xff", "system")), layers(layer, blob(b"{}", "messages"))]
    for i, manifest in enumerate(broken):
        (library / f"broken{i}").mkdir()
        (library / f"broken{i}" / "latest").write_bytes(manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode())
    for name in ("dir", "link", "fifo", ".hidden", "a b"):
        (library / name).mkdir()
    (library / "dir/latest").mkdir()
    os.symlink("/etc/passwd", library / "link/latest")
    os.mkfifo(library / "fifo/latest")
    (library / "a b/latest").write_text(json.dumps(good))
    (library / "file").write_bytes(b"x")
    for name in [f"broken{i}" for i in range(len(broken))] + ["dir", "link", "fifo", ".hidden", "a b"]:
        for path, body in ((SHOW, {}), (G, {"prompt": "x", "stream": False, "options": ONE})):
            a = s.post(path, {"model": name, **body})
            if s.is_fake and a.status == 200:
                continue # the fake engine opens no files
            assert a.status in (400, 404, 500), (name, path, a.status, a.text[:300])
            assert "root:" not in error_of(a)
        a = s.ask("DELETE", DELETE, {"model": name})
        assert a.status in (200, 400, 404, 500), (name, a.text)
    assert "m:latest" in [x["name"] for x in s.get("/api/tags").json()["models"]]
    a = s.post(G, {"model": "m", "prompt": "x", "stream": False, "options": ONE})
    assert a.status == 200, a.text
