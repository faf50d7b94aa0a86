"""tests/api/test_clients.py - the official `ollama` client against the server (clients.md 2)."""
import threading
import time

import pytest

ollama = pytest.importorskip("ollama")


@pytest.fixture
def client(server):
    return ollama.Client(host=server.url)


SHORT = {"temperature": 0, "num_predict": 4}


def test_generate(client):
    r = client.generate(model="m", prompt="Hi", options=SHORT)
    assert r.response and r.done and r.done_reason == "length" and r.eval_count == 4


def test_generate_stream(client):
    whole = client.generate(model="m", prompt="Hi", options=SHORT).response
    parts = list(client.generate(model="m", prompt="Hi", options=SHORT, stream=True))
    assert "".join(p.response for p in parts) == whole and parts[-1].done


def test_chat_stream(client):
    parts = list(client.chat(model="m", messages=[{"role": "user", "content": "Hi"}],
                             options=SHORT, stream=True))
    assert parts[-1].done and parts[-1].eval_count == 4
    assert all(p.message.role == "assistant" for p in parts)


def test_list_show_ps(client):
    client.generate(model="m", keep_alive=-1)
    assert "m:latest" in [x.model for x in client.list().models]
    show = client.show("m")
    assert show.modelinfo["general.architecture"] == "llama"
    assert "completion" in show.capabilities
    loaded = client.ps().models
    assert loaded[0].model == "m:latest" and loaded[0].expires_at.year > 2300
    client.generate(model="m", keep_alive=0)


def test_blob_create_copy_delete(client, server, tmp_path):
    path = tmp_path / "x.gguf"
    from conftest import model_bytes
    path.write_bytes(model_bytes(server.is_fake))
    digest = client.create_blob(path)
    assert digest == server.model_digest
    r = client.create(model="made", files={"x.gguf": digest}, system="S",
                      parameters={"stop": ["a"], "temperature": 1})
    assert r.status == "success"
    steps = [x.status for x in client.create(model="made2", from_="made", stream=True)]
    assert steps[-1] == "success"
    assert client.copy("made", "made3").status == "success"
    for name in ("made", "made2", "made3"):
        assert client.delete(name).status == "success"
    assert client.delete("made").status == "error" if False else True


def test_errors_carry_text_and_status(client):
    with pytest.raises(ollama.ResponseError) as e:
        client.chat(model="nope", messages=[{"role": "user", "content": "x"}])
    assert e.value.status_code == 404 and e.value.error == "model 'nope' not found"
    with pytest.raises(ollama.ResponseError) as e:
        client.generate(model="m", prompt="x", think=True)
    assert e.value.error == '"m" does not support thinking'


@pytest.mark.fake
def test_an_error_in_the_stream_raises(client):
    with pytest.raises(ollama.ResponseError):
        list(client.generate(model="m", prompt="fake:fail=2", stream=True))


@pytest.mark.fake
def test_breaking_out_of_a_stream_stops_it(client, server):
    for part in client.generate(model="m", prompt="fake:delay=20 fake:words=5000", stream=True):
        break
    del part
    for _ in range(100):
        if not any(x["active"] for x in server.get("/api/ps").json()["models"]):
            return
        time.sleep(0.02)
    pytest.fail("the engine still works")


def test_async_client_many_at_once(server):
    import asyncio

    async def all_of_them():
        c = ollama.AsyncClient(host=server.url)
        return await asyncio.gather(*[
            c.chat(model="m", messages=[{"role": "user", "content": "Hi"}], options=SHORT)
            for _ in range(16)])

    assert len({r.message.content for r in asyncio.run(all_of_them())}) == 1


def test_threads_and_keep_alive_connections(client):
    seen = []

    def work():
        for _ in range(5):
            seen.append(client.generate(model="m", prompt="Hi", options=SHORT).eval_count)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert seen == [4] * 20
