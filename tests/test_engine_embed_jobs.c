/* tests/test_engine_embed_jobs.c - requests for vectors side by side: good ones, wrong ones, ones
 * whose client leaves, and text beside them. Vectors have the same bits in any company. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/asking.h"

enum { N_TEXTS = 150, N_JOBS = 24, MOST = 64 };

static char texts[N_TEXTS][700];
static float *alone[N_TEXTS];
static int n_dims;

struct want {
    struct answer *a;
    int first, n;
    bool same, is_wrong;
};

static void on_done(void *arg, const struct eng_stats *s)
{
    struct want *w = arg;
    w->same = s->n_vectors == (size_t)w->n;
    for (int i = 0; i < w->n && s->n_vectors; i++) {
        const float *v = s->vectors + (size_t)i * (size_t)s->n_dims;
        float **slot = &alone[(w->first + i) % N_TEXTS];
        n_dims = s->n_dims;
        if (!*slot && (*slot = malloc((size_t)n_dims * sizeof *v)))
            memcpy(*slot, v, (size_t)n_dims * sizeof *v);
        w->same = w->same && !memcmp(*slot, v, (size_t)n_dims * sizeof *v);
    }
    const struct eng_sink sink = answer_sink(w->a);
    sink.done(sink.arg, s);
}

static void on_fail(void *arg, const struct err *e)
{
    struct want *w = arg;
    const struct eng_sink sink = answer_sink(w->a);
    (sink.fail)(sink.arg, e); /* cmocka has a macro of that name */
}

static struct eng_job *start(struct eng *g, struct want *w, int first, int n, bool wrong)
{
    struct eng_input in[MOST + 1];
    struct eng_job *j = NULL;
    struct err e = {0};
    static const tok_id beyond[] = {1 << 20};
    struct eng_options o = options(0, 0);
    *w = (struct want){.a = answer_new(), .first = first, .n = n, .is_wrong = wrong};
    for (int i = 0; i < n; i++) {
        const char *t = texts[(first + i) % N_TEXTS];
        in[i] = (struct eng_input){.p = t, .n = strlen(t)};
    }
    if (wrong) /* the last one is no token of this model */
        in[n - 1] = (struct eng_input){.ids = beyond, .n = 1};
    const struct eng_request r = {.kind = ENG_EMBED,
                                  .model = asking_model(0),
                                  .inputs = in,
                                  .n_inputs = (size_t)n,
                                  .options = &o};
    const struct eng_sink sink = {.arg = w, .done = on_done, .fail = on_fail};
    assert_int_equal(eng_submit(g, &r, &sink, &j, &e), 0);
    return j;
}

static void vectors_are_the_same_in_any_company(void **state)
{
    (void)state;
    struct eng *g = engine(2, 0);
    for (int i = 0; i < N_TEXTS; i++) { /* of all lengths, the empty one among them */
        texts[i][0] = 0;
        for (int k = 0; k < (i * i) % 97; k++)
            snprintf(texts[i] + strlen(texts[i]), 16, "%c%d ", 'a' + (i + k) % 26, k * i % 10);
        struct want w;
        struct eng_job *j = start(g, &w, i, 1, false);
        answer_wait(w.a);
        assert_false(w.a->failed);
        eng_job_release(j);
        answer_free(w.a);
    }
    struct answer *text = NULL;
    for (int round = 0; round < 3; round++) {
        struct want w[N_JOBS];
        struct eng_job *j[N_JOBS];
        struct eng_options o = options(24, 0);
        struct answer *t = answer_new();
        struct eng_job *generating =
            submit(g, t, 0, "Once upon a time", &o, (struct eng_request){0});
        for (int i = 0; i < N_JOBS; i++)
            j[i] = start(g, &w[i], i * 31 + round, 1 + (i * 7 + round) % MOST, i % 5 == 4);
        for (int i = 3; i < N_JOBS; i += 6)
            eng_job_cancel(j[i]);
        for (int i = 0; i < N_JOBS; i++) {
            answer_wait(w[i].a);
            const bool cancelled = w[i].a->failed && w[i].a->e.code == ERR_CANCELLED;
            if (w[i].is_wrong)
                assert_true(w[i].a->failed && (cancelled || w[i].a->e.code == ERR_INPUT));
            else if (i % 6 != 3)
                assert_false(w[i].a->failed);
            if (!w[i].a->failed)
                assert_true(w[i].same);
            eng_job_release(j[i]);
            answer_free(w[i].a);
        }
        answer_wait(t);
        assert_false(t->failed);
        if (text)
            assert_string_equal(t->text.p, text->text.p);
        eng_job_release(generating);
        if (text)
            answer_free(t);
        else
            text = t;
    }
    answer_free(text);
    eng_free(g);
    for (int i = 0; i < N_TEXTS; i++)
        free(alone[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(vectors_are_the_same_in_any_company)};
    return cmocka_run_group_tests(tests, asking_open, asking_close);
}
