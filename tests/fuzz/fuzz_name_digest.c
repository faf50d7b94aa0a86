/* tests/fuzz/fuzz_name_digest.c - any bytes as a name and as a digest. What is taken prints to a
 * form that is taken again as the same value, and no part of it can leave a folder. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>
#include "engine/store/inside.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool claim)
{
    if (!claim)
        __builtin_trap();
}

static void part_is_tame(const char *p)
{
    require(p[0] && p[0] != '.' && p[0] != '-' && !strchr(p, '/') && strlen(p) <= 350);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct store_name a, b;
    struct digest d, d2;
    struct err e = {0};
    if (store_name_parse((const char *)data, n, &a, &e) == 0) {
        char text[STORE_NAME_TEXT];
        const char *const part[4] = {a.host, a.ns, a.model, a.tag};
        for (int i = 0; i < 4; i++)
            part_is_tame(part[i]);
        require(store_name_from_parts(part, &b) && !memcmp(&a, &b, sizeof a));
        store_name_full(&a, text, sizeof text);
        /* A tag that is itself a source word reads back as one: not the same name. */
        struct err again = {0};
        if (store_name_parse(text, strlen(text), &b, &again) == 0)
            require(store_name_equal(&a, &b) || !strcasecmp(a.tag, "local"));
    } else {
        require(e.code == ERR_INPUT || e.code == ERR_NOT_FOUND);
    }
    if (digest_parse((const char *)data, n, &d, &e) == 0) {
        char text[DIGEST_TEXT];
        digest_text(&d, text);
        require(n == 71 && !digest_parse(text, 71, &d2, NULL) && digest_equal(&d, &d2));
    }
    return 0;
}
