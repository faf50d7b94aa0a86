#!/usr/bin/env python3
"""Write unicode_tables.h for unicode.c from Python's own character data.

    make_unicode.py > unicode_tables.h

Python is the reference of the template language, so its str methods are the source of every
table: classes as runs of equal bits, case maps as runs of equal distance and stride, and maps
to several characters one by one.
"""
import sys
import unicodedata

N = 0x110000


def bits(cp):
    if 0xD800 <= cp < 0xE000:
        return 0
    ch = chr(cp)
    return (ch.isalpha() | ch.isupper() << 1 | ch.islower() << 2 | ch.isdigit() << 3 |
            ch.isnumeric() << 4 | ch.isprintable() << 5 | ch.istitle() << 6 | ch.isdecimal() << 7)


def classes():
    runs, start, last = [], 0, bits(0)
    for cp in range(1, N + 1):
        b = bits(cp) if cp < N else None
        if b != last:
            if last:
                runs.append((start, cp - 1, last))
            start, last = cp, b
    return runs


def case(name):
    one, many = [], []
    for cp in range(N):
        if 0xD800 <= cp < 0xE000:
            continue
        to = getattr(chr(cp), name)()
        if len(to) > 1:
            many.append((cp, [ord(c) for c in to] + [0] * (3 - len(to))))
        elif ord(to) != cp:
            one.append((cp, ord(to) - cp))
    runs = []
    for cp, delta in one:
        r = runs[-1] if runs else None
        if r and r[3] == delta and (r[2] == 0 and cp - r[1] <= 2 or r[2] == cp - r[1]):
            r[2] = cp - r[1]
            r[1] = cp
        else:
            runs.append([cp, cp, 0, delta])
    return [(a, b, s or 1, d) for a, b, s, d in runs], many


def table(head, rows):
    print(head + " = {")
    line = "   "
    for row in rows:
        item = " {" + ", ".join(row) + "},"
        if len(line) + len(item) > 100:
            print(line)
            line = "   "
        line += item
    print(line)
    print("};\n")


print("/* engine/chat/unicode_tables.h - made by make_unicode.py from Unicode %s; not for hands. */"
      % unicodedata.unidata_version)
print("// clang-format off")
table("static const struct { uint32_t from, to; uint8_t bits; } classes[]",
      [("0x%x" % a, "0x%x" % b, str(c)) for a, b, c in classes()])
for name in ("upper", "lower", "title"):
    runs, many = case(name)
    table("static const struct run %s_runs[]" % name,
          [("0x%x" % a, "0x%x" % b, str(s), str(d)) for a, b, s, d in runs])
    table("static const struct many %s_many[]" % name,
          [("0x%x" % cp, "{" + ", ".join("0x%x" % t for t in to) + "}") for cp, to in many])
ignorable = []
for cp in range(N):
    if unicodedata.category(chr(cp)) in ("Mn", "Me", "Cf", "Lm", "Sk") or cp in (
            0x27, 0x2E, 0x3A, 0xB7, 0x387, 0x55F, 0x5F4, 0x2018, 0x2019, 0x2024, 0x2027, 0xFE13,
            0xFE52, 0xFE55, 0xFF07, 0xFF0E, 0xFF1A):
        if ignorable and ignorable[-1][1] == cp - 1:
            ignorable[-1][1] = cp
        else:
            ignorable.append([cp, cp])
table("static const struct { uint32_t from, to; } ignorable[]",
      [("0x%x" % a, "0x%x" % b) for a, b in ignorable])
sys.exit(0)
