/* engine/tokenizer/tokenizer.h - the door of the tokenizer: text <-> token ids, exactly as
 * the model was trained. Kinds: byte-level BPE ("gpt2"), SentencePiece BPE ("llama"), WordPiece
 * ("bert").
 *
 * A vocabulary is read-only after tok_vocab_new: any number of threads may share it. */
#ifndef CHASKI_TOKENIZER_H
#define CHASKI_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "gguf/base.h"
#include "gguf/gguf.h"

typedef int32_t tok_id;

struct tok_vocab;

/* Read the tokenizer.ggml.* metadata. ERR_INPUT names the key at fault; ERR_UNSUPPORTED names
 * a kind or a pre-tokenizer that chaski does not have, with the list of those it has. The
 * vocabulary keeps nothing of `g`: it can be closed. */
struct tok_vocab *tok_vocab_new(const struct gguf *g, struct err *e);
/* Nothing in it changes: any thread may hold it. One more owner, who frees it too. */
struct tok_vocab *tok_vocab_share(struct tok_vocab *v);
void tok_vocab_free(struct tok_vocab *v);
size_t tok_vocab_bytes(const struct tok_vocab *v); /* memory that it holds */

struct tok_ids { /* growing list; zero-initialise; free with tok_ids_free */
    tok_id *ids;
    size_t n, cap;
};
void tok_ids_free(struct tok_ids *ids);
int tok_ids_add(struct tok_ids *ids, tok_id id, struct err *e);

/* Append the ids of text[0..n). Special tokens (control, unknown) are recognised only inside
 * the `trusted` spans (sorted, not overlapping): the template's own literals; user text is
 * never turned into control tokens. User-defined tokens are cut out everywhere. Broken UTF-8
 * is tokenized byte-wise as U+FFFD or bytes, never an error. Nothing is added at the ends. */
int tok_encode(const struct tok_vocab *v, const char *text, size_t n,
               const struct text_span *trusted, size_t n_trusted, struct tok_ids *out,
               struct err *e);
/* What the model wants before and after a text: appends BOS (or CLS) / EOS (or SEP) ids if the
 * file says so. */
int tok_add_before(const struct tok_vocab *v, struct tok_ids *out, struct err *e);
int tok_add_after(const struct tok_vocab *v, struct tok_ids *out, struct err *e);

tok_id tok_n_vocab(const struct tok_vocab *v);
tok_id tok_bos(const struct tok_vocab *v); /* -1: none */
tok_id tok_eos(const struct tok_vocab *v); /* -1: none */
tok_id tok_unk(const struct tok_vocab *v); /* -1: none */
tok_id tok_pad(const struct tok_vocab *v); /* -1: none */
/* The tokens of a text with a hole: what is before it (0), behind it (1), the hole (2). -1: none. */
tok_id tok_fim(const struct tok_vocab *v, int part);
const char *const *tok_fim_texts(int part); /* how files that do not name them write them; NULL ends */
bool tok_adds_bos(const struct tok_vocab *v);
/* Ends a generation: eos, eot, eom, and the texts that end turns (data/vocabs README). */
bool tok_is_eog(const struct tok_vocab *v, tok_id id);
bool tok_is_control(const struct tok_vocab *v, tok_id id);
/* The token's text as the file has it (of BOS for templates). Owned by v. */
struct text tok_text(const struct tok_vocab *v, tok_id id);
/* The bytes that a token stands for in a generated text; may be a part of a character.
 * Control and unknown tokens give nothing unless `show_special`. Owned by v. */
struct text tok_piece(const struct tok_vocab *v, tok_id id, bool show_special);
/* The id whose text is exactly that, or -1. */
tok_id tok_find(const struct tok_vocab *v, const char *text, size_t n);
/* Append the detokenized bytes of n ids (specials hidden or shown) to `out`; the leading blank
 * that SentencePiece adds is dropped when the first id is not preceded by anything. */
void tok_decode(const struct tok_vocab *v, const tok_id *ids, size_t n, bool show_special,
                struct buf *out);
#endif
