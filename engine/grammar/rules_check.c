/* engine/grammar/rules_check.c - does a rule begin with itself? A machine that reads forward cannot
 * take left recursion, plain or hidden behind what may be empty. */
#include "engine/grammar/inside.h"

#include <stdlib.h>

/* May this rule be empty? The least fixed point over all rules. */
static void find_nullable(const struct grammar *g, bool *nullable)
{
    for (bool again = true; again;) {
        again = false;
        for (size_t r = 0; r < g->n_rules; r++)
            for (uint32_t a = 0; a < g->rules[r].n_alts && !nullable[r]; a++) {
                const struct elem *x = &g->elems[g->rules[r].alts[a]];
                while ((x->kind == E_RULE && nullable[x->a]) ||
                       (x->kind == E_REPEAT && (!x->least || nullable[x->a])))
                    x++;
                if (x->kind == E_END)
                    again = nullable[r] = true;
            }
    }
}

/* Depth-first over the rules that a rule can begin with, with its own stack, for grammars can be
 * long. */
int rules_left(const struct grammar *g, uint32_t *rule, struct err *e)
{
    bool *nullable = calloc(g->n_rules + 1, sizeof *nullable);
    uint8_t *mark = calloc(g->n_rules + 1, 1); /* 1: on the way, 2: done */
    struct at {
        uint32_t rule, alt, elem;
    } *stack = malloc((g->n_rules + 1) * sizeof *stack);
    int rc = -1;
    if (!nullable || !mark || !stack) {
        err_set(e, ERR_MEMORY, "out of memory");
        goto done;
    }
    find_nullable(g, nullable);
    for (uint32_t root = 0; root < g->n_rules; root++) {
        size_t top = 0;
        if (mark[root])
            continue;
        mark[root] = 1;
        stack[top++] = (struct at){root, 0, 0};
        while (top) {
            struct at *t = &stack[top - 1];
            if (t->alt == g->rules[t->rule].n_alts) {
                mark[t->rule] = 2;
                top--;
                continue;
            }
            const struct elem *x = &g->elems[g->rules[t->rule].alts[t->alt] + t->elem];
            if (x->kind != E_RULE && x->kind != E_REPEAT) {
                t->alt++;
                t->elem = 0;
                continue;
            }
            if (nullable[x->a] || (x->kind == E_REPEAT && !x->least)) {
                t->elem++;
            } else {
                t->alt++;
                t->elem = 0;
            }
            if (mark[x->a] == 1) {
                *rule = x->a;
                rc = 1;
                goto done;
            }
            if (!mark[x->a]) {
                mark[x->a] = 1;
                stack[top++] = (struct at){x->a, 0, 0};
            }
        }
    }
    rc = 0;
done:
    free(nullable);
    free(mark);
    free(stack);
    return rc;
}
