/* kernels/arm/peaks_loop.h - a loop on vector registers for the peaks of the ARM ISAs.
 *
 * Accumulators v0..v19 start at zero (4 pipes of a latency of 4 need 16); v30 and v31 hold the
 * factor `word` in all lanes. */
#ifndef CHASKI_ARM_PEAKS_LOOP_H
#define CHASKI_ARM_PEAKS_LOOP_H

#define TWENTY(x)                                                                                  \
    x(0) x(1) x(2) x(3) x(4) x(5) x(6) x(7) x(8) x(9) x(10) x(11) x(12) x(13) x(14) x(15) x(16)    \
        x(17) x(18) x(19)
#define ZERO(i) "movi v" #i ".4s, #0\n\t"
#define LOOP(body, word)                                                                           \
    __asm__ volatile(TWENTY(ZERO) "ld1r {v30.4s}, [%[w]]\n\tld1r {v31.4s}, [%[w]]\n\t1:\n\t" body  \
                                  "subs %[n], %[n], #1\n\tb.ne 1b"                                 \
                     : [n] "+&r"(rounds)                                                            \
                     : [w] "r"(&word), "m"(word)                                                   \
                     : "cc", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10",    \
                       "v11", "v12", "v13", "v14", "v15", "v16", "v17", "v18", "v19", "v30",       \
                       "v31")

#endif
