#!/usr/bin/env python3
"""Every door compiles alone, as C11 with all warnings: who includes it needs nothing before it.

    tests/headers.py CC [ARG...]     exit 1 and the compiler's words for each that does not
"""
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
ROOMS = ("gguf", "kernels", "engine", "http")
GROUND = ("base.h", "types.h")


def main():
    cc = sys.argv[1:] or ["cc"]
    failed = 0
    headers = sorted(h for room in ROOMS for h in (ROOT / room).rglob("*.h")
                     if h.stem == h.parent.name or h.name in GROUND)
    for h in headers:
        name = h.relative_to(ROOT).as_posix()
        done = subprocess.run(
            cc + ["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra",
                  "-Wno-unused-parameter", "-Wno-unused-function", "-Werror", "-fsyntax-only",
                  "-I", str(ROOT), "-x", "c", "-"],
            input=f'#include "{name}"\n#include "{name}"\n', text=True, capture_output=True)
        if done.returncode:
            failed += 1
            print(f"{name} does not compile alone:\n{done.stderr}")
    print(f"doors: {len(headers) - failed} of {len(headers)} compile alone")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
