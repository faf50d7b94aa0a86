"""tests/api/conftest.py - a server on a free port with a store of its own, and a model `m`.

CHASKI_BIN=path    the program (`chaski serve`); the model is a small real GGUF from the cache
CHASKI_FAKE=path   the server with words instead of tokens (build target tests/chaski-fake)
Without either, build/tests/chaski-fake is tried. Tests marked `fake` need the fake engine.
"""
import hashlib
import http.client
import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import time

import pytest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("CHASKI_CACHE", pathlib.Path.home() / ".cache/chaski"))
REAL_MODEL = CACHE / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"

JINJA = ("{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}"
         "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")


def binary():
    if os.environ.get("CHASKI_BIN"):
        return os.environ["CHASKI_BIN"], False
    fake = os.environ.get("CHASKI_FAKE", str(ROOT / "build" / "tests" / "chaski-fake"))
    return fake, True


def pytest_configure(config):
    config.addinivalue_line("markers", "fake: needs the fake engine")
    config.addinivalue_line("markers", "real: needs the real engine")


def pytest_collection_modifyitems(items):
    _, is_fake = binary()
    for item in items:
        if not is_fake and item.get_closest_marker("fake"):
            item.add_marker(pytest.mark.skip(reason="needs the fake engine (CHASKI_FAKE)"))
        if is_fake and item.get_closest_marker("real"):
            item.add_marker(pytest.mark.skip(reason="needs the real engine (CHASKI_BIN)"))


# ---- a GGUF file, forged ------------------------------------------------------------------


def gguf_text(s):
    b = s.encode()
    return struct.pack("<Q", len(b)) + b


def byte_letters():
    """GPT-2's letters for the bytes 0..255."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    other = [b for b in range(256) if b not in plain]
    letters = {b: chr(b) for b in plain} | {b: chr(256 + i) for i, b in enumerate(other)}
    return [letters[b] for b in range(256)]


def forge_gguf(salt="", keys=(), template=JINJA):
    """A small right file: architecture llama, a chat template, a token for each byte and two
    control tokens (256, 257), one F32 tensor."""
    tokens = byte_letters() + ["<|im_start|>", "<|im_end|>"]
    kv = [("general.architecture", 8, gguf_text("llama")),
          ("general.name", 8, gguf_text("forged" + salt)),
          ("general.file_type", 4, struct.pack("<I", 0)),
          ("llama.context_length", 4, struct.pack("<I", 2048)),
          ("llama.embedding_length", 4, struct.pack("<I", 8)),
          ("llama.block_count", 4, struct.pack("<I", 1)),
          ("llama.rope.freq_base", 6, struct.pack("<f", 10000.0)),
          ("llama.attention.layer_norm_rms_epsilon", 6, struct.pack("<f", 1e-5)),
          ("tokenizer.ggml.model", 8, gguf_text("gpt2")),
          ("tokenizer.ggml.pre", 8, gguf_text("gpt-2")),
          ("tokenizer.ggml.tokens", 9, struct.pack("<IQ", 8, len(tokens)) + b"".join(map(gguf_text, tokens))),
          ("tokenizer.ggml.token_type", 9, struct.pack("<IQ258i", 5, 258, *[1] * 256, 3, 3)),
          ("tokenizer.ggml.merges", 9, struct.pack("<IQ", 8, 0)),
          ("tokenizer.ggml.eos_token_id", 4, struct.pack("<I", 257)),
          ("tokenizer.ggml.add_bos_token", 7, b"\0"),
          ("tokenizer.chat_template", 8, gguf_text(template)), *keys]
    out = b"GGUF" + struct.pack("<IQQ", 3, 1, len(kv))
    for key, kind, value in kv:
        out += gguf_text(key) + struct.pack("<I", kind) + value
    out += gguf_text("token_embd.weight") + struct.pack("<IQQIQ", 2, 8, 2, 0, 0)
    out += b"\0" * (-len(out) % 32)
    return out + struct.pack("<16f", *range(16))


# ---- the server ---------------------------------------------------------------------------


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self):
        return self.body.decode()

    def json(self):
        return json.loads(self.body)

    def lines(self):
        assert self.body.endswith(b"\n")
        return [json.loads(x) for x in self.body[:-1].split(b"\n")]


class Server:
    def __init__(self, store, **env):
        self.store = store
        self.log_path = pathlib.Path(store).with_suffix(".log")
        self.log_file = open(self.log_path, "wb")
        self.bin, self.is_fake = binary()
        if not os.path.exists(self.bin):
            pytest.skip(f"{self.bin} is not built")
        for _ in range(5):
            with socket.socket() as s:
                s.bind(("127.0.0.1", 0))
                self.port = s.getsockname()[1]
            host = env.pop("host", "127.0.0.1")
            full = {**os.environ, "LSAN_OPTIONS": f"suppressions={HERE / 'lsan.supp'}:print_suppressions=0",
                    "OLLAMA_MODELS": str(store),
                    "OLLAMA_HOST": f"{host}:{self.port}", **env}
            self.process = subprocess.Popen([self.bin, "serve"], env=full,
                                            stdout=subprocess.DEVNULL, stderr=self.log_file)
            if self.wait():
                return
        raise RuntimeError("the server does not start:\n" + self.log())

    def wait(self):
        for _ in range(200):
            if self.process.poll() is not None:
                return False
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return True
            except OSError:
                time.sleep(0.05)
        return False

    def is_sanitized(self):
        """Sanitizers keep freed memory: sizes say nothing then."""
        with open(f"/proc/{self.process.pid}/maps") as f:
            return "libasan" in (text := f.read()) or "libtsan" in text

    def log(self):
        return self.log_path.read_text(errors="replace")

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method, path, body=None, headers=None, timeout=60):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            if isinstance(body, (dict, list)):
                body = json.dumps(body).encode()
            c.request(method, path, body=body, headers=headers or {})
            r = c.getresponse()
            return Answer(r.status, r.headers, r.read())
        finally:
            c.close()

    def post(self, path, body=None, **more):
        return self.ask("POST", path, body, **more)

    def get(self, path, **more):
        return self.ask("GET", path, **more)

    def loaded(self, name="m:latest"):
        """The model's row in ps, or None: others may be loaded, other tests were here before."""
        rows = self.get("/api/ps").json()["models"]
        return next((r for r in rows if r["name"] == name), None)

    def raw(self, data, timeout=10, until=None):
        """Bytes in, all bytes out."""
        with socket.create_connection(("127.0.0.1", self.port), timeout) as s:
            s.sendall(data)
            out = b""
            while until is None or until not in out:
                part = s.recv(65536)
                if not part:
                    break
                out += part
            return out

    def put_blob(self, data):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        a = self.post("/api/blobs/" + digest, data)
        assert a.status in (200, 201), a.text
        return digest

    def create(self, name, **fields):
        a = self.post("/api/create", {"model": name, "stream": False, **fields})
        assert a.status == 200, a.text
        return a

    def stop(self, timeout=20):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self.log_file.close()


def model_bytes(is_fake):
    if is_fake:
        return forge_gguf()
    if not REAL_MODEL.exists():
        pytest.skip(f"{REAL_MODEL} is not there")
    return REAL_MODEL.read_bytes()


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    s = Server(tmp_path_factory.mktemp("store"))
    digest = s.put_blob(model_bytes(s.is_fake))
    s.create("m", files={"model.gguf": digest})
    s.model_digest = digest
    yield s
    status = s.stop()
    log = s.log()
    assert "ERROR: AddressSanitizer" not in log and "WARNING: ThreadSanitizer" not in log, log
    assert "LeakSanitizer" not in log and "runtime error" not in log, log
    assert status == 0, log


@pytest.fixture
def make_server(tmp_path):
    made = []

    def make(model=True, **env):
        s = Server(tmp_path / f"store{len(made)}", **env)
        made.append(s)
        if model:
            s.create("m", files={"model.gguf": s.put_blob(model_bytes(s.is_fake))})
        return s

    yield make
    for s in made:
        s.stop()
    for s in made:
        log = s.log()
        assert "Sanitizer" not in log and "runtime error" not in log, log
