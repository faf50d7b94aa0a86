"""tests/api/test_hostile.py - requests that no client means well: every field with every wrong
type, numbers at their ends, nesting, names and digests that want out of the store. Odd paths, heads
and halves are in test_hostile_wire.py.

After each test the same process answers, the store holds what it held, and nothing lies beside it.
What a single field's error says is in test_errors.py; here it is 400 and names the field.
"""
import hashlib
import json
import os
import random
import time

import pytest

G, C, SHOW, COPY, CREATE, DELETE = ("/api/generate", "/api/chat", "/api/show", "/api/copy",
                                    "/api/create", "/api/delete")
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


# ---- types -----------------------------------------------------------------------------------

SAMPLES = {
    "string": "x", "number": 7, "fraction": 1.5, "boolean": True, "array": [1], "object": {"a": 1}
}
NUMBER = {"number", "fraction"}
FIELDS = [  # path, a right body, field, what is right
    *[(G, {"model": "m", "prompt": "x", "options": ONE}, f, ok)
      for f, ok in (("model", {"string"}), ("prompt", {"string"}), ("suffix", {"string"}),
                    ("system", {"string"}), ("template", {"string"}), ("raw", {"boolean"}),
                    ("stream", {"boolean"}), ("options", {"object"}), ("context", {"array"}),
                    ("images", set()), ("truncate", {"boolean"}), ("shift", {"boolean"}),
                    ("keep_alive", {"string"} | NUMBER), ("logprobs", {"boolean"}),
                    ("top_logprobs", {"number"}), ("think", {"string", "boolean"}),
                    ("format", {"object"}))],
    *[(C, {"model": "m", "messages": MSG, "options": ONE}, f, ok)
      for f, ok in (("model", {"string"}), ("messages", set()), ("tools", {"array"}),
                    ("stream", {"boolean"}), ("options", {"object"}), ("truncate", {"boolean"}),
                    ("shift", {"boolean"}), ("keep_alive", {"string"} | NUMBER),
                    ("logprobs", {"boolean"}), ("top_logprobs", {"number"}),
                    ("think", {"string", "boolean"}), ("format", {"object"}))],
    *[(SHOW, {"model": "m"}, f, ok) for f, ok in (("model", {"string"}), ("verbose", {"boolean"}),
                                                  ("system", {"string"}), ("options", {"object"}))],
    *[(COPY, {"source": "nope", "destination": "n"}, f, {"string"})
      for f in ("source", "destination")],
    *[(CREATE, {"model": "never", "from": "nope"}, f, ok)
      for f, ok in (("model", {"string"}), ("from", {"string"}), ("files", {"object"}),
                    ("stream", {"boolean"}), ("template", {"string"}), ("system", {"string"}),
                    ("license", {"string", "array"}), ("parameters", {"object"}),
                    ("messages", set()), ("quantize", {"string"}), ("adapters", {"object"}))],
    (DELETE, {"model": "nope"}, "model", {"string"}),
]


@pytest.mark.parametrize("path, body, field, right",
                         FIELDS,
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
        body = {"model": "m"}  # without a prompt: an answer would be as long as it likes
    a = server.ask(method, path, {**body, field: None})
    error = a.body if path in (G, C, SHOW) and field not in ("model", "messages") else b""
    assert b"cannot unmarshal" not in error and a.status < 500


@pytest.mark.parametrize("message", [
    "x", 1, [], None, {"role": 1}, {"role": []}, {"role": "user", "content": 1
                                                  }, {"role": "user", "content": [1]},
    {"role": "user", "content": [{}]}, {"role": "user", "content": [{"type": "text", "text": 1}]}, {
        "role": "user",
        "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]
    }, {"role": "user", "content": "x", "images": "x"}, {
        "role": "user", "content": "x", "images": [1]
    }, {"role": "user", "content": "x", "tool_calls": "x"}, {
        "role": "user", "content": "x", "tool_calls": [1]
    }, {"role": "user", "content": "x", "tool_name": 1
        }, {"role": "user", "content": "x", "thinking": {}}
])
def test_a_wrong_message_is_a_400(server, message):
    a = server.post(C, {"model": "m", "messages": [message], "options": ONE})
    assert a.status == 400 and "essage" in error_of(a), a.text


ODD_NUMBERS = [
    -1, 0, 1, 2**31 - 1, 2**31, -2**31 - 1, 2**32, 2**53 + 1, 2**63 - 1, -2**63, 0.5, -0.0, 1e-320,
    1e38, 1e39, 1e308, -1e308
]
OPTIONS = [
    "num_ctx", "num_batch", "num_thread", "num_keep", "num_predict", "seed", "top_k",
    "repeat_last_n", "temperature", "top_p", "min_p", "typical_p", "repeat_penalty",
    "presence_penalty", "frequency_penalty", "num_gpu", "main_gpu"
]


@pytest.mark.parametrize("option", OPTIONS)
def test_numbers_at_their_ends(server, option):
    for n in ODD_NUMBERS:
        a = server.post(
            G, {"model": "m", "prompt": "x", "stream": False, "options": {**ONE, option: n}}
            if option != "num_predict" else
            {"model": "m", "prompt": "", "stream": False, "options": {option: n}})
        assert a.status in (200, 400), (n, a.status, a.text)
        if a.status == 400:
            assert option in error_of(a) or "request (" in a.text, (n, a.text)
    for v in ("1", True, [1], {"a": 1}, [], "", "NaN"):
        a = server.post(
            G, {"model": "m", "prompt": "x", "stream": False, "options": {**ONE, option: v}})
        assert a.status == 400 and f'option "{option}" must be of type' in error_of(a), (v, a.text)


@pytest.mark.parametrize("text", [
    "NaN", "Infinity", "-Infinity", "1e400", "-1e400", "9" * 400, "0x10", "01", "+1", ".5", "1.",
    "1e", "--1", "1_000", "true false", "'1'", "nul", "\u0661"
])
def test_what_is_no_json_number(server, text):
    a = server.post(G, b'{"model":"m","prompt":"x","options":{"seed":' + text.encode() + b"}}")
    assert a.status == 400
    error_of(a)


@pytest.mark.parametrize(
    "stop", [[1], [None], {"a": "b"}, 5, True, ["x"] * 65, ["y" * 1025], "z" * 5000, ["a\0b"]])
def test_wrong_stops(server, stop):
    a = server.post(
        G, {"model": "m", "prompt": "x", "stream": False, "options": {**ONE, "stop": stop}})
    assert a.status == 400 and ("stop" in error_of(a) or "NUL" in a.text), a.text


@pytest.mark.parametrize("keep", [
    "1e9h", "-", "5", "h", "1h1", "99999999999999999999h", "0x5s", "1 h", "\u0665s", "nan", "inf",
    "9223372036854775808ns", ".", ".s", "1..5s", "--1s", "1h" * 10000 + "x"
])
def test_wrong_durations(server, keep):
    a = server.post(G, {"model": "m", "keep_alive": keep})
    assert a.status == 400 and "time: " in error_of(a), a.text[:200]
    assert len(a.body) < 1000


@pytest.mark.parametrize("keep", [1e300, -1e300, 2**62, -2**63, 1e-300, 2**63 - 1])
def test_endless_durations(server, keep):
    assert server.post(G, {"model": "m", "keep_alive": keep, "stream": False}).status == 200
    at = server.get("/api/ps").json()["models"]
    assert all(x["expires_at"][:4].isdigit() for x in at)
    server.post(G, {"model": "m", "keep_alive": "5m"})


@pytest.mark.parametrize("context",
                         [[-1], [2**31], [2**31 - 1], [0.5], ["1"], [None], [[1]], [2**63 - 1]])
def test_wrong_contexts(server, context):
    a = server.post(
        G, {"model": "m", "prompt": "x", "context": context, "stream": False, "options": ONE})
    if server.is_fake and context == [2**31 - 1]:
        return  # the fake engine has no vocabulary
    assert a.status == 400, a.text
    error_of(a)


# ---- JSON ------------------------------------------------------------------------------------


def broken_bodies():
    rng = random.Random(5)
    good = json.dumps(
        {
            "model": "m", "prompt": "x\u00e9\U0001f600\\\"",
            "options": {"num_predict": 1, "stop": ["a", "b"]}, "messages": MSG, "stream": False
        },
        ensure_ascii=False).encode()
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
    yield from (b'{"model":"m"' + x
                for x in (b',"prompt":"\xff\xfe"}', b',"prompt":"\xc0\x80"}',
                          b',"prompt":"\xed\xa0\x80"}', b',"prompt":"\xf4\x90\x80\x80"}',
                          b',"prompt":"\\ud800"}', b',"prompt":"\\udc00\\ud800"}',
                          b',"prompt":"\\u12"}', b',"prompt":"\\x41"}', b',"prompt":"a\x01b\nc"}',
                          b',"prompt":"', b',,}', b':', b',"model":"m","model":[]}',
                          b',"\\u0000":1}', b',"\xff":1}', b',"":1}', b'}}}}', b"} {", b"}\0\0\0",
                          b',"prompt":"x"/*c*/}', b",'prompt':'x'}"))
    yield from (b"\xef\xbb\xbf{}", b"\0", b"\xff", b"{\"a\"", b"tru", b"-", b'"', b"\\",
                b"\x1f\x8b\x08\0\0", b"model=m&prompt=x", b"<?xml version='1.0'?><a/>",
                b"{}" * 1000, b" " * 70000, b"[" * 500000)
    yield b'{"model":"m",' + b",".join(b'"k%d":%d' % (i, i) for i in range(50000)) + b"}"
    yield b'{"model":"m","' + b"k" * 900000 + b'":1}'
    yield b'{"model":"m","options":{' + b",".join(b'"o%d":1' % i
                                                  for i in range(20000)) + b',"num_predict":1}}'


def test_broken_json_on_every_route(server):
    bodies = list(broken_bodies())
    if not server.is_fake:  # a body that lost its num_predict would be answered at length
        bodies = [
            b.replace(b'"prompt"', b'"system"').replace(b'"messages"', b'"massages"')
            for b in bodies
        ]
    for i, body in enumerate(bodies):
        for path in ((G, C, SHOW, CREATE, COPY, DELETE) if len(body) < 200 else
                     (G, (C, SHOW)[i % 2])):
            a = server.ask("DELETE", path, body.replace(
                b'"m"', b'"gone"')) if path == DELETE else server.post(path, body)
            assert a.status in (200, 400, 403, 404, 413, 501), (path, body[:200], a.status,
                                                                a.text[:300])
            assert len(a.body) < 2_000_000
            if a.status != 200:
                error_of(a)
            else:
                a.text  # UTF-8, whatever came in


def test_wide_requests_end_soon(server):
    t0 = time.monotonic()
    for body in ({"model": "m", "messages": MSG * 16385}, {
            "model": "m", "messages": [{"role": "user", "content": "x",
                                        "tool_calls": [{}] * 50000}], "options": ONE
    }, {"model": "m", "messages": [{"role": "r" * 100000, "content": "x"}],
            "options": ONE}, {"model": "m", "messages": MSG, "tools": [{}] * 100000}):
        a = server.post(C, {"stream": False, **body})
        assert a.status in (200, 400), a.text[:300]
    assert time.monotonic() - t0 < (60 if server.is_sanitized() else 10)


# ---- names, digests, paths -------------------------------------------------------------------

BAD_NAMES = [  # white space round a name is cut off (3), so " m" is none
    "..",
    ".",
    "/",
    "//",
    "///",
    "../m",
    "../../m",
    "../../../../etc/passwd",
    "/etc/passwd",
    "m/../m",
    "m/..",
    "a/b/c/../d",
    "a/b/c/d/e",
    "a//b",
    "/m",
    "m/",
    "m//",
    ":",
    ":m",
    "m:",
    "m::",
    "m:a:b",
    "m:/x",
    "m:../x",
    "m:..",
    "m:.",
    "m:-",
    "-m",
    ".m",
    "m:.hidden",
    "a b",
    "m\tm",
    "m\nm",
    "m\r\nX: y",
    "m\x01",
    "m\x7f",
    "m\x1b[31m",
    "\u00e9",
    "m\u202e",
    "\U0001f600",
    "m%2fx",
    "m%00",
    "m\\x",
    "..\\m",
    "C:\\m",
    "C:/m",
    "m?x",
    "m#x",
    "m*",
    "m|x",
    "m<x",
    "m'",
    'm"',
    "m;ls",
    "$(id)",
    "`id`",
    "m&x",
    "m=x",
    "m@sha256:0",
    "m@",
    "~",
    "~/m",
    "a" * 81,
    "m:" + "t" * 81,
    "n" * 81 + "/m",
    "h" * 351 + "/n/m",
    "x" * 100000,
    "http://",
    "://m",
    "file:///etc/passwd",
    "file://x/../../m",
    "ns.dot/m",
    "h/ns/m/../x:t",
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
            assert min(a.body) >= 32, (path, a.body)  # controls are escaped


BAD_DIGESTS = [
    "",
    "x",
    "sha256",
    "sha256:",
    "sha256-",
    "sha256:0",
    "sha256:" + "0" * 63,
    "sha256:" + "0" * 65,
    "sha256:" + "g" * 64,
    "md5:" + "0" * 32,
    "sha512:" + "0" * 128,
    "0" * 64,
    "sha256:" + "0" * 64 + "/",
    "sha256:../../../../etc/passwd",
    "sha256-..",
    "../manifests",
    "..",
    ".",
    "...",
    "sha256:" + "../" * 21 + "a",
    "sha256:" + "0" * 62 + "..",
    "sha256 :" + "0" * 64,
    " sha256:" + "0" * 64,
    "sha256:" + "0" * 64 + " ",
    "sha256:" + " " * 64,
    "sha256:" + "-1" * 32,
    "sha256:" + "0x" * 32,
    "sha256;" + "0" * 64,
    "sha256::" + "0" * 63,
    "sha256_" + "0" * 64,
    "sha256:" + "0" * 100000,
    "\u0661" * 64,
    "sha256:" + "\u0660" * 64,
]


def quoted(s):
    return "".join(
        chr(b) if 48 <= b < 58 or 65 <= b < 91 or 97 <= b < 123 or chr(b) in "-_." else f"%{b:02x}"
        for b in s.encode())


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


@pytest.mark.parametrize("name", [
    "/etc/passwd", "../x.gguf", "a/../../x.gguf", "..\\x.gguf", "C:\\x.gguf", "C:x", "\\\\host\\x",
    "", "a/..", ".."
])
def test_bad_file_names_in_create(server, name):
    a = server.post(CREATE,
                    {"model": "never", "files": {name: server.model_digest}, "stream": False})
    assert a.status == 400 and "file path must be relative" in error_of(a), a.text
