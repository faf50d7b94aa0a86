/* tests/forge.c - see tests/forge.h. */
#include "tests/forge.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void forge_u8(struct buf *b, unsigned x)
{
    const uint8_t v = (uint8_t)x;
    buf_add(b, &v, 1);
}

void forge_u16(struct buf *b, unsigned x)
{
    const uint16_t v = (uint16_t)x;
    buf_add(b, &v, 2);
}

void forge_u32(struct buf *b, uint32_t x)
{
    buf_add(b, &x, 4);
}

void forge_u64(struct buf *b, uint64_t x)
{
    buf_add(b, &x, 8);
}

void forge_f32(struct buf *b, float x)
{
    buf_add(b, &x, 4);
}

void forge_text(struct buf *b, const char *s)
{
    forge_u64(b, strlen(s));
    buf_puts(b, s);
}

void forge_zeros(struct buf *b, size_t n)
{
    while (n--)
        forge_u8(b, 0);
}

void forge_pad(struct buf *b, size_t multiple)
{
    while (b->n % multiple)
        forge_u8(b, 0);
}

void forge_head(struct buf *b, uint32_t version, uint64_t n_tensors, uint64_t n_keys)
{
    buf_puts(b, "GGUF");
    forge_u32(b, version);
    forge_u64(b, n_tensors);
    forge_u64(b, n_keys);
}

void forge_key(struct buf *b, const char *key, uint32_t kind)
{
    forge_text(b, key);
    forge_u32(b, kind);
}

void forge_key_u32(struct buf *b, const char *key, uint32_t x)
{
    forge_key(b, key, 4);
    forge_u32(b, x);
}

void forge_key_text(struct buf *b, const char *key, const char *s)
{
    forge_key(b, key, 8);
    forge_text(b, s);
}

void forge_array(struct buf *b, const char *key, uint32_t elem, uint64_t n)
{
    forge_key(b, key, 9);
    forge_u32(b, elem);
    forge_u64(b, n);
}

void forge_tensor(struct buf *b, const char *name, uint32_t type, uint32_t n_dims, uint64_t d0,
                  uint64_t d1, uint64_t offset)
{
    const uint64_t dims[4] = {d0, d1, 1, 1};
    forge_text(b, name);
    forge_u32(b, n_dims);
    for (uint32_t i = 0; i < n_dims && i < 4; i++)
        forge_u64(b, dims[i]);
    forge_u32(b, type);
    forge_u64(b, offset);
}

void forge_good(struct buf *b)
{
    forge_head(b, 3, 2, 2);
    forge_key_text(b, "general.architecture", "toy");
    forge_key_u32(b, "toy.n", 7);
    forge_tensor(b, "a", 0, 2, 8, 2, 0);
    forge_tensor(b, "b", 8, 1, 32, 1, 64);
    forge_pad(b, 32);
    for (int i = 0; i < 16; i++)
        forge_f32(b, (float)i);
    forge_zeros(b, 34);
    forge_pad(b, 32);
}

void forge_part(struct buf *b, unsigned i, unsigned n, unsigned n_tensors_said)
{
    char name[16];
    snprintf(name, sizeof name, "t%u", i);
    forge_head(b, 3, 1, 3);
    forge_key(b, "split.no", 2);
    forge_u16(b, i);
    forge_key(b, "split.count", 2);
    forge_u16(b, n);
    forge_key(b, "split.tensors.count", 5);
    forge_u32(b, n_tensors_said);
    forge_tensor(b, name, 0, 1, 4, 1, 0);
    forge_pad(b, 32);
    for (int k = 0; k < 4; k++)
        forge_f32(b, (float)i);
}

static void put_all(int fd, struct buf *b)
{
    assert_false(b->failed);
    assert_true(fd >= 0);
    for (size_t at = 0; at < b->n;) {
        const ssize_t n = write(fd, b->p + at, b->n - at);
        assert_true(n > 0);
        at += (size_t)n;
    }
    buf_free(b);
}

int forge_fd(struct buf *b)
{
    const int fd = memfd_create("forged", MFD_CLOEXEC);
    put_all(fd, b);
    return fd;
}

struct gguf *forge_open(struct buf *b, struct err *e)
{
    const int fd = forge_fd(b);
    struct gguf *g = gguf_open_fds(&fd, 1, "forged", e);
    close(fd);
    return g;
}

void forge_folder_make(struct forge_folder *f)
{
    snprintf(f->path, sizeof f->path, "/tmp/chaski-test-XXXXXX");
    assert_non_null(mkdtemp(f->path));
}

void forge_folder_remove(struct forge_folder *f)
{
    DIR *d = opendir(f->path);
    assert_non_null(d);
    for (struct dirent *entry; (entry = readdir(d));)
        if (entry->d_name[0] != '.')
            unlinkat(dirfd(d), entry->d_name, 0);
    closedir(d);
    rmdir(f->path);
}

const char *forge_path(const struct forge_folder *f, const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", f->path, name);
    return path;
}

void forge_file(const struct forge_folder *f, const char *name, struct buf *b)
{
    const int fd = open(forge_path(f, name), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    put_all(fd, b);
    close(fd);
}
