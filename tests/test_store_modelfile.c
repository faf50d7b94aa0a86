/* tests/test_store_modelfile.c - the Modelfile grammar and its way back (shared/spec
 * modelfile-and-templates.md, 1.1 to 1.4), as tables. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "tests/store_room.h"

#define COMMANDS                                                                                   \
    "command must be one of \"from\", \"license\", \"template\", \"system\", \"adapter\", "       \
    "\"draft\", \"renderer\", \"parser\", \"parameter\", \"message\", or \"requires\""
#define ROLES "message role must be one of \"system\", \"user\", or \"assistant\""

/* Commands as "name=arg" joined by '|'; a parameter has a '!' in front. */
static const char *const good[][2] = {
    {"FROM a", "from=a"},
    {"from a\n", "from=a"},
    {"FrOm\ta\n", "from=a"},
    {"FROM   a  \n", "from=a"},
    {"  FROM a\n", "from=a"},
    {"\n\n\tFROM a\n\n", "from=a"},
    {"FROM a\r\nSYSTEM b\r\n", "from=a|system=b"},
    {"\xef\xbb\xbf" "FROM a\n", "from=a"},
    {"# note\nFROM a\n  # note\n", "from=a"},
    {"FROM a # note\n", "from=a # note"},
    {"#FROM b\nFROM a", "from=a"},
    {"FROM \nFROM a", "from=|from=a"},
    {"FROM ", "from="},
    {"FROM a\nFROM b", "from=a|from=b"},
    {"FROM \"a b\"\n", "from=a b"},
    {"FROM \"\"\n", "from="},
    {"FROM a\nSYSTEM \"one\ntwo\"\n", "from=a|system=one\ntwo"},
    {"FROM a\nSYSTEM \"\"\"one\n\"two\"\n\"\"\"\nSYSTEM x", "from=a|system=one\n\"two\"\n|system=x"},
    {"FROM a\nSYSTEM \"\"\"\"\"\"\n", "from=a|system="},
    {"FROM a\nSYSTEM \"\"\" x \"\"\"", "from=a|system= x "},
    {"FROM a\nSYSTEM \"abc\" def\nghi\"\n", "from=a|system=abc\" def\nghi"},
    {"FROM a\nSYSTEM 'a'\n", "from=a|system='a'"},
    {"FROM a\nSYSTEM a\\nb\n", "from=a|system=a\\nb"},
    {"FROM a\nSYSTEM x\"y\n", "from=a|system=x\"y"},
    {"FROM a\nSYSTEM \"a\tb\"", "from=a|system=a\tb"},
    {"FROM a\nSYSTEM a\x01\x7f" "b\n", "from=a|system=ab"},
    {"FROM a\nSYSTEM a\xc2\xa0" "b\xe2\x80\x8b" "c\xef\xbb\xbf" "d\n", "from=a|system=abcd"},
    {"FROM a\nSYSTEM \xc3\xa9\xe6\x97\xa5\xf0\x9f\x98\x80\n",
     "from=a|system=\xc3\xa9\xe6\x97\xa5\xf0\x9f\x98\x80"},
    {"FROM a\nSYSTEM \xff\n", "from=a|system=\xef\xbf\xbd"},
    {"FROM a\nPARAMETER stop <|im_end|>\nPARAMETER num_ctx 4096",
     "from=a|!stop=<|im_end|>|!num_ctx=4096"},
    {"FROM a\nparameter Stop \" x \"", "from=a|!Stop= x "},
    {"FROM a\nPARAMETER a_1 b", "from=a|!a_1=b"},
    {"FROM a\nMESSAGE user hi there\nMESSAGE assistant \"yes\"", "from=a|message=user: hi there|"
                                                                 "message=assistant: yes"},
    {"FROM a\nMESSAGE system \"\"\"a\nb\"\"\"", "from=a|message=system: a\nb"},
    {"FROM a\nTEMPLATE {{ .Prompt }}\nLICENSE MIT\nADAPTER ./x\nDRAFT d\nRENDERER r\nPARSER p\n"
     "REQUIRES 0.14.0",
     "from=a|template={{ .Prompt }}|license=MIT|adapter=./x|draft=d|renderer=r|parser=p|"
     "requires=0.14.0"},
};

static const char *const bad[][2] = {
    {"", "no FROM line"},
    {"# only\n", "no FROM line"},
    {"SYSTEM a\n", "no FROM line"},
    {"PARAMETER from a\n", "no FROM line"},
    {"FROM", "unexpected EOF"},
    {"FROM\n", "(line 2): " COMMANDS},
    {"FROM a\nFOO b", "(line 2): " COMMANDS},
    {"FROM a\nFROM2 b", "(line 2): " COMMANDS},
    {"FROM a\r\nFOO b", "(line 3): " COMMANDS},
    {"FROM a\nMODEL b", "(line 2): " COMMANDS},
    {"9 a\nFROM a", "(line 1): " COMMANDS},
    {"FROM a\nSYSTEM \"abc\n", "unexpected EOF"},
    {"FROM a\nSYSTEM \"\"\"abc\"\n", "unexpected EOF"},
    {"FROM a\nSYSTEM \"\"\"abc\"\"\" x\n", "unexpected EOF"},
    {"FROM a\nSYSTEM \"", "unexpected EOF"},
    {"FROM a\nSYSTEM \"\"\"\"\n", "unexpected EOF"},
    {"FROM a\nPARAMETER", "unexpected EOF"},
    {"FROM a\nPARAMETER x", "unexpected EOF"},
    {"FROM a\nPARAMETER x-y 1", "unexpected EOF: x"},
    {"FROM a\nPARAMETER x\n", "unexpected EOF: x"},
    {"FROM a\nMESSAGE user\n", "unexpected EOF: user"},
    {"FROM a\nMESSAGE user: hi", "unexpected EOF: user"},
    {"FROM a\nMESSAGE User hi", "(line 2): " ROLES},
    {"FROM a\nMESSAGE tool hi", "(line 2): " ROLES},
    {"FROM a\nMESSAGE user", "unexpected EOF"},
};

static void spell(const struct modelfile *m, struct buf *b)
{
    for (size_t i = 0; i < m->n_cmds; i++)
        buf_printf(b, "%s%s%s=%s", i ? "|" : "", m->cmds[i].is_parameter ? "!" : "",
                   m->cmds[i].name, m->cmds[i].arg ? m->cmds[i].arg : "(null)");
}

static void good_files_give_their_commands(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct modelfile m;
        struct err e = {0};
        struct buf b = {0};
        if (modelfile_parse(good[i][0], strlen(good[i][0]), &m, &e))
            fail_msg("\"%s\": %s", good[i][0], e.text);
        spell(&m, &b);
        assert_string_equal(b.p, good[i][1]);
        buf_free(&b);
        modelfile_free(&m);
    }
}

static void bad_files_give_their_error(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct modelfile m;
        struct err e = {0};
        if (modelfile_parse(bad[i][0], strlen(bad[i][0]), &m, &e) == 0)
            fail_msg("\"%s\" was taken", bad[i][0]);
        assert_int_equal(e.code, ERR_INPUT);
        assert_string_equal(e.text, bad[i][1]);
        assert_int_equal(m.n_cmds, 0);
    }
}

static void utf16_files_are_read(void **state)
{
    (void)state;
    static const char le[] = "\xff\xfe" "F\0R\0O\0M\0 \0=\xd8\0\xde", /* U+1F600 */
        be[] = "\xfe\xff\0F\0R\0O\0M\0 \0a";
    struct modelfile m;
    assert_int_equal(modelfile_parse(le, sizeof le - 1, &m, NULL), 0);
    assert_string_equal(m.cmds[0].arg, "\xf0\x9f\x98\x80");
    modelfile_free(&m);
    assert_int_equal(modelfile_parse(be, sizeof be - 1, &m, NULL), 0);
    assert_string_equal(m.cmds[0].arg, "a");
    modelfile_free(&m);
}

static void a_file_of_line_ends_costs_no_square(void **state)
{
    (void)state;
    const size_t n = 4 << 20;
    char *p = malloc(n);
    struct modelfile m;
    memset(p, '\n', n);
    memcpy(p, "FROM \"", 6);
    const int64_t t = time_mono_ns();
    assert_int_equal(modelfile_parse(p, n, &m, NULL), -1);
    memset(p, ' ', n);
    memcpy(p, "FROM ", 5);
    for (size_t i = n / 2; i < n; i += 2)
        p[i] = '"';
    assert_int_equal(modelfile_parse(p, n, &m, NULL), 0);
    modelfile_free(&m);
    assert_true(time_mono_ns() - t < 10 * INT64_C(1000000000));
    free(p);
}

static void parameters_are_typed(void **state)
{
    (void)state;
    static const char *const rows[][3] = {
        {"num_ctx", "4096", "4096"},
        {"num_ctx", "-1", "-1"},
        {"num_ctx", "1.5", "invalid int value [1.5]"},
        {"num_ctx", "", "invalid int value []"},
        {"num_ctx", " 1", "invalid int value [ 1]"},
        {"num_ctx", "0x10", "invalid int value [0x10]"},
        {"seed", "9223372036854775807", "9223372036854775807"},
        {"seed", "9223372036854775808", "invalid int value [9223372036854775808]"},
        {"temperature", "0.7", "0.7"},
        {"temperature", "1", "1"},
        {"temperature", "1e-5", "1e-05"},
        {"temperature", "abc", "invalid float value [abc]"},
        {"temperature", "1x", "invalid float value [1x]"},
        {"temperature", "nan", "invalid float value [nan]"},
        {"temperature", "1e50", "invalid float value [1e50]"},
        {"use_mmap", "T", "true"},
        {"use_mmap", "False", "false"},
        {"use_mmap", "maybe", "invalid bool value [maybe]"},
        {"stop", "a b", "\"a b\""},
        {"nope", "1", "unknown parameter 'nope'"},
        {"num_gqa", "1", "unknown parameter 'num_gqa'"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err e = {0};
        struct buf b = {0};
        json_t *v = modelfile_parameter(rows[i][0], rows[i][1], &e);
        if (json_is_real(v))
            store_go_number(&b, json_real_value(v));
        else if (v)
            store_json_put(&b, v, true);
        assert_string_equal(v ? b.p : e.text, rows[i][2]);
        buf_free(&b);
        json_decref(v);
    }
}

static void stops_are_collected_and_old_names_left_out(void **state)
{
    (void)state;
    const char *text = "FROM a\nPARAMETER stop x\nPARAMETER stop \" y\"\nPARAMETER top_k 1\n"
                       "PARAMETER top_k 2\nPARAMETER mirostat 1";
    struct modelfile m;
    json_t *old = json_array();
    struct buf b = {0};
    assert_int_equal(modelfile_parse(text, strlen(text), &m, NULL), 0);
    json_t *p = modelfile_parameters(&m, old, NULL);
    store_json_put(&b, p, true);
    assert_string_equal(b.p, "{\"stop\":[\"x\",\" y\"],\"top_k\":2}");
    assert_int_equal(json_array_size(old), 1);
    buf_free(&b);
    json_decref(p);
    json_decref(old);
    modelfile_free(&m);
}

static void the_parameters_text_is_padded_and_sorted(void **state)
{
    (void)state;
    json_t *p = json_loads("{\"temperature\":0.7,\"stop\":[\"<|im_end|>\",\"a\\\"\\n\\u00e9\\u200b\"],"
                           "\"num_ctx\":1048576.0,\"use_mmap\":true,\"min_p\":0.00001}", 0, NULL);
    struct buf b = {0};
    assert_int_equal(store_parameters_text(p, &b, NULL), 0);
    assert_string_equal(b.p, "min_p                          1e-05\n"
                             "num_ctx                        1048576\n"
                             "stop                           \"<|im_end|>\"\n"
                             "stop                           \"a\\\"\\n\xc3\xa9\\u200b\"\n"
                             "temperature                    0.7\n"
                             "use_mmap                       true");
    buf_free(&b);
    json_decref(p);
    assert_int_equal(store_parameters_text(NULL, &b, NULL), 0);
    assert_string_equal(b.p, "");
    buf_free(&b);
}

static void the_modelfile_text_has_the_order_of_show(void **state)
{
    (void)state;
    struct room r = room_new();
    const struct digest g = room_gguf(&r, "llama", 16);
    json_t *params = json_pack("{s:[s,s], s:f}", "stop", "<|im_end|>", " x", "temperature", 0.1);
    json_t *messages = json_pack("[{s:s, s:s}]", "role", "user", "content", "a\nb");
    json_t *licenses = json_pack("[s]", "\"MIT\"");
    const struct store_create c = {.name = room_name("smol"), .files = &g, .n_files = 1,
                                   .system = "You are terse.", .params = params,
                                   .messages = messages, .licenses = licenses, .renderer = "r",
                                   .parser = "p", .required = "0.14.0"};
    struct err e = {0};
    if (store_model_create(r.s, &c, NULL, NULL, &e))
        fail_msg("%s", e.text);
    struct store_model *m;
    struct buf b = {0};
    char want[2000], hex[65];
    digest_hex(&g, hex);
    assert_int_equal(store_model_get(r.s, &c.name, &m, &e), 0);
    assert_int_equal(store_modelfile_text(r.s, m, NULL, m->template_text, NULL, &b, &e), 0);
    snprintf(want, sizeof want,
             "# Modelfile generated by \"ollama show\"\n"
             "# To build a new Modelfile based on this, replace FROM with:\n"
             "# FROM smol:latest\n\n"
             "FROM %s/blobs/sha256-%s\n"
             "TEMPLATE {{ .Prompt }}\nSYSTEM You are terse.\nRENDERER r\nPARSER p\n"
             "PARAMETER stop <|im_end|>\nPARAMETER stop \" x\"\nPARAMETER temperature 0.1\n"
             "LICENSE \"\"\"\"MIT\"\"\"\"\nMESSAGE user \"a\nb\"\n",
             store_root(r.s), hex);
    assert_string_equal(b.p, want);
    assert_string_equal(json_string_value(json_object_get(m->config, "requires")), "0.14.0");
    buf_free(&b);
    store_model_free(m);
    json_decref(params);
    json_decref(messages);
    json_decref(licenses);
    room_free(&r);
}

/* Random values, printed as show prints them, read back equal. */
static void printed_values_read_back(void **state)
{
    (void)state;
    static const char alphabet[] = "ab \"\n'#\\x";
    unsigned seed = 1;
    for (int round = 0; round < 200; round++) {
        char value[16];
        struct store_model m = {.config = json_object(), .params = json_object(),
                                .messages = json_array(), .licenses = json_array()};
        struct store s = {.root = "/r"};
        struct buf b = {0};
        struct modelfile mf;
        size_t n = 1;
        value[0] = 'v';
        for (; n < 8; n++) {
            seed = seed * 1103515245u + 12345u;
            value[n] = alphabet[(seed >> 16) % (sizeof alphabet - 1)];
        }
        value[n] = 0;
        if (round % 2)
            value[0] = '"';
        /* Not sayable in the grammar: a line end that follows three quotes. */
        if (strstr(value, "\"\"\"") || value[n - 1] == '"') {
            json_decref(m.config), json_decref(m.params), json_decref(m.messages);
            json_decref(m.licenses);
            continue;
        }
        m.system = value;
        snprintf(m.name.model, sizeof m.name.model, "m");
        assert_int_equal(store_modelfile_text(&s, &m, NULL, m.template_text, NULL, &b, NULL), 0);
        struct buf text = {0};
        buf_puts(&text, "FROM a\n");
        buf_puts(&text, b.p);
        if (modelfile_parse(text.p, text.n, &mf, NULL))
            fail_msg("does not parse: %s", text.p);
        assert_string_equal(mf.cmds[mf.n_cmds - 1].name, "system");
        assert_string_equal(mf.cmds[mf.n_cmds - 1].arg, value);
        modelfile_free(&mf);
        buf_free(&b);
        buf_free(&text);
        json_decref(m.config), json_decref(m.params), json_decref(m.messages);
        json_decref(m.licenses);
    }
}

static void numbers_are_the_shortest(void **state)
{
    (void)state;
    static const struct {
        double v;
        const char *json;
    } rows[] = {{0.1, "0.1"},   {1e21, "1e+21"},  {1e20, "100000000000000000000"},
                {1e-6, "0.000001"}, {1e-7, "1e-7"}, {123456.789, "123456.789"},
                {-0.5, "-0.5"}, {4096, "4096"},   {1.7976931348623157e308, "1.7976931348623157e+308"},
                {5e-324, "5e-324"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf b = {0};
        json_t *v = json_real(rows[i].v);
        store_json_put(&b, v, false);
        assert_string_equal(b.p, rows[i].json);
        buf_free(&b);
        json_decref(v);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_files_give_their_commands),
        cmocka_unit_test(bad_files_give_their_error),
        cmocka_unit_test(utf16_files_are_read),
        cmocka_unit_test(a_file_of_line_ends_costs_no_square),
        cmocka_unit_test(parameters_are_typed),
        cmocka_unit_test(stops_are_collected_and_old_names_left_out),
        cmocka_unit_test(the_parameters_text_is_padded_and_sorted),
        cmocka_unit_test(the_modelfile_text_has_the_order_of_show),
        cmocka_unit_test(printed_values_read_back),
        cmocka_unit_test(numbers_are_the_shortest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
