/* gguf/log.c - the log: one line an event, on stderr, for people or as JSON (gguf/base.h).
 *
 * A line is made whole and written with one call, so that lines of several threads do not mix.
 * What is worth counting goes as fields (log_event), so that a reader of the JSON form needs no
 * patterns. */
#include "gguf/base.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { RAW_MOST = 2048, LINE_MOST = 4200, JSON_MOST = 2 * LINE_MOST };

static atomic_int log_least = LOG_WARN;
static atomic_bool is_json;
static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_set_level(enum log_level least)
{
    atomic_store(&log_least, (int)least);
}

void log_set_json(bool on)
{
    atomic_store(&is_json, on);
}

bool log_is_on(enum log_level level)
{
    return (int)level >= atomic_load(&log_least);
}

struct line { /* a text that is cut where it ends */
    char p[JSON_MOST];
    size_t n;
};

static void put(struct line *l, const char *s, size_t n)
{
    const size_t room = sizeof l->p - 8 - l->n; /* the closing quote, brace, newline always fit */
    if (n > room)
        n = room;
    memcpy(l->p + l->n, s, n);
    l->n += n;
}

static void puts_to(struct line *l, const char *s)
{
    put(l, s, strlen(s));
}

static void put_json_text(struct line *l, const char *clean)
{
    puts_to(l, "\"");
    for (const char *s = clean; *s && l->n + 16 < sizeof l->p; s++) {
        if (*s == '"' || *s == '\\')
            put(l, "\\", 1);
        put(l, s, 1);
    }
    /* Cut inside a character: take its beginning away. */
    size_t cut = l->n;
    while (cut && ((unsigned char)l->p[cut - 1] & 0xc0) == 0x80)
        cut--;
    if (cut && (unsigned char)l->p[cut - 1] >= 0xc0 &&
        !text_is_utf8(l->p + cut - 1, l->n - cut + 1))
        l->n = cut - 1;
    puts_to(l, "\"");
}

static void put_number(struct line *l, double v)
{
    char text[40];
    /* 15 digits: whole numbers up to 2^49 come out whole. */
    snprintf(text, sizeof text, "%.15g", v == v && v - v == 0 ? v : 0);
    puts_to(l, text);
}

static void put_head(struct line *l, enum log_level level)
{
    const int64_t now = time_real_ns();
    const time_t sec = (time_t)(now / 1000000000);
    struct tm tm;
    char text[64];
    gmtime_r(&sec, &tm);
    snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900,
             tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
             (int)(now / 1000000 % 1000));
    if (atomic_load(&is_json)) {
        puts_to(l, "{\"time\":\"");
        puts_to(l, text);
        puts_to(l, "\",\"level\":\"");
        puts_to(l, level_names[level]);
        puts_to(l, "\"");
    } else {
        puts_to(l, text);
        puts_to(l, " ");
        puts_to(l, level_names[level]);
        puts_to(l, " ");
    }
}

static void write_out(struct line *l)
{
    if (atomic_load(&is_json))
        l->p[l->n++] = '}';
    l->p[l->n++] = '\n';
    fwrite(l->p, 1, l->n, stderr); /* unbuffered: one write */
}

void log_line(enum log_level level, const char *fmt, ...)
{
    if (!log_is_on(level))
        return;
    char raw[RAW_MOST], clean[2 * RAW_MOST];
    struct line l;
    l.n = 0;
    va_list ap;
    va_start(ap, fmt);
    const int len = vsnprintf(raw, sizeof raw, fmt, ap);
    va_end(ap);
    size_t n = len < 0 ? 0 : (size_t)len;
    if (n >= sizeof raw)
        n = sizeof raw - 1;
    text_clean(clean, sizeof clean, raw, n);
    put_head(&l, level);
    if (atomic_load(&is_json)) {
        puts_to(&l, ",\"message\":");
        put_json_text(&l, clean);
    } else {
        puts_to(&l, clean);
    }
    write_out(&l);
}

/* A value with blanks or quotes is quoted, so that a line can be taken apart again. */
static void put_plain_value(struct line *l, const char *clean)
{
    if (*clean && !strpbrk(clean, " \"="))
        puts_to(l, clean);
    else
        put_json_text(l, clean);
}

void log_event(enum log_level level, const char *event, const struct log_field *fields, size_t n)
{
    if (!log_is_on(level))
        return;
    const bool json = atomic_load(&is_json);
    struct line l;
    l.n = 0;
    put_head(&l, level);
    if (json) {
        puts_to(&l, ",\"event\":");
        put_json_text(&l, event);
    } else {
        puts_to(&l, event);
    }
    for (size_t i = 0; i < n; i++) {
        char clean[1024];
        if (l.n + 2 * sizeof clean + 128 > sizeof l.p)
            break; /* whole fields or none */
        puts_to(&l, json ? ",\"" : " ");
        puts_to(&l, fields[i].name);
        puts_to(&l, json ? "\":" : "=");
        if (!fields[i].text) {
            put_number(&l, fields[i].number);
            continue;
        }
        text_clean(clean, sizeof clean, fields[i].text, strlen(fields[i].text));
        if (json)
            put_json_text(&l, clean);
        else
            put_plain_value(&l, clean);
    }
    write_out(&l);
}
