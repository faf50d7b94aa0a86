/* engine/sched/draft.h - guesses at what a sequence says next, from what it has said. Private to
 * engine/.
 *
 * Prompt look-up: text that repeats (code that is edited, quoted sources, lists) is often found
 * again in the sequence itself. A draft is what followed the last place that looks like the end of
 * the text; the model checks all of it in one step. Every guess is compared with the token that
 * came, drafted or not, so that how far the guesses can be trusted is known without trying. */
#ifndef CHASKI_DRAFT_H
#define CHASKI_DRAFT_H

#include <stdbool.h>
#include <stdint.h>
#include "engine/tokenizer/tokenizer.h"

enum {
    DRAFT_MOST = 31,   /* tokens of a draft: with the last token before it 32 rows */
    DRAFT_ALWAYS = 8,  /* of one that is taken whatever it costs */
    DRAFT_CLASSES = 7, /* of trust, by how much text agrees (draft.c) */
};

struct draft { /* of one sequence; zero-initialise */
    /* The index: for each place the last two or three tokens, as the newest place of each. */
    int32_t *head2, *head3; /* [n_slots]: place behind the tokens, 0 = none */
    int32_t *prev3;         /* [n_slots]: the next older place of the same slot */
    int64_t n_slots;        /* a power of two, more than there are tokens */
    int64_t n_seen;         /* tokens in the index */
    bool no_memory;         /* it could not grow: no more drafts */
    int64_t src;            /* the guess is ids[src]; 0 = there is none */
    int match;              /* so many tokens before src are the last of the text */
    int missed;             /* guesses in a row that went on behind a miss, and missed */
    float hit[DRAFT_CLASSES], tried[DRAFT_CLASSES]; /* fading counts of guesses */
};
void draft_free(struct draft *d);
/* The sequence is now ids[0..n). What was told before must be a part of it, or draft_forget comes
 * first. Trust is learned from tokens at n_prompt and behind. */
void draft_learn(struct draft *d, const tok_id *ids, int64_t n, int64_t n_prompt);
/* The tokens moved (a context shift): the index goes, the trust stays. */
void draft_forget(struct draft *d);
/* The guess for the next tokens, at most `most` (<= DRAFT_MOST): chance[i] is how probable it is
 * that tokens 0..i all come. Returns how many there are; 0: no guess. */
int draft_guess(const struct draft *d, const tok_id *ids, int64_t n, int most, tok_id *out,
                float *chance);

#endif
