/* engine/grammar/grammar.h - the door of the grammar room: which texts a JSON schema or a GBNF
 * grammar allows, byte by byte, and which tokens may come next.
 *
 * A grammar is an automaton that is built as it is used: its functions change it, so one thread at
 * a time uses it. Schemas, patterns and grammars are hostile input: sizes, depths and states are
 * bounded, and what is refused is refused by grammar_json and grammar_gbnf, before any token. */
#ifndef CHASKI_GRAMMAR_H
#define CHASKI_GRAMMAR_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "gguf/base.h"

struct grammar;
#define GRAMMAR_DEAD UINT32_MAX
#define GRAMMAR_NO_VALUE "invalid JSON schema in format: no value obeys it"

/* The texts of all JSON values that obey the schema (an object, true or false; copied), with their
 * properties in the schema's order and bounded white space. ERR_INPUT: `invalid JSON schema in
 * format: REASON at POINTER`, or GRAMMAR_NO_VALUE at POINTER; ERR_UNSUPPORTED: `unsupported JSON
 * schema keyword "not" at /a/not`; ERR_LIMIT. */
struct grammar *grammar_json(const json_t *schema, struct err *e);
/* GBNF, as llama.cpp reads it: `root ::= ...`. `%name` stands for a JSON value that obeys
 * schemas.name (an object of schemas, or NULL: our addition). Errors say line and column. */
struct grammar *grammar_gbnf(const char *text, size_t n, const json_t *schemas, struct err *e);
void grammar_free(struct grammar *g);

/* States are numbers that stay valid until grammar_rest. GRAMMAR_DEAD: no allowed text goes on so.
 */
uint32_t grammar_start(const struct grammar *g);
uint32_t grammar_step(struct grammar *g, uint32_t state, unsigned char byte);
uint32_t grammar_steps(struct grammar *g, uint32_t state, const char *p, size_t n);
bool grammar_may_end(const struct grammar *g, uint32_t state);
/* The bytes that must come next, as long as there is no choice: appended to `out`, at most `most`.
 */
void grammar_forced(struct grammar *g, uint32_t state, struct buf *out, size_t most);
size_t grammar_bytes(const struct grammar *g); /* what it remembers, about */
/* Memory ended, or a state holds too many readings: then every step is GRAMMAR_DEAD. NULL: fine. */
const struct err *grammar_failed(const struct grammar *g);

/* ---- tokens ---------------------------------------------------------------------------------- */

struct grammar_vocab; /* tokens by their bytes; read-only, may be shared */
/* bytes(arg, id): what token id adds to a text; n = 0: it is never allowed. Borrowed while this
 * runs. */
struct grammar_vocab *grammar_vocab_new(int32_t n_tokens,
                                        struct text (*bytes)(void *arg, int32_t id), void *arg,
                                        struct err *e);
void grammar_vocab_free(struct grammar_vocab *v);
size_t grammar_vocab_bytes(const struct grammar_vocab *v); /* NULL: 0 */
/* One bit a token: may it come in this state? Kept with the state; valid until the next call.
 * Tokens that end the text are the caller's: grammar_may_end. NULL: no memory. */
const uint64_t *grammar_mask(struct grammar *g, const struct grammar_vocab *v, uint32_t state);
bool grammar_has_mask(const struct grammar *g, uint32_t state); /* is it there already? */
/* Between two tokens: let go of what was remembered when it has grown too large. Returns the number
 * that `state` has from now on. */
uint32_t grammar_rest(struct grammar *g, uint32_t state);
#endif
