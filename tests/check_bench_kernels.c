/* tests/check_bench_kernels.c - the kernels that the bench of check_kernels knows.
 *
 * A kernel is a row of `known`: its name, what the three numbers of a shape mean, the shapes taken
 * when none is asked for, and how data are made for it and one call is done. The slots of the
 * products are made from mm_types (check_kernels.c), so a type that is added there is here too. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/check_bench.h"

static float *floats(struct arena *mem, size_t n, struct err *e)
{
    float *p = arena_alloc(mem, n * sizeof *p, 64);
    if (!p)
        err_set(e, ERR_MEMORY, "no memory for %zu values", n);
    return p;
}

static double weights_ops(const struct bench_side *s)
{
    return 2.0 * s->m * s->d->n * s->d->k;
}

/* ---- products -------------------------------------------------------------------------------- */

static int mm_init(struct bench_data *d, uint32_t type, struct err *e)
{
    const struct gguf_type_info *info = gguf_type_info(type);
    if (mat_init(&d->w, type, d->m, d->k, &d->w_bytes, e))
        return -1;
    size_t blocks = (size_t)d->m * (size_t)d->k / info->block_elems;
    uint8_t *raw = malloc(blocks * info->block_bytes);
    d->w.data = big_alloc(d->w_bytes);
    d->x = floats(&d->mem, (size_t)d->n * (size_t)d->k, e);
    d->y = floats(&d->mem, (size_t)d->n * (size_t)d->m, e);
    if (!raw || !d->w.data || !d->x || !d->y) {
        free(raw);
        return err_set(e, ERR_MEMORY, "no memory for %d x %d weights", d->m, d->k);
    }
    fill_blocks(type, raw, blocks, W_NORMAL);
    fill_x(d->x, (size_t)d->n * (size_t)d->k, X_NORMAL);
    mat_pack(&d->w, raw, 0, mat_groups(&d->w));
    free(raw);
    return 0;
}

static int acts_side(struct bench_side *s, uint32_t type, struct err *e)
{
    const struct bench_data *d = s->d;
    const size_t bytes = s->kernels->acts_bytes(d->n, d->k);
    s->a = (struct acts){.n = d->n, .k = d->k, .x = d->x, .ldx = (size_t)d->k};
    s->a.a32 = arena_alloc(&s->mem, bytes, 64);
    s->scratch = arena_alloc(&s->mem, s->kernels->mm_scratch_bytes + 64, 64);
    if (!s->a.a32 || !s->scratch)
        return err_set(e, ERR_MEMORY, "no memory for %d columns", d->n);
    (void)type;
    return 0;
}

static int mm_side(struct bench_side *s, uint32_t type, struct err *e)
{
    const struct bench_data *d = s->d;
    if (acts_side(s, type, e))
        return -1;
    if (s->kernels == all[0] && s->m > 2 * MAT_ROWS)
        s->m = 2 * MAT_ROWS;
    double x_bytes = 4.0 * d->n * d->k;
    if (mat_quantized_acts(type)) {
        s->kernels->quantize(&s->a, 0, d->n);
        x_bytes = (double)s->kernels->acts_bytes(d->n, d->k);
    }
    s->ops = weights_ops(s);
    s->bytes = (double)d->w_bytes * s->m / d->m + x_bytes + 4.0 * s->m * d->n;
    return 0;
}

static void mm_call(struct bench_side *s, uint32_t type)
{
    s->kernels->mul_mat[type](&s->d->w, &s->a, s->d->y, (size_t)s->d->m, false, 0,
                              (s->m + MAT_ROWS - 1) / MAT_ROWS, s->scratch);
}

static bool mm_own(const struct kernels *a, const struct kernels *b, uint32_t type)
{
    return a->mul_mat[type] && (!b || a->mul_mat[type] != b->mul_mat[type]);
}

/* ---- packing: the same on all tables ------------------------------------------------------------ */

static int pack_init(struct bench_data *d, uint32_t type, struct err *e)
{
    const struct gguf_type_info *info = gguf_type_info(type);
    if (d->n != 1)
        return err_set(e, ERR_INPUT, "N must be 1 for packing");
    if (mat_init(&d->w, type, d->m, d->k, &d->w_bytes, e))
        return -1;
    const size_t blocks = (size_t)d->m * (size_t)d->k / info->block_elems;
    d->raw = arena_alloc(&d->mem, blocks * info->block_bytes, 64);
    d->w.data = big_alloc(d->w_bytes);
    if (!d->raw || !d->w.data)
        return err_set(e, ERR_MEMORY, "no memory for %d x %d weights", d->m, d->k);
    fill_blocks(type, d->raw, blocks, W_NORMAL);
    return 0;
}

static int pack_side(struct bench_side *s, uint32_t type, struct err *e)
{
    const struct gguf_type_info *info = gguf_type_info(type);
    (void)e;
    s->ops = (double)s->d->m * s->d->k;
    s->bytes = s->ops / info->block_elems * info->block_bytes + (double)s->d->w_bytes;
    return 0;
}

static void pack_call(struct bench_side *s, uint32_t type)
{
    (void)type;
    mat_pack(&s->d->w, s->d->raw, 0, mat_groups(&s->d->w));
}

static bool pack_own(const struct kernels *a, const struct kernels *b, uint32_t type)
{
    (void)a, (void)type;
    return !b;
}

/* ---- rows of values -------------------------------------------------------------------------- */

enum {
    E_QUANTIZE,
    E_RMS,
    E_SILU,
    E_GELU,
    E_ADD,
    E_SCALE,
    E_SOFTCAP,
    E_ARGMAX,
    E_ROPE_NORM,
    E_ROPE_NEOX
};

static int el_init(struct bench_data *d, uint32_t what, struct err *e)
{
    const size_t n = (size_t)d->m * (size_t)d->n * (size_t)d->k;
    if (what < E_ROPE_NORM && d->m != 1)
        return err_set(e, ERR_INPUT, "M must be 1 for a kernel that works on rows of K values");
    if (what >= E_ROPE_NORM && d->k % 2)
        return err_set(e, ERR_INPUT, "K is the size of a head and must be even for rope");
    if (what == E_QUANTIZE && d->k % 32)
        return err_set(e, ERR_INPUT, "K must be a multiple of 32 for quantize");
    d->x = floats(&d->mem, n, e);
    d->y = floats(&d->mem, n, e);
    d->v = floats(&d->mem, n, e);
    if (!d->x || !d->y || !d->v)
        return -1;
    fill_x(d->x, n, X_NORMAL);
    fill_x(d->y, n, X_NORMAL);
    fill_x(d->v, n, X_NORMAL);
    if (what >= E_ROPE_NORM) { /* (cos, sin): turning for ever keeps the length */
        for (int i = 0; i < d->k / 2; i++) {
            d->v[2 * i] = cosf((float)i);
            d->v[2 * i + 1] = sinf((float)i);
        }
    }
    return 0;
}

static int el_side(struct bench_side *s, uint32_t what, struct err *e)
{
    static const double arrays[] = {
        [E_QUANTIZE] = 1.28, [E_RMS] = 3,     [E_SILU] = 3,   [E_GELU] = 3,      [E_ADD] = 3,
        [E_SCALE] = 2,       [E_SOFTCAP] = 2, [E_ARGMAX] = 1, [E_ROPE_NORM] = 2, [E_ROPE_NEOX] = 2};
    const double n = (double)s->d->m * s->d->n * s->d->k;
    s->ops = n;
    s->bytes = 4 * n * arrays[what];
    return what == E_QUANTIZE ? acts_side(s, 0, e) : 0;
}

static void el_call(struct bench_side *s, uint32_t what)
{
    const struct kernels *t = s->kernels;
    const struct bench_data *d = s->d;
    if (what == E_QUANTIZE) {
        t->quantize(&s->a, 0, d->n);
        return;
    }
    for (int i = 0; i < d->n; i++) {
        const size_t at = (size_t)i * (size_t)d->m * (size_t)d->k;
        float *y = d->y + at, *x = d->x + at;
        switch (what) {
        case E_RMS:
            t->rms_norm(y, x, d->v, d->k, 1e-5f);
            break;
        case E_SILU:
            t->silu_mul(y, x, d->v + at, d->k);
            break;
        case E_GELU:
            t->gelu_mul(y, x, d->v + at, d->k);
            break;
        case E_ADD:
            t->add(y, x, d->k);
            break;
        case E_SCALE:
            t->scale(y, -1.0f, d->k);
            break;
        case E_SOFTCAP:
            t->softcap(y, 30.0f, d->k);
            break;
        case E_ARGMAX:
            t->argmax(x, d->k);
            break;
        default:
            t->rope(y, d->m, (size_t)d->k, d->k, d->v, what == E_ROPE_NORM ? ROPE_NORM : ROPE_NEOX);
            break;
        }
    }
}

static bool el_own(const struct kernels *a, const struct kernels *b, uint32_t what)
{
    if (!b)
        return true;
    switch (what) {
    case E_QUANTIZE:
        return a->quantize != b->quantize;
    case E_RMS:
        return a->rms_norm != b->rms_norm;
    case E_SILU:
        return a->silu_mul != b->silu_mul;
    case E_GELU:
        return a->gelu_mul != b->gelu_mul;
    case E_ADD:
        return a->add != b->add;
    case E_SCALE:
        return a->scale != b->scale;
    case E_SOFTCAP:
        return a->softcap != b->softcap;
    case E_ARGMAX:
        return a->argmax != b->argmax;
    default:
        return a->rope != b->rope;
    }
}

/* ---- attention ------------------------------------------------------------------------------- */

static int at_init(struct bench_data *d, uint32_t kv, struct err *e)
{
    if (d->n > ATTEND_MAX_Q)
        return err_set(e, ERR_INPUT, "N is the number of queries, at most %d", ATTEND_MAX_Q);
    const int n_pages = (d->m + KV_PAGE - 1) / KV_PAGE, n_spans = (d->m - 1) / ATTEND_SPAN + 1;
    const size_t half = kv_bytes((enum kv_type)kv, d->k, true);
    const uint8_t **table = arena_alloc(&d->mem, (size_t)n_pages * sizeof *table, 64);
    const float **q = arena_alloc(&d->mem, (size_t)d->n * sizeof *q, 64);
    int32_t *pos = arena_alloc(&d->mem, (size_t)d->n * sizeof *pos, 64);
    d->x = floats(&d->mem, (size_t)d->n * (size_t)d->k, e);
    d->v = floats(&d->mem, (size_t)d->k, e);
    d->y = floats(&d->mem, (size_t)n_spans * (size_t)d->n * attend_state_floats(d->k), e);
    if (!table || !q || !pos || !d->x || !d->v || !d->y)
        return err_set(e, ERR_MEMORY, "no memory for %d queries", d->n);
    for (int p = 0; p < n_pages; p++) {
        uint8_t *page = arena_alloc(&d->mem, 2 * half, 64);
        if (!page)
            return err_set(e, ERR_MEMORY, "no memory for %d keys", d->m);
        table[p] = page;
        for (int s = 0; s < KV_PAGE; s++) {
            fill_x(d->v, (size_t)d->k, X_NORMAL);
            all[0]->kv_store((enum kv_type)kv, page, page + half, s, d->v, d->k, d->v, d->k);
        }
    }
    fill_x(d->x, (size_t)d->n * (size_t)d->k, X_NORMAL);
    for (int i = 0; i < d->n; i++) {
        q[i] = d->x + (size_t)i * (size_t)d->k;
        pos[i] = d->m - 1;
    }
    d->at = (struct attend){.kv = (enum kv_type)kv,
                            .d_k = d->k,
                            .d_v = d->k,
                            .n_q = d->n,
                            .q = q,
                            .pos = pos,
                            .scale = 1.0f / sqrtf((float)d->k),
                            .pages = table,
                            .v_off = half};
    return 0;
}

static int at_side(struct bench_side *s, uint32_t kv, struct err *e)
{
    (void)e;
    s->ops = 4.0 * s->d->m * s->d->k * s->d->n;
    const double page = (double)(kv_bytes((enum kv_type)kv, s->d->k, true) +
                                 kv_bytes((enum kv_type)kv, s->d->k, false));
    s->bytes = page * s->d->m / KV_PAGE + 8.0 * s->d->n * s->d->k;
    return 0;
}

static void at_call(struct bench_side *s, uint32_t kv)
{
    (void)kv;
    const size_t state = (size_t)s->d->n * attend_state_floats(s->d->k);
    for (int32_t i = 0; i * ATTEND_SPAN < s->d->m; i++)
        s->kernels->attend_span(&s->d->at, i, s->d->y + (size_t)i * state);
}

static bool at_own(const struct kernels *a, const struct kernels *b, uint32_t kv)
{
    (void)kv;
    return !b || a->attend_span != b->attend_span;
}

/* ---- the list -------------------------------------------------------------------------------- */

static const char ROWS_OF_K[] = "1 x rows x values a row";
static const char HEADS[] = "heads x rows x values a head";
static const char KEYS[] = "keys x queries x values a head";

#define EL(name, what)                                                                             \
    {name, ROWS_OF_K, "f32", what, {{1, 1, 2048}, {1, 64, 2048}}, el_init, el_side, el_call, el_own}
#define ROPE(name, what)                                                                           \
    {name, HEADS, "f32", what, {{32, 1, 64}, {8, 64, 128}}, el_init, el_side, el_call, el_own}
#define AT(name, kv)                                                                               \
    {name,                                                                                         \
     KEYS,                                                                                         \
     "f32",                                                                                        \
     kv,                                                                                           \
     {{1024, 1, 64}, {1024, 3, 64}, {1024, 16, 64}, {1024, 4, 128}},                               \
     at_init,                                                                                      \
     at_side,                                                                                      \
     at_call,                                                                                      \
     at_own}

// clang-format off
static const struct bench_kernel others[] = {
    {"quantize", ROWS_OF_K, "f32", E_QUANTIZE, {{1, 1, 2048}, {1, 512, 2048}},
     el_init, el_side, el_call, el_own},
    EL("rms_norm", E_RMS), EL("silu_mul", E_SILU), EL("gelu_mul", E_GELU), EL("add", E_ADD),
    EL("scale", E_SCALE), EL("softcap", E_SOFTCAP), EL("argmax", E_ARGMAX),
    ROPE("rope:norm", E_ROPE_NORM), ROPE("rope:neox", E_ROPE_NEOX),
    AT("attend_span:f16", KV_F16), AT("attend_span:f32", KV_F32),
    AT("attend_span:q8_0", KV_Q8_0), AT("attend_span:q4_0", KV_Q4_0),
};
// clang-format on

const struct bench_kernel *bench_kernels(int *n)
{
    static struct bench_kernel known[2 * TYPE_COUNT + sizeof others / sizeof *others];
    static int n_known;
    for (int i = 0; !n_known && i < n_mm_types; i++) {
        struct bench_kernel *b = &known[i];
        *b = (struct bench_kernel){.means = "rows x columns (tokens) x values a row (k)",
                                   .peak = !mat_quantized_acts(mm_types[i]) ? "f32"
                                           : mm_types[i] == TYPE_Q8_0       ? "int8"
                                                                            : "int4",
                                   .arg = mm_types[i],
                                   .shapes = {{2048, 1, 2048}, {2048, 4, 2048}, {2048, 512, 2048}},
                                   .init = mm_init,
                                   .side = mm_side,
                                   .call = mm_call,
                                   .own = mm_own};
        snprintf(b->name, sizeof b->name, "mul_mat:%s", gguf_type_info(mm_types[i])->name);
    }
    if (!n_known) {
        memcpy(known + n_mm_types, others, sizeof others);
        n_known = n_mm_types + (int)(sizeof others / sizeof *others);
        for (int i = 0; i < n_mm_types; i++) {
            struct bench_kernel *b = &known[n_known++];
            *b = (struct bench_kernel){.means = "rows x 1 x values a row",
                                       .peak = "f32",
                                       .arg = mm_types[i],
                                       .shapes = {{8192, 1, 2048}},
                                       .init = pack_init,
                                       .side = pack_side,
                                       .call = pack_call,
                                       .own = pack_own};
            snprintf(b->name, sizeof b->name, "mat_pack:%s", gguf_type_info(mm_types[i])->name);
        }
    }
    *n = n_known;
    return known;
}
