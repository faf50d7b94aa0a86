/* kernels/x86/floats_avx2.c - F32, F16, BF16 matmuls with 8 lanes (see floats.h). */
#include "kernels/x86/vec_avx2.h"
#include "kernels/x86/floats.h"
#include "kernels/x86/tables_x86.h"

#define FLOATS(T)                                                                               \
    FL_TILE(T, 1, 1)                                                                            \
    FL_TILE(T, 1, 2)                                                                            \
    FL_TILE(T, 1, 3)                                                                            \
    FL_TILE(T, 1, 4)                                                                            \
    FL_TILE(T, 1, 5)                                                                            \
    FL_TILE(T, 1, 6)                                                                            \
    FL_TILE(T, 4, 1)                                                                            \
    FL_TILE(T, 2, 2)                                                                            \
    FL_TILE(T, 2, 3)                                                                            \
    static const struct fl_tiles fl_##T = {                                                     \
        {NULL, fl_##T##_1x1, fl_##T##_1x2, fl_##T##_1x3, fl_##T##_1x4, fl_##T##_1x5,            \
         fl_##T##_1x6},                                                                         \
        {NULL, fl_##T##_4x1, fl_##T##_2x2, fl_##T##_2x3},                                       \
        {1, 4, 2, 2, 1, 1, 1},                                                                  \
    };                                                                                          \
    FL_MUL_MAT(T)

FLOATS(F32)
FLOATS(F16)
FLOATS(BF16)

void x86_floats_avx2(struct kernels *k)
{
    k->mul_mat[TYPE_F32] = mul_mat_F32;
    k->mul_mat[TYPE_F16] = mul_mat_F16;
    k->mul_mat[TYPE_BF16] = mul_mat_BF16;
}
