/* engine/sched/score.c - how likely a prompt was: the log-probability of each of its tokens after
 * those before it, as `echo` with `logprobs` of the completions route wants them.
 *
 * Facts: spec/api.md 14, 23.1. A job that lost its pages on the way computes its rows again; what
 * they said is kept. */
#include "engine/sched/sched.h"

bool scores_now(const struct eng_job *j)
{
    return j->score_prompt && !j->sampled;
}

static int give(struct slot *s, struct eng_job *j, struct err *e)
{
    const struct text first = tok_piece(s->m->vocab, j->tokens.ids[0], true);
    struct eng_piece p = {.text = first.p, .n = first.n, .of_prompt = true};
    if (lp_take(&j->scores, s->m->vocab, UINT64_MAX, true, &p.logprobs, &p.n_logprobs, e))
        return -1;
    j->sink.piece(j->sink.arg, &p);
    lp_free(&j->scores);
    return 0;
}

int score_rows(struct slot *s, struct eng_job *j, const struct run *run, const float *logits,
               struct err *e)
{
    const int32_t n_vocab = tok_n_vocab(s->m->vocab);
    for (int i = 0; i < run->n; i++) {
        const int64_t next = run->pos0 + i + 1;
        if (next != (int64_t)j->scores.n + 1 || next == j->n_prompt)
            continue; /* known already, or the answer's first */
        if (lp_keep(&j->scores, logits + (size_t)i * (size_t)s->m->hp.n_vocab, n_vocab, e) ||
            lp_add(&j->scores, j->tokens.ids[next], 0, j->n_top, e))
            return -1;
    }
    return run->pos0 + run->n == j->n_prompt ? give(s, j, e) : 0;
}
