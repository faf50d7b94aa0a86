/* kernels/x86/peaks_zmm.h - a loop on zmm registers for the peaks of the AVX-512 ISAs.
 *
 * Accumulators zmm0..zmm13 start at zero; zmm30 and zmm31 hold the factor `word` in all lanes. */
#ifndef CHASKI_X86_PEAKS_ZMM_H
#define CHASKI_X86_PEAKS_ZMM_H

#define ZERO(i) "vpxor %%xmm" #i ", %%xmm" #i ", %%xmm" #i "\n\t"
#define LOOP(body, word)                                                                           \
    __asm__ volatile(                                                                              \
        ZERO(0) ZERO(1) ZERO(2) ZERO(3) ZERO(4) ZERO(5) ZERO(6) ZERO(7) ZERO(8) ZERO(9) ZERO(10)   \
            ZERO(11) ZERO(12)                                                                      \
                ZERO(13) "vpbroadcastd %[w], %%zmm31\n\tvpbroadcastd %[w], %%zmm30\n\t1:\n\t" body \
                         "dec %[n]\n\tjnz 1b\n\tvzeroupper"                                        \
        : [n] "+&r"(rounds)                                                                         \
        : [w] "m"(word)                                                                            \
        : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",    \
          "xmm10", "xmm11", "xmm12", "xmm13", "xmm30", "xmm31")

#endif
