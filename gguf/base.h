/* gguf/base.h - the ground everybody stands on: errors, checked sizes, memory by
 * life (arenas), growing bytes, text with a length, the log.
 *
 * It includes nothing of the project, and nothing here computes. Functions are
 * safe to call from any thread as long as two threads do not share one object. */
#ifndef CHASKI_BASE_H
#define CHASKI_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- errors: values, filled where the fact is known -------------------------- */

enum err_code {
    ERR_NONE = 0,
    ERR_INPUT,     /* the request or the file is wrong          400 */
    ERR_NOT_FOUND, /* no such model, blob, tensor               404 */
    ERR_LIMIT,     /* a limit was met                           400 or 413, by place */
    ERR_BUSY,      /* the queue is full                         503 */
    ERR_MEMORY,    /* no memory                                 500 */
    ERR_IO,        /* the disk or the net                       500 */
    ERR_CANCELLED, /* the client went away                      nobody sees it */
    ERR_CONTEXT,   /* the prompt is longer than the context     400 */
    ERR_TIMEOUT,   /* the request's own deadline is over        504 */
    ERR_UNSUPPORTED, /* right, but not in this version          501 */
    ERR_BUG,       /* an own check failed                       500, logged */
};

struct err {
    enum err_code code;
    char text[512]; /* one line, UTF-8, no control characters */
};

/* Fill `e` (may be NULL) and return -1, so that a check is one line. Text taken
 * from files or clients goes through %s; control characters in the result are
 * shown as \x.., and what does not fit is cut at a character. */
int err_set(struct err *e, enum err_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- checked sizes: 0, or -1 when the result does not fit --------------------- */

static inline int size_mul(size_t *out, size_t a, size_t b)
{
    return __builtin_mul_overflow(a, b, out) ? -1 : 0;
}
static inline int size_add(size_t *out, size_t a, size_t b)
{
    return __builtin_add_overflow(a, b, out) ? -1 : 0;
}

/* ---- arenas: many small things with one life ---------------------------------- */

struct arena_chunk;
struct arena {
    struct arena_chunk *head; /* newest chunk; zero-initialise the struct to start */
    size_t used_bytes;        /* handed out since the start or the last reset */
    size_t peak_bytes;        /* high-water mark of used_bytes */
};
/* `n` zeroed bytes at `align` (a power of two, at most 64), or NULL without memory. */
void *arena_alloc(struct arena *a, size_t n, size_t align);
/* A NUL-terminated copy of n bytes, or NULL. */
char *arena_copy(struct arena *a, const char *p, size_t n);
void arena_free(struct arena *a); /* all of it; the struct can be used again */

/* Large blocks aligned to 2 MiB with huge pages asked for; zeroed. NULL without memory. */
void *big_alloc(size_t n_bytes);
void big_free(void *p, size_t n_bytes);

/* ---- growing bytes ------------------------------------------------------------ */

struct buf {
    char *p;     /* n bytes and a NUL; NULL while empty */
    size_t n, cap;
    bool failed; /* an allocation failed: the content is incomplete. Check once, at the end. */
};
void buf_add(struct buf *b, const void *p, size_t n);
void buf_puts(struct buf *b, const char *s);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_free(struct buf *b); /* leaves an empty buf */

/* ---- text --------------------------------------------------------------------- */

struct text { /* bytes that somebody else owns; not NUL-terminated */
    const char *p;
    size_t n;
};
struct text_span { /* bytes start..end-1 of a text */
    size_t start, end;
};
bool text_is_utf8(const char *p, size_t n); /* strict: no overlongs, surrogates, > U+10FFFF */
/* Length 1..4 of the character that starts at p (n > 0 bytes left) and its code
 * point; an invalid byte has length 1 and code point 0xFFFD with *bad set. */
size_t text_decode(const char *p, size_t n, uint32_t *cp, bool *bad);
size_t text_encode(uint32_t cp, char out[4]); /* bytes written */
/* Copy n bytes to `out` (cap bytes with the NUL), control characters and broken UTF-8 as \x..,
 * cut before what does not fit. */
void text_clean(char *out, size_t cap, const char *s, size_t n);

/* ---- the log: one line an event, on stderr (gguf/log.c) ------------------------- */

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
void log_set_level(enum log_level least); /* default LOG_WARN; call before threads start */
void log_set_json(bool on);               /* each line a JSON object; before threads start */
bool log_is_on(enum log_level level);
/* Never text of prompts, answers, keys. Bytes outside printable UTF-8 become \x... */
void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

struct log_field {
    const char *name; /* of letters and _ */
    const char *text; /* or NULL: the number counts */
    double number;
};
/* `event` and its fields: "event name=value name=value", or members of the JSON object. */
void log_event(enum log_level level, const char *event, const struct log_field *fields, size_t n);

/* ---- time ----------------------------------------------------------------------- */

int64_t time_mono_ns(void); /* CLOCK_MONOTONIC: durations */
int64_t time_real_ns(void); /* CLOCK_REALTIME: stamps */
/* Ask the scheduler for slices of so long for this thread (Linux 6.12 and newer; elsewhere nothing
 * changes). One that wakes comes on at once where who runs has asked for longer ones than it: so
 * short ones are for threads that answer, long ones for those that compute on all CPUs. The share
 * of the CPUs stays what it is. No privilege is needed. */
void thread_slice(int64_t ns);

#endif
