/* engine/grammar/negate.h - contraries on their way: shared by negate.c and negate_parts.c. */
#ifndef CHASKI_GRAMMAR_NEGATE_H
#define CHASKI_GRAMMAR_NEGATE_H

#include "engine/grammar/inside.h"

struct contrary {
    struct grammar *g;
    const struct shapes *from; /* what is known without this schema */
    struct shapes *out;        /* alternatives so far */
    const json_t *v;
    const char *path;
    int depth;
    struct err *e;
};

/* An alternative: the shapes of some types, to be changed by the caller; then added, unless rc. */
int not_begin(const struct contrary *c, uint32_t kinds, struct shapes *one);
int not_finish(const struct contrary *c, struct shapes *one, int rc);
void *not_rule(const struct contrary *c, size_t n);
/* Counts: fewer than a least, more than a most. */
int not_counts(const struct contrary *c, const char *least, const char *most, uint32_t kind);
int not_array(const struct contrary *c);
int not_object(const struct contrary *c);
#endif
