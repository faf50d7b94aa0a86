#!/usr/bin/env python3
"""The house rules that a program can check: rooms, doors, first comments, forbidden calls.

    tests/house.py [ROOT]     exit 1 and one line for each breach
    tests/house.py --sizes    the longest files, for a look now and then

Rooms open one way (tools -> http -> engine -> kernels -> gguf). Of another room only its door may
be included: room/room.h, or room/sub/sub.h for the parts of the engine.
"""
import pathlib
import re
import sys

BELOW = {  # room -> rooms whose doors it may open
    "gguf": set(),
    "kernels": {"gguf"},
    "engine": {"kernels", "gguf"},
    "http": {"engine", "gguf"},
    "tools": {"http", "engine", "kernels", "gguf"},
}
GROUND = {"gguf/base.h", "gguf/types.h"}  # what everybody stands on
SUB_ROOMS = {"engine/tokenizer", "engine/chat", "engine/grammar", "engine/store", "engine/make"}
OUTSIDE = {"tests", "benchmarks"}  # they may look anywhere
LONG = 900  # lines; past this a second idea lives in a file. Tables of numbers are exempt:
TABLES = re.compile(r"(_tables?|tables|unicode|codebook|grids?)[a-z_]*\.[ch]$")

TOP = {"engine", "kernels", "gguf", "http", "tests", "benchmarks", "tools", "README.md", "LICENSE",
       "meson.build", "meson_options.txt"}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', re.M)
# what a room below tools/ may not call, and where it may all the same
FORBIDDEN = [
    (re.compile(r"(?<![\w.>])(abort|exit|_exit|quick_exit)\s*\("), "ends the process", set()),
    (re.compile(r"(?<![\w.>])(printf|vprintf|puts|putchar|perror)\s*\("), "prints", set()),
    (re.compile(r"(?<![\w.>])v?fprintf\s*\(\s*(stdout|stderr)\b"), "prints", {"gguf/log.c"}),
    (re.compile(r"(?<![\w.>])(getenv|secure_getenv|setenv|putenv)\s*\("),
     "reads the environment", {"engine/store/path.c", "engine/store/store.c", "engine/store/root.c"}),
    (re.compile(r"(?<![\w.>])(strcat|sprintf|vsprintf|gets|alloca)\s*\("),
     "knows no end of its buffer", set()),
]
STRINGS_AND_COMMENTS = re.compile(
    r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def bare(text):
    """The code without comments and strings, with its line numbers kept."""
    return STRINGS_AND_COMMENTS.sub(lambda m: "\n" * m.group().count("\n") + " ", text)


def sub_room(path):
    return next((s for s in SUB_ROOMS if path.startswith(s + "/")), None)


def is_door(inc):  # a/a.h, a/b/b.h
    parts = inc.split("/")
    return len(parts) > 1 and parts[-1] == parts[-2] + ".h"


def include_breaches(path, room, text):
    for inc in INCLUDE.findall(text):
        other = inc.split("/")[0]
        if "/" not in inc:
            yield f'{path}: "{inc}": write the path from the root'
        elif inc in GROUND:
            continue
        elif other == room:
            inside = sub_room(inc)
            if inside and inside != sub_room(path) and not is_door(inc):
                yield f'{path}: "{inc}": not a door of {inside}'
        elif other not in BELOW[room]:
            yield f'{path}: "{inc}": {room} may not use {other}'
        elif not is_door(inc):
            yield f'{path}: "{inc}": not a door of {other}'


def call_breaches(path, text):
    code = bare(text)
    for pattern, why, allowed in FORBIDDEN:
        if path in allowed:
            continue
        for m in pattern.finditer(code):
            line = code.count("\n", 0, m.start()) + 1
            yield f"{path}:{line}: {m.group().strip(' (')} {why}"


def layout_breaches(root):
    """What decides the packed bytes must be in the name of the layout (kernels/meson.build)."""
    kernels = root / "kernels"
    meson = kernels / "meson.build"
    named = meson.read_text() if meson.exists() else ""
    for file in sorted([*kernels.glob("layout*.h"), *kernels.glob("ref/pack*.[ch]")]):
        name = file.relative_to(kernels).as_posix()
        listed = named.partition("layout_id = ''")[2].partition("configure_file")[0]
        if f"'{name}'" not in listed:
            yield f"kernels/{name}: not in the list of layout_id in kernels/meson.build"


def breaches(root):
    yield from layout_breaches(root)
    for file in sorted(root.rglob("*.[chS]")):
        path = file.relative_to(root).as_posix()
        room = path.split("/")[0]
        if room.startswith((".", "build")) or room not in BELOW | dict.fromkeys(OUTSIDE):
            continue
        text = file.read_text(errors="replace")
        if not text.lstrip().startswith(("/*", "//")):
            yield f"{path}: opens without a comment that says what it is"
        n_lines = text.count("\n")
        if n_lines > LONG and not TABLES.search(path):
            yield f"{path}: {n_lines} lines: which second idea lives in it?"
        if room in OUTSIDE:
            continue
        yield from include_breaches(path, room, text)
        if room != "tools":
            yield from call_breaches(path, text)
    for file in sorted(root.rglob("*.py")):
        path = file.relative_to(root).as_posix()
        if path.startswith((".", "build")):
            continue
        if '"""' not in file.read_text(errors="replace")[:400]:
            yield f"{path}: opens without a docstring that says what it is"


def main():
    args = [a for a in sys.argv[1:] if a != "--sizes"]
    root = pathlib.Path(args[0] if args else pathlib.Path(__file__).parent.parent).resolve()
    if "--sizes" in sys.argv:
        sizes = sorted(((f.read_text(errors="replace").count("\n"), f.relative_to(root).as_posix())
                        for f in root.rglob("*.[ch]") if "/build" not in f.as_posix()), reverse=True)
        for n, path in sizes[:20]:
            print(f"{n:6} {path}")
        return 0
    found = list(breaches(root))
    found += ["%s: not a place of the top level" % p.name for p in sorted(root.iterdir())
              if not p.name.startswith((".", "build")) and p.name not in TOP]
    print("\n".join(found) or "house: every include goes through a door")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
