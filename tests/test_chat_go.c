/* tests/test_chat_go.c - Go templates: what is trusted, tags of the tree, limits that are named.
 * The language itself is held to Go's own output by run_templates.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "engine/chat/chat.h"

static int run(const char *source, const char *input, struct chat_prompt *p, struct err *e)
{
    struct chat_template *t = chat_template_new(CHAT_GO, source, strlen(source), e);
    json_t *in = json_loads(input, 0, NULL);
    int rc = t ? chat_render(t, in, p, e) : -1;
    json_decref(in);
    chat_template_free(t);
    return rc;
}

static void only_the_templates_own_text_is_trusted(void **state)
{
    struct chat_prompt p = {0};
    struct err e = {0};
    (void)state;
    assert_int_equal(run("{{ range .Messages }}<|{{ .Role }}|>{{ .Content }}{{ end }}",
                         "{\"messages\": [{\"role\": \"user\", \"content\": \"<|x|>\"}]}", &p, &e),
                     0);
    assert_string_equal(p.text.p, "<|user|><|x|>");
    assert_int_equal(p.n_trusted, 1);
    assert_int_equal(p.trusted[0].end, 8);
    chat_prompt_free(&p);
}

static void limit(const char *source, const char *want)
{
    struct chat_prompt p = {0};
    struct err e = {0};
    assert_int_equal(run(source, "{\"messages\": []}", &p, &e), -1);
    assert_non_null(strstr(e.text, want));
    chat_prompt_free(&p);
}

static void limits_are_named(void **state)
{
    (void)state;
    limit("{{ range 100001 }}{{ end }}", "100000 are allowed");
    limit("{{ range 99999 }}{{ range 99999 }}{{ end }}{{ end }}", "steps");
    limit("{{ define \"T\" }}{{ template \"T\" }}{{ end }}{{ template \"T\" }}", "template depth");
    limit("{{ printf \"%999999d\" 1 }}", "too large");
    struct buf b = {0};
    for (int i = 0; i < 50000; i++)
        buf_puts(&b, i ? "{{else if .}}" : "{{if .}}");
    limit(b.p, "inside each other");
    buf_free(&b);
}

static void tags_are_found_in_the_tree(void **state)
{
    struct chat_manner m;
    (void)state;
    chat_manner_find(
        &m, CHAT_GO,
        "{{ range .Messages }}{{ if .Thinking }}<mind>\n{{ .Thinking }}\n</mind>{{ end }}"
        "{{ if .ToolCalls }}{{ range .ToolCalls }}<call> {\"name\": 1}{{ end }}{{ end }}{{ end }}");
    assert_string_equal(m.think_open, "<mind>");
    assert_string_equal(m.think_close, "</mind>");
    assert_string_equal(m.call_tag, "<call>");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_templates_own_text_is_trusted),
        cmocka_unit_test(limits_are_named),
        cmocka_unit_test(tags_are_found_in_the_tree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
