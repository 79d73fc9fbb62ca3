/* SPDX-License-Identifier: Apache-2.0 */
/* Saved models: what is opened again gives the same bits, however it is opened, and is saved to the same bytes; a file
 * of each version goes on loading; nothing leaks, whatever fails. Graphs that are wrong are in test_graph_read.c. */
#define _POSIX_C_SOURCE 200809L /* popen */
#include "temp_folder.h"

#include "model.h"
#include "tiny_file.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void expect_same_files(const char *a, const char *b)
{
    struct bytes x = read_file(a), y = read_file(b);
    assert_int_equal(x.size, y.size);
    assert_memory_equal(x.data, y.data, x.size);
    free(x.data);
    free(y.data);
}

/* Files of the test's folder. */
static int file_count(void)
{
    char command[sizeof temp_folder + 32];
    int n = -1;
    snprintf(command, sizeof command, "ls -A %s | wc -l", temp_folder);
    FILE *p = popen(command, "r");
    assert_non_null(p);
    assert_int_equal(fscanf(p, "%d", &n), 1);
    pclose(p);
    return n;
}

/* ---- Every golden case ---- */

/* Everything that one image gives. */
struct answers {
    size_t count, bytes[64];
    void *data[64];
};

/* All outputs that the graph has. */
static struct answers run(const vitrt_model *m, const vitrt_image *image, uint32_t height, uint32_t width)
{
    struct answers a = { .count = m->graph.output_count };
    const char *names[64];
    vitrt_output outputs[64] = { { 0 } };
    vitrt_session *s;
    vitrt_error err;
    assert_true(a.count && a.count <= 64);
    for (size_t i = 0; i < a.count; i++)
        names[i] = m->graph.outputs[i].name;
    const vitrt_session_options options = {
        .threads = 1, .height = height, .width = width, .outputs = names, .output_count = a.count
    };
    assert_ok(vitrt_session_create(m, &options, &s, &err), &err);
    assert_ok(vitrt_run(s, image, 1, outputs, &err), &err);
    for (size_t i = 0; i < a.count; i++) {
        a.bytes[i] = outputs[i].offsets[1] * outputs[i].columns * sizeof(float);
        a.data[i] = malloc(a.bytes[i] + 1);
        memcpy(a.data[i], outputs[i].data, a.bytes[i]);
    }
    vitrt_session_free(s);
    return a;
}

static void free_answers(struct answers *a)
{
    for (size_t i = 0; i < a->count; i++)
        free(a->data[i]);
}

static void expect_same_info(const vitrt_model *a, const vitrt_model *b)
{
    vitrt_model_info x, y;
    assert_int_equal(vitrt_model_get_info(a, &x), VITRT_OK);
    assert_int_equal(vitrt_model_get_info(b, &y), VITRT_OK);
    assert_string_equal(x.family, y.family);
    assert_string_equal(x.architecture, y.architecture);
    assert_int_equal(x.height, y.height);
    assert_int_equal(x.width, y.width);
    assert_int_equal(x.blocks, y.blocks);
    assert_int_equal(x.dim, y.dim);
    assert_int_equal(x.classes, y.classes);
    assert_memory_equal(x.size_multiple, y.size_multiple, sizeof x.size_multiple);
    for (uint32_t i = 0; i < x.classes; i++) {
        const char *label = vitrt_model_label(a, i);
        assert_true(!label == !vitrt_model_label(b, i));
        if (label)
            assert_string_equal(label, vitrt_model_label(b, i));
    }
}

/* A model opened again: the same answers, and saved again the same file. Frees it. */
static void expect_same(const vitrt_model *m, vitrt_model *again, const char *name, const vitrt_image *image)
{
    uint32_t height, width;
    vitrt_error err;
    golden_size(name, &height, &width);
    expect_same_info(m, again);
    struct answers a = run(m, image, height, width), b = run(again, image, height, width);
    assert_int_equal(a.count, b.count);
    for (size_t i = 0; i < a.count; i++) {
        assert_int_equal(a.bytes[i], b.bytes[i]);
        if (memcmp(a.data[i], b.data[i], a.bytes[i]))
            fail_msg("%s: output %s has other bits", name, m->graph.outputs[i].name);
    }
    assert_ok(vitrt_model_save(again, in_folder("again.safetensors"), &err), &err);
    expect_same_files(in_folder("saved.safetensors"), in_folder("again.safetensors"));
    free_answers(&a);
    free_answers(&b);
    vitrt_model_free(again);
}

static int cases;

static void check_case(const char *name)
{
    vitrt_model *m, *again;
    vitrt_error err;
    const vitrt_model_options mapped = { .flags = VITRT_MODEL_MAP_FILES };
    assert_ok(vitrt_model_open(golden_path(name, ""), NULL, &m, &err), &err);
    vitrt_image image = golden_image(name, 0);
    assert_ok(vitrt_model_save(m, in_folder("saved.safetensors"), &err), &err);
    assert_ok(vitrt_model_open(in_folder("saved.safetensors"), NULL, &again, &err), &err);
    expect_same(m, again, name, &image);
    assert_ok(vitrt_model_open(in_folder("saved.safetensors"), &mapped, &again, &err), &err);
    expect_same(m, again, name, &image);
    struct bytes b = read_file(in_folder("saved.safetensors"));
    const vitrt_buffer buffer = { "anything", b.data, b.size };
    assert_ok(vitrt_model_open_memory(&buffer, 1, NULL, &again, &err), &err);
    expect_same(m, again, name, &image);
    free(b.data);
    vitrt_image_free(&image);
    vitrt_model_free(m);
    cases++;
}

static void test_golden_cases(void **state)
{
    (void)state;
    for_each_golden(check_case);
    assert_true(cases > 50);
    print_message("%d cases saved\n", cases);
}

/* ---- Small models ---- */

static struct bytes tiny(const char *name, const char *preprocessor)
{
    char path[64];
    snprintf(path, sizeof path, "fuzz/corpus_graph/%s.json", name);
    struct bytes text = read_file(path), b;
    b.data = (char *)tiny_file(text.data, text.size, preprocessor, &b.size);
    assert_non_null(b.data);
    free(text.data);
    return b;
}

static vitrt_model *open_tiny(const char *name, const vitrt_model_options *options)
{
    struct bytes b = tiny(name, NULL);
    vitrt_model_options o = options ? *options : (vitrt_model_options){ 0 };
    const vitrt_buffer buffer = { "tiny.safetensors", b.data, b.size };
    vitrt_model *m;
    vitrt_error err;
    o.flags |= VITRT_MODEL_COPY_BUFFERS;
    assert_ok(vitrt_model_open_memory(&buffer, 1, &o, &m, &err), &err);
    free(b.data);
    return m;
}

static struct answers run_tiny(const vitrt_model *m)
{
    static float pixels[8 * 8 * 3];
    for (size_t i = 0; i < sizeof pixels / sizeof *pixels; i++)
        pixels[i] = (float)(i % 23) / 16 - 0.5f;
    const vitrt_image image = { .data = pixels, .width = 8, .height = 8, .format = VITRT_FORMAT_F32 };
    return run(m, &image, 8, 8);
}

/* wanted need not be aligned. The bound is relative to the largest value. */
static void expect_close(const char *name, const float *found, const void *wanted, size_t n, double bound)
{
    double largest = 0, worst = 0;
    for (size_t i = 0; i < n; i++) {
        float w;
        memcpy(&w, (const char *)wanted + i * sizeof w, sizeof w);
        largest = fmax(largest, fabs((double)w));
        const double difference = fabs((double)found[i] - (double)w);
        worst = difference > worst || isnan(difference) ? difference : worst;
    }
    if (!(worst <= bound * largest))
        fail_msg("output %s is off by %g, the largest value being %g", name, worst, largest);
}

/* ---- Files of each version ---- */

static const char *const stored[] = { "1_vit", "1_windows", "1_conv", "2_quantized", "3_tokens" };

static const char *stored_path(const char *name, const char *suffix)
{
    static char paths[4][64];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "data/graphs/%s%s", name, suffix);
    return path;
}

/* Made once for each version, by "test_graph_file store" in the folder tests; what is there stays. */
static void store(void)
{
    for (size_t i = 0; i < sizeof stored / sizeof *stored; i++) {
        vitrt_error err;
        FILE *f = fopen(stored_path(stored[i], ".expected"), "wbx");
        if (!f)
            continue;
        vitrt_model *m = open_tiny(strchr(stored[i], '_') + 1, NULL);
        struct answers a = run_tiny(m);
        for (size_t k = 0; k < a.count; k++)
            assert_int_equal(fwrite(a.data[k], 1, a.bytes[k], f), a.bytes[k]);
        assert_int_equal(fclose(f), 0);
        assert_ok(vitrt_model_save(m, stored_path(stored[i], ".safetensors"), &err), &err);
        free_answers(&a);
        vitrt_model_free(m);
    }
}

/* Answers may change a little, where kernels do; bits are compared elsewhere. */
static void test_stored_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof stored / sizeof *stored; i++) {
        vitrt_model *m;
        vitrt_error err;
        assert_ok(vitrt_model_open(stored_path(stored[i], ".safetensors"), NULL, &m, &err), &err);
        struct answers a = run_tiny(m);
        struct bytes b = read_file(stored_path(stored[i], ".expected"));
        size_t at = 0;
        for (size_t k = 0; k < a.count; at += a.bytes[k++]) {
            assert_true(at + a.bytes[k] <= b.size);
            expect_close(m->graph.outputs[k].name, a.data[k], b.data + at, a.bytes[k] / sizeof(float), 1e-5);
        }
        assert_int_equal(at, b.size);
        free(b.data);
        free_answers(&a);
        vitrt_model_free(m);
    }
}

/* ---- Where files are and what can be in the way ---- */

static void expect_failure(vitrt_status found, const vitrt_error *err, vitrt_status status, const char *part)
{
    if (!strstr(err->message, part))
        fail_msg("\"%s\" does not say \"%s\"", err->message, part);
    assert_int_equal(found, status);
}

static void test_places(void **state)
{
    vitrt_model *m = open_tiny("vit", NULL), *again = NULL;
    vitrt_error err = { 0 };
    (void)state;
    assert_int_equal(vitrt_model_save(NULL, "x", &err), VITRT_EINVAL);
    assert_int_equal(vitrt_model_save(m, NULL, &err), VITRT_EINVAL);
    assert_int_equal(vitrt_model_save(m, "", NULL), VITRT_EINVAL);
    expect_failure(vitrt_model_save(m, in_folder("no/model"), &err), &err, VITRT_EIO,
                   "no/model: cannot be written: No such file or directory");
    assert_int_equal(mkdir(in_folder("full"), 0777), 0);
    write_file(in_folder("full/file"), "", 0);
    expect_failure(vitrt_model_save(m, in_folder("full"), &err), &err, VITRT_EIO, "full: cannot be written: ");
    assert_int_equal(file_count(), 1);

    /* a folder without config.json */
    assert_ok(vitrt_model_save(m, in_folder("full/model.safetensors"), &err), &err);
    assert_ok(vitrt_model_open(in_folder("full"), NULL, &again, &err), &err);
    vitrt_model_free(again);
    /* with one it is a published checkpoint again */
    write_file(in_folder("full/config.json"), "{}", 2);
    expect_failure(vitrt_model_open(in_folder("full"), NULL, &again, &err), &err, VITRT_EFORMAT, "model_type");
    vitrt_model_free(m);
}

static void test_saves_over_its_own_file(void **state)
{
    (void)state;
    for (int mapped = 0; mapped < 2; mapped++) {
        const vitrt_model_options options = { .flags = mapped ? VITRT_MODEL_MAP_FILES : 0 };
        vitrt_model *m = open_tiny("windows", NULL), *again;
        vitrt_error err;
        struct answers a = run_tiny(m);
        assert_ok(vitrt_model_save(m, in_folder("a"), &err), &err);
        assert_ok(vitrt_model_save(m, in_folder("b"), &err), &err);
        vitrt_model_free(m);
        assert_ok(vitrt_model_open(in_folder("a"), &options, &m, &err), &err);
        assert_ok(vitrt_model_save(m, in_folder("a"), &err), &err);
        expect_same_files(in_folder("a"), in_folder("b"));
        assert_ok(vitrt_model_open(in_folder("a"), &options, &again, &err), &err);
        struct answers b = run_tiny(m), c = run_tiny(again); /* m still reads the file that is no more */
        for (size_t i = 0; i < a.count; i++) {
            assert_memory_equal(a.data[i], b.data[i], a.bytes[i]);
            assert_memory_equal(a.data[i], c.data[i], a.bytes[i]);
        }
        free_answers(&a);
        free_answers(&b);
        free_answers(&c);
        vitrt_model_free(again);
        vitrt_model_free(m);
        assert_int_equal(file_count(), 2);
    }
}

struct saves {
    const vitrt_model *model;
    const char *path;
};

static void *save_often(void *arg)
{
    const struct saves *saves = arg;
    for (int i = 0; i < 10; i++) {
        vitrt_error err;
        assert_ok(vitrt_model_save(saves->model, saves->path, &err), &err);
    }
    return NULL;
}

static void test_threads_save_to_one_path(void **state)
{
    pthread_t threads[3];
    vitrt_model *m = open_tiny("vit", NULL);
    struct saves saves = { m, in_folder("many") };
    vitrt_error err;
    (void)state;
    assert_ok(vitrt_model_save(m, in_folder("one"), &err), &err);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, save_often, &saves), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    expect_same_files(in_folder("one"), in_folder("many"));
    assert_int_equal(file_count(), 2);
    vitrt_model_free(m);
}

/* ---- What is in the file ---- */

/* Older libraries can read what they know. */
static void test_lowest_version(void **state)
{
    static const struct {
        const char *name;
        char version;
    } models[] = { { "vit", '1' }, { "windows", '1' }, { "conv", '1' }, { "quantized", '2' }, { "tokens", '3' } };
    (void)state;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        char wanted[] = "\"{\\\"version\\\":N,";
        vitrt_model *m = open_tiny(models[i].name, NULL);
        vitrt_error err;
        assert_ok(vitrt_model_save(m, in_folder("versions"), &err), &err);
        struct bytes b = read_file(in_folder("versions"));
        b.data[b.size] = 0;
        *strchr(wanted, 'N') = models[i].version;
        assert_non_null(strstr(b.data + 8, wanted));
        free(b.data);
        vitrt_model_free(m);
    }
}

/* What is written is read as what it was, and written alike. */
static void test_token_nodes(void **state)
{
    static const char *const names[] = { "tokens", "tokens_codes", "tokens_few", "tokens_halting" };
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        vitrt_model *m = open_tiny(names[i], NULL), *again;
        vitrt_error err;
        assert_ok(vitrt_model_save(m, in_folder("once"), &err), &err);
        assert_ok(vitrt_model_open(in_folder("once"), NULL, &again, &err), &err);
        assert_ok(vitrt_model_save(again, in_folder("twice"), &err), &err);
        expect_same_files(in_folder("once"), in_folder("twice"));
        assert_int_equal(m->graph.node_count, again->graph.node_count);
        for (size_t v = 0; v < m->graph.node_count; v++)
            assert_memory_equal(&m->graph.nodes[v].u, &again->graph.nodes[v].u, sizeof m->graph.nodes[v].u);
        struct answers a = run_tiny(m), b = run_tiny(again);
        for (size_t k = 0; k < a.count; k++) {
            assert_int_equal(a.bytes[k], b.bytes[k]);
            assert_memory_equal(a.data[k], b.data[k], a.bytes[k]);
        }
        free_answers(&a);
        free_answers(&b);
        vitrt_model_free(again);
        vitrt_model_free(m);
    }
}

/* Data at multiples of 64 bytes; the same file whatever the locale's decimal point is. */
static void test_bytes(void **state)
{
    vitrt_model *m = open_tiny("vit", NULL);
    vitrt_error err;
    struct vt_source source;
    struct vt_tensor_list tensors = { 0 };
    (void)state;
    assert_ok(vitrt_model_save(m, in_folder("dot"), &err), &err);
    if (use_comma_locale()) {
        vitrt_model *again;
        assert_ok(vitrt_model_save(m, in_folder("comma"), &err), &err);
        expect_same_files(in_folder("dot"), in_folder("comma"));
        assert_ok(vitrt_model_open(in_folder("comma"), NULL, &again, &err), &err);
        assert_ok(vitrt_model_save(again, in_folder("comma"), &err), &err);
        expect_same_files(in_folder("dot"), in_folder("comma"));
        vitrt_model_free(again);
        setlocale(LC_ALL, "C");
    }
    const struct vt_origin origin = { .path = temp_folder };
    assert_ok(vt_source_open(&vt_default_allocator, &origin, "dot", 0, &source, &err), &err);
    assert_ok(vt_safetensors_read(&vt_default_allocator, &source, 0, &tensors, &err), &err);
    assert_true(tensors.count > 20);
    for (size_t i = 0; i < tensors.count; i++)
        if (strncmp(tensors.items[i].name, VT_PADDING_PREFIX, strlen(VT_PADDING_PREFIX)))
            assert_int_equal(tensors.items[i].offset % 64, 0);
    vt_tensor_list_free(&vt_default_allocator, &tensors);
    vt_source_close(&vt_default_allocator, &source);
    vitrt_model_free(m);
}

/* Texts that are not UTF-8, or need escapes, and a preprocessing without a config. */
static void test_documents(void **state)
{
    static const char preprocessor[] =
        "{\"image_processor_type\": \"ViTImageProcessor\", \"size\": 8,\n\"x\": \"\\\"\xff\"}";
    struct bytes b = tiny("vit", preprocessor);
    const vitrt_buffer buffer = { "tiny", b.data, b.size };
    vitrt_model *m, *again;
    vitrt_error err;
    vitrt_model_info info;
    (void)state;
    assert_ok(vitrt_model_open_memory(&buffer, 1, NULL, &m, &err), &err);
    assert_ok(vitrt_model_save(m, in_folder("a"), &err), &err);
    assert_ok(vitrt_model_open(in_folder("a"), NULL, &again, &err), &err);
    assert_ok(vitrt_model_save(again, in_folder("b"), &err), &err);
    expect_same_files(in_folder("a"), in_folder("b"));
    assert_int_equal(vitrt_model_get_info(again, &info), VITRT_OK);
    assert_string_equal(info.family, "vit");
    assert_string_equal(info.architecture, "tiny");
    assert_int_equal(info.height, 8);
    assert_int_equal(info.blocks, 1);
    assert_int_equal(info.classes, 4);
    assert_int_equal(info.dim, 8);
    assert_memory_equal(&m->preprocess, &again->preprocess, sizeof m->preprocess);
    vitrt_model_free(again);
    vitrt_model_free(m);
    free(b.data);
}

/* ---- Every allocation may fail ---- */

static vitrt_status open_save_open_run(const struct bytes *b, struct counting *counting)
{
    const vitrt_model_options options = { .allocator = &counting->allocator },
                              mapped = { .allocator = &counting->allocator, .flags = VITRT_MODEL_MAP_FILES };
    const vitrt_buffer buffer = { "tiny", b->data, b->size };
    vitrt_model *m = NULL, *again = NULL;
    vitrt_session *s = NULL;
    vitrt_error err = { 0 };
    vitrt_status st = vitrt_model_open_memory(&buffer, 1, &options, &m, &err);
    if (!st)
        st = vitrt_model_save(m, in_folder("saved"), &err);
    if (!st)
        st = vitrt_model_open(in_folder("saved"), &mapped, &again, &err);
    if (!st)
        st = vitrt_session_create(again, &(vitrt_session_options){ .threads = 1 }, &s, &err);
    if (st)
        assert_true(err.status == st && err.message[0]);
    vitrt_session_free(s);
    vitrt_model_free(again);
    vitrt_model_free(m);
    return st;
}

static void test_every_allocation_may_fail(void **state)
{
    struct bytes b = tiny("windows", NULL);
    struct counting counting;
    (void)state;
    counting_init(&counting);
    assert_int_equal(open_save_open_run(&b, &counting), VITRT_OK);
    const size_t calls = counting.calls;
    assert_true(calls > 100);
    for (size_t n = 1; n <= calls; n++) {
        counting_init(&counting);
        counting.fail_at = n;
        assert_int_equal(open_save_open_run(&b, &counting), VITRT_ENOMEM);
        assert_int_equal(counting.live, 0);
        assert_int_equal(counting.live_bytes, 0);
        assert_true(file_count() <= 1);
    }
    free(b.data);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, temp_folder_make, temp_folder_remove)
    const struct CMUnitTest tests[] = {
        TEST(test_golden_cases),
        TEST(test_stored_files),
        TEST(test_places),
        TEST(test_saves_over_its_own_file),
        TEST(test_threads_save_to_one_path),
        TEST(test_lowest_version),
        TEST(test_token_nodes),
        TEST(test_bytes),
        TEST(test_documents),
        TEST(test_every_allocation_may_fail),
    };
    if (argc > 1 && !strcmp(argv[1], "store")) {
        store();
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
