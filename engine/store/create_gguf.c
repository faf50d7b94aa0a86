/* engine/store/create_gguf.c - the base of a new model from GGUF blobs: what each file is, which
 * belong together, what the config says of them.
 *
 * Facts: shared/spec store.md 9.3 and 9.4. Files are told apart by what is in them, as blobs have
 * no telling names. The order of the parts of a split model is the caller's (by file name). */
#include "engine/store/inside.h"
#include "engine/store/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum file_kind { FILE_MODEL, FILE_PROJECTOR, FILE_ADAPTER };
static const char *const file_media[] = {"model", "projector", "adapter"};

static bool key_is_positive(const struct gguf *g, const char *arch, const char *rest)
{
    char key[160];
    uint64_t n = 0;
    snprintf(key, sizeof key, "%s.%s", arch, rest);
    return gguf_get_u64(g, key, &n, NULL) == 1 && n > 0;
}

static bool text_is(struct text t, const char *s)
{
    return t.n == strlen(s) && !memcmp(t.p, s, t.n);
}

static enum file_kind file_kind(const struct gguf *g, const char *arch)
{
    struct text type = {0};
    bool vision = false, audio = false;
    (void)gguf_get_text(g, "general.type", &type, NULL);
    if (text_is(type, "adapter"))
        return FILE_ADAPTER;
    if (text_is(type, "projector") || text_is(type, "mmproj"))
        return FILE_PROJECTOR;
    if (key_is_positive(g, arch, "block_count"))
        return FILE_MODEL;
    if (key_is_positive(g, arch, "vision.block_count"))
        return FILE_PROJECTOR;
    (void)gguf_get_bool(g, "clip.has_vision_encoder", &vision, NULL);
    (void)gguf_get_bool(g, "clip.has_audio_encoder", &audio, NULL);
    return !strcmp(arch, "clip") && (vision || audio) ? FILE_PROJECTOR : FILE_MODEL;
}

static int config_of_gguf(struct plan *p, const struct store_facts *f, struct err *e)
{
    char count[24];
    json_t *list = json_object_get(p->config, "model_families");
    store_human_count(f->n_params, count);
    if (!json_is_array(list)) {
        list = json_array();
        if (!list || json_object_set_new(p->config, "model_families", list))
            return err_set(e, ERR_MEMORY, "out of memory");
    }
    if (json_array_append_new(list, json_string(f->architecture)))
        return err_set(e, ERR_MEMORY, "out of memory");
    return plan_config_text(p, "model_format", "gguf", e) ||
                   plan_config_text(p, "model_family", f->architecture, e) ||
                   plan_config_text(p, "model_type", count, e) ||
                   plan_config_text(p, "file_type", f->file_type, e)
               ? -1
               : 0;
}

/* The first four bytes say what it is; other containers get the words of the reference. */
static int check_magic(int fd, struct err *e)
{
    char magic[4];
    const ssize_t n = pread(fd, magic, sizeof magic, 0);
    if (n == (ssize_t)sizeof magic && !memcmp(magic, "GGUF", 4))
        return 0;
    return err_set(e, ERR_INPUT, "supplied file was not in GGUF format");
}

/* One opened model of one or more files: its layers, and what it says of itself. */
static int add_gguf(struct plan *p, const struct gguf *g, const struct digest *files, size_t n,
                    size_t *n_models, size_t *n_adapters, struct err *e)
{
    struct store_facts f;
    store_gguf_facts(g, &f);
    if (!f.architecture[0])
        return err_set(e, ERR_INPUT, "the GGUF has no key \"general.architecture\"");
    const enum file_kind kind = file_kind(g, f.architecture);
    if (kind == FILE_MODEL && p->c->from)
        return err_set(e, ERR_INPUT, "'from' and the file of a model cannot be given together");
    if (kind == FILE_MODEL && ++*n_models > 1)
        return err_set(e, ERR_INPUT, "the files hold more than one model");
    if (kind == FILE_ADAPTER && ++*n_adapters > 1)
        return err_set(e, ERR_INPUT, "only one adapter is currently supported");
    if (kind == FILE_ADAPTER)
        plan_remove(p, "adapter");
    for (size_t i = 0; i < n; i++) {
        struct store_layer l = {0};
        plan_media(l.media_type, file_media[kind]);
        l.digest = files[i];
        const int there = store_blob_stat(p->s, &files[i], &l.size, e);
        if (there == 0)
            err_set(e, ERR_INPUT, "a blob vanished while it was read");
        if (there != 1 || plan_add(p, &l, false, e))
            return -1;
        store_blob_touch(p->s, &files[i]);
    }
    return kind == FILE_MODEL ? config_of_gguf(p, &f, e) : 0;
}

bool plan_is_own_template(struct plan *p, const char *template_text)
{
    char type[128];
    plan_media(type, "model");
    for (size_t i = 0; i < p->n; i++) {
        if (strcmp(p->items[i].l.media_type, type))
            continue;
        struct text own = {0};
        const int fd = store_blob_open(p->s, &p->items[i].l.digest, NULL);
        struct gguf *g = fd < 0 ? NULL : gguf_open_fds(&fd, 1, "the GGUF", NULL);
        const bool is_own = g && gguf_get_text(g, "tokenizer.chat_template", &own, NULL) == 1 &&
                            text_is(own, template_text);
        gguf_close(g);
        if (fd >= 0)
            close(fd);
        return is_own;
    }
    return false;
}

int plan_take_files(struct plan *p, store_status status, void *arg, struct err *e)
{
    const struct store_create *c = p->c;
    const size_t n = c->n_files;
    size_t n_models = 0, n_adapters = 0, n_parts = 0, n_open = 0;
    struct gguf *g = NULL;
    struct err first = {0};
    int rc = -1;
    int *fds = calloc(n, sizeof *fds), *part_fds = calloc(n, sizeof *part_fds);
    struct digest *parts = calloc(n, sizeof *parts);
    if (!fds || !part_fds || !parts) {
        err_set(e, ERR_MEMORY, "out of memory");
        goto done;
    }
    for (size_t i = 0; i < n; i++) {
        if (plan_need_blob(p, &c->files[i], NULL, e))
            goto done;
        fds[i] = store_blob_open(p->s, &c->files[i], e);
        if (fds[i] < 0)
            goto done;
        n_open++;
        if (check_magic(fds[i], e))
            goto done;
    }
    /* Files that stand alone (model, projector, adapter) open alone; what does not must be the
     * parts of one split model. */
    for (size_t i = 0; i < n; i++) {
        struct err one = {0};
        if (status)
            status(arg, "parsing GGUF");
        g = gguf_open_fds(&fds[i], 1, "the GGUF", &one);
        if (!g) {
            if (first.code == ERR_NONE)
                first = one;
            part_fds[n_parts] = fds[i];
            parts[n_parts++] = c->files[i];
            continue;
        }
        if (add_gguf(p, g, &c->files[i], 1, &n_models, &n_adapters, e))
            goto done;
        gguf_close(g);
        g = NULL;
    }
    if (n_parts == 1) { /* nothing to put together: it is broken by itself */
        if (e)
            *e = first;
        goto done;
    }
    if (n_parts > 1) {
        g = gguf_open_fds(part_fds, (int)n_parts, "the split GGUF", e);
        if (!g || add_gguf(p, g, parts, n_parts, &n_models, &n_adapters, e))
            goto done;
    }
    if (!n_models && !c->from) {
        err_set(e, ERR_INPUT, "the files hold no model");
        goto done;
    }
    if (status)
        status(arg, "verifying conversion"); /* nothing was converted: the checks are done */
    rc = 0;
done:
    gguf_close(g);
    for (size_t i = 0; i < n_open; i++)
        close(fds[i]);
    free(fds);
    free(part_fds);
    free(parts);
    return rc;
}

