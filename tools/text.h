/* tools/text.h - text for people: what a terminal may get, how wide it is, plain tables. */
#ifndef CHASKI_TOOLS_TEXT_H
#define CHASKI_TOOLS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Write text from a server or a model. To a terminal without C0 and C1 controls (they would drive
 * it; newline and tab stay), to anything else as it is. */
void out_text(FILE *f, const char *text);
void out_bytes(FILE *f, const char *p, size_t n);

/* Columns that the character takes: 0 (combining), 1, 2 (East Asian wide). */
int text_char_width(unsigned cp);
size_t text_width(const char *s);

/* A table without lines (shared/spec/cli.md 1.6): columns as wide as their widest cell, four spaces
 * apart, nothing cut, no spaces at line ends. */
struct table {
    char **cells; /* row by row, own copies */
    size_t n_cols, n_cells, cap;
    bool failed; /* no memory: the table is incomplete */
};
void table_add(struct table *t, const char *cell);
void table_print(const struct table *t, FILE *f, const char *indent);
void table_free(struct table *t);

#endif
