/* http/logprobs.c - tokens and their probabilities as all styles print them (spec/api.md 14), and
 * other small things that printers share. */
#include "http/style.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

/* -Infinity has no place in JSON and null breaks clients: the smallest that a float can say. */
void print_logprob(struct buf *b, double v)
{
    print_real(b, isfinite(v) ? v : -3.4028235e38);
}

void print_token(struct buf *b, const struct eng_logprob *p)
{
    struct buf text = {0};
    for (size_t i = 0; i < p->n;) {
        uint32_t cp;
        bool bad = false;
        char ch[4];
        i += text_decode(p->bytes + i, p->n - i, &cp, &bad);
        buf_add(&text, ch, text_encode(cp, ch));
    }
    if (text.failed)
        b->failed = true;
    print_json_string(b, text.p ? text.p : "", text.n);
    buf_free(&text);
}

static void put_entry(struct buf *b, const struct eng_logprob *p)
{
    buf_puts(b, "{\"token\":");
    print_token(b, p);
    buf_puts(b, ",\"logprob\":");
    print_logprob(b, p->logprob);
    for (size_t i = 0; i < p->n; i++)
        buf_printf(b, i ? ",%u" : ",\"bytes\":[%u", (unsigned)(unsigned char)p->bytes[i]);
    if (p->n)
        buf_puts(b, "]");
}

void print_logprobs(struct buf *b, const struct eng_logprob *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_puts(b, ",");
        put_entry(b, &list[i]);
        for (size_t k = 0; k < list[i].n_top; k++) {
            buf_puts(b, k ? "," : ",\"top_logprobs\":[");
            put_entry(b, &list[i].top[k]);
            buf_puts(b, "}");
        }
        buf_puts(b, list[i].n_top ? "]}" : "}");
    }
}

bool choice_is_cut(const struct choice *ch)
{
    return strcmp(ch->reason, "length") == 0 || strcmp(ch->reason, "deadline") == 0;
}

void random_id(char *out, size_t n)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    unsigned char raw[64];
    for (size_t i = 0; i < n; i++) {
        if (i % sizeof raw == 0 && getrandom(raw, sizeof raw, 0) != sizeof raw)
            memset(raw, (int)time_mono_ns(), sizeof raw);
        out[i] = letters[raw[i % sizeof raw] % (sizeof letters - 1)];
    }
    out[n] = 0;
}

void random_hex(char *out, size_t n)
{
    unsigned char raw[64];
    for (size_t i = 0; i < n; i++) {
        if (i % sizeof raw == 0 && getrandom(raw, sizeof raw, 0) != sizeof raw)
            memset(raw, (int)time_mono_ns(), sizeof raw);
        out[i] = "0123456789abcdef"[raw[i % sizeof raw] & 15];
    }
    out[n] = 0;
}

void answer_remark_headers(struct answer *w)
{
    const struct eng_stats *s = w->last;
    char text[32];
    if (!s)
        return;
    const struct {
        const char *name;
        bool is_there;
        long long value;
    } remarks[] = {
        {"x-chaski-seed", s->seed_drawn, s->seed},
        {"x-chaski-prompt-truncated", s->prompt_truncated > 0, s->prompt_truncated},
        {"x-chaski-context-shifts", s->context_shifts > 0, s->context_shifts},
    };
    for (size_t i = 0; i < sizeof remarks / sizeof *remarks; i++)
        if (remarks[i].is_there) {
            snprintf(text, sizeof text, "%lld", remarks[i].value);
            call_header(w->call, remarks[i].name, text);
        }
}

void print_remarks(struct buf *b, const struct answer *w)
{
    const struct eng_stats *s = w->last;
    if (!s)
        return;
    int truncated = 0, shifts = 0;
    const int n = w->ask.n > 1 ? w->ask.n : 1; /* so many choices share a prompt */
    for (int i = 0; i < w->n_choices; i++) {
        truncated += i % n == 0 ? w->choices[i].stats.prompt_truncated : 0;
        shifts += w->choices[i].stats.context_shifts;
    }
    if (truncated > 0)
        buf_printf(b, ",\"prompt_truncated\":%d", truncated);
    if (shifts > 0)
        buf_printf(b, ",\"context_shifts\":%d", shifts);
    if (s->numerics)
        buf_printf(b, ",\"numerics\":\"%s\"", s->numerics);
    if (w->has_base_seed)
        buf_printf(b, ",\"seed\":%lld", (long long)w->base_seed);
    else if (s->seed_drawn)
        buf_printf(b, ",\"seed\":%lld", (long long)s->seed);
    if (json_array_size(s->warnings)) {
        buf_puts(b, ",\"warnings\":");
        http_print_json(b, s->warnings);
    }
}

void print_debug_info(struct buf *b, const struct answer *w)
{
    buf_puts(b, "\"_debug_info\":{\"rendered_template\":");
    print_json_string(b, w->rendered.p ? w->rendered.p : "", w->rendered.n);
    buf_puts(b, "}");
}
