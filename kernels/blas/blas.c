/* kernels/blas/blas.c - prompts on CPUs that we have no kernels for: rows of weights as f32, times
 * the f32 columns, by OpenBLAS's cblas_sgemm.
 *
 * Outside the contract of bits: OpenBLAS sums in an order of its own, which depends on the CPU and
 * on the shapes, and activations are not rounded to 8 bits. Opened when first asked for, so that it
 * costs nothing where it is not used; one thread of its own, because the crew's threads each
 * multiply their rows. Products of few columns (generation) stay with the base table: they wait
 * for memory, and f32 weights are four to eight times the bytes. */
#include "kernels/blas/blas.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>

enum {
    MIN_COLS = 16,         /* fewer are the base's */
    PART_ROWS = 128,       /* rows made f32 at a time, */
    PART_FLOATS = 1 << 20, /* fewer when they are long */
};
enum { COL_MAJOR = 102, NO_TRANS = 111, TRANS = 112 }; /* cblas.h */

typedef void sgemm_fn(int order, int trans_a, int trans_b, int m, int n, int k, float alpha,
                      const float *a, int lda, const float *b, int ldb, float beta, float *c,
                      int ldc);

static struct kernels table;
static const struct kernels *base_table;
static sgemm_fn *sgemm;
static struct err open_error;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void mul_mat(const struct mat *w, const struct acts *a, float *y, size_t ldy, bool add,
                    int32_t g0, int32_t g1, void *scratch)
{
    const int32_t k = w->n_cols;
    int32_t groups = PART_FLOATS / (k * MAT_ROWS);
    groups = groups < 1 ? 1 : groups > PART_ROWS / MAT_ROWS ? PART_ROWS / MAT_ROWS : groups;
    float *part = NULL;
    /* sgemm counts in int; nobody has such columns, but nothing here checks that. */
    if (a->n >= MIN_COLS && a->ldx <= INT32_MAX && ldy <= INT32_MAX)
        part = malloc((size_t)groups * MAT_ROWS * (size_t)k * sizeof *part);
    if (!part) {
        base_table->mul_mat[w->type](w, a, y, ldy, add, g0, g1, scratch);
        return;
    }
    const int32_t end = g1 * MAT_ROWS < w->n_rows ? g1 * MAT_ROWS : w->n_rows;
    for (int32_t r0 = g0 * MAT_ROWS; r0 < end; r0 += groups * MAT_ROWS) {
        const int32_t n = end - r0 < groups * MAT_ROWS ? end - r0 : groups * MAT_ROWS;
        for (int32_t r = 0; r < n; r++)
            mat_row(w, r0 + r, part + (size_t)r * (size_t)k);
        /* y [rows][columns], column-major, = part' [k][rows]' times x [k][columns] */
        sgemm(COL_MAJOR, TRANS, NO_TRANS, n, a->n, k, 1, part, k, a->x, (int)a->ldx, add ? 1 : 0,
              y + r0, (int)ldy);
    }
    free(part);
}

static void open_library(void)
{
    static const char *const names[] = {"libopenblas.so.0", "libopenblas.so"};
    void *lib = NULL;
    for (size_t i = 0; !lib && i < sizeof names / sizeof names[0]; i++)
        lib = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    void (*set_threads)(int) = NULL;
    if (lib) {
        /* POSIX lets a void pointer of dlsym be a function's; ISO C wants the detour. */
        *(void **)&sgemm = dlsym(lib, "cblas_sgemm");
        *(void **)&set_threads = dlsym(lib, "openblas_set_num_threads");
    }
    if (!sgemm || !set_threads) {
        sgemm = NULL;
        err_set(&open_error, ERR_UNSUPPORTED,
                "OpenBLAS (libopenblas.so.0) cannot be opened; Debian has it in libopenblas0");
        return; /* a library without what we need stays open: there is nothing to win */
    }
    set_threads(1);
    table = *base_table;
    table.name = "blas";
    table.numerics = "blas";
    table.exact = base_table;
    for (int t = 0; t < TYPE_COUNT; t++)
        if (base_table->mul_mat[t])
            table.mul_mat[t] = mul_mat;
    log_line(LOG_WARN, "prompts are multiplied by OpenBLAS: outside the contract of bits, their "
                       "results depend on the CPU and on the batch");
}

const struct kernels *blas_table(const struct kernels *base, struct err *e)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&lock);
    if (!base_table)
        base_table = base;
    pthread_once(&once, open_library);
    pthread_mutex_unlock(&lock);
    if (sgemm)
        return &table;
    err_set(e, open_error.code, "%s", open_error.text);
    return NULL;
}
