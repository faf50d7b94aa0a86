/* engine/grammar/regex.h - a pattern on its way: shared by regex_parse.c, which reads it into a
 * tree, and regex.c, which makes the automaton. */
#ifndef CHASKI_GRAMMAR_REGEX_H
#define CHASKI_GRAMMAR_REGEX_H

#include "engine/grammar/inside.h"

struct node {
    enum { N_EMPTY, N_SET, N_CAT, N_ALT, N_REP, N_BEGIN, N_END } kind;
    struct node *a, *b;
    const struct charset *set;
    uint32_t least, most; /* N_REP; NO_END */
};

struct state { /* of the machine with branches */
    enum { S_SET, S_SPLIT, S_BEGIN, S_END, S_FINAL } kind;
    const struct charset *set;
    uint32_t a, b; /* successors; b of S_SPLIT only */
};

struct ahead { /* a look-ahead at the start */
    struct ahead *next;
    struct node *what;
    bool neg;
};

struct rx {
    const char *p;
    size_t n, i;
    int depth;
    struct arena *arena; /* of the trees and sets: scratch */
    struct ahead *aheads;
    size_t lead; /* behind a leading ^ and the look-aheads that follow it; 0: no such start */
    struct err *e;
    struct state *st;
    uint32_t n_st, cap_st;
};

enum { MOST_RANGES = 4096 };
struct ranges { /* lo, hi, lo, hi.. */
    uint32_t v[MOST_RANGES];
    uint32_t n;
};

/* Fill r->e: `pattern "P": WHAT`; returns -1. */
int rx_no(struct rx *r, const char *what);
struct node *rx_node(struct rx *r, int kind);
/* The tree of the whole pattern, and r->aheads; NULL with r->e filled. */
struct node *rx_parse(struct rx *r);

/* regex_sets.c */
int ranges_add(struct rx *r, struct ranges *s, uint32_t lo, uint32_t hi);
int ranges_invert(struct rx *r, const struct ranges *s, struct ranges *out);
int ranges_named(struct rx *r, struct ranges *s, char c);        /* \d \w \s and their contraries */
int ranges_property(struct rx *r, struct ranges *out, bool neg); /* behind \p or \P */
struct node *set_node(struct rx *r, const struct ranges *s);
#endif
