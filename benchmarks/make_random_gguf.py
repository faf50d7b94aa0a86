"""Writes a GGUF file of the llama architecture with random weights, for measuring speed.

    python3 benchmarks/make_random_gguf.py --type Q4_K_M --out /tmp/1b-q4km.gguf
    python3 benchmarks/make_random_gguf.py --shape tiny --n-layer 2 --type F16 --out tiny.gguf

Speed depends on shapes and types only, so that no download is needed. The weights have the usual
spread (standard deviation 1/sqrt(row length)), so that activations stay finite and no CPU meets
subnormal numbers. The blocks of a tensor repeat a few MB of random ones: larger than any inner cache, and
quick to write. Types by tensor are those of llama.cpp's recipes. The vocabulary is a loadable
SentencePiece one: control tokens, 256 byte tokens, letters, made-up words. Needs numpy.
"""
import argparse
import struct
import sys

import numpy as np

U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9

# name: (type id, values of a block, bytes of a block, byte offset of the scale, of the minimum or None,
#        spread: standard deviation of random codes at scale 1, minimum that centres them at scale 1)
TYPES = {
    "F32": (0, 1, 4, None, None, 0, 0),
    "F16": (1, 1, 2, None, None, 0, 0),
    "Q4_0": (2, 32, 18, 0, None, 4.609, 0),
    "Q5_0": (6, 32, 22, 0, None, 9.233, 0),
    "Q8_0": (8, 32, 34, 0, None, 73.9, 0),
    "Q4_K": (12, 256, 144, 0, 2, 262.68, 7.5),
    "Q6_K": (14, 256, 210, 208, None, 1365.0, 0),
}
# recipe: (matrices, attn_v and ffn_down of some layers, head, general.file_type)
RECIPES = {
    "Q4_0": ("Q4_0", "Q4_0", "Q6_K", 2),
    "Q4_K_M": ("Q4_K", "Q6_K", "Q6_K", 15),
    "Q8_0": ("Q8_0", "Q8_0", "Q8_0", 7),
    "F16": ("F16", "F16", "F16", 1),
    "F32": ("F32", "F32", "F32", 0),
}
# where rows are not whole blocks, as llama.cpp does
FALLBACK = {"Q4_K": "Q5_0", "Q6_K": "Q8_0", "Q4_0": "F16", "Q5_0": "F16", "Q8_0": "F16"}

SHAPES = {
    "tiny": dict(n_embd=256, n_layer=4, n_ff=768, n_head=8, n_head_kv=4, n_vocab=2048, tied=True),
    "1b": dict(n_embd=2048, n_layer=16, n_ff=8192, n_head=32, n_head_kv=8, n_vocab=128256, tied=True),
    "3b": dict(n_embd=3072, n_layer=28, n_ff=8192, n_head=24, n_head_kv=8, n_vocab=128256, tied=True),
    "8b": dict(n_embd=4096, n_layer=32, n_ff=14336, n_head=32, n_head_kv=8, n_vocab=128256, tied=False),
}
TILE_BYTES = 8 << 20
ALIGNMENT = 32


def text(s):
    b = s.encode("utf-8")
    return struct.pack("<Q", len(b)) + b


def entry(key, kind, value):
    if kind == STRING:
        body = text(value)
    else:
        body = struct.pack({U32: "<I", F32: "<f", BOOL: "<?"}[kind], value)
    return text(key) + struct.pack("<I", kind) + body


def array(key, elem, n, body):
    return text(key) + struct.pack("<IIQ", ARRAY, elem, n) + body


def vocabulary(n):
    """n different tokens with their types: 2 unknown, 3 control, 6 byte, 1 normal."""
    if n < 512:
        sys.exit("--n-vocab must be 512 or more")
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in range(256)]
    types = [2, 3, 3] + [6] * 256
    words = ["\u2581"] + [chr(c) for c in range(33, 127)]
    syllables = [a + b for a in "ktpsmnlrdbgvzf" for b in "aeiou"]
    parts = [""]
    while len(words) < n:       # one syllable, two, three, ...; each at the start of a word too
        parts = [p + s for p in parts for s in syllables]
        for p in parts:
            words += ["\u2581" + p, p]
    tokens += words[:n - len(tokens)]
    return tokens, types + [1] * (n - len(types))


def metadata(a, recipe):
    tokens, types = vocabulary(a.n_vocab)
    scores = np.zeros(a.n_vocab, "<f4")
    scores[259:] = -np.arange(a.n_vocab - 259)
    head_dim = a.head_dim or a.n_embd // a.n_head
    kv = [
        entry("general.architecture", STRING, "llama"),
        entry("general.type", STRING, "model"),
        entry("general.name", STRING, "random weights"),
        entry("general.file_type", U32, RECIPES[recipe][3]),
        entry("general.quantization_version", U32, 2),
        entry("llama.vocab_size", U32, a.n_vocab),
        entry("llama.context_length", U32, a.n_ctx),
        entry("llama.embedding_length", U32, a.n_embd),
        entry("llama.block_count", U32, a.n_layer),
        entry("llama.feed_forward_length", U32, a.n_ff),
        entry("llama.attention.head_count", U32, a.n_head),
        entry("llama.attention.head_count_kv", U32, a.n_head_kv),
        entry("llama.attention.layer_norm_rms_epsilon", F32, 1e-5),
        entry("llama.rope.freq_base", F32, 500000.0),
        entry("llama.rope.dimension_count", U32, head_dim),
        entry("tokenizer.ggml.model", STRING, "llama"),
        entry("tokenizer.ggml.pre", STRING, "default"),
        array("tokenizer.ggml.tokens", STRING, len(tokens), b"".join(text(t) for t in tokens)),
        array("tokenizer.ggml.scores", F32, len(scores), scores.tobytes()),
        array("tokenizer.ggml.token_type", I32, len(types), np.array(types, "<i4").tobytes()),
        entry("tokenizer.ggml.bos_token_id", U32, 1),
        entry("tokenizer.ggml.eos_token_id", U32, 2),
        entry("tokenizer.ggml.unknown_token_id", U32, 0),
        entry("tokenizer.ggml.add_bos_token", BOOL, True),
        entry("tokenizer.ggml.add_eos_token", BOOL, False),
    ]
    if head_dim * a.n_head != a.n_embd:
        kv += [entry("llama.attention.key_length", U32, head_dim),
               entry("llama.attention.value_length", U32, head_dim)]
    return kv


def more_bits(il, n_layer):
    """The layers that recipes called _M give more bits: the first and last eighth, and every third."""
    return il < n_layer // 8 or il >= 7 * n_layer // 8 or (il - n_layer // 8) % 3 == 2


def tensors(a, recipe):
    """(name, shape with the row length first, type)"""
    base, more, head, _ = RECIPES[recipe]
    head_dim = a.head_dim or a.n_embd // a.n_head
    n_q, n_kv = a.n_head * head_dim, a.n_head_kv * head_dim
    rows = [("token_embd.weight", (a.n_embd, a.n_vocab), head if a.tied else base)]
    for il in range(a.n_layer):
        m = more if more_bits(il, a.n_layer) else base
        rows += [(f"blk.{il}.{name}.weight", shape, t) for name, shape, t in (
            ("attn_norm", (a.n_embd,), "F32"),
            ("attn_q", (a.n_embd, n_q), base),
            ("attn_k", (a.n_embd, n_kv), base),
            ("attn_v", (a.n_embd, n_kv), m),
            ("attn_output", (n_q, a.n_embd), base),
            ("ffn_norm", (a.n_embd,), "F32"),
            ("ffn_gate", (a.n_embd, a.n_ff), base),
            ("ffn_up", (a.n_embd, a.n_ff), base),
            ("ffn_down", (a.n_ff, a.n_embd), m))]
    rows.append(("output_norm.weight", (a.n_embd,), "F32"))
    if not a.tied:
        rows.append(("output.weight", (a.n_embd, a.n_vocab), head))
    out = []
    for name, shape, t in rows:
        while shape[0] % TYPES[t][1]:
            t = FALLBACK[t]
        out.append((name, shape, t))
    return out


def n_bytes(shape, t):
    _, values, size, *_ = TYPES[t]
    n = 1
    for d in shape:
        n *= d
    return n // values * size


def make_tile(rng, t, std):
    """About TILE_BYTES of blocks of random codes whose values have that standard deviation."""
    _, values, size, at_scale, at_min, spread, centre = TYPES[t]
    n = TILE_BYTES // size | 1           # odd: rows do not start at the same block again and again
    if t in ("F32", "F16"):
        return (rng.standard_normal(n, np.float32) * np.float32(std)).astype(
            "<f4" if t == "F32" else "<f2").tobytes()
    b = rng.integers(0, 256, (n, size), np.uint8)
    scale = std / spread * rng.uniform(0.75, 1.25, n) * rng.choice([-1.0, 1.0], n)
    scale = scale.astype("<f2")
    b[:, at_scale:at_scale + 2] = scale.view(np.uint8).reshape(n, 2)
    if at_min is not None:
        low = (scale.astype(np.float32) * centre).astype("<f2")
        b[:, at_min:at_min + 2] = low.view(np.uint8).reshape(n, 2)
    return b.tobytes()


def write_tensor(f, rng, tiles, shape, t):
    size = n_bytes(shape, t)
    if len(shape) == 1:
        f.write((1 + 0.05 * rng.standard_normal(shape[0])).astype("<f4").tobytes())
        return
    key = t, shape[0]
    if key not in tiles:
        tiles[key] = make_tile(rng, t, shape[0] ** -0.5)
    tile, block = tiles[key], TYPES[t][2]
    at = int(rng.integers(0, len(tile) // block)) * block    # each tensor starts elsewhere
    view = memoryview(tile)
    while size:
        n = min(size, len(tile) - at)
        f.write(view[at:at + n])
        size -= n
        at = 0


def write(path, a, recipe):
    kv, rows = metadata(a, recipe), tensors(a, recipe)
    head = [b"GGUF", struct.pack("<IQQ", 3, len(rows), len(kv))] + kv
    offset = 0
    for name, shape, t in rows:
        head.append(text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, TYPES[t][0], offset))
        offset += -(-n_bytes(shape, t) // ALIGNMENT) * ALIGNMENT
    head = b"".join(head)
    rng, tiles = np.random.default_rng(a.seed), {}
    with open(path, "wb") as f:
        f.write(head + bytes(-len(head) % ALIGNMENT))
        for _, shape, t in rows:
            write_tensor(f, rng, tiles, shape, t)
            f.write(bytes(-n_bytes(shape, t) % ALIGNMENT))
        return f.tell(), len(rows)


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--shape", choices=SHAPES, default="1b")
    p.add_argument("--type", choices=RECIPES, default="Q4_0")
    p.add_argument("--out", required=True)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--n-ctx", type=int, default=131072, help="trained context that the file claims")
    for name in ("n-embd", "n-layer", "n-ff", "n-head", "n-head-kv", "head-dim", "n-vocab"):
        p.add_argument("--" + name, type=int, help="instead of the shape's")
    p.add_argument("--tied", action=argparse.BooleanOptionalAction, default=None,
                   help="no output.weight: the embedding is the head")
    a = p.parse_args()
    for name, value in SHAPES[a.shape].items():
        if getattr(a, name) is None:
            setattr(a, name, value)
    if min(a.n_embd, a.n_layer, a.n_ff, a.n_head, a.n_head_kv) < 1 or a.n_head % a.n_head_kv:
        sys.exit("sizes must be 1 or more, and --n-head a multiple of --n-head-kv")
    if not a.head_dim and a.n_embd % a.n_head:
        sys.exit("--n-embd must be a multiple of --n-head, or give --head-dim")
    size, n = write(a.out, a, a.type)
    print(f"{a.out}: {size} bytes, {n} tensors")


if __name__ == "__main__":
    main()
