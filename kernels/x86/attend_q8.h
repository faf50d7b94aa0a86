/* kernels/x86/attend_q8.h - the products of attend.h over pages of int8 codes.
 *
 * Contract: kernels/ref/attend.c, bytes: kernels/ref/kv_q8.h. Scores: lane = key, dwords of four
 * dimensions, exact integers within a block of 32 dimensions, an fma a block. Values: lane =
 * dimension, codes widened to f32; probabilities are multiplied by the positions' scales 64 at a
 * time, once for each block of 32 dimensions. Included by attend.h, behind struct job. */
#ifndef CHASKI_KERNELS_X86_ATTEND_Q8_H
#define CHASKI_KERNELS_X86_ATTEND_Q8_H

/* Vectors of keys at once. */
AI int wide_q8(const int Q)
{
    return W == 16 ? (DOT8_BYTES == 1 || Q < 4 ? 4 : 2) : Q < 3 ? 4 : 2;
}

static void query8_of(struct query8 *o, const float *q, int d_k)
{
    for (int b = 0; b * 32 < d_k; b++) {
        int8_t code[32];
        o->d[b] = quant8(q + b * 32, d_k - b * 32, 12, code);
        o->start[b] = dot8_start(code);
        dot8_query(code, o->q + b * 32 * DOT8_BYTES);
    }
}

/* 256 bytes of the page ahead, if there is one. */
AI const uint8_t *ask_q8(const uint8_t *at, const int bytes)
{
    for (int i = 0; at && i < bytes; i += 64)
        _mm_prefetch((const char *)at + i, _MM_HINT_T1);
    return at ? at + bytes : NULL;
}

/* Products of the queries with the page's centre. */
AI void centres_q8(const int Q, const struct job *j, const uint8_t *k, float *out)
{
    const int d_k = j->t->d_k;
    const uint16_t *c = q8_centre_of(k, d_k);
    vf sum[TILE_Q][16 / W];
    for (int i = 0; i < Q; i++)
        for (int v = 0; v < 16 / W; v++)
            sum[i][v] = v_zero();
    for (int d = 0; d < d_k; d += 16) {
#pragma GCC unroll 2
        for (int v = 0; v < 16 / W; v++) {
            const vf x = v_ld_bf16(c + d + v * W);
            const int left = d_k - d - v * W;
#pragma GCC unroll 6
            for (int i = 0; i < Q; i++) {
                const float *q = j->q[i] + d + v * W;
                sum[i][v] = v_fma(left >= W ? v_ld(q) : v_ld_n(q, left), x, sum[i][v]);
            }
        }
    }
#pragma GCC unroll 6
    for (int i = 0; i < Q; i++)
        out[i] = v_sum16(sum[i]);
}

AI void dots_q8(const int Q, struct job *j, const uint8_t *k, const uint8_t *next)
{
    const int n = wide_q8(Q), d_k = j->t->d_k, steps = (int)(q8_pad(d_k) / 4);
    const uint16_t *scales = q8_scales_of(k, d_k);
    float centre[TILE_Q];

    centres_q8(Q, j, k, centre);
    for (int v0 = 0; v0 < PAGE_V; v0 += n) {
        const uint8_t *kp = k + v0 * W * 4, *ahead = v0 == 0 ? next : NULL;
        const uint8_t *ahead_d = ahead ? ahead + q8_pad(d_k) * KV_PAGE : NULL;
        for (int b = 0; b * 8 < steps; b++) {
            const int end = steps - b * 8 < 8 ? steps - b * 8 : 8;
            vi sum[TILE_Q][4];
#pragma GCC unroll 6
            for (int i = 0; i < Q; i++)
#pragma GCC unroll 4
                for (int v = 0; v < n; v++)
                    sum[i][v] = vi_set(j->q8[i]->start[b]);
            for (int g = 0; g < end; g++, kp += 4 * KV_PAGE) {
                ahead = ask_q8(ahead, 4 * KV_PAGE);
#pragma GCC unroll 4
                for (int v = 0; v < n; v++) {
                    const struct key8 key = key8_ld(kp + v * W * 4);
#pragma GCC unroll 6
                    for (int i = 0; i < Q; i++)
                        sum[i][v] = key8_dot(sum[i][v], key,
                                             j->q8[i]->q + (b * 8 + g) * 4 * DOT8_BYTES);
                }
            }
            ahead_d = ask_q8(ahead_d, 3 * KV_PAGE); /* scales, and in the end the centre */
#pragma GCC unroll 4
            for (int v = 0; v < n; v++) {
                const vf d = v_ld_bf16(scales + b * KV_PAGE + (v0 + v) * W);
#pragma GCC unroll 6
                for (int i = 0; i < Q; i++) {
                    float *p = j->p[i] + (v0 + v) * W;
                    const vf acc = b ? v_ld(p) : v_set(centre[i]);
                    v_st(p, v_fma(v_mul(d, v_bcast(&j->q8[i]->d[b])), v_int(sum[i][v]), acc));
                }
            }
        }
    }
}

/* Probabilities times the scales of block b, for all 64 positions. */
AI void scaled_q8(const int Q, struct job *j, int i0, const uint16_t *scales, int b, float (*to)[KV_PAGE])
{
    for (int k = 0; k < KV_PAGE; k += W) {
        const vf d = v_ld_bf16(scales + b * KV_PAGE + k);
        for (int i = 0; i < Q; i++)
            v_st(to[i] + k, v_mul(v_ld(j->p[i0 + i] + k), d));
    }
}

/* As values_part of attend.h; the dimensions of a part are whole blocks or lie within one. */
AI const uint8_t *values_q8_part(const int Q, const int n, struct job *j, int i0,
                                 const uint8_t *val, int a, int b, const float *c, int d0,
                                 const uint8_t *next)
{
    enum { LINE = 64 };
    const size_t row = q8_pad(j->t->d_v);
    const uint16_t *scales = q8_scales_of(val, j->t->d_v);
    vf acc[TILE_Q][8];

    if (d0 % 32 == 0) {
        scaled_q8(Q, j, i0, scales, d0 / 32, j->scaled[0]);
        if (n * W == 64)
            scaled_q8(Q, j, i0, scales, d0 / 32 + 1, j->scaled[1]);
    }
#pragma GCC unroll 6
    for (int i = 0; i < Q; i++)
#pragma GCC unroll 8
        for (int v = 0; v < n; v++)
            acc[i][v] = v_mul(v_ld(j->state[i0 + i] + 16 + d0 + v * W), v_set(c[i]));
    const uint8_t *vp = val + (size_t)a * row + d0;
    for (int k = a; k <= b; k++, vp += row) {
        if (k % (LINE / (n * W < LINE ? n * W : LINE)) == 0)
            next = ask_q8(next, LINE);
        vf w[2][TILE_Q], x[8];
#pragma GCC unroll 6
        for (int i = 0; i < Q && Q <= n; i++)
#pragma GCC unroll 2
            for (int h = 0; h * 32 < n * W; h++)
                w[h][i] = v_bcast(&j->scaled[h][i][k]);
#pragma GCC unroll 8
        for (int v = 0; v < n; v++) {
            x[v] = v_ld_i8(vp + v * W);
#pragma GCC unroll 6
            for (int i = 0; i < Q && Q <= n; i++)
                acc[i][v] = v_fma(w[v * W / 32][i], x[v], acc[i][v]);
        }
#pragma GCC unroll 6
        for (int i = 0; i < Q && Q > n; i++) {
#pragma GCC unroll 8
            for (int v = 0; v < n; v++)
                acc[i][v] = v_fma(v_bcast(&j->scaled[v * W / 32][i][k]), x[v], acc[i][v]);
        }
    }
#pragma GCC unroll 6
    for (int i = 0; i < Q; i++)
#pragma GCC unroll 8
        for (int v = 0; v < n; v++)
            v_st(j->state[i0 + i] + 16 + d0 + v * W, acc[i][v]);
    return next;
}

AI void values_q8(const int Q, struct job *j, int i0, const uint8_t *val, int a, int b,
                  const float *c, const uint8_t *next)
{
    const int d_v = j->t->d_v, n = wide(Q);
    int d = 0;
    if (next)
        for (int at = 0; at < d_v; at += 32)
            ask_q8(next + q8_pad(d_v) * KV_PAGE + (size_t)at / 32 * 2 * KV_PAGE, 2 * KV_PAGE);
    for (; d + n * W <= d_v; d += n * W)
        next = values_q8_part(Q, n, j, i0, val, a, b, c, d, next);
    for (; d + W <= d_v; d += W)
        values_q8_part(Q, 1, j, i0, val, a, b, c, d, NULL);
    for (; d < d_v; d++) { /* no model has such a head */
        const uint16_t *scale = q8_scales_of(val, d_v) + d / 32 * KV_PAGE;
        for (int i = 0; i < Q; i++) {
            float *o = j->state[i0 + i] + 16 + d, acc = *o * c[i];
            for (int k = a; k <= b; k++) {
                const int8_t code = (int8_t)val[(size_t)k * q8_pad(d_v) + (size_t)d];
                acc = fmaf(j->p[i0 + i][k] * ref_float((uint32_t)scale[k] << 16), code, acc);
            }
            *o = acc;
        }
    }
}

#endif
