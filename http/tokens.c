/* http/tokens.c - POST /api/tokenize and /api/detokenize: text <-> token ids without the weights.
 *
 * Facts: spec/api.md 29.3; both are extensions of ours. Special tokens are matched in the text only
 * when `parse_special` says so, and always shown in what is made from ids: the two are inverse. */
#include "http/inside.h"

#include <stdlib.h>
#include <string.h>

/* The body, and the model's tokenizer. On failure the call is answered and NULL comes back. */
static json_t *open_text(struct call *c, const char **model, struct eng_text **text)
{
    struct err e = {0};
    struct store_model *m = NULL;
    json_t *body = body_parse(c->body, c->n_body, &e);
    free(c->body);
    c->body = NULL;
    if (!body || field_string(body, "model", "model", model, &e) != 0)
        goto fail;
    if (!*model || !(*model)[0]) {
        err_set(&e, ERR_INPUT, "model is required");
        goto fail;
    }
    m = model_find(c, *model, NAME_AS_SENT);
    if (!m) {
        json_decref(body);
        return NULL;
    }
    const int rc = eng_text_open(c->srv->cfg.eng, m, text, &e);
    store_model_free(m);
    if (rc == 0)
        return body;
fail:
    call_fail(c, &e);
    json_decref(body);
    return NULL;
}

static void answer_bytes(struct call *c, struct buf *b)
{
    if (b->failed)
        call_fail_status(c, 500, "out of memory");
    else
        call_answer(c, 200, type_json, b->p, b->n);
}

static void put_piece(struct buf *b, const struct tok_vocab *v, tok_id id)
{
    const struct text t = tok_piece(v, id, true);
    buf_printf(b, "{\"id\":%d,\"piece\":", (int)id);
    if (text_is_utf8(t.p, t.n)) {
        print_json_string(b, t.p, t.n);
    } else {
        for (size_t i = 0; i < t.n; i++)
            buf_printf(b, i ? ",%d" : "[%d", (unsigned char)t.p[i]);
        buf_puts(b, "]");
    }
    buf_puts(b, "}");
}

static int tokenize(const json_t *body, const struct tok_vocab *v, struct buf *out, struct err *e)
{
    bool ends = false, special = false, pieces = false;
    struct tok_ids ids = {0};
    int rc = -1;
    const json_t *content = field(body, "content");
    if (!content)
        return err_set(e, ERR_INPUT, "content is required");
    if (!json_is_string(content))
        return type_error(content, "content", "string", e);
    if (field_bool(body, "add_special", &ends, NULL, e) != 0 ||
        field_bool(body, "parse_special", &special, NULL, e) != 0 ||
        field_bool(body, "with_pieces", &pieces, NULL, e) != 0)
        return -1;
    const struct text_span all = {0, json_string_length(content)};
    if (ends && tok_add_before(v, &ids, e) != 0)
        goto done;
    if (all.end &&
        tok_encode(v, json_string_value(content), all.end, &all, special ? 1 : 0, &ids, e) != 0)
        goto done;
    if (ends && tok_add_after(v, &ids, e) != 0)
        goto done;
    buf_puts(out, ",\"tokens\":[");
    for (size_t i = 0; i < ids.n && !out->failed; i++) {
        if (i)
            buf_puts(out, ",");
        if (pieces)
            put_piece(out, v, ids.ids[i]);
        else
            buf_printf(out, "%d", (int)ids.ids[i]);
    }
    buf_puts(out, "]}");
    rc = 0;
done:
    tok_ids_free(&ids);
    return rc;
}

/* Bytes as a JSON string, U+FFFD for what is not UTF-8. */
static void put_text(struct buf *out, const char *p, size_t n)
{
    struct buf clean = {0};
    for (size_t i = 0; i < n && !clean.failed;) {
        uint32_t cp;
        char ch[4];
        bool bad = false;
        i += text_decode(p + i, n - i, &cp, &bad);
        buf_add(&clean, ch, text_encode(cp, ch));
    }
    print_json_string(out, clean.p ? clean.p : "", clean.n);
    out->failed = out->failed || clean.failed;
    buf_free(&clean);
}

static int detokenize(const json_t *body, const struct tok_vocab *v, struct buf *out, struct err *e)
{
    struct tok_ids ids = {0};
    struct buf bytes = {0};
    int rc = -1;
    const json_t *list = field(body, "tokens");
    if (!list)
        return err_set(e, ERR_INPUT, "tokens is required");
    if (!json_is_array(list))
        return type_error(list, "tokens", "array", e);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        const json_int_t id = json_integer_value(one);
        if (!json_is_integer(one)) {
            type_error(one, "tokens", "integer", e);
            goto done;
        }
        if (id < 0 || id >= tok_n_vocab(v)) {
            err_set(e, ERR_INPUT, "token id %lld out of range", (long long)id);
            goto done;
        }
        if (tok_ids_add(&ids, (tok_id)id, e) != 0)
            goto done;
    }
    tok_decode(v, ids.ids, ids.n, true, &bytes);
    buf_puts(out, ",\"content\":");
    put_text(out, bytes.p, bytes.n);
    buf_puts(out, "}");
    out->failed = out->failed || bytes.failed;
    rc = 0;
done:
    tok_ids_free(&ids);
    buf_free(&bytes);
    return rc;
}

static void answer(struct call *c, int (*make)(const json_t *, const struct tok_vocab *,
                                               struct buf *, struct err *))
{
    const char *model = NULL;
    struct eng_text *text = NULL;
    struct err e = {0};
    struct buf b = {0};
    json_t *body = open_text(c, &model, &text);
    if (!body)
        return;
    buf_puts(&b, "{\"model\":");
    print_json_string(&b, model, strlen(model));
    if (make(body, eng_text_vocab(text), &b, &e) != 0)
        call_fail(c, &e);
    else
        answer_bytes(c, &b);
    buf_free(&b);
    eng_text_close(text);
    json_decref(body);
}

void on_tokenize(struct call *c)
{
    answer(c, tokenize);
}

void on_detokenize(struct call *c)
{
    answer(c, detokenize);
}
