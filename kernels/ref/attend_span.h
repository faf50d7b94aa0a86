/* kernels/ref/attend_span.h - the slot attend_span of a table, from its span_of. Included behind that:
 * it takes a page for what Q4_0 is unpacked to, or NULL. The same for every table. */
#ifndef CHASKI_KERNELS_REF_ATTEND_SPAN_H
#define CHASKI_KERNELS_REF_ATTEND_SPAN_H

/* Apart, so that the other types do not pay for the page's stack. */
__attribute__((noinline)) static void span_of_q4(const struct attend *t, int32_t span, float *state)
{
    struct q8_page page;
    struct attend as_q8 = *t;
    as_q8.kv = KV_Q8_0;
    span_of(&as_q8, span, state, &page);
}

static void attend_span(const struct attend *t, int32_t span, float *state)
{
    if (t->kv == KV_Q4_0)
        span_of_q4(t, span, state);
    else
        span_of(t, span, state, NULL);
}

#endif
