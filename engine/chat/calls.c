/* engine/chat/calls.c - a grammar for answers that may call tools: a call that is begun has the
 * name of a tool and arguments that obey its schema, so that it can always be read and always
 * validates.
 *
 * Text before a call is free. "Free, up to a tag" is an automaton that remembers how much of a tag
 * has been read (Aho, Corasick), written down as rules. */
#include "engine/chat/split.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_TAG = 64, MOST_FREE = 6 };

void gbnf_string(struct buf *b, const char *p, size_t n)
{
    buf_puts(b, "\"");
    for (size_t i = 0; i < n; i++) {
        const char c = p[i];
        if (c == '"' || c == '\\')
            buf_puts(b, "\\");
        if (c == '\n')
            buf_puts(b, "\\n");
        else if ((unsigned char)c < 32)
            buf_printf(b, "\\x%02x", c);
        else
            buf_add(b, &c, 1);
    }
    buf_puts(b, "\" ");
}

static void put_text(struct buf *b, const char *p)
{
    gbnf_string(b, p, strlen(p));
}

/* A name as a JSON string, as a GBNF string. */
static void put_name(struct buf *b, const json_t *name)
{
    char *json = json_dumps(name, JSON_ENCODE_ANY);
    put_text(b, json ? json : "\"\"");
    free(json);
}

/* Where reading c leads behind the first k characters of tag t: the tag of *tag that has come
 * whole, or the longest beginning of one. */
static size_t free_next(uint32_t cp[][MOST_TAG], const size_t *n, size_t n_tags, size_t *tag,
                        size_t k, uint32_t c, bool *whole)
{
    uint32_t read[MOST_TAG + 1];
    memcpy(read, cp[*tag], k * sizeof *read);
    read[k++] = c;
    for (int pass = 0; pass < 2; pass++)
        for (size_t from = 0; from < k; from++)
            for (size_t t = 0; t < n_tags; t++) {
                const size_t m = k - from;
                if (m > n[t] || (pass == 0) != (m == n[t]) ||
                    memcmp(read + from, cp[t], m * sizeof *read) != 0)
                    continue;
                *whole = pass == 0;
                *tag = t;
                return m;
            }
    *whole = false;
    *tag = 0;
    return 0;
}

void gbnf_free(struct buf *b, const char *name, const struct free_tag *tags, bool may_end)
{
    uint32_t cp[MOST_FREE][MOST_TAG], chars[MOST_FREE * MOST_TAG];
    size_t n[MOST_FREE], n_tags = 0, n_chars = 0;
    struct buf others = {0};
    for (; n_tags < MOST_FREE && tags[n_tags].tag; n_tags++) {
        const char *tag = tags[n_tags].tag;
        n[n_tags] = 0;
        for (size_t i = 0, len = strlen(tag); i < len && n[n_tags] < MOST_TAG;) {
            bool bad;
            uint32_t *c = &cp[n_tags][n[n_tags]++];
            size_t k = 0;
            i += text_decode(tag + i, len - i, c, &bad);
            while (k < n_chars && chars[k] != *c)
                k++;
            if (k < n_chars)
                continue;
            chars[n_chars++] = *c;
            buf_printf(&others, "\\U%08x", (unsigned)*c);
        }
    }
    /* A rule for each beginning of a tag; tags that begin alike share it. */
    for (size_t t = 0; t < n_tags; t++)
        for (size_t k = t > 0; k < n[t]; k++) {
            bool seen = false;
            for (size_t o = 0; o < t; o++)
                seen |= k < n[o] && memcmp(cp[o], cp[t], k * sizeof **cp) == 0;
            if (seen)
                continue;
            buf_printf(b, "%s-%zu ::= %s", name, t * MOST_TAG + k, may_end ? "\"\" | " : "");
            for (size_t c = 0; c < n_chars; c++) {
                size_t to = t;
                bool whole;
                const size_t m = free_next(cp, n, n_tags, &to, k, chars[c], &whole);
                if (!whole)
                    buf_printf(b, "[\\U%08x] %s-%zu | ", (unsigned)chars[c], name,
                               to * MOST_TAG + m);
                else if (tags[to].then)
                    buf_printf(b, "[\\U%08x] %s | ", (unsigned)chars[c], tags[to].then);
            }
            buf_printf(b, "[^%s] %s-0\n", others.p ? others.p : "", name);
        }
    b->failed = b->failed || others.failed;
    buf_free(&others);
}

/* The parts of a call, for tool i: what stands around its arguments. */
static int put_call(struct buf *b, struct buf *rules, const struct call_format *f, const json_t *fn,
                    size_t i, json_t *schemas)
{
    const json_t *name = json_object_get(fn, "name");
    const char *word = json_string_value(name);
    switch (f->kind) {
    case CALLS_HARMONY:
        put_text(b, word);
        buf_printf(b, "\" <|constrain|>json\"? \"<|message|>\" %%t%zu", i);
        return 0;
    case CALLS_QWEN_XML:
    case CALLS_SEED:
    case CALLS_MINIMAX:
    case CALLS_GLM:
        return gbnf_tagged_call(b, f->kind, fn, i, schemas);
    case CALLS_LFM2:
    case CALLS_OLMO3:
    case CALLS_GEMMA4:
    case CALLS_FUNCTIONGEMMA:
        return gbnf_members_call(b, rules, f, fn, i, schemas);
    case CALLS_HERMES:
    case CALLS_NEMOTRON:
    case CALLS_GRANITE:
    case CALLS_MISTRAL:
    case CALLS_FIREFUNCTION:
    case CALLS_PLAIN:
    case CALLS_LLAMA3:
        buf_puts(b, "\"{\" ws \"\\\"name\\\"\" ws \":\" ws ");
        put_name(b, name);
        buf_printf(b, "ws \",\" ws \"\\\"%s\\\"\" ws \":\" ws %%t%zu ws \"}\"",
                   f->kind == CALLS_LLAMA3 ? "parameters" : "arguments", i);
        return 0;
    case CALLS_COMMAND_A:
    case CALLS_COMMAND_R:
        buf_puts(b, "\"{\" ws ");
        if (f->kind == CALLS_COMMAND_A)
            buf_puts(b, "\"\\\"tool_call_id\\\":\" ws \"\\\"\" [0-9]{1,3} \"\\\",\" ws ");
        buf_puts(b, "\"\\\"tool_name\\\":\" ws ");
        put_name(b, name);
        buf_printf(b, "\",\" ws \"\\\"parameters\\\":\" ws %%t%zu ws \"}\"", i);
        return 0;
    case CALLS_APERTUS:
        buf_puts(b, "\"{\" ws ");
        put_name(b, name);
        buf_printf(b, "\":\" ws %%t%zu ws \"}\"", i);
        return 0;
    case CALLS_MISTRAL_NAMED:
        put_text(b, word);
        put_text(b, "[ARGS]");
        buf_printf(b, "%%t%zu", i);
        return 0;
    case CALLS_FUNCTIONARY:
        put_text(b, word);
        buf_printf(b, "\">\" %%t%zu", i);
        return 0;
    case CALLS_KIMI:
        put_text(b, "functions.");
        put_text(b, word);
        buf_puts(b, "\":\" [0-9]{1,3} ");
        put_text(b, f->name_end);
        buf_printf(b, "%%t%zu", i);
        return 0;
    case CALLS_DEEPSEEK:
        buf_puts(b, "( \"function\" ");
        put_text(b, f->name_end);
        put_text(b, word);
        buf_printf(b, "\"\\n```json\\n\" %%t%zu \"\\n```\" | ", i);
        put_text(b, word);
        put_text(b, f->name_end);
        buf_printf(b, "%%t%zu )", i);
        return 0;
    default:
        return 1;
    }
}

static bool is_list(enum chat_calls kind)
{
    return kind == CALLS_NEMOTRON || kind == CALLS_GRANITE || kind == CALLS_MISTRAL ||
           kind == CALLS_FIREFUNCTION || kind == CALLS_COMMAND_A || kind == CALLS_COMMAND_R ||
           kind == CALLS_APERTUS;
}

/* The schema of a tool's arguments: always an object. */
static json_t *arguments_schema(const json_t *function)
{
    json_t *p = json_object_get(function, "parameters");
    json_t *s = json_is_object(p) && json_object_size(p)
                    ? json_deep_copy(p)
                    : json_pack("{s:s, s:{}}", "type", "object", "properties");
    const json_t *type = json_object_get(s, "type");
    if (s && (!json_is_string(type) || !json_string_length(type)) &&
        json_object_set_new(s, "type", json_string("object"))) {
        json_decref(s);
        s = NULL;
    }
    return s;
}

/* A grammar of the user's among ours: its rules get names of their own. */
static void put_renamed(struct buf *b, const char *p)
{
    static const char word[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    while (*p) {
        const char *from = p;
        const char stop = *p == '"'   ? '"'
                          : *p == '[' ? ']'
                          : *p == '{' ? '}'
                          : *p == '#' ? '\n'
                                      : 0;
        const size_t n = strspn(p, word);
        if (stop) {
            for (p++; *p && *p != stop; p++)
                p += *p == '\\' && p[1] && stop != '\n';
            p += *p != 0;
        } else if (n) {
            buf_puts(b, "u-");
            p += n;
        } else {
            p++;
        }
        buf_add(b, from, (size_t)(p - from));
    }
    buf_puts(b, "\n");
}

/* The rule of an answer that is no call; NULL: free text. */
static const char *answer_of(const struct chat_rules *r)
{
    return r->answer ? "%answer" : r->grammar ? "u-root" : NULL;
}

/* All that open a call, each followed by `more`; room for one more tag is left. */
static size_t open_tags(const struct call_format *f, struct free_tag *tags)
{
    size_t n = 0;
    for (; n < 3 && f->open[n]; n++)
        tags[n] = (struct free_tag){f->open[n], "more"};
    tags[n] = (struct free_tag){NULL, NULL};
    return n;
}

/* Rules `body` (behind the opening tag) and `main` for answers that may call. */
static void put_main(struct buf *b, const struct call_format *f, const struct chat_rules *r)
{
    const bool bare = !f->open[0] || f->kind == CALLS_LLAMA3, list = is_list(f->kind);
    const bool may_say = r->choice == CHOICE_AUTO;
    const char *answer = answer_of(r);
    buf_puts(b, "\nbody ::= ");
    if (f->kind == CALLS_LFM2)
        buf_printf(b, "\"[\" call %s\"]\" ", r->one_call ? "" : "( \", \" call )* ");
    else if (list)
        buf_printf(b, "ws \"[\" ws call ws %s\"]\" ws ",
                   r->one_call ? "" : "( \",\" ws call ws )* ");
    else if (f->body == BODY_NAMED)
        buf_puts(b, "call ");
    else if ((f->kind == CALLS_MINIMAX || f->kind == CALLS_OLMO3) && !r->one_call)
        buf_puts(b, "ws call ( ws call )* ws ");
    else
        buf_puts(b, "ws call ws ");
    if (f->close && !bare)
        put_text(b, f->close);
    buf_puts(b, "\n");
    if (bare) { /* the answer is a call, or it does not begin as one does */
        buf_puts(b, "calls ::= ");
        if (f->kind == CALLS_LLAMA3)
            buf_puts(b, "\"<|python_tag|>\"? ");
        buf_puts(b, r->one_call ? "call\n" : "call ( [;] ws call )*\n");
        buf_printf(b, "main ::= ws calls%s%s\n", may_say ? " | " : "",
                   !may_say ? ""
                   : answer ? answer
                            : "ws other?");
        if (may_say && !answer)
            buf_puts(b, f->kind == CALLS_LLAMA3 ? "other ::= [^{< \\n] .*\n"
                                                : "other ::= [^{ \\n] .*\n");
        return;
    }
    const bool free_text = may_say && !answer;
    buf_puts(b, "more ::= body ");
    if (r->one_call) {
        buf_puts(b, "ws\n");
    } else if (free_text) {
        buf_puts(b, "free-0\n");
    } else {
        buf_puts(b, "( ws ");
        put_text(b, f->open[0]);
        buf_puts(b, "body )* ws\n");
    }
    if (free_text) {
        struct free_tag tags[MOST_FREE] = {{NULL, NULL}};
        const size_t n = open_tags(f, tags);
        if (f->kind == CALLS_QWEN_XML) /* sometimes the outer tag is left out */
            tags[n] = (struct free_tag){"<function=", r->one_call ? "inner ws" : "inner free-0"};
        gbnf_free(b, "free", tags, true);
    }
    buf_puts(b, free_text ? "main ::= free-0\n" : "main ::= ws ");
    if (free_text)
        return;
    put_text(b, f->open[0]);
    buf_printf(b, "more%s%s\n", may_say ? " | " : "", may_say ? answer : "");
}

/* Messages of gpt-oss: thoughts and preambles as many as it likes, then an answer or a call. */
static int put_harmony(struct buf *b, const struct chat_rules *r)
{
    const bool calls = json_array_size(r->tools) > 0, says = r->choice == CHOICE_AUTO;
    buf_puts(b, "root ::= \"<|channel|>\" ( \"analysis<|message|>\" think-0");
    if (says && calls && !answer_of(r))
        buf_puts(b, " | \"commentary<|message|>\" think-0");
    if (calls)
        buf_puts(b, " | \"commentary to=functions.\" call");
    if (says)
        buf_printf(b, " | \"final<|message|>\" %s", answer_of(r) ? answer_of(r) : ".*");
    buf_puts(b, " )\nagain ::= \"<|start|>assistant\" root\n");
    gbnf_free(b, "think", (struct free_tag[]){{"<|end|>", "again"}, {NULL, NULL}}, false);
    return b->failed ? -1 : 0;
}

int chat_grammar(const struct chat_manner *m, const struct chat_rules *r, struct buf *b,
                 json_t **schemas, struct err *e)
{
    struct call_format own;
    const struct call_format *f = &own;
    format_for(m, &own);
    const bool thinks = r->think && m->think_close[0];
    *schemas = json_object();
    if (!*schemas ||
        (r->answer && json_object_set(*schemas, "answer", (json_t *)(uintptr_t)r->answer)))
        goto none;
    if (r->grammar)
        put_renamed(b, r->grammar);
    if (f->body == BODY_HARMONY && !json_array_size(r->tools))
        goto harmony;
    buf_puts(b, "ws ::= [ \\n]{0,16}\n");
    if (!json_array_size(r->tools)) {
        buf_printf(b, "main ::= %s\n", answer_of(r) ? answer_of(r) : ".*");
    } else {
        struct buf own_rules = {0};
        buf_puts(b, f->kind == CALLS_QWEN_XML ? "call ::= \"<function=\" inner\ninner ::= "
                                              : "call ::= ");
        for (size_t i = 0; i < json_array_size(r->tools); i++) {
            const json_t *fn = json_object_get(json_array_get(r->tools, i), "function");
            const json_t *name = json_object_get(fn, "name");
            char key[24];
            snprintf(key, sizeof key, "t%zu", i);
            if (i)
                buf_puts(b, " | ");
            const int rc = json_is_string(name) ? put_call(b, &own_rules, f, fn, i, *schemas) : 1;
            if (rc) {
                buf_free(&own_rules);
                if (rc < 0)
                    goto none;
                return 1;
            }
            if (json_object_set_new(*schemas, key, arguments_schema(fn))) {
                buf_free(&own_rules);
                goto none;
            }
        }
        buf_puts(b, "\n");
        buf_add(b, own_rules.p ? own_rules.p : "", own_rules.n);
        b->failed = b->failed || own_rules.failed;
        buf_free(&own_rules);
        gbnf_raw_rules(b, f);
        if (f->body == BODY_HARMONY)
            goto harmony;
        put_main(b, f, r);
    }
    if (thinks) {
        struct free_tag tags[MOST_FREE] = {{NULL, NULL}};
        const bool bare = !f->open[0] || f->kind == CALLS_LLAMA3;
        /* A call ends the thoughts too. */
        const size_t n = json_array_size(r->tools) && !bare ? open_tags(f, tags) : 0;
        tags[n] = (struct free_tag){m->think_close, "begun"};
        gbnf_free(b, "think", tags, r->choice == CHOICE_AUTO && !answer_of(r));
        buf_puts(b, "begun ::= ws main\n");
    }
    if (thinks && r->inside) {
        buf_puts(b, "root ::= think-0\n");
    } else if (thinks) {
        buf_puts(b, "root ::= main | ws ");
        put_text(b, m->think_open);
        buf_puts(b, "think-0\n");
    } else {
        buf_puts(b, "root ::= main\n");
    }
    if (!b->failed)
        return 0;
    goto none;
harmony:
    if (put_harmony(b, r) == 0)
        return 0;
none:
    return err_set(e, ERR_MEMORY, "out of memory");
}
