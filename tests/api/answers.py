"""tests/api/answers.py - models that write their thoughts and calls in a given way, and answers in it.

The way is found from the chat template, so a template that only names the tags makes any file such a model. With
the fake engine a message "fake:say=N\\n.." is answered by what stands behind it, N bytes a token.
"""
import json

from conftest import JINJA, forge_gguf, gguf_text

WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "The weather of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string", "maxLength": 20},
                                                    "days": {"type": "integer", "minimum": 1, "maximum": 9}},
                   "required": ["city", "days"], "additionalProperties": False}}}
STOP = {"type": "function", "function": {"name": "stop"}}
TOOLS = [WEATHER, STOP]
ARGS = {"city": "Rome", "days": 2}
CALL = json.dumps({"name": "get_weather", "arguments": ARGS})

# name: (tags in the template, an answer with thoughts or None, an answer with a call)
FORMATS = {
    "hermes": ("<think></think><tool_call>", "<tool_call>\n%s\n</tool_call>" % CALL),
    "mistral": ("[THINK][/THINK][TOOL_CALLS]", "[TOOL_CALLS] [%s]" % CALL),
    "mistral2": ("[TOOL_CALLS][ARGS]", "[TOOL_CALLS]get_weather[ARGS]" + json.dumps(ARGS)),
    "llama3": ("<|python_tag|>", json.dumps({"name": "get_weather", "parameters": ARGS})),
    "qwen_xml": ("<function=<parameter=", "<tool_call>\n<function=get_weather>\n<parameter=city>\nRome\n</parameter>\n"
                 "<parameter=days>\n2\n</parameter>\n</function>\n</tool_call>"),
    "glm": ("<think></think><arg_key>", "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Rome</arg_value>\n"
            "<arg_key>days</arg_key>\n<arg_value>2</arg_value>\n</tool_call>"),
    "command_a": ("<|START_THINKING|><|END_THINKING|><|START_ACTION|>", "<|START_ACTION|>[\n    {\"tool_call_id\": \"0\", "
                  "\"tool_name\": \"get_weather\", \"parameters\": %s}\n]<|END_ACTION|>" % json.dumps(ARGS)),
    "harmony": ("<|channel|>analysis<|message|>", "<|channel|>commentary to=functions.get_weather <|constrain|>json"
                "<|message|>%s<|call|>" % json.dumps(ARGS)),
    "gemma4": ("<|tool_call>", "<|tool_call>call:get_weather{city:<|\"|>Rome<|\"|>,days:2}<tool_call|>"),
    "plain": ("", CALL),
}
THOUGHTS = {"hermes": "<think>\n%s</think>\n\n", "glm": "<think>%s</think>", "mistral": "[THINK]%s[/THINK]",
            "command_a": "<|START_THINKING|>%s<|END_THINKING|>",
            "harmony": "<|channel|>analysis<|message|>%s<|end|><|start|>assistant"}
FINAL = {"harmony": "<|channel|>final<|message|>%s<|return|>", "command_a": "<|START_RESPONSE|>%s<|END_RESPONSE|>"}


def template(tags, tail=""):
    return "{# tools %s #}" % tags + JINJA + tail


def make_models(server):
    for name, (tags, _) in FORMATS.items():
        server.create(name, files={"m.gguf": server.put_blob(forge_gguf(name, template=template(tags)))})
    opened = "{% if add_generation_prompt and enable_thinking %}<think>\n{% endif %}"
    server.create("opened", files={"m.gguf": server.put_blob(
        forge_gguf("opened", template=template("<think></think><tool_call>", opened)))})


def say(text, cut):
    return [{"role": "user", "content": "fake:say=%d\n%s" % (cut, text)}]


def sse(answer):
    """[(event name or None, data)]"""
    out = []
    for block in answer.text.split("\n\n"):
        lines = [x for x in block.split("\n") if x]
        if not lines:
            continue
        name = next((x[7:] for x in lines if x.startswith("event: ")), None)
        data = next(x[6:] for x in lines if x.startswith("data: "))
        out.append((name, data if data == "[DONE]" else json.loads(data)))
    return out


def with_template(data, text, keys=()):
    """The bytes of a GGUF file with that chat template in place of its own, and more keys."""
    import struct
    sizes = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}

    def skip(kind, at):
        if kind == 8:
            return at + 8 + struct.unpack_from("<Q", data, at)[0]
        if kind != 9:
            return at + sizes[kind]
        inner, n = struct.unpack_from("<IQ", data, at)
        at += 12
        if inner in sizes:
            return at + n * sizes[inner]
        for _ in range(n):
            at = skip(inner, at)
        return at

    def string(at):
        n, = struct.unpack_from("<Q", data, at)
        return data[at + 8:at + 8 + n], at + 8 + n

    n_tensors, n_kv = struct.unpack_from("<QQ", data, 8)
    at, kv, align = 24, [], 32
    for _ in range(n_kv):
        begin = at
        key, at = string(at)
        kind, = struct.unpack_from("<I", data, at)
        at = skip(kind, at + 4)
        if key == b"general.alignment":
            align, = struct.unpack_from("<I", data, at - 4)
        if key != b"tokenizer.chat_template":
            kv.append(data[begin:at])
    begin = at
    for _ in range(n_tensors):
        _, at = string(at)
        at += 4 + 8 * struct.unpack_from("<I", data, at)[0] + 12
    key = b"tokenizer.chat_template"
    kv.append(struct.pack("<Q", len(key)) + key + struct.pack("<IQ", 8, len(text.encode())) + text.encode())
    kv += [gguf_text(k) + struct.pack("<I", kind) + value for k, kind, value in keys]
    head = data[:16] + struct.pack("<Q", len(kv)) + b"".join(kv) + data[begin:at]
    return head + b"\0" * (-len(head) % align) + data[at + -at % align:]
