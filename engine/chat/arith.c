/* engine/chat/arith.c - `+ - * / // % **` as Python has them; integers stay within 64 bits. */
#include <math.h>
#include <string.h>
#include "engine/chat/syntax.h"

static const char *op_text(int op)
{
    switch (op) {
    case K_ADD: return "+";
    case K_SUB: return "-";
    case K_MUL: return "*";
    case K_DIV: return "/";
    case K_FLOORDIV: return "//";
    case K_MOD: return "%";
    default: return "** or pow()";
    }
}

_Noreturn static void no_such(struct tpl *c, int op, struct val a, struct val b)
{
    tpl_need_defined(c, a);
    tpl_need_defined(c, b);
    if (op == K_ADD && a.type == T_STR)
        tpl_fail(c, "can only concatenate str (not \"%s\") to str", tpl_type_name(b));
    if (op == K_ADD && a.type == T_LIST && (a.l->kind == L_LIST || a.l->kind == L_TUPLE))
        tpl_fail(c, "can only concatenate %s (not \"%s\") to %s", tpl_type_name(a),
                 tpl_type_name(b), tpl_type_name(a));
    tpl_fail(c, "unsupported operand type(s) for %s: '%s' and '%s'", op_text(op), tpl_type_name(a),
             tpl_type_name(b));
}

_Noreturn static void overflow(struct tpl *c)
{
    tpl_fail(c, "an integer past 64 bits");
}

static int64_t floor_div(struct tpl *c, int64_t a, int64_t b)
{
    if (b == 0)
        tpl_fail(c, "integer division or modulo by zero");
    if (b == -1) {
        if (a == INT64_MIN)
            overflow(c);
        return -a;
    }
    int64_t q = a / b;
    return q - ((a % b != 0) && ((a < 0) != (b < 0)));
}

static struct val int_pow(struct tpl *c, int64_t a, int64_t b)
{
    if (b < 0) {
        if (a == 0)
            tpl_fail(c, "0.0 cannot be raised to a negative power");
        return tpl_float(pow((double)a, (double)b));
    }
    int64_t r = 1;
    for (; b; b >>= 1) {
        if ((b & 1) && __builtin_mul_overflow(r, a, &r))
            overflow(c);
        if (b > 1 && __builtin_mul_overflow(a, a, &a))
            overflow(c);
    }
    return tpl_int(r);
}

static struct val int_op(struct tpl *c, int op, int64_t a, int64_t b)
{
    int64_t r;
    bool bad;
    switch (op) {
    case K_ADD: bad = __builtin_add_overflow(a, b, &r); break;
    case K_SUB: bad = __builtin_sub_overflow(a, b, &r); break;
    case K_MUL: bad = __builtin_mul_overflow(a, b, &r); break;
    case K_DIV:
        if (b == 0)
            tpl_fail(c, "division by zero");
        return tpl_float((double)a / (double)b);
    case K_FLOORDIV: return tpl_int(floor_div(c, a, b));
    case K_MOD:
        if (b == 0)
            tpl_fail(c, "integer modulo by zero");
        if (b == -1)
            return tpl_int(0);
        r = a % b;
        return tpl_int(r && (r < 0) != (b < 0) ? r + b : r);
    default: return int_pow(c, a, b);
    }
    if (bad)
        overflow(c);
    return tpl_int(r);
}

static double float_mod(double a, double b)
{
    double r = fmod(a, b);
    if (r != 0 && (r < 0) != (b < 0))
        r += b;
    return r == 0 ? copysign(0.0, b) : r;
}

static struct val float_op(struct tpl *c, int op, double a, double b)
{
    if (b == 0 && (op == K_DIV || op == K_FLOORDIV || op == K_MOD))
        tpl_fail(c, op == K_DIV ? "float division by zero" : "float floor division by zero");
    switch (op) {
    case K_ADD: return tpl_float(a + b);
    case K_SUB: return tpl_float(a - b);
    case K_MUL: return tpl_float(a * b);
    case K_DIV: return tpl_float(a / b);
    case K_FLOORDIV: {
        double q = (a - float_mod(a, b)) / b, f = floor(q);
        if (q == 0) /* a zero has the sign of the quotient */
            return tpl_float(copysign(0.0, a / b));
        return tpl_float(q - f > 0.5 ? f + 1 : f);
    }
    case K_MOD: return tpl_float(float_mod(a, b));
    default:
        if (a == 0 && b < 0)
            tpl_fail(c, "0.0 cannot be raised to a negative power");
        if (a < 0 && b != floor(b))
            tpl_fail(c, "a complex number");
        if (isinf(pow(a, b)) && isfinite(a) && isfinite(b))
            tpl_fail(c, "a float past its range");
        return tpl_float(pow(a, b));
    }
}

static struct val repeat(struct tpl *c, struct val v, int64_t n)
{
    if (n < 0)
        n = 0;
    if (v.type == T_STR) {
        if (v.s->n && n > TPL_MAX_ITEMS)
            tpl_fail(c, "a repeat of more than %d times", TPL_MAX_ITEMS);
        struct sink k;
        tpl_sink(c, &k);
        for (int64_t i = 0; v.s->n && i < n; i++)
            tpl_put_str(c, &k, v.s);
        tpl_charge(c, (size_t)n / 8);
        return tpl_str_val(tpl_sink_str(c, &k));
    }
    size_t total;
    if (__builtin_mul_overflow(v.l->n, (size_t)n, &total) || total > TPL_MAX_ITEMS)
        tpl_fail(c, "a repeat to more than %d items", TPL_MAX_ITEMS);
    tpl_charge(c, total / 8);
    struct list *l = tpl_list(c, v.l->kind, total);
    for (int64_t i = 0; v.l->n && i < n; i++)
        for (size_t k = 0; k < v.l->n; k++)
            tpl_list_add(c, l, v.l->v[k]);
    return tpl_list_val(l);
}

static bool is_seq(struct val v)
{
    return v.type == T_STR || (v.type == T_LIST && (v.l->kind == L_LIST || v.l->kind == L_TUPLE));
}

static struct val add_lists(struct tpl *c, const struct list *a, const struct list *b)
{
    size_t n = a->n + b->n;
    tpl_charge(c, n / 8);
    struct list *l = tpl_list(c, a->kind, n);
    if (a->n)
        memcpy(l->v, a->v, a->n * sizeof *l->v);
    if (b->n)
        memcpy(l->v + a->n, b->v, b->n * sizeof *l->v);
    l->n = n;
    return tpl_list_val(l);
}

static struct val add_texts(struct tpl *c, struct str *a, struct str *b)
{
    if (a->safe == b->safe) {
        struct str *s = tpl_str_join2(c, a, b);
        s->safe = a->safe;
        return tpl_str_val(s);
    }
    /* Python's Markup escapes what is added to it. */
    struct str *s = a->safe ? tpl_str_join2(c, a, tpl_escape_html(c, b))
                            : tpl_str_join2(c, tpl_escape_html(c, a), b);
    s->safe = true;
    return tpl_str_val(s);
}

struct val tpl_binary(struct tpl *c, int op, struct val a, struct val b)
{
    if (tpl_is_number(a) && tpl_is_number(b)) {
        if (a.type == T_FLOAT || b.type == T_FLOAT)
            return float_op(c, op, tpl_number(a), tpl_number(b));
        return int_op(c, op, a.type == T_BOOL ? a.b : a.i, b.type == T_BOOL ? b.b : b.i);
    }
    if (op == K_ADD && a.type == T_STR && b.type == T_STR)
        return add_texts(c, a.s, b.s);
    if (op == K_ADD && a.type == T_LIST && b.type == T_LIST && a.l->kind == b.l->kind && is_seq(a))
        return add_lists(c, a.l, b.l);
    if (op == K_MUL && is_seq(a) && (b.type == T_INT || b.type == T_BOOL))
        return repeat(c, a, tpl_to_index(c, b));
    if (op == K_MUL && is_seq(b) && (a.type == T_INT || a.type == T_BOOL))
        return repeat(c, b, tpl_to_index(c, a));
    if (op == K_MOD && a.type == T_STR) {
        struct args args = {.pos = &b, .n_pos = 1};
        struct named map = {.name = NULL, .v = b};
        if (b.type == T_LIST && b.l->kind == L_TUPLE)
            args = (struct args){.pos = b.l->v, .n_pos = b.l->n};
        /* '%(name)s'; what could be a mapping may also stay unused */
        if (b.type == T_DICT || b.type == T_RANGE || b.type == T_UNDEF ||
            (b.type == T_LIST && b.l->kind == L_LIST)) {
            args.kw = &map;
            args.n_kw = 1;
        }
        return tpl_str_val(tpl_format_percent(c, a.s, &args));
    }
    no_such(c, op, a, b);
}

struct val tpl_negate(struct tpl *c, struct val a, bool minus)
{
    if (!tpl_is_number(a)) {
        tpl_need_defined(c, a);
        tpl_fail(c, "bad operand type for unary %c: '%s'", minus ? '-' : '+', tpl_type_name(a));
    }
    if (a.type == T_FLOAT)
        return tpl_float(minus ? -a.f : a.f);
    int64_t i = a.type == T_BOOL ? a.b : a.i;
    if (minus && i == INT64_MIN)
        overflow(c);
    return tpl_int(minus ? -i : i);
}
