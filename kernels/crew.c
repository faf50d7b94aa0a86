/* kernels/crew.c - the crew: threads that run one step together and sleep in between.
 *
 * A crew whose size was left to us follows the machine that we are given (crew_refresh): CPUs that
 * a container or taskset takes away are not run on from the next step on, new ones are used.
 * Threads are started when they are first needed; those that are too many sleep.
 *
 * A step wakes the crew once; inside it barriers spin, because a futex hand-over costs far more
 * than an operation of a small model. Waiting has three stages: spin with pauses (microseconds),
 * yield, and at last sleep on a futex: a waiter that spins on while the thread it waits for stands
 * behind a stranger only makes the machine fuller. A crew that meets slow barriers spins less.
 *
 * When the crew is as large as the machine that it may use, each thread is bound to a CPU of its
 * own (the caller of crew_run for the time of the run). A smaller one keeps to its memory nodes and to
 * the big cores, where there are several nodes or sizes (topology.c). Measured on two cores with a load of 5,
 * rounds of 8 pieces of 6 us: bound 40 to 75 us a round, not bound 46 to 770, because the scheduler
 * lets threads that sleep and wake each other gather on one CPU; a run starts in 4 us, else 20 to
 * 180.
 *
 * Order of memory: what a thread wrote before a barrier, the end of a run or its start is seen by
 * all after it (release / acquire on the counters; seq_cst where a sleeper and a waker must not
 * miss each other). */
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "kernels/cpu.h"
#include "kernels/kernels.h"
#include "kernels/topology.h"

enum {
    MAX_CREW = 512,
    N_BITS = 10,          /* of `word`: threads of the run; the rest counts runs */
    SPIN_NS = 20000,      /* quiet machine */
    SPIN_NS_SLOW = 4000,  /* after slow barriers */
    YIELD_NS = 60000,     /* yields end and sleep starts here */
    IDLE_SPIN_NS = 50000, /* between runs: the next step often comes at once */
    LOOK_NS = 1000000000, /* between looks at the quotas */
};

/* Who waits here sleeps at most on `value`; wakers look at `sleepers` first: no needless
 * syscall. */
struct gate {
    _Alignas(64) atomic_uint value;
    atomic_int sleepers;
};

struct crew {
    int n;           /* threads started, the caller's among them */
    int most;        /* threads that it may come to */
    atomic_int size; /* threads of a run, now */
    pthread_t *threads;
    struct worker *workers;
    void (*fn)(void *arg, int i);
    void *arg;
    int run_n;
    bool stop;
    struct topology topo;       /* mask NULL: not known, threads are not bound */
    const char *sys;            /* "/sys" */
    unsigned char *places;      /* where each thread is kept: sets one after the other, */
    bool bound;                 /* if they are kept anywhere */
    int node_first[MOST_NODES]; /* threads before those of a node */
    unsigned bindings;          /* changes of what is bound where */
    bool live;                  /* the size was left to us */
    const char *cgroups, *self; /* live: where the quotas stand, */
    int quota;                  /* and what they said last */
    int64_t look_again_ns;
    struct gate start; /* value: run number << N_BITS | threads that take part */
    struct gate end;   /* value: threads still running */
    struct gate phase; /* value: barriers passed */
    _Alignas(64) atomic_int arrived;
    struct {
        _Alignas(64) atomic_int v;
    } next[MOST_NODES];
    _Alignas(64) atomic_int spin_ns; /* what the last barriers taught */
};

struct worker {
    struct crew *crew;
    int i;
    unsigned bindings; /* as of when this thread was bound last */
};

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory"); /* `yield` is a no-op on most cores */
#endif
}

static void gate_open(struct gate *g) /* after its value was changed (seq_cst) */
{
    if (atomic_load(&g->sleepers) > 0)
        syscall(SYS_futex, &g->value, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* Wait until g->value differs from `old`; returns the new value. *waited_ns = how long, coarsely.
 */
static unsigned gate_wait(struct gate *g, unsigned old, int64_t spin_ns, int64_t yield_ns,
                          int64_t *waited_ns)
{
    unsigned now;
    *waited_ns = 0;
    for (int i = 0; i < 64; i++) { /* most waits end here: no clock */
        if ((now = atomic_load_explicit(&g->value, memory_order_acquire)) != old)
            return now;
        relax();
    }
    int64_t t0 = time_mono_ns();
    for (;;) {
        for (int i = 0; i < 16; i++) {
            if ((now = atomic_load_explicit(&g->value, memory_order_acquire)) != old) {
                *waited_ns = time_mono_ns() - t0;
                return now;
            }
            if (*waited_ns < spin_ns)
                relax();
            else if (*waited_ns < yield_ns && i == 0)
                sched_yield();
        }
        *waited_ns = time_mono_ns() - t0;
        if (*waited_ns < spin_ns || *waited_ns < yield_ns)
            continue;
        atomic_fetch_add(&g->sleepers, 1);
        syscall(SYS_futex, &g->value, FUTEX_WAIT_PRIVATE, old, NULL, NULL, 0);
        atomic_fetch_sub(&g->sleepers, 1);
    }
}

/* Refused: only slower. */
static void bind_to(const cpu_set_t *set)
{
    sched_setaffinity(0, CPU_ALLOC_SIZE(MOST_CPUS), set);
}

static cpu_set_t *place_of(const struct crew *c, int i)
{
    return (cpu_set_t *)(void *)(c->places + (size_t)i * CPU_ALLOC_SIZE(MOST_CPUS));
}

static void follow_bindings(struct worker *w)
{
    const struct crew *c = w->crew;
    if (w->bindings == c->bindings)
        return;
    w->bindings = c->bindings;
    if (c->bound)
        bind_to(place_of(c, w->i));
    else if (c->topo.mask)
        bind_to(c->topo.mask);
}

static void *work(void *arg)
{
    struct worker *w = arg;
    struct crew *c = w->crew;
    unsigned seen = 0;
    cpu_float_mode();
    thread_slice(CREW_SLICE_NS);
    for (;;) {
        int64_t waited;
        seen = gate_wait(&c->start, seen, IDLE_SPIN_NS, 0, &waited);
        if (w->i >= (int)(seen & ((1u << N_BITS) - 1)))
            continue; /* not in this run; fn and arg may already be the next run's */
        if (c->stop)
            return NULL;
        follow_bindings(w);
        c->fn(c->arg, w->i);
        if (atomic_fetch_sub(&c->end.value, 1) == 1)
            gate_open(&c->end);
    }
}

/* The caller of a run is free again, for its other work and threads that it starts; unless somebody
 * else has just said where it shall run. */
static void unbind_caller(const struct crew *c)
{
    const size_t bytes = CPU_ALLOC_SIZE(MOST_CPUS);
    cpu_set_t *now = CPU_ALLOC(MOST_CPUS);
    if (!now)
        return;
    CPU_ZERO_S(bytes, now);
    if (!sched_getaffinity(0, bytes, now) && CPU_EQUAL_S(bytes, now, place_of(c, 0)))
        bind_to(c->topo.mask);
    CPU_FREE(now);
}

static void counters_to_zero(struct crew *c)
{
    for (int k = 0; k < c->topo.n_nodes; k++)
        atomic_store_explicit(&c->next[k].v, 0, memory_order_relaxed);
}

static void start_run(struct crew *c, int n)
{
    unsigned run = atomic_load_explicit(&c->start.value, memory_order_relaxed) >> N_BITS;
    atomic_store(&c->start.value, (run + 1) << N_BITS | (unsigned)n);
    gate_open(&c->start);
}

void crew_run(struct crew *c, int n, void (*fn)(void *arg, int i), void *arg)
{
    n = n > c->n ? c->n : n < 1 ? 1 : n;
    c->fn = fn;
    c->arg = arg;
    c->run_n = n;
    atomic_store_explicit(&c->arrived, 0, memory_order_relaxed);
    counters_to_zero(c);
    cpu_float_mode();
    if (n == 1) {
        fn(arg, 0);
        return;
    }
    atomic_store(&c->end.value, (unsigned)n - 1);
    start_run(c, n);
    if (c->bound)
        bind_to(place_of(c, 0));
    fn(arg, 0);
    unsigned left;
    int64_t waited;
    while ((left = atomic_load_explicit(&c->end.value, memory_order_acquire)) != 0)
        gate_wait(&c->end, left, SPIN_NS, YIELD_NS, &waited);
    if (c->bound)
        unbind_caller(c);
}

void crew_barrier(struct crew *c, int i)
{
    (void)i;
    if (c->run_n == 1) {
        counters_to_zero(c);
        return;
    }
    unsigned phase = atomic_load_explicit(&c->phase.value, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&c->arrived, 1, memory_order_acq_rel) == c->run_n - 1) {
        atomic_store_explicit(&c->arrived, 0, memory_order_relaxed);
        counters_to_zero(c);
        atomic_store(&c->phase.value, phase + 1);
        gate_open(&c->phase);
        return;
    }
    int spin = atomic_load_explicit(&c->spin_ns, memory_order_relaxed);
    int64_t waited;
    gate_wait(&c->phase, phase, spin, spin == SPIN_NS ? YIELD_NS : 2 * spin, &waited);
    /* A wait past the yields means that somebody was not running: halve; else creep back. */
    int want = waited > YIELD_NS ? spin / 2 : spin + spin / 64 + 1;
    want = want < SPIN_NS_SLOW ? SPIN_NS_SLOW : want > SPIN_NS ? SPIN_NS : want;
    if (want != spin)
        atomic_store_explicit(&c->spin_ns, want, memory_order_relaxed);
}

int crew_next(struct crew *c)
{
    return crew_next_at(c, 0);
}

int crew_next_at(struct crew *c, int node)
{
    return atomic_fetch_add_explicit(&c->next[node].v, 1, memory_order_relaxed);
}

int crew_nodes(const struct crew *c)
{
    return c->topo.n_nodes;
}

int crew_node(const struct crew *c, int i)
{
    int node = 0;
    while (node < c->topo.n_nodes - 1 && c->node_first[node + 1] <= i)
        node++;
    return node;
}

int64_t crew_node_share(const struct crew *c, int64_t n, int node)
{
    if (node <= 0)
        return 0;
    return node >= c->topo.n_nodes ? n : n * c->node_first[node] / crew_size(c);
}

int crew_size(const struct crew *c)
{
    return atomic_load_explicit(&c->size, memory_order_relaxed);
}

int crew_most(const struct crew *c)
{
    return c->most;
}

/* ---- how many ----------------------------------------------------------------------------------
 */

/* The CPUs of the caller's mask; at least one core. Without memory: one core, no mask. */
static void usable(struct topology *t, const char *sys)
{
    const size_t bytes = CPU_ALLOC_SIZE(MOST_CPUS);
    cpu_set_t *now = CPU_ALLOC(MOST_CPUS);
    if (now)
        CPU_ZERO_S(bytes, now);
    if (!now || sched_getaffinity(0, bytes, now) || topology_read(t, sys, now)) {
        static struct core one = {0, 0, 1024};
        *t = (struct topology){.cores = &one, .n = 1, .n_nodes = 1};
    }
    if (now)
        CPU_FREE(now);
}

static void not_usable(struct topology *t)
{
    if (t->mask)
        topology_free(t);
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

int crew_default_size(void)
{
    struct topology t;
    usable(&t, "/sys");
    const int n = t.n, quota = cpu_quota("/sys/fs/cgroup", "/proc/self/cgroup");
    not_usable(&t);
    return least(quota ? least(quota, n) : n, MAX_CREW);
}

/* Start threads until there are n; as many as the system gives. */
static int start_threads(struct crew *c, int n)
{
    sigset_t all, old; /* signals are the main thread's business */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = 0;
    for (; c->n < n && !rc; c->n += !rc) {
        c->workers[c->n] = (struct worker){.crew = c, .i = c->n};
        rc = pthread_create(&c->threads[c->n], NULL, work, &c->workers[c->n]);
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rc;
}

/* The machine as it is now: mask, cores, bindings, size. `wanted` threads, or 0: as many as may be.
 * Returns the error of a thread that could not be started. */
static int look(struct crew *c, int wanted)
{
    not_usable(&c->topo);
    usable(&c->topo, c->sys);
    const int cores = c->topo.n;
    int n = wanted;
    if (!n) {
        const int quota = cpu_quota(c->cgroups, c->self);
        n = least(quota ? least(quota, cores) : cores, c->most);
    }
    c->bound = n > 1 && c->topo.mask; /* else room to move, or too little */
    for (int i = 0; i < n && c->bound; i++)
        c->bound = topology_place(&c->topo, n, i, place_of(c, i));
    c->bindings++;
    const int rc = start_threads(c, n);
    const int size = least(n, c->n);
    for (int k = 0, i = 0; k < c->topo.n_nodes; k++) {
        while (i < size && topology_node(&c->topo, size, i) < k)
            i++;
        c->node_first[k] = i;
    }
    atomic_store_explicit(&c->size, size, memory_order_relaxed);
    return rc;
}

static bool mask_changed(const struct crew *c)
{
    const size_t bytes = CPU_ALLOC_SIZE(MOST_CPUS);
    cpu_set_t *now = CPU_ALLOC(MOST_CPUS);
    if (!now)
        return false;
    CPU_ZERO_S(bytes, now);
    const bool changed =
        !sched_getaffinity(0, bytes, now) && (!c->topo.mask || !CPU_EQUAL_S(bytes, now, c->topo.mask));
    CPU_FREE(now);
    return changed;
}

void crew_refresh(struct crew *c)
{
    if (!c->live)
        return;
    const int64_t now = time_mono_ns();
    if (now < c->look_again_ns && !mask_changed(c))
        return;
    c->look_again_ns = now + LOOK_NS;
    const int quota = cpu_quota(c->cgroups, c->self), size = crew_size(c);
    if (quota == c->quota && !mask_changed(c))
        return;
    c->quota = quota;
    look(c, 0); /* a thread that does not start is missed, not needed */
    if (crew_size(c) != size)
        log_line(LOG_INFO,
                 "%d threads from now on (there were %d): the CPUs that we may use changed",
                 crew_size(c), size);
}

struct crew *crew_new_under(int n_threads, const char *sys, const char *cgroups, const char *self,
                            struct err *e)
{
    const long cpus = sysconf(_SC_NPROCESSORS_CONF);
    const int most = n_threads > 0 ? n_threads : cpus < 1 ? 1 : (int)least((int)cpus, MAX_CREW);
    if (most > MAX_CREW) {
        err_set(e, ERR_LIMIT, "%d threads are more than %d", most, MAX_CREW);
        return NULL;
    }
    struct crew *c = aligned_alloc(64, sizeof *c);
    if (!c) {
        err_set(e, ERR_MEMORY, "no memory for a crew of %d threads", most);
        return NULL;
    }
    memset(c, 0, sizeof *c);
    c->n = 1;
    c->most = most;
    c->live = n_threads <= 0;
    c->sys = sys;
    c->cgroups = cgroups;
    c->self = self;
    atomic_store(&c->spin_ns, SPIN_NS);
    c->threads = calloc((size_t)most, sizeof *c->threads);
    c->workers = calloc((size_t)most, sizeof *c->workers);
    c->places = calloc((size_t)most, CPU_ALLOC_SIZE(MOST_CPUS));
    if (!c->threads || !c->workers || !c->places) {
        crew_free(c);
        err_set(e, ERR_MEMORY, "no memory for a crew of %d threads", most);
        return NULL;
    }
    c->quota = c->live ? cpu_quota(cgroups, self) : 0;
    c->look_again_ns = time_mono_ns() + LOOK_NS;
    const int rc = look(c, n_threads > 0 ? n_threads : 0);
    if (rc && n_threads > 0) {
        err_set(e, ERR_MEMORY, "cannot start thread %d of %d: %s", c->n + 1, n_threads,
                strerror(rc));
        crew_free(c);
        return NULL;
    }
    return c;
}

struct crew *crew_new(int n_threads, struct err *e)
{
    return crew_new_under(n_threads, "/sys", "/sys/fs/cgroup", "/proc/self/cgroup", e);
}

void crew_free(struct crew *c)
{
    if (!c)
        return;
    c->stop = true;
    start_run(c, c->n);
    for (int i = 1; i < c->n; i++)
        pthread_join(c->threads[i], NULL);
    not_usable(&c->topo);
    free(c->places);
    free(c->threads);
    free(c->workers);
    free(c);
}
