/* gguf/base.c - errors, arenas, growing bytes, text (gguf/base.h). */
#include "gguf/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void text_clean(char *out, size_t cap, const char *s, size_t n)
{
    size_t o = 0;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        bool bad = false;
        const size_t len = text_decode(s + i, n - i, &cp, &bad);
        const bool control = bad || cp < 0x20 || (cp >= 0x7f && cp < 0xa0);
        if (o + (control ? 4 * len : len) >= cap)
            break;
        if (control)
            for (size_t k = 0; k < len; k++)
                o += (size_t)snprintf(out + o, cap - o, "\\x%02x", (unsigned char)s[i + k]);
        else
            for (size_t k = 0; k < len; k++)
                out[o++] = s[i + k];
        i += len;
    }
    out[o] = 0;
}

int err_set(struct err *e, enum err_code code, const char *fmt, ...)
{
    if (!e)
        return -1;
    char raw[2048];
    va_list ap;
    va_start(ap, fmt);
    const int len = vsnprintf(raw, sizeof raw, fmt, ap);
    va_end(ap);
    size_t n = len < 0 ? 0 : (size_t)len;
    if (n >= sizeof raw)
        n = sizeof raw - 1;
    e->code = code;
    text_clean(e->text, sizeof e->text, raw, n);
    return -1;
}

/* ---- arenas ---------------------------------------------------------------------- */

struct arena_chunk {
    struct arena_chunk *next;
    size_t cap, used; /* of data */
    _Alignas(64) char data[];
};

enum { ARENA_CHUNK_BYTES = 64 * 1024 }; /* small enough to waste, large enough to be rare */

void *arena_alloc(struct arena *a, size_t n, size_t align)
{
    struct arena_chunk *c = a->head;
    size_t at = 0;
    if (c)
        at = (c->used + align - 1) & ~(align - 1);
    if (!c || at > c->cap || n > c->cap - at) {
        size_t cap = n > ARENA_CHUNK_BYTES ? n : ARENA_CHUNK_BYTES, bytes;
        if (size_add(&bytes, cap, sizeof *c + 63))
            return NULL;
        c = aligned_alloc(64, bytes & ~(size_t)63);
        if (!c)
            return NULL;
        c->next = a->head;
        c->cap = cap;
        c->used = 0;
        a->head = c;
        at = 0;
    }
    c->used = at + n;
    a->used_bytes += n;
    if (a->used_bytes > a->peak_bytes)
        a->peak_bytes = a->used_bytes;
    return memset(c->data + at, 0, n);
}

char *arena_copy(struct arena *a, const char *p, size_t n)
{
    size_t bytes;
    if (size_add(&bytes, n, 1))
        return NULL;
    char *s = arena_alloc(a, bytes, 1);
    if (s && n)
        memcpy(s, p, n);
    return s;
}

void arena_free(struct arena *a)
{
    while (a->head) {
        struct arena_chunk *c = a->head;
        a->head = c->next;
        free(c);
    }
    a->used_bytes = 0;
}

enum { HUGE_BYTES = 2 << 20 };

void *big_alloc(size_t n_bytes)
{
    size_t with;
    if (!n_bytes || size_add(&with, n_bytes, 2 * HUGE_BYTES))
        return NULL;
    /* Over-ask by one huge page and give both ends back, so that the block starts on one. */
    const size_t whole = (n_bytes + 4095) & ~(size_t)4095;
    char *raw = mmap(NULL, whole + HUGE_BYTES, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED)
        return NULL;
    char *p = (char *)(((uintptr_t)raw + HUGE_BYTES - 1) & ~(uintptr_t)(HUGE_BYTES - 1));
    if (p > raw)
        munmap(raw, (size_t)(p - raw));
    const size_t tail = (size_t)(raw + whole + HUGE_BYTES - (p + whole));
    if (tail)
        munmap(p + whole, tail);
    if (whole >= HUGE_BYTES)
        (void)madvise(p, whole, MADV_HUGEPAGE); /* only advice: a kernel without it is fine */
    return p;
}

void big_free(void *p, size_t n_bytes)
{
    if (p)
        munmap(p, (n_bytes + 4095) & ~(size_t)4095);
}

/* ---- growing bytes ------------------------------------------------------------------ */

void buf_add(struct buf *b, const void *p, size_t n)
{
    size_t need;
    if (b->failed || size_add(&need, b->n, n) || size_add(&need, need, 1)) {
        b->failed = true;
        return;
    }
    if (need > b->cap) {
        size_t cap = b->cap ? b->cap : 128;
        while (cap < need)
            cap = cap > SIZE_MAX / 2 ? need : 2 * cap;
        char *q = realloc(b->p, cap);
        if (!q) {
            b->failed = true;
            return;
        }
        b->p = q;
        b->cap = cap;
    }
    if (n)
        memcpy(b->p + b->n, p, n);
    b->n += n;
    b->p[b->n] = 0;
}

void buf_puts(struct buf *b, const char *s)
{
    buf_add(b, s, strlen(s));
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    char small[512];
    va_list ap;
    va_start(ap, fmt);
    const int n = vsnprintf(small, sizeof small, fmt, ap);
    va_end(ap);
    if (n < 0) {
        b->failed = true;
        return;
    }
    if ((size_t)n < sizeof small) {
        buf_add(b, small, (size_t)n);
        return;
    }
    char *big = malloc((size_t)n + 1);
    if (!big) {
        b->failed = true;
        return;
    }
    va_start(ap, fmt);
    vsnprintf(big, (size_t)n + 1, fmt, ap);
    va_end(ap);
    buf_add(b, big, (size_t)n);
    free(big);
}

void buf_free(struct buf *b)
{
    free(b->p);
    *b = (struct buf){0};
}

/* ---- text --------------------------------------------------------------------------- */

size_t text_decode(const char *p, size_t n, uint32_t *cp, bool *bad)
{
    const unsigned char *s = (const unsigned char *)p;
    const unsigned c = s[0];
    *bad = false;
    if (c < 0x80) {
        *cp = c;
        return 1;
    }
    size_t len = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
    uint32_t v = c & (0xffu >> (len + 1));
    bool ok = c >= 0xc2 && c <= 0xf4 && len <= n;
    for (size_t i = 1; ok && i < len; i++) {
        ok = (s[i] & 0xc0) == 0x80;
        v = v << 6 | (s[i] & 0x3f);
    }
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000}; /* shorter forms are overlong */
    if (!ok || v < least[len] || v > 0x10ffff || (v >= 0xd800 && v < 0xe000)) {
        *bad = true;
        *cp = 0xfffd;
        return 1;
    }
    *cp = v;
    return len;
}

bool text_is_utf8(const char *p, size_t n)
{
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        bool bad;
        i += text_decode(p + i, n - i, &cp, &bad);
        if (bad)
            return false;
    }
    return true;
}

size_t text_encode(uint32_t cp, char out[4])
{
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (char)(0xc0 | cp >> 6);
        out[1] = (char)(0x80 | (cp & 0x3f));
        return 2;
    }
    if (cp < 0x10000) {
        out[0] = (char)(0xe0 | cp >> 12);
        out[1] = (char)(0x80 | (cp >> 6 & 0x3f));
        out[2] = (char)(0x80 | (cp & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | cp >> 18);
    out[1] = (char)(0x80 | (cp >> 12 & 0x3f));
    out[2] = (char)(0x80 | (cp >> 6 & 0x3f));
    out[3] = (char)(0x80 | (cp & 0x3f));
    return 4;
}

/* ---- time ------------------------------------------------------------------------------ */

static int64_t clock_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t time_mono_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

int64_t time_real_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

void thread_slice(int64_t ns)
{
    struct { /* struct sched_attr, version 0: linux/sched/types.h */
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } a = {.size = 48, .nice = getpriority(PRIO_PROCESS, 0), .runtime = (uint64_t)ns};
    (void)syscall(SYS_sched_setattr, 0, &a, 0);
}
