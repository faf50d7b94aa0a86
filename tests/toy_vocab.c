/* tests/toy_vocab.c - small vocabularies (tests/toy_vocab.h). */
#include "tests/toy_vocab.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct text text_of(const char *s)
{
    return (struct text){s, strlen(s)};
}

tok_id toy_token(struct toy *t, const char *text, int type, float score)
{
    const tok_id id = (tok_id)t->n++;
    t->tokens[id] = text_of(text);
    t->types[id] = type;
    t->scores[id] = score;
    t->n_scores = t->n_types = t->n;
    return id;
}

void toy_merge(struct toy *t, const char *line)
{
    t->merges[t->n_merges++] = text_of(line);
}

static void start(struct toy *t, const char *model)
{
    memset(t, 0, sizeof *t);
    t->model = model;
    t->space_prefix = t->add_bos = t->add_eos = -1;
    t->bos = t->eos = -1;
}

void toy_bpe(struct toy *t, const char *pre)
{
    start(t, "gpt2");
    t->pre = pre;
    for (unsigned b = 0, other = 256; b < 256; b++) {
        const bool itself = (b > 0x20 && b < 0x7f) || (b > 0xa0 && b != 0xad);
        t->letters[b][text_encode(itself ? b : other++, t->letters[b])] = 0;
        toy_token(t, t->letters[b], TOY_NORMAL, 0);
    }
}

void toy_spm(struct toy *t)
{
    start(t, "llama");
    toy_token(t, "<unk>", TOY_UNKNOWN, 0);
    toy_token(t, "<s>", TOY_CONTROL, 0);
    toy_token(t, "</s>", TOY_CONTROL, 0);
    for (unsigned b = 0; b < 256; b++) {
        snprintf(t->letters[b], sizeof t->letters[b], "<0x%02X>", b);
        toy_token(t, t->letters[b], TOY_BYTE, 0);
    }
}

static int write_flag(struct gguf_writer *w, const char *key, int value, struct err *e)
{
    const uint8_t b = value > 0;
    return value < 0 ? 0 : gguf_write_scalar(w, key, GGUF_BOOL, &b, e);
}

static int write_id(struct gguf_writer *w, const char *key, int64_t value, struct err *e)
{
    const uint32_t id = (uint32_t)value;
    return value < 0 ? 0 : gguf_write_scalar(w, key, GGUF_U32, &id, e);
}

static int write_text(struct gguf_writer *w, const char *key, const char *value, struct err *e)
{
    return value ? gguf_write_text(w, key, text_of(value), e) : 0;
}

struct tok_vocab *toy_make(const struct toy *t, struct err *e)
{
    struct tok_vocab *v = NULL;
    struct gguf *g = NULL;
    const int fd = memfd_create("toy", 0);
    struct gguf_writer *w = gguf_writer_new(e);
    if (fd < 0 || !w)
        goto done;
#define K "tokenizer.ggml."
    if (write_text(w, "general.architecture", "toy", e) || write_text(w, K "model", t->model, e) ||
        write_text(w, K "pre", t->pre, e) || write_text(w, "general.name", t->name, e) ||
        gguf_write_texts(w, K "tokens", t->tokens, t->n, e) ||
        (t->n_types && gguf_write_array(w, K "token_type", GGUF_I32, t->types, t->n_types, e)) ||
        (t->n_scores && gguf_write_array(w, K "scores", GGUF_F32, t->scores, t->n_scores, e)) ||
        gguf_write_texts(w, K "merges", t->merges, t->n_merges, e) ||
        write_flag(w, K "add_space_prefix", t->space_prefix, e) ||
        write_flag(w, K "add_bos_token", t->add_bos, e) ||
        write_flag(w, K "add_eos_token", t->add_eos, e) ||
        write_id(w, K "bos_token_id", t->bos, e) || write_id(w, K "eos_token_id", t->eos, e) ||
        gguf_writer_finish(w, fd, NULL, NULL, e))
        goto done;
#undef K
    g = gguf_open_fds(&fd, 1, "toy", e);
    if (g)
        v = tok_vocab_new(g, e);
done:
    gguf_close(g);
    gguf_writer_free(w);
    if (fd >= 0)
        close(fd);
    return v;
}
