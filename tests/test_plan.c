/* SPDX-License-Identifier: Apache-2.0 */
/* Plans: fused steps, no two values in the same memory at the same time, nothing computed that no output needs, no more
 * bytes than the precision asks for. */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "session.h"

/* What float models are multiplied in. */
static const enum vt_precision precisions[] = { VT_PRECISION_F32, VT_PRECISION_BF16 };
enum { PRECISIONS = sizeof precisions / sizeof *precisions };

/* Plans a case for the given outputs and a CPU without weights or arena. */
static struct vt_plan *make_plan_for(unsigned cpu, const char *name, enum vt_precision precision,
                                     const char *const *outputs, size_t count, uint32_t batch,
                                     struct vt_kernels *kernels, vitrt_model **m)
{
    vt_value values[16];
    struct vt_plan *plan;
    vitrt_error err;
    assert_ok(vitrt_model_open(golden_path(name, ""), NULL, m, &err), &err);
    for (size_t i = 0; i < count; i++) {
        values[i] = vt_graph_find_output(&(*m)->graph, outputs[i]);
        assert_int_not_equal(values[i], VT_NO_VALUE);
    }
    vt_kernels_init(kernels, cpu);
    const struct vt_plan_options options = { .precision = precision,
                                             .height = (*m)->default_size[0],
                                             .width = (*m)->default_size[1],
                                             .max_batch = batch,
                                             .threads = 2,
                                             .outputs = values,
                                             .output_count = count };
    assert_ok(vt_plan_create(&vt_default_allocator, &(*m)->graph, kernels, &options, &plan, &err), &err);
    return plan;
}

enum { BATCH = 16 }; /* more than go through the steps at a time */

static struct vt_plan *make_plan(const char *name, enum vt_precision precision, const char *const *outputs,
                                 size_t count, uint32_t batch, struct vt_kernels *kernels, vitrt_model **m)
{
    return make_plan_for(vt_cpu_detect(), name, precision, outputs, count, batch, kernels, m);
}

/* 1 where q of the last block is a layer of its own: where it ends, a panel ends. timm_deit3 is 48 wide. */
static size_t queries_apart(const struct vt_kernels *kernels, enum vt_precision precision)
{
    return 48 % kernels->gemm[precision].nr == 0;
}

/* In bf16, too: norms, products and attention write what is read next in the type it is read in. */
static void blocks_are_seven_steps(enum vt_precision precision)
{
    static const enum vt_node_type wanted[] = { VT_NODE_LAYER_NORM, VT_NODE_LINEAR, VT_NODE_ATTENTION, VT_NODE_LINEAR,
                                                VT_NODE_LAYER_NORM, VT_NODE_LINEAR, VT_NODE_LINEAR };
    const char *logits = "logits";
    struct vt_kernels kernels;
    vitrt_model *m;
    struct vt_plan *p = make_plan("timm_deit3", precision, &logits, 1, 1, &kernels, &m);
    /* positions; patch embedding, embed; blocks; in the last one slices of the stream and of q or what it is made from;
     * norm, head */
    assert_int_equal(p->constant_count, 1);
    assert_int_equal(p->step_count, 1 + 2 + 3 * 7 + 2 + queries_apart(&kernels, precision) + 2);
    for (size_t block = 0; block < 2; block++) {
        const struct vt_step *s = &p->steps[3 + 7 * block];
        for (size_t i = 0; i < 7; i++)
            assert_int_equal(s[i].type, wanted[i]);
        assert_int_not_equal(s[3].scale, VT_NO_WEIGHT); /* LayerScale and residual in the projection's epilogue */
        assert_int_not_equal(s[3].residual.value, VT_NO_VALUE);
        assert_int_equal(s[5].activation, VT_ACT_GELU);
        assert_int_not_equal(s[6].residual.value, VT_NO_VALUE);
        assert_int_equal(p->values[s[3].out].offset, p->values[s[3].residual.value].offset); /* in place */
    }
    vt_plan_free(p);
    vitrt_model_free(m);
}

static void test_blocks_are_seven_steps(void **state)
{
    (void)state;
    for (size_t i = 0; i < PRECISIONS; i++)
        blocks_are_seven_steps(precisions[i]);
}

static void test_asked_for_block_is_kept(void **state)
{
    const char *outputs[] = { "logits", "block.0" };
    struct vt_kernels kernels;
    vitrt_model *m;
    (void)state;
    struct vt_plan *p = make_plan("timm_deit3", VT_PRECISION_F32, outputs, 2, 1, &kernels, &m);
    const vt_value kept = p->outputs[1];
    assert_int_equal(p->values[kept].last, p->step_count);
    for (size_t i = 0; i < p->step_count; i++)
        if (p->steps[i].residual.value == kept)
            assert_int_not_equal(p->values[p->steps[i].out].offset,
                                 p->values[kept].offset); /* the next sum goes elsewhere */
    vt_plan_free(p);
    vitrt_model_free(m);
}

/* The last block of a class-token model: keys and values of all tokens, everything else of one. */
static void dead_rows_are_not_computed(enum vt_precision precision)
{
    const char *logits = "logits", *both[] = { "logits", "features" };
    struct vt_kernels kernels;
    vitrt_model *m;
    struct vt_plan *p = make_plan("timm_deit3", precision, &logits, 1, 1, &kernels, &m);
    size_t rows_of_one = 0, rows_of_all = 0;
    for (size_t i = 0; i < p->step_count; i++)
        if (p->steps[i].type == VT_NODE_LINEAR || p->steps[i].type == VT_NODE_ATTENTION)
            *(p->values[p->steps[i].out].rows == 1 ? &rows_of_one : &rows_of_all) += 1;
    assert_int_equal(rows_of_one, 4 + 1 + queries_apart(&kernels, precision)); /* attention, proj, fc1, fc2; head; q */
    assert_int_equal(rows_of_all, 2 * 5 + 1);
    vt_plan_free(p);
    vitrt_model_free(m);
    p = make_plan("timm_deit3", precision, both, 2, 1, &kernels, &m);
    for (size_t i = 0; i < p->step_count; i++)
        if (p->steps[i].type == VT_NODE_ATTENTION)
            assert_int_equal(p->values[p->steps[i].out].rows, 65);
    vt_plan_free(p);
    vitrt_model_free(m);
}

static void test_dead_rows_are_not_computed(void **state)
{
    (void)state;
    for (size_t i = 0; i < PRECISIONS; i++)
        dead_rows_are_not_computed(precisions[i]);
}

/* q of one row, k and v of all, of one weight that is packed once. */
static void queries_of_one_row(enum vt_precision precision)
{
    const char *logits = "logits", *both[] = { "logits", "features" };
    struct vt_kernels kernels;
    vitrt_model *m;
    struct vt_plan *p = make_plan_for(0, "timm_deit3", precision, &logits, 1, 1, &kernels, &m);
    const uint64_t packed = vt_plan_packed_bytes(p);
    size_t second_parts = 0;
    for (size_t i = 1; i < p->step_count; i++) {
        const struct vt_step *s = &p->steps[i];
        if (s->type != VT_NODE_LINEAR || !s->node->u.linear.first)
            continue;
        second_parts++;
        assert_int_equal(s->node->u.linear.first, 48);
        assert_int_equal(s->node->columns, 2 * 48);
        assert_int_equal(p->values[s->out].rows, 65);
        assert_int_equal(s[-1].weight, s->weight);
        assert_int_equal(s[-1].node->columns, 48);
        assert_int_equal(p->values[s[-1].out].rows, 1);
    }
    assert_int_equal(second_parts, 1);
    vt_plan_free(p);
    vitrt_model_free(m);
    p = make_plan_for(0, "timm_deit3", precision, both, 2, 1, &kernels, &m);
    assert_int_equal(vt_plan_packed_bytes(p), packed);
    for (size_t i = 0; i < p->step_count; i++)
        assert_true(p->steps[i].type != VT_NODE_LINEAR || !p->steps[i].node->u.linear.first);
    vt_plan_free(p);
    vitrt_model_free(m);
}

static void test_columns_wanted_in_different_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < PRECISIONS; i++)
        queries_of_one_row(precisions[i]);
}

static void test_only_what_is_asked_for(void **state)
{
    const char *first = "block.0";
    struct vt_kernels kernels;
    vitrt_model *m;
    (void)state;
    struct vt_plan *p = make_plan("timm_deit3", VT_PRECISION_F32, &first, 1, 1, &kernels, &m);
    assert_int_equal(p->step_count, 1 + 2 + 7);
    vt_plan_free(p);
    vitrt_model_free(m);
}

/* Lifetimes recomputed from the steps alone: a value lives from the step that writes it to the last that reads it. */
static void find_lifetime(const struct vt_plan *p, vt_value v, const vt_value *outputs, size_t count, size_t *first,
                          size_t *last)
{
    *first = 0;
    *last = 0;
    for (size_t i = 0; i < p->step_count; i++) {
        const struct vt_step *s = &p->steps[i];
        bool reads = s->residual.value == v;
        for (uint32_t k = 0; k < s->node->in_count; k++)
            reads |= s->node->in[k].value == v;
        if (s->out == v && i >= p->constant_count)
            *first = i;
        if (reads || s->out == v)
            *last = i;
    }
    for (size_t i = 0; i < count; i++)
        if (outputs[i] == v)
            *last = p->step_count;
    if (p->values[v].constant)
        *last = p->step_count;
    if (p->values[v].whole_batch && p->pass_images < p->max_batch) { /* other passes fill it before or read it later */
        *first = 0;
        *last = p->step_count;
    }
}

/* May the values a and b, with these lifetimes, lie in the same memory? */
static bool may_share(const struct vt_plan *p, vt_value a, size_t first_a, size_t last_a, vt_value b, size_t first_b,
                      size_t last_b)
{
    if (last_a < first_b || last_b < first_a)
        return true;
    /* A step may write over its own residual, element by element, and over nothing else that it reads. */
    if (last_a != first_b || first_b == p->step_count)
        return false;
    const struct vt_step *s = &p->steps[first_b];
    for (uint32_t k = 0; k < s->node->in_count; k++)
        if (s->node->in[k].value == a)
            return false;
    return s->out == b && s->residual.value == a;
}

static void check_plan(const char *name, const struct vt_plan *p, const vt_value *outputs, size_t count)
{
    for (size_t a = 0; a < p->graph->node_count; a++) {
        const struct vt_plan_value *va = &p->values[a];
        size_t first_a, last_a, first_b, last_b;
        if (!va->live)
            continue;
        assert_true(va->offset % VT_ALIGN == 0 && va->offset + va->bytes <= p->value_bytes);
        find_lifetime(p, (vt_value)a, outputs, count, &first_a, &last_a);
        for (size_t b = a + 1; b < p->graph->node_count; b++) {
            const struct vt_plan_value *vb = &p->values[b];
            if (!vb->live || va->offset + va->bytes <= vb->offset || vb->offset + vb->bytes <= va->offset)
                continue;
            find_lifetime(p, (vt_value)b, outputs, count, &first_b, &last_b);
            if (!may_share(p, (vt_value)a, first_a, last_a, (vt_value)b, first_b, last_b))
                fail_msg("%s: values %zu (steps %zu-%zu) and %zu (steps %zu-%zu) share memory", name, a, first_a,
                         last_a, b, first_b, last_b);
        }
    }
}

static void check_arena(const char *name)
{
    static const char *const sets[][3] = {
        { "logits" }, { "features", "block.0", "pixels" }, { "block.0" }, { "embedding", "features" }
    };
    for (size_t set = 0; set < sizeof sets / sizeof *sets; set++) {
        struct vt_kernels kernels;
        vitrt_model *m;
        vitrt_error err;
        const char *names[3];
        size_t count = 0;
        assert_ok(vitrt_model_open(golden_path(name, ""), NULL, &m, &err), &err);
        for (size_t i = 0; i < 3 && sets[set][i]; i++)
            if (vt_graph_find_output(&m->graph, sets[set][i]) != VT_NO_VALUE)
                names[count++] = sets[set][i];
        vitrt_model_free(m);
        if (!count)
            continue; /* a backbone has no logits */
        for (size_t i = 0; i < PRECISIONS; i++) {
            struct vt_plan *p = make_plan(name, precisions[i], names, count, BATCH, &kernels, &m);
            check_plan(name, p, p->outputs, count);
            vt_plan_free(p);
            vitrt_model_free(m);
        }
    }
}

static void test_no_memory_is_used_twice(void **state)
{
    (void)state;
    for_each_golden(check_arena);
}

static void arena_is_small(enum vt_precision precision)
{
    const char *logits = "logits";
    struct vt_kernels kernels;
    vitrt_model *m;
    struct vt_plan *p = make_plan("timm_vit", precision, &logits, 1, 1, &kernels, &m);
    /* 65 tokens of width 48: stream, norm, and either qkv and attention's output or the hidden layer, all but the
     * stream in the product's type; the input is gone by then */
    const size_t tokens = 65, row = 48 * sizeof(float), element = precision == VT_PRECISION_BF16 ? 2 : 4;
    const size_t pixels = 64 * 64 * 3 * sizeof(float), start = pixels + tokens * row;
    const size_t positions = tokens * row, blocks = tokens * (row + (48 + 192) * element);
    assert_in_range(p->value_bytes, positions, positions + (blocks > start ? blocks : start) + 16 * VT_ALIGN);
    vt_plan_free(p);
    vitrt_model_free(m);
}

static void test_arena_is_small(void **state)
{
    (void)state;
    for (size_t i = 0; i < PRECISIONS; i++)
        arena_is_small(precisions[i]);
}

/* ---- bf16 ---- */

/* Everything that is multiplied is bf16 by then; returns how many conversions no step before could do. */
static size_t check_operands(const struct vt_plan *p)
{
    size_t conversions = 0;
    for (size_t i = 0; i < p->step_count; i++) {
        const struct vt_step *s = &p->steps[i];
        conversions += s->type == VT_NODE_CONVERT;
        if (s->type != VT_NODE_LINEAR && s->type != VT_NODE_ATTENTION)
            continue;
        for (uint32_t k = 0; k < s->node->in_count; k++)
            assert_int_equal(p->graph->nodes[s->node->in[k].value].element, VT_BF16);
        if (s->residual.value != VT_NO_VALUE)
            assert_int_equal(p->graph->nodes[s->residual.value].element, VT_F32);
    }
    for (size_t i = 0; i < p->output_count; i++)
        assert_int_equal(p->graph->nodes[p->outputs[i]].element, VT_F32);
    return conversions;
}

static void test_conversions_are_fused(void **state)
{
    static const struct {
        const char *name, *output;
        size_t conversions;
    } cases[] = {
        { "timm_vit", "logits", 0 },
        { "hf_vit", "logits", 0 },
        { "timm_deit3", "logits", 0 },
        { "hf_deit", "logits", 0 },
        { "timm_dinov2_reg", "logits", 0 },
        { "hf_dinov2", "features", 0 },
        { "hf_dinov2", "logits", 1 },           /* class token beside the mean of the patches */
        { "timm_deit_distilled", "logits", 2 }, /* one row of the two tokens' norm for each head */
        { "timm_avg_no_fc_norm", "logits", 1 }, /* the mean */
        { "timm_swiglu", "logits", 2 },         /* the product of SwiGLU's halves, in each block */
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct vt_kernels kernels;
        vitrt_model *m;
        struct vt_plan *p = make_plan(cases[i].name, VT_PRECISION_BF16, &cases[i].output, 1, 1, &kernels, &m);
        assert_int_equal(check_operands(p), cases[i].conversions);
        vt_plan_free(p);
        vitrt_model_free(m);
    }
}

/* Bytes of all panels, which have no more than the last panel's padding in them. */
static size_t panel_bytes(const struct vt_plan *p)
{
    const struct vt_gemm_kernel *kernel = &p->kernels->gemm[p->precision];
    const size_t element = p->precision == VT_PRECISION_BF16 ? 2 : 4;
    size_t sum = 0;
    for (size_t i = 0; i < p->step_count; i++) {
        const enum vt_layout layout = vt_plan_request(p, i * VT_STEP_WEIGHTS + VT_STEP_WEIGHT).layout;
        bool counted = layout == VT_LAYOUT_PLAIN;
        for (size_t k = 0; k < i; k++) /* halves of a layer share their weight */
            counted |= p->steps[k].weight == p->steps[i].weight;
        if (counted)
            continue;
        const struct vt_graph_weight *w = &p->graph->weights[p->steps[i].weight];
        const size_t bytes = vt_weights_bytes(p->graph, p->steps[i].weight, layout, p->kernels);
        assert_in_range(bytes, element * w->rows * w->columns,
                        element * (w->rows + kernel->nr - 1) * (w->columns + kernel->kr - 1));
        sum += bytes;
    }
    return sum;
}

/* Panels, that is; vectors and positions stay as they are. */
static void bf16_halves_weights(unsigned cpu)
{
    const char *logits = "logits";
    uint64_t rest[PRECISIONS];
    for (size_t i = 0; i < PRECISIONS; i++) {
        struct vt_kernels kernels;
        vitrt_model *m;
        struct vt_plan *p = make_plan_for(cpu, "timm_vit", precisions[i], &logits, 1, 1, &kernels, &m);
        rest[i] = vt_plan_packed_bytes(p) - panel_bytes(p);
        vt_plan_free(p);
        vitrt_model_free(m);
    }
    assert_int_equal(rest[1], rest[0]);
}

static void test_bf16_halves_weights(void **state)
{
    (void)state;
    bf16_halves_weights(vt_cpu_detect());
    bf16_halves_weights(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks_are_seven_steps),
        cmocka_unit_test(test_asked_for_block_is_kept),
        cmocka_unit_test(test_only_what_is_asked_for),
        cmocka_unit_test(test_dead_rows_are_not_computed),
        cmocka_unit_test(test_no_memory_is_used_twice),
        cmocka_unit_test(test_arena_is_small),
        cmocka_unit_test(test_conversions_are_fused),
        cmocka_unit_test(test_bf16_halves_weights),
        cmocka_unit_test(test_columns_wanted_in_different_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
