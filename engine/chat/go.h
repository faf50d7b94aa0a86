/* engine/chat/go.h - the inside of Go's text/template: tree, values, who calls whom.
 *
 * Facts: shared/spec (modelfile-and-templates, sections 2 to 4). Memory, text with provenance,
 * limits and the way out by longjmp are those of template.h; values are Go's own, since its rules
 * of types, nil and printing have nothing in common with Python's. */
#ifndef CHASKI_CHAT_GO_H
#define CHASKI_CHAT_GO_H

#include <jansson.h>
#include "engine/chat/chat.h"
#include "engine/chat/template.h"

enum {
    GO_MAX_NEST = 200,     /* blocks and parentheses open at once, in the source */
    GO_MAX_HEIGHT = 1000,  /* the same with the links of `else if` chains */
    GO_MAX_TEMPLATES = 100 /* {{ template }} inside each other, while running */
};

/* ---- tree (go_lex.c, go_parse.c) ---------------------------------------------------------------
 */

enum go_item {
    GO_I_ERROR,
    GO_I_BOOL,
    GO_I_CHAR,
    GO_I_CHARCONST,
    GO_I_COMPLEX,
    GO_I_ASSIGN,
    GO_I_DECLARE,
    GO_I_EOF,
    GO_I_FIELD,
    GO_I_IDENT,
    GO_I_LEFT,
    GO_I_LPAREN,
    GO_I_NUMBER,
    GO_I_PIPE,
    GO_I_RAW,
    GO_I_RIGHT,
    GO_I_RPAREN,
    GO_I_SPACE,
    GO_I_STRING,
    GO_I_TEXT,
    GO_I_VAR,
    GO_I_KEYWORD, /* only to mark off what follows */
    GO_I_BLOCK,
    GO_I_BREAK,
    GO_I_CONTINUE,
    GO_I_DOT,
    GO_I_DEFINE,
    GO_I_ELSE,
    GO_I_END,
    GO_I_IF,
    GO_I_NIL,
    GO_I_RANGE,
    GO_I_TEMPLATE,
    GO_I_WITH,
};
struct go_token {
    enum go_item type;
    uint32_t pos, line;
    struct text text; /* for an error, its words */
};
enum go_lex_state { GO_L_TEXT, GO_L_LEFT, GO_L_INSIDE, GO_L_END };
struct go_lexer {
    struct tpl *c;
    const char *s;
    size_t n, pos, start;
    uint32_t line, start_line;
    int parens;
    enum go_lex_state state;
};
struct go_token go_lex_next(struct go_lexer *l);
bool go_is_space(uint32_t ch);
bool go_is_word(uint32_t cp); /* a letter, a digit, _ */

enum go_node_type {
    GO_N_TEXT,
    GO_N_ACTION,
    GO_N_IF,
    GO_N_WITH,
    GO_N_RANGE,
    GO_N_BREAK,
    GO_N_CONTINUE,
    GO_N_TEMPLATE,
    GO_N_END,
    GO_N_ELSE,
    GO_N_LIST,
    GO_N_PIPE,
    GO_N_COMMAND,
    GO_N_IDENT,
    GO_N_DOT,
    GO_N_NIL,
    GO_N_FIELD,
    GO_N_VAR,
    GO_N_CHAIN,
    GO_N_BOOL,
    GO_N_NUMBER,
    GO_N_STRING,
};
enum go_number { GO_NUM_INT, GO_NUM_FLOAT, GO_NUM_COMPLEX, GO_NUM_TOO_BIG };
struct go_node {
    enum go_node_type type;
    uint32_t pos, line;
    struct go_node **kid; /* list: nodes; pipe: commands; command: arguments; chain: its operand */
    size_t n_kid, cap_kid;
    struct go_node *decl[2]; /* pipe: the variables before := or = */
    size_t n_decl;
    bool assign;
    struct go_node *pipe, *list, *alt; /* of actions and blocks */
    struct str *text;   /* text, word, value of a string, name of a template; number: as written */
    struct str *source; /* string: as written */
    struct str **name;  /* field, variable, chain */
    size_t n_name;
    const struct go_func *fn; /* identifier */
    enum go_number number;
    bool b;
    int64_t i;
    double f, im;
};
struct go_define {
    struct str *name;
    struct go_node *root;
};
struct go_template {
    const char *source;
    size_t n_source;
    struct go_node *root, *full; /* full: with the place of an answer that the text left out */
    struct go_define *define;
    size_t n_define, cap_define;
    bool has_messages, has_response, has_tools, has_suffix; /* variables it uses */
    struct go_node *cut; /* the tree up to .Response (go_tree.c); templates without messages */
};
/* Errors leave through c->out. */
void go_parse(struct go_template *g, struct tpl *c, const char *source, size_t n);
struct go_node *go_node_new(struct tpl *c, enum go_node_type type, uint32_t pos, uint32_t line);
void go_node_add(struct tpl *c, struct go_node *to, struct go_node *kid);
bool go_empty(const struct go_node *list); /* nothing but white space */

/* go_tree.c: what the tree says */
void go_put_node(struct tpl *c, struct sink *k, const struct go_node *n); /* as Go prints it */
void go_look(struct go_template *g,
             struct tpl *c); /* variables, the answer's place, the cut tree */
/* Tags by 7.1 and 8.1 of the page: copies cut to `cap`, "" where there is none. */
void go_thinking_tags(const struct go_template *g, char *open, char *close, size_t cap);
void go_call_tag(const struct go_template *g, char *tag, size_t cap);

/* go_const.c: constants of the source */
const char *go_read_number(struct tpl *c, struct go_node *n, struct text t, enum go_item type);
struct str *go_unquote(struct tpl *c, struct text t); /* NULL: not one */

/* ---- values (go_value.c) -----------------------------------------------------------------------
 */

enum go_type {
    GO_INVALID, /* no value */
    GO_NIL,     /* an empty interface */
    GO_BOOL,
    GO_INT,
    GO_BYTE,
    GO_FLOAT,
    GO_COMPLEX,
    GO_STRING,
    GO_LIST,
    GO_MAP,
    GO_RECORD,
};
struct gv {
    enum go_type type;
    bool face; /* its static type is interface {} */
    union {
        bool b;
        int64_t i;
        double f;
        double *z; /* complex: two */
        struct str *s;
        struct go_list *l;
        struct go_map *m;
        struct go_record *r;
    };
};
enum go_show { GO_SHOW_PLAIN, GO_SHOW_JSON, GO_SHOW_TYPES }; /* has a String method of its own */
struct go_list {
    const char *type;
    enum go_show show;
    bool nil, bytes;
    size_t n;
    struct gv *v;
};
struct go_pair {
    struct str *key;
    struct gv v;
    size_t rank; /* its place in sorted order is its index; in the request, this */
};
struct go_map { /* sorted by key */
    const char *type;
    enum go_show show;
    bool nil, pointer, in_order; /* JSON in the order of the request */
    size_t n;
    struct go_pair *e;
};
struct go_field {
    const char *name, *json;
    bool omit; /* from JSON, when empty */
};
struct go_kind {
    const char *type;
    enum go_show show;
    bool pointer;
    size_t n;
    struct go_field field[8];
};
struct go_record {
    const struct go_kind *kind;
    struct gv v[8];
};
struct gv go_string(struct str *s);
struct gv go_int(int64_t i);
struct gv go_bool(bool b);
struct gv go_float(double f);
struct gv go_any(struct tpl *c, const json_t *j); /* as encoding/json reads into an any */
struct gv go_map_of(struct tpl *c, const char *type, size_t n); /* keys to be filled, then sorted */
void go_map_sort(struct go_map *m);
const struct gv *go_map_find(const struct go_map *m, const struct str *key);
bool go_truth(struct gv v);
const char *go_type_name(struct gv v);
struct gv go_bare(struct gv v); /* the thing inside an interface */

/* go_model.c: what a template of a model is run on */
struct gv go_messages(struct tpl *c, const json_t *messages, struct str **system);
struct gv go_tools(struct tpl *c, const json_t *tools);
const struct gv *go_record_find(const struct go_record *r, const struct str *name);
struct gv go_map_zero(struct tpl *c, const struct go_map *m); /* behind a key that is not there */
struct str *go_typescript(struct tpl *c, struct gv property);

/* go_format.c, go_json.c, go_verbs.c, go_float.c */
void go_put_value(struct tpl *c, struct sink *k, struct gv v); /* %v */
void go_put_json(struct tpl *c, struct sink *k, struct gv v);
void go_put_quoted(struct tpl *c, struct sink *k, const struct str *s, bool ascii);
struct str *go_json(struct tpl *c, struct gv v);
struct str *go_sprintf(struct tpl *c, const struct str *fmt, const struct gv *v, size_t n);
struct str *go_sprint(struct tpl *c, const struct gv *v, size_t n, bool line);
struct go_verb { /* the flags of one %.. */
    bool minus, plus, sharp, space, zero, plus_v, sharp_v;
    int width, precision; /* -1: none */
};
void go_put_verb(struct tpl *c, struct sink *k, struct gv v, uint32_t verb, struct go_verb f,
                 int depth);
void go_put_scalar(struct tpl *c, struct sink *k, struct gv v, uint32_t verb, struct go_verb f);
void go_put_bad(struct tpl *c, struct sink *k, struct gv v, uint32_t verb, struct go_verb f);
void go_put_padded(struct tpl *c, struct sink *k, const struct str *s, struct go_verb f);
void go_put_float(struct tpl *c, struct sink *k, struct gv v, uint32_t verb, struct go_verb f);
size_t go_float_text(double f, char out[40]); /* the shortest, as %v has it */
size_t go_shortest(double f, char out[40]);   /* d.ddde[+-]xx, with the fewest digits */

/* ---- running (go_run.c, go_func.c, go_chat.c) --------------------------------------------------
 */

struct go_var {
    struct str *name;
    struct gv v;
};
struct go_run {
    struct tpl *c;
    const struct go_template *g;
    const struct str *name; /* of the template that runs */
    const struct go_node *at;
    struct go_var *var;
    size_t n_var, cap_var;
    int depth;
};
_Noreturn void go_fail(struct go_run *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void go_execute(struct go_run *r, const struct go_node *root, struct gv dot);

struct go_func {
    const char *name;
    int least, most; /* arguments; most -1: any number */
    bool strings;    /* the rest of them must be strings */
    bool first_string;
    /* NULL: went well, `out` is set; else what is wrong */
    const char *(*fn)(struct go_run *r, const struct gv *a, size_t n, struct gv *out);
};
const struct go_func *go_func_find(const char *p, size_t n);
bool go_func_is_logic(const struct go_func *f, bool *is_or);
bool go_func_is_call(const struct go_func *f);
const char *go_words(struct tpl *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The whole: input as in chat_render. */
void go_render(const struct go_template *g, struct tpl *c, const json_t *input);

#endif
