/* kernels/ref/values.c - packed or raw weights as f32: the formulas of the formats.
 *
 * Every value is the exact real result rounded once: products of an 11-bit scale and small
 * integers are exact in f32, so only the types with a minimum round, in their last step. Raw blocks
 * go through the packed form, one row wide: one set of formulas, and packing is tested with it. */
#include "kernels/ref/ref.h"
#include "kernels/ref/unpack.h"

/* The 32 values of row r of an unpacked block. */
static void values32(uint32_t type, const struct ref_block *b, int r, float *out)
{
    float d = b->d ? f16_to_f32(b->d[r]) : 0.0f, m = b->m ? f16_to_f32(b->m[r]) : 0.0f;
    for (int k = 0; k < 32; k++) {
        float q = b->w[k][r];
        int h = k / 16;
        if (book_type(type)) {
            out[k] = d * book_unit(type) * b->sc[h][r] * q;
            continue;
        }
        switch (type) {
        case TYPE_Q4_1:
        case TYPE_Q5_1:
            out[k] = q * d + m;
            break;
        case TYPE_Q3_K:
        case TYPE_Q6_K:
        case TYPE_IQ4_XS:
            out[k] = d * b->sc[h][r] * q;
            break;
        case TYPE_Q2_K:
        case TYPE_Q4_K:
        case TYPE_Q5_K:
            out[k] = d * b->sc[h][r] * q - m * b->mn[h][r];
            break;
        case TYPE_MXFP4:
        case TYPE_NVFP4:
            out[k] = b->f[h][r] * q;
            break;
        default: /* a scale and a code: Q4_0, Q5_0, Q8_0, IQ4_NL, Q1_0, Q2_0, TQ1_0, TQ2_0 */
            out[k] = d * q;
            break;
        }
    }
}

void mat_row(const struct mat *m, int32_t row, float *out)
{
    const uint8_t *group = m->data + (size_t)(row / MAT_ROWS) * m->group_bytes;
    int r = row % MAT_ROWS;
    if (m->type == TYPE_F32 || m->type == TYPE_F16 || m->type == TYPE_BF16) {
        for (size_t k = 0; k < (size_t)m->n_cols; k++) {
            size_t at = k * MAT_ROWS + (size_t)r;
            if (m->type == TYPE_F32)
                out[k] = ((const float *)group)[at];
            else if (m->type == TYPE_F16)
                out[k] = f16_to_f32(((const uint16_t *)group)[at]);
            else
                out[k] = ref_float((uint32_t)((const uint16_t *)group)[at] << 16);
        }
        return;
    }
    struct ref_block b;
    for (int i = 0; i < m->n_cols / 32; i++) {
        ref_unpack(m->type, group, i, r, r + 1, &b);
        values32(m->type, &b, r, out + 32 * i);
    }
}

int kernels_dequant(uint32_t type, const void *blocks, size_t n_blocks, float *out)
{
    _Alignas(64) uint8_t group[sizeof(struct pk_q6_K)]; /* the largest, of one block */
    struct mat m;
    size_t bytes;
    const struct gguf_type_info *info = gguf_type_info(type);
    if (!info || mat_init(&m, type, 1, info->block_elems ? info->block_elems : 1, &bytes, NULL))
        return -1;
    if (bytes > sizeof group)
        return -1;
    m.data = group;
    for (size_t i = 0; i < n_blocks; i++) {
        mat_pack(&m, (const uint8_t *)blocks + i * info->block_bytes, 0, 1);
        mat_row(&m, 0, out + i * info->block_elems);
    }
    return 0;
}
