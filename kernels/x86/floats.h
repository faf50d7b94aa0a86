/* kernels/x86/floats.h - F32, F16, BF16 weights times f32 columns, for any vector width.
 *
 * Contract: kernels/ref/matmul.c: acc = fma(w, x, acc) in ascending k, nothing else. Lane = row, the
 * column's value is broadcast; conversion of f16 costs one instruction for C columns and hides
 * behind the FMAs, so there is no panel. One column runs on 4 groups at once: a single chain of
 * FMAs would wait for its latency. Include after a vec_....h; R vectors hold the 16 rows. */
#ifndef CHASKI_KERNELS_X86_FLOATS_H
#define CHASKI_KERNELS_X86_FLOATS_H

#include "kernels/kernels.h"

enum { R = MAT_ROWS / W, FL_G = 4, FL_C = R == 2 ? 6 : 8 }; /* more columns run out of pointers */

AI size_t fl_size(const int type)
{
    return type == TYPE_F32 ? 4 : 2;
}

AI vf fl_weight(const int type, const uint8_t *p)
{
    return type == TYPE_F32   ? v_ld((const float *)(const void *)p)
           : type == TYPE_F16 ? v_ld_f16(p)
                              : v_ld_bf16(p);
}

/* G groups from `w` (gb bytes apart) x C columns from x (ldx apart); y at the first row; `rows` of
 * the last group are stored. */
AI void fl_tile(const int type, const int G, const int C, const uint8_t *w, size_t gb, int k,
                const float *x, size_t ldx, float *y, size_t ldy, bool add, int rows)
{
    vf acc[FL_G][R][FL_C];
    const float *xc[FL_C];
#pragma GCC unroll 12
    for (int c = 0; c < C; c++) {
        xc[c] = x + (size_t)c * ldx;
#pragma GCC unroll 4
        for (int g = 0; g < G; g++)
#pragma GCC unroll 2
            for (int r = 0; r < R; r++)
                acc[g][r][c] = v_zero();
    }
    const size_t line = MAT_ROWS * fl_size(type);
    for (int i = 0; i < k; i++, w += line) {
        vf v[FL_G][R];
#pragma GCC unroll 4
        for (int g = 0; g < G; g++)
#pragma GCC unroll 2
            for (int r = 0; r < R; r++)
                v[g][r] = fl_weight(type, w + (size_t)g * gb + (size_t)r * W * fl_size(type));
#pragma GCC unroll 12
        for (int c = 0; c < C; c++) {
            const vf b = v_bcast(xc[c] + i);
#pragma GCC unroll 4
            for (int g = 0; g < G; g++)
#pragma GCC unroll 2
                for (int r = 0; r < R; r++)
                    acc[g][r][c] = v_fma(v[g][r], b, acc[g][r][c]);
        }
    }
#pragma GCC unroll 12
    for (int c = 0; c < C; c++)
#pragma GCC unroll 4
        for (int g = 0; g < G; g++)
#pragma GCC unroll 2
            for (int r = 0; r < R; r++) {
                float *o = y + (size_t)c * ldy + g * MAT_ROWS + r * W;
                const int n = g < G - 1 || rows >= (r + 1) * W ? W : rows - r * W;
                if (n == W)
                    v_st(o, add ? v_add(v_ld(o), acc[g][r][c]) : acc[g][r][c]);
                else if (n > 0)
                    v_st_n(o, add ? v_add(v_ld_n(o, n), acc[g][r][c]) : acc[g][r][c], n);
            }
}

typedef void fl_fn(const uint8_t *w, size_t gb, int k, const float *x, size_t ldx, float *y,
                   size_t ldy, bool add, int rows);

/* Tiles by columns: of one group, and of `groups` (1, 2 or 4). */
struct fl_tiles {
    fl_fn *one[FL_C + 1], *many[FL_C + 1];
    int groups[FL_C + 1];
};

AI void fl_mul_mat(const struct fl_tiles *t, const struct mat *m, const struct acts *a, float *y,
                   size_t ldy, bool add, int32_t g0, int32_t g1)
{
    for (int32_t g = g0; g < g1;) {
        /* Several groups only where one column group holds all: the tiles trade rows for columns. */
        int n = a->n < FL_C ? t->groups[a->n > 0 ? a->n : 1] : 1;
        n = g1 - g < n ? 1 : n;
        const int32_t last = (g + n - 1) * MAT_ROWS, left = m->n_rows - last;
        for (int c = 0; c < a->n;) {
            const int C = a->n - c < FL_C ? a->n - c : FL_C;
            (n > 1 ? t->many : t->one)[C](m->data + (size_t)g * m->group_bytes, m->group_bytes,
                                          m->n_cols, a->x + (size_t)c * a->ldx, a->ldx,
                                          y + (size_t)c * ldy + (size_t)g * MAT_ROWS, ldy, add,
                                          left < MAT_ROWS ? left : MAT_ROWS);
            c += C;
        }
        g += n;
    }
}

#define FL_TILE(T, G, C)                                                                        \
    static void fl_##T##_##G##x##C(const uint8_t *w, size_t gb, int k, const float *x,          \
                                   size_t ldx, float *y, size_t ldy, bool add, int rows)        \
    {                                                                                           \
        fl_tile(TYPE_##T, G, C, w, gb, k, x, ldx, y, ldy, add, rows);                           \
    }
#define FL_MUL_MAT(T)                                                                           \
    static void mul_mat_##T(const struct mat *w, const struct acts *a, float *y, size_t ldy,    \
                            bool add, int32_t g0, int32_t g1, void *scratch)                    \
    {                                                                                           \
        (void)scratch;                                                                          \
        fl_mul_mat(&fl_##T, w, a, y, ldy, add, g0, g1);                                         \
    }

#endif
