#!/usr/bin/env python3
"""Make unicode_tables.h: general categories and scripts, for \\p{..} in patterns.

    pip install regex; python3 engine/grammar/make_unicode.py > engine/grammar/unicode_tables.h

The package `regex` carries the tables of Unicode. A category's entry is where a run of code points
begins; a script's are its ranges.
"""
import sys

import regex

LAST = 0x10FFFF
CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Cs Co Cn".split()
SCRIPTS = ("Latin Greek Cyrillic Armenian Hebrew Arabic Devanagari Bengali Tamil Telugu Thai Georgian Hangul "
           "Hiragana Katakana Han").split()


def lines(words):
    line = "   "
    for w in words:
        if len(line) + len(w) + 2 > 100:
            print(line)
            line = "   "
        line += " " + w + ","
    print(line)


def members(name):
    rx = regex.compile(r"\p{%s}" % name)
    return [bool(rx.match(chr(c))) for c in range(LAST + 1)]


def main():
    kind = [None] * (LAST + 1)
    for i, name in enumerate(CATEGORIES):
        for c, has in enumerate(members(name)):
            if has:
                kind[c] = i
    runs = ["0x%x" % (c << 5 | kind[c]) for c in range(LAST + 1) if not c or kind[c] != kind[c - 1]]
    print("/* engine/grammar/unicode_tables.h - Unicode's general categories and the scripts in use, for")
    print(" * \\p{..} in patterns. Made by make_unicode.py. The data are Unicode's (Unicode License V3,")
    print(" * https://www.unicode.org/license.txt, copyright 1991-2025 Unicode, Inc.). */")
    print("static const char category_names[][3] = {")
    lines('"%s"' % c for c in CATEGORIES)
    print("};\n/* code point << 5 | category, where a run begins */\nstatic const uint32_t category_runs[] = {")
    lines(runs)
    print("};")
    names = []
    print("/* ranges, one script behind the other */\nstatic const uint32_t script_ranges[] = {")
    at, words = 0, []
    for name in SCRIPTS:
        has = members("Script=" + name) + [False]
        for c in range(LAST + 2):
            if has[c] and (not c or not has[c - 1]):
                words.append("0x%x" % c)
            elif not has[c] and c and has[c - 1]:
                words.append("0x%x" % (c - 1))
        names.append('{"%s", %d}' % (name, len(words)))
    lines(words)
    print("};\nstatic const struct {\n    const char *name;\n    uint32_t end; /* in script_ranges */\n} scripts[] = {")
    lines(names)
    print("};")


sys.exit(main())
