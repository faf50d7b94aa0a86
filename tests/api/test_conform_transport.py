"""tests/api/test_conform_transport.py - spec/api.md sections 1, 26 and 27, row by row.

Each row: a request, and the status, the Content-Type and the body that must come. The tables are
meant to be read beside the page. Where a row is about one style only, its path says so.
"""
import json
import re

import pytest

JSON = "application/json; charset=utf-8"
PLAIN = "application/json"
TEXT = "text/plain"
POSTS = ["/api/generate", "/api/chat", "/api/show", "/api/create", "/api/copy", "/api/embed",
         "/api/embeddings", "/api/tokenize", "/api/detokenize"]
V1_POSTS = ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/messages"]


def error_of(a):
    """The message in any style."""
    e = a.json()["error"]
    return e if isinstance(e, str) else e["message"]


def there(server, path):
    """Is the route served by this version (501, or 400 under /v1: it is not)?"""
    a = server.post(path, {})
    return "not supported by this version" not in a.text


def served(server, path):
    if not there(server, path):
        pytest.skip(f"{path} is not there yet")


# ---- 1.1 Request reading -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/json",
                                  "image/png", ""])
def test_the_content_type_is_never_looked_at(server, kind):
    a = server.post("/api/show", b'{"model":"m"}', headers={"Content-Type": kind})
    assert a.status == 200


@pytest.mark.parametrize("path", POSTS + V1_POSTS)
@pytest.mark.parametrize("body", [b"", b" \n\t "])
def test_empty_bodies(server, path, body):
    served(server, path)
    a = server.post(path, body)
    assert (a.status, error_of(a)) == (400, "missing request body")


def test_empty_body_of_delete(server):
    a = server.ask("DELETE", "/api/delete", b"")
    assert (a.status, a.json()) == (400, {"error": "missing request body"})


BODIES = [  # body, status, text that must be in the error (None: no error)
    (b'{"model":"m"} trailing {', 200, None),
    (b'{"model":"m"}{"model":"nope"}', 200, None),
    (b'null', 400, "model is required"),
    (b'[]', 400, "cannot unmarshal array"),
    (b'"x"', 400, "cannot unmarshal string"),
    (b'1', 400, "cannot unmarshal number"),
    (b'true', 400, "cannot unmarshal bool"),
    (b'{"model":', 400, "unexpected EOF"),
    (b'{"model":"m"', 400, "unexpected EOF"),
    (b'x', 400, "invalid character 'x' looking for beginning of value"),
    (b'{x', 400, "invalid character 'x' looking for beginning of object key string"),
    (b"{'model':1}", 400, "invalid character '\\'' looking for beginning of object key string"),
    (b'{"model" 1}', 400, "invalid character '1' after object key"),
    (b'{"model":"m" "x"}', 400, "invalid character '\"' after object key:value pair"),
    (b'{"model":[1 2]}', 400, "invalid character '2' after array element"),
    (b'{"model":[1,]}', 400, "invalid character ']' looking for beginning of value"),
    (b'{"model":"m",}', 400, "invalid character '}' looking for beginning of object key string"),
    (b'{"model":tru}', 400, "invalid character '}' in literal true (expecting 'e')"),
    (b'{"model":nil}', 400, "invalid character 'i' in literal null (expecting 'u')"),
    (b'{"model":-}', 400, "invalid character '}' in numeric literal"),
    (b'{"model":1.}', 400, "invalid character '}' after decimal point in numeric literal"),
    (b'{"model":1ex}', 400, "invalid character 'x' in exponent of numeric literal"),
    (b'{"model":01}', 400, "invalid character '1' after object key:value pair"),
    (b'{"model":"a\nb"}', 400, "invalid character '\\n' in string literal"),
    (b'{"model":"\\x"}', 400, "invalid character 'x' in string escape code"),
    (b'{"model":"\\u12g4"}', 400, "invalid character 'g' in \\u hexadecimal character escape"),
    (b'{"model":"\\', 400, "unexpected EOF"),
    (b'{"model":tr', 400, "unexpected EOF"),
    ("ä".encode(), 400, "invalid character 'ä' looking for beginning of value"),
    (b'{"model":"m","unknown":[{"deep":1}]}', 200, None),
    (b'{"MODEL":"m"}', 200, None),
    (b'{"Model":"nope","model":"m"}', 200, None),
    (b'{"model":"nope","model":"m"}', 200, None),
    (b'{"model":"m","system":null,"verbose":null}', 200, None),
    (b'{"model":5}', 400, "model"),
    (b'{"model":"m","verbose":"yes"}', 400, "verbose"),
    (b'{"model":"\xff\xfe"}', 400, None),  # replaced, and then no name
    (b'{"model":"m","system":"\xff"}', 200, None),
    # a number that no 64-bit integer holds is a real, not a broken body
    (b'{"model":"m","unknown":[18446744073709551615,-9223372036854775809,1234567890123456789012]}', 200, None),
    (b'{"model":"m","unknown":[9223372036854775807,0.1234567890123456789012,1.5e00000000000000000001]}', 200, None),
    (b'{"model":"m","unknown":00000000000000000000001}', 400, "invalid character '0' after object key:value pair"),
]


@pytest.mark.parametrize("body,status,says", BODIES)
def test_bodies(server, body, status, says):
    a = server.post("/api/show", body)
    assert a.status == status, a.text
    if says:
        assert says in a.json()["error"]


TYPES = [  # field, value, KIND, TYPE
    ("prompt", 5, "number", "string"), ("prompt", True, "bool", "string"), ("stream", "x", "string", "boolean"),
    ("stream", 1, "number", "boolean"), ("raw", [], "array", "boolean"), ("options", [], "array", "object"),
    ("options", "x", "string", "object"), ("system", {}, "object", "string"), ("context", "x", "string", "array"),
    ("images", "x", "string", "array"), ("top_logprobs", 1.5, "number 1.5", "integer"),
    ("top_logprobs", 3.0, "number 3.0", "integer"), ("suffix", 1, "number", "string"),
    ("template", 1, "number", "string"), ("logprobs", "x", "string", "boolean")]


@pytest.mark.parametrize("field,value,kind,type_", TYPES)
def test_type_errors(server, field, value, kind, type_):
    a = server.post("/api/generate", {"model": "m", "prompt": "x", field: value})
    assert a.status == 400
    assert a.json()["error"].startswith(f"json: cannot unmarshal {kind}"), a.text
    assert field in a.json()["error"] and type_ in a.json()["error"], a.text


def test_query_strings_are_ignored(server):
    assert server.get("/api/tags?x=1&y=%zz").status == 200
    assert server.post("/api/show?beta=true", {"model": "m"}).status == 200


def test_authorization_is_ignored_without_keys(server):
    for h in [{"Authorization": "Bearer x"}, {"x-api-key": "x"}, {"Cookie": "a=b"}, {"api-key": "y"}]:
        assert server.get("/api/tags", headers=h).status == 200


def test_expect_100_continue(server):
    out = server.raw(b"POST /api/show HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
                     b"Content-Length: 13\r\n\r\n", until=b"\r\n\r\n")
    assert out.startswith(b"HTTP/1.1 100 Continue")


def test_http_1_0_and_chunked_requests(server):
    out = server.raw(b"GET / HTTP/1.0\r\n\r\n")
    assert out.startswith(b"HTTP/1.1 200") and out.endswith(b"Ollama is running")
    out = server.raw(b"POST /api/show HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                     b"Transfer-Encoding: chunked\r\n\r\n6\r\n{\"mode\r\n7\r\nl\":\"m\"}\r\n0\r\n\r\n")
    assert out.startswith(b"HTTP/1.1 200")


def test_gzip_bodies_are_not_unpacked(server):
    import gzip
    a = server.post("/api/show", gzip.compress(b'{"model":"m"}'), headers={"Content-Encoding": "gzip"})
    assert (a.status, a.json()) == (400, {
        "error": "invalid character '\\x1f' looking for beginning of value"})


# ---- 1.3, 1.4 Answers, times ---------------------------------------------------------------------


def test_headers_of_answers(server):
    for path in ["/api/tags", "/api/ps", "/api/version", "/"]:
        a = server.get(path)
        assert a.headers["Content-Length"] == str(len(a.body)) and not a.body.endswith(b"\n")
        assert re.fullmatch(r"chaski/\d+\.\d+\.\d+", a.headers["Server"]) and a.headers["Date"]
        assert "Content-Encoding" not in a.headers
    assert server.get("/api/tags").headers["Content-Type"] == JSON
    a = server.get("/v1/models")
    if a.status == 200:
        assert a.headers["Content-Type"] == PLAIN and a.body.endswith(b"\n")


def test_headers_of_streams(server):
    a = server.post("/api/generate", {"model": "m", "prompt": "fake:words=2", "options": {"num_predict": 2}})
    assert a.headers["Content-Type"] == "application/x-ndjson"
    assert a.headers["Transfer-Encoding"] == "chunked" and a.body.endswith(b"}\n")
    a = server.post("/api/generate", {"model": "m", "prompt": "fake:words=2", "stream": False,
                                      "options": {"num_predict": 2}})
    assert a.headers["Content-Type"] == JSON and not a.body.endswith(b"\n")
    a = server.post("/api/create", {"model": "n1", "from": "m", "stream": False})
    assert a.headers["Content-Type"] == PLAIN
    server.ask("DELETE", "/api/delete", {"model": "n1"})


KEEP = [  # keep_alive, error (None: taken)
    ("5m", None), ("300ms", None), ("1.5h", None), ("2h45m", None), ("10us", None), ("10µs", None), ("5ns", None),
    ("-1s", None), ("0", None), (300, None), (1.5, None), (-1, None), ("+5s", None),
    ("abc", 'time: invalid duration "abc"'), ("5", 'time: missing unit in duration "5"'),
    ("5d", 'time: unknown unit "d" in duration "5d"'), ("", 'time: invalid duration ""'),
    (True, "Unsupported type: 'bool'"), ([], "Unsupported type: '[]interface {}'"),
    ({}, "Unsupported type: 'map[string]interface {}'")]


@pytest.mark.parametrize("value,error", KEEP)
def test_keep_alive(server, value, error):
    a = server.post("/api/generate", {"model": "m", "prompt": "fake:words=1", "stream": False,
                                      "keep_alive": value, "options": {"num_predict": 1}})
    if error:
        assert (a.status, a.json()) == (400, {"error": error})
    else:
        assert a.status == 200, a.text


def test_times_are_utc_with_nine_digits(server):
    server.post("/api/generate", {"model": "m", "keep_alive": -1})
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z"
    assert re.fullmatch(stamp, server.get("/api/tags").json()["models"][0]["modified_at"])
    until = server.loaded()["expires_at"]
    assert re.fullmatch(stamp, until) and int(until[:4]) > 2300
    server.post("/api/generate", {"model": "m", "keep_alive": 0})


# ---- 1.6 CORS and Host ----------------------------------------------------------------------------

ALLOWED = ["http://localhost", "https://localhost", "http://localhost:3000", "https://localhost:1",
           "http://127.0.0.1", "https://127.0.0.1:99", "http://0.0.0.0", "https://0.0.0.0:8", "app://x",
           "file://", "tauri://localhost", "vscode-webview://abc", "vscode-file://vscode-app"]
DENIED = ["http://evil.example", "https://localhost.evil.example", "chrome-extension://abc", "null",
          "http://127.0.0.2", "http://localhost.", "ftp://localhost"]


@pytest.mark.parametrize("origin", ALLOWED)
def test_allowed_origins(server, origin):
    a = server.get("/api/version", headers={"Origin": origin})
    assert a.status == 200 and a.headers["Access-Control-Allow-Origin"] == origin
    assert "Origin" in a.headers["Vary"] and "Access-Control-Allow-Credentials" not in a.headers
    a = server.ask("OPTIONS", "/api/chat", headers={"Origin": origin, "Access-Control-Request-Method": "POST"})
    assert a.status == 204 and not a.body
    assert a.headers["Access-Control-Allow-Methods"] == "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS"
    assert a.headers["Access-Control-Max-Age"] == "43200"
    allowed = a.headers["Access-Control-Allow-Headers"].lower()
    for name in ["authorization", "content-type", "x-api-key", "anthropic-version", "anthropic-beta",
                 "anthropic-dangerous-direct-browser-access", "api-key", "x-stainless-retry-count"]:
        assert name in allowed


@pytest.mark.parametrize("origin", DENIED)
def test_denied_origins(server, origin):
    for method, path in [("GET", "/api/version"), ("OPTIONS", "/api/chat"), ("POST", "/api/generate"),
                         ("GET", "/nothing"), ("POST", "/api/blobs/sha256:" + "0" * 64)]:
        a = server.ask(method, path, b"{}" if method == "POST" else None, headers={"Origin": origin})
        assert (a.status, a.body) == (403, b""), (method, path)


def test_the_same_origin_gets_no_cors_headers(server):
    host = f"127.0.0.1:{server.port}"
    a = server.get("/api/version", headers={"Origin": f"http://{host}", "Host": host})
    assert a.status == 200 and "Access-Control-Allow-Origin" not in a.headers


@pytest.mark.parametrize("host,passes", [
    ("localhost", True), ("LOCALHOST:1", True), ("127.0.0.1", True), ("[::1]:5", True), ("10.1.2.3", True),
    ("192.168.0.1:80", True), ("0.0.0.0", True), ("a.localhost", True), ("nas.local", True), ("x.Internal", True),
    ("evil.example", False), ("8.8.8.8", False), ("localhost.evil.example", False), ("evil.local.example", False)])
def test_hosts(server, host, passes):
    a = server.get("/api/version", headers={"Host": host})
    assert (a.status, a.body == b"") == ((200, False) if passes else (403, True))


# ---- 1.7 Unknown paths, methods, slashes, HEAD -----------------------------------------------------

PATHS = [  # method, path, status, body, Allow
    ("GET", "/api/nothing", 404, b"404 page not found", None),
    ("GET", "/nothing", 404, b"404 page not found", None),
    ("GET", "/API/tags", 404, b"404 page not found", None),
    ("GET", "/debug/pprof", 404, b"404 page not found", None),
    ("POST", "/api/web_search", 404, b"404 page not found", None),
    ("POST", "/api/web_fetch", 404, b"404 page not found", None),
    ("POST", "/api/rerank", 404, b"404 page not found", None),
    ("GET", "/api/generate", 405, b"405 method not allowed", "POST"),
    ("POST", "/api/tags", 405, b"405 method not allowed", "GET, HEAD"),
    ("PUT", "/api/delete", 405, b"405 method not allowed", "DELETE"),
    ("DELETE", "/api/version", 405, b"405 method not allowed", "GET, HEAD"),
    ("PATCH", "/", 405, b"405 method not allowed", "GET, HEAD"),
    ("GET", "/api/tags/", 200, None, None),
    ("POST", "/api/show/", 400, None, None),
    ("GET", "//api/tags", 307, b"", None),
    ("GET", "/api/./nothing/..//tags", 307, b"", None),
    ("GET", "/../api/../api/tags", 307, b"", None),
    ("GET", "http://localhost/", 200, b"Ollama is running", None),
    ("GET", "HTTP://localhost:11434", 200, b"Ollama is running", None),
    ("GET", "http://localhost/api/nothing", 404, b"404 page not found", None),
    ("GET", "/\\evil.example/../api/tags", 404, b"404 page not found", None),
]


@pytest.mark.parametrize("method,path,status,body,allow", PATHS)
def test_paths(server, method, path, status, body, allow):
    a = server.ask(method, path)
    assert a.status == status
    if body is not None:
        assert a.body == body
    if status in (404, 405):
        assert a.headers["Content-Type"] == TEXT and a.headers["Allow"] == allow
    if status == 307:
        assert a.headers["Location"] == "/api/tags"


@pytest.mark.parametrize("path", ["/", "/api/version", "/api/tags"])
def test_head_is_get_without_a_body(server, path):
    a, b = server.ask("HEAD", path), server.get(path)
    assert a.status == 200 and not a.body
    for name in ["Content-Type", "Content-Length"]:
        assert a.headers[name] == b.headers[name]


# ---- 26 Endpoints that are not part of this server ---------------------------------------------------

CLOUD = "ollama cloud is disabled: remote model is unavailable"
OTHERS = [  # method, path, body, status, JSON
    ("GET", "/api/status", None, 200, {"cloud": {"disabled": True, "source": "config"}}),
    ("POST", "/api/me", {}, 401, {"error": "unauthorized"}),
    ("POST", "/api/signout", {}, 401, {"error": "you are not currently signed in"}),
    ("DELETE", "/api/user/keys/abc", None, 401, {"error": "you are not currently signed in"}),
    ("POST", "/api/experimental/web_search", {}, 403, {"error": "ollama cloud is disabled: web search is unavailable"}),
    ("POST", "/api/experimental/web_fetch", {}, 403, {"error": "ollama cloud is disabled: web fetch is unavailable"}),
    ("GET", "/api/experimental/model-recommendations", None, 200, {"recommendations": []}),
    ("POST", "/api/generate", {"model": "x:cloud", "prompt": "x"}, 403, {"error": CLOUD}),
    ("POST", "/api/chat", {"model": "x:120b-cloud", "messages": []}, 403, {"error": CLOUD}),
    ("POST", "/v1/audio/transcriptions", {}, 501,
     {"error": {"message": "audio is not supported", "type": "api_error", "param": None, "code": None}}),
]


@pytest.mark.parametrize("method,path,body,status,answer", OTHERS)
def test_what_is_not_served(server, method, path, body, status, answer):
    a = server.ask(method, path, body)
    assert (a.status, a.json()) == (status, answer)


def test_cloud_names_in_other_places(server):
    a = server.post("/api/show", {"model": "x:cloud"})
    assert a.status == 403
    assert a.json()["error"] == "ollama cloud is disabled: remote model details are unavailable"
    served(server, "/v1/chat/completions")
    a = server.post("/v1/chat/completions", {"model": "x:cloud", "messages": [{"role": "user", "content": "x"}]})
    assert a.status == 403 and a.json()["error"]["message"] == CLOUD


@pytest.mark.parametrize("path", ["/v1/images/generations", "/v1/systemone", "/v1/moderations"])
def test_v1_paths_that_are_404(server, path):
    assert server.post(path, {}).status == 404


# ---- 27 Error index ----------------------------------------------------------------------------------

GEN = {"model": "m", "prompt": "x"}
ERRORS = [  # path, body, status, the text (a prefix when it ends in ...)
    ("/api/generate", {"model": "nope"}, 404, "model 'nope' not found"),
    ("/api/generate", {"model": "nope:v1", "prompt": "x"}, 404, "model 'nope:v1' not found"),
    ("/api/chat", {"model": "nope", "messages": []}, 404, "model 'nope' not found"),
    ("/api/chat", {"messages": []}, 400, "model is required"),
    ("/api/chat", {"model": ""}, 400, "model is required"),
    ("/api/generate", {"prompt": "x"}, 404, "model '' not found"),
    ("/api/show", {}, 400, "model is required"),
    ("/api/show", {"model": "nope"}, 404, "model 'nope:latest' not found"),
    ("/api/show", {"name": "nope"}, 404, "model 'nope:latest' not found"),
    ("/api/show", {"model": "a b"}, 400, "invalid model name"),
    ("/api/copy", {"source": "nope", "destination": "b"}, 404, 'model "nope" not found'),
    ("/api/copy", {"source": "a b", "destination": "b"}, 400, 'source "a b" is invalid'),
    ("/api/copy", {"source": "m", "destination": "a b"}, 400, 'destination "a b" is invalid'),
    ("/api/copy", {"source": "m"}, 400, 'destination "" is invalid'),
    ("/api/create", {"model": "c"}, 400, "neither 'from' or 'files' was specified"),
    ("/api/create", {"from": "m"}, 400, "invalid model name"),
    ("/api/create", {"model": "a b", "from": "m"}, 400, "invalid model name"),
    ("/api/create", {"model": "c", "files": {}}, 400, "unknown type"),
    ("/api/create", {"model": "c", "files": {"/abs": "sha256:" + "0" * 64}}, 400, "file path must be relative"),
    ("/api/create", {"model": "c", "files": {"a/../../b": "sha256:" + "0" * 64}}, 400, "file path must be relative"),
    ("/api/create", {"model": "c", "files": {"": "sha256:" + "0" * 64}}, 400, "file path must be relative"),
    ("/api/create", {"model": "c", "files": {"a.gguf": ""}}, 400, "invalid digest format"),
    ("/api/create", {"model": "c", "files": {"a.gguf": "sha256:zz"}}, 400, "invalid digest format"),
    ("/api/create", {"model": "c", "files": {"a.gguf": "sha256:" + "0" * 64}, "stream": False}, 400,
     'blob "sha256:' + "0" * 64 + '" not found'),
    ("/api/generate", {**GEN, "think": "x"}, 400,
     'invalid think value: "x" (must be "high", "medium", "low", "max", true, or false)'),
    ("/api/generate", {**GEN, "think": 5}, 400,
     'think must be a boolean or string ("high", "medium", "low", "max", true, or false)'),
    ("/api/generate", {**GEN, "think": True}, 400, '"m" does not support thinking'),
    ("/api/generate", {**GEN, "raw": True, "system": "x"}, 400,
     "raw mode does not support template, system, or context"),
    ("/api/generate", {**GEN, "top_logprobs": 21, "logprobs": True}, 400, "top_logprobs must be between 0 and 20"),
    ("/api/generate", {**GEN, "top_logprobs": -1, "logprobs": True}, 400, "top_logprobs must be between 0 and 20"),
    ("/api/generate", {**GEN, "options": {"num_ctx": "x"}}, 400, 'option "num_ctx" must be of type integer'),
    ("/api/generate", {**GEN, "options": {"temperature": "x"}}, 400, 'option "temperature" must be of type ...'),
    ("/api/generate", {**GEN, "options": {"stop": 5}}, 400, 'option "stop" must be of type ...'),
    ("/api/generate", {**GEN, "format": "xml"}, 400,
     'invalid format: "\\"xml\\""; expected "json" or a valid JSON Schema object'),
    ("/api/chat", {"model": "m", "messages": [{"content": "x"}]}, 400, "message role is required"),
    ("/api/embed", {"model": "m", "input": 5}, 400, "invalid input type"),
    ("/api/tokenize", {"content": "x"}, 400, "model is required"),
    ("/api/tokenize", {"model": "nope", "content": "x"}, 404, "model 'nope' not found"),
    ("/v1/chat/completions", {"model": "m", "messages": []}, 400, "[] is too short - 'messages'"),
]


@pytest.mark.parametrize("path,body,status,text", ERRORS)
def test_errors(server, path, body, status, text):
    served(server, path)
    a = server.post(path, {"stream": False, **body} if path.startswith("/api/c") else body)
    assert a.status == status, a.text
    said = error_of(a)
    assert said.startswith(text[:-3]) if text.endswith("...") else said == text
    assert str(server.store) not in a.text


def test_errors_of_delete_and_blobs(server):
    for body, status, text in [({"model": "nope"}, 404, "model 'nope' not found"),
                               ({"name": "nope"}, 404, "model 'nope' not found"),
                               ({"model": "a b"}, 400, 'name "a b" is invalid'),
                               ({}, 400, "model is required")]:
        a = server.ask("DELETE", "/api/delete", body)
        assert (a.status, a.json()) == (status, {"error": text})
    zero = "sha256:" + "0" * 64
    a = server.post("/api/blobs/" + zero, b"x")
    assert a.status == 400 and a.json()["error"].startswith(f'digest mismatch, expected "{zero}", got "sha256:')
    for bad in ["sha256:12", "md5:" + "0" * 64, "sha256:" + "g" * 64]:
        a = server.post("/api/blobs/" + bad, b"x")
        assert (a.status, a.json()) == (400, {"error": "invalid digest format"})
        assert server.ask("HEAD", "/api/blobs/" + bad).status == 400


def test_body_too_large(make_server):
    s = make_server(CHASKI_LIMIT_BODY="5000")
    big = json.dumps({"model": "m", "prompt": "x" * 6000, "messages": []}).encode()
    for path in ["/api/generate", "/api/chat", "/v1/chat/completions"]:
        a = s.post(path, big)
        assert (a.status, error_of(a)) == (413, "request body too large")
    out = s.raw(b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(big), big))
    assert out.startswith(b"HTTP/1.1 413") and out.endswith(b'{"error":"request body too large"}')
    assert s.post("/api/show", big).status == 200, "the limit is of chat and generate"


assert JSON and json
