/* tools/limits.c - what the machine allows a model (shared/performance.md, section 1).
 *
 * The roof of a type's product is that of its instruction mix: with AVX2, weights of 8 bits are
 * multiplied as int16 and have a lower one than those of up to 6 bits; f32, f16, bf16 have the
 * FMA's. A model of several types is allowed the time that each type's multiply-adds take at its
 * roof. */
#include "tools/limits.h"

#include "kernels/kernels.h"

enum { F32, INT4, INT8 };
static const enum peak_kind kinds[3] = {PEAK_F32, PEAK_INT4, PEAK_INT8};

int limits_measure(struct limits *l, const char *isa, int n_threads, struct err *e)
{
    enum { READ_NS = 250000000, LOOP_NS = 50000000 };
    *l = (struct limits){0};
    const struct kernels *k = kernels_pick(isa, e);
    struct peaks *p = k ? peaks_new(n_threads, 256 << 20, e) : NULL;
    struct peak_rate r;
    if (!p)
        return -1;
    l->n_threads = peaks_threads(p);
    peaks_read(p, 0, l->n_threads, READ_NS, &r, &l->read_how);
    l->read = r.best;
    for (int i = 0; i < 3; i++) {
        l->loop[i] = peaks_roof(k->name, kinds[i]);
        if (i == INT8 && l->loop[i] == l->loop[INT4]) {
            l->ops[i] = l->ops[INT4];
        } else if (l->loop[i]) {
            peaks_run(p, l->loop[i], l->n_threads, LOOP_NS, &r);
            l->ops[i] = r.best;
        }
    }
    peaks_free(p);
    return 0;
}

static int roof_of(uint32_t type)
{
    if (!mat_quantized_acts(type))
        return F32;
    return type == TYPE_Q8_0 ? INT8 : INT4;
}

void limits_used(const struct model *m, bool used[3])
{
    uint64_t macs[TYPE_COUNT];
    model_token_macs(m, macs);
    used[F32] = used[INT4] = used[INT8] = false;
    for (uint32_t t = 0; t < TYPE_COUNT; t++)
        if (macs[t])
            used[roof_of(t)] = true;
}

double limits_prompt(const struct limits *l, const struct model *m)
{
    uint64_t macs[TYPE_COUNT];
    double seconds = 0;
    model_token_macs(m, macs);
    for (uint32_t t = 0; t < TYPE_COUNT; t++) {
        if (!macs[t])
            continue;
        const double roof = l->ops[roof_of(t)];
        if (!(roof > 0))
            return 0;
        seconds += 2.0 * (double)macs[t] / roof;
    }
    return seconds > 0 ? 1 / seconds : 0;
}

double limits_token(const struct limits *l, const struct model *m, int64_t pos)
{
    const uint64_t bytes = model_token_bytes(m, pos);
    return bytes ? l->read / (double)bytes : 0;
}
