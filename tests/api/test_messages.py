"""tests/api/test_messages.py - POST /v1/messages and count_tokens, to the field (spec/api.md 25), by
plain HTTP and by the official `anthropic` client (clients.md 5)."""
import base64
import json
import re
import time

import pytest

from sse import events

V, C = "/v1/messages", "/v1/messages/count_tokens"
HI = [{"role": "user", "content": "Hi there"}]
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()


def body(messages=HI, **more):
    return {"model": "m", "max_tokens": 6, "temperature": 0, "messages": messages, **more}


def ask(server, messages=HI, **more):
    a = server.post(V, body(messages, **more))
    assert a.status == 200, a.text
    return a.json()


def echo(server, messages, **more):
    """The conversation as the engine got it (the fake engine says it)."""
    import json
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    o = ask(server, [*messages, {"role": "user", "content": "fake:echo"}], **more)
    return json.loads(o["content"][0]["text"])["messages"][:-1]


# ---- the answer, not streamed ---------------------------------------------------------------


def test_every_key_in_its_order(server):
    a = server.post(V, body())
    o = a.json()
    assert a.headers["Content-Type"] == "application/json" and a.body.endswith(b"}\n")
    assert list(o) == ["id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"]
    assert re.fullmatch("msg_[0-9a-f]{24}", o["id"])
    assert re.fullmatch("req_[0-9a-f]{24}", a.headers["request-id"])
    assert (o["type"], o["role"], o["model"]) == ("message", "assistant", "m")
    assert [list(b) for b in o["content"]] == [["type", "text"]] and o["content"][0]["text"]
    assert (o["stop_reason"], o["stop_sequence"]) == ("max_tokens", None)
    assert list(o["usage"]) == ["input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens",
                                "output_tokens"]
    assert o["usage"]["output_tokens"] == 6 and o["usage"]["cache_creation_input_tokens"] == 0


@pytest.mark.fake
def test_stop_reasons(server):
    o = ask(server, max_tokens=100)
    assert (o["stop_reason"], o["stop_sequence"]) == ("end_turn", None)
    o = ask(server, max_tokens=100, stop_sequences=["nowhere", "w2"])
    assert (o["stop_reason"], o["stop_sequence"]) == ("stop_sequence", "w2")
    assert o["content"][0]["text"] == "w0 w1 "


@pytest.mark.fake
def test_an_empty_answer_has_a_list(server):
    o = ask(server, [{"role": "user", "content": "fake:words=0"}])
    assert o["content"] == [] and o["stop_reason"] == "end_turn"


@pytest.mark.fake
def test_cached_tokens_are_counted_apart(server):
    all_of_it = ask(server, [{"role": "user", "content": "fake:cached=0"}])["usage"]
    o = ask(server, [{"role": "user", "content": "fake:cached=5"}])["usage"]
    assert (o["input_tokens"], o["cache_read_input_tokens"]) == (all_of_it["input_tokens"] - 5, 5)


@pytest.mark.fake
def test_the_drawn_seed_is_in_a_header(server):
    assert server.post(V, body()).headers["X-Chaski-Seed"] == "4711"
    assert "X-Chaski-Seed" not in server.post(V, body(options={"seed": 3})).headers
    a = server.post(V, body([{"role": "user", "content": "fake:truncated=7 fake:shifts=2"}]))
    assert (a.headers["X-Chaski-Prompt-Truncated"], a.headers["X-Chaski-Context-Shifts"]) == ("7", "2")


# ---- the stream ----------------------------------------------------------------------------------


def test_events_in_order_with_every_key(server):
    whole = ask(server)
    a = server.post(V, body(stream=True))
    assert a.headers["Content-Type"] == "text/event-stream" and a.headers["Cache-Control"] == "no-cache"
    assert a.headers["Connection"] == "keep-alive" and a.headers["request-id"]
    got = events(a.body)
    assert all(name == data["type"] for name, data in got)
    kinds = [name for name, _ in got if name != "ping"]
    n = kinds.count("content_block_delta")
    assert n and kinds == ["message_start", "content_block_start", *["content_block_delta"] * n,
                           "content_block_stop", "message_delta", "message_stop"]
    start = got[0][1]
    assert list(start) == ["type", "message"]
    assert list(start["message"]) == ["id", "type", "role", "model", "content", "stop_reason", "stop_sequence",
                                      "usage"]
    assert start["message"]["content"] == [] and start["message"]["stop_reason"] is None
    assert start["message"]["stop_sequence"] is None
    assert re.fullmatch("msg_[0-9a-f]{24}", start["message"]["id"])
    first, last = start["message"]["usage"], got[-2][1]["usage"]
    assert first["output_tokens"] == 0 and {**first, "output_tokens": 6} == last
    total = last["input_tokens"] + last["cache_read_input_tokens"]
    assert total == whole["usage"]["input_tokens"] + whole["usage"]["cache_read_input_tokens"]
    assert got[1][1] == {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    deltas = [d for name, d in got if name == "content_block_delta"]
    assert all(list(d) == ["type", "index", "delta"] and d["index"] == 0 for d in deltas)
    assert all(d["delta"]["type"] == "text_delta" for d in deltas)
    assert "".join(d["delta"]["text"] for d in deltas) == whole["content"][0]["text"]
    assert got[-2][1]["delta"] == {"stop_reason": "max_tokens", "stop_sequence": None}
    assert got[-1][1] == {"type": "message_stop"}


@pytest.mark.fake
def test_the_stream_opens_before_the_prompt_is_read(server):
    """message_start with the true count, then pings while nothing is to be said."""
    s = server.raw(b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 122\r\n\r\n" +
                   b'{"model":"m","max_tokens":1,"stream":true,"messages":[{"role":"user","content":"fake:prompt=100000"}]}'
                   .ljust(122), until=b"message_start")
    assert b'"input_tokens":' in s


@pytest.mark.fake
def test_pings(make_server):
    s = make_server(CHASKI_STREAM_PING="200ms")
    got = events(s.post(V, body([{"role": "user", "content": "fake:prompt=1200 fake:words=2"}], stream=True)).body)
    kinds = [name for name, _ in got]
    assert kinds[:2] == ["message_start", "ping"] and got[1][1] == {"type": "ping"}
    assert "ping" not in kinds[kinds.index("content_block_start"):]
    # Not in answers that are not streamed, nor in NDJSON.
    assert ask(s, [{"role": "user", "content": "fake:prompt=600 fake:words=2"}])["content"]
    a = s.post("/api/generate", {"model": "m", "prompt": "fake:delay=300 fake:words=3"})
    assert len(a.lines()) == 4


@pytest.mark.fake
def test_an_error_in_the_stream(server):
    got = events(server.post(V, body([{"role": "user", "content": "fake:fail=2"}], stream=True)).body)
    name, data = got[-1]
    assert name == "error" and list(data) == ["type", "error", "request_id"]
    assert data["error"]["type"] == "api_error"
    assert data["error"]["message"].startswith("an error was encountered while running the model: ")
    assert "message_stop" not in [n for n, _ in got]


@pytest.mark.fake
def test_an_error_before_the_stream_has_its_status(server):
    a = server.post(V, body([{"role": "user", "content": "fake:fail=0"}]))
    assert a.status == 500 and a.json()["error"]["type"] == "api_error"


# ---- the request --------------------------------------------------------------------------------


@pytest.mark.fake
def test_system_as_text_and_as_blocks(server):
    want = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "x"}]
    assert echo(server, "x", system="Be kind.") == want
    blocks = [{"type": "text", "text": "Be ", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "kind."}]
    assert echo(server, "x", system=blocks) == want
    assert echo(server, "x", system="")[0]["role"] == "user"
    assert echo(server, "x", system=[])[0]["role"] == "user"


@pytest.mark.fake
def test_blocks_of_text_are_joined(server):
    m = [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
         {"role": "Assistant", "content": "c"}, {"role": "user", "content": ""},
         {"role": "user", "content": [{"type": "document", "source": {}}, {"type": "search_result"}]},
         {"role": "user", "content": [{"type": "document", "source": {
             "type": "text", "media_type": "text/plain", "data": "the file "}}, {"type": "text", "text": "d"}]},
         {"role": "system", "content": "s"}]
    assert echo(server, m) == [{"role": "user", "content": "ab"}, {"role": "assistant", "content": "c"},
                               {"role": "user", "content": "the file d"}, {"role": "system", "content": "s"}]


@pytest.mark.fake
def test_thinking_and_tools_in_the_history(server):
    m = [{"role": "user", "content": "weather?"},
         {"role": "assistant", "content": [
             {"type": "thinking", "thinking": "hm", "signature": "xyz"}, {"type": "redacted_thinking", "data": "x"},
             {"type": "text", "text": "I look."},
             {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Paris", "n": [1, 2.5]}},
             {"type": "tool_use", "id": "t2", "name": "time"}]},
         {"role": "user", "content": [
             {"type": "text", "text": "and?"},
             {"type": "tool_result", "tool_use_id": "t1", "content": "sunny"},
             {"type": "tool_result", "tool_use_id": "t2", "is_error": True,
              "content": [{"type": "text", "text": "no "}, {"type": "text", "text": "clock"}]},
             {"type": "tool_result", "tool_use_id": "t9"}]}]
    assert echo(server, m)[1:] == [
        {"role": "assistant", "content": "I look.", "thinking": "hm", "tool_calls": [
            {"id": "t1", "function": {"name": "weather", "arguments": {"city": "Paris", "n": [1, 2.5]}}},
            {"id": "t2", "function": {"name": "time", "arguments": {}}}]},
        {"role": "tool", "content": "sunny", "tool_name": "weather", "tool_call_id": "t1"},
        {"role": "tool", "content": "Error: no clock", "tool_name": "time", "tool_call_id": "t2"},
        {"role": "tool", "content": "", "tool_call_id": "t9"},
        {"role": "user", "content": "and?"}]


@pytest.mark.fake
def test_searches_in_the_history(server):
    m = [{"role": "assistant", "content": [
        {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "q"}},
        {"type": "web_search_tool_result", "tool_use_id": "s1",
         "content": [{"type": "web_search_result", "title": "T", "url": "http://u", "encrypted_content": "x"}]},
        {"type": "text", "text": "Found."}]}]
    assert echo(server, m) == [
        {"role": "assistant", "content": "Found.", "tool_calls": [
            {"id": "s1", "function": {"name": "web_search", "arguments": {"query": "q"}}}]},
        {"role": "tool", "content": "- T: http://u\n", "tool_name": "web_search", "tool_call_id": "s1"}]


def test_what_is_ignored(server):
    want = ask(server)
    got = server.post(V + "?beta=true", body(
        metadata={"user_id": "u"}, service_tier="auto", container="c", mcp_servers=[], top_secret=1, tools=[],
        tool_choice={"type": "auto"}, thinking={"type": "adaptive"}, stop_sequences=[]),
        headers={"anthropic-version": "1999-01-01", "anthropic-beta": "x", "x-api-key": "k", "Content-Type": "text/plain"})
    assert got.status == 200 and got.json()["content"] == want["content"]


@pytest.mark.parametrize("thinking", [{"type": "enabled", "budget_tokens": 1024}, {"type": "disabled"}])
def test_thinking_is_no_error_on_a_model_without(server, thinking):
    assert ask(server, thinking=thinking)["content"][0]["type"] == "text"
    assert ask(server, output_config={"effort": "xhigh"})["content"][0]["type"] == "text"


def test_tool_choice_none_offers_no_tools(server):
    tools = [{"name": "t", "description": "d", "input_schema": {"type": "object"}}]
    assert ask(server, tools=tools, tool_choice={"type": "none"})["content"]


def test_a_search_tool_alone_is_dropped(server):
    assert ask(server, tools=[{"type": "web_search_20250305", "name": "web_search"}])["content"]


SCHEMA = {"type": "object", "properties": {"b": {"type": "integer"}, "a": {"enum": ["x"]}}, "required": ["b", "a"]}


@pytest.mark.fake
@pytest.mark.parametrize("sent", [{"output_config": {"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}}},
                                  {"output_format": {"type": "json_schema", "schema": SCHEMA}}])
def test_a_format_reaches_the_engine(server, sent):
    o = json.loads(ask(server, [{"role": "user", "content": "fake:options"}], **sent)["content"][0]["text"])
    assert o["format"] == SCHEMA


TOOL = {"name": "t", "input_schema": {"type": "object"}}
ERRORS = [
    ("{}", 400, "model is required"),
    (b"", 400, "missing request body"),
    (b"{", 400, "unexpected EOF"),
    (b"[]", 400, "json: cannot unmarshal array into the request of type object"),
    ({"model": ""}, 400, "model is required"),
    ({"model": 1}, 400, "json: cannot unmarshal number into field model of type string"),
    ({"model": "nope"}, 400, "max_tokens is required and must be positive"),
    (body(max_tokens=0), 400, "max_tokens is required and must be positive"),
    (body(max_tokens=-1), 400, "max_tokens is required and must be positive"),
    (body(max_tokens="6"), 400, "json: cannot unmarshal string into field max_tokens of type integer"),
    (body(max_tokens=2.5), 400, "json: cannot unmarshal number 2.5 into field max_tokens of type integer"),
    ({"model": "nope", "max_tokens": 1}, 400, "messages is required"),
    (body([], model="nope"), 400, "messages is required"),
    (body([{"role": "user", "content": ""}]), 400, "messages is required"),
    (body("x"), 400, "json: cannot unmarshal string into field messages of type array"),
    (body([1]), 400, "json: cannot unmarshal number into field messages of type object"),
    (body([{"content": "x"}]), 400, "message role is required"),
    (body([{"role": 1, "content": "x"}]), 400, "json: cannot unmarshal number into field messages.role of type string"),
    (body([{"role": "user", "content": 5}]), 400, "json: cannot unmarshal number into field messages.content of type string"),
    (body([{"role": "user", "content": ["x"]}]), 400, "json: cannot unmarshal string into field messages.content of type object"),
    (body([{"role": "user", "content": [{"type": "text", "text": 1}]}]), 400,
     "json: cannot unmarshal number into field messages.content.text of type string"),
    (body([{"role": "assistant", "content": [{"type": "tool_use", "name": "n"}]}], model="nope"), 400,
     "tool_use block missing required 'id' field"),
    (body([{"role": "assistant", "content": [{"type": "tool_use", "id": "i"}]}]), 400,
     "tool_use block missing required 'name' field"),
    (body([{"role": "user", "content": [{"type": "image"}]}]), 400, "invalid image source"),
    (body([{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "http://x"}}]}]), 400,
     "invalid image source type: url. Only base64 images are supported."),
    (body([{"role": "user", "content": [{"type": "image", "source": {"type": "base64", "data": "QUJ!"}}]}]), 400,
     "invalid base64 image data: illegal base64 data at input byte 3"),
    (body([{"role": "user", "content": [{"type": "image", "source": {"type": "base64", "media_type": "image/png",
                                                                      "data": PNG}}]}]), 400,
     '"m" does not support images'),
    (body(system=5), 400, "json: cannot unmarshal number into field system of type string"),
    (body(temperature="hot"), 400, "json: cannot unmarshal string into field temperature of type number"),
    (body(top_k=1.5), 400, "json: cannot unmarshal number 1.5 into field top_k of type integer"),
    (body(stop_sequences="x"), 400, "json: cannot unmarshal string into field stop_sequences of type array"),
    (body(stop_sequences=[1]), 400, "json: cannot unmarshal number into field stop_sequences of type string"),
    (body(stream="yes"), 400, "json: cannot unmarshal string into field stream of type boolean"),
    (body(thinking="on"), 400, "json: cannot unmarshal string into field thinking of type object"),
    (body(output_config={"format": {"type": "json"}}), 400, 'output_config.format.type must be "json_schema"'),
    (body(output_config={"format": {"type": "json_schema"}}), 400, "output_config.format.schema is required"),
    (body(tools=[TOOL]), 400, "does not support tools"),
    (body(tools=[{"name": "t", "input_schema": "x"}]), 400, 'invalid input_schema for tool "t": '),
    (body(tools=[TOOL], tool_choice={"type": "tool", "name": "u"}), 400, 'tool_choice: unknown tool "u"'),
    (body(model="nope"), 404, "model 'nope' not found"),
    (body(model="a b/c"), 400, "invalid model name"),
    (body(model="x:cloud"), 403, "ollama cloud is disabled: remote model is unavailable"),
]
KINDS = {400: "invalid_request_error", 403: "permission_error", 404: "not_found_error"}


@pytest.mark.parametrize("sent, status, text", ERRORS)
def test_errors(server, sent, status, text):
    a = server.post(V, sent)
    o = a.json()
    assert a.status == status and list(o) == ["type", "error", "request_id"]
    assert o["type"] == "error" and list(o["error"]) == ["type", "message"]
    assert o["error"]["type"] == KINDS[status] and text in o["error"]["message"]
    assert o["request_id"] == a.headers["request-id"] and re.fullmatch("req_[0-9a-f]{24}", o["request_id"])
    assert a.headers["Content-Type"] == "application/json"


def test_wrong_method(server):
    a = server.get(V)
    assert a.status == 405 and a.headers["Allow"] == "POST" and a.json()["error"]["message"] == "405 method not allowed"


@pytest.mark.fake
def test_a_full_queue(make_server):
    import threading
    s = make_server(OLLAMA_MAX_QUEUE="1")
    t = threading.Thread(target=lambda: s.post(V, body([{"role": "user", "content": "fake:delay=500 fake:words=4"}])))
    t.start()
    while not any(x["active"] for x in s.get("/api/ps").json()["models"]):
        time.sleep(0.01)
    a = s.post(V, body([{"role": "user", "content": "x"}]))
    t.join()
    assert a.status == 503 and a.json()["error"]["type"] == "overloaded_error" and a.headers["Retry-After"] == "1"
    assert a.json()["error"]["message"] == "server busy, please try again.  maximum pending requests exceeded"


# ---- counting ---------------------------------------------------------------------------------------


def test_count_tokens(server):
    a = server.post(C + "?beta=true", {"model": "m", "messages": HI, "system": "Be kind."})
    assert a.status == 200 and list(a.json()) == ["input_tokens"] and a.json()["input_tokens"] > 5
    more = server.post(C, {"model": "m", "messages": HI, "system": "Be kind and gentle.", "max_tokens": 0})
    assert more.json()["input_tokens"] > a.json()["input_tokens"]


@pytest.mark.fake
def test_count_tokens_is_exact(server):
    # "<|im_start|>user\nab<|im_end|>\n<|im_start|>assistant\n": a token for each byte and special.
    got = server.post(C, {"model": "m", "messages": [{"role": "user", "content": "ab"}]}).json()["input_tokens"]
    assert got == 1 + 5 + 2 + 1 + 1 + 1 + 10


@pytest.mark.real
def test_count_tokens_is_what_the_answer_says_and_loads_nothing(make_server):
    s = make_server()
    for messages, system in [(HI, ""), (HI + [{"role": "assistant", "content": "Hello"}, *HI], "Be kind."),
                             ([*HI, {"role": "assistant", "content": "Hel"}], "")]:
        fields = {"model": "m", "messages": messages, **({"system": system} if system else {})}
        n = s.post(C, fields).json()["input_tokens"]
        assert s.get("/api/ps").json()["models"] == []
        u = s.post(V, {**fields, "max_tokens": 1}).json()["usage"]
        assert u["input_tokens"] + u["cache_read_input_tokens"] == n
        s.post("/api/generate", {"model": "m", "keep_alive": 0})
        for _ in range(100):
            if not s.get("/api/ps").json()["models"]:
                break
            time.sleep(0.02)


@pytest.mark.parametrize("sent, status, text", [e for e in ERRORS if "max_tokens" not in e[2]])
def test_count_tokens_errors(server, sent, status, text):
    a = server.post(C, sent)
    assert a.status == status and text in a.json()["error"]["message"], a.text
    assert a.json()["error"]["type"] == KINDS[status] and a.json()["request_id"] == a.headers["request-id"]


@pytest.mark.real
def test_too_long_is_an_error_unless_the_cut_is_asked_for(server):
    long = [{"role": "user", "content": "the quick brown fox " * 100}]
    small = {"options": {"num_ctx": 128}}
    for stream in (False, True):
        a = server.post(V, body(long, stream=stream, **small))
        assert a.status == 400 and a.json()["error"]["type"] == "invalid_request_error"
        m = re.match(r"prompt is too long: (\d+) tokens > 128 maximum", a.json()["error"]["message"])
        assert int(m[1]) == server.post(C, {"model": "m", "messages": long}).json()["input_tokens"]
    a = server.post(V, body(long, truncate=True, **small))
    assert a.status == 200 and int(a.headers["X-Chaski-Prompt-Truncated"]) > 100


@pytest.mark.real
def test_the_same_text_as_chat(server):
    o = ask(server, max_tokens=12)
    c = server.post("/api/chat", {"model": "m", "messages": HI, "stream": False,
                                  "options": {"temperature": 0, "num_predict": 12}}).json()
    assert o["content"][0]["text"] == c["message"]["content"]
    u = o["usage"]
    assert u["input_tokens"] + u["cache_read_input_tokens"] == c["prompt_eval_count"]
    assert u["output_tokens"] == c["eval_count"]


@pytest.mark.real
def test_a_stop_sequence_of_the_real_model(server):
    text = ask(server, max_tokens=24)["content"][0]["text"]
    word = re.findall("[a-z]{3,}", text)[-1]
    o = ask(server, max_tokens=24, stop_sequences=["\u2042", word])
    assert (o["stop_reason"], o["stop_sequence"]) == ("stop_sequence", word)
    assert o["content"][0]["text"] == text[:text.index(word)] if o["content"] else text.startswith(word)


# ---- the official client -----------------------------------------------------------------------------


@pytest.fixture
def client(server):
    anthropic = pytest.importorskip("anthropic", reason="the package anthropic is not installed")
    return anthropic.Anthropic(base_url=server.url, api_key="x", max_retries=0)


SHORT = {"model": "m", "max_tokens": 6, "messages": HI, "extra_body": {"temperature": 0}}


def test_client_create(client):
    m = client.messages.create(**SHORT)
    assert m.content[0].type == "text" and m.content[0].text and m.stop_reason == "max_tokens"
    assert m.stop_sequence is None and m.usage.output_tokens == 6 and m._request_id.startswith("req_")


def test_client_stream_helper(client):
    whole = client.messages.create(**SHORT)
    with client.messages.stream(**SHORT) as s:
        text = "".join(s.text_stream)
        final = s.get_final_message()
    assert text == final.content[0].text == whole.content[0].text
    assert final.stop_reason == "max_tokens" and final.usage.output_tokens == 6
    u = whole.usage
    assert (final.usage.input_tokens + final.usage.cache_read_input_tokens
            == u.input_tokens + u.cache_read_input_tokens)


def test_client_raw_stream(client):
    kinds = [e.type for e in client.messages.create(**SHORT, stream=True)]
    assert kinds[0] == "message_start" and kinds[-1] == "message_stop"


def test_client_history_goes_round(client):
    first = client.messages.create(**SHORT)
    m = client.messages.create(**{**SHORT, "system": [{"type": "text", "text": "Be kind."}], "messages": [
        *HI, {"role": "assistant", "content": first.content}, {"role": "user", "content": [{"type": "text", "text": "Go on"}]}]})
    assert m.content[0].text


def test_models_in_the_form_of_this_client(client, make_server):
    rows = client.models.list().data
    assert rows[0].type == "model" and "m:latest" in [m.display_name for m in rows]
    assert client.models.retrieve("m").created_at.year > 2020
    headers = {"anthropic-version": "2023-06-01"}
    assert make_server(model=False).get("/v1/models", headers=headers).json() == {
        "data": [], "has_more": False, "first_id": None, "last_id": None}


def test_client_count_tokens(client):
    assert client.messages.count_tokens(model="m", messages=HI).input_tokens > 5


def test_client_errors(client):
    import anthropic
    with pytest.raises(anthropic.NotFoundError) as e:
        client.messages.create(**{**SHORT, "model": "nope"})
    assert e.value.body["error"]["message"] == "model 'nope' not found" and e.value.request_id.startswith("req_")
    with pytest.raises(anthropic.BadRequestError):
        client.messages.create(**{**SHORT, "tools": [{"name": "t", "input_schema": {"type": "object"}}]})


@pytest.mark.fake
def test_client_error_in_the_stream(client):
    import anthropic
    with pytest.raises(anthropic.APIStatusError, match="on demand"):
        with client.messages.stream(model="m", max_tokens=9, messages=[{"role": "user", "content": "fake:fail=2"}]) as s:
            list(s)


@pytest.mark.fake
def test_client_break_stops_the_work(client, server):
    with client.messages.stream(model="m", max_tokens=5000, messages=[
            {"role": "user", "content": "fake:delay=20 fake:words=5000"}]) as s:
        for _ in s.text_stream:
            break
    for _ in range(200):
        if not any(x["active"] for x in server.get("/api/ps").json()["models"]):
            return
        time.sleep(0.02)
    pytest.fail("the engine still works")
