/* tools/accept.c - `chaski accept`: may this text be produced under that schema or grammar?
 *
 * The protocol is the one of the checker of the schema cases: a JSON object a line on stdin,
 * {"schema": S, "text": T} or {"grammar": G, "text": T}, and a line of answer for each: `accept`,
 * `reject`, or `refused: REASON`. With {"sample": N} instead of a text the answer is `text: "..."`,
 * a random text that may be produced, by the seed N. A model is not needed: this is the automaton.
 */
#include "tools/args.h"
#include "tools/commands.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/grammar/grammar.h"
#include "engine/tokenizer/tokenizer.h"
#include "gguf/gguf.h"

enum { MOST_TIMES = 1 << 20 };

struct times { /* microseconds */
    double *v;
    size_t n;
};

struct session { /* the grammar of the last line: the next one often has the same */
    json_t *rules;
    struct grammar *g;
    struct err why;
    /* --times: masks of a vocabulary, beside the answers */
    struct tok_vocab *vocab;
    struct grammar_vocab *words;
    struct times compile, mask;
};

static void add_time(struct times *t, int64_t since_ns)
{
    if (!t->v)
        t->v = malloc(MOST_TIMES * sizeof *t->v);
    if (t->v && t->n < MOST_TIMES)
        t->v[t->n++] = (double)(time_mono_ns() - since_ns) / 1000;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void print_times(const char *what, struct times *t)
{
    double sum = 0;
    if (!t->n)
        return;
    qsort(t->v, t->n, sizeof *t->v, by_size);
    for (size_t i = 0; i < t->n; i++)
        sum += t->v[i];
    fprintf(stderr, "%s: %zu, mean %.1f us, median %.1f, 95 %% %.1f, 99 %% %.1f, most %.1f\n", what,
            t->n, sum / (double)t->n, t->v[t->n / 2], t->v[t->n * 95 / 100], t->v[t->n * 99 / 100],
            t->v[t->n - 1]);
}

static struct text piece_of(void *arg, int32_t id)
{
    return tok_piece(arg, id, false);
}

/* A mask before each token of the text, as an answer would need it. */
static void time_masks(struct session *s, const char *text, size_t n)
{
    struct tok_ids ids = {0};
    struct err e = {0};
    const struct text_span none = {0, 0};
    uint32_t state = grammar_start(s->g);
    if (tok_encode(s->vocab, text, n, &none, 0, &ids, &e))
        ids.n = 0;
    for (size_t i = 0; i < ids.n && state != GRAMMAR_DEAD; i++) {
        const int64_t since = time_mono_ns();
        const uint64_t *mask = grammar_mask(s->g, s->words, state);
        const struct text piece = tok_piece(s->vocab, ids.ids[i], false);
        add_time(&s->mask, since);
        state = grammar_steps(s->g, state, piece.p, piece.n);
        if (mask && (mask[ids.ids[i] / 64] >> (ids.ids[i] % 64) & 1) != (state != GRAMMAR_DEAD))
            fprintf(stderr, "token %d of %.200s: the mask is wrong\n", (int)ids.ids[i], text);
    }
    tok_ids_free(&ids);
}

static void set_rules(struct session *s, json_t *rules)
{
    if (s->rules && json_equal(s->rules, rules) && (json_is_string(rules) || s->vocab))
        return;
    grammar_free(s->g);
    json_decref(s->rules);
    s->rules = json_incref(rules);
    s->why = (struct err){0};
    const int64_t since = time_mono_ns();
    s->g = json_is_string(rules)
               ? grammar_gbnf(json_string_value(rules), json_string_length(rules), NULL, &s->why)
               : grammar_json(rules, &s->why);
    if (s->vocab)
        add_time(&s->compile, since);
}

/* A random text: mostly any byte that may come, an end now and then, so that it stays short. */
static void sample(struct grammar *g, uint64_t seed, struct buf *out)
{
    uint32_t state = grammar_start(g);
    uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;
    while (out->n < 4096) {
        unsigned char may[256];
        int n = 0, ends = 0;
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        if (grammar_may_end(g, state) && (x >> 40) % 4 != 0)
            return;
        for (int c = 0; c < 256; c++) {
            if (grammar_step(g, state, (unsigned char)c) == GRAMMAR_DEAD)
                continue;
            /* Closing marks first, and words before exotic characters. */
            const int times = strchr("\"]}", c) && c ? 12 : c >= 0x80 || c == '\\' ? 0 : 1;
            ends += times;
            may[n++] = (unsigned char)c;
        }
        if (!n)
            return;
        int pick = ends ? (int)((x >> 20) % (uint64_t)ends) : -1, i = 0;
        for (; pick >= 0 && i < n; i++) {
            pick -= strchr("\"]}", may[i]) && may[i]   ? 12
                    : may[i] >= 0x80 || may[i] == '\\' ? 0
                                                       : 1;
            if (pick < 0)
                break;
        }
        if (!ends)
            i = (int)((x >> 20) % (uint64_t)n);
        const char c = (char)may[i];
        buf_add(out, &c, 1);
        state = grammar_step(g, state, (unsigned char)c);
    }
}

static void print_sample(struct session *s, const json_t *seed)
{
    struct buf text = {0};
    sample(s->g, (uint64_t)json_integer_value(seed), &text);
    json_t *v = json_stringn(text.p ? text.p : "", text.n);
    char *quoted = v ? json_dumps(v, JSON_ENCODE_ANY | JSON_ENSURE_ASCII) : NULL;
    printf("text: %s\n", quoted ? quoted : "\"\"");
    free(quoted);
    json_decref(v);
    buf_free(&text);
}

/* One line's answer on stdout. */
static void answer(struct session *s, const char *line, size_t n)
{
    json_error_t bad;
    json_t *ask = json_loadb(line, n, JSON_DECODE_ANY | JSON_ALLOW_NUL, &bad);
    json_t *schema = json_object_get(ask, "schema"), *gbnf = json_object_get(ask, "grammar"),
           *text = json_object_get(ask, "text"), *seed = json_object_get(ask, "sample");
    if (!ask) {
        printf("refused: not JSON: %s\n", bad.text);
    } else if ((!json_is_string(text) && !json_is_integer(seed)) ||
               (!schema && !json_is_string(gbnf))) {
        printf("refused: a text and a schema or a grammar are needed\n");
    } else {
        set_rules(s, schema ? schema : gbnf);
        if (!s->g && text && !strncmp(s->why.text, GRAMMAR_NO_VALUE, strlen(GRAMMAR_NO_VALUE))) {
            printf("reject\n"); /* understood: no text at all is right */
        } else if (!s->g) {
            printf("refused: %s\n", s->why.text);
        } else if (!text) {
            print_sample(s, seed);
        } else {
            const uint32_t end = grammar_steps(s->g, grammar_start(s->g), json_string_value(text),
                                               json_string_length(text));
            const struct err *failed = grammar_failed(s->g);
            if (s->vocab)
                time_masks(s, json_string_value(text), json_string_length(text));
            if (failed)
                printf("refused: %s\n", failed->text);
            else
                printf("%s\n", grammar_may_end(s->g, end) ? "accept" : "reject");
        }
    }
    fflush(stdout);
    json_decref(ask);
}

static int open_vocab(struct session *s, const char *file, struct err *e)
{
    struct gguf *g = gguf_open(file, e);
    s->vocab = g ? tok_vocab_new(g, e) : NULL;
    gguf_close(g);
    if (s->vocab)
        s->words = grammar_vocab_new(tok_n_vocab(s->vocab), piece_of, s->vocab, e);
    return s->words ? 0 : -1;
}

int cmd_accept(int argc, char **argv)
{
    const char *file = NULL;
    const struct arg_flag flags[] = {
        {"times", 't', ARG_TEXT, &file,
         "GGUF file with a vocabulary: say on stderr how long its masks take"},
        {NULL, 0, 0, NULL, NULL},
    };
    const struct command c = {
        .name = "accept",
        .about =
            "Say which texts a JSON schema or a grammar allows: one JSON object a line on "
            "stdin,\n{\"schema\": S, \"text\": T} or {\"grammar\": GBNF, \"text\": T}; for each "
            "a line: accept,\nreject, or refused: REASON",
        .use = "< LINES",
        .flags = flags,
    };
    struct session s = {0};
    struct err e = {0};
    int words;
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    int rc = args_parse(&c, argc, argv, &words);
    if (rc >= 0)
        return rc;
    if (file && open_vocab(&s, file, &e)) {
        rc = fail_with(1, "%s", e.text);
        goto done;
    }
    while ((n = getline(&line, &cap, stdin)) > 0)
        answer(&s, line, (size_t)n);
    rc = ferror(stdin) ? fail_with(1, "read stdin: %s", strerror(errno)) : 0;
    print_times("schemas", &s.compile);
    print_times("masks", &s.mask);
done:
    free(line);
    free(s.compile.v);
    free(s.mask.v);
    grammar_vocab_free(s.words);
    tok_vocab_free(s.vocab);
    grammar_free(s.g);
    json_decref(s.rules);
    return rc;
}
