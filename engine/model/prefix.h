/* engine/model/prefix.h - what kv.c and prefix.c share. Nobody else includes it. */
#ifndef CHASKI_PREFIX_H
#define CHASKI_PREFIX_H

#include "engine/model/model.h"

/* Room for n entries in the table's arrays: 0, or -1 without memory. */
int kv_table_room(struct kv_table *t, size_t n);
/* A sequence lets go of a shared page. */
void prefix_unref(struct kv_pool *p, struct kv_node *n);
/* The page that nobody used for the longest time goes to the free ones; false: there is none. */
bool prefix_drop_oldest(struct kv_pool *p);

#endif
