/* engine/model/pack_cache.c - packed weights kept on disk, so that the next load is an mmap.
 *
 * A file is: the text that packing the same model would expect (layout, key, a line a matrix), the
 * checksum of each chunk of the block, the checksum of all that, and from the next multiple of 2
 * MiB the block itself. Nothing of it is parsed: the reader makes the same text from the model that
 * it is about to load and compares bytes, so a file of another model, layout or version, cut or
 * lengthened, simply is not this one. Then every chunk is summed by the whole crew, at the speed of
 * memory, before the first token is computed: sampling or checking later would let a flipped bit
 * answer. Reading the pages is needed anyway; a read error is an answer here, not a signal.
 *
 * The checksums find damage, not malice: whoever may write the file owns the model. So a file that
 * is not ours (or root's), or that others may write, is left alone.
 *
 * Writing: a thread of low priority writes NAME.tmp (locked: one process does it) and renames it,
 * so readers see all or nothing. Nothing is synced: what a power cut leaves is found by the sums.
 * Deleting any file at any time is fine: a mapped one lives on until it is unmapped. (To cut or write
 * one in place while it is mapped is not, as with any mapped file; nothing here does.) An engine that
 * ends does not wait for a file that is being written: the next load starts anew. Files of models
 * that are gone stay until somebody deletes them. */
#include "engine/model/packing.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "engine/model/sum.h"

enum {
    CHUNK = 4 << 20,
    DATA_ALIGN = 2 << 20, /* of the block in the file: huge pages of the page cache can map it */
    RUN_CHUNKS = 64,      /* chunks a run of the crew checks: others may want the crew */
};

struct place {          /* the file of one model, and what must be in it */
    int dir;            /* open folder, or -1 */
    char name[48];      /* in it */
    const char *folder; /* for messages */
    struct buf head;    /* the expected text */
    size_t n_chunks, sums_at, data_at;
    uint64_t *sums; /* n_chunks, then that of head and sums */
};

char *pack_cache_file_key(const struct gguf *g, const char *path)
{
    struct buf b = {0};
    char *full = realpath(path, NULL);
    buf_printf(&b, "file %s", full ? full : path);
    free(full);
    for (size_t i = 0; i < gguf_n_sources(g); i++) {
        const struct gguf_source s = gguf_source_at(g, i);
        buf_printf(&b,
                   ", %" PRIu64 " bytes, time %" PRId64 ", inode %" PRIx64 ":%" PRIu64
                   ", header %016" PRIx64,
                   s.n_bytes, s.mtime_ns, s.device, s.inode, sum64(s.header, s.header_bytes, 0));
    }
    if (!b.failed)
        return b.p;
    buf_free(&b);
    return NULL;
}

static size_t chunk_bytes(size_t i, size_t all)
{
    return all - i * CHUNK < CHUNK ? all - i * CHUNK : CHUNK;
}

static void place_close(struct place *s)
{
    if (s->dir >= 0)
        close(s->dir);
    buf_free(&s->head);
    free(s->sums);
}

static int place_open(struct place *s, const char *folder, const char *key,
                      const struct pack_plan *p)
{
    *s = (struct place){.dir = -1, .folder = folder};
    const size_t n_key = strlen(key);
    struct buf *b = &s->head;
    buf_printf(b, "chaski packed weights 1\nlayout %s\nkey %zu %s\n", mat_layout_id(), n_key, key);
    buf_printf(b, "%zu bytes of %zu matrices in chunks of %d\n", p->bytes, p->n, CHUNK);
    for (size_t i = 0; i < p->n; i++) {
        const struct pack_item *it = &p->items[i];
        buf_printf(b, "%zu %zu %u %" PRId32 " %" PRId32 " %s %" PRId64 "\n", it->offset, it->bytes,
                   it->mat.type, it->mat.n_rows, it->mat.n_cols, it->t->name, it->row0);
    }
    while (!b->failed && b->n % 8)
        buf_puts(b, "\n");
    s->n_chunks = (p->bytes + CHUNK - 1) / CHUNK;
    s->sums = b->failed ? NULL : calloc(s->n_chunks + 1, sizeof *s->sums);
    if (!s->sums) {
        log_line(LOG_WARN, "pack cache: no memory");
        return -1;
    }
    s->sums_at = b->n;
    s->data_at =
        (b->n + (s->n_chunks + 1) * sizeof *s->sums + DATA_ALIGN - 1) & ~(size_t)(DATA_ALIGN - 1);
    snprintf(s->name, sizeof s->name, "%016" PRIx64 "%016" PRIx64 ".pack", sum64(key, n_key, 1),
             sum64(key, n_key, 2));
    (void)mkdir(folder, 0700);
    s->dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->dir < 0) {
        log_line(LOG_WARN, "pack cache: folder %s: %s; packed weights are not kept", folder,
                 strerror(errno));
        return -1;
    }
    return 0;
}

static uint64_t head_sum(const struct place *s)
{
    return sum64(s->sums, s->n_chunks * sizeof *s->sums, sum64(s->head.p, s->head.n, 0));
}

/* ---- reading ------------------------------------------------------------------------------------
 */

static int read_all(int fd, void *p, size_t n, off_t at)
{
    for (size_t done = 0; done < n;) {
        const ssize_t k = pread(fd, (char *)p + done, n - done, at + (off_t)done);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return -1;
        done += (size_t)k;
    }
    return 0;
}

/* NULL, or why the open file is not the expected one. */
static const char *check_head(struct place *s, int fd, const struct pack_plan *p)
{
    struct stat st;
    if (fstat(fd, &st))
        return "it cannot be looked at";
    if (!S_ISREG(st.st_mode))
        return "it is not a regular file";
    if ((st.st_uid != geteuid() && st.st_uid != 0) || (st.st_mode & 022))
        return "others own it or may write it";
    if ((uint64_t)st.st_size != (uint64_t)s->data_at + p->bytes)
        return "it has another length: cut, or of other weights";
    char *text = malloc(s->head.n);
    const char *why = NULL;
    if (!text)
        why = "no memory to read it";
    else if (read_all(fd, text, s->head.n, 0) ||
             read_all(fd, s->sums, (s->n_chunks + 1) * sizeof *s->sums, (off_t)s->sums_at))
        why = "it cannot be read";
    else if (memcmp(text, s->head.p, s->head.n))
        why = "it is of another version, layout or model";
    else if (s->sums[s->n_chunks] != head_sum(s))
        why = "the checksum of its head is wrong";
    free(text);
    return why;
}

/* The block at an address that is a multiple of 2 MiB, as in the file. */
static uint8_t *map_block(int fd, size_t at, size_t n)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = (n + page - 1) & ~(page - 1);
    char *raw = mmap(NULL, whole + DATA_ALIGN, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED)
        return NULL;
    char *p = (char *)(((uintptr_t)raw + DATA_ALIGN - 1) & ~(uintptr_t)(DATA_ALIGN - 1));
    if (p > raw)
        munmap(raw, (size_t)(p - raw));
    char *end = raw + whole + DATA_ALIGN;
    if (end > p + whole)
        munmap(p + whole, (size_t)(end - (p + whole)));
    if (mmap(p, n, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, (off_t)at) == MAP_FAILED) {
        munmap(p, whole);
        return NULL;
    }
    return (uint8_t *)p;
}

struct check {
    const struct place *s;
    const struct load_config *c;
    const uint8_t *block;
    size_t bytes, first; /* chunk of this run */
    atomic_long bad;     /* a chunk that is wrong, or -1 */
};

static void check_some(void *arg, int ith)
{
    struct check *k = arg;
    (void)ith;
    for (;;) {
        const size_t j = (size_t)crew_next(k->c->crew), i = k->first + j;
        if (j >= RUN_CHUNKS || i >= k->s->n_chunks || atomic_load(&k->bad) >= 0 ||
            (k->c->cancel && atomic_load(k->c->cancel)))
            return;
        const size_t n = chunk_bytes(i, k->bytes);
        const uint8_t *p = k->block + i * CHUNK;
        if (pages_read(p, n) || sum64(p, n, i) != k->s->sums[i])
            atomic_store(&k->bad, (long)i);
    }
}

static bool check_block(const struct place *s, const uint8_t *block, size_t bytes,
                        const struct load_config *c)
{
    struct check k = {.s = s, .c = c, .block = block, .bytes = bytes};
    atomic_store(&k.bad, -1);
    for (; k.first < s->n_chunks && atomic_load(&k.bad) < 0; k.first += RUN_CHUNKS) {
        if (c->lock_crew)
            c->lock_crew(c->lock_arg, true);
        crew_run(c->crew, crew_size(c->crew), check_some, &k);
        if (c->lock_crew)
            c->lock_crew(c->lock_arg, false);
        if (c->cancel && atomic_load(c->cancel))
            return false;
    }
    if (atomic_load(&k.bad) >= 0)
        log_line(LOG_WARN,
                 "pack cache: %s/%s is damaged (chunk %ld of %zu): ignored, to be written "
                 "anew",
                 s->folder, s->name, atomic_load(&k.bad), s->n_chunks);
    return atomic_load(&k.bad) < 0;
}

/* The same bytes in memory of our own. */
static uint8_t *read_block(int fd, size_t at, size_t n, const struct load_config *c)
{
    uint8_t *p = big_alloc(n);
    for (size_t done = 0; p && done < n;) {
        const size_t some = n - done < CHUNK ? n - done : CHUNK;
        const ssize_t k = pread(fd, p + done, some, (off_t)(at + done));
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0 || (c->cancel && atomic_load(c->cancel))) {
            big_free(p, n);
            return NULL;
        }
        done += (size_t)k;
    }
    return p;
}

bool pack_cache_map(struct model *m, const struct pack_plan *p, const struct load_config *c)
{
    struct place s;
    int fd = -1;
    uint8_t *block = NULL;
    bool good = false;
    if (place_open(&s, c->cache_dir, c->cache_key, p))
        goto done;
    fd = openat(s.dir, s.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        goto done;
    const char *why =
        fd < 0 ? errno == ELOOP ? "it is a symbolic link" : strerror(errno) : check_head(&s, fd, p);
    if (!why && !(block = c->no_map ? read_block(fd, s.data_at, p->bytes, c)
                                        : map_block(fd, s.data_at, p->bytes)))
        why = c->no_map ? "it cannot be read" : "it cannot be mapped";
    if (why) {
        log_line(LOG_WARN, "pack cache: %s/%s: %s: ignored, to be written anew", s.folder, s.name,
                 why);
        goto done;
    }
    good = check_block(&s, block, p->bytes, c);
    if (good)
        m->packed = block;
    else
        big_free(block, p->bytes); /* a mapped one too */
done:
    if (fd >= 0)
        close(fd);
    place_close(&s);
    return good;
}

/* ---- writing
 * -------------------------------------------------------------------------------------- */

struct pack_writer {
    pthread_t thread;
    struct place s;
    char *folder;
    const uint8_t *block;
    size_t bytes;
    const atomic_bool *cancel;
};

static int write_all(int fd, const void *p, size_t n, size_t at)
{
    for (size_t done = 0; done < n;) {
        const ssize_t k = pwrite(fd, (const char *)p + done, n - done, (off_t)(at + done));
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return -1;
        done += (size_t)k;
    }
    return 0;
}

/* NAME.tmp, empty and locked by us; -1: errno says why (EWOULDBLOCK: another process writes it).
 * One that a killed process left is taken over. */
static int open_temporary(const struct place *s, const char *tmp)
{
    struct stat mine, now;
    const int fd =
        openat(s->dir, tmp, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    if (flock(fd, LOCK_EX | LOCK_NB) || fstat(fd, &mine))
        goto fail;
    /* Did its writer rename it while we opened it? Then it is a good file now: hands off. */
    if (fstatat(s->dir, tmp, &now, AT_SYMLINK_NOFOLLOW) || now.st_ino != mine.st_ino ||
        now.st_dev != mine.st_dev || !S_ISREG(mine.st_mode)) {
        errno = EWOULDBLOCK;
        goto fail;
    }
    if (fchmod(fd, 0600) || ftruncate(fd, 0))
        goto fail;
    return fd;
fail:;
    const int keep = errno;
    close(fd);
    errno = keep;
    return -1;
}

static bool given_up(const struct pack_writer *w)
{
    return w->cancel && atomic_load(w->cancel);
}

/* 0; 1 = given up; -1 with errno. */
static int write_file(struct pack_writer *w, int fd)
{
    struct place *s = &w->s;
    /* Ask for the room at once: a full disk is known before a GB is written. */
    if (fallocate(fd, 0, 0, (off_t)(s->data_at + w->bytes)) &&
        (errno == ENOSPC || errno == EFBIG || errno == EDQUOT))
        return -1;
    for (size_t i = 0; i < s->n_chunks; i++) {
        if (given_up(w))
            return 1;
        const size_t n = chunk_bytes(i, w->bytes);
        s->sums[i] = sum64(w->block + i * CHUNK, n, i);
        if (write_all(fd, w->block + i * CHUNK, n, s->data_at + i * CHUNK))
            return -1;
    }
    s->sums[s->n_chunks] = head_sum(s);
    if (write_all(fd, s->head.p, s->head.n, 0) ||
        write_all(fd, s->sums, (s->n_chunks + 1) * sizeof *s->sums, s->sums_at))
        return -1;
    return 0;
}

static void *write_block(void *arg)
{
    struct pack_writer *w = arg;
    struct place *s = &w->s;
    char tmp[sizeof s->name + 4];
    snprintf(tmp, sizeof tmp, "%s.tmp", s->name);
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 10); /* of this thread alone */
    const int fd = open_temporary(s, tmp);
    if (fd < 0) {
        if (errno == EWOULDBLOCK)
            log_line(LOG_INFO, "pack cache: %s/%s is being written by another process", s->folder,
                     s->name);
        else
            log_line(LOG_WARN, "pack cache: %s/%s: %s; packed weights are not kept", s->folder, tmp,
                     strerror(errno));
        return NULL;
    }
    int rc = write_file(w, fd);
    if (!rc && renameat(s->dir, tmp, s->dir, s->name))
        rc = -1;
    if (rc < 0)
        log_line(LOG_WARN, "pack cache: %s/%s: %s; packed weights are not kept", s->folder, s->name,
                 strerror(errno));
    if (rc)
        (void)unlinkat(s->dir, tmp, 0);
    else
        log_line(LOG_INFO, "pack cache: %s/%s written: %zu bytes", s->folder, s->name,
                 s->data_at + w->bytes);
    close(fd);
    return NULL;
}

static void writer_free(struct pack_writer *w)
{
    place_close(&w->s);
    free(w->folder);
    free(w);
}

struct pack_writer *pack_writer_begin(const struct model *m, const struct pack_plan *p,
                                      const struct load_config *c)
{
    struct pack_writer *w = calloc(1, sizeof *w);
    if (!w || !(w->folder = strdup(c->cache_dir))) {
        free(w);
        return NULL;
    }
    w->block = m->packed;
    w->bytes = p->bytes;
    w->cancel = c->cancel;
    if (place_open(&w->s, w->folder, c->cache_key, p)) {
        writer_free(w);
        return NULL;
    }
    sigset_t all, old; /* signals are the main thread's business; SIGXFSZ comes as EFBIG */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    const int rc = pthread_create(&w->thread, NULL, write_block, w);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc) {
        log_line(LOG_WARN, "pack cache: no thread: %s", strerror(rc));
        writer_free(w);
        return NULL;
    }
    return w;
}

void pack_writer_end(struct pack_writer *w)
{
    if (!w)
        return;
    pthread_join(w->thread, NULL);
    writer_free(w);
}
