/* engine/sched/plan.c - one step of a slot: which rows, then what their logits say.
 *
 * Decode rows of all running jobs come first, then chunks of prompts, oldest first. While others
 * generate, a chunk is so short that the gap between their tokens stays under about three times the
 * plain gap (pace.c). Behind a decode row may come a draft of what follows (draft.c), as long as it
 * pays (worth.c). */
#include "engine/sched/sched.h"

#include <string.h>

/* ---- choosing rows --------------------------------------------------------------------------- */

struct plan {
    struct run runs[MAX_PARALLEL];
    int job[MAX_PARALLEL];     /* index in slot.active */
    int n_draft[MAX_PARALLEL]; /* of the run's rows, the last ones that are guesses */
    int n_runs, n_rows, n_decode, n_prompt_rows;
    int n_scored; /* rows of prompts whose logits are wanted */
    int n_threads; /* cap; 0 = all */
    bool uncapped; /* somebody wants all of them */
    struct slot *slot;
};

static bool all_over(void *arg)
{
    const struct plan *p = arg;
    const int64_t now = time_mono_ns();
    for (int i = 0; i < p->n_runs; i++)
        if (!job_is_over(p->slot->active[p->job[i]], now, NULL))
            return false;
    return true;
}

void job_pause(struct slot *s, struct eng_job *j)
{
    kv_shrink(&s->m->pool, &j->kv, 0);
    j->n_done = 0;
}

/* At the start of a page: what others have computed of the tokens from here on is taken. */
static void take_cached(struct slot *s, struct eng_job *j)
{
    if (scores_now(j) || j->n_done != (int64_t)j->kv.n_shared * KV_PAGE)
        return;
    j->n_done = kv_find(&s->m->pool, &j->kv, j->tokens.ids, (int64_t)j->tokens.n, j->cache_scope);
    const int64_t from = j->n_seen; /* what this job computed once is no gift */
    if (j->n_done > from) {
        if (!j->sampled)
            j->stats.prompt_cached += (int32_t)(j->n_done - from);
        j->n_seen = j->n_done;
    }
}

/* Pages for all tokens of job i; when there are none somebody younger gives up theirs (it computes
 * them again later: the same bits). False: this job waits, or with e->code set it cannot go on. */
bool slot_make_room(struct slot *s, int i, int64_t n_positions, struct err *e)
{
    struct eng_job *j = s->active[i];
    struct kv_pool *pool = &s->m->pool;
    /* A prompt takes all that it needs at once: half of one would hold pages and get nowhere. */
    const int64_t want = n_positions > (int64_t)j->tokens.n ? n_positions : (int64_t)j->tokens.n;
    const uint64_t pages = ((uint64_t)want + KV_PAGE - 1) / KV_PAGE;
    if (pages <= j->kv.n)
        return true;
    const uint64_t bytes = (pages - j->kv.n) * pool->page_bytes;
    bool is_free = room_is_free(s, j);
    while (!is_free || kv_grow(pool, &j->kv, want, e)) {
        int youngest = -1;
        e->code = ERR_NONE;
        if (!is_free)
            return false;
        switch (room_for_pages(s, j, bytes)) {
        case ROOM_WAIT:
            return false;
        case ROOM_PAUSE_ME:
            job_pause(s, j);
            return false;
        case ROOM_PAUSE_OWN:
            for (int k = 0; k < MAX_PARALLEL; k++)
                if (k != i && s->active[k] && s->active[k]->kv.n &&
                    (youngest < 0 || job_age(s->active[k]) > job_age(s->active[youngest])))
                    youngest = k;
            if (youngest >= 0)
                job_pause(s, s->active[youngest]);
            log_line(LOG_INFO, "%s: out of memory for pages, the youngest request waits", s->name);
            break;
        case ROOM_PAID:
            break;
        case ROOM_NONE:
            err_set(e, ERR_MEMORY,
                    "not enough memory for this request: its %lld tokens need %llu bytes of "
                    "key-value cache, %llu more than are left of the budget of %llu bytes",
                    (long long)want, (unsigned long long)(pages * pool->page_bytes),
                    (unsigned long long)bytes, (unsigned long long)s->g->mem.limit);
            return false;
        }
    }
    mem_give(&s->g->mem, pool->prepaid);
    pool->prepaid = 0;
    return true;
}

static void add_run(struct plan *p, struct slot *s, int i, int rows)
{
    struct eng_job *j = s->active[i];
    const bool last = j->n_done + rows == (int64_t)j->tokens.n;
    p->runs[p->n_runs] = (struct run){.row0 = p->n_rows,
                                      .n = rows,
                                      .pos0 = j->n_done,
                                      .tokens = j->tokens.ids + j->n_done,
                                      .pages = j->kv.pages,
                                      .n_logits = scores_now(j) ? rows : last};
    p->job[p->n_runs++] = i;
    p->n_rows += rows;
}

static bool runs_now(const struct eng_job *j)
{
    return j && j->kind == ENG_GENERATE && !atomic_load(&j->held) && !atomic_load(&j->cancelled);
}

static int in_order(const struct slot *s, int *order)
{
    int n = 0;
    for (int i = 0; i < MAX_PARALLEL; i++)
        if (s->active[i]) {
            int k = n++;
            for (; k > 0 && s->active[order[k - 1]]->submitted > s->active[i]->submitted; k--)
                order[k] = order[k - 1];
            order[k] = i;
        }
    return n;
}

/* What a step of so many running answers takes, as far as it is known. */
static double plain_ns(const struct slot *s, int n_decode)
{
    const double ns = worth_ns(&s->worth, n_decode);
    return ns > 0 ? ns : s->ns_decode;
}

/* Up to `most` rows of job i, if there is room for them in the batch and in memory. */
static void plan_rows(struct slot *s, struct plan *p, int i, int64_t most)
{
    struct eng_job *j = s->active[i];
    struct err e = {0};
    const int64_t limits[] = {s->m->n_batch - p->n_rows, (int64_t)j->tokens.n - j->n_done,
                              j->opt.num_batch > 0 ? j->opt.num_batch : most,
                              scores_now(j) ? SCORED_ROWS - p->n_scored : most};
    for (size_t k = 0; k < sizeof limits / sizeof *limits; k++)
        most = limits[k] < most ? limits[k] : most;
    if (most < 1)
        return;
    if (!slot_make_room(s, i, j->n_done + most, &e)) {
        if (e.code)
            slot_job_end(s, i, &e);
        else if (j->kv.n == j->kv.n_shared) /* who waits holds no page that others could take */
            job_pause(s, j);
        return;
    }
    if (j->n_done + 1 == (int64_t)j->tokens.n)
        p->n_decode++;
    else
        p->n_prompt_rows += (int)most;
    if (j->opt.num_thread <= 0)
        p->uncapped = true;
    else if (j->opt.num_thread > p->n_threads)
        p->n_threads = j->opt.num_thread;
    if (scores_now(j))
        p->n_scored += (int)most;
    add_run(p, s, i, (int)most);
}

/* Is a job of this step on its way to the page that job j needs next? Then j waits and takes it. */
static bool comes_soon(const struct slot *s, const struct plan *p, const struct eng_job *j)
{
    const int64_t from = j->n_done, to = from + KV_PAGE;
    if (scores_now(j) || !s->m->pool.n_cached_most || from != (int64_t)j->kv.n_shared * KV_PAGE ||
        to >= (int64_t)j->tokens.n)
        return false;
    for (int r = 0; r < p->n_runs; r++) {
        const struct eng_job *o = s->active[p->job[r]];
        if (o && o != j && o->n_done >= from && (int64_t)o->tokens.n >= to && kv_same_shared(&o->kv, &j->kv) &&
            !memcmp(o->tokens.ids + from, j->tokens.ids + from, KV_PAGE * sizeof(tok_id)) &&
            (from || !strcmp(o->cache_scope ? o->cache_scope : "",
                             j->cache_scope ? j->cache_scope : "")))
            return true;
    }
    return false;
}

static bool in_prompt(const struct eng_job *j)
{
    return runs_now(j) && j->n_done + 1 < (int64_t)j->tokens.n;
}

/* Rows of prompts: half for the one that ends soonest, so that a short one need not wait for a long
 * one, the rest for the oldest, so that each gets its turn. */
static void plan_prompts(struct slot *s, struct plan *p, const int *order, int n)
{
    int64_t most = s->m->n_batch - p->n_rows, shortest = INT64_MAX;
    int first = -1, oldest = -1;
    if (p->n_decode)
        most = pace_rows(&s->pace, plain_ns(s, p->n_decode));
    for (int k = 0; k < n; k++) {
        const struct eng_job *j = s->active[order[k]];
        if (!in_prompt(j))
            continue;
        oldest = oldest < 0 ? order[k] : oldest;
        if ((int64_t)j->tokens.n - j->n_done < shortest) {
            shortest = (int64_t)j->tokens.n - j->n_done;
            first = order[k];
        }
    }
    if (first != oldest && !comes_soon(s, p, s->active[first])) {
        const int64_t half = (most + 1) / 2;
        const bool scores = scores_now(s->active[first]) && half > SCORED_ROWS / 2;
        plan_rows(s, p, first, scores ? SCORED_ROWS / 2 : half);
    }
    for (int k = 0; k < n && p->n_prompt_rows < most; k++) {
        const struct eng_job *j = s->active[order[k]];
        if (in_prompt(j) && (order[k] != first || first == oldest) && !comes_soon(s, p, j))
            plan_rows(s, p, order[k], most - p->n_prompt_rows);
    }
}

static void make_plan(struct slot *s, struct plan *p)
{
    int order[MAX_PARALLEL];
    const int n = in_order(s, order);
    pthread_mutex_lock(&s->g->lock);
    s->hungry = INT64_MAX; /* who still waits for pages says so again */
    pthread_mutex_unlock(&s->g->lock);
    for (int k = 0; k < n; k++) {
        struct eng_job *j = s->active[order[k]];
        if (!runs_now(j))
            continue;
        take_cached(s, j);
        if (!j->is_started) { /* what the cache has at its start is known now */
            j->is_started = true;
            if (j->sink.start)
                j->sink.start(j->sink.arg, &j->stats);
        }
        if (j->n_done + 1 == (int64_t)j->tokens.n)
            plan_rows(s, p, order[k], 1);
    }
    plan_prompts(s, p, order, n);
    if (p->uncapped)
        p->n_threads = 0;
    /* slot_make_room may have taken pages from a job that was planned before: such runs fall out. */
    int kept = 0, rows = 0;
    for (int r = 0; r < p->n_runs; r++) {
        const struct eng_job *j = s->active[p->job[r]];
        if (!j || j->n_done != p->runs[r].pos0 || j->kv.n == 0)
            continue;
        p->runs[kept] = p->runs[r];
        p->runs[kept].row0 = rows;
        p->job[kept++] = p->job[r];
        rows += p->runs[r].n;
    }
    p->n_runs = kept;
    p->n_rows = rows;
}

/* ---- guesses --------------------------------------------------------------------------------- */

/* Guesses that a job may take: within its context, its last token, its batch, its pages. */
static int guesses_at_most(struct slot *s, const struct eng_job *j)
{
    int64_t most = DRAFT_MOST;
    const int64_t limits[] = {
        j->n_ctx - (int64_t)j->tokens.n,        /* positions */
        j->n_predict - j->stats.eval_count - 1, /* tokens: one comes anyway */
        (int64_t)s->m->n_batch - 1,
        j->opt.num_batch > 0 ? j->opt.num_batch - 1 : DRAFT_MOST,
        j->speculate == ENG_SPECULATE_OFF ? 0 : DRAFT_MOST,
        j->speculate == ENG_SPECULATE_ON ? DRAFT_ALWAYS : DRAFT_MOST,
    };
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        most = limits[i] < most ? limits[i] : most;
    return most > 0 ? (int)most : 0;
}

/* Put guesses behind the last tokens of the planned runs, where that pays. Steps with rows of a
 * prompt are long already and stay as they are. */
static void add_guesses(struct slot *s, struct plan *p)
{
    tok_id guess[MAX_PARALLEL][DRAFT_MOST];
    float chance[MAX_PARALLEL][DRAFT_MOST];
    struct bid bids[MAX_PARALLEL] = {0};
    bool any = false;
    if (p->n_rows != p->n_runs)
        return;
    for (int r = 0; r < p->n_runs; r++) {
        struct eng_job *j = s->active[p->job[r]];
        if (!p->runs[r].n_logits || scores_now(j) || j->speculate == ENG_SPECULATE_OFF)
            continue;
        draft_learn(&j->draft, j->tokens.ids, (int64_t)j->tokens.n, j->n_prompt);
        bids[r].chance = chance[r];
        bids[r].n = draft_guess(&j->draft, j->tokens.ids, (int64_t)j->tokens.n,
                                guesses_at_most(s, j), guess[r], chance[r]);
        bids[r].always = j->speculate == ENG_SPECULATE_ON;
        any |= bids[r].n > 0;
    }
    if (!any)
        return;
    worth_choose(&s->worth, p->n_rows, bids, p->n_runs);
    for (int r = 0, rows = 0; r < p->n_runs; r++) {
        struct eng_job *j = s->active[p->job[r]];
        struct run *run = &p->runs[r];
        struct err e = {0};
        int take = bids[r].take;
        /* Nobody gives up pages for a guess: without one it is shorter. */
        if (take && kv_grow(&s->m->pool, &j->kv, run->pos0 + 1 + take, &e)) {
            const int64_t fit = (int64_t)j->kv.n * KV_PAGE - run->pos0 - 1;
            take = fit < take ? (int)fit : take;
        }
        run->pages = j->kv.pages; /* the table may have moved, also for nothing */
        run->row0 = rows;
        if (take > 0) {
            j->ahead[0] = j->tokens.ids[run->pos0];
            memcpy(j->ahead + 1, guess[r], (size_t)take * sizeof *guess[r]);
            run->tokens = j->ahead;
            run->n = run->n_logits = 1 + take;
            p->n_draft[r] = take;
            j->stats.draft_count += take;
        }
        rows += run->n;
        p->n_rows = rows;
    }
}

/* ---- after the step -------------------------------------------------------------------------- */

/* What may be sent goes to the sink, with the log-probabilities of the tokens that begin in it. */
static int give(struct slot *s, struct eng_job *j, struct buf *text, uint64_t sent, struct err *e)
{
    struct eng_piece p = {
        .text = text->n ? text->p : "", .n = text->n, .eval_count = j->stats.eval_count};
    int rc = 0;
    if (text->failed)
        rc = err_set(e, ERR_MEMORY, "no memory for the answer");
    else
        rc = lp_take(&j->lps, s->m->vocab, sent, false, &p.logprobs, &p.n_logprobs, e);
    if (!rc && (p.n || p.n_logprobs))
        j->sink.piece(j->sink.arg, &p);
    buf_free(text);
    return rc;
}

/* The context is full: forget half of what is not kept (9.4). The kept part's keys stay. */
static void shift_context(struct slot *s, struct eng_job *j)
{
    int64_t keep =
        j->opt.num_keep < 0 ? j->n_prompt : (int64_t)j->opt.num_keep + tok_adds_bos(s->m->vocab);
    const int64_t n = (int64_t)j->tokens.n;
    keep = keep > j->n_ctx - 4 ? j->n_ctx - 4 : keep;
    keep = keep < 0 ? 0 : keep;
    int64_t drop = (n - keep) / 2;
    drop = drop < 1 ? 1 : drop;
    if (keep < j->n_done) /* what was computed may be shared: only its end is written again */
        j->n_done = kv_cut(&s->m->pool, &j->kv, keep);
    memmove(j->tokens.ids + keep, j->tokens.ids + keep + drop,
            (size_t)(n - keep - drop) * sizeof *j->tokens.ids);
    j->tokens.n = (size_t)(n - drop);
    draft_forget(&j->draft);
    j->stats.context_shifts++;
    log_line(LOG_INFO, "%s: the context of %d tokens is full, %lld were dropped", s->name, j->n_ctx,
             (long long)drop);
}

static void finish(struct slot *s, int i, enum eng_done why)
{
    struct eng_job *j = s->active[i];
    struct buf text = {0};
    struct err e = {0};
    piece_end(&j->piece, &text);
    /* Behind a stop text nothing was said; else half a character is not sent, but it was sampled. */
    const int rc = give(s, j, &text, j->piece.stopped ? j->piece.n_out : UINT64_MAX, &e);
    j->stats.reason = why;
    slot_job_end(s, i, rc ? &e : NULL);
}

static void take_token(struct slot *s, int i, tok_id t, int64_t now);

static void take_logits(struct slot *s, int i, const float *logits, int64_t now)
{
    struct eng_job *j = s->active[i];
    struct err e = {0};
    if (!j->sampled) {
        j->sampled = true;
        j->t_prompt_end = now;
        j->stats.prompt_ns = now - j->t_start;
        meter_add(&s->meter->prompt, j->stats.prompt_count);
        meter_add(&s->meter->cached, j->stats.prompt_cached);
        meter_add(&s->meter->truncated, j->stats.prompt_truncated > 0);
        atomic_store_explicit(&j->meter.prompt, j->stats.prompt_count, memory_order_relaxed);
        atomic_store_explicit(&j->meter.cached, j->stats.prompt_cached, memory_order_relaxed);
        if (j->n_predict == 0) {
            finish(s, i, ENG_LENGTH);
            return;
        }
    }
    tok_id t;
    if (j->n_top >= 0 && lp_keep(&j->lps, logits, tok_n_vocab(s->m->vocab), &e)) {
        slot_job_end(s, i, &e);
        return;
    }
    tok_id only = -1;
    if (j->rules && rules_mask(s, j, (float *)(uintptr_t)logits, &only, &e)) {
        slot_job_end(s, i, &e);
        return;
    }
    if (only >= 0) { /* no choice: nothing is drawn, and the numbers of later draws stay */
        t = only;
    } else if (smp_choose(&j->smp, s->m->k, (float *)(uintptr_t)logits, j->tokens.ids,
                          (int64_t)j->tokens.n, j->n_drawn_before, &t, &e)) {
        slot_job_end(s, i, &e);
        return;
    }
    take_token(s, i, t, now);
    if (s->active[i] && j->rules && j->opt.jump_forward && j->n_top < 0) {
        struct tok_ids forced = {0};
        int rc = rules_forced(s, j, &forced, &e);
        for (size_t k = 0; !rc && k < forced.n && s->active[i] == j && runs_now(j); k++)
            take_token(s, i, forced.ids[k], now);
        tok_ids_free(&forced);
        if (rc && s->active[i] == j)
            slot_job_end(s, i, &e);
    }
}

/* The token that comes next, however it was found. */
static void take_token(struct slot *s, int i, tok_id t, int64_t now)
{
    struct eng_job *j = s->active[i];
    struct err e = {0};
    j->n_drawn_before++;
    j->stats.eval_count++;
    meter_token(s->meter, &j->meter, j->submitted, now);
    j->stats.eval_ns = time_mono_ns() - j->t_prompt_end + 1;
    if (tok_is_eog(s->m->vocab, t)) {
        finish(s, i, ENG_STOP);
        return;
    }
    if (tok_ids_add(&j->tokens, t, &e) || (j->want_context && tok_ids_add(&j->whole, t, &e))) {
        slot_job_end(s, i, &e);
        return;
    }
    const struct text bytes = shown_piece(s->m->vocab, j->shown, t);
    struct buf text = {0};
    if (j->rules && rules_take(s, j, t, &e)) {
        slot_job_end(s, i, &e);
        return;
    }
    int rc = j->n_top >= 0 ? lp_add(&j->lps, t, j->piece.n_in, j->n_top, &e) : 0;
    piece_add(&j->piece, bytes.p, bytes.n, &text);
    if (!rc && j->piece.held.failed)
        rc = err_set(&e, ERR_MEMORY, "no memory for the answer");
    if (rc || give(s, j, &text, j->piece.n_out, &e)) {
        buf_free(&text);
        slot_job_end(s, i, &e);
        return;
    }
    if (j->piece.stopped || (j->rules && rules_over(s, j)))
        finish(s, i, ENG_STOP);
    else if (j->stats.eval_count >= j->n_predict)
        finish(s, i, ENG_LENGTH);
    else if ((int64_t)j->tokens.n > j->n_ctx) {
        if (j->no_shift)
            finish(s, i, ENG_LENGTH);
        else
            shift_context(s, j);
    }
}

static void computed(struct slot *s, struct eng_job *j, int64_t n)
{
    j->n_done += n;
    if (j->n_done > j->n_seen)
        j->n_seen = j->n_done;
    kv_share(&s->m->pool, &j->kv, j->tokens.ids, j->n_done, j->cache_scope);
}

/* The logits of run r's rows, in order: a guess that is what the sampler drew makes the next row
 * count, the first that is not ends it. Keys and values of rows behind that are written over. */
static void take_rows(struct slot *s, const struct plan *p, int r, const float *logits, int64_t now)
{
    const int i = p->job[r], n_draft = p->n_draft[r];
    struct eng_job *j = s->active[i];
    struct err e = {0};
    computed(s, j, p->runs[r].n - n_draft);
    if (scores_now(j)) {
        if (score_rows(s, j, &p->runs[r], logits, &e)) {
            slot_job_end(s, i, &e);
            return;
        }
        logits += (size_t)(p->runs[r].n - 1) * (size_t)s->m->hp.n_vocab;
    }
    if (!p->runs[r].n_logits || j->n_done != (int64_t)j->tokens.n)
        return;
    take_logits(s, i, logits, now);
    for (int k = 1; k <= n_draft; k++) {
        if (!s->active[i] || j->n_done + 1 != (int64_t)j->tokens.n || !runs_now(j) ||
            j->tokens.ids[j->n_done] != p->runs[r].tokens[k])
            return;
        computed(s, j, 1);
        j->stats.draft_accepted++;
        take_logits(s, i, logits + (size_t)k * (size_t)s->m->hp.n_vocab, now);
    }
}

static void learn(double *mean, double sample)
{
    *mean = *mean > 0 ? 0.8 * *mean + 0.2 * sample : sample;
}

/* Who left gets no more; whose time ran out gets what there is. */
static void end_those_over(struct slot *s)
{
    const int64_t now = time_mono_ns();
    for (int i = 0; i < MAX_PARALLEL; i++) {
        struct err e = {0};
        if (!s->active[i] || !job_is_over(s->active[i], now, &e))
            continue;
        if (e.code == ERR_TIMEOUT && s->active[i]->stats.eval_count)
            finish(s, i, ENG_DEADLINE);
        else
            slot_job_end(s, i, &e);
    }
}

bool slot_step(struct slot *s)
{
    end_those_over(s);
    const bool embedded = embed_step(s); /* a step of its own: it may pause who is planned later */
    struct plan p = {.slot = s};
    make_plan(s, &p);
    if (!p.n_runs)
        return embedded;
    add_guesses(s, &p);
    struct step step = {.runs = p.runs,
                        .n_runs = p.n_runs,
                        .n_rows = p.n_rows,
                        .n_threads = p.n_threads,
                        .stop = all_over,
                        .stop_arg = &p};
    struct err e = {0};
    struct rules_ahead ahead = {.slot = s};
    for (int r = 0; r < p.n_runs; r++)
        if (s->active[p.job[r]]->rules) {
            ahead.n_draft[ahead.n] = p.n_draft[r];
            ahead.job[ahead.n++] = s->active[p.job[r]];
        }
    rules_ahead_start(&ahead);
    eng_lock_crew(s->g, true);
    const int64_t t0 = time_mono_ns();
    const int rc = model_step(s->m, &step, &e);
    const int64_t now = time_mono_ns();
    eng_lock_crew(s->g, false);
    rules_ahead_join(&ahead);
    if (rc) {
        for (int r = 0; r < p.n_runs; r++)
            slot_job_end(s, p.job[r], &e);
        return true;
    }
    meter_step(s->meter, p.n_rows);
    if (step.stopped)
        return true; /* all of them are over: the next call ends them */
    if (!p.n_prompt_rows) {
        learn(&s->ns_decode, (double)(now - t0));
        worth_learn(&s->worth, p.n_rows, (double)(now - t0));
    } else if (p.n_decode && plain_ns(s, p.n_decode) > 0)
        pace_learn(&s->pace, plain_ns(s, p.n_decode), (double)(now - t0), p.n_prompt_rows);
    const float *logits = step.logits;
    for (int r = 0; r < p.n_runs; r++) {
        take_rows(s, &p, r, logits, now);
        logits += (size_t)p.runs[r].n_logits * (size_t)s->m->hp.n_vocab;
    }
    return true;
}
