"""tests/api/test_responses.py - POST /v1/responses, to the field (spec/api.md 24), by plain HTTP and by
the official `openai` client (clients.md 4)."""
import json
import re
import time

import pytest

from sse import events

R = "/v1/responses"
KEYS = ["id", "object", "created_at", "completed_at", "status", "incomplete_details", "model",
        "previous_response_id", "instructions", "output", "error", "tools", "tool_choice", "truncation",
        "parallel_tool_calls", "text", "top_p", "presence_penalty", "frequency_penalty", "top_logprobs",
        "temperature", "reasoning", "usage", "max_output_tokens", "max_tool_calls", "store", "background",
        "service_tier", "metadata", "safety_identifier", "prompt_cache_key"]
SHORT = {"model": "m", "input": "Hi there", "max_output_tokens": 4, "temperature": 0}


def ask(server, **fields):
    a = server.post(R, {"model": "m", **fields})
    assert a.status == 200, a.text
    return a.json()


def text_of(o):
    return "".join(p["text"] for i in o["output"] if i["type"] == "message" for p in i["content"])


def echo(server, items, **fields):
    """The conversation as the engine got it (the fake engine says it)."""
    o = ask(server, input=[*items, {"role": "user", "content": "fake:echo"}], **fields)
    return json.loads(text_of(o))["messages"][:-1]


# ---- the answer, not streamed ---------------------------------------------------------------


def test_every_key_in_its_order(server):
    a = server.post(R, SHORT)
    o = a.json()
    assert a.headers["Content-Type"] == "application/json" and a.body.endswith(b"}\n")
    assert list(o) == KEYS
    assert re.fullmatch("resp_[A-Za-z0-9]{24}", o["id"]) and o["object"] == "response" and o["model"] == "m"
    assert abs(o["created_at"] - time.time()) < 100 and o["completed_at"] >= o["created_at"]
    assert (o["status"], o["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    for key in ("previous_response_id", "instructions", "error", "reasoning", "max_tool_calls",
                "safety_identifier", "prompt_cache_key"):
        assert o[key] is None
    assert (o["tools"], o["tool_choice"], o["truncation"], o["parallel_tool_calls"]) == ([], "auto", "disabled", True)
    assert o["text"] == {"format": {"type": "text"}} and o["metadata"] == {}
    assert (o["top_p"], o["temperature"], o["presence_penalty"], o["frequency_penalty"]) == (1, 0, 0, 0)
    assert (o["max_output_tokens"], o["store"], o["background"], o["service_tier"]) == (4, False, False, "default")
    u = o["usage"]
    assert list(u) == ["input_tokens", "output_tokens", "total_tokens", "input_tokens_details", "output_tokens_details"]
    assert u["output_tokens"] == 4 and u["total_tokens"] == u["input_tokens"] + 4
    assert list(u["input_tokens_details"]) == ["cached_tokens"]
    assert u["output_tokens_details"] == {"reasoning_tokens": 0}
    item, = o["output"]
    assert list(item) == ["id", "type", "status", "role", "content"] and item["id"].startswith("msg_")
    part, = item["content"]
    assert list(part) == ["type", "text", "annotations", "logprobs"]
    assert part["type"] == "output_text" and part["text"] and part["annotations"] == part["logprobs"] == []


@pytest.mark.fake
def test_completed(server):
    o = ask(server, input="x")
    assert (o["status"], o["incomplete_details"]) == ("completed", None)
    assert o["output"][0]["status"] == "completed" and o["max_output_tokens"] is None


@pytest.mark.fake
def test_cached_tokens(server):
    assert ask(server, input="fake:cached=5")["usage"]["input_tokens_details"] == {"cached_tokens": 5}


@pytest.mark.fake
def test_what_is_echoed(server):
    fields = {"instructions": "Be kind.", "metadata": {"a": "b"}, "truncation": "auto", "background": True,
              "parallel_tool_calls": False, "top_p": 0.5, "temperature": 0.25, "presence_penalty": 0.5,
              "text": {"format": {"type": "text"}, "verbosity": "low"}, "tool_choice": "none",
              "tools": [{"type": "function", "name": "t", "parameters": {"type": "object"}}],
              "reasoning": {"effort": "none"}}
    o = ask(server, input="x", **fields)
    assert {k: o[k] for k in fields} == {**fields, "reasoning": {"effort": "none", "summary": None}}
    ignored = ask(server, input="x", store=True, user="u", prompt_cache_key="k", include=[], max_tool_calls=3,
                  service_tier="flex", safety_identifier="s")
    assert (ignored["store"], ignored["prompt_cache_key"], ignored["service_tier"]) == (False, None, "default")


@pytest.mark.fake
def test_the_modelfile_wins_over_the_default_temperature(server):
    server.create("warm", **{"from": "m"}, parameters={"temperature": 0.125})
    assert ask(server, model="warm", input="x")["temperature"] == 0.125
    assert ask(server, input="x")["temperature"] == 1
    assert ask(server, model="warm", input="x", temperature=0.5)["temperature"] == 0.5


@pytest.mark.fake
def test_seed_stop_and_options(server):
    assert server.post(R, {**SHORT, "temperature": 1}).headers["X-Chaski-Seed"] == "4711"
    assert "X-Chaski-Seed" not in server.post(R, {**SHORT, "seed": 5}).headers
    assert text_of(ask(server, input="x", stop=["w2"])) == "w0 w1 "
    assert text_of(ask(server, input="x", options={"num_predict": 1})) == "w0 "


def test_nothing_to_say_loads_the_model(server):
    for empty in ({}, {"input": ""}, {"input": []}, {"input": None, "instructions": "x"}):
        o = ask(server, **empty)
        assert list(o) == KEYS and o["status"] == "completed" and text_of(o) == "" and len(o["output"]) == 1
        assert o["usage"]["total_tokens"] == 0
    assert "m:latest" in [x["name"] for x in server.get("/api/ps").json()["models"]]
    got = events(server.post(R, {"model": "m", "stream": True}).body)
    assert got[-1][0] == "response.completed" and text_of(got[-1][1]["response"]) == ""


def test_logprobs(server):
    include = {"include": ["message.output_text.logprobs"], "top_logprobs": 2}
    o = ask(server, **{**SHORT, **include})
    part = o["output"][0]["content"][0]
    assert len(part["logprobs"]) == 4 and o["top_logprobs"] == 2
    assert "".join(p["token"] for p in part["logprobs"]) == part["text"]
    assert all(list(p) == ["token", "logprob", "bytes", "top_logprobs"] and len(p["top_logprobs"]) == 2
               for p in part["logprobs"])
    got = events(server.post(R, {**SHORT, **include, "stream": True}).body)
    parts = [p for name, d in got if name == "response.output_text.delta" for p in d["logprobs"]]
    done, = [d for name, d in got if name == "response.output_text.done"]
    assert parts == done["logprobs"] == part["logprobs"]


# ---- the stream ----------------------------------------------------------------------------------


def test_events_in_order_with_every_key(server):
    whole = ask(server, **SHORT)
    a = server.post(R, {**SHORT, "stream": True})
    assert a.headers["Content-Type"] == "text/event-stream" and a.headers["Cache-Control"] == "no-cache"
    assert a.headers["Connection"] == "keep-alive" and b"[DONE]" not in a.body
    got = events(a.body)
    assert all(name == d["type"] and list(d)[:2] == ["type", "sequence_number"] for name, d in got)
    assert [d["sequence_number"] for _, d in got] == list(range(len(got)))
    kinds = [name.removeprefix("response.") for name, _ in got]
    n = kinds.count("output_text.delta")
    assert n and kinds == ["created", "in_progress", "output_item.added", "content_part.added",
                           *["output_text.delta"] * n, "output_text.done", "content_part.done",
                           "output_item.done", "completed"]
    data = [d for _, d in got]
    for d in data[:2]:
        r = d["response"]
        assert list(r) == KEYS and r["status"] == "in_progress" and r["output"] == []
        assert r["usage"] is None and r["completed_at"] is None
    added, part_added = data[2], data[3]
    item = added["item"]
    assert list(added)[2:] == ["output_index", "item"] and added["output_index"] == 0
    assert item == {"id": item["id"], "type": "message", "status": "in_progress", "role": "assistant", "content": []}
    where = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    empty = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}

    def rest(d):
        return {k: v for k, v in d.items() if k not in ("type", "sequence_number")}

    assert rest(part_added) == {**where, "part": empty}
    deltas = data[4:4 + n]
    text = text_of(whole)
    assert all(rest(d) == {**where, "delta": d["delta"], "logprobs": []} for d in deltas)
    assert "".join(d["delta"] for d in deltas) == text
    assert rest(data[-4]) == {**where, "text": text, "logprobs": []}
    assert rest(data[-3]) == {**where, "part": {**empty, "text": text}}
    done = {**item, "status": "incomplete", "content": [{**empty, "text": text}]}
    assert rest(data[-2]) == {"output_index": 0, "item": done}
    last = data[-1]["response"]
    assert list(last) == KEYS and last["id"] == data[0]["response"]["id"] and last["output"] == [done]
    volatile = ("id", "created_at", "completed_at", "output", "usage")
    assert {k: v for k, v in last.items() if k not in volatile} == \
        {k: v for k, v in whole.items() if k not in volatile}
    assert last["usage"]["total_tokens"] == whole["usage"]["total_tokens"]


@pytest.mark.fake
def test_a_failure_in_the_stream(server):
    got = events(server.post(R, {"model": "m", "input": "fake:fail=2", "stream": True}).body)
    name, d = got[-1]
    assert name == "response.failed" and d["sequence_number"] == len(got) - 1
    r = d["response"]
    assert list(r) == KEYS and r["status"] == "failed" and r["error"]["code"] == "server_error"
    assert r["error"]["message"].startswith("an error was encountered while running the model: ")
    assert text_of(r) == "w0 w1 " and r["output"][0]["status"] == "incomplete"


@pytest.mark.fake
def test_a_sign_of_life_while_the_prompt_is_read(make_server):
    s = make_server(CHASKI_STREAM_PING="200ms")
    a = s.post(R, {"model": "m", "input": "fake:prompt=900 fake:words=2", "stream": True})
    assert b"in_progress" in a.body.split(b"\n\n: working\n\n")[0]
    assert events(a.body)[-1][0] == "response.completed"


# ---- the request --------------------------------------------------------------------------------


@pytest.mark.fake
def test_items(server):
    items = [
        {"role": "developer", "content": "Rules."},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"},
                                                        {"type": "input_image", "detail": "auto"}]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "S"}], "encrypted_content": "hm"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "c", "annotations": []}]},
        {"type": "function_call", "call_id": "t1", "name": "f", "arguments": '{"x": 1}'},
        {"type": "function_call", "call_id": "t2", "name": "g", "arguments": ""},
        {"type": "web_search_call", "id": "w"},
        {"type": "function_call_output", "call_id": "t1", "output": "one"},
        {"type": "function_call_output", "call_id": "t2", "output": [{"type": "input_text", "text": "two"}]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "S"}]},
        {"type": "function_call", "call_id": "t3", "name": "f", "arguments": "{}"},
        {"role": "user", "content": ""},
    ]
    assert echo(server, items, instructions="Be kind.") == [
        {"role": "system", "content": "Be kind."},
        {"role": "system", "content": "Rules."},
        {"role": "user", "content": "ab"},
        {"role": "assistant", "content": "c", "thinking": "hm", "tool_calls": [
            {"id": "t1", "function": {"name": "f", "arguments": {"x": 1}}},
            {"id": "t2", "function": {"name": "g", "arguments": {}}}]},
        {"role": "tool", "content": "one", "tool_name": "f", "tool_call_id": "t1"},
        {"role": "tool", "content": "two", "tool_name": "g", "tool_call_id": "t2"},
        {"role": "assistant", "content": "", "thinking": "S", "tool_calls": [
            {"id": "t3", "function": {"name": "f", "arguments": {}}}]},
        {"role": "user", "content": ""}]


@pytest.mark.fake
def test_an_answer_goes_back_as_it_came(server):
    first = ask(server, input="x")
    assert echo(server, first["output"]) == [{"role": "assistant", "content": text_of(first)}]


def test_tools_that_are_not_served_are_dropped(server):
    o = ask(server, **SHORT, tools=[{"type": "web_search"}, {"type": "computer_use_preview", "display_width": 1}])
    assert text_of(o) and len(o["tools"]) == 2
    fun = {"type": "function", "name": "t", "parameters": {"type": "object"}}
    assert text_of(ask(server, **SHORT, tools=[fun], tool_choice="none"))


FUN = {"type": "function", "name": "t", "parameters": {"type": "object"}}


def item(i, **more):
    return {"model": "m", "input": [i], **more}


ERRORS = [
    ("{}", 400, "model is required"),
    (b"", 400, "missing request body"),
    (b"{", 400, "unexpected EOF"),
    ({"model": "nope", "previous_response_id": "resp_1", "input": "x"}, 400, "previous_response_id is not supported"),
    ({"model": "m", "conversation": {"id": "c"}, "input": "x"}, 400, "previous_response_id is not supported"),
    ({"model": "m", "input": 5}, 400, "input must be a string or array: "),
    (item("x"), 400, "input[0]: json: cannot unmarshal string into field input of type object"),
    (item({}), 400, "input[0]: input item missing required 'type' field"),
    (item({"role": "user"}), 400, "input[0]: input item missing required 'type' field"),
    ({"model": "m", "input": [{"role": "user", "content": "x"}, {"type": "foo"}]}, 400,
     'input[1]: unknown input item type: "foo"'),
    (item({"type": "message", "content": "x"}), 400, "input[0]: message role is required"),
    (item({"role": "user", "content": [{"type": "x"}]}), 400, "unknown content type: x"),
    (item({"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}), 400,
     "file inputs are not currently supported"),
    (item({"role": "user", "content": [{"type": "input_image", "image_url": "https://x/y.png"}]}), 400,
     "image URLs are not currently supported, please use base64 encoded data instead"),
    (item({"role": "user", "content": [{"type": "input_image", "image_url": "data:image/png;base64,!"}]}), 400,
     "invalid image input"),
    (item({"role": "user", "content": [{"type": "input_image", "image_url": "data:image/png;base64,QUJD"}]}), 400,
     '"m" does not support images'),
    (item({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{"}), 400,
     "failed to parse function call arguments: "),
    ({"model": "m", "input": "x", "instructions": 5}, 400, "json: cannot unmarshal number into field instructions of type string"),
    ({"model": "m", "input": "x", "max_output_tokens": "9"}, 400,
     "json: cannot unmarshal string into field max_output_tokens of type integer"),
    ({"model": "m", "input": "x", "temperature": "hot"}, 400, "json: cannot unmarshal string into field temperature of type number"),
    ({"model": "m", "input": "x", "stream": 1}, 400, "json: cannot unmarshal number into field stream of type boolean"),
    ({"model": "m", "input": "x", "metadata": "m"}, 400, "json: cannot unmarshal string into field metadata of type object"),
    ({"model": "m", "input": "x", "top_logprobs": 21}, 400, "top_logprobs must be between 0 and 20"),
    ({"model": "m", "input": "x", "reasoning": {"effort": "foo"}}, 400, 'invalid reasoning value: "foo"'),
    ({"model": "m", "input": "x", "reasoning": {"effort": "low"}}, 400, '"m" does not support thinking'),
    ({"model": "m", "input": "x", "tools": [FUN]}, 400, "does not support tools"),
    ({"model": "m", "input": "x", "tools": [FUN], "tool_choice": {"type": "function", "name": "u"}}, 400,
     'tool_choice: unknown tool "u"'),
    ({"model": "m", "input": "x", "tools": [{"type": "namespace", "name": "n", "tools": [FUN]}],
      "tool_choice": {"type": "function", "name": "n.t"}}, 400, "does not support tools"),
    ({"model": "m", "input": "x", "text": {"format": {"type": "json_schema", "name": "n"}}}, 400, "text.format.schema is required"),
    ({"model": "nope", "input": "x"}, 404, "model 'nope' not found"),
    ({"model": "x:cloud", "input": "x"}, 403, "ollama cloud is disabled: remote model is unavailable"),
]


@pytest.mark.parametrize("sent, status, text", ERRORS)
def test_errors(server, sent, status, text):
    a = server.post(R, sent)
    assert a.status == status, a.text
    e = a.json()["error"]
    assert list(e) == ["message", "type", "param", "code"] and text in e["message"]


@pytest.mark.real
def test_too_long_is_an_error_unless_the_cut_is_asked_for(server):
    long = {**SHORT, "input": "the quick brown fox " * 100, "options": {"num_ctx": 128}}
    for stream in (False, True):
        a = server.post(R, {**long, "stream": stream})
        assert a.status == 400 and "exceeds the available context size (128 tokens)" in a.json()["error"]["message"]
    for cut in ({"truncate": True}, {"truncation": "auto"}):
        a = server.post(R, {**long, **cut})
        assert a.status == 200 and int(a.headers["X-Chaski-Prompt-Truncated"]) > 100
    assert server.post(R, {**long, "truncation": "auto", "truncate": False}).status == 400


@pytest.mark.real
def test_the_same_text_as_chat(server):
    o = ask(server, **{**SHORT, "max_output_tokens": 12, "top_p": 0.9})
    c = server.post("/api/chat", {"model": "m", "messages": [{"role": "user", "content": "Hi there"}], "stream": False,
                                  "options": {"temperature": 0, "num_predict": 12}}).json()
    assert text_of(o) == c["message"]["content"] and o["usage"]["input_tokens"] == c["prompt_eval_count"]


# ---- the official client -----------------------------------------------------------------------------


@pytest.fixture
def client(server):
    openai = pytest.importorskip("openai", reason="the package openai is not installed")
    return openai.OpenAI(base_url=server.url + "/v1", api_key="x", max_retries=0)


def test_client_create(client):
    r = client.responses.create(**SHORT)
    assert r.output_text and r.status == "incomplete" and r.usage.output_tokens == 4 and r._request_id


def test_client_raw_stream(client):
    whole = client.responses.create(**SHORT).output_text
    got = list(client.responses.create(**SHORT, stream=True))
    assert "".join(e.delta for e in got if e.type == "response.output_text.delta") == whole
    assert got[-1].type == "response.completed" and got[-1].response.output_text == whole


def test_client_stream_helper(client):
    with client.responses.stream(**SHORT) as s:
        text = "".join(e.delta for e in s if e.type == "response.output_text.delta")
        final = s.get_final_response()
    assert text == final.output_text


def test_client_history_goes_round(client):
    first = client.responses.create(**SHORT)
    r = client.responses.create(**{**SHORT, "input": [{"role": "user", "content": "Hi"}, *first.output,
                                                      {"role": "user", "content": "Go on"}]})
    assert r.output_text


def test_client_errors(client):
    import openai
    with pytest.raises(openai.NotFoundError, match="model 'nope' not found"):
        client.responses.create(**{**SHORT, "model": "nope"})
    with pytest.raises(openai.BadRequestError, match="previous_response_id is not supported"):
        client.responses.create(**SHORT, previous_response_id="resp_1")


@pytest.mark.fake
def test_client_break_stops_the_work(client, server):
    s = client.responses.create(model="m", input="fake:delay=20 fake:words=5000", stream=True)
    for e in s:
        if e.type == "response.output_text.delta":
            break
    s.close()
    for _ in range(200):
        if not any(x["active"] for x in server.get("/api/ps").json()["models"]):
            return
        time.sleep(0.02)
    pytest.fail("the engine still works")
