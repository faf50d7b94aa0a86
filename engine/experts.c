/* engine/experts.c - the feed-forward of a mixture of experts (Shazeer et al. 2017; Jiang et al.
 * 2024).
 *
 * A row's pair with one of its experts is a *seat*. Seats are sorted by expert: those of one
 * expert stand together and are the columns of its matrices, so that the kernels of dense models
 * do the work, each weight is read once a step, and experts nobody chose are not read at all.
 * Every thread finds the same choice for itself: that costs less than waiting for each other. A
 * row's experts are added in the order of their scores, which no other row can change. */
#include <math.h>
#include <string.h>
#include "engine/ops_inside.h"

/* Below it a sum of chosen scores is not divided by: as the files' makers have it (the smallest
 * normal half). */
static const float SUM_LEAST = 6.103515625e-5f;

struct seats {
    int n, n_active;   /* seats = rows * used; experts with seats */
    int32_t *expert;   /* [n] of (row, u): row * used + u */
    float *weight;     /* [n] likewise */
    int32_t *at;       /* [n] likewise: the place in the sorted order */
    int32_t *row;      /* [n] of a place */
    int32_t *active;   /* [n_active] experts, ascending */
    int32_t *first;    /* [n_active + 1] places */
    struct acts *acts; /* [n_active] */
    struct product *p; /* [2 n_active] */
    struct mat *m;     /* [2 n_active] */
};

static int seats_of(const struct hparams *hp, int n)
{
    return n * hp->n_expert_used;
}
static int most_active(const struct hparams *hp, int n)
{
    return seats_of(hp, n) < hp->n_expert ? seats_of(hp, n) : hp->n_expert;
}

/* Softmax over all scores, then the largest of them, equal ones by number. A NaN is never larger.
 */
static void choose(float *z, int n_expert, int used, bool norm, int32_t *expert, float *weight)
{
    float top = -INFINITY, sum = 0;
    for (int i = 0; i < n_expert; i++)
        top = z[i] > top ? z[i] : top;
    for (int i = 0; i < n_expert; i++) {
        z[i] = ref_expf(z[i] - top);
        sum += z[i];
    }
    float taken = 0;
    for (int u = 0; u < used; u++) {
        int best = 0;
        for (int i = 1; i < n_expert; i++)
            best = z[i] > z[best] ? i : best;
        expert[u] = best;
        weight[u] = z[best] / sum;
        taken += weight[u];
        z[best] = -1; /* below every other */
    }
    if (norm)
        for (int u = 0; u < used; u++)
            weight[u] /= taken > SUM_LEAST ? taken : SUM_LEAST;
}

static void take_seats(struct fwd *f, struct seats *s)
{
    const size_t n = (size_t)seats_of(f->hp, f->n), a = (size_t)most_active(f->hp, f->n);
    s->n = (int)n;
    s->expert = take_own(f, n * sizeof *s->expert);
    s->weight = take_own(f, n * sizeof *s->weight);
    s->at = take_own(f, n * sizeof *s->at);
    s->row = take_own(f, n * sizeof *s->row);
    s->active = take_own(f, a * sizeof *s->active);
    s->first = take_own(f, (a + 1) * sizeof *s->first);
    s->acts = take_own(f, a * sizeof *s->acts);
    s->p = take_own(f, 2 * a * sizeof *s->p);
    s->m = take_own(f, 2 * a * sizeof *s->m);
}

/* Sort by expert, rows ascending within one. */
static void sort_seats(struct fwd *f, struct seats *s)
{
    const int n_expert = f->hp->n_expert, used = f->hp->n_expert_used;
    int32_t *next = take_own(f, (size_t)n_expert * sizeof *next);
    memset(next, 0, (size_t)n_expert * sizeof *next);
    for (int i = 0; i < s->n; i++)
        next[s->expert[i]]++;
    s->n_active = 0;
    int32_t at = 0;
    for (int32_t e = 0; e < n_expert; e++) {
        const int32_t count = next[e];
        next[e] = at;
        if (count) {
            s->active[s->n_active] = e;
            s->first[s->n_active++] = at;
        }
        at += count;
    }
    s->first[s->n_active] = at;
    for (int i = 0; i < s->n; i++) {
        s->at[i] = next[s->expert[i]]++;
        s->row[s->at[i]] = i / used;
    }
}

/* Bytes for the A32 forms of all experts' columns: a form of n columns takes at most n + 1 times
 * that of one. */
static size_t acts_most(const struct model *m, int n, int width)
{
    const size_t seats = (size_t)seats_of(&m->hp, n), active = (size_t)most_active(&m->hp, n);
    return (seats + active) * m->k->acts_bytes(1, width) + 64 * active;
}

/* Lay out the inputs of all experts: x [seats][width] and their A32 forms behind one another. */
static void lay_out(struct fwd *f, struct seats *s, float *x, uint8_t *a32, int width)
{
    for (int i = 0; i < s->n_active; i++) {
        struct acts *a = &s->acts[i];
        *a = (struct acts){.n = s->first[i + 1] - s->first[i],
                           .k = width,
                           .x = x + (size_t)s->first[i] * (size_t)width,
                           .ldx = (size_t)width,
                           .a32 = a32};
        if (a32)
            a32 += ops_round(f->k->acts_bytes(a->n, width));
    }
}

static uint8_t *take_forms(struct fwd *f, int width)
{
    if (!f->m->any_quantized || width % 32)
        return NULL;
    const size_t bytes = acts_most(f->m, f->n, width);
    return f->private_rows ? take_own(f, bytes) : take_shared(f, bytes);
}

static float *take_seat_rows(struct fwd *f, int width)
{
    const size_t bytes = (size_t)seats_of(f->hp, f->n) * (size_t)width * sizeof(float);
    return f->private_rows ? take_own(f, bytes) : take_shared(f, bytes);
}

/* The next expert whose input this thread makes: all of them when rows are private. */
static int next_expert(struct fwd *f, int *i)
{
    return f->private_rows ? (*i)++ : crew_next(f->m->crew);
}

static void finish_inputs(struct fwd *f)
{
    if (!f->private_rows)
        wait_all(f);
}

static void add_product(struct seats *s, int at, const struct mat *experts, int i, float *y)
{
    s->m[at] = expert_mat(experts, s->active[i]);
    const size_t width = (size_t)experts->n_rows;
    s->p[at] =
        (struct product){&s->acts[i], &s->m[at], NULL, y + (size_t)s->first[i] * width, width};
}

struct out op_experts(struct fwd *f, const struct in *h, const struct layer *w, enum act_fn act,
                      bool norm)
{
    const struct hparams *hp = f->hp;
    const int embd = hp->n_embd, ff = hp->n_ff_exp, used = hp->n_expert_used;
    const size_t row = (size_t)embd * sizeof(float);
    const struct out z = op_mul_mat(f, h, &w->router, NULL);
    mark(f, "choose");
    struct seats s;
    take_seats(f, &s);
    float *score = take_own(f, (size_t)hp->n_expert * sizeof *score);
    for (int r = 0; r < f->n; r++) {
        memcpy(score, z.p + (size_t)r * (size_t)z.width, (size_t)hp->n_expert * sizeof *score);
        choose(score, hp->n_expert, used, norm, s.expert + r * used, s.weight + r * used);
    }
    sort_seats(f, &s);

    /* The chosen experts' inputs. One row alone is everybody's input as it is. */
    float *x = take_seat_rows(f, embd);
    lay_out(f, &s, x, take_forms(f, embd), embd);
    if (f->n == 1) {
        for (int i = 0; i < s.n_active; i++)
            s.acts[i] = h->a;
    } else {
        for (int j = 0, i; (i = next_expert(f, &j)) < s.n_active;) {
            for (int at = s.first[i]; at < s.first[i + 1]; at++)
                memcpy(x + (size_t)at * (size_t)embd, h->a.x + (size_t)s.row[at] * h->a.ldx, row);
            if (s.acts[i].a32)
                f->k->quantize(&s.acts[i], 0, s.acts[i].n);
        }
        finish_inputs(f);
    }
    const size_t hidden = (size_t)s.n * (size_t)ff * sizeof(float);
    float *gate = take_shared(f, hidden), *up = take_shared(f, hidden);
    for (int i = 0; i < s.n_active; i++) {
        add_product(&s, 2 * i, &w->gate_exps, i, gate);
        add_product(&s, 2 * i + 1, &w->up_exps, i, up);
    }
    mark(f, "experts_gate_up");
    mul_mats(f, s.p, 2 * s.n_active);
    mark(f, act == ACT_SILU ? "silu_mul" : "gelu_mul");

    float *y = take_seat_rows(f, ff);
    lay_out(f, &s, y, take_forms(f, ff), ff);
    for (int j = 0, i; (i = next_expert(f, &j)) < s.n_active;) {
        for (int at = s.first[i]; at < s.first[i + 1]; at++) {
            const size_t o = (size_t)at * (size_t)ff;
            (act == ACT_SILU ? f->k->silu_mul : f->k->gelu_mul)(y + o, gate + o, up + o, ff);
        }
        if (s.acts[i].a32)
            f->k->quantize(&s.acts[i], 0, s.acts[i].n);
    }
    finish_inputs(f);
    float *down = take_shared(f, (size_t)s.n * row);
    for (int i = 0; i < s.n_active; i++)
        add_product(&s, i, &w->down_exps, i, down);
    mark(f, "experts_down");
    mul_mats(f, s.p, s.n_active);
    mark(f, "experts_sum");

    const struct out out = {take_rows(f, (size_t)embd), embd};
    float *t = take_own(f, row);
    for (int r = f->r0; r < f->r1; r++) {
        float *o = out.p + (size_t)r * (size_t)embd;
        for (int u = 0; u < used; u++) {
            const int i = r * used + u;
            float *to = u ? t : o;
            memcpy(to, down + (size_t)s.at[i] * (size_t)embd, row);
            f->k->scale(to, s.weight[i], embd);
            if (u)
                f->k->add(o, t, embd);
        }
    }
    return out;
}

/* ---- memory: the sums of the takes above ----------------------------------------------------- */

/* What is private with few rows and shared with many. */
static size_t row_memory(const struct model *m, int n)
{
    const size_t seats = (size_t)seats_of(&m->hp, n), a_float = sizeof(float);
    const int embd = m->hp.n_embd, ff = m->hp.n_ff_exp;
    return ops_round(seats * (size_t)embd * a_float) + ops_round(seats * (size_t)ff * a_float) +
           ops_round(acts_most(m, n, embd)) + ops_round(acts_most(m, n, ff)) +
           ops_round((size_t)n * (size_t)embd * a_float);
}

size_t experts_region_bytes(const struct model *m, int n)
{
    const struct hparams *hp = &m->hp;
    if (!hp->n_expert)
        return 0;
    const size_t seats = (size_t)seats_of(hp, n), a_float = sizeof(float);
    return row_memory(m, n) + 2 * ops_round(seats * (size_t)hp->n_ff_exp * a_float) +
           ops_round(seats * (size_t)hp->n_embd * a_float) +
           ops_round((size_t)n * (size_t)hp->n_expert * a_float);
}

size_t experts_own_bytes(const struct model *m, int n)
{
    const struct hparams *hp = &m->hp;
    if (!hp->n_expert)
        return 0;
    const size_t seats = (size_t)seats_of(hp, n), active = (size_t)most_active(hp, n);
    const size_t a_seat = 3 * sizeof(int32_t) + sizeof(float);
    const size_t an_active = 2 * sizeof(int32_t) + sizeof(struct acts) +
                             2 * (sizeof(struct product) + sizeof(struct mat));
    const size_t an_expert = sizeof(int32_t) + sizeof(float);
    return seats * a_seat + (active + 1) * an_active + (size_t)hp->n_expert * an_expert + 16 * 64 +
           ops_round((size_t)hp->n_embd * sizeof(float)) +
           row_memory(m, n < PRIVATE_ROWS ? n : PRIVATE_ROWS);
}
