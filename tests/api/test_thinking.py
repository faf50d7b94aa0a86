"""tests/api/test_thinking.py - thoughts apart from the text, in all four styles (spec/api.md 11, 22, 24, 25)."""
import json

import pytest

from answers import ARGS, FINAL, FORMATS, THOUGHTS, TOOLS, make_models, say, sse

pytestmark = pytest.mark.fake
CUTS = [0, 1, 7]
THOUGHT, TEXT = "Rome <b> it is.\nYes?", "It rains, \u00e9."


@pytest.fixture(scope="module")
def made(server):
    make_models(server)
    return server


def answer(name):
    return THOUGHTS[name] % THOUGHT + FINAL.get(name, "%s") % TEXT


def chat(server, model, text, cut=0, **more):
    a = server.post("/api/chat", {"model": model, "messages": say(text, cut), "stream": False, **more})
    assert a.status == 200, a.text
    return a.json()


@pytest.mark.parametrize("name", THOUGHTS)
@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("tools", [None, TOOLS])
def test_ollama(made, name, cut, tools):
    text = answer(name)
    for think in (None, True, "high"):
        m = chat(made, name, text, cut, tools=tools, think=think)["message"]
        assert m == {"role": "assistant", "content": TEXT, "thinking": THOUGHT}
    lines = made.post("/api/chat", {"model": name, "messages": say(text, cut), "tools": tools}).lines()
    assert "".join(x["message"].get("thinking", "") for x in lines) == THOUGHT
    assert "".join(x["message"]["content"] for x in lines) == TEXT
    order = [bool(x["message"]["content"]) for x in lines[:-1]]
    assert order == sorted(order)
    caps = made.post("/api/show", {"model": name}).json()["capabilities"]
    assert "thinking" in caps


@pytest.mark.parametrize("cut", CUTS)
def test_generate(made, cut):
    body = {"model": "hermes", "prompt": say(answer("hermes"), cut)[0]["content"]}
    o = made.post("/api/generate", {**body, "stream": False}).json()
    assert o["response"] == TEXT and o["thinking"] == THOUGHT
    lines = made.post("/api/generate", body).lines()
    assert "".join(x.get("thinking", "") for x in lines) == THOUGHT and "".join(x["response"] for x in lines) == TEXT


def test_the_prompt_has_opened_the_thoughts(made):
    text = THOUGHT + "</think>\n\n" + TEXT
    assert chat(made, "opened", text, 1)["message"]["thinking"] == THOUGHT
    assert chat(made, "opened", "<think>\n" + text, 1)["message"]["thinking"] == THOUGHT
    m = chat(made, "opened", "no end", 1)["message"]
    assert m == {"role": "assistant", "content": "", "thinking": "no end"}
    assert chat(made, "opened", text, 1, think=False)["message"] == {"role": "assistant", "content": text}


def test_text_first_is_no_thought(made):
    text = "  so <think>x</think>"
    assert chat(made, "hermes", text, 1)["message"] == {"role": "assistant", "content": text}


def test_harmony_is_split_whatever_is_asked(made):
    for more in ({}, {"think": False}, {"think": "low"}):
        m = chat(made, "harmony", answer("harmony"), 1, **more)["message"]
        assert m["content"] == TEXT and m["thinking"] == THOUGHT
    text = THOUGHTS["harmony"] % THOUGHT
    assert chat(made, "harmony", text, 1)["message"] == {"role": "assistant", "content": "", "thinking": THOUGHT}


@pytest.mark.parametrize("cut", CUTS)
def test_thoughts_then_a_call(made, cut):
    text = THOUGHTS["hermes"] % THOUGHT + FORMATS["hermes"][1]
    lines = made.post("/api/chat", {"model": "hermes", "messages": say(text, cut), "tools": TOOLS}).lines()
    assert "".join(x["message"].get("thinking", "") for x in lines) == THOUGHT
    [calls] = [x["message"]["tool_calls"] for x in lines if "tool_calls" in x["message"]]
    assert calls[0]["function"]["arguments"] == ARGS


def test_values_and_errors(made):
    for think, text in [("x", 'invalid think value: "x" (must be "high", "medium", "low", "max", true, or false)'),
                        (5, 'think must be a boolean or string ("high", "medium", "low", "max", true, or false)')]:
        a = made.post("/api/chat", {"model": "hermes", "messages": say("", 0), "think": think})
        assert (a.status, a.json()["error"]) == (400, text)
    for think in (True, "low", "max"):
        a = made.post("/api/chat", {"model": "plain", "messages": say("", 0), "think": think})
        assert (a.status, a.json()["error"]) == (400, '"plain" does not support thinking')
    assert chat(made, "plain", "x", think=False)["message"]["content"] == "x"
    a = made.post("/v1/messages", {"model": "plain", "max_tokens": 9, "messages": say("x", 0),
                                   "thinking": {"type": "enabled", "budget_tokens": 1024}})
    assert a.status == 200
    a = made.post("/v1/chat/completions", {"model": "plain", "messages": say("x", 0), "reasoning_effort": "low"})
    assert (a.status, a.json()["error"]["message"]) == (400, '"plain" does not support thinking')


@pytest.mark.parametrize("cut", CUTS)
def test_openai_chat(made, cut):
    body = {"model": "hermes", "messages": say(answer("hermes"), cut)}
    o = made.post("/v1/chat/completions", body).json()
    m = o["choices"][0]["message"]
    assert m == {"role": "assistant", "content": TEXT, "reasoning": THOUGHT, "reasoning_content": THOUGHT}
    n = o["usage"]["completion_tokens_details"]["reasoning_tokens"]
    assert n == 1 if cut == 0 else 0 < n < o["usage"]["completion_tokens"] - 1
    events = sse(made.post("/v1/chat/completions", {**body, "stream": True, "stream_options": {"include_usage": True}}))
    deltas = [d["choices"][0]["delta"] for _, d in events[:-3]]
    assert "".join(d.get("reasoning", "") for d in deltas) == THOUGHT
    assert "".join(d.get("reasoning_content", "") for d in deltas) == THOUGHT
    assert "".join(d["content"] for d in deltas) == TEXT
    assert not any(d["content"] and "reasoning" in d for d in deltas)
    assert events[-2][1]["usage"] == o["usage"]


@pytest.mark.parametrize("cut", CUTS)
def test_anthropic(made, cut):
    body = {"model": "hermes", "max_tokens": 900, "messages": say(answer("hermes"), cut)}
    o = made.post("/v1/messages", body).json()
    assert o["content"] == [{"type": "thinking", "thinking": THOUGHT, "signature": ""}, {"type": "text", "text": TEXT}]
    events = sse(made.post("/v1/messages", {**body, "stream": True}))
    starts = [d for n, d in events if n == "content_block_start"]
    assert [(d["index"], d["content_block"]["type"]) for d in starts] == [(0, "thinking"), (1, "text")]
    deltas = [d["delta"] for n, d in events if n == "content_block_delta"]
    assert "".join(d.get("thinking", "") for d in deltas) == THOUGHT and "".join(d.get("text", "") for d in deltas) == TEXT
    off = made.post("/v1/messages", {**body, "messages": say("x", 0), "thinking": {"type": "disabled"}}).json()
    assert off["content"] == [{"type": "text", "text": "x"}]


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("logprobs", [False, True])
def test_responses(made, cut, logprobs):
    body = {"model": "hermes", "input": say(answer("hermes"), cut)}
    if logprobs:
        body["include"] = ["message.output_text.logprobs"]
    o = made.post("/v1/responses", body).json()
    thought, text = o["output"]
    assert thought["summary"] == [{"type": "summary_text", "text": THOUGHT}] and thought["encrypted_content"] == THOUGHT
    assert text["content"][0]["text"] == TEXT
    assert 0 < o["usage"]["output_tokens_details"]["reasoning_tokens"] < o["usage"]["output_tokens"]
    events = sse(made.post("/v1/responses", {**body, "stream": True}))
    added = [d["item"]["type"] for n, d in events if n == "response.output_item.added"]
    assert added == ["reasoning", "message"]
    assert "".join(d["delta"] for n, d in events if n == "response.reasoning_summary_text.delta") == THOUGHT
    assert "".join(d["delta"] for n, d in events if n == "response.output_text.delta") == TEXT
    final = events[-1][1]["response"]
    assert [x["type"] for x in final["output"]] == ["reasoning", "message"] and final["usage"] == o["usage"]


def test_clients(made):
    ollama = pytest.importorskip("ollama")
    openai = pytest.importorskip("openai")
    anthropic = pytest.importorskip("anthropic")
    text = answer("hermes")
    r = ollama.Client(host=made.url).chat("hermes", messages=say(text, 2), think=True)
    assert r.message.thinking == THOUGHT and r.message.content == TEXT
    client = openai.OpenAI(base_url=made.url + "/v1", api_key="x", max_retries=0)
    m = client.chat.completions.create(model="hermes", messages=say(text, 2), reasoning_effort="high").choices[0].message
    assert m.content == TEXT and m.reasoning == THOUGHT
    with client.responses.stream(model="hermes", input=say(text, 2), reasoning={"effort": "low"}) as s:
        list(s)
        assert s.get_final_response().output_text == TEXT
    client = anthropic.Anthropic(base_url=made.url, api_key="x", max_retries=0)
    with client.messages.stream(model="hermes", max_tokens=2000, messages=say(text, 2),
                                thinking={"type": "enabled", "budget_tokens": 1024}) as s:
        list(s)
        r = s.get_final_message()
    assert [b.type for b in r.content] == ["thinking", "text"] and r.content[0].thinking == THOUGHT


def test_cut_while_it_thinks(made):
    o = chat(made, "hermes", answer("hermes"), 1, options={"num_predict": 15})
    assert o["done_reason"] == "length" and o["message"]["content"] == "" and THOUGHT.startswith(o["message"]["thinking"])
    o = made.post("/v1/responses", {"model": "hermes", "input": say(answer("hermes"), 1), "max_output_tokens": 15}).json()
    assert o["status"] == "incomplete"
    assert json.dumps(o["output"])
