/* kernels/x86/mm.h - the plan of a quantized matmul, the same for all x86 ISAs. Private.
 *
 * Few columns: straight from the packed form (`gemv`). More: a panel of one row
 * group is unpacked into scratch (bytes and f32 scales) and swept by tiles of 16 rows x `width`.
 * Sums wait in scratch as [column][16 rows] f32 between panels of k, which changes no bits
 * (design: shared/performance.md, sections 2 and 6), and go to y once at the end. */
#ifndef CHASKI_KERNELS_X86_MM_H
#define CHASKI_KERNELS_X86_MM_H

#include "kernels/kernels.h"

enum {
    PANEL_BLOCKS = 64,  /* 2048 values of k: the most that a panel holds */
    MM_COLS_MAX = 12,   /* widest tile */
    MM_COL_BLOCK = 516, /* columns a panel sweeps at most: their A32 records stay in L2 */
    MM_GROUPS = 4,      /* row groups swept together, where columns are widened first */
    WIDE_BLOCKS = 16,   /* of such a panel */
    WIDE_FIELDS = 17,   /* of a widened record: 16 pairs of int16 codes, f32 d_a */
};

/* One block of 32 in a panel: codes by step, then scales. */
struct pan {
    uint8_t q[8][64];
    uint32_t s0[16], s1[16]; /* f32 or int16 pairs, by type */
};
/* The same, widened: q[step][pair of values][row][value of the pair]. */
struct wide_pan {
    int16_t q[8][2][16][2];
    float d[16];
};
struct panel {
    union {
        struct pan b[PANEL_BLOCKS];
        struct wide_pan w[WIDE_BLOCKS];
    };
    float d[PANEL_BLOCKS / 8][16], dmin[PANEL_BLOCKS / 8][16]; /* K-quants */
    float mn[PANEL_BLOCKS][2][16]; /* their minima; the second of halves (Q2_K) */
};
struct mm_scratch {
    struct panel p[MM_GROUPS];
    float acc[MM_GROUPS][MM_COL_BLOCK + MM_COLS_MAX][16];
    _Alignas(64) int32_t wide[WIDE_BLOCKS * WIDE_FIELDS * MM_COLS_MAX + 8];
    float s[MM_COLS_MAX][16]; /* sums of a super-block */
};

struct mm_type {
    int blocks;        /* of 32 in a unit of the packed form: 1, or 8 for K-quants */
    size_t unit_bytes; /* of 16 rows */
    /* NULL, or writes the records of `width` columns with int16 codes, for the tiles to read
     * instead: worth it when MM_GROUPS groups share them. Panels are WIDE_BLOCKS then. */
    void (*widen)(int32_t *wide, const int32_t *a, int width, int n_blocks);
    void (*unpack)(struct panel *p, const uint8_t *units, int n_units);
    /* acc[c][r] += n_blocks blocks; by width */
    void (*tile[MM_COLS_MAX + 1])(const struct panel *p, int n_blocks, const int32_t *a,
                                  float (*acc)[16], float (*s)[16]);
    /* acc[c][r] = all blocks; by width. NULL where few columns go through a panel, too */
    void (*gemv[MM_COLS_MAX + 1])(const uint8_t *units, int n_units, const int32_t *a,
                                  float (*acc)[16]);
};

/* GEMV leaves fetching to the CPU, which follows a stream that is read in order (prefetches of our
 * own, 1.5 KiB ahead, cost 10 to 25 % on Zen 4). Steps of Q6_K take low and
 * upper bits from two places in turn, so its blocks' lines are asked for in order first: 26 -> 32
 * GB/s a core. */
static inline __attribute__((always_inline)) void touch_in_order(int type, const uint8_t *block,
                                                                 size_t bytes)
{
    for (size_t o = 0; type == TYPE_Q6_K && o < bytes; o += 64)
        __builtin_prefetch(block + o);
}

/* Bytes of the caches that panels and blocks of columns are cut for; 0: as if there were 32 KiB and
 * 1 MiB. Before any product, or between them (tests). */
void x86_mm_caches(size_t l1, size_t l2);

void x86_mm(const struct mm_type *t, int cols, const struct mat *w, const struct acts *a, float *y,
            size_t ldy, bool add, int32_t g0, int32_t g1, void *scratch);

#endif
