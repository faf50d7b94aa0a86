"""tests/api/test_shapes.py - the shapes of answers (spec/api.md 1.3, 5 to 8, 16, 30)."""
import re
import signal
import socket
import threading
import time

import pytest

STATS = ["total_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration",
         "eval_count", "eval_duration"]
STAMP = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$")
GREEDY = {"temperature": 0, "num_predict": 4}


def test_root_is_the_text_that_clients_probe_for(server):
    a = server.get("/")
    assert (a.status, a.text) == (200, "Ollama is running")
    assert a.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert a.headers["Server"].startswith("chaski/")


@pytest.mark.parametrize("path", ["/", "/api/tags", "/api/version"])
def test_head_has_the_headers_of_get_and_no_body(server, path):
    head, get = server.ask("HEAD", path), server.get(path)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Length"] == get.headers["Content-Length"]


def test_version_is_three_numbers(server):
    v = server.get("/api/version").json()
    assert re.fullmatch(r"\d+\.\d+\.\d+", v["version"]) and v["chaski"]


def test_trailing_slash_is_served(server):
    assert server.get("/api/tags/").status == 200


def test_double_slash_is_redirected(server):
    a = server.get("//api/tags")
    assert (a.status, a.headers["Location"]) == (307, "/api/tags")


def test_query_strings_are_ignored(server):
    assert server.get("/api/version?x=1").status == 200


def test_generate_whole(server):
    a = server.post("/api/generate", {"model": "m", "prompt": "Hi", "stream": False,
                                      "options": GREEDY},
                    headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert a.status == 200, a.text
    assert a.headers["Content-Type"] == "application/json; charset=utf-8"
    o = a.json()
    assert list(o)[:5] == ["model", "created_at", "response", "done", "done_reason"]
    assert o["model"] == "m" and o["done"] is True and o["done_reason"] == "length"
    assert STAMP.match(o["created_at"])
    assert o["eval_count"] == 4 and o["eval_duration"] > 0
    assert all(isinstance(o[k], int) for k in STATS)
    assert o["context"] and all(isinstance(i, int) for i in o["context"])
    assert "prompt_truncated" not in o and "warnings" not in o


def test_generate_streamed_joins_to_the_whole(server):
    ask = {"model": "m", "prompt": "Hi", "options": GREEDY}
    whole = server.post("/api/generate", {**ask, "stream": False}).json()["response"]
    a = server.post("/api/generate", ask)
    assert a.headers["Content-Type"] == "application/x-ndjson"
    assert a.headers["Transfer-Encoding"] == "chunked"
    lines = a.lines()
    assert "".join(x["response"] for x in lines) == whole
    assert [x["done"] for x in lines] == [False] * (len(lines) - 1) + [True]
    assert not any(k in x for x in lines[:-1] for k in STATS)
    assert all(k in lines[-1] for k in STATS)
    assert not any(x["response"] == "" for x in lines[:-1])


def test_chat_whole_and_streamed(server):
    ask = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "options": GREEDY}
    o = server.post("/api/chat", {**ask, "stream": False}).json()
    assert list(o)[:5] == ["model", "created_at", "message", "done", "done_reason"]
    assert o["message"]["role"] == "assistant" and "context" not in o
    lines = server.post("/api/chat", ask).lines()
    assert "".join(x["message"]["content"] for x in lines) == o["message"]["content"]
    assert lines[-1]["message"] == {"role": "assistant", "content": ""}


def test_raw_has_no_context(server):
    o = server.post("/api/generate", {"model": "m", "prompt": "Hi", "raw": True, "stream": False,
                                      "options": GREEDY}).json()
    assert "context" not in o and o["eval_count"] == 4


def test_content_may_be_missing_or_parts(server):
    for content in ({}, {"content": None}, {"content": []},
                    {"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}):
        a = server.post("/api/chat", {"model": "m", "stream": False, "options": GREEDY,
                                      "messages": [{"role": "user", **content}]})
        assert a.status == 200, a.text


def test_load_ps_unload(server):
    a = server.post("/api/generate", {"model": "m"})
    assert a.headers["Content-Type"] == "application/json; charset=utf-8"
    assert {k: v for k, v in a.json().items() if k != "created_at"} == {
        "model": "m", "response": "", "done": True, "done_reason": "load"}
    row = server.loaded()
    assert list(row)[:8] == ["name", "model", "size", "digest", "details", "expires_at",
                             "size_vram", "context_length"]
    assert row["name"] == "m:latest" and row["size_vram"] == 0 and row["size"] > 0
    assert STAMP.match(row["expires_at"])
    o = server.post("/api/chat", {"model": "m", "messages": [], "keep_alive": 0}).json()
    assert o["done_reason"] == "unload" and o["message"] == {"role": "assistant", "content": ""}
    for _ in range(20):
        if not server.loaded():
            break
        time.sleep(0.05)
    assert not server.loaded()


def test_keep_alive_for_ever_is_a_far_date(server):
    server.post("/api/generate", {"model": "m", "keep_alive": -1})
    assert int(server.loaded()["expires_at"][:4]) > 2300
    server.post("/api/generate", {"model": "m", "keep_alive": "5m"})


@pytest.mark.parametrize("value", [0.5, "1h30m", "1.5s", "-1", "0", "300ms"])
def test_keep_alive_shapes(server, value):
    if value == "-1":
        value = "-1m"
    assert server.post("/api/generate", {"model": "m", "keep_alive": value}).status == 200


def test_tags(server):
    models = server.get("/api/tags").json()["models"]
    row = next(x for x in models if x["name"] == "m:latest")
    assert list(row) == ["name", "model", "modified_at", "size", "digest", "details",
                         "capabilities"]
    assert re.fullmatch("[0-9a-f]{64}", row["digest"]) and STAMP.match(row["modified_at"])
    assert list(row["details"])[:6] == ["parent_model", "format", "family", "families",
                                        "parameter_size", "quantization_level"]
    assert row["details"]["family"] == "llama" and row["details"]["context_length"] > 0
    show = server.post("/api/show", {"model": "m"}).json()
    assert row["capabilities"] == show["capabilities"]


def test_show(server):
    a = server.post("/api/show", {"name": "M"})
    o = a.json()
    assert o["capabilities"] == ["completion"] or "completion" in o["capabilities"]
    info = o["model_info"]
    assert list(info) == sorted(info)
    assert info["general.architecture"] == "llama" and info["llama.context_length"] > 0
    assert info["general.parameter_count"] > 0
    assert "general.name" not in info and "tokenizer.chat_template" not in info
    assert info["tokenizer.ggml.tokens"] is None
    assert o["tensors"][0].keys() == {"name", "type", "shape"}
    assert o["modelfile"].startswith('# Modelfile generated by "ollama show"\n')
    assert o["template"] and "context_length" not in o["details"]
    verbose = server.post("/api/show", {"model": "m", "verbose": True}).json()
    assert isinstance(verbose["model_info"]["tokenizer.ggml.tokens"], list)


def test_show_prints_floats_short(server):
    text = server.post("/api/show", {"model": "m"}).text
    assert '"llama.attention.layer_norm_rms_epsilon":0.00001' in text


def test_show_for_copilot_has_the_name_as_title(server):
    o = server.post("/api/show", {"model": "m"}, headers={"User-Agent": "GitHubCopilotChat/1"})
    assert o.json()["model_info"]["general.basename"] == "m"


def test_create_with_everything_and_show(server):
    server.create("full", files={"x.gguf": server.model_digest}, system="Be terse.",
                  template="{{ .Prompt }}", license=["A", "B"],
                  parameters={"temperature": 0.5, "stop": ["</s>", "END"], "num_ctx": 128},
                  messages=[{"role": "user", "content": "hi"},
                            {"role": "assistant", "content": "ho"}])
    o = server.post("/api/show", {"model": "full"}).json()
    assert o["system"] == "Be terse." and o["template"] == "{{ .Prompt }}"
    assert o["license"] == "A\nB" and len(o["messages"]) == 2
    lines = o["parameters"].split("\n")
    assert lines == sorted(lines) and len(lines) == 4
    assert all(re.fullmatch(r'(\S+) +("[^"]*"|\S+)', x) for x in lines)


def test_create_streams_its_steps(server):
    a = server.post("/api/create", {"model": "steps", "from": "m", "system": "S"})
    lines = [x["status"] for x in a.lines()]
    assert a.headers["Content-Type"] == "application/x-ndjson"
    assert lines[-2:] == ["writing manifest", "success"]
    assert any(x.startswith("using existing layer sha256:") for x in lines)
    assert any(x.startswith("creating new layer sha256:") for x in lines)


def test_copy_show_delete_delete(server):
    a = server.post("/api/copy", {"source": "m", "destination": "n"})
    assert (a.status, a.body) == (200, b"")
    a, b = (server.post("/api/show", {"model": x}).json() for x in "mn")
    assert a["details"] == b["details"]
    a = server.ask("DELETE", "/api/delete", {"model": "n"})
    assert (a.status, a.body) == (200, b"")
    a = server.ask("DELETE", "/api/delete", {"name": "n"})
    assert (a.status, a.json()) == (404, {"error": "model 'n' not found"})


def test_seed_and_warnings_are_told(server):
    o = server.post("/api/generate", {"model": "m", "prompt": "x", "stream": False,
                                      "options": {"num_predict": 2, "nonsense": 1}}).json()
    assert isinstance(o["seed"], int) and "nonsense" in str(o["warnings"])
    o = server.post("/api/generate", {"model": "m", "prompt": "x", "stream": False,
                                      "options": {"num_predict": 2, "seed": 7}}).json()
    assert "seed" not in o


def test_bad_utf8_and_lone_surrogates_become_replacement_characters(server):
    for body in (b'{"model":"m","prompt":"a\xff\xfeb","stream":false,"options":{"num_predict":1}}',
                 b'{"model":"m","prompt":"\\ud800","stream":false,"options":{"num_predict":1}}'):
        assert server.post("/api/generate", body).status == 200


def test_names_of_fields_in_any_case_and_what_follows_the_value(server):
    a = server.post("/api/generate", b' {"MODEL":"m","keep_alive":null} trailing')
    assert a.status == 200 and a.json()["done_reason"] == "load"


def test_pipelined_requests_are_answered_in_order(server):
    one = b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    out = server.raw(one + one + last)
    assert out.count(b"HTTP/1.1 200") == 3 and out.endswith(b"Ollama is running")


def test_http_2_is_not_spoken(server):
    out = server.raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert not out or out.startswith(b"HTTP/1.1 4") or b"SETTINGS" not in out


# ---- the fake engine on demand ---------------------------------------------------------------


def stream(server, prompt, **more):
    return server.post("/api/generate", {"model": "m", "prompt": prompt, **more})


@pytest.mark.fake
def test_truncation_and_shifts_are_told(server):
    o = stream(server, "fake:truncated=7 fake:shifts=2", stream=False).json()
    assert (o["prompt_truncated"], o["context_shifts"]) == (7, 2)
    assert "7 tokens" in server.log()


@pytest.mark.fake
def test_an_error_after_the_first_line_is_a_line(server):
    a = stream(server, "fake:fail=3")
    lines = a.lines()
    assert a.status == 200 and len(lines) == 4 and list(lines[3]) == ["error"]


@pytest.mark.fake
def test_an_error_before_the_first_line_is_a_status(server):
    for more in ({}, {"stream": False}):
        a = stream(server, "fake:fail=0", **more)
        assert a.status == 500 and list(a.json()) == ["error"]
        assert a.headers["Content-Type"].startswith("application/json")


@pytest.mark.fake
def test_conversation_as_the_engine_gets_it(server):
    server.create("sys", **{"from": "m"}, system="S", messages=[{"role": "user", "content": "X"}])

    def seen(messages):
        a = server.post("/api/chat", {"model": "sys", "stream": False, "messages": messages})
        return [(x["role"], x["content"]) for x in
                __import__("json").loads(a.json()["message"]["content"])["messages"]]

    assert seen([{"role": "User", "content": "fake:echo"}]) == [
        ("system", "S"), ("user", "X"), ("user", "fake:echo")]
    assert seen([{"role": "system", "content": "T"}, {"role": "user", "content": "fake:echo"}]) == [
        ("user", "X"), ("system", "T"), ("user", "fake:echo")]
    assert seen([{"role": "developer", "content": "fake:echo"}])[-1][0] == "system"


def hang_up_while(server, prompt, first=b""):
    """Open a stream, leave, and say how long the engine went on working."""
    body = ('{"model":"m","prompt":"%s"}' % prompt).encode()
    head = b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), 10) as s:
        s.sendall(head % len(body) + body)
        time.sleep(0.3)
        if first:
            assert first in s.recv(65536)
        assert server.loaded()["active"] == 1
    begun = time.time()
    while server.loaded()["active"]:
        assert time.time() - begun < 5
        time.sleep(0.02)
    return time.time() - begun


@pytest.mark.fake
def test_a_client_that_leaves_stops_its_stream(server):
    assert hang_up_while(server, "fake:delay=20 fake:words=10000", b"w0") < 1


@pytest.mark.fake
def test_a_client_that_leaves_stops_its_prompt(server):
    before = len(server.log())
    assert hang_up_while(server, "fake:prompt=60000") < 1
    assert " error " not in server.log()[before:]


@pytest.mark.fake
def test_a_slow_reader_pauses_its_generation_and_gets_everything(server):
    body = b'{"model":"m","prompt":"fake:bytes=100000 fake:words=200"}'
    head = b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), 20) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        s.sendall(head % len(body) + body)
        time.sleep(1)
        assert "its generation pauses" in server.log()
        out = b""
        while b"0\r\n\r\n" != out[-5:]:
            out += s.recv(1 << 20)
    assert out.count(b"w199 ") == 1 and out.count(b'"done":true') == 1
    assert len(out) > 200 * 100000


@pytest.mark.fake
def test_eight_streams_at_once(server):
    got = []

    def one():
        got.append(len(stream(server, "fake:delay=5 fake:words=40").lines()))

    threads = [threading.Thread(target=one) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert got == [41] * 8


@pytest.mark.fake
def test_sigterm_lets_a_running_answer_end(make_server):
    s = make_server()
    got = []
    t = threading.Thread(target=lambda: got.append(stream(s, "fake:delay=20 fake:words=50").lines()))
    t.start()
    time.sleep(0.3)
    s.process.send_signal(signal.SIGTERM)
    t.join()
    assert len(got[0]) == 51 and got[0][-1]["done_reason"] == "stop"
    assert s.process.wait(5) == 0


@pytest.mark.fake
def test_a_second_signal_ends_at_once(make_server):
    s = make_server()

    def one():
        try:
            stream(s, "fake:delay=20 fake:words=5000")
        except Exception:
            pass

    t = threading.Thread(target=one)
    t.start()
    time.sleep(0.3)
    s.process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert s.process.poll() is None
    s.process.send_signal(signal.SIGINT)
    assert s.process.wait(2) == 0
    t.join()


@pytest.mark.fake
def test_sigterm_cuts_what_lasts_longer_than_ten_seconds(make_server):
    s = make_server()
    got = []
    t = threading.Thread(target=lambda: got.append(stream(s, "fake:delay=50 fake:words=9999").lines()))
    t.start()
    time.sleep(0.3)
    begun = time.time()
    s.process.send_signal(signal.SIGTERM)
    assert s.process.wait(15) == 0
    assert 9 < time.time() - begun < 13
    t.join()
    assert list(got[0][-1]) == ["error"]


def test_an_unload_looks_at_nothing_else(server):
    a = server.post("/api/generate", {"model": "m", "keep_alive": 0, "format": "xml",
                                      "options": {"num_ctx": "x"}})
    assert (a.status, a.json()["done_reason"]) == (200, "unload")
