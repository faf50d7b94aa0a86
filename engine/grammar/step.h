/* engine/grammar/step.h - shared by step.c and step_object.c: places in a JSON text. */
#ifndef CHASKI_GRAMMAR_STEP_H
#define CHASKI_GRAMMAR_STEP_H

#include "engine/grammar/machine.h"

uint32_t used_with(const struct used *u, const struct chain *with);
bool is_used(const struct used *u, const struct chain *text);
const struct chain *text_start(struct machine *m, uint32_t kind);
void start_value(struct machine *m, const struct frame *up, term_id t, uint16_t depth,
                 unsigned char c);
bool take_blank(struct machine *m, const struct frame *f, unsigned char c);
bool leads_to_new(struct machine *m, const struct frame *f, const struct dfa *d, uint32_t most,
                  const struct used *used, uint32_t lo, uint32_t hi);
bool term_is_alive(struct machine *m, term_id t);
void step_key(struct machine *m, const struct frame *f, unsigned char c);
void step_extra_key(struct machine *m, const struct frame *f, unsigned char c);
void step_object(struct machine *m, const struct frame *f, unsigned char c);
#endif
