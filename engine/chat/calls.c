/* engine/chat/calls.c - a grammar for answers that may call tools: a call that is begun has the
 * name of a tool and arguments that obey its schema, so that it can always be read and always
 * validates.
 *
 * Text before a call is free. "Free, up to the tag" is an automaton that remembers how much of the
 * tag has been read (Knuth, Morris, Pratt), written down as rules. */
#include "engine/chat/split.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_TAG = 64 };

/* A text as a GBNF string. */
static void put_string(struct buf *b, const char *p, size_t n)
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
    put_string(b, p, strlen(p));
}

/* A name as a JSON string, as a GBNF string. */
static void put_name(struct buf *b, const json_t *name)
{
    char *json = json_dumps(name, JSON_ENCODE_ANY);
    put_text(b, json ? json : "\"\"");
    free(json);
}

/* Rules NAME-0.. : any text in which `tag` does not stand, then the tag, then `then`. `may_end`:
 * the text may also end before the tag comes. */
static void put_free(struct buf *b, const char *name, const char *tag, const char *then,
                     bool may_end)
{
    uint32_t cp[MOST_TAG];
    size_t n = 0, fail[MOST_TAG + 1];
    for (size_t i = 0, len = strlen(tag); i < len && n < MOST_TAG;) {
        bool bad;
        i += text_decode(tag + i, len - i, &cp[n++], &bad);
    }
    fail[0] = 0;
    for (size_t i = 1; i <= n; i++) {
        size_t k = i > 1 ? fail[i - 1] : 0;
        while (i > 1 && k && cp[k] != cp[i - 1])
            k = fail[k];
        fail[i] = i > 1 && cp[k] == cp[i - 1] ? k + 1 : 0;
    }
    for (size_t i = 0; i < n; i++) {
        buf_printf(b, "%s-%zu ::= ", name, i);
        if (may_end)
            buf_puts(b, "\"\" | ");
        /* Each character that leads somewhere else than to the start. */
        struct buf others = {0};
        for (size_t c = 0; c < n; c++) {
            bool seen = false;
            for (size_t k = 0; k < c; k++)
                seen |= cp[k] == cp[c];
            if (seen)
                continue;
            size_t k = i;
            while (k && cp[k] != cp[c])
                k = fail[k];
            const size_t to = cp[k] == cp[c] ? k + 1 : 0;
            buf_printf(&others, "\\U%08x", (unsigned)cp[c]);
            if (to == n)
                buf_printf(b, "[\\U%08x] %s | ", (unsigned)cp[c], then);
            else
                buf_printf(b, "[\\U%08x] %s-%zu | ", (unsigned)cp[c], name, to);
        }
        buf_printf(b, "[^%s] %s-0\n", others.p ? others.p : "", name);
        b->failed = b->failed || others.failed;
        buf_free(&others);
    }
}

/* The parts of a call, for tool i: what stands around its arguments. */
static int put_call(struct buf *b, const struct call_format *f, const json_t *name, size_t i)
{
    const char *word = json_string_value(name);
    switch (f->kind) {
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

int chat_calls_grammar(const struct chat_manner *m, const json_t *tools, enum chat_choice choice,
                       bool one_call, bool think, bool inside, struct buf *b, json_t **schemas,
                       struct err *e)
{
    const struct call_format *f = format_of(m->calls);
    const bool bare = !f->open[0] || f->kind == CALLS_LLAMA3;
    const bool list = is_list(f->kind), thinks = think && m->think_close[0];
    *schemas = json_object();
    if (!*schemas)
        goto none;
    buf_puts(b, "ws ::= [ \\n]{0,16}\ncall ::= ");
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const json_t *fn = json_object_get(json_array_get(tools, i), "function");
        const json_t *name = json_object_get(fn, "name");
        char key[24];
        snprintf(key, sizeof key, "t%zu", i);
        if (!json_is_string(name))
            return 1;
        if (i)
            buf_puts(b, " | ");
        if (put_call(b, f, name, i))
            return 1;
        if (json_object_set_new(*schemas, key, arguments_schema(fn)))
            goto none;
    }
    buf_puts(b, "\nbody ::= ");
    if (list && one_call)
        buf_puts(b, "ws \"[\" ws call ws \"]\" ws ");
    else if (list)
        buf_puts(b, "ws \"[\" ws call ws ( \",\" ws call ws )* \"]\" ws ");
    else if (f->kind == CALLS_MISTRAL_NAMED || f->kind == CALLS_FUNCTIONARY ||
             f->kind == CALLS_KIMI || f->kind == CALLS_DEEPSEEK)
        buf_puts(b, "call ");
    else
        buf_puts(b, "ws call ws ");
    if (f->close && !bare)
        put_text(b, f->close);
    buf_puts(b, "\n");
    if (bare) {
        /* The answer is a call, or it does not begin as one does. */
        buf_puts(b, "calls ::= ");
        if (f->kind == CALLS_LLAMA3)
            buf_puts(b, "\"<|python_tag|>\"? ");
        buf_puts(b, one_call ? "call\n" : "call ( [;] ws call )*\n");
        buf_puts(b,
                 choice == CHOICE_AUTO ? "main ::= ws calls | ws other?\n" : "main ::= ws calls\n");
        buf_puts(b,
                 f->kind == CALLS_LLAMA3 ? "other ::= [^{< \\n] .*\n" : "other ::= [^{ \\n] .*\n");
    } else {
        buf_puts(b, "more ::= body ");
        if (!one_call && choice == CHOICE_AUTO)
            buf_puts(b, "free-0\n");
        else if (!one_call) {
            buf_puts(b, "( ws ");
            put_text(b, f->open[0]);
            buf_puts(b, "body )* ws\n");
        } else {
            buf_puts(b, "ws\n");
        }
        if (choice == CHOICE_AUTO) {
            put_free(b, "free", f->open[0], "more", true);
            buf_puts(b, "main ::= free-0\n");
        } else {
            buf_puts(b, "main ::= ws ");
            put_text(b, f->open[0]);
            buf_puts(b, "more\n");
        }
    }
    if (thinks) {
        put_free(b, "think", m->think_close, "begun", choice == CHOICE_AUTO);
        buf_puts(b, "begun ::= ws main\n");
    }
    if (thinks && inside) {
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
none:
    return err_set(e, ERR_MEMORY, "out of memory");
}
