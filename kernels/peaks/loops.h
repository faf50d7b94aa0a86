/* kernels/peaks/loops.h - the loops that an ISA brings. Private to the room.
 *
 * The loops are assembly: a compiler that may reorder or merge measures itself. Accumulators start
 * from zero, the factors are small numbers: no denormals, no infinities. */
#ifndef CHASKI_PEAKS_LOOPS_H
#define CHASKI_PEAKS_LOOPS_H

#include "kernels/peaks/peaks.h"

/* Read n bytes (a multiple of 4096) at p (64-byte aligned). */
struct peak_reader {
    const char *name;
    void (*read)(const uint8_t *p, size_t n);
};
enum { PEAK_LOOPS = 6, PEAK_READERS = 4 };
struct peak_isa {
    struct peak_loop loops[PEAK_LOOPS];       /* ends with a NULL name, or full */
    struct peak_reader readers[PEAK_READERS]; /* the same; none: the weaker ISA's */
};
extern const struct peak_isa peaks_avx2, peaks_avxvnni, peaks_avx512, peaks_avx512vnni, peaks_amx,
    peaks_neon, peaks_dotprod, peaks_i8mm;

#endif
