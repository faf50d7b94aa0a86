/* gguf/limits.c - the rules that reader and writer share (gguf/inside.h). */
#include "gguf/inside.h"

#include <stdio.h>

size_t kind_bytes(uint32_t kind)
{
    static const uint8_t bytes[] = {
        [GGUF_U8] = 1,  [GGUF_I8] = 1,   [GGUF_U16] = 2,    [GGUF_I16] = 2,
        [GGUF_U32] = 4, [GGUF_I32] = 4,  [GGUF_F32] = 4,    [GGUF_BOOL] = 1,
        [GGUF_STRING] = 0, [GGUF_ARRAY] = 0, [GGUF_U64] = 8, [GGUF_I64] = 8, [GGUF_F64] = 8,
    };
    return kind < sizeof bytes ? bytes[kind] : 0;
}

int err_prefix(struct err *e, const char *fmt, ...)
{
    if (!e)
        return -1;
    char where[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(where, sizeof where, fmt, ap);
    va_end(ap);
    const struct err old = *e;
    return err_set(e, old.code, "%s: %s", where, old.text);
}

int alignment_check(uint64_t a, struct err *e)
{
    if (a < ALIGN_LEAST || a > ALIGN_MOST || (a & (a - 1)))
        return err_set(e, ERR_INPUT,
                       "general.alignment is %llu, a power of two from %d to %d is wanted",
                       (unsigned long long)a, ALIGN_LEAST, ALIGN_MOST);
    return 0;
}

int shape_bytes(uint32_t type, uint32_t n_dims, const uint64_t dims[4], size_t *out,
                struct err *e)
{
    const struct gguf_type_info *t = gguf_type_info(type);
    if (!t)
        return err_set(e, ERR_UNSUPPORTED, "type id %u is not known to this version", type);
    if (t->status == TYPE_REMOVED)
        return err_set(e, ERR_UNSUPPORTED,
                       "type %s was removed from the format; convert the model again", t->name);
    if (t->status == TYPE_INTERNAL)
        return err_set(e, ERR_INPUT, "type %s is for activations and cannot stand in a file",
                       t->name);
    if (n_dims < 1 || n_dims > 4)
        return err_set(e, ERR_INPUT, "%u dimensions, 1 to 4 are possible", n_dims);
    for (uint32_t i = 0; i < n_dims; i++)
        if (dims[i] < 1)
            return err_set(e, ERR_INPUT, "dimension %u is 0", i);
    if (dims[0] % t->block_elems)
        return err_set(e, ERR_INPUT, "rows of %llu values are not whole blocks of %s (%u values)",
                       (unsigned long long)dims[0], t->name, t->block_elems);
    /* Values can be more than bytes, so both products are formed. The values must fit in
     * 63 bits: other code counts them in signed numbers. */
    size_t n = 1, bytes;
    int bad = size_mul(&bytes, dims[0] / t->block_elems, t->block_bytes);
    for (uint32_t i = 0; i < n_dims; i++) {
        bad |= size_mul(&n, n, dims[i]);
        if (i)
            bad |= size_mul(&bytes, bytes, dims[i]);
    }
    if (bad || n > INT64_MAX || bytes > INT64_MAX)
        return err_set(e, ERR_INPUT, "the dimensions multiply to more than 63 bits");
    *out = bytes;
    return 0;
}
