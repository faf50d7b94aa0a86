/* http/answer.c - events of the engine -> bytes of a style.
 *
 * Facts: spec/api.md 7. The engine's thread calls the sink below, which has the style print each
 * event and hands the bytes to the loop (call.c). How a request comes to its jobs: begin.c. */
#include "http/answer.h"
#include "engine/chat/chat.h"

#include <stdlib.h>
#include <string.h>

/* ---- life ---------------------------------------------------------------------------------- */

static void answer_free(void *state)
{
    struct answer *w = state;
    for (int i = 0; i < w->n_choices; i++) {
        struct choice *ch = &w->choices[i];
        buf_free(&ch->text);
        buf_free(&ch->thinking);
        json_decref(ch->calls);
        chat_split_free(ch->split);
        for (size_t k = 0; k < sizeof ch->logprobs / sizeof *ch->logprobs; k++)
            buf_free(&ch->logprobs[k]);
    }
    buf_free(&w->rendered);
    ask_free(&w->ask);
    pthread_mutex_destroy(&w->lock);
    free(w->choices);
    free(w->own);
    free(w->model);
    free(w);
}

int answer_make_choices(struct answer *w)
{
    const int n = ask_n_choices(&w->ask);
    w->choices = calloc((size_t)n, sizeof *w->choices);
    if (!w->choices)
        return -1;
    w->n_choices = n;
    for (int i = 0; i < n; i++) {
        w->choices[i].answer = w;
        w->choices[i].index = i;
    }
    return 0;
}

/* ---- the sink: the engine's thread, under the answer's lock -------------------------------- */

void answer_fail(struct answer *w, const struct err *e)
{
    w->is_over = true;
    call_fail(w->call, e);
}

static void send_out(struct answer *w, struct buf *b)
{
    struct err e = {0};
    if (b->failed) {
        err_set(&e, ERR_MEMORY, "out of memory");
        answer_fail(w, &e);
    } else if (b->n) {
        call_stream(w->call, w->style->stream_type, b->p, b->n);
    }
    buf_free(b);
}

static void open_choice(struct answer *w, struct choice *ch, struct buf *b)
{
    if (ch->begun)
        return;
    ch->begun = true;
    if (w->style->begin)
        w->style->begin(w, ch, b);
}

static void keep(struct answer *w, struct choice *ch, const struct piece *p)
{
    buf_add(&ch->text, p->text, p->n);
    buf_add(&ch->thinking, p->thinking, p->n_thinking);
    if (json_array_size(p->calls)) {
        if (!ch->calls) {
            ch->calls = json_array();
            ch->n_text_before_calls = ch->text.n;
        }
        if (!ch->calls || json_array_extend(ch->calls, (json_t *)(uintptr_t)p->calls) != 0)
            ch->text.failed = true;
    }
    if (!p->n_logprobs)
        return;
    if (w->style->keep_logprobs) {
        w->style->keep_logprobs(ch, p);
    } else {
        if (ch->n_logprobs)
            buf_puts(&ch->logprobs[0], ",");
        print_logprobs(&ch->logprobs[0], p->logprobs, p->n_logprobs);
    }
    ch->n_logprobs += p->n_logprobs;
}

/* The prompt is laid out: a style that opens its stream with the prompt's count does so now. */
static void on_start(void *arg, const struct eng_stats *s)
{
    struct choice *ch = arg;
    struct answer *w = ch->answer;
    if (!w->ask.stream || !w->style->opens_early)
        return;
    pthread_mutex_lock(&w->lock);
    if (!w->is_over) {
        struct buf b = {0};
        ch->stats = *s;
        open_choice(w, ch, &b);
        send_out(w, &b);
    }
    pthread_mutex_unlock(&w->lock);
}

/* Under the lock: a piece for the style, from the engine's or from the splitter's. */
static void piece_out(struct answer *w, struct choice *ch, const struct piece *p)
{
    struct buf b = {0};
    if (!p->n && !p->n_thinking && !p->n_logprobs && !json_array_size(p->calls))
        return; /* empty pieces are not sent (7.1) */
    ch->n_calls += json_array_size(p->calls);
    if (!w->ask.stream || w->style->keeps)
        keep(w, ch, p);
    if (w->ask.stream) {
        open_choice(w, ch, &b);
        if (w->style->piece)
            w->style->piece(w, ch, p, &b);
        send_out(w, &b);
    }
    ch->n_pieces++;
}

/* The same through the splitter: `from` NULL, at the end. Calls have a piece of their own (12.2). */
static void piece_split(struct answer *w, struct choice *ch, const struct eng_piece *from,
                        int32_t eval_count)
{
    struct chat_said said = {0};
    const bool thought = chat_split_thinks(ch->split);
    const int rc = from ? chat_split_feed(ch->split, from->text, from->n, &said)
                        : chat_split_end(ch->split, &said);
    if (thought || said.thinking.n || (from && chat_split_thinks(ch->split)))
        ch->n_thought += eval_count - ch->n_evaluated;
    ch->n_evaluated = eval_count;
    if (rc != 0) {
        struct err e = {0};
        err_set(&e, ERR_MEMORY, "out of memory");
        answer_fail(w, &e);
    } else {
        const size_t n = said.calls ? said.n_text_before : said.text.n;
        const struct piece p = {
            .text = said.text.p ? said.text.p : "",
            .n = n,
            .thinking = said.thinking.p,
            .n_thinking = said.thinking.n,
            .logprobs = from ? from->logprobs : NULL,
            .n_logprobs = from && w->ask.logprobs ? from->n_logprobs : 0,
        };
        const struct piece calls = {.text = "", .calls = said.calls};
        const struct piece rest = {.text = p.text + n, .n = said.text.n - n};
        piece_out(w, ch, &p);
        piece_out(w, ch, &calls);
        piece_out(w, ch, &rest);
    }
    chat_said_free(&said);
}

static void on_piece(void *arg, const struct eng_piece *from)
{
    struct choice *ch = arg;
    struct answer *w = ch->answer;
    pthread_mutex_lock(&w->lock);
    if (from->of_prompt) {
        w->style->keep_prompt(ch, from);
    } else if (!w->is_over && ch->split) {
        piece_split(w, ch, from, from->eval_count);
    } else if (!w->is_over) {
        const struct piece p = {
            .text = from->text,
            .n = from->n,
            .logprobs = from->logprobs,
            .n_logprobs = w->ask.logprobs ? from->n_logprobs : 0,
        };
        piece_out(w, ch, &p);
    }
    pthread_mutex_unlock(&w->lock);
}

static void log_remarks(const struct call *c, const struct eng_stats *s)
{
    if (s->prompt_truncated > 0)
        log_line(LOG_WARN, "%s: the prompt was too long, %d tokens of it were dropped", c->who,
                 (int)s->prompt_truncated);
    if (json_array_size(s->warnings)) {
        struct buf b = {0};
        http_print_json(&b, s->warnings);
        log_line(LOG_WARN, "%s: %.400s", c->who, b.p ? b.p : "");
        buf_free(&b);
    }
}

/* Everything is there: the one object. */
void answer_whole(struct answer *w)
{
    struct buf b = {0};
    struct err e = {0};
    w->is_over = true;
    for (int i = 0; i < w->n_choices; i++) {
        const struct choice *ch = &w->choices[i];
        b.failed = b.failed || ch->text.failed || ch->thinking.failed;
        for (size_t k = 0; k < sizeof ch->logprobs / sizeof *ch->logprobs; k++)
            b.failed = b.failed || ch->logprobs[k].failed;
    }
    w->style->whole(w, &b);
    buf_puts(&b, w->style->shape->end);
    if (b.failed) {
        err_set(&e, ERR_MEMORY, "out of memory");
        answer_fail(w, &e);
    } else {
        call_answer(w->call, 200, w->style->shape->type, b.p, b.n);
    }
    buf_free(&b);
}

static void end_choice(struct answer *w, struct choice *ch, const struct eng_stats *s)
{
    ch->stats = *s;
    ch->stats.context = NULL;
    ch->stats.n_context = 0;
    ch->stats.warnings = NULL;
    ch->reason = s->reason == ENG_LOADED     ? "load"
                 : s->reason == ENG_LENGTH   ? "length"
                 : s->reason == ENG_DEADLINE ? "deadline"
                                             : "stop";
    ch->ended = true;
    w->n_ended++;
    w->last = s;
    const bool all = w->n_ended == w->n_choices;
    if (w->ask.stream) {
        struct buf b = {0};
        open_choice(w, ch, &b);
        b.failed = b.failed || (w->style->keeps && (ch->text.failed || ch->thinking.failed));
        if (w->style->end)
            w->style->end(w, ch, &b);
        if (all && w->style->finish)
            w->style->finish(w, &b);
        send_out(w, &b);
        if (all && !w->is_over) {
            w->is_over = true;
            call_end(w->call);
        }
    } else if (all) {
        answer_whole(w);
    }
    w->last = NULL;
}

static void on_done(void *arg, const struct eng_stats *s)
{
    struct choice *ch = arg;
    struct answer *w = ch->answer;
    struct call *c = w->call;
    log_remarks(c, s);
    pthread_mutex_lock(&w->lock);
    if (!w->is_over && ch->split)
        piece_split(w, ch, NULL, s->eval_count);
    if (!w->is_over)
        end_choice(w, ch, s);
    pthread_mutex_unlock(&w->lock);
    call_unref(c);
}

static void on_fail(void *arg, const struct err *e)
{
    struct choice *ch = arg;
    struct answer *w = ch->answer;
    struct call *c = w->call;
    pthread_mutex_lock(&w->lock);
    const bool first = !w->is_over;
    if (first)
        answer_fail(w, e);
    pthread_mutex_unlock(&w->lock);
    if (first && w->n_choices > 1)
        call_cancel_jobs(c);
    call_unref(c);
}

/* A stream fails after it began: the style knows what it said so far. */
static void on_stream_error(const struct call *c, struct buf *b, int status, enum err_code code,
                            const char *text)
{
    struct answer *w = c->state;
    w->style->fail(w, b, status, code, text);
}

struct answer *answer_new(struct call *c, const struct style *style)
{
    struct answer *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    pthread_mutex_init(&w->lock, NULL);
    w->call = c;
    w->style = style;
    w->temperature = w->top_p = 1;
    w->begun_s = time_real_ns() / 1000000000;
    random_id(w->id, sizeof w->id - 1);
    c->state = w;
    c->free_state = answer_free;
    if (style->fail)
        c->stream_error = on_stream_error;
    return w;
}

struct eng_sink answer_sink(struct choice *ch)
{
    return (struct eng_sink){
        .arg = ch, .start = on_start, .piece = on_piece, .done = on_done, .fail = on_fail};
}
