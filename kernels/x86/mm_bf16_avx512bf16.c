/* kernels/x86/mm_bf16_avx512bf16.c - prompts in bf16 by vdpbf16ps (Cooper Lake and later, Zen 4 and
 * later): 32 products an instruction where an FMA has 16. Whole types of weights are taken over
 * where that wins: F32, F16 and BF16. Quantized ones are multiplied by vpdpbusd twice as fast as by
 * this, and stay as they are. */
#define TILE_GROUPS 1
#define TILE_COLS 16
#define TILES_ON()
#define TILES_OFF()
#include "kernels/x86/mm_bf16.h"
#include "kernels/fast/fast.h"

AI void tile(const int C, const uint8_t *p, const uint8_t *a, size_t step, int nb, float *y,
             size_t ldy, bool from)
{
    __m512 acc[TILE_COLS];
#pragma GCC unroll 16
    for (int c = 0; c < C; c++)
        acc[c] = from ? _mm512_loadu_ps(y + (size_t)c * ldy) : _mm512_setzero_ps();
    for (int b = 0; b < nb; b++, a += step)
        for (int q = 0; q < 16; q++, p += 64) {
            const __m512bh w = (__m512bh)_mm512_load_si512(p);
#pragma GCC unroll 16
            for (int c = 0; c < C; c++) {
                int32_t pair;
                memcpy(&pair, a + 64 * c + 4 * q, sizeof pair);
                acc[c] = _mm512_dpbf16_ps(acc[c], w, (__m512bh)_mm512_set1_epi32(pair));
            }
        }
#pragma GCC unroll 16
    for (int c = 0; c < C; c++)
        _mm512_storeu_ps(y + (size_t)c * ldy, acc[c]);
}

static void bf16_tile(const uint8_t *panel, int n_groups, const struct bf16_cols *a, int n_cols,
                      int nb, float *y, size_t ldy, bool from)
{
    (void)n_groups;
    if (n_cols > 12)
        tile(16, panel, a->p[0], a->step[0], nb, y, ldy, from);
    else if (n_cols > 8)
        tile(12, panel, a->p[0], a->step[0], nb, y, ldy, from);
    else if (n_cols > 4)
        tile(8, panel, a->p[0], a->step[0], nb, y, ldy, from);
    else
        tile(4, panel, a->p[0], a->step[0], nb, y, ldy, from);
}

BF16_FLOATS(F32, 4)
BF16_FLOATS(F16, 2)
BF16_FLOATS(BF16, 2)

void x86_fast_avx512bf16(struct kernels *k)
{
    bf16_lay_over(k);
    k->mul_mat[TYPE_F32] = bf16_mul_mat_F32;
    k->mul_mat[TYPE_F16] = bf16_mul_mat_F16;
    k->mul_mat[TYPE_BF16] = bf16_mul_mat_BF16;
}
