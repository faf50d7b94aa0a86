"""tests/api/test_zstd.py - bodies compressed with zstd under /v1 (spec/api.md 1.1)."""
import json
import os

import pytest

zstandard = pytest.importorskip("zstandard")
C = "/v1/chat/completions"
BODY = {"model": "m", "max_tokens": 2, "messages": [{"role": "user", "content": "Hi"}]}


def post(server, data, path=C, coding="zstd"):
    return server.post(path, data, headers={"Content-Encoding": coding})


@pytest.fixture(scope="module")
def is_built(server):
    if "built without zstd" in post(server, zstandard.compress(json.dumps(BODY).encode())).text:
        pytest.skip("chaski was built without zstd")


@pytest.mark.parametrize("coding", ["zstd", "ZSTD"])
def test_a_compressed_body_is_the_body(server, is_built, coding):
    long = {**BODY, "user": "x" * 3000000}
    stream = zstandard.ZstdCompressor().compressobj()  # no size in the frame
    for data in (zstandard.compress(json.dumps(BODY).encode()),
                 zstandard.compress(json.dumps(long).encode()),
                 stream.compress(json.dumps(BODY).encode()) + stream.flush()):
        a = post(server, data, coding=coding)
        assert a.status == 200 and a.json()["usage"]["completion_tokens"] == 2, a.text


def test_what_does_not_unpack_is_400(server, is_built):
    good = zstandard.compress(json.dumps(BODY).encode())
    bombs = zstandard.compress(b" " * (20 << 20) + json.dumps(BODY).encode())
    window = zstandard.ZstdCompressor(compression_params=zstandard.ZstdCompressionParameters(
        window_log=26)).compressobj()
    wide = window.compress(json.dumps(BODY).encode() + os.urandom(1000)) + window.flush()
    for data in (b"x", b"{}", good[:-3], good[:10] + b"\0\0" + good[12:], bombs, wide):
        a = post(server, data)
        assert a.status == 400, a.text
        assert a.json()["error"]["message"] == "failed to decompress request body"


def test_an_empty_body_and_other_codings(server, is_built):
    assert "missing request body" in post(server, b"").text
    assert "missing request body" in post(server, zstandard.compress(b"")).text
    a = post(server, json.dumps(BODY).encode(), coding="gzip")  # ignored: it is JSON
    assert a.status == 200
    a = post(server, zstandard.compress(json.dumps({"model": "m"}).encode()), path="/api/generate")
    assert a.status == 400 and "invalid character" in a.text
