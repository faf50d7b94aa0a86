#!/usr/bin/env python3
"""Write wordpiece_tables.h for wordpiece.c: what BERT's normaliser does with each character.

    make_wordpiece.py > wordpiece_tables.h        (wants the PyPI package "tokenizers")

The library with which these models are trained and used is the reference, so its normaliser and
pre-tokenizer are asked about every code point. (Its character data is older than today's Unicode in
places; a model knows the characters as it was shown them.)
"""
import tokenizers
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def step(**on):
    return BertNormalizer(**{k: on.get(k, False) for k in ("clean_text", "handle_chinese_chars",
                                                           "strip_accents", "lowercase")})


def changed(normalizer):
    return {c: n for c in POINTS if (n := normalizer.normalize_str(chr(c))) != chr(c)}


def ranges(points):
    out = []
    for c in sorted(points):
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def strides(one):
    """[from, to, step, delta]: runs of characters with the same distance to their image"""
    out = []
    for c, to in sorted(one.items()):
        r = out[-1] if out else None
        if r and r[3] == to - c and (r[2] == 0 and c - r[1] <= 2 or r[2] == c - r[1]):
            r[2], r[1] = c - r[1], c
        else:
            out.append([c, c, 0, to - c])
    return [[a, b, s or 1, d] for a, b, s, d in out]


def table(head, rows, signed=()):
    print(f"{head} = {{")
    line = "   "
    for row in rows:
        item = " {" + ", ".join(str(x) if i in signed else hex(x) for i, x in enumerate(row)) + "},"
        if len(line) + len(item) > 100:
            print(line)
            line = "   "
        line += item
    print(line + "\n};")


def main():
    cleaned = changed(step(clean_text=True))
    accents = changed(step(strip_accents=True))
    lower = changed(step(lowercase=True))
    cut = BertPreTokenizer().pre_tokenize_str
    alone = [c for c in POINTS if [p for p, _ in cut(f"a{chr(c)}b")] == ["a", chr(c), "b"]]
    cjk = changed(step(handle_chinese_chars=True))
    hangul = range(0xAC00, 0xD7A4)  # by arithmetic, in wordpiece.c
    accents = {c: to for c, to in accents.items() if c not in hangul}
    assert {v for v in cleaned.values()} == {"", " "}
    assert {c: v for c, v in lower.items() if len(v) != 1} == {0x130: "i\u0307"}  # in wordpiece.c
    print(f"/* engine/tokenizer/wordpiece_tables.h - made by make_wordpiece.py from tokenizers "
          f"{tokenizers.__version__}; not for\n * hands. */\n// clang-format off")
    table("static const struct span dropped[]", ranges(c for c, v in cleaned.items() if not v))
    table("static const struct span blanks[]", ranges([0x20] + [c for c, v in cleaned.items() if v]))
    table("static const struct span ideographs[]", ranges(cjk))
    table("static const struct span punctuation[]", ranges(alone))
    table("static const struct span marks[]", ranges(c for c, v in accents.items() if not v))
    table("static const struct {\n    uint32_t cp, to;\n} bare[]",
          [[c, ord(v)] for c, v in accents.items() if len(v) == 1])
    table("static const struct {\n    uint32_t cp, first, second, third; /* 0: none */\n} parts[]",
          [[c, *map(ord, v), *[0] * (3 - len(v))] for c, v in accents.items() if len(v) > 1])
    table("static const struct {\n    uint32_t from, to, step;\n    int32_t delta;\n} lower[]",
          strides({c: ord(v) for c, v in lower.items() if len(v) == 1}), signed=(2, 3))
    print("// clang-format on")


main()
