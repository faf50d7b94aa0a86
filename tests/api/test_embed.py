"""tests/api/test_embed.py - POST /api/embed, /api/embeddings, /v1/embeddings (spec/api.md 15, 23.2)."""
import base64
import json
import math
import re
import struct
import threading
import time

import pytest

E, OLD, V1 = "/api/embed", "/api/embeddings", "/v1/embeddings"


def ok(server, path, body):
    a = server.post(path, body)
    assert a.status == 200, a.text
    return a.json()


def f32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def test_one_text_and_many(server):
    one = ok(server, E, {"model": "m", "input": "a text"})
    assert list(one) == ["model", "embeddings", "total_duration", "load_duration", "prompt_eval_count"]
    assert one["model"] == "m" and len(one["embeddings"]) == 1 and one["prompt_eval_count"] > 0
    assert one["total_duration"] >= one["load_duration"] >= 0
    many = ok(server, E, {"model": "m:latest", "input": ["another", "a text", ""]})
    assert many["model"] == "m:latest" and many["embeddings"][1] == one["embeddings"][0]
    for v in many["embeddings"]:
        assert abs(math.sqrt(sum(x * x for x in v)) - 1) < 1e-5


@pytest.mark.parametrize("more", [{}, {"input": None}, {"input": ""}, {"input": []}])
def test_no_text_loads_the_model_and_has_all_statistics(server, more):
    a = ok(server, E, {"model": "m", **more})
    assert list(a) == ["model", "embeddings", "total_duration", "load_duration", "prompt_eval_count"]
    assert a["embeddings"] == [] and a["prompt_eval_count"] == 0
    assert ok(server, OLD, {"model": "m"}) == {"embedding": []}


@pytest.mark.parametrize("path, body, status, error", [
    (E, {"input": "x"}, 404, "model '' not found"),
    (E, {"model": "a b", "input": "x"}, 400, "invalid model name"),
    (E, {"model": "nope", "input": "x"}, 404, 'model "nope" not found, try pulling it first'),
    (E, {"model": "nope", "input": 5}, 400, "invalid input type"),
    (E, {"model": "m", "input": {"a": 1}}, 400, "invalid input type"),
    (E, {"model": "m", "input": ["a", 5]}, 400, "invalid input type"),
    (E, {"model": "m", "input": [1, 2]}, 400, "invalid input type"),
    (E, {"model": "m", "input": "x", "truncate": "no"}, 400, "truncate"),
    (E, {"model": "m", "input": "x", "dimensions": "no"}, 400, "dimensions"),
    (E, {"model": "m", "input": "x", "options": {"num_ctx": "x"}}, 400, 'option "num_ctx" must be of type integer'),
    (E, {"model": "m", "input": "x", "keep_alive": "1y"}, 400, "time: unknown unit"),
    (E, {"model": "m", "input": ["x"] * 2049}, 400, "too many inputs: 2049, at most 2048 are allowed"),
    (OLD, {"prompt": "x"}, 400, "model is required"),
    (OLD, {"model": "nope", "prompt": "x"}, 404, 'model "nope" not found, try pulling it first'),
    (OLD, {"model": "m", "prompt": ["x"]}, 400, "prompt"),
])
def test_errors(server, path, body, status, error):
    a = server.post(path, body)
    assert a.status == status and list(a.json()) == ["error"] and error in a.json()["error"], a.text


@pytest.mark.parametrize("body, status, error", [
    ({"input": "x"}, 404, "model '' not found"),
    ({"model": "nope", "input": "x"}, 404, 'model "nope" not found, try pulling it first'),
    ({"model": "m"}, 400, "invalid input"),
    ({"model": "m", "input": None}, 400, "invalid input"),
    ({"model": "m", "input": []}, 400, "invalid input"),
    ({"model": "m", "input": 5}, 400, "invalid input type"),
    ({"model": "m", "input": [1, -2]}, 400, "invalid input type"),
    ({"model": "m", "input": "x", "encoding_format": "int8"}, 400,
     "Invalid value for 'encoding_format' = int8. Supported values: ['float', 'base64']."),
])
def test_errors_in_openai_style(server, body, status, error):
    a = server.post(V1, body)
    assert a.status == status and a.json()["error"]["message"] == error, a.text


def test_openai_style_floats_base64_and_lists_of_tokens(server):
    plain = ok(server, V1, {"model": "m", "input": ["one", "two"], "user": "u"})
    assert list(plain) == ["object", "data", "model", "usage"] and plain["object"] == "list"
    assert [(d["object"], d["index"]) for d in plain["data"]] == [("embedding", 0), ("embedding", 1)]
    assert plain["usage"]["prompt_tokens"] == plain["usage"]["total_tokens"] > 0
    own = ok(server, E, {"model": "m", "input": ["one", "two"]})["embeddings"]
    assert [d["embedding"] for d in plain["data"]] == own
    packed = ok(server, V1, {"model": "m", "input": ["one", "two"], "encoding_format": "BASE64"})
    for d, v in zip(packed["data"], own):
        b = base64.b64decode(d["embedding"], validate=True)
        assert list(struct.unpack(f"<{len(v)}f", b)) == [f32(x) for x in v]
    empty = ok(server, V1, {"model": "m", "input": ""})
    assert len(empty["data"]) == 1
    assert len(ok(server, V1, {"model": "m", "input": [5, 6, 7]})["data"]) == 1
    assert len(ok(server, V1, {"model": "m", "input": [[5, 6, 7], [8], "text"]})["data"]) == 3


def test_floats_have_the_fewest_digits_of_a_float(server):
    body = server.post(E, {"model": "m", "input": [f"text {i}" for i in range(20)]}).text
    numbers = re.findall(r"-?\d+\.\d+(?:e-\d+)?|-?\d+e-\d+", body[body.index("["):body.index("]]")])
    assert len(numbers) > 100
    for n in numbers:
        digits = n.split("e")[0].lstrip("-0.").replace(".", "")
        for fewer in range(1, len(digits)):
            assert f32(float(f"%.{fewer - 1}e" % float(n))) != f32(float(n)), n


def test_the_old_route_widens_to_doubles(server):
    old = server.post(OLD, {"model": "m", "prompt": "a text"})
    assert list(old.json()) == ["embedding"]
    new = ok(server, E, {"model": "m", "input": "a text"})["embeddings"][0]
    assert old.json()["embedding"] == [f32(x) for x in new]


def test_dimensions(server):
    whole = ok(server, E, {"model": "m", "input": "a text"})["embeddings"][0]
    for n in (0, -1, len(whole), len(whole) + 5):
        assert ok(server, E, {"model": "m", "input": "a text", "dimensions": n})["embeddings"][0] == whole
    for path, key in ((E, "embeddings"), (V1, "data")):
        a = ok(server, path, {"model": "m", "input": "a text", "dimensions": 3})[key][0]
        v = a["embedding"] if path == V1 else a
        assert len(v) == 3 and abs(math.sqrt(sum(x * x for x in v)) - 1) < 1e-6


def test_the_official_clients(server):
    ollama = pytest.importorskip("ollama")
    openai = pytest.importorskip("openai")
    own = ok(server, E, {"model": "m", "input": ["one", "two"]})["embeddings"]
    c = ollama.Client(host=f"http://127.0.0.1:{server.port}")
    assert [list(v) for v in c.embed(model="m", input=["one", "two"]).embeddings] == own
    assert list(c.embeddings(model="m", prompt="one").embedding) == [f32(x) for x in own[0]]
    o = openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key="x")
    got = o.embeddings.create(model="m", input=["one", "two"]).data
    assert [[f32(x) for x in d.embedding] for d in got] == [[f32(x) for x in v] for v in own]


@pytest.mark.fake
def test_too_long_truncated_and_errors_of_the_engine(server):
    a = server.post(E, {"model": "m", "input": ["x", "fake:long"], "truncate": False})
    assert (a.status, a.json()) == (400, {"error": "the input length exceeds the context length"})
    assert ok(server, E, {"model": "m", "input": "fake:long"})["prompt_truncated"] == 7
    assert ok(server, V1, {"model": "m", "input": "fake:long"})["prompt_truncated"] == 7
    a = server.post(OLD, {"model": "m", "prompt": "fake:long"})
    assert (a.status, a.json()) == (500, {"error": "the input length exceeds the context length"})
    a = server.post(E, {"model": "m", "input": "fake:nan"})
    assert (a.status, a.json()) == (400, {"error": "embedding contains NaN or Inf values"})
    assert server.post(E, {"model": "m", "input": "fake:fail=0"}).status == 500
    w = ok(server, E, {"model": "m", "input": "x", "options": {"what": 1}})["warnings"]
    assert "what" in json.dumps(w)


@pytest.mark.real
def test_a_long_text_is_cut_or_refused(server):
    text = "the quick brown fox " * 200
    a = ok(server, E, {"model": "m", "input": text, "options": {"num_ctx": 64}})
    assert a["prompt_eval_count"] == 64 and a["prompt_truncated"] > 100
    a = server.post(E, {"model": "m", "input": ["x", text], "truncate": False, "options": {"num_ctx": 64}})
    assert (a.status, a.json()) == (400, {"error": "the input length exceeds the context length"})
    a = server.post(OLD, {"model": "m", "prompt": text, "options": {"num_ctx": 64}})
    assert (a.status, a.json()) == (500, {"error": "the input length exceeds the context length"})
    a = server.post(V1, {"model": "m", "input": [[10 ** 9]]})
    assert a.status == 400 and "outside the vocabulary" in a.text


@pytest.mark.real
def test_vectors_are_the_same_in_any_company(server):
    texts = [f"Text number {i} " + "about rivers and stones " * (i % 7) for i in range(40)] + ["word " * 900]
    together = ok(server, E, {"model": "m", "input": texts})["embeddings"]
    for i in (0, 6, 39, 40):
        assert ok(server, E, {"model": "m", "input": texts[i]})["embeddings"][0] == together[i]
    got = {}

    def generate():
        got["text"] = ok(server, "/api/generate", {"model": "m", "prompt": "Tell me of stones.", "stream": False,
                                                   "options": {"temperature": 0, "num_predict": 40}})["response"]

    generate()
    alone = got["text"]
    t = threading.Thread(target=generate)
    t.start()
    assert ok(server, E, {"model": "m", "input": texts})["embeddings"] == together
    t.join()
    assert got["text"] == alone
    assert ok(server, E, {"model": "m", "input": texts[:5], "options": {"num_batch": 7, "num_thread": 1}}
              )["embeddings"] == together[:5]


@pytest.mark.real
def test_a_client_that_leaves_ends_the_work(server):
    import http.client
    c = http.client.HTTPConnection("127.0.0.1", server.port)
    texts = ["the quick brown fox " * 400] * 200
    c.request("POST", E, json.dumps({"model": "m", "input": texts}))
    time.sleep(1)
    assert server.loaded()["active"] == 1
    c.close()
    for _ in range(40):
        if server.loaded()["active"] == 0:
            return
        time.sleep(0.05)
    raise AssertionError("the texts are still computed")
