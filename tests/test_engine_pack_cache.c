/* tests/test_engine_pack_cache.c - loading: what it leaves resident, and the packed weights kept on
 * disk: the same bits from there, and nothing but them, whatever the folder holds. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "engine/engine.h"
#include "engine/model/model.h"
#include "engine/model/packing.h"
#include "engine/model/sum.h"
#include "gguf/types.h"
#include "tests/asking.h"
#include "tests/tiny_model.h"

enum { N = 12, VOCAB = 320, N_LOGITS = N * VOCAB };
static char dir[64], path[96], other[96], cache[96], log_path[96];

/* ---- helpers ----------------------------------------------------------------------------------
 */

static char *join(const char *a, const char *b)
{
    static char out[4][512];
    static int turn;
    char *p = out[turn++ % 4];
    snprintf(p, sizeof out[0], "%s/%s", a, b);
    return p;
}

static void compute(struct model *m, float *out)
{
    struct err e = {0};
    struct seq *s = seq_new(m, &e);
    tok_id ids[N];
    for (int i = 0; i < N; i++)
        ids[i] = (i * 37 + 11) % VOCAB;
    assert_int_equal(seq_eval(s, ids, N, out, N, &e), 0);
    seq_free(s);
}

/* Load `file`, compute, close (which waits for the writer). Was it mapped from the cache? */
static bool load_from(const char *file, const char *folder, float *out)
{
    struct err e = {0};
    const struct model_config c = {.n_threads = 2, .pack_cache = folder};
    struct model *m = model_open(file, &c, &e);
    if (!m)
        fail_msg("%s", e.text);
    const bool cached = m->from_cache;
    compute(m, out);
    model_close(m);
    return cached;
}

static float want[N_LOGITS], got[N_LOGITS];

/* One load: is it mapped as expected, are the bits right? The log goes to log_path. */
static void loads(bool from_cache, const char *what)
{
    fflush(stderr);
    const int keep = dup(2), fd = open(log_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(fd, 2);
    close(fd);
    const bool cached = load_from(path, cache, got);
    dup2(keep, 2);
    close(keep);
    if (cached != from_cache)
        fail_msg("%s: %s the cache", what, cached ? "it came from" : "it did not come from");
    if (memcmp(want, got, sizeof want))
        fail_msg("%s: other logits", what);
}

static bool log_has(const char *text)
{
    static char b[4096];
    const int fd = open(log_path, O_RDONLY);
    const ssize_t n = read(fd, b, sizeof b - 1);
    close(fd);
    b[n < 0 ? 0 : n] = 0;
    return strstr(b, text) != NULL;
}

/* The file names in the cache folder; the first one's full path. */
static int files(char *first)
{
    int n = 0;
    DIR *d = opendir(cache);
    if (!d)
        return 0;
    for (struct dirent *f; (f = readdir(d));)
        if (f->d_name[0] != '.' && n++ == 0 && first)
            strcpy(first, join(cache, f->d_name));
    closedir(d);
    return n;
}

static void empty_cache(void)
{
    char f[512];
    while (files(f))
        if (unlink(f) && rmdir(f))
            fail_msg("%s: %s", f, strerror(errno));
}

static uint8_t *slurp(const char *file, size_t *n)
{
    struct stat st;
    assert_int_equal(stat(file, &st), 0);
    uint8_t *p = malloc((size_t)st.st_size + 1);
    const int fd = open(file, O_RDONLY);
    *n = (size_t)st.st_size;
    assert_true(p && read(fd, p, *n) == (ssize_t)*n);
    close(fd);
    return p;
}

static void spill(const char *file, const void *p, size_t n)
{
    const int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0 && write(fd, p, n) == (ssize_t)n);
    close(fd);
}

/* ---- tests
 * ------------------------------------------------------------------------------------------ */

static void the_second_load_is_a_map_with_the_same_bits(void **state)
{
    (void)state;
    empty_cache();
    loads(false, "first load");
    char f[512];
    assert_int_equal(files(f), 1);
    struct stat st;
    assert_int_equal(stat(f, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    loads(true, "second load");
    assert_int_equal(files(NULL), 1);
    loads(true, "third load");
}

static void a_changed_model_is_another_one(void **state)
{
    (void)state;
    size_t n;
    uint8_t *bytes = slurp(path, &n);
    empty_cache();
    loads(false, "first load");
    spill(path, bytes, n); /* the same bytes, written anew: another time */
    loads(false, "a file written anew");
    assert_int_equal(files(NULL), 2);
    loads(true, "again");
    free(bytes);
}

struct damage {
    const char *what, *log;
    long cut;  /* new length; -1: as it is; -2: one byte longer */
    long flip; /* byte to change, from the end when negative; 0: none */
};

static void damaged_files_are_ignored_and_written_anew(void **state)
{
    (void)state;
    empty_cache();
    loads(false, "first load");
    char f[512];
    assert_int_equal(files(f), 1);
    size_t n;
    uint8_t *good = slurp(f, &n);
    const char *text = (const char *)good, *last = strstr(text, "blk.1.ffn_down.weight");
    assert_non_null(last);
    const long layout = strstr(text, "layout ") + 7 - text;
    const long sums = (strchr(last, '\n') + 1 - text + 7) & ~7L;
    assert_true(n > 2u << 20);
    const struct damage all[] = {
        {"empty", "another length", 0, 0},
        {"cut to a byte", "another length", 1, 0},
        {"cut to the head", "another length", 4096, 0},
        {"cut to the block", "another length", 2 << 20, 0},
        {"cut by a byte", "another length", (long)n - 1, 0},
        {"longer by a byte", "another length", -2, 0},
        {"another layout", "another version, layout or model", -1, layout},
        {"another format", "another version, layout or model", -1, 8},
        {"a flip in a sum", "checksum of its head", -1, sums + 8},
        {"a flip in the first byte of the block", "is damaged", -1, 2 << 20},
        {"a flip in the middle of the block", "is damaged", -1, ((long)n + (2 << 20)) / 2},
        {"a flip in the last byte", "is damaged", -1, -1},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        const struct damage *d = &all[i];
        uint8_t *bad = malloc(n + 1);
        assert_non_null(bad);
        memcpy(bad, good, n);
        bad[n] = 0;
        if (d->flip)
            bad[d->flip < 0 ? (long)n + d->flip : d->flip] ^= 1;
        spill(f, bad, d->cut == -2 ? n + 1 : d->cut == -1 ? n : (size_t)d->cut);
        free(bad);
        loads(false, d->what);
        if (!log_has(d->log))
            fail_msg("%s: the log does not say \"%s\"", d->what, d->log);
        loads(true, d->what);
    }
    free(good);
}

/* Every bit of the block counts: flips at many places, each in a fresh copy. */
static void any_flip_in_the_block_is_found(void **state)
{
    (void)state;
    uint8_t *p = malloc(4096 + 7);
    assert_non_null(p);
    for (int i = 0; i < 4096 + 7; i++)
        p[i] = (uint8_t)(i * 31);
    const uint64_t sum = sum64(p, 4096 + 7, 3);
    for (int i = 0; i < 4096 + 7; i++)
        for (int b = 0; b < 8; b++) {
            p[i] ^= (uint8_t)(1 << b);
            assert_true(sum64(p, 4096 + 7, 3) != sum);
            if (i + 64 < 4096) { /* and the same bit of the same lane again */
                p[i + 64] ^= (uint8_t)(1 << b);
                assert_true(sum64(p, 4096 + 7, 3) != sum);
                p[i + 64] ^= (uint8_t)(1 << b);
            }
            p[i] ^= (uint8_t)(1 << b);
        }
    assert_true(sum64(p, 4096 + 7, 3) == sum && sum64(p, 4096 + 7, 4) != sum);
    assert_true(sum64(p, 4096 + 6, 3) != sum);
    free(p);
}

static void the_file_of_another_model_is_refused(void **state)
{
    (void)state;
    empty_cache();
    loads(false, "first load");
    char mine[512], theirs[512];
    assert_int_equal(files(mine), 1);
    empty_cache();
    assert_false(load_from(other, cache, got));
    assert_int_equal(files(theirs), 1);
    assert_int_equal(rename(theirs, mine), 0);
    loads(false, "the other's file");
    assert_true(log_has("another version, layout or model"));
    loads(true, "written anew");
}

static void odd_things_in_its_place(void **state)
{
    (void)state;
    char f[512], tmp[520], target[512];
    empty_cache();
    loads(false, "first load");
    assert_int_equal(files(f), 1);
    snprintf(tmp, sizeof tmp, "%s.tmp", f);

    snprintf(target, sizeof target, "%s", join(dir, "target")); /* a link to a good file even */
    assert_int_equal(rename(f, target), 0);
    assert_int_equal(symlink(target, f), 0);
    loads(false, "a link");
    assert_true(log_has("symbolic link"));
    struct stat st;
    assert_int_equal(lstat(f, &st), 0);
    assert_true(S_ISREG(st.st_mode)); /* the link was replaced, not followed */
    loads(true, "after the link");
    unlink(target);

    unlink(f);
    assert_int_equal(mkdir(f, 0700), 0);
    loads(false, "a folder");
    assert_true(log_has("not kept"));
    assert_int_equal(access(tmp, F_OK), -1); /* nothing is left behind */
    assert_int_equal(rmdir(f), 0);

    assert_int_equal(mkfifo(f, 0600), 0);
    loads(false, "a pipe"); /* and it does not hang */
    assert_true(log_has("not a regular file"));
    loads(true, "after the pipe");

    assert_int_equal(chmod(f, 0666), 0);
    loads(false, "a file that others may write");
    assert_true(log_has("others own it or may write it"));
    loads(true, "after that");

    unlink(f);
    spill(tmp, "left by a process that died", 27);
    loads(false, "an old temporary file");
    loads(true, "after the old temporary file");

    unlink(f);
    assert_int_equal(symlink(path, tmp), 0); /* following it would destroy the model */
    loads(false, "a link as the temporary file");
    assert_int_equal(unlink(tmp), 0);
    loads(false, "the model is as it was");
}

static void no_place_to_write(void **state)
{
    (void)state;
    empty_cache();
    char keep[96];
    snprintf(keep, sizeof keep, "%s", cache);
    snprintf(cache, sizeof cache, "%.80s/x", path); /* below a file */
    loads(false, "a folder that cannot be");
    assert_true(log_has("not kept"));
    snprintf(cache, sizeof cache, "%s", keep);

    struct rlimit old, low = {1 << 20, 0};
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    low.rlim_max = old.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    loads(false, "no room"); /* as a full disk */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_true(log_has("not kept"));
    assert_int_equal(files(NULL), 0);
    loads(false, "room again");
    loads(true, "and kept");
}

static void deleted_while_in_use(void **state)
{
    (void)state;
    empty_cache();
    loads(false, "first load");
    struct err e = {0};
    const struct model_config c = {.n_threads = 2, .pack_cache = cache};
    struct model *m = model_open(path, &c, &e);
    assert_true(m && m->from_cache);
    empty_cache();
    assert_int_equal(rmdir(cache), 0);
    compute(m, got);
    model_close(m);
    assert_memory_equal(want, got, sizeof want);
    loads(false, "the folder is made again");
    loads(true, "and used");
}

static void one_process_writes(void **state)
{
    (void)state;
    char f[512], tmp[520];
    empty_cache();
    loads(false, "first load");
    assert_int_equal(files(f), 1);
    snprintf(tmp, sizeof tmp, "%s.tmp", f);
    unlink(f);
    const int fd = open(tmp, O_RDWR | O_CREAT, 0600);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    loads(false, "another one writes");
    assert_int_equal(access(f, F_OK), -1);
    close(fd);

    pid_t kids[4]; /* readers and writers at once */
    for (int i = 0; i < 4; i++)
        if (!(kids[i] = fork())) {
            bool ok = true;
            for (int k = 0; k < 3; k++) {
                load_from(path, cache, got);
                ok &= !memcmp(want, got, sizeof want);
            }
            _exit(ok ? 0 : 1);
        }
    for (int i = 0; i < 4; i++) {
        int status;
        assert_int_equal(waitpid(kids[i], &status, 0), kids[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    loads(true, "after all of them");
    assert_int_equal(files(NULL), 1);
}

/* load_config.reserve: notes what is asked for, and says no when that is more than there is. */
struct purse {
    uint64_t has, asked;
};

static int pay(void *arg, const struct model *m, uint64_t bytes, struct err *e)
{
    (void)m;
    struct purse *p = arg;
    p->asked = bytes;
    return bytes > p->has ? err_set(e, ERR_MEMORY, "no room") : 0;
}

static void the_budget_holds_for_mapped_weights(void **state)
{
    (void)state;
    empty_cache();
    struct err e = {0};
    struct gguf *g = gguf_open(path, &e);
    struct crew *crew = crew_new(2, &e);
    atomic_bool cancel = false;
    struct load_config c = {.k = kernels_pick(NULL, &e),
                            .crew = crew,
                            .n_batch = 64,
                            .cache_dir = cache,
                            .cache_key = "sha256:of the test",
                            .reserve = pay,
                            .cancel = &cancel};
    uint64_t bytes[2];
    struct purse purse;
    c.reserve_arg = &purse;
    for (int i = 0; i < 2; i++) {
        purse.has = UINT64_MAX;
        struct model *m = model_load(g, &c, &e);
        assert_non_null(m);
        assert_int_equal(m->from_cache, i);
        bytes[i] = purse.asked;
        assert_true(bytes[i] > m->weight_bytes); /* scratch and the tokenizer too */
        model_unload(m);
        purse.has = bytes[i]; /* exactly enough */
        m = model_load(g, &c, &e);
        assert_non_null(m);
        model_unload(m);
        purse.has = bytes[i] - 1;
        assert_null(model_load(g, &c, &e));
        assert_int_equal(e.code, ERR_MEMORY);
    }
    assert_int_equal(bytes[0], bytes[1]);
    purse.has = UINT64_MAX;
    atomic_store(&cancel, true);
    assert_null(model_load(g, &c, &e));
    assert_int_equal(e.code, ERR_CANCELLED);
    crew_free(crew);
    gguf_close(g);
}

static void experts_lie_where_they_are_looked_for(void **state)
{
    (void)state;
    empty_cache();
    char file[512];
    snprintf(file, sizeof file, "%s", join(dir, "moe.gguf"));
    const struct tiny_model t = {.type = TYPE_Q8_0, .seed = 3, .arch = "qwen3moe", .n_expert = 8};
    struct err e = {0};
    static float plain[N_LOGITS];
    assert_int_equal(tiny_model_write(file, &t, &e), 0);
    assert_false(load_from(file, NULL, plain));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(load_from(file, cache, got), i);
        assert_memory_equal(plain, got, sizeof plain);
    }
    unlink(file);
}

/* The server's level: the key is the digest of the blob. */
static void the_engine_keeps_and_maps(void **state)
{
    (void)state;
    void *room = NULL;
    assert_int_equal(asking_open(&room), 0);
    empty_cache();
    const struct eng_options o = options(16, 0);
    char f[512], text[512] = "";
    struct stat first, now;
    for (int i = 0; i < 3; i++) {
        struct eng *g =
            engine_with((struct eng_config){.n_threads = 2, .pack_cache = i ? cache : NULL});
        struct answer *a = ask(g, 0, "one two", &o, (struct eng_request){0});
        assert_false(a->failed);
        if (i)
            assert_string_equal(a->text.p ? a->text.p : "", text);
        snprintf(text, sizeof text, "%s", a->text.p ? a->text.p : "");
        answer_free(a);
        for (int k = 0; i && k < 1000 && (files(f) != 1 || strstr(f, ".tmp")); k++)
            usleep(20000); /* an engine that ends does not wait for the writer */
        eng_free(g);
        assert_int_equal(files(f), i ? 1 : 0);
        if (i)
            assert_int_equal(stat(f, i == 1 ? &first : &now), 0);
    }
    assert_true(first.st_ino == now.st_ino); /* packed anew, it would have been written anew */
    asking_close(&room);
}

/* ---- what stays resident ------------------------------------------------------------------------
 */

static uint64_t high_water(void)
{
    char line[256];
    unsigned long kb = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmHWM: %lu kB", &kb) == 1)
            break;
    if (f)
        fclose(f);
    return (uint64_t)kb << 10;
}

/* In a process of its own (whose memory starts small): 0 = fine. */
static int load_large(const char *file, const char *folder, bool cached)
{
    struct err e = {0};
    const struct model_config c = {.n_threads = 2, .pack_cache = folder};
    struct model *m = model_open(file, &c, &e);
    if (!m || m->from_cache != cached)
        return 3;
    const double weights = (double)model_weight_bytes(m);
    model_close(m); /* the writer's part too */
    const double peak = (double)high_water(), most = 1.15 * weights + (16 << 20);
    printf("VmHWM %.1f MiB, weights of %.1f MiB%s, at most %.1f\n", peak / 0x1p20, weights / 0x1p20,
           cached ? " (mapped)" : "", most / 0x1p20);
    return weights > 100e6 && peak <= most ? 0 : 4;
}

static int make_large(const char *file)
{
    const struct tiny_model t = {.type = TYPE_Q8_0, .seed = 5, .n_layer = 8, .n_ff = 65536};
    return tiny_model_write(file, &t, NULL) ? 5 : 0;
}

/* This program again, with what main() looks for. */
static int in_a_child(const char *what, const char *file, const char *folder)
{
    const pid_t kid = fork();
    if (!kid) {
        execl("/proc/self/exe", "test", what, file, folder, (char *)NULL);
        _exit(6);
    }
    int status;
    assert_int_equal(waitpid(kid, &status, 0), kid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100;
}

static void a_load_never_holds_the_model_twice(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    print_message("skipped: a sanitizer's shadow memory is resident too\n");
    skip();
#endif
    char file[512];
    snprintf(file, sizeof file, "%s", join(dir, "large.gguf"));
    assert_int_equal(in_a_child("make", file, ""), 0);
    assert_int_equal(in_a_child("load", file, ""), 0);
    empty_cache();
    assert_int_equal(in_a_child("load", file, cache), 0);
    assert_int_equal(in_a_child("map", file, cache), 0);
    empty_cache();
    unlink(file);
}

static int setup(void **state)
{
    (void)state;
    signal(SIGXFSZ, SIG_DFL);
    snprintf(dir, sizeof dir, "/tmp/chaski-pack-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/model.gguf", dir);
    snprintf(other, sizeof other, "%s/other.gguf", dir);
    snprintf(cache, sizeof cache, "%s/cache", dir);
    snprintf(log_path, sizeof log_path, "%s/log", dir);
    /* Large enough for several chunks, and for shares of several pieces. */
    const struct tiny_model t = {.type = TYPE_Q4_0, .seed = 1, .n_ff = 49152};
    const struct tiny_model o = {.type = TYPE_Q4_0, .seed = 2, .n_ff = 49152};
    struct err e = {0};
    if (tiny_model_write(path, &t, &e) || tiny_model_write(other, &o, &e))
        return -1;
    const bool cached = load_from(path, NULL, want);
    return cached ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    empty_cache();
    rmdir(cache);
    unlink(path);
    unlink(other);
    unlink(log_path);
    return rmdir(dir);
}

int main(int argc, char **argv)
{
    if (argc == 4)
        return strcmp(argv[1], "make") ? load_large(argv[2], argv[3], !strcmp(argv[1], "map"))
                                       : make_large(argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_second_load_is_a_map_with_the_same_bits),
        cmocka_unit_test(a_changed_model_is_another_one),
        cmocka_unit_test(damaged_files_are_ignored_and_written_anew),
        cmocka_unit_test(any_flip_in_the_block_is_found),
        cmocka_unit_test(the_file_of_another_model_is_refused),
        cmocka_unit_test(odd_things_in_its_place),
        cmocka_unit_test(no_place_to_write),
        cmocka_unit_test(deleted_while_in_use),
        cmocka_unit_test(one_process_writes),
        cmocka_unit_test(the_budget_holds_for_mapped_weights),
        cmocka_unit_test(experts_lie_where_they_are_looked_for),
        cmocka_unit_test(the_engine_keeps_and_maps),
        cmocka_unit_test(a_load_never_holds_the_model_twice),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
