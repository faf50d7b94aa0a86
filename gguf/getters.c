/* gguf/getters.c - metadata by name and type, names of kinds and file types
 * (gguf/gguf.h). Values lie unaligned in the mapped file, so every read is a copy. */
#include "gguf/inside.h"

#include <string.h>

const char *gguf_kind_name(enum gguf_kind k)
{
    static const char *const names[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                        "bool", "string", "array", "u64", "i64", "f64"};
    return (unsigned)k < sizeof names / sizeof *names ? names[k] : "unknown";
}

const char *gguf_file_type_name(uint64_t file_type)
{
    /* llama_ftype of llama.cpp, by number; the names are what people see in file names. */
    static const char *const names[] = {
        [0] = "F32",      [1] = "F16",      [2] = "Q4_0",     [3] = "Q4_1",     [7] = "Q8_0",
        [8] = "Q5_0",     [9] = "Q5_1",     [10] = "Q2_K",    [11] = "Q3_K_S",  [12] = "Q3_K_M",
        [13] = "Q3_K_L",  [14] = "Q4_K_S",  [15] = "Q4_K_M",  [16] = "Q5_K_S",  [17] = "Q5_K_M",
        [18] = "Q6_K",    [19] = "IQ2_XXS", [20] = "IQ2_XS",  [21] = "Q2_K_S",  [22] = "IQ3_XS",
        [23] = "IQ3_XXS", [24] = "IQ1_S",   [25] = "IQ4_NL",  [26] = "IQ3_S",   [27] = "IQ3_M",
        [28] = "IQ2_S",   [29] = "IQ2_M",   [30] = "IQ4_XS",  [31] = "IQ1_M",   [32] = "BF16",
        [36] = "TQ1_0",   [37] = "TQ2_0",   [38] = "MXFP4_MOE",  [39] = "NVFP4",   [40] = "Q1_0",
        [41] = "Q2_0",
    };
    const size_t n = sizeof names / sizeof *names;
    return file_type < n && names[file_type] ? names[file_type] : "unknown";
}

/* "key "x" is an array of 3 u32, WANTED is wanted" */
static int wrong_kind(const struct gguf_value *v, const char *wanted, struct err *e)
{
    const char *kind = gguf_kind_name(v->kind == GGUF_ARRAY ? v->elem : v->kind);
    if (v->kind == GGUF_ARRAY)
        return err_set(e, ERR_INPUT, "key \"%s\" is an array of %llu %s, %s is wanted", v->key,
                       (unsigned long long)v->n, kind, wanted);
    return err_set(e, ERR_INPUT, "key \"%s\" is %s %s, %s is wanted", v->key,
                   strchr("aif", kind[0]) ? "an" : "a", kind, wanted);
}

static enum gguf_kind item_kind(const struct gguf_value *v)
{
    return v->kind == GGUF_ARRAY ? v->elem : v->kind;
}

/* An integer of any kind as its 64 bits and whether they are a negative number; false when
 * the kind is no integer. */
static bool integer_at(const struct gguf_value *v, uint64_t i, uint64_t *bits, bool *negative)
{
    const enum gguf_kind k = item_kind(v);
    const char *p = v->raw;
    int64_t s = 0;
    *negative = false;
    switch (k) {
#define CASE(KIND, TYPE, TO)                                                                       \
    case KIND: {                                                                                   \
        TYPE x;                                                                                    \
        memcpy(&x, p + i * sizeof x, sizeof x);                                                    \
        TO = x;                                                                                    \
        break;                                                                                     \
    }
        CASE(GGUF_U8, uint8_t, *bits)
        CASE(GGUF_U16, uint16_t, *bits)
        CASE(GGUF_U32, uint32_t, *bits)
        CASE(GGUF_U64, uint64_t, *bits)
        CASE(GGUF_I8, int8_t, s)
        CASE(GGUF_I16, int16_t, s)
        CASE(GGUF_I32, int32_t, s)
        CASE(GGUF_I64, int64_t, s)
#undef CASE
    default:
        return false;
    }
    if (k == GGUF_I8 || k == GGUF_I16 || k == GGUF_I32 || k == GGUF_I64) {
        *bits = (uint64_t)s;
        *negative = s < 0;
    }
    return true;
}

int gguf_value_u64_at(const struct gguf_value *v, uint64_t i, uint64_t *out, struct err *e)
{
    uint64_t bits = 0;
    bool negative;
    if (!integer_at(v, i, &bits, &negative))
        return wrong_kind(v, "an integer", e);
    if (negative)
        return err_set(e, ERR_INPUT, "key \"%s\" is %lld, a number >= 0 is wanted", v->key,
                       (long long)bits);
    *out = bits;
    return 0;
}

int gguf_value_i64_at(const struct gguf_value *v, uint64_t i, int64_t *out, struct err *e)
{
    uint64_t bits = 0;
    bool negative;
    if (!integer_at(v, i, &bits, &negative))
        return wrong_kind(v, "an integer", e);
    if (!negative && bits > INT64_MAX)
        return err_set(e, ERR_INPUT, "key \"%s\" is %llu, more than 63 bits", v->key,
                       (unsigned long long)bits);
    *out = (int64_t)bits;
    return 0;
}

int gguf_value_f64_at(const struct gguf_value *v, uint64_t i, double *out, struct err *e)
{
    const char *p = v->raw;
    uint64_t bits = 0;
    bool negative;
    if (item_kind(v) == GGUF_F32) {
        float x;
        memcpy(&x, p + i * sizeof x, sizeof x);
        *out = x;
    } else if (item_kind(v) == GGUF_F64) {
        memcpy(out, p + i * sizeof *out, sizeof *out);
    } else if (integer_at(v, i, &bits, &negative)) {
        *out = negative ? (double)(int64_t)bits : (double)bits;
    } else {
        return wrong_kind(v, "a number", e);
    }
    return 0;
}

int gguf_value_bool_at(const struct gguf_value *v, uint64_t i, bool *out, struct err *e)
{
    if (item_kind(v) != GGUF_BOOL)
        return wrong_kind(v, "a bool", e);
    const uint8_t b = ((const uint8_t *)v->raw)[i];
    if (b > 1)
        return err_set(e, ERR_INPUT, "key \"%s\" holds a bool of value %u", v->key, b);
    *out = b;
    return 0;
}

/* The value of a getter: NULL with *rc set when it is absent or an array. */
static const struct gguf_value *scalar(const struct gguf *g, const char *key, const char *wanted,
                                       int *rc, struct err *e)
{
    const struct gguf_value *v = gguf_find(g, key);
    *rc = 0;
    if (v && v->kind == GGUF_ARRAY) {
        *rc = wrong_kind(v, wanted, e);
        return NULL;
    }
    return v;
}

int gguf_get_u64(const struct gguf *g, const char *key, uint64_t *out, struct err *e)
{
    int rc;
    const struct gguf_value *v = scalar(g, key, "an integer", &rc, e);
    return !v ? rc : gguf_value_u64_at(v, 0, out, e) ? -1 : 1;
}

int gguf_get_f64(const struct gguf *g, const char *key, double *out, struct err *e)
{
    int rc;
    const struct gguf_value *v = scalar(g, key, "a number", &rc, e);
    return !v ? rc : gguf_value_f64_at(v, 0, out, e) ? -1 : 1;
}

int gguf_get_bool(const struct gguf *g, const char *key, bool *out, struct err *e)
{
    int rc;
    const struct gguf_value *v = scalar(g, key, "a bool", &rc, e);
    return !v ? rc : gguf_value_bool_at(v, 0, out, e) ? -1 : 1;
}

int gguf_get_text(const struct gguf *g, const char *key, struct text *out, struct err *e)
{
    int rc;
    const struct gguf_value *v = scalar(g, key, "a string", &rc, e);
    if (!v)
        return rc;
    if (v->kind != GGUF_STRING)
        return wrong_kind(v, "a string", e);
    *out = v->str[0];
    return 1;
}
