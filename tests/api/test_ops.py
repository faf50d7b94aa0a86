"""tests/api/test_ops.py - keys, request ids, the log, /metrics, /ready (spec/api.md 29.3, 29.4).

The server's conduct towards those who run it. Keys are tried in every style's error shape; the log
is read as text and as JSON; every line of /metrics is parsed.
"""
import hashlib
import http.client
import json
import os
import re
import subprocess
import time

import pytest

CHASKI = os.environ.get("CHASKI")
GENERATE = {"model": "m", "prompt": "fake:words=3", "stream": False, "options": {"num_predict": 3}}


def key_file(tmp_path, *rows):
    path = tmp_path / "keys"
    lines = [f"{name}:{scopes}:{hashlib.sha256(key.encode()).hexdigest()}"
             for name, scopes, key in rows]
    path.write_text("# keys\n\n" + "\n".join(lines) + "\n")
    path.chmod(0o600)
    return str(path)


@pytest.fixture
def keyed(make_server, tmp_path):
    s = make_server(model=False, CHASKI_KEYS=key_file(
        tmp_path, ("reader", "read", "k-read"), ("user", "infer", "k-infer"),
        ("boss", "manage,infer", "k-manage"), ("root", "admin", "k-admin")),
        CHASKI_API_KEY="plain")
    return s


def bearer(key):
    return {"Authorization": "Bearer " + key}


# ---- keys -----------------------------------------------------------------------------------


def test_what_needs_no_key(keyed):
    for method, path in [("GET", "/"), ("HEAD", "/"), ("GET", "/health"), ("GET", "/ready")]:
        assert keyed.ask(method, path).status == 200, path
    a = keyed.ask("OPTIONS", "/api/chat", headers={"Origin": "http://localhost:3000"})
    assert a.status == 204


@pytest.mark.parametrize("method,path", [
    ("GET", "/api/tags"), ("HEAD", "/api/tags"), ("GET", "/api/version"), ("GET", "/api/ps"),
    ("POST", "/api/generate"), ("POST", "/api/chat"), ("DELETE", "/api/delete"),
    ("POST", "/api/blobs/sha256:" + "0" * 64), ("HEAD", "/api/blobs/sha256:" + "0" * 64),
    ("GET", "/metrics"), ("GET", "/api/nothing"), ("GET", "/api/generate")])
def test_the_rest_needs_one(keyed, method, path):
    for headers in [{}, bearer("wrong"), {"x-api-key": ""}, {"Authorization": "Basic plain"},
                    {"Authorization": "Bearer"}, {"api-key": "plain2"}]:
        a = keyed.ask(method, path, body=b"{}" if method == "POST" else None, headers=headers)
        assert a.status == 401, (headers, a.text)
        assert a.headers["WWW-Authenticate"] == "Bearer"
        if method != "HEAD":
            assert a.json() == {"error": "unauthorized"}


@pytest.mark.parametrize("headers", [
    bearer("plain"), {"authorization": "bearer   plain"}, {"x-api-key": "plain"},
    {"api-key": "plain"}, {"x-api-key": "plain", **bearer("not-needed")}])
def test_ways_to_present_a_key(keyed, headers):
    assert keyed.get("/api/tags", headers=headers).status == 200


def test_the_openai_shape(keyed):
    for path in ["/v1/chat/completions", "/v1/embeddings", "/v1/nothing"]:
        a = keyed.post(path, {})
        assert a.status == 401 and a.headers["Content-Type"] == "application/json"
        assert a.json()["error"]["type"] == "authentication_error"
        assert a.json()["error"]["code"] == "invalid_api_key"


def test_the_anthropic_shape(keyed):
    a = keyed.post("/v1/messages", {})
    assert a.status == 401
    if "type" not in a.json():
        pytest.skip("/v1/messages is not there yet")
    assert a.json()["type"] == "error" and a.json()["error"]["type"] == "authentication_error"


DO = {  # scope: (method, path, body)
    "read": ("POST", "/api/show", {"model": "nope"}),
    "infer": ("POST", "/api/generate", {"model": "nope", "prompt": "x"}),
    "manage": ("POST", "/api/copy", {"source": "nope", "destination": "b"}),
    "admin": ("GET", "/metrics", None),
}


@pytest.mark.parametrize("key,may", [
    ("k-read", {"read"}), ("k-infer", {"read", "infer"}), ("k-manage", {"read", "infer", "manage"}),
    ("k-admin", set(DO)), ("plain", set(DO))])
def test_scopes(keyed, key, may):
    for scope, (method, path, body) in DO.items():
        a = keyed.ask(method, path, body, headers=bearer(key))
        if scope in may:
            assert a.status in (200, 404), (scope, a.text)
        else:
            assert a.status == 403 and f'scope "{scope}"' in a.json()["error"]


def test_uploads_need_manage(keyed):
    data = os.urandom(3_000_000)
    path = "/api/blobs/sha256:" + hashlib.sha256(data).hexdigest()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n"
    for line, status in [("", 401), ("x-api-key: k-infer\r\n", 403), ("api-key: no\r\n", 401)]:
        # Refused before the body comes.
        out = keyed.raw((head + line + "\r\n").encode(), until=b"\r\n\r\n")
        assert out.startswith(b"HTTP/1.1 %d" % status), out
        assert re.search(rb"(?i)x-request-id: req-[0-9a-f]{16}\r\n", out)
    assert keyed.post(path, data, headers=bearer("k-manage")).status == 201


def test_a_large_body_without_a_key_is_refused_at_once(keyed):
    for path, shape in [("/api/chat", "error"), ("/v1/chat/completions", "type")]:
        out = keyed.raw(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n\r\n{{"
                        .encode())
        assert out.startswith(b"HTTP/1.1 401") and shape.encode() in out.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("text,says", [
    ("nonsense\n", "line 1"), ("a:infer:12\n", "64 hex"), (":infer:" + "0" * 64, "name"),
    ("a b:infer:" + "0" * 64, "name"), ("a:everything:" + "0" * 64, "unknown scope"),
    ("a::" + "0" * 64, "scope"), ("# none\n", "holds no key"), (None, "cannot be read"),
    ("a:infer:" + "g" * 64, "64 hex"), ("x" * 5000, "too long")])
def test_a_wrong_file_of_keys_ends_the_start(server, tmp_path, text, says):
    path = tmp_path / "keys"
    if text is not None:
        path.write_text(text)
    p = subprocess.run([server.bin, "serve"], capture_output=True, text=True, timeout=30,
                       env={**os.environ, "CHASKI_KEYS": str(path), "OLLAMA_HOST": "127.0.0.1:0",
                            "OLLAMA_MODELS": str(tmp_path / "m")})
    assert p.returncode == 1
    last = p.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: CHASKI_KEYS: ") and says in last


def test_keys_are_never_logged(make_server, tmp_path):
    s = make_server(model=False, CHASKI_API_KEY="sesame-open", CHASKI_LOG="debug")
    s.get("/api/tags", headers=bearer("sesame-open"))
    s.get("/api/tags?key=sesame-open", headers=bearer("sesame-wrong"))
    s.get("/api/tags", headers={"x-api-key": "sesame-other", "Cookie": "sesame=1"})
    time.sleep(0.1)
    assert "sesame" not in s.log()
    assert "key=CHASKI_API_KEY" in s.log()


def test_chaski_key_makes_a_line_that_fits(make_server, tmp_path):
    if not CHASKI:
        pytest.skip("needs the program (CHASKI)")
    p = subprocess.run([CHASKI, "key", "alice", "read"], capture_output=True, text=True, timeout=30)
    assert p.returncode == 0 and p.stdout.startswith("alice:read:")
    key = p.stderr.strip()
    assert re.fullmatch(r"chaski-[A-Za-z0-9]{40}", key) and key not in p.stdout
    path = tmp_path / "keys"
    path.write_text(p.stdout)
    s = make_server(model=False, CHASKI_KEYS=str(path))
    assert s.get("/api/tags", headers=bearer(key)).status == 200
    assert s.get("/api/tags").status == 401
    assert "others may read" in s.log()
    for bad in [["a b"], ["a", "nope"], ["a", "infer", "more"], []]:
        p = subprocess.run([CHASKI, "key", *bad], capture_output=True, text=True, timeout=30)
        assert p.returncode != 0 and p.stderr.startswith("Error: ") and not p.stdout


# ---- request ids ----------------------------------------------------------------------------


def test_request_ids(server):
    seen = {server.get("/api/version").headers["X-Request-Id"] for _ in range(20)}
    assert len(seen) == 20 and all(re.fullmatch(r"req-[0-9a-f]{16}", x) for x in seen)
    for good in ["abc", "A-z_0.9:/+=", "x" * 128]:
        for path in ["/api/version", "/api/nothing"]:
            assert server.get(path, headers={"X-Request-Id": good}).headers["X-Request-Id"] == good
    for bad in ["x" * 129, "a b", 'a"b', "a\\b", "ä", "<x>", ""]:
        got = server.get("/api/version", headers={"X-Request-Id": bad.encode()})
        assert re.fullmatch(r"req-[0-9a-f]{16}", got.headers["X-Request-Id"])


# ---- the log --------------------------------------------------------------------------------


def test_a_request_is_one_json_line(make_server):
    s = make_server(CHASKI_LOG_FORMAT="json")
    secret = "Zanzibar"
    a = s.post("/api/generate?q=" + secret, {**GENERATE, "prompt": secret + " fake:words=3"},
               headers={"X-Request-Id": "my-id", "User-Agent": secret})
    assert a.status == 200
    time.sleep(0.2)
    lines = s.log().splitlines()
    rows = [json.loads(x) for x in lines if not x.startswith("Listening on")]
    row = next(r for r in rows if r.get("id") == "my-id")
    assert row["event"] == "request" and row["level"] == "info" and row["status"] == 200
    assert row["request"] == "POST /api/generate" and row["model"] == "m:latest"
    assert row["peer"] == "127.0.0.1" and row["bytes"] == len(a.body) and row["ms"] > 0
    assert row["tokens"] == a.json()["eval_count"]
    assert row["prompt_tokens"] == a.json()["prompt_eval_count"]
    assert row["wait_ms"] >= 0 and row["first_ms"] > 0
    assert secret not in s.log()


def test_the_text_form(make_server):
    s = make_server(model=False)
    s.get("/api/version", headers={"X-Request-Id": "id-1"})
    s.get("/health", headers={"X-Request-Id": "id-2"})
    time.sleep(0.2)
    assert re.search(r'Z info request id=id-1 peer=127\.0\.0\.1 request="GET /api/version" status=200 '
                     r'bytes=\d+ ms=[\d.]+\n', s.log())
    assert "id-2" not in s.log()  # probes are for debug


@pytest.mark.parametrize("env,shows", [
    ({"CHASKI_LOG": "debug"}, {"debug", "info"}), ({"CHASKI_LOG": "warn"}, set()),
    ({"CHASKI_LOG": "error"}, set()), ({"OLLAMA_DEBUG": "1"}, {"debug", "info"}),
    ({"OLLAMA_DEBUG": "1", "CHASKI_LOG": "info"}, {"info"}), ({"CHASKI_LOG": "no"}, {"warn", "info"})])
def test_levels(make_server, env, shows):
    s = make_server(model=False, **env)
    s.get("/api/version")
    s.get("/health")
    time.sleep(0.2)
    levels = set(re.findall(r"Z (debug|info|warn|error) ", s.log()))
    assert levels - {"warn"} == shows - {"warn"}
    if "warn" in shows:
        assert "CHASKI_LOG=no is not understood" in s.log()


# ---- metrics --------------------------------------------------------------------------------

SAMPLE = re.compile(r'([a-zA-Z_:][\w:]*)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)*)\})? (\S+)')


def metrics(server, **more):
    a = server.get("/metrics", **more)
    assert a.status == 200
    assert a.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    out, kinds = {}, {}
    for line in a.text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name not in kinds, "a metric is told once"
            kinds[name] = kind
        elif not line.startswith("# HELP "):
            name, labels, value = SAMPLE.fullmatch(line).groups()
            base = re.sub(r"_(bucket|sum|count)$", "", name)
            assert name in kinds or kinds.get(base) == "histogram", name
            assert (name, labels) not in out
            out[name, labels] = float(value)
    assert a.text.endswith("\n")
    return out


def total(m, name, *labels):
    return sum(v for (n, l), v in m.items() if n == name and all(x in (l or "") for x in labels))


def test_metrics_count(server):
    before = metrics(server)
    tokens = prompt = 0
    for _ in range(3):
        a = server.post("/api/generate", GENERATE).json()
        tokens += a["eval_count"]
        prompt += a["prompt_eval_count"]
    assert server.post("/api/generate", {"model": "nope"}).status == 404
    assert server.get("/api/nothing").status == 404
    time.sleep(0.2)
    after = metrics(server)

    def grown(name, *labels):
        return total(after, name, *labels) - total(before, name, *labels)

    assert grown("chaski_requests_total", 'route="/api/generate"', 'status="200"', 'model="m:latest"') == 3
    assert grown("chaski_requests_total", 'route="/api/generate"', 'status="404"', 'model=""') == 1
    assert grown("chaski_requests_total", 'route=""', 'status="404"') == 1
    assert grown("chaski_generated_tokens_total", 'model="m:latest"') == tokens
    assert grown("chaski_prompt_tokens_total", 'model="m:latest"') == prompt
    assert grown("chaski_time_to_first_token_seconds_count", 'model="m:latest"') == 3
    assert grown("chaski_inter_token_seconds_count", 'model="m:latest"') == tokens - 3
    assert grown("chaski_request_duration_seconds_count", 'model="m:latest"') == 3
    assert grown("chaski_step_rows_count") >= 3
    assert "nope" not in server.get("/metrics").text, "labels are names on disk only"
    for name in ["chaski_models_loaded", "chaski_memory_budget_bytes", "chaski_uptime_seconds",
                 "process_resident_memory_bytes", "chaski_connections", "process_cpu_seconds_total",
                 "process_start_time_seconds"]:
        assert after[name, None] > 0, name
    for kind in ["weights", "kv", "scratch"]:
        assert ("chaski_memory_bytes", f'kind="{kind}"') in after
    for name in ["running", "waiting"]:
        assert (f"chaski_requests_{name}", 'model="m:latest"') in after
    for name in ["used", "limit"]:
        assert (f"chaski_kv_pages_{name}", 'model="m:latest"') in after


def test_histograms_rise_and_end_with_the_count(server):
    server.post("/api/generate", GENERATE)
    m = metrics(server)
    series = {}
    for (name, labels), v in m.items():
        if name.endswith("_bucket"):
            key = (name[:-7], re.sub(r',?le="[^"]*"', "", labels))
            series.setdefault(key, []).append(v)
    assert series
    for (name, labels), values in series.items():
        assert values == sorted(values), name
        assert values[-1] == m[name + "_count", labels]
        assert m[name + "_sum", labels] >= 0


@pytest.mark.real
def test_metrics_of_the_memory(server):
    server.post("/api/generate", {"model": "m", "keep_alive": -1})
    m = metrics(server)
    assert m["chaski_memory_bytes", 'kind="weights"'] > 1e6
    loaded = server.get("/api/ps").json()["models"]
    assert "m:latest" in [x["name"] for x in loaded]
    assert m["chaski_models_loaded", None] == len(loaded)
    assert m["chaski_kv_pages_limit", 'model="m:latest"'] > 0
    assert total(m, "chaski_model_load_seconds_count") >= 1
    server.post("/api/generate", {"model": "m", "keep_alive": 0})


# ---- ready ----------------------------------------------------------------------------------


@pytest.mark.fake
def test_ready_until_it_drains(make_server):
    s = make_server()
    assert s.get("/ready").json() == {"status": "ready"}
    assert s.ask("HEAD", "/ready").status == 200
    watch = http.client.HTTPConnection("127.0.0.1", s.port, timeout=10)
    watch.request("GET", "/ready")
    assert watch.getresponse().read() == b'{"status":"ready"}'
    busy = http.client.HTTPConnection("127.0.0.1", s.port, timeout=30)
    busy.request("POST", "/api/generate", json.dumps(
        {"model": "m", "prompt": "fake:words=20 fake:delay=100", "stream": False}))
    time.sleep(0.4)
    s.process.terminate()
    time.sleep(0.4)
    for path in ["/ready", "/health"]:
        watch.request("GET", path)
        r = watch.getresponse()
        assert (r.status, json.loads(r.read())) == (503, {"status": "stopping"})
    watch.request("GET", "/metrics")
    r = watch.getresponse()
    assert r.status == 200 and b"chaski_requests_running" in r.read()
    assert json.loads(busy.getresponse().read())["done"] is True
    assert s.process.wait(10) == 0
