/* engine/chat/obey.c - do a call's arguments obey the schema of its tool? Asked of calls that no
 * grammar held while they were written: those without the tag of their format.
 *
 * Facts: spec/api.md 12.3. The grammar room reads texts with properties in the schema's order, so
 * they are put in that order first, as far as `properties`, `items` and local $refs show it. */
#include "engine/chat/split.h"

#include <stdlib.h>
#include <string.h>
#include "engine/grammar/grammar.h"

enum { MOST_DEPTH = 32 };

/* "#/$defs/name" in root. */
static const json_t *resolve(const json_t *root, const json_t *schema)
{
    const char *ref = json_string_value(json_object_get(schema, "$ref"));
    if (!ref || strncmp(ref, "#/", 2) != 0)
        return schema;
    const json_t *at = root;
    for (const char *p = ref + 2; at;) {
        const size_t n = strcspn(p, "/");
        at = json_object_getn(at, p, n);
        if (!p[n])
            break;
        p += n + 1;
    }
    return at;
}

/* A new value. */
static json_t *in_order(const json_t *root, const json_t *schema, json_t *v, int depth)
{
    schema = resolve(root, schema);
    const json_t *properties = json_object_get(schema, "properties");
    const json_t *items = json_object_get(schema, "items");
    const char *key;
    json_t *value, *out;
    size_t i;
    if (depth == MOST_DEPTH)
        return json_incref(v);
    if (json_is_array(v) && json_is_object(items)) {
        out = json_array();
        json_array_foreach(v, i, value)
            json_array_append_new(out, in_order(root, items, value, depth + 1));
        return out;
    }
    if (!json_is_object(v) || !json_is_object(properties))
        return json_incref(v);
    out = json_object();
    json_object_foreach((json_t *)(uintptr_t)properties, key, value)
    {
        json_t *own = json_object_get(v, key);
        if (own)
            json_object_set_new(out, key, in_order(root, value, own, depth + 1));
    }
    json_object_update_missing(out, v);
    return out;
}

bool call_obeys(const json_t *tools, const json_t *call)
{
    const json_t *name = json_object_get(call, "name");
    const json_t *schema =
        tool_parameters(tools, json_string_value(name), json_string_length(name));
    struct err e = {0};
    struct grammar *g = json_is_object(schema) ? grammar_json(schema, &e) : NULL;
    if (!g) /* none, or one that cannot be held */
        return true;
    json_t *args = in_order(schema, schema, json_object_get(call, "arguments"), 0);
    char *text = json_dumps(args, JSON_COMPACT);
    bool obeys = true;
    if (text) {
        const uint32_t end = grammar_steps(g, grammar_start(g), text, strlen(text));
        obeys = grammar_failed(g) || grammar_may_end(g, end);
    }
    free(text);
    json_decref(args);
    grammar_free(g);
    return obeys;
}
