/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bf16 sessions of whole models: close to f32 by an error model, the same bits however they are run and on every CPU
 * bundle without instructions of its own for it, beside f32 sessions of the same model.
 */
#define _XOPEN_SOURCE 700 /* setenv */
#include "check.h"

#include "session.h"
#include "support.h"

#define CASE "timm_dinov2_reg"

enum { CLASSES = 10, PICTURES = 3 };

/* ---- Against f32 ---- */

/* The error model. Rounding to bf16 is relative, with a root mean square of about e = 2^-9: half an ulp is 2^-8 at the
 * lower end of a binade and 2^-9 at the upper one. Roundings of different elements are independent, so a product or a
 * norm passes an error on at about the size that it has relative to its input, and r roundings on a path add up to
 * e sqrt(r). On the path through a block there are ten: the outputs of both norms, four matrices of weights, q with k
 * and v, the probabilities, the output of attention and the hidden layer. Pixels and the weights of the patch
 * embedding, then the head's weights and input, are four more.
 *
 * Swin V2 multiplies the cosine of q and k, unit vectors of E channels, by a scale t of up to 100. Their roundings make
 * an error of e t sqrt(2 / E) in a score, which is one relative to the probability: 2 t^2 / E more roundings in a
 * block.
 *
 * Sums that cancel make errors grow, and ten logits are a small sample: an error may be MOST times the model's. What
 * meets a larger residual stream or is averaged over tokens shrinks, and some checkpoints are bf16 themselves; but in
 * the stream, where nothing is averaged, less than LEAST of the model's, scales aside, is no bf16. */
#define MOST  2.5
#define LEAST 0.15

/* more: roundings beside those that all blocks have. */
static double expected_error(uint32_t blocks, double more)
{
    return 0x1p-9 * sqrt(10.0 * blocks + 4 + more);
}

/* Root mean square of a - b; of a if b is NULL. */
static double rms(size_t n, const float *a, const float *b)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        const double x = (double)a[i] - (b ? (double)b[i] : 0);
        sum += x * x;
    }
    return sqrt(sum / (double)n);
}

static size_t largest(size_t n, const float *x)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        best = x[i] > x[best] ? i : best;
    return best;
}

/* Distance of the largest element to the next one. */
static double margin(size_t n, const float *x)
{
    const size_t best = largest(n, x);
    double least = INFINITY;
    for (size_t i = 0; i < n; i++)
        if (i != best)
            least = fmin(least, (double)x[best] - (double)x[i]);
    return least;
}

static int compared_answers;

static void compare(const char *name, const vitrt_model *m, const vitrt_output *f32, const vitrt_output *bf16,
                    bool is_stream, uint32_t blocks)
{
    const size_t n = f32->offsets[1] * f32->columns;
    const double size = rms(n, f32->data, NULL), error = rms(n, bf16->data, f32->data),
                 model = expected_error(blocks, score_roundings(m, blocks));
    const double least = is_stream ? LEAST * expected_error(blocks, 0) * size : 0;
    assert_int_equal(bf16->offsets[1] * bf16->columns, n);
    if (!(error <= MOST * model * size && error >= least))
        fail_msg("%s %s: error %g of its root mean square, expected about %g", name, f32->name, error / size, model);
    if (strcmp(f32->name, "logits") == 0 && margin(n, f32->data) > MOST * model * size) {
        assert_int_equal(largest(n, bf16->data), largest(n, f32->data));
        compared_answers++;
    }
}

static void compare_case(const char *name)
{
    static const char *const all[] = { "block.0", "block.1", "block.2", "features", "embedding", "logits" };
    enum { ALL = sizeof all / sizeof *all };
    const char *names[ALL];
    vitrt_session_options options = { .outputs = names };
    vitrt_output f32[ALL] = { 0 }, bf16[ALL] = { 0 };
    vitrt_model *m;
    vitrt_session *reference, *rounded;
    vitrt_error err;
    golden_size(name, &options.height, &options.width);
    assert_ok(vitrt_model_open(golden_path(name, ""), NULL, &m, &err), &err);
    for (size_t i = 0; i < ALL; i++)
        if (vt_graph_find_output(&m->graph, all[i]) != VT_NO_VALUE)
            names[options.output_count++] = all[i];
    assert_ok(vitrt_session_create(m, &options, &reference, &err), &err);
    options.precision = VITRT_PRECISION_BF16;
    assert_ok(vitrt_session_create(m, &options, &rounded, &err), &err);
    vitrt_image picture = golden_image(name, 0);
    assert_ok(vitrt_run(reference, &picture, 1, f32, &err), &err);
    assert_ok(vitrt_run(rounded, &picture, 1, bf16, &err), &err);
    for (size_t i = 0; i < options.output_count; i++) {
        const bool is_block = strncmp(names[i], "block.", 6) == 0;
        compare(name, m, &f32[i], &bf16[i], is_block, is_block ? (uint32_t)(names[i][6] - '0' + 1) : m->facts.blocks);
    }
    vitrt_image_free(&picture);
    vitrt_session_free(rounded);
    vitrt_session_free(reference);
    vitrt_model_free(m);
}

static void test_close_to_f32(void **state)
{
    (void)state;
    compared_answers = 0;
    for_each_golden(compare_case);
    print_message("%d answers of a clear margin\n", compared_answers);
    assert_true(compared_answers > 0);
}

/* ---- Bits ---- */

/* Logits of n pictures, the first of them number `first`, in one run of the model's session with these options. */
static void run_logits(const vitrt_model *m, vitrt_session_options options, size_t n, size_t first, float *logits)
{
    vitrt_session *s;
    vitrt_error err;
    vitrt_image pictures[8];
    vitrt_output out = { .buffer = logits, .buffer_bytes = n * CLASSES * sizeof(float) };
    options.max_batch = (uint32_t)n;
    for (size_t i = 0; i < n; i++)
        pictures[i] = golden_image(CASE, (int)((first + i) % PICTURES));
    assert_ok(vitrt_session_create(m, &options, &s, &err), &err);
    assert_ok(vitrt_run(s, pictures, n, &out, &err), &err);
    assert_int_equal(out.columns, CLASSES);
    for (size_t i = 0; i < n; i++)
        vitrt_image_free(&pictures[i]);
    vitrt_session_free(s);
}

static vitrt_model *open_case(void)
{
    vitrt_model *m;
    vitrt_error err;
    assert_ok(vitrt_model_open(golden_path(CASE, ""), NULL, &m, &err), &err);
    return m;
}

static void test_threads_and_batches_change_no_bit(void **state)
{
    static const size_t batches[] = { 1, 2, 3, 7 };
    const vitrt_session_options one = { .threads = 1, .precision = VITRT_PRECISION_BF16 };
    float wanted[PICTURES][CLASSES], found[8][CLASSES];
    vitrt_model *m = open_case();
    (void)state;
    for (size_t i = 0; i < PICTURES; i++)
        run_logits(m, one, 1, i, wanted[i]);
    for (int threads = 1; threads <= 4; threads++) {
        for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
            const vitrt_session_options options = { .threads = threads, .precision = VITRT_PRECISION_BF16 };
            run_logits(m, options, batches[b], b, found[0]);
            for (size_t i = 0; i < batches[b]; i++)
                assert_memory_equal(found[i], wanted[(b + i) % PICTURES], sizeof found[i]);
        }
    }
    vitrt_model_free(m);
}

/* Sessions of one model, made and run in turn, against models of their own. */
static void test_precisions_share_a_model(void **state)
{
    static const vitrt_precision precisions[] = { VITRT_PRECISION_F32, VITRT_PRECISION_BF16, VITRT_PRECISION_DEFAULT };
    enum { SESSIONS = sizeof precisions / sizeof *precisions };
    float wanted[SESSIONS][CLASSES];
    vitrt_session *sessions[SESSIONS];
    vitrt_model *shared = open_case();
    vitrt_error err;
    (void)state;
    for (size_t i = 0; i < SESSIONS; i++) {
        const vitrt_session_options options = { .threads = 2, .precision = precisions[i] };
        vitrt_model *alone = open_case();
        run_logits(alone, options, 1, 0, wanted[i]);
        vitrt_model_free(alone);
        assert_ok(vitrt_session_create(shared, &options, &sessions[i], &err), &err);
    }
    assert_memory_equal(wanted[2], wanted[0], sizeof wanted[0]); /* a float checkpoint's default is f32 */
    vitrt_image picture = golden_image(CASE, 0);
    for (size_t run = 0; run < 2 * SESSIONS; run++) {
        const size_t i = run % SESSIONS;
        vitrt_output out = { 0 };
        assert_ok(vitrt_run(sessions[i], &picture, 1, &out, &err), &err);
        assert_memory_equal(out.data, wanted[i], sizeof wanted[i]);
    }
    vitrt_image_free(&picture);
    for (size_t i = 0; i < SESSIONS; i++)
        vitrt_session_free(sessions[i]);
    vitrt_model_free(shared);
}

/* ---- Bundles ---- */

static float logits_of_ref[CLASSES];
static vitrt_model *model_of_all; /* one store of weights for all layouts */

static void run_bundle(const char *bundle, float *logits)
{
    const vitrt_session_options options = { .threads = 2, .precision = VITRT_PRECISION_BF16 };
    assert_int_equal(setenv("VITRT_CPU", bundle, 1), 0);
    run_logits(model_of_all, options, 1, 0, logits);
}

/* A difference in the last bit of a sum turns into one of bf16 where it falls on two sides of a tie, so after some
 * blocks two ways of adding are as far from each other as each is from f32. */
static void compare_bundle(const struct vt_kernels *kernels)
{
    const double bound = MOST * expected_error(3, 0) * rms(CLASSES, logits_of_ref, NULL);
    float found[CLASSES];
    run_bundle(kernels->bundle, found);
    if (has_own_arithmetic(&kernels->gemm[VT_PRODUCT_BF16]))
        assert_true(rms(CLASSES, found, logits_of_ref) <= bound);
    else
        assert_memory_equal(found, logits_of_ref, sizeof found);
}

static void test_bundles(void **state)
{
    const char *caller = getenv("VITRT_CPU");
    char saved[64] = "";
    (void)state;
    snprintf(saved, sizeof saved, "%s", caller ? caller : "");
    model_of_all = open_case();
    run_bundle("ref", logits_of_ref);
    for_each_bundle(compare_bundle);
    vitrt_model_free(model_of_all);
    assert_int_equal(setenv("VITRT_CPU", saved, 1), 0); /* empty: as if it were not set */
}

/* ---- What is said of it ---- */

static void test_describe(void **state)
{
    const vitrt_session_options options = { .precision = VITRT_PRECISION_BF16 };
    char text[8192], wanted[64];
    vitrt_model *m;
    vitrt_session *s;
    (void)state;
    open_session(CASE, &options, &m, &s);
    vitrt_describe(s, text, sizeof text);
    snprintf(wanted, sizeof wanted, ", bf16 on %s,", s->kernels.bundle);
    assert_non_null(strstr(text, wanted));
    assert_non_null(strstr(text, s->kernels.gemm[VT_PRODUCT_BF16].name));
    assert_null(strstr(text, s->kernels.gemm[VT_PRODUCT_F32].name));
    assert_non_null(strstr(text, " + gelu to bf16"));
    vitrt_session_free(s);
    vitrt_model_free(m);
}

int main(int argc, char **argv)
{
    check_options(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_close_to_f32), cmocka_unit_test(test_threads_and_batches_change_no_bit),
        cmocka_unit_test(test_bundles),      cmocka_unit_test(test_precisions_share_a_model),
        cmocka_unit_test(test_describe),
    };
    return cmocka_run_group_tests_name("test_precision", tests, NULL, NULL);
}
