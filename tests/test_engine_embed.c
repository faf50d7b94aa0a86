/* tests/test_engine_embed.c - encoders against the paper in double, and the WordPiece tokenizer, on
 * small random models of the test's own. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "engine/engine.h"
#include "gguf/gguf.h"

enum { EMBD = 48, HEADS = 3, D = EMBD / HEADS, FF = 80, LAYERS = 2, CTX = 1200 };

static const char *const words[] = {
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "▁the", "▁cat", "s",  "▁s", "▁at",  "▁!", "▁a",
    "▁b",    "b",     "▁中",   "▁ha",   "ll",   "o",    "▁[", "▁]", "▁cls", "▁i",
};
enum { VOCAB = sizeof words / sizeof *words };

/* ---- a model: its weights in memory, and its file ------------------------------------------ */

struct net {
    bool nomic;
    float tok[VOCAB * EMBD], pos[CTX * EMBD], type[2 * EMBD], norm[2 * EMBD];
    struct {
        float qkv[3 * EMBD * EMBD], bqkv[3 * EMBD], o[EMBD * EMBD], bo[EMBD], n1[2 * EMBD];
        float gate[FF * EMBD], up[FF * EMBD], bup[FF], down[EMBD * FF], bdown[EMBD], n2[2 * EMBD];
    } l[LAYERS];
};
static struct net nets[2];
static char paths[2][64];

static uint64_t seed = 5;
static void fill(float *p, size_t n, float mean, float sd)
{
    for (size_t i = 0; i < n; i++) {
        float s = 0;
        for (int k = 0; k < 4; k++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            s += (float)(seed >> 40) * 0x1p-24f - 0.5f;
        }
        p[i] = mean + 1.7f * sd * s;
    }
}

static void net_fill(struct net *n)
{
    const float sd = 1.6f / sqrtf(EMBD);
    fill(n->tok, VOCAB * EMBD, 0, 1);
    fill(n->pos, CTX * EMBD, 0, 0.7f);
    fill(n->type, 2 * EMBD, 0, 0.5f);
    fill(n->norm, EMBD, 1, 0.2f);
    fill(n->norm + EMBD, EMBD, 0, 0.2f);
    for (int i = 0; i < LAYERS; i++) {
        fill(n->l[i].qkv, 3 * EMBD * EMBD, 0, sd);
        fill(n->l[i].bqkv, 3 * EMBD, 0, 0.2f);
        fill(n->l[i].o, EMBD * EMBD, 0, sd);
        fill(n->l[i].bo, EMBD, 0, 0.2f);
        fill(n->l[i].n1, EMBD, 1, 0.2f);
        fill(n->l[i].n1 + EMBD, EMBD, 0, 0.2f);
        fill(n->l[i].gate, FF * EMBD, 0, sd);
        fill(n->l[i].up, FF * EMBD, 0, sd);
        fill(n->l[i].bup, FF, 0, 0.2f);
        fill(n->l[i].down, EMBD * FF, 0, sd);
        fill(n->l[i].bdown, EMBD, 0, 0.2f);
        fill(n->l[i].n2, EMBD, 1, 0.2f);
        fill(n->l[i].n2 + EMBD, EMBD, 0, 0.2f);
    }
}

static struct gguf_writer *w;
static char names[400][64]; /* tensors' names must live until the end */
static int n_names;

static void put(const char *name, const float *p, uint64_t cols, uint64_t rows)
{
    struct err e = {0};
    char *own = names[n_names++];
    snprintf(own, sizeof names[0], "%s", name);
    const uint64_t dims[2] = {cols, rows};
    assert_int_equal(gguf_write_tensor(w, own, TYPE_F32, rows > 1 ? 2 : 1, dims, p, &e), 0);
}

static void put_layer(int il, const char *name, const float *p, uint64_t cols, uint64_t rows)
{
    char full[64];
    snprintf(full, sizeof full, "blk.%d.%s", il, name);
    put(full, p, cols, rows);
}

static void u32(const char *key, uint32_t v)
{
    struct err e = {0};
    assert_int_equal(gguf_write_scalar(w, key, GGUF_U32, &v, &e), 0);
}

static void write_keys(const char *arch, int pooling)
{
    struct err e = {0};
    struct text tokens[VOCAB];
    int32_t types[VOCAB];
    char key[80];
    const struct {
        const char *name;
        uint32_t v;
    } keys[] = {{"context_length", CTX},         {"embedding_length", EMBD},
                {"block_count", LAYERS},         {"feed_forward_length", FF},
                {"attention.head_count", HEADS}, {"pooling_type", (uint32_t)pooling}};
    gguf_write_text(w, "general.architecture", (struct text){arch, strlen(arch)}, &e);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        snprintf(key, sizeof key, "%s.%s", arch, keys[i].name);
        u32(key, keys[i].v);
    }
    const float eps = 0.03f;
    snprintf(key, sizeof key, "%s.attention.layer_norm_epsilon", arch);
    gguf_write_scalar(w, key, GGUF_F32, &eps, &e);
    const uint8_t no = 0;
    snprintf(key, sizeof key, "%s.attention.causal", arch);
    gguf_write_scalar(w, key, GGUF_BOOL, &no, &e);
    for (int i = 0; i < VOCAB; i++) {
        tokens[i] = (struct text){words[i], strlen(words[i])};
        types[i] = i < 4 ? 3 : 1;
    }
    gguf_write_text(w, "tokenizer.ggml.model", (struct text){"bert", 4}, &e);
    gguf_write_texts(w, "tokenizer.ggml.tokens", tokens, VOCAB, &e);
    gguf_write_array(w, "tokenizer.ggml.token_type", GGUF_I32, types, VOCAB, &e);
    u32("tokenizer.ggml.unknown_token_id", 1);
    u32("tokenizer.ggml.cls_token_id", 2);
    u32("tokenizer.ggml.seperator_token_id", 3);
    assert_int_equal(e.code, 0);
}

static void net_write(const struct net *n, const char *path, int pooling)
{
    struct err e = {0};
    w = gguf_writer_new(&e);
    assert_non_null(w);
    write_keys(n->nomic ? "nomic-bert" : "bert", pooling);
    put("token_embd.weight", n->tok, EMBD, VOCAB);
    put("token_types.weight", n->type, EMBD, 2);
    if (!n->nomic)
        put("position_embd.weight", n->pos, EMBD, CTX);
    put("token_embd_norm.weight", n->norm, EMBD, 1);
    put("token_embd_norm.bias", n->norm + EMBD, EMBD, 1);
    for (int i = 0; i < LAYERS; i++) {
        const char *const part[] = {"attn_q", "attn_k", "attn_v"};
        char name[32];
        if (n->nomic)
            put_layer(i, "attn_qkv.weight", n->l[i].qkv, EMBD, 3 * EMBD);
        for (int k = 0; k < 3 && !n->nomic; k++) {
            snprintf(name, sizeof name, "%s.weight", part[k]);
            put_layer(i, name, n->l[i].qkv + k * EMBD * EMBD, EMBD, EMBD);
            snprintf(name, sizeof name, "%s.bias", part[k]);
            put_layer(i, name, n->l[i].bqkv + k * EMBD, EMBD, 1);
        }
        put_layer(i, "attn_output.weight", n->l[i].o, EMBD, EMBD);
        put_layer(i, "attn_output_norm.weight", n->l[i].n1, EMBD, 1);
        put_layer(i, "attn_output_norm.bias", n->l[i].n1 + EMBD, EMBD, 1);
        put_layer(i, "ffn_up.weight", n->l[i].up, EMBD, FF);
        put_layer(i, "ffn_down.weight", n->l[i].down, FF, EMBD);
        put_layer(i, "layer_output_norm.weight", n->l[i].n2, EMBD, 1);
        put_layer(i, "layer_output_norm.bias", n->l[i].n2 + EMBD, EMBD, 1);
        if (n->nomic) {
            put_layer(i, "ffn_gate.weight", n->l[i].gate, EMBD, FF);
            continue;
        }
        put_layer(i, "attn_output.bias", n->l[i].bo, EMBD, 1);
        put_layer(i, "ffn_up.bias", n->l[i].bup, FF, 1);
        put_layer(i, "ffn_down.bias", n->l[i].bdown, EMBD, 1);
    }
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(gguf_writer_finish(w, fd, NULL, NULL, &e), 0);
    close(fd);
    gguf_writer_free(w);
    n_names = 0;
}

/* ---- the paper, in double ------------------------------------------------------------------ */

static void layer_norm(double *x, const float *wb)
{
    double mean = 0, var = 0;
    for (int i = 0; i < EMBD; i++)
        mean += x[i] / EMBD;
    for (int i = 0; i < EMBD; i++)
        var += (x[i] - mean) * (x[i] - mean) / EMBD;
    for (int i = 0; i < EMBD; i++)
        x[i] = (x[i] - mean) / sqrt(var + (double)0.03f) * (double)wb[i] + (double)wb[EMBD + i];
}

static void lin(double *y, const double *x, const float *m, const float *b, int rows, int cols)
{
    for (int r = 0; r < rows; r++) {
        y[r] = b ? (double)b[r] : 0;
        for (int c = 0; c < cols; c++)
            y[r] += (double)m[r * cols + c] * x[c];
    }
}

static void turn(double *x, int pos) /* pairs half a head apart, base 10000 */
{
    for (int h = 0; h < HEADS; h++, x += D)
        for (int i = 0; i < D / 2; i++) {
            const double a = pos * pow(10000, -2.0 * i / D), p = x[i], q = x[i + D / 2];
            x[i] = p * cos(a) - q * sin(a);
            x[i + D / 2] = p * sin(a) + q * cos(a);
        }
}

static void attend(double (*out)[EMBD], double (*qkv)[3 * EMBD], int n)
{
    double *s = malloc((size_t)n * sizeof *s);
    for (int i = 0; i < n; i++)
        for (int h = 0; h < HEADS; h++) {
            double sum = 0;
            for (int j = 0; j < n; j++) {
                s[j] = 0;
                for (int d = 0; d < D; d++)
                    s[j] += qkv[i][h * D + d] * qkv[j][EMBD + h * D + d];
                s[j] = exp(s[j] / sqrt(D));
                sum += s[j];
            }
            for (int d = 0; d < D; d++) {
                out[i][h * D + d] = 0;
                for (int j = 0; j < n; j++)
                    out[i][h * D + d] += s[j] / sum * qkv[j][2 * EMBD + h * D + d];
            }
        }
    free(s);
}

static void paper(const struct net *m, const tok_id *ids, int n, int pooling, double out[EMBD])
{
    double (*x)[EMBD] = calloc((size_t)n, sizeof *x), (*a)[EMBD] = calloc((size_t)n, sizeof *a);
    double (*qkv)[3 * EMBD] = calloc((size_t)n, sizeof *qkv), y[EMBD], h[FF], g[FF];
    for (int t = 0; t < n; t++) {
        for (int i = 0; i < EMBD; i++)
            x[t][i] = (double)m->tok[ids[t] * EMBD + i] + (double)m->type[i] +
                      (m->nomic ? 0 : (double)m->pos[t * EMBD + i]);
        layer_norm(x[t], m->norm);
    }
    for (int il = 0; il < LAYERS; il++) {
        for (int t = 0; t < n; t++) {
            lin(qkv[t], x[t], m->l[il].qkv, m->nomic ? NULL : m->l[il].bqkv, 3 * EMBD, EMBD);
            if (m->nomic) {
                turn(qkv[t], t);
                turn(qkv[t] + EMBD, t);
            }
        }
        attend(a, qkv, n);
        for (int t = 0; t < n; t++) {
            lin(y, a[t], m->l[il].o, m->nomic ? NULL : m->l[il].bo, EMBD, EMBD);
            for (int i = 0; i < EMBD; i++)
                x[t][i] += y[i];
            layer_norm(x[t], m->l[il].n1);
            lin(h, x[t], m->l[il].up, m->nomic ? NULL : m->l[il].bup, FF, EMBD);
            lin(g, x[t], m->l[il].gate, NULL, FF, EMBD);
            for (int i = 0; i < FF; i++)
                h[i] = m->nomic ? g[i] / (1 + exp(-g[i])) * h[i]
                                : h[i] / 2 * (1 + erf(h[i] / sqrt(2)));
            lin(y, h, m->l[il].down, m->nomic ? NULL : m->l[il].bdown, EMBD, FF);
            for (int i = 0; i < EMBD; i++)
                x[t][i] += y[i];
            layer_norm(x[t], m->l[il].n2);
        }
    }
    memset(out, 0, EMBD * sizeof *out);
    for (int t = 0; t < n; t++)
        if (pooling == 1 || (pooling == 2 && t == 0) || (pooling == 3 && t == n - 1))
            for (int i = 0; i < EMBD; i++)
                out[i] += x[t][i] / (pooling == 1 ? n : 1);
    free(x);
    free(a);
    free(qkv);
}

/* ---- the tests ----------------------------------------------------------------------------- */

static struct model *load(const char *path, int threads, const char *isa)
{
    struct err e = {0};
    const struct model_config cfg = {.n_threads = threads, .isa = isa};
    struct model *m = model_open(path, &cfg, &e);
    if (!m && isa)
        return NULL; /* this CPU has not got it */
    if (!m)
        fail_msg("%s", e.text);
    return m;
}

static int lengths[] = {1, 2, 3, 5, 17, 64, 65, 130, 1030};
enum { N_LENGTHS = sizeof lengths / sizeof *lengths };

static void some_ids(tok_id *ids, int n)
{
    for (int i = 0; i < n; i++)
        ids[i] = (tok_id)((i * 7 + n) % VOCAB);
}

static void encoders_follow_the_paper(void **state)
{
    (void)state;
    tok_id ids[CTX];
    for (int k = 0; k < 2; k++)
        for (int pooling = 1; pooling <= 3; pooling++) {
            struct err e = {0};
            net_write(&nets[k], paths[k], pooling);
            struct model *m = load(paths[k], 2, NULL);
            assert_true(model_embeds(m) && model_n_embd(m) == EMBD);
            for (int i = 0; i < N_LENGTHS; i++) {
                const int n = lengths[i];
                float got[EMBD];
                double want[EMBD], off = 0, size = 0;
                some_ids(ids, n);
                assert_int_equal(model_embed(m, ids, n, got, &e), 0);
                paper(&nets[k], ids, n, pooling, want);
                for (int d = 0; d < EMBD; d++) {
                    off += ((double)got[d] - want[d]) * ((double)got[d] - want[d]);
                    size += want[d] * want[d];
                }
                if (!(off / size < 1e-10))
                    fail_msg("%s, pooling %d, %d tokens: NMSE %g",
                             nets[k].nomic ? "nomic-bert" : "bert", pooling, n, off / size);
            }
            assert_int_equal(model_embed(m, ids, CTX + 1, (float[EMBD]){0}, &e), -1);
            struct seq *s = seq_new(m, &e);
            assert_int_equal(seq_eval(s, ids, 2, NULL, 0, &e), -1);
            assert_non_null(strstr(e.text, "makes embeddings"));
            seq_free(s);
            model_close(m);
        }
}

static void bits_are_those_of_every_table_and_thread_count(void **state)
{
    (void)state;
    static const char *const isas[] = {NULL,      "ref", "avx2", "avx512",  "avx512vnni",
                                       "avxvnni", "amx", "neon", "dotprod", "i8mm"};
    tok_id ids[CTX];
    static float first[2][N_LENGTHS][EMBD];
    for (int k = 0; k < 2; k++)
        for (int way = 0; way < 11; way++) {
            struct err e = {0};
            struct model *m = load(paths[k], way ? 2 : 1, way ? isas[way - 1] : NULL);
            for (int i = 0; m && i < N_LENGTHS; i++) {
                float got[EMBD];
                some_ids(ids, lengths[i]);
                assert_int_equal(model_embed(m, ids, lengths[i], way ? got : first[k][i], &e), 0);
                if (way)
                    assert_memory_equal(got, first[k][i], sizeof got);
            }
            model_close(m);
        }
}

static void wordpiece_cuts_as_bert_does(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int n;
        tok_id ids[12];
    } cases[] = {
        {"", 0, {0}},
        {"  \t\n", 0, {0}},
        {"The CATS", 3, {4, 5, 6}},
        {"the catsx", 2, {4, 1}},
        {"s!at", 3, {7, 9, 8}},
        {"thé\xcc\x81 càt", 2, {4, 5}},
        {"ab b\x01", 3, {10, 12, 11}},
        {"a中b", 3, {10, 13, 11}},
        {"hall\xe2\x80\x8bo", 3, {14, 15, 16}},
        {"[CLS] cls", 4, {17, 19, 18, 19}}, /* a user's text has no special tokens */
        {"\xc4\xb0", 1, {20}},
        {"a\xc2\xa0"
         "b",
         2,
         {10, 11}},
        {"\xff\xfe"
         "a",
         1,
         {10}},
    };
    struct err e = {0};
    struct model *m = load(paths[0], 1, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tok_ids ids = {0};
        const size_t n = strlen(cases[i].text);
        if (n)
            assert_int_equal(tok_encode(model_vocab(m), cases[i].text, n, NULL, 0, &ids, &e), 0);
        if (ids.n != (size_t)cases[i].n ||
            (ids.n && memcmp(ids.ids, cases[i].ids, ids.n * sizeof *ids.ids)))
            fail_msg("\"%s\": %zu tokens", cases[i].text, ids.n);
        tok_ids_free(&ids);
    }
    char longest[101];
    memset(longest, 'b', sizeof longest);
    for (int n = 100; n <= 101; n++) { /* longer words are unknown */
        struct tok_ids ids = {0};
        assert_int_equal(tok_encode(model_vocab(m), longest, (size_t)n, NULL, 0, &ids, &e), 0);
        assert_int_equal(ids.n, n == 100 ? 100 : 1);
        assert_int_equal(ids.ids[0], n == 100 ? 11 : 1);
        tok_ids_free(&ids);
    }
    struct tok_ids ids = {0};
    assert_int_equal(tok_add_before(model_vocab(m), &ids, &e), 0);
    assert_int_equal(tok_add_after(model_vocab(m), &ids, &e), 0);
    assert_int_equal(ids.n, 2);
    assert_true(ids.ids[0] == 2 && ids.ids[1] == 3);
    tok_ids_free(&ids);
    model_close(m);
}

static int open_all(void **state)
{
    (void)state;
    nets[1].nomic = true;
    for (int k = 0; k < 2; k++) {
        net_fill(&nets[k]);
        snprintf(paths[k], sizeof paths[k], "/tmp/chaski-embed-%d-%ld.gguf", k, (long)getpid());
    }
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++)
        unlink(paths[k]);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encoders_follow_the_paper),
        cmocka_unit_test(bits_are_those_of_every_table_and_thread_count),
        cmocka_unit_test(wordpiece_cuts_as_bert_does),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
