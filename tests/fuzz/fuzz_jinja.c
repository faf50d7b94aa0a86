/* tests/fuzz/fuzz_jinja.c - any bytes as a Jinja template. */
#include "tests/fuzz/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    render_any(CHAT_JINJA, data, n, true);
    return 0;
}
