/* tests/check_kernels.c - every slot of every table that this CPU can run, against ref, by bits.
 *
 *   check_kernels [TYPE]        the tests (under `meson test`)
 *   check_kernels --bench ...   speed of single kernels (check_bench.c); --help says how
 *
 * After dav1d's checkasm: inputs end at a page that faults, outputs lie between canaries, data are
 * random and extreme, shapes sit around the tile sizes. It needs no test library, so that it can be
 * cross-built and run under an emulator. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "tests/check_bench.h"

const struct kernels *all[MAX_TABLES];
int n_all, n_checks, n_failed;

const uint32_t mm_types[] = {
    TYPE_Q4_0,   TYPE_Q4_1,  TYPE_Q5_0,    TYPE_Q5_1,  TYPE_Q8_0,  TYPE_Q2_K,  TYPE_Q3_K,
    TYPE_Q4_K,   TYPE_Q5_K,  TYPE_Q6_K,    TYPE_F16,   TYPE_BF16,  TYPE_F32,   TYPE_IQ2_XXS,
    TYPE_IQ2_XS, TYPE_IQ2_S, TYPE_IQ3_XXS, TYPE_IQ3_S, TYPE_IQ1_S, TYPE_IQ1_M, TYPE_IQ4_NL,
    TYPE_IQ4_XS, TYPE_MXFP4, TYPE_NVFP4,   TYPE_Q1_0,  TYPE_Q2_0,  TYPE_TQ1_0, TYPE_TQ2_0};
const int n_mm_types = sizeof mm_types / sizeof *mm_types;

/* ---- memory ---------------------------------------------------------------------------------- */

struct guard guard_new(size_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), body = (n + page) / page * page;
    struct guard g = {.n = n, .map_bytes = body + page};
    g.map = mmap(NULL, g.map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g.map == MAP_FAILED || mprotect((uint8_t *)g.map + body, page, PROT_NONE)) {
        fprintf(stderr, "check_kernels: no memory\n");
        exit(2);
    }
    g.p = (uint8_t *)g.map + body - n;
    memset(g.map, 0xa5, body);
    return g;
}

void guard_free(struct guard *g)
{
    munmap(g->map, g->map_bytes);
}

/* ---- data ------------------------------------------------------------------------------------ */

static uint64_t state = 1;

void rnd_seed(uint64_t s)
{
    state = s * 0x9e3779b97f4a7c15u + 1;
}
uint64_t rnd(void) /* splitmix64 */
{
    uint64_t z = (state += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}
float rnd_normal(void)
{
    int32_t s = 0;
    uint64_t a = rnd();
    for (int i = 0; i < 4; i++)
        s += (int32_t)(a >> (16 * i) & 0xffff) - 32768;
    return (float)s * (1.0f / 37837.0f);
}

void fill_x(float *x, size_t n, enum x_kind kind)
{
    for (size_t i = 0; i < n; i++) {
        float v = rnd_normal();
        switch (kind) {
        case X_EXTREME: /* codes of +-127 only */
            v = rnd() & 1 ? 3.0f : -3.0f;
            break;
        case X_TINY: /* subnormals, and blocks whose scale has no reciprocal */
            v *= rnd() % 3 ? 1e-39f : 1e-44f;
            break;
        case X_ZEROS:
            v = rnd() % 64 < 32 ? 0.0f : -0.0f;
            break;
        case X_OUTLIERS:
            v *= rnd() % 100 == 0 ? 3e4f : 1e-3f;
            break;
        case X_NAN:
            if (rnd() % 200 == 0)
                v = rnd() & 1 ? NAN : INFINITY;
            break;
        default:
            break;
        }
        x[i] = v;
    }
}

static const uint16_t odd_halves[] = {0x0000, 0x8000, 0x0001, 0x8001, 0x03ff, 0x83ff,
                                      0x0400, 0x8400, 0x7bff, 0xfbff, 0x3c00, 0xbc00};

static uint16_t scale_half(enum w_kind kind)
{
    if (kind == W_SCALES)
        return odd_halves[rnd() % (sizeof odd_halves / sizeof *odd_halves)];
    return f32_to_f16(rnd_normal() * 0.02f);
}

void fill_blocks(uint32_t type, uint8_t *b, size_t n_blocks, enum w_kind kind)
{
    size_t bytes = gguf_type_info(type)->block_bytes;
    for (size_t i = 0; i < n_blocks; i++, b += bytes) {
        if (type == TYPE_F32) {
            float v = kind == W_SCALES ? f16_to_f32(scale_half(kind)) * 1e-40f : rnd_normal();
            memcpy(b, &v, 4);
            continue;
        }
        if (type == TYPE_F16 || type == TYPE_BF16) {
            uint16_t h = scale_half(kind);
            if (type == TYPE_BF16 && kind != W_SCALES)
                h = (uint16_t)((rnd() & 0x80ff) | 0x3f00);
            memcpy(b, &h, 2);
            continue;
        }
        for (size_t j = 0; j < bytes; j++)
            b[j] = kind == W_ONES    ? 0xff
                   : kind == W_SIGNS ? (rnd() & 1 ? 0x80 : 0x7f)
                                     : (uint8_t)rnd();
        uint16_t d = scale_half(kind), m = scale_half(kind);
        size_t at = 0, at_m = 2;
        bool has_m =
            type == TYPE_Q4_1 || type == TYPE_Q5_1 || type == TYPE_Q4_K || type == TYPE_Q5_K;
        if (type == TYPE_Q2_K)
            at = 80, at_m = 82, has_m = true;
        if (type == TYPE_Q3_K)
            at = 108;
        if (type == TYPE_Q6_K)
            at = 208;
        if (type == TYPE_IQ1_M) { /* d stands in the top nibbles of four words */
            for (int j = 0; j < 4; j++)
                b[49 + 2 * j] = (uint8_t)((b[49 + 2 * j] & 15) | (d >> (4 * j) & 15) << 4);
            continue;
        }
        if (type == TYPE_TQ1_0)
            at = 52;
        if (type == TYPE_TQ2_0)
            at = 64;
        if (type == TYPE_MXFP4) /* an exponent; W_SCALES: the denormals, very large ones */
            b[0] =
                (uint8_t)(kind == W_SCALES ? rnd() % 4 + (rnd() & 1 ? 0 : 240) : 118 + rnd() % 8);
        if (type == TYPE_MXFP4 || type == TYPE_NVFP4) /* every byte is a finite scale of NVFP4 */
            continue;
        memcpy(b + at, &d, 2);
        if (has_m)
            memcpy(b + at_m, &m, 2);
    }
}

/* ---- comparison
 * ---------------------------------------------------------------------------------- */

static void failed(const char *fmt, va_list ap, const char *what)
{
    if (n_failed++ < 20) {
        printf("FAIL ");
        vprintf(fmt, ap);
        printf(": %s\n", what);
    }
}

bool same(const float *want, const float *got, size_t n, const char *fmt, ...)
{
    n_checks++;
    for (size_t i = 0; i < n; i++) {
        uint32_t a, b;
        memcpy(&a, want + i, 4);
        memcpy(&b, got + i, 4);
        if (a == b || (want[i] != want[i] && got[i] != got[i]))
            continue;
        char what[128];
        snprintf(what, sizeof what, "value %zu of %zu: ref %.9g (%08x), got %.9g (%08x)", i, n,
                 (double)want[i], a, (double)got[i], b);
        va_list ap;
        va_start(ap, fmt);
        failed(fmt, ap, what);
        va_end(ap);
        return false;
    }
    return true;
}

bool same_bytes(const void *want, const void *got, size_t n, const char *fmt, ...)
{
    n_checks++;
    if (!memcmp(want, got, n))
        return true;
    size_t i = 0;
    while (((const uint8_t *)want)[i] == ((const uint8_t *)got)[i])
        i++;
    char what[128];
    snprintf(what, sizeof what, "byte %zu of %zu: want %02x, got %02x", i, n,
             ((const uint8_t *)want)[i], ((const uint8_t *)got)[i]);
    va_list ap;
    va_start(ap, fmt);
    failed(fmt, ap, what);
    va_end(ap);
    return false;
}

/* ---- arguments ------------------------------------------------------------------------------- */

static const char help[] =
    "check_kernels: every kernel of every table against ref, by bits; or, with --bench, its speed\n"
    "\n"
    "  check_kernels [--only NAME] [--isa NAME]          the tests\n"
    "  check_kernels --bench [--only NAME] [--isa NAMES] [--shape MxNxK] [--ms N]\n"
    "                [--counters] [--json]\n"
    "\n"
    "  --only NAME    tests: a type of weights (mul_mat:Q4_K), or a part of another kernel's name: "
    "rms_norm,\n"
    "                 add .. test all that work on rows, attend attention. Bench: part of a "
    "kernel's\n"
    "                 name\n"
    "  --isa NAMES    one table, or with commas between: measured in turn, window by window, so\n"
    "                 that they can be compared on a busy machine; the last column is the speed "
    "as\n"
    "                 a multiple of the first one's\n"
    "  --shape MxNxK  what the numbers mean stands behind the kernel's name below\n"
    "  --ms N         CPU time for each kernel, shape and table in milliseconds (default 60)\n"
    "  --counters     cycles and instructions too, where the machine has counters\n"
    "  --json         one object instead of a table\n"
    "  --list         kernels and tables\n"
    "\n"
    "One thread, timed by its own CPU clock in windows of at least 100 us (one call, if it is "
    "longer)\n"
    "after a warm-up. best, p10, median: of the windows, for one call; rates are those of the "
    "best.\n"
    "GOP/s counts two for a multiply-add, GB/s what a call must at least read and write.\n"
    "\n";

static int usage(const char *before, const char *word, const char *after)
{
    fprintf(stderr, "check_kernels: %s\"%s\"%s\nTry 'check_kernels --help'.\n", before, word,
            after);
    return 2;
}

/* "2048x1x2048" */
static bool parse_shape(const char *s, int shape[3])
{
    for (int i = 0; i < 3; i++) {
        char *end;
        const long v = strtol(s, &end, 10);
        if (end == s || v < 1 || v > 1 << 24 || *end != (i < 2 ? 'x' : 0))
            return false;
        shape[i] = (int)v;
        s = end + 1;
    }
    return true;
}

/* Only ref and the table called `isa`. */
static bool keep_one(const char *isa)
{
    for (int i = 0; i < n_all; i++) {
        if (strcmp(all[i]->name, isa))
            continue;
        all[1] = all[i];
        n_all = i ? 2 : 1;
        return true;
    }
    return false;
}

static bool is_type(const char *name)
{
    for (int i = 0; i < n_mm_types; i++)
        if (!strcmp(gguf_type_info(mm_types[i])->name, name))
            return true;
    return false;
}

int main(int argc, char **argv)
{
    struct bench_options o = {.ms = 60};
    bool want_bench = false;
    n_all = kernels_all(all, MAX_TABLES);
    more_tables();
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (!strcmp(a, "-h") || !strcmp(a, "--help") || !strcmp(a, "--list")) {
            if (a[1] == 'h' || a[2] == 'h')
                fputs(help, stdout);
            bench_list(stdout);
            return 0;
        }
        if (!strcmp(a, "--bench"))
            want_bench = true;
        else if (!strcmp(a, "--json"))
            o.json = true;
        else if (!strcmp(a, "--counters"))
            o.counters = true;
        else if (a[0] != '-')
            o.only = a;
        else if (strcmp(a, "--only") && strcmp(a, "--isa") && strcmp(a, "--shape") &&
                 strcmp(a, "--ms"))
            return usage("no option ", a, "");
        else if (!value)
            return usage("", a, " wants a value");
        else {
            i++;
            if (!strcmp(a, "--only"))
                o.only = value;
            else if (!strcmp(a, "--isa"))
                o.isa = value;
            else if (!strcmp(a, "--ms") && ((o.ms = atoi(value)) < 1 || o.ms > 600000))
                return usage("--ms wants milliseconds, 1 to 600000, not ", value, "");
            else if (!strcmp(a, "--shape") && !parse_shape(value, o.shape))
                return usage("--shape wants MxNxK, three numbers from 1, not ", value, "");
        }
    }
    if (want_bench)
        return bench(&o);
    if (o.isa && !keep_one(o.isa)) {
        usage("no table ", o.isa, " on this CPU");
        bench_list(stderr);
        return 2;
    }
    if (o.only && !strncmp(o.only, "mul_mat:", 8)) /* as the bench calls it */
        o.only += 8;
    const bool rest = o.only && !is_type(o.only); /* of which kind of kernels? */
    int n_known;
    const struct bench_kernel *b = bench_kernels(&n_known);
    bool elements = !o.only, attention = !o.only;
    for (int i = 0; rest && i < n_known; i++) {
        if (!strstr(b[i].name, o.only) || !strncmp(b[i].name, "mul_mat:", 8))
            continue;
        if (!strncmp(b[i].name, "attend", 6))
            attention = true;
        else if (strcmp(b[i].name, "quantize"))
            elements = true;
    }
    if (rest && !elements && !attention) {
        usage("no test is called ", o.only,
              ": whole types behind mul_mat:, or parts of the other names");
        bench_list(stderr);
        return 2;
    }
    printf("tables:");
    for (int i = 0; i < n_all; i++)
        printf(" %s", all[i]->name);
    printf("\n");
    fflush(stdout);
    if (!rest)
        check_matmul(o.only);
    if (elements)
        check_rest();
    if (attention)
        check_attend();
    printf("%d checks, %d failed\n", n_checks, n_failed);
    return n_failed != 0;
}
