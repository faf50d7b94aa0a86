/* http/styles.c - the list of the styles, for who wants to try a body without a server. */
#include "http/openai.h"

#include <string.h>

static const struct {
    const char *name;
    const struct style *style;
} styles[] = {
    {"generate", &style_generate},
    {"chat", &style_chat},
    {"openai_chat", &style_openai_chat},
    {"openai_text", &style_openai_text},
    {"responses", &style_responses},
    {"messages", &style_messages},
    {"count_tokens", &style_count_tokens},
};
enum { N_STYLES = sizeof styles / sizeof *styles };

int http_n_body_routes(void)
{
    return N_STYLES;
}

const char *http_body_route(int i)
{
    return styles[i].name;
}

int http_check_body(const char *p, size_t n, const char *route, struct err *e)
{
    struct ask a;
    for (int i = 0; i < N_STYLES; i++) {
        if (strcmp(styles[i].name, route) != 0)
            continue;
        if (ask_parse(&a, styles[i].style, p, n, e) != 0)
            return -1;
        ask_free(&a);
        return 0;
    }
    return err_set(e, ERR_BUG, "no route is called %s", route);
}
