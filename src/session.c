/* SPDX-License-Identifier: Apache-2.0 */
/* Making and freeing sessions; see session.h. Running is in run.c. */
#include "session.h"

#include "float_env.h"
#include "os.h"
#include "step_codes.h"
#include "step_integers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_MAX_IMAGE_SIDE 16384

/* ---- Options ---- */

static vitrt_status choose_kernels(struct vt_kernels *kernels, vitrt_error *err)
{
    unsigned cpu = vt_cpu_detect(), cap;
    const char *name = getenv("VITRT_CPU");
    if (name && *name) {
        if (!vt_cpu_from_name(name, &cap))
            return vt_err(err, VITRT_EINVAL, "the environment variable VITRT_CPU is \"%.64s\", expected one of: %s",
                          name, vt_cpu_names());
        cpu &= cap;
    }
    vt_kernels_init(kernels, cpu);
    return VITRT_OK;
}

static vitrt_status check_options(const vitrt_session_options *o, vitrt_error *err)
{
    for (size_t i = 0; i < sizeof o->reserved / sizeof *o->reserved; i++)
        if (o->reserved[i])
            return vt_err(err, VITRT_EINVAL, "reserved member %zu of the session options is not zero", i);
    if (!vt_allocator_valid(o->allocator))
        return vt_err(err, VITRT_EINVAL, "the allocator has only one of its two functions");
    if (o->threads < 0 || o->threads > VITRT_MAX_THREADS)
        return vt_err(err, VITRT_EINVAL, "the session options ask for %d threads, expected 0 to %d", (int)o->threads,
                      VITRT_MAX_THREADS);
    if (o->precision < VITRT_PRECISION_DEFAULT || o->precision > VITRT_PRECISION_I8_STRICT)
        return vt_err(err, VITRT_EUNSUPPORTED,
                      "precision %d is not supported, this version runs f32, bf16, i8 and i8-strict",
                      (int)o->precision);
    if (!o->height != !o->width)
        return vt_err(err, VITRT_EINVAL,
                      "the session options give the input size %ux%u, expected both sides or neither",
                      (unsigned)o->height, (unsigned)o->width);
    if (o->height > VITRT_MAX_INPUT_SIDE || o->width > VITRT_MAX_INPUT_SIDE)
        return vt_err(err, VITRT_ELIMIT, "the input size %ux%u is over %u on a side", (unsigned)o->height,
                      (unsigned)o->width, VITRT_MAX_INPUT_SIDE);
    if (o->max_batch > VITRT_MAX_BATCH)
        return vt_err(err, VITRT_ELIMIT, "max_batch is %u, expected at most %u", (unsigned)o->max_batch,
                      VITRT_MAX_BATCH);
    if (o->max_image_side > VITRT_MAX_IMAGE_SIDE)
        return vt_err(err, VITRT_ELIMIT, "max_image_side is %u, expected at most %u", (unsigned)o->max_image_side,
                      VITRT_MAX_IMAGE_SIDE);
    if (o->outputs && !o->output_count)
        return vt_err(err, VITRT_EINVAL, "outputs is given but output_count is 0");
    if (!o->outputs && o->output_count)
        return vt_err(err, VITRT_EINVAL, "output_count is %zu but outputs is NULL", o->output_count);
    return VITRT_OK;
}

/* "logits, features, block.0", as many as there is room for. */
static void list_outputs(const struct vt_graph *g, char *text, size_t size)
{
    size_t used = 0;
    for (size_t i = g->output_count; i-- > 0;) { /* the last ones are what is usually asked for */
        const struct vt_graph_output *o = &g->outputs[i];
        if (used + strlen(o->name) + sizeof ", ..." > size) {
            memcpy(text + used, "...", sizeof "...");
            return;
        }
        used += (size_t)snprintf(text + used, size - used, i ? "%s, " : "%s", o->name);
    }
}

/* What a session gives that is asked for nothing. */
static const char *usual_output(const struct vt_graph *g)
{
    if (vt_graph_find_output(g, "logits") != VT_NO_VALUE)
        return "logits";
    return vt_graph_find_output(g, "features") != VT_NO_VALUE ? "features" : g->outputs[g->output_count - 1].name;
}

/* Values of the model's graph as outputs without names. */
static vitrt_status tap_values(vitrt_session *s, const vt_value *values, size_t count, vitrt_error *err)
{
    s->outputs = vt_calloc(&s->alloc, count, sizeof *s->outputs);
    if (!s->outputs)
        return vt_err_memory(err, vt_size_mul(count, sizeof *s->outputs), "outputs");
    s->output_count = count;
    for (size_t i = 0; i < count; i++)
        s->outputs[i].value = values[i];
    return VITRT_OK;
}

static vitrt_status choose_outputs(vitrt_session *s, const vitrt_session_options *o, vitrt_error *err)
{
    const struct vt_graph *g = &s->model->graph;
    const size_t count = o->outputs ? o->output_count : 1;
    s->outputs = vt_calloc(&s->alloc, count, sizeof *s->outputs);
    if (!s->outputs)
        return vt_err_memory(err, vt_size_mul(count, sizeof *s->outputs), "outputs");
    s->output_count = count;
    for (size_t i = 0; i < count; i++) {
        const char *name = o->outputs ? o->outputs[i] : usual_output(g);
        if (!name)
            return vt_err(err, VITRT_EINVAL, "the name of output %zu is NULL", i);
        s->outputs[i].value = vt_graph_find_output(g, name);
        if (s->outputs[i].value == VT_NO_VALUE) {
            char names[200];
            list_outputs(g, names, sizeof names);
            return vt_err(err, VITRT_EINVAL, "%s has no output \"%.60s\", it has %s",
                          vt_checkpoint_path(s->model->checkpoint), name, names);
        }
        memcpy(s->outputs[i].name, name, strlen(name) + 1); /* a name that was found fits */
    }
    return VITRT_OK;
}

static unsigned default_threads(const vitrt_session_options *o)
{
    return VT_NO_THREADS && !o->parallel_for ? 1 : vt_processor_count();
}

/* A quantized model runs in its own precision unless a session asks for another one. */
static vitrt_status choose_precision(const vitrt_model *m, vitrt_precision wanted, enum vt_precision *precision,
                                     vitrt_error *err)
{
    const bool quantized = vt_graph_is_quantized(&m->graph);
    if (wanted >= VITRT_PRECISION_I8 && !quantized)
        return vt_err(err, VITRT_EINVAL,
                      "%s: the model is not quantized, so that it cannot run in integers; see "
                      "vitrt_model_quantize",
                      vt_checkpoint_path(m->checkpoint));
    if (wanted == VITRT_PRECISION_I8_STRICT)
        *precision = VT_PRECISION_STRICT;
    else if (wanted == VITRT_PRECISION_BF16)
        *precision = VT_PRECISION_BF16;
    else if (quantized && wanted != VITRT_PRECISION_F32)
        *precision = VT_PRECISION_I8;
    else
        *precision = VT_PRECISION_F32;
    return VITRT_OK;
}

/* Instead of what preprocessing makes of an 8-bit value, the value itself, as an integer in the float's place. */
static void keep_pixels(struct vt_level_table *table)
{
    for (size_t c = 0; c < 3; c++)
        for (uint32_t v = 0; v < 256; v++)
            memcpy(&table->value[c][v], &v, sizeof v);
}

static vitrt_status make_plan(vitrt_session *s, const vitrt_session_options *o, vitrt_error *err)
{
    struct vt_plan_options plan = { .height = o->height ? o->height : s->model->default_size[0],
                                    .width = o->width ? o->width : s->model->default_size[1],
                                    .max_batch = o->max_batch ? o->max_batch : 1,
                                    .threads = o->threads ? (unsigned)o->threads : default_threads(o) };
    vitrt_status st = choose_precision(s->model, o->precision, &plan.precision, err);
    if (st)
        return st;
    if (plan.threads > VITRT_MAX_THREADS)
        plan.threads = VITRT_MAX_THREADS;
    s->preprocess = s->model->preprocess;
    s->max_image_side = o->max_image_side ? o->max_image_side : DEFAULT_MAX_IMAGE_SIDE;
    if (plan.precision == VT_PRECISION_STRICT)
        keep_pixels(&s->preprocess.table);
    st = vt_preprocess_set_size(&s->preprocess, plan.height, plan.width, err);
    if (st)
        return st;
    plan.preprocess_scratch_bytes = vt_preprocess_scratch_bytes(&s->preprocess, s->max_image_side);
    vt_value *values = vt_calloc(&s->alloc, s->output_count, sizeof *values);
    if (!values)
        return vt_err_memory(err, s->output_count * sizeof *values, "outputs");
    for (size_t i = 0; i < s->output_count; i++)
        values[i] = s->outputs[i].value;
    plan.outputs = values;
    plan.output_count = s->output_count;
    st = vt_plan_create(&s->alloc, &s->model->graph, &s->kernels, &plan, &s->plan, err);
    for (size_t i = 0; i < s->output_count && !st; i++)
        s->outputs[i].value = s->plan->outputs[i];
    if (!st && plan.precision == VT_PRECISION_STRICT)
        st = vt_check_integers(s->plan, err);
    vt_free(&s->alloc, values, s->output_count * sizeof *values);
    return st;
}

/* Everything that costs neither weights, arena nor threads. taps: values in place of the options' outputs, or NULL. */
static vitrt_status prepare(const vitrt_model *m, const vitrt_session_options *options, const vt_value *taps,
                            size_t tap_count, vitrt_session **out, vitrt_error *err)
{
    static const vitrt_session_options defaults = { 0 };
    const vitrt_session_options *o = options ? options : &defaults;
    if (!m)
        return vt_err(err, VITRT_EINVAL, "the model is NULL");
    vitrt_status st = check_options(o, err);
    if (st)
        return st;
    const vitrt_allocator alloc = o->allocator ? vt_allocator_or_default(o->allocator) : m->alloc;
    vitrt_session *s = vt_calloc(&alloc, 1, sizeof *s);
    if (!s)
        return vt_err_memory(err, sizeof *s, "the session");
    s->alloc = alloc;
    s->model = (vitrt_model *)m; /* const to the caller; the reference count is ours */
    vt_model_retain(s->model);
    st = choose_kernels(&s->kernels, err);
    if (!st)
        st = taps ? tap_values(s, taps, tap_count, err) : choose_outputs(s, o, err);
    if (!st)
        st = make_plan(s, o, err);
    if (st)
        vitrt_session_free(s);
    else
        *out = s;
    return st;
}

/* ---- Memory, weights, threads ---- */

static vitrt_status load_weights(vitrt_session *s, vitrt_error *err)
{
    const size_t count = s->plan->step_count * VT_STEP_WEIGHTS;
    struct vt_weight_request *requests = vt_calloc(&s->alloc, count, sizeof *requests);
    if (count && !requests)
        return vt_err_memory(err, count * sizeof *requests, "the session");
    for (size_t i = 0; i < count; i++)
        requests[i] = vt_plan_request(s->plan, i);
    vitrt_status st = vt_weights_load(s->model->weights, requests, count, &s->kernels, err);
    for (size_t i = 0; i < count && !st; i += VT_STEP_WEIGHTS)
        s->weights[i / VT_STEP_WEIGHTS] =
            (struct vt_step_weights){ .weight = requests[i + VT_STEP_WEIGHT].data,
                                      .bias = requests[i + VT_STEP_BIAS].data,
                                      .scale = requests[i + VT_STEP_SCALE].data,
                                      .weight2 = requests[i + VT_STEP_WEIGHT2].data,
                                      .row_scales = requests[i + VT_STEP_ROW_SCALES].data };
    vt_free(&s->alloc, requests, count * sizeof *requests);
    if (st)
        return st;
    if (s->plan->precision == VT_PRECISION_STRICT)
        return vt_step_integers_create(s->plan, &s->model->preprocess.table, s->weights, &s->codes, &s->codes_bytes,
                                       err);
    return vt_step_codes_create(s->plan, s->weights, &s->codes, &s->codes_bytes, err);
}

static size_t table_elements(const struct vt_plan *p)
{
    return p->row_set_count * ((size_t)p->max_batch + 1);
}

/* Only convolutions, which ask for the place of each image, read the input, and nobody asks for it by name. */
static bool input_may_stay(const struct vt_plan *p)
{
    for (size_t v = 1; v < p->graph->node_count; v++)
        for (uint32_t k = 0; k < p->graph->nodes[v].in_count; k++)
            if (p->graph->nodes[v].in[k].value == 0 && p->graph->nodes[v].type != VT_NODE_CONV2D)
                return false;
    return !vt_is_output(p->outputs, p->output_count, 0) && p->precision != VT_PRECISION_STRICT;
}

/* Integers need a place where they are floats again. */
static size_t numbers_bytes(const vitrt_session *s)
{
    size_t count = 0;
    for (size_t i = 0; i < s->output_count && s->plan->precision == VT_PRECISION_STRICT; i++)
        count += vt_output_numbers(s, i);
    return count * sizeof *s->numbers;
}

static vitrt_status take_memory(vitrt_session *s, vitrt_error *err)
{
    const struct vt_plan *p = s->plan;
    s->weights = vt_calloc(&s->alloc, p->step_count, sizeof *s->weights);
    s->offsets = vt_calloc(&s->alloc, p->row_set_count, sizeof *s->offsets);
    s->offset_table = vt_calloc(&s->alloc, table_elements(p), sizeof *s->offset_table);
    s->image_errors = vt_calloc(&s->alloc, p->max_batch, sizeof *s->image_errors);
    s->pixels = vt_calloc(&s->alloc, p->max_batch, sizeof *s->pixels);
    s->input_stays = input_may_stay(p);
    s->arena = vt_alloc(&s->alloc, p->arena_bytes);
    s->numbers = vt_alloc(&s->alloc, numbers_bytes(s));
    if (numbers_bytes(s) && !s->numbers)
        return vt_err_memory(err, numbers_bytes(s), "outputs");
    if ((p->step_count && !s->weights) || !s->offsets || !s->offset_table || !s->image_errors || !s->pixels ||
        !s->arena)
        return vt_err_memory(err, p->arena_bytes, "the session");
    for (size_t i = 0; i < p->row_set_count; i++)
        s->offsets[i] = s->offset_table + i * ((size_t)p->max_batch + 1);
    return VITRT_OK;
}

static vitrt_status evaluate_constants(vitrt_session *s, vitrt_error *err)
{
    const size_t scratch_bytes = s->plan->constant_scratch_bytes;
    struct vt_exec x = {
        .plan = s->plan, .pool = s->pool, .arena = s->arena, .offsets = s->offsets, .weights = s->weights
    };
    x.scratch = vt_alloc(&s->alloc, scratch_bytes);
    if (scratch_bytes && !x.scratch)
        return vt_err_memory(err, scratch_bytes, "resizing positions");
    for (size_t i = 0; i < s->plan->constant_count; i++)
        vt_exec_step(&x, &s->plan->steps[i], &s->weights[i]);
    if (s->plan->precision == VT_PRECISION_STRICT)
        vt_integers_of_constants(&x);
    vt_free(&s->alloc, x.scratch, scratch_bytes);
    return VITRT_OK;
}

vitrt_status vt_session_create(const vitrt_model *m, const vitrt_session_options *options, const vt_value *taps,
                               size_t tap_count, vitrt_session **out, vitrt_error *err)
{
    vitrt_session *s = NULL;
    *out = NULL;
    vitrt_status st = prepare(m, options, taps, tap_count, &s, err);
    if (st)
        return st;
    st = take_memory(s, err);
    if (!st)
        st = load_weights(s, err);
    if (!st)
        st = vt_pool_create(&s->alloc, s->plan->threads, options ? options->parallel_for : NULL,
                            options ? options->parallel_user : NULL, &s->pool, err);
    if (!st)
        st = evaluate_constants(s, err);
    if (st)
        vitrt_session_free(s);
    else
        *out = s;
    return st;
}

vitrt_status vitrt_session_create(const vitrt_model *m, const vitrt_session_options *options, vitrt_session **out,
                                  vitrt_error *err)
{
    vt_float_env env;
    if (!out)
        return vt_err(err, VITRT_EINVAL, "out is NULL");
    vt_float_env_enter(&env);
    const vitrt_status st = vt_session_create(m, options, NULL, 0, out, err);
    vt_float_env_leave(&env);
    return st;
}

void vitrt_session_free(vitrt_session *s)
{
    if (!s)
        return;
    const vitrt_allocator alloc = s->alloc;
    vt_pool_free(s->pool);
    if (s->plan) {
        vt_free(&alloc, s->weights, s->plan->step_count * sizeof *s->weights);
        vt_free(&alloc, s->offsets, s->plan->row_set_count * sizeof *s->offsets);
        vt_free(&alloc, s->offset_table, table_elements(s->plan) * sizeof *s->offset_table);
        vt_free(&alloc, s->pixels, s->plan->max_batch * sizeof *s->pixels);
        vt_free(&alloc, s->image_errors, s->plan->max_batch * sizeof *s->image_errors);
        vt_free(&alloc, s->codes, s->codes_bytes);
        vt_free(&alloc, s->numbers, numbers_bytes(s));
        vt_free(&alloc, s->arena, s->plan->arena_bytes);
    }
    vt_plan_free(s->plan);
    vt_free(&alloc, s->outputs, s->output_count * sizeof *s->outputs);
    vitrt_model_free(s->model);
    vt_free(&alloc, s, sizeof *s);
}

/* ---- Cost ---- */

/* Multiply-adds of image i of the last run. */
static uint64_t macs_of_image(const vitrt_session *s, size_t i, struct vt_shape *shapes)
{
    const struct vt_plan *p = s->plan;
    uint64_t macs = 0;
    for (size_t v = 0; v < p->graph->node_count; v++) {
        const size_t *rows = s->offsets[p->values[v].row_set];
        shapes[v] = p->values[v].shape;
        if (shapes[v].rows_of)
            shapes[v].prefix = (uint32_t)(rows[i + 1] - rows[i]);
    }
    for (size_t v = 0; v < p->graph->node_count; v++) {
        const struct vt_op *op = vt_op_of(p->graph->nodes[v].type);
        if (op->macs)
            macs += op->macs(&p->graph->nodes[v], shapes, (vt_value)v);
    }
    return macs;
}

/* The mean over the images that could be read; 0 without memory for counting it. */
static uint64_t run_macs(const vitrt_session *s)
{
    const size_t nodes = s->images ? s->plan->graph->node_count : 0;
    struct vt_shape *shapes = vt_calloc(&s->alloc, nodes, sizeof *shapes);
    uint64_t macs = 0, count = 0;
    for (size_t i = 0; i < s->images && shapes; i++) {
        if (s->image_errors[i].status)
            continue;
        macs += macs_of_image(s, i, shapes);
        count++;
    }
    vt_free(&s->alloc, shapes, nodes * sizeof *shapes);
    return count ? macs / count : 0;
}

static void fill_info(const vitrt_session *s, vitrt_session_info *info)
{
    *info = (vitrt_session_info){ .height = s->plan->height,
                                  .width = s->plan->width,
                                  .max_batch = s->plan->max_batch,
                                  .threads = s->plan->threads,
                                  .packed_bytes = vt_plan_packed_bytes(s->plan),
                                  .arena_bytes = s->plan->arena_bytes,
                                  .macs_per_image = s->plan->macs,
                                  .nominal_macs_per_image = s->plan->nominal_macs,
                                  .run_macs_per_image = run_macs(s) };
}

vitrt_status vitrt_session_measure(const vitrt_model *m, const vitrt_session_options *options, vitrt_session_info *info,
                                   vitrt_error *err)
{
    vitrt_session *s = NULL;
    vt_float_env env;
    if (!info)
        return vt_err(err, VITRT_EINVAL, "info is NULL");
    vt_float_env_enter(&env);
    const vitrt_status st = prepare(m, options, NULL, 0, &s, err);
    vt_float_env_leave(&env);
    if (!st)
        fill_info(s, info);
    vitrt_session_free(s);
    return st;
}

vitrt_status vitrt_session_get_info(const vitrt_session *s, vitrt_session_info *info)
{
    if (!s || !info)
        return VITRT_EINVAL;
    fill_info(s, info);
    return VITRT_OK;
}
