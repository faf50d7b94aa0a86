/* tools/key.c - `chaski key NAME [SCOPES]`: a new API key, and its line for CHASKI_KEYS.
 *
 * Facts: shared/security.md 3.8. The line (stdout) holds only a hash; the key itself is shown once
 * (stderr) and kept nowhere:
 *
 *     chaski key alice infer >>keys && chmod 600 keys && CHASKI_KEYS=keys chaski serve */
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include "http/http.h"
#include "tools/args.h"
#include "tools/commands.h"

/* "chaski-" and 40 letters and digits: 238 bits. */
static int make_key(char *out, size_t cap)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    static const char front[] = "chaski-";
    enum { N = 40 };
    size_t n = sizeof front - 1;
    if (cap < n + N + 1)
        return -1;
    memcpy(out, front, n);
    while (n < sizeof front - 1 + N) {
        unsigned char b;
        if (getrandom(&b, 1, 0) != 1)
            return -1;
        if (b < 4 * 62) /* each letter as likely as the others */
            out[n++] = letters[b % 62];
    }
    out[n] = 0;
    return 0;
}

int cmd_key(int argc, char **argv)
{
    static const struct command spec = {
        "key",
        "NAME [SCOPES]",
        "Make an API key and its line for the server's file of keys (CHASKI_KEYS).\n"
        "SCOPES: infer (use models), read (look at them), manage (make and delete them), admin\n"
        "(all), with commas between; the default is infer. The line goes to stdout, the key to "
        "stderr.",
        1,
        2,
        NULL,
        NULL};
    int n;
    const int status = args_parse(&spec, argc, argv, &n);
    if (status >= 0)
        return status;
    struct err e = {0};
    struct buf line = {0};
    char key[64];
    if (make_key(key, sizeof key) != 0)
        return fail_with(EXIT_FAILED, "no random numbers");
    if (http_key_line(argv[0], n > 1 ? argv[1] : "infer", key, &line, &e) != 0)
        return fail_with(EXIT_FAILED, "%s", e.text);
    fprintf(stderr, "%s\n", key);
    const bool ok = printf("%s\n", line.p) > 0 && fflush(stdout) == 0;
    buf_free(&line);
    return ok ? EXIT_OK : fail_with(EXIT_FAILED, "the line could not be written");
}
