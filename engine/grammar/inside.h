/* engine/grammar/inside.h - what the files of the grammar room share. Nobody else includes it.
 *
 * The way of a schema: the text's JSON -> schemas (schema.c) -> terms, sets of schemas that must
 * hold together, some of them negated -> shapes, what a term says about each type (shape.c,
 * negate.c) -> atoms, one for each type that is left (atoms.c, object.c) -> frames of a machine
 * that reads a text byte by byte (machine.c, step.c). Strings and numbers are automata. */
#ifndef CHASKI_GRAMMAR_INSIDE_H
#define CHASKI_GRAMMAR_INSIDE_H

#include "engine/grammar/grammar.h"

enum {
    MOST_NFA = 20000,   /* states of a pattern's machine */
    MOST_DFA = 20000,   /* states of an automaton */
    MOST_SHAPES = 512,  /* alternatives of a term */
    MOST_TERMS = 10000, /* terms of a schema */
    MOST_DEPTH = 64,    /* of schemas inside each other without a value between, of patterns */
    MOST_NESTING = 256, /* of values in a text */
    MOST_LENGTH = 1 << 20,
    LAST_CHAR = 0x10ffff,
};

/* ---- automata over code points (dfa.c, regex.c, formats.c) ----------------------------------- */

#define DFA_DEAD UINT32_MAX
#define NO_END UINT32_MAX

struct dfa {                             /* immutable; every state can reach an accepting one */
    uint32_t n_states, n_classes, start; /* start is DFA_DEAD when nothing is accepted */
    uint32_t *next;                      /* [n_states][n_classes] */
    uint8_t *accept;
    uint8_t *free; /* accepts, and stays whatever comes */
    uint32_t n_ranges,
        *lo;            /* range i: lo[i] .. lo[i + 1] - 1; lo[0] = 0, lo[n_ranges] = 0x110000 */
    uint16_t *class_of; /* [n_ranges] */
    uint32_t *least, *most; /* code points to an accepting state; most may be NO_END */
};
enum dfa_op { DFA_AND, DFA_BUT, DFA_OR };
/* All in `a`; NULL and `e` on error (a limit, no memory). */
struct dfa *dfa_all(struct arena *a, struct err *e);
struct dfa *dfa_words(struct arena *a, const struct text *words, size_t n, struct err *e);
struct dfa *dfa_lengths(struct arena *a, uint32_t least, uint32_t most, struct err *e);
struct dfa *dfa_merge(struct arena *a, const struct dfa *x, const struct dfa *y, enum dfa_op op,
                      struct err *e);
/* From raw tables (any states may be dead): trims, merges equal states, fills the rest. */
struct dfa *dfa_finish(struct arena *a, struct dfa *raw, struct err *e);
uint32_t dfa_step(const struct dfa *d, uint32_t state, uint32_t cp);
/* Does some code point in lo..hi lead on, to a state from which an end can be `far` or fewer
 * characters away, and one can be `need` or more? */
bool dfa_leads(const struct dfa *d, uint32_t state, uint32_t lo, uint32_t hi, uint32_t need,
               uint32_t far);
/* Are there, from each state, words of all lengths between `least` and `most`? */
bool dfa_gapless(const struct dfa *d);
bool dfa_takes(const struct dfa *d, const char *p, size_t n);
/* Words from `state` on, at most `most` characters long; stops counting at 1 << 20. */
uint32_t dfa_count(const struct dfa *d, uint32_t state, uint32_t most);

/* An ECMA-262 pattern, found anywhere in the string unless anchored. ERR_UNSUPPORTED with the
 * construct: back references, \b, look-around other than at the start. */
struct dfa *regex_compile(struct arena *a, const char *pattern, size_t n, struct err *e);
/* The automaton of a `format`: texts that are of it without doubt, or (loose) all that may be.
 * NULL: no rule, or code ERR_UNSUPPORTED. */
struct dfa *format_dfa(struct arena *a, const char *name, bool loose, struct err *e);

/* ---- numbers (decimal.c, number.c) ----------------------------------------------------------- */

enum { MOST_LISTED = 16384, N_SYMBOLS = 14, MANY = 1 << 20 };

struct decimal {    /* +-0.d1d2d3.. * 10^exp10; no zeros at the ends; n = 0: zero */
    bool neg, real; /* real: with a point or an exponent in the schema */
    int n, exp10;
    char d[40];
};
/* From a JSON number's text. -1: too long to be exact. */
int decimal_read(const char *text, struct decimal *out);
int decimal_of(const json_t *v, struct decimal *out);
int decimal_of_double(double d, struct decimal *out);
double decimal_double(const struct decimal *v);
int decimal_digit(const struct decimal *a, int place); /* place 0: the first before exp10 */
bool decimal_whole(const struct decimal *v);
int decimal_cmp(const struct decimal *a, const struct decimal *b);

struct num_rule { /* persistent list: what a number must obey besides `integer` */
    const struct num_rule *next;
    enum {
        NUM_LESS,
        NUM_AT_MOST,
        NUM_MORE,
        NUM_AT_LEAST,
        NUM_NOT,
        NUM_MULTIPLE,
        NUM_NO_MULTIPLE
    } kind;
    struct decimal v;
};
struct num_list { /* the number is one of these */
    size_t n;
    struct decimal v[];
};
struct numbers { /* automaton over the bytes of a number */
    uint32_t n_states;
    uint32_t (*next)[N_SYMBOLS];
    uint8_t *accept;
    uint32_t *count; /* numbers that differ from here on, up to MANY */
};
int num_symbol(unsigned char c); /* 0..13, or -1 */
/* NULL without an error: no number obeys. */
struct numbers *numbers_build(struct arena *a, bool integer, bool fraction,
                              const struct num_rule *rules, const struct num_list *list,
                              struct err *e);

/* ---- schemas and terms (schema.c) ------------------------------------------------------------ */

typedef uint32_t term_id;
enum { TERM_ANY = 0, TERM_NONE = 1 };

struct schema { /* an object in the document, or one made from a value */
    json_t *v;
    const char *path; /* JSON pointer */
};
struct lit { /* a schema that holds, or does not */
    uint32_t schema;
    bool neg;
};

struct atom;
struct term { /* all of these hold */
    uint32_t n_lits;
    const struct lit *lits;
    uint32_t n_atoms; /* alternatives, filled by expand */
    const struct atom **atoms;
    uint8_t expanded; /* 0 no, 1 being done, 2 done */
    uint8_t life;     /* 0 unknown, 1 some value obeys, 2 none */
    bool countable;   /* values.c has looked at it */
    uint32_t values;  /* how many, at least; 0: not known yet */
};

/* ---- shapes: a term, type by type (shape.c, negate.c) ---------------------------------------- */

enum {
    K_NULL = 1,
    K_TRUE = 2,
    K_FALSE = 4,
    K_NUM = 8,
    K_STR = 16,
    K_ARR = 32,
    K_OBJ = 64,
    K_ALL = 127
};

struct str_rule { /* persistent list */
    const struct str_rule *next;
    const struct dfa *dfa;
    bool neg;
};
struct arr_rule { /* one schema's word on the items; persistent list */
    const struct arr_rule *next;
    size_t n_prefix;
    const term_id *prefix;
    term_id rest;
};
struct contains {
    const struct contains *next;
    term_id what, not_what; /* not_what only where most is a limit */
    uint32_t least, most;
};
struct obj_rule { /* one schema's word on the properties; persistent list, newest first */
    const struct obj_rule *next;
    const json_t *props;    /* name -> schema, or NULL */
    const json_t *patterns; /* pattern -> schema, or NULL */
    term_id rest;
    bool has_rest;
};
struct prop_rule { /* a property must be there (or not) and obey a term */
    const struct prop_rule *next;
    const char *name;
    term_id term; /* TERM_NONE with !required: must not be there */
    bool required;
};
struct some_rule { /* some property must have a key of these and obey the term */
    const struct some_rule *next;
    const struct dfa *keys;
    term_id term;
};
struct names_rule {
    const struct names_rule *next;
    term_id term;
};

struct shape {
    uint32_t kinds;
    bool typed, looks_object, looks_array;
    /* numbers */
    bool integer, fraction;
    const struct num_rule *num;
    const struct num_list *num_list;
    /* strings */
    uint32_t least_len, most_len;
    const struct str_rule *str;
    /* arrays */
    uint32_t least_items, most_items;
    bool unique;
    const struct arr_rule *arr;
    const struct contains *contains;
    /* objects */
    uint32_t least_props, most_props;
    const struct obj_rule *obj;
    const struct prop_rule *prop;
    const struct names_rule *names;
    const struct some_rule *some; /* by any property; atoms.c tells them apart */
    const struct some_rule *must; /* .. by one that is not declared; MOST_MUST at most */
};
struct shapes { /* alternatives */
    struct shape *v;
    size_t n, cap;
};

/* ---- atoms: what a value of one type may be -------------------------------------------------- */

struct prop {
    const char *name; /* its code points are matched, whatever way they are written */
    uint32_t n_name;
    term_id term;
    bool required;
};
struct extra { /* keys that are not declared */
    const struct dfa *keys;
    term_id term;
    uint32_t does; /* which of the properties that must be there this is, one bit each */
};
struct atom {
    uint32_t kind; /* one of K_* */
    bool aside;    /* allowed, but not what the writer means: `properties` without a `type` */
    const char *path;
    union {
        const struct numbers *num;
        struct {
            const struct dfa *dfa;
            uint32_t least, most;
        } str;
        struct {
            uint32_t least, most, n_prefix;
            const term_id *prefix;
            term_id rest;
            bool unique;
            uint32_t n_contains;
            const struct contains *contains[3];
            term_id *picked; /* [n_prefix + 1][8]: item and the contains it is counted for */
        } arr;
        struct {
            uint32_t least, most, n_props, n_extras;
            struct prop *props;
            uint32_t *needed; /* [n_props + 1]: required ones from here on */
            struct extra *extras;
            bool distinct; /* extra keys must differ from each other */
            uint32_t must; /* bits that the extras must bring */
            bool in_front; /* .. before any others, for there are few keys that do */
        } obj;
    };
};

/* ---- the grammar ----------------------------------------------------------------------------- */

struct elem { /* of a GBNF rule or a built one */
    enum { E_END, E_CHARS, E_RULE, E_REPEAT, E_JSON } kind;
    uint32_t a;           /* set, rule, term */
    uint32_t least, most; /* E_REPEAT; most may be NO_END */
};
struct charset {
    bool neg;
    uint32_t n;
    const uint32_t *ranges; /* lo, hi, lo, hi.. */
};
struct rule {
    uint32_t n_alts;
    const uint32_t *alts; /* first elem of each */
};

struct grammar {
    struct arena arena;
    json_t *doc;  /* keeps the schema */
    json_t *made; /* an array that keeps schemas made on the way */
    struct schema *schemas;
    size_t n_schemas, cap_schemas;
    struct map { /* open addressing; 0 = empty */
        uint64_t *key;
        uint32_t *val;
        size_t n, cap;
    } schema_of; /* by json_t address */
    struct term *terms;
    size_t n_terms, cap_terms;
    struct map term_of; /* by hash */
    size_t n_work;      /* expansions so far: bounds the time */

    struct elem *elems;
    size_t n_elems, cap_elems;
    struct charset *sets;
    size_t n_sets, cap_sets;
    struct rule *rules;
    size_t n_rules, cap_rules;
    term_id root_term; /* where the start is a value */
    uint32_t root_rule;
    bool is_rules;
    size_t longest_token;
    struct machine *m;
};

/* schema.c */
int schema_of(struct grammar *g, const json_t *v, const char *path, uint32_t *out, struct err *e);
/* The term of one schema: TERM_ANY, TERM_NONE, or one literal. */
int term_of_schema(struct grammar *g, const json_t *v, const char *path, bool neg, term_id *out,
                   struct err *e);
int term_and(struct grammar *g, term_id a, term_id b, term_id *out, struct err *e);
int resolve_ref(struct grammar *g, const char *ref, const char *path, json_t **v, const char **at,
                struct err *e);
const char *path_add(struct grammar *g, const char *path, const char *part);
const char *path_index(struct grammar *g, const char *path, size_t i);
/* A schema {"const": v}, kept by the grammar; borrowed, or NULL. */
json_t *const_schema(struct grammar *g, json_t *v);
/* The same for an array or an object: a schema of its type, items and properties. */
json_t *value_schema(struct grammar *g, json_t *v);
int bad_schema(struct err *e, const char *path, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
int cannot(struct err *e, const char *keyword, const char *path);
/* Atoms of a term, made on first use; every term has been expanded before a text is read. */
const struct term *term_get(struct grammar *g, term_id t, struct err *e);
int term_lives(struct grammar *g, term_id t, bool *lives, struct err *e);
bool term_atom_lives(const struct grammar *g, const struct atom *a);
/* rules_check.c. 1: *rule begins with itself; 0: none does; -1: no memory. */
int rules_left(const struct grammar *g, uint32_t *rule, struct err *e);
/* grammar.c: an empty grammar over a document; then, all terms from these roots on made ready. */
struct grammar *grammar_new(const json_t *doc, struct err *e);
int grammar_settle(struct grammar *g, const term_id *roots, size_t n, struct err *e);

/* shape_parts.c: a schema's words on items, on properties, and on what depends on a property. */
int need(struct grammar *g, struct shape *x, const char *name, term_id t, bool required,
         struct err *e);
int refine_array(struct grammar *g, struct shapes *s, const json_t *v, const char *path,
                 struct err *e);
int refine_object(struct grammar *g, struct shapes *s, const json_t *v, const char *path,
                  struct err *e);
int refine_depends(struct grammar *g, struct shapes *s, const json_t *map, const char *word,
                   const char *path, int depth, struct err *e);
/* shape.c, negate.c: every shape of `s` obeys the schema too (or its contrary). */
int shapes_add(struct shapes *s, const struct shape *v, struct err *e);
void shapes_free(struct shapes *s);
int refine(struct grammar *g, struct shapes *s, struct lit l, int depth, struct err *e);
int refine_json(struct grammar *g, struct shapes *s, const json_t *v, const char *path, bool neg,
                int depth, struct err *e);
int refine_not(struct grammar *g, struct shapes *s, json_t *v, const char *path, int depth,
               struct err *e);
/* Alternatives: `s` becomes all shapes that obey one of them. */
struct option { /* all of up to n schemas */
    struct lit *lits;
    size_t n;
};
int refine_options(struct grammar *g, struct shapes *s, const struct option *o, size_t n, int depth,
                   struct err *e);
/* Every shape narrowed to the values in an array of JSON values. */
int refine_enum(struct grammar *g, struct shapes *s, const json_t *values, const char *path,
                struct err *e);
void shapes_sweep(struct shapes *s); /* drop the ones that no type is left in */
int shapes_copy(struct shapes *to, const struct shapes *from, struct err *e); /* appends */
bool shapes_have(const struct shapes *s, uint32_t kind); /* is some of this type? */
uint32_t kinds_of_type(const char *type, bool *integer);
int count_of(const json_t *v, const char *path, uint32_t *out, struct err *e);
/* atoms.c, object.c */
int atoms_of_shape(struct grammar *g, const struct shape *s, const struct atom ***list, size_t *n,
                   size_t *cap, const char *path, struct err *e);
int object_atom(struct grammar *g, const struct shape *s, struct atom *out, bool *none,
                const char *path, struct err *e);
/* The automaton of the names that a schema for names allows. */
const struct dfa *names_dfa(struct grammar *g, term_id names, const char *path, struct err *e);
bool string_lives(const struct atom *a, uint32_t state, uint32_t len);
/* values.c: counts that stop at MANY, once life is known. */
uint32_t count_times(uint32_t a, uint32_t b);
uint32_t atom_values(struct grammar *g, const struct atom *a);
uint32_t term_values(struct grammar *g, term_id t);
uint32_t array_ways(struct grammar *g, const struct atom *a, uint32_t n);
uint32_t object_ways(struct grammar *g, const struct atom *a, uint32_t p, uint32_t n);
uint32_t scalars_most(const struct grammar *g, term_id t);
int check_unique(struct grammar *g, const struct atom *a, struct err *e);

/* small maps */
uint32_t map_get(const struct map *m, uint64_t key); /* UINT32_MAX: not there */
int map_put(struct map *m, uint64_t key, uint32_t val);
void map_free(struct map *m);
uint64_t hash_bytes(uint64_t h, const void *p, size_t n);

/* ---- the machine (machine.c, step.c, chars.c, rules.c) --------------------------------------- */

struct chain { /* a text, told by its last character; equal texts are one chain */
    const struct chain *prev;
    uint32_t cp, len;
};
struct used { /* texts that may not come again, by the order of their making */
    const struct used *next;
    const struct chain *text;
};

/* What is expected at a place of the text; equal ones are one frame. `up` goes on where it ends. */
struct frame {
    const struct frame *up;
    const void *what;         /* atom, prop, extra */
    const struct chain *text; /* of an item, a key that must differ from others; else NULL */
    const struct used *used;  /* by an array whose items, or an object whose keys, must differ */
    uint32_t a, b, c;
    uint16_t depth, ws; /* depth: arrays and objects around; ws: blanks so far, WS_NEWLINE */
    enum frame_kind {
        F_VALUE,  /* a: term */
        F_WORD,   /* null, true, false: a is the kind, b the place in it */
        F_NUM,    /* a: state */
        F_STR,    /* a: state, b: length, c: a character that has begun */
        F_KEY,    /* of a declared property: a: place in its name, c as in F_STR */
        F_XKEY,   /* of an extra: a: state, c as in F_STR */
        F_ARR,    /* a: items, b: those that count for `contains`, 8 bits each */
        F_OBJ,    /* a: next declared property, b: properties, and above OBJ_BITS what they did of
                   * `must`; c: term of the value at hand */
        F_CHARS,  /* a: elem; c: a character that has begun */
        F_SEQ,    /* a: elem to go on with */
        F_REPEAT, /* a: elem, b: times */
    } kind;
    enum frame_phase { AT_OPEN, AT_AFTER, AT_COMMA, AT_COLON, AT_VALUE } phase;
    uint32_t id;    /* set when it is made */
    uint32_t stamp; /* closure that met it last */
};
enum { WS_NEWLINE = 256, WS_BLANKS = 16, OBJ_BITS = 28, MOST_MUST = 3 };

struct machine;
/* The one frame like f (id and stamp aside), NULL without memory (the machine remembers). */
const struct frame *frame_get(struct machine *m, const struct frame *f);
const struct chain *chain_get(struct machine *m, const struct chain *prev, uint32_t cp);
const struct used *used_add(struct machine *m, const struct used *u, const struct chain *text);
/* f is a place where the text may be now; NULL: at its end. */
void emit(struct machine *m, const struct frame *f);
bool first_visit(struct machine *m, const struct frame *f);
struct grammar *grammar_of(struct machine *m);

/* step.c: all places behind byte c, from f. */
void step_frame(struct machine *m, const struct frame *f, unsigned char c);
/* A value ends: go on in f's `up`. */
void value_end(struct machine *m, const struct frame *f);
/* rules.c */
void seq_go(struct machine *m, const struct frame *up, uint32_t elem);
void seq_return(struct machine *m, const struct frame *to);
void step_chars(struct machine *m, const struct frame *f, unsigned char c);

/* chars.c: characters in a JSON string. */
enum char_got { CHAR_BAD, CHAR_PART, CHAR_WHOLE, CHAR_QUOTE };
struct char_reach { /* what a begun character may become: a few ranges */
    uint32_t n, lo[12], hi[12];
};
/* `part`: 0, or a character that has begun; changed. *cp when it is whole. */
enum char_got char_step(uint32_t *part, unsigned char c, uint32_t *cp, struct char_reach *r);
/* The same for plain UTF-8 without escapes (GBNF). */
enum char_got utf8_step(uint32_t *part, unsigned char c, uint32_t *cp, struct char_reach *r);

/* machine.c */
struct machine *machine_new(struct grammar *g, struct err *e);
void machine_free(struct machine *m);
#endif
