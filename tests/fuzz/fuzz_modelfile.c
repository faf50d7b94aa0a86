/* tests/fuzz/fuzz_modelfile.c - any bytes as a Modelfile: no crash, strings are whole, values
 * type. */
#include <stddef.h>
#include <stdint.h>
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
    struct modelfile m;
    struct err e = {0};
    if (modelfile_parse((const char *)data, n, &m, &e)) {
        require(e.code != ERR_NONE && m.n_cmds == 0);
        return 0;
    }
    bool has_from = false;
    for (size_t i = 0; i < m.n_cmds; i++) {
        const struct modelfile_cmd *c = &m.cmds[i];
        require(c->name && c->arg && text_is_utf8(c->arg, strlen(c->arg)));
        has_from |= !c->is_parameter && !strcmp(c->name, "from");
    }
    require(has_from);
    json_decref(modelfile_parameters(&m, NULL, &e));
    modelfile_free(&m);
    return 0;
}
