/* engine/tokenizer/inside.h - what the files of the tokenizer share. Nobody else includes it. */
#ifndef CHASKI_TOKENIZER_INSIDE_H
#define CHASKI_TOKENIZER_INSIDE_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <stdatomic.h>
#include <pcre2.h>
#include "engine/tokenizer/tokenizer.h"

/* ---- pre-tokenizers (pretok_table.c, split.c) --------------------------------------- */

enum {
    PRE_IGNORE_MERGES = 1,    /* a word that is a token is taken whole */
    PRE_CLEAN = 2,            /* blanks before punctuation go when a list of ids becomes text */
    PRE_ADD_BOS = 4,          /* unless the file says otherwise */
    PRE_NO_BOS = 8,           /* there is no BOS token unless the file names one */
    PRE_RAW = 16,             /* symbols are characters, not byte letters; <0xHH> for the rest */
    PRE_ESCAPE = 32,          /* a space is written as U+2581 */
    PRE_FORCE_BOS = 64,       /* whatever the file says */
    PRE_DROP_GAPS = 128,      /* what no pattern matches is left out */
    PRE_MERGES_OPTIONAL = 256,
    PRE_NO_IDS = 512, /* no BOS and EOS unless the file names them */
};

struct pre_rule {
    const char *name;
    const char *const *patterns; /* NULL at the end */
    unsigned flags;
};
extern const struct pre_rule tok_pre_rules[];
extern const size_t tok_n_pre_rules;

enum { SPLIT_STEPS_MAX = 8 }; /* patterns of one rule */
enum split_how {
    SPLIT_MATCHES,      /* each match is a piece, so is each stretch between */
    SPLIT_THREES_ALONE, /* matches are digit runs, cut in threes from the right */
    SPLIT_THREES_FRONT, /* the same, but only in front of a whole group */
};
struct splitter {
    const struct pre_rule *rule;
    struct {
        pcre2_code *code;
        enum split_how how;
    } step[SPLIT_STEPS_MAX];
    size_t n_steps;
    pcre2_match_context *limits;
    uint32_t options; /* of pcre2_match: a test adds PCRE2_NO_JIT */
};
struct piece { /* bytes start..end-1 of the text that is split */
    uint32_t start, end;
};
struct pieces { /* two lists: a pattern reads one and writes the other */
    struct piece *now, *next;
    size_t n_now, n_next, cap_now, cap_next;
};

/* The rule of that name, or NULL with ERR_UNSUPPORTED and the names there are. */
const struct pre_rule *tok_pre_rule_find(struct text name, struct err *e);
int tok_splitter_init(struct splitter *s, const struct pre_rule *rule, struct err *e);
void tok_splitter_free(struct splitter *s);
size_t tok_splitter_bytes(const struct splitter *s);
/* Cut text[0..n), well-formed as PCRE2 sees it, to p->now[0..p->n_now). */
int tok_splitter_run(const struct splitter *s, pcre2_match_data *md, const char *text, uint32_t n,
                     struct pieces *p, struct err *e);
void tok_pieces_free(struct pieces *p);

/* ---- the vocabulary ------------------------------------------------------------------- */

enum tok_kind { KIND_BPE, KIND_SPM, KIND_WORDPIECE };

enum { /* attributes of a token */
    ATTR_NORMAL = 1,
    ATTR_UNKNOWN = 2,
    ATTR_CONTROL = 4,
    ATTR_USER = 8,
    ATTR_BYTE = 16,
    ATTR_UNUSED = 32,
    ATTR_EOG = 64,
    ATTR_LSTRIP = 128, /* blanks before it vanish */
    ATTR_RSTRIP = 256, /* blanks after it vanish */
    ATTR_SHOWN = 512,  /* control, yet its text stays in what is generated */
};
enum { ATTR_HIDDEN = ATTR_CONTROL | ATTR_UNKNOWN }; /* not in plain text, not from user text */

struct token_slot { /* of the table text -> id; id < 0: free */
    uint32_t tag;
    tok_id id;
};
struct merge_slot { /* of the table (left, right) -> rank; left < 0: free */
    tok_id left, right, result;
    uint32_t rank;
};

struct special { /* longest text first, then lowest id */
    tok_id id;
    uint32_t len;
    int32_t shorter; /* the longest special that is a true prefix of this one, or -1 */
};
struct trie_node {
    uint32_t child, sibling; /* 0: none */
    int32_t special;         /* index, or -1 */
    unsigned char byte;
};

struct tok_vocab {
    atomic_int more_owners; /* than one */
    struct arena arena;
    enum tok_kind kind;
    tok_id n;
    uint16_t *attr;            /* n */
    char *text;                /* all token texts, one after the other */
    uint32_t *text_at;         /* n + 1 */
    char *piece;               /* what they stand for in a generated text */
    uint32_t *piece_at;        /* n + 1 */
    uint32_t longest;          /* bytes of the longest text */
    uint32_t *score_key;       /* SPM: n; the smaller, the higher the score */
    struct token_slot *table;  /* table_mask + 1 */
    uint32_t table_mask;
    struct merge_slot *merges; /* BPE: merge_mask + 1 */
    uint32_t merge_mask;
    tok_id byte_id[256];       /* a byte by itself: its letter, or <0xHH>; -1: none */
    struct splitter split;     /* BPE */
    unsigned flags;            /* PRE_.. of the rule */
    bool space_prefix, add_bos, add_eos;
    bool lowercase, strip_accents; /* WordPiece */
    tok_id bos, eos, unk, pad;
    tok_id fim[3]; /* before, behind, the hole; -1: none */
    tok_id sep; /* WordPiece: what ends a text, -1: nothing */
    struct special *specials;
    uint32_t n_specials;
    struct trie_node *trie; /* node 0 is the root */
    uint32_t n_trie;
    uint32_t first[256]; /* nodes below the root by byte; 0: none */
};

static inline struct text tok_text_at(const struct tok_vocab *v, tok_id id)
{
    return (struct text){v->text + v->text_at[id], v->text_at[id + 1] - v->text_at[id]};
}

uint64_t tok_hash_bytes(const char *p, size_t n);
int tok_table_build(struct tok_vocab *v, struct err *e);
int tok_merges_build(struct tok_vocab *v, const struct gguf_value *val, struct err *e);
/* The slot of a merge, or NULL. */
const struct merge_slot *tok_merge_find(const struct tok_vocab *v, tok_id left, tok_id right);
/* Like tok_find, but only what may come out of ordinary text: no control, unknown or byte
 * tokens. The letters of a byte-level vocabulary are to be given as letters. */
tok_id tok_find_plain(const struct tok_vocab *v, const char *p, size_t n);

int tok_named_ids_load(struct tok_vocab *v, const struct gguf *g, struct err *e); /* named_ids.c */
int tok_pieces_build(struct tok_vocab *v, struct err *e);                       /* decode.c */
size_t tok_byte_letter(unsigned char b, char out[4]); /* letter of a byte; its length (decode.c) */
void tok_byte_ids_build(struct tok_vocab *v);

/* ---- cutting out special tokens (specials.c) -------------------------------------------- */

struct segment { /* a special token (id >= 0), or bytes start..end-1 of plain text */
    size_t start, end;
    tok_id id;
};
struct segments {
    struct segment *s;
    size_t n, cap;
};
int tok_specials_build(struct tok_vocab *v, struct err *e);
int tok_specials_cut(const struct tok_vocab *v, const char *text, size_t n,
                     const struct text_span *trusted, size_t n_trusted, struct segments *out,
                     struct err *e);

/* ---- WordPiece (wordpiece.c) ----------------------------------------------------------------- */

int tok_wordpiece_encode(const struct tok_vocab *v, const char *p, size_t n, struct tok_ids *out,
                         struct err *e);

/* ---- merging (merge.c) -------------------------------------------------------------------- */

enum { NO_SYM = UINT32_MAX };
struct sym { /* a part of the text that is merged; len 0: swallowed by its left neighbour */
    uint32_t prev, next, start, len;
    tok_id id; /* -1: not a token */
};
struct cand { /* two neighbours that may be joined */
    uint64_t key; /* rank or score above, place of the left one below: the least goes first */
    uint32_t right, len;
    tok_id id; /* what they become */
};
struct merger { /* scratch of one tok_encode */
    struct sym *sym;
    size_t n, cap_sym;
    struct cand *heap;
    size_t n_heap, cap_heap;
    uint64_t steps; /* heap operations so far: tests look at it */
};
void tok_merger_free(struct merger *m);
/* No symbols, room for n_max. */
int tok_merger_start(struct merger *m, size_t n_max, struct err *e);
void tok_merger_add(struct merger *m, uint32_t start, uint32_t len, tok_id id);
/* Join until nothing joins. `text` is what start and len of the symbols mean. */
int tok_merger_run(struct merger *m, const struct tok_vocab *v, const char *text, struct err *e);

/* room for `want` items of `size` at *p (cap *cap); 0 or -1 with ERR_MEMORY */
int tok_room_for(void **p, size_t *cap, size_t want, size_t size, struct err *e);

#endif
