/* http/openai.h - what the parsers and printers of the OpenAI-style routes share (openai.c). */
#ifndef CHASKI_HTTP_OPENAI_H
#define CHASKI_HTTP_OPENAI_H

#include "http/style.h"

enum openai_flags {
    OPENAI_USAGE = 1, /* stream_options.include_usage */
    OPENAI_ECHO = 2,
};

/* model, stream, stream_options, the sampling fields and our own extras (options, keep_alive,
 * top_k, min_p, truncate). `more` may be NULL: options of the style, under what the body says. */
int openai_common(struct ask *a, json_t *more, struct err *e);
/* An `effort` word as think (22.1). */
int openai_effort(struct ask *a, const char *word, struct err *e);
/* ,"usage":{..} of all choices. */
void openai_usage(struct buf *b, const struct answer *w);
/* ,"chaski":{..}: the remarks of 29.2, where there are any. */
void openai_remarks(struct buf *b, const struct answer *w);
/* "stop", "length" or "tool_calls". */
const char *openai_reason(const struct choice *ch);
/* [{"id","index","type","function":{"name","arguments":TEXT}}] of calls in the form of 12.2. */
void openai_calls(struct buf *b, const json_t *calls);
/* ,"_debug_info":{..} where the prompt was asked for. */
void openai_debug(struct buf *b, const struct answer *w);
void openai_done(struct answer *w, struct buf *b); /* data: [DONE] */

extern const struct style style_openai_chat, style_openai_text;
#endif
