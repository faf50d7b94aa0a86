/* tools/args.h - flags and words of a command, and its help text.
 *
 * Facts: shared/spec/cli.md 1.1, 1.2. A command is described by one table, from which both the
 * parser and the help come, so that they cannot differ. */
#ifndef CHASKI_TOOLS_ARGS_H
#define CHASKI_TOOLS_ARGS_H

#include <stdbool.h>

enum arg_kind {
    ARG_BOOL = 1, /* bool: --x, --x=false */
    ARG_TEXT,     /* const char *: --x V, --x=V, -xV */
    ARG_INT,      /* long */
    ARG_LEVEL,    /* const char *: --x means "true" and never takes the next word; --x=V */
};
struct arg_flag {
    const char *name;
    char letter; /* or 0 */
    enum arg_kind kind;
    void *out;
    const char *help;
};
enum { ARG_ANY = -1 };
struct command {
    const char *name, *use, *about; /* use: what follows the name in the usage line */
    int min_words, max_words;       /* max may be ARG_ANY */
    const struct arg_flag *flags;   /* ends with a NULL name; may be NULL */
    const char *const *env;         /* name, text, name, text, .., NULL; may be NULL */
};

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* Parse argv[1..]. The words are moved to the front of argv, their number goes to *n_words. Returns
 * -1 to go on, else the exit status: the help or the error has been printed. */
int args_parse(const struct command *c, int argc, char **argv, int *n_words);

/* Print one line "Error: .." to stderr, control characters shown as \x..; returns `status`. */
int fail_with(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
