/* tools/client.h - the HTTP client of the commands: JSON calls, streams of JSON lines, blobs.
 *
 * One struct serves one thread. Errors that the server sent are in err.text as it sent them;
 * client_status tells the HTTP status of the last call. */
#ifndef CHASKI_TOOLS_CLIENT_H
#define CHASKI_TOOLS_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include "gguf/base.h"

struct client;

/* The server at `host`, in the form of OLLAMA_HOST (shared/spec/cli.md 1.3); NULL or "" is
 * 127.0.0.1:11434. */
struct client *client_new(const char *host, struct err *e);
void client_free(struct client *c);
/* Ask HEAD /. Refused: `could not connect to chaski server, run 'chaski serve' to start it`. */
int client_check(struct client *c, struct err *e);
long client_status(const struct client *c);
/* client_new with OLLAMA_HOST, then client_check. NULL on error. */
struct client *client_connect(struct err *e);

/* `in` is borrowed, may be NULL; *out (may be NULL) is a new reference, NULL if nothing came. */
int client_json(struct client *c, const char *method, const char *path, const json_t *in,
                json_t **out, struct err *e);
/* POST, one call of `on_line` for each JSON line; it may return nonzero to stop. An answer with an
 * error status, and a line {"error": ..}, end with -1. */
typedef int (*client_line)(void *arg, const json_t *line);
int client_stream(struct client *c, const char *path, const json_t *in, client_line on_line,
                  void *arg, struct err *e);
/* 1: the server has the blob, 0: it has not, -1 error. `digest`: "sha256:HEX". */
int client_has_blob(struct client *c, const char *digest, struct err *e);
/* Send `size` bytes of descriptor `fd`, from its start. */
typedef void (*client_progress)(void *arg, int64_t done, int64_t total);
int client_send_blob(struct client *c, const char *digest, int fd, int64_t size,
                     client_progress progress, void *arg, struct err *e);

/* A command that is one talk with the server: parses the flags of `c`, connects, calls `talk` with
 * the words. The exit status; a failure's text has been printed. */
struct command;
typedef int (*client_talk)(struct client *c, char **words, int n, struct err *e);
int client_command(const struct command *c, int argc, char **argv, client_talk talk);
/* What such commands take from the environment, for their help. */
extern const char *const client_env[];

/* While `fd` (or -1) is readable, calls end with ERR_CANCELLED: a self-pipe of a signal handler. */
void client_set_stop(struct client *c, int fd);
/* `tick` (or NULL) is called about every 100 ms while a call waits. */
void client_set_tick(struct client *c, void (*tick)(void *arg), void *arg);

#endif
