"""tests/api/test_tokens.py - POST /api/tokenize and /api/detokenize (spec/api.md 29.3)."""
import json

import pytest

T, D = "/api/tokenize", "/api/detokenize"
TEXTS = ["Hello, world!", "  two  blanks\n\n", "Grüße, 你好 🦙\t1234567", "<|im_start|>user", ""]


def tokens(server, text, **more):
    a = server.post(T, {"model": "m", "content": text, **more})
    assert a.status == 200, a.text
    return a.json()["tokens"]


@pytest.mark.parametrize("text", TEXTS)
def test_there_and_back(server, text):
    ids = tokens(server, text)
    assert all(isinstance(x, int) for x in ids)
    a = server.post(D, {"model": "m", "tokens": ids})
    assert a.status == 200 and a.json() == {"model": "m", "content": text}
    assert a.headers["Content-Type"] == "application/json; charset=utf-8"


def test_the_model_is_echoed_as_sent(server):
    a = server.post(T, {"model": "M:latest", "content": "a"})
    assert list(a.json()) == ["model", "tokens"] and a.json()["model"] == "M:latest"


def test_special_tokens_are_text_unless_asked_for(server):
    plain, special = tokens(server, "<|im_end|>"), tokens(server, "<|im_end|>", parse_special=True)
    assert len(plain) > 1 and len(special) == 1
    assert server.post(D, {"model": "m", "tokens": special}).json()["content"] == "<|im_end|>"


def test_pieces(server):
    text = "a 🦙"
    rows = tokens(server, text, with_pieces=True)
    assert [r["id"] for r in rows] == tokens(server, text)
    joined = b"".join(r["piece"].encode() if isinstance(r["piece"], str) else bytes(r["piece"]) for r in rows)
    assert joined.decode() == text
    assert any(isinstance(r["piece"], list) for r in rows), "the llama takes more than one token"


def test_a_part_of_a_character_is_shown_as_such(server):
    ids = tokens(server, "🦙")
    assert len(ids) > 1
    assert "\ufffd" in server.post(D, {"model": "m", "tokens": ids[:1]}).json()["content"]


@pytest.mark.fake
def test_bytes_have_their_own_ids(server):
    assert tokens(server, "aé") == [97, 0xC3, 0xA9]
    assert tokens(server, "a<|im_end|>", parse_special=True) == [97, 257]


@pytest.mark.real
def test_as_the_command_line_has_them(server):
    import os
    import subprocess
    from conftest import REAL_MODEL
    for text in TEXTS:
        for flags, fields in [([], {}), (["--special"], {"parse_special": True}), (["--bos"], {"add_special": True})]:
            out = subprocess.run([os.environ["CHASKI_BIN"], "tokenize", "-m", REAL_MODEL, *flags],
                                 input=text.encode(), capture_output=True, check=True).stdout
            assert tokens(server, text, **fields) == json.loads(out), (text, flags)


@pytest.mark.real
def test_no_weights_are_loaded(make_server):
    s = make_server()
    assert tokens(s, "Hello")
    assert s.get("/api/ps").json()["models"] == []


@pytest.mark.parametrize("path, body, status, text", [
    (T, {}, 400, "model is required"),
    (T, {"model": ""}, 400, "model is required"),
    (T, {"model": "nope", "content": "a"}, 404, "model 'nope' not found"),
    (D, {"model": "nope", "tokens": []}, 404, "model 'nope' not found"),
    (T, {"model": "a b/c", "content": "a"}, 400, "invalid model name"),
    (T, {"model": 5}, 400, "json: cannot unmarshal number into field model of type string"),
    (T, {"model": "m"}, 400, "content is required"),
    (T, {"model": "m", "content": ["a"]}, 400, "json: cannot unmarshal array into field content of type string"),
    (T, {"model": "m", "content": "a", "with_pieces": 1}, 400,
     "json: cannot unmarshal number into field with_pieces of type boolean"),
    (D, {"model": "m"}, 400, "tokens is required"),
    (D, {"model": "m", "tokens": "a"}, 400, "json: cannot unmarshal string into field tokens of type array"),
    (D, {"model": "m", "tokens": ["a"]}, 400, "json: cannot unmarshal string into field tokens of type integer"),
    (D, {"model": "m", "tokens": [1.5]}, 400, "json: cannot unmarshal number 1.5 into field tokens of type integer"),
    (D, {"model": "m", "tokens": [99999999]}, 400, "token id 99999999 out of range"),
    (D, {"model": "m", "tokens": [-1]}, 400, "token id -1 out of range"),
    (D, {"model": "m", "tokens": [2 ** 40]}, 400, f"token id {2 ** 40} out of range"),
])
def test_errors(server, path, body, status, text):
    a = server.post(path, body)
    assert (a.status, a.json()) == (status, {"error": text})


def test_no_body_and_wrong_method(server):
    assert server.post(T).json() == {"error": "missing request body"}
    a = server.get(T)
    assert a.status == 405 and a.headers["Allow"] == "POST"


def test_many_models_more_than_are_kept(make_server):
    """The cache of tokenizers is bounded: each of many files is still read right, in any order."""
    s = make_server(model=False)
    if not s.is_fake:
        pytest.skip("forged files have no weights that the real engine takes; the fake engine's cache is the same")
    from conftest import forge_gguf
    for i in range(12):
        s.create(f"n{i}", files={"x.gguf": s.put_blob(forge_gguf(str(i)))})
    for i in [*range(12), *range(12)]:
        assert s.post(T, {"model": f"n{i}", "content": "abc"}).json()["tokens"] == [97, 98, 99]


def test_many_at_once(make_server):
    import threading
    s = make_server()
    seen = []

    def work():
        for _ in range(20):
            seen.append(tuple(tokens(s, "Hello there")))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(seen) == 160 and len(set(seen)) == 1
