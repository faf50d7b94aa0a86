/* tests/test_engine_load.c - loading: what is refused and how it is said; the same bits whatever
 * the threads, the batch and the kernels. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <unistd.h>
#include <cmocka.h>
#include "engine/engine.h"
#include "engine/model/model.h"
#include "gguf/types.h"
#include "kernels/cpu.h"
#include "kernels/kernels.h"
#include "tests/tiny_model.h"

static char path[64];

static void refused(const struct tiny_model *t, const char *part)
{
    struct err e = {0};
    assert_int_equal(tiny_model_write(path, t, &e), 0);
    const struct model_config c = {.n_threads = 1};
    struct model *m = model_open(path, &c, &e);
    if (m)
        fail_msg("it was loaded; \"%s\" was expected", part);
    if (!strstr(e.text, part))
        fail_msg("\"%s\" is not in \"%s\"", part, e.text);
}

static void lies_are_refused_by_name(void **state)
{
    (void)state;
    static const struct { struct tiny_model t; const char *part; } cases[] = {
        {{.drop = "llama.block_count"}, "key \"llama.block_count\" is missing"},
        {{.drop = "llama.embedding_length"}, "key \"llama.embedding_length\" is missing"},
        {{.set_key = "llama.block_count", .set_value = 0}, "\"llama.block_count\" is 0"},
        {{.set_key = "llama.block_count", .set_value = 4000000000u}, "\"llama.block_count\" is 4e+09"},
        {{.set_key = "llama.block_count", .set_value = 3}, "tensor \"blk.2.attn_norm.weight\""},
        {{.set_key = "llama.attention.head_count", .set_value = 0}, "head_count\" is 0"},
        {{.set_key = "llama.attention.head_count", .set_value = 7}, "no multiple of"},
        {{.set_key = "llama.attention.head_count_kv", .set_value = 3}, "no multiple of 3"},
        {{.set_key = "llama.attention.head_count_kv", .set_value = 4}, "attn_k.weight\" has shape"},
        {{.set_key = "llama.embedding_length", .set_value = 96}, "has shape [64, 320, 1, 1]"},
        {{.set_key = "llama.feed_forward_length", .set_value = 64}, "ffn_gate.weight\" has shape"},
        {{.set_key = "llama.context_length", .set_value = 0}, "context_length\" is 0"},
        {{.drop = "token_embd.weight"}, "tensor \"token_embd.weight\" [64, 320] is missing"},
        {{.drop = "output_norm.weight"}, "tensor \"output_norm.weight\" [64, 1] is missing"},
        {{.drop = "blk.1.ffn_down.weight"}, "tensor \"blk.1.ffn_down.weight\" [128, 64] is missing"},
        {{.halve = "blk.0.attn_q.weight"}, "tensor \"blk.0.attn_q.weight\" has shape [64, 32"},
        {{.arch = "qwen2", .halve = "output.weight"}, "tensor \"output.weight\" has shape"},
        {{.arch = "gemma3", .drop = "blk.0.attn_q_norm.weight"}, "attn_q_norm.weight\" [16, 1] is missing"},
        {{.n_expert = 4, .set_key = "llama.expert_used_count", .set_value = 0},
         "expert_used_count\" is 0, it must be from 1 to the 4 experts"},
        {{.n_expert = 4, .set_key = "llama.expert_used_count", .set_value = 5},
         "expert_used_count\" is 5"},
        {{.n_expert = 4, .set_key = "llama.expert_count", .set_value = 5},
         "ffn_gate_inp.weight\" has shape [64, 4, 1, 1], [64, 5] is expected"},
        {{.n_expert = 4, .drop = "blk.1.ffn_up_exps.weight"},
         "tensor \"blk.1.ffn_up_exps.weight\" [64, 128, 4] is missing"},
        {{.n_expert = 4, .halve = "blk.0.ffn_down_exps.weight"},
         "has shape [128, 32, 4, 1], [128, 64, 4] is expected"},
        {{.arch = "qwen3moe", .n_expert = 4, .drop = "qwen3moe.expert_count"},
         "\"qwen3moe.expert_count\" is missing or 0"},
        {{.arch = "gemma3", .n_expert = 4}, "architecture \"gemma3\" with 4 experts is not"},
        {{.scaled = 2}, "tensor \"output.scale\" has shape [2, 1, 1, 1], [1, 1] is expected"},
        {{.arch = "mamba"}, "architecture \"mamba\" is not supported; supported are: llama"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        refused(&cases[i].t, cases[i].part);
}

static void a_model_without_output_is_tied(void **state)
{
    (void)state;
    struct err e = {0};
    assert_int_equal(tiny_model_write(path, &(struct tiny_model){.drop = "output.weight"}, &e), 0);
    const struct model_config c = {.n_threads = 1};
    struct model *m = model_open(path, &c, &e);
    assert_non_null(m);
    model_close(m);
}

enum { N = 150, VOCAB = 320 };

/* The model is closed. */
static float *logits_from(struct model *m, int piece)
{
    struct err e = {0};
    struct seq *s = seq_new(m, &e);
    float *out = malloc((size_t)N * VOCAB * sizeof *out);
    assert_non_null(out);
    tok_id ids[N];
    for (int i = 0; i < N; i++)
        ids[i] = (i * 37 + 11) % VOCAB;
    for (int i = 0; i < N; i += piece) {
        const int n = N - i < piece ? N - i : piece;
        assert_int_equal(seq_eval(s, ids + i, n, out + (size_t)i * VOCAB, n, &e), 0);
    }
    seq_free(s);
    model_close(m);
    return out;
}

static float *logits_of(const char *isa, int threads, int batch, enum eng_kv kv, int piece)
{
    struct err e = {0};
    const struct model_config c = {.isa = isa, .n_threads = threads, .n_batch = batch, .kv = kv};
    struct model *m = model_open(path, &c, &e);
    if (!m)
        fail_msg("%s", e.text);
    return logits_from(m, piece);
}

static void bits_do_not_depend_on_how(void **state)
{
    (void)state;
    static const struct tiny_model models[] = {
        {.seed = 1, .type = TYPE_F32}, {.seed = 2, .type = TYPE_Q4_0, .arch = "qwen2"},
        {.seed = 3, .type = TYPE_Q8_0, .arch = "gemma3", .n_layer = 7},
        {.seed = 4, .type = TYPE_Q4_0, .n_expert = 5},
        {.seed = 5, .type = TYPE_Q8_0, .arch = "qwen3moe", .n_expert = 8},
        {.seed = 6, .type = TYPE_Q4_0}}; /* the last two with caches of Q4_0, Q8_0 */
    const struct kernels *all[16];
    const int n_isa = kernels_all(all, 16);
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        struct err e = {0};
        assert_int_equal(tiny_model_write(path, &models[i], &e), 0);
        const enum eng_kv kv = models[i].seed == 6   ? ENG_KV_Q8_0
                               : models[i].seed == 5 ? ENG_KV_Q4_0
                                                     : ENG_KV_F16;
        float *want = logits_of("ref", 1, 512, kv, N);
        for (int k = 0; k < N * VOCAB; k++)
            assert_true(isfinite(want[k]));
        for (int isa = 0; isa < n_isa; isa++)
            for (int how = 0; how < 5; how++) {
                static const struct { int threads, batch, piece; } hows[5] = {
                    {1, 1, N}, {2, 512, N}, {2, 7, N}, {3, 64, 50}, {2, 512, 3}};
                float *got = logits_of(all[isa]->name, hows[how].threads, hows[how].batch, kv,
                                       hows[how].piece);
                if (memcmp(got, want, (size_t)N * VOCAB * sizeof *got))
                    fail_msg("model %zu: %s kernels, %d threads, batch %d, pieces of %d differ", i,
                             all[isa]->name, hows[how].threads, hows[how].batch, hows[how].piece);
                free(got);
            }
        free(want);
    }
}

/* What was cut off a sequence leaves no trace, within a page and across pages. */
static void a_cut_sequence_goes_on_as_a_fresh_one(void **state)
{
    (void)state;
    struct err e = {0};
    assert_int_equal(tiny_model_write(path, &(struct tiny_model){.type = TYPE_Q4_0}, &e), 0);
    const struct model_config c = {.n_threads = 2};
    struct model *m = model_open(path, &c, &e);
    assert_non_null(m);
    struct seq *s = seq_new(m, &e);
    assert_non_null(s);
    tok_id ids[N], other[N];
    float want[VOCAB], got[VOCAB];
    for (int i = 0; i < N; i++)
        ids[i] = (i * 37 + 11) % VOCAB, other[i] = (i * 91 + 5) % VOCAB;
    assert_int_equal(seq_eval(s, ids, N, want, 1, &e), 0);
    static const int keep[] = {100, 64, 1, 0};
    for (size_t k = 0; k < sizeof keep / sizeof keep[0]; k++) {
        assert_int_equal(seq_eval(s, other, N, got, 1, &e), 0);
        assert_int_equal(seq_cut(s, keep[k]), keep[k]);
        assert_int_equal(seq_cut(s, N), keep[k]); /* never longer than it is */
        assert_int_equal(seq_eval(s, ids + keep[k], N - keep[k], got, 1, &e), 0);
        assert_memory_equal(got, want, sizeof got);
    }
    seq_free(s);
    model_close(m);
}

/* On two memory nodes (the first CPU, and the others) each takes its part of every matrix first; nothing
 * of that shows. */
static void memory_nodes_do_not_change_bits(void **state)
{
    (void)state;
    static const struct tiny_model models[] = {{.seed = 2, .type = TYPE_Q4_0, .arch = "qwen2"},
                                               {.seed = 4, .type = TYPE_Q4_0, .n_expert = 5}};
    char root[] = "/tmp/chaski-load-sys-XXXXXX", cmd[512];
    cpu_set_t cpus;
    int first = 0;
    assert_non_null(mkdtemp(root));
    assert_int_equal(sched_getaffinity(0, sizeof cpus, &cpus), 0);
    while (!CPU_ISSET(first, &cpus))
        first++;
    snprintf(cmd, sizeof cmd,
             "cd %s && mkdir -p devices/system/node/node0 devices/system/node/node1 && cd "
             "devices/system/node && echo 0-1 >online && echo %d >node0/cpulist && echo %d-4095 "
             ">node1/cpulist", root, first, first + 1);
    assert_int_equal(system(cmd), 0);
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        struct err e = {0};
        assert_int_equal(tiny_model_write(path, &models[i], &e), 0);
        float *want = logits_of(NULL, 1, 512, ENG_KV_F16, N);
        for (int n = 1; n <= 5; n++) {
            struct gguf *g = gguf_open(path, &e);
            struct crew *crew = crew_new_under(n, root, "/nowhere", "/nowhere/self", &e);
            assert_true(g && crew);
            assert_int_equal(crew_nodes(crew), CPU_COUNT(&cpus) > 1 ? 2 : 1);
            const struct load_config c = {
                .k = kernels_pick(NULL, NULL), .crew = crew, .kv = KV_F16, .n_batch = 64};
            struct model *m = model_load(g, &c, &e);
            assert_non_null(m);
            m->owns_crew = true;
            gguf_close(g);
            float *got = logits_from(m, n % 2 ? N : 3);
            assert_memory_equal(got, want, (size_t)N * VOCAB * sizeof *got);
            free(got);
        }
        free(want);
    }
    snprintf(cmd, sizeof cmd, "rm -rf %s", root);
    assert_int_equal(system(cmd), 0);
}

/* NVFP4 files: a factor beside a matrix, or one for each expert. */
static void products_are_multiplied_by_the_scale_beside_the_matrix(void **state)
{
    (void)state;
    static const struct tiny_model models[] = {{.seed = 1, .type = TYPE_F32},
                                               {.seed = 3, .type = TYPE_Q8_0, .arch = "gemma3"},
                                               {.seed = 4, .type = TYPE_Q4_0, .n_expert = 5}};
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        struct err e = {0};
        struct tiny_model t = models[i];
        assert_int_equal(tiny_model_write(path, &t, &e), 0);
        float *want = logits_of(NULL, 2, 512, ENG_KV_F16, N);
        t.scaled = 1;
        assert_int_equal(tiny_model_write(path, &t, &e), 0);
        for (int piece = 1; piece <= N; piece += N - 1) {
            float *got = logits_of(NULL, 2, 512, ENG_KV_F16, piece);
            assert_memory_equal(got, want, (size_t)N * VOCAB * sizeof *got);
            free(got);
        }
        free(want);
    }
}

/* Numerics that are fast change the bits of prompts where the CPU can; unasked nobody gets them. */
static void fast_numerics_are_said_and_near(void **state)
{
    (void)state;
    static const struct tiny_model models[] = {{.seed = 1, .type = TYPE_F32},
                                               {.seed = 4, .type = TYPE_F32, .n_expert = 5},
                                               {.seed = 2, .type = TYPE_Q4_0, .arch = "qwen2"}};
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        struct err e = {0};
        assert_int_equal(tiny_model_write(path, &models[i], &e), 0);
        float *out[2];
        const char *numerics[2];
        tok_id ids[N];
        for (int k = 0; k < N; k++)
            ids[k] = (k * 37 + 11) % VOCAB;
        for (int fast = 0; fast < 2; fast++) {
            const struct model_config c = {.n_threads = 2, .fast = fast};
            struct model *m = model_open(path, &c, &e);
            assert_non_null(m);
            struct seq *s = seq_new(m, &e);
            out[fast] = malloc((size_t)N * VOCAB * sizeof(float));
            assert_true(s && out[fast]);
            assert_int_equal(seq_eval(s, ids, N, out[fast], N, &e), 0);
            numerics[fast] = model_numerics(m);
            seq_free(s);
            model_close(m);
        }
        assert_string_equal(numerics[0], "exact");
        double err2 = 0, y2 = 0;
        for (int k = 0; k < N * VOCAB; k++) {
            const double d = (double)out[1][k] - out[0][k];
            err2 += d * d;
            y2 += (double)out[0][k] * out[0][k];
        }
        /* A dozen products one after the other, each off by 2^-16 of its mean square at most; but a
         * token whose experts are nearly equal may come to others. */
        assert_true(err2 < (models[i].n_expert ? 0.05 : 16 * 0x1p-16) * y2);
        if (!strcmp(numerics[1], "exact"))
            assert_true(err2 == 0);
        else
            assert_true(err2 > 0);
        free(out[0]);
        free(out[1]);
    }
}

static int setup(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "/tmp/chaski-load-XXXXXX");
    const int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lies_are_refused_by_name),
        cmocka_unit_test(a_model_without_output_is_tied),
        cmocka_unit_test(bits_do_not_depend_on_how),
        cmocka_unit_test(a_cut_sequence_goes_on_as_a_fresh_one),
        cmocka_unit_test(memory_nodes_do_not_change_bits),
        cmocka_unit_test(products_are_multiplied_by_the_scale_beside_the_matrix),
        cmocka_unit_test(fast_numerics_are_said_and_near),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
