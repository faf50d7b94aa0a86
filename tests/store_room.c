/* tests/store_room.c - see store_room.h. */
#include "tests/store_room.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

struct room room_new(void)
{
    struct room r = {0};
    struct err e = {0};
    const char *tmp = getenv("TMPDIR");
    snprintf(r.root, sizeof r.root, "%s/chaski-store-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(r.root));
    r.s = store_open(r.root, &e);
    if (!r.s)
        fail_msg("%s", e.text);
    return r;
}

void room_reopen(struct room *r)
{
    store_close(r->s);
    r->s = store_open(r->root, NULL);
    assert_non_null(r->s);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *f)
{
    (void)st, (void)flag, (void)f;
    return remove(path);
}

void room_free(struct room *r)
{
    store_close(r->s);
    nftw(r->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

struct store_name room_name(const char *text)
{
    struct store_name n;
    struct err e = {0};
    if (store_name_parse(text, strlen(text), &n, &e))
        fail_msg("%s: %s", text, e.text);
    return n;
}

struct digest room_blob(struct room *r, const void *p, size_t n)
{
    struct err e = {0};
    struct digest d;
    struct store_upload *u = store_upload_begin(r->s, &e);
    assert_non_null(u);
    assert_int_equal(store_upload_write(u, p, n, &e), 0);
    if (store_upload_commit(u, NULL, &d, &e))
        fail_msg("%s", e.text);
    return d;
}

static struct digest write_gguf(struct room *r, struct gguf_writer *w)
{
    char path[300];
    snprintf(path, sizeof path, "%s/made.gguf", r->root);
    const int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    struct err e = {0};
    assert_true(fd >= 0);
    if (gguf_writer_finish(w, fd, NULL, NULL, &e))
        fail_msg("%s", e.text);
    close(fd);
    gguf_writer_free(w);
    size_t n;
    char *p = room_read(r, "made.gguf", &n);
    const struct digest d = room_blob(r, p, n);
    free(p);
    unlink(path);
    return d;
}

static struct text text_of(const char *s)
{
    return (struct text){s, strlen(s)};
}

struct digest room_gguf_with(struct room *r, const char *arch, uint64_t n, const char *key,
                             const char *value)
{
    struct err e = {0};
    struct gguf_writer *w = gguf_writer_new(&e);
    const uint32_t ctx = 2048, embd = 64, blocks = 2, q8 = 7;
    char name[100];
    float *data = calloc(64 * n, sizeof *data);
    const uint64_t dims[2] = {64, n};
    assert_non_null(w);
    assert_int_equal(gguf_write_text(w, "general.architecture", text_of(arch), &e), 0);
    assert_int_equal(gguf_write_scalar(w, "general.file_type", GGUF_U32, &q8, &e), 0);
    snprintf(name, sizeof name, "%s.context_length", arch);
    assert_int_equal(gguf_write_scalar(w, name, GGUF_U32, &ctx, &e), 0);
    snprintf(name, sizeof name, "%s.embedding_length", arch);
    assert_int_equal(gguf_write_scalar(w, name, GGUF_U32, &embd, &e), 0);
    if (strcmp(arch, "clip")) {
        snprintf(name, sizeof name, "%s.block_count", arch);
        assert_int_equal(gguf_write_scalar(w, name, GGUF_U32, &blocks, &e), 0);
    }
    if (key)
        assert_int_equal(gguf_write_text(w, key, text_of(value), &e), 0);
    assert_int_equal(gguf_write_tensor(w, "token_embd.weight", TYPE_F32, 2, dims, data, &e), 0);
    const struct digest d = write_gguf(r, w);
    free(data);
    return d;
}

struct digest room_gguf(struct room *r, const char *arch, uint64_t n)
{
    return room_gguf_with(r, arch, n, NULL, NULL);
}

struct digest room_gguf_part(struct room *r, uint16_t i, uint16_t n)
{
    struct err e = {0};
    struct gguf_writer *w = gguf_writer_new(&e);
    float data[64] = {0};
    const uint64_t dims[1] = {64};
    char name[32];
    assert_non_null(w);
    assert_int_equal(gguf_write_scalar(w, "split.no", GGUF_U16, &i, &e), 0);
    assert_int_equal(gguf_write_scalar(w, "split.count", GGUF_U16, &n, &e), 0);
    if (i == 0)
        assert_int_equal(gguf_write_text(w, "general.architecture", text_of("llama"), &e), 0);
    snprintf(name, sizeof name, "blk.%u.x.weight", i);
    assert_int_equal(gguf_write_tensor(w, name, TYPE_F32, 1, dims, data, &e), 0);
    return write_gguf(r, w);
}

void room_create(struct room *r, const char *name, struct digest gguf)
{
    struct err e = {0};
    const struct store_create c = {.name = room_name(name), .files = &gguf, .n_files = 1};
    if (store_model_create(r->s, &c, NULL, NULL, &e))
        fail_msg("%s: %s", name, e.text);
}

bool room_has_blob(struct room *r, const struct digest *d)
{
    return store_blob_stat(r->s, d, NULL, NULL) == 1;
}

size_t room_count(struct room *r, const char *folder, const char *prefix)
{
    char path[600];
    size_t n = 0;
    snprintf(path, sizeof path, "%s/%s", r->root, folder);
    DIR *d = opendir(path);
    if (!d)
        return 0;
    for (struct dirent *ent; (ent = readdir(d));)
        if (strcmp(ent->d_name, ".") && strcmp(ent->d_name, "..") &&
            !strncmp(ent->d_name, prefix, strlen(prefix)))
            n++;
    closedir(d);
    return n;
}

void room_write(struct room *r, const char *path, const void *p, size_t n)
{
    char full[600];
    snprintf(full, sizeof full, "%s/%s", r->root, path);
    for (char *c = full + strlen(r->root) + 1; (c = strchr(c, '/')); c++) {
        *c = 0;
        mkdir(full, 0755);
        *c = '/';
    }
    FILE *f = fopen(full, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, n, f), n);
    fclose(f);
}

char *room_read(struct room *r, const char *path, size_t *n)
{
    char full[600];
    snprintf(full, sizeof full, "%s/%s", r->root, path);
    FILE *f = fopen(full, "rb");
    if (!f)
        return NULL;
    fseek(f, 0, SEEK_END);
    *n = (size_t)ftell(f);
    rewind(f);
    char *p = malloc(*n + 1);
    assert_non_null(p);
    assert_int_equal(fread(p, 1, *n, f), *n);
    p[*n] = 0;
    fclose(f);
    return p;
}

void room_age(struct room *r, const char *path, long seconds)
{
    char full[600];
    snprintf(full, sizeof full, "%s/%s", r->root, path);
    const struct timespec t = {time(NULL) - seconds, 0}, both[2] = {t, t};
    assert_int_equal(utimensat(AT_FDCWD, full, both, 0), 0);
}
