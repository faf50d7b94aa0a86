/* engine/store/modelfile.c - reading Modelfiles: the reference's machine, character by character.
 *
 * Facts: shared/spec modelfile-and-templates.md 1.1 to 1.3, whose state table this file is. Kept
 * with its oddities (CRLF counts two lines, control characters vanish outside of tabs and line
 * ends), because Modelfiles are passed between the two programs. One pass, bounded by the input. */
#include "engine/store/inside.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MODELFILE_MAX = 64 << 20 }; /* bytes; licences and templates are far smaller */

enum state { ST_START, ST_COMMENT, ST_NAME, ST_PARAMETER, ST_ROLE, ST_VALUE };

struct parser {
    struct modelfile *out;
    size_t cap;
    struct buf b;    /* the buffer of the current state */
    struct buf name; /* of the command whose value is read */
    char role[16];   /* of a MESSAGE, or "" */
    bool is_parameter, has_from;
    size_t solid; /* bytes of b up to its last character that is no blank */
    size_t line;
};

static const char *const commands[] = {"from",   "license",   "template",  "system",
                                       "adapter", "draft",     "renderer",  "parser",
                                       "parameter", "message", "requires"};

static bool is_space(uint32_t c)
{
    return c == ' ' || c == '\t';
}

static bool is_newline(uint32_t c)
{
    return c == '\n' || c == '\r';
}

static bool is_alpha(uint32_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static void put_rune(struct buf *b, uint32_t cp)
{
    char c[4];
    buf_add(b, c, text_encode(cp, c));
}

static void buf_reset(struct buf *b)
{
    b->n = 0;
    if (b->p)
        b->p[0] = 0;
}

static const char *buf_text(const struct buf *b)
{
    return b->p ? b->p : "";
}

/* The buffer of a value without blanks at its ends. Blanks in front were never put in, and
 * those at the end are behind `solid`: no loop, so a file of line ends costs no square. */
static struct text trimmed(const struct parser *p)
{
    return (struct text){buf_text(&p->b), p->solid};
}

/* What stands between the quotes, or the text itself; false while they are open. */
static bool unquote(struct text t, struct text *out)
{
    if (t.n >= 3 && !memcmp(t.p, "\"\"\"", 3)) {
        if (t.n < 6 || memcmp(t.p + t.n - 3, "\"\"\"", 3))
            return false;
        *out = (struct text){t.p + 3, t.n - 6};
        return true;
    }
    if (t.n && t.p[0] == '"') {
        if (t.n < 2 || t.p[t.n - 1] != '"')
            return false;
        *out = (struct text){t.p + 1, t.n - 2};
        return true;
    }
    *out = t;
    return true;
}

static int bad_command(const struct parser *p, struct err *e)
{
    return err_set(e, ERR_INPUT,
                   "(line %zu): command must be one of \"from\", \"license\", \"template\", "
                   "\"system\", \"adapter\", \"draft\", \"renderer\", \"parser\", \"parameter\", "
                   "\"message\", or \"requires\"",
                   p->line);
}

static int cut_off(const struct parser *p, struct err *e)
{
    return err_set(e, ERR_INPUT, "unexpected EOF: %.200s", buf_text(&p->b));
}

/* A command name is complete: the next state. */
static int take_name(struct parser *p, enum state *next, struct err *e)
{
    const char *name = buf_text(&p->b);
    size_t i = 0;
    const size_t n = sizeof commands / sizeof commands[0];
    while (i < n && strcasecmp(commands[i], name))
        i++;
    if (i == n)
        return bad_command(p, e);
    p->is_parameter = !strcmp(commands[i], "parameter");
    buf_reset(&p->name);
    buf_puts(&p->name, commands[i]);
    *next = p->is_parameter ? ST_PARAMETER : !strcmp(commands[i], "message") ? ST_ROLE : ST_VALUE;
    return 0;
}

static int add_command(struct parser *p, struct text value, struct err *e)
{
    struct modelfile *m = p->out;
    if (m->n_cmds == p->cap) {
        const size_t cap = p->cap ? 2 * p->cap : 16;
        struct modelfile_cmd *c = realloc(m->cmds, cap * sizeof *c);
        if (!c)
            return err_set(e, ERR_MEMORY, "out of memory");
        m->cmds = c;
        p->cap = cap;
    }
    struct buf arg = {0};
    if (p->role[0])
        buf_printf(&arg, "%s: ", p->role);
    buf_add(&arg, value.p, value.n);
    char *name = strdup(buf_text(&p->name));
    if (!name || arg.failed) {
        free(name);
        buf_free(&arg);
        return err_set(e, ERR_MEMORY, "out of memory");
    }
    m->cmds[m->n_cmds++] = (struct modelfile_cmd){name, arg.p, p->is_parameter};
    p->has_from |= !p->is_parameter && !strcmp(name, "from");
    p->role[0] = 0;
    return 0;
}

static int take_role(struct parser *p, struct err *e)
{
    const char *r = buf_text(&p->b);
    if (strcmp(r, "system") && strcmp(r, "user") && strcmp(r, "assistant"))
        return err_set(e, ERR_INPUT,
                       "(line %zu): message role must be one of \"system\", \"user\", or "
                       "\"assistant\"",
                       p->line);
    snprintf(p->role, sizeof p->role, "%s", r);
    return 0;
}

/* One character in one state. */
static int step(struct parser *p, enum state *st, uint32_t c, struct err *e)
{
    enum state next = *st;
    struct text value;
    switch (*st) {
    case ST_START:
        if (c == '#')
            next = ST_COMMENT;
        else if (!is_space(c) && !is_newline(c))
            next = ST_NAME;
        break;
    case ST_COMMENT:
        if (is_newline(c))
            next = ST_START;
        break;
    case ST_NAME:
        if (is_space(c)) {
            if (take_name(p, &next, e))
                return -1;
        } else if (!is_alpha(c)) {
            return bad_command(p, e);
        }
        break;
    case ST_PARAMETER:
        if (is_space(c)) {
            buf_reset(&p->name);
            buf_puts(&p->name, buf_text(&p->b));
            next = ST_VALUE;
        } else if (!is_alpha(c) && c != '_' && !(c >= '0' && c <= '9')) {
            return cut_off(p, e);
        }
        break;
    case ST_ROLE:
        if (is_space(c)) {
            if (take_role(p, e))
                return -1;
            next = ST_VALUE;
        } else if (!is_alpha(c)) {
            return cut_off(p, e);
        }
        break;
    case ST_VALUE:
        if (!is_space(c) && !is_newline(c))
            break;
        if (is_space(c) || !unquote(trimmed(p), &value)) {
            if (p->b.n)
                put_rune(&p->b, c);
            return 0;
        }
        if (add_command(p, value, e))
            return -1;
        next = ST_START;
        break;
    }
    if (next != *st) {
        buf_reset(&p->b);
        p->solid = 0;
        *st = next;
        /* The character that ends a state belongs to none; the one that starts a name does. */
        if (next == ST_NAME)
            put_rune(&p->b, c);
        return 0;
    }
    if (*st != ST_START && *st != ST_COMMENT && store_rune_printable(c)) {
        put_rune(&p->b, c);
        p->solid = p->b.n;
    }
    return 0;
}

/* ---- characters: UTF-8, or UTF-16 after its mark ------------------------------------------- */

struct runes {
    const char *p;
    size_t n, at;
    enum { UTF8, UTF16LE, UTF16BE } form;
};

static void runes_start(struct runes *r, const char *p, size_t n)
{
    *r = (struct runes){p, n, 0, UTF8};
    if (n >= 3 && !memcmp(p, "\xef\xbb\xbf", 3)) {
        r->at = 3;
    } else if (n >= 2 && !memcmp(p, "\xff\xfe", 2)) {
        r->at = 2;
        r->form = UTF16LE;
    } else if (n >= 2 && !memcmp(p, "\xfe\xff", 2)) {
        r->at = 2;
        r->form = UTF16BE;
    }
}

static uint32_t unit16(const struct runes *r, size_t at)
{
    const unsigned char a = (unsigned char)r->p[at], b = (unsigned char)r->p[at + 1];
    return r->form == UTF16LE ? (uint32_t)(a | b << 8) : (uint32_t)(b | a << 8);
}

static bool runes_next(struct runes *r, uint32_t *cp)
{
    if (r->at >= r->n)
        return false;
    if (r->form == UTF8) {
        bool bad;
        r->at += text_decode(r->p + r->at, r->n - r->at, cp, &bad);
        return true;
    }
    if (r->n - r->at < 2) {
        r->at = r->n;
        *cp = 0xfffd;
        return true;
    }
    uint32_t u = unit16(r, r->at);
    r->at += 2;
    if (u >= 0xd800 && u < 0xdc00 && r->n - r->at >= 2) {
        const uint32_t low = unit16(r, r->at);
        if (low >= 0xdc00 && low < 0xe000) {
            r->at += 2;
            u = 0x10000 + ((u - 0xd800) << 10) + (low - 0xdc00);
        }
    }
    *cp = u >= 0xd800 && u < 0xe000 ? 0xfffd : u;
    return true;
}

int modelfile_parse(const char *text, size_t n, struct modelfile *out, struct err *e)
{
    struct parser p = {.out = out, .line = 1};
    struct runes r;
    enum state st = ST_START;
    struct text value;
    uint32_t c;
    int rc = -1;
    memset(out, 0, sizeof *out);
    if (n > MODELFILE_MAX)
        return err_set(e, ERR_LIMIT, "the Modelfile is larger than %d bytes", MODELFILE_MAX);
    runes_start(&r, text, n);
    while (runes_next(&r, &c)) {
        if (is_newline(c))
            p.line++;
        if (step(&p, &st, c, e))
            goto done;
        if (p.b.failed || p.name.failed) {
            err_set(e, ERR_MEMORY, "out of memory");
            goto done;
        }
    }
    if (st == ST_VALUE && unquote(trimmed(&p), &value)) {
        if (add_command(&p, value, e))
            goto done;
    } else if (st != ST_START && st != ST_COMMENT) {
        err_set(e, ERR_INPUT, "unexpected EOF");
        goto done;
    }
    if (!p.has_from) {
        err_set(e, ERR_INPUT, "no FROM line");
        goto done;
    }
    rc = 0;
done:
    buf_free(&p.b);
    buf_free(&p.name);
    if (rc)
        modelfile_free(out);
    return rc;
}

void modelfile_free(struct modelfile *m)
{
    for (size_t i = 0; i < m->n_cmds; i++) {
        free(m->cmds[i].name);
        free(m->cmds[i].arg);
    }
    free(m->cmds);
    memset(m, 0, sizeof *m);
}

/* ---- PARAMETER values ------------------------------------------------------------------------ */

static bool starts_as_number(const char *v)
{
    const char c = v[0] == '+' || v[0] == '-' ? v[1] : v[0];
    return (c >= '0' && c <= '9') || c == '.';
}

static json_t *float_value(const char *v, struct err *e)
{
    char *end;
    errno = 0;
    const float f = strtof(v, &end);
    if (!starts_as_number(v) || *end || !isfinite(f)) {
        err_set(e, ERR_INPUT, "invalid float value [%.200s]", v);
        return NULL;
    }
    /* A float32 on its way through JSON: the decimal with the fewest digits that names it. */
    char text[32];
    for (int prec = 1; prec <= 9; prec++) {
        snprintf(text, sizeof text, "%.*g", prec, (double)f);
        if (strtof(text, NULL) == f)
            break;
    }
    const double d = strtod(text, NULL);
    return d == floor(d) && fabs(d) < 1e15 ? json_integer((json_int_t)d) : json_real(d);
}

static json_t *int_value(const char *v, struct err *e)
{
    const char *p = v[0] == '+' || v[0] == '-' ? v + 1 : v;
    const size_t digits = strspn(p, "0123456789");
    errno = 0;
    const long long i = strtoll(v, NULL, 10);
    if (!digits || p[digits] || errno == ERANGE) {
        err_set(e, ERR_INPUT, "invalid int value [%.200s]", v);
        return NULL;
    }
    return json_integer(i);
}

static json_t *bool_value(const char *v, struct err *e)
{
    static const char *const yes[] = {"1", "t", "T", "TRUE", "true", "True"};
    static const char *const no[] = {"0", "f", "F", "FALSE", "false", "False"};
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        if (!strcmp(v, yes[i]))
            return json_true();
        if (!strcmp(v, no[i]))
            return json_false();
    }
    err_set(e, ERR_INPUT, "invalid bool value [%.200s]", v);
    return NULL;
}

json_t *modelfile_parameter(const char *name, const char *value, struct err *e)
{
    json_t *v = NULL;
    struct err mine = {0};
    switch (store_option_kind(name)) {
    case OPTION_INT:
        v = int_value(value, &mine);
        break;
    case OPTION_FLOAT:
        v = float_value(value, &mine);
        break;
    case OPTION_BOOL:
        v = bool_value(value, &mine);
        break;
    case OPTION_STRING:
    case OPTION_STRINGS:
        v = json_string(value);
        break;
    case OPTION_OLD:
    case OPTION_UNKNOWN:
        err_set(&mine, ERR_INPUT, "unknown parameter '%.200s'", name);
        break;
    }
    if (!v && mine.code == ERR_NONE)
        err_set(&mine, ERR_MEMORY, "out of memory");
    if (!v && e)
        *e = mine;
    return v;
}

/* The names of 1.2 that still stand in old Modelfiles; others of OPTION_OLD are errors there. */
static bool is_deprecated(const char *name)
{
    static const char *const names[] = {"penalize_newline", "low_vram",   "f16_kv",
                                        "logits_all",       "vocab_only", "use_mlock",
                                        "mirostat",         "mirostat_tau", "mirostat_eta"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!strcmp(names[i], name))
            return true;
    return false;
}

json_t *modelfile_parameters(const struct modelfile *m, json_t *old, struct err *e)
{
    json_t *out = json_object();
    if (!out)
        goto no_memory;
    for (size_t i = 0; i < m->n_cmds; i++) {
        const struct modelfile_cmd *c = &m->cmds[i];
        if (!c->is_parameter)
            continue;
        if (is_deprecated(c->name)) {
            if (old && json_array_append_new(old, json_string(c->name)))
                goto no_memory;
            continue;
        }
        json_t *v = modelfile_parameter(c->name, c->arg, e);
        if (!v) {
            json_decref(out);
            return NULL;
        }
        if (store_option_kind(c->name) == OPTION_STRINGS) {
            json_t *list = json_object_get(out, c->name);
            if (!list && (!(list = json_array()) || json_object_set_new(out, c->name, list))) {
                json_decref(v);
                goto no_memory;
            }
            if (json_array_append_new(list, v))
                goto no_memory;
        } else if (json_object_set_new(out, c->name, v)) {
            goto no_memory;
        }
    }
    return out;
no_memory:
    json_decref(out);
    err_set(e, ERR_MEMORY, "out of memory");
    return NULL;
}
