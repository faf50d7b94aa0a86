/* engine/grammar/machine.h - the machine's memory; for machine.c and mask.c. */
#ifndef CHASKI_GRAMMAR_MACHINE_H
#define CHASKI_GRAMMAR_MACHINE_H

#include "engine/grammar/inside.h"

#define STEP_DEAD 0xfffffffeu /* kept in a map whose "not there" is UINT32_MAX */

struct set_slot {
    const void *p;
    uint64_t hash;
};
struct set { /* things kept once */
    struct set_slot *v;
    size_t n, cap;
};
struct state_key {
    size_t n;
    const struct frame **places; /* sorted; NULL, the end of the text, comes first */
    uint32_t id;
};
struct state_info {
    const struct state_key *key;
    uint32_t twin; /* the state whose mask is this one's too (mask.c); GRAMMAR_DEAD: unknown */
    uint32_t last; /* the last step: the same bytes come again and again */
    unsigned char last_byte;
    uint64_t *mask; /* owned, or NULL */
};
struct machine {
    struct grammar *g;
    struct arena arena;
    struct set frames, chains, used, states;
    struct state_info *by_id;
    size_t n_by_id, cap_by_id;
    struct map steps;
    const struct frame **places; /* being emitted */
    size_t n_places, cap_places;
    uint32_t stamp;
    uint32_t start;
    size_t n_masks, mask_bytes; /* each */
    struct err failed; /* first failure: no memory, too ambiguous */
};

uint32_t state_get(struct machine *m);
uint32_t machine_step(struct machine *m, uint32_t state, unsigned char c);
bool machine_may_end(const struct machine *m, uint32_t state);
#endif
