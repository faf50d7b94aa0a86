/* gguf/types.c - the table of tensor types (gguf/types.h). */
#include "gguf/types.h"

#include <stddef.h>

// clang-format off
static const struct gguf_type_info infos[TYPE_COUNT] = {
    [TYPE_F32] = {"F32", 1, 4, TYPE_LIVE, 0},
    [TYPE_F16] = {"F16", 1, 2, TYPE_LIVE, 0},
    [TYPE_Q4_0] = {"Q4_0", 32, 18, TYPE_LIVE, 1},
    [TYPE_Q4_1] = {"Q4_1", 32, 20, TYPE_LIVE, 1},
    [TYPE_Q4_2] = {"Q4_2", 0, 0, TYPE_REMOVED, 0},
    [TYPE_Q4_3] = {"Q4_3", 0, 0, TYPE_REMOVED, 0},
    [TYPE_Q5_0] = {"Q5_0", 32, 22, TYPE_LIVE, 1},
    [TYPE_Q5_1] = {"Q5_1", 32, 24, TYPE_LIVE, 1},
    [TYPE_Q8_0] = {"Q8_0", 32, 34, TYPE_LIVE, 1},
    [TYPE_Q8_1] = {"Q8_1", 32, 36, TYPE_INTERNAL, 1},
    [TYPE_Q2_K] = {"Q2_K", 256, 84, TYPE_LIVE, 1},
    [TYPE_Q3_K] = {"Q3_K", 256, 110, TYPE_LIVE, 1},
    [TYPE_Q4_K] = {"Q4_K", 256, 144, TYPE_LIVE, 1},
    [TYPE_Q5_K] = {"Q5_K", 256, 176, TYPE_LIVE, 1},
    [TYPE_Q6_K] = {"Q6_K", 256, 210, TYPE_LIVE, 1},
    [TYPE_Q8_K] = {"Q8_K", 256, 292, TYPE_INTERNAL, 1},
    [TYPE_IQ2_XXS] = {"IQ2_XXS", 256, 66, TYPE_LIVE, 1},
    [TYPE_IQ2_XS] = {"IQ2_XS", 256, 74, TYPE_LIVE, 1},
    [TYPE_IQ3_XXS] = {"IQ3_XXS", 256, 98, TYPE_LIVE, 1},
    [TYPE_IQ1_S] = {"IQ1_S", 256, 50, TYPE_LIVE, 1},
    [TYPE_IQ4_NL] = {"IQ4_NL", 32, 18, TYPE_LIVE, 1},
    [TYPE_IQ3_S] = {"IQ3_S", 256, 110, TYPE_LIVE, 1},
    [TYPE_IQ2_S] = {"IQ2_S", 256, 82, TYPE_LIVE, 1},
    [TYPE_IQ4_XS] = {"IQ4_XS", 256, 136, TYPE_LIVE, 1},
    [TYPE_I8] = {"I8", 1, 1, TYPE_PLAIN, 0},
    [TYPE_I16] = {"I16", 1, 2, TYPE_PLAIN, 0},
    [TYPE_I32] = {"I32", 1, 4, TYPE_PLAIN, 0},
    [TYPE_I64] = {"I64", 1, 8, TYPE_PLAIN, 0},
    [TYPE_F64] = {"F64", 1, 8, TYPE_PLAIN, 0},
    [TYPE_IQ1_M] = {"IQ1_M", 256, 56, TYPE_LIVE, 1},
    [TYPE_BF16] = {"BF16", 1, 2, TYPE_LIVE, 0},
    [TYPE_Q4_0_4_4] = {"Q4_0_4_4", 0, 0, TYPE_REMOVED, 0},
    [TYPE_Q4_0_4_8] = {"Q4_0_4_8", 0, 0, TYPE_REMOVED, 0},
    [TYPE_Q4_0_8_8] = {"Q4_0_8_8", 0, 0, TYPE_REMOVED, 0},
    [TYPE_TQ1_0] = {"TQ1_0", 256, 54, TYPE_LIVE, 1},
    [TYPE_TQ2_0] = {"TQ2_0", 256, 66, TYPE_LIVE, 1},
    [TYPE_IQ4_NL_4_4] = {"IQ4_NL_4_4", 0, 0, TYPE_REMOVED, 0},
    [TYPE_IQ4_NL_4_8] = {"IQ4_NL_4_8", 0, 0, TYPE_REMOVED, 0},
    [TYPE_IQ4_NL_8_8] = {"IQ4_NL_8_8", 0, 0, TYPE_REMOVED, 0},
    [TYPE_MXFP4] = {"MXFP4", 32, 17, TYPE_LIVE, 1},
    [TYPE_NVFP4] = {"NVFP4", 64, 36, TYPE_LIVE, 1},
    [TYPE_Q1_0] = {"Q1_0", 128, 18, TYPE_LIVE, 1},
    [TYPE_Q2_0] = {"Q2_0", 64, 18, TYPE_LIVE, 1},
};
// clang-format on

const struct gguf_type_info *gguf_type_info(uint32_t id)
{
    return id < TYPE_COUNT && infos[id].name ? &infos[id] : NULL;
}
