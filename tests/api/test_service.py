"""tests/api/test_service.py - the server under systemd: sockets that were opened for it, readiness."""
import json
import os
import socket
import subprocess
import urllib.request

import pytest

from conftest import HERE, binary


@pytest.fixture
def service(tmp_path):
    """Started as systemd does it: LISTEN_PID is the server's own, the socket is descriptor 3."""
    bin_, _ = binary()
    if not os.path.exists(bin_):
        pytest.skip(f"{bin_} is not built")
    made = []

    def start(listener, pid="$$", count=1, **env):
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify.settimeout(20)
        path = str(tmp_path / f"notify{len(made)}")
        notify.bind(path)
        log = open(tmp_path / f"log{len(made)}", "wb")
        fd = listener.fileno()
        p = subprocess.Popen(
            ["bash", "-c", f"exec 3<&{fd} {fd}<&-; LISTEN_PID={pid} LISTEN_FDS={count} exec {bin_} serve"],
            pass_fds=(fd,), stderr=log, stdout=log,
            env={**os.environ, "LSAN_OPTIONS": f"suppressions={HERE / 'lsan.supp'}:print_suppressions=0",
                 "OLLAMA_MODELS": str(tmp_path / "m"), "NOTIFY_SOCKET": path,
                 "OLLAMA_HOST": "127.0.0.1:1", **env})
        made.append((p, notify, log))
        return p, notify, tmp_path / f"log{len(made) - 1}"

    yield start
    for p, notify, log in made:
        if p.poll() is None:
            p.terminate()
            p.wait(20)
        notify.close()
        log.close()


def get(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as r:
        return json.load(r)


def test_a_socket_that_was_passed(service):
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        port = listener.getsockname()[1]
        early = socket.create_connection(("127.0.0.1", port))  # before anybody accepts
        p, notify, log = service(listener)
        assert notify.recv(100) == b"READY=1"
        assert get(port, "/ready") == {"status": "ready"}
        early.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b'{"status":"ok"}' in early.recv(1000)
        p.terminate()
        assert notify.recv(100) == b"STOPPING=1"
        assert p.wait(20) == 0
        assert f"Listening on 127.0.0.1:{port} " in log.read_text()
        # The socket stayed with us: the next server takes what came meanwhile.
        late = socket.create_connection(("127.0.0.1", port))
        late.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        p, notify, log = service(listener)
        assert b'{"status":"ok"}' in late.recv(1000)


def test_a_unix_socket(service, tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "sock"))
        listener.listen(8)
        p, notify, log = service(listener)
        assert notify.recv(100) == b"READY=1"
        with socket.socket(socket.AF_UNIX) as c:
            c.connect(str(tmp_path / "sock"))
            c.sendall(b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b'"version"' in c.recv(1000)


def test_wide_open_is_told(service):
    with socket.create_server(("0.0.0.0", 0)) as listener:
        p, notify, log = service(listener)
        assert notify.recv(100) == b"READY=1"
        assert "without keys" in log.read_text()
    with socket.create_server(("0.0.0.0", 0)) as listener:
        p, notify, log = service(listener, CHASKI_API_KEY="x")
        assert notify.recv(100) == b"READY=1"
        assert "without keys" not in log.read_text()


def test_what_is_no_listening_socket_ends_the_start(service, tmp_path):
    with open(tmp_path / "file", "w") as f:
        p, notify, log = service(f)
        assert p.wait(20) == 1
        assert "Error: the socket that was passed does not listen" in log.read_text()


def test_sockets_of_another_process_are_not_ours(service):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        p, notify, log = service(listener, pid="1", OLLAMA_HOST="127.0.0.1:0")
        assert notify.recv(100) == b"READY=1"
        port = int(log.read_text().split("Listening on 127.0.0.1:")[1].split()[0])
        assert port != listener.getsockname()[1] and get(port, "/health") == {"status": "ok"}
