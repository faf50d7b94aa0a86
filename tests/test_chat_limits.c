/* tests/test_chat_limits.c - a template cannot run away and cannot reach out (security.md, 3.3).
 *
 * Each attack ends in an error that names the limit, within bounded time and memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "engine/chat/chat.h"

static void attack_n(const char *source, size_t n, const char *want, const char *file, int line)
{
    struct chat_prompt p = {0};
    struct err e = {0};
    int64_t from = time_mono_ns();
    struct chat_template *t = chat_template_new(CHAT_JINJA, source, n, &e);
    json_t *in = json_pack("{s:s, s:[i,i]}", "text", "some text of the request", "list", 1, 2);
    int rc = t ? chat_render(t, in, &p, &e) : -1;
    if (!rc || !strstr(e.text, want))
        print_error("%.100s: \"%s\", want \"%s\"\n", source, e.text, want);
    _assert_true(rc && strstr(e.text, want), "the limit is named", file, line);
    _assert_true(time_mono_ns() - from < INT64_C(20000000000), "soon enough", file, line);
    json_decref(in);
    chat_template_free(t);
    chat_prompt_free(&p);
}
#define ATTACK(source, want) attack_n(source, strlen(source), want, __FILE__, __LINE__)

/* `head`, then n times `part`, then `tail`. */
static void attack_long(const char *head, const char *part, size_t n, const char *tail,
                        const char *want)
{
    struct buf b = {0};
    buf_puts(&b, head);
    for (size_t i = 0; i < n; i++)
        buf_puts(&b, part);
    buf_puts(&b, tail);
    attack_n(b.p, b.n, want, __FILE__, __LINE__);
    buf_free(&b);
}

static void loops_in_loops_meet_the_steps(void **state)
{
    ATTACK("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "steps");
    ATTACK("{% for a in range(99999) %}{% for b in range(9999) if false %}{% endfor %}{% endfor %}",
           "steps");
    ATTACK("{% for a in range(99999) %}{{ range(99999)|list|sort|length }}{% endfor %}", "steps");
    ATTACK("{% for a in range(99999) %}{{ 5 in range(1, 99999, 2)|list }}{% endfor %}", "steps");
}

static void ranges_and_repeats_meet_the_items(void **state)
{
    ATTACK("{{ range(100001) }}", "Range too big");
    ATTACK("{{ range(-9223372036854775807, 9223372036854775807) }}", "Range too big");
    ATTACK("{{ 'a' * 100001 }}", "100000");
    ATTACK("{{ [1] * 100001 }}", "100000");
    ATTACK("{{ [1, 2] * 9223372036854775807 }}", "100000");
    ATTACK("{% for c in 'abcdefghij' * 20000 %}{% endfor %}", "100000");
    ATTACK("{{ 'x'.ljust(9999999999) }}", "100000");
    ATTACK("{{ '%9999999999d' % 1 }}", "1000");
    ATTACK("{{ '{:9999999999}'.format(1) }}", "1000");
    ATTACK("{{ [1]|tojson(indent=99999999) }}", "1000");
}

static void text_that_doubles_meets_the_output(void **state)
{
    ATTACK("{% set n = namespace(t='aaaaaaaa') %}{% for i in range(60) %}"
           "{% set n.t = n.t ~ n.t %}{% endfor %}", "MiB");
    ATTACK("{% set n = namespace(t='aaaaaaaa') %}{% for i in range(60) %}"
           "{% set n.t = n.t.replace('a', 'aa') %}{% endfor %}", "");
    ATTACK("{% set t = 'aaaaaaaaaa' * 100000 %}{% for i in range(99) %}{{ t }}{% endfor %}", "MiB");
}

static void lists_that_double_meet_a_limit(void **state)
{
    ATTACK("{% set n = namespace(l=[1]) %}{% for i in range(60) %}"
           "{% set n.l = n.l + n.l %}{% endfor %}", "");
    ATTACK("{% set l = [1] %}{% for i in range(60) %}{% set _ = l.extend(l) %}{% endfor %}", "");
    ATTACK("{% set n = namespace(l=[]) %}{% for i in range(90000) %}"
           "{% set n.l = n.l + [i] %}{% endfor %}", "");
}

static void deep_values_meet_the_depth(void **state)
{
    static const char *const uses[] = {"{{ n.l }}", "{{ n.l|tojson }}", "{{ n.l == n.m }}"};
    for (size_t i = 0; i < 3; i++) {
        struct buf b = {0};
        buf_puts(&b, "{% set n = namespace(l=[], m=[]) %}{% for i in range(5000) %}"
                     "{% set n.l = [n.l] %}{% set n.m = [n.m] %}{% endfor %}");
        buf_puts(&b, uses[i]);
        attack_n(b.p, b.n, "deeper", __FILE__, __LINE__);
        buf_free(&b);
    }
    ATTACK("{% set l = [1] %}{% set _ = l.append(l) %}{{ l }}", "deeper");
    ATTACK("{% set d = {} %}{% set _ = d.update(x=d) %}{{ d|tojson }}", "deeper");
}

static void macros_that_call_themselves_meet_the_depth(void **state)
{
    ATTACK("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "deeper");
    ATTACK("{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}",
           "deeper");
    ATTACK("{% for x in [[1]] recursive %}{{ loop([x]) }}{% endfor %}", "deeper");
    ATTACK("{% macro m(f) %}{{ [1]|map('string')|list }}{{ f(f) }}{% endmacro %}{{ m(m) }}", "deeper");
}

static void deep_sources_meet_the_nesting(void **state)
{
    attack_long("{{ ", "(", 100000, "1", "deeper");
    attack_long("{{ ", "[", 100000, "", "deeper");
    attack_long("{{ ", "- ", 100000, "1 }}", "deeper");
    attack_long("{{ ", "not ", 100000, "1 }}", "deeper");
    attack_long("", "{% if 1 %}", 50000, "", "deeper");
    attack_long("{{ 1", " if 1 else 1", 50000, " }}", "deeper");
    attack_long("{{ 1", " + 1", 100000, " }}", "in a row");
    attack_long("{{ x", ".a", 100000, " }}", "in a row");
    attack_long("{{ x", "|string", 100000, " }}", "in a row");
    attack_long("{{ x", "()", 100000, " }}", "in a row");
    attack_long("{{ 1", " < 1", 100000, " }}", "in a row");
}

static void a_long_source_is_refused(void **state)
{
    attack_long("", "0123456789abcdef", 65537, "", "1048576");
}

static void many_arguments_and_names_end_soon(void **state)
{
    attack_long("{{ dict(a=1", ",a=1", 100000, ") }}{{ 1/0 }}", "");
    attack_long("{% macro m(a", ",a", 100000, ") %}{% endmacro %}{{ m() }}{{ 1/0 }}", "");
    attack_long("{% set a = 1 %}", "{% set a = a ~ a %}", 60, "", "MiB");
    struct buf b = {0};
    for (int i = 0; i < 50000; i++)
        buf_printf(&b, "{{ v%d }}", i);
    buf_puts(&b, "{{ 1/0 }}");
    attack_n(b.p, b.n, "zero", __FILE__, __LINE__);
    buf_free(&b);
}

static void there_is_nothing_behind_a_value(void **state)
{
    static const char *const walks[] = {
        "{{ ''.__class__.__mro__ }}", "{{ list.__class__.x }}", "{{ text.__init__.__globals__ }}",
        "{{ cycler.__init__.x }}", "{{ namespace.__init__.x }}", "{{ lipsum.__globals__['os'] }}",
        "{{ self.__dict__.x }}", "{{ ''['__class__'].x }}", "{{ text|attr('__class__').x }}",
        "{{ [text]|map(attribute='__class__.x')|list }}", "{{ '{0.__class__.x}'.format(text) }}",
        "{{ range.__self__.x }}", "{{ joiner.__call__.x }}", "{{ loop.__x__.y }}",
    };
    for (size_t i = 0; i < sizeof walks / sizeof *walks; i++)
        ATTACK(walks[i], "");
}

static void numbers_at_their_ends(void **state)
{
    ATTACK("{{ (-9223372036854775807 - 1) // -1 }}", "64 bits");
    ATTACK("{{ -(-9223372036854775807 - 1) }}", "64 bits");
    ATTACK("{{ (-9223372036854775807 - 1)|abs }}", "64 bits");
    ATTACK("{{ 3 ** 99 }}", "64 bits");
    ATTACK("{{ (-9223372036854775807 - 1) % 0 }}", "zero");
    ATTACK("{{ 1 is divisibleby 0 }}", "zero");
    ATTACK("{{ 'abc'[::0] }}", "zero");
    ATTACK("{{ [1]|batch(0) }}", "batch");
    ATTACK("{{ [1]|slice(-1) }}", "slice");
    ATTACK("{{ 'x'|wordwrap(0) }}", "wordwrap");
}

static void wrong_kinds_are_errors(void **state)
{
    static const char *const wrong[] = {
        "{{ 1() }}", "{{ text.upper(1) }}", "{{ text.join(1) }}", "{{ text|join(1).x.y }}",
        "{{ none|length }}", "{{ [[]]|unique|list }}", "{{ {[]: 1} }}", "{{ dict([1]) }}",
        "{% set a, b = 1 %}", "{% set a, b = [1] %}", "{% set x.y = 1 %}", "{{ [1, 'a']|sort }}",
        "{{ cycler() }}", "{{ loop.index }}", "{{ raise_exception() }}", "{{ strftime_now(1) }}",
        "{{ '%d' % 'a' }}", "{{ '%' % 1 }}", "{{ '%(a)s' % 1 }}", "{{ '{' .format(1) }}",
        "{{ '{9}'.format(1) }}", "{{ '{:q}'.format(1) }}", "{{ '{!x}'.format(1) }}",
        "{{ '{0!}'.format(1) }}", "{{ 'a'|tojson(separators='x') }}", "{{ 'x'|from_json }}",
        "{{ [1]|map }}", "{{ [1]|map('nope')|list }}", "{{ [1]|select('nope')|list }}",
        "{{ f(**1) }}", "{{ range(1, *2) }}", "{{ range() }}", "{{ range(1, 2, 0) }}",
        "{{ text.split('') }}", "{{ text.index('zz') }}", "{{ [].pop() }}", "{{ [1].remove(2) }}",
        "{{ 1 in 1 }}", "{{ 1 in text }}", "{{ 1 < text }}", "{{ -text }}", "{{ text + 1 }}",
        "{% for a, b in [[1, 2, 3]] %}{% endfor %}", "{{ (1).x.y }}", "{{ text[1:'a'] }}",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        ATTACK(wrong[i], "");
}

static void broken_sources_are_errors(void **state)
{
    static const char *const broken[] = {
        "{{", "{%", "{# c", "{{ '", "{{ \"\\", "{{ 1 }", "{% if %}", "{% endif %}", "{% for %}",
        "{% for x %}", "{% for x in %}", "{% set %}", "{% set x %}", "{% macro %}", "{% macro m %}",
        "{% call 1 %}{% endcall %}", "{% raw %}", "{{ ] }}", "{{ (] }}", "{{ a. }}", "{{ a[ }}",
        "{{ a[1 }}", "{{ a[1:2:3:4] }}", "{{ a[1,2:3] }}", "{{ {1} }}", "{{ {1:} }}", "{{ 1 is }}",
        "{{ 1 | }}", "{{ a b }}", "{{ \"\\x1\" }}", "{{ \"\\ud800\" }}", "{{ \"\\U99999999\" }}",
        "{{ .5 }}", "{{ 012 }}", "{{ 0x }}", "{{ 0xfffffffffffffffff }}", "{% break %}",
        "{% continue %}", "{% macro m() %}{% break %}{% endmacro %}", "{{ f(a=1, 2) }}",
        "{{ f(**a, *b) }}", "{{ @ }}", "{{ \x01 }}", "{% import 'a' as b %}", "{% extends 'a' %}",
        "{% from 'a' import b %}", "{% set true = 1 %}", "{% set 1 = 2 %}", "{% set a.b.c = 1 %}",
        "\xff", "{{ '\xc3' }}",
    };
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
        ATTACK(broken[i], "");
}

static void a_nul_byte_is_a_character(void **state)
{
    struct err e = {0};
    struct chat_prompt p = {0};
    struct chat_template *t = chat_template_new(CHAT_JINJA, "a\0b{{ 1 }}", 10, &e);
    json_t *in = json_object();
    assert_non_null(t);
    assert_int_equal(chat_render(t, in, &p, &e), 0);
    assert_int_equal(p.text.n, 4);
    assert_memory_equal(p.text.p, "a\0b1", 4);
    json_decref(in);
    chat_prompt_free(&p);
    chat_template_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loops_in_loops_meet_the_steps),
        cmocka_unit_test(ranges_and_repeats_meet_the_items),
        cmocka_unit_test(text_that_doubles_meets_the_output),
        cmocka_unit_test(lists_that_double_meet_a_limit),
        cmocka_unit_test(deep_values_meet_the_depth),
        cmocka_unit_test(macros_that_call_themselves_meet_the_depth),
        cmocka_unit_test(deep_sources_meet_the_nesting),
        cmocka_unit_test(a_long_source_is_refused),
        cmocka_unit_test(many_arguments_and_names_end_soon),
        cmocka_unit_test(there_is_nothing_behind_a_value),
        cmocka_unit_test(numbers_at_their_ends),
        cmocka_unit_test(wrong_kinds_are_errors),
        cmocka_unit_test(broken_sources_are_errors),
        cmocka_unit_test(a_nul_byte_is_a_character),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
