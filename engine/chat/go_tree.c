/* engine/chat/go_tree.c - what the tree of a Go template says: its text again, the variables it
 * uses, the place of the answer, and the tags of thoughts and calls.
 *
 * Facts: shared/spec (modelfile-and-templates, 4.1, 4.5, 7.1, 8.1). */
#include <string.h>
#include "engine/chat/go.h"

struct go_node *go_node_new(struct tpl *c, enum go_node_type type, uint32_t pos, uint32_t line)
{
    struct go_node *n = tpl_alloc(c, sizeof *n);
    n->type = type;
    n->pos = pos;
    n->line = line;
    return n;
}

void go_node_add(struct tpl *c, struct go_node *to, struct go_node *kid)
{
    if (to->n_kid == to->cap_kid) {
        to->cap_kid = to->cap_kid ? to->cap_kid * 2 : 2;
        to->kid = tpl_grow(c, to->kid, to->n_kid * sizeof *to->kid, to->cap_kid * sizeof *to->kid);
    }
    to->kid[to->n_kid++] = kid;
}

static bool is_blank(const struct str *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (!go_is_space((unsigned char)s->p[i]) && s->p[i] != '\v' && s->p[i] != '\f')
            return false;
    return true;
}

bool go_empty(const struct go_node *list)
{
    for (size_t i = 0; i < list->n_kid; i++)
        if (list->kid[i]->type != GO_N_TEXT || !is_blank(list->kid[i]->text))
            return false;
    return true;
}

/* ---- its text -------------------------------------------------------------------------------- */

static void put_kids(struct tpl *c, struct sink *k, const struct go_node *n, const char *between)
{
    for (size_t i = 0; i < n->n_kid; i++) {
        const bool paren = n->kid[i]->type == GO_N_PIPE;
        tpl_puts(c, k, i ? between : "");
        tpl_puts(c, k, paren ? "(" : "");
        go_put_node(c, k, n->kid[i]);
        tpl_puts(c, k, paren ? ")" : "");
    }
}

static void put_action(struct tpl *c, struct sink *k, const char *head, const struct go_node *n)
{
    tpl_puts(c, k, head);
    if (n->type == GO_N_TEMPLATE) {
        go_put_quoted(c, k, n->text, false);
        tpl_puts(c, k, n->pipe ? " " : "");
    }
    if (n->pipe)
        go_put_node(c, k, n->pipe);
    tpl_puts(c, k, "}}");
}

void go_put_node(struct tpl *c, struct sink *k, const struct go_node *n)
{
    switch (n->type) {
    case GO_N_TEXT:
    case GO_N_IDENT:
        tpl_put_str(c, k, n->text);
        break;
    case GO_N_STRING:
    case GO_N_NUMBER:
        tpl_put_str(c, k, n->source);
        break;
    case GO_N_BOOL:
        tpl_puts(c, k, n->b ? "true" : "false");
        break;
    case GO_N_NIL:
        tpl_puts(c, k, "nil");
        break;
    case GO_N_DOT:
        tpl_puts(c, k, ".");
        break;
    case GO_N_CHAIN:
        put_kids(c, k, n, ""); /* fall through */
    case GO_N_FIELD:
    case GO_N_VAR:
        for (size_t i = 0; i < n->n_name; i++) {
            tpl_puts(c, k, i || n->type != GO_N_VAR ? "." : "");
            tpl_put_str(c, k, n->name[i]);
        }
        break;
    case GO_N_COMMAND:
        put_kids(c, k, n, " ");
        break;
    case GO_N_PIPE:
        for (size_t i = 0; i < n->n_decl; i++) {
            tpl_puts(c, k, i ? ", " : "");
            go_put_node(c, k, n->decl[i]);
        }
        if (n->n_decl)
            tpl_puts(c, k, n->assign ? " = " : " := ");
        put_kids(c, k, n, " | ");
        break;
    case GO_N_ACTION:
        put_action(c, k, "{{", n);
        break;
    case GO_N_IF:
        put_action(c, k, "{{if ", n);
        break;
    case GO_N_WITH:
        put_action(c, k, "{{with ", n);
        break;
    case GO_N_RANGE:
        put_action(c, k, "{{range ", n);
        break;
    case GO_N_TEMPLATE:
        put_action(c, k, "{{template ", n);
        break;
    case GO_N_BREAK:
        tpl_puts(c, k, "{{break}}");
        break;
    case GO_N_CONTINUE:
        tpl_puts(c, k, "{{continue}}");
        break;
    case GO_N_LIST:
        put_kids(c, k, n, "");
        break;
    default:
        break;
    }
}

/* ---- variables ------------------------------------------------------------------------------- */

static bool same_word(const struct str *s, const char *lower)
{
    if (s->n != strlen(lower))
        return false;
    for (size_t i = 0; i < s->n; i++)
        if ((s->p[i] | 32) != lower[i])
            return false;
    return true;
}

/* Does the tree name this variable, of whatever case? The operand of a chain is not looked at. */
static bool uses(const struct go_node *n, const char *lower)
{
    if (!n)
        return false;
    if (n->type == GO_N_FIELD || n->type == GO_N_VAR || n->type == GO_N_CHAIN) {
        for (size_t i = 0; i < n->n_name; i++)
            if (same_word(n->name[i], lower))
                return true;
        return false;
    }
    for (size_t i = 0; i < n->n_kid; i++)
        if (uses(n->kid[i], lower))
            return true;
    return uses(n->pipe, lower) || uses(n->list, lower) || uses(n->alt, lower);
}

static bool template_uses(const struct go_template *g, const char *lower)
{
    bool yes = uses(g->root, lower);
    for (size_t i = 0; !yes && i < g->n_define; i++)
        yes = uses(g->define[i].root, lower);
    return yes;
}

/* ---- the cut: all up to the answer's place ------------------------------------------------------
 */

static struct go_node *cut(struct tpl *c, const struct go_node *n, bool *on);

static struct go_node *cut_kids(struct tpl *c, const struct go_node *n, bool *on)
{
    struct go_node *copy = tpl_alloc(c, sizeof *copy);
    *copy = *n;
    copy->kid = NULL;
    copy->n_kid = copy->cap_kid = 0;
    for (size_t i = 0; i < n->n_kid; i++) {
        struct go_node *kid = cut(c, n->kid[i], on);
        if (kid)
            go_node_add(c, copy, kid);
        else if (n->type == GO_N_PIPE)
            return NULL;
    }
    return copy->n_kid || n->type == GO_N_LIST ? copy : NULL;
}

static struct go_node *cut(struct tpl *c, const struct go_node *n, bool *on)
{
    bool response = false;
    if (n->type == GO_N_FIELD)
        for (size_t i = 0; i < n->n_name; i++)
            if (tpl_str_is(n->name[i], "Response"))
                response = *on = true; /* it stays: an answer that is to go on stands there */
    if (*on && !response)
        return NULL;
    struct go_node *copy = tpl_alloc(c, sizeof *copy);
    *copy = *n;
    switch (n->type) {
    case GO_N_LIST:
    case GO_N_PIPE:
    case GO_N_COMMAND:
        return cut_kids(c, n, on);
    case GO_N_ACTION:
        copy->pipe = cut(c, n->pipe, on);
        return copy->pipe ? copy : NULL;
    case GO_N_IF:
    case GO_N_WITH:
    case GO_N_RANGE:
        copy->list = cut(c, n->list, on);
        if (!copy->list)
            copy->list = go_node_new(c, GO_N_LIST, n->pos, n->line);
        copy->alt = n->alt ? cut(c, n->alt, on) : NULL;
        return copy;
    default:
        return copy;
    }
}

void go_look(struct go_template *g, struct tpl *c)
{
    g->full = g->root;
    g->has_messages = template_uses(g, "messages");
    g->has_response = template_uses(g, "response");
    g->has_tools = template_uses(g, "tools");
    g->has_suffix = template_uses(g, "suffix");
    if (!g->has_messages && !g->has_response) {
        struct go_node *action = go_node_new(c, GO_N_ACTION, 0, 1),
                       *pipe = go_node_new(c, GO_N_PIPE, 0, 1),
                       *cmd = go_node_new(c, GO_N_COMMAND, 0, 1),
                       *field = go_node_new(c, GO_N_FIELD, 0, 1);
        field->name = tpl_alloc(c, sizeof *field->name);
        field->name[0] = tpl_str(c, "Response", 8, true);
        field->n_name = 1;
        go_node_add(c, cmd, field);
        go_node_add(c, pipe, cmd);
        action->pipe = pipe;
        g->full = go_node_new(c, GO_N_LIST, 0, 1);
        go_node_add(c, g->full, g->root);
        go_node_add(c, g->full, action);
        g->has_response = true;
    }
    if (!g->has_messages) {
        bool on = false;
        g->cut = cut(c, g->full, &on);
        if (!g->cut)
            g->cut = go_node_new(c, GO_N_LIST, 0, 1);
    }
}

/* ---- tags ------------------------------------------------------------------------------------ */

static void copy_trimmed(char *out, size_t cap, const struct str *s, size_t n)
{
    size_t from = 0;
    while (from < n && go_is_space((unsigned char)s->p[from]))
        from++;
    while (n > from && go_is_space((unsigned char)s->p[n - 1]))
        n--;
    out[0] = 0;
    if (n - from < cap) {
        memcpy(out, s->p + from, n - from);
        out[n - from] = 0;
    }
}

struct tags {
    char *open, *close;
    size_t cap;
};

static bool is_thinking(const struct go_node *n)
{
    if (!n || n->type == GO_N_TEXT)
        return false;
    if (n->type == GO_N_FIELD)
        return tpl_str_is(n->name[0], "Thinking");
    for (size_t i = 0; i < n->n_kid; i++)
        if (is_thinking(n->kid[i]))
            return true;
    return false;
}

/* `list` holds an action or a head with .Thinking: the texts at its ends are the tags. */
static void take_tags(const struct go_node *list, struct tags *t)
{
    const struct go_node *first = list->kid[0], *last = list->kid[list->n_kid - 1];
    if (first->type == GO_N_TEXT)
        copy_trimmed(t->open, t->cap, first->text, first->text->n);
    if (last->type == GO_N_TEXT)
        copy_trimmed(t->close, t->cap, last->text, last->text->n);
}

/* In the order of the tree; what is found later counts. */
static void find_thinking(const struct go_node *list, bool inside, struct tags *t)
{
    for (size_t i = 0; list && i < list->n_kid; i++) {
        const struct go_node *n = list->kid[i];
        if (inside && n->pipe && is_thinking(n->pipe))
            take_tags(list, t);
        const bool in = inside || (n->type == GO_N_RANGE && uses(n->pipe, "messages"));
        if (n->type == GO_N_IF || n->type == GO_N_WITH || n->type == GO_N_RANGE) {
            find_thinking(n->list, in, t);
            find_thinking(n->alt, in, t);
        }
    }
}

void go_thinking_tags(const struct go_template *g, char *open, char *close, size_t cap)
{
    struct tags t = {open, close, cap};
    open[0] = close[0] = 0;
    find_thinking(g->root, false, &t);
    for (size_t i = 0; i < g->n_define; i++)
        find_thinking(g->define[i].root, false, &t);
}

static const struct go_node *find_calls(const struct go_node *list)
{
    for (size_t i = 0; list && i < list->n_kid; i++) {
        const struct go_node *n = list->kid[i], *in;
        if (n->type == GO_N_IF && uses(n->pipe, "toolcalls"))
            return n;
        if (n->type != GO_N_IF && n->type != GO_N_WITH && n->type != GO_N_RANGE)
            continue;
        if ((in = find_calls(n->list)) || (in = find_calls(n->alt)))
            return in;
    }
    return NULL;
}

/* The first text: depth first, white space skipped; an action before it ends the search. */
static const struct str *first_text(const struct go_node *list, bool *over)
{
    for (size_t i = 0; list && i < list->n_kid && !*over; i++) {
        const struct go_node *n = list->kid[i];
        if (n->type == GO_N_TEXT && !is_blank(n->text))
            return n->text;
        if (n->type == GO_N_ACTION && !n->pipe->n_decl)
            *over = true;
        if (n->type == GO_N_IF || n->type == GO_N_WITH || n->type == GO_N_RANGE) {
            const struct str *s = first_text(n->list, over);
            if (!s && !*over)
                s = first_text(n->alt, over);
            if (s)
                return s;
        }
    }
    return NULL;
}

void go_call_tag(const struct go_template *g, char *tag, size_t cap)
{
    bool over = false;
    const struct go_node *n = find_calls(g->root);
    for (size_t i = 0; !n && i < g->n_define; i++)
        n = find_calls(g->define[i].root);
    tag[0] = 0;
    if (!n)
        return;
    const struct str *s = first_text(n->list, &over);
    if (s) {
        const char *brace = memchr(s->p, '{', s->n);
        copy_trimmed(tag, cap, s, brace ? (size_t)(brace - s->p) : s->n);
    }
    if (!tag[0] && cap > 1)
        strcpy(tag, "{");
}
