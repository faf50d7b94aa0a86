/* tools/args.c - flags and words of a command, and its help text.
 *
 * Facts: shared/spec/cli.md 1.1, 1.2: the syntax and the error texts are those that users of the
 * reference know. A usage error ends with status 2. */
#include "tools/args.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "gguf/base.h"

int fail_with(int status, const char *fmt, ...)
{
    char text[8192];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    fputs("Error: ", stderr);
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        const bool is_c1 = *p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0; /* U+0080 to U+009F */
        if ((*p < 32 && *p != '\n' && *p != '\t') || *p == 127 || is_c1)
            fprintf(stderr, "\\x%02x", is_c1 ? *++p : *p);
        else
            putc(*p, stderr);
    }
    putc('\n', stderr);
    return status;
}

static const char *kind_word(const struct arg_flag *f)
{
    return f->kind == ARG_TEXT ? " string" : f->kind == ARG_INT ? " int"
         : f->kind == ARG_LEVEL ? " string[=\"true\"]" : "";
}

static void print_help(const struct command *c)
{
    printf("%s\n\nUsage:\n  chaski %s%s%s [flags]\n\nFlags:\n", c->about, c->name,
           c->use[0] ? " " : "", c->use);
    size_t width = strlen("help");
    for (const struct arg_flag *f = c->flags; f && f->name; f++) {
        const size_t n = strlen(f->name) + strlen(kind_word(f));
        width = n > width ? n : width;
    }
    for (const struct arg_flag *f = c->flags; f && f->name; f++) {
        char left[80];
        snprintf(left, sizeof left, "%s%s", f->name, kind_word(f));
        if (f->letter)
            printf("  -%c, --%-*s   %s\n", f->letter, (int)width, left, f->help);
        else
            printf("      --%-*s   %s\n", (int)width, left, f->help);
    }
    printf("  -h, --%-*s   help for %s\n", (int)width, "help", c->name);
    if (!c->env)
        return;
    printf("\nEnvironment Variables:\n");
    for (size_t i = 0; c->env[i]; i += 2)
        printf("      %-27s   %s\n", c->env[i], c->env[i + 1]);
}

static bool parse_bool(const char *s, bool *out)
{
    static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};
    static const char *const no[] = {"0", "f", "F", "false", "FALSE", "False"};
    for (int i = 0; i < 6; i++) {
        if (!strcmp(s, yes[i]) || !strcmp(s, no[i])) {
            *out = !strcmp(s, yes[i]);
            return true;
        }
    }
    return false;
}

/* `shown` is the flag as error texts name it. */
static int set_flag(const struct arg_flag *f, const char *value, const char *shown)
{
    if (f->kind == ARG_BOOL) {
        if (!parse_bool(value, f->out))
            return fail_with(EXIT_USAGE, "invalid argument \"%s\" for \"%s\" flag: not a bool",
                             value, shown);
    } else if (f->kind == ARG_INT) {
        char *end;
        errno = 0;
        const long v = strtol(value, &end, 10);
        if (errno || end == value || *end)
            return fail_with(EXIT_USAGE, "invalid argument \"%s\" for \"%s\" flag: not an integer",
                             value, shown);
        *(long *)f->out = v;
    } else {
        *(const char **)f->out = value;
    }
    return -1;
}

static const struct arg_flag *find_long(const struct command *c, const char *name, size_t n)
{
    for (const struct arg_flag *f = c->flags; f && f->name; f++)
        if (strlen(f->name) == n && !memcmp(f->name, name, n))
            return f;
    return NULL;
}

static const struct arg_flag *find_letter(const struct command *c, char letter)
{
    for (const struct arg_flag *f = c->flags; f && f->name; f++)
        if (f->letter == letter)
            return f;
    return NULL;
}

static int parse_long(const struct command *c, int argc, char **argv, int *i)
{
    const char *name = argv[*i] + 2, *eq = strchr(name, '=');
    const size_t n = eq ? (size_t)(eq - name) : strlen(name);
    if (n == 4 && !memcmp(name, "help", 4)) {
        print_help(c);
        return EXIT_OK;
    }
    const struct arg_flag *f = find_long(c, name, n);
    if (!f)
        return fail_with(EXIT_USAGE, "unknown flag: --%.*s", (int)n, name);
    char shown[80];
    if (f->letter)
        snprintf(shown, sizeof shown, "-%c, --%s", f->letter, f->name);
    else
        snprintf(shown, sizeof shown, "--%s", f->name);
    if (eq)
        return set_flag(f, eq + 1, shown);
    if (f->kind == ARG_BOOL || f->kind == ARG_LEVEL)
        return set_flag(f, "true", shown);
    if (*i + 1 >= argc)
        return fail_with(EXIT_USAGE, "flag needs an argument: --%s", f->name);
    return set_flag(f, argv[++*i], shown);
}

/* A group of letters: -vf FILE, -fFILE, -f=FILE. */
static int parse_letters(const struct command *c, int argc, char **argv, int *i)
{
    for (const char *p = argv[*i] + 1; *p; p++) {
        if (*p == 'h' && !find_letter(c, 'h')) {
            print_help(c);
            return EXIT_OK;
        }
        const struct arg_flag *f = find_letter(c, *p);
        if (!f)
            return fail_with(EXIT_USAGE, "unknown shorthand flag: '%c' in %s", *p, argv[*i]);
        char shown[80];
        snprintf(shown, sizeof shown, "-%c, --%s", f->letter, f->name);
        if (p[1] == '=')
            return set_flag(f, p + 2, shown);
        if (f->kind == ARG_BOOL || f->kind == ARG_LEVEL) {
            const int status = set_flag(f, "true", shown);
            if (status >= 0)
                return status;
            continue;
        }
        if (p[1])
            return set_flag(f, p + 1, shown);
        if (*i + 1 >= argc)
            return fail_with(EXIT_USAGE, "flag needs an argument: '%c' in %s", *p, argv[*i]);
        return set_flag(f, argv[++*i], shown);
    }
    return -1;
}

int args_parse(const struct command *c, int argc, char **argv, int *n_words)
{
    int n = 0;
    bool flags_end = false;
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i];
        int status = -1;
        if (flags_end || a[0] != '-' || !a[1])
            argv[n++] = argv[i];
        else if (!strcmp(a, "--"))
            flags_end = true;
        else
            status = a[1] == '-' ? parse_long(c, argc, argv, &i) : parse_letters(c, argc, argv, &i);
        if (status >= 0)
            return status;
    }
    *n_words = n;
    if (c->min_words == c->max_words && n != c->min_words)
        return fail_with(EXIT_USAGE, "accepts %d arg(s), received %d", c->min_words, n);
    if (n < c->min_words)
        return fail_with(EXIT_USAGE, "requires at least %d arg(s), only received %d", c->min_words,
                         n);
    if (c->max_words != ARG_ANY && n > c->max_words)
        return fail_with(EXIT_USAGE, "accepts at most %d arg(s), received %d", c->max_words, n);
    return -1;
}
