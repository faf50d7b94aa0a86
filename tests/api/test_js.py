"""tests/api/test_js.py - the official JavaScript clients against the server (clients.md 3); the tests are in tests/js.

tests/run.sh installs the packages in build/js by `npm ci`; CHASKI_JS names another folder that has node_modules.
"""
import os
import re
import shutil
import subprocess

import pytest

from answers import FORMATS, make_models, template, with_template
from conftest import ROOT, binary, model_bytes

JS = ROOT / "tests" / "js"
MODULES = os.path.join(os.environ.get("CHASKI_JS", ROOT / "build" / "js"), "node_modules")
FILES = ["ollama", "openai", "anthropic", "browser"]
NODE = shutil.which("node")
if not NODE:
    pytest.skip("the JavaScript clients: no node", allow_module_level=True)
if not os.path.isdir(MODULES):
    pytest.skip(f"the JavaScript clients: no {MODULES}: npm ci of tests/js has not run", allow_module_level=True)
ENGINE = "fake" if binary()[1] else "real"
LINE = re.compile(r"^(both|fake|real)\('((?:[^'\\]|\\.)*)'", re.M)
TESTS = [(f, name.replace("\\'", "'")) for f in FILES for kind, name in LINE.findall((JS / f"{f}.js").read_text())
         if kind in ("both", ENGINE)]


@pytest.fixture(scope="module")
def results(server):
    """Runs a file once and gives what it says: name -> (ok?, text)."""
    if ENGINE == "fake":
        make_models(server)
    else:
        data = with_template(model_bytes(False), template(FORMATS["hermes"][0]))
        server.create("r-hermes", files={"m.gguf": server.put_blob(data)})
    seen = {}

    def run(name):
        if name not in seen:
            p = subprocess.run([NODE, JS / f"{name}.js"], capture_output=True, text=True, timeout=240,
                               env={**os.environ, "NODE_PATH": MODULES, "CHASKI_URL": server.url, "CHASKI_ENGINE": ENGINE})
            parts = re.split(r"^(ok|not ok) (.*)\n", p.stdout, flags=re.M)
            seen[name] = {n: (ok == "ok", why) for ok, n, why in zip(parts[1::3], parts[2::3], parts[3::3])}
            seen[name]["stderr"] = p.stderr
        return seen[name]

    return run


@pytest.mark.parametrize("file,name", TESTS)
def test_client(results, file, name):
    got = results(file)
    ok, why = got.get(name, (False, "it did not run:\n" + got["stderr"]))
    assert ok, why
