#!/usr/bin/env python3
"""tests/run_install.py BUILD - `meson install` in a folder of its own, and what lies there then.

Program, manual page, unit and socket, examples: are they there, do they run, are they right where a
program can say so (groff, systemd-analyze; a skip names what is missing).
"""
import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys
import tempfile

passed = failed = skipped = 0


def check(good, what):
    global passed, failed
    passed, failed = passed + bool(good), failed + (not good)
    if not good:
        print("FAILED:", what)


def skip(what):
    global skipped
    skipped += 1
    print("skipped:", what)


def run(*args, **more):
    return subprocess.run(args, capture_output=True, text=True, timeout=120, **more)


def option(build, name):
    out = run("meson", "introspect", "--buildoptions", build).stdout
    return re.search(r'"name": "%s", "value": "([^"]*)"' % name, out).group(1)


def main(build):
    with tempfile.TemporaryDirectory() as dest:
        p = run("meson", "install", "-C", build, "--no-rebuild", "--destdir", dest)
        check(p.returncode == 0, "meson install: " + p.stderr[-500:])
        prefix = option(build, "prefix")
        root = pathlib.Path(dest) / prefix.lstrip("/")
        program = root / "bin/chaski"
        files = {f.relative_to(root).as_posix() for f in root.rglob("*") if f.is_file()}
        for name in ["bin/chaski", "share/man/man1/chaski.1", "lib/systemd/system/chaski.service",
                     "lib/systemd/system/chaski.socket", "share/doc/chaski/README.md",
                     "share/doc/chaski/examples/chat.sh", "share/doc/chaski/examples/openai_client.py",
                     "share/doc/chaski/examples/chaski.env",
                     "share/doc/chaski/examples/prometheus.yml"]:
            check(name in files, f"{name} is installed")
        check(not [f for f in files if "test" in f or f.endswith((".a", ".h"))],
              f"nothing else: {sorted(files)}")
        check(os.access(program, os.X_OK), "the program may run")
        p = run(str(program), "--help")
        check(p.returncode == 0 and "serve" in p.stdout, "the program runs: " + p.stderr)
        check(os.access(root / "share/doc/chaski/examples/chat.sh", os.X_OK), "chat.sh may run")

        man = root / "share/man/man1/chaski.1"
        if shutil.which("groff"):
            p = run("groff", "-man", "-ww", "-Tutf8", str(man))
            check(p.returncode == 0 and not p.stderr, "groff: " + p.stderr)
        else:
            skip("the manual page: no groff")
        text = man.read_text()
        for word in re.findall(r"^  (\w+)  ", run(str(program), "--help").stdout, re.M):
            check(word == "help" or word in text, f"the manual page names {word}")
        for name in re.findall(r"^ +(CHASKI_\w+)", run(str(program), "serve", "--help").stdout, re.M):
            check(name in text, f"the manual page names {name}")

        unit = root / "lib/systemd/system/chaski.service"
        check(f"ExecStart={prefix}/bin/chaski serve" in unit.read_text(), "the unit starts the program")
        if shutil.which("systemd-analyze"):
            # It looks for the program; the manual page it cannot find here.
            copy = pathlib.Path(dest) / "chaski.service"
            copy.write_text("\n".join(x for x in unit.read_text().replace(f"{prefix}/bin", str(root / "bin"))
                                      .splitlines() if not x.startswith("Documentation=")))
            shutil.copy(root / "lib/systemd/system/chaski.socket", dest)
            p = run("systemd-analyze", "verify", str(copy))
            check(p.returncode == 0 and "chaski" not in p.stderr, "systemd-analyze: " + p.stderr)
        else:
            skip("the unit: no systemd-analyze")
        check(not stat.S_IMODE(program.stat().st_mode) & 0o022, "nobody else may write the program")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
