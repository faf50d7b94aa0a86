/* kernels/x86/mm_make.h - from templates to the slots of a table. Private; included last by a file
 * of quantized matmuls, which has before it:
 *
 *   COLUMNS    the widest tile, 6 or 12
 *   TYPES(X)   its types: X(NAME, HOW, N, HEADER, BYTES); a packed unit is N blocks of BYTES after
 *              HEADER bytes. HOW few columns are multiplied: `direct`, or `panel` where codes are
 *              dear to take apart (mm.c then unpacks 8 blocks and runs a narrow tile over them)
 *   tile, gemv, unpack    always inline, constants in the type, the unit and the width
 *
 * WIDEN(type), MUL_MAT(NAME): what is unlike x86_mm of columns as they are. */
#ifndef CHASKI_KERNELS_X86_MM_MAKE_H
#define CHASKI_KERNELS_X86_MM_MAKE_H

#include "kernels/x86/mm.h"

#ifndef WIDEN
#define WIDEN(type) NULL
#endif
#ifndef MUL_MAT
#define MUL_MAT(T) x86_mm(&mm_##T, COLUMNS, w, a, y, ldy, add, g0, g1, scratch)
#endif

// clang-format off
/* M(width, ...) for each even width */
#if COLUMNS == 12
#define WIDER(M, ...) M(8, __VA_ARGS__) M(10, __VA_ARGS__) M(12, __VA_ARGS__)
#else
#define WIDER(M, ...)
#endif
#define EVEN(M, ...)                                                                               \
    M(2, __VA_ARGS__) M(4, __VA_ARGS__) M(6, __VA_ARGS__) WIDER(M, __VA_ARGS__)

#define TILE(C, T)                                                                                 \
    static void tile_##T##_##C(const struct panel *p, int nb, const int32_t *a, float (*acc)[16],  \
                               float (*s)[16])                                                     \
    {                                                                                              \
        tile(TYPE_##T, C, p, nb, a, acc, s);                                                       \
    }
#define GEMV(C, T, N, HEADER, BYTES)                                                               \
    static void gemv_##T##_##C(const uint8_t *b, int nu, const int32_t *a, float (*acc)[16])       \
    {                                                                                              \
        gemv(TYPE_##T, C, N, HEADER, BYTES, b, nu, a, acc);                                        \
    }
#define AT_TILE(C, T) [C] = tile_##T##_##C,
#define AT_GEMV(C, T) [C] = gemv_##T##_##C,

#define MAKE_direct(T, ...)                                                                        \
    GEMV(1, T, __VA_ARGS__) GEMV(3, T, __VA_ARGS__) EVEN(GEMV, T, __VA_ARGS__)
#define AT_TILES_direct(T)
#define AT_GEMVS_direct(T) AT_GEMV(1, T) AT_GEMV(3, T) EVEN(AT_GEMV, T)

#define MAKE_panel(T, ...) TILE(1, T) TILE(3, T)
#define AT_TILES_panel(T) AT_TILE(1, T) AT_TILE(3, T)
#define AT_GEMVS_panel(T) NULL

#define KERNELS(T, HOW, N, HEADER, BYTES)                                                          \
    EVEN(TILE, T)                                                                                  \
    MAKE_##HOW(T, N, HEADER, BYTES)                                                                \
    static void unpack_##T(struct panel *p, const uint8_t *b, int nu)                              \
    {                                                                                              \
        unpack(TYPE_##T, N, HEADER, BYTES, p, b, nu);                                              \
    }                                                                                              \
    static const struct mm_type mm_##T = {                                                         \
        .blocks = N,                                                                               \
        .unit_bytes = (HEADER) + (N) * (BYTES),                                                    \
        .widen = WIDEN(TYPE_##T),                                                                  \
        .unpack = unpack_##T,                                                                      \
        .tile = {EVEN(AT_TILE, T) AT_TILES_##HOW(T)},                                              \
        .gemv = {AT_GEMVS_##HOW(T)},                                                               \
    };                                                                                             \
    static void mul_mat_##T(const struct mat *w, const struct acts *a, float *y, size_t ldy,       \
                            bool add, int32_t g0, int32_t g1, void *scratch)                       \
    {                                                                                              \
        MUL_MAT(T);                                                                                \
    }
// clang-format on
TYPES(KERNELS)

#define SLOT(T, ...) k->mul_mat[TYPE_##T] = mul_mat_##T;
static void set_types(struct kernels *k)
{
    TYPES(SLOT)
}

#endif
