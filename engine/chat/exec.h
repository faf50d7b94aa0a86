/* engine/chat/exec.h - between exec.c (statements) and loop.c (for). */
#ifndef CHASKI_CHAT_EXEC_H
#define CHASKI_CHAT_EXEC_H

#include "engine/chat/syntax.h"

enum flow { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE };
enum flow tpl_exec(struct tpl *c, const struct node *n, struct scope *s);
void tpl_exec_for(struct tpl *c, const struct node *n, struct scope *s);
void tpl_assign_target(struct tpl *c, struct scope *s, const struct node *target, struct val v);

#endif
