/* kernels/x86/mm.c - the loops around the tiles (see mm.h). Plain C for every x86-64: the time
 * is spent in the tiles, which come by pointer from the ISA's own files. */
#include <string.h>
#include "kernels/x86/a32.h"
#include "kernels/x86/mm.h"

static void store(float *y, size_t ldy, bool add, int n, int rows, float (*acc)[16])
{
    for (int c = 0; c < n; c++) {
        float *o = y + (size_t)c * ldy;
        if (add)
            for (int r = 0; r < rows; r++)
                acc[c][r] = o[r] + acc[c][r];
        if (rows == MAT_ROWS)
            memcpy(o, acc[c], sizeof acc[c]);
        else
            memcpy(o, acc[c], (size_t)rows * sizeof *o);
    }
}

static int rows_of(const struct mat *w, int32_t g)
{
    const int32_t left = w->n_rows - g * MAT_ROWS;
    return left < MAT_ROWS ? left : MAT_ROWS;
}

void x86_mm(const struct mm_type *t, int cols, const struct mat *w, const struct acts *a, float *y,
            size_t ldy, bool add, int32_t g0, int32_t g1, void *scratch)
{
    struct mm_scratch *m = scratch;
    const int n = a->n, nb = w->n_cols / 32;
    const int32_t *a32 = (const int32_t *)(const void *)a->a32;

    if (n <= 0)
        return;
    if (n <= cols) {
        for (int32_t g = g0; g < g1; g++) {
            t->gemv[a32_width(n, cols, 0)](w->data + (size_t)g * w->group_bytes, nb / t->blocks, a32, m->acc);
            store(y + (size_t)g * MAT_ROWS, ldy, add, n, rows_of(w, g), m->acc);
        }
        return;
    }
    /* 192 columns of a whole panel of k; more when k is short. */
    const int kb = nb < PANEL_BLOCKS ? nb : PANEL_BLOCKS;
    int col_block = 192 * PANEL_BLOCKS / (kb > 0 ? kb : 1);
    col_block = (col_block < MM_COL_BLOCK ? col_block : MM_COL_BLOCK) / cols * cols;
    for (int c0 = 0; c0 < n; c0 += col_block) {
        const int c1 = n - c0 < col_block ? n : c0 + col_block;
        for (int32_t g = g0; g < g1; g++) {
            const uint8_t *packed = w->data + (size_t)g * w->group_bytes;
            float *out = y + (size_t)c0 * ldy + (size_t)g * MAT_ROWS;
            memset(m->acc, 0, (size_t)(c1 - c0 + 1) * sizeof m->acc[0]);
            for (int b = 0; b < nb; b += PANEL_BLOCKS) {
                const int pb = nb - b < PANEL_BLOCKS ? nb - b : PANEL_BLOCKS;
                t->unpack(&m->p, packed + (size_t)(b / t->blocks) * t->unit_bytes, pb / t->blocks);
                for (int c = c0; c < c1; c += cols) {
                    const int width = a32_width(n, cols, c);
                    /* Each column's 16 rows are a line far from the last: fetched while the last
                     * tiles run. */
                    for (int i = 0; i < width && b + pb == nb; i++)
                        __builtin_prefetch(out + (size_t)(c - c0 + i) * ldy, 1);
                    const int32_t *ca = a32 + a32_offset(nb, c) + (size_t)b * A32_FIELDS * width;
                    t->tile[width / 2](&m->p, pb, ca, m->acc + (c - c0), m->s);
                }
            }
            store(out, ldy, add, c1 - c0, rows_of(w, g), m->acc);
        }
    }
}
