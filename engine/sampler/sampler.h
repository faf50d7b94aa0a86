/* engine/sampler/sampler.h - from logits to a token, and from tokens to text pieces. Private to
 * engine/.
 *
 * Order (spec/api.md 4.2): penalties, top_k, typical_p, top_p, min_p, temperature, draw. Everything
 * works on a total order (larger logit, then lower id) and sums in it, in double, so that a result
 * does not depend on how it was found. */
#ifndef CHASKI_SAMPLER_H
#define CHASKI_SAMPLER_H

#include "engine/engine.h"
#include "kernels/kernels.h"

struct smp { /* one sequence's sampler; a zeroed struct is none */
    struct eng_options opt; /* borrowed strings: stops stay with the job */
    uint64_t seed;
    int32_t n_vocab;
    struct smp_cand *cand;  /* n_vocab */
    uint32_t *count;        /* n_vocab: how often a token is in the penalty window */
};
int smp_init(struct smp *s, const struct eng_options *opt, uint64_t seed, int32_t n_vocab,
             struct err *e);
uint64_t smp_bytes(const struct eng_options *opt, int32_t n_vocab); /* memory that it will hold */
void smp_free(struct smp *s);
/* Choose the next token. `logits` [n_vocab] may be changed. `history`: the n tokens of the context
 * so far (prompt and answer), for the penalties. `counter` keys the random number: how many tokens
 * came before this one, those that a context shift dropped included. -1 and ERR_BUG if there is a
 * NaN. */
int smp_choose(struct smp *s, const struct kernels *k, float *logits, const tok_id *history,
               int64_t n, uint64_t counter, tok_id *out, struct err *e);

/* A number in [0, 1) that depends on key and counter alone: Philox 4x32-10 (Salmon et al. 2011). */
double smp_uniform(uint64_t key, uint64_t counter);

/* ---- text out: whole characters, stop strings held back --------------------------------- */

struct piece { /* zero-initialise; stops are borrowed */
    struct buf held;      /* bytes not given out yet */
    char *const *stops;
    int n_stops;
    bool stopped;         /* a stop string was met: the rest of the text is dropped */
    uint64_t n_in, n_out; /* bytes that came in; of these, the first that went out */
    const char *stop;     /* which one; borrowed */
};
/* Add a token's bytes; `out` gets what may be sent now (whole characters of valid UTF-8, nothing
 * that may be the start of a stop string). Bytes that can never become a character go out as
 * U+FFFD. */
void piece_add(struct piece *p, const char *bytes, size_t n, struct buf *out);
/* The end: what was held for a stop string goes out; an incomplete character does not. */
void piece_end(struct piece *p, struct buf *out);
void piece_free(struct piece *p);

/* ---- log-probabilities ------------------------------------------------------------------- */

struct lp_entry { /* of one sampled token */
    uint64_t at; /* the byte of the answer at which its text begins */
    tok_id id;
    double lp;
    int n_top;
    tok_id top[ENG_TOP_LOGPROBS]; /* larger logit first, equal ones by id */
    double top_lp[ENG_TOP_LOGPROBS];
};
struct lp_list { /* those whose text was not sent yet; zero-initialise */
    struct lp_entry *e;
    size_t n, cap;
    struct eng_logprob *out; /* as a piece shows them */
    size_t out_cap;
    float *raw;              /* logits as the model gave them; the sampler changes its own */
    int32_t n_vocab;
};
int lp_keep(struct lp_list *l, const float *logits, int32_t n_vocab, struct err *e);
/* The kept logits led to token `id`, whose text begins at byte `at` of the answer. */
int lp_add(struct lp_list *l, tok_id id, uint64_t at, int n_top, struct err *e);
/* The entries of all tokens that begin before byte `sent`, as a piece shows them; they leave the
 * list and are valid until the next call. A control token has no text, or when `named` its name.
 * -1: no memory. */
int lp_take(struct lp_list *l, const struct tok_vocab *v, uint64_t sent, bool named,
            const struct eng_logprob **out, size_t *n, struct err *e);
void lp_free(struct lp_list *l);

#endif
