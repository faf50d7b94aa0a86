/* engine/grammar/object.c - what is known of an object -> its declared properties, in the schema's
 * order, and the classes of keys besides them.
 *
 * The term of a property is all that any schema says of its name. Keys that are not declared fall
 * into classes by the patterns that they match, at most 2^n of these; each class is an automaton of
 * its keys. A schema that declares properties and says nothing of others is answered without
 * others: they are allowed, and no writer of a schema wants them. */
#include "engine/grammar/inside.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_PATTERNS = 6, MOST_PROPS = 4096, MANY_KEYS = 1 << 20 };

struct pattern {
    const char *text;
    const struct dfa *dfa;
};
struct work {
    struct grammar *g;
    const struct shape *s;
    const char *path;
    struct err *e;
    struct prop *props;
    size_t n_props, cap_props;
    struct pattern patterns[MOST_PATTERNS];
    uint32_t n_patterns;
    const struct dfa *names; /* what propertyNames allows, or NULL */
};

static struct prop *find_prop(struct work *w, const char *name)
{
    for (size_t i = 0; i < w->n_props; i++)
        if (strcmp(w->props[i].name, name) == 0)
            return &w->props[i];
    return NULL;
}

static struct prop *declare(struct work *w, const char *name)
{
    struct prop *p = find_prop(w, name);
    if (p)
        return p;
    if (w->n_props == MOST_PROPS) {
        err_set(w->e, ERR_LIMIT, "more than %d properties at %s", MOST_PROPS, w->path);
        return NULL;
    }
    if (w->n_props == w->cap_props) {
        const size_t cap = w->cap_props ? 2 * w->cap_props : 16;
        p = realloc(w->props, cap * sizeof *p);
        if (!p) {
            err_set(w->e, ERR_MEMORY, "out of memory");
            return NULL;
        }
        w->props = p;
        w->cap_props = cap;
    }
    w->props[w->n_props] = (struct prop){name, (uint32_t)strlen(name), TERM_ANY, false};
    return &w->props[w->n_props++];
}

/* The lists hold the newest first; properties are wanted in the order of the schema. */
static int declare_rules(struct work *w, const struct obj_rule *r)
{
    const char *key;
    json_t *v;
    if (!r)
        return 0;
    if (declare_rules(w, r->next) != 0)
        return -1;
    json_object_foreach((json_t *)(uintptr_t)r->props, key, v) if (!declare(w, key)) return -1;
    json_object_foreach((json_t *)(uintptr_t)r->patterns, key, v)
    {
        uint32_t i = 0;
        while (i < w->n_patterns && strcmp(w->patterns[i].text, key) != 0)
            i++;
        if (i < w->n_patterns)
            continue;
        if (i == MOST_PATTERNS)
            return cannot(w->e, "patternProperties", w->path);
        struct err why = {0};
        w->patterns[i].text = key;
        w->patterns[i].dfa = regex_compile(&w->g->arena, key, strlen(key), &why);
        if (!w->patterns[i].dfa)
            return err_set(w->e, ERR_UNSUPPORTED,
                           "unsupported JSON schema keyword \"patternProperties\" at "
                           "%s/patternProperties: %s",
                           w->path, why.text);
        w->n_patterns++;
    }
    return 0;
}

static int declare_needed(struct work *w, const struct prop_rule *r)
{
    if (!r)
        return 0;
    if (r->next && declare_needed(w, r->next) != 0)
        return -1;
    return declare(w, r->name) ? 0 : -1;
}

static uint32_t index_of(const struct work *w, const char *pattern)
{
    uint32_t i = 0;
    while (strcmp(w->patterns[i].text, pattern) != 0)
        i++;
    return i;
}

/* All that the schemas say of a key: `name` where it is declared, else NULL, and the set of
 * patterns that it matches. *spoken: some schema says more than "anything". */
static int term_of_key(struct work *w, const char *name, uint32_t set, term_id *out, bool *spoken)
{
    *out = TERM_ANY;
    *spoken = set != 0;
    for (const struct obj_rule *r = w->s->obj; r; r = r->next) {
        const char *key;
        json_t *v = name ? json_object_get(r->props, name) : NULL;
        bool known = v != NULL;
        term_id t;
        if (v) {
            const char *at = path_add(w->g, path_add(w->g, w->path, "properties"), name);
            if (term_of_schema(w->g, v, at, false, &t, w->e) != 0 ||
                term_and(w->g, *out, t, out, w->e) != 0)
                return -1;
        }
        json_object_foreach((json_t *)(uintptr_t)r->patterns, key, v)
        {
            if (!(set >> index_of(w, key) & 1))
                continue;
            known = true;
            const char *at = path_add(w->g, path_add(w->g, w->path, "patternProperties"), key);
            if (term_of_schema(w->g, v, at, false, &t, w->e) != 0 ||
                term_and(w->g, *out, t, out, w->e) != 0)
                return -1;
        }
        if (!known && r->has_rest) {
            *spoken = true;
            if (term_and(w->g, *out, r->rest, out, w->e) != 0)
                return -1;
        }
    }
    return 0;
}

/* ---- propertyNames --------------------------------------------------------------------------- */

const struct dfa *names_dfa(struct grammar *g, term_id names, const char *path, struct err *e)
{
    const struct term *t = term_get(g, names, e);
    const struct dfa *any = NULL;
    if (!t)
        return NULL;
    if (t->expanded != 2) {
        cannot(e, "propertyNames", path);
        return NULL;
    }
    for (uint32_t i = 0; i < t->n_atoms; i++) {
        const struct atom *a = t->atoms[i];
        if (a->kind != K_STR)
            continue;
        const struct dfa *d = a->str.dfa;
        if (a->str.least || a->str.most != NO_END) {
            const struct dfa *l = dfa_lengths(&g->arena, a->str.least, a->str.most, e);
            d = l ? dfa_merge(&g->arena, d, l, DFA_AND, e) : NULL;
        }
        any = !d ? NULL : any ? dfa_merge(&g->arena, any, d, DFA_OR, e) : d;
        if (!any)
            return NULL;
    }
    return any ? any : dfa_words(&g->arena, NULL, 0, e);
}

static int names_allowed(struct work *w)
{
    for (const struct names_rule *r = w->s->names; r; r = r->next) {
        const struct dfa *any = names_dfa(w->g, r->term, w->path, w->e);
        if (!any)
            return -1;
        w->names = w->names ? dfa_merge(&w->g->arena, w->names, any, DFA_AND, w->e) : any;
        if (!w->names)
            return -1;
    }
    return 0;
}

static bool name_allowed(const struct work *w, const char *name)
{
    return !w->names || (w->names->start != DFA_DEAD && dfa_takes(w->names, name, strlen(name)));
}

/* ---- keys that are not declared -------------------------------------------------------------- */

/* Of a class of keys: the ones that do these of the properties which must be there. */
static int add_extra(struct work *w, struct atom *out, const struct dfa *keys, term_id t,
                     uint32_t does)
{
    uint32_t i = 0;
    for (const struct some_rule *r = w->s->must; r; r = r->next, i++) {
        if (!(does >> i & 1))
            continue;
        if (term_and(w->g, t, r->term, &t, w->e) != 0)
            return -1;
        if (keys->start == DFA_DEAD || t == TERM_NONE)
            return 0;
        if (!(keys = dfa_merge(&w->g->arena, keys, r->keys, DFA_AND, w->e)))
            return -1;
    }
    if (keys->start == DFA_DEAD || t == TERM_NONE)
        return 0;
    out->obj.in_front |= does && dfa_count(keys, keys->start, NO_END) < MANY_KEYS;
    out->obj.extras[out->obj.n_extras++] = (struct extra){keys, t, does};
    return 0;
}

static int add_extras(struct work *w, struct atom *out)
{
    uint32_t n_must = 0;
    for (const struct some_rule *r = w->s->must; r; r = r->next)
        n_must++;
    struct extra *x = arena_alloc(&w->g->arena, (1u << (w->n_patterns + n_must)) * sizeof *x, 8);
    struct text *declared = calloc(w->n_props + 1, sizeof *declared);
    const struct dfa *others = NULL;
    int rc = -1;
    if (!x || !declared) {
        err_set(w->e, ERR_MEMORY, "out of memory");
        goto done;
    }
    for (size_t i = 0; i < w->n_props; i++)
        declared[i] = (struct text){w->props[i].name, w->props[i].n_name};
    out->obj.extras = x;
    others = w->names ? w->names : dfa_all(&w->g->arena, w->e);
    if (others && w->n_props && others->start != DFA_DEAD) {
        const struct dfa *words = dfa_words(&w->g->arena, declared, w->n_props, w->e);
        others = words ? dfa_merge(&w->g->arena, others, words, DFA_BUT, w->e) : NULL;
    }
    if (!others)
        goto done;
    for (uint32_t set = 0; set < 1u << w->n_patterns; set++) {
        const struct dfa *keys = others;
        bool spoken;
        term_id t;
        if (term_of_key(w, NULL, set, &t, &spoken) != 0)
            goto done;
        /* Silence about other keys: none come, unless the object needs them. */
        const bool silent = !spoken && !w->names && w->n_props && w->s->least_props <= w->n_props;
        if (t == TERM_NONE || (silent && !n_must))
            continue;
        for (uint32_t i = 0; keys->start != DFA_DEAD && i < w->n_patterns; i++) {
            keys = dfa_merge(&w->g->arena, keys, w->patterns[i].dfa,
                             set >> i & 1 ? DFA_AND : DFA_BUT, w->e);
            if (!keys)
                goto done;
        }
        for (uint32_t does = silent; does < 1u << n_must; does++)
            if (add_extra(w, out, keys, t, does) != 0)
                goto done;
    }
    out->obj.must = (1u << n_must) - 1;
    rc = out->obj.in_front && n_must > 1 ? cannot(w->e, "additionalProperties", w->path) : 0;
done:
    free(declared);
    return rc;
}

int object_atom(struct grammar *g, const struct shape *s, struct atom *out, bool *none,
                const char *path, struct err *e)
{
    struct work w = {.g = g, .s = s, .path = path, .e = e};
    uint32_t n_required = 0;
    int rc = -1;
    *none = true;
    if (declare_rules(&w, s->obj) != 0 || declare_needed(&w, s->prop) != 0 ||
        names_allowed(&w) != 0)
        goto done;
    size_t m = 0;
    for (size_t i = 0; i < w.n_props; i++) {
        struct prop p = w.props[i];
        uint32_t set = 0;
        bool spoken;
        for (uint32_t k = 0; k < w.n_patterns; k++)
            if (w.patterns[k].dfa->start != DFA_DEAD &&
                dfa_takes(w.patterns[k].dfa, p.name, p.n_name))
                set |= 1u << k;
        if (term_of_key(&w, p.name, set, &p.term, &spoken) != 0)
            goto done;
        for (const struct prop_rule *r = s->prop; r; r = r->next)
            if (strcmp(r->name, p.name) == 0) {
                p.required |= r->required;
                if (term_and(g, p.term, r->term, &p.term, e) != 0)
                    goto done;
            }
        if (!name_allowed(&w, p.name))
            p.term = TERM_NONE;
        if (p.required && p.term == TERM_NONE) {
            rc = 0;
            goto done;
        }
        n_required += p.required;
        w.props[m++] = p;
    }
    if (n_required > s->most_props || s->least_props > s->most_props) {
        rc = 0;
        goto done;
    }
    out->obj.least = s->least_props;
    out->obj.most = s->most_props;
    if (add_extras(&w, out) != 0)
        goto done;
    /* Declared ones that must not come were declared only so that no class of keys takes them. */
    size_t k = 0;
    for (size_t i = 0; i < m; i++)
        if (w.props[i].term != TERM_NONE)
            w.props[k++] = w.props[i];
    struct prop *props = arena_alloc(&g->arena, (k + 1) * sizeof *props, 8);
    uint32_t *needed = arena_alloc(&g->arena, (k + 1) * sizeof *needed, 4);
    if (!props || !needed) {
        err_set(e, ERR_MEMORY, "out of memory");
        goto done;
    }
    if (k)
        memcpy(props, w.props, k * sizeof *props);
    for (size_t i = k; i-- > 0;)
        needed[i] = needed[i + 1] + props[i].required;
    out->obj.n_props = (uint32_t)k;
    out->obj.props = props;
    out->obj.needed = needed;
    out->obj.distinct = s->least_props > k || s->must;
    *none = s->least_props > k && !out->obj.n_extras;
    rc = 0;
done:
    free(w.props);
    return rc;
}
