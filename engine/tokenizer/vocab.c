/* engine/tokenizer/vocab.c - read a vocabulary from tokenizer.ggml.*, checked, into one arena. */
#include "engine/tokenizer/inside.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TOKENS_MAX = 2 << 20, TEXT_BYTES_MAX = 512 << 20 };

/* The array at `key`, of `kind` strings or numbers; *out NULL when there is none. */
static int find_array(const struct gguf *g, const char *key, bool strings,
                      const struct gguf_value **out, struct err *e)
{
    const struct gguf_value *val = gguf_find(g, key);
    *out = val;
    if (val && (val->kind != GGUF_ARRAY || (val->elem == GGUF_STRING) != strings))
        return err_set(e, ERR_INPUT, "key \"%s\" is not an array of %s", key,
                       strings ? "strings" : "numbers");
    return 0;
}

static int same_length(const struct tok_vocab *v, const struct gguf_value *val, struct err *e)
{
    if (val->n != (uint64_t)v->n)
        return err_set(e, ERR_INPUT, "key \"%s\" has %llu entries for %d tokens", val->key,
                       (unsigned long long)val->n, (int)v->n);
    return 0;
}

static int read_tokens(struct tok_vocab *v, const struct gguf *g, struct err *e)
{
    const struct gguf_value *val;
    if (find_array(g, "tokenizer.ggml.tokens", true, &val, e))
        return -1;
    if (!val || !val->n)
        return err_set(e, ERR_INPUT, "key \"tokenizer.ggml.tokens\" is missing or empty");
    if (val->n > TOKENS_MAX)
        return err_set(e, ERR_LIMIT, "tokenizer.ggml.tokens: %llu tokens, %d are allowed",
                       (unsigned long long)val->n, (int)TOKENS_MAX);
    v->n = (tok_id)val->n;
    struct buf empty = {0}; /* names of tokens without a text, one after the other */
    size_t total = 0;
    int rc = -1;
    for (tok_id i = 0; i < v->n; i++) {
        if (val->str[i].n > TEXT_BYTES_MAX - total) {
            err_set(e, ERR_LIMIT, "tokenizer.ggml.tokens: more than %d bytes", (int)TEXT_BYTES_MAX);
            goto done;
        }
        total += val->str[i].n ? val->str[i].n : 24;
    }
    v->text = arena_alloc(&v->arena, total + 1, 1);
    v->text_at = arena_alloc(&v->arena, ((size_t)v->n + 1) * sizeof *v->text_at, 8);
    v->attr = arena_alloc(&v->arena, (size_t)v->n * sizeof *v->attr, 8);
    if (!v->text || !v->text_at || !v->attr) {
        err_set(e, ERR_MEMORY, "no memory for %d tokens", (int)v->n);
        goto done;
    }
    size_t at = 0;
    for (tok_id i = 0; i < v->n; i++) {
        struct text t = val->str[i];
        if (!t.n) {
            empty.n = 0;
            buf_printf(&empty, "[EMPTY_%d]", (int)i);
            if (empty.failed) {
                err_set(e, ERR_MEMORY, "no memory for the vocabulary");
                goto done;
            }
            t = (struct text){empty.p, empty.n};
        }
        v->text_at[i] = (uint32_t)at;
        memcpy(v->text + at, t.p, t.n);
        at += t.n;
        if (t.n > v->longest)
            v->longest = (uint32_t)t.n;
    }
    v->text_at[v->n] = (uint32_t)at;
    rc = 0;
done:
    buf_free(&empty);
    return rc;
}

static int read_types(struct tok_vocab *v, const struct gguf *g, struct err *e)
{
    /* By the number in the file; 0 ("undefined") stands in a few old files. */
    static const uint16_t attrs[] = {ATTR_NORMAL,  ATTR_NORMAL, ATTR_UNKNOWN, ATTR_CONTROL,
                                     ATTR_USER,    ATTR_UNUSED, ATTR_BYTE};
    const struct gguf_value *val;
    if (find_array(g, "tokenizer.ggml.token_type", false, &val, e) ||
        (val && same_length(v, val, e)))
        return -1;
    for (tok_id i = 0; i < v->n; i++) {
        uint64_t type = 1;
        if (val && val->elem == GGUF_I32) { /* the usual kind, without a call a token */
            int32_t x;
            memcpy(&x, (const char *)val->raw + (size_t)i * sizeof x, sizeof x);
            type = x < 0 ? UINT64_MAX : (uint64_t)x;
        } else if (val && gguf_value_u64_at(val, (uint64_t)i, &type, e)) {
            return -1;
        }
        if (type >= sizeof attrs / sizeof *attrs)
            return err_set(e, ERR_INPUT, "tokenizer.ggml.token_type[%d] is no known type (1..6)",
                           (int)i);
        v->attr[i] = attrs[type];
    }
    return 0;
}

/* Scores become integers that sort the other way round, so that one heap serves both kinds. */
static int read_scores(struct tok_vocab *v, const struct gguf *g, struct err *e)
{
    const struct gguf_value *val;
    if (find_array(g, "tokenizer.ggml.scores", false, &val, e) || (val && same_length(v, val, e)))
        return -1;
    v->score_key = arena_alloc(&v->arena, (size_t)v->n * sizeof *v->score_key, 8);
    if (!v->score_key)
        return err_set(e, ERR_MEMORY, "no memory for %d scores", (int)v->n);
    for (tok_id i = 0; i < v->n; i++) {
        float score = 0;
        if (val && val->elem == GGUF_F32) {
            memcpy(&score, (const char *)val->raw + (size_t)i * sizeof score, sizeof score);
        } else if (val) {
            double x;
            if (gguf_value_f64_at(val, (uint64_t)i, &x, e))
                return -1;
            score = fabs(x) <= 3e38 ? (float)x : INFINITY;
        }
        if (!isfinite(score))
            return err_set(e, ERR_INPUT, "tokenizer.ggml.scores[%d] is not a finite number",
                           (int)i);
        score += 0.0f; /* -0 and 0 are equal */
        uint32_t bits;
        memcpy(&bits, &score, sizeof bits);
        v->score_key[i] = bits & 0x80000000u ? bits : ~(bits | 0x80000000u);
    }
    return 0;
}

/* The kind of the file and, for byte-pair kinds, the rule that splits. */
static int read_kind(struct tok_vocab *v, const struct gguf *g, struct err *e)
{
    struct text model, pre = {"default", 7};
    const int got = gguf_get_text(g, "tokenizer.ggml.model", &model, e);
    if (got < 0)
        return -1;
    if (!got)
        return err_set(e, ERR_INPUT, "key \"tokenizer.ggml.model\" is missing");
    const bool gpt2 = model.n == 4 && !memcmp(model.p, "gpt2", 4);
    const bool gemma4 = model.n == 6 && !memcmp(model.p, "gemma4", 6);
    if (model.n == 5 && !memcmp(model.p, "llama", 5)) {
        v->kind = KIND_SPM;
        return 0;
    }
    if (model.n == 4 && !memcmp(model.p, "bert", 4)) {
        v->kind = KIND_WORDPIECE;
        v->flags = PRE_CLEAN | PRE_ESCAPE; /* pieces become text as their marks say */
        v->lowercase = true;
        if (gguf_get_bool(g, "tokenizer.ggml.normalizer.lowercase", &v->lowercase, e) < 0)
            return -1;
        v->strip_accents = v->lowercase;
        return gguf_get_bool(g, "tokenizer.ggml.normalizer.strip_accents", &v->strip_accents, e) < 0
                   ? -1 : 0;
    }
    if (!gpt2 && !gemma4)
        return err_set(e, ERR_UNSUPPORTED,
                       "tokenizer \"%.*s\" is not supported; these are: gpt2, llama, gemma4, bert",
                       (int)(model.n < 64 ? model.n : 64), model.p);
    v->kind = KIND_BPE;
    if (gemma4) {
        pre = (struct text){"gemma4", 6};
    } else {
        const int named = gguf_get_text(g, "tokenizer.ggml.pre", &pre, e);
        if (named < 0)
            return -1;
        if (!named)
            log_line(LOG_INFO, "no tokenizer.ggml.pre in the file: \"default\" is used");
    }
    const struct pre_rule *rule = tok_pre_rule_find(pre, e);
    if (!rule)
        return -1;
    v->flags = rule->flags | (gemma4 ? PRE_NO_IDS : 0);
    bool lower = false;
    if (v->flags & PRE_DROP_GAPS &&
        gguf_get_bool(g, "tokenizer.ggml.normalizer.lowercase", &lower, e) < 0)
        return -1;
    if (lower)
        return err_set(e, ERR_UNSUPPORTED, "pre-tokenizer \"%s\" with lower-casing is not "
                       "supported", rule->name);
    return tok_splitter_init(&v->split, rule, e);
}

struct tok_vocab *tok_vocab_new(const struct gguf *g, struct err *e)
{
    struct tok_vocab *v = calloc(1, sizeof *v);
    if (!v) {
        err_set(e, ERR_MEMORY, "no memory for the vocabulary");
        return NULL;
    }
    if (read_kind(v, g, e) || read_tokens(v, g, e) || read_types(v, g, e) ||
        tok_table_build(v, e) || tok_named_ids_load(v, g, e))
        goto fail;
    if (v->kind == KIND_SPM) {
        if (read_scores(v, g, e))
            goto fail;
    } else if (v->kind == KIND_BPE) {
        const struct gguf_value *merges;
        if (find_array(g, "tokenizer.ggml.merges", true, &merges, e))
            goto fail;
        if (!merges && !(v->flags & PRE_MERGES_OPTIONAL)) {
            err_set(e, ERR_INPUT, "key \"tokenizer.ggml.merges\" is missing");
            goto fail;
        }
        if (tok_merges_build(v, merges, e))
            goto fail;
    }
    tok_byte_ids_build(v);
    if (tok_pieces_build(v, e) || tok_specials_build(v, e))
        goto fail;
    return v;
fail:
    tok_vocab_free(v);
    return NULL;
}

struct tok_vocab *tok_vocab_share(struct tok_vocab *v)
{
    atomic_fetch_add(&v->more_owners, 1);
    return v;
}

void tok_vocab_free(struct tok_vocab *v)
{
    if (!v || atomic_fetch_sub(&v->more_owners, 1) > 0)
        return;
    tok_splitter_free(&v->split);
    arena_free(&v->arena);
    free(v);
}

size_t tok_vocab_bytes(const struct tok_vocab *v)
{
    return sizeof *v + v->arena.used_bytes + tok_splitter_bytes(&v->split);
}

tok_id tok_n_vocab(const struct tok_vocab *v)
{
    return v->n;
}

tok_id tok_bos(const struct tok_vocab *v)
{
    return v->bos;
}

tok_id tok_eos(const struct tok_vocab *v)
{
    return v->eos;
}

tok_id tok_unk(const struct tok_vocab *v)
{
    return v->unk;
}

tok_id tok_pad(const struct tok_vocab *v)
{
    return v->pad;
}

tok_id tok_fim(const struct tok_vocab *v, int part)
{
    return v->fim[part];
}

bool tok_adds_bos(const struct tok_vocab *v)
{
    return v->add_bos && v->bos >= 0;
}

bool tok_is_eog(const struct tok_vocab *v, tok_id id)
{
    return id >= 0 && id < v->n && v->attr[id] & ATTR_EOG;
}

bool tok_is_control(const struct tok_vocab *v, tok_id id)
{
    return id >= 0 && id < v->n && v->attr[id] & ATTR_CONTROL;
}
