/* tests/fuzz/fuzz_manifest.c - any bytes as a manifest: no crash, and what is taken holds
 * together. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "engine/store/inside.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool claim)
{
    if (!claim)
        __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct manifest m = {0};
    struct err e = {0};
    if (manifest_parse((const char *)data, n, &m, &e) == 0) {
        uint64_t size = m.has_config ? m.config.size : 0;
        struct digest *d = NULL;
        size_t n_d = 0;
        for (size_t i = 0; i < m.n_layers; i++) {
            size += m.layers[i].size;
            require(strlen(m.layers[i].media_type) < sizeof m.layers[i].media_type);
        }
        require(size == m.size);
        require(manifest_digests(&m, &d, &n_d, &e) == 0 && n_d == m.n_layers + m.has_config);
        free(d);
    } else {
        require(e.code != ERR_NONE && e.text[0]);
    }
    manifest_free(&m);
    /* The same bytes as options: what passes the check prints as JSON that parses. */
    json_t *v = json_loadb((const char *)data, n, 0, NULL);
    json_t *kept = v ? store_params_check(v, NULL, &e) : NULL;
    struct buf b = {0};
    if (kept) {
        store_json_put(&b, kept, true);
        if (!b.failed) {
            json_t *again = store_json_load(b.p, b.n);
            require(again != NULL);
            json_decref(again);
        }
        buf_free(&b);
        (void)store_parameters_text(kept, &b, &e);
    }
    buf_free(&b);
    json_decref(kept);
    json_decref(v);
    return 0;
}
