"""tests/api/sse.py - a stream of server-sent events, read strictly."""
import json


def events(body):
    """[(event or None, data)]; data is parsed but for [DONE]. Comments are left out."""
    text = body.decode()
    assert text.endswith("\n\n"), "the last event has no empty line"
    out = []
    for block in text[:-2].split("\n\n"):
        name, data = None, []
        for line in block.split("\n"):
            key, _, value = line.partition(": ")
            assert key in ("event", "data", ""), f"a line that is no event: {line!r}"
            if key == "event":
                name = value
            elif key == "data":
                data.append(value)
        if data:
            assert len(data) == 1
            out.append((name, data[0] if data[0] == "[DONE]" else json.loads(data[0])))
    return out
