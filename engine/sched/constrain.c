/* engine/sched/constrain.c - an answer that obeys a schema or a grammar: masks before each draw.
 *
 * The grammar reads what the sampler draws; before the next draw, tokens that it cannot go on with
 * lose all chance, and tokens that end the text are left where it may end. Nothing else changes:
 * the draw stays the model's own, restricted. The mask comes first of all (penalties, cut-offs and
 * the temperature work on what is left); log-probabilities are taken before it. */
#include "engine/sched/sched.h"

#include <math.h>
#include <sched.h>
#include <string.h>

/* What the grammar and its masks depend on, as one text. */
static char *key_of(const struct eng_request *r)
{
    json_t *all = json_pack("[O?, s?, O?, s?]", r->grammar ? NULL : r->format, r->grammar,
                            r->grammar ? r->schemas : NULL, r->shown);
    char *text = all ? json_dumps(all, JSON_COMPACT) : NULL;
    json_decref(all);
    return text;
}

int rules_new(struct eng_job *j, const struct eng_request *r, struct err *e)
{
    if (!r->grammar && !r->format)
        return 0;
    if (r->grammar) {
        j->rules = grammar_gbnf(r->grammar, strlen(r->grammar), r->schemas, e);
    } else if (json_is_string(r->format)) { /* "json": an object */
        json_t *any = json_pack("{s:s}", "type", "object");
        if (!any)
            return err_set(e, ERR_MEMORY, "no memory for a request");
        j->rules = grammar_json(any, e);
        json_decref(any);
    } else {
        j->rules = grammar_json(r->format, e);
    }
    if (!j->rules) { /* the client's to mend, whatever the reason */
        if (e->code == ERR_UNSUPPORTED || e->code == ERR_LIMIT)
            e->code = ERR_INPUT;
        return -1;
    }
    j->rules_key = key_of(r); /* without one it is not kept, and that is all */
    j->rules_at = grammar_start(j->rules);
    return 0;
}

/* ---- grammars of jobs that are over -------------------------------------------------------------
 */

enum { MOST_KEPT_BYTES = 16 << 20 };

static void count_kept(struct slot *s, int64_t bytes)
{
    s->kept_bytes += (size_t)bytes;
    eng_count(s->g, bytes);
}

static void count_words(struct slot *s)
{
    const size_t bytes = grammar_vocab_bytes(s->words[0]) + grammar_vocab_bytes(s->words[1]);
    eng_count(s->g, (int64_t)bytes - (int64_t)s->words_bytes);
    s->words_bytes = bytes;
}

/* What the grammar of a job remembers grows while it is used. */
static void count_own(struct slot *s, struct eng_job *j)
{
    const size_t bytes = grammar_bytes(j->rules);
    const int64_t more = (int64_t)bytes - (int64_t)j->rules_bytes;
    j->rules_bytes = bytes;
    j->bytes += (uint64_t)more;
    eng_count(s->g, more);
}

void rules_meet(struct slot *s, struct eng_job *j)
{
    for (int i = 0; j->rules_key && i < MOST_KEPT && s->kept[i].g; i++) {
        if (strcmp(s->kept[i].key, j->rules_key) != 0)
            continue;
        grammar_free(j->rules);
        free(s->kept[i].key);
        count_kept(s, -(int64_t)s->kept[i].bytes);
        j->rules = s->kept[i].g;
        j->rules_at = grammar_start(j->rules);
        memmove(&s->kept[i], &s->kept[i + 1], (size_t)(MOST_KEPT - 1 - i) * sizeof *s->kept);
        memset(&s->kept[MOST_KEPT - 1], 0, sizeof *s->kept);
        return;
    }
}

void rules_leave(struct slot *s, struct eng_job *j)
{
    if (!j->rules_key || !s->m || grammar_failed(j->rules) ||
        grammar_bytes(j->rules) > MOST_KEPT_BYTES)
        return; /* it goes with the job */
    free(s->kept[MOST_KEPT - 1].key);
    grammar_free(s->kept[MOST_KEPT - 1].g);
    count_kept(s, (int64_t)grammar_bytes(j->rules) - (int64_t)s->kept[MOST_KEPT - 1].bytes);
    memmove(&s->kept[1], &s->kept[0], (MOST_KEPT - 1) * sizeof *s->kept);
    s->kept[0].key = j->rules_key;
    s->kept[0].g = j->rules;
    s->kept[0].bytes = grammar_bytes(j->rules);
    j->rules_key = NULL;
    j->rules = NULL;
}

void rules_forget(struct slot *s)
{
    for (int i = 0; i < MOST_KEPT; i++) {
        free(s->kept[i].key);
        grammar_free(s->kept[i].g);
    }
    memset(s->kept, 0, sizeof s->kept);
    count_kept(s, -(int64_t)s->kept_bytes);
}

void rules_close(struct slot *s)
{
    rules_forget(s);
    for (int i = 0; i < 2; i++) {
        grammar_vocab_free(s->words[i]);
        s->words[i] = NULL;
    }
    free(s->words_shown);
    s->words_shown = NULL;
    s->n_ends = 0;
    count_words(s);
}

/* ---- before a draw, and after it ----------------------------------------------------------------
 */

struct text shown_piece(const struct tok_vocab *v, const char *shown, tok_id t)
{
    if (!shown || !tok_is_control(v, t))
        return tok_piece(v, t, false);
    const struct text own = tok_text(v, t);
    return own.n && memmem(shown, strlen(shown), own.p, own.n) ? tok_piece(v, t, true)
                                                               : (struct text){NULL, 0};
}

struct pieces {
    const struct tok_vocab *v;
    const char *shown;
};

static struct text piece_of(void *arg, int32_t id)
{
    const struct pieces *p = arg;
    if (tok_is_eog(p->v, id))
        return (struct text){NULL, 0};
    return shown_piece(p->v, p->shown, id);
}

/* The tree of tokens for a job: which control tokens are shown is the template's matter, so jobs of
 * a model nearly always want the same. */
static const struct grammar_vocab *words_of(struct slot *s, const struct eng_job *j, struct err *e)
{
    struct grammar_vocab **w = &s->words[j->shown != NULL];
    const struct pieces p = {s->m->vocab, j->shown};
    if (*w && j->shown && strcmp(s->words_shown, j->shown) != 0) {
        grammar_vocab_free(*w);
        *w = NULL;
    }
    if (!*w && j->shown) {
        free(s->words_shown);
        s->words_shown = strdup(j->shown);
        if (!s->words_shown) {
            err_set(e, ERR_MEMORY, "no memory for the tokens of a grammar");
            return NULL;
        }
    }
    if (!*w) {
        *w = grammar_vocab_new(tok_n_vocab(s->m->vocab), piece_of, (void *)(uintptr_t)&p, e);
        count_words(s);
    }
    return *w;
}

static int failed(const struct eng_job *j, struct err *e)
{
    const struct err *why = grammar_failed(j->rules);
    return err_set(e, why ? why->code : ERR_MEMORY, "format: %s",
                   why ? why->text : "out of memory");
}

/* Tokens that end a text are few: found once a model. */
static void find_ends(struct slot *s)
{
    const int32_t n = tok_n_vocab(s->m->vocab);
    for (int32_t t = 0; t < n && s->n_ends < MOST_ENDS; t++)
        if (tok_is_eog(s->m->vocab, t))
            s->ends[s->n_ends++] = t;
}

/* Make the masks that are not there; `look`: only say whether one is missing. */
static bool ahead(struct rules_ahead *a, bool look)
{
    for (int i = 0; i < a->n; i++) {
        struct eng_job *j = a->job[i];
        struct err e = {0}; /* who wants the mask meets it again */
        const struct grammar_vocab *w = look ? NULL : words_of(a->slot, j, &e);
        uint32_t at = j->rules_at;
        for (int k = 0; at != GRAMMAR_DEAD; k++) {
            if (look && !grammar_has_mask(j->rules, at))
                return true;
            if (!look && (!w || !grammar_mask(j->rules, w, at)))
                break;
            if (k == a->n_draft[i])
                break;
            const struct text piece = shown_piece(a->slot->m->vocab, j->shown, j->ahead[1 + k]);
            at = grammar_steps(j->rules, at, piece.p, piece.n);
        }
    }
    return false;
}

static void *make_ahead(void *arg)
{
    ahead(arg, false);
    return NULL;
}

/* Without a CPU to spare it would take the time of the crew's, which all wait for each other: a
 * mask that is made behind the step costs the same, and no switch. */
static bool has_spare_cpu(const struct eng *g)
{
    cpu_set_t set;
    return !sched_getaffinity(0, sizeof set, &set) && CPU_COUNT(&set) > crew_size(g->crew);
}

void rules_ahead_start(struct rules_ahead *a)
{
    a->runs = ahead(a, true) && has_spare_cpu(a->slot->g) &&
              !pthread_create(&a->thread, NULL, make_ahead, a);
}

void rules_ahead_join(struct rules_ahead *a)
{
    if (a->runs)
        pthread_join(a->thread, NULL);
}

int rules_mask(struct slot *s, struct eng_job *j, float *logits, tok_id *only, struct err *e)
{
    const struct grammar_vocab *w = words_of(s, j, e);
    const int32_t n = tok_n_vocab(s->m->vocab);
    float ends[MOST_ENDS];
    int64_t allowed = 0;
    if (!w)
        return -1;
    const uint64_t *mask = grammar_mask(j->rules, w, j->rules_at);
    if (!mask)
        return failed(j, e);
    if (!s->n_ends)
        find_ends(s);
    for (int k = 0; k < s->n_ends; k++)
        ends[k] = logits[s->ends[k]];
    *only = -1;
    for (int32_t at = 0; at < n; at += 64) {
        const int32_t to = at + 64 < n ? at + 64 : n;
        uint64_t bits = mask[at / 64];
        if (bits && *only < 0)
            *only = at + __builtin_ctzll(bits);
        allowed += __builtin_popcountll(bits);
        if (bits == UINT64_MAX)
            continue;
        for (int32_t t = at; t < to; t++, bits >>= 1)
            if (!(bits & 1))
                logits[t] = -INFINITY;
    }
    if (grammar_may_end(j->rules, j->rules_at))
        for (int k = 0; k < s->n_ends; k++, allowed++) {
            logits[s->ends[k]] = ends[k];
            *only = *only < 0 ? s->ends[k] : *only;
        }
    if (!allowed)
        return err_set(e, ERR_BUG, "format: no token of this model can go on with the answer");
    if (allowed > 1)
        *only = -1;
    return 0;
}

int rules_take(struct slot *s, struct eng_job *j, tok_id t, struct err *e)
{
    const struct text piece = shown_piece(s->m->vocab, j->shown, t);
    j->rules_at = grammar_steps(j->rules, j->rules_at, piece.p, piece.n);
    if (j->rules_at == GRAMMAR_DEAD)
        return failed(j, e);
    j->rules_at = grammar_rest(j->rules, j->rules_at);
    count_own(s, j);
    return 0;
}

bool rules_over(struct slot *s, struct eng_job *j)
{
    struct err e = {0};
    const struct grammar_vocab *w = words_of(s, j, &e);
    if (!grammar_may_end(j->rules, j->rules_at))
        return false;
    const uint64_t *mask = w ? grammar_mask(j->rules, w, j->rules_at) : NULL;
    if (!mask)
        return false;
    uint64_t any = 0;
    for (int32_t at = 0; at < tok_n_vocab(s->m->vocab); at += 64)
        any |= mask[at / 64];
    return !any;
}

int rules_forced(struct slot *s, struct eng_job *j, struct tok_ids *out, struct err *e)
{
    enum { MOST = 256 };
    struct buf text = {0};
    const struct text_span none = {0, 0};
    int rc = 0;
    grammar_forced(j->rules, j->rules_at, &text, MOST);
    if (text.failed)
        rc = err_set(e, ERR_MEMORY, "no memory for the answer");
    /* A few bytes are no gain, and half a character is no text. */
    else if (text.n > 1 && text_is_utf8(text.p, text.n))
        rc = tok_encode(s->m->vocab, text.p, text.n, &none, 0, out, e);
    buf_free(&text);
    return rc;
}
