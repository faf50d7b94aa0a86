/* tests/test_engine_logprobs.c - log-probabilities of an answer's tokens, against the model
 * evaluated by hand and libm, and what happens to them around stop texts and parts of characters.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "engine/sampler/sampler.h"
#include "tests/asking.h"

enum { MOST = 96, SCORED_MORE = 20 /* more rows than go in one chunk */ };

struct seen { /* an answer with its entries */
    struct answer *a;
    int n, n_pieces;
    size_t text_at[MOST]; /* bytes of the text before the piece that brought the entry */
    size_t text_n[MOST];  /* bytes of that piece */
    char token[MOST][32];
    size_t token_n[MOST];
    double lp[MOST];
    int n_top[MOST];
    double top_lp[MOST][ENG_TOP_LOGPROBS];
    char top[MOST][ENG_TOP_LOGPROBS][32];
};

static void on_piece(void *arg, const struct eng_piece *p)
{
    struct seen *s = arg;
    for (size_t i = 0; i < p->n_logprobs && s->n < MOST; i++) {
        const struct eng_logprob *l = &p->logprobs[i];
        const int k = s->n++;
        s->text_at[k] = s->a->text.n;
        s->text_n[k] = p->n;
        s->token_n[k] = l->n < 31 ? l->n : 31;
        memcpy(s->token[k], l->n ? l->bytes : "", s->token_n[k]);
        s->lp[k] = l->logprob;
        s->n_top[k] = (int)l->n_top;
        for (size_t t = 0; t < l->n_top; t++) {
            s->top_lp[k][t] = l->top[t].logprob;
            snprintf(s->top[k][t], 32, "%.*s", (int)l->top[t].n, l->top[t].bytes);
        }
    }
    if (p->of_prompt) {
        assert_int_equal(s->n_pieces, 0);
        return;
    }
    s->n_pieces++;
    struct eng_sink sink = answer_sink(s->a);
    sink.piece(sink.arg, p);
}

static void on_done(void *arg, const struct eng_stats *stats)
{
    struct eng_sink sink = answer_sink(((struct seen *)arg)->a);
    sink.done(sink.arg, stats);
}

static void on_fail(void *arg, const struct err *e)
{
    struct eng_sink sink = answer_sink(((struct seen *)arg)->a);
    (sink.fail)(sink.arg, e); /* cmocka has a macro of that name */
}

static struct seen *look_at(struct eng *g, int model, const char *prompt, const char *grammar,
                            struct eng_options *o, int n_top, bool score)
{
    struct seen *s = calloc(1, sizeof *s);
    assert_non_null(s);
    s->a = answer_new();
    const struct eng_sink sink = {
        .arg = s, .piece = on_piece, .done = on_done, .fail = on_fail};
    const struct eng_request r = {.kind = ENG_GENERATE,
                                  .model = asking_model(model),
                                  .raw = prompt,
                                  .n_raw = strlen(prompt),
                                  .options = o,
                                  .grammar = grammar,
                                  .want_context = true,
                                  .logprobs = n_top >= 0,
                                  .score_prompt = score,
                                  .top_logprobs = n_top};
    struct eng_job *j = NULL;
    struct err e = {0};
    assert_int_equal(eng_submit(g, &r, &sink, &j, &e), 0);
    answer_wait(s->a);
    eng_job_release(j);
    assert_false(s->a->failed);
    return s;
}

static struct seen *look(struct eng *g, int model, const char *prompt, struct eng_options *o,
                         int n_top)
{
    return look_at(g, model, prompt, NULL, o, n_top, false);
}

static void seen_free(struct seen *s)
{
    answer_free(s->a);
    free(s);
}

/* The model of asking.c for a caller of the bench's level. */
static struct model *open_model(struct store *store, int i)
{
    struct err e = {0};
    const int fd = store_blob_open(store, &asking_model(i)->model_layer->digest, &e);
    assert_true(fd >= 0);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct model *m = model_open(path, &(struct model_config){.n_threads = 1}, &e);
    if (!m)
        fail_msg("%s", e.text);
    close(fd);
    return m;
}

/* ---- the claims --------------------------------------------------------------------------- */

static void values_are_of_the_softmax_over_the_raw_logits(void **state)
{
    (void)state;
    struct eng *g = engine(1, 0);
    struct eng_options o = options(24, 0.7f); /* penalties and temperature must not be seen */
    o.repeat_penalty = 1.3f;
    o.presence_penalty = 0.5f;
    o.top_k = 7;
    struct seen *s = look(g, 0, "the cat sat on", &o, 20);
    struct model *m = open_model(asking_store(), 0);
    const int n_vocab = model_n_vocab(m), n_prompt = s->a->stats.prompt_count;
    const int n_text = tok_n_vocab(model_vocab(m));
    float *logits = malloc((size_t)n_vocab * sizeof *logits);
    struct err e = {0};
    struct seq *q = seq_new(m, &e);
    assert_non_null(logits);
    assert_non_null(q);
    /* `context` holds no BOS: it stands in front. */
    const tok_id bos = tok_bos(model_vocab(m));
    assert_int_equal(seq_eval(q, &bos, 1, logits, 0, &e), 0);
    const tok_id *ids = s->a->context;
    assert_int_equal(seq_eval(q, ids, n_prompt - 1, logits, 1, &e), 0);
    const int n = (int)s->a->stats.n_context - (n_prompt - 1);
    assert_true(n > 8);
    assert_int_equal(s->n, n);
    for (int i = 0; i < n; i++) {
        const tok_id id = ids[n_prompt - 1 + i];
        double max = -INFINITY, sum = 0;
        for (int k = 0; k < n_text; k++)
            max = fmax(max, (double)logits[k]);
        for (int k = 0; k < n_text; k++)
            sum += exp((double)logits[k] - max);
        assert_float_equal(s->lp[i], (double)logits[id] - max - log(sum), 1e-9);
        assert_int_equal(s->n_top[i], 20);
        int larger = 0;
        for (int k = 0; k < n_text; k++) /* how many are above the last of the list */
            larger += (double)logits[k] - max - log(sum) > s->top_lp[i][19] + 1e-9;
        assert_true(larger <= 19);
        assert_float_equal(s->top_lp[i][0], -log(sum), 1e-9);
        for (int k = 1; k < 20; k++)
            assert_true(s->top_lp[i][k] <= s->top_lp[i][k - 1]);
        assert_int_equal(seq_eval(q, &id, 1, logits, 1, &e), 0);
    }
    free(logits);
    seq_free(q);
    model_close(m);
    seen_free(s);
    eng_free(g);
}

static void the_same_bits_whatever_runs_beside(void **state)
{
    (void)state;
    struct eng *a =
        engine_with((struct eng_config){.n_threads = 1, .speculate = ENG_SPECULATE_OFF});
    struct eng *b = engine_with((struct eng_config){.n_threads = 2, .speculate = ENG_SPECULATE_ON});
    struct eng_options o = options(50, 0), other = options(50, 0.9f);
    struct seen *x = look(a, 3, "one two one two", &o, 5);
    struct answer *c = answer_new();
    struct eng_job *j = submit(b, c, 3, "something else", &other, (struct eng_request){0});
    struct seen *y = look(b, 3, "one two one two", &o, 5);
    answer_wait(c);
    assert_true(x->n > 20);
    assert_int_equal(x->n, y->n);
    assert_memory_equal(x->lp, y->lp, sizeof x->lp);
    assert_memory_equal(x->top_lp, y->top_lp, sizeof x->top_lp);
    assert_memory_equal(x->top, y->top, sizeof x->top);
    eng_job_release(j);
    answer_free(c);
    seen_free(x);
    seen_free(y);
    eng_free(a);
    eng_free(b);
}

static double log_softmax(const float *logits, int n, tok_id id)
{
    double max = -INFINITY, sum = 0;
    for (int k = 0; k < n; k++)
        max = fmax(max, (double)logits[k]);
    for (int k = 0; k < n; k++)
        sum += exp((double)logits[k] - max);
    return (double)logits[id] - max - log(sum);
}

/* In chunks, beside another answer, with a prefix that the cache knows: always the same bits. */
static void a_prompt_is_scored_token_by_token(void **state)
{
    (void)state;
    static const char prompt[] = "the cat sat on the mat and on the hat and that was that, the cat said";
    struct eng *g = engine(2, 0);
    struct eng_options none = options(0, 0), other = options(60, 0.9f);
    struct seen *x = look_at(g, 0, prompt, NULL, &none, 3, true);
    struct answer *c = answer_new();
    struct eng_job *j = submit(g, c, 0, "something else", &other, (struct eng_request){0});
    struct seen *y = look_at(g, 0, prompt, NULL, &none, 3, true);
    answer_wait(c);
    const int n = x->a->stats.prompt_count - 1;
    assert_in_range(n, SCORED_MORE, MOST);
    assert_int_equal(x->n, n);
    assert_int_equal(y->n, n);
    assert_int_equal(y->a->stats.prompt_cached, 0);
    assert_memory_equal(x->lp, y->lp, sizeof x->lp);
    assert_memory_equal(x->top_lp, y->top_lp, sizeof x->top_lp);
    struct model *m = open_model(asking_store(), 0);
    struct err e = {0};
    struct seq *q = seq_new(m, &e);
    float *logits = malloc((size_t)model_n_vocab(m) * sizeof *logits);
    assert_non_null(q);
    assert_non_null(logits);
    const tok_id bos = tok_bos(model_vocab(m)); /* `context` holds none */
    for (int i = 0; i < n; i++) {
        assert_int_equal(seq_eval(q, i ? &x->a->context[i - 1] : &bos, 1, logits, 1, &e), 0);
        assert_float_equal(x->lp[i],
                           log_softmax(logits, tok_n_vocab(model_vocab(m)), x->a->context[i]), 1e-9);
    }
    free(logits);
    seq_free(q);
    model_close(m);
    eng_job_release(j);
    answer_free(c);
    seen_free(x);
    seen_free(y);
    eng_free(g);
}

static void nobody_who_did_not_ask_gets_entries(void **state)
{
    (void)state;
    struct eng *g = engine(1, 0);
    struct eng_options o = options(10, 0);
    struct seen *s = look(g, 0, "zzzzz", &o, -1);
    assert_int_equal(s->n, 0);
    seen_free(s);
    s = look(g, 0, "zzzzz", &o, 0);
    assert_int_equal(s->n, 10);
    for (int i = 0; i < s->n; i++)
        assert_int_equal(s->n_top[i], 0);
    seen_free(s);
    eng_free(g);
}

/* The answer as tokens: all bytes that were sampled. */
static size_t bytes_of(const struct seen *s, char *out, size_t cap)
{
    size_t n = 0;
    for (int i = 0; i < s->n; i++)
        for (size_t k = 0; k < s->token_n[i] && n < cap; k++)
            out[n++] = s->token[i][k];
    return n;
}

static void a_stop_text_takes_its_entries_with_it(void **state)
{
    (void)state;
    struct eng *g = engine(1, 0);
    struct eng_options o = options(40, 0);
    struct seen *all = look(g, 3, "one two one two", &o, 2);
    char text[MOST * 32];
    const size_t n = bytes_of(all, text, sizeof text);
    /* A stop text of whole characters that begins within the answer. */
    int tried = 0;
    for (size_t at = 1; at + 3 <= n; at++) {
        char stop[4] = {0};
        memcpy(stop, text + at, 3);
        bool plain = true;
        for (int k = 0; k < 3; k++)
            plain &= stop[k] > 0;
        const char *first = memmem(text, n, stop, 3);
        if (!plain || first != text + at)
            continue;
        o.stops[0] = stop;
        o.n_stops = 1;
        struct seen *s = look(g, 3, "one two one two", &o, 2);
        assert_int_equal(s->a->stats.reason, ENG_STOP);
        int begun = 0; /* tokens that begin before the stop text */
        for (size_t sum = 0; begun < all->n && sum < at; begun++)
            sum += all->token_n[begun];
        assert_int_equal(s->n, begun);
        assert_memory_equal(s->lp, all->lp, (size_t)begun * sizeof *s->lp);
        tried++;
        seen_free(s);
    }
    o.n_stops = 0;
    assert_true(tried > 0);
    seen_free(all);
    eng_free(g);
}

static void entries_come_with_the_text_of_their_token(void **state)
{
    (void)state;
    struct eng *g = engine(1, 0);
    struct eng_options o = options(40, 1);
    o.top_k = 0;
    for (int seed = 0; seed < 20; seed++) { /* random bytes: parts of characters occur */
        o.seed = seed;
        struct seen *s = look(g, 0, "zzzzz", &o, 0);
        const int ends = s->a->stats.reason == ENG_STOP; /* the end token has no entry */
        assert_int_equal(s->n, s->a->stats.eval_count - ends);
        for (int i = 0; i < s->n; i++) {
            /* A printable token of one byte stands in the piece that its entry came with. */
            if (s->token_n[i] == 1 && s->token[i][0] >= ' ' && s->token[i][0] <= '~')
                assert_non_null(memchr(s->a->text.p + s->text_at[i], s->token[i][0], s->text_n[i]));
        }
        seen_free(s);
    }
    eng_free(g);
}

static void entries_wait_while_their_text_is_held(void **state)
{
    (void)state;
    /* Without a vocabulary: bytes in, bytes out. */
    char *stops[] = {"stop"};
    struct piece p = {.stops = stops, .n_stops = 1};
    struct buf out = {0};
    piece_add(&p, "ab st", 5, &out);
    assert_int_equal(p.n_in, 5);
    assert_int_equal(p.n_out, 3);
    piece_add(&p, "o", 1, &out);
    assert_int_equal(p.n_out, 3);
    piece_add(&p, "ne \xc3", 4, &out);
    assert_int_equal(p.n_out, 9);
    piece_add(&p, "\xa4stop it", 9, &out);
    assert_int_equal(p.n_out, 11);
    assert_true(p.stopped);
    buf_free(&out);
    piece_free(&p);
}

/* Under a grammar the model's own probabilities are left, of what may come, and scaled to one: counts of
 * first tokens against the log-probabilities of the free softmax. */
static void a_grammar_restricts_the_distribution(void **state)
{
    (void)state;
    enum { N = 1500, WAYS = 5 };
    struct eng *g = engine(1, 0);
    double p[WAYS] = {0}, sum = 0, chi = 0;
    int n[WAYS] = {0};
    for (int i = 0; i < N; i++) {
        struct eng_options o = options(1, 1);
        o.seed = i;
        o.top_k = 0;
        o.top_p = 1;
        o.min_p = 0;
        struct seen *s = look_at(g, 0, "the cat", "root ::= [a-e] \"x\"", &o, 0, false);
        assert_int_equal(s->n, 1);
        const int way = s->token[0][0] - 'a';
        assert_true(s->token_n[0] == 1 && way >= 0 && way < WAYS);
        assert_true(!n[way] || p[way] == exp(s->lp[0]));
        p[way] = exp(s->lp[0]);
        n[way]++;
        seen_free(s);
    }
    for (int k = 0; k < WAYS; k++)
        sum += p[k];
    assert_true(sum < 0.5); /* the others would have had most of it */
    for (int k = 0; k < WAYS; k++) {
        assert_true(n[k] > 0);
        const double want = N * p[k] / sum;
        chi += (n[k] - want) * (n[k] - want) / want;
    }
    if (chi > 18.5) /* four degrees of freedom: one in a thousand, and seeds are fixed */
        fail_msg("chi squared %g", chi);
    eng_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_of_the_softmax_over_the_raw_logits),
        cmocka_unit_test(the_same_bits_whatever_runs_beside),
        cmocka_unit_test(a_prompt_is_scored_token_by_token),
        cmocka_unit_test(nobody_who_did_not_ask_gets_entries),
        cmocka_unit_test(a_stop_text_takes_its_entries_with_it),
        cmocka_unit_test(entries_come_with_the_text_of_their_token),
        cmocka_unit_test(entries_wait_while_their_text_is_held),
        cmocka_unit_test(a_grammar_restricts_the_distribution),
    };
    return cmocka_run_group_tests(tests, asking_open, asking_close);
}
