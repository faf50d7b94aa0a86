/* tests/toy_vocab.h - small vocabularies for tests, written as a GGUF and read back.
 *
 * Tokens are given by text; their ids are their places. A byte-level toy starts with the 256
 * letters of the bytes (id = byte), a SentencePiece toy with <unk>, <s>, </s> and the 256 byte
 * tokens (id = 3 + byte); what is added comes after. */
#ifndef CHASKI_TESTS_TOY_VOCAB_H
#define CHASKI_TESTS_TOY_VOCAB_H

#include "engine/tokenizer/tokenizer.h"

enum { TOY_NORMAL = 1, TOY_UNKNOWN, TOY_CONTROL, TOY_USER, TOY_UNUSED, TOY_BYTE };
enum { TOY_BPE_FIRST = 256, TOY_SPM_FIRST = 259, TOY_MAX = 512 };

struct toy {
    const char *model, *pre, *name; /* NULL: the key is left out */
    struct text tokens[TOY_MAX], merges[TOY_MAX];
    float scores[TOY_MAX];
    int32_t types[TOY_MAX];
    uint64_t n, n_merges, n_scores, n_types; /* lengths as written: tests may lie */
    int space_prefix, add_bos, add_eos;      /* -1: no key */
    int64_t bos, eos;                        /* -1: no key */
    char letters[256][8];
};

void toy_bpe(struct toy *t, const char *pre);
void toy_spm(struct toy *t);
/* The id of the new token. */
tok_id toy_token(struct toy *t, const char *text, int type, float score);
void toy_merge(struct toy *t, const char *line);
/* NULL with `e` filled when the vocabulary is refused. */
struct tok_vocab *toy_make(const struct toy *t, struct err *e);

#endif
