/* engine/model/tune.c - half of the threads or all (engine/model/tune.h).
 *
 * Nothing is tried while steps are steady, so a quiet machine pays nothing. When most of the last
 * steps took far longer than a quiet one, a few are run with half of the threads; the faster way is
 * kept, and the other looked at again now and then. */
#include "engine/model/tune.h"

enum {
    PROBE_STEPS = 3,
    SLOW_STEPS = 6,      /* so many more disturbed steps than quiet ones start a try */
    FIRST_INTERVAL = 16, /* steps between tries; doubles up to the last */
    LAST_INTERVAL = 256,
};

static const double disturbed = 1.7; /* times the quiet step */
static const double creep = 1.003;   /* a step: contexts grow, and with them the quiet step */

static bool other_way_now(const struct tune *t)
{
    return t->probe > 0;
}

int tune_threads(const struct tune *t, int all)
{
    const bool few = t->few != other_way_now(t);
    return few && all > 1 ? all / 2 : all;
}

static void learn(double *mean, double x)
{
    *mean = *mean > 0 ? 0.75 * *mean + 0.25 * x : x;
}

static void begin_probe(struct tune *t)
{
    t->probe = PROBE_STEPS;
    t->probe_ns = 0;
}

static void end_probe(struct tune *t)
{
    double *here = t->few ? &t->few_ns : &t->all_ns, *there = t->few ? &t->all_ns : &t->few_ns;
    *there = t->probe_ns / PROBE_STEPS;
    t->slow = 0;
    if (*there < 0.9 * *here) {
        t->few = !t->few;
        t->interval = FIRST_INTERVAL;
    } else if (t->interval < LAST_INTERVAL) {
        t->interval *= 2;
    }
    t->until_probe = t->interval;
}

void tune_learn(struct tune *t, int used, int all, int64_t ns)
{
    if (all < 2)
        return;
    const double x = (double)ns;
    if (!t->interval)
        t->interval = FIRST_INTERVAL;
    if (used == all) {
        t->quiet_ns *= creep;
        if (!(t->quiet_ns > 0) || x < t->quiet_ns)
            t->quiet_ns = x;
    }
    if (t->probe > 0) {
        t->probe_ns += x;
        if (--t->probe == 0)
            end_probe(t);
        return;
    }
    learn(t->few ? &t->few_ns : &t->all_ns, x);
    if (t->until_probe > 0)
        t->until_probe--;
    if (t->few) {
        if (!t->until_probe)
            begin_probe(t);
        return;
    }
    t->slow += x > disturbed * t->quiet_ns ? 1 : -1;
    t->slow = t->slow < 0 ? 0 : t->slow > 2 * SLOW_STEPS ? 2 * SLOW_STEPS : t->slow;
    if (t->slow >= SLOW_STEPS && !t->until_probe)
        begin_probe(t);
}
