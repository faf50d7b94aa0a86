/* engine/store/plan.h - a model that is being made: create.c leads, create_gguf.c brings the
 * files. */
#ifndef CHASKI_STORE_PLAN_H
#define CHASKI_STORE_PLAN_H

#include "engine/store/inside.h"

struct item { /* a layer of the new manifest */
    struct store_layer l;
    bool is_new;
};

struct plan {
    struct store *s;
    const struct store_create *c;
    struct item *items;
    size_t n, cap;
    json_t *config;          /* what goes in the config blob, known keys only */
    json_t *params;          /* checked; NULL when the request has none */
    json_t *unknown;         /* names of parameters that mean nothing */
    struct digest *pins;
    size_t n_pins, cap_pins;
};

void plan_media(char out[128], const char *kind); /* "model" -> the whole media type */
int plan_add(struct plan *p, const struct store_layer *l, bool is_new, struct err *e);
void plan_remove(struct plan *p, const char *kind); /* all layers of a kind */
/* Pin a blob that has to be there; `size` may be NULL. */
int plan_need_blob(struct plan *p, const struct digest *d, uint64_t *size, struct err *e);
int plan_config_text(struct plan *p, const char *key, const char *v, struct err *e);

/* create_gguf.c */
int plan_take_files(struct plan *p, store_status status, void *arg, struct err *e);
bool plan_is_own_template(struct plan *p, const char *template_text); /* the model file's */

#endif
