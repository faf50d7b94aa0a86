/* kernels/x86/mm.c - the loops around the tiles (see mm.h). Plain C for every x86-64: the time
 * is spent in the tiles, which come by pointer from the ISA's own files. */
#include <string.h>
#include "kernels/x86/a32.h"
#include "kernels/x86/mm.h"

/* How products are cut. A panel twice the L1 cache: it comes from L2 for each tile, and longer
 * panels load and store sums less often. The records of a block of columns take three quarters of
 * L2, which leaves room for the panel and the sums. */
static struct {
    int blocks;  /* of a panel; whole super-blocks */
    int wide;    /* of one of int16 codes */
    int records; /* of 64 bytes, one a block and column */
} cut = {PANEL_BLOCKS, WIDE_BLOCKS, 192 * PANEL_BLOCKS};

static int between(size_t x, int lo, int hi)
{
    return x<(size_t)lo ? lo : x>(size_t) hi ? hi : (int)x;
}

void x86_mm_caches(size_t l1, size_t l2)
{
    l1 = l1 ? l1 : 32 << 10;
    l2 = l2 ? l2 : 1 << 20;
    cut.blocks = between(l1 / 512, 8, PANEL_BLOCKS) & -8;
    cut.wide = between(l1 / 2048, 8, WIDE_BLOCKS) & -8;
    cut.records = between(l2 / 4 * 3 / 64, 8 * MM_COLS_MAX, MM_COL_BLOCK * PANEL_BLOCKS);
}

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

/* Columns c0..c1-1 of row groups g..g+n_groups-1. */
static void sweep(const struct mm_type *t, int cols, const struct mat *w, const struct acts *a,
                  float *y, size_t ldy, bool add, int32_t g, int n_groups, int c0, int c1,
                  struct mm_scratch *m)
{
    const int nb = w->n_cols / 32, panel = t->widen ? cut.wide : cut.blocks;
    const int32_t *a32 = (const int32_t *)(const void *)a->a32;

    for (int i = 0; i < n_groups; i++)
        memset(m->acc[i], 0, (size_t)(c1 - c0 + 1) * sizeof m->acc[i][0]);
    for (int b = 0; b < nb; b += panel) {
        const int pb = nb - b < panel ? nb - b : panel;
        for (int i = 0; i < n_groups; i++)
            t->unpack(&m->p[i],
                      w->data + (size_t)(g + i) * w->group_bytes +
                          (size_t)(b / t->blocks) * t->unit_bytes,
                      pb / t->blocks);
        for (int c = c0; c < c1; c += cols) {
            const int width = a32_width(a->n, cols, c);
            const int32_t *ca = a32 + a32_offset(nb, c) + (size_t)b * A32_FIELDS * width;
            /* Each column's rows are a line far from the last: fetched while the last tiles run. */
            for (int i = 0; i < width && b + pb == nb; i++)
                __builtin_prefetch(y + (size_t)g * MAT_ROWS + (size_t)(c - c0 + i) * ldy, 1);
            if (t->widen) {
                t->widen(m->wide, ca, width, pb);
                ca = m->wide;
            }
            for (int i = 0; i < n_groups; i++)
                t->tile[width](&m->p[i], pb, ca, m->acc[i] + (c - c0), m->s);
        }
    }
    for (int i = 0; i < n_groups; i++)
        store(y + (size_t)(g + i) * MAT_ROWS, ldy, add, c1 - c0, rows_of(w, g + i), m->acc[i]);
}

/* Columns up to which GEMV, once for each tile's width, beats a panel: it takes codes apart again
 * for each of them but writes none to memory. One row group stays in cache, so the weights are read
 * once. 8 columns on Zen 4: 1.35 to 1.45 times as fast (avx2); 16: 1.0 to 1.4 (avx512vnni). */
static int few_columns(const struct mm_type *t, int cols)
{
    enum { FEW = 16 };
    if (!t->tile[1] && !t->gemv[1]) /* AMX, which is asked for many columns only */
        return 0;
    return t->gemv[1] && cols < FEW ? FEW : cols;
}

/* One width of few columns: straight from the packed form, or where codes are dear to take apart
 * through a panel that stays in L1. */
static void narrow(const struct mm_type *t, int width, const uint8_t *units, int nb,
                   const int32_t *a, float (*acc)[16], struct mm_scratch *m)
{
    enum { FEW_BLOCKS = 8 };
    if (t->gemv[width]) {
        t->gemv[width](units, nb / t->blocks, a, acc);
        return;
    }
    memset(acc, 0, (size_t)width * sizeof *acc);
    for (int b = 0; b < nb; b += FEW_BLOCKS) {
        const int n = nb - b < FEW_BLOCKS ? nb - b : FEW_BLOCKS;
        const size_t bytes = (size_t)(n / t->blocks) * t->unit_bytes;
        for (size_t o = 0; o < bytes; o += 64)
            __builtin_prefetch(units + 2048 + o);
        t->unpack(&m->p[0], units, n / t->blocks);
        t->tile[width](&m->p[0], n, a, acc, m->s);
        units += bytes;
        a += (size_t)n * A32_FIELDS * (size_t)width;
    }
}

void x86_mm(const struct mm_type *t, int cols, const struct mat *w, const struct acts *a, float *y,
            size_t ldy, bool add, int32_t g0, int32_t g1, void *scratch)
{
    struct mm_scratch *m = scratch;
    const int n = a->n, nb = w->n_cols / 32;
    const int32_t *a32 = (const int32_t *)(const void *)a->a32;

    if (n <= 0)
        return;
    if (n <= few_columns(t, cols)) {
        for (int32_t g = g0; g < g1; g++) {
            const uint8_t *units = w->data + (size_t)g * w->group_bytes;
            for (int c = 0; c < n; c += cols)
                narrow(t, a32_width(n, cols, c), units, nb, a32 + a32_offset(nb, c), m->acc[0] + c,
                       m);
            store(y + (size_t)g * MAT_ROWS, ldy, add, n, rows_of(w, g), m->acc[0]);
        }
        return;
    }
    const int groups = t->widen ? MM_GROUPS : 1, blocks = t->widen ? cut.wide : cut.blocks;
    const int kb = nb < blocks ? nb : blocks;
    const int col_block =
        between((size_t)(cut.records / (kb ? kb : 1)), cols, MM_COL_BLOCK) / cols * cols;
    for (int c0 = 0; c0 < n; c0 += col_block) {
        const int c1 = n - c0 < col_block ? n : c0 + col_block;
        for (int32_t g = g0; g < g1; g += groups)
            sweep(t, cols, w, a, y + (size_t)c0 * ldy, ldy, add, g,
                  g1 - g < groups ? g1 - g : groups, c0, c1, m);
    }
}
