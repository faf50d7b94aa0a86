/* engine/tokenizer/named_ids.c - the tokens with a role: BOS, EOS, unknown, and all that end a
 * generation; by key where the file has one, else by text.
 *
 * Files are careless here: the token that ends a turn may be named by no key and typed
 * "normal". So the texts that models use for it are known, and such a token is a control
 * token whatever the file says. */
#include "engine/tokenizer/inside.h"

#include <ctype.h>
#include <string.h>

/* 1 and *out set; 0: no such key, or an id outside the vocabulary (ignored, as files use -1
 * and 2^32-1 for "none"; *out is then -1 where the key exists). */
static int read_id(const struct tok_vocab *v, const struct gguf *g, const char *key, tok_id *out,
                   struct err *e)
{
    const struct gguf_value *val = gguf_find(g, key);
    if (!val)
        return 0;
    if (val->kind == GGUF_ARRAY || val->kind == GGUF_STRING || val->kind == GGUF_BOOL)
        return err_set(e, ERR_INPUT, "key \"%s\" is %s, a token id is wanted", key,
                       val->kind == GGUF_ARRAY ? "an array" : gguf_kind_name(val->kind));
    int64_t id;
    struct err ignored = {0};
    if (val->kind == GGUF_F32 || val->kind == GGUF_F64)
        return err_set(e, ERR_INPUT, "key \"%s\" is a fraction, a token id is wanted", key);
    if (gguf_value_i64_at(val, 0, &id, &ignored) || id < 0 || id >= v->n) {
        if (*out >= v->n)
            *out = -1;
        log_line(LOG_INFO, "key \"%s\" is outside the vocabulary: ignored", key);
        return 0;
    }
    *out = (tok_id)id;
    return 1;
}

static tok_id find_name(const struct tok_vocab *v, const char *name)
{
    return tok_find(v, name, strlen(name));
}

static void set_attr(struct tok_vocab *v, tok_id id, unsigned bits)
{
    if (id >= 0)
        v->attr[id] = (uint16_t)(v->attr[id] | bits);
}

/* Fill-in-the-middle tokens by key or text; those that part files and repositories end a
 * generation too. The first three are the parts of a prompt. */
static const struct {
    const char *key, *old_key;
    bool ends;
    const char *texts[9];
} fim[] = {
        {"tokenizer.ggml.fim_pre_token_id", "tokenizer.ggml.prefix_token_id", false,
         {"<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<｜fim▁begin｜>", "<PRE>", "▁<PRE>",
          "<|code_prefix|>", "<|prefix|>"}},
        {"tokenizer.ggml.fim_suf_token_id", "tokenizer.ggml.suffix_token_id", false,
         {"<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<｜fim▁hole｜>", "<SUF>", "▁<SUF>",
          "<|code_suffix|>", "<|suffix|>"}},
        {"tokenizer.ggml.fim_mid_token_id", "tokenizer.ggml.middle_token_id", false,
         {"<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<｜fim▁end｜>", "<MID>", "▁<MID>",
          "<|code_middle|>", "<|middle|>"}},
        {"tokenizer.ggml.fim_pad_token_id", NULL, true,
         {"<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"}},
        {"tokenizer.ggml.fim_rep_token_id", NULL, true,
         {"<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"}},
        {"tokenizer.ggml.fim_sep_token_id", NULL, true, {"<|file_sep|>"}},
};

const char *const *tok_fim_texts(int part)
{
    return fim[part].texts;
}

static int fim_tokens(struct tok_vocab *v, const struct gguf *g, struct err *e)
{
    for (size_t i = 0; i < sizeof fim / sizeof *fim; i++) {
        tok_id id = -1;
        if (read_id(v, g, fim[i].key, &id, e) < 0)
            return -1;
        if (id < 0 && fim[i].old_key && read_id(v, g, fim[i].old_key, &id, e) < 0)
            return -1;
        set_attr(v, id, i < 3 ? ATTR_CONTROL : 0);
        for (size_t k = 0; id < 0 && fim[i].texts[k]; k++) {
            id = find_name(v, fim[i].texts[k]);
            set_attr(v, id, ATTR_CONTROL);
        }
        if (fim[i].ends)
            set_attr(v, id, ATTR_EOG);
        if (i < 3)
            v->fim[i] = id;
    }
    return 0;
}

static void ends_by_text(struct tok_vocab *v)
{
    static const char *const texts[] = {
        "<|eot_id|>",      "<|im_end|>",         "<|end|>", "<|return|>", "<|call|>",
        "<|flush|>",       "<|calls|>",          "<end_of_turn>", "<|endoftext|>", "</s>",
        "<|eom_id|>",      "<EOT>",              "_<EOT>",  "[EOT]",      "[EOS]",
        "<|end_of_text|>", "<end_of_utterance>", "<eos>",   "<turn|>",    "<|tool_response>",
        "<｜end▁of▁sentence｜>", "[e~[",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        set_attr(v, find_name(v, texts[i]), ATTR_EOG | ATTR_CONTROL);
}

static bool is_eog_text(const struct tok_vocab *v, const char *text)
{
    return tok_is_eog(v, find_name(v, text));
}

/* Families whose texts mean something else than the same texts elsewhere. */
static void exceptions(struct tok_vocab *v)
{
    /* Harmony: <|end|> parts the messages of one answer. It and the other marks of a message
     * stay in the generated text, where the parser looks for them. They stay control tokens:
     * what a user writes must not forge a message. */
    const tok_id end = find_name(v, "<|end|>");
    const bool call = is_eog_text(v, "<|call|>"), calls = is_eog_text(v, "<|calls|>");
    if (end >= 0 && ((is_eog_text(v, "<|return|>") && call) ||
                     ((call || calls) && is_eog_text(v, "<|flush|>"))))
        v->attr[end] = (uint16_t)((v->attr[end] & ~(unsigned)ATTR_EOG) | ATTR_SHOWN);
    static const char *const marks[] = {"<|channel|>", "<|message|>", "<|start|>",
                                        "<|constrain|>"};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        set_attr(v, find_name(v, marks[i]), ATTR_SHOWN);
    /* Here </s> is the closing tag of struck-out text. */
    const tok_id s = find_name(v, "</s>");
    if (s >= 0 && (find_name(v, "<|tool_response>") >= 0 || find_name(v, "<|plamo:eos|>") >= 0))
        v->attr[s] = ATTR_NORMAL;
}

static bool name_holds(struct text t, const char *word)
{
    const size_t n = strlen(word);
    for (size_t i = 0; i + n <= t.n; i++) {
        size_t k = 0;
        while (k < n && tolower((unsigned char)t.p[i + k]) == word[k])
            k++;
        if (k == n)
            return true;
    }
    return false;
}

/* Blanks beside some tokens vanish. No key says so: the tokenizers of these models do. */
static int strip_flags(struct tok_vocab *v, const struct gguf *g, struct err *e)
{
    struct text name = {"", 0}, arch = {"", 0}, pre = {"", 0};
    if (gguf_get_text(g, "general.name", &name, e) < 0 ||
        gguf_get_text(g, "general.architecture", &arch, e) < 0 ||
        gguf_get_text(g, "tokenizer.ggml.pre", &pre, e) < 0)
        return -1;
    if (name_holds(pre, "jina-v2-de") || name_holds(pre, "jina-v2-es") ||
        name_holds(pre, "jina-v2-code") || name_holds(arch, "nomic-bert-moe") ||
        name_holds(arch, "jina-bert-v3"))
        set_attr(v, find_name(v, "<mask>"), ATTR_LSTRIP);
    if (name_holds(name, "modern-bert"))
        set_attr(v, find_name(v, "[MASK]"), ATTR_LSTRIP);
    if (name_holds(name, "phi-3") || name_holds(name, "phi3")) {
        for (tok_id id = 0; id < v->n; id++)
            if (v->attr[id] & (ATTR_HIDDEN | ATTR_USER))
                set_attr(v, id, ATTR_RSTRIP);
        set_attr(v, find_name(v, "</s>"), ATTR_RSTRIP);
        static const char *const not_these[] = {"<unk>", "<s>", "<|endoftext|>"};
        for (size_t i = 0; i < 3; i++) {
            const tok_id id = find_name(v, not_these[i]);
            if (id >= 0)
                v->attr[id] = (uint16_t)(v->attr[id] & ~(unsigned)ATTR_RSTRIP);
        }
    }
    return 0;
}

/* More than one EOS, as some files list them. */
static int eos_list(struct tok_vocab *v, const struct gguf *g, struct err *e)
{
    const struct gguf_value *val = gguf_find(g, "tokenizer.ggml.eos_token_ids");
    for (uint64_t i = 0; val && i < val->n; i++) {
        uint64_t id;
        if (gguf_value_u64_at(val, i, &id, e))
            return -1;
        if (id < (uint64_t)v->n)
            set_attr(v, (tok_id)id, ATTR_EOG);
    }
    return 0;
}

static tok_id in_range(const struct tok_vocab *v, tok_id id)
{
    return id < v->n ? id : -1;
}

int tok_named_ids_load(struct tok_vocab *v, const struct gguf *g, struct err *e)
{
    const bool spm = v->kind == KIND_SPM, words = v->kind == KIND_WORDPIECE;
    const tok_id usual = v->flags & PRE_NO_IDS ? -1 : 11; /* where GPT-2 files leave them out */
    v->bos = in_range(v, spm ? 1 : v->flags & PRE_NO_BOS ? -1 : usual);
    v->eos = in_range(v, spm ? 2 : usual);
    v->unk = in_range(v, spm ? 0 : -1);
    v->pad = -1;
    v->sep = -1;
    if (words) { /* where BERT's own vocabulary has them */
        v->bos = in_range(v, 101);
        v->sep = in_range(v, 102);
        v->unk = in_range(v, 100);
        v->eos = -1;
        if (read_id(v, g, "tokenizer.ggml.cls_token_id", &v->bos, e) < 0 ||
            read_id(v, g, "tokenizer.ggml.seperator_token_id", &v->sep, e) < 0)
            return -1; /* "seperator": so the files spell it */
    }
    v->add_bos = spm || words || v->flags & PRE_ADD_BOS;
    v->space_prefix = spm;
    tok_id eot = -1, eom = -1;
    if (read_id(v, g, "tokenizer.ggml.bos_token_id", &v->bos, e) < 0 ||
        read_id(v, g, "tokenizer.ggml.eos_token_id", &v->eos, e) < 0 ||
        read_id(v, g, "tokenizer.ggml.unknown_token_id", &v->unk, e) < 0 ||
        read_id(v, g, "tokenizer.ggml.padding_token_id", &v->pad, e) < 0 ||
        read_id(v, g, "tokenizer.ggml.eot_token_id", &eot, e) < 0 ||
        read_id(v, g, "tokenizer.ggml.eom_token_id", &eom, e) < 0 ||
        gguf_get_bool(g, "tokenizer.ggml.add_bos_token", &v->add_bos, e) < 0 ||
        gguf_get_bool(g, "tokenizer.ggml.add_eos_token", &v->add_eos, e) < 0 ||
        (spm &&
         gguf_get_bool(g, "tokenizer.ggml.add_space_prefix", &v->space_prefix, e) < 0))
        return -1;
    if (v->flags & PRE_FORCE_BOS || words)
        v->add_bos = true;
    ends_by_text(v);
    if (fim_tokens(v, g, e) || eos_list(v, g, e))
        return -1;
    set_attr(v, v->eos, ATTR_EOG);
    set_attr(v, eot, ATTR_EOG);
    set_attr(v, eom, ATTR_EOG);
    exceptions(v);
    return strip_flags(v, g, e);
}
