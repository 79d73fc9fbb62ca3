/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What selections compare, in every precision: features are in the type in which attention reads them, written by the
 * layer that makes them, and maps are those of their cosines in double, worked out pair by pair. The bits of such
 * models are the same in batches, threads and, with codes, for all kernels.
 *
 * Error model. A feature stands for an exact number here, that of its code or of its bits. Roundings of sums of groups
 * put a row off by a vector, and its direction by no more than that vector's length beside its own; a cosine is off by
 * no more than both rows' directions, and by the roundings of its sum of products. Whole rows of codes become whole
 * numbers that kernels.h defines, whose cosines are exact but for roundings; apart from that, these numbers must be as
 * near to the exact direction as halves of codes in all columns allow.
 */
#define _XOPEN_SOURCE 700 /* setenv */
#include "check.h"
#include "graph_text.h"
#include "model.h"
#include "reduced_cases.h"
#include "session.h"
#include "token_map.h"
#include "weight_rows.h"

enum { MOST_ROWS = REDUCED_PATCHES + 5, MOST_DIM = REDUCED_WIDTH };

static const char *const schedules[] = {
    "tome-whole-keys:0@0.8/1@0.8/2@0.75", "tome-drop-early-whole-keys:0@0.7/1@0.8/2@0.75",
    "tome:0@0.8/1@0.8/2@0.75", "zero-tprune-whole-keys:0@0.8+8/2@0.7+5/3@0.5", "zero-tprune:0@0.8+8/2@0.7+5/3@0.5"
};
enum { SCHEDULES = sizeof schedules / sizeof *schedules };

/* ---- Features ---- */

/* Of the rows of an image; error: relative to a row's length. */
struct features {
    size_t rows, dim;
    double x[MOST_ROWS][MOST_DIM], error[MOST_ROWS];
    double product_error; /* of a cosine, beside those of its rows */
};

struct run {
    vitrt_session *s;
    const struct vt_plan *plan;
    const struct vt_node *node; /* of the selection */
    size_t compared, unclear;   /* choices; those that errors may turn over */
};

/* What the features' codes were made by; NULL: they are no codes. */
static const struct vt_operand_quantizer *quantizer_of(const struct vt_node *value, uint32_t column)
{
    for (uint32_t i = 0; value->type == VT_NODE_CONVERT && i < value->u.convert.part_count; i++)
        if (value->u.convert.parts[i].column == column)
            return &value->quantizers[i];
    return NULL;
}

/* Scale and zero point of each column; as they are, 1 and 0, where features are no codes. */
static void read_quantizer(const struct run *r, struct vt_view view, double *scale, double *zero)
{
    static _Alignas(64) unsigned char scratch[VT_SCRATCH_BYTES];
    const struct vt_graph *g = r->plan->graph;
    const struct vt_operand_quantizer *q = quantizer_of(&g->nodes[view.value], view.column);
    assert_int_equal(q != NULL, g->nodes[view.value].element == VT_U8);
    for (size_t c = 0; c < view.columns; c++) {
        scale[c] = q ? (double)q->scale : 1;
        zero[c] = q ? (double)q->zero : 0;
    }
    for (int i = 0; i < 2 && q && q->scales != VT_NO_WEIGHT; i++) {
        float numbers[MOST_DIM];
        vitrt_error err;
        assert_ok(vt_read_weight_rows(g->checkpoint, &g->weights[i ? q->zeros : q->scales], 0, view.columns, numbers,
                                      scratch, sizeof scratch, &err),
                  &err);
        for (size_t c = 0; c < view.columns; c++)
            (i ? zero : scale)[c] = (double)numbers[c];
    }
}

static double element_at(const void *memory, enum vt_dtype element, size_t i)
{
    switch (element) {
    case VT_U8: return ((const uint8_t *)memory)[i];
    case VT_BF16: return (double)float_of_bits((uint32_t)((const vt_bf16 *)memory)[i] << 16);
    default: return (double)((const float *)memory)[i];
    }
}

static const void *first_row(const struct run *r, struct vt_view view)
{
    const struct vt_plan_value *value = &r->plan->values[view.value];
    return r->s->arena + value->offset + view.column * vt_dtype_bytes(r->plan->graph->nodes[view.value].element);
}

/* What a row of codes is multiplied as: see vt_direction_u8_fn, whose numbers are made of floats. */
static void to_direction(const double *codes, const double *scale, const double *zero, size_t dim, double *y)
{
    float number[MOST_DIM], greatest = 1e-30f;
    double away = 0, length = 0;
    for (size_t c = 0; c < dim; c++) {
        number[c] = fmaf((float)codes[c], (float)scale[c], (float)(-scale[c] * zero[c]));
        greatest = fmaxf(greatest, fabsf(number[c]));
    }
    for (size_t c = 0; c < dim; c++) {
        const double exact = (codes[c] - zero[c]) * scale[c] * 127 / (double)greatest;
        y[c] = rint((double)number[c] * (double)(127 / greatest));
        away += (y[c] - exact) * (y[c] - exact);
        length += exact * exact;
    }
    if (length > 0) /* half a code in each column, but for roundings of the number */
        assert_true(sqrt(away) <= 0.5001 * sqrt((double)dim) && sqrt(away) <= 0.2 * sqrt(length));
}

static void read_features(const struct run *r, struct features *f)
{
    const struct vt_view view = r->node->in[vt_feature_input(r->node)];
    const enum vt_dtype element = r->plan->graph->nodes[view.value].element;
    const size_t groups = r->node->u.select.groups, ld = r->plan->values[view.value].ld;
    double scale[MOST_DIM], zero[MOST_DIM], codes[MOST_DIM];
    f->rows = r->s->offsets[r->plan->values[view.value].row_set][1];
    f->dim = view.columns / groups;
    f->product_error = gamma_of(4 * f->dim + 16); /* of sums of any order, of lengths, and by these */
    assert_true(f->rows <= MOST_ROWS && view.columns <= MOST_DIM);
    read_quantizer(r, view, scale, zero);
    for (size_t i = 0; i < f->rows; i++) {
        double away = 0, length = 0;
        for (size_t c = 0; c < view.columns; c++)
            codes[c] = element_at(first_row(r, view), element, i * ld + c);
        for (size_t c = 0; c < f->dim; c++) {
            double size = 0;
            f->x[i][c] = 0;
            for (size_t k = c; k < view.columns; k += f->dim) {
                f->x[i][c] += (codes[k] - zero[k]) * scale[k];
                size += (codes[k] + fabs(zero[k])) * scale[k];
            }
            away += size * size;
            length += f->x[i][c] * f->x[i][c];
        }
        f->error[i] = element == VT_U8 || groups > 1 ? gamma_of(2 * groups + 4) * sqrt(away / length) : 0;
        if (r->node->product == VT_PRODUCT_U8S8) {
            to_direction(codes, scale, zero, f->dim, f->x[i]);
            f->error[i] = 0;
        }
    }
}

/* ---- Similarity ---- */

static double dot(const struct features *f, size_t a, size_t b)
{
    double sum = 0;
    for (size_t c = 0; c < f->dim; c++)
        sum += f->x[a][c] * f->x[b][c];
    return sum;
}

static double cosine(const struct features *f, size_t a, size_t b, double *error)
{
    *error = f->error[a] + f->error[b] + f->product_error;
    return dot(f, a, b) / sqrt(dot(f, a, a) * dot(f, b, b));
}

/* Where the greatest similarity of a row can lie, and of which others it can be. */
struct best {
    double low, high;
};

static struct best best_of(const struct features *f, size_t row, const size_t *others, size_t count)
{
    struct best best = { -2, -2 };
    for (size_t i = 0; i < count; i++) {
        double e;
        const double x = cosine(f, row, others[i], &e);
        best.low = fmax(best.low, x - e);
        best.high = fmax(best.high, x + e);
    }
    return best;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Of `count` rows `wanted` with the greatest similarity are chosen, but for those whose bounds overlap. */
static void check_choice(struct run *r, const struct best *best, const bool *chosen, size_t count, size_t wanted)
{
    double lowest = 2, highest = -2;
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        found += chosen[i];
        if (chosen[i])
            lowest = fmin(lowest, best[i].high);
        else
            highest = fmax(highest, best[i].low);
    }
    assert_int_equal(found, wanted);
    assert_true(!found || found == count || lowest >= highest);
    for (size_t i = 0; i < count; i++)
        r->unclear += chosen[i] ? best[i].low <= highest : best[i].high >= lowest;
    r->compared += count;
}

/* ---- Maps ---- */

static const struct vt_token_entry *map_of(const struct run *r, vt_value map)
{
    return first_row(r, vt_view_of(map));
}

/* The row of B that a row is merged into must be one of the most similar. */
static void check_partner(const struct run *r, const struct features *f, const struct vt_token_entry *map, size_t a,
                          double low)
{
    const int32_t to = map[a].destination, first = to ? map[to - 1].end : 0;
    const size_t b = (size_t)map[first].source;
    double e;
    assert_true(b % 2 == 1 && b >= r->node->u.select.protect);
    assert_true(cosine(f, a, b, &e) + e >= low);
}

static void check_match(struct run *r, const struct features *f, const struct vt_token_entry *map)
{
    const size_t protect = r->node->u.select.protect;
    size_t odd[MOST_ROWS], odds = 0, count = 0;
    struct best best[MOST_ROWS];
    bool merged[MOST_ROWS];
    for (size_t i = protect; i < f->rows; i++)
        if (i % 2)
            odd[odds++] = i;
    for (size_t a = (protect + 1) / 2 * 2; a < f->rows; a += 2, count++) {
        const int32_t to = map[a].destination;
        best[count] = best_of(f, a, odd, odds);
        merged[count] = to < 0 || map[to ? map[to - 1].end : 0].source != (int32_t)a;
        assert_int_equal(to < 0, merged[count] && r->node->u.select.drop);
        if (to >= 0 && merged[count])
            check_partner(r, f, map, a, best[count].low);
    }
    const size_t wanted = vt_wanted_count(r->node, f->rows - protect);
    check_choice(r, best, merged, count, least(least(wanted, (f->rows - protect) / 2), count));
}

/* Candidates by their scores, the least first, of equal ones the first. */
static void rank(const float *scores, size_t protect, size_t rows, size_t *order)
{
    for (size_t i = protect; i < rows; i++) {
        size_t place = i - protect;
        for (; place && scores[order[place - 1]] > scores[i]; place--)
            order[place] = order[place - 1];
        order[place] = i;
    }
}

/* Of the less important half those left for their similarity; where that is clear, the map is what scores make of the
 * others. */
static void check_similar(struct run *r, const struct features *f, const struct vt_token_entry *map)
{
    const size_t protect = r->node->u.select.protect, candidates = f->rows - protect, half = candidates / 2;
    const float *scores = first_row(r, r->node->in[r->node->in_count > 2 ? 2 : 0]);
    const float *last = first_row(r, r->node->in[0]);
    const size_t similar = least(r->node->u.select.similar, half);
    size_t order[MOST_ROWS], stays = 0, unclear = 0;
    struct best best[MOST_ROWS];
    bool gone[MOST_ROWS] = { false };
    rank(scores, protect, f->rows, order);
    for (size_t i = 0; i < half; i++)
        best[i] = best_of(f, order[i], order + half, candidates - half);
    for (size_t i = 0; i < half; i++) {
        size_t above = 0, near = 0;
        for (size_t k = 0; k < half; k++) {
            above += best[k].low > best[i].high;
            near += k != i && best[k].low <= best[i].high && best[k].high >= best[i].low;
        }
        gone[order[i]] = above < similar;
        unclear += near && above < similar && above + near >= similar;
    }
    r->compared += half;
    r->unclear += unclear;
    if (unclear)
        return;
    rank(last, protect, f->rows, order);
    const size_t wanted = vt_wanted_count(r->node, candidates);
    for (size_t i = candidates; i-- > 0;) { /* no two scores are equal here */
        const bool stay = !gone[order[i]] && stays < wanted;
        assert_int_equal(map[order[i]].destination >= 0, stay);
        stays += stay;
    }
}

/* ---- Steps ---- */

/* Features are what attention reads, and come from a layer: nobody else wants them in another form. */
static void check_type(const struct run *r)
{
    const struct vt_view view = r->node->in[vt_feature_input(r->node)];
    const enum vt_precision precision = r->plan->precision;
    const enum vt_dtype element = precision == VT_PRECISION_I8     ? VT_U8
                                  : precision == VT_PRECISION_BF16 ? VT_BF16
                                                                   : VT_F32;
    const enum vt_product whole = precision == VT_PRECISION_I8     ? VT_PRODUCT_U8S8
                                  : precision == VT_PRECISION_BF16 ? VT_PRODUCT_BF16
                                                                   : VT_PRODUCT_F32;
    size_t makers = 0;
    assert_int_equal(r->plan->graph->nodes[view.value].element, element);
    assert_int_equal(r->node->product, r->node->u.select.groups > 1 ? VT_PRODUCT_F32 : whole);
    for (size_t i = 0; i < r->plan->step_count; i++) {
        const struct vt_node *from = &r->plan->graph->nodes[r->plan->steps[i].node->in[0].value];
        assert_false(r->plan->steps[i].type == VT_NODE_CONVERT && from->type == VT_NODE_LINEAR);
        makers += r->plan->steps[i].out == view.value && r->plan->steps[i].type == VT_NODE_LINEAR;
    }
    assert_int_equal(makers, 1);
}

/* Before it runs: what it reads may be overwritten. */
static void check_selection(struct run *r, const struct vt_exec *x, size_t i)
{
    static struct features f;
    const struct vt_step *s = &r->plan->steps[i];
    r->node = s->node;
    check_type(r);
    read_features(r, &f);
    vt_exec_step(x, s, &r->s->weights[i]);
    if (r->node->u.select.by == VT_SELECT_MATCH)
        check_match(r, &f, map_of(r, s->out));
    else
        check_similar(r, &f, map_of(r, s->out));
}

/* Every step of a session that has run. Returns how many selections there are. */
static size_t check_session(struct run *r)
{
    const struct vt_exec x = { .plan = r->plan,
                               .pool = r->s->pool,
                               .arena = r->s->arena,
                               .scratch = r->s->arena + r->plan->value_bytes,
                               .scratch_bytes = r->plan->scratch_bytes,
                               .images = 1,
                               .offsets = r->s->offsets,
                               .pixels = r->s->pixels,
                               .weights = r->s->weights };
    size_t selections = 0;
    for (size_t i = r->plan->constant_count; i < r->plan->step_count; i++)
        if (vt_compares_features(r->plan->steps[i].node)) {
            check_selection(r, &x, i);
            selections++;
        } else {
            vt_exec_step(&x, &r->plan->steps[i], &r->s->weights[i]);
        }
    return selections;
}

/* Pixels as the session reads them: those of an image in memory that is F32. */
static void check_image(const vitrt_model *m, vitrt_session_options options, const float *pixels, uint32_t side,
                        size_t selections, struct run *r)
{
    const vitrt_image image = { .data = pixels, .width = side, .height = side, .format = VITRT_FORMAT_F32 };
    vitrt_error err;
    options.max_batch = 1;
    assert_ok(vitrt_session_create(m, &options, &r->s, &err), &err);
    assert_ok(vitrt_run(r->s, &image, 1, NULL, &err), &err);
    r->plan = r->s->plan;
    if (r->s->pixels[0] != pixels) /* a copy, which later steps have overwritten */
        memcpy(r->s->arena + r->plan->values[0].offset, pixels, (size_t)side * side * 3 * sizeof *pixels);
    assert_int_equal(check_session(r), selections);
    vitrt_session_free(r->s);
}

/* ---- Models ---- */

/* In [-2, 2), smooth at some places. */
static const float *pixels_of_picture(int picture)
{
    static float pixels[REDUCED_SIDE * REDUCED_SIDE * 3];
    uint64_t seed = (uint64_t)picture;
    for (int i = 0; i < REDUCED_SIDE * REDUCED_SIDE * 3; i++)
        pixels[i] = random_float(&seed) * (picture % 2 ? 2 : 0.5f) + sinf((float)(i / (REDUCED_SIDE * 3)) / 5);
    return pixels;
}

static vitrt_model *reduced(const vitrt_model *m, const char *schedule)
{
    struct schedule s;
    vitrt_model *r;
    vitrt_error err;
    schedule_read(&s, schedule);
    assert_ok(vitrt_model_reduce(m, reduction_options(&s.reduction), &r, &err), &err);
    return r;
}

static vitrt_model *case_model(int i, vitrt_precision precision, uint32_t flags)
{
    const vitrt_quantize_options options = { .flags = flags };
    vitrt_model *m;
    vitrt_error err;
    if (precision == VITRT_PRECISION_I8)
        return quantized_case(reduced_cases[i], &options);
    assert_ok(vitrt_model_open(golden_path(reduced_cases[i], ""), NULL, &m, &err), &err);
    return m;
}

static void check_models(vitrt_precision precision, uint32_t flags)
{
    struct run r = { .s = NULL };
    for (int i = 0; i < REDUCED_CASES; i++) {
        vitrt_model *dense = case_model(i, precision, flags);
        for (size_t k = 0; k < SCHEDULES; k++) {
            vitrt_model *m = reduced(dense, schedules[k]);
            const vitrt_session_options options = { .threads = 1, .precision = precision };
            const size_t selections = strncmp(schedules[k], "tome", 4) == 0 ? 3 : 2; /* one by scores alone */
            for (int picture = 0; picture < 3; picture++)
                check_image(m, options, pixels_of_picture(picture), REDUCED_SIDE, selections, &r);
            vitrt_model_free(m);
        }
        vitrt_model_free(dense);
    }
    print_message("%zu choices, %zu of them within rounding\n", r.compared, r.unclear);
    assert_true(r.unclear < r.compared / 50);
}

static void test_floats(void **state)
{
    (void)state;
    check_models(VITRT_PRECISION_F32, 0);
}

static void test_bf16(void **state)
{
    (void)state;
    check_models(VITRT_PRECISION_BF16, 0);
}

static void test_codes(void **state)
{
    (void)state;
    check_models(VITRT_PRECISION_I8, 0);
    check_models(VITRT_PRECISION_I8, VITRT_QUANTIZE_TENSORS);
}

/* ---- Early selections ---- */

/* Keys that are compared before attention, from whose rows only queries are cut. */
static void test_keys_before_attention(void **state)
{
    static const char graph[] =
        "{\"version\":3,\"size\":[8,8],\"nodes\":[{\"op\":\"input\",\"name\":\"pixels\"},"
        "{\"op\":\"conv2d\",\"name\":\"x\",\"in\":[\"pixels\"],\"weight\":\"f32.8x3x2x2\",\"stride\":[2,2]},"
        "{\"op\":\"linear\",\"name\":\"qkv\",\"in\":[\"x\"],\"weight\":\"i8.24x8\",\"bias\":\"f32.24\","
        "\"quantize\":[{\"bits\":8,\"scale\":0.05,\"zero_point\":120}]},"
        "{\"op\":\"select\",\"name\":\"s\",\"in\":[[\"qkv\",8,8]],\"by\":\"match\",\"groups\":%d,\"protect\":1,"
        "\"count\":5,\"drop\":true},"
        "{\"op\":\"apply\",\"name\":\"q\",\"in\":[[\"qkv\",0,8],\"s\"]},"
        "{\"op\":\"attention\",\"name\":\"a\",\"in\":[\"q\",[\"qkv\",8,8],[\"qkv\",16,8]],\"heads\":2,\"scale\":0.5,"
        "\"quantize\":[{\"bits\":8,\"scale\":0.25,\"zero_point\":120},{\"bits\":8,\"scale\":%s},"
        "{\"bits\":8,\"scale\":0.25,\"zero_point\":128}]}],\"outputs\":{\"a\":\"a\"}}";
    static const char *const keys[] = { "0.25,\"zero_point\":130", "0.25,\"zero_point\":-40" };
    static const vitrt_precision precisions[] = { VITRT_PRECISION_F32, VITRT_PRECISION_BF16, VITRT_PRECISION_I8 };
    struct run r = { .s = NULL };
    (void)state;
    for (int i = 0; i < 12; i++) {
        static struct counting counting; /* of models that are alive one after the other */
        float pixels[GRAPH_SIDE * GRAPH_SIDE * 3];
        struct graph g;
        vitrt_model *m;
        vitrt_error err;
        snprintf(g.text, sizeof g.text, graph, 1 + i % 2, keys[i / 2 % 2]);
        assert_ok(graph_open(&g, &counting, &m, &err), &err);
        graph_noise(7, pixels);
        check_image(m, (vitrt_session_options){ .threads = 1, .precision = precisions[i / 4] }, pixels, GRAPH_SIDE, 1,
                    &r);
        vitrt_model_free(m);
    }
    assert_true(r.compared > r.unclear);
}

/* ---- Bits ---- */

/* The same as alone, in a batch of one and of all. */
static void check_batches(const vitrt_model *m, vitrt_session_options options, const char *name,
                          const struct answer *wanted, const char *what)
{
    static struct answer found;
    vitrt_output outputs[SCHEDULE_LAYERS + 2] = { 0 };
    vitrt_session *s;
    vitrt_error err;
    options.max_batch = PICTURES;
    assert_ok(vitrt_session_create(m, &options, &s, &err), &err);
    for (size_t n = 1; n <= PICTURES; n += PICTURES - 1) {
        assert_ok(vitrt_run(s, reduced_pictures(name), n, outputs, &err), &err);
        for (size_t i = 0; i < n; i++) {
            answer_read(&found, outputs, options.output_count, i);
            assert_same_answer(&found, &wanted[i], what);
        }
    }
    vitrt_session_free(s);
}

static void check_bits(const char *schedule, const vitrt_model *dense, const char *name, vitrt_precision precision)
{
    static struct answer wanted[PICTURES];
    struct schedule s;
    schedule_read(&s, schedule);
    vitrt_model *m = reduced(dense, schedule);
    vitrt_session_options options = { .precision = precision, .outputs = s.outputs, .output_count = s.output_count };
    answers_alone(m, options, reduced_pictures(name), PICTURES, wanted);
    for (options.threads = 1; options.threads <= 3; options.threads++)
        check_batches(m, options, name, wanted, schedule);
    if (precision == VITRT_PRECISION_I8)
        assert_same_on_all_bundles(m, options, name, wanted, schedule);
    vitrt_model_free(m);
}

static void test_bits(void **state)
{
    static const vitrt_precision precisions[] = { VITRT_PRECISION_F32, VITRT_PRECISION_BF16, VITRT_PRECISION_I8 };
    static const int cases[] = { HF_VIT, TIMM_VIT_AVG_NOCLS };
    (void)state;
    for (int i = 0; i < 6; i++) {
        vitrt_model *dense = case_model(cases[i % 2], precisions[i / 2], 0);
        for (size_t k = 0; k < SCHEDULES; k++)
            check_bits(schedules[k], dense, reduced_cases[cases[i % 2]], precisions[i / 2]);
        vitrt_model_free(dense);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_floats), cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_codes),  cmocka_unit_test(test_keys_before_attention),
        cmocka_unit_test(test_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
