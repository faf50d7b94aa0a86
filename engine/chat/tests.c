/* engine/chat/tests.c - `x is test`. */
#include <math.h>
#include <string.h>
#include "engine/chat/template.h"

#define TEST(name)                                                                                 \
    static struct val name(struct tpl *c, struct val self, struct val *a, const struct args *raw)
#define YES(claim) return tpl_bool(claim)

TEST(t_defined) { YES(self.type != T_UNDEF); }
TEST(t_undefined) { YES(self.type == T_UNDEF); }
TEST(t_none) { YES(self.type == T_NONE); }
TEST(t_boolean) { YES(self.type == T_BOOL); }
TEST(t_true) { YES(self.type == T_BOOL && self.b); }
TEST(t_false) { YES(self.type == T_BOOL && !self.b); }
TEST(t_integer) { YES(self.type == T_INT || self.type == T_BIG); }
TEST(t_float) { YES(self.type == T_FLOAT); }
TEST(t_number) { YES(tpl_is_number(self) || self.type == T_BIG); }
TEST(t_string) { YES(self.type == T_STR); }
TEST(t_mapping) { YES(self.type == T_DICT); }
TEST(t_escaped) { YES(self.type == T_STR && self.s->safe); }
TEST(t_iterable) { YES(tpl_is_iterable(self)); }

TEST(t_sequence)
{
    /* What has a length and can be indexed; undefined has both. */
    if (self.type == T_LIST)
        YES(self.l->kind == L_LIST || self.l->kind == L_TUPLE || self.l->kind == L_GROUP);
    YES(self.type == T_STR || self.type == T_DICT || self.type == T_RANGE || self.type == T_UNDEF);
}

TEST(t_callable)
{
    YES(self.type == T_MACRO || self.type == T_FUNC || self.type == T_METHOD ||
        self.type == T_LOOP || self.type == T_JOINER || self.type == T_UNDEF);
}

TEST(t_sameas)
{
    struct val b = a[0];
    if (self.type != b.type)
        YES(false);
    switch (self.type) {
    case T_LIST: YES(self.l == b.l);
    case T_DICT:
    case T_SPACE: YES(self.d == b.d);
    case T_STR: YES(self.s == b.s || (self.s->p == b.s->p && self.s->n == b.s->n));
    case T_FLOAT: YES(self.f == b.f);
    default: YES(tpl_equal(c, self, b));
    }
}

TEST(t_eq) { YES(tpl_equal(c, self, a[0])); }
TEST(t_ne) { YES(!tpl_equal(c, self, a[0])); }
TEST(t_lt) { YES(tpl_less(c, self, a[0], "<")); }
TEST(t_gt) { YES(tpl_less(c, a[0], self, ">")); }
TEST(t_le) { YES(tpl_less(c, self, a[0], "<=") || tpl_equal(c, self, a[0])); }
TEST(t_ge) { YES(tpl_less(c, a[0], self, ">=") || tpl_equal(c, self, a[0])); }
TEST(t_in) { YES(tpl_contains(c, self, a[0])); }

static bool divides(struct tpl *c, struct val v, int64_t by, int64_t want)
{
    if (!tpl_is_number(v)) {
        tpl_need_defined(c, v);
        tpl_fail(c, "unsupported operand type(s) for %%: '%s' and 'int'", tpl_type_name(v));
    }
    if (by == 0)
        tpl_fail(c, "integer modulo by zero");
    if (v.type == T_FLOAT) {
        double r = fmod(v.f, (double)by);
        return (r != 0 && (r < 0) != (by < 0) ? r + (double)by : r) == (double)want;
    }
    int64_t i = tpl_to_index(c, v), r = by == -1 ? 0 : i % by;
    return (r && (r < 0) != (by < 0) ? r + by : r) == want;
}

TEST(t_odd) { YES(divides(c, self, 2, 1)); }
TEST(t_even) { YES(divides(c, self, 2, 0)); }
TEST(t_divisibleby) { YES(divides(c, self, tpl_need_int(c, a[0], "divisibleby"), 0)); }

TEST(t_lower) { YES(tpl_is_cased(c, tpl_to_str(c, self), U_LOWER, U_UPPER | U_TITLE)); }
TEST(t_upper) { YES(tpl_is_cased(c, tpl_to_str(c, self), U_UPPER, U_LOWER)); }

TEST(t_filter) { YES(self.type == T_STR && tpl_filter(self.s->p, self.s->n)); }
TEST(t_test) { YES(self.type == T_STR && tpl_test(self.s->p, self.s->n)); }

static const struct func table[] = {
    {"defined", "", t_defined, false},
    {"undefined", "", t_undefined, false},
    {"none", "", t_none, false},
    {"boolean", "", t_boolean, false},
    {"true", "", t_true, false},
    {"false", "", t_false, false},
    {"integer", "", t_integer, false},
    {"float", "", t_float, false},
    {"number", "", t_number, false},
    {"string", "", t_string, false},
    {"mapping", "", t_mapping, false},
    {"sequence", "", t_sequence, false},
    {"iterable", "", t_iterable, false},
    {"callable", "", t_callable, false},
    {"escaped", "", t_escaped, false},
    {"sameas", "other", t_sameas, false},
    {"eq", "other", t_eq, false},
    {"equalto", "other", t_eq, false},
    {"==", "other", t_eq, false},
    {"ne", "other", t_ne, false},
    {"!=", "other", t_ne, false},
    {"lt", "other", t_lt, false},
    {"lessthan", "other", t_lt, false},
    {"<", "other", t_lt, false},
    {"le", "other", t_le, false},
    {"<=", "other", t_le, false},
    {"gt", "other", t_gt, false},
    {"greaterthan", "other", t_gt, false},
    {">", "other", t_gt, false},
    {"ge", "other", t_ge, false},
    {">=", "other", t_ge, false},
    {"in", "seq", t_in, false},
    {"odd", "", t_odd, false},
    {"even", "", t_even, false},
    {"divisibleby", "num", t_divisibleby, false},
    {"lower", "", t_lower, false},
    {"upper", "", t_upper, false},
    {"filter", "", t_filter, false},
    {"test", "", t_test, false},
};

const struct func *tpl_test(const char *p, size_t n)
{
    return tpl_lookup(table, sizeof table / sizeof *table, p, n);
}
