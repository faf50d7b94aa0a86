/* kernels/x86/peaks_avx2.c - how fast AVX2 can multiply and read (kernels/peaks/peaks.h).
 *
 * The mixes are those of mm_blocks_avx2.c: a block of 32 codes of up to 6 bits is 8 vpmaddubsw
 * whose int16 sums are added, then one vpmaddwd and one vpaddd; codes of 8 bits are multiplied as
 * int16. */
#include "kernels/peaks/loops.h"

/* ymm15 and ymm14 are the factors. */
#define FACTORS(word) "vpbroadcastd %[" word "], %%ymm15\n\tvpbroadcastd %[" word "], %%ymm14\n\t"
#define ZERO(i) "vpxor %%xmm" #i ", %%xmm" #i ", %%xmm" #i "\n\t"
#define ZERO12                                                                                     \
    ZERO(0)                                                                                        \
    ZERO(1) ZERO(2) ZERO(3) ZERO(4) ZERO(5) ZERO(6) ZERO(7) ZERO(8) ZERO(9) ZERO(10) ZERO(11)
#define LOOP(body, word)                                                                           \
    __asm__ volatile(ZERO12 ZERO(12) ZERO(13) FACTORS("w") "1:\n\t" body                           \
                                                           "dec %[n]\n\tjnz 1b\n\tvzeroupper"      \
                     : [n] "+&r"(rounds)                                                            \
                     : [w] "m"(word)                                                               \
                     : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",       \
                       "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15")

static const float half = 0.5f;
static const uint32_t bytes = 0x03020103, words = 0x00030005;

#define FMA(i) "vfmadd231ps %%ymm14, %%ymm15, %%ymm" #i "\n\t"
static void fma_f32(int64_t rounds) /* 12 chains: 2 pipes of a latency of 4 or 5 need 8 to 10 */
{
    LOOP(FMA(0) FMA(1) FMA(2) FMA(3) FMA(4) FMA(5) FMA(6) FMA(7) FMA(8) FMA(9) FMA(10) FMA(11),
         half);
}

#define MADDUBS(t) "vpmaddubsw %%ymm14, %%ymm15, %%ymm" #t "\n\t"
static void maddubs(int64_t rounds)
{
    LOOP(MADDUBS(0) MADDUBS(1) MADDUBS(2) MADDUBS(3) MADDUBS(4) MADDUBS(5) MADDUBS(6) MADDUBS(7),
         bytes);
}

/* A block: sum in s, temporary t, accumulator a. */
#define ADD1(s, t) MADDUBS(t) "vpaddw %%ymm" #t ", %%ymm" #s ", %%ymm" #s "\n\t"
#define BLOCK(s, t, a)                                                                             \
    MADDUBS(s)                                                                                     \
    ADD1(s, t) ADD1(s, t) ADD1(s, t) ADD1(s, t) ADD1(s, t) ADD1(s, t)                              \
        ADD1(s, t) "vpmaddwd %%ymm14, %%ymm" #s ", %%ymm" #s "\n\t"                                \
                   "vpaddd %%ymm" #s ", %%ymm" #a ", %%ymm" #a "\n\t"
static void mix_4bit(int64_t rounds)
{
    LOOP(BLOCK(0, 1, 2) BLOCK(3, 4, 5) BLOCK(6, 7, 8) BLOCK(9, 10, 11), bytes);
}

#define MADDWD(t, a)                                                                               \
    "vpmaddwd %%ymm14, %%ymm15, %%ymm" #t "\n\tvpaddd %%ymm" #t ", %%ymm" #a ", %%ymm" #a "\n\t"
static void mix_8bit(int64_t rounds)
{
    LOOP(MADDWD(0, 1) MADDWD(2, 3) MADDWD(4, 5) MADDWD(6, 7) MADDWD(8, 9) MADDWD(10, 11), words);
}

/* ---- reading -----------------------------------------------------------------------------------
 */

#define LOAD(at, reg) "vmovdqa " #at "(%[p]), %%ymm" #reg "\n\t"
#define LOADS                                                                                      \
    LOAD(0, 0)                                                                                     \
    LOAD(32, 1) LOAD(64, 2) LOAD(96, 3) LOAD(128, 4) LOAD(160, 5) LOAD(192, 6) LOAD(224, 7)
#define CLOBBERED "cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7"

static void read_plain(const uint8_t *p, size_t n)
{
    const uint8_t *end = p + n;
    __asm__ volatile("1:\n\t" LOADS "add $256, %[p]\n\tcmp %[end], %[p]\n\tjb 1b\n\tvzeroupper"
                     : [p] "+&r"(p)
                     : [end] "r"(end)
                     : CLOBBERED);
}

static void read_prefetch(const uint8_t *p, size_t n) /* past the end: a prefetch never faults */
{
    const uint8_t *end = p + n;
    __asm__ volatile("1:\n\tprefetcht0 1024(%[p])\n\tprefetcht0 1088(%[p])\n\t"
                     "prefetcht0 1152(%[p])\n\tprefetcht0 1216(%[p])\n\t" LOADS
                     "add $256, %[p]\n\tcmp %[end], %[p]\n\tjb 1b\n\tvzeroupper"
                     : [p] "+&r"(p)
                     : [end] "r"(end)
                     : CLOBBERED);
}

static void read_4_streams(const uint8_t *p, size_t n)
{
    const size_t s = n / 4;
    const uint8_t *a = p, *b = p + s, *c = p + 2 * s, *d = p + 3 * s, *end = p + s;
    __asm__ volatile("1:\n\tvmovdqa (%[a]), %%ymm0\n\tvmovdqa 32(%[a]), %%ymm1\n\t"
                     "vmovdqa (%[b]), %%ymm2\n\tvmovdqa 32(%[b]), %%ymm3\n\t"
                     "vmovdqa (%[c]), %%ymm4\n\tvmovdqa 32(%[c]), %%ymm5\n\t"
                     "vmovdqa (%[d]), %%ymm6\n\tvmovdqa 32(%[d]), %%ymm7\n\t"
                     "add $64, %[a]\n\tadd $64, %[b]\n\tadd $64, %[c]\n\tadd $64, %[d]\n\t"
                     "cmp %[end], %[a]\n\tjb 1b\n\tvzeroupper"
                     : [a] "+&r"(a), [b] "+&r"(b), [c] "+&r"(c), [d] "+&r"(d)
                     : [end] "r"(end)
                     : CLOBBERED);
}

const struct peak_isa peaks_avx2 = {
    .loops = {{"avx2", "f32 vfmadd", PEAK_F32, 12 * 8 * 2, fma_f32},
              {"avx2", "vpmaddubsw alone", PEAK_ALONE, 8 * 32 * 2, maddubs},
              {"avx2", "8 vpmaddubsw + 7 vpaddw + vpmaddwd + vpaddd", PEAK_INT4, 4 * 256 * 2,
               mix_4bit},
              {"avx2", "vpmaddwd + vpaddd", PEAK_INT8, 6 * 16 * 2, mix_8bit}},
    .readers = {{"32-byte loads", read_plain},
                {"32-byte loads, prefetch", read_prefetch},
                {"32-byte loads, 4 streams", read_4_streams}},
};
