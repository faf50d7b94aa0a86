/* engine/chat/call.c - calling: arguments to parameters, the global functions. */
#include <string.h>
#include "engine/chat/template.h"

const struct func *tpl_lookup(const struct func *table, size_t n, const char *p, size_t len)
{
    for (size_t i = 0; i < n; i++)
        if (strlen(table[i].name) == len && !memcmp(table[i].name, p, len)) /* p may hold a NUL */
            return &table[i];
    return NULL;
}

/* Fill `out` by the words of `params`. Positions first, then names. */
void tpl_bind(struct tpl *c, const char *what, const char *params, const struct args *raw,
              struct val out[8])
{
    size_t i = 0, used = 0;
    memset(out, 0, 8 * sizeof *out);
    for (const char *w = params; *w; i++) {
        size_t n = strcspn(w, " "), len = n - (w[n - 1] == '?');
        if (i < raw->n_pos)
            out[i] = raw->pos[i];
        for (size_t k = 0; k < raw->n_kw; k++) {
            if (raw->kw[k].name->n != len || memcmp(raw->kw[k].name->p, w, len) != 0)
                continue;
            if (out[i].type != T_ABSENT)
                tpl_fail(c, "%s() got multiple values for argument '%.*s'", what, (int)len, w);
            out[i] = raw->kw[k].v;
            used++;
        }
        if (out[i].type == T_ABSENT && len == n)
            tpl_fail(c, "%s() missing a required argument: '%.*s'", what, (int)len, w);
        w += n + (w[n] == ' ');
    }
    if (raw->n_pos > i)
        tpl_fail(c, "%s() takes at most %zu arguments (%zu given)", what, i, raw->n_pos);
    if (raw->n_kw > used)
        tpl_fail(c, "%s() got an unexpected keyword argument", what);
}

struct val tpl_run_func(struct tpl *c, const struct func *f, struct val self,
                        const struct args *raw)
{
    struct val a[8];
    tpl_charge(c, 1);
    if (f->params[0] == '*')
        memset(a, 0, sizeof a);
    else
        tpl_bind(c, f->name, f->params, raw, a);
    return f->fn(c, self, a, raw);
}

static struct val call_joiner(struct tpl *c, struct cycler *j)
{
    if (j->used)
        return tpl_str_val(j->sep);
    j->used = true;
    return tpl_strz(c, "");
}

struct val tpl_call(struct tpl *c, struct val f, const struct args *raw)
{
    switch (f.type) {
    case T_MACRO: return tpl_call_macro(c, f.m, raw);
    case T_FUNC: return tpl_run_func(c, f.fn, tpl_none, raw);
    case T_METHOD: return tpl_run_func(c, f.me->fn, f.me->self, raw);
    case T_LOOP: return tpl_call_loop(c, f.lp, raw);
    case T_JOINER: return call_joiner(c, f.cy);
    case T_UNDEF: tpl_undef_fail(c, f);
    default: tpl_fail(c, "'%s' object is not callable", tpl_type_name(f));
    }
}

struct str *tpl_need_str(struct tpl *c, struct val v, const char *what)
{
    if (v.type == T_STR)
        return v.s;
    tpl_need_defined(c, v);
    tpl_fail(c, "%s must be str, not %s", what, tpl_type_name(v));
}

int64_t tpl_need_int(struct tpl *c, struct val v, const char *what)
{
    if (v.type == T_INT || v.type == T_BOOL)
        return tpl_to_index(c, v);
    tpl_need_defined(c, v);
    tpl_fail(c, "%s must be an integer, not %s", what, tpl_type_name(v));
}

/* ---- global functions ------------------------------------------------------------------------ */

static struct val g_range(struct tpl *c, struct val self, struct val *a, const struct args *raw)
{
    struct range *r = tpl_alloc(c, sizeof *r);
    r->step = 1;
    if (raw->n_pos < 1 || raw->n_pos > 3 || raw->n_kw)
        tpl_fail(c, "range expected 1 to 3 arguments");
    r->start = raw->n_pos > 1 ? tpl_to_index(c, raw->pos[0]) : 0;
    r->stop = tpl_to_index(c, raw->pos[raw->n_pos > 1]);
    if (raw->n_pos > 2)
        r->step = tpl_to_index(c, raw->pos[2]);
    if (r->step == 0)
        tpl_fail(c, "range() arg 3 must not be zero");
    if (r->step > 0 ? r->start < r->stop : r->start > r->stop) {
        uint64_t span = r->step > 0 ? (uint64_t)r->stop - (uint64_t)r->start
                                    : (uint64_t)r->start - (uint64_t)r->stop;
        uint64_t step = r->step > 0 ? (uint64_t)r->step : 0 - (uint64_t)r->step;
        uint64_t n = (span - 1) / step + 1;
        if (n > TPL_MAX_ITEMS)
            tpl_fail(c, "Range too big. The sandbox blocks ranges larger than MAX_RANGE (%d).",
                     TPL_MAX_ITEMS);
        r->n = (size_t)n;
    }
    return (struct val){.type = T_RANGE, .r = r};
}

/* A mapping or pairs, and names, into d. */
static void fill_dict(struct tpl *c, struct dict *d, const struct args *raw, const char *what)
{
    if (raw->n_pos > 1)
        tpl_fail(c, "%s expected at most 1 argument, got %zu", what, raw->n_pos);
    if (raw->n_pos == 1) {
        struct val v = raw->pos[0];
        if (v.type == T_DICT) {
            for (size_t i = 0; i < v.d->n; i++)
                tpl_dict_set(c, d, v.d->e[i].key, v.d->e[i].value);
        } else {
            struct list *l = tpl_items(c, v);
            for (size_t i = 0; i < l->n; i++) {
                struct list *pair = tpl_items(c, l->v[i]);
                if (pair->n != 2)
                    tpl_fail(c, "dictionary update sequence element #%zu has length %zu; 2 is "
                             "required", i, pair->n);
                tpl_dict_set(c, d, pair->v[0], pair->v[1]);
            }
        }
        tpl_charge(c, d->n / 4);
    }
    for (size_t i = 0; i < raw->n_kw; i++)
        tpl_dict_set(c, d, tpl_str_val(raw->kw[i].name), raw->kw[i].v);
}

static struct val g_dict(struct tpl *c, struct val self, struct val *a, const struct args *raw)
{
    struct dict *d = tpl_dict(c);
    fill_dict(c, d, raw, "dict");
    return tpl_dict_val(d);
}

static struct val g_namespace(struct tpl *c, struct val self, struct val *a, const struct args *raw)
{
    struct dict *d = tpl_dict(c);
    fill_dict(c, d, raw, "namespace");
    return (struct val){.type = T_SPACE, .d = d};
}

static struct val g_cycler(struct tpl *c, struct val self, struct val *a, const struct args *raw)
{
    struct cycler *y = tpl_alloc(c, sizeof *y);
    if (!raw->n_pos || raw->n_kw)
        tpl_fail(c, "at least one item has to be provided");
    y->n = raw->n_pos;
    y->v = tpl_grow(c, raw->pos, y->n * sizeof *y->v, y->n * sizeof *y->v);
    return (struct val){.type = T_CYCLER, .cy = y};
}

static struct val g_joiner(struct tpl *c, struct val self, struct val *a, const struct args *raw)
{
    struct cycler *y = tpl_alloc(c, sizeof *y);
    y->sep = a[0].type == T_ABSENT ? tpl_str(c, ", ", 2, false) : tpl_to_str(c, a[0]);
    return (struct val){.type = T_JOINER, .cy = y};
}

static struct val g_raise(struct tpl *c, struct val self, struct val *a, const struct args *raw)
{
    tpl_raise(c, tpl_to_str(c, a[0]));
}

static struct val g_strftime(struct tpl *c, struct val self, struct val *a, const struct args *raw)
{
    return tpl_str_val(tpl_clock_print(c, tpl_need_str(c, a[0], "the format of strftime_now")));
}

static struct val g_lipsum(struct tpl *c, struct val self, struct val *a, const struct args *raw)
{
    return tpl_strz(c, "<p>Lorem ipsum dolor sit amet.</p>");
}

const struct func *tpl_globals(size_t *n)
{
    static const struct func table[] = {
        {"range", "*", g_range, false},
        {"dict", "*", g_dict, false},
        {"namespace", "*", g_namespace, false},
        {"cycler", "*", g_cycler, false},
        {"joiner", "sep?", g_joiner, false},
        {"lipsum", "*", g_lipsum, false},
        {"raise_exception", "message", g_raise, false},
        {"strftime_now", "format", g_strftime, false},
    };
    *n = sizeof table / sizeof *table;
    return table;
}
