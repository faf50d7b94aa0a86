/* tests/tiny_model.c - small models with random weights (tests/tiny_model.h). */
#include "tests/tiny_model.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "gguf/gguf.h"

enum { EMBD = 64, HEADS = 4, KV = 2, D = 16, FF = 128, FF_EXP = 96, VOCAB = 320 };

struct maker {
    struct gguf_writer *w;
    struct arena a;
    uint64_t x;
    int type;
    const struct tiny_model *t;
    struct err *e;
    int rc;
};

static bool dropped(const struct maker *m, const char *name)
{
    return m->t->drop && !strcmp(m->t->drop, name);
}

static float normal(struct maker *m) /* sum of uniforms: near enough */
{
    float s = 0;
    for (int i = 0; i < 4; i++) {
        m->x = m->x * 6364136223846793005u + 1442695040888963407u;
        s += (float)(m->x >> 40) * 0x1p-24f - 0.5f;
    }
    return s * 1.7f;
}

static void put_f16(uint8_t *p, float f)
{
    const _Float16 h = (_Float16)f;
    memcpy(p, &h, 2);
}

static void matrices(struct maker *m, const char *name, int copies, int rows, int cols,
                     float spread)
{
    if (dropped(m, name))
        return;
    if (m->t->halve && !strcmp(m->t->halve, name))
        rows /= 2;
    const int type = cols % 32 ? TYPE_F32 : m->type;
    const size_t n = (size_t)copies * (size_t)rows * (size_t)cols;
    const struct gguf_type_info *t = gguf_type_info((uint32_t)type);
    const size_t bytes = n / t->block_elems * t->block_bytes;
    uint8_t *data = arena_alloc(&m->a, bytes, 64);
    /* Powers of two: dividing by them and multiplying the product loses nothing. */
    float *by = arena_alloc(&m->a, (size_t)copies * sizeof *by, 64);
    if (!data || !by) {
        m->rc = -1;
        return;
    }
    const bool scaled = m->t->scaled && strncmp(name, "token_embd", 10);
    for (int i = 0; i < copies; i++)
        by[i] = scaled ? 0.25f * (float)(1 << i % 3) : 1;
    for (size_t i = 0; i < n / t->block_elems; i++) {
        uint8_t *b = data + i * t->block_bytes;
        const float sd = spread / by[i * t->block_elems / ((size_t)rows * (size_t)cols)];
        if (type == TYPE_F32) {
            const float f = normal(m) * sd;
            memcpy(b, &f, 4);
            continue;
        }
        for (int k = 2; k < t->block_bytes; k++) {
            m->x = m->x * 6364136223846793005u + 1442695040888963407u;
            b[k] = (uint8_t)(m->x >> 56);
        }
        put_f16(b, sd / (type == TYPE_Q8_0 ? 73.9f : 4.6f));
    }
    const uint64_t dims[3] = {(uint64_t)cols, (uint64_t)rows, (uint64_t)copies};
    m->rc |= gguf_write_tensor(m->w, name, (uint32_t)type, copies > 1 ? 3 : 2, dims, data, m->e);
    if (!scaled)
        return;
    char beside[96];
    snprintf(beside, sizeof beside, "%.*s.scale", (int)strlen(name) - 7, name);
    const uint64_t n_scales[1] = {m->t->scaled > 1 ? 2 : (uint64_t)copies};
    m->rc |= gguf_write_tensor(m->w, beside, TYPE_F32, 1, n_scales, by, m->e);
}

static void matrix(struct maker *m, const char *name, int rows, int cols, float sd)
{
    matrices(m, name, 1, rows, cols, sd);
}

static void vector(struct maker *m, const char *name, int n, float mean)
{
    if (dropped(m, name))
        return;
    float *v = arena_alloc(&m->a, (size_t)n * sizeof *v, 64);
    if (!v) {
        m->rc = -1;
        return;
    }
    for (int i = 0; i < n; i++)
        v[i] = mean + 0.1f * normal(m);
    if (m->t->nan && !strcmp(name, "output_norm.weight"))
        v[n / 2] = NAN;
    const uint64_t dims[1] = {(uint64_t)n};
    m->rc |= gguf_write_tensor(m->w, name, TYPE_F32, 1, dims, v, m->e);
}

static void u32(struct maker *m, const char *arch, const char *key, uint32_t v)
{
    char k[96];
    snprintf(k, sizeof k, "%s%s%s", arch, *arch ? "." : "", key);
    if (dropped(m, k))
        return;
    if (m->t->set_key && !strcmp(m->t->set_key, k))
        v = m->t->set_value;
    m->rc |= gguf_write_scalar(m->w, k, GGUF_U32, &v, m->e);
}

static void text(struct maker *m, const char *key, const char *s)
{
    m->rc |= gguf_write_text(m->w, key, (struct text){s, strlen(s)}, m->e);
}

static void vocabulary(struct maker *m)
{
    static char names[VOCAB][24];
    struct text tokens[VOCAB];
    float scores[VOCAB];
    int32_t types[VOCAB];
    static const char *const words[] = {"\xe2\x96\x81the", "\xe2\x96\x81" "a", "th", "he", "in",
                                        "er", "an", "on", "\xe2\x96\x81", "to"};
    for (int i = 0; i < VOCAB; i++) {
        scores[i] = -(float)i;
        types[i] = 1;
        if (i < 3) {
            static const char *const special[] = {"<unk>", "<s>", "</s>"};
            snprintf(names[i], sizeof names[i], "%s", special[i]);
            types[i] = i ? 3 : 2;
        } else if (i < 259) {
            snprintf(names[i], sizeof names[i], "<0x%02X>", i - 3);
            types[i] = 6;
        } else if (i < 261) {
            snprintf(names[i], sizeof names[i], i == 259 ? "<|im_start|>" : "<|im_end|>");
            types[i] = 3;
        } else if (i < 261 + 10) {
            snprintf(names[i], sizeof names[i], "%s", words[i - 261]);
        } else {
            snprintf(names[i], sizeof names[i], "w%d", i);
        }
        tokens[i] = (struct text){names[i], strlen(names[i])};
    }
    text(m, "tokenizer.ggml.model", "llama");
    m->rc |= gguf_write_texts(m->w, "tokenizer.ggml.tokens", tokens, VOCAB, m->e);
    m->rc |= gguf_write_array(m->w, "tokenizer.ggml.scores", GGUF_F32, scores, VOCAB, m->e);
    m->rc |= gguf_write_array(m->w, "tokenizer.ggml.token_type", GGUF_I32, types, VOCAB, m->e);
    u32(m, "", "tokenizer.ggml.bos_token_id", 1);
    u32(m, "", "tokenizer.ggml.eos_token_id", 2);
    const uint8_t no = 0;
    m->rc |= gguf_write_scalar(m->w, "tokenizer.ggml.add_space_prefix", GGUF_BOOL, &no, m->e);
}

int tiny_model_write(const char *path, const struct tiny_model *t, struct err *e)
{
    const char *arch = t->arch ? t->arch : "llama";
    const bool gemma = !strcmp(arch, "gemma3"), head_norms = gemma || !strcmp(arch, "qwen3moe");
    const int ff_exp = strcmp(arch, "qwen3moe") ? FF : FF_EXP;
    const int layers = t->n_layer ? t->n_layer : 2;
    const int n_ff = t->n_ff ? t->n_ff : FF;
    struct maker m = {.x = t->seed * 2654435761u + 1, .type = t->type, .t = t, .e = e};
    m.w = gguf_writer_new(e);
    if (!m.w)
        return -1;
    text(&m, "general.architecture", arch);
    text(&m, "general.name", "tiny");
    u32(&m, "", "general.file_type", t->type == TYPE_Q8_0 ? 7 : t->type == TYPE_Q4_0 ? 2 : 0);
    u32(&m, arch, "block_count", (uint32_t)layers);
    u32(&m, arch, "context_length", (uint32_t)(t->n_ctx ? t->n_ctx : 512));
    u32(&m, arch, "embedding_length", EMBD);
    u32(&m, arch, "feed_forward_length", (uint32_t)n_ff);
    u32(&m, arch, "attention.head_count", HEADS);
    u32(&m, arch, "attention.head_count_kv", KV);
    if (t->n_expert) {
        u32(&m, arch, "expert_count", (uint32_t)t->n_expert);
        u32(&m, arch, "expert_used_count", 2);
        u32(&m, arch, "expert_feed_forward_length", FF_EXP);
    }
    if (gemma) {
        u32(&m, arch, "attention.key_length", D);
        u32(&m, arch, "attention.value_length", D);
        u32(&m, arch, "attention.sliding_window", 70);
    }
    const float eps = 1e-5f;
    char key[96];
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", arch);
    m.rc |= gguf_write_scalar(m.w, key, GGUF_F32, &eps, e);
    vocabulary(&m);
    if (t->chat_template)
        text(&m, "tokenizer.chat_template", t->chat_template);

    matrix(&m, "token_embd.weight", VOCAB, EMBD, 1);
    vector(&m, "output_norm.weight", EMBD, 1);
    matrix(&m, "output.weight", VOCAB, EMBD, 0.35f);
    for (int il = 0; il < layers; il++) {
        const struct { const char *name; int rows, cols; } mats[] = {
            {"attn_q", HEADS * D, EMBD}, {"attn_k", KV * D, EMBD}, {"attn_v", KV * D, EMBD},
            {"attn_output", EMBD, HEADS * D}, {"ffn_gate", n_ff, EMBD}, {"ffn_up", n_ff, EMBD},
            {"ffn_down", EMBD, n_ff}};
        for (size_t i = 0; i < (t->n_expert ? 4 : sizeof mats / sizeof mats[0]); i++) {
            snprintf(key, sizeof key, "blk.%d.%s.weight", il, mats[i].name);
            matrix(&m, key, mats[i].rows, mats[i].cols,
                   (t->calm ? 0.3f : 1.5f) / sqrtf((float)mats[i].cols));
        }
        const struct { const char *name; int copies, rows, cols; } experts[] = {
            {"ffn_gate_inp", 1, t->n_expert, EMBD}, {"ffn_gate_exps", t->n_expert, ff_exp, EMBD},
            {"ffn_up_exps", t->n_expert, ff_exp, EMBD}, {"ffn_down_exps", t->n_expert, EMBD, ff_exp}};
        for (size_t i = 0; t->n_expert && i < sizeof experts / sizeof experts[0]; i++) {
            snprintf(key, sizeof key, "blk.%d.%s.weight", il, experts[i].name);
            matrices(&m, key, experts[i].copies, experts[i].rows, experts[i].cols,
                     1.5f / sqrtf((float)experts[i].cols));
        }
        const char *const norms[] = {"attn_norm", "ffn_norm", "post_attention_norm",
                                     "post_ffw_norm", "attn_q_norm", "attn_k_norm"};
        for (int i = 0; i < 6; i++) {
            if ((i == 2 || i == 3) ? !gemma : i > 3 && !head_norms)
                continue;
            snprintf(key, sizeof key, "blk.%d.%s.weight", il, norms[i]);
            vector(&m, key, i < 4 ? EMBD : D, 1);
        }
    }
    if (!m.rc) {
        const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        if (fd < 0)
            m.rc = err_set(e, ERR_IO, "the tiny model cannot be written");
        else {
            m.rc = gguf_writer_finish(m.w, fd, NULL, NULL, e);
            close(fd);
        }
    }
    gguf_writer_free(m.w);
    arena_free(&m.a);
    return m.rc;
}
