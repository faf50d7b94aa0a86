/* engine/model/work.c - what a token costs at least: multiply-adds and bytes (shared/performance.md,
 * section 1): of the experts, those that are used. The bench compares with it what a step took. */
#include "engine/model/model.h"

#include <string.h>

enum { LAYER_MATS = 11 };

struct use { /* a matrix, and how many like it a token is multiplied with */
    const struct mat *w;
    uint64_t times;
};

static void layer_mats(const struct model *m, int il, struct use out[LAYER_MATS])
{
    const struct layer *l = &m->w.layers[il];
    const uint64_t used = (uint64_t)m->hp.n_expert_used;
    const struct use all[LAYER_MATS] = {
        {&l->wq, 1},           {&l->wk, 1},         {&l->wv, 1},           {&l->wo, 1},
        {&l->gate, 1},         {&l->up, 1},         {&l->down, 1},         {&l->router, 1},
        {&l->gate_exps, used}, {&l->up_exps, used}, {&l->down_exps, used},
    };
    memcpy(out, all, sizeof all);
}

void model_token_macs(const struct model *m, uint64_t macs[TYPE_COUNT])
{
    memset(macs, 0, TYPE_COUNT * sizeof *macs);
    for (int il = 0; il < m->hp.n_layer; il++) {
        struct use u[LAYER_MATS];
        layer_mats(m, il, u);
        for (int i = 0; i < LAYER_MATS; i++)
            if (u[i].w->data)
                macs[u[i].w->type] +=
                    u[i].times * (uint64_t)u[i].w->n_rows * (uint64_t)u[i].w->n_cols;
    }
}

static uint64_t packed_bytes(const struct mat *w)
{
    return w->data ? (uint64_t)mat_groups(w) * w->group_bytes : 0;
}

uint64_t model_token_bytes(const struct model *m, int64_t pos)
{
    const struct hparams *hp = &m->hp;
    const uint64_t position = (m->pool.head_bytes_k + m->pool.head_bytes_v) / KV_PAGE;
    uint64_t bytes = packed_bytes(&m->w.output);
    for (int il = 0; il < hp->n_layer; il++) {
        struct use u[LAYER_MATS];
        layer_mats(m, il, u);
        for (int i = 0; i < LAYER_MATS; i++)
            bytes += u[i].times * packed_bytes(u[i].w);
        const bool slides = hp->window && hp->window_period &&
                            il % hp->window_period < hp->window_period - 1;
        const int64_t seen = slides && pos + 1 > hp->window ? hp->window : pos + 1;
        bytes += (uint64_t)seen * (uint64_t)hp->n_head_kv * position;
    }
    return bytes;
}
