/* tests/check.h - what the parts of check_kernels share: guarded memory, data, comparison. */
#ifndef CHASKI_TESTS_CHECK_H
#define CHASKI_TESTS_CHECK_H

#include "kernels/kernels.h"

/* ---- memory whose end is a page that faults -------------------------------------------------- */

struct guard { /* n bytes at p; p + n is the first byte of a page that nobody may touch */
    uint8_t *p;
    size_t n;
    void *map;
    size_t map_bytes;
};
struct guard guard_new(size_t n); /* ends the program without memory; filled with 0xa5 */
void guard_free(struct guard *g);

/* ---- data ---------------------------------------------------------------------------------- */

uint64_t rnd(void); /* a fixed sequence: failures repeat */
void rnd_seed(uint64_t s);
float rnd_normal(void); /* about normal, sigma 1 */

enum x_kind { X_NORMAL, X_EXTREME, X_TINY, X_ZEROS, X_OUTLIERS, X_NAN, X_KINDS };
void fill_x(float *x, size_t n, enum x_kind kind);

enum w_kind { W_NORMAL, W_ONES, W_SIGNS, W_SCALES, W_KINDS };
/* Raw blocks of the file's format: random codes with sane scales, all bits set, sign bits only
 * (Q8_0 codes of -128), scales of every special kind but inf and NaN. */
void fill_blocks(uint32_t type, uint8_t *blocks, size_t n_blocks, enum w_kind kind);

/* ---- comparison -------------------------------------------------------------------------- */

enum { MAX_TABLES = 16 };
extern const struct kernels *all[MAX_TABLES]; /* all[0] is ref */
extern int n_all;
extern int n_checks, n_failed;

/* Same bits (a NaN equals any NaN); counts, and prints the first few differences. */
bool same(const float *want, const float *got, size_t n, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
bool same_bytes(const void *want, const void *got, size_t n, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

extern const uint32_t mm_types[];
extern const int n_mm_types;

void more_tables(void); /* adds tables of instructions that this CPU lacks to `all` */
void check_matmul(const char *only); /* NULL: all types */
void check_rest(void);
void check_attend(void);

#endif
