/* tests/fuzz/fuzz_gguf.c - any bytes as a GGUF file: open it, walk all of it.
 *
 * An input with "GGUF" in it a second time is tried as a split model of two parts too. What
 * opens must hold together: names lead back to their entries, views lie in the file. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "gguf/gguf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static volatile unsigned sink; /* reads must not be optimised away */

static void require(bool claim)
{
    if (!claim)
        __builtin_trap();
}

static void walk_value(const struct gguf *g, const struct gguf_value *v)
{
    require(gguf_find(g, v->key) == v);
    uint64_t u;
    int64_t i;
    double d;
    bool b;
    struct text t;
    struct err e = {0};
    require(gguf_get_u64(g, v->key, &u, &e));
    require(gguf_get_f64(g, v->key, &d, &e));
    require(gguf_get_bool(g, v->key, &b, &e));
    require(gguf_get_text(g, v->key, &t, &e));
    require(v->kind == GGUF_ARRAY || (v->n == 1 && v->elem == v->kind));
    require((v->elem == GGUF_STRING) == (v->str != NULL));
    for (uint64_t k = 0; k < v->n; k++) {
        if (v->str) {
            if (v->str[k].n)
                sink += (unsigned char)v->str[k].p[0] + (unsigned char)v->str[k].p[v->str[k].n - 1];
            continue;
        }
        (void)gguf_value_u64_at(v, k, &u, &e);
        (void)gguf_value_i64_at(v, k, &i, &e);
        (void)gguf_value_f64_at(v, k, &d, &e);
        (void)gguf_value_bool_at(v, k, &b, &e);
    }
}

static void walk(struct gguf *g)
{
    for (size_t i = 0; i < gguf_n_values(g); i++)
        walk_value(g, gguf_value_at(g, i));
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        const unsigned char *p = t->data;
        require(gguf_find_tensor(g, t->name) == t);
        require(t->n_dims >= 1 && t->n_dims <= 4 && gguf_type_info(t->type));
        require(t->n_bytes && t->n_bytes <= gguf_file_bytes(g));
        sink += p[0] + p[t->n_bytes - 1];
        gguf_release(g, t);
        sink += p[0];
    }
    gguf_close(g);
}

static int file_of(const uint8_t *data, size_t n)
{
    const int fd = memfd_create("input", MFD_CLOEXEC);
    require(fd >= 0 && write(fd, data, n) == (ssize_t)n);
    return fd;
}

static void open_and_walk(const int *fds, int n_fds)
{
    struct err e = {0};
    struct gguf *g = gguf_open_fds(fds, n_fds, "input", &e);
    if (g)
        walk(g);
    else
        require(e.code != ERR_NONE && e.code != ERR_BUG && e.text[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    int fds[2] = {file_of(data, n), -1};
    open_and_walk(fds, 1);
    close(fds[0]);
    const uint8_t *second = n > 4 ? memmem(data + 4, n - 4, "GGUF", 4) : NULL;
    if (second) {
        const size_t first = (size_t)(second - data);
        fds[0] = file_of(data, first);
        fds[1] = file_of(second, n - first);
        open_and_walk(fds, 2);
        close(fds[0]);
        close(fds[1]);
    }
    return 0;
}
