"""tests/api/test_conform_models.py - spec/api.md sections 16, 17 and 21, row by row.

Lists and details, create, blobs, copy, delete, and the environment, against a server whose only
model is `m`.
"""
import hashlib
import json
import os
import pathlib
import re
import struct
import time

import pytest

from conftest import forge_gguf, gguf_text, model_bytes

STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z"


@pytest.fixture(scope="module")
def made(server):
    """`full`: a model with all that a create can give."""
    server.create("full", **{
        "from": "m", "system": "You are terse.", "license": ["MIT", "second"],
        "parameters": {"temperature": 0.5, "stop": ["<a>", "b c"], "num_ctx": 1024},
        "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]})
    yield server
    server.ask("DELETE", "/api/delete", {"model": "full"})


def status_lines(a):
    return [row.get("status", row) for row in a.lines()]


# ---- 16.1 tags ----------------------------------------------------------------------------------


def test_an_empty_list(make_server):
    s = make_server(model=False)
    assert s.get("/api/tags").body == b'{"models":[]}' and s.get("/api/ps").body == b'{"models":[]}'


def test_tags_fields(made):
    rows = made.get("/api/tags").json()["models"]
    row = next(r for r in rows if r["name"] == "full:latest")
    assert list(row) == ["name", "model", "modified_at", "size", "digest", "details", "capabilities"]
    assert row["model"] == "full:latest" and re.fullmatch(STAMP, row["modified_at"])
    manifest = pathlib.Path(made.store) / "manifests/registry.ollama.ai/library/full/latest"
    data = manifest.read_bytes()
    assert row["digest"] == hashlib.sha256(data).hexdigest()
    m = json.loads(data)
    assert row["size"] == sum(x["size"] for x in [m["config"], *m["layers"]])
    d = row["details"]
    assert list(d)[:6] == ["parent_model", "format", "family", "families", "parameter_size", "quantization_level"]
    assert d["format"] == "gguf" and d["family"] == "llama" and d["families"] == ["llama"]
    assert re.fullmatch(r"\d+(\.\d+)?[BMK]?", d["parameter_size"])
    assert d["context_length"] > 0 and d["embedding_length"] > 0
    assert row["capabilities"] == made.post("/api/show", {"model": "full"}).json()["capabilities"]


def test_tags_order(make_server):
    s = make_server()
    for name in ["b", "a", "c"]:
        s.post("/api/copy", {"source": "m", "destination": name})
    folder = pathlib.Path(s.store) / "manifests/registry.ollama.ai/library"
    for name, t in [("m", 3000), ("a", 2000), ("b", 2000), ("c", 4000)]:
        os.utime(folder / name / "latest", (t, t))
    names = [r["name"] for r in s.get("/api/tags").json()["models"]]
    assert names == ["c:latest", "m:latest", "a:latest", "b:latest"]
    (folder / "a/latest").write_text("{")
    assert len(s.get("/api/tags").json()["models"]) == 3


# ---- 16.2 show ----------------------------------------------------------------------------------


def test_show_fields(made):
    a = made.post("/api/show", {"model": "full"})
    show = a.json()
    order = ["license", "modelfile", "parameters", "template", "system", "details", "messages", "model_info",
             "tensors", "capabilities", "modified_at"]
    assert list(show) == order
    assert show["license"] == "MIT\nsecond" and show["system"] == "You are terse."
    lines = show["parameters"].split("\n")
    assert [x.split()[0] for x in lines] == ["num_ctx", "stop", "stop", "temperature"]
    assert lines[0] == "num_ctx".ljust(30) + " 1024" and lines[1] == "stop".ljust(30) + ' "<a>"'
    assert lines[2] == "stop".ljust(30) + ' "b c"' and lines[3] == "temperature".ljust(30) + " 0.5"
    for line in lines:  # Continue's pattern
        assert re.fullmatch(r'\S+\s+(\S+|"[^"]*")', line)
    assert show["messages"] == [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]
    assert "context_length" not in show["details"] and show["details"]["format"] == "gguf"
    info = show["model_info"]
    assert list(info) == sorted(info)
    assert info["general.architecture"] == "llama" and "general.name" not in info
    assert "tokenizer.chat_template" not in info and info["general.parameter_count"] > 0
    for key in ["llama.context_length", "llama.embedding_length", "llama.block_count"]:
        assert isinstance(info[key], int)
    assert info["tokenizer.ggml.tokens"] is None
    for t in show["tensors"]:
        assert list(t) == ["name", "type", "shape"] and all(isinstance(x, int) for x in t["shape"])
    assert isinstance(show["capabilities"], list) and re.fullmatch(STAMP, show["modified_at"])


def test_show_variants(made):
    full = made.post("/api/show", {"name": "full", "verbose": True}).json()
    assert isinstance(full["model_info"]["tokenizer.ggml.tokens"], list)
    assert made.post("/api/show", {"model": "full", "system": "other"}).json()["system"] == "other"
    a = made.post("/api/show", {"model": "full", "options": {"temperature": 0.9}}).json()
    assert "PARAMETER temperature 0.9" in a["modelfile"] and "0.5" in a["parameters"]
    a = made.post("/api/show", {"model": "full"}, headers={"User-Agent": "GitHubCopilotChat/0.1"}).json()
    assert a["model_info"]["general.basename"] == "full"
    plain = made.post("/api/show", {"model": "m"}).json()
    for absent in ["license", "parameters", "system", "messages"]:
        assert absent not in plain


def test_modelfile_text(made):
    text = made.post("/api/show", {"model": "full"}).json()["modelfile"]
    lines = text.split("\n")
    assert lines[0] == '# Modelfile generated by "ollama show"'
    assert lines[1] == "# To build a new Modelfile based on this, replace FROM with:"
    assert lines[2] == "# FROM full:latest" and lines[3] == ""
    assert re.match(r"FROM .*/blobs/sha256-[0-9a-f]{64}$", lines[4])
    where = [text.index(x) for x in ["\nFROM ", "\nTEMPLATE ", "\nSYSTEM You are terse.", "\nPARAMETER ",
                                     "\nLICENSE ", "\nMESSAGE user hi", "\nMESSAGE assistant ho"]]
    assert where == sorted(where)


def test_the_shown_template_given_back_is_none(server):
    """`show` tells the file's Jinja: a Modelfile made from it makes the same model again."""
    shown = server.post("/api/show", {"model": "m"}).json()
    assert shown["template"] in shown["modelfile"] and "{%" in shown["template"]
    server.create("back", **{"from": "m", "template": "[{{ .Prompt }}]"})
    assert server.post("/api/show", {"model": "back"}).json()["template"] == "[{{ .Prompt }}]"
    server.create("back", **{"from": "back", "template": shown["template"]})
    again = server.post("/api/show", {"model": "back"}).json()
    assert again["template"] == shown["template"] and again["capabilities"] == shown["capabilities"]
    a = server.post("/api/create", {"model": "back", "from": "m", "template": shown["template"] + " "})
    assert a.status == 400 and a.json()["error"].startswith("template error: template: :1: ")
    server.ask("DELETE", "/api/delete", {"model": "back"})


# ---- 16.3 to 16.5 ---------------------------------------------------------------------------------


def test_ps_fields(server):
    assert server.post("/api/generate", {"model": "m", "keep_alive": "5m"}).json()["done_reason"] == "load"
    row = server.loaded()
    assert list(row)[:8] == ["name", "model", "size", "digest", "details", "expires_at", "size_vram",
                             "context_length"]
    assert row["name"] == row["model"] == "m:latest" and row["size"] > 0 and row["size_vram"] == 0
    assert row["context_length"] > 0 and "context_length" not in row["details"]
    assert re.fullmatch(STAMP, row["expires_at"])
    left = time.mktime(time.strptime(row["expires_at"][:19], "%Y-%m-%dT%H:%M:%S")) - time.mktime(time.gmtime())
    assert 280 < left <= 301
    for extra in ["parallel", "active", "queued"]:
        assert isinstance(row[extra], int)
    assert server.post("/api/generate", {"model": "m", "keep_alive": 0}).json()["done_reason"] == "unload"
    for _ in range(20):
        if not server.loaded():
            return
        time.sleep(0.05)
    assert False, "still there after a second"


def test_version_and_root(server):
    v = server.get("/api/version").json()
    assert list(v) == ["version", "chaski"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", x) for x in v.values())
    assert tuple(map(int, v["version"].split("."))) >= (0, 6, 4)
    a = server.get("/")
    assert a.body == b"Ollama is running" and a.headers["Content-Type"] == "text/plain; charset=utf-8"


# ---- 16.2.2 capabilities ------------------------------------------------------------------------


def number(key):
    return key, 4, struct.pack("<I", 1)


FIM = ["fim_pre_token_id", "fim_suf_token_id", "fim_mid_token_id"]
OLD_FIM = ["prefix_token_id", "suffix_token_id", "middle_token_id"]
THINKS = "{{ range .Messages }}{{ if .Thinking }}<t>{{ .Thinking }}</t>{{ end }}{{ .Content }}{{ end }}"
ABILITIES = {  # the chat template and the keys of a file, the TEMPLATE, what it then can do
    "bare": ("", (), None, "completion"),
    "tools": ("{{ tools }}", (), None, "completion tools"),
    "tool-call": ("x.tool_call", (), None, "completion tools"),
    "think": ("<think></think>", (), None, "completion thinking"),
    "half": ("<think>", (), None, "completion"),
    "split": ("{{ content.split('</think>')[-1] }}", (), None, "completion thinking"),
    "split-2": ('{{ content.split("</think>")[-1] }}', (), None, "completion thinking"),
    "no-split": ("{{ m.reasoning_content or c.split('</think>') }}", (), None, "completion"),
    "no-split-2": ("<SPECIAL_12>{{ c.split('</think>') }}", (), None, "completion"),
    "harmony": ("<|channel|>analysis<|message|>", (), None, "completion thinking"),
    "fim": ("", [number("tokenizer.ggml." + k) for k in FIM], None, "completion insert"),
    "old-fim": ("", [number("tokenizer.ggml." + k) for k in OLD_FIM], None, "completion insert"),
    "two-of-fim": ("", [number("tokenizer.ggml." + k) for k in FIM[:2]], None, "completion"),
    "pooled": ("", [number("llama.pooling_type")], None, "embedding"),
    "both-ways": ("", [("llama.attention.causal", 7, b"\0")], None, "embedding"),
    "eyes": ("", [number("llama.vision.block_count")], None, "completion vision"),
    "ears": ("", [number("llama.audio.block_count")], None, "completion audio"),
    "go": ("{{ tools }}<think></think>", (), "{{ .Prompt }}", "completion"),
    "go-tools": ("", (), "{{ if $.Tools }}x{{ end }}{{ .Prompt }}", "completion tools"),
    "go-define": ("", (), '{{ define "a" }}{{ .Tools }}{{ end }}{{ .Prompt }}', "completion tools"),
    "go-word": ("", (), "Tools: .Tools {{ .Prompt }}", "completion"),
    "go-insert": ("", (), "{{ if .Suffix }}{{ .Prompt }}_{{ .Suffix }}{{ end }}", "completion insert"),
    "go-thinks": ("", (), THINKS, "completion thinking"),
    "go-half": ("", (), THINKS.replace("</t>", ""), "completion"),
    "go-harmony": ("", (), THINKS.replace("<t>", "<|start|>assistant<|channel|>analysis<|message|>"),
                   "completion thinking"),
}


@pytest.mark.parametrize("name", ABILITIES)
def test_capabilities(server, name):
    jinja, keys, go, want = ABILITIES[name]
    file = server.put_blob(forge_gguf(name, keys, jinja))
    server.create("able", files={"m.gguf": file}, **({"template": go} if go else {}))
    assert sorted(server.post("/api/show", {"model": "able"}).json()["capabilities"]) == sorted(want.split())


def test_a_projector_sees_and_requests_with_images_say_no(server):
    files = {"m.gguf": server.put_blob(forge_gguf("seer")),
             "p.gguf": server.put_blob(forge_gguf("eye", [("general.type", 8, gguf_text("mmproj"))]))}
    server.create("able", files=files)
    assert "vision" in server.post("/api/show", {"model": "able"}).json()["capabilities"]
    a = server.post("/api/generate", {"model": "able", "prompt": "x", "images": ["aGk="]})
    assert a.status == 400 and a.json()["error"] == '"able" does not support images'
    server.ask("DELETE", "/api/delete", {"model": "able"})


# ---- 17.1 create ------------------------------------------------------------------------------------


def test_create_from_a_model(server):
    a = server.post("/api/create", {"model": "c1", "from": "m", "system": "x", "parameters": {"seed": 1}})
    assert a.headers["Content-Type"] == "application/x-ndjson"
    lines = status_lines(a)
    assert re.fullmatch(r"using existing layer sha256:[0-9a-f]{64}", lines[0])
    assert all(re.fullmatch(r"(using existing|creating new) layer sha256:[0-9a-f]{64}", x) for x in lines[:-2])
    assert lines[-2:] == ["writing manifest", "success"]
    a = server.post("/api/create", {"model": "c1", "from": "m", "stream": False})
    assert a.json() == {"status": "success"} and a.headers["Content-Type"] == "application/json"
    assert "system" not in server.post("/api/show", {"model": "c1"}).json()
    server.ask("DELETE", "/api/delete", {"model": "c1"})


def test_create_from_gguf(server):
    digest = server.put_blob(model_bytes(server.is_fake))
    a = server.post("/api/create", {"model": "c2", "files": {"a/b.gguf": digest}})
    lines = status_lines(a)
    assert lines[0] == "parsing GGUF" and lines[-2:] == ["writing manifest", "success"]
    assert not any("autodetected" in x for x in lines)
    # The file is kept as it came.
    path = pathlib.Path(server.store) / "manifests/registry.ollama.ai/library/c2/latest"
    layers = json.loads(path.read_bytes())["layers"]
    assert [x["digest"] for x in layers if x["mediaType"].endswith("image.model")] == [digest]
    server.ask("DELETE", "/api/delete", {"model": "c2"})


INHERIT = [  # fields of the second create, what show must say then
    ({}, {"system": "S", "temperature": "0.1", "license": "L"}),
    ({"system": "T"}, {"system": "T"}),
    ({"system": ""}, {"system": "S"}),
    ({"parameters": {"temperature": 0.2, "top_k": 3}}, {"temperature": "0.2"}),
    ({"license": "M"}, {"license": "L\nM"}),
    ({"messages": [{"role": "user", "content": "new"}]}, {"messages": [{"role": "user", "content": "new"}]}),
    ({"messages": []}, {"messages": [{"role": "user", "content": "old"}]}),
]


@pytest.mark.parametrize("fields,says", INHERIT)
def test_what_a_create_keeps_of_its_base(server, fields, says):
    server.create("base", **{"from": "m", "system": "S", "license": "L", "parameters": {"temperature": 0.1},
                             "messages": [{"role": "user", "content": "old"}]})
    server.create("next", **{"from": "base", **fields})
    show = server.post("/api/show", {"model": "next"}).json()
    for key, value in says.items():
        if key == "temperature":
            assert re.search(r"^temperature +" + re.escape(value) + "$", show["parameters"], re.M)
        else:
            assert show[key] == value, key
    for name in ["next", "base"]:
        server.ask("DELETE", "/api/delete", {"model": name})


def test_errors_in_a_stream_keep_the_status_when_first(server):
    a = server.post("/api/create", {"model": "c", "files": {"a.gguf": "sha256:" + "1" * 64}})
    assert a.status in (200, 400) and "error" in a.lines()[-1] if a.body.endswith(b"\n") else a.json()
    blob = server.put_blob(b"this is no GGUF file at all")
    a = server.post("/api/create", {"model": "c", "files": {"a.gguf": blob}, "stream": False})
    assert a.status == 400 and a.json()["error"]


# ---- 17.2 blobs ------------------------------------------------------------------------------------


def test_blobs(server):
    data = os.urandom(1000)
    hexed = hashlib.sha256(data).hexdigest()
    path = "/api/blobs/sha256:" + hexed
    assert server.ask("HEAD", path).status == 404
    a = server.post(path, data, headers={"Content-Type": "text/html"})
    assert (a.status, a.body) == (201, b"")
    for form in [path, "/api/blobs/sha256-" + hexed, "/api/blobs/sha256:" + hexed.upper()]:
        a = server.ask("HEAD", form)
        assert (a.status, a.body) == (200, b"")
    a = server.post(path, data)
    assert (a.status, a.body) == (200, b"")
    assert (pathlib.Path(server.store) / "blobs" / ("sha256-" + hexed)).read_bytes() == data


# ---- 17.3, 17.4 copy, delete -------------------------------------------------------------------------


def test_copy_and_delete(server):
    a = server.post("/api/copy", {"source": "m", "destination": "copy"})
    assert (a.status, a.body) == (200, b"")
    assert server.post("/api/copy", {"source": "m", "destination": "m"}).status == 200
    one, two = (server.post("/api/show", {"model": x}).json() for x in ["m", "copy"])
    assert one["details"] == two["details"] and one["model_info"] == two["model_info"]
    a = server.ask("DELETE", "/api/delete", {"model": "copy"})
    assert (a.status, a.body) == (200, b"")
    a = server.ask("DELETE", "/api/delete", {"name": "copy"})
    assert a.status == 404 and a.json() == {"error": "model 'copy' not found"}
    library = pathlib.Path(server.store) / "manifests/registry.ollama.ai/library"
    assert not (library / "copy").exists(), "empty folders go"


def test_delete_takes_the_layers_nobody_uses(make_server):
    s = make_server()
    s.create("own", **{"from": "m", "system": "only mine"})
    blobs = pathlib.Path(s.store) / "blobs"
    mine = "sha256-" + hashlib.sha256(b"only mine").hexdigest()
    assert (blobs / mine).exists()
    n = len(list(blobs.iterdir()))
    s.ask("DELETE", "/api/delete", {"model": "own"})
    assert not (blobs / mine).exists() and len(list(blobs.iterdir())) < n
    assert s.post("/api/show", {"model": "m"}).status == 200
    kept = make_server(OLLAMA_NOPRUNE="1")
    kept.create("own", **{"from": "m", "system": "only mine"})
    kept.ask("DELETE", "/api/delete", {"model": "own"})
    assert (pathlib.Path(kept.store) / "blobs" / mine).exists()


# ---- 21 Environment -----------------------------------------------------------------------------------


def until_of(s, model="m"):
    row = next(r for r in s.get("/api/ps").json()["models"] if r["name"].startswith(model))
    return row["expires_at"]


@pytest.mark.parametrize("value,seconds", [("10m", 600), ("90", 90), ('"2m"', 120), (" 1h ", 3600), ("-1", None),
                                           ("nonsense", 300)])
def test_keep_alive_of_the_server(make_server, value, seconds):
    s = make_server(OLLAMA_KEEP_ALIVE=value)
    s.post("/api/generate", {"model": "m"})
    until = until_of(s)
    if seconds is None:
        assert int(until[:4]) > 2300
    else:
        left = time.mktime(time.strptime(until[:19], "%Y-%m-%dT%H:%M:%S")) - time.mktime(time.gmtime())
        assert seconds - 30 < left <= seconds + 1
    if value == "nonsense":
        assert "OLLAMA_KEEP_ALIVE=nonsense is not understood" in s.log()


def test_variables_are_named_in_the_log(make_server):
    seen = {"OLLAMA_NUM_PARALLEL": "2", "OLLAMA_MAX_QUEUE": "7", "OLLAMA_FLASH_ATTENTION": "1",
            "CUDA_VISIBLE_DEVICES": "0", "OLLAMA_NO_CLOUD": "1", "OLLAMA_KV_CACHE_TYPE": "q8_0",
            "OLLAMA_GPU_OVERHEAD": "5", "OLLAMA_MAX_LOADED_MODELS": "2", "OLLAMA_CONTEXT_LENGTH": "2048"}
    s = make_server(model=False, **seen)
    for name, value in seen.items():
        assert f"{name}={value}: " in s.log()
    assert "OLLAMA_HOST=" in s.log() and "OLLAMA_NUM_PARALLEL=2: no effect" not in s.log()


def test_bad_values_are_warned_of(make_server):
    bad = {"OLLAMA_NUM_PARALLEL": "x", "OLLAMA_MAX_QUEUE": "-5", "OLLAMA_CONTEXT_LENGTH": "many",
           "OLLAMA_KV_CACHE_TYPE": "q9", "CHASKI_LIMIT_IDLE_SECONDS": "0", "CHASKI_CACHE_SCOPE": "you"}
    s = make_server(model=False, **bad)
    for name, value in bad.items():
        assert re.search(f"warn {name}={value} is not understood", s.log())
    assert s.get("/health").status == 200


def test_origins_of_the_server(make_server):
    s = make_server(model=False, OLLAMA_ORIGINS="chrome-extension://abc,http://*.example.org,bad entry")
    for origin, status in [("chrome-extension://abc", 200), ("http://a.example.org", 200), ("http://localhost", 200),
                           ("http://example.com", 403)]:
        assert s.get("/", headers={"Origin": origin}).status == status
    assert "bad entry" in s.log()
    s = make_server(model=False, OLLAMA_ORIGINS="*")
    a = s.get("/", headers={"Origin": "http://anything.example"})
    assert a.status == 200 and a.headers["Access-Control-Allow-Origin"] == "*" and "Vary" not in a.headers
