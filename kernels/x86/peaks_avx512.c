/* kernels/x86/peaks_avx512.c - how fast AVX-512 without VNNI can multiply and read
 * (kernels/peaks/peaks.h). The mixes are those of AVX2 with twice the lanes. */
#include "kernels/peaks/loops.h"
#include "kernels/x86/peaks_zmm.h"

static const float half = 0.5f;
static const uint32_t bytes = 0x03020103, words = 0x00030005;

#define FMA(i) "vfmadd231ps %%zmm30, %%zmm31, %%zmm" #i "\n\t"
static void fma_f32(int64_t rounds)
{
    LOOP(FMA(0) FMA(1) FMA(2) FMA(3) FMA(4) FMA(5) FMA(6) FMA(7) FMA(8) FMA(9) FMA(10) FMA(11),
         half);
}

#define MADDUBS(t) "vpmaddubsw %%zmm30, %%zmm31, %%zmm" #t "\n\t"
#define ADD1(s, t) MADDUBS(t) "vpaddw %%zmm" #t ", %%zmm" #s ", %%zmm" #s "\n\t"
#define BLOCK(s, t, a)                                                                             \
    MADDUBS(s)                                                                                     \
    ADD1(s, t) ADD1(s, t) ADD1(s, t) ADD1(s, t) ADD1(s, t) ADD1(s, t)                              \
        ADD1(s, t) "vpmaddwd %%zmm30, %%zmm" #s ", %%zmm" #s "\n\t"                                \
                   "vpaddd %%zmm" #s ", %%zmm" #a ", %%zmm" #a "\n\t"
static void mix_4bit(int64_t rounds)
{
    LOOP(BLOCK(0, 1, 2) BLOCK(3, 4, 5) BLOCK(6, 7, 8) BLOCK(9, 10, 11), bytes);
}

#define MADDWD(t, a)                                                                               \
    "vpmaddwd %%zmm30, %%zmm31, %%zmm" #t "\n\tvpaddd %%zmm" #t ", %%zmm" #a ", %%zmm" #a "\n\t"
static void mix_8bit(int64_t rounds)
{
    LOOP(MADDWD(0, 1) MADDWD(2, 3) MADDWD(4, 5) MADDWD(6, 7) MADDWD(8, 9) MADDWD(10, 11), words);
}

#define LOAD(at, reg) "vmovdqa64 " #at "(%[p]), %%zmm" #reg "\n\t"
static void read_plain(const uint8_t *p, size_t n)
{
    const uint8_t *end = p + n;
    __asm__ volatile("1:\n\t" LOAD(0, 0) LOAD(64, 1) LOAD(128, 2)
                         LOAD(192, 3) "add $256, %[p]\n\tcmp %[end], %[p]\n\tjb 1b\n\tvzeroupper"
                     : [p] "+&r"(p)
                     : [end] "r"(end)
                     : "cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3");
}

const struct peak_isa peaks_avx512 = {
    .loops = {{"avx512", "f32 vfmadd", PEAK_F32, 12 * 16 * 2, fma_f32},
              {"avx512", "8 vpmaddubsw + 7 vpaddw + vpmaddwd + vpaddd", PEAK_INT4, 4 * 512 * 2,
               mix_4bit},
              {"avx512", "vpmaddwd + vpaddd", PEAK_INT8, 6 * 32 * 2, mix_8bit}},
    .readers = {{"64-byte loads", read_plain}},
};
