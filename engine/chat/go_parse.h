/* engine/chat/go_parse.h - the parser of Go templates, what its two files share. Private to
 * engine/chat. */
#ifndef CHASKI_CHAT_GO_PARSE_H
#define CHASKI_CHAT_GO_PARSE_H

#include "engine/chat/go.h"

struct unit { /* the main text or one define: variables and look-ahead of its own */
    struct go_token token[3];
    int peeked;
    int ranges;
    struct str **var;
    size_t n_var, cap_var;
};
struct parser {
    struct tpl *c;
    struct go_template *g;
    struct go_lexer lex;
    struct unit *u;
    uint32_t action_line;
    int nest, height; /* what is open; and with the links of `else if`, which nest in the tree */
};

/* go_parse.c */
_Noreturn void gp_fail(struct parser *p, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
struct go_token gp_next(struct parser *p); /* blanks are words, too */
void gp_backup(struct parser *p);
void gp_backup2(struct parser *p, struct go_token t1); /* t1: the word before the last */
void gp_backup3(struct parser *p, struct go_token t2, struct go_token t1);
struct go_token gp_peek(struct parser *p);
struct go_token gp_next_word(struct parser *p); /* that is no blank */
struct go_token gp_peek_word(struct parser *p);
_Noreturn void gp_unexpected(struct parser *p, struct go_token t, const char *context);
struct go_token gp_expect(struct parser *p, enum go_item type, const char *context);
void gp_enter(struct parser *p); /* a block or parenthesis opens */
void gp_leave(struct parser *p);
void gp_add_var(struct parser *p, struct str *name);
struct go_node *gp_node(struct parser *p, enum go_node_type type, struct go_token t);
struct str *gp_word(struct parser *p, struct text t); /* as the template's own */
void gp_add_name(struct parser *p, struct go_node *n, struct text t);
/* go_pipe.c: up to the word `end`, which is taken */
struct go_node *gp_pipeline(struct parser *p, const char *context, enum go_item end);

#endif
