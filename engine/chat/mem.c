/* engine/chat/mem.c - memory, time and the way out of one parse or render.
 *
 * Two pools: objects, and bytes of text. The byte pool lets the newest text grow in place, so a
 * template that builds its prompt by `text = text ~ more` costs its length and not its square.
 * Both count against one ceiling. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/chat/template.h"

struct pool_block {
    struct pool_block *next;
    size_t n;
};

void tpl_fail_code(struct tpl *c, enum err_code code, const char *fmt, ...)
{
    char text[480];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (c->line && c->col)
        err_set(c->e, code, "template line %u, column %u: %s", c->line, c->col, text);
    else if (c->line)
        err_set(c->e, code, "template line %u: %s", c->line, text);
    else
        err_set(c->e, code, "template: %s", text);
    longjmp(*c->out, 1);
}

void tpl_fail(struct tpl *c, const char *fmt, ...)
{
    char text[480];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    tpl_fail_code(c, ERR_INPUT, "%s", text);
}

void tpl_raise(struct tpl *c, const struct str *message)
{
    err_set(c->e, ERR_INPUT, "%.*s", (int)(message->n < 4096 ? message->n : 4096), message->p);
    longjmp(*c->out, 1);
}

void tpl_charge(struct tpl *c, size_t n)
{
    if (n > TPL_MAX_STEPS || (c->steps += (int64_t)n) > TPL_MAX_STEPS)
        tpl_fail(c, "more than %d steps", TPL_MAX_STEPS);
}

static void *pool_take(struct tpl *c, struct pool *p, size_t n)
{
    if (p->cur && n <= (size_t)(p->end - p->cur)) {
        void *at = p->cur;
        p->cur += n;
        return at;
    }
    if (n > TPL_MAX_MEMORY || c->used > TPL_MAX_MEMORY - n)
        tpl_fail(c, "more than %zu MiB of memory", TPL_MAX_MEMORY >> 20);
    /* A block twice as large as what is held, so that their number stays small. */
    size_t size = p->head ? p->head->n * 2 : (size_t)16 << 10;
    if (size > (size_t)4 << 20)
        size = (size_t)4 << 20;
    if (size < n * 2 && n < (size_t)64 << 20)
        size = n * 2;
    if (size < n)
        size = n;
    if (size > TPL_MAX_MEMORY - c->used)
        size = n;
    struct pool_block *b = malloc(sizeof *b + size);
    if (!b)
        tpl_fail_code(c, ERR_MEMORY, "no memory");
    b->next = p->head;
    b->n = size;
    p->head = b;
    c->used += size;
    p->cur = (char *)(b + 1) + n;
    p->end = (char *)(b + 1) + size;
    return b + 1;
}

void *tpl_alloc(struct tpl *c, size_t n)
{
    if (n > TPL_MAX_MEMORY)
        tpl_fail(c, "more than %zu MiB of memory", TPL_MAX_MEMORY >> 20);
    n = (n + 15) & ~(size_t)15;
    void *at = pool_take(c, &c->objs, n);
    return memset(at, 0, n);
}

void *tpl_grow(struct tpl *c, const void *p, size_t n_old, size_t n_new)
{
    void *at = tpl_alloc(c, n_new);
    if (n_old)
        memcpy(at, p, n_old);
    return at;
}

char *tpl_bytes(struct tpl *c, size_t n)
{
    return pool_take(c, &c->bytes, n);
}

char *tpl_bytes_grow(struct tpl *c, char *p, size_t n_old, size_t n_new)
{
    if (p && p + n_old == c->bytes.cur && n_new - n_old <= (size_t)(c->bytes.end - p) - n_old) {
        c->bytes.cur = p + n_new;
        return p;
    }
    char *at = pool_take(c, &c->bytes, n_new);
    if (n_old)
        memcpy(at, p, n_old);
    return at;
}

static void pool_free(struct pool *p)
{
    for (struct pool_block *b = p->head; b;) {
        struct pool_block *next = b->next;
        free(b);
        b = next;
    }
    *p = (struct pool){0};
}

void tpl_pools_free(struct tpl *c)
{
    pool_free(&c->objs);
    pool_free(&c->bytes);
    c->used = 0;
}
