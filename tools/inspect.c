/* tools/inspect.c - `chaski inspect FILE.gguf [--json]`: what stands in a GGUF file.
 *
 * Facts: shared/spec/cli.md, section 6. Opening the file checks all of it. The text form
 * shows bytes that are no printable UTF-8 as \x.., since names and values come from
 * strangers and go to a terminal. The JSON form is written as it is read, not built in
 * memory; jansson makes its strings, numbers get the shortest digits that read back the
 * same. JSON has no NaN and no infinity: they become null. */
#include "tools/commands.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "gguf/gguf.h"

enum {
    EXIT_USAGE = 2,
    CUT_ITEMS = 6,    /* of a list in the text form */
    CUT_BYTES = 160,  /* of a string in the text form */
    NUMBER_BYTES = 40 /* any number as text */
};

static const char usage[] =
    "Show what stands in a GGUF file, and check the file\n"
    "\n"
    "Usage:\n"
    "  chaski inspect FILE [flags]\n"
    "\n"
    "FILE may be the first part of a split model (NAME-00001-of-0000N.gguf).\n"
    "\n"
    "Flags:\n"
    "  -h, --help   help for inspect\n"
    "      --json   everything as JSON: long lists are not cut\n";

/* A copy of a text in which broken UTF-8 is \x.., and control characters too if asked. */
static void add_clean(struct buf *b, struct text t, bool controls_too)
{
    for (size_t i = 0; i < t.n;) {
        uint32_t cp;
        bool bad;
        const size_t n = text_decode(t.p + i, t.n - i, &cp, &bad);
        const bool control = cp < 0x20 || (cp >= 0x7f && cp < 0xa0);
        if (bad || (control && controls_too))
            for (size_t k = 0; k < n; k++)
                buf_printf(b, "\\x%02x", (unsigned char)t.p[i + k]);
        else
            buf_add(b, t.p + i, n);
        i += n;
    }
}

/* The shortest of the precisions that reads back the same; whole numbers as people write them. */
static void real_text(double x, bool is_f32, char out[NUMBER_BYTES])
{
    if (fabs(x) < 1e15 && x == floor(x)) {
        snprintf(out, NUMBER_BYTES, "%.1f", x);
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(out, NUMBER_BYTES, "%.*g", digits, x);
        const double back = strtod(out, NULL);
        if (is_f32 ? (float)back == (float)x : back == x)
            break;
    }
}

/* Item i of a value that is no string; false for a number that JSON cannot hold. */
static bool number_text(const struct gguf_value *v, uint64_t i, char out[NUMBER_BYTES])
{
    uint64_t u;
    int64_t s;
    double d = 0;
    bool b;
    if (v->elem == GGUF_BOOL) {
        /* A bool of an array may hold another value than 0 and 1: shown as it is. */
        if (gguf_value_bool_at(v, i, &b, NULL))
            snprintf(out, NUMBER_BYTES, "%u", ((const uint8_t *)v->raw)[i]);
        else
            snprintf(out, NUMBER_BYTES, "%s", b ? "true" : "false");
    } else if (v->elem == GGUF_F32 || v->elem == GGUF_F64) {
        (void)gguf_value_f64_at(v, i, &d, NULL);
        real_text(d, v->elem == GGUF_F32, out);
        return isfinite(d);
    } else if (gguf_value_i64_at(v, i, &s, NULL) == 0) {
        snprintf(out, NUMBER_BYTES, "%" PRId64, s);
    } else {
        u = 0;
        (void)gguf_value_u64_at(v, i, &u, NULL);
        snprintf(out, NUMBER_BYTES, "%" PRIu64, u);
    }
    return true;
}

static void type_text(const struct gguf_value *v, char out[NUMBER_BYTES])
{
    if (v->kind == GGUF_ARRAY)
        snprintf(out, NUMBER_BYTES, "%s[%" PRIu64 "]", gguf_kind_name(v->elem), v->n);
    else
        snprintf(out, NUMBER_BYTES, "%s", gguf_kind_name(v->kind));
}

static const char *tensor_type(const struct gguf_tensor *t)
{
    return gguf_type_info(t->type)->name; /* the reader lets no other id through */
}

/* ---- text ------------------------------------------------------------------------------ */

static void print_item(struct buf *b, const struct gguf_value *v, uint64_t i)
{
    if (v->elem != GGUF_STRING) {
        char number[NUMBER_BYTES];
        (void)number_text(v, i, number);
        buf_puts(b, number);
        return;
    }
    struct text t = v->str[i];
    const bool cut = t.n > CUT_BYTES;
    if (cut) {
        t.n = CUT_BYTES;
        while (t.n && ((unsigned char)t.p[t.n] & 0xc0) == 0x80) /* not inside a character */
            t.n--;
    }
    buf_puts(b, "\"");
    add_clean(b, t, true);
    if (cut)
        buf_printf(b, "\"... (%zu bytes)", v->str[i].n);
    else
        buf_puts(b, "\"");
}

static void print_text(const struct gguf *g, const char *path)
{
    struct buf b = {0};
    uint64_t file_type;
    size_t width = 0;
    buf_puts(&b, "file       ");
    add_clean(&b, (struct text){path, strlen(path)}, true);
    buf_printf(&b, "\nversion    %u\nalignment  %" PRIu64 "\nbytes      %" PRIu64 "\n",
               gguf_version(g), gguf_alignment(g), gguf_file_bytes(g));
    if (gguf_get_u64(g, "general.file_type", &file_type, NULL) == 1)
        buf_printf(&b, "file type  %s\n", gguf_file_type_name(file_type));
    buf_printf(&b, "\nmetadata: %zu\n", gguf_n_values(g));
    for (size_t i = 0; i < gguf_n_values(g); i++) {
        const struct gguf_value *v = gguf_value_at(g, i);
        char type[NUMBER_BYTES];
        type_text(v, type);
        buf_puts(&b, "  ");
        add_clean(&b, (struct text){v->key, strlen(v->key)}, true);
        buf_printf(&b, "  %s  ", type);
        const uint64_t n = v->n < CUT_ITEMS ? v->n : CUT_ITEMS;
        for (uint64_t k = 0; k < n; k++) {
            buf_puts(&b, k ? ", " : "");
            print_item(&b, v, k);
        }
        buf_puts(&b, n < v->n ? ", ...\n" : "\n");
    }
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const size_t n = strlen(gguf_tensor_at(g, i)->name);
        width = n > width ? n : width;
    }
    /* Shapes are in the file's order: the first number is the length of a row. */
    buf_printf(&b, "\ntensors: %zu\n", gguf_n_tensors(g));
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        char shape[96] = "";
        int at = 0;
        for (uint32_t k = 0; k < t->n_dims; k++)
            at += snprintf(shape + at, sizeof shape - (size_t)at, "%s%" PRIu64, k ? " x " : "",
                           t->dims[k]);
        buf_puts(&b, "  ");
        add_clean(&b, (struct text){t->name, strlen(t->name)}, true);
        buf_printf(&b, "%*s  %-7s  %-16s  offset %-12" PRIu64 " bytes %zu\n",
                   (int)(width - strlen(t->name)), "", tensor_type(t), shape, t->offset,
                   t->n_bytes);
        if (b.n > 1 << 16) {
            fwrite(b.p, 1, b.n, stdout);
            b.n = 0;
        }
    }
    if (b.failed)
        errno = ENOMEM;
    else
        fwrite(b.p, 1, b.n, stdout);
    buf_free(&b);
}

/* ---- JSON ------------------------------------------------------------------------------ */

static int json_put(const char *p, size_t n, void *out)
{
    return fwrite(p, 1, n, out) == n ? 0 : -1;
}

static void json_text(struct text t)
{
    struct buf b = {0};
    json_t *s = NULL;
    buf_add(&b, "", 0); /* so that b.p is a string even for an empty text */
    add_clean(&b, t, false);
    if (!b.failed)
        s = json_stringn(b.p, b.n);
    if (!s || json_dump_callback(s, json_put, stdout, JSON_ENCODE_ANY))
        fputs("null", stdout); /* no memory: the output stays JSON */
    json_decref(s);
    buf_free(&b);
}

static void json_item(const struct gguf_value *v, uint64_t i)
{
    char number[NUMBER_BYTES];
    if (v->elem == GGUF_STRING)
        json_text(v->str[i]);
    else
        fputs(number_text(v, i, number) ? number : "null", stdout);
}

static void print_json(const struct gguf *g, const char *path)
{
    fputs("{\"file\": ", stdout);
    json_text((struct text){path, strlen(path)});
    printf(", \"version\": %u, \"alignment\": %" PRIu64 ", \"bytes\": %" PRIu64
           ",\n \"metadata\": {",
           gguf_version(g), gguf_alignment(g), gguf_file_bytes(g));
    for (size_t i = 0; i < gguf_n_values(g); i++) {
        const struct gguf_value *v = gguf_value_at(g, i);
        char type[NUMBER_BYTES];
        type_text(v, type);
        fputs(i ? ",\n  " : "\n  ", stdout);
        json_text((struct text){v->key, strlen(v->key)});
        printf(": {\"type\": \"%s\", \"value\": ", type);
        if (v->kind != GGUF_ARRAY) {
            json_item(v, 0);
        } else {
            putchar('[');
            for (uint64_t k = 0; k < v->n; k++) {
                if (k)
                    fputs(", ", stdout);
                json_item(v, k);
            }
            putchar(']');
        }
        putchar('}');
    }
    fputs("\n },\n \"tensors\": [", stdout);
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        fputs(i ? ",\n  {\"name\": " : "\n  {\"name\": ", stdout);
        json_text((struct text){t->name, strlen(t->name)});
        printf(", \"type\": \"%s\", \"shape\": [", tensor_type(t));
        for (uint32_t k = 0; k < t->n_dims; k++)
            printf(k ? ", %" PRIu64 : "%" PRIu64, t->dims[k]);
        printf("], \"offset\": %" PRIu64 ", \"bytes\": %zu}", t->offset, t->n_bytes);
    }
    fputs("\n ]\n}\n", stdout);
}

int cmd_inspect(int argc, char **argv)
{
    const char *path = NULL;
    int n_paths = 0;
    bool json = false, only_paths = false;
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i];
        if (only_paths || a[0] != '-' || !a[1]) {
            path = a;
            n_paths++;
        } else if (strcmp(a, "--") == 0) {
            only_paths = true;
        } else if (strcmp(a, "--json") == 0) {
            json = true;
        } else if (strcmp(a, "--help") == 0 || strcmp(a, "-h") == 0) {
            fputs(usage, stdout);
            return 0;
        } else if (a[1] == '-') {
            fprintf(stderr, "Error: unknown flag: %s\n", a);
            return EXIT_USAGE;
        } else {
            fprintf(stderr, "Error: unknown shorthand flag: '%c' in %s\n", a[1], a);
            return EXIT_USAGE;
        }
    }
    if (n_paths != 1) {
        fprintf(stderr, "Error: accepts 1 arg(s), received %d\n", n_paths);
        return EXIT_USAGE;
    }
    struct err e = {0};
    struct gguf *g = gguf_open(path, &e);
    if (!g) {
        fprintf(stderr, "Error: %s\n", e.text);
        return 1;
    }
    errno = 0;
    if (json)
        print_json(g, path);
    else
        print_text(g, path);
    gguf_close(g);
    if (fflush(stdout) || ferror(stdout)) {
        fprintf(stderr, "Error: cannot write: %s\n", strerror(errno ? errno : EIO));
        return 1;
    }
    return 0;
}
