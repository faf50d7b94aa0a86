/* engine/sched/prompt.c - from a request to the tokens of its prompt.
 *
 * Facts: spec/api.md, sections 5.4, 6.4, 6.5, 9. A prompt that does not fit is cut as the reference
 * cuts it, and the reply says how many tokens went. Special tokens are parsed only in the
 * template's own text, and in raw prompts. */
#include "engine/render.h"
#include "engine/sched/sched.h"

#include <stdlib.h>
#include <string.h>

static int encode(const struct slot *s, const char *p, size_t n, const struct text_span *trusted,
                  size_t n_trusted, struct tok_ids *ids, struct err *e)
{
    return n ? tok_encode(s->m->vocab, p, n, trusted, n_trusted, ids, e) : 0;
}

/* Render and tokenize: ids of the prompt, no BOS added. */
static int chat_ids(const struct slot *s, const struct eng_job *j, const json_t *messages,
                    struct tok_ids *ids, struct err *e)
{
    const struct renderer r = {s->m->vocab, s->tpl, &s->tpl_err};
    struct chat_prompt p = {0};
    int rc = render_prompt(&r, j->chat, messages, j->template_text, j->continue_last, &p, e);
    if (!rc)
        rc = encode(s, p.text.p, p.text.n, p.trusted, p.n_trusted, ids, e);
    chat_prompt_free(&p);
    return rc;
}

/* ---- dropping messages ---------------------------------------------------------------------- */

static bool has_role(const json_t *m, const char *role)
{
    const char *r = json_string_value(json_object_get(m, "role"));
    return r && !strcmp(r, role);
}

/* The conversation without its oldest `drop` messages that are not the system's; the system's stay
 * in front. What would be left without its cause goes too: a tool's answer without the call, an
 * assistant's answer without the question. The last message always stays. */
static json_t *without_oldest(const json_t *messages, size_t drop)
{
    const size_t n = json_array_size(messages);
    while (drop < n - 1) {
        const json_t *m = json_array_get(messages, drop);
        if (!drop || !(has_role(m, "tool") || has_role(m, "assistant")))
            break;
        drop++;
    }
    json_t *out = json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *m = json_array_get(messages, i);
        if (i >= drop || has_role(m, "system"))
            if (json_array_append(out, m)) {
                json_decref(out);
                return NULL;
            }
    }
    return out;
}

/* The fewest messages dropped so that the rest fits n_ctx tokens; ids gets the prompt. */
static int fit_messages(const struct slot *s, struct eng_job *j, struct tok_ids *ids,
                        struct err *e)
{
    const json_t *messages = json_object_get(j->chat, "messages");
    const size_t n = json_array_size(messages);
    if (chat_ids(s, j, messages, ids, e))
        return -1;
    const size_t full = ids->n;
    if (j->no_truncate || n < 2 || full <= (size_t)j->n_ctx)
        return 0;
    size_t lo = 1, hi = n - 1; /* hi: only the last message; lo..hi holds the answer */
    while (lo <= hi) {
        const size_t mid = lo < hi ? lo + (hi - lo) / 2 : hi;
        json_t *some = without_oldest(messages, mid);
        struct tok_ids t = {0};
        const int rc = some ? chat_ids(s, j, some, &t, e)
                            : err_set(e, ERR_MEMORY, "no memory for the prompt");
        json_decref(some);
        if (rc) {
            tok_ids_free(&t);
            return -1;
        }
        const bool fits = t.n <= (size_t)j->n_ctx;
        if (fits || mid == n - 1) {
            tok_ids_free(ids);
            *ids = t;
        } else {
            tok_ids_free(&t);
        }
        if (lo == hi)
            break;
        if (fits)
            hi = mid;
        else
            lo = mid + 1;
    }
    if (full > ids->n)
        j->stats.prompt_truncated = (int32_t)(full - ids->n);
    return 0;
}

/* ---- the whole prompt ------------------------------------------------------------------------- */

static int append(struct tok_ids *to, const tok_id *ids, size_t n, struct err *e)
{
    for (size_t i = 0; i < n; i++)
        if (tok_ids_add(to, ids[i], e))
            return -1;
    return 0;
}

/* Cut the middle: the first `keep` tokens and the last of the rest (9.2). */
static void cut_middle(struct eng_job *j, bool has_bos)
{
    const int64_t n_ctx = j->n_ctx, n = (int64_t)j->tokens.n;
    int64_t keep = j->opt.num_keep < 0 ? n_ctx - 1 : (int64_t)j->opt.num_keep + has_bos;
    keep = keep > n_ctx - 1 ? n_ctx - 1 : keep;
    const int64_t half = (n_ctx - keep) / 2;
    int64_t limit = n_ctx - (half > 1 ? half : 1);
    limit = limit < 1 ? 1 : limit; /* a model trained on one position: no prompt computes nothing */
    const int64_t tail = limit - keep;
    memmove(j->tokens.ids + keep, j->tokens.ids + n - tail, (size_t)tail * sizeof *j->tokens.ids);
    j->tokens.n = (size_t)limit;
    j->stats.prompt_truncated += (int32_t)(n - limit);
}

int prompt_build(struct slot *s, struct eng_job *j, struct err *e)
{
    const struct tok_vocab *v = s->m->vocab;
    struct tok_ids text = {0}; /* the prompt without what goes in front */
    int rc = -1;
    if (j->chat) {
        if (fit_messages(s, j, &text, e))
            goto done;
    } else {
        const struct text_span all = {0, j->n_raw};
        if (encode(s, j->raw, j->n_raw, &all, 1, &text, e))
            goto done;
    }
    for (size_t i = 0; i < j->n_context; i++)
        if (j->context[i] < 0 || j->context[i] >= s->m->hp.n_vocab) {
            err_set(e, ERR_INPUT, "context holds the token id %d, which this model does not have",
                    j->context[i]);
            goto done;
        }
    const tok_id bos = tok_bos(v);
    const tok_id first = j->n_context ? j->context[0] : text.n ? text.ids[0] : -1;
    const bool has_bos = tok_adds_bos(v) && bos >= 0;
    if (has_bos && first != bos && tok_ids_add(&j->tokens, bos, e))
        goto done;
    if (append(&j->tokens, j->context, j->n_context, e) || append(&j->tokens, text.ids, text.n, e))
        goto done;
    if (!j->tokens.n) {
        /* Nothing to compute logits from: the end token stands for an empty text. */
        if (tok_ids_add(&j->tokens, bos >= 0 ? bos : 0, e))
            goto done;
    }
    if (j->want_context && (append(&j->whole, j->context, j->n_context, e) ||
                            append(&j->whole, text.ids, text.n, e)))
        goto done;
    if ((int64_t)j->tokens.n > j->n_ctx - 1) {
        if (j->no_truncate || j->no_shift) {
            err_set(e, ERR_CONTEXT,
                    "request (%zu tokens) exceeds the available context size (%d tokens), try "
                    "increasing it",
                    j->tokens.n, j->n_ctx);
            goto done;
        }
        cut_middle(j, has_bos);
    }
    if (j->stats.prompt_truncated)
        log_line(LOG_WARN, "a prompt for %s was cut by %d tokens to fit the context of %d", s->name,
                 j->stats.prompt_truncated, j->n_ctx);
    j->n_prompt = (int64_t)j->tokens.n;
    j->stats.prompt_count = (int32_t)j->n_prompt;
    j->n_drawn_before = (uint64_t)j->n_prompt;
    rc = 0;
done:
    tok_ids_free(&text);
    return rc;
}
