/* engine/model/packing.c - from the mapped file to packed weights, on the whole crew.
 *
 * Every matrix is cut in as many shares of neighbouring rows as there are threads; a thread packs
 * its own share in pieces of about a MiB and then helps with the others' (a thread that a stranger
 * holds up is not waited for). The mapped pages of a piece are read in one call before and let go
 * right after it, so the peak is the packed weights plus a few pieces, not twice the model. The
 * file stays in the page cache, which the system takes back when it needs the memory.
 *
 * NUMA: pages belong to the node of the thread that packs into them, so each matrix lies in as many
 * equal stretches as there are threads, spread over all nodes alike. Threads keep to their nodes
 * (kernels/topology.c), and products give each node's threads that node's stretches first (ops.c). A
 * cache file's pages lie where the system read them.
 */
#include "engine/model/packing.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

enum {
    ALIGN = 64,            /* of a matrix in the block */
    PIECE_BYTES = 1 << 20, /* of the file */
    AROUND = 2 << 20,
    RUN_BYTES = 64 << 20, /* of the file that a run of the crew packs: others may want the crew */
};

/* ---- the plan ------------------------------------------------------------------------------- */

/* With the gap that lets the next one start aligned. */
static size_t mat_bytes(const struct mat *m)
{
    return ((size_t)mat_groups(m) * m->group_bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

struct mat expert_mat(const struct mat *experts, int32_t i)
{
    struct mat m = *experts;
    m.data += (size_t)i * mat_bytes(experts);
    if (m.scale)
        m.scale += i;
    return m;
}

static int add_item(struct pack_plan *p, const struct pack_item *it, struct err *e)
{
    size_t end;
    if (size_add(&end, p->bytes, it->bytes) || size_add(&end, end, ALIGN))
        return err_set(e, ERR_LIMIT, "tensor \"%s\": the weights together are too large",
                       it->t->name);
    if (p->n == p->cap) {
        const size_t cap = p->cap ? 2 * p->cap : 256;
        void *q = realloc(p->items, cap * sizeof *p->items);
        if (!q)
            return err_set(e, ERR_MEMORY, "no memory for a table");
        p->items = q;
        p->cap = cap;
    }
    p->items[p->n] = *it;
    p->items[p->n++].offset = p->bytes;
    p->bytes += mat_bytes(&it->mat);
    p->src_bytes += (uint64_t)it->mat.n_rows * it->row_bytes;
    return 0;
}

int pack_plan_add(struct pack_plan *p, const struct gguf_tensor *t, int64_t row0, int64_t n,
                  int64_t rows, int64_t cols, struct mat *out, struct err *e)
{
    struct pack_item it = {
        .t = t, .out = out, .row_bytes = t->n_bytes / (t->dims[1] * t->dims[2] * t->dims[3])};
    if (mat_init(&it.mat, t->type, rows, cols, &it.bytes, e)) {
        char why[sizeof e->text];
        if (e) {
            snprintf(why, sizeof why, "%s", e->text);
            err_set(e, e->code, "tensor \"%s\": %s", t->name, why);
        }
        return -1;
    }
    for (size_t i = 0; i < gguf_n_sources(p->g) && !it.map; i++) {
        const struct gguf_source src = gguf_source_at(p->g, i);
        const uintptr_t start = (uintptr_t)src.header;
        if ((uintptr_t)t->data >= start && (uintptr_t)t->data - start < src.n_bytes) {
            it.map = src.header;
            it.map_end = it.map + src.n_bytes;
        }
    }
    if (!it.map)
        return err_set(e, ERR_BUG, "tensor \"%s\" is in no file", t->name);
    for (int64_t i = 0; i < n; i++) {
        it.row0 = row0 + i * rows;
        if (add_item(p, &it, e))
            return -1;
        it.out = NULL;
    }
    return 0;
}

void pack_plan_free(struct pack_plan *p)
{
    free(p->items);
    *p = (struct pack_plan){.g = p->g};
}

/* ---- pages ------------------------------------------------------------------------------------
 */

static uintptr_t page_of(const void *p)
{
    return (uintptr_t)p & ~((uintptr_t)sysconf(_SC_PAGESIZE) - 1);
}

int pages_read(const void *p, size_t n)
{
    const uintptr_t a = page_of(p);
    if (!n || !madvise((void *)a, (uintptr_t)p + n - a, MADV_POPULATE_READ))
        return 0;
    return errno == EFAULT || errno == EHWPOISON ? -1 : 0; /* else: an old kernel cannot do it */
}

/* Let the pages of p..p+n go, and their neighbours: a fault maps all of a large page of the cache,
 * up to AROUND on both sides of what was asked for. What somebody else still reads comes back. */
static void let_go(const struct pack_item *it, const uint8_t *p, size_t n)
{
    const uint8_t *a = (size_t)(p - it->map) > AROUND ? p - AROUND : it->map;
    const uint8_t *b = (size_t)(it->map_end - p) - n > AROUND ? p + n + AROUND : it->map_end;
    (void)madvise((void *)page_of(a), (uintptr_t)b - page_of(a), MADV_DONTNEED);
}

/* ---- packing ----------------------------------------------------------------------------------
 */

struct job {
    const struct pack_plan *p;
    const struct load_config *c;
    int n_th;
    atomic_int *next;   /* [items][n_th]: groups taken of each share */
    atomic_size_t open; /* items before it are all taken */
    atomic_size_t run_bytes, done_bytes;
    atomic_bool unreadable;
};

static bool run_is_over(const struct job *j)
{
    return atomic_load_explicit(&j->run_bytes, memory_order_relaxed) >= RUN_BYTES ||
           (j->c->cancel && atomic_load(j->c->cancel)) || atomic_load(&j->unreadable);
}

static void pack_piece(struct job *j, const struct pack_item *it, int32_t g0, int32_t g1)
{
    const int64_t row = (int64_t)g0 * MAT_ROWS;
    int64_t end = (int64_t)g1 * MAT_ROWS;
    if (end > it->mat.n_rows)
        end = it->mat.n_rows;
    const uint8_t *src = (const uint8_t *)it->t->data + (size_t)it->row0 * it->row_bytes;
    const uint8_t *from = src + (size_t)row * it->row_bytes;
    const size_t n = (size_t)(end - row) * it->row_bytes;
    if (pages_read(from, n)) {
        atomic_store(&j->unreadable, true);
        return;
    }
    mat_pack(&it->mat, src, g0, g1);
    let_go(it, from, n);
    atomic_fetch_add_explicit(&j->run_bytes, n, memory_order_relaxed);
    atomic_fetch_add_explicit(&j->done_bytes, n, memory_order_relaxed);
}

/* What thread ith packs of item k: its share, then what is left of the others'. False: the run is
 * over. */
static bool pack_item(struct job *j, size_t k, int ith)
{
    const struct pack_item *it = &j->p->items[k];
    const int64_t groups = mat_groups(&it->mat);
    int32_t step = (int32_t)(PIECE_BYTES / (it->row_bytes * MAT_ROWS));
    step = step < 1 ? 1 : step;
    for (int s = 0; s < j->n_th; s++) {
        const int share = (ith + s) % j->n_th;
        const int32_t a = (int32_t)(groups * share / j->n_th);
        const int32_t n = (int32_t)(groups * (share + 1) / j->n_th) - a;
        atomic_int *next = &j->next[k * (size_t)j->n_th + (size_t)share];
        while (atomic_load_explicit(next, memory_order_relaxed) < n) {
            if (run_is_over(j))
                return false;
            const int32_t g = atomic_fetch_add_explicit(next, step, memory_order_relaxed);
            if (g < n)
                pack_piece(j, it, a + g, a + (g + step < n ? g + step : n));
        }
    }
    return true;
}

static void pack_some(void *arg, int ith)
{
    struct job *j = arg;
    for (size_t k = atomic_load(&j->open); k < j->p->n; k++) {
        if (!pack_item(j, k, ith))
            return;
        size_t here = k; /* taken whole; if all before it are too, no run looks here again */
        atomic_compare_exchange_strong(&j->open, &here, k + 1);
    }
}

static int pack_from_file(const struct pack_plan *p, const struct load_config *c, struct err *e)
{
    struct job j = {.p = p, .c = c, .n_th = crew_size(c->crew)};
    size_t counters;
    if (size_mul(&counters, p->n, (size_t)j.n_th) || !(j.next = calloc(counters, sizeof *j.next)))
        return err_set(e, ERR_MEMORY, "no memory for a table");
    int rc = 0;
    while (!rc && atomic_load(&j.done_bytes) < p->src_bytes) {
        atomic_store(&j.run_bytes, 0);
        if (c->lock_crew)
            c->lock_crew(c->lock_arg, true);
        crew_run(c->crew, j.n_th, pack_some, &j);
        if (c->lock_crew)
            c->lock_crew(c->lock_arg, false);
        if (c->cancel && atomic_load(c->cancel))
            rc = err_set(e, ERR_CANCELLED, "loading was cancelled");
        else if (atomic_load(&j.unreadable))
            rc = err_set(e, ERR_IO,
                         "the weights cannot be read: the file is shorter than it was, "
                         "or the disk fails");
        else if (c->progress)
            c->progress(c->progress_arg, (double)atomic_load(&j.done_bytes) / (double)p->src_bytes);
    }
    free(j.next);
    return rc;
}

int pack_weights(struct model *m, struct pack_plan *p, const struct load_config *c, struct err *e)
{
    m->weight_bytes += p->bytes;
    const bool cached = c->cache_dir && pack_cache_map(m, p, c);
    if (!cached && !(m->packed = big_alloc(p->bytes)))
        return err_set(e, ERR_MEMORY, "no memory for the weights: %zu bytes", p->bytes);
    m->packed_bytes = p->bytes;
    for (size_t i = 0; i < p->n; i++) {
        struct pack_item *it = &p->items[i];
        it->mat.data = m->packed + it->offset;
        if (it->out) {
            it->mat.scale = it->out->scale; /* load.c has set it */
            *it->out = it->mat;
        }
        const uint32_t t = it->mat.type;
        if (m->k->numerics && m->k->mul_mat[t] != m->k->exact->mul_mat[t])
            m->numerics = m->k->numerics;
    }
    if (!cached) {
        if (pack_from_file(p, c, e))
            return -1;
    } else if (c->progress) {
        c->progress(c->progress_arg, 1);
    }
    m->from_cache = cached;
    m->is_mapped = cached && !c->no_map;
    return 0;
}
