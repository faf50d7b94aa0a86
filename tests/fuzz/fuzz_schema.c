/* tests/fuzz/fuzz_schema.c - any JSON as a schema, then a random text that it allows.
 *
 * What must hold: no crash; what the grammar lets end is JSON; masks say what steps say. */
#include <stdint.h>
#include "tests/fuzz/walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct err e = {0};
    struct buf said = {0};
    json_t *schema = json_loadb((const char *)data, n, JSON_DECODE_ANY | JSON_DISABLE_EOF_CHECK, NULL);
    struct grammar *g = schema ? grammar_json(schema, &e) : NULL;
    if (schema && !g && (!e.code || !e.text[0]))
        abort();
    if (g && walk(g, data, n, 60, &said)) {
        json_t *v = json_loadb(said.p, said.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        json_error_t why;
        if (!v) {
            v = json_loadb(said.p, said.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
            /* Numbers that no double holds are JSON all the same. */
            if (json_error_code(&why) != json_error_numeric_overflow)
                abort();
        }
        json_decref(v);
    }
    buf_free(&said);
    grammar_free(g);
    json_decref(schema);
    return 0;
}
