"""tests/api/test_errors.py - every error as spec/api.md and clients.md say it."""
import socket
import threading
import time

import pytest

G, C = "/api/generate", "/api/chat"
MSG = [{"role": "user", "content": "x"}]
THINK = 'must be a boolean or string ("high", "medium", "low", "max", true, or false)'


@pytest.mark.parametrize("path, body, status, error", [
    (G, None, 400, "missing request body"),
    (C, b" \n", 400, "missing request body"),
    ("/api/show", b"", 400, "missing request body"),
    (G, b'{"model":"m"', 400, "unexpected EOF"),
    (G, b"{", 400, "unexpected EOF"),
    (G, b"[]", 400, "cannot unmarshal array"),
    (G, b'"x"', 400, "cannot unmarshal string"),
    (G, b"1", 400, "cannot unmarshal number"),
    (G, b"x", 400, "invalid character"),
    (G, b'{"model":"m","options":{"seed":9223372036854775808}}', 400, 'option "seed" is 9.22337e+18'),
    (G, b'{"model":"m","options":{"temperature":1e400}}', 400, "number out of range"),
    (G, b'{"model":"m","prompt":"\\u0000"}', 400, "NUL"),
    (G, {"model": "nope"}, 404, "model 'nope' not found"),
    (C, {"model": "nope", "messages": MSG}, 404, "model 'nope' not found"),
    ("/api/show", {"model": "nope"}, 404, "model 'nope:latest' not found"),
    (G, {}, 404, "model '' not found"),
    (G, b"null", 404, "model '' not found"),
    (C, {}, 400, "model is required"),
    ("/api/show", {}, 400, "model is required"),
    (G, {"model": "a b"}, 400, "invalid model name"),
    (C, {"model": ":x"}, 400, "invalid model name"),
    (C, {"model": "x:1b:cloud:local"}, 400, "use either :local or :cloud, not both"),
    (G, {"model": "x:cloud"}, 403, "ollama cloud is disabled: remote model is unavailable"),
    (G, {"model": 5}, 400, "json: cannot unmarshal number into field model of type string"),
    (G, {"model": "m", "prompt": ["x"]}, 400,
     "json: cannot unmarshal array into field prompt of type string"),
    (G, {"model": "m", "stream": "yes"}, 400,
     "json: cannot unmarshal string into field stream of type boolean"),
    (G, {"model": "m", "options": []}, 400,
     "json: cannot unmarshal array into field options of type object"),
    (G, {"model": "m", "prompt": "x", "context": [1.5]}, 400,
     "json: cannot unmarshal number 1.5 into field context of type integer"),
    (G, {"model": "m", "top_logprobs": 3.0}, 400, "of type integer"),
    (G, {"model": "m", "top_logprobs": 21}, 400, "top_logprobs must be between 0 and 20"),
    (C, {"model": "m", "messages": {}}, 400, "into field messages of type array"),
    (C, {"model": "m", "messages": [{"role": "user", "content": {}}]}, 400,
     "json: cannot unmarshal object into field messages.content of type string"),
    (C, {"model": "m", "messages": [{"content": "x"}]}, 400, "message role is required"),
    (G, {"model": "m", "keep_alive": "5"}, 400, 'time: missing unit in duration "5"'),
    (G, {"model": "m", "keep_alive": "5d"}, 400, 'time: unknown unit "d" in duration "5d"'),
    (G, {"model": "m", "keep_alive": "abc"}, 400, 'time: invalid duration "abc"'),
    (G, {"model": "m", "keep_alive": ""}, 400, 'time: invalid duration ""'),
    (G, {"model": "m", "keep_alive": True}, 400, "Unsupported type: 'bool'"),
    (G, {"model": "m", "keep_alive": []}, 400, "Unsupported type: '[]interface {}'"),
    (G, {"model": "m", "keep_alive": {}}, 400, "Unsupported type: 'map[string]interface {}'"),
    (G, {"model": "m", "prompt": "x", "think": True}, 400, '"m" does not support thinking'),
    (C, {"model": "m", "messages": MSG, "think": "high"}, 400, '"m" does not support thinking'),
    (G, {"model": "m", "think": "much"}, 400, 'invalid think value: "much" ('),
    (G, {"model": "m", "think": 1}, 400, "think " + THINK),
    (C, {"model": "m", "messages": MSG, "tools": [{"type": "function"}]}, 400,
     "registry.ollama.ai/library/m:latest does not support tools"),
    (G, {"model": "m", "prompt": "x", "suffix": "y"}, 400,
     "registry.ollama.ai/library/m:latest does not support insert"),
    (G, {"model": "m", "prompt": "x", "images": ["aGk="]}, 400, '"m" does not support images'),
    (G, {"model": "m", "prompt": "x", "images": ["data:image/png;base64,aGk="]}, 400,
     '"m" does not support images'),
    *((G, {"model": "m", "prompt": "x", "images": ["aGk=", text]}, 400,
       f"illegal base64 data at input byte {at}") for text, at in [
          ("data:x", 4), ("a", 0), ("aGkx=", 4), ("aGk=a", 4), ("aG=k", 2), ("aG=", 3), ("aGkxaG", 4)]),
    (C, {"model": "m", "messages": [{"role": "user", "content": "x", "images": ["aGk="]}]}, 400,
     '"m" does not support images'),
    (G, {"model": "m", "prompt": "x", "raw": True, "system": "s"}, 400,
     "raw mode does not support template, system, or context"),
    (G, {"model": "m", "prompt": "x", "raw": True, "context": [1]}, 400,
     "raw mode does not support template, system, or context"),
    (G, {"model": "m", "prompt": "x", "format": "xml"}, 400,
     'invalid format: "\\"xml\\""; expected "json" or a valid JSON Schema object'),
    (G, {"model": "m", "prompt": "x", "format": "json", "grammar": "root ::= \"a\""}, 400, "exclude each other"),
    (C, {"model": "m", "messages": MSG, "grammar": 3}, 400, "grammar"),
    (G, {"model": "m", "prompt": "x", "options": {"num_ctx": "x"}}, 400,
     'option "num_ctx" must be of type integer'),
    (G, {"model": "m", "prompt": "x", "options": {"temperature": "x"}}, 400,
     'option "temperature" must be of type float32'),
    (G, {"model": "m", "prompt": "x", "template": "{{ .System"}, 400,
     "template: :1: unclosed action"),
    ("/api/copy", {"source": "m"}, 400, 'destination "" is invalid'),
    ("/api/copy", {"source": "a b", "destination": "n"}, 400, 'source "a b" is invalid'),
    ("/api/copy", {"source": "nope", "destination": "n"}, 404, 'model "nope" not found'),
    ("/api/create", {"model": "c"}, 400, "neither 'from' or 'files' was specified"),
    ("/api/create", {"model": "a b", "from": "m"}, 400, "invalid model name"),
    ("/api/create", {"model": "c", "from": "m", "template": "a\n{{ nosuch }}"}, 400,
     'template error: template: :2: function "nosuch" not defined'),
    ("/api/create", {"from": "m"}, 400, "invalid model name"),
    ("/api/create", {"model": "c", "files": {}}, 400, "unknown type"),
    ("/api/create", {"model": "c", "files": {"/x": "sha256:0"}}, 400,
     "file path must be relative"),
    ("/api/create", {"model": "c", "files": {"a/../x": "sha256:0"}}, 400,
     "file path must be relative"),
    ("/api/create", {"model": "c", "files": {"x": "sha256:0"}}, 400, "invalid digest format"),
    ("/api/create", {"model": "c", "files": {"x": "sha256:" + "0" * 64}}, 400,
     'blob "sha256:' + "0" * 64 + '" not found'),
    ("/api/create", {"model": "c", "from": "m", "parameters": {"num_ctx": "x"}}, 400,
     'option "num_ctx" must be of type integer'),
    ("/api/create", {"model": "c", "from": "m", "quantize": "q4_0"}, 501, "quantize"),
    ("/api/create", {"model": "c", "from": "m", "draft_files": {"a": "b"}}, 400,
     "draft models are not supported"),
    ("/api/pull", {"model": "m"}, 501, "/api/pull"),
    ("/api/me", {}, 401, "unauthorized"),
])
def test_error(server, path, body, status, error):
    a = server.post(path, body)
    assert a.status == status, (a.status, a.text)
    assert list(a.json()) == ["error"] and error in a.json()["error"], a.text
    assert a.headers["Content-Type"].startswith("application/json")
    assert str(server.store) not in a.text


def test_delete_errors(server):
    for body, status, error in (({}, 400, "model is required"),
                                ({"model": "a b"}, 400, 'name "a b" is invalid'),
                                ({"model": "nope"}, 404, "model 'nope' not found"),
                                (None, 400, "missing request body")):
        a = server.ask("DELETE", "/api/delete", body)
        assert (a.status, a.json()) == (status, {"error": error})


def test_think_false_is_fine_without_thinking(server):
    a = server.post(G, {"model": "m", "prompt": "x", "think": False, "stream": False,
                        "options": {"num_predict": 1}})
    assert a.status == 200, a.text


def test_odd_values_of_options_are_taken_as_the_reference_takes_them(server):
    for k, v in {"top_p": -1, "min_p": -1, "typical_p": 0, "num_thread": -1, "num_batch": -1,
                 "temperature": 1000, "seed": 2**63 - 1, "presence_penalty": -200, "num_gpu": -1}.items():
        a = server.post(G, {"model": "m", "prompt": "x", "stream": False, "options": {"num_predict": 1, k: v}})
        assert a.status == 200, (k, a.text)


def test_images_without_a_prompt_load(server):
    a = server.post(G, {"model": "m", "images": ["aGk="]})
    assert (a.status, a.json()["done_reason"]) == (200, "load")


def test_empty_lists_are_like_absent_ones(server):
    a = server.post(C, {"model": "m", "messages": [{"role": "user", "content": "x", "images": []}],
                        "tools": [], "format": "", "stream": False, "options": {"num_predict": 1}})
    assert a.status == 200, a.text


def test_unknown_path_is_a_text_404(server):
    for method in ("GET", "POST"):
        a = server.ask(method, "/api/nothing")
        assert (a.status, a.text) == (404, "404 page not found")
        assert a.headers["Content-Type"] == "text/plain"


@pytest.mark.parametrize("method, path, allow", [
    ("GET", G, "POST"), ("POST", "/api/tags", "GET, HEAD"), ("GET", "/api/delete", "DELETE"),
    ("PUT", "/", "GET, HEAD"), ("GET", "/api/blobs/sha256:0", "HEAD, POST"),
    ("HEAD", "/api/ps", None)])
def test_wrong_method_is_a_405_with_allow(server, method, path, allow):
    a = server.ask(method, path)
    if allow is None:  # chaski may answer HEAD where the reference does not
        assert a.status in (200, 405)
        return
    assert (a.status, a.headers["Allow"]) == (405, allow)
    assert a.text == "405 method not allowed" and a.headers["Content-Type"] == "text/plain"


def test_body_limits(server):
    a = server.post("/api/show", b'{"model":"' + b"m" * (2 << 20) + b'"}')
    assert (a.status, a.json()) == (413, {"error": "request body too large"})


def test_a_body_that_is_too_large_is_refused_before_it_comes(server):
    out = server.raw(b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\n"
                     b"Content-Length: 99999999999\r\n\r\n", until=b"}")
    assert out.startswith(b"HTTP/1.1 413 ") and out.endswith(b'{"error":"request body too large"}')
    chunk = b"100000\r\n" + b"m" * (1 << 20) + b"\r\n"
    out = server.raw(b"POST /api/show HTTP/1.1\r\nHost: localhost\r\n"
                     b"Transfer-Encoding: chunked\r\n\r\n" + 2 * chunk + b"0\r\n\r\n", until=b"}")
    assert out.startswith(b"HTTP/1.1 413 ") and out.endswith(b'{"error":"request body too large"}')


def test_a_missing_host_passes(server):
    assert server.raw(b"GET / HTTP/1.0\r\n\r\n").endswith(b"Ollama is running")


def test_deep_and_wide_json_is_refused_before_parsing(server):
    a = server.post(G, b'{"model":"m","x":' + b"[" * 200 + b"]" * 200 + b"}")
    assert a.status == 400 and "nested" in a.json()["error"]
    a = server.post(G, b'{"model":"m","x":' + b"[" * 100 + b"]" * 100 + b"}")
    assert a.status == 200
    a = server.post(G, b'{"model":"m","x":[' + b"1," * (1 << 20) + b"1]}")
    assert a.status == 400 and "values" in a.json()["error"]


# ---- origins and hosts (1.6) -------------------------------------------------------------------


def from_origin(server, origin, method="GET", path="/api/version", host=None):
    headers = {"Origin": origin}
    if host:
        headers["Host"] = host
    return server.ask(method, path, headers=headers)


@pytest.mark.parametrize("origin", [
    "http://localhost:3000", "https://localhost", "http://127.0.0.1:5", "http://0.0.0.0",
    "app://obsidian.md", "vscode-webview://x", "tauri://localhost", "file://"])
def test_allowed_origins(server, origin):
    a = from_origin(server, origin)
    assert (a.status, a.headers["Access-Control-Allow-Origin"]) == (200, origin)
    assert a.headers["Vary"] == "Origin" and "Access-Control-Allow-Credentials" not in a.headers


@pytest.mark.parametrize("origin", [
    "http://evil.example", "chrome-extension://x", "null", "http://localhost.evil.example",
    "http://127.0.0.1.evil.example:80"])
def test_other_origins_are_refused_before_the_handler(server, origin):
    a = from_origin(server, origin)
    assert (a.status, a.body) == (403, b"")
    a = server.post("/api/copy", {"source": "m", "destination": "stolen"},
                    headers={"Origin": origin})
    assert a.status == 403
    assert server.post("/api/show", {"model": "stolen"}).status == 404


def test_same_origin_has_no_cors_headers(server):
    a = from_origin(server, f"http://127.0.0.1:{server.port}")
    assert a.status == 200
    a = from_origin(server, "http://x.local:1", host="x.local:1")
    assert a.status == 200 and "Access-Control-Allow-Origin" not in a.headers


def test_preflight(server):
    a = from_origin(server, "http://localhost:3000", "OPTIONS", C)
    assert a.status == 204 and a.body == b""
    assert a.headers["Access-Control-Allow-Methods"] == "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS"
    assert "Content-Type" in a.headers["Access-Control-Allow-Headers"]
    assert a.headers["Access-Control-Max-Age"] == "43200"
    assert from_origin(server, "http://evil.example", "OPTIONS", C).status == 403


@pytest.mark.parametrize("host, status", [
    ("localhost", 200), ("localhost:80", 200), ("x.localhost", 200), ("box.local", 200),
    ("host.docker.internal:11434", 200), ("127.0.0.1:1", 200), ("10.1.2.3", 200),
    ("192.168.1.9:80", 200), ("[::1]:80", 200), ("0.0.0.0", 200),
    ("evil.example", 403), ("8.8.8.8", 403), ("localhost.evil.example", 403), ("[2001:db8::1]", 403)])
def test_host_check(server, host, status):
    a = server.get("/api/version", headers={"Host": host})
    assert a.status == status and (status == 200 or a.body == b"")


def test_options_without_origin(server):
    assert server.ask("OPTIONS", C, headers={"Host": "localhost"}).status == 204
    assert server.ask("OPTIONS", C).status == 405


def test_more_origins_and_open_binds(make_server):
    s = make_server(model=False, OLLAMA_ORIGINS="https://a.example, http://*.b.example ,bad",
                    host="0.0.0.0")
    assert from_origin(s, "https://a.example").status == 200
    assert from_origin(s, "http://x.b.example").status == 200
    assert from_origin(s, "http://b.example").status == 403
    assert s.get("/", headers={"Host": "ollama:11434"}).status == 200
    assert '"bad"' in s.log()
    s = make_server(model=False, OLLAMA_ORIGINS="*")
    a = from_origin(s, "http://evil.example")
    assert (a.status, a.headers["Access-Control-Allow-Origin"]) == (200, "*")
    assert "Vary" not in a.headers


# ---- load ---------------------------------------------------------------------------------------


@pytest.mark.fake
def test_a_full_queue_is_a_503_with_retry_after(make_server):
    s = make_server(OLLAMA_MAX_QUEUE="4")
    got = []

    def one():
        a = s.post(G, {"model": "m", "prompt": "fake:delay=10 fake:words=20", "stream": False})
        got.append((a.status, a.headers["Retry-After"], a.json().get("error")))

    threads = [threading.Thread(target=one) for _ in range(60)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    text = "server busy, please try again.  maximum pending requests exceeded"
    assert set(got) == {(200, None, None), (503, "1", text)}


def test_too_many_connections_are_closed(make_server):
    s = make_server(model=False, CHASKI_LIMIT_CONNECTIONS="20")
    held = [socket.create_connection(("127.0.0.1", s.port), 5) for _ in range(40)]
    time.sleep(0.3)
    closed = 0
    for h in held:
        h.settimeout(0.01)
        try:
            closed += h.recv(1) == b""
        except ConnectionResetError:
            closed += 1
        except TimeoutError:
            pass
    assert closed in (20, 21) and s.log().count("too many connections") <= 2
    for h in held:
        h.close()
    time.sleep(0.3)
    assert s.get("/").status == 200


def test_port_in_use(server):
    import os
    import subprocess
    p = subprocess.run([server.bin, "serve"], capture_output=True, timeout=20, text=True, env={
        **os.environ, "OLLAMA_HOST": f"127.0.0.1:{server.port}", "OLLAMA_MODELS": str(server.store)})
    assert p.returncode == 1
    assert p.stderr.rstrip().endswith(
        f"Error: listen tcp 127.0.0.1:{server.port}: bind: address already in use")
