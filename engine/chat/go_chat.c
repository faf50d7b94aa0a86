/* engine/chat/go_chat.c - a conversation through a Go template, in one of three ways.
 *
 * Facts: shared/spec (modelfile-and-templates, section 4). Insert: prompt and suffix. Chat: the
 * template names .Messages and runs once. Legacy: one run for each pair of .Prompt and .Response,
 * the last one only up to the answer's place. */
#include <string.h>
#include "engine/chat/go.h"

struct think {
    bool on, set;
    struct str *level;
};

static bool is_off(const char *level)
{
    return !strcmp(level, "none") || !strcmp(level, "off");
}

/* `think` as in the API, or what the server made of it: enable_thinking and reasoning_effort. */
static struct think read_think(struct tpl *c, const json_t *input)
{
    const json_t *j = json_object_get(input, "think");
    const char *level = json_string_value(json_object_get(input, "reasoning_effort"));
    struct think t = {false, false, NULL};
    if (!j || json_is_null(j))
        j = json_object_get(input, "enable_thinking");
    if (json_is_string(j))
        level = json_string_value(j);
    t.set = (j && !json_is_null(j)) || level;
    t.on = json_is_true(j) || (level && !is_off(level) && !json_is_false(j));
    if (!t.on)
        level = "";
    else if (!level)
        level = "medium";
    t.level = tpl_str(c, level, strlen(level), false);
    return t;
}

static void set(struct tpl *c, struct go_map *m, const char *key, struct gv v)
{
    v.face = true;
    m->e[m->n].key = tpl_str(c, key, strlen(key), true);
    m->e[m->n++].v = v;
}

static struct gv new_dot(struct tpl *c, const struct think *t, struct str *response)
{
    struct gv dot = go_map_of(c, "map[string]interface {}", 8);
    dot.m->n = 0;
    set(c, dot.m, "Response", go_string(response));
    set(c, dot.m, "Think", go_bool(t->on));
    set(c, dot.m, "ThinkLevel", go_string(t->level));
    set(c, dot.m, "IsThinkSet", go_bool(t->set));
    return dot;
}

static void execute(const struct go_template *g, struct tpl *c, const struct go_node *root,
                    struct gv dot)
{
    struct go_run r = {.c = c, .g = g, .name = tpl_str(c, "", 0, true)};
    if (dot.type == GO_MAP && !dot.face)
        go_map_sort(dot.m);
    go_execute(&r, root, dot);
}

static void insert(const struct go_template *g, struct tpl *c, const json_t *prompt,
                   const json_t *suffix, const struct think *t)
{
    struct gv dot = new_dot(c, t, tpl_str(c, "", 0, true));
    set(c, dot.m, "Prompt",
        go_string(tpl_str(c, json_string_value(prompt), json_string_length(prompt), false)));
    set(c, dot.m, "Suffix",
        go_string(tpl_str(c, json_string_value(suffix), json_string_length(suffix), false)));
    execute(g, c, g->full, dot);
}

struct pair {
    struct str *system, *prompt, *response;
};

static void flush(const struct go_template *g, struct tpl *c, const struct go_node *root,
                  struct pair *p, const struct think *t)
{
    struct gv dot = new_dot(c, t, p->response);
    set(c, dot.m, "System", go_string(p->system));
    set(c, dot.m, "Prompt", go_string(p->prompt));
    execute(g, c, root, dot);
    p->system = p->prompt = p->response = tpl_str(c, "", 0, true);
}

static void legacy(const struct go_template *g, struct tpl *c, const struct go_list *messages,
                   const struct think *t)
{
    struct str *empty = tpl_str(c, "", 0, true);
    struct pair p = {empty, empty, empty};
    for (size_t i = 0; i < messages->n; i++) {
        const struct gv *m = messages->v[i].r->v;
        if (tpl_str_is(m[0].s, "system")) {
            if (p.prompt->n || p.response->n)
                flush(g, c, g->full, &p, t);
            p.system = m[1].s;
        } else if (tpl_str_is(m[0].s, "user")) {
            if (p.response->n)
                flush(g, c, g->full, &p, t);
            p.prompt = m[1].s;
        } else if (tpl_str_is(m[0].s, "assistant")) {
            p.response = m[1].s;
        }
    }
    flush(g, c, g->cut, &p, t);
}

void go_render(const struct go_template *g, struct tpl *c, const json_t *input)
{
    const json_t *data = json_object_get(input, "$data");
    const json_t *prompt = json_object_get(input, "prompt");
    const json_t *suffix = json_object_get(input, "suffix");
    if (data) { /* the language alone, as tests of it want */
        execute(g, c, g->root, go_bare(go_any(c, data)));
        return;
    }
    struct think t = read_think(c, input);
    if (json_string_length(prompt) && json_string_length(suffix)) {
        insert(g, c, prompt, suffix, &t);
        return;
    }
    struct str *system;
    struct gv messages = go_messages(c, json_object_get(input, "messages"), &system);
    if (!g->has_messages) {
        legacy(g, c, messages.l, &t);
        return;
    }
    struct gv dot = new_dot(c, &t, tpl_str(c, "", 0, true));
    set(c, dot.m, "System", go_string(system ? system : tpl_str(c, "", 0, true)));
    set(c, dot.m, "Messages", messages);
    set(c, dot.m, "Tools", go_tools(c, json_object_get(input, "tools")));
    execute(g, c, g->full, dot);
}
