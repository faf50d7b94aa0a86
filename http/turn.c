/* http/turn.c - messages of the core's form out of parts (spec/api.md 22.2, 24.1, 25.2). */
#include "http/turn.h"

#include <string.h>

void turn_text(struct turn *t, const char *p, size_t n)
{
    buf_add(&t->text, p, n);
}

void turn_thinking(struct turn *t, const char *p, size_t n)
{
    buf_add(&t->thinking, p, n);
}

static void add(struct turn *t, json_t **list, json_t *v)
{
    if (!*list)
        *list = json_array();
    if (!*list || json_array_append_new(*list, v) != 0)
        t->failed = true;
}

void turn_image(struct turn *t, const char *base64)
{
    add(t, &t->images, json_string(base64));
}

void turn_call(struct turn *t, const char *id, const char *name, json_t *arguments, json_t *names)
{
    if (json_object_set_new(names, id, json_string(name)) != 0)
        t->failed = true;
    add(t, &t->calls,
        json_pack("{s:s, s:{s:s, s:o}}", "id", id, "function", "name", name, "arguments",
                  arguments));
}

void turn_free(struct turn *t)
{
    buf_free(&t->text);
    buf_free(&t->thinking);
    json_decref(t->images);
    json_decref(t->calls);
    memset(t, 0, sizeof *t);
}

static json_t *text_of(const struct buf *b)
{
    return b->failed ? NULL : json_stringn(b->p ? b->p : "", b->n);
}

/* The turn's parts in a message; NULL without memory. */
static json_t *message(const struct turn *t, const char *role)
{
    json_t *m =
        t->failed ? NULL : json_pack("{s:s, s:o}", "role", role, "content", text_of(&t->text));
    if (!m || (t->thinking.n && json_object_set_new(m, "thinking", text_of(&t->thinking))) ||
        (t->images && json_object_set(m, "images", t->images)) ||
        (t->calls && json_object_set(m, "tool_calls", t->calls))) {
        json_decref(m);
        return NULL;
    }
    return m;
}

int turn_end(struct turn *t, const char *role, json_t *list, struct err *e)
{
    int rc = 0;
    const bool failed = t->failed || t->text.failed || t->thinking.failed;
    if ((failed || t->is_kept || t->text.n || t->thinking.n || t->images || t->calls) &&
        json_array_append_new(list, message(t, role)) != 0)
        rc = err_set(e, ERR_MEMORY, "out of memory");
    turn_free(t);
    return rc;
}

int turn_end_result(struct turn *t, const char *id, const json_t *names, json_t *list,
                    struct err *e)
{
    const char *name = json_string_value(json_object_get(names, id));
    json_t *m = message(t, "tool");
    int rc = 0;
    if (!m || (id[0] && json_object_set_new(m, "tool_call_id", json_string(id))) ||
        (name && json_object_set_new(m, "tool_name", json_string(name))) ||
        json_array_append(list, m))
        rc = err_set(e, ERR_MEMORY, "out of memory");
    json_decref(m);
    turn_free(t);
    return rc;
}

long base64_fault(const char *p, size_t n)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t n_letters = 0, n_pads = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '\n' || p[i] == '\r')
            continue;
        const bool pad = p[i] == '=';
        if (pad ? n_letters % 4 < 2 || n_letters % 4 + n_pads >= 4
                : n_pads || !p[i] || !strchr(letters, p[i]))
            return (long)i;
        n_pads += pad;
        n_letters += !pad;
    }
    return (n_letters + n_pads) % 4 ? (long)n : -1;
}

const char *without_data_prefix(const char *p)
{
    const char *comma = strncmp(p, "data:", 5) == 0 ? strstr(p, ";base64,") : NULL;
    return comma ? comma + 8 : p;
}
