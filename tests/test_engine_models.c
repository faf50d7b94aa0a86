/* tests/test_engine_models.c - several models in one engine: places, memory, options of a load. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "engine/model/memory.h"
#include "engine/sched/sched.h"
#include "tests/asking.h"

enum { TINY, CHAT, BROKEN, CALM };

/* Names of the loaded models, "a b c" by name. */
static const char *loaded(struct eng *g, char out[2048])
{
    static const char *const names[] = {"broken:latest", "calm:latest", "chat:latest",
                                        "tiny:latest"};
    struct eng_loaded *rows;
    size_t n;
    struct err e = {0};
    assert_int_equal(eng_ps(g, &rows, &n, &e), 0);
    out[0] = 0;
    for (size_t k = 0; k < 4; k++)
        for (size_t i = 0; i < n; i++)
            if (!strcmp(rows[i].name, names[k]))
                snprintf(out + strlen(out), 2048 - strlen(out), "%s%s", *out ? " " : "", names[k]);
    free(rows);
    return out;
}

static struct eng_loaded row_of(struct eng *g, const char *name)
{
    struct eng_loaded *rows, r = {0};
    size_t n;
    struct err e = {0};
    assert_int_equal(eng_ps(g, &rows, &n, &e), 0);
    for (size_t i = 0; i < n; i++)
        if (!strcmp(rows[i].name, name))
            r = rows[i];
    free(rows);
    return r;
}

static int n_loads(struct eng *g)
{
    struct eng_metrics m;
    struct err e = {0};
    int n = 0;
    assert_int_equal(eng_metrics(g, &m, &e), 0);
    for (size_t i = 0; i < m.n; i++)
        for (int k = 0; k <= ENG_N_BUCKETS; k++)
            n += (int)m.models[i].load.counts[k];
    eng_metrics_free(&m);
    return n;
}

static void ask_well(struct eng *g, int model, struct eng_options *o)
{
    struct answer *a = ask(g, model, "x", o, (struct eng_request){0});
    if (a->failed)
        fail_msg("%s", a->e.text);
    answer_free(a);
}

/* ---- places ------------------------------------------------------------------------------- */

static void the_least_recently_used_model_goes(void **state)
{
    (void)state;
    char names[2048];
    struct eng *g = engine_with((struct eng_config){.n_threads = 1, .max_loaded = 2});
    struct eng_options o = options(2, 0);
    ask_well(g, TINY, &o);
    /* It would stay longest, but was used least recently. */
    answer_free(
        ask(g, CHAT, "x", &o, (struct eng_request){.has_keep_alive = true, .keep_alive_ns = -1}));
    ask_well(g, TINY, &o);
    ask_well(g, CALM, &o);
    assert_string_equal(loaded(g, names), "calm:latest tiny:latest");
    ask_well(g, CHAT, &o);
    assert_string_equal(loaded(g, names), "calm:latest chat:latest");
    eng_free(g);
}

static void a_broken_model_unloads_nobody(void **state)
{
    (void)state;
    char names[2048];
    struct eng *g = engine_with((struct eng_config){.n_threads = 1, .max_loaded = 1});
    struct eng_options o = options(2, 0);
    ask_well(g, TINY, &o);
    struct answer *a = ask(g, BROKEN, "x", &o, (struct eng_request){0});
    assert_true(a->failed);
    assert_int_equal(a->e.code, ERR_IO); /* 500 */
    assert_non_null(strstr(a->e.text, "\"strange\" is not supported; supported are: "));
    assert_non_null(strstr(a->e.text,
                           ": this model may be incompatible with your version of Ollama. "
                           "If you previously pulled this model, try updating it by "
                           "running 'ollama pull broken:latest'"));
    answer_free(a);
    assert_string_equal(loaded(g, names), "tiny:latest");
    assert_int_equal(n_loads(g), 1);
    eng_free(g);
}

static void who_waits_for_a_place_gets_one_under_constant_traffic(void **state)
{
    (void)state;
    enum { FLOW = 3 };
    struct eng *g = engine_with((struct eng_config){
        .n_threads = 1, .max_loaded = 1, .n_parallel = 2, .patience_ns = 20000000});
    struct eng_options o = options(20, 0), few = options(2, 0);
    struct answer *a[FLOW];
    struct eng_job *j[FLOW];
    for (int i = 0; i < FLOW; i++) {
        a[i] = answer_new();
        j[i] = submit(g, a[i], TINY, "on and on", &o, (struct eng_request){0});
    }
    answer_wait(a[0]); /* it is loaded */
    struct answer *b = answer_new();
    struct eng_job *k = submit(g, b, CALM, "x", &few, (struct eng_request){0});
    int n = 0;
    for (bool ended = false; !ended; n++) { /* never idle: more requests wait than may run */
        const int i = n % FLOW;
        answer_wait(a[i]);
        assert_false(a[i]->failed);
        eng_job_release(j[i]);
        answer_free(a[i]);
        a[i] = answer_new();
        j[i] = submit(g, a[i], TINY, "on and on", &o, (struct eng_request){0});
        if (n > 200000)
            fail_msg("it never got its place");
        pthread_mutex_lock(&b->lock);
        ended = b->ended;
        pthread_mutex_unlock(&b->lock);
    }
    assert_false(b->failed);
    for (int i = 0; i < FLOW; i++) { /* and the others go on after it */
        answer_wait(a[i]);
        assert_false(a[i]->failed);
        eng_job_release(j[i]);
        answer_free(a[i]);
    }
    eng_job_release(k);
    answer_free(b);
    eng_free(g);
}

static void a_client_that_leaves_while_it_waits_is_let_go(void **state)
{
    (void)state;
    struct eng *g = engine_with((struct eng_config){
        .n_threads = 1, .max_loaded = 1, .patience_ns = INT64_C(1000000000000)});
    struct eng_options o = options(1000000, 0), few = options(2, 0);
    o.top_k = 0;
    struct answer *a = answer_new(), *b = answer_new(), *c;
    struct eng_job *j = submit(g, a, CALM, "x", &o, (struct eng_request){0});
    eng_job_hold(j, true); /* its model is never idle */
    struct eng_job *k = submit(g, b, TINY, "x", &few, (struct eng_request){0});
    usleep(20000);
    eng_job_cancel(k);
    answer_wait(b);
    assert_int_equal(b->e.code, ERR_CANCELLED);
    /* So is one whose time is over, and one of two: the other waits on. */
    struct answer *late[2], *d = answer_new(), *left = answer_new();
    struct eng_job *l = submit(g, d, TINY, "x", &few, (struct eng_request){0});
    for (int i = 0; i < 2; i++) {
        struct eng_options soon = few;
        soon.deadline_ms = 30;
        late[i] = ask(g, TINY, "x", &soon, (struct eng_request){0});
        assert_int_equal(late[i]->e.code, ERR_TIMEOUT);
    }
    struct eng_job *m = submit(g, left, TINY, "x", &few, (struct eng_request){0});
    eng_job_cancel(m);
    answer_wait(left);
    assert_int_equal(left->e.code, ERR_CANCELLED);
    pthread_mutex_lock(&d->lock);
    assert_false(d->ended);
    pthread_mutex_unlock(&d->lock);
    eng_job_cancel(l);
    answer_wait(d);
    eng_job_hold(j, false);
    c = ask(g, CALM, "x", &few, (struct eng_request){0}); /* who was loaded goes on */
    assert_false(c->failed);
    eng_job_cancel(j);
    answer_wait(a);
    eng_job_release(j);
    eng_job_release(k);
    eng_job_release(l);
    eng_job_release(m);
    answer_free(a);
    answer_free(b);
    answer_free(c);
    answer_free(d);
    answer_free(left);
    answer_free(late[0]);
    answer_free(late[1]);
    eng_free(g);
}

static void unloading_cuts_no_answer(void **state)
{
    (void)state;
    struct eng *g = engine(1, 0);
    struct eng_options o = options(400, 0);
    struct answer *want = ask(g, CALM, "one two", &o, (struct eng_request){0});
    struct answer *a = answer_new();
    struct eng_job *j = submit(g, a, CALM, "one two", &o, (struct eng_request){0});
    eng_unload(g, &asking_model(CALM)->model_layer->digest);
    answer_wait(a);
    assert_false(a->failed);
    assert_int_equal(a->text.n, want->text.n);
    char names[2048];
    for (int i = 0; i < 1000 && *loaded(g, names); i++)
        usleep(5000);
    assert_string_equal(names, "");
    eng_job_release(j);
    answer_free(a);
    answer_free(want);
    eng_free(g);
}

static void a_full_queue_is_busy(void **state)
{
    (void)state;
    struct eng *g = engine_with((struct eng_config){
        .n_threads = 1, .n_parallel = 1, .max_queue = 2, .patience_ns = 1000000});
    struct eng_options o = options(1000000, 0), few = options(2, 0);
    struct answer *a[4];
    struct eng_job *j[4];
    ask_well(g, CALM, &few);
    for (int i = 0; i < 3; i++) { /* one runs, two wait */
        a[i] = answer_new();
        j[i] = submit(g, a[i], CALM, "x", i ? &few : &o, (struct eng_request){0});
        eng_job_hold(j[0], true);
    }
    struct answer *late = answer_new();
    const struct eng_sink sink = answer_sink(late);
    const struct eng_request r = {
        .kind = ENG_GENERATE, .model = asking_model(CALM), .raw = "x", .n_raw = 1, .options = &few};
    struct err e = {0};
    assert_int_equal(eng_submit(g, &r, &sink, &j[3], &e), -1);
    assert_int_equal(e.code, ERR_BUSY);
    assert_string_equal(e.text,
                        "server busy, please try again.  maximum pending requests exceeded");
    ask_well(g, TINY, &few); /* another model's queue is its own */
    eng_job_cancel(j[0]);
    for (int i = 0; i < 3; i++) {
        answer_wait(a[i]);
        assert_int_equal(a[i]->failed, i == 0);
        eng_job_release(j[i]);
        answer_free(a[i]);
    }
    answer_free(late);
    eng_free(g);
}

/* ---- memory --------------------------------------------------------------------------------- */

static void what_can_never_fit_says_what_it_needs(void **state)
{
    (void)state;
    struct eng *g = engine_with((struct eng_config){.n_threads = 1, .memory_bytes = 300000});
    struct eng_options o = options(2, 0);
    struct answer *a = ask(g, TINY, "x", &o, (struct eng_request){0});
    assert_true(a->failed);
    assert_int_equal(a->e.code, ERR_MEMORY);
    assert_non_null(strstr(a->e.text, "not enough memory for tiny:latest: needs "));
    assert_non_null(strstr(a->e.text, " bytes, budget is 300000 bytes ("));
    answer_free(a);
    eng_free(g);
}

static uint64_t fixed_bytes(int model)
{
    struct eng *g = engine(1, 0);
    struct eng_options o = options(1, 0);
    ask_well(g, model, &o);
    const uint64_t b = g->slots->reserved;
    eng_free(g);
    return b;
}

static void a_request_that_can_never_fit_fails_others_go_on(void **state)
{
    (void)state;
    const uint64_t page = 16 << 10;
    struct eng *g = engine_with(
        (struct eng_config){.n_threads = 1, .memory_bytes = fixed_bytes(CALM) + 3 * page});
    struct eng_options o = options(300, 0), few = options(2, 0);
    char text[301] = {0};
    memset(text, 'z', 300); /* five pages */
    struct answer *a = ask(g, CALM, text, &few, (struct eng_request){0});
    assert_true(a->failed);
    assert_int_equal(a->e.code, ERR_MEMORY);
    assert_non_null(strstr(a->e.text, "its 301 tokens need 81920 bytes of key-value cache"));
    ask_well(g, CALM, &few);
    answer_free(a);
    (void)o;
    eng_free(g);
}

static void models_make_room_when_memory_asks(void **state)
{
    (void)state;
    char names[2048];
    const uint64_t one = fixed_bytes(TINY), two = fixed_bytes(CALM);
    struct eng *g =
        engine_with((struct eng_config){.n_threads = 1, .memory_bytes = one + two + 400000});
    struct eng_options o = options(2, 0);
    ask_well(g, TINY, &o);
    ask_well(g, CALM, &o);
    assert_string_equal(loaded(g, names), "calm:latest tiny:latest");
    ask_well(g, CHAT, &o);
    assert_string_equal(loaded(g, names), "calm:latest chat:latest");
    eng_free(g);
}

static void put(const char *root, const char *path, const char *text)
{
    char full[512], cmd[600];
    snprintf(full, sizeof full, "%s%s", root, path);
    snprintf(cmd, sizeof cmd, "mkdir -p $(dirname %s)", full);
    assert_int_equal(system(cmd), 0);
    FILE *f = fopen(full, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void available_is_what_machine_and_cgroups_leave(void **state)
{
    (void)state;
    char root[] = "/tmp/chaski-memory-XXXXXX", cmd[64];
    assert_non_null(mkdtemp(root));
    put(root, "/proc/meminfo", "MemTotal: 9000 kB\nMemAvailable:    8000 kB\n");
    assert_int_equal(mem_available(root), 8000 * 1024);
    put(root, "/proc/self/cgroup", "0::/a/b\n");
    put(root, "/sys/fs/cgroup/a/b/memory.max", "max\n");
    put(root, "/sys/fs/cgroup/a/b/memory.current", "1000\n");
    assert_int_equal(mem_available(root), 8000 * 1024);
    put(root, "/sys/fs/cgroup/a/memory.max", "5000000\n"); /* of the group above */
    put(root, "/sys/fs/cgroup/a/memory.current", "2000000\n");
    assert_int_equal(mem_available(root), 3000000);
    put(root, "/sys/fs/cgroup/a/memory.stat", "anon 5\ninactive_file 500000\n");
    assert_int_equal(mem_available(root), 3500000); /* a page cache goes when memory is wanted */
    put(root, "/sys/fs/cgroup/memory.max", "1000000\n"); /* a container's root */
    put(root, "/sys/fs/cgroup/memory.current", "900000\n");
    assert_int_equal(mem_available(root), 100000);
    put(root, "/proc/self/cgroup", "12:cpu:/x\n7:memory:/x\n");
    put(root, "/sys/fs/cgroup/memory/x/memory.limit_in_bytes", "700000\n");
    put(root, "/sys/fs/cgroup/memory/x/memory.usage_in_bytes", "100000\n");
    assert_int_equal(mem_available(root), 600000);
    snprintf(cmd, sizeof cmd, "rm -rf %s", root);
    assert_int_equal(system(cmd), 0);
}

static void headers_are_kept_while_they_are_looked_at(void **state)
{
    (void)state;
    struct eng *g = engine(1, 0);
    struct err e = {0};
    const struct eng_info *kept, *info;
    assert_int_equal(eng_model_info(g, asking_model(CHAT), &kept, &e), 0);
    /* Many models: copies of one with another digest, each of them its own header. */
    for (int i = 0; i < 3 * MOST_INFOS; i++) {
        assert_int_equal(eng_model_info(g, asking_model(i % 2 ? TINY : CALM), &info, &e), 0);
        pthread_mutex_lock(&g->lock);
        for (struct info_entry *n = g->infos; n; n = n->next)
            if (&n->info == info)
                memcpy(&n->key, &i, sizeof i);
        pthread_mutex_unlock(&g->lock);
        eng_info_close(g, info);
    }
    int n = 0;
    for (const struct info_entry *i = g->infos; i; i = i->next)
        n++;
    assert_int_equal(n, MOST_INFOS + 1);
    assert_non_null(strstr(kept->chat_template, "<|im_start|>"));
    assert_int_equal(eng_model_info(g, asking_model(CHAT), &info, &e), 0);
    assert_ptr_equal(info, kept);
    eng_info_close(g, info);
    eng_info_close(g, kept);
    eng_info_close(g, NULL);
    eng_free(g);
}

/* ---- options of a load ------------------------------------------------------------------------
 */

static void only_an_option_of_the_load_loads_anew(void **state)
{
    (void)state;
    struct eng *g = engine(1, 0);
    struct eng_options o = options(4, 0);
    ask_well(g, CALM, &o);
    assert_int_equal(g->slots->kv, ENG_KV_F16);
    o.num_ctx = 64;
    ask_well(g, CALM, &o);
    assert_int_equal(row_of(g, "calm:latest").context_length, 64);
    o.num_ctx = 128;
    o.num_thread = 1;
    o.num_batch = 32;
    o.use_mmap = 0; /* nothing is mapped */
    ask_well(g, CALM, &o);
    assert_int_equal(row_of(g, "calm:latest").context_length, 128);
    assert_int_equal(n_loads(g), 1);
    o.kv_type = ENG_KV_Q8_0;
    ask_well(g, CALM, &o);
    assert_int_equal(n_loads(g), 2);
    assert_int_equal(row_of(g, "calm:latest").context_length, 128);
    o.kv_type = -1; /* whatever there is */
    ask_well(g, CALM, &o);
    assert_int_equal(n_loads(g), 2);
    pthread_mutex_lock(&g->lock);
    for (const struct slot *s = g->slots; s; s = s->next)
        if (!s->replaced)
            assert_int_equal(s->kv, ENG_KV_Q8_0);
    pthread_mutex_unlock(&g->lock);
    eng_free(g);
}

static void the_context_shown_is_no_longer_than_the_models(void **state)
{
    (void)state;
    struct eng *g = engine_with((struct eng_config){.n_threads = 1, .default_ctx = 1 << 30});
    struct answer *a = answer_new();
    struct eng_options o = options(1, 0);
    const struct eng_sink sink = answer_sink(a);
    const struct eng_request r = {.kind = ENG_LOAD, .model = asking_model(CALM), .options = &o};
    struct eng_job *j;
    struct err e = {0};
    assert_int_equal(eng_submit(g, &r, &sink, &j, &e), 0);
    answer_wait(a);
    const struct eng_loaded row = row_of(g, "calm:latest");
    assert_int_equal(row.context_length, g->slots->m->hp.n_ctx);
    assert_int_equal(row.parallel, 16);
    assert_true(row.expires_real_ns > time_real_ns());
    eng_job_release(j);
    answer_free(a);
    eng_free(g);
}

/* The packed weights are written in the background, and given up when the engine stops. */
static void wait_until_written(const char *folder)
{
    for (int i = 0; i < 6000; i++) {
        DIR *d = opendir(folder);
        bool there = false;
        assert_non_null(d);
        for (const struct dirent *f; (f = readdir(d));)
            there |= f->d_name[0] != '.' && !strstr(f->d_name, ".tmp");
        closedir(d);
        if (there)
            return;
        usleep(10000);
    }
    fail_msg("no packed weights after a minute");
}

static void without_a_mapping_the_same_answer(void **state)
{
    (void)state;
    char folder[] = "/tmp/chaski-map-XXXXXX", cmd[64];
    assert_non_null(mkdtemp(folder));
    struct eng_options o = options(30, 0);
    struct answer *a[3];
    for (int i = 0; i < 3; i++) { /* packs and writes; maps; reads */
        struct eng *g = engine_with((struct eng_config){.n_threads = 1, .pack_cache = folder});
        o.use_mmap = i == 2 ? 0 : -1;
        a[i] = ask(g, CALM, "one two", &o, (struct eng_request){0});
        assert_false(a[i]->failed);
        pthread_mutex_lock(&g->lock);
        assert_int_equal(g->slots->is_mapped, i == 1);
        assert_int_equal(g->slots->m->from_cache, i > 0);
        pthread_mutex_unlock(&g->lock);
        wait_until_written(folder);
        if (i == 1) {
            o.use_mmap = 0; /* it is mapped now: loaded anew */
            ask_well(g, CALM, &o);
            assert_int_equal(n_loads(g), 2);
        }
        eng_free(g);
        assert_int_equal(a[i]->text.n, a[0]->text.n);
        assert_memory_equal(a[i]->text.p, a[0]->text.p, a[0]->text.n);
    }
    for (int i = 0; i < 3; i++)
        answer_free(a[i]);
    snprintf(cmd, sizeof cmd, "rm -rf %s", folder);
    assert_int_equal(system(cmd), 0);
}

static void the_names_of_load_options_are_read(void **state)
{
    (void)state;
    struct eng_options o;
    struct err e = {0};
    eng_options_init(&o);
    assert_int_equal(o.kv_type, -1);
    assert_int_equal(o.use_mmap, -1);
    json_t *in = json_pack("{s:s, s:b}", "kv_type", "q8_0", "use_mmap", 0);
    assert_int_equal(eng_options_apply(&o, in, &e), 0);
    assert_int_equal(o.kv_type, ENG_KV_Q8_0);
    assert_int_equal(o.use_mmap, 0);
    assert_null(o.warnings);
    json_decref(in);
    in = json_pack("{s:s}", "kv_type", "f8");
    assert_int_equal(eng_options_apply(&o, in, &e), -1);
    assert_string_equal(e.text, "option \"kv_type\" is \"f8\", it must be f16, f32, q8_0 or q4_0");
    json_decref(in);
    in = json_pack("{s:i}", "use_mmap", 1);
    assert_int_equal(eng_options_apply(&o, in, &e), -1);
    assert_string_equal(e.text, "option \"use_mmap\" must be of type boolean");
    json_decref(in);
    eng_options_free(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_least_recently_used_model_goes),
        cmocka_unit_test(a_broken_model_unloads_nobody),
        cmocka_unit_test(who_waits_for_a_place_gets_one_under_constant_traffic),
        cmocka_unit_test(a_client_that_leaves_while_it_waits_is_let_go),
        cmocka_unit_test(unloading_cuts_no_answer),
        cmocka_unit_test(a_full_queue_is_busy),
        cmocka_unit_test(what_can_never_fit_says_what_it_needs),
        cmocka_unit_test(a_request_that_can_never_fit_fails_others_go_on),
        cmocka_unit_test(models_make_room_when_memory_asks),
        cmocka_unit_test(available_is_what_machine_and_cgroups_leave),
        cmocka_unit_test(headers_are_kept_while_they_are_looked_at),
        cmocka_unit_test(only_an_option_of_the_load_loads_anew),
        cmocka_unit_test(the_context_shown_is_no_longer_than_the_models),
        cmocka_unit_test(without_a_mapping_the_same_answer),
        cmocka_unit_test(the_names_of_load_options_are_read),
    };
    return cmocka_run_group_tests(tests, asking_open, asking_close);
}
