/* tools/human.h - sizes, times and durations as people read them (shared/spec/cli.md 1.5). */
#ifndef CHASKI_TOOLS_HUMAN_H
#define CHASKI_TOOLS_HUMAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HUMAN_TEXT = 48 };

/* 1500 -> "1.5 KB", 807000000 -> "807 MB". Decimal units. */
void human_size(int64_t bytes, char out[HUMAN_TEXT]);
/* How far `then_ns` is from `now_ns`: "3 weeks ago", "4 minutes from now", "Forever". */
void human_time(int64_t then_ns, int64_t now_ns, char out[HUMAN_TEXT]);
/* Go's form: "1.234567s", "45.1ms", "1m2.5s", "1h0m0s". */
void human_duration(int64_t ns, char out[HUMAN_TEXT]);
/* RFC 3339 to nanoseconds since 1970. False if it is none. Times that do not fit are cut to the
 * nearest that does: servers say "for ever" with a year far away. */
bool human_parse_time(const char *text, int64_t *ns);
/* Go's duration text ("5m", "1h30m", "-1s") or whole seconds: nanoseconds. */
bool human_parse_duration(const char *text, int64_t *ns);

#endif
