/* tests/tiny_model.h - small models with random weights, for tests: written in milliseconds, with a
 * byte vocabulary, so that they can be served. */
#ifndef CHASKI_TESTS_TINY_MODEL_H
#define CHASKI_TESTS_TINY_MODEL_H

#include <stdbool.h>
#include <stdint.h>
#include "gguf/base.h"

struct tiny_model {
    const char *arch;          /* "llama", "qwen2", "qwen3moe", "gemma3"; NULL = llama */
    const char *chat_template; /* Jinja, or NULL */
    uint64_t seed;
    int n_layer;               /* 0 = 2 */
    int n_ctx;                 /* 0 = 512 */
    int n_ff;                  /* 0 = 128; the way to a large file */
    int n_expert;              /* 0 = dense; 2 of them are used */
    int type;                  /* of matrices: TYPE_F32, TYPE_Q8_0, TYPE_Q4_0 */
    bool calm;                 /* blocks change little: the next token follows from the last one, and
                                * a greedy text soon goes round in a circle */
    /* Lies, for tests of what is refused. */
    const char *drop;          /* leave out this tensor or (number) key */
    const char *set_key;       /* give this number key another value: */
    uint32_t set_value;
    const char *halve;         /* this matrix has half its rows */
    int scaled;                /* 1: matrices come with `.scale` tensors and divided by them (powers of
                                * two: the products stay, bit for bit); 2: of a wrong shape */
    bool nan;                  /* the output norm holds a NaN */
};
/* 0, or -1 with `e` filled. The vocabulary: <unk>, <s>, </s>, 256 byte tokens, "<|im_start|>",
 * "<|im_end|>" (control) and a few words: 320 in all. */
int tiny_model_write(const char *path, const struct tiny_model *t, struct err *e);

#endif
