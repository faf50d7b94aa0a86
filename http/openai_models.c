/* http/openai_models.c - GET /v1/models and /v1/models/{model}.
 *
 * Facts: spec/api.md 23.3. Both kinds of clients ask by the same path; the header
 * `anthropic-version` (routes.c) has the form that Anthropic's read. */
#include "http/inside.h"

#include <stdlib.h>

static json_t *model_json(const struct call *c, const char *id, const struct store_model *m)
{
    if (c->shape == &shape_anthropic)
        return json_pack("{s:s, s:s, s:s, s:o}", "type", "model", "id", id, "display_name", id,
                         "created_at", time_json(m->modified_ns));
    return json_pack("{s:s, s:s, s:I, s:s}", "id", id, "object", "model", "created",
                     (json_int_t)(m->modified_ns / 1000000000), "owned_by", m->name.ns);
}

void on_openai_models(struct call *c)
{
    struct store_model **list = NULL;
    size_t n = 0;
    struct err e = {0};
    if (store_model_list(c->srv->cfg.store, &list, &n, &e) != 0) {
        call_fail(c, &e);
        return;
    }
    json_t *rows = json_array();
    for (size_t i = 0; i < n; i++) {
        char id[STORE_NAME_TEXT];
        store_name_short(&list[i]->name, id, sizeof id);
        if (rows && json_array_append_new(rows, model_json(c, id, list[i]))) {
            json_decref(rows);
            rows = NULL;
        }
        store_model_free(list[i]);
    }
    free(list);
    if (rows && c->shape == &shape_anthropic) {
        const json_t *first = json_array_get(rows, 0), *last = json_array_get(rows, n - 1);
        call_answer_json(c, 200,
                         json_pack("{s:o, s:b, s:O?, s:O?}", "data", rows, "has_more", 0,
                                   "first_id", json_object_get(first, "id"), "last_id",
                                   json_object_get(last, "id")));
        return;
    }
    call_answer_json(c, 200, rows ? json_pack("{s:s, s:o}", "object", "list", "data", rows) : NULL);
}

void on_openai_model(struct call *c)
{
    struct store_model *m = model_find(c, c->tail, NAME_SHORT);
    if (!m)
        return;
    call_answer_json(c, 200, model_json(c, c->tail, m)); /* the id as it was asked for */
    store_model_free(m);
}
