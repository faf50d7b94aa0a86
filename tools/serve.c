/* tools/serve.c - `chaski serve`: environment, engine, server.
 *
 * Facts: spec/api.md 21, spec/cli.md (serve), decisions 1 to 3, 23, 27. The only place that reads
 * the server's environment: by a table, and each variable that is set is named in the log with what
 * it did. */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>
#include "engine/engine.h"
#include "engine/store/store.h"
#include "http/http.h"
#include "tools/address.h"
#include "tools/commands.h"
#include "tools/systemd.h"

struct settings {
    char host[256];
    int port;
    char origins[8192];
    char isa[32];
    char models[4096];
    char pack_cache[4096];
    bool no_prune, debug;
    char api_key[512], keys_file[4096];
    struct eng_config eng;
    int64_t quiet_ns;
    int max_connections, max_per_address;
    int head_s, idle_s, stall_s, write_s;
    size_t max_body;
    bool scope_by_key;
};

/* Each reads a trimmed, non-empty value. 0 = taken; -1 = not understood, the default stays. */
typedef int (*set_fn)(struct settings *s, const char *value);

static int whole(const char *v, long long lo, long long hi, long long *out)
{
    char *end;
    errno = 0;
    const long long n = strtoll(v, &end, 10);
    if (end == v || *end || errno || n < lo || n > hi)
        return -1;
    *out = n;
    return 0;
}

static bool is_true(const char *v)
{
    static const char *const no[] = {"0", "f", "F", "false", "FALSE", "False"};
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        if (strcmp(v, no[i]) == 0)
            return false;
    return true;
}

/* "debug", "info,json": a level and a form, in any order. */
static int log_words(const char *v, enum log_level *level, bool *json)
{
    static const char *const words[] = {"debug", "info", "warn", "error", "json", "text"};
    enum log_level l = *level;
    bool j = *json;
    while (*v) {
        const size_t n = strcspn(v, ",");
        size_t i = 0;
        while (i < 6 && !(strlen(words[i]) == n && strncasecmp(words[i], v, n) == 0))
            i++;
        if (i == 6)
            return -1;
        if (i < 4)
            l = (enum log_level)i;
        else
            j = i == 4;
        v += v[n] ? n + 1 : n;
    }
    *level = l;
    *json = j;
    return 0;
}

static int set_host(struct settings *s, const char *value)
{
    struct address a;
    address_parse(value, &a); /* warns of a bad port itself */
    snprintf(s->host, sizeof s->host, "%s", a.host);
    s->port = a.port;
    return 0;
}

static int set_models(struct settings *s, const char *v)
{
    snprintf(s->models, sizeof s->models, "%s", v);
    return 0;
}

static int set_pack_cache(struct settings *s, const char *v)
{
    snprintf(s->pack_cache, sizeof s->pack_cache, "%s", v);
    s->eng.pack_cache = s->pack_cache;
    return 0;
}

static int set_origins(struct settings *s, const char *v)
{
    snprintf(s->origins, sizeof s->origins, "%s", v);
    return 0;
}

static int set_keep_alive(struct settings *s, const char *v)
{
    return http_keep_alive_text(v, &s->eng.keep_alive_ns, NULL);
}

static int set_ctx(struct settings *s, const char *v)
{
    long long n;
    if (whole(v, 0, INT32_MAX, &n) != 0)
        return -1;
    s->eng.default_ctx = (int32_t)n;
    return 0;
}

static int set_parallel(struct settings *s, const char *v)
{
    long long n;
    if (whole(v, 0, 1024, &n) != 0)
        return -1;
    s->eng.n_parallel = (int)n;
    return 0;
}

static int set_loaded(struct settings *s, const char *v)
{
    long long n;
    if (whole(v, 0, 1024, &n) != 0)
        return -1;
    s->eng.max_loaded = (int)n;
    return 0;
}

static int set_queue(struct settings *s, const char *v)
{
    long long n;
    if (whole(v, 0, 1 << 20, &n) != 0)
        return -1;
    s->eng.max_queue = (int)n;
    return 0;
}

static int set_kv_type(struct settings *s, const char *v)
{
    return eng_kv_of(v, &s->eng.kv);
}

static int set_no_prune(struct settings *s, const char *v)
{
    s->no_prune = is_true(v);
    return 0;
}

static int set_debug(struct settings *s, const char *v)
{
    s->debug = is_true(v);
    return 0;
}

static int set_isa(struct settings *s, const char *v)
{
    if (strlen(v) >= sizeof s->isa)
        return -1;
    snprintf(s->isa, sizeof s->isa, "%s", v);
    return 0;
}

static int set_threads(struct settings *s, const char *v)
{
    long long n;
    if (whole(v, 0, 4096, &n) != 0)
        return -1;
    s->eng.n_threads = (int)n;
    return 0;
}

/* What K, M, G, T behind a number of bytes stand for; 0: something else is there. */
static double unit_of(const char *end)
{
    double unit = 1;
    if (*end) {
        const char *at = strchr("KMGT", *end & ~32);
        if (!at || (end[1] && strcasecmp(end + 1, "B") != 0 && strcasecmp(end + 1, "iB") != 0))
            return 0;
        for (int i = 0; i <= at - "KMGT"; i++)
            unit *= 1024;
    }
    return unit;
}

static int set_prefix_cache(struct settings *s, const char *v)
{
    char *end;
    const double n = strtod(v, &end), unit = unit_of(end);
    if (end == v || !(n >= 0) || unit <= 0 || n * unit > 1e18)
        return -1;
    s->eng.prefix_bytes = n > 0 ? (int64_t)(n * unit) : -1;
    return 0;
}

/* Bytes with an optional K, M, G, T, or a share of what is available: "80%". */
static int set_memory(struct settings *s, const char *v)
{
    char *end;
    const double n = strtod(v, &end);
    if (end == v || !(n > 0) || n > 1e18)
        return -1;
    if (strcmp(end, "%") == 0) {
        if (n > 100)
            return -1;
        s->eng.memory_share = n / 100;
        return 0;
    }
    const double unit = unit_of(end);
    if (unit <= 0 || n * unit > 1e18)
        return -1;
    s->eng.memory_bytes = (uint64_t)(n * unit);
    return 0;
}

/* 0 means what negative does: never. */
static int set_load_timeout(struct settings *s, const char *v)
{
    int64_t ns;
    if (http_keep_alive_text(v, &ns, NULL) != 0)
        return -1;
    s->eng.load_timeout_ns = ns > 0 ? ns : -1;
    return 0;
}

/* 0 means what negative does: never. */
static int set_ping(struct settings *s, const char *v)
{
    int64_t ns;
    if (http_keep_alive_text(v, &ns, NULL) != 0)
        return -1;
    s->quiet_ns = ns > 0 ? ns : -1;
    return 0;
}

static int set_connections(struct settings *s, const char *v)
{
    long long n;
    if (whole(v, 1, 1 << 20, &n) != 0)
        return -1;
    s->max_connections = (int)n;
    return 0;
}

static int set_per_address(struct settings *s, const char *v)
{
    long long n;
    if (whole(v, 1, 1 << 20, &n) != 0)
        return -1;
    s->max_per_address = (int)n;
    return 0;
}

static int seconds_of(const char *v, int *out)
{
    long long n;
    if (whole(v, 1, 86400, &n) != 0)
        return -1;
    *out = (int)n;
    return 0;
}

static int set_head(struct settings *s, const char *v)
{
    return seconds_of(v, &s->head_s);
}

static int set_idle(struct settings *s, const char *v)
{
    return seconds_of(v, &s->idle_s);
}

static int set_stall(struct settings *s, const char *v)
{
    return seconds_of(v, &s->stall_s);
}

static int set_write(struct settings *s, const char *v)
{
    return seconds_of(v, &s->write_s);
}

static int set_body(struct settings *s, const char *v)
{
    long long n;
    if (whole(v, 1024, 1 << 30, &n) != 0)
        return -1;
    s->max_body = (size_t)n;
    return 0;
}

static int set_scope(struct settings *s, const char *v)
{
    s->scope_by_key = strcmp(v, "key") == 0;
    return s->scope_by_key || strcmp(v, "all") == 0 ? 0 : -1;
}

static int set_api_key(struct settings *s, const char *v)
{
    if (strlen(v) >= sizeof s->api_key)
        return -1;
    snprintf(s->api_key, sizeof s->api_key, "%s", v);
    return 0;
}

static int set_keys(struct settings *s, const char *v)
{
    if (strlen(v) >= sizeof s->keys_file)
        return -1;
    snprintf(s->keys_file, sizeof s->keys_file, "%s", v);
    return 0;
}

/* Applied before anything is logged (read_log_settings). */
static int set_log(struct settings *s, const char *v)
{
    bool json = false;
    enum log_level level = LOG_INFO;
    return log_words(v, &level, &json);
}

static int set_log_format(struct settings *s, const char *v)
{
    return strcmp(v, "json") != 0 && strcmp(v, "text") != 0 ? -1 : 0;
}

static int set_speculate(struct settings *s, const char *v)
{
    static const char *const words[] = {
        [ENG_SPECULATE_AUTO] = "auto", [ENG_SPECULATE_OFF] = "off", [ENG_SPECULATE_ON] = "on"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(v, words[i]) == 0) {
            s->eng.speculate = (enum eng_speculate)i;
            return 0;
        }
    return -1;
}

static int set_numerics(struct settings *s, const char *v)
{
    return eng_numerics_of(v, &s->eng.fast);
}

static const struct {
    const char *name;
    set_fn set;         /* NULL: accepted, without effect */
    const char *effect; /* for the log */
} variables[] = {
    {"OLLAMA_HOST", set_host, "address to bind"},
    {"OLLAMA_MODELS", set_models, "folder of the models"},
    {"OLLAMA_ORIGINS", set_origins, "more allowed origins"},
    {"OLLAMA_KEEP_ALIVE", set_keep_alive, "how long idle models stay"},
    {"OLLAMA_CONTEXT_LENGTH", set_ctx, "default num_ctx"},
    {"OLLAMA_NUM_PARALLEL", set_parallel, "sequences at once on a model"},
    {"OLLAMA_MAX_LOADED_MODELS", set_loaded, "models loaded at once"},
    {"OLLAMA_MAX_QUEUE", set_queue, "waiting requests"},
    {"OLLAMA_KV_CACHE_TYPE", set_kv_type, "type of the KV cache: f16 (default), f32, q8_0 or q4_0"},
    {"OLLAMA_NOPRUNE", set_no_prune, "unused blobs stay"},
    {"OLLAMA_DEBUG", set_debug, "log everything"},
    {"OLLAMA_LOAD_TIMEOUT", set_load_timeout, "longest that a load may stand still"},
    {"OLLAMA_FLASH_ATTENTION", NULL, "no effect: results do not depend on it"},
    {"OLLAMA_GO_TEMPLATE", NULL, "no effect in this version"},
    {"OLLAMA_NO_CLOUD", NULL, "always as if set"},
    {"OLLAMA_DEBUG_LOG_REQUESTS", NULL, "no effect: requests are never logged"},
    {"OLLAMA_MAX_TRANSFER_STREAMS", NULL, "no effect in this version"},
    {"OLLAMA_REMOTES", NULL, "no effect: no cloud"},
    {"OLLAMA_AUTH", NULL, "no effect: no cloud"},
    {"OLLAMA_CLOUD_BASE_URL", NULL, "no effect: no cloud"},
    {"OLLAMA_GPU_OVERHEAD", NULL, "no effect on a CPU"},
    {"OLLAMA_SCHED_SPREAD", NULL, "no effect on a CPU"},
    {"OLLAMA_LLM_LIBRARY", NULL, "no effect: there is one library"},
    {"OLLAMA_VULKAN", NULL, "no effect on a CPU"},
    {"OLLAMA_IGPU_ENABLE", NULL, "no effect on a CPU"},
    {"OLLAMA_INTEL_GPU", NULL, "no effect on a CPU"},
    {"OLLAMA_MAX_VRAM", NULL, "no effect on a CPU"},
    {"OLLAMA_MULTIUSER_CACHE", NULL, "no effect: the cache is always shared"},
    {"OLLAMA_NEW_ENGINE", NULL, "no effect"},
    {"OLLAMA_RUNNERS_DIR", NULL, "no effect"},
    {"OLLAMA_TMPDIR", NULL, "no effect"},
    {"CUDA_VISIBLE_DEVICES", NULL, "no effect on a CPU"},
    {"CHASKI_ISA", set_isa, "instruction set of the kernels"},
    {"CHASKI_THREADS", set_threads, "threads of the crew"},
    {"CHASKI_SPECULATE", set_speculate, "drafts from the text so far: auto, on or off"},
    {"CHASKI_NUMERICS", set_numerics,
     "exact (default), or fast: prompts in bf16, outside the contract of bits"},
    {"CHASKI_MEMORY", set_memory, "memory budget: bytes, 8G, or a share of what is free: 80%"},
    {"CHASKI_PREFIX_CACHE", set_prefix_cache, "bytes of a model's prefix cache, 0 = none"},
    {"CHASKI_PACK_CACHE", set_pack_cache, "folder that keeps packed weights"},
    {"CHASKI_API_KEY", set_api_key, "a key that requests need"},
    {"CHASKI_KEYS", set_keys, "file of hashed keys (see: chaski key)"},
    {"CHASKI_LOG", set_log, "debug, info, warn or error"},
    {"CHASKI_LOG_FORMAT", set_log_format, "text or json"},
    {"CHASKI_STREAM_PING", set_ping, "silence of an event stream before a ping (15s)"},
    {"CHASKI_CACHE_SCOPE", set_scope, "who shares cached prefixes: all, or one key's requests (key)"},
    {"CHASKI_LIMIT_CONNECTIONS", set_connections, "connections at once (1024)"},
    {"CHASKI_LIMIT_PER_ADDRESS", set_per_address, "of one address, not loopback (64)"},
    {"CHASKI_LIMIT_BODY", set_body, "bytes of a chat or generate request (67108864)"},
    {"CHASKI_LIMIT_HEAD_SECONDS", set_head, "for the head of a request (10)"},
    {"CHASKI_LIMIT_IDLE_SECONDS", set_idle, "an idle connection stays open (120)"},
    {"CHASKI_LIMIT_STALL_SECONDS", set_stall, "a body may stand still (60)"},
    {"CHASKI_LIMIT_WRITE_SECONDS", set_write, "an answer may wait for its reader (60)"},
};

/* Blanks and quotes around a value go; NULL for nothing. */
static const char *trimmed(const char *v, char *out, size_t cap)
{
    size_t n = v ? strlen(v) : 0;
    while (n && strchr(" \t\r\n\"'", v[0]))
        v++, n--;
    while (n && strchr(" \t\r\n\"'", v[n - 1]))
        n--;
    if (!n || n >= cap)
        return NULL;
    memcpy(out, v, n);
    out[n] = 0;
    return out;
}

/* CHASKI_LOG wins over OLLAMA_DEBUG; they are read first, since the rest is logged. */
static void read_log_settings(void)
{
    char value[256];
    enum log_level level = LOG_INFO;
    bool json = false;
    const char *v = trimmed(getenv("OLLAMA_DEBUG"), value, sizeof value);
    if (v && is_true(v))
        level = LOG_DEBUG;
    if ((v = trimmed(getenv("CHASKI_LOG"), value, sizeof value)))
        (void)log_words(v, &level, &json);
    if ((v = trimmed(getenv("CHASKI_LOG_FORMAT"), value, sizeof value)))
        json = strcmp(v, "json") == 0;
    log_set_level(level);
    log_set_json(json);
}

static void read_environment(struct settings *s)
{
    char value[8192];
    read_log_settings();
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        const char *v = trimmed(getenv(variables[i].name), value, sizeof value);
        if (!v)
            continue;
        const char *shown = variables[i].set == set_api_key ? "***" : v;
        if (variables[i].set && variables[i].set(s, v) != 0)
            log_line(LOG_WARN, "%s=%s is not understood, the default is used", variables[i].name,
                     shown);
        else
            log_line(LOG_INFO, "%s=%s: %s", variables[i].name, shown,
                     variables[i].effect);
    }
}

static void harden(void)
{
    const struct rlimit none = {0, 0}; /* a core would hold prompts */
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)prctl(PR_SET_DUMPABLE, 0);
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max < 65536 ? files.rlim_max : 65536;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error of its write */
    /* Blocked before any thread is made: the server reads them from a descriptor. */
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    pthread_sigmask(SIG_BLOCK, &stop, NULL);
}

static void tell_stopping(void)
{
    systemd_notify("STOPPING=1");
}

static int run(struct settings *s, struct err *e)
{
    const int passed = systemd_listen_fd(); /* before anything opens a file */
    struct store *store = NULL;
    struct eng *eng = NULL;
    struct http_server *server = NULL;
    int rc = -1;
    if (!s->models[0] && store_default_root(s->models, sizeof s->models, e) != 0)
        return -1;
    store = store_open(s->models, e);
    if (!store)
        goto done;
    store_keep_unused(store, s->no_prune);
    s->eng.store = store;
    s->eng.isa = s->isa[0] ? s->isa : NULL;
    eng = eng_new(&s->eng, e);
    if (!eng)
        goto done;
    const struct http_config cfg = {
        .host = s->host,
        .port = s->port,
        .store = store,
        .eng = eng,
        .origins = s->origins[0] ? s->origins : NULL,
        .api_key = s->api_key[0] ? s->api_key : NULL,
        .keys_file = s->keys_file[0] ? s->keys_file : NULL,
        .max_connections = s->max_connections,
        .quiet_ns = s->quiet_ns,
        .max_per_address = s->max_per_address,
        .max_body_bytes = s->max_body,
        .head_s = s->head_s,
        .idle_s = s->idle_s,
        .stall_s = s->stall_s,
        .write_s = s->write_s,
        .scope_by_key = s->scope_by_key,
        .has_listen_fd = passed >= 0,
        .listen_fd = passed,
        .on_stopping = tell_stopping,
    };
    server = http_listen(&cfg, e);
    if (!server)
        goto done;
    fprintf(stderr, "Listening on %s (version %s)\n", http_address(server), CHASKI_VERSION);
    systemd_notify("READY=1");
    rc = http_run(server, e);
    if (rc == 1) /* a second signal: at once, whatever still runs */
        _exit(0);
done:
    http_free(server);
    eng_free(eng);
    store_close(store);
    return rc;
}

int cmd_serve(int argc, char **argv)
{
    static const struct option longs[] = {{"help", no_argument, NULL, 'h'},
                                           {"numerics", required_argument, NULL, 'n'},
                                           {0}};
    const char *numerics = NULL;
    struct settings s = {0};
    struct err e = {0};
    int c;
    json_object_seed(0); /* before there are threads */
    optind = 1;
    while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
        if (c == 'n') {
            numerics = optarg;
            continue;
        }
        if (c != 'h')
            return 2;
        printf("Start the server\n\nUsage:\n  chaski serve [flags]\n\nFlags:\n"
               "      --numerics string   exact (default), or fast: prompts in bf16, outside the "
               "contract of bits\n\nEnvironment Variables:\n");
        for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
            if (variables[i].set)
                printf("      %-27s   %s\n", variables[i].name, variables[i].effect);
        return 0;
    }
    if (optind < argc) {
        fprintf(stderr, "Error: serve takes no arguments\n");
        return 2;
    }
    set_host(&s, "");
    s.eng.keep_alive_ns = 300 * INT64_C(1000000000);
    harden();
    read_environment(&s);
    if (numerics && eng_numerics_of(numerics, &s.eng.fast) != 0) {
        fprintf(stderr, "Error: --numerics wants exact or fast\n");
        return 2;
    }
    if (run(&s, &e) != 0) {
        fprintf(stderr, "Error: %s\n", e.text);
        return 1;
    }
    return 0;
}
