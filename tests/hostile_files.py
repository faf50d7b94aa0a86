"""tests/hostile_files.py - wrong GGUF files, made from right ones: the cases of run_hostile.py.

A right file is taken apart (keys, tensors, data), changed in one place, and put together again; or
its bytes are cut and flipped. Every case is (name, a function that makes the bytes, want). want is
None (anything that is no crash), "ok" (a right file all the same), "nan" (it loads, but has no
answer), or a word that the error of a load must hold. Seeds are fixed, so a case has the same bytes
in every run.
"""
import random
import struct

U8, I8, U16, I16, U32, I32, F32, BOOL, STR, ARR, U64, I64, F64 = range(13)
FORMS = {
    U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "B", U64: "Q",
    I64: "q", F64: "d"
}


def text(s):
    b = s if isinstance(s, bytes) else s.encode()
    return struct.pack("<Q", len(b)) + b


class Arr:
    """An array: element kind and items; `n` may lie about the length."""

    def __init__(self, kind, items, n=None):
        self.kind, self.items, self.n = kind, list(items), n

    def pack(self):
        body = b"".join(value_bytes(self.kind, x) for x in self.items)
        return struct.pack("<IQ", self.kind, len(self.items) if self.n is None else self.n) + body


def value_bytes(kind, v):
    if isinstance(v, Arr):
        return v.pack()
    return text(v) if kind == STR else struct.pack("<" + FORMS[kind], v)


class Tensor:

    def __init__(self, name, dims, kind, data):
        self.name, self.dims, self.kind, self.data = name, list(dims), kind, data
        self.offset = None  # a lie about where it is


class File:
    """A GGUF file in parts."""

    def __init__(self, data):
        self.borders = []
        self.at, self.raw = 0, data
        self.magic, self.version = self.take(4), self.number(U32)
        n_tensors, n_keys = self.number(U64), self.number(U64)
        self.keys = {}
        for _ in range(n_keys):
            key = self.string()
            kind = self.number(U32)
            self.keys[key] = (kind, self.value(kind))
        heads = []
        for _ in range(n_tensors):
            name = self.string()
            dims = [self.number(U64) for _ in range(self.number(U32))]
            heads.append((name, dims, self.number(U32), self.number(U64)))
        self.data_at = start = (self.at + 31) // 32 * 32
        self.borders.append(start)
        ends = sorted([h[3] for h in heads] + [len(data) - start])
        self.tensors = []
        for name, dims, kind, offset in heads:
            self.borders.append(start + offset)
            stop = ends[ends.index(offset) + 1]
            self.tensors.append(Tensor(name, dims, kind, data[start + offset:start + stop]))
        self.n_keys = self.n_tensors = None  # lies about the counts

    def take(self, n):
        self.borders.append(self.at)
        self.at += n
        return self.raw[self.at - n:self.at]

    def number(self, kind):
        return struct.unpack("<" + FORMS[kind], self.take(struct.calcsize(FORMS[kind])))[0]

    def string(self):
        return self.take(self.number(U64)).decode()

    def value(self, kind):
        if kind == STR:
            return self.string()
        if kind != ARR:
            return self.number(kind)
        elem, n = self.number(U32), self.number(U64)
        return Arr(elem, [self.value(elem) for _ in range(n)])

    def pack(self, extra_keys=b"", n_extra=0):
        out = bytearray(self.magic + struct.pack("<I", self.version))
        n_tensors = len(self.tensors) if self.n_tensors is None else self.n_tensors
        n_keys = len(self.keys) + n_extra if self.n_keys is None else self.n_keys
        out += struct.pack("<QQ", n_tensors, n_keys)
        for key, (kind, value) in self.keys.items():
            out += text(key) + struct.pack("<I", kind) + value_bytes(kind, value)
        out += extra_keys
        offset = 0
        for t in self.tensors:
            at = offset if t.offset is None else t.offset
            out += text(t.name) + struct.pack(f"<I{len(t.dims)}QIQ", len(t.dims), *t.dims, t.kind,
                                              at)
            offset += (len(t.data) + 31) // 32 * 32
        out += bytes(-len(out) % 32)
        for t in self.tensors:
            out += t.data + bytes(-len(t.data) % 32)
        return bytes(out)

    def tensor(self, name):
        return next(t for t in self.tensors if t.name == name)


NAN, INF = float("nan"), float("inf")
ODD = [("text", STR, "many"), ("empty", STR, ""), ("zero", U32, 0), ("max", U32, 0xffffffff),
       ("minus", I32, -1), ("u8", U8, 1), ("nan", F32, NAN), ("inf", F32, INF), ("-inf", F64, -INF),
       ("1e308", F64, 1e308), ("half", F32, 0.5), ("true", BOOL, 1), ("list", ARR, Arr(U32,
                                                                                       [1, 2])),
       ("empty list", ARR, Arr(U32, [])), ("texts", ARR, Arr(STR, ["a"])), ("2^63", U64, 1 << 63),
       ("-2^63", I64, -(1 << 63)), ("65536", U32, 65536), ("nans", ARR, Arr(F32, [NAN, NAN])),
       ("denormal", F64, 5e-324), ("three", U32, 3)]
MORE_KEYS = [
    "attention.key_length", "attention.value_length", "rope.dimension_count", "vocab_size",
    "expert_count", "rope.freq_base", "rope.scale_linear", "rope.scaling.factor",
    "rope.scaling.original_context_length", "rope.scaling.attn_factor", "rope.scaling.type",
    "rope.scaling.yarn_beta_fast", "rope.scaling.yarn_beta_slow"
]
GEMMA_KEYS = [
    "attention.sliding_window", "attention.sliding_window_pattern", "rope.freq_base_swa",
    "final_logit_softcapping", "attention.key_length"
]
TOKEN_KEYS = [
    "bos_token_id", "eos_token_id", "eot_token_id", "unknown_token_id", "padding_token_id",
    "add_bos_token", "add_eos_token", "add_space_prefix", "pre", "merges", "token_type", "scores",
    "model", "tokens", "precompiled_charsmap", "remove_extra_whitespaces"
]


def with_bytes(data, places):

    def make():
        b = bytearray(data)
        for at, byte in places.items():
            b[at] = byte
        return bytes(b)

    return make


def cut_and_flipped(name, data, n_random):
    """Cut at every border of the structure and at random places; single bits flipped."""
    f = File(data)
    rng = random.Random(name)
    cuts = {b + d for b in f.borders for d in (-1, 0, 1) if 0 < b + d < len(data)}
    cuts = sorted(cuts)
    # Borders inside long lists of tokens look alike: some of them stand for all.
    cuts = cuts[:60] + rng.sample(cuts[60:], min(60, len(cuts[60:])))
    cuts += [rng.randrange(len(data)) for _ in range(n_random)]
    for c in cuts:
        yield f"{name}: cut at {c}", lambda c=c: data[:c], None
    heads = f.data_at
    parts = {
        "counts": (0, 24), "header": (24, heads), "infos": (heads - 1200, heads),
        "data": (heads, len(data))
    }
    for part, (lo, hi) in parts.items():
        for _ in range(n_random):
            bit = rng.randrange(lo * 8, hi * 8)
            yield f"{name}: {part}, bit {bit} flipped", with_bytes(
                data, {bit // 8: data[bit // 8] ^ 1 << bit % 8}), None
    for _ in range(n_random):
        places = {
            rng.randrange(24, heads): rng.choice((0, 1, 0x7f, 0x80, 0xff, rng.randrange(256)))
            for _ in range(20)
        }
        yield f"{name}: twenty bytes of the header at random", with_bytes(data, places), None


def odd_keys(name, data, keys):
    for key in keys:
        for what, kind, value in ODD:
            yield f"{name}: {key} = {what}", changed(
                data, lambda f, k=key, v=(kind, value): f.keys.update({k: v})), None


def changed(data, fn):

    def make():
        f = File(data)
        out = fn(f)
        return out if isinstance(out, bytes) else f.pack()

    return make


TEMPLATES = {
    "loops for ever": "{% for i in range(100000) %}{% for j in range(100000) %}x"
    "{% endfor %}{% endfor %}",
    "a huge range": "{% for i in range(10**18) %}x{% endfor %}{{ range(4000000000)|list|length }}",
    "a huge repeat": "{{ 'ab' * 1000000000 }}{{ ('x' * 99999) * 99999 }}",
    "calls itself": "{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}",
    "grows by itself": "{% set ns = namespace(s='x') %}{% for i in range(60) %}"
    "{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s }}",
    "deep brackets": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "deep lists": "{{ " + "[" * 20000 + "]" * 20000 + " }}",
    "deep ifs": "{% if 1 %}" * 3000 + "{% endif %}" * 3000,
    "deep minus": "{{ " + "-" * 100000 + "1 }}",
    "deep not": "{{ " + "not " * 50000 + "1 }}",
    "a long chain": "{{ x" + ".a" * 50000 + " }}",
    "filters": "{{ 'x'" + "|upper" * 20000 + " }}",
    "not closed": "{% for i in x %}",
    "not closed either": "{{ 'abc",
    "only a tag": "{%",
    "attribute walk": "{{ ''.__class__.__mro__[1].__subclasses__() }}{{ messages.__init__ }}",
    "cycler": "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "raises": "{{ raise_exception('no, " + "y" * 5000 + "') }}",
    "divides by zero": "{{ 1 / 0 }}{{ 1 % 0 }}",
    "least by minus one": "{{ (-9223372036854775807 - 1) // -1 }}"
    "{{ (-9223372036854775807 - 1) % -1 }}",
    "power": "{{ 9 ** 9 ** 9 ** 9 }}",
    "format": "{{ '%999999999d' % 1 }}{{ '%s%s%s%n' % 'x' }}",
    "indent": "{{ ('a\n' * 9999)|indent(99999999) }}",
    "center": "{{ 'x'|center(2000000000) }}",
    "replace": "{{ ('a' * 99999).replace('a', 'b' * 99999) }}",
    "join": "{{ (range(99999)|list)|join('y' * 99999) }}",
    "tojson of itself": "{% set a = [] %}{% set _ = a.append(a) %}{{ a }}{{ a|tojson }}",
    "tojson indent": "{{ [[[[1]]]]|tojson(indent=999999999) }}",
    "slice": "{{ 'abc'[::-9223372036854775808] }}{{ 'abc'[9223372036854775807:] }}{{ [1][::0] }}",
    "index": "{{ 'abc'[-9223372036854775808] }}{{ [1, 2][9999999999999999999] }}",
    "strftime": "{{ strftime_now('%" + "Y" * 3000 + "') }}",
    "empty": "",
    "spaces": " " * 200000,
}


def templates(data):
    for what, source in TEMPLATES.items():
        yield f"template: {what}", changed(
            data, lambda f, s=source: f.keys.update({"tokenizer.chat_template": (STR, s)})), None
    for what, source in (("not UTF-8", b"{{ '\xff\xfe' }}\xc3("), ("NUL", b"a\0b{{ 1 }}\0"),
                         ("long", b"x" * (2 << 20))):
        yield f"template: {what}", changed(
            data, lambda f, s=source: f.keys.update({"tokenizer.chat_template": (STR, s)})), None


def by_hand(data, arch):
    """One lie each. `want` where the answer must name it."""

    def case(name, fn, want=None):
        return f"{arch}: {name}", changed(data, fn), want

    def key(k, kind, v):
        return lambda f: f.keys.update({k: (kind, v)})

    A = arch + "."
    n_vocab = 320
    yield case("unchanged", lambda f: None, "ok")
    for n in (1 << 16, (1 << 16) + 1, 1 << 32, 1 << 60, (1 << 64) - 1):
        yield case(f"{n} tensors", lambda f, n=n: setattr(f, "n_tensors", n), "")
        yield case(f"{n} keys", lambda f, n=n: setattr(f, "n_keys", n), "")
    yield case("no tensors", lambda f: f.tensors.clear(), "token_embd.weight")
    yield case("no keys", lambda f: f.keys.clear(), "general.architecture")
    for v in (0, 1, 4, 0x03000000, 0xffffffff):
        yield case(f"version {v}", lambda f, v=v: setattr(f, "version", v), "version")
    for m in (b"GGML", b"gguf", b"FUGG", b"PK\3\4"):
        yield case(f"magic {m}", lambda f, m=m: setattr(f, "magic", m), "not a GGUF file")
    for a in (0, 1, 3, 7, 64, 1 << 16, 1 << 17, 1 << 31):
        yield case(f"alignment {a}", key("general.alignment", U32, a))
    for a in ("", "x", "LLAMA", "a" * 100, "a\0b", "llama\0", "\x1b[31m", b"\xff\xfe", "lla%n%s%n"):
        yield case(f"architecture {a!r}", key("general.architecture", STR, a))
    # Long and odd keys, many keys, nested and huge lists.
    for k in ("k" * 65535, "k" * 65536, "k" * (1 << 20), "", "a\0b", b"\xff" * 30,
              "x" + ".y" * 9999):
        yield case(f"key of {len(k)} bytes, {k[:3]!r}",
                   lambda f, k=k: f.pack(text(k) + struct.pack("<IB", 0, 1), 1))
    yield case(
        "60000 keys",
        lambda f: f.pack(b"".join(text(f"x{i}") + struct.pack("<IB", 0, 1)
                                  for i in range(60000)), 60000), "ok")
    yield case(
        "70000 keys",
        lambda f: f.pack(b"".join(text(f"x{i}") + struct.pack("<IB", 0, 1)
                                  for i in range(70000)), 70000), "keys")
    nested = struct.pack("<IQ", ARR, 1) * 5000 + struct.pack("<IQ", U8, 0)
    yield case("nested lists", lambda f: f.pack(text("n") + struct.pack("<I", ARR) + nested, 1),
               "array")
    for n in (1 << 24, (1 << 24) + 1, 1 << 40, 1 << 61, (1 << 64) - 1):
        for kind in (U8, F64, STR):
            yield case(f"a list of {n} of kind {kind} that is not there",
                       lambda f, n=n, kind=kind: f.keys.update(z=(ARR, Arr(kind, [], n))),
                       "")
    yield case("a list of kind 99", lambda f: f.keys.update(z=(ARR, Arr(99, []))), "99")
    yield case("kind 77", lambda f: f.pack(text("z") + struct.pack("<IB", 77, 1), 1), "77")
    yield case("a bool of 7", lambda f: f.keys.update(z=(BOOL, 7)), None)
    yield case("a key twice",
               lambda f: f.pack(text("general.name") + struct.pack("<I", STR) + text("x"), 1),
               "twice")
    yield case("a string longer than the file",
               lambda f: f.pack(text("z") + struct.pack("<IQ", STR, 1 << 62), 1), "")
    # Hyperparameters that do not fit each other.
    for k in ("block_count", "context_length", "embedding_length", "feed_forward_length",
              "attention.head_count", "attention.layer_norm_rms_epsilon"):
        yield case(f"no {k}", lambda f, k=k: f.keys.pop(A + k), k)
    for n in (0, 1, 3, 511, 512, 513):
        yield case(f"{n} layers", key(A + "block_count", U32, n), None if n == 1 else "")
    for n in (0, 3, 8, 64, 1024, 1025):
        yield case(f"{n} heads", key(A + "attention.head_count", U32, n))
        yield case(f"{n} kv heads", key(A + "attention.head_count_kv", U32, n))
    for n in (1, 2, 3, 4, 5):
        yield case(f"context of {n}", key(A + "context_length", U32, n))
    yield case("context of 4 Mi", key(A + "context_length", U32, 4 << 20), "ok")
    for n in (0, 1, 3, 15, 17, 18, 1024, 1025):
        yield case(f"rope of {n}", key(A + "rope.dimension_count", U32, n))
        yield case(f"key length {n}", key(A + "attention.key_length", U32, n))
        yield case(f"value length {n}", key(A + "attention.value_length", U32, n))
    for v in (0.0, -1.0, 1e-30, 1e-7, 1e7, NAN, INF):
        for kind in ("linear", "yarn", "none", "longrope", "zigzag", ""):

            def scaling(f, v=v, kind=kind):
                f.keys[A + "rope.scaling.type"] = (STR, kind)
                f.keys[A + "rope.scaling.factor"] = (F32, v)

            yield case(f"rope scaling {kind} by {v}", scaling,
                       "" if kind in ("longrope", "zigzag") else None)
    for base in (1.0, 1.0000001, 1e12, 0.0, -1.0, NAN, INF):

        def yarn(f, base=base):
            f.keys.update({
                A + "rope.scaling.type": (STR, "yarn"), A + "rope.scaling.factor": (F32, 4.0),
                A + "rope.freq_base": (F32, base),
                A + "rope.scaling.original_context_length": (U32, 1),
                A + "rope.scaling.yarn_beta_fast": (F32, 1e6),
                A + "rope.scaling.yarn_beta_slow": (F32, 1e-6)
            })

        yield case(f"yarn with base {base}", yarn)
    for n in (0, 1, 2, 63, 64, 65, 1 << 30, (1 << 30) + 1, 0xffffffff):
        yield case(f"window {n}", key(A + "attention.sliding_window", U32, n))
    # The vocabulary.
    yield case("no tokens", lambda f: f.keys.pop("tokenizer.ggml.tokens"), "tokenizer.ggml.tokens")
    yield case("no vocabulary",
               lambda f: [f.keys.pop(k) for k in list(f.keys) if k.startswith("tokenizer")],
               "tokenizer")
    for n in (1, 2, n_vocab - 1, n_vocab + 1, 5000):

        def tokens(f, n=n):
            f.keys["tokenizer.ggml.tokens"] = (ARR, Arr(STR, [f"t{i}" for i in range(n)]))
            f.keys["tokenizer.ggml.scores"] = (ARR, Arr(F32, [0.0] * n))
            f.keys["tokenizer.ggml.token_type"] = (ARR, Arr(I32, [1] * n))

        yield case(f"{n} tokens", tokens, "token" if n > n_vocab else None)

        def with_size(f, n=n):
            tokens(f, n)
            f.keys[A + "vocab_size"] = (U32, n_vocab)

        yield case(f"{n} tokens, vocab_size right", with_size, "token" if n > n_vocab else None)
    for n in (1, n_vocab - 1, n_vocab + 1, 1 << 21):
        yield case(f"vocab_size {n}", key(A + "vocab_size", U32, n), "")
    yield case("empty tokens", key("tokenizer.ggml.tokens", ARR, Arr(STR, [""] * n_vocab)))
    yield case("equal tokens", key("tokenizer.ggml.tokens", ARR, Arr(STR, ["a"] * n_vocab)))
    yield case(
        "tokens not UTF-8",
        key("tokenizer.ggml.tokens", ARR,
            Arr(STR, [bytes([0xff, i & 255, i >> 8]) for i in range(n_vocab)])))
    yield case(
        "tokens with NUL",
        key("tokenizer.ggml.tokens", ARR,
            Arr(STR, [b"\0" + bytes([i & 255, i >> 8]) for i in range(n_vocab)])))
    yield case("a token of 8 MiB",
               lambda f: f.keys["tokenizer.ggml.tokens"][1].items.__setitem__(300, "y" * (8 << 20)))
    yield case("tokens are numbers", key("tokenizer.ggml.tokens", ARR, Arr(U32, range(n_vocab))),
               "tokens")
    yield case(
        "byte tokens odd", lambda f: f.keys["tokenizer.ggml.tokens"][1].items.__setitem__(
            slice(3, 259), [f"<0x{i:X}G>" for i in range(256)]))
    for v in (NAN, INF, -INF, 3e38):
        yield case(f"scores {v}", key("tokenizer.ggml.scores", ARR, Arr(F32, [v] * n_vocab)))
    yield case("few scores", key("tokenizer.ggml.scores", ARR, Arr(F32, [0.0])), "scores")
    yield case("scores as text", key("tokenizer.ggml.scores", ARR, Arr(STR, ["1"] * n_vocab)),
               "scores")
    for v in (-1, 0, 7, 99, 1 << 30):
        yield case(f"token types {v}", key("tokenizer.ggml.token_type", ARR,
                                           Arr(I32, [v] * n_vocab)))
    for i in (-1, n_vocab, n_vocab + 1, 1 << 31, (1 << 32) - 1):
        for k in ("bos", "eos", "eot", "unknown", "padding"):
            yield case(f"{k} is {i}", key(f"tokenizer.ggml.{k}_token_id", I64, i))
    for model in ("gpt2", "llama", "bert", "t5", "rwkv", "none", "no_vocab", "", "x" * 300):
        yield case(f"tokenizer {model[:9]}", key("tokenizer.ggml.model", STR, model))
    for what, merges in (("none", []), ("no space", ["ab"]), ("unknown halves", ["q z"]),
                         ("empty", [""]), ("spaces", ["   "]),
                         ("result missing", ["t h", "w311 w312"]), ("bytes", [b"\xff \xfe"]),
                         ("twice", ["t h"] * 9), ("many", [f"w{i} w{i + 1}" for i in range(300)]),
                         ("long", ["x" * 100000 + " " + "y" * 100000])):

        def bpe(f, merges=merges):
            f.keys["tokenizer.ggml.model"] = (STR, "gpt2")
            f.keys["tokenizer.ggml.pre"] = (STR, "llama-bpe")
            f.keys["tokenizer.ggml.merges"] = (ARR, Arr(STR, merges))

        yield case(f"merges {what}", bpe)
    yield case(
        "merges are numbers", lambda f: (f.keys.update({
            "tokenizer.ggml.model": (STR, "gpt2"), "tokenizer.ggml.merges": (ARR, Arr(U32, [1]))
        }), None)[1])
    yield case(
        "pre unknown", lambda f: f.keys.update(
            {"tokenizer.ggml.model": (STR, "gpt2"), "tokenizer.ggml.pre": (STR, "zigzag")}))
    # Tensors.
    emb = "token_embd.weight"
    for t in File(data).tensors:
        if "blk.1" in t.name:
            continue
        yield case(f"no {t.name}",
                   lambda f, n=t.name: f.tensors.remove(f.tensor(n)),
                   None if t.name == "output.weight" else t.name)
        if t.kind == 0:
            for what, v in (("NaN", NAN), ("inf", INF), ("-inf", -INF), ("zero", 0.0),
                            ("huge", 3e38), ("tiny", 1e-45)):
                yield case(f"{t.name} is {what}",
                           lambda f, n=t.name, v=v: setattr(
                               f.tensor(n), "data",
                               struct.pack("<f", v) * (len(f.tensor(n).data) // 4)),
                           "nan" if what == "NaN" else None)
        else:
            for b in (0x00, 0x7c, 0x7e, 0xfc, 0xff):
                yield case(f"{t.name} is {b:#x}",
                           lambda f, n=t.name, b=b: setattr(f.tensor(n), "data",
                                                            bytes([b]) * len(f.tensor(n).data)))
        yield case(f"{t.name} turned", lambda f, n=t.name: f.tensor(n).dims.reverse())
    for dims in ([0, 320], [64, 0], [64], [320, 64], [1, 64, 320], [64, 320, 1, 1], [64, 320, 2],
                 [], [1] * 5, [1 << 32, 1 << 32], [1 << 63, 2], [
                     (1 << 64) - 32, 1
                 ], [32, (1 << 59) + 1], [64, 320, 1 << 62], [65, 320], [64, 1 << 40]):
        yield case(f"{emb} has dims {dims}",
                   lambda f, d=dims: setattr(f.tensor(emb), "dims", list(d)),
                   "ok" if dims == [64, 320, 1, 1] else "")
    for kind in list(range(45)) + [99, 1 << 31, 0xffffffff]:
        yield case(f"{emb} has type {kind}", lambda f, k=kind: setattr(f.tensor(emb), "kind", k))
        yield case(f"attn_norm has type {kind}",
                   lambda f, k=kind: setattr(f.tensor("blk.0.attn_norm.weight"), "kind", k))
    for at in (1, 31, 32, 1 << 20, 1 << 40, (1 << 64) - 32, (1 << 63)):
        yield case(f"{emb} at {at}", lambda f, at=at: setattr(f.tensor(emb), "offset", at), "")
    yield case("all tensors at 0", lambda f: [setattr(t, "offset", 0) for t in f.tensors],
               "overlap")
    yield case("a tensor twice", lambda f: f.tensors.append(f.tensors[0]), "twice")
    for n in ("", "x" * 63, "x" * 64, "x" * 5000, "a\0b", b"\xff", "\x1b[2J"):
        yield case(f"a tensor called {n[:5]!r} of {len(n)}",
                   lambda f, n=n: f.tensors.append(Tensor(n, [1], 0, bytes(4))))
    yield case("rope_freqs of zeros",
               lambda f: f.tensors.append(Tensor("rope_freqs.weight", [8], 0, bytes(32))))
    yield case(
        "rope_freqs NaN", lambda f: f.tensors.append(
            Tensor("rope_freqs.weight", [8], 0, struct.pack("<8f", *[NAN] * 8))))
    yield case(
        "rope_freqs tiny", lambda f: f.tensors.append(
            Tensor("rope_freqs.weight", [8], 0, struct.pack("<8f", *[1e-45] * 8))))
    yield case(
        "attn_qkv too", lambda f:
        (f.tensors.append(Tensor("blk.0.attn_qkv.weight", [64, 128], 0, bytes(64 * 128 * 4))),
         f.tensors.remove(f.tensor("blk.0.attn_q.weight")), None)[2])
    yield case("split: 0 of 3",
               lambda f: f.keys.update({"split.no": (U16, 0), "split.count": (U16, 3)}))
    yield case("split: 9 of 3",
               lambda f: f.keys.update({"split.no": (U16, 9), "split.count": (U16, 3)}))


def odd_shapes():
    """Right files of odd sizes: heads of every width, one of everything, wide and flat."""

    def build(embd, heads, kv, d_k, d_v, ff, vocab, layers=1, ctx=64, rot=None, window=0):
        f = File.__new__(File)
        f.magic, f.version, f.n_keys, f.n_tensors = b"GGUF", 3, None, None
        arch = "gemma3" if window else "llama"
        A = arch + "."
        f.keys = {
            "general.architecture": (STR, arch), A + "block_count": (U32, layers),
            A + "context_length": (U32, ctx), A + "embedding_length": (U32, embd),
            A + "feed_forward_length": (U32, ff), A + "attention.head_count": (U32, heads),
            A + "attention.head_count_kv": (U32, kv), A + "attention.key_length": (U32, d_k),
            A + "attention.value_length": (U32, d_v),
            A + "rope.dimension_count": (U32, d_k // 2 * 2 if rot is None else rot),
            A + "attention.layer_norm_rms_epsilon": (F32, 1e-5), "tokenizer.ggml.model": (STR,
                                                                                          "llama"),
            "tokenizer.ggml.tokens": (ARR, Arr(STR, [f"t{i}" for i in range(vocab)])),
            "tokenizer.ggml.scores": (ARR, Arr(F32, [0.0] * vocab)),
            "tokenizer.ggml.token_type": (ARR, Arr(I32, [1] * vocab))
        }
        if window:
            f.keys[A + "attention.sliding_window"] = (U32, window)
        rng = random.Random(embd * 7 + d_k)
        words = [
            struct.pack("<256f", *[rng.uniform(-0.5, 0.5) for _ in range(256)]) for _ in range(8)
        ]

        def data(n):
            return (words[n % 8] * (n // 256 + 1))[:4 * n]

        f.tensors = [
            Tensor("token_embd.weight", [embd, vocab], 0, data(embd * vocab)),
            Tensor("output_norm.weight", [embd], 0, data(embd))
        ]
        for il in range(layers):
            p = f"blk.{il}."
            for n, cols, rows in (("attn_q", embd, heads * d_k), ("attn_k", embd, kv * d_k),
                                  ("attn_v", embd, kv * d_v), ("attn_output", heads * d_v, embd),
                                  ("ffn_gate", embd, ff), ("ffn_up", embd, ff), ("ffn_down", ff,
                                                                                 embd)):
                f.tensors.append(Tensor(p + n + ".weight", [cols, rows], 0, data(cols * rows)))
            for n in ["attn_norm", "ffn_norm"
                      ] + ["post_attention_norm", "post_ffw_norm"] * bool(window):
                f.tensors.append(Tensor(p + n + ".weight", [embd], 0, data(embd)))
            if window:
                for n in ("attn_q_norm", "attn_k_norm"):
                    f.tensors.append(Tensor(p + n + ".weight", [d_k], 0, data(d_k)))
        return f.pack()

    def make(*sizes, **more):
        return lambda: build(*sizes, **more)

    for d_k, d_v in ((1, 1), (2, 2), (3, 5), (4, 1), (5, 3), (6, 6), (7, 9), (12, 20), (15, 17),
                     (24, 8), (31, 33), (33, 31), (65, 63), (100, 7), (255, 257), (1, 1024),
                     (1024, 1), (1023, 1021), (1024, 1024)):
        yield f"heads of {d_k} and {d_v}", make(8, 2, 1, d_k, d_v, 8, 9), "ok"
    yield "one of everything", make(1, 1, 1, 1, 1, 1, 1), "ok"
    yield "two tokens", make(2, 1, 1, 2, 2, 2, 2), "ok"
    yield "no rope", make(8, 2, 2, 4, 4, 8, 9, rot=0), "ok"
    yield "1024 heads of 1", make(2, 1024, 1, 1, 1, 2, 3), "ok"
    yield "1024 heads, 1024 kv", make(2, 1024, 1024, 2, 2, 2, 3), "ok"
    yield "97 heads on one", make(4, 97, 1, 6, 6, 4, 9), "ok"
    yield "very wide", make(1, 1024, 1, 1024, 1024, 1, 3), "ok"
    yield "wide and many kv", make(1, 512, 512, 512, 512, 1, 3), "ok"
    yield "ff of a million", make(1, 1, 1, 2, 2, 1 << 20, 3), "ok"
    yield "embedding of 128 Ki", make(128 * 1024, 1, 1, 1, 1, 1, 2), None
    yield "512 layers", make(2, 1, 1, 2, 2, 2, 3, layers=512), "ok"
    yield "300000 tokens", make(1, 1, 1, 2, 2, 1, 300000), "ok"
    for ctx in (1, 2, 3, 4, 5, 8):
        yield f"a context of {ctx}, small", make(4, 1, 1, 4, 4, 4, 9, ctx=ctx), None
    for w in (1, 2, 3, 64, 65, 1 << 30):
        yield f"gemma, window {w}", make(4, 2, 1, 4, 4, 4, 9, layers=7, window=w, ctx=4096), "ok"
    yield "gemma of 62 layers, thin", make(1, 2, 1, 4, 4, 2, 9, layers=62, window=4), None


def all_cases(bases, quick=False):
    """bases: {(arch, type): bytes of a right file, with a chat template}."""
    n = 6 if quick else 25
    for (arch, kind), data in bases.items():
        yield from cut_and_flipped(f"{arch} {kind}", data, n if arch == "llama" else n // 3 + 1)
    llama, gemma = bases["llama", "F32"], bases["gemma3", "Q8_0"]
    keys = [k for k in File(llama).keys if k.startswith(("llama.", "general."))]
    yield from odd_keys("llama", llama, keys + ["llama." + k for k in MORE_KEYS])
    yield from odd_keys("llama", llama,
                        ["tokenizer.ggml." + k for k in TOKEN_KEYS] + ["tokenizer.chat_template"])
    yield from odd_keys("gemma3", gemma, ["gemma3." + k for k in GEMMA_KEYS])
    yield from by_hand(llama, "llama")
    yield from ((a, b, c) for a, b, c in by_hand(bases["qwen2", "Q8_0"], "qwen2"))
    yield from by_hand(gemma, "gemma3")
    yield from templates(llama)
    yield from odd_shapes()
