/* kernels/x86/mm_bf16_amx.c - prompts in bf16 by AMX's tdpbf16ps (Sapphire Rapids and later), for
 * every type that has a tile in mm_amx.c and for F32, F16, BF16.
 *
 * Four result tiles: 2 groups of rows x 2 of columns, so that each tile of a panel and of columns
 * that is loaded feeds two products. The sums stay in the tile unit for a whole panel of k: 32
 * blocks and no scaling between them, which is what the exact kernels cannot do. (Counted, not
 * measured: written on a machine without AMX, tested through an emulation of the tile instructions,
 * tests/amx_emulated.h.) */
#define TILE_GROUPS 2
#define TILE_COLS 32
#define TILES_ON() _tile_loadconfig(&config)
#define TILES_OFF() _tile_release() /* idle tiles cost every switch of threads */

static const struct {
    unsigned char palette, start_row, zero[14];
    unsigned short row_bytes[16];
    unsigned char rows[16];
} config = {1, 0, {0}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};

#include "kernels/x86/mm_bf16.h"
#include "kernels/fast/fast.h"

/* Tiles 0 to 3: sums, 2 * group of columns + group of rows; 4, 5: columns; 6, 7: rows. (Plain
 * numbers: the intrinsics paste them into the names of registers.) */
AI void tile(const int G, const int C, const uint8_t *p, const struct bf16_cols *a, int nb,
             float *y, size_t ldy, bool from)
{
    const size_t line = ldy * sizeof *y;
    float *y1 = y + BF_COLS * ldy;
    if (from) {
        _tile_loadd(0, y, line);
        if (G > 1)
            _tile_loadd(1, y + MAT_ROWS, line);
        if (C > 1)
            _tile_loadd(2, y1, line);
        if (G > 1 && C > 1)
            _tile_loadd(3, y1 + MAT_ROWS, line);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    for (int b = 0; b < nb; b++, p += BF_BLOCK) {
        _tile_loadd(6, p, 64);
        _tile_loadd(4, a->p[0] + (size_t)b * a->step[0], 64);
        _tile_dpbf16ps(0, 4, 6);
        if (G > 1) {
            _tile_loadd(7, p + PANEL_BLOCKS * BF_BLOCK, 64);
            _tile_dpbf16ps(1, 4, 7);
        }
        if (C > 1) {
            _tile_loadd(5, a->p[1] + (size_t)b * a->step[1], 64);
            _tile_dpbf16ps(2, 5, 6);
        }
        if (G > 1 && C > 1)
            _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, y, line);
    if (G > 1)
        _tile_stored(1, y + MAT_ROWS, line);
    if (C > 1)
        _tile_stored(2, y1, line);
    if (G > 1 && C > 1)
        _tile_stored(3, y1 + MAT_ROWS, line);
}

static void bf16_tile(const uint8_t *panel, int n_groups, const struct bf16_cols *a, int n_cols,
                      int nb, float *y, size_t ldy, bool from)
{
    if (n_groups > 1 && n_cols > BF_COLS)
        tile(2, 2, panel, a, nb, y, ldy, from);
    else if (n_groups > 1)
        tile(2, 1, panel, a, nb, y, ldy, from);
    else if (n_cols > BF_COLS)
        tile(1, 2, panel, a, nb, y, ldy, from);
    else
        tile(1, 1, panel, a, nb, y, ldy, from);
}

BF16_FLOATS(F32, 4)
BF16_FLOATS(F16, 2)
BF16_FLOATS(BF16, 2)
BF16_BLOCKS(Q4_0, pk_q4_0)
BF16_BLOCKS(Q4_1, pk_q4_1)
BF16_BLOCKS(Q5_0, pk_q5_0)
BF16_BLOCKS(Q5_1, pk_q5_1)
BF16_BLOCKS(Q8_0, pk_q8_0)
BF16_BLOCKS(IQ4_NL, pk_iq4_nl)
BF16_BLOCKS(MXFP4, pk_mxfp4)
BF16_SUPERS(Q2_K, pk_q2_K)
BF16_SUPERS(Q3_K, pk_q3_K)
BF16_SUPERS(Q4_K, pk_q4_K)
BF16_SUPERS(Q5_K, pk_q5_K)
BF16_SUPERS(Q6_K, pk_q6_K)
BF16_SUPERS(IQ4_XS, pk_iq4_xs)

void x86_fast_amx(struct kernels *k)
{
    bf16_lay_over(k);
    k->mul_mat[TYPE_F32] = bf16_mul_mat_F32;
    k->mul_mat[TYPE_F16] = bf16_mul_mat_F16;
    k->mul_mat[TYPE_BF16] = bf16_mul_mat_BF16;
    k->mul_mat[TYPE_Q4_0] = bf16_mul_mat_Q4_0;
    k->mul_mat[TYPE_Q4_1] = bf16_mul_mat_Q4_1;
    k->mul_mat[TYPE_Q5_0] = bf16_mul_mat_Q5_0;
    k->mul_mat[TYPE_Q5_1] = bf16_mul_mat_Q5_1;
    k->mul_mat[TYPE_Q8_0] = bf16_mul_mat_Q8_0;
    k->mul_mat[TYPE_IQ4_NL] = bf16_mul_mat_IQ4_NL;
    k->mul_mat[TYPE_MXFP4] = bf16_mul_mat_MXFP4;
    k->mul_mat[TYPE_Q2_K] = bf16_mul_mat_Q2_K;
    k->mul_mat[TYPE_Q3_K] = bf16_mul_mat_Q3_K;
    k->mul_mat[TYPE_Q4_K] = bf16_mul_mat_Q4_K;
    k->mul_mat[TYPE_Q5_K] = bf16_mul_mat_Q5_K;
    k->mul_mat[TYPE_Q6_K] = bf16_mul_mat_Q6_K;
    k->mul_mat[TYPE_IQ4_XS] = bf16_mul_mat_IQ4_XS;
}
