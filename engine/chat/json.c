/* engine/chat/json.c - the filter tojson, byte for byte Python's json.dumps, and JSON as values. */
#include <jansson.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "engine/chat/template.h"

struct how {
    bool ascii, sort, pretty;
    const struct str *indent; /* one level */
    const struct str *comma, *colon;
};

static void put_json_str(struct tpl *c, struct sink *k, const struct str *s, bool ascii)
{
    tpl_put(c, k, "\"", 1, false);
    size_t from = 0, i = 0;
    while (i < s->n) {
        unsigned char ch = (unsigned char)s->p[i];
        char b[16];
        size_t n = 1;
        b[0] = 0;
        if (ch == '"' || ch == '\\') {
            snprintf(b, sizeof b, "\\%c", ch);
        } else if (ch < 0x20) {
            const char *at = strchr("\bb\ff\nn\rr\tt", ch);
            if (ch && at)
                snprintf(b, sizeof b, "\\%c", at[1]);
            else
                snprintf(b, sizeof b, "\\u%04x", ch);
        } else if (ch >= 0x7f && ascii) {
            uint32_t cp;
            bool bad;
            n = text_decode(s->p + i, s->n - i, &cp, &bad);
            if (cp < 0x10000)
                snprintf(b, sizeof b, "\\u%04" PRIx32, cp);
            else
                snprintf(b, sizeof b, "\\u%04" PRIx32 "\\u%04" PRIx32,
                         0xd800 + ((cp - 0x10000) >> 10), 0xdc00 + ((cp - 0x10000) & 0x3ff));
        }
        if (b[0]) {
            tpl_put_part(c, k, s, from, i);
            tpl_puts(c, k, b);
            from = i + n;
        }
        i += n;
    }
    tpl_put_part(c, k, s, from, s->n);
    tpl_put(c, k, "\"", 1, false);
}

static void new_line(struct tpl *c, struct sink *k, const struct how *h, int level)
{
    if (!h->pretty)
        return;
    tpl_put(c, k, "\n", 1, false);
    for (int i = 0; i < level; i++)
        tpl_put_str(c, k, h->indent);
}

static const char *float_json(double f, char b[40])
{
    if (isnan(f))
        return "NaN";
    if (isinf(f))
        return f < 0 ? "-Infinity" : "Infinity";
    tpl_float_text(f, b);
    return b;
}

static void put_key(struct tpl *c, struct sink *k, struct val key, const struct how *h)
{
    char b[40];
    if (key.type == T_STR) {
        put_json_str(c, k, key.s, h->ascii);
        return;
    }
    tpl_puts(c, k, "\"");
    if (key.type == T_NONE)
        tpl_puts(c, k, "null");
    else if (key.type == T_BOOL)
        tpl_puts(c, k, key.b ? "true" : "false");
    else if (key.type == T_FLOAT)
        tpl_puts(c, k, float_json(key.f, b));
    else if (key.type == T_INT || key.type == T_BIG)
        tpl_repr(c, k, key);
    else
        tpl_fail(c, "keys must be str, int, float, bool or None, not %s", tpl_type_name(key));
    tpl_puts(c, k, "\"");
}

static bool key_less(struct tpl *c, struct val a, struct val b, void *arg)
{
    return tpl_less(c, a.l->v[0], b.l->v[0], "<");
}

static void put_json(struct tpl *c, struct sink *k, struct val v, const struct how *h, int level);

static void put_dict(struct tpl *c, struct sink *k, const struct dict *d, const struct how *h,
                     int level)
{
    struct list *sorted = NULL;
    if (h->sort) {
        sorted = tpl_list(c, L_LIST, d->n);
        for (size_t i = 0; i < d->n; i++)
            tpl_list_add(c, sorted, tpl_pair(c, d->e[i].key, d->e[i].value));
        tpl_sort(c, sorted->v, sorted->n, key_less, NULL);
    }
    tpl_puts(c, k, "{");
    for (size_t i = 0; i < d->n; i++) {
        if (i)
            tpl_put_str(c, k, h->comma);
        new_line(c, k, h, level + 1);
        put_key(c, k, sorted ? sorted->v[i].l->v[0] : d->e[i].key, h);
        tpl_put_str(c, k, h->colon);
        put_json(c, k, sorted ? sorted->v[i].l->v[1] : d->e[i].value, h, level + 1);
    }
    if (d->n)
        new_line(c, k, h, level);
    tpl_puts(c, k, "}");
}

static void put_list(struct tpl *c, struct sink *k, const struct list *l, const struct how *h,
                     int level)
{
    tpl_puts(c, k, "[");
    for (size_t i = 0; i < l->n; i++) {
        if (i)
            tpl_put_str(c, k, h->comma);
        new_line(c, k, h, level + 1);
        put_json(c, k, l->v[i], h, level + 1);
    }
    if (l->n)
        new_line(c, k, h, level);
    tpl_puts(c, k, "]");
}

static void put_json(struct tpl *c, struct sink *k, struct val v, const struct how *h, int level)
{
    char b[40];
    tpl_charge(c, 1);
    if (level > TPL_MAX_VALUE_DEPTH)
        tpl_fail(c, "values nested deeper than %d", TPL_MAX_VALUE_DEPTH);
    switch (v.type) {
    case T_NONE: tpl_puts(c, k, "null"); return;
    case T_BOOL: tpl_puts(c, k, v.b ? "true" : "false"); return;
    case T_INT:
    case T_BIG: tpl_repr(c, k, v); return;
    case T_FLOAT: tpl_puts(c, k, float_json(v.f, b)); return;
    case T_STR: put_json_str(c, k, v.s, h->ascii); return;
    case T_DICT: put_dict(c, k, v.d, h, level); return;
    case T_LIST:
        if (v.l->kind == L_LIST || v.l->kind == L_TUPLE || v.l->kind == L_GROUP) {
            put_list(c, k, v.l, h, level);
            return;
        }
        break;
    default: break;
    }
    tpl_fail(c, "Object of type %s is not JSON serializable", tpl_type_name(v));
}

struct val tpl_tojson(struct tpl *c, struct val self, struct val *a, const struct args *raw)
{
    struct how h = {.ascii = tpl_truth(a[0]), .sort = tpl_truth(a[3])};
    h.comma = tpl_str(c, ", ", 2, false);
    h.colon = tpl_str(c, ": ", 2, false);
    if (a[1].type != T_ABSENT && a[1].type != T_NONE) {
        h.pretty = true;
        h.comma = tpl_str(c, ",", 1, false);
        if (a[1].type == T_STR) {
            h.indent = a[1].s;
        } else {
            int64_t n = tpl_need_int(c, a[1], "indent");
            if (n > 1000)
                tpl_fail(c, "tojson: an indent of more than 1000");
            char blanks[1000];
            memset(blanks, ' ', sizeof blanks);
            h.indent = tpl_str_copy(c, blanks, n > 0 ? (size_t)n : 0, false);
        }
    }
    if (a[2].type != T_ABSENT && a[2].type != T_NONE) {
        struct list *l = tpl_items(c, a[2]);
        if (l->n != 2)
            tpl_fail(c, "separators must be two texts");
        h.comma = tpl_need_str(c, l->v[0], "a separator");
        h.colon = tpl_need_str(c, l->v[1], "a separator");
    }
    struct sink k;
    put_json(c, tpl_sink(c, &k), self, &h, 0);
    return tpl_str_val(tpl_sink_str(c, &k));
}

/* ---- jansson to values ----------------------------------------------------------------------- */

/* `copy`: the tree will be gone before the values. */
static struct val from_json(struct tpl *c, const json_t *j, bool frozen, bool copy, int level)
{
    tpl_charge(c, 1);
    if (level > TPL_MAX_VALUE_DEPTH)
        tpl_fail(c, "values nested deeper than %d", TPL_MAX_VALUE_DEPTH);
    struct str *(*text)(struct tpl *, const char *, size_t, bool) = copy ? tpl_str_copy : tpl_str;
    switch (json_typeof(j)) {
    case JSON_TRUE: return tpl_bool(true);
    case JSON_FALSE: return tpl_bool(false);
    case JSON_INTEGER: return tpl_int(json_integer_value(j));
    case JSON_REAL: return tpl_float(json_real_value(j));
    case JSON_STRING:
        return tpl_str_val(text(c, json_string_value(j), json_string_length(j), false));
    case JSON_ARRAY: {
        struct list *l = tpl_list(c, L_LIST, json_array_size(j));
        for (size_t i = 0; i < json_array_size(j); i++)
            tpl_list_add(c, l, from_json(c, json_array_get(j, i), frozen, copy, level + 1));
        l->frozen = frozen;
        return tpl_list_val(l);
    }
    case JSON_OBJECT: {
        struct dict *d = tpl_dict(c);
        json_t *o = (json_t *)(uintptr_t)j; /* its iterators have no const, and change nothing */
        for (void *it = json_object_iter(o); it; it = json_object_iter_next(o, it)) {
            const char *name = json_object_iter_key(it);
            struct str *key = text(c, name, strlen(name), false);
            tpl_dict_set(c, d, tpl_str_val(key),
                         from_json(c, json_object_iter_value(it), frozen, copy, level + 1));
        }
        d->frozen = frozen;
        return tpl_dict_val(d);
    }
    default: return tpl_none;
    }
}

struct val tpl_from_jansson(struct tpl *c, const void *json, bool frozen)
{
    return from_json(c, json, frozen, false, 0);
}

/* jansson's trees do not live in the pools, so a failure on the way must not pass them by:
 * the values are made over a landing of our own. */
static int values_of(struct tpl *c, const json_t *j, struct val *out)
{
    jmp_buf here, *before = c->out;
    c->out = &here;
    if (setjmp(here)) {
        c->out = before;
        return -1;
    }
    *out = from_json(c, j, false, true, 0);
    c->out = before;
    return 0;
}

struct val tpl_from_json_text(struct tpl *c, struct val self, struct val *a,
                              const struct args *raw)
{
    struct str *s = tpl_need_str(c, self, "from_json");
    json_error_t je;
    tpl_charge_bytes(c, s->n * 8);
    json_t *j = json_loadb(s->p, s->n, JSON_DECODE_ANY | JSON_ALLOW_NUL, &je);
    if (!j)
        tpl_fail(c, "from_json: %s", je.text);
    struct val v = tpl_none;
    int rc = values_of(c, j, &v);
    json_decref(j);
    if (rc)
        longjmp(*c->out, 1);
    return v;
}
