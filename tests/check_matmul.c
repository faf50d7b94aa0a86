/* tests/check_matmul.c - mul_mat and quantize of every table against ref. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "kernels/ref/ref.h"
#include "kernels/x86/mm.h"
#include "tests/check.h"

const char *x_names[X_KINDS] = {"normal", "extreme", "tiny", "zeros", "outliers", "nan"};

struct product { /* one matrix, one set of columns */
    struct mat w;
    struct guard packed, x;
    int n;
    size_t ldx, ldy;
};

/* y = W x with table k into y (prefilled), columns quantized and rows multiplied in two parts when
 * `parts`. The last column's x ends at a faulting page. */
static void run(const struct kernels *k, const struct product *p, float *y, bool add, bool parts)
{
    struct acts a = {.n = p->n, .k = p->w.n_cols, .x = (const float *)p->x.p, .ldx = p->ldx};
    size_t a_bytes = k->acts_bytes(p->n, p->w.n_cols);
    struct guard a32 = guard_new((a_bytes + 63) / 64 * 64);
    struct guard scratch = guard_new((k->mm_scratch_bytes + 63) / 64 * 64);
    if (mat_quantized_acts(p->w.type)) {
        a.a32 = a32.p;
        int cut = parts && p->n > k->act_cols ? k->act_cols : 0;
        if (cut)
            k->quantize(&a, cut, p->n);
        k->quantize(&a, 0, cut ? cut : p->n);
    }
    int32_t groups = mat_groups(&p->w), cut = parts ? groups / 2 : 0;
    k->mul_mat[p->w.type](&p->w, &a, y, p->ldy, add, cut, groups, scratch.p);
    if (cut)
        k->mul_mat[p->w.type](&p->w, &a, y, p->ldy, add, 0, cut, scratch.p);
    guard_free(&a32);
    guard_free(&scratch);
}

static void one(uint32_t type, int rows, int cols, int n, enum w_kind wk, enum x_kind xk)
{
    const struct gguf_type_info *info = gguf_type_info(type);
    struct product p = {.n = n};
    size_t bytes;
    if (mat_init(&p.w, type, rows, cols, &bytes, NULL)) {
        n_failed++;
        return;
    }
    size_t raw_blocks = (size_t)rows * (size_t)cols / info->block_elems;
    struct guard raw = guard_new(raw_blocks * info->block_bytes);
    fill_blocks(type, raw.p, raw_blocks, wk);
    p.packed = guard_new(bytes);
    p.w.data = p.packed.p;
    mat_pack(&p.w, raw.p, 0, mat_groups(&p.w));
    struct guard plain = guard_new(bytes); /* the fast ways of packing and the plain one */
    struct mat again = p.w;
    again.data = plain.p;
    ref_pack_plain(&again, raw.p, 0, mat_groups(&again));
    same_bytes(plain.p, p.packed.p, bytes, "mat_pack %s rows %d k %d", info->name, rows, cols);
    guard_free(&plain);
    bool gap = rnd() & 1, add = rnd() & 1, parts = rnd() & 1;
    p.ldx = (size_t)cols + (gap ? 5 : 0);
    p.ldy = (size_t)rows + (gap ? 3 : 0);
    p.x = guard_new(((size_t)(n - 1) * p.ldx + (size_t)cols) * sizeof(float));
    fill_x((float *)p.x.p, p.x.n / sizeof(float), xk);

    size_t ny = (size_t)(n - 1) * p.ldy + (size_t)rows, before = 16;
    struct guard want = guard_new((before + ny) * sizeof(float));
    struct guard got = guard_new((before + ny) * sizeof(float));
    fill_x((float *)want.p, before + ny, X_NORMAL);
    struct guard start = guard_new(want.n);
    memcpy(start.p, want.p, want.n);
    run(all[0], &p, (float *)want.p + before, add, false);
    for (int t = 0; t < n_all; t++) {
        if (!all[t]->mul_mat[type])
            continue;
        memcpy(got.p, start.p, want.n);
        run(all[t], &p, (float *)got.p + before, add, parts);
        same((float *)want.p, (float *)got.p, before + ny,
             "%s mul_mat %s rows %d k %d columns %d weights %d x %s%s%s%s", all[t]->name,
             info->name, rows, cols, n, (int)wk, x_names[xk], gap ? " gap" : "", add ? " add" : "",
             parts ? " parts" : "");
    }
    guard_free(&raw);
    guard_free(&p.packed);
    guard_free(&p.x);
    guard_free(&want);
    guard_free(&got);
    guard_free(&start);
}

/* The door's promise on the size of prepared columns, on which the experts' memory rests. */
static void sizes(void)
{
    for (int i = 0; i < n_all; i++)
        for (int n = 1; n <= 600; n++)
            for (int k = 32; k <= 96; k += 32) {
                const size_t most = (size_t)(n + 1) * all[i]->acts_bytes(1, k);
                const uint8_t good = all[i]->acts_bytes(n, k) <= most, yes = 1;
                if (!good || n == 600)
                    same_bytes(&yes, &good, 1, "%s: acts_bytes(%d, %d)", all[i]->name, n, k);
            }
}

void check_matmul(const char *only)
{
    sizes();
    static const int rows[] = {1, 7, 16, 17, 31, 32, 33, 50};
    for (int i = 0; i < n_mm_types; i++) {
        uint32_t type = mm_types[i];
        const struct gguf_type_info *info = gguf_type_info(type);
        if (only && strcmp(only, info->name))
            continue;
        rnd_seed(type);
        for (int t = 1; t < n_all; t++) {
            n_checks++;
            if (all[t]->mul_mat[type])
                continue;
            n_failed++;
            printf("FAIL %s has no mul_mat for %s\n", all[t]->name, info->name);
        }
        int unit = info->block_elems > 1 ? info->block_elems : 1;
        for (int n = 1; n <= 22; n++) {
            int cols = n == 21 ? 33 : n == 22 ? 70 : n;
            for (int r = 0; r < 8; r++) {
                int blocks =
                    unit == 1 ? 1 + (int)(rnd() % 70) : 1 + (int)(rnd() % (unit == 32 ? 9 : unit == 256 ? 3 : 5));
                enum x_kind xk = r < X_KINDS ? (enum x_kind)((r + n) % X_KINDS) : X_NORMAL;
                enum w_kind wk = (enum w_kind)(rnd() % W_KINDS);
                one(type, rows[r], blocks * unit, cols, wk, xk);
            }
        }
        /* Long rows: panels of k, if a table cuts k in panels. */
        int long_k = unit == 1 ? 2500 + 1 : unit == 32 ? 32 * 161 : 256 * 21;
        for (int n = 1; n <= 19; n += 6)
            one(type, 35, long_k, n, W_NORMAL, X_NORMAL);
#if defined(__x86_64__)
        /* Other caches cut products in other places. */
        static const size_t caches[][2] = {{1, 1}, {11 << 10, 40 << 10}, {27 << 10, 1 << 28}};
        for (int c = 0; c < 3; c++) {
            x86_mm_caches(caches[c][0], caches[c][1]);
            one(type, 35, long_k, 31, W_NORMAL, X_NORMAL);
            one(type, 19, long_k, 70, W_NORMAL, X_NORMAL);
        }
        x86_mm_caches(0, 0);
#endif
        for (int m = 0; m < W_KINDS * X_KINDS; m++)
            one(type, 32, 2 * unit, 5, (enum w_kind)(m % W_KINDS), (enum x_kind)(m / W_KINDS));
    }
}
