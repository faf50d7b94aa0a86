/* kernels/ref/ref.h - the slots of the ref table and small helpers of its files.
 *
 * Weaker tables keep these where they have nothing better, so every signature is the slot's. */
#ifndef CHASKI_KERNELS_REF_H
#define CHASKI_KERNELS_REF_H

#include <string.h>
#include "kernels/kernels.h"

static inline uint32_t ref_bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}
static inline float ref_float(uint32_t u)
{
    float f;
    memcpy(&f, &u, 4);
    return f;
}

/* The canonical tree over 16 partial sums: 8+8, 4+4, 2+2, 1+1. p is used up. */
static inline float ref_tree16(float p[16])
{
    for (int step = 8; step >= 1; step /= 2)
        for (int i = 0; i < step; i++)
            p[i] = p[i] + p[i + step];
    return p[0];
}

/* mat_pack, one row after the other for all types: what the fast ways are compared with. */
void ref_pack_plain(const struct mat *m, const void *src, int32_t g0, int32_t g1);

void ref_init_matmul(struct kernels *k); /* fills mul_mat */
/* The product for all quantized types, over columns that another table laid out: column after
 * column, a block every `stride` bytes, its scale first and its 32 codes at `codes`. Slow. */
void ref_mul_quant(const struct mat *w, const struct acts *a, float *y, size_t ldy, bool add,
                   int32_t g0, int32_t g1, size_t stride, size_t codes);

size_t ref_acts_bytes(int n, int k);
void ref_quantize(const struct acts *a, int c0, int c1);

void ref_rms_norm(float *y, const float *x, const float *w, int n, float eps);
void ref_layer_norm(float *y, const float *x, const float *w, const float *b, int n, float eps);
void ref_rope(float *x, int n_heads, size_t stride, int n_rot, const float *cs,
              enum rope_kind kind);
void ref_silu_mul(float *y, const float *gate, const float *up, int n);
void ref_gelu_mul(float *y, const float *gate, const float *up, int n);
void ref_gelu_erf(float *y, const float *x, int n);
void ref_add(float *y, const float *x, int n);
void ref_scale(float *y, float s, int n);
void ref_softcap(float *y, float cap, int n);
int ref_argmax(const float *x, int n);

void ref_kv_store(enum kv_type t, uint8_t *k_page, uint8_t *v_page, int slot, const float *k,
                  int d_k, const float *v, int d_v);
void ref_attend_span(const struct attend *t, int32_t span, float *state);
void ref_attend_merge(const float *states, size_t stride, int n_spans, int d_v, float *out);

#endif
