/* http/openai_models.c - GET /v1/models and /v1/models/{model}.
 *
 * Facts: spec/api.md 23.3. */
#include "http/inside.h"

#include <stdlib.h>

static json_t *model_json(const char *id, const struct store_model *m)
{
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
        if (rows && json_array_append_new(rows, model_json(id, list[i]))) {
            json_decref(rows);
            rows = NULL;
        }
        store_model_free(list[i]);
    }
    free(list);
    call_answer_json(c, 200, rows ? json_pack("{s:s, s:o}", "object", "list", "data", rows) : NULL);
}

void on_openai_model(struct call *c)
{
    struct store_model *m = model_find(c, c->tail, NAME_SHORT);
    if (!m)
        return;
    call_answer_json(c, 200, model_json(c->tail, m)); /* the id as it was asked for */
    store_model_free(m);
}
