/* engine/families/families.c - the list of families. */
#include "engine/families/families.h"

#include <string.h>

static const struct family *const families[] = {&fam_llama, &fam_qwen2, &fam_qwen3moe,
                                                &fam_gemma3, &fam_bert, &fam_nomic_bert};

const struct family *family_find(const char *arch)
{
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        if (!strcmp(families[i]->arch, arch))
            return families[i];
    return NULL;
}

const char *family_names(void)
{
    return "llama, qwen2, qwen3moe, gemma3, bert, nomic-bert";
}
