/* SPDX-License-Identifier: Apache-2.0 */
/* Streams against arrays: what an observer finds, however its rows are cut and ordered, is what a search over the whole
 * array finds. */
#include "calibration_data.h"

#include "alloc.h"
#include "observer.h"
#include "quantizer_search.h"

struct stream {
    size_t rows, columns, ld;
    float *x;
};

static struct stream stream_new(enum data kind, size_t rows, size_t columns)
{
    struct stream s = { rows, columns, columns + 3, NULL };
    s.x = numbers(kind, rows * s.ld);
    for (size_t c = 0; c < columns; c++) /* columns of different size and place */
        for (size_t r = 0; r < rows && kind == NORMAL; r++)
            s.x[r * s.ld + c] = s.x[r * s.ld + c] * (float)(c + 1) + (float)(3 * (c % 3));
    return s;
}

static void swap_rows(struct stream *s, size_t a, size_t b)
{
    for (size_t c = 0; c < s->columns; c++) {
        const float x = s->x[a * s->ld + c];
        s->x[a * s->ld + c] = s->x[b * s->ld + c];
        s->x[b * s->ld + c] = x;
    }
}

static void shuffle(struct stream *s)
{
    for (size_t i = s->rows; i > 1; i--)
        swap_rows(s, i - 1, (size_t)(uniform() * (double)i));
}

typedef void feed_fn(struct vt_observer *o, const float *x, size_t rows, size_t ld);

static void feed(feed_fn *fn, struct vt_observer *o, const struct stream *s, bool pieces)
{
    for (size_t r = 0, n; r < s->rows; r += n) {
        n = pieces ? (size_t)(uniform() * 40) : s->rows;
        n = n < s->rows - r ? n : s->rows - r;
        fn(o, s->x + r * s->ld, n, s->ld);
    }
}

/* Both passes. */
static void observe(struct vt_observer *o, const struct vt_observer_spec *spec, const struct stream *s, bool pieces)
{
    vitrt_error err;
    assert_ok(vt_observer_init(o, spec, &vt_default_allocator, &err), &err);
    feed(vt_observer_collect, o, s, pieces);
    vt_observer_end_collecting(o);
    feed(vt_observer_compare, o, s, pieces);
}

static void assert_same_results(const struct vt_observer *a, const struct vt_observer *b)
{
    assert_true(a->groups == b->groups && a->not_finite == b->not_finite);
    for (size_t g = 0; g < a->groups; g++) {
        struct vt_quantizer q[2];
        double error[2];
        float range[2][2];
        assert_int_equal(vt_observer_quantizer(a, g, &q[0], &error[0]), vt_observer_quantizer(b, g, &q[1], &error[1]));
        vt_observer_range(a, g, &range[0][0], &range[0][1]);
        vt_observer_range(b, g, &range[1][0], &range[1][1]);
        assert_true(q[0].scale == q[1].scale && q[0].zero == q[1].zero && q[0].bits == q[1].bits);
        assert_true(error[0] == error[1] && vt_observer_mean(a, g) == vt_observer_mean(b, g));
        assert_memory_equal(range[0], range[1], sizeof range[0]);
    }
}

/* The numbers of one group in a row; free() them. */
static float *gathered(const struct stream *s, const struct vt_observer_spec *spec, size_t g, size_t *n)
{
    const size_t columns = spec->per_column ? 1 : s->columns, first = spec->per_column ? g : 0;
    float *x = malloc(s->rows * columns * sizeof *x);
    assert_non_null(x);
    *n = 0;
    for (size_t r = 0; r < s->rows; r++)
        for (size_t c = first; c < first + columns; c++)
            x[(*n)++] = s->x[r * s->ld + c];
    return x;
}

/* What the search over an array finds, or the whole range if that is asked for and better. */
static enum vt_fit array_quantizer(struct vt_quantizer *q, const float *x, size_t n,
                                   const struct vt_observer_spec *spec)
{
    float *scratch = malloc(vt_search_scratch(n) * sizeof *scratch), *sorted = sorted_copy(x, n);
    struct vt_log_quantizer log;
    struct vt_quantizer whole;
    enum vt_fit fit;
    if (spec->log) {
        fit = vt_search_log_quantizer(&log, x, n, spec->bits, scratch);
        *q = (struct vt_quantizer){ log.delta, 0, log.bits };
    } else {
        fit = vt_search_quantizer(q, x, n, spec->bits, scratch);
        const enum vt_fit whole_fit = vt_quantizer_of_range(&whole, sorted[0], sorted[n - 1], spec->bits);
        if (spec->whole && vt_quantizer_error(&whole, x, n) < vt_quantizer_error(q, x, n)) {
            *q = whole;
            fit = whole_fit;
        }
    }
    free(sorted);
    free(scratch);
    return fit;
}

static void check_group(const struct vt_observer *o, const struct stream *s, size_t g)
{
    size_t n;
    float *x = gathered(s, &o->spec, g, &n), range[2];
    struct vt_quantizer q, expected;
    double error, sum = 0, sum_of_magnitudes = 0, max_abs = 0;
    const enum vt_fit fit = vt_observer_quantizer(o, g, &q, &error);
    assert_int_equal(array_quantizer(&expected, x, n, &o->spec), fit);
    assert_true(q.scale == expected.scale && q.zero == expected.zero && q.bits == expected.bits);
    if (!o->spec.log)
        assert_true(error == vt_quantizer_error(&q, x, n) / (double)n);
    for (size_t i = 0; i < n; i++) {
        sum += x[i];
        sum_of_magnitudes += fabs(x[i]);
        max_abs = fmax(max_abs, fabs(x[i]));
    }
    assert_near(vt_observer_mean(o, g), sum / (double)n, /* the plain sum's error, and the stated one */
                (double)n * (sum_of_magnitudes / (double)n + max_abs) * 2 * DBL_EPSILON);
    float *sorted = sorted_copy(x, n);
    vt_observer_range(o, g, &range[0], &range[1]);
    assert_true(range[0] == sorted[0] && range[1] == sorted[n - 1] && vt_observer_max_abs(o, g) == (float)max_abs);
    free(sorted);
    free(x);
}

static void check_stream(struct stream *s, const struct vt_observer_spec *spec)
{
    struct vt_observer o, other;
    observe(&o, spec, s, false);
    for (size_t g = 0; g < o.groups; g++)
        check_group(&o, s, g);
    for (int again = 0; again < 2; again++) { /* in pieces; in pieces and in another order */
        observe(&other, spec, s, true);
        assert_same_results(&o, &other);
        vt_observer_free(&other, &vt_default_allocator);
        shuffle(s);
    }
    vt_observer_free(&o, &vt_default_allocator);
}

static void test_observers_against_arrays(void **state)
{
    static const size_t shapes[][2] = { { 1, 1 }, { 1, 70 }, { 2, 3 }, { 197, 5 }, { 1000, 67 }, { 5000, 2 } };
    (void)state;
    for (size_t k = 0; k < COUNT(shapes); k++)
        for (int kind = 0; kind < DATA_KINDS; kind++)
            for (unsigned variant = 0; variant < 8; variant++) {
                struct stream s = stream_new((enum data)kind, shapes[k][0], shapes[k][1]);
                const struct vt_observer_spec spec = { .rows = s.rows + (variant == 2 ? 5000 : 0), /* or fewer */
                                                       .columns = s.columns,
                                                       .bits = variant & 2 ? 4 : 8,
                                                       .per_column = variant & 1,
                                                       .whole = variant & 2,
                                                       .log = variant >= 4 };
                check_stream(&s, &spec);
                free(s.x);
            }
}

static void test_observer_without_numbers(void **state)
{
    const struct vt_observer_spec spec = { .rows = 10, .columns = 4, .bits = 8, .per_column = true, .whole = true };
    const struct stream none = { 0, 4, 4, NULL };
    struct vt_observer o;
    struct vt_quantizer q;
    double error;
    float range[2];
    (void)state;
    observe(&o, &spec, &none, false);
    for (size_t g = 0; g < 4; g++) {
        assert_int_equal(vt_observer_quantizer(&o, g, &q, &error), VT_FIT_WIDENED);
        vt_observer_range(&o, g, &range[0], &range[1]);
        assert_true(q.scale == VT_MIN_SCALE && q.zero == 0 && error == 0 && vt_observer_mean(&o, g) == 0);
        assert_true(range[0] == 0 && range[1] == 0 && vt_observer_max_abs(&o, g) == 0);
    }
    vt_observer_free(&o, &vt_default_allocator);
}

static void test_observer_not_finite(void **state)
{
    static const float bad[] = { NAN, INFINITY, -INFINITY };
    (void)state;
    for (unsigned variant = 0; variant < 4; variant++)
        for (size_t k = 0; k < COUNT(bad); k++) {
            struct stream s = stream_new(NORMAL, 50, 70);
            const struct vt_observer_spec spec = {
                .rows = 50, .columns = 70, .bits = 8, .per_column = variant & 1, .log = variant & 2
            };
            struct vt_observer o;
            struct vt_quantizer q;
            double error;
            s.x[7 * s.ld + 66] = bad[k];
            s.x[9 * s.ld + 1] = s.x[9 * s.ld + 2] = bad[k];
            observe(&o, &spec, &s, true);
            assert_int_equal(o.not_finite, 3);
            for (size_t g = 0; g < o.groups; g++) {
                assert_int_equal(vt_observer_quantizer(&o, g, &q, &error), VT_FIT_NOT_FINITE);
                assert_true(q.scale == VT_MIN_SCALE && q.zero == 0);
            }
            vt_observer_free(&o, &vt_default_allocator);
            free(s.x);
        }
}

/* Beyond the limits quantiles are of every n-th row, everything else is of all. */
static void check_sampling(bool per_column, size_t rows, size_t columns, size_t stride)
{
    struct stream s = { rows, columns, columns, numbers(NORMAL, rows * columns) };
    const struct vt_observer_spec spec = { .rows = rows, .columns = columns, .bits = 4, .per_column = per_column };
    struct vt_observer o;
    struct vt_quantizer q, candidates[3];
    float range[2], *sample = malloc((rows / stride + 1) * columns * sizeof *sample);
    double error, sum = 0;
    size_t n = 0;
    bool found = false;
    s.x[columns * (rows - 1)] = 100; /* in no sample: the last row's number is odd */
    observe(&o, &spec, &s, false);
    assert_int_equal(o.stride, stride);
    for (size_t r = 0; r < rows; r += stride)
        for (size_t c = 0; c < (per_column ? 1 : columns); c++)
            sample[n++] = s.x[r * columns + c];
    qsort(sample, n, sizeof *sample, ascending);
    vt_observer_quantizer(&o, 0, &q, &error);
    for (int p = 0; p < 3; p++) {
        percentile_candidate(&candidates[p], sample, n, p, 4);
        found |= candidates[p].scale == q.scale && candidates[p].zero == q.zero;
    }
    assert_true(found);
    vt_observer_range(&o, 0, &range[0], &range[1]);
    assert_true(range[1] == 100);
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < (per_column ? 1 : columns); c++)
            sum += s.x[r * columns + c];
    assert_near(vt_observer_mean(&o, 0), sum / ((double)rows * (per_column ? 1 : (double)columns)), 1e-6);
    free(sample);
    free(s.x);
    vt_observer_free(&o, &vt_default_allocator);
}

static void test_sampling(void **state)
{
    (void)state;
    check_sampling(true, VT_EXACT_ROWS + 2, 1, 2);
    check_sampling(true, 2 * VT_EXACT_ROWS + 2, 1, 3);
    const struct vt_observer_spec wide = { .rows = 4096, .columns = 32768, .bits = 8 };
    struct vt_observer_spec exact = wide;
    exact.rows = 2048;
    assert_int_equal(vt_observer_bytes(&wide), vt_observer_bytes(&exact)); /* bounded */
    assert_true(vt_observer_bytes(&exact) < 600000);
}

static void test_observer_memory(void **state)
{
    const struct vt_observer_spec spec = { .rows = 6304, .columns = 384, .bits = 8, .per_column = true };
    const struct vt_observer_spec endless = { .rows = 1, .columns = SIZE_MAX / 8, .bits = 8, .per_column = true };
    struct counting counting;
    struct vt_observer o;
    vitrt_error err;
    (void)state;
    counting_init(&counting);
    assert_ok(vt_observer_init(&o, &spec, &counting.allocator, &err), &err);
    assert_int_equal(counting.live_bytes, vt_observer_bytes(&spec));
    vt_observer_free(&o, &counting.allocator);
    vt_observer_free(&o, &counting.allocator);
    counting.fail_at = counting.calls + 1;
    assert_int_equal(vt_observer_init(&o, &spec, &counting.allocator, &err), VITRT_ENOMEM);
    vt_observer_free(&o, &counting.allocator);
    counting.fail_at = 0;
    assert_int_equal(vt_observer_bytes(&endless), SIZE_MAX);
    assert_int_equal(vt_observer_init(&o, &endless, &counting.allocator, &err), VITRT_ENOMEM);
    vt_observer_free(&o, &counting.allocator);
    assert_int_equal(counting.live, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_observers_against_arrays),
                                        cmocka_unit_test(test_observer_without_numbers),
                                        cmocka_unit_test(test_observer_not_finite), cmocka_unit_test(test_sampling),
                                        cmocka_unit_test(test_observer_memory) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
