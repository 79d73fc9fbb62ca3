/* SPDX-License-Identifier: Apache-2.0 */
/* Running a session: images to the input, steps, outputs. Nothing here allocates. */
#include "float_env.h"
#include "session.h"

#include <assert.h>
#include <string.h>

/* ---- Images ---- */

struct images_job {
    vitrt_session *s;
    const vitrt_image *images;
};

/* The input or an output, of all images. */
static void *value_memory(const vitrt_session *s, vt_value value)
{
    return s->arena + s->plan->values[value].offset;
}

static size_t input_floats(const struct vt_plan *p)
{
    return p->values[0].rows * p->values[0].shape.columns;
}

/* The 8-bit values that normalised floats come from, in their place. */
static void pixels_of_floats(const vitrt_session *s, float *pixels)
{
    enum { CHUNK = 3 * 64 };
    const size_t count = input_floats(s->plan);
    float scale[CHUNK], shift[CHUNK];
    for (size_t i = 0; i < CHUNK; i++) {
        const float *value = s->model->preprocess.table.value[i % 3];
        scale[i] = 255 / (value[255] - value[0]);
        shift[i] = -value[0] * scale[i];
    }
    for (size_t i = 0; i < count; i += CHUNK) {
        uint8_t codes[CHUNK];
        const size_t n = count - i < CHUNK ? count - i : CHUNK;
        s->kernels.quantize_u8(n, pixels + i, scale, shift, UINT8_MAX, codes);
        for (size_t k = 0; k < n; k++) {
            const int32_t pixel = codes[k];
            memcpy(pixels + i + k, &pixel, sizeof pixel);
        }
    }
}

static void prepare_images(void *arg, size_t begin, size_t end, size_t worker)
{
    const struct images_job *job = arg;
    const vitrt_session *s = job->s;
    for (size_t i = begin; i < end; i++) {
        float *pixels = value_memory(s, 0);
        pixels += i * input_floats(s->plan);
        char *scratch = s->arena + s->plan->value_bytes +
                        (s->plan->image_slots < s->plan->threads ? i : worker) * s->plan->image_scratch_bytes;
        s->image_errors[i].status =
            vt_preprocess_run(&s->preprocess, &job->images[i], s->max_image_side, scratch, pixels,
                              s->input_stays ? &s->pixels[i] : NULL, &s->image_errors[i]);
        if (s->plan->precision == VT_PRECISION_STRICT && job->images[i].format == VITRT_FORMAT_F32 &&
            !s->image_errors[i].status)
            pixels_of_floats(s, pixels);
        if (!s->input_stays)
            s->pixels[i] = pixels;
    }
}

/* Closes the gaps that failed images leave, but for inputs in the caller's memory; returns how many images are left. */
static size_t compact_images(vitrt_session *s, size_t n)
{
    const size_t size = input_floats(s->plan);
    float *pixels = value_memory(s, 0);
    size_t good = 0;
    for (size_t i = 0; i < n; i++) {
        if (s->image_errors[i].status)
            continue;
        if (good != i && s->pixels[i] == pixels + i * size)
            s->pixels[i] = memmove(pixels + good * size, pixels + i * size, size * sizeof *pixels);
        good++;
    }
    return good;
}

static void fill_offsets(vitrt_session *s, size_t n)
{
    for (size_t set = 0; set < s->plan->row_set_count; set++) {
        size_t row = 0;
        for (size_t i = 0; i <= n; i++) {
            s->offsets[set][i] = row;
            if (i < n && !s->image_errors[i].status)
                row += s->plan->row_sets[set].rows_of ? 0 : s->plan->row_sets[set].rows;
        }
    }
}

/* ---- Outputs ---- */

size_t vt_output_numbers(const vitrt_session *s, size_t i)
{
    const struct vt_plan_value *value = &s->plan->values[s->outputs[i].value];
    return value->rows * s->plan->max_batch * value->shape.columns;
}

/* Where output i stands as floats. */
static float *numbers_of(const vitrt_session *s, size_t i)
{
    float *numbers = s->numbers;
    for (size_t k = 0; k < i; k++)
        numbers += vt_output_numbers(s, k);
    return numbers;
}

/* The integers of all outputs as floats. */
static void convert_outputs(const vitrt_session *s, size_t n)
{
    for (size_t i = 0; i < s->output_count; i++) {
        const vt_value value = s->outputs[i].value;
        const size_t columns = s->plan->values[value].shape.columns;
        const size_t count = s->offsets[s->plan->values[value].row_set][n] * columns;
        const float unit = vt_unit_of(s->plan->graph, value);
        const int16_t *words = value_memory(s, value);
        const int32_t *integers = value_memory(s, value);
        float *numbers = numbers_of(s, i);
        const struct vt_node *node = &s->plan->graph->nodes[value];
        const bool image = node->type == VT_NODE_INPUT, wide = node->element == VT_I32;
        for (size_t k = 0; k < count; k++)
            numbers[k] = image ? s->model->preprocess.table.value[k % 3][integers[k] & 255]
                               : (wide ? (float)integers[k] : (float)words[k]) * unit;
    }
}

static void fill_output(const vitrt_session *s, size_t i, vitrt_output *out)
{
    const vt_value value = s->outputs[i].value;
    const struct vt_shape *shape = &s->plan->values[value].shape;
    out->name = s->outputs[i].name;
    out->data = s->numbers ? (const void *)numbers_of(s, i) : value_memory(s, value);
    out->offsets = s->offsets[s->plan->values[value].row_set];
    out->columns = shape->columns;
    out->type = VITRT_TYPE_F32;
    out->map_height = shape->map[0];
    out->map_width = shape->map[1];
}

size_t vt_output_rows(const vitrt_session *s, size_t i)
{
    return s->offsets[s->plan->values[s->outputs[i].value].row_set][s->images];
}

static size_t output_bytes(const vitrt_session *s, size_t i, size_t images)
{
    const struct vt_plan_value *value = &s->plan->values[s->outputs[i].value];
    return value->rows * images * value->shape.columns * sizeof(float);
}

static void give_outputs(const vitrt_session *s, size_t n, vitrt_output *outputs)
{
    for (size_t i = 0; outputs && i < s->output_count; i++) {
        vitrt_output *o = &outputs[i];
        fill_output(s, i, o);
        if (o->buffer) {
            memcpy(o->buffer, o->data, o->offsets[n] * o->columns * sizeof(float));
            o->data = o->buffer;
        }
    }
}

/* ---- The call ---- */

static vitrt_status check_call(const vitrt_session *s, const vitrt_image *images, size_t n, const vitrt_output *outputs,
                               vitrt_error *err)
{
    if (!s || !images)
        return vt_err(err, VITRT_EINVAL, "the %s is NULL", s ? "array of images" : "session");
    if (n == 0 || n > s->plan->max_batch)
        return vt_err(err, n ? VITRT_ELIMIT : VITRT_EINVAL,
                      "the run has %zu images, expected 1 to %u (max_batch of the session)", n,
                      (unsigned)s->plan->max_batch);
    if (!vt_pool_alive(s->pool))
        return vt_err(
            err, VITRT_ESTATE,
            "the process has forked since this session was created and its threads are gone; create a session in the child");
    for (size_t i = 0; outputs && i < s->output_count; i++)
        if (outputs[i].buffer && outputs[i].buffer_bytes < output_bytes(s, i, n))
            return vt_err(err, VITRT_EINVAL, "the buffer of output \"%s\" has %zu bytes, expected at least %zu",
                          s->outputs[i].name, outputs[i].buffer_bytes, output_bytes(s, i, n));
    return VITRT_OK;
}

struct vt_exec vt_session_exec(const vitrt_session *s)
{
    return (struct vt_exec){ .plan = s->plan,
                             .pool = s->pool,
                             .arena = s->arena,
                             .scratch = s->arena + s->plan->value_bytes,
                             .scratch_bytes = s->plan->scratch_bytes,
                             .offsets = s->offsets,
                             .pixels = s->pixels,
                             .weights = s->weights };
}

static void run_steps(vitrt_session *s, size_t n)
{
    struct vt_exec x = vt_session_exec(s);
    for (; x.first < n; x.first += x.images) {
        x.images = n - x.first < s->plan->pass_images ? n - x.first : s->plan->pass_images;
        for (size_t i = s->plan->constant_count; i < s->plan->step_count; i++)
            vt_exec_step(&x, &s->plan->steps[i], &s->weights[i]);
    }
}

vitrt_status vitrt_run(vitrt_session *s, const vitrt_image *images, size_t n, vitrt_output *outputs, vitrt_error *err)
{
    const vitrt_status st = check_call(s, images, n, outputs, err);
    if (st)
        return st;
    assert(s->plan->graph->nodes[0].type == VT_NODE_INPUT);
    vt_float_env env;
    vt_float_env_enter(&env);
    struct images_job job = { s, images };
    vt_parallel(s->pool, n, 1, prepare_images, &job);
    const size_t good = compact_images(s, n);
    fill_offsets(s, n);
    s->images = n;
    if (good)
        run_steps(s, n);
    if (s->numbers)
        convert_outputs(s, n);
    give_outputs(s, n, outputs);
    vt_float_env_leave(&env);
    for (size_t i = 0; i < n && good < n; i++)
        if (s->image_errors[i].status)
            return vt_err(err, VITRT_EIMAGE, "image %zu of %zu: %.400s", i, n, s->image_errors[i].message);
    return VITRT_OK;
}

vitrt_status vitrt_image_status(const vitrt_session *s, size_t i, vitrt_error *err)
{
    if (!s || i >= s->images)
        return vt_err(err, VITRT_EINVAL, "the last run had %zu images, image %zu is not one of them", s ? s->images : 0,
                      i);
    if (s->image_errors[i].status && err)
        *err = s->image_errors[i];
    return s->image_errors[i].status;
}

size_t vitrt_session_output_count(const vitrt_session *s)
{
    return s ? s->output_count : 0;
}

vitrt_status vitrt_session_output(const vitrt_session *s, size_t i, vitrt_output *out)
{
    if (!s || !out || i >= s->output_count || !s->images)
        return VITRT_EINVAL;
    memset(out, 0, sizeof *out);
    fill_output(s, i, out);
    return VITRT_OK;
}
