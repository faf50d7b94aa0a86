/* tests/fuzz/fuzz_vocab.c - any bytes as a GGUF file whose vocabulary is read and used.
 *
 * What is taken must hold together: ids in range, every piece inside the table, the tokens of a
 * text found again by their text. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "engine/tokenizer/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool claim)
{
    if (!claim)
        __builtin_trap();
}

static void use(const struct tok_vocab *v, const char *text, size_t n)
{
    const struct text_span half = {0, n / 2};
    struct tok_ids ids = {0};
    struct buf out = {0};
    struct err e = {0};
    require(tok_encode(v, text, n, &half, 1, &ids, &e) == 0);
    for (size_t i = 0; i < ids.n; i++)
        require(ids.ids[i] >= 0 && ids.ids[i] < tok_n_vocab(v));
    tok_decode(v, ids.ids, ids.n, true, &out);
    ids.n = 0;
    require(tok_encode(v, text, n, NULL, 0, &ids, &e) == 0);
    for (size_t i = 0; i < ids.n; i++) /* text of users: no control tokens */
        require(!tok_is_control(v, ids.ids[i]));
    tok_ids_free(&ids);
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const int fd = memfd_create("input", MFD_CLOEXEC);
    require(fd >= 0 && write(fd, data, n) == (ssize_t)n);
    struct err e = {0};
    struct gguf *g = gguf_open_fds(&fd, 1, "input", &e);
    close(fd);
    struct tok_vocab *v = g ? tok_vocab_new(g, &e) : NULL;
    gguf_close(g);
    if (!v) {
        require(e.code != ERR_NONE && e.code != ERR_BUG && e.text[0]);
        return 0;
    }
    for (tok_id id = -1; id <= tok_n_vocab(v); id++) {
        const struct text t = tok_text(v, id);
        (void)tok_piece(v, id, true);
        (void)tok_is_eog(v, id);
        if (id >= 0 && id < tok_n_vocab(v)) {
            const tok_id twin = tok_find(v, t.p, t.n);
            require(twin >= id && tok_text(v, twin).n == t.n);
        }
    }
    use(v, (const char *)data, n < 4096 ? n : 4096); /* the file is a text too: it has its tokens */
    tok_vocab_free(v);
    return 0;
}
