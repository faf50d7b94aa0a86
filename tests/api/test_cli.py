"""tests/api/test_cli.py - the commands against a server that answers fixed texts: exact output,
exit status, pipes, and the interactive mode through a pseudo-terminal.

CHASKI=path    the program; build/tools/chaski otherwise
"""
import contextlib
import fcntl
import hashlib
import http.server
import json
import os
import pathlib
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import threading
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHASKI = os.environ.get("CHASKI", str(ROOT / "build" / "tools" / "chaski"))
pytestmark = pytest.mark.skipif(not os.path.exists(CHASKI), reason=f"{CHASKI} is not built")
REFUSED = "Error: could not connect to chaski server, run 'chaski serve' to start it\n"


# ---- a server that answers fixed texts ------------------------------------------------------


class Api:
    """What the fake server has seen and what it says."""

    def __init__(self):
        self.seen = []       # (method, path, body)
        self.reply = ["Hi", " there"]
        self.thinking = []
        self.delay = 0
        self.models = [{"name": "smol:latest", "modified_at": "2020-01-01T00:00:00Z", "size": 807000000,
                        "digest": "sha256:" + "ab" * 32}]
        self.info = {"license": "L1\nL2\n\nL3\n", "modelfile": "FROM x", "template": "T", "system": "Be brief.",
                     "parameters": 'num_ctx                        4096\nstop                           "<|x|>"',
                     "details": {"parameter_size": "1.2B", "quantization_level": "Q4_K_M", "parent_model": ""},
                     "model_info": {"general.architecture": "llama", "llama.context_length": 131072,
                                    "llama.embedding_length": 3072},
                     "capabilities": ["completion"]}
        self.error = None

    def bodies(self, path):
        return [b for _, p, b in self.seen if p == path]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *a):
        pass

    def say(self, status, body):
        data = json.dumps(body).encode() if body is not None else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def stream(self, objects):
        api = self.server.api
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with contextlib.suppress(OSError):
            for o in objects:
                data = json.dumps(o).encode() + b"\n"
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                self.wfile.flush()
                time.sleep(api.delay)
            self.wfile.write(b"0\r\n\r\n")

    def do(self):
        api = self.server.api
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path
        body = raw if path.startswith("/api/blobs/") else json.loads(raw or b"null")
        api.seen.append((self.command, path, body))
        if path == "/":
            return self.say(200, None)
        if path.startswith("/api/blobs/"):
            return self.say(404 if self.command == "HEAD" else 201, None)
        if api.error and path in ("/api/generate", "/api/chat"):
            return self.say(*api.error)
        if path == "/api/tags":
            return self.say(200, {"models": api.models})
        if path == "/api/ps":
            return self.say(200, {"models": [dict(m, size_vram=0, context_length=4096,
                                                  expires_at="2399-01-01T00:00:00Z") for m in api.models]})
        if path == "/api/version":
            return self.say(200, {"version": "0.33.0", "chaski": "9.9.9"})
        if path in ("/api/show", "/api/delete", "/api/copy"):
            name = body.get("model") or body.get("source")
            if name.split(":")[0] == "nope":
                return self.say(404, {"error": f"model '{name}' not found"})
            return self.say(200, api.info if path == "/api/show" else None)
        if path == "/api/create":
            return self.stream([{"status": "writing manifest"}, {"status": "success"}])
        if path in ("/api/generate", "/api/chat"):
            if body["model"].split(":")[0] == "nope":
                return self.say(404, {"error": f"model '{body['model']}' not found"})
            chat = path == "/api/chat"
            if not chat and not body.get("prompt"):
                return self.stream([{"response": "", "done": True, "done_reason": "load"}])
            wrap = (lambda k, t: {"message": {"role": "assistant", "content": "", k: t}, "done": False}) if chat else \
                   (lambda k, t: {k if k == "thinking" else "response": t, "done": False})
            last = {"done": True, "total_duration": 4648158584, "eval_count": 282, "eval_duration": 4466000000}
            return self.stream([wrap("thinking", t) for t in api.thinking] +
                               [wrap("content", t) for t in api.reply] + [last])
        return self.say(404, {"error": "no such path"})

    do_GET = do_HEAD = do_POST = do_DELETE = do


@pytest.fixture
def api():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.api = Api()
    server.api.host = "127.0.0.1:%d" % server.server_port
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server.api
    server.shutdown()
    server.server_close()


def chaski(*args, host="127.0.0.1:1", stdin="", **env):
    return subprocess.run([CHASKI, *args], input=stdin, capture_output=True, text=True, timeout=60,
                          env={**os.environ, "OLLAMA_HOST": host, **env})


# ---- usage ------------------------------------------------------------------------------------

COMMANDS = ("run", "create", "show", "stop", "list", "ps", "cp", "rm", "serve", "inspect", "tokenize",
            "logits", "bench", "roofline")


def test_help_names_every_command():
    p = chaski("--help")
    assert p.returncode == 0 and p.stderr == ""
    for name in COMMANDS:
        assert re.search(rf"^  {name} +\S", p.stdout, re.M), name
    assert p.stdout.endswith('Use "chaski [command] --help" for more information about a command.\n')
    assert chaski().stdout == p.stdout == chaski("help").stdout == chaski("-h").stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name):
    p = chaski(name, "--help")
    assert p.returncode == 0 and "Usage:" in p.stdout and p.stderr == ""


@pytest.mark.parametrize("args, text", [
    (["nope"], 'unknown command "nope" for "chaski"'),
    (["--nope"], "unknown flag: --nope"),
    (["list", "--nope"], "unknown flag: --nope"),
    (["run", "m", "-5"], "unknown shorthand flag: '5' in -5"),
    (["run", "m", "--keepalive"], "flag needs an argument: --keepalive"),
    (["create", "m", "-f"], "flag needs an argument: 'f' in -f"),
    (["show", "a", "b"], "accepts 1 arg(s), received 2"),
    (["cp", "a"], "accepts 2 arg(s), received 1"),
    (["rm"], "requires at least 1 arg(s), only received 0"),
    (["show", "m", "--license", "--system"], "only one of '--license', '--modelfile', '--parameters', '--system', "
                                             "or '--template' can be specified"),
    (["serve", "x"], None),
    (["inspect"], None),
    (["tokenize"], None),
    (["logits"], None),
    (["bench"], None),
    (["logits", "-m", "x", "--tokens", "x", "--out", "x", "--kv", "q4_1"], "--kv wants f16, f32, q8_0 or q4_0"),
    (["bench", "-m", "x", "--kv", "q4_1"], "--kv wants f16, f32, q8_0 or q4_0"),
])
def test_wrong_use_is_status_2(args, text):
    p = chaski(*args)
    assert p.returncode == 2 and p.stdout == ""
    if text:
        assert p.stderr == f"Error: {text}\n"


def test_near_names_are_proposed():
    assert chaski("lits").stderr == 'Error: unknown command "lits" for "chaski"\n\nDid you mean this?\n\tlist\n\tlogits\n'


@pytest.mark.parametrize("args", [["list"], ["ps"], ["show", "m"], ["run", "m", "hi"], ["rm", "m"], ["stop", "m"],
                                  ["cp", "a", "b"]])
def test_no_server_is_told(args):
    p = chaski(*args)
    assert (p.returncode, p.stdout, p.stderr) == (1, "", REFUSED)


def test_version(api):
    p = chaski("--version", host=api.host)
    assert p.returncode == 0 and p.stdout.startswith("chaski version is 9.9.9\nWarning: client version is ")
    assert chaski("-v").stdout.startswith("Warning: could not connect to a running chaski instance\n")


# ---- tables -----------------------------------------------------------------------------------


def test_list(api):
    api.models.append({"name": "\u6f22\u5b57:latest", "modified_at": "2020-01-01T00:00:00Z", "size": 999,
                       "digest": "cd" * 32})
    years = re.search(r"(\d+) years ago", chaski("list", host=api.host).stdout).group(0)
    assert chaski("ls", host=api.host).stdout == (
        "NAME           ID              SIZE      MODIFIED\n"
        f"smol:latest    abababababab    807 MB    {years}\n"
        f"\u6f22\u5b57:latest    cdcdcdcdcdcd    999 B     {years}\n")
    assert chaski("list", "SMO", host=api.host).stdout.count("\n") == 2


def test_list_of_nothing_is_the_header(api):
    api.models = []
    assert chaski("list", host=api.host).stdout == "NAME    ID    SIZE    MODIFIED\n"


def test_ps(api):
    assert chaski("ps", host=api.host).stdout == (
        "NAME           ID              SIZE      PROCESSOR    CONTEXT    UNTIL\n"
        "smol:latest    abababababab    807 MB    100% CPU     4096       Forever\n")


def test_show(api):
    assert chaski("show", "smol", host=api.host).stdout == """  Model
    architecture        llama
    parameters          1.2B
    context length      131072
    embedding length    3072
    quantization        Q4_K_M

  Capabilities
    completion

  Parameters
    num_ctx    4096
    stop       "<|x|>"

  System
    Be brief.

  License
    L1
    L2
    ...

"""


def test_show_one_field(api):
    assert chaski("show", "smol", "--template", host=api.host).stdout == "T"
    assert chaski("show", "smol", "--modelfile", host=api.host).stdout == "FROM x\n"
    p = chaski("show", "nope", host=api.host)
    assert (p.returncode, p.stdout, p.stderr) == (1, "", "Error: model 'nope' not found\n")


def test_rm_stop_cp(api):
    p = chaski("rm", "a", "nope", "b", host=api.host)
    assert (p.returncode, p.stdout) == (1, "deleted 'a'\n")
    assert p.stderr == "Error: model 'nope' not found\n"
    assert [b["model"] for b in api.bodies("/api/delete")] == ["a", "nope"]
    assert chaski("cp", "a", "b", host=api.host).stdout == "copied 'a' to 'b'\n"
    assert chaski("stop", "a", host=api.host).returncode == 0
    assert api.bodies("/api/generate")[-1]["keep_alive"] == 0
    assert chaski("stop", "nope", host=api.host).stderr == 'Error: couldn\'t find model "nope" to stop\n'


# ---- create -----------------------------------------------------------------------------------


def test_create_sends_the_file_and_the_rest(api, tmp_path):
    (tmp_path / "w.gguf").write_bytes(b"GGUF")
    (tmp_path / "Modelfile").write_text(
        'FROM ./w.gguf\nTEMPLATE """{{ .Prompt }}"""\nSYSTEM Be brief.\nPARAMETER num_ctx 4096\n'
        'PARAMETER stop "a"\nPARAMETER stop "b"\nMESSAGE user hi\nMESSAGE assistant ho\nLICENSE L\n')
    p = chaski("create", "x", "-f", str(tmp_path / "Modelfile"), host=api.host)
    assert p.returncode == 0 and p.stdout == "", p.stderr
    assert "\033" not in p.stderr and p.stderr.endswith("writing manifest\nsuccess\n")
    request = api.bodies("/api/create")[0]
    digest = request["files"]["w.gguf"]
    assert request == {
        "model": "x", "files": {"w.gguf": digest}, "template": "{{ .Prompt }}", "system": "Be brief.",
        "parameters": {"num_ctx": 4096, "stop": ["a", "b"]}, "license": ["L"],
        "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]}
    assert digest == "sha256:" + hashlib.sha256(b"GGUF").hexdigest()
    assert ("POST", "/api/blobs/" + digest, b"GGUF") in api.seen


def test_create_from_a_model(api, tmp_path):
    (tmp_path / "M").write_text("FROM smol\n")
    assert chaski("create", "x", "-f", str(tmp_path / "M"), host=api.host).returncode == 0
    assert api.bodies("/api/create") == [{"model": "x", "from": "smol"}]


@pytest.mark.parametrize("modelfile, text", [
    (None, "specified Modelfile wasn't found"),
    ("SYSTEM x\n", "no FROM line"),
    ("FROM smol\nPARAMETER nope 1\n", "unknown parameter 'nope'"),
])
def test_create_says_what_is_wrong(api, tmp_path, modelfile, text):
    path = tmp_path / "M"
    if modelfile is not None:
        path.write_text(modelfile)
    p = chaski("create", "x", "-f", str(path), host=api.host)
    assert (p.returncode, p.stderr) == (1, f"Error: {text}\n")
    assert not api.bodies("/api/create")


# ---- run through pipes ------------------------------------------------------------------------


def test_run_with_words(api):
    p = chaski("run", "smol", "a", "b", host=api.host)
    assert (p.returncode, p.stdout, p.stderr) == (0, "Hi there\n\n", "")
    assert api.bodies("/api/generate")[0]["prompt"] == "a b"


def test_run_puts_stdin_before_the_words(api):
    chaski("run", "smol", "and this", host=api.host, stdin="from the pipe")
    assert api.bodies("/api/generate")[0]["prompt"] == "from the pipe and this"


def test_run_with_nothing_only_loads(api):
    p = chaski("run", "smol", host=api.host)
    assert (p.returncode, p.stdout, p.stderr) == (0, "", "")


def test_a_pipe_gets_the_text_as_it_is(api):
    api.reply = ["\033[31mred\a\x9b ", "x" * 300, " end"]
    assert chaski("run", "smol", "a", host=api.host).stdout == "".join(api.reply) + "\n\n"


def test_think_alone_takes_no_word(api):
    api.info["capabilities"].append("thinking")
    api.thinking = ["hm", "m"]
    p = chaski("run", "smol", "--think", "high", host=api.host)
    assert p.stdout == "Thinking...\nhmm\n...done thinking.\n\nHi there\n\n"
    sent = api.bodies("/api/generate")[0]
    assert (sent["prompt"], sent["think"]) == ("high", True)
    assert chaski("run", "smol", "x", "--think=high", "--hidethinking", host=api.host).stdout == "Hi there\n\n"
    assert api.bodies("/api/generate")[1]["think"] == "high"


def test_flags_reach_the_server(api):
    chaski("run", "smol", "x", "--format", "json", "--keepalive", "1h", host=api.host)
    sent = api.bodies("/api/generate")[0]
    assert (sent["format"], sent["keep_alive"]) == ("json", "1h")


def test_verbose_prints_the_timings(api):
    assert chaski("run", "smol", "x", "--verbose", host=api.host).stderr == (
        "total duration:       4.648158584s\n"
        "eval count:           282 token(s)\n"
        "eval duration:        4.466s\n"
        "eval rate:            63.14 tokens/s\n")


@pytest.mark.parametrize("error, text", [
    ((404, {"error": 'model "x" not found'}), '404 Not Found: model "x" not found'),
    ((500, {"error": "broken"}), "500 Internal Server Error: broken"),
])
def test_an_error_of_the_server_is_shown(api, error, text):
    api.error = error
    p = chaski("run", "smol", "x", host=api.host)
    assert (p.returncode, p.stdout, p.stderr) == (1, "", f"Error: {text}\n")


def test_think_needs_a_model_that_can(api):
    assert chaski("run", "smol", "x", "--think", host=api.host).stderr == 'Error: "smol" does not support thinking\n'
    assert chaski("run", "smol", "x", "--think=x", host=api.host).stderr == (
        'Error: invalid value for --think: "x" (must be true, false, high, medium, low, or max)\n')


def test_interrupt_stops_a_one_shot_with_status_0(api):
    api.reply, api.delay = ["word "] * 200, 0.1
    p = subprocess.Popen([CHASKI, "run", "smol", "x"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         env={**os.environ, "OLLAMA_HOST": api.host})
    time.sleep(0.8)
    p.send_signal(signal.SIGINT)
    begun = time.time()
    out, _ = p.communicate(timeout=10)
    assert p.returncode == 0 and out.startswith(b"word word") and time.time() - begun < 2


# ---- the interactive mode ---------------------------------------------------------------------

ESCAPES = re.compile(rb"\033\[[0-9;?]*[A-Za-z]|\r")


class Terminal:
    def __init__(self, api, *args, columns=80, home=None):
        self.out = b""
        try:
            self.pid, self.fd = pty.fork()
        except OSError as e:
            pytest.skip(f"no pseudo-terminal on this machine: {e}")
        if self.pid == 0:
            os.environ.update(OLLAMA_HOST=api.host, HOME=str(home or "/nonexistent"), TERM="xterm")
            os.execv(CHASKI, [CHASKI, "run", "smol", *args])
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.before = termios.tcgetattr(self.fd)

    def read(self, seconds):
        end, got = time.time() + seconds, b""
        while time.time() < end:
            if select.select([self.fd], [], [], 0.05)[0]:
                try:
                    part = os.read(self.fd, 65536)
                except OSError:
                    break
                got += part
        self.out += got
        return got

    def until(self, text, seconds=10):
        """Everything up to `text`, which must come."""
        end, got = time.time() + seconds, b""
        while text not in ESCAPES.sub(b"", got):
            assert time.time() < end, (text, got)
            got += self.read(0.1)
        return got

    def type(self, keys, until=b"Send a message"):
        os.write(self.fd, keys)
        return ESCAPES.sub(b"", self.until(until)).decode() if until else None

    def end(self):
        _, status = os.waitpid(self.pid, 0)
        with contextlib.suppress(OSError):
            os.close(self.fd)
        return os.waitstatus_to_exitcode(status)


@pytest.fixture
def terminal(api, tmp_path):
    made = []

    def start(*args, **more):
        t = Terminal(api, *args, home=tmp_path, **more)
        made.append(t)
        t.until(b"Send a message")
        return t

    yield start
    for t in made:
        with contextlib.suppress(OSError):
            os.kill(t.pid, signal.SIGKILL)
            os.waitpid(t.pid, 0)


def test_a_conversation_is_kept(terminal, api):
    t = terminal()
    assert "Hi there\n" in t.type(b"one\r")
    t.type(b"two\r")
    os.write(t.fd, b"\x04")
    assert t.end() == 0
    assert [m["content"] for m in api.bodies("/api/chat")[1]["messages"]] == ["one", "Hi there", "two"]


def test_the_terminal_gets_no_controls_of_the_model(terminal, api):
    api.reply = ["a\033]0;title\ab\x9bc\x7f"]
    t = terminal()
    os.write(t.fd, b"x\r")
    got = t.until(b"Send a message")
    assert b"a]0;titlebc" in got and b"\x07" not in got and b"\033]" not in got


def test_keys_edit_the_line(terminal, api):
    t = terminal()
    t.type(b"wrld\x1b[D\x1b[D\x1b[Do\x01Hello \x05!x\x7f\r")
    t.type(b"one two three\x17four\x1bb\x0b\x15only\r")
    t.type(b"\xe6\xbc\xa2\xe5\xad\x97\x1b[Dx\x1b[3~\r")
    sent = [b["messages"][-1]["content"] for b in api.bodies("/api/chat")]
    assert sent == ["Hello world!", "only", "\u6f22x"]


def test_lines_and_paste_make_one_message(terminal, api):
    t = terminal()
    t.type(b"a\nb\r")
    t.type(b"\x1b[200~c\rd\x1b[201~\r")
    t.type(b'"""e\r', until=b"Press Enter to send")
    t.type(b'f"""\r')
    t.type(b'"""g"""\r')
    sent = [b["messages"][-1]["content"] for b in api.bodies("/api/chat")]
    assert sent == ["a\nb", "c\nd", "e\nf", "g"]


def test_history_comes_back_and_is_kept(terminal, api, tmp_path):
    t = terminal()
    t.type(b"first\r")
    t.type(b"a\nb\r")
    t.type(b"\x1b[A\x1b[A\x1b[B\r")
    os.write(t.fd, b"\x04")
    t.end()
    path = tmp_path / ".chaski" / "history"
    assert path.read_text() == "first\na\\nb\na\\nb\n" and path.stat().st_mode & 0o777 == 0o600
    t = terminal()
    t.type(b"\x1b[A\r")
    assert api.bodies("/api/chat")[-1]["messages"][-1]["content"] == "a\nb"


def test_interrupt_keys(terminal, api):
    t = terminal()
    assert "\nUse Ctrl + d or /bye to exit.\n" in t.type(b"\x03", until=b"exit.\n>>> Send a message")
    t.type(b"gone\x03kept\r")
    assert api.bodies("/api/chat")[-1]["messages"][-1]["content"] == "kept"
    api.reply, api.delay = ["word "] * 200, 0.1
    t.type(b"x\r", until=b"word word")
    t.type(b"\x03")
    api.reply, api.delay = ["ok"], 0
    t.type(b"y\r")
    kept = api.bodies("/api/chat")[-1]["messages"]
    assert kept[-2]["role"] == "assistant" and kept[-2]["content"].startswith("word word")
    assert len(kept[-2]["content"]) < 500


@pytest.mark.parametrize("line, text", [
    (b"/set verbose", "Set 'verbose' mode.\n"),
    (b"/set quiet", "Set 'quiet' mode.\n"),
    (b"/set wordwrap", "Set 'wordwrap' mode.\n"),
    (b"/set nowordwrap", "Set 'nowordwrap' mode.\n"),
    (b"/set format json", "Set format to 'json' mode.\n"),
    (b"/set format", "Invalid or missing format. For 'json' mode use '/set format json'\n"),
    (b"/set noformat", "Disabled format.\n"),
    (b"/set parameter stop a b", "Set parameter 'stop' to 'a, b'\n"),
    (b"/set parameter nope 1", "Couldn't set parameter: \"unknown parameter 'nope'\"\n"),
    (b"/set system Be kind.", "Set system message.\n"),
    (b"/set nope", "Unknown command '/set nope'. Type /? for help\n"),
    (b"/set", "  /set parameter ...     Set a parameter\n"),
    (b"/show", "  /show info         Show details for this model\n"),
    (b"/show template", "T\n"),
    (b"/show system", "Be brief.\n"),
    (b"/show info", "    quantization        Q4_K_M\n"),
    (b"/show nope", "Unknown command '/show nope'. Type /? for help\n"),
    (b"/nope x", "Unknown command '/nope'. Type /? for help\n"),
    (b"/clear", "Cleared session context\n"),
    (b"/load", "Usage:\n  /load <modelname>\n"),
    (b"/load nope", "Loading model 'nope'\nCouldn't find model 'nope'\n"),
    (b"/save", "Usage:\n  /save <modelname>\n"),
    (b"/save mine", "Created new model 'mine'\n"),
    (b"/list", "smol:latest    abababababab    807 MB"),
    (b"/?", "  /?, /help       Help for a command\n"),
    (b"/? shortcuts", "Available keyboard shortcuts:\n"),
])
def test_slash_commands(terminal, line, text):
    assert text in terminal().type(line + b"\r")


def test_settings_reach_the_server(terminal, api):
    t = terminal()
    t.type(b"/set parameter temperature 0.5\r")
    t.type(b"/set system Be kind.\r")
    t.type(b"/set format json\r")
    t.type(b"x\r")
    sent = api.bodies("/api/chat")[-1]
    assert abs(sent["options"]["temperature"] - 0.5) < 1e-6 and sent["format"] == "json"
    assert sent["messages"][0] == {"role": "system", "content": "Be kind."}
    t.type(b"/save mine\r")
    assert api.bodies("/api/create")[-1]["system"] == "Be kind."


@pytest.mark.parametrize("ending", ["bye", "ctrl-d", "sigterm", "error"])
def test_the_terminal_is_put_back(terminal, api, ending):
    t = terminal()
    if ending == "bye":
        os.write(t.fd, b"/bye\r")
    elif ending == "ctrl-d":
        os.write(t.fd, b"\x04")
    elif ending == "sigterm":
        os.kill(t.pid, signal.SIGTERM)
    else:
        api.error = (500, {"error": "broken"})
        os.write(t.fd, b"x\r")
    got = t.read(1)
    assert termios.tcgetattr(t.fd)[:4] == t.before[:4]
    assert b"\033[?2004l" in got
    assert t.end() == {"sigterm": -signal.SIGTERM, "error": 1}.get(ending, 0)


@pytest.mark.parametrize("columns", [20, 80, 200])
def test_words_wrap_whole(terminal, api, columns):
    words = ["alpha", "beta", "gamma", "delta"] * 12
    api.reply = [w + " " for w in words]
    t = terminal(columns=columns)
    os.write(t.fd, b"x\r")
    screen = ["" for _ in range(200)]
    row = col = 0
    got = t.until(b"Send a message").split(b"\033[1G")[-1].split(b"\033[?2004h")[0]  # spinner, prompt
    for m in re.finditer(rb"\033\[(\d*)([A-Za-z])|\033\[\?2004[hl]|(.)", got, re.S):
        if m.group(2) == b"D":
            col -= int(m.group(1) or 1)
        elif m.group(2) == b"K":
            screen[row] = screen[row][:col]
        elif m.group(3) == b"\n":
            row += 1
        elif m.group(3) == b"\r":
            col = 0
        elif m.group(3):
            screen[row] = screen[row][:col] + m.group(3).decode()
            col += 1
            assert col <= columns
    lines = [line.split() for line in screen[:screen.index("")]]
    assert [w for line in lines for w in line] == words
    assert (len(lines) > 1) == (columns < 200 or len(" ".join(words)) > 195)
