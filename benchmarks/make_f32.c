/* benchmarks/make_f32.c - the F32 twin of a model: same metadata, every tensor dequantized.
 *
 * make_f32 IN.gguf OUT.gguf. The twin is what a quantized model means exactly; its logits are the
 * truth that quantized arithmetic is measured against (benchmarks/accuracy.py). */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "gguf/gguf.h"
#include "kernels/kernels.h"

static int copy_value(struct gguf_writer *w, const struct gguf_value *v, struct err *e)
{
    if (v->kind == GGUF_STRING)
        return gguf_write_text(w, v->key, v->str[0], e);
    if (v->kind != GGUF_ARRAY)
        return gguf_write_scalar(w, v->key, v->kind, v->raw, e);
    if (v->elem == GGUF_STRING)
        return gguf_write_texts(w, v->key, v->str, v->n, e);
    return gguf_write_array(w, v->key, v->elem, v->raw, v->n, e);
}

static int fill(void *arg, size_t i, void *piece, uint64_t offset, size_t n, struct err *e)
{
    const struct gguf_tensor *t = gguf_tensor_at(arg, i);
    const struct gguf_type_info *ti = gguf_type_info(t->type);
    const uint64_t first = offset / 4, count = n / 4;
    if (offset % 4 || n % 4)
        return err_set(e, ERR_BUG, "pieces are no whole floats");
    /* Whole blocks around the piece, cut to what is wanted. */
    const uint64_t b0 = first / ti->block_elems;
    const uint64_t b1 = (first + count + ti->block_elems - 1) / ti->block_elems;
    float *tmp = malloc((b1 - b0) * ti->block_elems * sizeof *tmp);
    if (!tmp)
        return err_set(e, ERR_MEMORY, "no memory");
    int rc = kernels_dequant(t->type, (const uint8_t *)t->data + b0 * ti->block_bytes, b1 - b0, tmp);
    if (rc)
        err_set(e, ERR_UNSUPPORTED, "tensor \"%s\": no dequantizer for %s", t->name, ti->name);
    else
        memcpy(piece, tmp + (first - b0 * ti->block_elems), n);
    free(tmp);
    return rc;
}

int main(int argc, char **argv)
{
    struct err e = {0};
    int rc = 1, fd = -1;
    struct gguf_writer *w = NULL;
    struct gguf *g = argc == 3 ? gguf_open(argv[1], &e) : NULL;
    if (!g || !(w = gguf_writer_new(&e)))
        goto done;
    for (size_t i = 0; i < gguf_n_values(g); i++)
        if (copy_value(w, gguf_value_at(g, i), &e))
            goto done;
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        if (gguf_write_tensor(w, t->name, TYPE_F32, t->n_dims, t->dims, NULL, &e))
            goto done;
    }
    fd = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || gguf_writer_finish(w, fd, fill, g, &e))
        goto done;
    rc = 0;
done:
    if (rc)
        fprintf(stderr, "Error: %s\n", argc != 3 ? "usage: make_f32 IN.gguf OUT.gguf" : e.text);
    if (fd >= 0)
        close(fd);
    gguf_writer_free(w);
    gguf_close(g);
    return rc;
}
