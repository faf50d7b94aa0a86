/* tests/test_engine_prefix.c - the prefix cache changes the time and nothing else.
 *
 * Three levels: the pages alone against a simple model of what must be found; a model's logits on
 * pages that others computed, bit for bit; and whole answers, warm against cold. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "engine/model/packing.h"
#include "engine/sched/sched.h"
#include "tests/asking.h"
#include "tests/tiny_model.h"

/* ---- pages alone ------------------------------------------------------------------------------
 */

/* A page of these tests holds what its positions stand for: a running hash of the tokens up to
 * each. Whoever reads a page that does not fit its tokens is found out. */
enum { SEQS = 6, LENGTH = 700 };

struct text_seq {
    struct kv_table kv;
    tok_id ids[LENGTH];
    int64_t n, n_done;
    const char *scope;
};

static uint64_t x = 1;

static int rnd(int n)
{
    x = x * 6364136223846793005u + 1442695040888963407u;
    return (int)((x >> 33) % (uint64_t)n);
}

static uint64_t meaning(const struct text_seq *s, int64_t pos)
{
    uint64_t h = s->scope ? (uint8_t)*s->scope : 7;
    for (int64_t i = 0; i <= pos; i++)
        h = (h ^ (uint64_t)s->ids[i]) * 1099511628211u + 1;
    return h;
}

static void check_pages(const struct text_seq *s)
{
    for (int64_t i = 0; i < s->n_done; i++) {
        uint64_t there;
        memcpy(&there, s->kv.pages[i / KV_PAGE] + 8 * (i % KV_PAGE), 8);
        if (there != meaning(s, i))
            fail_msg("position %d of %d holds something else", (int)i, (int)s->n_done);
    }
}

static void compute(struct kv_pool *p, struct text_seq *s, int64_t n)
{
    if (kv_grow(p, &s->kv, s->n_done + n, NULL))
        return;
    for (int64_t i = s->n_done; i < s->n_done + n; i++) {
        const uint64_t m = meaning(s, i);
        assert_true(i >= (int64_t)s->kv.n_shared * KV_PAGE); /* nobody writes to a shared page */
        memcpy(s->kv.pages[i / KV_PAGE] + 8 * (i % KV_PAGE), &m, 8);
    }
    s->n_done += n;
    kv_share(p, &s->kv, s->ids, s->n_done, s->scope);
}

static void account(const struct kv_pool *p, const struct text_seq *s)
{
    uint64_t held = 0;
    for (int i = 0; i < SEQS; i++)
        for (size_t k = 0; k < s[i].kv.n; k++) {
            bool before = false;
            for (int j = 0; j <= i && !before; j++)
                for (size_t l = 0; l < (j < i ? s[j].kv.n : k); l++)
                    before |= s[j].kv.pages[l] == s[i].kv.pages[k];
            held += !before;
        }
    assert_int_equal(held + p->n_free + p->n_cached, p->n_live);
    assert_true(p->n_cached <= p->n_cached_most);
    assert_true(!p->n_limit || p->n_live <= p->n_limit);
}

static void random_sequences_never_read_or_write_what_is_not_theirs(void **state)
{
    (void)state;
    for (int round = 0; round < 12; round++) {
        struct kv_pool p = {.page_bytes = 8 * KV_PAGE,
                            .n_limit = round % 3 == 1   ? 40
                                       : round % 3 == 2 ? 20
                                                        : 0,
                            .n_cached_most = round % 4 == 3 ? 5
                                             : round == 8   ? 0
                                                            : 1000};
        struct text_seq s[SEQS] = {0};
        int64_t found = 0;
        for (int step = 0; step < 1500; step++) {
            struct text_seq *t = &s[rnd(SEQS)];
            switch (rnd(8)) {
            case 0: /* a new text, mostly from a few beginnings */
                kv_leave(&p, &t->kv, t->ids, t->n_done, t->scope);
                t->n = 1 + rnd(LENGTH);
                t->scope = rnd(4) ? NULL : rnd(2) ? "a" : "b";
                for (int64_t i = 0, odd = rnd(4) * 100 + rnd(70), kind = rnd(3); i < t->n; i++)
                    t->ids[i] = (tok_id)(i < odd ? kind : rnd(2));
                t->n_done = kv_find(&p, &t->kv, t->ids, t->n, t->scope);
                assert_true(t->n_done < t->n);
                found += t->n_done;
                break;
            case 1: /* paused, and on again */
                kv_shrink(&p, &t->kv, 0);
                t->n_done = t->n ? kv_find(&p, &t->kv, t->ids, t->n, t->scope) : 0;
                break;
            case 2: /* a shift: some of the beginning stays */
                if (t->n_done) {
                    const int64_t keep = rnd((int)t->n_done + 1);
                    t->n_done = kv_cut(&p, &t->kv, keep);
                    assert_true(t->n_done <= keep);
                    for (int64_t i = keep; i < t->n; i++)
                        t->ids[i] = rnd(2);
                }
                break;
            case 3: /* in the middle of a prompt: somebody else may have been faster */
                if (t->n && t->n_done == (int64_t)t->kv.n_shared * KV_PAGE)
                    t->n_done = kv_find(&p, &t->kv, t->ids, t->n, t->scope);
                break;
            case 4:
                if (!rnd(10))
                    kv_pool_give_back(&p, (uint64_t)rnd(8) * p.page_bytes);
                break;
            default:
                if (t->n_done < t->n)
                    compute(&p, t, 1 + rnd((int)(t->n - t->n_done)));
            }
            check_pages(t);
            account(&p, s);
        }
        if (p.n_cached_most > 5)
            assert_true(found > 1000);
        else if (!p.n_cached_most)
            assert_int_equal(found, 0);
        for (int i = 0; i < SEQS; i++)
            kv_leave(&p, &s[i].kv, s[i].ids, s[i].n_done, s[i].scope);
        assert_int_equal(p.n_free + p.n_cached, p.n_live);
        const uint64_t idle = kv_pool_idle_bytes(&p);
        assert_int_equal(kv_pool_give_back(&p, UINT64_MAX), idle);
        assert_int_equal(p.n_live, 0);
        kv_pool_free(&p);
    }
}

static void the_oldest_goes_first_and_a_prefix_after_what_follows(void **state)
{
    (void)state;
    struct kv_pool p = {.page_bytes = 8 * KV_PAGE, .n_cached_most = 100};
    struct text_seq s = {.n = 4 * KV_PAGE + 1};
    for (int kind = 1; kind < 4; kind++) {
        for (int i = 0; i < s.n; i++)
            s.ids[i] = kind;
        s.n_done = 0;
        compute(&p, &s, s.n);
        kv_leave(&p, &s.kv, s.ids, s.n_done, NULL);
    }
    assert_int_equal(p.n_cached, 12);
    kv_pool_give_back(&p,
                      6 * p.page_bytes); /* one was free: the fifth page, too short for a tail */
    for (int kind = 1; kind < 4; kind++) {
        for (int i = 0; i < s.n; i++)
            s.ids[i] = kind;
        const int64_t n = kv_find(&p, &s.kv, s.ids, s.n, NULL);
        assert_int_equal(n, (kind == 1 ? 0 : kind == 2 ? 3 : 4) * KV_PAGE);
        kv_shrink(&p, &s.kv, 0);
    }
    kv_table_free(&p, &s.kv);
    kv_pool_free(&p);
}

/* ---- logits
 * --------------------------------------------------------------------------------------- */

static void eval(struct model *m, struct kv_table *t, const tok_id *ids, int64_t from, int64_t n,
                 int chunk, float *logits)
{
    struct err e = {0};
    while (from < n) {
        const int rows = n - from < chunk ? (int)(n - from) : chunk;
        assert_int_equal(kv_grow(&m->pool, t, from + rows, &e), 0);
        const struct run run = {.n = rows,
                                .pos0 = from,
                                .tokens = ids + from,
                                .pages = t->pages,
                                .n_logits = from + rows == n};
        struct step step = {.runs = &run, .n_runs = 1, .n_rows = rows};
        if (model_step(m, &step, &e))
            fail_msg("%s", e.text);
        from += rows;
        kv_share(&m->pool, t, ids, from, NULL);
        if (from == n)
            memcpy(logits, step.logits, (size_t)model_n_vocab(m) * sizeof *logits);
    }
}

static void logits_on_pages_of_others_are_the_same_bits(void **state)
{
    (void)state;
    static const char *const archs[] = {"llama", "gemma3", "qwen2", "qwen3moe"};
    enum { N = 64 * 5 + 21, VOCAB = 320 };
    tok_id ids[N];
    for (int i = 0; i < N; i++)
        ids[i] = 3 + rnd(300);
    for (int arch = 0; arch < 4; arch++)
        for (int kv = ENG_KV_F16; kv <= ENG_KV_Q4_0; kv++) {
            char path[] = "/tmp/chaski-prefix-XXXXXX";
            close(mkstemp(path));
            struct err e = {0};
            const struct tiny_model tiny = {
                .arch = archs[arch], .seed = 5, .type = TYPE_Q8_0, .n_expert = arch == 3 ? 4 : 0};
            assert_int_equal(tiny_model_write(path, &tiny, &e), 0);
            const struct model_config c = {.n_threads = 1, .kv = (enum eng_kv)kv};
            struct model *m = model_open(path, &c, &e);
            unlink(path);
            if (!m)
                fail_msg("%s", e.text);
            m->pool.n_cached_most = 100;
            struct kv_table cold = {0}, warm = {0};
            float want[VOCAB], got[VOCAB];
            eval(m, &cold, ids, 0, N, 70, want);
            /* Whole pages while the first one still runs, then its tail too. */
            assert_int_equal(kv_find(&m->pool, &warm, ids, N, NULL), 5 * KV_PAGE);
            eval(m, &warm, ids, 5 * KV_PAGE, N, 512, got);
            assert_memory_equal(got, want, sizeof want);
            kv_table_free(&m->pool, &warm);
            kv_leave(&m->pool, &cold, ids, N, NULL);
            assert_int_equal(kv_find(&m->pool, &warm, ids, N, NULL), N - 1);
            eval(m, &warm, ids, N - 1, N, 512, got);
            assert_memory_equal(got, want, sizeof want);
            kv_leave(&m->pool, &warm, ids, N, NULL);
            /* Another end behind the same beginning, against a pool that never saw any of it. */
            tok_id other[N];
            memcpy(other, ids, sizeof other);
            for (int i = 64 * 3 + 30; i < N; i++)
                other[i] = 3 + rnd(300);
            const int64_t n = kv_find(&m->pool, &warm, other, N, NULL);
            assert_int_equal(n, 64 * 3 + 30); /* the beginning of a page is copied */
            eval(m, &warm, other, n, N, 33, got);
            kv_leave(&m->pool, &warm, other, N, NULL);
            kv_pool_give_back(&m->pool, UINT64_MAX);
            assert_int_equal(m->pool.n_live, 0);
            eval(m, &cold, other, 0, N, 512, want);
            assert_memory_equal(got, want, sizeof want);
            /* A cut in the middle of a shared page writes to a copy. */
            kv_shrink(&m->pool, &warm, 0);
            assert_int_equal(kv_find(&m->pool, &warm, other, N, NULL), 64 * 5);
            assert_int_equal(kv_cut(&m->pool, &warm, 100), 100);
            eval(m, &warm, ids, 100, N, 512, got); /* the two are the same up to there */
            eval(m, &cold, other, N - 1, N, 512, got);
            assert_memory_equal(got, want, sizeof want);
            kv_table_free(&m->pool, &warm);
            kv_table_free(&m->pool, &cold);
            model_close(m);
        }
}

/* ---- answers
 * ------------------------------------------------------------------------------------- */

static char *words(int n, int seed) /* text of n bytes, the same for the same seed */
{
    static const char *const some[] = {"the ", "cat ", "sat on ", "a mat, ", "then ", "it ran. "};
    char *t = calloc(1, (size_t)n + 16);
    assert_non_null(t);
    uint64_t y = (uint64_t)seed;
    while (strlen(t) < (size_t)n) {
        y = y * 6364136223846793005u + 1442695040888963407u;
        strcat(t, some[(y >> 33) % 6]);
    }
    t[n] = 0;
    return t;
}

static void assert_same_answer(const struct answer *a, const struct answer *b)
{
    assert_int_equal(a->failed, b->failed);
    assert_int_equal(a->text.n, b->text.n);
    if (a->text.n)
        assert_memory_equal(a->text.p, b->text.p, a->text.n);
    assert_int_equal(a->stats.reason, b->stats.reason);
    assert_int_equal(a->stats.prompt_count, b->stats.prompt_count);
    assert_int_equal(a->stats.eval_count, b->stats.eval_count);
    assert_int_equal(a->stats.context_shifts, b->stats.context_shifts);
}

static void a_prompt_that_comes_again_is_found(void **state)
{
    (void)state;
    struct eng *g = engine(1, 0);
    char *t = words(300, 1);
    struct eng_options o = options(20, 0);
    struct answer *a = ask(g, 0, t, &o, (struct eng_request){.want_context = true});
    assert_int_equal(a->stats.prompt_cached, 0);
    struct answer *b = ask(g, 0, t, &o, (struct eng_request){0});
    assert_same_answer(a, b);
    assert_int_equal(b->stats.prompt_cached, b->stats.prompt_count - 1);
    /* What was generated is found too: the next turn of a conversation. */
    struct answer *c =
        ask(g, 0, " and then", &o,
            (struct eng_request){.context = a->context, .n_context = a->stats.n_context});
    assert_int_equal(c->stats.prompt_cached, a->stats.prompt_count + a->stats.eval_count - 1);
    struct eng *off = engine_with((struct eng_config){.n_threads = 1, .prefix_bytes = -1});
    for (int i = 0; i < 2; i++) {
        struct answer *d =
            ask(off, 0, " and then", &o,
                (struct eng_request){.context = a->context, .n_context = a->stats.n_context});
        assert_int_equal(d->stats.prompt_cached, 0);
        assert_same_answer(c, d);
        answer_free(d);
    }
    answer_free(a);
    answer_free(b);
    answer_free(c);
    free(t);
    eng_free(g);
    eng_free(off);
}

static void scopes_do_not_see_each_other(void **state)
{
    (void)state;
    struct eng *g = engine(1, 0);
    struct eng_options o = options(4, 0);
    for (int n = 40; n < 300; n += 130) {
        char *t = words(n, n);
        static const char *const scopes[] = {"alice", "bob", NULL, "alic"};
        for (int pass = 0; pass < 2; pass++)
            for (int i = 0; i < 4; i++) {
                struct answer *a = ask(g, 0, t, &o, (struct eng_request){.cache_scope = scopes[i]});
                assert_int_equal(a->stats.prompt_cached, pass ? a->stats.prompt_count - 1 : 0);
                answer_free(a);
            }
        free(t);
    }
    eng_free(g);
}

/* The pool of the only loaded model, while nothing runs. */
static struct kv_pool *pool_of(struct eng *g)
{
    pthread_mutex_lock(&g->lock);
    struct kv_pool *p = &g->slots->m->pool;
    pthread_mutex_unlock(&g->lock);
    return p;
}

enum { MANY = 9 };

/* Requests with beginnings in common, one after the other without a cache. */
static void make_requests(char **prompts, struct eng_options *o)
{
    char *head = words(230, 7);
    for (int i = 0; i < MANY; i++) {
        char *end = words(20 + 25 * (i % 4), 100 + i % 3);
        prompts[i] = calloc(1, 600);
        assert_non_null(prompts[i]);
        snprintf(prompts[i], 600, "%.*s%s", i % 4 == 3 ? 90 : 230, head, end);
        o[i] = options(30 + 15 * (i % 5), i % 2 ? 0.8f : 0);
        o[i].seed = i / 2;
        if (i % 3 == 2) { /* a prompt that is cut, an answer that shifts */
            o[i].num_ctx = 100 + 10 * i;
            o[i].num_keep = 10 * i;
            o[i].num_predict = 120;
        }
        free(end);
    }
    free(head);
}

static void warm_or_cold_alone_or_together_the_answers_are_the_same(void **state)
{
    (void)state;
    char *prompts[MANY];
    struct eng_options o[MANY];
    make_requests(prompts, o);
    for (int model = 0; model < 4; model += 3)
        for (int kv = ENG_KV_F16; kv <= ENG_KV_Q4_0; kv++) {
            struct answer *want[MANY];
            struct eng *cold = engine_with((struct eng_config){.n_threads = 2,
                                                               .prefix_bytes = -1,
                                                               .kv = (enum eng_kv)kv,
                                                               .speculate = ENG_SPECULATE_OFF});
            for (int i = 0; i < MANY; i++)
                want[i] = ask(cold, model, prompts[i], &o[i], (struct eng_request){0});
            const size_t page = pool_of(cold)->page_bytes;
            const uint64_t fixed = cold->slots->reserved; /* of two threads, as way 3 has */
            eng_free(cold);
            int shifts = 0, cached = 0;
            for (int way = 0; way < 4; way++) { /* much memory, a small cache, few pages at all */
                struct eng *g = engine_with((struct eng_config){
                    .n_threads = way % 2 + 1,
                    .kv = (enum eng_kv)kv,
                    .speculate = way % 2 ? ENG_SPECULATE_ON : ENG_SPECULATE_AUTO,
                    .prefix_bytes = way == 2 ? 3 * (int64_t)page : 0,
                    .memory_bytes = way == 3 ? fixed + 14 * page : 0});
                for (int round = 0; round < 3; round++) {
                    struct answer *a[MANY];
                    struct eng_job *j[MANY];
                    for (int i = 0; i < MANY; i++) {
                        a[i] = answer_new();
                        j[i] = submit(g, a[i], model, prompts[i], &o[i], (struct eng_request){0});
                        if (round == 2)
                            answer_wait(a[i]);
                    }
                    for (int i = 0; i < MANY; i++) {
                        answer_wait(a[i]);
                        eng_job_release(j[i]);
                        if (a[i]->failed)
                            fail_msg("%s", a[i]->e.text);
                        assert_same_answer(a[i], want[i]);
                        shifts += a[i]->stats.context_shifts;
                        cached += a[i]->stats.prompt_cached;
                        answer_free(a[i]);
                    }
                }
                const struct kv_pool *p = pool_of(g);
                assert_int_equal(p->n_free + p->n_cached, p->n_live); /* nobody holds a page */
                eng_free(g);
            }
            print_message("model %d, cache type %d: %d shifts, %d tokens found\n", model, kv,
                          shifts, cached);
            assert_true(shifts > 0 || !model);
            assert_true(cached > 1000);
            for (int i = 0; i < MANY; i++)
                answer_free(want[i]);
        }
    for (int i = 0; i < MANY; i++)
        free(prompts[i]);
}

/* Eight ask the same at once: each page is computed by one of them, the others wait for it. */
static void the_same_prompt_at_once_is_computed_once(void **state)
{
    (void)state;
    enum { SAME = 8 };
    struct eng *g = engine(2, 0);
    char *t = words(900, 3);
    struct answer *a[SAME];
    struct eng_job *j[SAME];
    struct eng_options o = options(10, 0);
    o.num_batch = 16; /* many steps: they meet in the middle of the prompt */
    for (int i = 0; i < SAME; i++) {
        a[i] = answer_new();
        j[i] = submit(g, a[i], 0, t, &o, (struct eng_request){0});
    }
    int computed = 0;
    for (int i = 0; i < SAME; i++) {
        answer_wait(a[i]);
        eng_job_release(j[i]);
        assert_same_answer(a[i], a[0]);
        computed += a[i]->stats.prompt_count - a[i]->stats.prompt_cached;
    }
    print_message("%d prompts of %d tokens: %d computed\n", SAME, a[0]->stats.prompt_count, computed);
    assert_true(computed <= a[0]->stats.prompt_count + (SAME - 1) * KV_PAGE);
    for (int i = 0; i < SAME; i++)
        answer_free(a[i]);
    free(t);
    eng_free(g);
}

/* Clients that go away in the queue, in the prompt, among the answers: their pages come back. */
static void who_leaves_leaves_no_page_behind(void **state)
{
    (void)state;
    for (int cache = 0; cache < 2; cache++) {
        struct eng *g = engine_with((struct eng_config){
            .n_threads = 1, .n_parallel = 4, .prefix_bytes = cache ? 0 : -1});
        char *t = words(1500, 5);
        struct eng_options load = options(1, 0);
        answer_free(ask(g, 3, "x", &load, (struct eng_request){0}));
        for (int round = 0; round < 40; round++) {
            struct answer *a[8];
            struct eng_job *j[8];
            struct eng_options o = options(-1, 0);
            o.num_batch = 1 + rnd(40);
            for (int i = 0; i < 8; i++) {
                a[i] = answer_new();
                j[i] = submit(g, a[i], 3, t + rnd(3) * 40 + (i % 2 ? 1300 : 0), &o,
                              (struct eng_request){0});
            }
            for (int i = 0; i < 8; i++) {
                usleep((useconds_t)rnd(400));
                eng_job_cancel(j[7 - i]);
            }
            for (int i = 0; i < 8; i++) {
                answer_wait(a[i]);
                assert_true(!a[i]->failed || a[i]->e.code == ERR_CANCELLED);
                eng_job_release(j[i]);
                answer_free(a[i]);
            }
            const struct kv_pool *p = pool_of(g);
            assert_int_equal(p->n_free + p->n_cached, p->n_live);
            assert_true(cache || !p->n_cached);
        }
        free(t);
        eng_free(g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_sequences_never_read_or_write_what_is_not_theirs),
        cmocka_unit_test(the_oldest_goes_first_and_a_prefix_after_what_follows),
        cmocka_unit_test(logits_on_pages_of_others_are_the_same_bits),
        cmocka_unit_test(a_prompt_that_comes_again_is_found),
        cmocka_unit_test(scopes_do_not_see_each_other),
        cmocka_unit_test(who_leaves_leaves_no_page_behind),
        cmocka_unit_test(the_same_prompt_at_once_is_computed_once),
        cmocka_unit_test(warm_or_cold_alone_or_together_the_answers_are_the_same),
    };
    return cmocka_run_group_tests(tests, asking_open, asking_close);
}
