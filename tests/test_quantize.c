/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quantized models: close to f32 by an error model, the same bits however they are run, on every CPU, and after they
 * have been saved. How they are made is in test_quantize_calls.c, single steps are in test_quantized_steps.c,
 * quantizers in files in test_graph_codes.c.
 */
#define _XOPEN_SOURCE 700 /* setenv */
#include "check.h"

#include "graph_text.h"
#include "session.h"
#include "temp_folder.h"

/* ---- Against f32 ---- */

/* The error model. A range of codes is about 8 standard deviations wide (rare numbers, and room for more), so that a
 * code is 8 / 255 of one and its rounding 8 / 255 / sqrt(12), about 2^-7 of the numbers' root mean square. As in
 * test_precision.c, r independent roundings on a path add up to sqrt(r) of that, and there are ten in a block: both
 * norms, four weights, q with k and v, the probabilities, the output of attention and the hidden layer; image and
 * patch embedding, head and its input are four more. With f32 or bf16 products there are only the weights, four in a
 * block and two more. In integers alone norms, softmax and GELU add to the codes' errors what is less than theirs, and
 * words of 16 bits next to nothing. Scores of Swin V2 make errors of unit vectors grow, which are those of weights in
 * any precision. An error may be MOST times the model's. */
#define CODE_ERROR 0x1p-7
#define MOST       3.0

struct precision_case {
    vitrt_precision precision;
    double roundings_of_block, more;
};

static double rms(size_t n, const float *a, const float *b)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        const double x = (double)a[i] - (b ? (double)b[i] : 0);
        sum += x * x;
    }
    return sqrt(sum / (double)n);
}

/* The output of one session for the case's first image, in memory of its own. */
static float *run_case(const char *name, const vitrt_model *m, vitrt_precision precision, size_t *n)
{
    vitrt_session_options options = { .threads = 1, .precision = precision };
    vitrt_output out = { 0 };
    vitrt_session *s;
    vitrt_error err;
    golden_size(name, &options.height, &options.width);
    vitrt_image image = golden_image(name, 0);
    assert_ok(vitrt_session_create(m, &options, &s, &err), &err);
    assert_ok(vitrt_run(s, &image, 1, &out, &err), &err);
    *n = out.offsets[1] * out.columns;
    float *copy = malloc(*n * sizeof *copy);
    assert_non_null(copy);
    memcpy(copy, out.data, *n * sizeof *copy);
    vitrt_image_free(&image);
    vitrt_session_free(s);
    return copy;
}

/* Is there a form of the case in integers alone? */
static bool has_integers(const char *name, const vitrt_model *m)
{
    vitrt_session_options options = { .threads = 1, .precision = VITRT_PRECISION_I8_STRICT };
    vitrt_session_info info;
    vitrt_error err;
    golden_size(name, &options.height, &options.width);
    const vitrt_status st = vitrt_session_measure(m, &options, &info, &err);
    assert_true(st == VITRT_OK || st == VITRT_EUNSUPPORTED);
    return !st;
}

static double expected_error(const vitrt_model *m, double roundings_of_block, double more)
{
    const uint32_t blocks = m->facts.blocks;
    return CODE_ERROR * sqrt(roundings_of_block * blocks + more + score_roundings(m, blocks));
}

static int compared, compared_integers;

static void compare_case(const char *name)
{
    static const struct precision_case precisions[] = { { VITRT_PRECISION_I8, 10, 4 },
                                                        { VITRT_PRECISION_F32, 4, 2 },
                                                        { VITRT_PRECISION_BF16, 4.5, 2 },
                                                        { VITRT_PRECISION_I8_STRICT, 10, 4 } };
    vitrt_model *m, *quantized = quantized_case(name, NULL);
    vitrt_error err;
    size_t n, count;
    assert_ok(vitrt_model_open(golden_path(name, ""), NULL, &m, &err), &err);
    float *wanted = run_case(name, m, VITRT_PRECISION_F32, &n);
    for (size_t i = 0; i < sizeof precisions / sizeof *precisions; i++) {
        const struct precision_case *p = &precisions[i];
        const double model = expected_error(m, p->roundings_of_block, p->more);
        const bool strict = p->precision == VITRT_PRECISION_I8_STRICT;
        if (strict && !has_integers(name, quantized))
            continue;
        float *found = run_case(name, quantized, p->precision, &count);
        assert_int_equal(count, n);
        const double error = rms(n, found, wanted) / rms(n, wanted, NULL);
        if (!(error > 0 && error <= MOST * model))
            fail_msg("%s in precision %d: error %g, expected about %g", name, (int)p->precision, error, model);
        compared++;
        compared_integers += strict;
        free(found);
    }
    free(wanted);
    vitrt_model_free(quantized);
    vitrt_model_free(m);
}

static void test_close_to_f32(void **state)
{
    (void)state;
    for_each_golden(compare_case);
    print_message("%d outputs compared, %d of them of integers alone\n", compared, compared_integers);
    assert_true(compared > 400 && compared_integers > 50);
}

/* ---- Bits ---- */

static const char *const names[] = { "timm_dinov2_reg", "hf_deit_distilled", "timm_swiglu",   "timm_swin_odd",
                                     "timm_swinv2_odd", "hf_cvt_odd",        "hf_cvt_kernels" };
enum { NAMES = sizeof names / sizeof *names, BATCH = 8, MOST_CLASSES = 16 };

/* A picture and its negative. */
struct pictures {
    vitrt_image of[2];
    unsigned char *negative;
};

static struct pictures pictures_new(const char *name)
{
    struct pictures p = { { golden_image(name, 0) }, NULL };
    const size_t bytes = (size_t)3 * p.of[0].width * p.of[0].height;
    assert_true(!p.of[0].stride || p.of[0].stride == (size_t)3 * p.of[0].width);
    p.negative = malloc(bytes);
    assert_non_null(p.negative);
    for (size_t i = 0; i < bytes; i++)
        p.negative[i] = (unsigned char)~((const unsigned char *)p.of[0].data)[i];
    p.of[1] = (vitrt_image){ .data = p.negative, .width = p.of[0].width, .height = p.of[0].height };
    return p;
}

static void pictures_free(struct pictures *p)
{
    vitrt_image_free(&p->of[0]);
    free(p->negative);
}

/* Logits of a batch that begins with picture `first` and goes on in turn. */
static void run_batch(const char *name, const vitrt_model *m, vitrt_precision precision, const struct pictures *p,
                      size_t batch, size_t first, int threads, float logits[BATCH][MOST_CLASSES])
{
    vitrt_session_options options = { .threads = threads, .precision = precision, .max_batch = (uint32_t)batch };
    vitrt_image images[BATCH];
    vitrt_output out = { 0 };
    vitrt_session *s;
    vitrt_error err;
    golden_size(name, &options.height, &options.width);
    for (size_t i = 0; i < batch; i++)
        images[i] = p->of[(first + i) % 2];
    assert_ok(vitrt_session_create(m, &options, &s, &err), &err);
    assert_int_equal(s->plan->precision, precision ? VT_PRECISION_STRICT : VT_PRECISION_I8);
    assert_ok(vitrt_run(s, images, batch, &out, &err), &err);
    assert_in_range(out.columns, 1, MOST_CLASSES);
    memset(logits, 0, BATCH * sizeof *logits);
    for (size_t i = 0; i < batch; i++)
        memcpy(logits[i], (const float *)out.data + i * out.columns, out.columns * sizeof(float));
    vitrt_session_free(s);
}

static vitrt_model *model_of_all;
static const char *name_of_all;
static vitrt_precision precision_of_all;
static float logits_of_all[2][MOST_CLASSES];

/* Any number of threads, any batch, any place in it. */
static void bits_of_bundle(const struct vt_kernels *kernels)
{
    struct pictures p = pictures_new(name_of_all);
    float found[BATCH][MOST_CLASSES];
    assert_int_equal(setenv("VITRT_CPU", kernels->bundle, 1), 0);
    for (int threads = 1; threads <= 4; threads++)
        for (size_t batch = 1; batch <= BATCH; batch += BATCH - 1)
            for (size_t first = 0; first < 2; first++) {
                run_batch(name_of_all, model_of_all, precision_of_all, &p, batch, first, threads, found);
                for (size_t i = 0; i < batch; i++)
                    assert_memory_equal(found[i], logits_of_all[(first + i) % 2], sizeof *found);
            }
    pictures_free(&p);
}

/* Runs for_each_bundle and leaves the environment as it was. */
static void visit_bundles(void (*visit)(const struct vt_kernels *))
{
    const char *caller = getenv("VITRT_CPU");
    char saved[64] = "";
    snprintf(saved, sizeof saved, "%s", caller ? caller : "");
    for_each_bundle(visit);
    assert_int_equal(setenv("VITRT_CPU", saved, 1), 0); /* empty: as if it were not set */
}

static void check_bits(vitrt_precision precision)
{
    struct pictures p = pictures_new(name_of_all);
    float logits[BATCH][MOST_CLASSES];
    precision_of_all = precision;
    for (size_t k = 0; k < 2; k++) {
        run_batch(name_of_all, model_of_all, precision, &p, 1, k, 1, logits);
        memcpy(logits_of_all[k], logits[0], sizeof *logits);
    }
    assert_memory_not_equal(logits_of_all[0], logits_of_all[1], sizeof *logits_of_all);
    visit_bundles(bits_of_bundle);
    pictures_free(&p);
}

static void test_bits(void **state)
{
    int in_integers = 0;
    (void)state;
    for (size_t i = 0; i < NAMES; i++) {
        name_of_all = names[i];
        model_of_all = quantized_case(names[i], NULL);
        check_bits(VITRT_PRECISION_DEFAULT);
        if (has_integers(name_of_all, model_of_all)) {
            check_bits(VITRT_PRECISION_I8_STRICT);
            in_integers++;
        }
        vitrt_model_free(model_of_all);
    }
    assert_true(in_integers >= 3);
}

/* Queries of few rows with codes of their own, and keys and values of all rows, at columns that end tiles of some
 * kernels only. */
static const char split_graph[] =
    "{\"version\":2,\"size\":[8,8],\"nodes\":[{\"op\":\"input\",\"name\":\"x\"},"
    "{\"op\":\"conv2d\",\"name\":\"p\",\"in\":[\"x\"],\"weight\":\"i8.8x3x2x2\",\"stride\":[2,2],\"unit\":1e-3,"
    "\"quantize\":[{\"bits\":8,\"scale\":0.008,\"zero_point\":126}]},"
    "{\"op\":\"linear\",\"name\":\"qkv\",\"in\":[\"p\"],\"weight\":\"i8.24x8\",\"unit\":0.017,"
    "\"quantize\":[{\"bits\":8,\"scale\":0.01,\"zero_point\":120}]},"
    "{\"op\":\"attention\",\"name\":\"a\",\"in\":[[\"qkv\",0,8],[\"qkv\",8,8],[\"qkv\",16,8]],\"heads\":2,"
    "\"scale\":20,\"unit\":1e-4,\"quantize\":[{\"bits\":7,\"scale\":0.01,\"zero_point\":64},"
    "{\"bits\":8,\"scale\":0.01,\"zero_point\":128},{\"bits\":8,\"scale\":0.01,\"zero_point\":128}]},"
    "{\"op\":\"slice\",\"name\":\"s\",\"in\":[\"a\"],\"row_count\":12}],\"outputs\":{\"s\":\"s\"}}";

enum { SPLIT_NUMBERS = 12 * 8 };

static void run_split(vitrt_precision precision, float *numbers)
{
    const vitrt_session_options options = { .threads = 1, .precision = precision };
    vitrt_output out = { .buffer = numbers, .buffer_bytes = SPLIT_NUMBERS * sizeof *numbers };
    float pixels[GRAPH_SIDE * GRAPH_SIDE * 3];
    const vitrt_image image = graph_noise(1, pixels);
    struct counting counting;
    struct graph g;
    vitrt_model *m;
    vitrt_session *s;
    vitrt_error err;
    strcpy(g.text, split_graph);
    assert_ok(graph_open(&g, &counting, &m, &err), &err);
    assert_ok(vitrt_session_create(m, &options, &s, &err), &err);
    assert_ok(vitrt_run(s, &image, 1, &out, &err), &err);
    vitrt_session_free(s);
    vitrt_model_free(m);
}

static float split_numbers[2][SPLIT_NUMBERS];

static void split_of_bundle(const struct vt_kernels *kernels)
{
    float found[SPLIT_NUMBERS];
    assert_int_equal(setenv("VITRT_CPU", kernels->bundle, 1), 0);
    for (int i = 0; i < 2; i++) {
        run_split(i ? VITRT_PRECISION_I8_STRICT : VITRT_PRECISION_I8, found);
        assert_memory_equal(found, split_numbers[i], sizeof found);
    }
}

static void test_bits_of_split_layers(void **state)
{
    (void)state;
    run_split(VITRT_PRECISION_I8, split_numbers[0]);
    run_split(VITRT_PRECISION_I8_STRICT, split_numbers[1]);
    visit_bundles(split_of_bundle);
}

/* ---- Files ---- */

static struct bytes saved(const vitrt_model *m)
{
    vitrt_error err;
    assert_ok(vitrt_model_save(m, in_folder("saved"), &err), &err);
    return read_file(in_folder("saved"));
}

/* The same answers, and saved again the same file. Frees the model. */
static void expect_same(vitrt_model *again, const char *name, const struct bytes *file, const float *logits, size_t n)
{
    size_t count;
    float *found = run_case(name, again, VITRT_PRECISION_DEFAULT, &count);
    assert_int_equal(count, n);
    assert_memory_equal(found, logits, n * sizeof *logits);
    struct bytes b = saved(again);
    assert_int_equal(b.size, file->size);
    assert_memory_equal(b.data, file->data, b.size);
    free(b.data);
    free(found);
    vitrt_model_free(again);
}

static void check_file(const char *name)
{
    const vitrt_model_options mapped = { .flags = VITRT_MODEL_MAP_FILES };
    vitrt_model *m = quantized_case(name, NULL), *again;
    vitrt_error err;
    size_t n;
    float *logits = run_case(name, m, VITRT_PRECISION_DEFAULT, &n);
    struct bytes file = saved(m);
    const vitrt_buffer buffer = { "anything", file.data, file.size };
    assert_ok(vitrt_model_open(in_folder("saved"), NULL, &again, &err), &err);
    expect_same(again, name, &file, logits, n);
    assert_ok(vitrt_model_open(in_folder("saved"), &mapped, &again, &err), &err);
    expect_same(again, name, &file, logits, n);
    assert_ok(vitrt_model_open_memory(&buffer, 1, NULL, &again, &err), &err);
    expect_same(again, name, &file, logits, n);
    free(file.data);
    free(logits);
    vitrt_model_free(m);
}

static void test_files(void **state)
{
    (void)state;
    for_each_golden(check_file);
}

/* Calibration runs in f32, whose bits depend on nothing; so the file does not either. */
static struct bytes file_of_all;

static void file_of_bundle(const struct vt_kernels *kernels)
{
    assert_int_equal(setenv("VITRT_CPU", kernels->bundle, 1), 0);
    for (int threads = 1; threads <= 4; threads++) {
        vitrt_model *m = quantized_case(name_of_all, &(vitrt_quantize_options){ .threads = threads });
        struct bytes b = saved(m);
        assert_int_equal(b.size, file_of_all.size);
        assert_memory_equal(b.data, file_of_all.data, b.size);
        free(b.data);
        vitrt_model_free(m);
    }
}

static void test_files_depend_on_no_cpu_and_threads(void **state)
{
    (void)state;
    for (size_t i = 2; i < NAMES; i++) {
        name_of_all = names[i];
        vitrt_model *m = quantized_case(names[i], NULL);
        file_of_all = saved(m);
        vitrt_model_free(m);
        visit_bundles(file_of_bundle);
        free(file_of_all.data);
    }
}

/* ---- Stored models ---- */

/* Models that were quantized once, whose logits have the same bits on every CPU, for pixels that no preprocessing has
 * touched. They are of version 2 and go on loading. Made by "test_quantize store" in the folder tests. */
static const struct {
    const char *name;
    uint64_t sum;    /* of the bits of all outputs */
    uint64_t strict; /* the same in i8-strict; 0: it has a node without such a form */
} stored[] = {
    { "timm_swiglu", 0x999dbb32f0984f31, 0 },
    { "timm_swin_odd", 0xdda0cea2ecca750a, 0xb7aa2d27df2b82d3 },
    { "timm_swinv2_odd", 0xc9e3147b3c2ef507, 0 },
    { "hf_cvt_kernels", 0x8643a7a894bfaf9f, 0 },
    { "timm_deit3", 0xa85351dda4f038c2, 0xd260a837f0b42bd0 },
};
enum { STORED = sizeof stored / sizeof *stored };

static const char *stored_path(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "data/quantized/%s.safetensors", name);
    return path;
}

/* FNV-1a. */
static uint64_t sum_of(uint64_t sum, const void *data, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sum = (sum ^ ((const unsigned char *)data)[i]) * 0x100000001b3u;
    return sum;
}

static uint64_t outputs_of(const char *name, const vitrt_model *m, vitrt_precision precision)
{
    enum { MOST_OUTPUTS = 32 };
    const char *outputs[MOST_OUTPUTS];
    vitrt_session_options options = {
        .threads = 2, .precision = precision, .outputs = outputs, .output_count = m->graph.output_count
    };
    vitrt_output out[MOST_OUTPUTS] = { { 0 } };
    vitrt_session *s;
    vitrt_error err;
    uint64_t sum = 0xcbf29ce484222325u;
    assert_in_range(options.output_count, 1, MOST_OUTPUTS);
    for (size_t i = 0; i < options.output_count; i++)
        outputs[i] = m->graph.outputs[i].name;
    golden_size(name, &options.height, &options.width);
    assert_ok(vitrt_session_create(m, &options, &s, &err), &err);
    const size_t floats = vt_shape_rows(&s->plan->values[0].shape) * 3;
    float *pixels = malloc(floats * sizeof *pixels);
    assert_non_null(pixels);
    for (size_t i = 0; i < floats; i++)
        pixels[i] = (float)(i * i % 61 + i % 7) / 16 - 2;
    const vitrt_image image = {
        .data = pixels, .width = s->plan->width, .height = s->plan->height, .format = VITRT_FORMAT_F32
    };
    assert_ok(vitrt_run(s, &image, 1, out, &err), &err);
    for (size_t i = 0; i < options.output_count; i++)
        sum = sum_of(sum, out[i].data, out[i].offsets[1] * out[i].columns * sizeof(float));
    vitrt_session_free(s);
    free(pixels);
    return sum;
}

static void store(void)
{
    for (size_t i = 0; i < STORED; i++) {
        vitrt_model *m = quantized_case(stored[i].name, NULL);
        vitrt_error err;
        assert_ok(vitrt_model_save(m, stored_path(stored[i].name), &err), &err);
        printf("    { \"%s\", 0x%016llx, 0x%016llx },\n", stored[i].name,
               (unsigned long long)outputs_of(stored[i].name, m, VITRT_PRECISION_I8),
               (unsigned long long)(stored[i].strict ? outputs_of(stored[i].name, m, VITRT_PRECISION_I8_STRICT) : 0));
        vitrt_model_free(m);
    }
}

static size_t stored_at;

static void sum_of_bundle(const struct vt_kernels *kernels)
{
    vitrt_model *m;
    vitrt_error err;
    assert_int_equal(setenv("VITRT_CPU", kernels->bundle, 1), 0);
    assert_ok(vitrt_model_open(stored_path(stored[stored_at].name), NULL, &m, &err), &err);
    const uint64_t sum = outputs_of(stored[stored_at].name, m, VITRT_PRECISION_DEFAULT);
    if (sum != stored[stored_at].sum)
        fail_msg("%s with kernels of %s: the sum is 0x%016llx", stored[stored_at].name, kernels->bundle,
                 (unsigned long long)sum);
    const uint64_t wanted = stored[stored_at].strict;
    const uint64_t strict = wanted ? outputs_of(stored[stored_at].name, m, VITRT_PRECISION_I8_STRICT) : 0;
    if (strict != wanted)
        fail_msg("%s in i8-strict with kernels of %s: the sum is 0x%016llx", stored[stored_at].name, kernels->bundle,
                 (unsigned long long)strict);
    vitrt_model_free(m);
}

static void test_stored_models(void **state)
{
    (void)state;
    for (stored_at = 0; stored_at < STORED; stored_at++)
        visit_bundles(sum_of_bundle);
}

int main(int argc, char **argv)
{
#define IN_FOLDER(name) cmocka_unit_test_setup_teardown(name, temp_folder_make, temp_folder_remove)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_close_to_f32),
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_bits_of_split_layers),
        cmocka_unit_test(test_stored_models),
        IN_FOLDER(test_files),
        IN_FOLDER(test_files_depend_on_no_cpu_and_threads),
    };
    if (argc > 1 && !strcmp(argv[1], "store")) {
        store();
        return 0;
    }
    check_options(argc, argv);
    return cmocka_run_group_tests_name("test_quantize", tests, NULL, NULL);
}
