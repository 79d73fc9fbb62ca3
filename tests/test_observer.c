/* SPDX-License-Identifier: Apache-2.0 */
/* Streams against arrays: what an observer finds, however its rows are cut and ordered, is what a search over the whole
 * array finds that sorts it and tries everything. */
#include "calibration_data.h"

#include "alloc.h"
#include "observer.h"

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

/* The sum of squared errors of a group's candidate, in units of its scale. */
static double sum_of_errors(const struct vt_observer *o, size_t g, size_t candidate)
{
    return vt_error_sum(&o->sums[candidate], o->spec.per_column ? g : 0, o->spec.per_column ? 1 : o->lanes);
}

static void assert_same_results(const struct vt_observer *a, const struct vt_observer *b)
{
    assert_true(a->groups == b->groups && a->not_finite == b->not_finite);
    for (size_t g = 0; g < a->groups; g++) {
        struct vt_quantizer q[2];
        assert_int_equal(vt_observer_quantizer(a, g, &q[0]), vt_observer_quantizer(b, g, &q[1]));
        assert_true(q[0].scale == q[1].scale && q[0].zero == q[1].zero && q[0].bits == q[1].bits);
        assert_true(a->min[g] == b->min[g] && a->max[g] == b->max[g]);
        for (size_t k = 0; k < VT_PERCENTILES; k++) /* to the last bit */
            assert_true(sum_of_errors(a, g, k) == sum_of_errors(b, g, k));
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

/* Candidate p of a group, and what it costs. */
static enum vt_fit slow_candidate(const struct vt_observer_spec *spec, const float *x, const float *sorted, size_t n,
                                  int p, struct vt_quantizer *q, double *error)
{
    if (!spec->log) {
        const enum vt_fit fit = percentile_candidate(q, sorted, n, p, spec->bits);
        *error = slow_error(q, x, n);
        return fit;
    }
    const double delta = sorted_quantile(sorted, n, percentiles[p]);
    *q = (struct vt_quantizer){ (float)fmax(delta, (double)VT_MIN_SCALE), 0, spec->bits };
    *error = slow_log_error(&(struct vt_log_quantizer){ q->scale, spec->bits }, x, n);
    return delta < (double)VT_MIN_SCALE ? VT_FIT_WIDENED : VT_FIT_OK;
}

/* The observer's choice for x[n] is one of the candidates, and none is better. */
static void check_choice(const struct vt_observer *o, size_t g, const float *x, size_t n)
{
    float *sorted = sorted_copy(x, n);
    struct vt_quantizer q, candidate;
    double errors[VT_PERCENTILES], error = NAN;
    const enum vt_fit fit = vt_observer_quantizer(o, g, &q);
    for (int p = 0; p < VT_PERCENTILES; p++) {
        const enum vt_fit candidate_fit = slow_candidate(&o->spec, x, sorted, n, p, &candidate, &errors[p]);
        const double scale = (double)candidate.scale, rounding = 1e-18 * scale * scale;
        assert_near(sum_of_errors(o, g, (size_t)p) * scale * scale / (double)n, errors[p], errors[p] * 1e-9 + rounding);
        if (isnan(error) && candidate.scale == q.scale && candidate.zero == q.zero) {
            error = errors[p];
            assert_int_equal(fit, candidate_fit);
        }
    }
    assert_int_equal(q.bits, o->spec.bits);
    assert_least(error, errors, (double)q.scale);
    assert_true(o->min[g] == sorted[0] && o->max[g] == sorted[n - 1]);
    free(sorted);
}

static void check_group(const struct vt_observer *o, const struct stream *s, size_t g)
{
    size_t n;
    float *x = gathered(s, &o->spec, g, &n);
    check_choice(o, g, x, n);
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
                                                       .log = variant >= 4 };
                check_stream(&s, &spec);
                free(s.x);
            }
}

static void test_observer_without_numbers(void **state)
{
    const struct vt_observer_spec spec = { .rows = 10, .columns = 4, .bits = 8, .per_column = true };
    const struct stream none = { 0, 4, 4, NULL };
    struct vt_observer o;
    struct vt_quantizer q;
    (void)state;
    observe(&o, &spec, &none, false);
    for (size_t g = 0; g < 4; g++) {
        assert_int_equal(vt_observer_quantizer(&o, g, &q), VT_FIT_WIDENED);
        assert_true(q.scale == 1.0f / 255 && q.zero == 0);
        assert_true(o.min[g] == 0 && o.max[g] == 0);
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
            s.x[7 * s.ld + 66] = bad[k];
            s.x[9 * s.ld + 1] = s.x[9 * s.ld + 2] = bad[k];
            observe(&o, &spec, &s, true);
            assert_int_equal(o.not_finite, 3);
            for (size_t g = 0; g < o.groups; g++) {
                assert_int_equal(vt_observer_quantizer(&o, g, &q), VT_FIT_NOT_FINITE);
                assert_true(q.scale == VT_MIN_SCALE && q.zero == 0);
            }
            vt_observer_free(&o, &vt_default_allocator);
            free(s.x);
        }
}

static void test_range_search(void **state) /* A2: worked examples */
{
    static const struct {
        float outlier;
        uint8_t bits;
        double errors[3];
        int pick;
        double scale;
    } cases[] = { { 1400, 4, { 529.2291, 683.8497, 733.4551 }, 0, 66.533333 },
                  { 1400, 8, { 162.7162, 3.9800, 2.5115 }, 2, 5.474431 },
                  { 20000, 4, { 361083.0753, 146909.1524, 180766.8279 }, 1, 1206.653333 },
                  { 20000, 8, { 360716.5623, 4023.9475, 543.1110 }, 2, 77.686196 },
                  { 1000, 8, { 1.2776, 1.2804, 1.2804 }, 0, 3.913725 } };
    enum { N = 1001 };
    float x[N];
    (void)state;
    for (size_t k = 0; k < COUNT(cases); k++) {
        const struct vt_observer_spec spec = { .rows = N, .columns = 1, .bits = cases[k].bits };
        struct stream s = { N, 1, 1, x };
        struct vt_observer o;
        struct vt_quantizer q, pick;
        for (int i = 0; i < N; i++)
            x[i] = (float)i;
        x[N - 1] = cases[k].outlier;
        observe(&o, &spec, &s, false);
        for (int p = 0; p < 3; p++) {
            assert_int_equal(percentile_candidate(&q, x, N, p, cases[k].bits), VT_FIT_OK);
            const double scale = (double)q.scale;
            assert_true(q.zero == 0);
            /* Four digits, and what rounding the scale to float moves values by. */
            assert_near(sum_of_errors(&o, 0, (size_t)p) * scale * scale / N, cases[k].errors[p],
                        5e-5 + 4 * (double)FLT_EPSILON * cases[k].errors[p]);
        }
        assert_int_equal(vt_observer_quantizer(&o, 0, &q), VT_FIT_OK);
        assert_near((double)q.scale, cases[k].scale, cases[k].scale * (double)FLT_EPSILON / 2 + 5e-7);
        percentile_candidate(&pick, x, N, cases[k].pick, cases[k].bits);
        assert_true(q.scale == pick.scale && q.zero == pick.zero && q.bits == cases[k].bits);
        vt_observer_free(&o, &vt_default_allocator);
    }
}

/* Numbers as attention's probabilities, many of which are 0. */
static void test_probabilities(void **state)
{
    enum { ROWS = 100, COLUMNS = 200 };
    struct stream s = { ROWS, COLUMNS, COLUMNS, numbers(CONSTANT, (size_t)ROWS * COLUMNS) };
    (void)state;
    for (uint8_t bits = 4; bits <= 8; bits += 2) {
        const struct vt_observer_spec spec = { .rows = ROWS, .columns = COLUMNS, .bits = bits, .log = true };
        struct vt_observer o;
        struct vt_quantizer q;
        for (size_t i = 0; i < (size_t)ROWS * COLUMNS; i++)
            s.x[i] = (float)(exp(-8 * uniform()) * (uniform() < 0.5));
        s.x[17] = 1;
        observe(&o, &spec, &s, false);
        check_choice(&o, 0, s.x, (size_t)ROWS * COLUMNS);
        assert_int_equal(vt_observer_quantizer(&o, 0, &q), VT_FIT_OK);
        vt_observer_free(&o, &vt_default_allocator);
    }
    free(s.x);
}

/* Beyond the limits quantiles are of every n-th row, everything else is of all. */
static void check_sampling(bool per_column, size_t rows, size_t columns, size_t stride)
{
    struct stream s = { rows, columns, columns, numbers(NORMAL, rows * columns) };
    const struct vt_observer_spec spec = { .rows = rows, .columns = columns, .bits = 4, .per_column = per_column };
    struct vt_observer o;
    struct vt_quantizer q, candidates[3];
    float *sample = malloc((rows / stride + 1) * columns * sizeof *sample);
    size_t n = 0;
    bool found = false;
    s.x[columns * (rows - 1)] = 100; /* in no sample: the last row's number is odd */
    observe(&o, &spec, &s, false);
    assert_int_equal(o.stride, stride);
    for (size_t r = 0; r < rows; r += stride)
        for (size_t c = 0; c < (per_column ? 1 : columns); c++)
            sample[n++] = s.x[r * columns + c];
    qsort(sample, n, sizeof *sample, ascending);
    vt_observer_quantizer(&o, 0, &q);
    for (int p = 0; p < 3; p++) {
        percentile_candidate(&candidates[p], sample, n, p, 4);
        found |= candidates[p].scale == q.scale && candidates[p].zero == q.zero;
    }
    assert_true(found);
    assert_true(o.max[0] == 100);
    free(sample);
    free(s.x);
    vt_observer_free(&o, &vt_default_allocator);
}

static size_t bytes_of(const struct vt_observer_spec *spec)
{
    struct vt_observer o;
    vitrt_error err;
    assert_ok(vt_observer_init(&o, spec, &vt_default_allocator, &err), &err);
    const size_t bytes = o.block_bytes;
    vt_observer_free(&o, &vt_default_allocator);
    return bytes;
}

static void test_sampling(void **state)
{
    (void)state;
    check_sampling(true, VT_EXACT_ROWS + 2, 1, 2);
    check_sampling(true, 2 * VT_EXACT_ROWS + 2, 1, 3);
    const struct vt_observer_spec wide = { .rows = 4096, .columns = 32768, .bits = 8 };
    struct vt_observer_spec exact = wide;
    exact.rows = 2048;
    assert_int_equal(bytes_of(&wide), bytes_of(&exact)); /* bounded */
    assert_true(bytes_of(&exact) < 600000);
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
    assert_int_equal(counting.live_bytes, o.block_bytes);
    vt_observer_free(&o, &counting.allocator);
    vt_observer_free(&o, &counting.allocator);
    counting.fail_at = counting.calls + 1;
    assert_int_equal(vt_observer_init(&o, &spec, &counting.allocator, &err), VITRT_ENOMEM);
    vt_observer_free(&o, &counting.allocator);
    counting.fail_at = 0;
    assert_int_equal(vt_observer_init(&o, &endless, &counting.allocator, &err), VITRT_ENOMEM);
    vt_observer_free(&o, &counting.allocator);
    assert_int_equal(counting.live, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_observers_against_arrays),
                                        cmocka_unit_test(test_observer_without_numbers),
                                        cmocka_unit_test(test_observer_not_finite),
                                        cmocka_unit_test(test_range_search),
                                        cmocka_unit_test(test_probabilities),
                                        cmocka_unit_test(test_sampling),
                                        cmocka_unit_test(test_observer_memory) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
