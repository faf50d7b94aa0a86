#!/usr/bin/env python3
"""all-MiniLM-L6-v2 for tests: its GGUF from its safetensors, and its vectors by a program of its own.

    minilm.py gguf OUT.gguf [--f16]        write the model (wants the PyPI package "gguf")
    minilm.py reference OUT.json           write tests/data/minilm/vectors.json

The files are those of CHASKI_CACHE/models/minilm (the shared data's fetch.py brings them). The
reference is the paper in float64 with numpy, on the ids of the library that the model was trained
with (PyPI package "tokenizers"): independent of everything in this repository.
"""
import base64
import json
import math
import os
import sys
import numpy as np

FOLDER = os.path.join(os.path.expanduser(os.environ.get("CHASKI_CACHE") or "~/.cache/chaski"),
                      "models", "minilm")
NAMES = (("embeddings.word_embeddings", "token_embd"), ("embeddings.position_embeddings", "position_embd"),
         ("embeddings.token_type_embeddings", "token_types"), ("embeddings.LayerNorm", "token_embd_norm"),
         ("encoder.layer.", "blk."), ("attention.self.query", "attn_q"), ("attention.self.key", "attn_k"),
         ("attention.self.value", "attn_v"), ("attention.output.dense", "attn_output"),
         ("attention.output.LayerNorm", "attn_output_norm"), ("intermediate.dense", "ffn_up"),
         ("output.dense", "ffn_down"), ("output.LayerNorm", "layer_output_norm"))


def is_there():
    return os.path.exists(os.path.join(FOLDER, "model.safetensors"))


def tensors():
    """GGUF name -> float32 array"""
    with open(os.path.join(FOLDER, "model.safetensors"), "rb") as f:
        data = f.read()
    n = int.from_bytes(data[:8], "little")
    out = {}
    for name, t in json.loads(data[8:8 + n]).items():
        if name == "__metadata__" or name.startswith("pooler.") or name.endswith("position_ids"):
            continue
        assert t["dtype"] == "F32", (name, t["dtype"])
        a, b = t["data_offsets"]
        for old, new in NAMES:
            name = name.replace(old, new)
        out[name] = np.frombuffer(data[8 + n + a:8 + n + b], "<f4").reshape(t["shape"])
    return out


def read(name):
    with open(os.path.join(FOLDER, name), encoding="utf-8") as f:
        return f.read()


def write_gguf(path, f16=False):
    import gguf
    config, w = json.loads(read("config.json")), gguf.GGUFWriter(path, "bert")
    w.add_name("all-MiniLM-L6-v2")
    w.add_file_type(1 if f16 else 0)
    w.add_context_length(config["max_position_embeddings"])
    w.add_embedding_length(config["hidden_size"])
    w.add_block_count(config["num_hidden_layers"])
    w.add_feed_forward_length(config["intermediate_size"])
    w.add_head_count(config["num_attention_heads"])
    w.add_layer_norm_eps(config["layer_norm_eps"])
    w.add_causal_attention(False)
    w.add_pooling_type(gguf.PoolingType.MEAN)
    words = read("vocab.txt").rstrip("\n").split("\n")
    control = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
    w.add_tokenizer_model("bert")
    w.add_token_type_count(2)
    w.add_token_list([t if t in control else t[2:] if t.startswith("##") else "\u2581" + t for t in words])
    w.add_token_types([3 if t in control else 1 for t in words])
    for key, token in (("unk", "[UNK]"), ("sep", "[SEP]"), ("pad", "[PAD]"), ("bos", "[CLS]"), ("mask", "[MASK]")):
        getattr(w, f"add_{key}_token_id")(words.index(token))
    for name, t in tensors().items():
        small = f16 and t.ndim == 2 and name not in ("position_embd.weight", "token_types.weight")
        w.add_tensor(name, t.astype("<f2") if small else t)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


class Paper:
    """The forward pass in float64."""

    def __init__(self):
        self.w = {k: v.astype(np.float64) for k, v in tensors().items()}
        self.config = json.loads(read("config.json"))
        self.erf = np.vectorize(math.erf)

    def norm(self, x, name):
        d = x - x.mean(-1, keepdims=True)
        r = np.sqrt((d * d).mean(-1, keepdims=True) + self.config["layer_norm_eps"])
        return d / r * self.w[name + ".weight"] + self.w[name + ".bias"]

    def lin(self, x, name):
        return x @ self.w[name + ".weight"].T + self.w[name + ".bias"]

    def vector(self, ids):
        n, heads = len(ids), self.config["num_attention_heads"]
        x = self.w["token_embd.weight"][ids] + self.w["token_types.weight"][0] + self.w["position_embd.weight"][:n]
        x = self.norm(x, "token_embd_norm")
        for i in range(self.config["num_hidden_layers"]):
            b = f"blk.{i}."
            q, k, v = (self.lin(x, b + "attn_" + c).reshape(n, heads, -1).swapaxes(0, 1) for c in "qkv")
            s = q @ k.swapaxes(1, 2) / math.sqrt(q.shape[-1])
            s = np.exp(s - s.max(-1, keepdims=True))
            a = (s / s.sum(-1, keepdims=True)) @ v
            x = self.norm(x + self.lin(a.swapaxes(0, 1).reshape(n, -1), b + "attn_output"), b + "attn_output_norm")
            h = self.lin(x, b + "ffn_up")
            h = 0.5 * h * (1 + self.erf(h / math.sqrt(2)))
            x = self.norm(x + self.lin(h, b + "ffn_down"), b + "layer_output_norm")
        y = x.mean(0)
        return y / np.sqrt((y * y).sum())


def texts():
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "minilm",
                           "texts.json"), encoding="utf-8") as f:
        return json.load(f)


def write_reference(path):
    from tokenizers import Tokenizer
    tok = Tokenizer.from_file(os.path.join(FOLDER, "tokenizer.json"))
    tok.no_padding()
    tok.enable_truncation(512)
    paper, rows = Paper(), []
    for text in texts():
        ids = tok.encode(text).ids
        v = paper.vector(ids).astype("<f4")
        rows.append({"n": len(ids), "vector": base64.b64encode(v.tobytes()).decode()})
    with open(path, "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(r) for r in rows) + "\n]\n")


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in ("gguf", "reference"):
        sys.exit(__doc__)
    if not is_there():
        sys.exit(f"{FOLDER} is not there")
    if sys.argv[1] == "gguf":
        write_gguf(sys.argv[2], "--f16" in sys.argv)
    else:
        write_reference(sys.argv[2])
