"""tests/api/test_tools.py - calls of tools in all four styles, whole and streamed (spec/api.md 12, 22, 24, 25)."""
import json

import pytest

from answers import ARGS, FORMATS, TOOLS, WEATHER, make_models, say, sse, with_template
from conftest import JINJA, model_bytes

fake = pytest.mark.fake
CUTS = [0, 1, 7]
FLAT = [{"type": "function", **t["function"]} for t in TOOLS]
ANTHROPIC = [{"name": "get_weather", "description": "The weather.", "input_schema": WEATHER["function"]["parameters"]},
             {"name": "stop", "input_schema": {"type": "object", "properties": {}}}]


@pytest.fixture(scope="module")
def made(server):
    if server.is_fake:
        make_models(server)
    return server


def chat(server, model, text, cut=0, status=200, **more):
    a = server.post("/api/chat", {"model": model, "messages": say(text, cut), "tools": TOOLS, "stream": False, **more})
    assert a.status == status, a.text
    return a.json()


# ---- /api/chat ------------------------------------------------------------------------------


@fake
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("cut", CUTS)
def test_ollama_whole_and_streamed(made, name, cut):
    text = FORMATS[name][1]
    o = chat(made, name, text, cut)
    [call] = o["message"]["tool_calls"]
    assert o["message"]["content"] == "" and o["done_reason"] == "stop"
    assert list(call) == ["id", "function"] and list(call["function"]) == ["index", "name", "arguments"]
    assert call["id"].startswith("call_") and len(call["id"]) == 13
    assert call["function"] == {"index": 0, "name": "get_weather", "arguments": ARGS}
    lines = made.post("/api/chat", {"model": name, "messages": say(text, cut), "tools": TOOLS}).lines()
    assert [x["message"].get("tool_calls") for x in lines] == [[call], None]
    assert lines[0]["message"]["content"] == "" and not lines[0]["done"] and lines[1]["done"]


@fake
@pytest.mark.parametrize("cut", CUTS)
def test_text_two_calls_text(made, cut):
    text = "I look. " + FORMATS["hermes"][1] + "\n<tool_call>{\"name\":\"stop\",\"arguments\":{}}</tool_call>\nDone"
    lines = made.post("/api/chat", {"model": "hermes", "messages": say(text, cut), "tools": TOOLS}).lines()
    seen = []
    for x in lines[:-1]:
        m = x["message"]
        assert not (m["content"] and m.get("tool_calls")), "a call has a piece of its own"
        seen.append(m.get("tool_calls") or m["content"])
    first = next(i for i, x in enumerate(seen) if isinstance(x, list))
    assert "".join(seen[:first]) == "I look."
    calls = [c for x in seen if isinstance(x, list) for c in x]
    assert [(c["function"]["index"], c["function"]["name"]) for c in calls] == [(0, "get_weather"), (1, "stop")]
    assert len({c["id"] for c in calls}) == 2 and calls[1]["function"]["arguments"] == {}
    assert "".join(x for x in seen[first:] if isinstance(x, str)) == "Done"


@fake
@pytest.mark.parametrize("text", [
    '<tool_call>{"name": "get_weather", "arguments": {"city": }}</tool_call> after', '<tool_call>{"name": "get_wea',
    "a <tool", "<tool_call>", "trailing   ", '{"name": "Rome"}', "<tool_call>[]</tool_call>", "x < y [TOOL_CALLS]"])
@pytest.mark.parametrize("cut", CUTS)
def test_what_is_no_call_is_text_and_never_lost(made, text, cut):
    o = chat(made, "hermes", text, cut)
    assert o["message"]["content"] == text and "tool_calls" not in o["message"]
    lines = made.post("/api/chat", {"model": "hermes", "messages": say(text, cut), "tools": TOOLS}).lines()
    assert "".join(x["message"]["content"] for x in lines) == text


@fake
def test_a_tool_that_was_not_offered(made):
    text = '<tool_call>{"name": "other", "arguments": {}}</tool_call>'
    assert chat(made, "hermes", text)["message"]["tool_calls"][0]["function"]["name"] == "other"
    bare = '{"name": "other", "arguments": {}}'
    assert chat(made, "hermes", bare)["message"] == {"role": "assistant", "content": bare}


@fake
def test_without_tools_the_tags_are_text(made):
    text = FORMATS["hermes"][1]
    for more in ({"tools": []}, {"tools": None}, {"tool_choice": "none"}):
        assert chat(made, "hermes", text, **more)["message"] == {"role": "assistant", "content": text}


@fake
def test_at_most_one_call(made):
    two = FORMATS["glm"][1] + FORMATS["glm"][1]
    assert len(chat(made, "glm", two)["message"]["tool_calls"]) == 2
    assert len(chat(made, "glm", two, parallel_tool_calls=False)["message"]["tool_calls"]) == 1


@fake
def test_an_id_of_the_model_is_kept_but_not_twice(made):
    text = '[TOOL_CALLS][{"name":"stop","arguments":{},"id":"abc123def"},{"name":"stop","arguments":{},"id":"abc123def"}]'
    ids = [c["id"] for c in chat(made, "mistral", text)["message"]["tool_calls"]]
    assert ids[0] == "abc123def" and len(set(ids)) == 2


@fake
def test_the_same_call_in_another_turn_has_another_id(made):
    first = chat(made, "hermes", FORMATS["hermes"][1])["message"]
    a = made.post("/api/chat", {"model": "hermes", "tools": TOOLS, "stream": False, "messages": [
        {"role": "user", "content": "Hi"}, first, {"role": "tool", "content": "wet", "tool_name": "get_weather"},
        *say(FORMATS["hermes"][1], 0)]}).json()
    assert a["message"]["tool_calls"][0]["id"] != first["tool_calls"][0]["id"]


@fake
def test_logprobs_of_held_back_tokens(made):
    text = FORMATS["hermes"][1]
    lines = made.post("/api/chat", {"model": "hermes", "messages": say(text, 5), "tools": TOOLS, "logprobs": True}).lines()
    assert "".join(e["token"] for x in lines for e in x.get("logprobs", [])) == text
    whole = chat(made, "hermes", text, 5, logprobs=True)
    assert "".join(e["token"] for e in whole["logprobs"]) == text


@fake
def test_cut_by_the_limit(made):
    o = chat(made, "hermes", "<tool_call>{\"name\": \"get_weather\", \"arguments\": {}}</tool_call>", 1,
             options={"num_predict": 20})
    assert o["done_reason"] == "length" and o["message"]["content"] == "<tool_call>{\"name\": "


def test_errors(made):
    a = made.post("/api/chat", {"model": "m", "messages": [{"role": "user", "content": "x"}], "tools": TOOLS})
    if made.is_fake:
        assert a.status == 400
        assert a.json()["error"] == "registry.ollama.ai/library/m:latest does not support tools"
    for body, text in [({"tools": 5}, "tools"), ({"tools": ["x"]}, "tools"), ({"tools": [{"function": 1}]}, "field function"),
                       ({"tools": [{"function": {"name": 1}}]}, "tools.function.name"),
                       ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "no"}}},
                        'tool_choice: unknown tool "no"'), ({"tools": TOOLS, "tool_choice": "nope"}, "invalid tool_choice")]:
        a = made.post("/api/chat", {"model": "m", "messages": [{"role": "user", "content": "x"}], **body})
        assert a.status == 400 and text in a.json()["error"], (body, a.text)


@fake
def test_go_templates_say_their_own_tags(made):
    go = ("{{ if .Tools }}{{ .Tools }}{{ end }}{{ range .Messages }}{{ .Content }}{{ if .Thinking }}<why>{{ .Thinking }}"
          "</why>{{ end }}{{ if .ToolCalls }}\n<do>{{ range .ToolCalls }}{\"name\": \"{{ .Function.Name }}\", "
          "\"arguments\": {{ .Function.Arguments }}}</do>{{ end }}{{ end }}{{ end }}")
    made.create("goer", **{"from": "plain", "template": go})
    caps = made.post("/api/show", {"model": "goer"}).json()["capabilities"]
    assert "tools" in caps and "thinking" in caps
    assert "thinking" not in made.post("/api/show", {"model": "plain"}).json()["capabilities"]


# ---- /v1/chat/completions ---------------------------------------------------------------------


@fake
@pytest.mark.parametrize("cut", CUTS)
def test_openai_chat(made, cut):
    body = {"model": "hermes", "messages": say("So. " + FORMATS["hermes"][1], cut), "tools": TOOLS}
    c = made.post("/v1/chat/completions", body).json()["choices"][0]
    assert c["finish_reason"] == "tool_calls" and c["message"]["content"] == "So."
    [call] = c["message"]["tool_calls"]
    assert call["type"] == "function" and call["index"] == 0
    assert json.loads(call["function"]["arguments"]) == ARGS
    events = [d for _, d in sse(made.post("/v1/chat/completions", {**body, "stream": True}))]
    assert events[-1] == "[DONE]" and events[-2]["choices"][0] == {"index": 0, "delta": {}, "finish_reason": "tool_calls"}
    deltas = [e["choices"][0]["delta"] for e in events[:-2]]
    assert [d.get("role") for d in deltas] == ["assistant"] + [None] * (len(deltas) - 1)
    assert deltas[-1] == {"content": "", "tool_calls": [call]}
    assert "".join(d["content"] for d in deltas) == "So."


# ---- /v1/messages -------------------------------------------------------------------------------


@fake
@pytest.mark.parametrize("cut", CUTS)
def test_anthropic(made, cut):
    body = {"model": "hermes", "max_tokens": 900, "messages": say("So. " + FORMATS["hermes"][1], cut), "tools": ANTHROPIC}
    o = made.post("/v1/messages", body).json()
    assert o["stop_reason"] == "tool_use"
    text, use = o["content"]
    assert text == {"type": "text", "text": "So."}
    assert use == {"type": "tool_use", "id": use["id"], "name": "get_weather", "input": ARGS}
    events = sse(made.post("/v1/messages", {**body, "stream": True}))
    assert all(name == d["type"] for name, d in events)
    names = [n for n, _ in events]
    text_end = names.index("content_block_stop")
    assert names[:2] == ["message_start", "content_block_start"]
    assert names[text_end:] == ["content_block_stop", "content_block_start", "content_block_delta", "content_block_stop",
                                "message_delta", "message_stop"]
    assert events[text_end + 1][1] == {"type": "content_block_start", "index": 1, "content_block": {
        "type": "tool_use", "id": use["id"], "name": "get_weather", "input": {}}}
    delta = events[text_end + 2][1]["delta"]
    assert delta["type"] == "input_json_delta" and json.loads(delta["partial_json"]) == ARGS
    assert events[-2][1]["delta"]["stop_reason"] == "tool_use"


# ---- /v1/responses ------------------------------------------------------------------------------


@fake
@pytest.mark.parametrize("cut", CUTS)
def test_responses(made, cut):
    text = "So. " + FORMATS["hermes"][1] + " and more"
    body = {"model": "hermes", "input": say(text, cut), "tools": FLAT}
    o = made.post("/v1/responses", body).json()
    message, call = o["output"]
    assert message["content"][0]["text"] == "So." and o["status"] == "completed"
    assert call["type"] == "function_call" and json.loads(call["arguments"]) == ARGS and call["status"] == "completed"
    events = sse(made.post("/v1/responses", {**body, "stream": True}))
    assert [d["sequence_number"] for _, d in events] == list(range(len(events)))
    names = [n for n, _ in events]
    at = names.index("response.function_call_arguments.delta")
    assert names[at - 1:] == ["response.output_item.added", "response.function_call_arguments.delta",
                              "response.function_call_arguments.done", "response.output_item.done", "response.completed"]
    assert events[at - 1][1]["item"]["arguments"] == "" and events[at - 1][1]["output_index"] == 1
    final = events[-1][1]["response"]
    assert [x["type"] for x in final["output"]] == ["message", "function_call"]
    assert final["output"][0]["content"][0]["text"] == "So."


# ---- the official clients ---------------------------------------------------------------------------


@fake
def test_ollama_client(made):
    ollama = pytest.importorskip("ollama")

    def get_weather(city: str, days: int = 1) -> str:
        """The weather.

        Args:
            city: The city
            days: How many
        """
        return "%s: wet for %d days" % (city, days)

    client = ollama.Client(host=made.url)
    messages = say(FORMATS["hermes"][1], 3)
    r = client.chat("hermes", messages=messages, tools=[get_weather])
    [call] = r.message.tool_calls
    result = get_weather(**call.function.arguments)
    messages += [r.message, {"role": "tool", "content": "fake:say=4\nIt is: " + result, "tool_name": call.function.name}]
    assert client.chat("hermes", messages=messages, tools=[get_weather]).message.content == "It is: Rome: wet for 2 days"
    seen = [c for part in client.chat("hermes", messages=say(FORMATS["hermes"][1], 1), tools=[get_weather], stream=True)
            for c in part.message.tool_calls or []]
    assert len(seen) == 1 and seen[0].function.arguments == ARGS


@fake
def test_openai_client(made):
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(base_url=made.url + "/v1", api_key="x", max_retries=0)
    messages = say(FORMATS["hermes"][1], 3)
    r = client.chat.completions.create(model="hermes", messages=messages, tools=TOOLS)
    m = r.choices[0].message
    assert r.choices[0].finish_reason == "tool_calls" and json.loads(m.tool_calls[0].function.arguments) == ARGS
    messages += [m, {"role": "tool", "tool_call_id": m.tool_calls[0].id, "content": "fake:say=2\nwet"}]
    r = client.chat.completions.create(model="hermes", messages=messages, tools=TOOLS)
    assert r.choices[0].message.content == "wet"
    with client.chat.completions.stream(model="hermes", messages=say("So." + FORMATS["hermes"][1], 2), tools=TOOLS) as s:
        done = [e for e in s if e.type == "tool_calls.function.arguments.done"]
        final = s.get_final_completion()
    assert [e.name for e in done] == ["get_weather"] and final.choices[0].message.content == "So."
    r = client.responses.create(model="hermes", input=say(FORMATS["hermes"][1], 3), tools=FLAT)
    [call] = r.output
    assert call.type == "function_call" and json.loads(call.arguments) == ARGS
    r = client.responses.create(model="hermes", tools=FLAT, input=[
        {"role": "user", "content": "Hi"}, call.model_dump(),
        {"type": "function_call_output", "call_id": call.call_id, "output": "fake:say=0\nwet"}])
    assert r.output_text == "wet"


@fake
def test_anthropic_client(made):
    anthropic = pytest.importorskip("anthropic")
    client = anthropic.Anthropic(base_url=made.url, api_key="x", max_retries=0)
    messages = say("So." + FORMATS["hermes"][1], 3)
    with client.messages.stream(model="hermes", max_tokens=500, messages=messages, tools=ANTHROPIC) as s:
        list(s)
        r = s.get_final_message()
    use = next(b for b in r.content if b.type == "tool_use")
    assert r.stop_reason == "tool_use" and use.input == ARGS
    messages += [{"role": "assistant", "content": r.content}, {"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": use.id, "content": "fake:say=2\nwet"}]}]
    r = client.messages.create(model="hermes", max_tokens=500, messages=messages, tools=ANTHROPIC)
    assert r.content[0].text == "wet" and r.stop_reason == "end_turn"


@fake
def test_helpers_that_run_and_parse(made):
    """tool_runner of anthropic; tools and answers by classes of pydantic in openai and anthropic."""
    anthropic, openai = pytest.importorskip("anthropic"), pytest.importorskip("openai")
    pydantic = pytest.importorskip("pydantic")

    class get_weather(pydantic.BaseModel):
        city: str
        days: int

    @anthropic.beta_tool(name="get_weather")
    def run(city: str, days: int) -> str:
        """The weather.

        Args:
            city: The city
            days: How many
        """
        return f"fake:say=2\nwet in {city} for {days}"

    a = anthropic.Anthropic(base_url=made.url, api_key="x", max_retries=0)
    for stream in (False, True):
        runner = a.beta.messages.tool_runner(model="hermes", max_tokens=500, tools=[run], stream=stream,
                                             messages=say("So. " + FORMATS["hermes"][1], 3))
        assert runner.until_done().content[0].text == "wet in Rome for 2"
    ask = {"model": "m", "max_tokens": 500, "messages": say(json.dumps(ARGS), 3)}
    assert a.messages.parse(**ask, output_format=get_weather).parsed_output == get_weather(**ARGS)
    with a.messages.stream(**ask, output_format=get_weather) as s:
        assert s.get_final_message().parsed_output == get_weather(**ARGS)
    o = openai.OpenAI(base_url=made.url + "/v1", api_key="x", max_retries=0)
    r = o.chat.completions.parse(model="hermes", messages=say(FORMATS["hermes"][1], 3),
                                 tools=[openai.pydantic_function_tool(get_weather)])
    assert r.choices[0].message.tool_calls[0].function.parsed_arguments == get_weather(**ARGS)
    with o.chat.completions.stream(model="m", messages=ask["messages"], response_format=get_weather) as s:
        assert s.get_final_completion().choices[0].message.parsed == get_weather(**ARGS)
    r = o.responses.parse(model="m", input=ask["messages"], text_format=get_weather)
    assert r.output_parsed == get_weather(**ARGS)
    with o.responses.stream(model="m", input=ask["messages"], text_format=get_weather) as s:
        assert s.get_final_response().output_parsed == get_weather(**ARGS)


# ---- calls that obey their schemas, by a real model ------------------------------------------------


@pytest.fixture(scope="module")
def real(server):
    """The small model, which knows nothing of calls, told by its template to write each format."""
    for name, (tags, _) in FORMATS.items():
        text = "{# tools %s #}" % tags + JINJA
        server.create("r-" + name, files={"m.gguf": server.put_blob(with_template(model_bytes(False), text))})
    return server


def forced(server, name, seed, status=200, **more):
    a = server.post("/api/chat", {"model": "r-" + name, "messages": [{"role": "user", "content": "Weather in Rome?"}],
                                  "tools": TOOLS, "stream": False, "tool_choice": "required", "think": False,
                                  "options": {"seed": seed, "temperature": 1, "num_predict": 160}, **more})
    assert a.status == status, a.text
    return a.json()


def check_calls(o, names=("get_weather", "stop")):
    jsonschema = pytest.importorskip("jsonschema")
    calls = o["message"].get("tool_calls", [])
    assert calls or o["done_reason"] == "length", o
    for c in calls:
        f = c["function"]
        assert f["name"] in names
        if f["name"] == "get_weather":
            jsonschema.validate(f["arguments"], WEATHER["function"]["parameters"])
    return calls


@pytest.mark.real
@pytest.mark.parametrize("name", FORMATS)
def test_forced_calls_always_validate(real, name):
    for seed in range(3):
        o = forced(real, name, seed, parallel_tool_calls=False)
        assert len(check_calls(o)) <= 1 and (o["message"]["content"].strip() == "" or o["done_reason"] == "length"), o


@pytest.mark.real
@pytest.mark.parametrize("name", FORMATS)
def test_one_tool_by_its_name(real, name):
    o = forced(real, name, 5, tool_choice={"type": "function", "function": {"name": "get_weather"}})
    assert len(check_calls(o, ["get_weather"])) == 1 or o["done_reason"] == "length"


@pytest.mark.real
@pytest.mark.parametrize("name", FORMATS)
def test_a_format_beside_tools(real, name):
    jsonschema = pytest.importorskip("jsonschema")
    schema = {"type": "object", "properties": {"mood": {"enum": ["good", "bad"]}}, "required": ["mood"],
              "additionalProperties": False}
    for seed in range(3):
        o = forced(real, name, seed, tool_choice="auto", format=schema)
        if o["done_reason"] == "length":
            continue
        if not check_calls({**o, "done_reason": "length"}):
            jsonschema.validate(json.loads(o["message"]["content"]), schema)


@pytest.mark.real
@pytest.mark.parametrize("name", ["hermes", "glm", "mistral", "harmony"])
def test_a_format_behind_thoughts(real, name):
    schema, grammar = {"enum": ["yes", "no"]}, r'''root ::= "\"" ws ["] # "ws
ws ::= yes{1} | "n" [o\]] | ""
yes ::= "yes"'''
    for think in (True, False):
        for body in ({"format": schema}, {"grammar": grammar}):
            o = forced(real, name, 1, tools=None, tool_choice=None, think=think, **body)
            assert o["done_reason"] == "length" or json.loads(o["message"]["content"]) in ("yes", "no", "n]", ""), o
    o = forced(real, name, 1, tools=None, tool_choice=None, think=True, grammar="root ::=\n\nx", status=400)
    assert "line 3, column 1: there is no rule x" in o["error"]


@pytest.mark.real
def test_the_other_styles_force_too(real):
    user = [{"role": "user", "content": "Weather in Rome?"}]
    o = real.post("/v1/chat/completions", {"model": "r-hermes", "messages": user, "tools": TOOLS, "seed": 1, "max_tokens": 160,
                                           "tool_choice": "required", "parallel_tool_calls": False}).json()
    c = o["choices"][0]
    assert c["finish_reason"] == "length" or len(c["message"]["tool_calls"]) == 1
    for choice in ({"type": "any", "disable_parallel_tool_use": True}, {"type": "tool", "name": "get_weather"}):
        o = real.post("/v1/messages", {"model": "r-hermes", "max_tokens": 160, "messages": user, "tools": ANTHROPIC,
                                       "tool_choice": choice, "thinking": {"type": "disabled"}}).json()
        assert o["stop_reason"] == "max_tokens" or [b["type"] for b in o["content"]] == ["tool_use"], o
    o = real.post("/v1/responses", {"model": "r-hermes", "input": user, "tools": FLAT, "max_output_tokens": 160,
                                    "tool_choice": {"type": "function", "name": "get_weather"}}).json()
    assert o["status"] == "incomplete" or [x["type"] for x in o["output"]] == ["function_call"], o
