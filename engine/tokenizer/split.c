/* engine/tokenizer/split.c - cut a text into the words that are merged one by one.
 *
 * PCRE2 with UTF and UCP runs the patterns of pretok_table.c, with machine code where the
 * system allows it and by interpretation where it does not (some kernels forbid writable
 * code). A piece sees nothing outside itself: it is the whole subject of the next pattern, so
 * a look-ahead at its end sees the end of the text. */
#include "engine/tokenizer/inside.h"

#include <stdlib.h>
#include <string.h>

const struct pre_rule *tok_pre_rule_find(struct text name, struct err *e)
{
    for (size_t i = 0; i < tok_n_pre_rules; i++) {
        const struct pre_rule *rule = &tok_pre_rules[i];
        if (strlen(rule->name) == name.n && !memcmp(rule->name, name.p, name.n))
            return rule;
    }
    /* All of them go to the log; the message takes what fits in a struct err. */
    enum { FIT_BYTES = 340 };
    struct buf list = {0};
    size_t fit_bytes = 0, n_fit = 0;
    for (size_t i = 0; i < tok_n_pre_rules; i++) {
        buf_printf(&list, "%s%s", i ? " " : "", tok_pre_rules[i].name);
        if (list.n <= FIT_BYTES) {
            fit_bytes = list.n;
            n_fit = i + 1;
        }
    }
    const char *all = list.p ? list.p : "";
    log_line(LOG_WARN, "pre-tokenizers that are known: %s", all);
    err_set(e, ERR_UNSUPPORTED,
            "pre-tokenizer \"%.*s\" (tokenizer.ggml.pre) is not known; known are: %.*s and %zu "
            "more (the log has them)",
            (int)(name.n < 40 ? name.n : 40), name.p, (int)fit_bytes, all,
            tok_n_pre_rules - n_fit);
    buf_free(&list);
    return NULL;
}

/* PCRE2 takes U+180E for a blank, which Unicode has not done since version 6.3, so \s and \S
 * are spelt out: the controls that are blanks, and the separator categories. */
static void spell_out_blanks(const char *p, struct buf *out)
{
    static const char blanks[] = "\\t-\\r\\x{85}\\p{Z}";
    bool in_class = false;
    for (; *p; p++) {
        if (*p == '\\' && (p[1] == 's' || p[1] == 'S')) {
            if (!in_class)
                buf_puts(out, p[1] == 's' ? "[" : "[^");
            buf_puts(out, blanks);
            if (!in_class)
                buf_puts(out, "]");
            p++;
        } else if (*p == '\\' && p[1]) {
            buf_add(out, p, 2);
            p++;
        } else {
            if (*p == '[')
                in_class = true;
            else if (*p == ']')
                in_class = false;
            buf_add(out, p, 1);
        }
    }
}

static pcre2_code *compile(const char *pattern, struct err *e)
{
    struct buf spelt = {0};
    spell_out_blanks(pattern, &spelt);
    pcre2_code *code = NULL;
    int why = 0;
    PCRE2_SIZE at = 0;
    if (!spelt.failed)
        code = pcre2_compile((PCRE2_SPTR)spelt.p, spelt.n,
                             PCRE2_UTF | PCRE2_UCP | PCRE2_NO_AUTO_CAPTURE, &why, &at, NULL);
    if (!code) {
        PCRE2_UCHAR text[128] = "no memory";
        if (!spelt.failed)
            pcre2_get_error_message(why, text, sizeof text);
        err_set(e, spelt.failed ? ERR_MEMORY : ERR_BUG, "pre-tokenizer pattern, place %zu: %s", at,
                (const char *)text);
    } else {
        /* Without it everything works, only slower. */
        (void)pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
    }
    buf_free(&spelt);
    return code;
}

int tok_splitter_init(struct splitter *s, const struct pre_rule *rule, struct err *e)
{
    *s = (struct splitter){.rule = rule, .options = PCRE2_NO_UTF_CHECK};
    /* The work of each pattern is bound by the text, so the library's own limit, which is
     * meant for patterns from strangers, would only refuse long texts. */
    s->limits = pcre2_match_context_create(NULL);
    if (!s->limits)
        return err_set(e, ERR_MEMORY, "no memory for the pre-tokenizer");
    pcre2_set_match_limit(s->limits, UINT32_MAX);
    for (const char *const *p = rule->patterns; *p && s->n_steps < SPLIT_STEPS_MAX; p++) {
        const char *pattern = *p;
        enum split_how how = SPLIT_MATCHES;
        if (!strcmp(*p, "@3r")) {
            how = SPLIT_THREES_ALONE;
            pattern = "\\p{N}+";
        } else if (!strcmp(*p, "@3")) {
            how = SPLIT_THREES_FRONT;
            pattern = "\\p{Nd}+";
        }
        pcre2_code *code = compile(pattern, e);
        if (!code) {
            tok_splitter_free(s);
            return -1;
        }
        s->step[s->n_steps].code = code;
        s->step[s->n_steps++].how = how;
    }
    return 0;
}

void tok_splitter_free(struct splitter *s)
{
    for (size_t i = 0; i < s->n_steps; i++)
        pcre2_code_free(s->step[i].code);
    pcre2_match_context_free(s->limits);
    *s = (struct splitter){0};
}

size_t tok_splitter_bytes(const struct splitter *s)
{
    size_t sum = 0;
    for (size_t i = 0; i < s->n_steps; i++) {
        size_t n = 0;
        if (!pcre2_pattern_info(s->step[i].code, PCRE2_INFO_SIZE, &n))
            sum += n;
        if (!pcre2_pattern_info(s->step[i].code, PCRE2_INFO_JITSIZE, &n))
            sum += n;
    }
    return sum;
}

void tok_pieces_free(struct pieces *p)
{
    free(p->now);
    free(p->next);
    *p = (struct pieces){0};
}

static int emit(struct pieces *p, uint32_t start, uint32_t end, struct err *e)
{
    if (start == end)
        return 0;
    if (p->n_next == p->cap_next &&
        tok_room_for((void **)&p->next, &p->cap_next, p->n_next + 1, sizeof *p->next, e))
        return -1;
    p->next[p->n_next++] = (struct piece){start, end};
    return 0;
}

static uint32_t next_char(const char *text, uint32_t at, uint32_t end)
{
    do
        at++;
    while (at < end && ((unsigned char)text[at] & 0xc0) == 0x80);
    return at;
}

/* Cut in front of each group of three digits, counted from the right end of the run from..to.
 * `open` is where the piece began that is not emitted yet; the new such place is its value
 * on return. */
static int cut_threes(struct pieces *p, const char *text, uint32_t from, uint32_t to,
                      uint32_t *open, struct err *e)
{
    size_t left = 0;
    for (uint32_t i = from; i < to; i = next_char(text, i, to))
        left++;
    for (uint32_t i = from; i < to; i = next_char(text, i, to), left--)
        if (left % 3 == 0) {
            if (emit(p, *open, i, e))
                return -1;
            *open = i;
        }
    return 0;
}

static int split_piece(const struct splitter *s, size_t step, pcre2_match_data *md,
                       const char *text, struct piece piece, struct pieces *p, struct err *e)
{
    const PCRE2_SPTR subject = (PCRE2_SPTR)(text + piece.start);
    const uint32_t len = piece.end - piece.start;
    const enum split_how how = s->step[step].how;
    const bool drop_gaps = s->rule->flags & PRE_DROP_GAPS;
    uint32_t open = piece.start; /* start of what is not emitted yet */
    for (uint32_t at = 0; at < len;) {
        int rc = pcre2_match(s->step[step].code, subject, len, at, s->options, md, s->limits);
        if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
            rc = pcre2_match(s->step[step].code, subject, len, at, s->options | PCRE2_NO_JIT, md,
                             s->limits);
        if (rc == PCRE2_ERROR_NOMATCH)
            break;
        if (rc < 0)
            return err_set(e, rc == PCRE2_ERROR_NOMEMORY ? ERR_MEMORY : ERR_LIMIT,
                           "the pre-tokenizer \"%s\" gave up on this text (PCRE2 error %d)",
                           s->rule->name, rc);
        const PCRE2_SIZE *m = pcre2_get_ovector_pointer(md);
        const uint32_t from = piece.start + (uint32_t)m[0], to = piece.start + (uint32_t)m[1];
        if (to <= from) { /* no pattern of the table matches nothing; never loop if one does */
            at = next_char(text, from, piece.end) - piece.start;
            continue;
        }
        at = to - piece.start;
        if (how == SPLIT_THREES_FRONT) {
            if (cut_threes(p, text, from, to, &open, e))
                return -1;
            continue;
        }
        if (!drop_gaps && emit(p, open, from, e))
            return -1;
        open = from;
        if (how == SPLIT_THREES_ALONE && cut_threes(p, text, from, to, &open, e))
            return -1;
        if (emit(p, open, to, e))
            return -1;
        open = to;
    }
    return drop_gaps ? 0 : emit(p, open, piece.end, e);
}

int tok_splitter_run(const struct splitter *s, pcre2_match_data *md, const char *text, uint32_t n,
                     struct pieces *p, struct err *e)
{
    p->n_now = p->n_next = 0;
    if (emit(p, 0, n, e))
        return -1;
    for (size_t step = 0;; step++) {
        struct piece *list = p->now; /* what was written becomes what is read */
        const size_t cap = p->cap_now;
        p->now = p->next;
        p->cap_now = p->cap_next;
        p->n_now = p->n_next;
        p->next = list;
        p->cap_next = cap;
        p->n_next = 0;
        if (step == s->n_steps)
            return 0;
        for (size_t i = 0; i < p->n_now; i++)
            if (split_piece(s, step, md, text, p->now[i], p, e))
                return -1;
    }
}
