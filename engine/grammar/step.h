/* engine/grammar/step.h - shared by step.c, step_object.c and step_unique.c: places in a JSON text.
 */
#ifndef CHASKI_GRAMMAR_STEP_H
#define CHASKI_GRAMMAR_STEP_H

#include "engine/grammar/machine.h"

void start_value(struct machine *m, const struct frame *up, term_id t, uint16_t depth,
                 unsigned char c);
bool take_blank(struct machine *m, const struct frame *f, unsigned char c);
bool term_is_alive(struct machine *m, term_id t);
/* step_object.c */
void step_key(struct machine *m, const struct frame *f, unsigned char c);
void step_extra_key(struct machine *m, const struct frame *f, unsigned char c);
void step_object(struct machine *m, const struct frame *f, unsigned char c);

/* step_unique.c. A text: the chain of what an item, or an extra key, has said so far; the frames
 * inside an item that must differ from others have one. */
const struct chain *text_start(struct machine *m, uint32_t kind);
bool must_differ(const struct frame *up); /* do the values in this frame have to? */
const struct chain *value_start(struct machine *m, const struct frame *up, uint32_t kind);
/* May the text go on, inside `up`? `count` values are to come for the string or number `a` from
 * `state` on; without an atom: the value has ended. False without memory. */
bool is_new(struct machine *m, const struct frame *up, const struct chain *text,
            const struct atom *a, uint32_t state, uint32_t count);
bool is_new_key(const struct used *used, const struct chain *text, const struct dfa *d,
                uint32_t state, uint32_t count);
bool may_start(struct machine *m, const struct frame *up, const struct atom *a,
               const struct chain *text);
bool term_may_start(struct machine *m, const struct frame *up, term_id t);
/* Texts that grow; NULL without memory. */
const struct chain *key_text(struct machine *m, const struct chain *text, const struct prop *p);
const struct chain *extra_key_text(struct machine *m, const struct chain *text,
                                   const struct chain *key);
const struct chain *number_text(struct machine *m, const struct chain *text);
const struct chain *close_text(struct machine *m, const struct chain *text);
const struct frame *with_value(struct machine *m, const struct frame *up, const struct chain *text);
#endif
