/* tools/text.c - text for people: what a terminal may get, how wide it is, plain tables.
 *
 * Facts: shared/spec/cli.md 1.6; widths: Unicode's East_Asian_Width W and F, in ranges; the few
 * odd characters between them do not matter for a table. */
#include "tools/text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "gguf/base.h"

void out_bytes(FILE *f, const char *p, size_t n)
{
    if (!isatty(fileno(f))) {
        fwrite(p, 1, n, f);
        return;
    }
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        bool bad;
        const size_t len = text_decode(p + i, n - i, &cp, &bad);
        const bool control = (cp < 32 && cp != '\n' && cp != '\t') || (cp >= 127 && cp < 160);
        if (!control && !bad)
            fwrite(p + i, 1, len, f);
        i += len;
    }
}

void out_text(FILE *f, const char *text)
{
    out_bytes(f, text, strlen(text));
}

int text_char_width(unsigned cp)
{
    static const unsigned wide[][2] = {
        {0x1100, 0x115f},   {0x231a, 0x231b},   {0x2e80, 0x303e},   {0x3041, 0x4dbf},
        {0x4e00, 0xa4cf},   {0xa960, 0xa97f},   {0xac00, 0xd7a3},   {0xf900, 0xfaff},
        {0xfe30, 0xfe6f},   {0xff00, 0xff60},   {0xffe0, 0xffe6},   {0x1f300, 0x1f64f},
        {0x1f680, 0x1f6ff}, {0x1f900, 0x1f9ff}, {0x1fa70, 0x1faff}, {0x20000, 0x3fffd},
    };
    static const unsigned none[][2] = {
        {0x0300, 0x036f}, {0x200b, 0x200f}, {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f},
    };
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        if (cp >= none[i][0] && cp <= none[i][1])
            return 0;
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++)
        if (cp >= wide[i][0] && cp <= wide[i][1])
            return 2;
    return 1;
}

size_t text_width(const char *s)
{
    size_t w = 0;
    for (size_t n = strlen(s); n;) {
        uint32_t cp;
        bool bad;
        const size_t len = text_decode(s, n, &cp, &bad);
        w += (size_t)text_char_width(cp);
        s += len;
        n -= len;
    }
    return w;
}

void table_add(struct table *t, const char *cell)
{
    if (t->n_cells == t->cap) {
        const size_t cap = t->cap ? 2 * t->cap : 64;
        char **more = realloc(t->cells, cap * sizeof *more);
        if (!more) {
            t->failed = true;
            return;
        }
        t->cells = more;
        t->cap = cap;
    }
    char *copy = strdup(cell);
    if (!copy) {
        t->failed = true;
        return;
    }
    t->cells[t->n_cells++] = copy;
}

void table_print(const struct table *t, FILE *f, const char *indent)
{
    enum { GAP = 4, MAX_COLS = 64 };
    size_t width[MAX_COLS] = {0};
    const size_t cols = t->n_cols < MAX_COLS ? t->n_cols : MAX_COLS;
    for (size_t i = 0; cols && i < t->n_cells; i++) {
        const size_t w = text_width(t->cells[i]), c = i % cols;
        width[c] = w > width[c] ? w : width[c];
    }
    for (size_t i = 0; cols && i < t->n_cells; i += cols) {
        size_t last = 0; /* cells up to here are printed: no spaces at the end of a line */
        for (size_t c = 0; c < cols && i + c < t->n_cells; c++)
            if (t->cells[i + c][0])
                last = c;
        fputs(indent, f);
        for (size_t c = 0; c <= last && i + c < t->n_cells; c++) {
            out_text(f, t->cells[i + c]);
            if (c < last)
                fprintf(f, "%*s", (int)(width[c] + GAP - text_width(t->cells[i + c])), "");
        }
        putc('\n', f);
    }
}

void table_free(struct table *t)
{
    for (size_t i = 0; i < t->n_cells; i++)
        free(t->cells[i]);
    free(t->cells);
    *t = (struct table){0};
}
