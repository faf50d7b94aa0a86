/* tests/test_store_create.c - models made, listed, shown, copied, replaced, deleted; shared blobs;
 * what crashes and strangers leave in the folder. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "tests/store_room.h"

#define PLACE "manifests/registry.ollama.ai/library/"

struct said { /* the status lines of a create, one a line */
    char text[4000];
};

static void on_status(void *arg, const char *status)
{
    struct said *s = arg;
    const size_t n = strlen(s->text);
    snprintf(s->text + n, sizeof s->text - n, "%s\n", status);
}

static struct store_model *get(struct room *r, const char *name)
{
    struct store_name n = room_name(name);
    struct store_model *m = NULL;
    struct err e = {0};
    if (store_model_get(r->s, &n, &m, &e))
        fail_msg("%s: %s", name, e.text);
    return m;
}

static size_t n_listed(struct room *r)
{
    struct store_model **all;
    size_t n;
    assert_int_equal(store_model_list(r->s, &all, &n, NULL), 0);
    for (size_t i = 0; i < n; i++)
        store_model_free(all[i]);
    free(all);
    return n;
}

static int create(struct room *r, const struct store_create *c, struct said *said, struct err *e)
{
    memset(said, 0, sizeof *said);
    return store_model_create(r->s, c, on_status, said, e);
}

static int delete(struct room *r, const char *name, struct err *e)
{
    struct store_name n = room_name(name);
    return store_model_delete(r->s, &n, e);
}

static void a_gguf_becomes_a_model_with_the_exact_files(void **state)
{
    (void)state;
    struct room r = room_new();
    const struct digest g = room_gguf(&r, "llama", 16);
    const struct store_create c = {.name = room_name("smol"), .files = &g, .n_files = 1,
                                   .template_text = "<{{ .Prompt }}&", .system = "Be terse."};
    struct said said;
    struct err e = {0};
    char hex[DIGEST_TEXT], want[3000];
    if (create(&r, &c, &said, &e))
        fail_msg("%s", e.text);
    digest_text(&g, hex);
    snprintf(want, sizeof want,
             "parsing GGUF\nverifying conversion\nusing existing layer %s\n"
             "creating new layer sha256:", hex);
    assert_int_equal(strncmp(said.text, want, strlen(want)), 0);
    const char *tail = "\nwriting manifest\nsuccess\n";
    assert_string_equal(said.text + strlen(said.text) - strlen(tail), tail);

    size_t n;
    char *manifest = room_read(&r, PLACE "smol/latest", &n);
    assert_non_null(manifest);
    struct store_model *m = get(&r, "smol");
    char config[DIGEST_TEXT], tpl[DIGEST_TEXT], sys[DIGEST_TEXT];
    digest_text(&m->config_digest, config);
    assert_int_equal(m->n_layers, 3);
    digest_text(&m->layers[1].digest, tpl);
    digest_text(&m->layers[2].digest, sys);
    char path[200];
    snprintf(path, sizeof path, "blobs/sha256-%s", config + 7);
    size_t n_config;
    char *text = room_read(&r, path, &n_config);
    assert_string_equal(text, "{\"model_format\":\"gguf\",\"model_family\":\"llama\","
                              "\"model_families\":[\"llama\"],\"model_type\":\"1K\","
                              "\"file_type\":\"Q8_0\",\"architecture\":\"amd64\",\"os\":\"linux\"}\n");
    snprintf(want, sizeof want,
             "{\"schemaVersion\":2,\"mediaType\":"
             "\"application/vnd.docker.distribution.manifest.v2+json\",\"config\":{\"mediaType\":"
             "\"application/vnd.docker.container.image.v1+json\",\"digest\":\"%s\",\"size\":%zu},"
             "\"layers\":[{\"mediaType\":\"application/vnd.ollama.image.model\",\"digest\":\"%s\","
             "\"size\":%llu},{\"mediaType\":\"application/vnd.ollama.image.template\",\"digest\":"
             "\"%s\",\"size\":15},{\"mediaType\":\"application/vnd.ollama.image.system\",\"digest\":"
             "\"%s\",\"size\":9}]}\n",
             config, n_config, hex, (unsigned long long)m->layers[0].size, tpl, sys);
    assert_string_equal(manifest, want);
    assert_string_equal(m->template_text, "<{{ .Prompt }}&");
    assert_string_equal(m->system, "Be terse.");
    assert_ptr_equal(m->model_layer, &m->layers[0]);
    assert_int_equal(m->n_parts, 1);
    assert_int_equal(m->size, m->layers[0].size + 15 + 9 + n_config);
    struct digest id;
    char id_hex[65];
    assert_int_equal(store_sha256(manifest, n, &id, NULL), 0);
    digest_hex(&id, id_hex);
    assert_string_equal(m->id, id_hex);
    assert_int_equal(room_count(&r, "blobs", ".chaski-"), 0);
    store_model_free(m);
    free(manifest);
    free(text);
    room_free(&r);
}

static void params_are_merged_sorted_and_checked(void **state)
{
    (void)state;
    struct room r = room_new();
    const struct digest g = room_gguf(&r, "llama", 16);
    struct said said;
    struct err e = {0};
    json_t *one = json_pack("{s:s, s:f, s:i, s:n}", "stop", "<end>", "temperature", 0.7, "num_ctx",
                            4096, "seed");
    json_t *two = json_pack("{s:[s,s], s:i, s:i}", "stop", "a", "b&<>", "top_k", 7, "nope", 1);
    json_t *bad = json_pack("{s:s}", "num_ctx", "many");
    struct store_create c = {.name = room_name("one"), .files = &g, .n_files = 1, .params = one};
    assert_int_equal(create(&r, &c, &said, &e), 0);
    const struct store_name base = c.name;
    c = (struct store_create){.name = room_name("two"), .from = &base, .params = two};
    assert_int_equal(create(&r, &c, &said, &e), 0);
    assert_non_null(strstr(said.text, "unknown parameter 'nope'"));
    struct store_model *m = get(&r, "two");
    struct buf b = {0};
    assert_int_equal(store_blob_text(r.s, &m->layers[1].digest, &b, NULL), 0);
    assert_string_equal(b.p, "{\"nope\":1,\"num_ctx\":4096,\"stop\":[\"a\",\"b\\u0026\\u003c\\u003e\"],"
                             "\"temperature\":0.7,\"top_k\":7}\n");
    assert_string_equal(m->layers[0].from, "one:latest");
    assert_int_equal(m->n_layers, 2);
    c.params = bad;
    assert_int_equal(create(&r, &c, &said, &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    assert_string_equal(e.text, "option \"num_ctx\" must be of type integer");
    buf_free(&b);
    store_model_free(m);
    json_decref(one);
    json_decref(two);
    json_decref(bad);
    room_free(&r);
}

static void option_errors_have_the_texts_of_the_api(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"{\"num_ctx\":true}", "option \"num_ctx\" must be of type integer"},
        {"{\"use_mmap\":1}", "option \"use_mmap\" must be of type boolean"},
        {"{\"temperature\":\"hot\"}", "option \"temperature\" must be of type float32"},
        {"{\"stop\":1}", "option \"stop\" must be of type array"},
        {"{\"stop\":[\"a\",1]}", "option \"stop\" must be of an array of strings"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        json_t *v = json_loads(rows[i][0], 0, NULL);
        struct err e = {0};
        assert_null(store_params_check(v, NULL, &e));
        assert_int_equal(e.code, ERR_INPUT);
        assert_string_equal(e.text, rows[i][1]);
        json_decref(v);
    }
    json_t *v = json_loads("{\"num_ctx\":1.5,\"temperature\":1,\"mirostat\":\"x\",\"seed\":null}", 0,
                           NULL);
    json_t *kept = store_params_check(v, NULL, NULL);
    assert_int_equal(json_object_size(kept), 3);
    json_decref(kept);
    json_decref(v);
}

static void messages_and_licences_are_stored(void **state)
{
    (void)state;
    struct room r = room_new();
    const struct digest g = room_gguf(&r, "llama", 16);
    struct said said;
    json_t *messages = json_pack("[{s:s, s:s, s:s}]", "content", "hi", "odd", "x", "role", "user");
    json_t *licenses = json_pack("[s, s, s]", "MIT", "", "MIT");
    struct store_create c = {.name = room_name("m"), .files = &g, .n_files = 1,
                             .messages = messages, .licenses = licenses};
    assert_int_equal(create(&r, &c, &said, NULL), 0);
    struct store_model *m = get(&r, "m");
    struct buf b = {0};
    assert_int_equal(m->n_layers, 3);
    assert_int_equal(json_array_size(m->licenses), 1);
    assert_int_equal(store_blob_text(r.s, &m->layers[2].digest, &b, NULL), 0);
    assert_string_equal(b.p, "[{\"role\":\"user\",\"content\":\"hi\"}]\n");
    buf_free(&b);
    store_model_free(m);
    json_decref(messages);
    json_decref(licenses);
    room_free(&r);
}

static void create_says_what_is_wrong(void **state)
{
    (void)state;
    struct room r = room_new();
    struct said said;
    struct err e = {0};
    struct digest d = room_blob(&r, "ggjt....", 8);
    struct store_create c = {.name = room_name("x")};
    assert_int_equal(create(&r, &c, &said, &e), -1);
    assert_string_equal(e.text, "neither 'from' or 'files' was specified");
    c.files = &d;
    assert_int_equal(create(&r, &c, &said, &e), -1);
    assert_string_equal(e.text, "unknown type");
    c.n_files = 1;
    assert_int_equal(create(&r, &c, &said, &e), -1);
    assert_string_equal(e.text, "supplied file was not in GGUF format");
    assert_int_equal(e.code, ERR_INPUT);
    d = room_blob(&r, "GGUF\3\0\0\0", 8);
    assert_int_equal(create(&r, &c, &said, &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    d.sha256[0] ^= 1;
    assert_int_equal(create(&r, &c, &said, &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    assert_non_null(strstr(e.text, "blob \"sha256:"));
    assert_non_null(strstr(e.text, "\" not found"));
    const struct store_name missing = room_name("none");
    c = (struct store_create){.name = room_name("x"), .from = &missing};
    assert_int_equal(create(&r, &c, &said, &e), -1);
    assert_int_equal(e.code, ERR_NOT_FOUND);
    assert_string_equal(e.text, "model 'none:latest' not found");
    assert_int_equal(n_listed(&r), 0);
    room_free(&r);
}

static void parts_of_a_split_gguf_are_layers_in_order(void **state)
{
    (void)state;
    struct room r = room_new();
    struct digest parts[3];
    struct said said;
    struct err e = {0};
    for (uint16_t i = 0; i < 3; i++)
        parts[i] = room_gguf_part(&r, i, 3);
    struct store_create c = {.name = room_name("split"), .files = parts, .n_files = 3};
    if (create(&r, &c, &said, &e))
        fail_msg("%s", e.text);
    struct store_model *m = get(&r, "split");
    assert_int_equal(m->n_parts, 3);
    assert_true(digest_equal(&m->model_layer->digest, &parts[0]));
    struct gguf *g = store_model_gguf(r.s, m, &e);
    if (!g)
        fail_msg("%s", e.text);
    assert_int_equal(gguf_n_tensors(g), 3);
    assert_int_equal(json_array_size(json_object_get(m->config, "model_families")), 1);
    assert_string_equal(json_string_value(json_object_get(m->config, "model_type")), "192");
    gguf_close(g);
    store_model_free(m);
    c.n_files = 2;
    assert_int_equal(create(&r, &c, &said, &e), -1);
    c.n_files = 1;
    assert_int_equal(create(&r, &c, &said, &e), -1);
    room_free(&r);
}

static void a_projector_and_an_adapter_are_told_apart(void **state)
{
    (void)state;
    struct room r = room_new();
    const struct digest files[3] = {
        room_gguf_with(&r, "clip", 2, "general.type", "mmproj"), room_gguf(&r, "gemma3", 16),
        room_gguf_with(&r, "gemma3", 3, "general.type", "adapter")};
    const struct digest two[2] = {files[2], room_gguf_with(&r, "llama", 4, "general.type", "adapter")};
    struct said said;
    struct err e = {0};
    struct store_create c = {.name = room_name("vision"), .files = files, .n_files = 3};
    if (create(&r, &c, &said, &e))
        fail_msg("%s", e.text);
    struct store_model *m = get(&r, "vision");
    assert_string_equal(m->layers[0].media_type, MEDIA_IMAGE "projector");
    assert_string_equal(m->layers[1].media_type, MEDIA_IMAGE "model");
    assert_string_equal(m->layers[2].media_type, MEDIA_IMAGE "adapter");
    assert_string_equal(json_string_value(json_object_get(m->config, "model_family")), "gemma3");
    store_model_free(m);
    c.files = two;
    c.n_files = 2;
    assert_int_equal(create(&r, &c, &said, &e), -1);
    assert_string_equal(e.text, "only one adapter is currently supported");
    room_free(&r);
}

static void names_are_found_without_case(void **state)
{
    (void)state;
    struct room r = room_new();
    room_create(&r, "Smol:Q8", room_gguf(&r, "llama", 16));
    struct store_model *m = get(&r, "sMOL:q8");
    assert_string_equal(m->name.model, "Smol");
    store_model_free(m);
    room_create(&r, "smol:q8", room_gguf(&r, "llama", 17)); /* takes the place of Smol:Q8 */
    assert_int_equal(n_listed(&r), 1);
    assert_int_equal(room_count(&r, PLACE "Smol", ""), 1);
    assert_int_equal(room_count(&r, PLACE, ""), 1);
    room_free(&r);
}

static void replacing_a_model_drops_only_what_nobody_names(void **state)
{
    (void)state;
    struct room r = room_new();
    const struct digest a = room_gguf(&r, "llama", 16), b = room_gguf(&r, "llama", 17);
    room_create(&r, "x", a);
    room_create(&r, "y", a);
    room_create(&r, "x", b);
    assert_true(room_has_blob(&r, &a)); /* y has it */
    room_create(&r, "y", b);
    assert_false(room_has_blob(&r, &a));
    assert_true(room_has_blob(&r, &b));
    assert_int_equal(room_count(&r, "blobs", ""), 2); /* b and the one config of both */
    room_free(&r);
}

static void nothing_is_dropped_when_the_owner_says_so(void **state)
{
    (void)state;
    struct room r = room_new();
    const struct digest a = room_gguf(&r, "llama", 16);
    store_keep_unused(r.s, true);
    room_create(&r, "x", a);
    assert_int_equal(delete(&r, "x", NULL), 0);
    assert_true(room_has_blob(&r, &a));
    room_free(&r);
}

static void delete_keeps_shared_blobs_and_drops_empty_folders(void **state)
{
    (void)state;
    struct room r = room_new();
    const struct digest a = room_gguf(&r, "llama", 16);
    struct err e = {0};
    room_create(&r, "x", a);
    room_create(&r, "me/y", a);
    assert_int_equal(delete(&r, "X", NULL), 0);
    assert_true(room_has_blob(&r, &a));
    assert_int_equal(room_count(&r, "manifests/registry.ollama.ai", ""), 1);
    assert_int_equal(delete(&r, "me/y", NULL), 0);
    assert_int_equal(room_count(&r, "blobs", ""), 0);
    assert_int_equal(room_count(&r, "manifests", ""), 0);
    assert_int_equal(delete(&r, "x", &e), -1);
    assert_int_equal(e.code, ERR_NOT_FOUND);
    assert_string_equal(e.text, "model 'x:latest' not found");
    room_create(&r, "x", room_gguf(&r, "llama", 16)); /* and it can begin again */
    room_free(&r);
}

static void a_copy_shares_blobs_and_has_the_same_id(void **state)
{
    (void)state;
    struct room r = room_new();
    const struct digest a = room_gguf(&r, "llama", 16);
    const struct store_name x = room_name("x"), y = room_name("y"), z = room_name("z");
    struct err e = {0};
    room_create(&r, "x", a);
    assert_int_equal(store_model_copy(r.s, &x, &y, NULL), 0);
    assert_int_equal(store_model_copy(r.s, &x, &x, NULL), 0);
    struct store_model *mx = get(&r, "x"), *my = get(&r, "y");
    assert_string_equal(mx->id, my->id);
    assert_int_equal(delete(&r, "x", NULL), 0);
    assert_true(room_has_blob(&r, &a));
    assert_int_equal(store_model_copy(r.s, &z, &y, &e), -1);
    assert_string_equal(e.text, "model \"z:latest\" not found");
    store_model_free(mx);
    store_model_free(my);
    room_free(&r);
}

static void the_list_is_newest_first_then_by_name(void **state)
{
    (void)state;
    struct room r = room_new();
    const struct digest a = room_gguf(&r, "llama", 16);
    struct store_model **all;
    size_t n;
    room_create(&r, "b", a);
    room_create(&r, "a", a);
    room_create(&r, "new", a);
    room_age(&r, PLACE "a/latest", 100);
    room_age(&r, PLACE "b/latest", 100);
    assert_int_equal(store_model_list(r.s, &all, &n, NULL), 0);
    assert_int_equal(n, 3);
    assert_string_equal(all[0]->name.model, "new");
    assert_string_equal(all[1]->name.model, "a");
    assert_string_equal(all[2]->name.model, "b");
    for (size_t i = 0; i < n; i++)
        store_model_free(all[i]);
    free(all);
    room_free(&r);
}

static void broken_manifests_are_left_out_and_stop_the_removal_of_blobs(void **state)
{
    (void)state;
    static const char *const broken[] = {
        "", "{", "[]", "{}", "{\"layers\":7}", "{\"layers\":[7]}",
        "{\"layers\":[{\"mediaType\":\"x\",\"digest\":\"sha256:../../x\",\"size\":1}]}",
        "{\"layers\":[{\"mediaType\":\"x\",\"digest\":\"sha256:"
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\",\"size\":-1}]}",
        "{\"layers\":[],\"config\":{\"digest\":\"nope\",\"size\":1}}",
    };
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        struct room r = room_new();
        const struct digest a = room_gguf(&r, "llama", 16);
        struct store_name bad = room_name("bad");
        struct store_model *m;
        room_create(&r, "good", a);
        room_write(&r, PLACE "bad/latest", broken[i], strlen(broken[i]));
        assert_int_equal(n_listed(&r), 1);
        assert_int_equal(store_model_get(r.s, &bad, &m, NULL), -1);
        assert_int_equal(delete(&r, "good", NULL), 0);
        assert_true(room_has_blob(&r, &a)); /* the broken one might name it */
        assert_int_equal(delete(&r, "bad", NULL), 0);
        assert_int_equal(n_listed(&r), 0);
        room_free(&r);
    }
}

static void strange_things_below_manifests_do_no_harm(void **state)
{
    (void)state;
    struct room r = room_new();
    char path[400];
    room_create(&r, "good", room_gguf(&r, "llama", 16));
    room_write(&r, "manifests/README", "x", 1);
    room_write(&r, "manifests/h/n/m/.DS_Store", "x", 1);
    room_write(&r, "manifests/h/n/m/sp ace", "x", 1);
    room_write(&r, "manifests/h/n/m/deeper/file", "x", 1);
    snprintf(path, sizeof path, "%s/manifests/loop", r.root);
    assert_int_equal(symlink("..", path), 0);
    snprintf(path, sizeof path, "%s/" PLACE "link", r.root);
    assert_int_equal(symlink("good", path), 0);
    assert_int_equal(n_listed(&r), 1);
    const struct store_name n = room_name("link");
    struct store_model *m;
    assert_int_equal(store_model_get(r.s, &n, &m, NULL), -1);
    room_free(&r);
}

static void a_manifest_without_config_is_allowed(void **state)
{
    (void)state;
    struct room r = room_new();
    const struct digest a = room_gguf(&r, "llama", 16);
    char hex[DIGEST_TEXT], text[500];
    uint64_t size;
    struct err e = {0};
    digest_text(&a, hex);
    assert_int_equal(store_blob_stat(r.s, &a, &size, NULL), 1);
    snprintf(text, sizeof text,
             "{\"schemaVersion\":2,\"config\":{\"digest\":\"\"},\"layers\":[{\"mediaType\":"
             "\"application/vnd.ollama.image.model\",\"digest\":\"%s\",\"size\":%llu}]}",
             hex, (unsigned long long)size);
    const struct store_name n = room_name("hf.co/u/repo:Q8_0");
    assert_int_equal(store_manifest_put(r.s, &n, text, strlen(text), &e), 0);
    struct store_model *m = get(&r, "hf.co/u/repo:q8_0");
    json_t *d = store_model_details(r.s, m, true, &e);
    char *dump = json_dumps(d, JSON_COMPACT);
    assert_string_equal(dump, "{\"parent_model\":\"\",\"format\":\"gguf\",\"family\":\"llama\","
                              "\"families\":[\"llama\"],\"parameter_size\":\"1K\","
                              "\"quantization_level\":\"Q8_0\",\"context_length\":2048,"
                              "\"embedding_length\":64}");
    free(dump);
    json_decref(d);
    store_model_free(m);
    room_free(&r);
}

static void a_manifest_never_comes_before_its_blobs(void **state)
{
    (void)state;
    struct room r = room_new();
    const char *text = "{\"layers\":[{\"mediaType\":\"x\",\"digest\":\"sha256:ba7816bf8f01cfea414140"
                       "de5dae2223b00361a396177a9cb410ff61f20015ad\",\"size\":3}]}";
    const struct store_name n = room_name("x");
    struct err e = {0};
    assert_int_equal(store_manifest_put(r.s, &n, text, strlen(text), &e), -1);
    assert_int_equal(room_count(&r, "manifests", ""), 0);
    room_free(&r);
}

static void tensor_layer_models_are_listed_and_refused(void **state)
{
    (void)state;
    struct room r = room_new();
    const struct digest c = room_blob(&r, "{\"model_format\":\"safetensors\"}", 30);
    char hex[DIGEST_TEXT], text[400];
    struct err e = {0};
    digest_text(&c, hex);
    snprintf(text, sizeof text,
             "{\"config\":{\"mediaType\":\"c\",\"digest\":\"%s\",\"size\":30},\"layers\":[]}", hex);
    const struct store_name n = room_name("mlx");
    assert_int_equal(store_manifest_put(r.s, &n, text, strlen(text), &e), 0);
    assert_int_equal(n_listed(&r), 1);
    struct store_model *m = get(&r, "mlx");
    assert_null(store_model_gguf(r.s, m, &e));
    assert_int_equal(e.code, ERR_UNSUPPORTED);
    store_model_free(m);
    room_free(&r);
}

static void a_blob_of_the_wrong_size_is_damaged(void **state)
{
    (void)state;
    struct room r = room_new();
    const struct digest a = room_gguf(&r, "llama", 16);
    char file[BLOB_FILE], path[100];
    struct err e = {0};
    room_create(&r, "x", a);
    store_blob_file(&a, file);
    snprintf(path, sizeof path, "blobs/%s", file);
    room_write(&r, path, "GGUF", 4);
    struct store_model *m = get(&r, "x");
    assert_null(store_model_gguf(r.s, m, &e));
    assert_non_null(strstr(e.text, "is damaged"));
    store_model_free(m);
    room_free(&r);
}

static void prune_takes_old_unused_blobs_only(void **state)
{
    (void)state;
    struct room r = room_new();
    const struct digest used = room_gguf(&r, "llama", 16), old = room_blob(&r, "old", 3),
                        young = room_blob(&r, "young", 5);
    char file[BLOB_FILE], path[100];
    uint64_t files, bytes;
    struct err e = {0};
    room_create(&r, "x", used);
    const struct digest both[2] = {used, old};
    for (int i = 0; i < 2; i++) {
        store_blob_file(&both[i], file);
        snprintf(path, sizeof path, "blobs/%s", file);
        room_age(&r, path, 4000);
    }
    assert_int_equal(store_prune(r.s, 3600, &files, &bytes, &e), 0);
    assert_int_equal(files, 1);
    assert_int_equal(bytes, 3);
    assert_true(room_has_blob(&r, &used));
    assert_true(room_has_blob(&r, &young));
    assert_false(room_has_blob(&r, &old));
    room_write(&r, PLACE "bad/latest", "{", 1);
    assert_int_equal(store_prune(r.s, 0, &files, &bytes, &e), -1);
    assert_true(room_has_blob(&r, &young));
    room_free(&r);
}

/* Four threads make and delete models of the same GGUF: at the end every manifest has its blobs. */
struct busy {
    struct room *r;
    struct digest g;
    int seed, failures;
};

static void *make_and_delete(void *arg)
{
    struct busy *b = arg;
    static const char *const names[] = {"a", "b", "A"};
    for (int i = 0; i < 30; i++) {
        const char *text = names[(i * 7 + b->seed) % 3];
        struct store_name n;
        struct err e = {0};
        char system[32];
        snprintf(system, sizeof system, "%d", i % 4);
        if (store_name_parse(text, strlen(text), &n, NULL))
            b->failures++;
        const struct store_create c = {.name = n, .files = &b->g, .n_files = 1, .system = system};
        if ((i + b->seed) % 3 == 0)
            (void)store_model_delete(b->r->s, &n, &e);
        else if (store_model_create(b->r->s, &c, NULL, NULL, &e))
            b->failures++;
        /* A reader meets whole models or none, whatever the others do. */
        struct store_model *m = NULL;
        if (store_model_get(b->r->s, &n, &m, &e) && e.code != ERR_NOT_FOUND)
            b->failures++;
        store_model_free(m);
        struct store_model **all;
        size_t n_all;
        if (store_model_list(b->r->s, &all, &n_all, &e)) {
            b->failures++;
            continue;
        }
        for (size_t k = 0; k < n_all; k++)
            store_model_free(all[k]);
        free(all);
    }
    return NULL;
}

static void threads_never_leave_a_manifest_without_blobs(void **state)
{
    (void)state;
    struct room r = room_new();
    const struct digest g = room_gguf(&r, "llama", 16);
    struct busy b[4];
    pthread_t t[4];
    room_create(&r, "keep", g); /* holds the GGUF: it is only uploaded once */
    for (int i = 0; i < 4; i++) {
        b[i] = (struct busy){&r, g, i, 0};
        assert_int_equal(pthread_create(&t[i], NULL, make_and_delete, &b[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(t[i], NULL);
        assert_int_equal(b[i].failures, 0);
    }
    struct store_model **all;
    size_t n;
    assert_int_equal(store_model_list(r.s, &all, &n, NULL), 0);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < all[i]->n_layers; k++)
            assert_true(room_has_blob(&r, &all[i]->layers[k].digest));
        store_model_free(all[i]);
    }
    free(all);
    assert_int_equal(room_count(&r, "blobs", ".chaski-"), 0);
    room_free(&r);
}

static void counts_read_as_people_write_them(void **state)
{
    (void)state;
    static const struct {
        uint64_t n;
        const char *text;
    } rows[] = {{0, "0"},          {999, "999"},          {1000, "1K"},
                {1536, "2K"},      {999999, "1000K"},     {1000000, "1M"},
                {134515008, "134.52M"}, {1000000000, "1B"}, {7615616512, "7.6B"},
                {3212749888, "3.2B"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[24];
        store_human_count(rows[i].n, text);
        assert_string_equal(text, rows[i].text);
    }
}

int main(void)
{
    log_set_level(LOG_ERROR); /* broken manifests are logged on purpose */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_gguf_becomes_a_model_with_the_exact_files),
        cmocka_unit_test(params_are_merged_sorted_and_checked),
        cmocka_unit_test(option_errors_have_the_texts_of_the_api),
        cmocka_unit_test(messages_and_licences_are_stored),
        cmocka_unit_test(create_says_what_is_wrong),
        cmocka_unit_test(parts_of_a_split_gguf_are_layers_in_order),
        cmocka_unit_test(a_projector_and_an_adapter_are_told_apart),
        cmocka_unit_test(names_are_found_without_case),
        cmocka_unit_test(replacing_a_model_drops_only_what_nobody_names),
        cmocka_unit_test(nothing_is_dropped_when_the_owner_says_so),
        cmocka_unit_test(delete_keeps_shared_blobs_and_drops_empty_folders),
        cmocka_unit_test(a_copy_shares_blobs_and_has_the_same_id),
        cmocka_unit_test(the_list_is_newest_first_then_by_name),
        cmocka_unit_test(broken_manifests_are_left_out_and_stop_the_removal_of_blobs),
        cmocka_unit_test(strange_things_below_manifests_do_no_harm),
        cmocka_unit_test(a_manifest_without_config_is_allowed),
        cmocka_unit_test(a_manifest_never_comes_before_its_blobs),
        cmocka_unit_test(tensor_layer_models_are_listed_and_refused),
        cmocka_unit_test(a_blob_of_the_wrong_size_is_damaged),
        cmocka_unit_test(prune_takes_old_unused_blobs_only),
        cmocka_unit_test(threads_never_leave_a_manifest_without_blobs),
        cmocka_unit_test(counts_read_as_people_write_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
