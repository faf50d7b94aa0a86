/* engine/model/sum.h - a fast checksum against damage (not against an enemy). Private to engine/.
 */
#ifndef CHASKI_SUM_H
#define CHASKI_SUM_H

#include <stddef.h>
#include <stdint.h>

/* Eight lanes of 64 bits; every step is one-to-one in the word and in the lane, so a change inside
 * one aligned word is always found, any other damage but for one time in 2^64. About as fast as
 * memory. */
uint64_t sum64(const void *p, size_t n, uint64_t seed);

#endif
