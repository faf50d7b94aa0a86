/* kernels/ref/pack.c - from the file's rows to groups of 16 rows (kernels/layout.h).
 *
 * A packed step is a 64-byte vector whose 32-bit lane r holds four neighbouring codes of row r, so
 * packing moves 32-bit words: lane r of the vector = a word of row r, after a few masks where the
 * file splits codes otherwise. It runs at load over the whole model, hence words and not values. */
#include "kernels/ref/ref.h"
#include "kernels/ref/pack_books.h"
#include "kernels/ref/pack_quads.h"
#include "kernels/ref/words.h"
#include "kernels/layout.h"
#include "kernels/layout_id.h" /* made by kernels/meson.build */

static const struct { /* bytes of a group for `elems` columns */
    uint16_t elems, bytes;
} group_of[TYPE_COUNT] = {
    [TYPE_F32] = {1, 64},
    [TYPE_F16] = {1, 32},
    [TYPE_BF16] = {1, 32},
    [TYPE_Q4_0] = {32, sizeof(struct pk_q4_0)},
    [TYPE_Q4_1] = {32, sizeof(struct pk_q4_1)},
    [TYPE_Q5_0] = {32, sizeof(struct pk_q5_0)},
    [TYPE_Q5_1] = {32, sizeof(struct pk_q5_1)},
    [TYPE_Q8_0] = {32, sizeof(struct pk_q8_0)},
    [TYPE_Q2_K] = {256, sizeof(struct pk_q2_K)},
    [TYPE_Q3_K] = {256, sizeof(struct pk_q3_K)},
    [TYPE_Q4_K] = {256, sizeof(struct pk_q4_K)},
    [TYPE_Q5_K] = {256, sizeof(struct pk_q5_K)},
    [TYPE_Q6_K] = {256, sizeof(struct pk_q6_K)},
    [TYPE_IQ2_XXS] = {256, sizeof(struct pk_iq2_xxs)},
    [TYPE_IQ2_XS] = {256, sizeof(struct pk_iq2_xs)},
    [TYPE_IQ2_S] = {256, sizeof(struct pk_iq2_s)},
    [TYPE_IQ3_XXS] = {256, sizeof(struct pk_iq3_xxs)},
    [TYPE_IQ3_S] = {256, sizeof(struct pk_iq3_s)},
    [TYPE_IQ1_S] = {256, sizeof(struct pk_iq1_s)},
    [TYPE_IQ1_M] = {256, sizeof(struct pk_iq1_m)},
    [TYPE_IQ4_NL] = {32, sizeof(struct pk_iq4_nl)},
    [TYPE_IQ4_XS] = {256, sizeof(struct pk_iq4_xs)},
    [TYPE_MXFP4] = {32, sizeof(struct pk_mxfp4)},
    [TYPE_NVFP4] = {64, sizeof(struct pk_nvfp4)},
    [TYPE_Q1_0] = {128, sizeof(struct pk_q1_0)},
    [TYPE_Q2_0] = {64, sizeof(struct pk_q2_0)},
    [TYPE_TQ1_0] = {256, sizeof(struct pk_tq1_0)},
    [TYPE_TQ2_0] = {256, sizeof(struct pk_tq2_0)},
};

bool mat_quantized_acts(uint32_t type)
{
    return type != TYPE_F32 && type != TYPE_F16 && type != TYPE_BF16;
}

const char *mat_layout_id(void)
{
    return LAYOUT_ID;
}

int mat_init(struct mat *m, uint32_t type, int64_t n_rows, int64_t n_cols, size_t *bytes,
             struct err *e)
{
    memset(m, 0, sizeof *m);
    *bytes = 0;
    const struct gguf_type_info *info = gguf_type_info(type);
    if (type >= TYPE_COUNT || !group_of[type].elems)
        return err_set(e, ERR_UNSUPPORTED, "weights of type %s (%u) have no kernels yet",
                       info && info->name ? info->name : "unknown", (unsigned)type);
    if (n_rows < 1 || n_cols < 1 || n_rows > INT32_MAX - MAT_ROWS || n_cols > INT32_MAX)
        return err_set(e, ERR_LIMIT, "a matrix of %lld rows of %lld values has no kernels",
                       (long long)n_rows, (long long)n_cols);
    if (n_cols % group_of[type].elems)
        return err_set(e, ERR_INPUT, "rows of %lld values are no whole blocks of %s (%d values)",
                       (long long)n_cols, info->name, group_of[type].elems);
    size_t groups = ((size_t)n_rows + MAT_ROWS - 1) / MAT_ROWS, group_bytes;
    if (size_mul(&group_bytes, (size_t)n_cols / group_of[type].elems, group_of[type].bytes) ||
        size_mul(bytes, groups, group_bytes))
        return err_set(e, ERR_LIMIT, "a matrix of %lld x %lld is too large", (long long)n_rows,
                       (long long)n_cols);
    m->type = type;
    m->n_rows = (int32_t)n_rows;
    m->n_cols = (int32_t)n_cols;
    m->group_bytes = group_bytes;
    return 0;
}

/* ---- parts of blocks -------------------------------------------------------------------- */

/* 32 codes in the nibbles at bit `sh` of 32 neighbouring bytes -> 4 lanes with both halves. */
static void nibbles32(uint8_t q[4][64], int r, const uint8_t *src, unsigned sh)
{
    for (int j = 0; j < 4; j++) {
        uint32_t lo = word(src, j) >> sh & 0x0f0f0f0fu, hi = word(src, 4 + j) >> sh & 0x0f0f0f0fu;
        put(q[j], r, lo | hi << 4);
    }
}
/* 32 codes in the two bits at `sh` of 32 neighbouring bytes. */
static void twos32(uint8_t q[2][64], int r, const uint8_t *src, unsigned sh)
{
    for (int p = 0; p < 2; p++) {
        uint32_t w = 0;
        for (int s = 0; s < 4; s++)
            w |= (word(src, 4 * p + s) >> sh & 0x03030303u) << (2 * s);
        put(q[p], r, w);
    }
}
/* 32 flags at bit `sh` of 32 neighbouring bytes. */
static void flags32(uint8_t h[64], int r, const uint8_t *src, unsigned sh)
{
    uint32_t w = 0;
    for (int g = 0; g < 8; g++)
        w |= (word(src, g) >> sh & 0x01010101u) << g;
    put(h, r, w);
}

/* Six-bit scales and minima of Q4_K and Q5_K. */
static void scales_k4(const uint8_t *s, int g, uint8_t *sc, uint8_t *mn)
{
    if (g < 4) {
        *sc = s[g] & 63;
        *mn = s[g + 4] & 63;
    } else {
        *sc = (uint8_t)((s[g + 4] & 15) | s[g - 4] >> 6 << 4);
        *mn = (uint8_t)(s[g + 4] >> 4 | s[g] >> 6 << 4);
    }
}
static int scale_k3(const uint8_t *s, int g) /* -32..31 */
{
    int low = g < 8 ? s[g] & 15 : s[g - 8] >> 4;
    return (low | (s[8 + g % 4] >> (2 * (g / 4)) & 3) << 4) - 32;
}

#include "kernels/ref/pack_codes.h"

/* ---- one (super-)block of one row into lane r --------------------------------------------- */

static void pack_q4_0(void *dst, int r, const void *src)
{
    struct pk_q4_0 *o = dst;
    const struct block_q4_0 *b = src;
    o->d[r] = b->d;
    for (int j = 0; j < 4; j++)
        put(o->q[j], r, word(b->qs, j));
}
static void pack_q4_1(void *dst, int r, const void *src)
{
    struct pk_q4_1 *o = dst;
    const struct block_q4_1 *b = src;
    o->d[r] = b->d;
    o->m[r] = b->m;
    for (int j = 0; j < 4; j++)
        put(o->q[j], r, word(b->qs, j));
}
static void pack_q5_0(void *dst, int r, const void *src)
{
    struct pk_q5_0 *o = dst;
    const struct block_q5_0 *b = src;
    o->d[r] = b->d;
    put(o->h, r, flags_by_step(word(b->qh, 0)));
    for (int j = 0; j < 4; j++)
        put(o->q[j], r, word(b->qs, j));
}
static void pack_q5_1(void *dst, int r, const void *src)
{
    struct pk_q5_1 *o = dst;
    const struct block_q5_1 *b = src;
    o->d[r] = b->d;
    o->m[r] = b->m;
    put(o->h, r, flags_by_step(word(b->qh, 0)));
    for (int j = 0; j < 4; j++)
        put(o->q[j], r, word(b->qs, j));
}
static void pack_q8_0(void *dst, int r, const void *src)
{
    struct pk_q8_0 *o = dst;
    const struct block_q8_0 *b = src;
    o->d[r] = b->d;
    for (int g = 0; g < 8; g++)
        put(o->q[g], r, word(b->qs, g));
}
static void pack_q2_K(void *dst, int r, const void *src)
{
    struct pk_q2_K *o = dst;
    const struct block_q2_K *b = src;
    o->d[r] = b->d;
    o->dmin[r] = b->dmin;
    for (int j = 0; j < 8; j++) {
        o->b[j].sc[0][r] = b->scales[2 * j];
        o->b[j].sc[1][r] = b->scales[2 * j + 1];
        twos32(o->b[j].q, r, b->qs + 32 * (j / 4), 2 * (unsigned)(j % 4));
    }
}
static void pack_q3_K(void *dst, int r, const void *src)
{
    struct pk_q3_K *o = dst;
    const struct block_q3_K *b = src;
    o->d[r] = b->d;
    for (int j = 0; j < 8; j++) {
        o->b[j].sc[0][r] = (int8_t)scale_k3(b->scales, 2 * j);
        o->b[j].sc[1][r] = (int8_t)scale_k3(b->scales, 2 * j + 1);
        flags32(o->b[j].h, r, b->hmask, (unsigned)j);
        twos32(o->b[j].q, r, b->qs + 32 * (j / 4), 2 * (unsigned)(j % 4));
    }
}
static void pack_q4_K(void *dst, int r, const void *src)
{
    struct pk_q4_K *o = dst;
    const struct block_q4_K *b = src;
    o->d[r] = b->d;
    o->dmin[r] = b->dmin;
    for (int j = 0; j < 8; j++) {
        scales_k4(b->scales, j, &o->b[j].sc[r], &o->b[j].mn[r]);
        nibbles32(o->b[j].q, r, b->qs + 32 * (j / 2), 4 * (unsigned)(j % 2));
    }
}
static void pack_q5_K(void *dst, int r, const void *src)
{
    struct pk_q5_K *o = dst;
    const struct block_q5_K *b = src;
    o->d[r] = b->d;
    o->dmin[r] = b->dmin;
    for (int j = 0; j < 8; j++) {
        scales_k4(b->scales, j, &o->b[j].sc[r], &o->b[j].mn[r]);
        flags32(o->b[j].h, r, b->qh, (unsigned)j);
        nibbles32(o->b[j].q, r, b->qs + 32 * (j / 2), 4 * (unsigned)(j % 2));
    }
}
static void pack_q6_K(void *dst, int r, const void *src)
{
    struct pk_q6_K *o = dst;
    const struct block_q6_K *b = src;
    o->d[r] = b->d;
    for (int j = 0; j < 8; j++) { /* j = 4 h + part; part 0, 2: bytes 0..31, 1, 3: 32..63 */
        o->b[j].sc[0][r] = b->scales[2 * j];
        o->b[j].sc[1][r] = b->scales[2 * j + 1];
        nibbles32(o->b[j].q, r, b->ql + 64 * (j / 4) + 32 * (j % 2), 4 * (unsigned)(j % 4 / 2));
        twos32(o->b[j].h, r, b->qh + 32 * (j / 4), 2 * (unsigned)(j % 4));
    }
}
static void pack_u16(void *dst, int r, const void *src)
{
    memcpy((uint8_t *)dst + 2 * r, src, 2);
}
static void pack_u32(void *dst, int r, const void *src)
{
    memcpy((uint8_t *)dst + 4 * r, src, 4);
}

typedef void pack_fn(void *dst, int r, const void *src);

/* All blocks of the groups: for each block the 16 rows in turn, so that a group is written once,
 * front to back. Inlined per type: the compiler sees the copy and the sizes. */
static inline __attribute__((always_inline)) void
pack_groups(const struct mat *m, const uint8_t *src, int32_t g0, int32_t g1, pack_fn *one,
            size_t src_bytes, size_t dst_bytes, size_t elems)
{
    size_t n = (size_t)m->n_cols / elems, row_bytes = n * src_bytes;
    for (int32_t g = g0; g < g1; g++) {
        uint8_t *dst = m->data + (size_t)g * m->group_bytes;
        const uint8_t *row0 = src + (size_t)g * MAT_ROWS * row_bytes;
        int32_t rows = m->n_rows - g * MAT_ROWS;
        if (rows < MAT_ROWS)
            memset(dst, 0, m->group_bytes);
        else
            rows = MAT_ROWS;
        for (size_t b = 0; b < n; b++)
            for (int32_t r = 0; r < rows; r++)
                one(dst + b * dst_bytes, r, row0 + (size_t)r * row_bytes + b * src_bytes);
    }
}

void ref_pack_plain(const struct mat *m, const void *src, int32_t g0, int32_t g1)
{
    switch (m->type) {
#define PACK(T, t, elems)                                                                          \
    case TYPE_##T:                                                                                 \
        pack_groups(m, src, g0, g1, pack_##t, sizeof(struct block_##t), sizeof(struct pk_##t),     \
                    elems);                                                                        \
        break;
        PACK(Q4_0, q4_0, 32)
        PACK(Q4_1, q4_1, 32)
        PACK(Q5_0, q5_0, 32)
        PACK(Q5_1, q5_1, 32)
        PACK(Q8_0, q8_0, 32)
        PACK(Q2_K, q2_K, 256)
        PACK(Q3_K, q3_K, 256)
        PACK(Q4_K, q4_K, 256)
        PACK(Q5_K, q5_K, 256)
        PACK(Q6_K, q6_K, 256)
        PACK(IQ2_XXS, iq2_xxs, 256)
        PACK(IQ2_XS, iq2_xs, 256)
        PACK(IQ2_S, iq2_s, 256)
        PACK(IQ3_XXS, iq3_xxs, 256)
        PACK(IQ3_S, iq3_s, 256)
        PACK(IQ1_S, iq1_s, 256)
        PACK(IQ1_M, iq1_m, 256)
        PACK(IQ4_NL, iq4_nl, 32)
        PACK(IQ4_XS, iq4_xs, 256)
        PACK(MXFP4, mxfp4, 32)
        PACK(NVFP4, nvfp4, 64)
        PACK(Q1_0, q1_0, 128)
        PACK(Q2_0, q2_0, 64)
        PACK(TQ1_0, tq1_0, 256)
        PACK(TQ2_0, tq2_0, 256)
#undef PACK
    case TYPE_F16:
    case TYPE_BF16:
        pack_groups(m, src, g0, g1, pack_u16, 2, 32, 1);
        break;
    case TYPE_F32:
        pack_groups(m, src, g0, g1, pack_u32, 4, 64, 1);
        break;
    default: /* mat_init refused it */
        break;
    }
}

void mat_pack(const struct mat *m, const void *src, int32_t g0, int32_t g1)
{
    pack_group_fn *fast = pack_group(m->type);
    const int32_t whole = m->n_rows / MAT_ROWS; /* groups that rows fill */
    if (fast && g0 < whole) {
        const struct gguf_type_info *t = gguf_type_info(m->type);
        const size_t n = (size_t)m->n_cols / t->block_elems, row_bytes = n * t->block_bytes;
        for (; g0 < g1 && g0 < whole; g0++)
            fast(m->data + (size_t)g0 * m->group_bytes,
                 (const uint8_t *)src + (size_t)g0 * MAT_ROWS * row_bytes, row_bytes, n);
    }
    if (g0 < g1)
        ref_pack_plain(m, src, g0, g1);
}
