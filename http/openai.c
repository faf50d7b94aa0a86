/* http/openai.c - what the OpenAI-style routes share: the shape of errors.
 *
 * Facts: spec/api.md 1.3, 7.2, 22.6; clients.md 4. The client takes error.message and the class by
 * the status; it tries again after any 5xx. */
#include "http/style.h"

#include <string.h>

static void openai_error(const struct call *c, struct buf *b, int status, enum err_code code,
                         const char *text)
{
    static const struct {
        int status;
        const char *type, *code;
    } kinds[] = {
        {400, "invalid_request_error", NULL}, {401, "authentication_error", "invalid_api_key"},
        {403, "permission_error", NULL},      {404, "not_found_error", "model_not_found"},
        {405, "invalid_request_error", NULL}, {413, "invalid_request_error", NULL},
        {503, "api_error", "server_busy"},
    };
    const char *type = "api_error", *word = NULL;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].status == status) {
            type = kinds[i].type;
            word = kinds[i].code;
        }
    if ((status == 503 && code != ERR_BUSY) || (status == 404 && !c->route))
        word = NULL;
    buf_puts(b, "{\"error\":{\"message\":");
    print_json_string(b, text, strlen(text));
    buf_printf(b, ",\"type\":\"%s\",\"param\":null,\"code\":", type);
    if (word)
        buf_printf(b, "\"%s\"}}", word);
    else
        buf_puts(b, "null}}");
}

static void openai_stream_error(const struct call *c, struct buf *b, int status, enum err_code code,
                                const char *text)
{
    buf_puts(b, "data: ");
    openai_error(c, b, status, code, text);
    buf_puts(b, "\n\ndata: [DONE]\n\n");
}

const struct shape shape_openai = {
    .type = type_json_plain,
    .end = "\n",
    .unsupported_is_400 = true,
    .error = openai_error,
    .stream_error = openai_stream_error,
};
