/* tests/fuzz/fuzz_gotemplate.c - any bytes as a Go template. */
#include "tests/fuzz/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    render_any(CHAT_GO, data, n, false);
    return 0;
}
