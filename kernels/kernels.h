/* kernels/kernels.h - the door of the kernels: the table of operations, packed weights,
 * KV pages, the crew of threads.
 *
 * The contract of bits: every operation has one definition, in kernels/ref/; every other table
 * entry gives the same bits, whatever the CPU, the thread count, the number of columns. IEEE f32,
 * round to nearest even; an FMA exactly where ref writes fmaf.
 *
 * Words: a weight matrix has `n_rows` outputs and `n_cols` inputs (k). A *column* is one vector
 * of activations (one token). Results are stored y[column * ldy + row]. */
#ifndef CHASKI_KERNELS_H
#define CHASKI_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "gguf/base.h"
#include "gguf/types.h"

/* ---- packed weights: lane = row (kernels/layout.h has the bytes) ----------------------- */

enum { MAT_ROWS = 16 }; /* rows side by side in a group: a zmm, two ymm, four NEON registers, and
                         * the 16 columns of an AMX tile: one layout serves every ISA */

struct mat {        /* read-only once packed; the bytes are the kernels' business */
    uint32_t type;  /* enum gguf_type of the weights */
    int32_t n_rows, n_cols;
    size_t group_bytes; /* of one group of MAT_ROWS rows */
    uint8_t *data;      /* groups * group_bytes, 64-byte aligned; owned by whoever allocated it */
    const float *scale; /* NULL, or a factor of the product that whoever multiplies applies: kernels do
                         * not look at it */
};
/* Set the sizes (data stays NULL); *bytes = what data must hold. ERR_UNSUPPORTED names a type
 * that has no kernels; ERR_INPUT a row length that is no multiple of the block. */
int mat_init(struct mat *m, uint32_t type, int64_t n_rows, int64_t n_cols, size_t *bytes,
             struct err *e);
static inline int32_t mat_groups(const struct mat *m)
{
    return (m->n_rows + MAT_ROWS - 1) / MAT_ROWS;
}
/* Pack groups g0..g1-1 from the file's rows (src = row 0; row_bytes apart). Rows past n_rows
 * become zero. Any thread, disjoint groups. */
void mat_pack(const struct mat *m, const void *src, int32_t g0, int32_t g1);
/* Row `row` as f32: the dequantized values, bit for bit (embedding look-up). */
void mat_row(const struct mat *m, int32_t row, float *out);
/* Names the packed layout: another text = other bytes. Made of the sources that decide the bytes,
 * so it changes by itself (kernels/meson.build). For whoever keeps packed weights on disk. */
const char *mat_layout_id(void);
bool mat_quantized_acts(uint32_t type); /* does its matmul take A32 (else f32 columns)? */

/* The dequantized values of n_blocks raw blocks of the file; 0, or -1 for a type that is not
 * there. Values equal the correctly rounded formulas of the formats. */
int kernels_dequant(uint32_t type, const void *blocks, size_t n_blocks, float *out);

float f16_to_f32(uint16_t h);
uint16_t f32_to_f16(float f); /* nearest even; NaN quiet */

/* ---- activations ------------------------------------------------------------------------- */

/* Columns prepared for matmuls: as f32, or as A32 (int8 codes in blocks of 32 with one scale of 12
 * significant bits; kernels/ref/acts.c is the definition). The layout is the table's own. */
struct acts {
    int n, k;          /* columns, values a column */
    const float *x;    /* the f32 columns, ldx apart (used by F32, F16, BF16 weights) */
    size_t ldx;
    uint8_t *a32;      /* table->acts_bytes(n, k) bytes, 64-byte aligned; NULL if not wanted */
};

/* ---- KV pages ------------------------------------------------------------------------------ */

enum { KV_PAGE = 64 }; /* positions a page; a block of the online softmax */
enum kv_type { KV_F16, KV_F32, KV_Q8_0, KV_Q4_0, KV_TYPES };

/* One page of one (layer, kv head): K transposed, [d_k][64], then V [64][d_v]; elements f16 (finite:
 * conversion saturates at 65504) or f32. Q8_0 (kernels/ref/kv_q8.h): int8 codes with a scale for
 * each position and 32 dimensions; keys less the key in slot 0. Q4_0 (kernels/ref/kv_q4.h): the same
 * with codes of 4 bits. Pages of a sequence are addressed by a table. */

/* Are the keys of a page stored relative to its first? */
static inline bool kv_has_centre(enum kv_type t)
{
    return t == KV_Q8_0 || t == KV_Q4_0;
}

/* Bytes of the K or the V of a page, d values a position; a multiple of 64. */
static inline size_t kv_bytes(enum kv_type t, int d, bool key)
{
    const size_t n = (size_t)d, blocks = (n + 31) / 32;
    if (t == KV_Q8_0)
        return ((n + 3) / 4 * 4 + blocks * 2) * KV_PAGE + (key ? blocks * 64 : 0);
    if (t == KV_Q4_0)
        return (key ? blocks * (16 * KV_PAGE + 64) : (n + 3) / 4 * 2 * KV_PAGE) + blocks * 2 * KV_PAGE;
    return n * KV_PAGE * (t == KV_F16 ? 2 : 4);
}

struct attend { /* queries of one kv head against pages; all queries of one sequence */
    enum kv_type kv;
    int d_k, d_v;
    int n_q;                 /* queries in this tile: (position, head of the group) pairs */
    const float *const *q;   /* n_q pointers to d_k floats */
    const int32_t *pos;      /* n_q positions, ascending; key j is seen when pos-window < j <= pos */
    int32_t window;          /* 0 = none */
    float scale;             /* score = dot * scale */
    float softcap;           /* 0 = none; else score = softcap * tanh(score / softcap) */
    const uint8_t *const *pages; /* page table of the sequence: page p holds positions 64p.. */
    size_t k_off, v_off;     /* bytes from a page's start to this layer's and head's K and V */
};
/* Positions a span; queries a call and, with Q8_0 and Q4_0, values of a key at most. */
enum { ATTEND_SPAN = 1024, ATTEND_MAX_Q = 64, ATTEND_MAX_D = 1024 };
/* State of one query after one span: m, l, then d_v unnormalised sums. */
static inline size_t attend_state_floats(int d_v)
{
    return (size_t)d_v + 16; /* [0] m, [1] l, [16..] sums: keeps the sums aligned */
}

/* ---- the table -------------------------------------------------------------------------------- */

enum rope_kind { ROPE_NONE, ROPE_NORM /* pairs (2i, 2i+1) */, ROPE_NEOX /* pairs (i, i + n/2) */ };

struct kernels { /* one table an ISA; read-only */
    const char *name;
    const char *base; /* the table that it started from; NULL: ref */
    const char *numerics; /* NULL: the contract of bits; "fast", "blas": products of types whose mul_mat
                           * is not that of `exact`, the table below, are outside it: a batch may
                           * change their bits */
    const struct kernels *exact;
    bool acts_of_floats;  /* `quantize` prepares columns for F32, F16, BF16 weights too */
    int act_cols; /* columns that A32 interleaves: work on columns splits at multiples of it */

    size_t (*acts_bytes)(int n, int k); /* at most n + 1 times that of one column */
    /* Columns c0..c1-1 of a->x into a->a32; c0 a multiple of act_cols, c1 too or a->n. */
    void (*quantize)(const struct acts *a, int c0, int c1);

    /* y[c*ldy + r] = (add ? y[..] + : ) sum_k w[r][k] a[c][k], for all columns and the rows of groups
     * g0..g1-1 (rows past n_rows are not stored). `scratch`: mm_scratch_bytes, 64-byte aligned,
     * one a thread. By weight type; NULL where a type has no kernel. */
    void (*mul_mat[TYPE_COUNT])(const struct mat *w, const struct acts *a, float *y, size_t ldy,
                                bool add, int32_t g0, int32_t g1, void *scratch);
    size_t mm_scratch_bytes;

    void (*rms_norm)(float *y, const float *x, const float *w, int n, float eps); /* w may be NULL */
    /* y = (x - mean x) / sqrt(variance + eps) * w + b; y may be x */
    void (*layer_norm)(float *y, const float *x, const float *w, const float *b, int n, float eps);
    /* n_heads heads of d values, `stride` floats apart; the first n_rot turn; cs = n_rot/2 pairs
     * (cos, sin) of this position. */
    void (*rope)(float *x, int n_heads, size_t stride, int n_rot, const float *cs,
                 enum rope_kind kind);
    void (*silu_mul)(float *y, const float *gate, const float *up, int n); /* y may be gate */
    void (*gelu_mul)(float *y, const float *gate, const float *up, int n); /* tanh form */
    void (*gelu_erf)(float *y, const float *x, int n);  /* x / 2 * (1 + erf(x / sqrt 2)); y may be x */
    void (*add)(float *y, const float *x, int n);       /* y += x */
    void (*scale)(float *y, float s, int n);            /* y *= s */
    void (*softcap)(float *y, float cap, int n);        /* y = cap * tanh(y / cap) */

    /* Append one position of one kv head: k[d_k], v[d_v] at slot (position mod 64) of the page's
     * K and V blocks. With Q8_0 slot 0 goes first: the other keys are stored relative to it. */
    void (*kv_store)(enum kv_type t, uint8_t *k_page, uint8_t *v_page, int slot, const float *k,
                     int d_k, const float *v, int d_v);
    /* Span s (positions 1024 s ..) for all queries of the tile: state + i * attend_state_floats.
     * A query that sees nothing of the span gets m = -inf, l = 0, sums 0. */
    void (*attend_span)(const struct attend *t, int32_t span, float *state);
    /* Merge n_spans states (`stride` floats apart) in ascending order: out[d_v]. */
    void (*attend_merge)(const float *states, size_t stride, int n_spans, int d_v, float *out);

    /* Largest value and its first index (ties: the lowest); NaN anywhere: returns -1. */
    int (*argmax)(const float *x, int n);
};

/* The table called `want`, or the best for this CPU (NULL). Names, weakest first: "ref", "avx2",
 * "avxvnni", "avx512", "avx512vnni", "amx" on x86-64; "ref", "neon", "dotprod", "i8mm" on ARM.
 * ERR_INPUT lists the names when there is no such table or this CPU cannot run it.
 * "blas" is the best table with prompts multiplied by OpenBLAS, outside the contract of bits
 * (kernels/blas/blas.c); ERR_UNSUPPORTED without the library. NULL means it on CPUs that have
 * nothing better than ref. */
const struct kernels *kernels_pick(const char *want, struct err *e);
/* `exact` with prompts multiplied in bf16 where the CPU has units for that (--numerics fast), outside the
 * contract; else `exact` itself. The log says which. One base a process: the first call's. */
const struct kernels *kernels_fast(const struct kernels *exact);
/* All tables that this CPU can run, weakest first (tests). Returns how many. */
int kernels_all(const struct kernels **out, int cap);

/* Tables of (cos, sin) for RoPE: out[i] for pair i of n_rot/2 at position pos (ref/rope.c):
 * theta_i = pos * inv_freq[i]; both times mscale. Angles in double; own sin/cos. */
void rope_table(float *cs, int n_rot, int64_t pos, const double *inv_freq, float mscale);

/* Elementary functions of the contract (ref/math.h), for the sampler. */
float ref_expf(float x);
float ref_logf(float x);
double ref_exp(double x); /* relative error < 1e-13 */
double ref_pow(double x, double y); /* x > 0: rope bases; relative error < 1e-13 */
double ref_log(double x);

/* ---- the crew of threads -------------------------------------------------------------------------- */

struct crew;
/* Time slices of the crew's threads, and of who else calls crew_run often (thread_slice): long beside the
 * 3 ms that others have by default, so that a crew that computes on all CPUs keeps nobody waiting. */
enum { CREW_SLICE_NS = 10000000 };
/* n threads (the caller of crew_run is thread 0). 0 = by affinity mask and cgroup quota, and as these
 * change. */
struct crew *crew_new(int n_threads, struct err *e);
void crew_free(struct crew *c);
int crew_size(const struct crew *c); /* threads that a run gets now; may change in crew_refresh */
int crew_most(const struct crew *c); /* threads that it may ever have */
/* Look whether CPUs came or went: the mask each time, quotas once a second. Between runs, by whoever
 * may call crew_run. */
void crew_refresh(struct crew *c);
/* Run fn(arg, i) on threads 0..n-1 (n <= crew_size) and wait for all. Between runs the threads
 * sleep: an idle crew costs nothing. Only one crew_run at a time (the caller sees to that). */
void crew_run(struct crew *c, int n, void (*fn)(void *arg, int i), void *arg);
/* Inside fn: wait until all n threads are here. Memory written before is seen after. */
void crew_barrier(struct crew *c, int i);
/* Inside fn: the next piece of work, 0, 1, 2...; starts again at 0 after each barrier. */
int crew_next(struct crew *c);
/* Memory nodes. Threads stand by node: those of node 0 first. Whoever first writes to a page has it on
 * its node, so work on what equal shares of threads wrote goes by node too: each node its counter
 * (crew_next is node 0's), and the others' when one's own is through. */
int crew_nodes(const struct crew *c); /* that its threads run on; 1 on most machines */
int crew_node(const struct crew *c, int i);
int crew_next_at(struct crew *c, int node);
/* Of n things in equal shares by thread: where node's begin (node crew_nodes: n). */
int64_t crew_node_share(const struct crew *c, int64_t n, int node);
/* Threads that this machine gives us: cores of the affinity mask (one CPU a core: hyper-threads give
 * int8 work nothing), limited by the cgroup quota rounded down; at least 1. */
int crew_default_size(void);

#endif
