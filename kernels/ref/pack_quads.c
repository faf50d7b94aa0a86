/* kernels/ref/pack_quads.c - packing a whole group, four rows at a time (kernels/layout.h).
 *
 * The same bytes as pack.c's one row at a time, several times as fast: four neighbouring words of
 * four rows are transposed in registers, and every mask and shift works on four rows at once.
 * Written with vectors of 16 bytes, which any compiler makes of SSE2 or NEON: no ISA's own file is
 * needed, and loading is the same on all tables. Types without a function here, and the last group
 * of a matrix whose rows do not fill it, take the plain way. */
#include "kernels/ref/pack_quads.h"

#include <string.h>
#include "kernels/layout.h"

typedef uint32_t quad __attribute__((vector_size(16))); /* a word of each of four rows */
typedef uint16_t halves __attribute__((vector_size(16)));
typedef uint8_t bytes __attribute__((vector_size(16)));

#define PICK __builtin_shufflevector

static inline quad load(const uint8_t *p)
{
    quad x;
    memcpy(&x, p, 16);
    return x;
}
static inline void put4(void *v, int q, quad x) /* lanes 4q.. of a 64-byte vector */
{
    memcpy((uint8_t *)v + 16 * q, &x, 16);
}

/* Words 0..3 at s of four rows -> w[i]: word i of each row. */
static inline void words4(const uint8_t *s, size_t stride, quad w[4])
{
    const quad a = load(s), b = load(s + stride), c = load(s + 2 * stride),
               d = load(s + 3 * stride);
    const quad ab0 = PICK(a, b, 0, 4, 1, 5), ab1 = PICK(a, b, 2, 6, 3, 7);
    const quad cd0 = PICK(c, d, 0, 4, 1, 5), cd1 = PICK(c, d, 2, 6, 3, 7);
    w[0] = PICK(ab0, cd0, 0, 1, 4, 5);
    w[1] = PICK(ab0, cd0, 2, 3, 6, 7);
    w[2] = PICK(ab1, cd1, 0, 1, 4, 5);
    w[3] = PICK(ab1, cd1, 2, 3, 6, 7);
}
static inline void words8(const uint8_t *s, size_t stride, quad w[8])
{
    words4(s, stride, w);
    words4(s + 16, stride, w + 4);
}
static inline quad word1(const uint8_t *s, size_t stride)
{
    uint32_t w[4];
    for (int i = 0; i < 4; i++)
        memcpy(&w[i], s + (size_t)i * stride, 4);
    return (quad){w[0], w[1], w[2], w[3]};
}
static inline void halves4(f16_bits *out, int q, const uint8_t *s, size_t stride)
{
    for (int i = 0; i < 4; i++)
        memcpy(out + 4 * q + i, s + (size_t)i * stride, 2);
}

/* Byte i of each row's word -> word i. */
static inline quad across(quad x)
{
    for (int i = 0; i < 2; i++) {
        const bytes b = (bytes)x, h = (bytes)PICK(x, x, 2, 3, 2, 3);
        x = (quad)PICK(b, h, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    }
    return x;
}

/* ---- pieces of 32 values ------------------------------------------------------------------------
 */

static inline void nibbles(uint8_t out[4][64], int q, const quad w[8], unsigned sh)
{
    for (int j = 0; j < 4; j++)
        put4(out[j], q, (w[j] >> sh & 0x0f0f0f0f) | (w[4 + j] >> sh & 0x0f0f0f0f) << 4);
}
static inline void twos(uint8_t out[2][64], int q, const quad w[8], unsigned sh)
{
    for (int p = 0; p < 2; p++) {
        quad x = w[4 * p] >> sh & 0x03030303;
        for (int s = 1; s < 4; s++)
            x |= (w[4 * p + s] >> sh & 0x03030303) << (2 * s);
        put4(out[p], q, x);
    }
}
static inline void flags(uint8_t out[64], int q, const quad w[8], unsigned sh)
{
    quad x = w[0] >> sh & 0x01010101;
    for (int g = 1; g < 8; g++)
        x |= (w[g] >> sh & 0x01010101) << g;
    put4(out, q, x);
}
/* words.h, flags_by_step */
static inline quad by_step(quad h)
{
    quad out = h & 0;
    for (unsigned i = 0; i < 4; i++) {
        quad x = h >> i & 0x11111111;
        x = (x | x >> 3) & 0x03030303;
        x = (x | x >> 6) & 0x000f000f;
        x = (x | x >> 12) & 0xff;
        out |= x << (8 * i);
    }
    return out;
}

/* ---- a block of four rows: lanes 4q..4q+3 of o, from s, s + stride, .. --------------------------
 */

static inline void quad_q4_0(struct pk_q4_0 *o, int q, const uint8_t *s, size_t stride)
{
    quad w[4];
    halves4(o->d, q, s, stride);
    words4(s + offsetof(struct block_q4_0, qs), stride, w);
    for (int j = 0; j < 4; j++)
        put4(o->q[j], q, w[j]);
}
static inline void quad_q4_1(struct pk_q4_1 *o, int q, const uint8_t *s, size_t stride)
{
    quad w[4];
    halves4(o->d, q, s, stride);
    halves4(o->m, q, s + 2, stride);
    words4(s + offsetof(struct block_q4_1, qs), stride, w);
    for (int j = 0; j < 4; j++)
        put4(o->q[j], q, w[j]);
}
static inline void quad_q5_0(struct pk_q5_0 *o, int q, const uint8_t *s, size_t stride)
{
    quad w[4];
    halves4(o->d, q, s, stride);
    put4(o->h, q, by_step(word1(s + offsetof(struct block_q5_0, qh), stride)));
    words4(s + offsetof(struct block_q5_0, qs), stride, w);
    for (int j = 0; j < 4; j++)
        put4(o->q[j], q, w[j]);
}
static inline void quad_q5_1(struct pk_q5_1 *o, int q, const uint8_t *s, size_t stride)
{
    quad w[4];
    halves4(o->d, q, s, stride);
    halves4(o->m, q, s + 2, stride);
    put4(o->h, q, by_step(word1(s + offsetof(struct block_q5_1, qh), stride)));
    words4(s + offsetof(struct block_q5_1, qs), stride, w);
    for (int j = 0; j < 4; j++)
        put4(o->q[j], q, w[j]);
}
static inline void quad_q8_0(struct pk_q8_0 *o, int q, const uint8_t *s, size_t stride)
{
    quad w[8];
    halves4(o->d, q, s, stride);
    words8(s + offsetof(struct block_q8_0, qs), stride, w);
    for (int g = 0; g < 8; g++)
        put4(o->q[g], q, w[g]);
}

/* Bytes 4k.. of each row's list of scales, in w, to scale (4k + i) of the super-block. */
#define PUT_SCALES(place, w)                                                                       \
    do {                                                                                           \
        const quad turned = across(w);                                                             \
        for (int i = 0; i < 4; i++)                                                                \
            memcpy((place) + 4 * q, (const uint8_t *)&turned + 4 * i, 4);                          \
    } while (0)

static inline void quad_q2_K(struct pk_q2_K *o, int q, const uint8_t *s, size_t stride)
{
    quad w[8];
    halves4(o->d, q, s + offsetof(struct block_q2_K, d), stride);
    halves4(o->dmin, q, s + offsetof(struct block_q2_K, dmin), stride);
    words4(s, stride, w);
    for (int k = 0; k < 4; k++)
        PUT_SCALES(o->b[2 * k + i / 2].sc[i % 2], w[k]);
    for (int h = 0; h < 2; h++) {
        words8(s + offsetof(struct block_q2_K, qs) + 32 * h, stride, w);
        for (int j = 0; j < 4; j++)
            twos(o->b[4 * h + j].q, q, w, 2 * (unsigned)j);
    }
}
static inline void quad_q3_K(struct pk_q3_K *o, int q, const uint8_t *s, size_t stride)
{
    quad w[8];
    halves4(o->d, q, s + offsetof(struct block_q3_K, d), stride);
    const uint8_t *sc = s + offsetof(struct block_q3_K, scales);
    const quad high = word1(sc + 8, stride);
    for (int k = 0; k < 4; k++) {
        quad x = word1(sc + 4 * (k % 2), stride) >> (4 * (k / 2)) & 0x0f0f0f0f;
        x |= (high >> (2 * k) & 0x03030303) << 4;
        x = (quad)((bytes)x - 32);
        PUT_SCALES(o->b[2 * k + i / 2].sc[i % 2], x);
    }
    words8(s, stride, w);
    for (int j = 0; j < 8; j++)
        flags(o->b[j].h, q, w, (unsigned)j);
    for (int h = 0; h < 2; h++) {
        words8(s + offsetof(struct block_q3_K, qs) + 32 * h, stride, w);
        for (int j = 0; j < 4; j++)
            twos(o->b[4 * h + j].q, q, w, 2 * (unsigned)j);
    }
}

/* The 12 bytes of six-bit scales and minima of Q4_K and Q5_K: those of blocks 0..3 and 4..7. */
struct k4 {
    quad sc[2], mn[2];
};
static inline struct k4 scales_k4(const uint8_t *s, size_t stride)
{
    quad w[4]; /* the fourth is the next field's */
    words4(s, stride, w);
    return (struct k4){
        {w[0] & 0x3f3f3f3f, (w[2] & 0x0f0f0f0f) | (w[0] >> 6 & 0x03030303) << 4},
        {w[1] & 0x3f3f3f3f, (w[2] >> 4 & 0x0f0f0f0f) | (w[1] >> 6 & 0x03030303) << 4}};
}
static inline void quad_q4_K(struct pk_q4_K *o, int q, const uint8_t *s, size_t stride)
{
    quad w[8];
    halves4(o->d, q, s, stride);
    halves4(o->dmin, q, s + 2, stride);
    const struct k4 k = scales_k4(s + offsetof(struct block_q4_K, scales), stride);
    for (int h = 0; h < 2; h++) {
        PUT_SCALES(o->b[4 * h + i].sc, k.sc[h]);
        PUT_SCALES(o->b[4 * h + i].mn, k.mn[h]);
    }
    for (int j = 0; j < 8; j += 2) {
        words8(s + offsetof(struct block_q4_K, qs) + 16 * j, stride, w);
        nibbles(o->b[j].q, q, w, 0);
        nibbles(o->b[j + 1].q, q, w, 4);
    }
}
static inline void quad_q5_K(struct pk_q5_K *o, int q, const uint8_t *s, size_t stride)
{
    quad w[8];
    halves4(o->d, q, s, stride);
    halves4(o->dmin, q, s + 2, stride);
    const struct k4 k = scales_k4(s + offsetof(struct block_q5_K, scales), stride);
    for (int h = 0; h < 2; h++) {
        PUT_SCALES(o->b[4 * h + i].sc, k.sc[h]);
        PUT_SCALES(o->b[4 * h + i].mn, k.mn[h]);
    }
    words8(s + offsetof(struct block_q5_K, qh), stride, w);
    for (int j = 0; j < 8; j++)
        flags(o->b[j].h, q, w, (unsigned)j);
    for (int j = 0; j < 8; j += 2) {
        words8(s + offsetof(struct block_q5_K, qs) + 16 * j, stride, w);
        nibbles(o->b[j].q, q, w, 0);
        nibbles(o->b[j + 1].q, q, w, 4);
    }
}
static inline void quad_q6_K(struct pk_q6_K *o, int q, const uint8_t *s, size_t stride)
{
    quad w[8];
    halves4(o->d, q, s + offsetof(struct block_q6_K, d), stride);
    words4(s + offsetof(struct block_q6_K, scales), stride, w);
    for (int k = 0; k < 4; k++)
        PUT_SCALES(o->b[2 * k + i / 2].sc[i % 2], w[k]);
    for (int h = 0; h < 2; h++) {
        for (int half = 0; half < 2; half++) {
            words8(s + 64 * h + 32 * half, stride, w);
            nibbles(o->b[4 * h + half].q, q, w, 0);
            nibbles(o->b[4 * h + 2 + half].q, q, w, 4);
        }
        words8(s + offsetof(struct block_q6_K, qh) + 32 * h, stride, w);
        for (int j = 0; j < 4; j++)
            twos(o->b[4 * h + j].h, q, w, 2 * (unsigned)j);
    }
}

/* ---- a whole group ----------------------------------------------------------------------------
 */

/* Sixteen rows read side by side are no pattern that the hardware follows, but the rows of the next
 * group are one stretch of memory: block b asks for its share of it, and for the block it writes
 * next. (Addresses past the end are only ever asked for, which cannot fail.) */
static inline void ahead(const uint8_t *next_rows, size_t n_rows, const uint8_t *next, size_t n)
{
    for (size_t i = 0; i < n_rows; i += 64)
        __builtin_prefetch(next_rows + i, 0, 2);
    for (size_t i = 0; i < n; i += 64)
        __builtin_prefetch(next + i, 1, 3);
}

#define GROUP(t)                                                                                   \
    static void group_##t(uint8_t *dst, const uint8_t *src, size_t stride, size_t n)               \
    {                                                                                              \
        const size_t src_bytes = sizeof(struct block_##t), dst_bytes = sizeof(struct pk_##t);      \
        const uint8_t *next_rows = src + MAT_ROWS * stride;                                        \
        for (size_t b = 0; b < n; b++, dst += dst_bytes) {                                         \
            ahead(next_rows + b * MAT_ROWS * src_bytes, MAT_ROWS * src_bytes, dst + dst_bytes,     \
                  dst_bytes);                                                                      \
            for (int q = 0; q < 4; q++)                                                            \
                quad_##t((void *)dst, q, src + 4 * (size_t)q * stride + b * src_bytes, stride);    \
        }                                                                                          \
    }
GROUP(q4_0)
GROUP(q4_1)
GROUP(q5_0)
GROUP(q5_1)
GROUP(q8_0)
GROUP(q2_K)
GROUP(q3_K)
GROUP(q4_K)
GROUP(q5_K)
GROUP(q6_K)

/* Eight values of eight rows, lanes 8h..8h+7. */
static inline void eight_u16(uint8_t *dst, int h, const uint8_t *s, size_t stride)
{
    halves r[8], t[8];
    for (int i = 0; i < 8; i++)
        memcpy(&r[i], s + (size_t)i * stride, 16);
    for (int i = 0; i < 4; i++) { /* rows 2i, 2i + 1 */
        t[2 * i] = PICK(r[2 * i], r[2 * i + 1], 0, 8, 1, 9, 2, 10, 3, 11);
        t[2 * i + 1] = PICK(r[2 * i], r[2 * i + 1], 4, 12, 5, 13, 6, 14, 7, 15);
    }
    quad u[8]; /* [values 2i, 2i + 1][rows 0..3 or 4..7], two values of four rows each */
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 2; k++) {
            const quad a = (quad)t[4 * i + k], b = (quad)t[4 * i + 2 + k];
            u[4 * k + i] = PICK(a, b, 0, 4, 1, 5);
            u[4 * k + 2 + i] = PICK(a, b, 2, 6, 3, 7);
        }
    for (int k = 0; k < 4; k++) {
        const quad a = PICK(u[2 * k], u[2 * k + 1], 0, 1, 4, 5);
        const quad b = PICK(u[2 * k], u[2 * k + 1], 2, 3, 6, 7);
        memcpy(dst + 32 * (2 * k) + 16 * h, &a, 16);
        memcpy(dst + 32 * (2 * k + 1) + 16 * h, &b, 16);
    }
}
static void group_u16(uint8_t *dst, const uint8_t *src, size_t stride, size_t n)
{
    size_t k = 0;
    for (; k + 8 <= n; k += 8) {
        ahead(src + MAT_ROWS * (stride + 2 * k), MAT_ROWS * 16, dst + 32 * (k + 8), 8 * 32);
        for (int h = 0; h < 2; h++)
            eight_u16(dst + 32 * k, h, src + 8 * (size_t)h * stride + 2 * k, stride);
    }
    for (; k < n; k++)
        for (size_t r = 0; r < MAT_ROWS; r++)
            memcpy(dst + 32 * k + 2 * r, src + r * stride + 2 * k, 2);
}
static void group_u32(uint8_t *dst, const uint8_t *src, size_t stride, size_t n)
{
    size_t k = 0;
    for (; k + 4 <= n; k += 4) {
        ahead(src + MAT_ROWS * (stride + 4 * k), MAT_ROWS * 16, dst + 64 * (k + 4), 4 * 64);
        for (int q = 0; q < 4; q++) {
            quad w[4];
            words4(src + 4 * (size_t)q * stride + 4 * k, stride, w);
            for (int i = 0; i < 4; i++)
                put4(dst + 64 * (k + (size_t)i), q, w[i]);
        }
    }
    for (; k < n; k++)
        for (size_t r = 0; r < MAT_ROWS; r++)
            memcpy(dst + 64 * k + 4 * r, src + r * stride + 4 * k, 4);
}

pack_group_fn *pack_group(uint32_t type)
{
    static pack_group_fn *const by_type[TYPE_COUNT] = {
        [TYPE_F32] = group_u32,   [TYPE_F16] = group_u16,   [TYPE_BF16] = group_u16,
        [TYPE_Q4_0] = group_q4_0, [TYPE_Q4_1] = group_q4_1, [TYPE_Q5_0] = group_q5_0,
        [TYPE_Q5_1] = group_q5_1, [TYPE_Q8_0] = group_q8_0, [TYPE_Q2_K] = group_q2_K,
        [TYPE_Q3_K] = group_q3_K, [TYPE_Q4_K] = group_q4_K, [TYPE_Q5_K] = group_q5_K,
        [TYPE_Q6_K] = group_q6_K,
    };
    return type < TYPE_COUNT ? by_type[type] : NULL;
}
