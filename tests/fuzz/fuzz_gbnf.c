/* tests/fuzz/fuzz_gbnf.c - any bytes as a GBNF grammar, then a random text that it allows. */
#include <stdint.h>
#include "tests/fuzz/walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct err e = {0};
    struct buf said = {0};
    json_t *schemas = json_pack("{s:{s:s}, s:{s:[s,s]}}", "a", "type", "integer", "b", "enum", "x", "yz");
    struct grammar *g = grammar_gbnf((const char *)data, n, schemas, &e);
    if (!g && (!e.code || !e.text[0]))
        abort();
    if (g)
        walk(g, data, n, 40, &said);
    buf_free(&said);
    grammar_free(g);
    json_decref(schemas);
    return 0;
}
