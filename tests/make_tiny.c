/* tests/make_tiny.c - writes a tiny model for the API tests:
 * make_tiny OUT.gguf [llama|qwen2|gemma3] [F32|Q8_0|Q4_0] [CHAT_TEMPLATE_FILE]  */
#include <stdio.h>
#include <string.h>
#include "gguf/types.h"
#include "tests/tiny_model.h"

int main(int argc, char **argv)
{
    static char tpl[1 << 16];
    struct tiny_model t = {.seed = 7, .type = TYPE_Q8_0};
    if (argc < 2)
        return 2;
    if (argc > 2)
        t.arch = argv[2];
    if (argc > 3)
        t.type = !strcmp(argv[3], "F32") ? TYPE_F32 : !strcmp(argv[3], "Q4_0") ? TYPE_Q4_0 : TYPE_Q8_0;
    if (argc > 4) {
        FILE *f = fopen(argv[4], "rb");
        if (!f)
            return 1;
        tpl[fread(tpl, 1, sizeof tpl - 1, f)] = 0;
        fclose(f);
        t.chat_template = tpl;
    }
    struct err e = {0};
    if (tiny_model_write(argv[1], &t, &e)) {
        fprintf(stderr, "Error: %s\n", e.text);
        return 1;
    }
    return 0;
}
