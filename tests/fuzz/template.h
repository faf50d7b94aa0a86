/* tests/fuzz/template.h - any bytes as a template over one fixed conversation, for both languages.
 *
 * What must hold: no crash, spans in order and inside the text. */
#include <stdint.h>
#include <stdlib.h>
#include "engine/chat/chat.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char talk[] =
    "{\"messages\": [{\"role\": \"system\", \"content\": \"Be short.\"},"
    " {\"role\": \"user\", \"content\": \"Hi <|end|> \\u00e9\\ud83d\\ude00\"},"
    " {\"role\": \"assistant\", \"content\": null, \"tool_calls\": [{\"id\": \"c1\", \"type\":"
    " \"function\", \"function\": {\"name\": \"f\", \"arguments\": {\"x\": 1, \"y\": [1.5, true]}}}]},"
    " {\"role\": \"tool\", \"content\": \"ok\", \"tool_call_id\": \"c1\"}],"
    " \"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"f\", \"parameters\": {}}}],"
    " \"items\": [3, 1, 2], \"d\": {\"b\": 2, \"a\": 1}, \"s\": \"Hello World\", \"x\": 2.5, \"i\": 7,"
    " \"bos_token\": \"<s>\", \"eos_token\": \"</s>\", \"add_generation_prompt\": true,"
    " \"$now\": \"2026-01-31T12:34:56\"}";

/* keeps_utf8: what it makes is UTF-8, whatever the template's bytes are. */
static void render_any(enum chat_language lang, const uint8_t *data, size_t n, bool keeps_utf8)
{
    struct err e = {0};
    struct chat_prompt p = {0};
    json_t *in = json_loads(talk, 0, NULL);
    struct chat_template *t = chat_template_new(lang, (const char *)data, n, &e);
    if (t && chat_render(t, in, &p, &e) == 0) {
        size_t end = 0;
        for (size_t i = 0; i < p.n_trusted; i++) {
            if (p.trusted[i].start >= p.trusted[i].end || p.trusted[i].end > p.text.n ||
                (i && p.trusted[i].start <= end))
                abort();
            end = p.trusted[i].end;
        }
        if (keeps_utf8 && p.text.n && !text_is_utf8(p.text.p, p.text.n))
            abort();
    }
    chat_prompt_free(&p);
    chat_template_free(t);
    json_decref(in);
}
