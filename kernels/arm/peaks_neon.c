/* kernels/arm/peaks_neon.c - how fast NEON without dotprod can multiply and read
 * (kernels/peaks/peaks.h): 4-bit codes are summed in int16 (SMLAL), 8-bit codes in int32 (SMULL and
 * SADALP). */
#include "kernels/arm/peaks_loop.h"
#include "kernels/peaks/loops.h"

static const float half = 0.5f;
static const uint32_t bytes = 0x03020103;

#define FMLA(i) "fmla v" #i ".4s, v30.4s, v31.4s\n\t"
static void fma_f32(int64_t rounds)
{
    LOOP(TWENTY(FMLA), half);
}

#define SMLAL(i) "smlal v" #i ".8h, v30.8b, v31.8b\n\t"
static void mix_4bit(int64_t rounds)
{
    LOOP(TWENTY(SMLAL), bytes);
}

#define PAIR(t, a) "smull v" #t ".8h, v30.8b, v31.8b\n\tsadalp v" #a ".4s, v" #t ".8h\n\t"
static void mix_8bit(int64_t rounds)
{
    LOOP(PAIR(0, 1) PAIR(2, 3) PAIR(4, 5) PAIR(6, 7) PAIR(8, 9) PAIR(10, 11) PAIR(12, 13)
             PAIR(14, 15),
         bytes);
}

static void read_plain(const uint8_t *p, size_t n)
{
    const uint8_t *end = p + n;
    __asm__ volatile("1:\n\tldp q0, q1, [%[p]]\n\tldp q2, q3, [%[p], #32]\n\t"
                     "ldp q4, q5, [%[p], #64]\n\tldp q6, q7, [%[p], #96]\n\t"
                     "add %[p], %[p], #128\n\tcmp %[p], %[end]\n\tb.lo 1b"
                     : [p] "+&r"(p)
                     : [end] "r"(end)
                     : "cc", "memory", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7");
}

static void read_prefetch(const uint8_t *p, size_t n) /* past the end: a prefetch never faults */
{
    const uint8_t *end = p + n;
    __asm__ volatile("1:\n\tprfm pldl1strm, [%[p], #1024]\n\tprfm pldl1strm, [%[p], #1088]\n\t"
                     "ldp q0, q1, [%[p]]\n\tldp q2, q3, [%[p], #32]\n\t"
                     "ldp q4, q5, [%[p], #64]\n\tldp q6, q7, [%[p], #96]\n\t"
                     "add %[p], %[p], #128\n\tcmp %[p], %[end]\n\tb.lo 1b"
                     : [p] "+&r"(p)
                     : [end] "r"(end)
                     : "cc", "memory", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7");
}

const struct peak_isa peaks_neon = {
    .loops = {{"neon", "f32 fmla", PEAK_F32, 20 * 4 * 2, fma_f32},
              {"neon", "smlal", PEAK_INT4, 20 * 8 * 2, mix_4bit},
              {"neon", "smull + sadalp", PEAK_INT8, 8 * 8 * 2, mix_8bit}},
    .readers = {{"ldp q, q", read_plain}, {"ldp q, q, prefetch", read_prefetch}},
};
