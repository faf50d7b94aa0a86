"""tests/api/test_openai.py - the OpenAI-style routes, row by row (spec/api.md 14, 22, 23)."""
import json
import re

import pytest

C, T = "/v1/chat/completions", "/v1/completions"
USER = [{"role": "user", "content": "Hi"}]
GREEDY = {"temperature": 0, "max_tokens": 4}
USAGE = {"prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details",
         "completion_tokens_details"}
fake = pytest.mark.fake


def chat(server, status=200, messages=None, **more):
    a = server.post(C, {"model": "m", "messages": USER if messages is None else messages, **more})
    assert a.status == status, a.text
    return a


def text(server, status=200, prompt="Hi", **more):
    a = server.post(T, {"model": "m", "prompt": prompt, **more})
    assert a.status == status, a.text
    return a


def events(a):
    """The data of an SSE stream; the last must be [DONE]."""
    assert a.headers["Content-Type"] == "text/event-stream"
    parts = a.text.split("\n\n")
    assert parts[-1] == "" and parts[-2] == "data: [DONE]"
    assert all(p.startswith("data: ") for p in parts[:-1])
    return [json.loads(p[6:]) for p in parts[:-2]]


def message(a):
    e = a.json()["error"]
    assert list(e) == ["message", "type", "param", "code"] and e["param"] is None
    return e["message"]


# ---- 22.3, 22.4: the answers -----------------------------------------------------------------


def test_a_whole_chat_answer(server):
    a = chat(server, **GREEDY)
    assert a.headers["Content-Type"] == "application/json" and a.body.endswith(b"}\n")
    o = a.json()
    assert list(o)[:7] == ["id", "object", "created", "model", "system_fingerprint", "choices",
                           "usage"]
    assert re.fullmatch(r"chatcmpl-[A-Za-z0-9]{24}", o["id"])
    assert o["object"] == "chat.completion" and o["model"] == "m"
    assert isinstance(o["created"], int) and o["system_fingerprint"] == "fp_ollama"
    [c] = o["choices"]
    assert list(c) == ["index", "message", "finish_reason"] and c["index"] == 0
    assert list(c["message"]) == ["role", "content"] and c["message"]["role"] == "assistant"
    assert c["message"]["content"] and c["finish_reason"] == "length"
    u = o["usage"]
    assert set(u) == USAGE and u["completion_tokens"] == 4
    assert u["total_tokens"] == u["prompt_tokens"] + 4
    assert o["id"] != chat(server, **GREEDY).json()["id"]


def test_the_same_text_as_from_api_chat(server):
    want = server.post("/api/chat", {"model": "m", "messages": USER, "stream": False,
                                     "options": {"temperature": 0, "num_predict": 4}}).json()
    got = chat(server, **GREEDY).json()
    assert got["choices"][0]["message"]["content"] == want["message"]["content"]
    assert got["usage"]["prompt_tokens"] == want["prompt_eval_count"]


@pytest.mark.parametrize("usage", [False, True])
def test_a_streamed_chat_answer(server, usage):
    whole = chat(server, **GREEDY).json()["choices"][0]["message"]["content"]
    options = {"stream_options": {"include_usage": True}} if usage else {}
    all_ = events(chat(server, stream=True, **GREEDY, **options))
    head = {(x["id"], x["created"], x["model"], x["object"], x["system_fingerprint"]) for x in all_}
    assert len(head) == 1 and next(iter(head))[3] == "chat.completion.chunk"
    if usage:
        last = all_.pop()
        assert last["choices"] == [] and last["usage"]["completion_tokens"] == 4
        assert set(last["usage"]) == USAGE
    assert all("usage" not in x for x in all_)
    pieces, end = all_[:-1], all_[-1]
    assert end["choices"] == [{"index": 0, "delta": {}, "finish_reason": "length"}]
    assert all(x["choices"][0]["finish_reason"] is None for x in pieces)
    assert list(pieces[0]["choices"][0]["delta"]) == ["role", "content"]
    assert all(list(x["choices"][0]["delta"]) == ["content"] for x in pieces[1:])
    assert "".join(x["choices"][0]["delta"]["content"] for x in pieces) == whole


def test_a_drawn_seed_is_told_and_gives_the_answer_again(server):
    first = chat(server, max_tokens=8).json()
    again = chat(server, max_tokens=8, seed=first["chaski"]["seed"]).json()
    assert again["choices"] == first["choices"] and "chaski" not in again
    end = events(chat(server, max_tokens=8, stream=True))[-1]
    assert isinstance(end["chaski"]["seed"], int)
    end = events(chat(server, max_tokens=2, stream=True, stream_options={"include_usage": True}))
    assert "chaski" not in end[-2] and "seed" in end[-1]["chaski"]


@fake
def test_an_empty_answer_says_the_role_all_the_same(server):
    one, end = events(chat(server, stream=True, messages=[{"role": "user",
                                                           "content": "fake:words=0"}]))
    assert one["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert end["choices"][0]["finish_reason"] == "stop"


def test_n_choices(server):
    o = chat(server, n=3, max_tokens=6, temperature=2, seed=7).json()
    assert [c["index"] for c in o["choices"]] == [0, 1, 2]
    one = chat(server, max_tokens=6, temperature=2, seed=7).json()
    assert o["choices"][0] == one["choices"][0]
    third = chat(server, max_tokens=6, temperature=2, seed=9).json()
    assert o["choices"][2]["message"] == third["choices"][0]["message"]
    assert o["usage"]["prompt_tokens"] == one["usage"]["prompt_tokens"]
    greedy = chat(server, n=2, **GREEDY).json()
    assert greedy["choices"][0]["message"] == greedy["choices"][1]["message"]
    drawn = chat(server, n=2, max_tokens=6).json()
    same = chat(server, n=2, max_tokens=6, seed=drawn["chaski"]["seed"]).json()
    assert same["choices"] == drawn["choices"]


# ---- 14: logprobs ----------------------------------------------------------------------------


def check_entries(entries, n_top):
    for e in entries:
        assert list(e) == ["token", "logprob", "bytes"] + (["top_logprobs"] if n_top else [])
        assert bytes(e["bytes"]).decode(errors="replace") == e["token"]
        assert isinstance(e["logprob"], (int, float)) and e["logprob"] <= 0
        tops = [t["logprob"] for t in e.get("top_logprobs", [])]
        assert len(tops) == n_top and tops == sorted(tops, reverse=True)


@pytest.mark.parametrize("n_top", [0, 3, 20])
def test_logprobs_of_chat(server, n_top):
    whole = chat(server, logprobs=True, top_logprobs=n_top, **GREEDY).json()["choices"][0]
    entries = whole["logprobs"]["content"]
    assert len(entries) == 4
    check_entries(entries, n_top)
    parts = events(chat(server, logprobs=True, top_logprobs=n_top, stream=True, **GREEDY))
    streamed = [e for x in parts for e in x["choices"][0].get("logprobs", {}).get("content", [])]
    assert streamed == entries
    assert "".join(x["choices"][0]["delta"].get("content", "") for x in parts) == \
        whole["message"]["content"]


@pytest.mark.parametrize("path, part", [("/api/chat", {"messages": USER}),
                                        ("/api/generate", {"prompt": "Hi"})])
def test_logprobs_of_the_ollama_routes(server, path, part):
    body = {"model": "m", **part, "logprobs": True, "top_logprobs": 2,
            "options": {"temperature": 0, "num_predict": 4}}
    whole = server.post(path, {**body, "stream": False}).json()
    check_entries(whole["logprobs"], 2)
    lines = server.post(path, body).lines()
    assert [e for x in lines for e in x.get("logprobs", [])] == whole["logprobs"]
    assert len(whole["logprobs"]) == 4
    keys = list(whole)
    if path == "/api/chat":
        assert keys.index("done_reason") < keys.index("logprobs") < keys.index("total_duration")
    else:
        assert keys.index("eval_duration") < keys.index("logprobs")
    plain = server.post(path, {**body, "logprobs": False, "stream": False}).json()
    assert "logprobs" not in plain
    key = "response" if "response" in whole else "message"
    assert plain[key] == whole[key]


@pytest.mark.parametrize("n_top", [0, 2])
def test_logprobs_of_completions(server, n_top):
    c = text(server, logprobs=n_top, **GREEDY).json()["choices"][0]
    lp = c["logprobs"]
    assert list(lp) == ["tokens", "token_logprobs", "top_logprobs", "text_offset"]
    assert len(lp["tokens"]) == len(lp["token_logprobs"]) == len(lp["text_offset"]) == 4
    assert "".join(lp["tokens"]).startswith(c["text"][:4])
    assert lp["text_offset"][0] == 0 and lp["text_offset"][1] == len(lp["tokens"][0])
    if n_top:
        assert all(1 <= len(t) <= n_top for t in lp["top_logprobs"])
    else:
        assert lp["top_logprobs"] is None
    parts = events(text(server, logprobs=n_top, stream=True, **GREEDY))
    lists = [x["choices"][0]["logprobs"] for x in parts if "logprobs" in x["choices"][0]]
    assert [t for x in lists for t in x["tokens"]] == lp["tokens"]
    assert [t for x in lists for t in x["text_offset"]] == lp["text_offset"]


@pytest.mark.parametrize("n_top", [0, 2])
def test_logprobs_of_an_echoed_prompt(server, n_top):
    """The client's own text, wherever the template put it: its first token has none."""
    sent = "Hi there you"
    o = text(server, prompt=sent, logprobs=n_top, echo=True, **GREEDY).json()["choices"][0]
    lp = o["logprobs"]
    n = lp["text_offset"].index(len(sent))  # tokens of the prompt
    assert o["text"].startswith(sent) and "".join(lp["tokens"][:n]) == sent and lp["text_offset"][:2] == [0, 2]
    assert lp["token_logprobs"][0] is None and all(v < 0 for v in lp["token_logprobs"][1:])
    if n_top:
        assert lp["top_logprobs"][0] is None and all(isinstance(v, dict) for v in lp["top_logprobs"][1:])
    plain = text(server, prompt=sent, logprobs=n_top, **GREEDY).json()["choices"][0]["logprobs"]
    assert lp["tokens"][n:] == plain["tokens"] and lp["token_logprobs"][n:] == plain["token_logprobs"]
    parts = events(text(server, prompt=sent, logprobs=n_top, echo=True, stream=True, **GREEDY))
    assert parts[0]["choices"][0]["text"] == sent and len(parts[0]["choices"][0]["logprobs"]["tokens"]) == n
    lists = [x["choices"][0]["logprobs"] for x in parts if "logprobs" in x["choices"][0]]
    for key in ("tokens", "token_logprobs", "text_offset"):
        assert [v for x in lists for v in x[key]] == lp[key]
    alone = text(server, prompt=sent, logprobs=n_top, echo=True, max_tokens=0).json()["choices"][0]
    assert alone["text"] == sent and alone["logprobs"]["tokens"] == lp["tokens"][:n]


@pytest.mark.real
def test_an_answer_that_goes_back_as_a_prompt_has_the_same_logprobs(server):
    """Bit for bit: what was sampled one by one, and what is read as a prompt that the cache knows."""
    more = {"raw": True, "logprobs": 3, "echo": True, "temperature": 0}
    a = text(server, prompt="The sky is", max_tokens=20, **more).json()["choices"][0]
    b = text(server, prompt=a["text"], max_tokens=0, **more).json()["choices"][0]
    assert a["logprobs"] == b["logprobs"] and len(b["logprobs"]["tokens"]) == 23


# ---- 22.1: fields ----------------------------------------------------------------------------


@fake
@pytest.mark.parametrize("path", [C, T])
@pytest.mark.parametrize("body, want", [
    ({}, {"temperature": 1, "top_p": 1, "num_predict": -1, "seed": -1, "no_truncate": True,
          "no_shift": False, "stop": [], "logprobs": False}),
    ({"max_tokens": 5}, {"num_predict": 5}),
    ({"max_completion_tokens": 6}, {"num_predict": 6}),
    ({"max_tokens": 5, "max_completion_tokens": 3}, {"num_predict": 3}),
    ({"max_tokens": 3, "max_completion_tokens": 5}, {"num_predict": 3}),
    ({"max_tokens": None}, {"num_predict": -1}),
    ({"max_tokens": 4294967296}, {"num_predict": 2147483647}),
    ({"temperature": 0, "top_p": 0.5}, {"temperature": 0, "top_p": 0.5}),
    ({"temperature": None, "top_p": None}, {"temperature": 1, "top_p": 1}),
    ({"seed": 5, "frequency_penalty": 0.5, "presence_penalty": -1},
     {"seed": 5, "frequency_penalty": 0.5, "presence_penalty": -1}),
    ({"stop": "a"}, {"stop": ["a"]}),
    ({"stop": ["a", "b"]}, {"stop": ["a", "b"]}),
    ({"stop": None}, {"stop": []}),
    ({"stop": 5}, {"stop": []}),
    ({"top_p": 0, "options": {"top_p": 0}}, {"top_p": 0}),
    ({"top_k": 7, "min_p": 0.25}, {"top_k": 7, "min_p": 0.25}),
    ({"options": {"num_ctx": 512, "top_k": 3}, "top_k": 7}, {"num_ctx": 512, "top_k": 3}),
    ({"options": {"temperature": 0.5}, "temperature": 1}, {"temperature": 0.5}),
    ({"truncate": True}, {"no_truncate": False}),
    ({"shift": False}, {"no_shift": True}),
    ({"keep_alive": "5m"}, {"keep_alive_ns": 300000000000}),
    # What clients send by habit and Ollama ignores.
    ({"user": "u", "store": False, "metadata": {"a": "b"}, "service_tier": "auto", "logit_bias": {},
      "modalities": ["text"], "prediction": None, "functions": [], "num_ctx": 5, "think": True,
      "repeat_penalty": 2, "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
      "stream_options": None, "response_format": None, "unknown": 1},
     {"num_ctx": 0, "temperature": 1}),
])
def test_fields_reach_the_engine(server, path, body, want):
    ask = {"messages": [{"role": "user", "content": "fake:options"}]} if path == C else \
        {"prompt": "fake:options"}
    a = server.post(path, {"model": "m", **ask, **body})
    assert a.status == 200, a.text
    c = a.json()["choices"][0]
    got = json.loads(c["message"]["content"] if path == C else c["text"])
    assert {k: got[k] for k in want} == want


@fake
def test_top_p_zero_of_completions_counts_as_absent(server):
    def top_p(path, more):
        body = {"model": "m", "prompt": "fake:options", "messages": [{"role": "user", "content": "fake:options"}]}
        c = server.post(path, {**body, **more}).json()["choices"][0]
        return json.loads(c["text"] if path == T else c["message"]["content"])["top_p"]
    assert top_p(T, {"top_p": 0}) == 1 and top_p(C, {"top_p": 0}) == 0


@fake
def test_the_modelfile_wins_over_the_defaults_of_v1(make_server):
    s = make_server()
    s.create("p", **{"from": "m"}, parameters={"temperature": 0.25, "top_p": 0.5, "stop": ["X"],
                                               "frequency_penalty": 1, "num_predict": 9})
    ask = {"model": "p", "messages": [{"role": "user", "content": "fake:options"}]}
    got = json.loads(s.post(C, ask).json()["choices"][0]["message"]["content"])
    assert (got["temperature"], got["top_p"], got["stop"]) == (0.25, 0.5, ["X"])
    assert (got["frequency_penalty"], got["num_predict"]) == (1, 9)
    got = json.loads(s.post(C, {**ask, "temperature": 2, "stop": "Y"}).json()
                     ["choices"][0]["message"]["content"])
    assert (got["temperature"], got["top_p"], got["stop"]) == (2, 0.5, ["Y"])
    # /v1/completions sets the penalties always (23.1).
    got = json.loads(s.post(T, {"model": "p", "prompt": "fake:options"}).json()
                     ["choices"][0]["text"])
    assert (got["temperature"], got["frequency_penalty"]) == (0.25, 0)


# ---- 22.2: messages --------------------------------------------------------------------------

CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":[1,{"b":2}]}'}}
CORE_CALL = {"id": "c1", "function": {"index": 0, "name": "f", "arguments": {"a": [1, {"b": 2}]}}}


@fake
@pytest.mark.parametrize("messages, want", [
    ([{"role": "USER", "content": "a"}], [{"role": "user", "content": "a"}]),
    ([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}],
     [{"role": "user", "content": "ab"}]),
    ([{"role": "user", "content": []}], [{"role": "user", "content": ""}]),
    ([{"role": "assistant", "content": None}], [{"role": "assistant", "content": ""}]),
    ([{"role": "assistant"}], [{"role": "assistant", "content": ""}]),
    ([{"role": "tool"}], [{"role": "tool", "content": ""}]),
    ([{"role": "assistant", "content": "a", "reasoning": "r"}],
     [{"role": "assistant", "content": "a", "thinking": "r"}]),
    ([{"role": "assistant", "content": "a", "reasoning_content": "r"}],
     [{"role": "assistant", "content": "a", "thinking": "r"}]),
    ([{"role": "assistant", "content": None, "tool_calls": [CALL]},
      {"role": "tool", "tool_call_id": "c1", "content": "r"}],
     [{"role": "assistant", "content": "", "tool_calls": [CORE_CALL]},
      {"role": "tool", "content": "r", "tool_call_id": "c1", "tool_name": "f"}]),
    ([{"role": "assistant", "tool_calls": [CALL]},
      {"role": "tool", "tool_call_id": "c1", "name": "g", "content": "r"}],
     [{"role": "assistant", "content": "", "tool_calls": [CORE_CALL]},
      {"role": "tool", "content": "r", "tool_call_id": "c1", "tool_name": "g"}]),
    ([{"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "f", "arguments": ""}}]}],
     [{"role": "assistant", "content": "",
       "tool_calls": [{"id": "c1", "function": {"index": 0, "name": "f", "arguments": {}}}]}]),
    ([{"role": "developer", "content": "d"}], [{"role": "system", "content": "d"}]),
])
def test_messages_in_the_form_of_the_core(server, messages, want):
    said = chat(server, messages=messages + [{"role": "user", "content": "fake:echo"}]).json()
    got = json.loads(said["choices"][0]["message"]["content"])["messages"]
    assert got == want + [{"role": "user", "content": "fake:echo"}]


@fake
@pytest.mark.parametrize("arguments, want", [
    ({"a": 1}, {"a": 1}), ('{"a": 1}', {"a": 1}), ("", {}), (None, {})])
def test_calls_of_the_history_in_api_chat(server, arguments, want):
    call = {"function": {"name": "f", "arguments": arguments}}
    a = server.post("/api/chat", {"model": "m", "stream": False, "messages": [
        {"role": "assistant", "tool_calls": [call]}, {"role": "user", "content": "fake:echo"}]})
    said = json.loads(a.json()["message"]["content"])["messages"][0]["tool_calls"]
    assert said == [{"function": {"name": "f", "arguments": want}}]


@pytest.mark.parametrize("arguments, words", [
    ("{", "invalid tool call arguments"), ("[]", "invalid tool call arguments"),
    (5, "into field messages.tool_calls.function.arguments of type object")])
def test_bad_arguments_in_api_chat(server, arguments, words):
    call = {"function": {"name": "f", "arguments": arguments}}
    a = server.post("/api/chat", {"model": "m", "messages": [{"role": "assistant",
                                                              "tool_calls": [call]}]})
    assert a.status == 400 and words in a.json()["error"]


@fake
def test_the_models_system_text_gives_way_to_a_first_system_or_developer_text(make_server):
    s = make_server()
    s.create("p", **{"from": "m"}, system="S")
    for role, want in (("user", ["system", "user"]), ("system", ["system"]),
                       ("developer", ["system"])):
        a = s.post(C, {"model": "p", "messages": [{"role": role, "content": "fake:echo"}]})
        said = json.loads(a.json()["choices"][0]["message"]["content"])["messages"]
        assert [m["role"] for m in said] == want


@fake
def test_remarks_are_in_the_object_chaski(server):
    ask = {"messages": [{"role": "user", "content": "fake:truncated=5 fake:shifts=2"}], "seed": 1,
           "options": {"no_such": 1}}
    said = chat(server, n=2, **ask).json()["chaski"]
    assert said == {"prompt_truncated": 5, "context_shifts": 4,
                    "warnings": ['unknown option "no_such" was ignored']}
    assert events(chat(server, stream=True, **ask))[-1]["chaski"]["context_shifts"] == 2
    both = text(server, prompt=["fake:truncated=5", "fake:truncated=3"], seed=1).json()["chaski"]
    assert both == {"prompt_truncated": 8}
    assert "chaski" not in chat(server, seed=1).json()


@fake
def test_a_client_that_leaves_cancels_all_its_choices(server):
    import socket
    import time
    body = json.dumps({"model": "m", "n": 4, "messages": [
        {"role": "user", "content": "fake:delay=100 fake:words=1000"}]}).encode()
    with socket.create_connection(("127.0.0.1", server.port)) as s:
        s.sendall(b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s"
                  % (C.encode(), len(body), body))

        def active():
            return sum(x.get("active", 0) for x in server.get("/api/ps").json()["models"])
        for _ in range(100):
            if active() == 4:
                break
            time.sleep(0.02)
        assert active() == 4
    for _ in range(100):
        if active() == 0:
            return
        time.sleep(0.05)
    assert active() == 0


@fake
def test_a_choice_that_fails_ends_the_others(server):
    a = text(server, prompt=["fake:delay=20 fake:words=1000", "fake:fail=2"], status=500)
    assert "on demand" in message(a)
    *_, bad = events(text(server, prompt=["fake:delay=20 fake:words=1000", "fake:fail=2"],
                          stream=True))
    assert "on demand" in bad["error"]["message"]


# ---- 12.6: tool_choice, as far as it goes without calls ------------------------------------------

TOOLS = [{"type": "function", "function": {"name": "f"}}]


@pytest.mark.parametrize("path", [C, "/api/chat"])
@pytest.mark.parametrize("more, status, words", [
    ({"tool_choice": "none"}, 200, ""),
    ({"tool_choice": "auto"}, 400, "does not support tools"),
    ({}, 400, "does not support tools"),
    ({"tool_choice": {"type": "function", "function": {"name": "g"}}}, 400,
     'tool_choice: unknown tool'),
    ({"tool_choice": "sometimes"}, 400, "tool_choice"),
    ({"tool_choice": {"type": "allowed_tools", "allowed_tools": {
        "mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]}}}, 400, "does not support tools"),
    ({"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "g"}]}}, 400,
     'tool_choice: unknown tool'),
    ({"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": []}}, 200, ""),
    ({"parallel_tool_calls": "x"}, 400, "parallel_tool_calls"),
])
def test_tool_choice(server, path, more, status, words):
    a = server.post(path, {"model": "m", "messages": USER, "tools": TOOLS, "stream": False,
                           "max_tokens": 1, **more})
    assert a.status == status and words in a.text, a.text


# ---- errors ----------------------------------------------------------------------------------

PNG = "data:image/png;base64,iVBORw0KGgo="
BAD = {"type": "invalid_request_error", "code": None}


def part(**p):
    return {"messages": [{"role": "user", "content": [p]}]}


@pytest.mark.parametrize("body, status, words, more", [
    (b"", 400, "missing request body", BAD),
    (b"[]", 400, "cannot unmarshal array", BAD),
    (b'{"model":', 400, "unexpected EOF", BAD),
    ({"model": "m"}, 400, "[] is too short - 'messages'", BAD),
    ({"messages": []}, 400, "[] is too short - 'messages'", BAD),
    ({"model": "nope", "messages": []}, 400, "[] is too short - 'messages'", BAD),
    ({"messages": USER}, 400, "model is required", BAD),
    ({"model": "nope", "messages": USER}, 404, "model 'nope' not found",
     {"type": "not_found_error", "code": "model_not_found"}),
    ({"model": "x:cloud", "messages": USER}, 403,
     "ollama cloud is disabled: remote model is unavailable", {"type": "permission_error"}),
    ({"model": "a b", "messages": USER}, 400, "invalid model name", BAD),
    ({"messages": "x"}, 400, "into field messages of type array", BAD),
    ({"messages": [1]}, 400, "into field messages of type object", BAD),
    ({"messages": [{"content": "x"}]}, 400, "message role is required", BAD),
    ({"messages": [{"role": "user"}]}, 400, "invalid message content type: <nil>", BAD),
    ({"messages": [{"role": "user", "content": None}]}, 400,
     "invalid message content type: <nil>", BAD),
    ({"messages": [{"role": "user", "content": 5}]}, 400,
     "invalid message content type: float64", BAD),
    ({"messages": [{"role": "assistant", "content": True}]}, 400,
     "invalid message content type: bool", BAD),
    (part(type="video"), 400, "invalid message format", BAD),
    (part(type="text"), 400, "invalid message format", BAD),
    (part(type="image_url"), 400, "invalid message format", BAD),
    (part(type="image_url", image_url={"url": "https://x/y.png"}), 400,
     "image URLs are not currently supported, please use base64 encoded data instead", BAD),
    (part(type="image_url", image_url="data:image/gif;base64,AAAA"), 400, "invalid image input",
     BAD),
    (part(type="image_url", image_url="data:image/png;base64,!!!!"), 400, "invalid image input",
     BAD),
    (part(type="image_url", image_url=PNG), 400, '"m" does not support images', BAD),
    (part(type="image_url", image_url={"url": PNG, "detail": "low"}), 400,
     '"m" does not support images', BAD),
    (part(type="input_audio"), 400, "invalid input_audio format", BAD),
    (part(type="input_audio", input_audio={}), 400, "missing data", BAD),
    (part(type="input_audio", input_audio={"data": "?"}), 400, "invalid input_audio base64 data",
     BAD),
    ({"messages": [{"role": "assistant", "tool_calls": [
        {"function": {"name": "f", "arguments": "{"}}]}]}, 400, "invalid tool call arguments", BAD),
    ({"messages": USER, "reasoning_effort": "foo"}, 400,
     'invalid reasoning value: "foo" (must be "minimal", "low", "medium", "high", "xhigh", '
     '"ultra", "max", or "none")', BAD),
    ({"messages": USER, "reasoning_effort": "xhigh"}, 400, '"m" does not support thinking', BAD),
    ({"messages": USER, "reasoning": {"effort": "low"}, "reasoning_effort": "none"}, 400,
     '"m" does not support thinking', BAD),
    ({"messages": USER, "tools": [{"type": "function", "function": {"name": "f"}}]}, 400,
     "registry.ollama.ai/library/m:latest does not support tools", BAD),
    ({"messages": USER, "top_logprobs": 21}, 400, "top_logprobs must be between 0 and 20", BAD),
    ({"messages": USER, "logprobs": 5}, 400, "into field logprobs of type boolean", BAD),
    ({"messages": USER, "n": 2, "stream": True}, 400, "n > 1 is not supported with stream", BAD),
    ({"messages": USER, "n": 9}, 400, "n must be between 1 and 8", BAD),
    ({"messages": USER, "n": 0}, 400, "n must be between 1 and 8", BAD),
    ({"messages": USER, "temperature": "hot"}, 400, "into field temperature of type number", BAD),
    ({"messages": USER, "max_tokens": 1.5}, 400, "into field max_tokens of type integer", BAD),
    ({"messages": USER, "stream": "no"}, 400, "into field stream of type boolean", BAD),
    ({"messages": USER, "options": {"num_ctx": "x"}}, 400,
     'option "num_ctx" must be of type integer', BAD),
    ({"messages": USER, "response_format": {"type": "json_schema"}}, 400,
     "response_format.json_schema.schema is required", BAD),
    ({"messages": USER, "keep_alive": "5"}, 400, 'time: missing unit in duration "5"', BAD),
])
def test_chat_errors(server, body, status, words, more):
    if isinstance(body, dict) and "model" not in body and words != "model is required":
        body = {"model": "m", **body}
    a = server.post(C, body)
    assert (a.status, a.headers["Content-Type"]) == (status, "application/json"), a.text
    assert words in message(a) and a.body.endswith(b"}\n")
    assert more.items() <= a.json()["error"].items()


@fake
@pytest.mark.parametrize("path, body", [
    (C, {"messages": [{"role": "user", "content": "fake:fail=3"}]}), (T, {"prompt": "fake:fail=3"})])
def test_an_error_after_the_first_event_and_before_it(server, path, body):
    words = "an error was encountered while running the model: on demand"
    *good, bad = events(server.post(path, {"model": "m", **body, "stream": True}))
    assert len(good) == 3
    assert bad == {"error": {"message": words, "type": "api_error", "param": None, "code": None}}
    a = server.post(path, {"model": "m", **body})
    assert a.status == 500 and message(a) == words


@pytest.mark.real
@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_that_does_not_fit_is_an_error_unless_cutting_is_asked_for(server, stream):
    long = "the quick brown fox " * 200
    small = {"options": {"num_ctx": 128}, "max_tokens": 3, "stream": stream}
    for path, ask in ((C, {"messages": [{"role": "user", "content": long}]}), (T, {"prompt": long})):
        a = server.post(path, {"model": "m", **ask, **small})
        assert a.status == 400 and a.json()["error"]["code"] == "context_length_exceeded"
        assert re.match(r"request \(\d+ tokens\) exceeds the available context size \(128 tokens\)",
                        message(a))
        a = server.post(path, {"model": "m", **ask, **small, "truncate": True})
        o = events(a)[-1] if stream else a.json()
        assert a.status == 200 and o["chaski"]["prompt_truncated"] > 700


def test_no_tokens_at_all(server):
    o = chat(server, max_tokens=0).json()
    assert o["choices"][0]["message"]["content"] == "" and o["usage"]["completion_tokens"] == 0
    assert o["choices"][0]["finish_reason"] == "length"


@fake
def test_a_full_queue_is_503(make_server):
    s = make_server(OLLAMA_MAX_QUEUE="1")
    a = s.post(T, {"model": "m", "prompt": ["fake:delay=50"] * 3, "stream": False})
    assert a.status == 503 and a.headers["Retry-After"] == "1"
    assert a.json()["error"]["code"] == "server_busy"


@pytest.mark.parametrize("method, path, status, words", [
    ("GET", "/v1/nothing", 404, "404 page not found"),
    ("POST", "/v1/chat", 404, "404 page not found"),
    ("GET", C, 405, "405 method not allowed"),
    ("POST", "/v1/models", 405, "405 method not allowed"),
])
def test_unknown_routes(server, method, path, status, words):
    a = server.ask(method, path)
    assert a.status == status and message(a) == words and a.json()["error"]["code"] is None
    if status == 405:
        assert a.headers["Allow"] == ("POST" if path == C else "GET")


# ---- 23.1: completions -----------------------------------------------------------------------


def test_a_whole_completion(server):
    o = text(server, **GREEDY).json()
    assert list(o)[:7] == ["id", "object", "created", "model", "system_fingerprint", "choices",
                           "usage"]
    assert re.fullmatch(r"cmpl-[A-Za-z0-9]{24}", o["id"]) and o["object"] == "text_completion"
    [c] = o["choices"]
    assert list(c) == ["text", "index", "finish_reason"] and c["finish_reason"] == "length"
    same = server.post("/api/generate", {"model": "m", "prompt": "Hi", "stream": False,
                                         "options": {"temperature": 0, "num_predict": 4}}).json()
    assert c["text"] == same["response"]
    assert o["usage"]["prompt_tokens"] == same["prompt_eval_count"]


def test_a_raw_completion(server):
    o = text(server, raw=True, **GREEDY).json()
    same = server.post("/api/generate", {"model": "m", "prompt": "Hi", "stream": False, "raw": True,
                                         "options": {"temperature": 0, "num_predict": 4}}).json()
    assert o["choices"][0]["text"] == same["response"]
    assert o["usage"]["prompt_tokens"] == same["prompt_eval_count"]


@pytest.mark.parametrize("usage", [False, True])
def test_a_streamed_completion(server, usage):
    whole = text(server, **GREEDY).json()["choices"][0]["text"]
    options = {"stream_options": {"include_usage": True}} if usage else {}
    all_ = events(text(server, stream=True, **GREEDY, **options))
    assert all(list(x)[:6] == ["id", "object", "created", "choices", "model", "system_fingerprint"]
               for x in all_)
    if usage:
        last = all_.pop()
        assert last["choices"] == [] and last["usage"]["completion_tokens"] == 4
        assert all(x["usage"] == {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
                   for x in all_)
    else:
        assert all("usage" not in x for x in all_)
    assert "".join(x["choices"][0]["text"] for x in all_) == whole
    assert [x["choices"][0]["finish_reason"] for x in all_] == [None] * (len(all_) - 1) + ["length"]


def test_several_prompts_are_choices_and_one_in_an_array_is_that_one(server):
    one = text(server, **GREEDY).json()["choices"]
    assert text(server, prompt=["Hi"], **GREEDY).json()["choices"] == one
    o = text(server, prompt=["Hi", "Name a river."], **GREEDY).json()
    two = text(server, prompt="Name a river.", **GREEDY).json()["choices"][0]["text"]
    assert [c["text"] for c in o["choices"]] == [one[0]["text"], two]
    assert o["usage"]["completion_tokens"] == 8
    parts = events(text(server, prompt=["Hi", "Name a river."], stream=True, **GREEDY))
    for i, want in enumerate([one[0]["text"], two]):
        mine = [x["choices"][0] for x in parts if x["choices"][0]["index"] == i]
        assert "".join(c["text"] for c in mine) == want and mine[-1]["finish_reason"] == "length"


def test_echo(server):
    plain = text(server, **GREEDY).json()["choices"][0]["text"]
    assert text(server, echo=True, **GREEDY).json()["choices"][0]["text"] == "Hi" + plain
    parts = events(text(server, echo=True, stream=True, **GREEDY))
    assert parts[0]["choices"][0]["text"] == "Hi"
    assert "".join(x["choices"][0]["text"] for x in parts) == "Hi" + plain


def test_fields_that_completions_ignores(server):
    o = text(server, n=2, best_of=3, logit_bias={}, user="u", **GREEDY).json()
    assert len(o["choices"]) == 1


@pytest.mark.parametrize("body, status, words", [
    ({"prompt": 5}, 400, "cannot unmarshal number into field prompt of type string"),
    ({"prompt": [1, 2]}, 400, "cannot unmarshal number into field prompt of type string"),
    ({"prompt": "x", "stop": [5]}, 400, "invalid type for 'stop' field: float64"),
    ({"prompt": "x", "suffix": "y"}, 400,
     "registry.ollama.ai/library/m:latest does not support insert"),
    ({"prompt": "x", "logprobs": 21}, 400, "top_logprobs must be between 0 and 20"),
    ({"prompt": "x", "logprobs": True}, 400, "into field logprobs of type integer"),
    ({"prompt": "x", "model": "nope"}, 404, "model 'nope' not found"),
    ({"prompt": ["x"] * 129}, 400, "more than 128 prompts"),
])
def test_completion_errors(server, body, status, words):
    a = server.post(T, {"model": "m", **body})
    assert a.status == status and words in message(a), a.text


# ---- 23.3: models ----------------------------------------------------------------------------


def test_models(make_server):
    s = make_server(model=False)
    assert s.get("/v1/models").text == '{"object":"list","data":[]}\n'
    tags = {}
    from conftest import model_bytes
    digest = s.put_blob(model_bytes(s.is_fake))
    for name in ("m", "a/b:c"):
        s.create(name, files={"model.gguf": digest})
    for x in s.get("/api/tags").json()["models"]:
        tags[x["name"]] = x
    rows = s.get("/v1/models").json()["data"]
    assert [x["id"] for x in rows] == list(tags)
    for x in rows:
        assert list(x) == ["id", "object", "created", "owned_by"] and x["object"] == "model"
        assert x["owned_by"] == ("library" if x["id"] == "m:latest" else "a")
        assert abs(x["created"] - s.get("/v1/models").json()["data"][0]["created"]) < 100
    one = s.get("/v1/models/m")
    assert one.json() == {**[x for x in rows if x["id"] == "m:latest"][0], "id": "m"}
    for path in ("a/b:c", "a%2Fb:c", "a%2fb%3Ac"):
        assert s.get("/v1/models/" + path).json()["id"] == "a/b:c"
    a = s.get("/v1/models/xx")
    assert a.status == 404 and message(a) == "model 'xx:latest' not found"
    assert a.json()["error"]["code"] == "model_not_found"


# ---- _debug_render_only (5.5, 6.6, 22.1) -----------------------------------------------------


def test_a_rendered_prompt(server):
    by = {"_debug_render_only": True}
    chat_ = server.post("/api/chat", {"model": "m", "messages": USER, **by}).json()
    gen = server.post("/api/generate", {"model": "m", "prompt": "Hi", **by}).json()
    assert chat_["message"] == {"role": "", "content": ""} and chat_["done"] is False
    assert gen["response"] == "" and gen["done"] is False
    said = chat_["_debug_info"]["rendered_template"]
    assert "Hi" in said and "user" in said and "assistant" in said
    assert gen["_debug_info"] == chat_["_debug_info"] == chat(server, **by).json()["_debug_info"]
    raw = server.post("/api/generate", {"model": "m", "prompt": "Hi", "raw": True, **by}).json()
    assert raw["_debug_info"] == {"rendered_template": "Hi"}
