"""tests/api/test_format.py - answers that obey a schema or a grammar (spec/api.md 10), with a real model."""
import json
import re

import pytest

pytestmark = pytest.mark.real
jsonschema = pytest.importorskip("jsonschema", reason="the package jsonschema is not installed")

PERSON = {"type": "object",
          "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer", "minimum": 0, "maximum": 120},
                         "tags": {"type": "array", "items": {"enum": ["a", "b", "c"]}, "uniqueItems": True, "minItems": 1},
                         "born": {"type": "string", "format": "date"}},
          "required": ["name", "age", "tags", "born"], "additionalProperties": False}


def ask(server, status=200, **body):
    body.setdefault("options", {}).setdefault("num_predict", 200)
    a = server.post("/api/generate", {"model": "m", "prompt": "Describe somebody.", "stream": False, **body})
    assert a.status == status, a.text
    return a.json()


@pytest.mark.parametrize("seed", range(6))
def test_a_schema_is_obeyed_at_any_temperature(server, seed):
    o = ask(server, format=PERSON, options={"temperature": 1.5, "top_k": 0, "top_p": 1, "seed": seed, "num_predict": 300})
    if o["done_reason"] == "length":
        pytest.skip("the answer was cut by num_predict")
    value = json.loads(o["response"])
    jsonschema.validate(value, PERSON, format_checker=jsonschema.FormatChecker())
    assert list(value) == ["name", "age", "tags", "born"]


def test_json_mode_gives_an_object(server):
    o = ask(server, format="json", options={"temperature": 0})
    assert o["done_reason"] == "length" or isinstance(json.loads(o["response"]), dict)
    assert o["response"].startswith("{")


def test_a_grammar_is_obeyed(server):
    o = ask(server, grammar='root ::= "The answer is " ("yes" | "no") "."', options={"temperature": 1})
    assert re.fullmatch(r"The answer is (yes|no)\.", o["response"]) and o["done_reason"] == "stop"


def test_the_same_with_drafts_without_and_with_a_seed(server):
    texts = {ask(server, format=PERSON, options={"temperature": 1, "seed": 5, "speculate": s})["response"]
             for s in (True, False)}
    assert len(texts) == 1


def test_jump_forward_obeys_too(server):
    fixed = {"type": "object", "properties": {"the_first_property": {"enum": ["only_this_value"]}, "n": {"type": "boolean"}},
             "required": ["the_first_property", "n"], "additionalProperties": False}
    for jump in (True, False):
        o = ask(server, format=fixed, options={"temperature": 1, "seed": 3, "jump_forward": jump})
        jsonschema.validate(json.loads(o["response"]), fixed)


def test_logprobs_are_those_before_the_mask(server):
    o = ask(server, grammar='root ::= [0-9]{3}', logprobs=True, top_logprobs=2, options={"temperature": 0})
    assert "".join(x["token"] for x in o["logprobs"]) == o["response"]
    assert all(x["logprob"] <= 0 for x in o["logprobs"])


@pytest.mark.parametrize("body, text", [
    ({"format": {"type": "foo"}}, "invalid JSON schema in format: unrecognized type foo at #"),
    ({"format": {"properties": {"a": {"$ref": "#/nope"}}}}, "cannot resolve $ref #/nope at /properties/a"),
    ({"format": {"type": "object", "unevaluatedProperties": False}}, 'unsupported JSON schema keyword "unevaluatedProperties" at /unevaluatedProperties'),
    ({"format": {"type": "string", "pattern": "(a)\\1"}}, 'unsupported JSON schema keyword "pattern" at /pattern'),
    ({"format": {"type": "integer", "minimum": 3, "maximum": 2}}, "no value obeys it"),
    ({"format": "xml"}, "invalid format"),
    ({"grammar": "root ::= x"}, "grammar, line 1, column 10: there is no rule x"),
    ({"grammar": "root ::= root \"a\" | \"b\""}, "left recursion in root"),
    ({"grammar": "root ::= \"a\"", "format": "json"}, "exclude each other"),
])
def test_what_cannot_be_held_is_an_error_before_any_token(server, body, text):
    a = server.post("/api/generate", {"model": "m", "prompt": "x", **body})
    assert a.status == 400 and text in a.json()["error"]


def test_openai_response_format(server):
    a = server.post("/v1/chat/completions", {
        "model": "m", "messages": [{"role": "user", "content": "Who?"}], "max_tokens": 300, "seed": 1,
        "response_format": {"type": "json_schema", "json_schema": {"name": "p", "strict": True, "schema": PERSON}}})
    assert a.status == 200, a.text
    choice = a.json()["choices"][0]
    if choice["finish_reason"] == "stop":
        jsonschema.validate(json.loads(choice["message"]["content"]), PERSON)
    else:
        assert choice["finish_reason"] == "length"


def test_the_clients_ask_by_classes_of_pydantic(server):
    ollama, anthropic = pytest.importorskip("ollama"), pytest.importorskip("anthropic")
    pydantic = pytest.importorskip("pydantic")
    from typing import Literal

    class Pet(pydantic.BaseModel):
        kind: Literal["cat", "dog"]
        happy: bool
        size: Literal["small", "big"] | None

    user = [{"role": "user", "content": "Tell of a pet as JSON."}]
    r = ollama.Client(host=server.url).chat("m", user, format=Pet.model_json_schema(), options={"temperature": 0})
    assert Pet.model_validate_json(r.message.content)
    a = anthropic.Anthropic(base_url=server.url, api_key="x", max_retries=0)
    ask = {"model": "m", "max_tokens": 200, "messages": user}
    assert isinstance(a.messages.parse(**ask, output_format=Pet).parsed_output, Pet)
    with pytest.raises(anthropic.BadRequestError, match="strange"):
        a.messages.create(**ask, output_config={"format": {"type": "json_schema", "schema": {"type": "strange"}}})
