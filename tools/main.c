/* tools/main.c - the program `chaski`: finds the command and calls it.
 *
 * Facts: shared/spec/cli.md 1.1, 1.2. Exit status: 0, 1 (failed), 2 (usage). */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tools/args.h"
#include "tools/client.h"
#include "tools/commands.h"
#include "tools/text.h"

struct entry {
    const char *name, *alias; /* alias may be NULL */
    int (*run)(int argc, char **argv);
    const char *about;
};

/* One line for each command, in the order of the help. */
static const struct entry commands[] = {
    {"serve", "start", cmd_serve, "Start the server"},
    {"create", NULL, cmd_create, "Create a model"},
    {"show", NULL, cmd_show, "Show information for a model"},
    {"run", NULL, cmd_run, "Run a model"},
    {"stop", NULL, cmd_stop, "Stop a running model"},
    {"list", "ls", cmd_list, "List models"},
    {"ps", NULL, cmd_ps, "List running models"},
    {"cp", NULL, cmd_cp, "Copy a model"},
    {"rm", NULL, cmd_rm, "Remove a model"},
    {"key", NULL, cmd_key, "Make an API key and its line for the server's file"},
    {"inspect", NULL, cmd_inspect, "Show what stands in a GGUF file"},
    {"tokenize", NULL, cmd_tokenize, "Show the token ids of a text"},
    {"logits", NULL, cmd_logits, "Compute the logits of a list of token ids"},
    {"bench", NULL, cmd_bench, "Measure prompt and generation speed of a model"},
    {"roofline", NULL, cmd_roofline, "Measure the limits of this machine"},
    {"render", NULL, cmd_render, "Show the prompt that a template makes"},
    {"accept", NULL, cmd_accept, "Say which texts a JSON schema or a grammar allows"},
    {"dequant", NULL, cmd_dequant, "Turn raw blocks of a tensor type into float32"},
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

static const struct entry *find(const char *word)
{
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (!strcmp(commands[i].name, word) ||
            (commands[i].alias && !strcmp(commands[i].alias, word)))
            return &commands[i];
    return NULL;
}

static void print_help(void)
{
    printf("A server of language models for CPUs\n\n"
           "Usage:\n  chaski [flags]\n  chaski [command]\n\nAvailable Commands:\n");
    for (size_t i = 0; i < N_COMMANDS; i++)
        printf("  %-11s %s\n", commands[i].name, commands[i].about);
    printf("  %-11s %s\n\n", "help", "Help about any command");
    printf("Flags:\n"
           "  -h, --help      help for chaski\n"
           "  -v, --version   Show version information\n\n"
           "Use \"chaski [command] --help\" for more information about a command.\n");
}

/* The server's version, and ours where it differs. */
static int print_version(void)
{
    struct err e = {0};
    json_t *answer = NULL;
    struct client *c = client_connect(&e);
    const char *server = NULL;
    if (c && !client_json(c, "GET", "/api/version", NULL, &answer, &e))
        server = json_string_value(json_object_get(answer, "chaski"));
    if (!c)
        printf("Warning: could not connect to a running chaski instance\n");
    if (server) {
        printf("chaski version is ");
        out_text(stdout, server);
        putchar('\n');
    }
    if (!server)
        printf("chaski version is %s\n", CHASKI_VERSION);
    else if (strcmp(server, CHASKI_VERSION))
        printf("Warning: client version is %s\n", CHASKI_VERSION);
    json_decref(answer);
    client_free(c);
    return EXIT_OK;
}

/* Levenshtein's distance, enough for words of commands. */
static int distance(const char *a, const char *b)
{
    enum { MAX = 32 };
    int row[MAX + 1];
    const int n = (int)strlen(b);
    if (n > MAX || strlen(a) > MAX)
        return MAX;
    for (int j = 0; j <= n; j++)
        row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int left_up = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            const int up = row[j];
            int best = left_up + (a[i - 1] != b[j - 1]);
            best = up + 1 < best ? up + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            row[j] = best;
            left_up = up;
        }
    }
    return row[n];
}

static int unknown(const char *word)
{
    bool first = true;
    fail_with(EXIT_USAGE, "unknown command \"%s\" for \"chaski\"", word);
    for (size_t i = 0; i < N_COMMANDS; i++) {
        if (distance(word, commands[i].name) > 2 &&
            strncmp(word, commands[i].name, strlen(word)) != 0)
            continue;
        if (first)
            fputs("\nDid you mean this?\n", stderr);
        fprintf(stderr, "\t%s\n", commands[i].name);
        first = false;
    }
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN); /* `chaski list | head` ends by a failed write, not by a signal */
    if (argc < 2) {
        print_help();
        return EXIT_OK;
    }
    const char *word = argv[1];
    int status;
    if (!strcmp(word, "-h") || !strcmp(word, "--help") || (!strcmp(word, "help") && argc == 2)) {
        print_help();
        status = EXIT_OK;
    } else if (!strcmp(word, "-v") || !strcmp(word, "--version")) {
        status = print_version();
    } else if (!strcmp(word, "help")) {
        const struct entry *c = find(argv[2]);
        char flag[] = "--help";
        char *help_argv[] = {argv[2], flag, NULL};
        status = c ? c->run(2, help_argv) : unknown(argv[2]);
    } else if (word[0] == '-' && word[1] == '-') {
        status = fail_with(EXIT_USAGE, "unknown flag: %s", word);
    } else if (word[0] == '-') {
        status = fail_with(EXIT_USAGE, "unknown shorthand flag: '%c' in %s", word[1], word);
    } else {
        const struct entry *c = find(word);
        status = c ? c->run(argc - 1, argv + 1) : unknown(word);
    }
    if ((fflush(stdout) || ferror(stdout)) && status == EXIT_OK)
        status = fail_with(EXIT_FAILED, "cannot write to standard output");
    return status;
}
