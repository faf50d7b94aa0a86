/* engine/model/hparams.c - hyperparameters from the metadata, by table, with ranges.
 *
 * Facts: the keys and defaults that GGUF files of these families use. Ranges are the limits of
 * what chaski takes from a stranger's file: a value outside is an error that names the key. */
#include "engine/model/model.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_LAYERS = 512, MAX_HEADS = 1024, MAX_EMBD = 128 * 1024, MAX_VOCAB = 2 << 20,
       MAX_CTX = 4 << 20, MAX_FF = 1 << 20, MAX_HEAD_VALUES = ATTEND_MAX_D, MAX_EXPERTS = 1024,
       MAX_EXPERTS_USED = 128 };

static const struct hp_key common[] = {
    HP_INT("block_count", n_layer, HP_MUST, 1, MAX_LAYERS),
    HP_INT("embedding_length", n_embd, HP_MUST, 1, MAX_EMBD),
    HP_INT("context_length", n_ctx, HP_MUST, 1, MAX_CTX),
    HP_INT("feed_forward_length", n_ff, HP_MUST, 1, MAX_FF),
    HP_INT("attention.head_count", n_head, HP_MUST, 1, MAX_HEADS),
    HP_INT("attention.head_count_kv", n_head_kv, HP_MAY, 1, MAX_HEADS),
    HP_INT("attention.key_length", d_k, HP_MAY, 1, MAX_HEAD_VALUES),
    HP_INT("attention.value_length", d_v, HP_MAY, 1, MAX_HEAD_VALUES),
    HP_INT("rope.dimension_count", n_rot, HP_MAY, 0, MAX_HEAD_VALUES),
    HP_INT("expert_count", n_expert, HP_MAY, 0, MAX_EXPERTS),
    HP_INT("expert_used_count", n_expert_used, HP_MAY, 0, MAX_EXPERTS_USED),
    HP_INT("vocab_size", n_vocab, HP_MAY, 1, MAX_VOCAB),
    HP_INT("pooling_type", pooling, HP_MAY, POOL_NONE, POOL_RANK),
    HP_DOUBLE("rope.freq_base", rope_base, HP_MAY, 1, 1e12),
    HP_DOUBLE("rope.scale_linear", rope_factor, HP_MAY, 1e-6, 1e6), /* the old name */
    HP_DOUBLE("rope.scaling.factor", rope_factor, HP_MAY, 1e-6, 1e6),
    HP_DOUBLE("rope.scaling.original_context_length", rope_orig_ctx, HP_MAY, 1, MAX_CTX),
    HP_DOUBLE("rope.scaling.attn_factor", rope_attn_factor, HP_MAY, 1e-6, 1e6),
    HP_DOUBLE("rope.scaling.yarn_beta_fast", yarn_beta_fast, HP_MAY, 1e-6, 1e6),
    HP_DOUBLE("rope.scaling.yarn_beta_slow", yarn_beta_slow, HP_MAY, 1e-6, 1e6),
    {0},
};

static const struct hp_key decoders[] = {
    HP_REAL("attention.layer_norm_rms_epsilon", rms_eps, HP_MUST, 0, 1),
    {0},
};

/* A number, or an array (one value a layer) whose values are all the same. */
static int number(const struct gguf *g, const char *key, double *out, struct err *e)
{
    const struct gguf_value *v = gguf_find(g, key);
    if (!v)
        return 0;
    if (v->kind != GGUF_ARRAY)
        return gguf_get_f64(g, key, out, e);
    if (!v->n)
        return err_set(e, ERR_INPUT, "key \"%s\" is an empty array, a number is wanted", key);
    if (v->n > MAX_LAYERS)
        return err_set(e, ERR_LIMIT, "key \"%s\" has %" PRIu64 " values, at most %d are allowed",
                       key, v->n, MAX_LAYERS);
    for (uint64_t i = 0; i < v->n; i++) {
        double x;
        if (gguf_value_f64_at(v, i, &x, e))
            return -1;
        if (i && x != *out)
            return err_set(e, ERR_UNSUPPORTED,
                           "key \"%s\" differs from layer to layer, which is not supported", key);
        *out = x;
    }
    return 1;
}

static int read_keys(const struct gguf *g, struct hparams *hp, const struct hp_key *t,
                     struct err *e)
{
    for (; t && t->key; t++) {
        char key[160];
        snprintf(key, sizeof key, "%s.%s", hp->arch, t->key);
        double x = 0;
        const int rc = number(g, key, &x, e);
        if (rc < 0)
            return -1;
        if (!rc) {
            if (t->must)
                return err_set(e, ERR_INPUT, "key \"%s\" is missing", key);
            continue;
        }
        if (!(x >= t->lo && x <= t->hi) || (t->kind == HP_I32 && x != floor(x)))
            return err_set(e, ERR_INPUT, "key \"%s\" is %g, it must be %s from %g to %g", key, x,
                           t->kind == HP_I32 ? "a whole number" : "a number", t->lo, t->hi);
        char *field = (char *)hp + t->offset;
        if (t->kind == HP_I32)
            *(int32_t *)(void *)field = (int32_t)x;
        else if (t->kind == HP_F32)
            *(float *)(void *)field = (float)x;
        else
            *(double *)(void *)field = x;
    }
    return 0;
}

static int read_scaling(const struct gguf *g, struct hparams *hp, struct err *e)
{
    char key[160];
    snprintf(key, sizeof key, "%s.rope.scaling.type", hp->arch);
    struct text type;
    const int rc = gguf_get_text(g, key, &type, e);
    if (rc < 0)
        return -1;
    hp->rope_scaling = SCALING_LINEAR; /* as files without the key mean it */
    if (!rc)
        return 0;
    static const struct { const char *name; enum rope_scaling s; } names[] = {
        {"none", SCALING_NONE}, {"linear", SCALING_LINEAR}, {"yarn", SCALING_YARN},
        {"longrope", SCALING_LONGROPE}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (type.n == strlen(names[i].name) && !memcmp(type.p, names[i].name, type.n)) {
            hp->rope_scaling = names[i].s;
            if (hp->rope_scaling == SCALING_LONGROPE)
                return err_set(e, ERR_UNSUPPORTED, "rope scaling \"longrope\" is not supported");
            return 0;
        }
    return err_set(e, ERR_UNSUPPORTED,
                   "rope scaling \"%.*s\" is not known; there are none, linear, yarn",
                   (int)(type.n > 64 ? 64 : type.n), type.p);
}

int hparams_read(const struct gguf *g, const struct family **fam, struct hparams *hp,
                 struct err *e)
{
    memset(hp, 0, sizeof *hp);
    struct text arch;
    const int rc = gguf_get_text(g, "general.architecture", &arch, e);
    if (rc < 0)
        return -1;
    if (!rc)
        return err_set(e, ERR_INPUT, "key \"general.architecture\" is missing");
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)(arch.n > 63 ? 63 : arch.n), arch.p);
    *fam = family_find(name);
    if (!*fam)
        return err_set(e, ERR_UNSUPPORTED,
                       "architecture \"%s\" is not supported; supported are: %s", name,
                       family_names());
    snprintf(hp->arch, sizeof hp->arch, "%s", name);

    hp->n_rot = -1;
    hp->pooling = -1;
    hp->embd_scale = 1;
    hp->rope_base = 10000;
    hp->rope_factor = 1;
    hp->rope_attn_factor = 1;
    hp->yarn_beta_fast = 32;
    hp->yarn_beta_slow = 1;
    if ((*fam)->defaults)
        (*fam)->defaults(hp);
    if (read_keys(g, hp, common, e) ||
        (!(*fam)->encoder && read_keys(g, hp, decoders, e)) || read_keys(g, hp, (*fam)->keys, e) ||
        read_scaling(g, hp, e))
        return -1;

    const struct gguf_value *tokens = gguf_find(g, "tokenizer.ggml.tokens");
    if (!hp->n_vocab) {
        if (!tokens || tokens->kind != GGUF_ARRAY || !tokens->n || tokens->n > MAX_VOCAB)
            return err_set(e, ERR_INPUT, "key \"tokenizer.ggml.tokens\" is missing or no list");
        hp->n_vocab = (int32_t)tokens->n;
    }
    if (!hp->n_head_kv)
        hp->n_head_kv = hp->n_head;
    if (hp->n_head % hp->n_head_kv)
        return err_set(e, ERR_INPUT, "%d query heads are no multiple of %d key-value heads",
                       hp->n_head, hp->n_head_kv);
    if ((!hp->d_k || !hp->d_v) && hp->n_embd % hp->n_head)
        return err_set(e, ERR_INPUT, "embedding length %d is no multiple of %d heads", hp->n_embd,
                       hp->n_head);
    if (!hp->d_k)
        hp->d_k = hp->n_embd / hp->n_head;
    if (!hp->d_v)
        hp->d_v = hp->n_embd / hp->n_head;
    if (hp->n_rot < 0)
        hp->n_rot = hp->d_k;
    if (hp->n_rot > hp->d_k || hp->n_rot % 2)
        return err_set(e, ERR_INPUT,
                       "key \"%s.rope.dimension_count\" is %d, it must be even and at most %d",
                       hp->arch, hp->n_rot, hp->d_k);
    if (hp->n_expert && (*fam)->kind == DENSE)
        return err_set(e, ERR_UNSUPPORTED, "architecture \"%s\" with %d experts is not supported",
                       hp->arch, hp->n_expert);
    if (!hp->n_expert && (*fam)->kind == EXPERTS)
        return err_set(e, ERR_INPUT, "key \"%s.expert_count\" is missing or 0", hp->arch);
    if (hp->n_expert && (hp->n_expert_used < 1 || hp->n_expert_used > hp->n_expert))
        return err_set(e, ERR_INPUT,
                       "key \"%s.expert_used_count\" is %d, it must be from 1 to the %d experts",
                       hp->arch, hp->n_expert_used, hp->n_expert);
    if (!hp->n_ff_exp)
        hp->n_ff_exp = hp->n_ff;
    if (!hp->rope_orig_ctx)
        hp->rope_orig_ctx = hp->n_ctx;
    if (!hp->rope_base_local)
        hp->rope_base_local = hp->rope_base;
    if ((*fam)->derive)
        (*fam)->derive(hp);
    if (!(hp->attn_scale > 0))
        hp->attn_scale = 1.0f / sqrtf((float)hp->d_k);
    return 0;
}
