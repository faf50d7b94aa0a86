/* engine/chat/template.h - the inside of the chat room: values, text with provenance, memory of
 * one render, and who calls whom. Facts: shared/spec (modelfile-and-templates, section 5).
 *
 * Choices. Everything a parse or a render makes lives in the pools of one `struct tpl` and dies
 * with it, so nothing on the way owns memory and an error can leave by one longjmp (tpl_fail):
 * no call in this room needs a check, and none can be forgotten. The setjmp are in chat.c, and
 * one in json.c round a tree of jansson.
 * A parsed template is read-only: strings in it have their length and hash counted beforehand. */
#ifndef CHASKI_CHAT_TEMPLATE_H
#define CHASKI_CHAT_TEMPLATE_H

#include <setjmp.h>
#include <stdint.h>
#include <time.h>
#include "gguf/base.h"

/* Limits: shared/security.md, section 4. */
#define TPL_MAX_SOURCE ((size_t)1 << 20)
#define TPL_MAX_NEST 64          /* blocks and brackets open at once */
#define TPL_MAX_HEIGHT 400       /* operators in a row: a tree leaning to the left */
#define TPL_MAX_STEPS 2000000    /* evaluated nodes, and work of builtins in like units */
#define TPL_MAX_OUTPUT ((size_t)16 << 20)
#define TPL_MAX_ITEMS 100000     /* turns of a loop, repeats of a text */
#define TPL_MAX_MEMORY ((size_t)256 << 20)
#define TPL_MAX_DEPTH 1200       /* calls of the evaluator in each other; about 400 KiB of stack */
#define TPL_MAX_MACROS 200
#define TPL_MAX_VALUE_DEPTH 200  /* lists in lists, for printing and comparing */

/* ---- memory (mem.c) -------------------------------------------------------------------------- */

struct pool_block;
struct pool {
    struct pool_block *head;
    char *cur, *end;
};

/* ---- values ---------------------------------------------------------------------------------- */

enum tpl_type {
    T_ABSENT, /* an argument that was not given; never a value of the language */
    T_UNDEF,
    T_NONE,
    T_BOOL,
    T_INT,
    T_BIG, /* an integer past 64 bits: its digits, to be printed and no more */
    T_FLOAT,
    T_STR,
    T_LIST,
    T_DICT,
    T_RANGE,
    T_SPACE, /* namespace(...) */
    T_MACRO,
    T_FUNC,
    T_METHOD,
    T_LOOP,
    T_CYCLER,
    T_JOINER,
};

struct val {
    enum tpl_type type;
    union {
        bool b;
        int64_t i;
        double f;
        struct str *s; /* T_STR, T_BIG */
        struct list *l;
        struct dict *d; /* T_DICT, T_SPACE */
        struct range *r;
        const struct undef *u; /* NULL: nothing known about it */
        const struct macro *m;
        const struct func *fn;
        struct method *me;
        struct loop *lp;
        struct cycler *cy;
    };
};

/* Text: bytes never change once they are pointed to. `sp` are the trusted parts: sorted, apart. */
struct str {
    const char *p;
    size_t n;
    size_t n_cp; /* characters; SIZE_MAX: not counted yet */
    const struct text_span *sp;
    size_t n_sp;
    uint32_t hash;
    bool hashed;
    bool safe; /* Python's Markup: `+` and autoescape leave it as it is */
};

enum list_kind { L_LIST, L_TUPLE, L_ITEMS, L_KEYS, L_VALUES, L_GEN, L_GROUP };
struct list {
    enum list_kind kind;
    bool frozen; /* of the request: a template may not change it */
    size_t n, cap;
    size_t taken; /* L_GEN: items already gone */
    struct val *v;
};

struct entry {
    struct val key, value;
    uint32_t hash;
};
struct dict { /* in order of insertion */
    bool frozen;
    size_t n, cap;
    struct entry *e;
    uint32_t *index; /* 1 + place in e, by hash; NULL while small */
    size_t n_index;
};

struct range {
    int64_t start, stop, step;
    size_t n;
};

struct undef {
    const char *hint; /* what it is that was not provided, or NULL */
    bool has_obj;
    bool unsafe; /* the sandbox said no */
    struct val obj, name;
};

struct named {
    struct str *name;
    struct val v;
};
struct args {
    struct val *pos;
    size_t n_pos;
    struct named *kw;
    size_t n_kw;
};

struct tpl;
/* A builtin: `a` are the parameters in order of the `params` string, T_ABSENT where not given. */
typedef struct val (*tpl_fn)(struct tpl *c, struct val self, struct val *a, const struct args *raw);
struct func {
    const char *name;
    const char *params; /* "old new count?": words, `?` may be left out; "*": as it comes, in raw */
    tpl_fn fn;
    bool changes; /* a method that changes its list or dict */
};
struct methods { /* what an attribute name means on each type */
    const struct func *str, *list, *dict;
};
struct method {
    struct val self;
    const struct func *fn;
};
struct cycler {
    struct val *v;
    size_t n, at;
    struct str *sep; /* joiner */
    bool used;
};

/* ---- text being built ------------------------------------------------------------------------ */

struct sink {
    char *p;
    size_t n, cap;
    struct text_span *sp;
    size_t n_sp, cap_sp;
};

/* ---- one parse or one render ----------------------------------------------------------------- */

struct slot {
    uint32_t sym;
    struct val v;
};
struct scope { /* NULL is the top of the template */
    struct scope *up;
    bool kept; /* a macro holds it: a loop may not use it again */
    uint32_t n, cap;
    struct slot *slot;
    struct slot first[6];
};

struct tpl {
    jmp_buf *out; /* where tpl_fail goes */
    struct err *e;
    struct pool objs, bytes;
    size_t used;   /* bytes of both pools */
    uint32_t line; /* of the node in work; 0: none */
    uint32_t col;  /* parse only */
    int64_t steps;
    int depth, macro_depth, value_depth;
    bool escaping; /* inside {% autoescape true %} */
    struct sink *to;
    struct val *globals; /* by symbol */
    const struct jinja *t;
    struct tm now;
};

/* mem.c */
_Noreturn void tpl_fail(struct tpl *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
_Noreturn void tpl_fail_code(struct tpl *c, enum err_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
_Noreturn void tpl_raise(struct tpl *c, const struct str *message);
void *tpl_alloc(struct tpl *c, size_t n); /* zeroed, aligned for anything here */
void *tpl_grow(struct tpl *c, const void *p, size_t n_old, size_t n_new); /* old one is given up */
char *tpl_bytes(struct tpl *c, size_t n);
char *tpl_bytes_grow(struct tpl *c, char *p, size_t n_old, size_t n_new);
void tpl_pools_free(struct tpl *c);
void tpl_charge(struct tpl *c, size_t n); /* n steps */
static inline void tpl_charge_bytes(struct tpl *c, size_t n)
{
    tpl_charge(c, n / 256);
}

/* value.c */
extern const struct val tpl_none;
struct val tpl_bool(bool b);
struct val tpl_int(int64_t i);
struct val tpl_float(double f);
struct val tpl_undef(void);
struct val tpl_undef_name(struct tpl *c, struct str *name);
struct val tpl_undef_attr(struct tpl *c, struct val obj, struct val name);
_Noreturn void tpl_undef_fail(struct tpl *c, struct val u);
static inline void tpl_need_defined(struct tpl *c, struct val v)
{
    if (v.type == T_UNDEF)
        tpl_undef_fail(c, v);
}
struct list *tpl_list(struct tpl *c, enum list_kind kind, size_t cap);
void tpl_list_add(struct tpl *c, struct list *l, struct val v);
struct val tpl_list_val(struct list *l);
struct val tpl_pair(struct tpl *c, struct val a, struct val b);
struct dict *tpl_dict(struct tpl *c);
struct val tpl_dict_val(struct dict *d);
struct val *tpl_dict_find(struct tpl *c, const struct dict *d, struct val key); /* NULL: no */
struct val *tpl_dict_find_str(struct tpl *c, const struct dict *d, struct str *key);
void tpl_dict_set(struct tpl *c, struct dict *d, struct val key, struct val v);
bool tpl_dict_drop(struct tpl *c, struct dict *d, struct val key);
bool tpl_truth(struct val v);
bool tpl_is_number(struct val v); /* bool, int, float */
double tpl_number(struct val v);
const char *tpl_type_name(struct val v); /* as Python names it */
const char *tpl_type_name_of(struct tpl *c, struct val v); /* for "... object" */
bool tpl_is_iterable(struct val v);
/* All items of an iterable; a list gives itself. Using up a generator empties it. */
struct list *tpl_items(struct tpl *c, struct val v);
size_t tpl_len(struct tpl *c, struct val v);
int64_t tpl_to_index(struct tpl *c, struct val v); /* an int or bool, else a failure */

/* compare.c */
bool tpl_equal(struct tpl *c, struct val a, struct val b);
bool tpl_less(struct tpl *c, struct val a, struct val b, const char *op);
bool tpl_contains(struct tpl *c, struct val item, struct val box);
uint32_t tpl_hash(struct tpl *c, struct val v);
uint32_t tpl_hash_bytes(const char *p, size_t n);
/* Stable order. `less` is asked with (a, b) and may fail. */
typedef bool (*tpl_less_fn)(struct tpl *c, struct val a, struct val b, void *arg);
void tpl_sort(struct tpl *c, struct val *v, size_t n, tpl_less_fn less, void *arg);

/* text.c */
struct str *tpl_str(struct tpl *c, const char *p, size_t n, bool trusted); /* bytes not copied */
struct str *tpl_str_copy(struct tpl *c, const char *p, size_t n, bool trusted);
struct val tpl_str_val(struct str *s);
struct val tpl_strz(struct tpl *c, const char *literal); /* of this program, untrusted */
bool tpl_str_is(const struct str *s, const char *literal);
bool tpl_str_same(const struct str *a, const struct str *b);
size_t tpl_str_chars(struct tpl *c, struct str *s);
size_t tpl_str_offset(struct tpl *c, struct str *s, size_t i_char); /* byte place of a character */
struct str *tpl_str_part(struct tpl *c, const struct str *s, size_t from, size_t to); /* bytes */
struct str *tpl_str_join2(struct tpl *c, const struct str *a, const struct str *b);
bool tpl_str_trusted(const struct str *s, size_t at); /* of the byte at `at` */
struct sink *tpl_sink(struct tpl *c, struct sink *k);
void tpl_put(struct tpl *c, struct sink *k, const char *p, size_t n, bool trusted);
void tpl_puts(struct tpl *c, struct sink *k, const char *s);
void tpl_putc(struct tpl *c, struct sink *k, uint32_t cp, bool trusted);
void tpl_put_str(struct tpl *c, struct sink *k, const struct str *s);
void tpl_put_part(struct tpl *c, struct sink *k, const struct str *s, size_t from, size_t to);
struct str *tpl_sink_str(struct tpl *c, struct sink *k);
struct str *tpl_trim(struct tpl *c, const struct str *s, const struct str *set, bool l, bool r);
struct str *tpl_replace(struct tpl *c, const struct str *s, const struct str *old,
                        const struct str *with, int64_t count);
struct str *tpl_escape_html(struct tpl *c, const struct str *s);
size_t tpl_find(const struct str *s, size_t from, const char *p, size_t n); /* SIZE_MAX: no */

/* unicode.c */
enum {
    U_ALPHA = 1, U_UPPER = 2, U_LOWER = 4, U_DIGIT = 8, U_NUMERIC = 16, U_PRINT = 32, U_TITLE = 64,
    U_DECIMAL = 128,
};
unsigned uni_class(uint32_t cp);
bool uni_is_space(uint32_t cp);
int uni_upper(uint32_t cp, uint32_t out[3]); /* how many code points */
int uni_lower(uint32_t cp, uint32_t out[3]);
int uni_title(uint32_t cp, uint32_t out[3]);
bool uni_is_ignorable(uint32_t cp); /* for the last sigma of a word */

/* print.c */
void tpl_print(struct tpl *c, struct sink *k, struct val v);  /* Python's str() */
void tpl_repr(struct tpl *c, struct sink *k, struct val v);   /* Python's repr() */
struct str *tpl_to_str(struct tpl *c, struct val v);
size_t tpl_float_text(double f, char out[40]);

/* json.c */
struct val tpl_tojson(struct tpl *c, struct val self, struct val *a, const struct args *raw);
struct val tpl_from_json_text(struct tpl *c, struct val self, struct val *a,
                              const struct args *raw);
struct val tpl_from_jansson(struct tpl *c, const void *json, bool frozen);

/* format.c */
struct str *tpl_format_percent(struct tpl *c, const struct str *fmt, const struct args *a);
struct str *tpl_format_braces(struct tpl *c, const struct str *fmt, const struct args *a);

/* call.c */
void tpl_bind(struct tpl *c, const char *what, const char *params, const struct args *raw,
              struct val out[8]);
struct val tpl_run_func(struct tpl *c, const struct func *f, struct val self,
                        const struct args *raw);
struct val tpl_call(struct tpl *c, struct val f, const struct args *raw);
const struct func *tpl_globals(size_t *n);
const struct func *tpl_lookup(const struct func *table, size_t n, const char *p, size_t len);
struct str *tpl_need_str(struct tpl *c, struct val v, const char *what);
int64_t tpl_need_int(struct tpl *c, struct val v, const char *what);

/* attr.c */
struct val tpl_getattr(struct tpl *c, struct val o, struct str *name, const struct methods *m);
struct val tpl_getitem(struct tpl *c, struct val o, struct val key);
struct val tpl_slice(struct tpl *c, struct val o, struct val from, struct val to, struct val step);
struct methods tpl_methods(const char *p, size_t n);

/* methods_*.c: tables */
const struct func *tpl_str_methods(size_t *n);
const struct func *tpl_list_methods(size_t *n);
const struct func *tpl_dict_methods(size_t *n);
const struct func *tpl_tuple_methods(size_t *n);

/* case.c: shared by methods and filters */
enum case_how { CASE_UPPER, CASE_LOWER, CASE_TITLE, CASE_CAPITAL, CASE_SWAP };
struct str *tpl_case(struct tpl *c, const struct str *s, enum case_how how);
struct str *tpl_pad(struct tpl *c, struct str *s, int64_t width, int where, const struct str *fill);
struct list *tpl_split_lines(struct tpl *c, const struct str *s, bool keep);
bool tpl_is_cased(struct tpl *c, const struct str *s, unsigned want, unsigned never);

/* filters.c, tests.c */
const struct func *tpl_filter(const char *p, size_t n); /* NULL: no such */
const struct func *tpl_test(const char *p, size_t n);
const struct func *tpl_text_filters(size_t *n);
const struct func *tpl_seq_filters(size_t *n);
const struct func *tpl_pick_filters(size_t *n);
struct val tpl_attr_path(struct tpl *c, struct val item, struct val path);

/* arith.c */
struct val tpl_binary(struct tpl *c, int op, struct val a, struct val b);
struct val tpl_negate(struct tpl *c, struct val a, bool minus);

/* exec.c */
struct val tpl_call_macro(struct tpl *c, const struct macro *m, const struct args *raw);
struct val tpl_call_loop(struct tpl *c, struct loop *lp, const struct args *raw);
struct val tpl_loop_attr(struct tpl *c, struct loop *lp, struct str *name);
struct val tpl_macro_attr(struct tpl *c, const struct macro *m, struct str *name);

/* clock.c */
int tpl_clock_read(const char *iso, struct tm *out); /* "2026-01-31T12:34:56"; -1: not one */
struct str *tpl_clock_print(struct tpl *c, const struct str *fmt);

#endif
