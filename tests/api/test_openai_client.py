"""tests/api/test_openai_client.py - the official `openai` client against the server (clients.md 4)."""
import asyncio

import pytest

openai = pytest.importorskip("openai")
USER = [{"role": "user", "content": "Hi"}]
SHORT = {"temperature": 0, "max_tokens": 4}


@pytest.fixture
def client(server):
    return openai.OpenAI(base_url=server.url + "/v1", api_key="x", max_retries=0)


def test_chat(client):
    r = client.chat.completions.create(model="m", messages=USER, logprobs=True, top_logprobs=2,
                                       **SHORT)
    assert r.choices[0].message.role == "assistant" and r.choices[0].finish_reason == "length"
    assert r.usage.completion_tokens == 4 and len(r.choices[0].logprobs.content) == 4
    assert r.usage.prompt_tokens_details.cached_tokens >= 0
    assert len(r.choices[0].logprobs.content[0].top_logprobs) == 2


def test_chat_stream_with_usage(client):
    whole = client.chat.completions.create(model="m", messages=USER, **SHORT)
    said, usage, role = "", None, None
    for x in client.chat.completions.create(model="m", messages=USER, stream=True,
                                            stream_options={"include_usage": True}, **SHORT):
        usage = x.usage or usage
        for c in x.choices:
            said += c.delta.content or ""
            role = c.delta.role or role
    assert said == whole.choices[0].message.content and role == "assistant"
    assert usage.total_tokens == whole.usage.total_tokens


@pytest.mark.fake
def test_the_stream_helper(client):
    with client.chat.completions.stream(model="m", messages=USER) as stream:
        said = "".join(x.delta for x in stream if x.type == "content.delta")
        [choice] = stream.get_final_completion().choices
    assert choice.finish_reason == "stop" and choice.message.content == said
    with pytest.raises(openai.LengthFinishReasonError):
        with client.chat.completions.stream(model="m", messages=USER, **SHORT) as stream:
            list(stream)
            stream.get_final_completion()


def test_n_choices(client):
    r = client.chat.completions.create(model="m", messages=USER, n=2, max_tokens=4)
    assert len(r.choices) == 2


def test_completions(client):
    r = client.completions.create(model="m", prompt=["Hi", "Ho"], logprobs=2, **SHORT)
    assert len(r.choices) == 2 and len(r.choices[0].logprobs.tokens) == 4
    parts = list(client.completions.create(model="m", prompt="Hi", stream=True, **SHORT))
    assert "".join(p.choices[0].text for p in parts) == r.choices[0].text


@pytest.mark.real
def test_the_parse_helper_gets_what_the_class_says(client):
    import pydantic

    class Person(pydantic.BaseModel):
        name: str
        age: int

    r = client.chat.completions.parse(
        model="m", messages=[{"role": "user", "content": "Tell of Anna, age 7, as JSON."}],
        response_format=Person, max_tokens=200, temperature=0)
    assert isinstance(r.choices[0].message.parsed, Person)


def test_models(client):
    assert "m:latest" in [m.id for m in client.models.list()]
    assert client.models.retrieve("m").id == "m"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nope")


def test_errors_are_of_the_right_class(client):
    with pytest.raises(openai.NotFoundError) as e:
        client.chat.completions.create(model="nope", messages=USER)
    assert "model 'nope' not found" in str(e.value) and e.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError, match="too short"):
        client.chat.completions.create(model="m", messages=[])


@pytest.mark.fake
def test_an_error_in_the_stream_raises(client):
    messages = [{"role": "user", "content": "fake:fail=2"}]
    with pytest.raises(openai.APIError, match="on demand"):
        list(client.chat.completions.create(model="m", messages=messages, stream=True))


def test_breaking_out_of_a_stream_and_many_at_once(server):
    async def go():
        client = openai.AsyncOpenAI(base_url=server.url + "/v1", api_key="x", max_retries=0)
        stream = await client.chat.completions.create(model="m", messages=USER, stream=True)
        async for _ in stream:
            break
        await stream.close()
        all_ = await asyncio.gather(*[client.chat.completions.create(
            model="m", messages=USER, **SHORT) for _ in range(8)])
        assert len({r.choices[0].message.content for r in all_}) == 1
        await client.close()
    asyncio.run(go())
