/* tests/check_rest.c - norms, RoPE, activations, element-wise slots, argmax against ref. */
#include <math.h>
#include <string.h>
#include "tests/check.h"

static const int lengths[] = {1,  2,  3,  7,  8,  9,  15, 16,  17,  24,  31,
                              32, 33, 47, 48, 63, 64, 65, 100, 576, 1000};
enum { N_LENGTHS = sizeof lengths / sizeof *lengths };

enum slot { S_RMS, S_RMS_NOW, S_SILU, S_GELU, S_ADD, S_SCALE, S_SOFTCAP, S_SILU_IN_PLACE,
            S_LAYER, S_GELU_ERF, S_GELU_ERF_IN_PLACE, S_COUNT };
static const char *const slot_names[S_COUNT] = {
    "rms_norm", "rms_norm (no weights)", "silu_mul", "gelu_mul", "add", "scale",
    "softcap",  "silu_mul in place", "layer_norm", "gelu_erf", "gelu_erf in place"};

static void call(const struct kernels *k, enum slot s, float *y, const float *x, const float *w,
                 int n)
{
    switch (s) {
    case S_RMS:
        k->rms_norm(y, x, w, n, 1e-5f);
        break;
    case S_RMS_NOW:
        k->rms_norm(y, x, NULL, n, 1e-6f);
        break;
    case S_SILU:
        k->silu_mul(y, x, w, n);
        break;
    case S_GELU:
        k->gelu_mul(y, x, w, n);
        break;
    case S_ADD:
        k->add(y, x, n);
        break;
    case S_SCALE:
        k->scale(y, 1.7f, n);
        break;
    case S_SOFTCAP:
        k->softcap(y, 30.0f, n);
        break;
    case S_LAYER: /* w as weights and y as what is added: in place too */
        k->layer_norm(y, x, w, y, n, 1e-5f);
        break;
    case S_GELU_ERF:
        k->gelu_erf(y, x, n);
        break;
    case S_GELU_ERF_IN_PLACE:
        k->gelu_erf(y, y, n);
        break;
    default:
        k->silu_mul(y, y, w, n);
        break;
    }
}

/* Values over the whole range of the functions, edges among them. */
static void fill_wide(float *x, int n)
{
    static const float edges[] = {0.0f,   -0.0f,   88.7f,      88.70001f, -87.33f, -87.34f,
                                  1e-40f, -1e-45f, INFINITY,   -INFINITY, NAN,     3e38f,
                                  -3e38f, 0.625f,  0.6249999f, -0.625f,
                                  1.41421f, 1.4142137f, -1.4142137f, 5.6568542f};
    for (int i = 0; i < n; i++) {
        uint64_t pick = rnd() % 8;
        x[i] = pick == 0 ? edges[rnd() % 20]
                         : rnd_normal() * (pick < 3   ? 40.0f
                                           : pick < 6 ? 2.0f
                                                      : 0.1f);
    }
}

static void elements(void)
{
    for (int s = 0; s < S_COUNT; s++) {
        for (int i = 0; i < N_LENGTHS; i++) {
            int n = lengths[i];
            size_t bytes = (size_t)n * sizeof(float);
            struct guard x = guard_new(bytes), w = guard_new(bytes), start = guard_new(bytes + 64),
                         want = guard_new(bytes + 64), got = guard_new(bytes + 64);
            bool wide = s != S_RMS && s != S_RMS_NOW && s != S_LAYER && i % 2;
            for (int round = 0; round < 4; round++) {
                if (wide) {
                    fill_wide((float *)x.p, n);
                    fill_wide((float *)start.p + 16, n);
                } else {
                    fill_x((float *)x.p, (size_t)n, (enum x_kind)(round % X_KINDS));
                    fill_x((float *)start.p + 16, (size_t)n, X_NORMAL);
                }
                fill_x((float *)w.p, (size_t)n, X_NORMAL);
                memcpy(want.p, start.p, want.n);
                call(all[0], (enum slot)s, (float *)want.p + 16, (float *)x.p, (float *)w.p, n);
                for (int t = 1; t < n_all; t++) {
                    memcpy(got.p, start.p, got.n);
                    call(all[t], (enum slot)s, (float *)got.p + 16, (float *)x.p, (float *)w.p, n);
                    same((float *)want.p, (float *)got.p, (size_t)n + 16, "%s %s n %d",
                         all[t]->name, slot_names[s], n);
                }
                /* Outputs in the middle of memory: nothing behind them may change either. */
                if (n < 40)
                    continue;
                int m = n - 20;
                memcpy(want.p, start.p, want.n);
                call(all[0], (enum slot)s, (float *)want.p + 16, (float *)x.p, (float *)w.p, m);
                for (int t = 1; t < n_all; t++) {
                    memcpy(got.p, start.p, got.n);
                    call(all[t], (enum slot)s, (float *)got.p + 16, (float *)x.p, (float *)w.p, m);
                    same((float *)want.p, (float *)got.p, (size_t)n + 16, "%s %s n %d (canary)",
                         all[t]->name, slot_names[s], m);
                }
            }
            guard_free(&x);
            guard_free(&w);
            guard_free(&start);
            guard_free(&want);
            guard_free(&got);
        }
    }
}

static void rope(void)
{
    static const int rots[] = {2, 4, 6, 16, 20, 32, 64, 80, 128};
    double inv_freq[64];
    float cs[128];
    for (int i = 0; i < 64; i++)
        inv_freq[i] = ref_pow(10000.0, -i / 64.0);
    for (int r = 0; r < 9; r++) {
        for (int heads = 1; heads <= 5; heads += 2) {
            for (int kind = ROPE_NONE; kind <= ROPE_NEOX; kind++) {
                int n_rot = rots[r];
                size_t stride = (size_t)n_rot + (heads == 3 ? 0 : 7);
                size_t n = (size_t)(heads - 1) * stride + (size_t)n_rot;
                struct guard want = guard_new(n * sizeof(float)),
                             got = guard_new(n * sizeof(float)),
                             c = guard_new((size_t)n_rot * sizeof(float));
                rope_table(cs, n_rot, 12345, inv_freq, 1.1f);
                memcpy(c.p, cs, c.n);
                for (int t = 1; t < n_all; t++) {
                    fill_x((float *)want.p, n, X_NORMAL);
                    memcpy(got.p, want.p, got.n);
                    all[0]->rope((float *)want.p, heads, stride, n_rot, (float *)c.p,
                                 (enum rope_kind)kind);
                    all[t]->rope((float *)got.p, heads, stride, n_rot, (float *)c.p,
                                 (enum rope_kind)kind);
                    same((float *)want.p, (float *)got.p, n, "%s rope kind %d n_rot %d heads %d",
                         all[t]->name, kind, n_rot, heads);
                }
                guard_free(&want);
                guard_free(&got);
                guard_free(&c);
            }
        }
    }
}

static void argmaxes(void)
{
    for (int i = 0; i < N_LENGTHS; i++) {
        int n = lengths[i];
        struct guard x = guard_new((size_t)n * sizeof(float));
        float *v = (float *)x.p;
        for (int round = 0; round < 12; round++) {
            for (int j = 0; j < n; j++) /* round 0: ties everywhere */
                v[j] = round == 0   ? 1.0f
                       : round == 1 ? -INFINITY
                       : round < 5  ? (float)(rnd() % 4)
                                    : rnd_normal();
            if (round == 6)
                v[rnd() % (unsigned)n] = NAN;
            if (round == 7)
                v[n - 1] = NAN;
            if (round == 8)
                v[rnd() % (unsigned)n] = INFINITY;
            if (round == 9) /* signed zeros are equal: the first wins */
                for (int j = 0; j < n; j++)
                    v[j] = rnd() & 1 ? 0.0f : -0.0f;
            int want = all[0]->argmax(v, n);
            for (int t = 1; t < n_all; t++) {
                int got = all[t]->argmax(v, n);
                same_bytes(&want, &got, sizeof want, "%s argmax n %d round %d: %d, ref %d",
                           all[t]->name, n, round, got, want);
            }
        }
        guard_free(&x);
    }
}

void check_rest(void)
{
    rnd_seed(77);
    elements();
    rope();
    argmaxes();
}
