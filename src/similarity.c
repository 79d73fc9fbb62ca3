/* SPDX-License-Identifier: Apache-2.0 */
/* See similarity.h. */
#include "similarity.h"

#include "alloc.h"
#include "dot.h"

#include <math.h>
#include <string.h>

/* Where things stand in the scratch of a worker. n: rows of an image, dim: numbers of a row that are multiplied. */
struct places {
    /* Of the rows that others are compared with, for all workers: */
    char *panels;   /* what is multiplied, packed, */
    float *inverse; /* [n rounded up to panels]: 1 / length, */
    int32_t *bias;  /* [n rounded up to panels]: of codes, what sums begin with */
    /* Of the rows at hand, for this one: */
    float *numbers;  /* [dim]: one of them in floats, */
    char *rows;      /* [mr or nr, dim]: what is multiplied of a few, */
    float *similar;  /* [mr, n rounded up to panels]: and what they have in common with all others */
    uint8_t *middle; /* [dim]: 128, the code of 0 */
    size_t panel_bytes, ld_similar;
};

/* What is done to an image, by all workers. */
struct comparison {
    const struct vt_similarity *s;
    const struct vt_gemm_kernel *kernel;
    enum vt_product product;
    size_t dim;
    struct places shared;
};

static struct vt_view features_of(const struct vt_node *select)
{
    return select->in[vt_feature_input(select)];
}

static size_t carve(const struct vt_plan *p, const struct vt_node *select, size_t n, char *base, struct places *at)
{
    const struct vt_gemm_kernel *kernel = &p->kernels->gemm[select->product];
    const size_t bytes = vt_product_bytes(select->product), dim = vt_feature_columns(select);
    const size_t rows = kernel->mr > kernel->nr ? kernel->mr : kernel->nr;
    const bool codes = select->product == VT_PRODUCT_U8S8;
    size_t used = 0;
    at->ld_similar = vt_round_up(n, kernel->nr);
    at->panel_bytes = vt_size_mul(vt_size_mul(vt_round_up(dim, kernel->kr), kernel->nr), bytes);
    at->panels = vt_take(base, &used, at->ld_similar / kernel->nr, at->panel_bytes);
    at->inverse = vt_take(base, &used, at->ld_similar, sizeof *at->inverse);
    at->bias = vt_take(base, &used, codes ? at->ld_similar : 0, sizeof *at->bias);
    at->numbers = vt_take(base, &used, dim, sizeof *at->numbers);
    at->rows = vt_take(base, &used, rows, vt_size_mul(dim, bytes));
    at->similar = vt_take(base, &used, vt_size_mul(kernel->mr, at->ld_similar), sizeof *at->similar);
    at->middle = vt_take(base, &used, codes ? dim : 0, 1);
    return used;
}

size_t vt_similarity_bytes(const struct vt_plan *p, const struct vt_node *select, size_t rows)
{
    struct places at;
    return carve(p, select, rows, NULL, &at);
}

/* What a worker has for itself: at the same place of its own scratch. */
static struct places places_of_worker(const struct comparison *c, size_t worker)
{
    const struct vt_similarity *s = c->s;
    struct places own = c->shared;
    if (s->j->x->images == 1) {
        char *scratch = vt_exec_scratch(s->j->x, worker);
        carve(s->j->x->plan, s->j->s->node, s->features.rows, scratch + ((char *)s->scratch - (char *)s->j->scratch),
              &own);
    }
    return own;
}

/* ---- What is multiplied ---- */

/* y[dim]: the sum over groups of the features of a row, whatever they are. A factor changes no direction: theirs is
 * that of the mean. */
static void sum_groups(const struct comparison *c, size_t row, float *y)
{
    const struct vt_step_job *j = c->s->j;
    const struct vt_kernels *kernels = j->x->plan->kernels;
    const struct vt_view view = features_of(j->s->node);
    const size_t dim = c->dim, at = row * c->s->features.ld;
    const void *rows = c->s->features.at;
    const float one = 1;
    if (vt_exec_element(j->x, view.value) == VT_U8)
        memcpy(y, j->w->sum_bias, dim * sizeof *y);
    else
        memset(y, 0, dim * sizeof *y);
    switch (vt_exec_element(j->x, view.value)) {
    case VT_BF16:
        for (size_t k = 0; k < view.columns; k += dim)
            kernels->axpy_rows_bf16(1, dim, &one, (const vt_bf16 *)rows + at + k, 0, y);
        break;
    case VT_U8:
        for (size_t k = 0; k < view.columns; k += dim)
            kernels->scale_add_u8(dim, (const uint8_t *)rows + at + k, j->w->sum_scale + k, y, y);
        break;
    default:
        for (size_t k = 0; k < view.columns; k += dim)
            kernels->add_f32(dim, y, (const float *)rows + at + k, y);
    }
}

/* Of a length as l2_norm has it: that of torch.nn.functional.normalize. */
static float inverse_of_root(float squares)
{
    const float length = sqrtf(squares), shortest = 1e-12f;
    return 1 / (length < shortest ? shortest : length);
}

/* Puts `count` rows, whose numbers are in row, into own->rows; inverse: 1 / their lengths. */
static void gather(const struct comparison *c, const struct places *own, const uint32_t *row, size_t count,
                   float *inverse)
{
    const struct vt_step_job *j = c->s->j;
    const struct vt_image_rows *features = &c->s->features;
    const size_t dim = c->dim;
    float *units = (float *)(void *)own->rows;
    for (size_t i = 0; i < count; i++) {
        const size_t at = row[i] * features->ld;
        if (c->product == VT_PRODUCT_U8S8) {
            uint8_t *y = (uint8_t *)own->rows + i * dim;
            inverse[i] = inverse_of_root((float)j->x->plan->kernels->direction_u8(
                dim, (const uint8_t *)features->at + at, j->w->sum_scale, j->w->sum_bias, y));
        } else if (c->product == VT_PRODUCT_BF16) {
            sum_groups(c, row[i], own->numbers);
            inverse[i] = inverse_of_root(vt_dot(own->numbers, own->numbers, dim));
            memcpy(own->rows + i * dim * sizeof(vt_bf16), features->at + at * sizeof(vt_bf16), dim * sizeof(vt_bf16));
        } else {
            sum_groups(c, row[i], units + i * dim);
        }
    }
    if (c->product == VT_PRODUCT_F32)
        j->x->plan->kernels->l2_norm_f32(count, dim, units, dim, 1, units, dim);
}

/* Codes less 128: the same with the highest bit turned over. */
static void center(char *codes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        codes[i] ^= (char)0x80;
}

/* The other factor counts 128 too much: what that is in sums, and 0 up to the width of a tile, which reads so many. */
static void find_bias(const struct comparison *c, const struct places *own, const char *panel, size_t n, int32_t *bias)
{
    memset(own->middle, 128, c->dim);
    c->kernel->tile(1, n, c->dim, own->middle, c->dim, panel, NULL, NULL, 0, bias, n);
    for (size_t i = 0; i < n; i++)
        bias[i] = -bias[i];
    memset(bias + n, 0, (c->kernel->nr - n) * sizeof *bias);
}

static void pack_others(void *arg, size_t begin, size_t end, size_t worker)
{
    const struct comparison *c = arg;
    const struct places own = places_of_worker(c, worker);
    const size_t nr = c->kernel->nr, others = c->s->other_count;
    for (size_t i = begin; i < end; i++) {
        const size_t first = i * nr, n = others - first < nr ? others - first : nr;
        char *panel = c->shared.panels + i * c->shared.panel_bytes;
        gather(c, &own, c->s->others + first, n, c->shared.inverse + first);
        if (c->product == VT_PRODUCT_U8S8)
            center(own.rows, n * c->dim);
        c->kernel->pack_rows(n, c->dim, own.rows, c->dim, panel);
        if (c->product == VT_PRODUCT_U8S8)
            find_bias(c, &own, panel, n, c->shared.bias + first);
    }
}

/* ---- Similarity ---- */

/* `rows` of own->rows with n of the others from `first` on, whose length is taken off. */
static void compare_tile(const struct comparison *c, const struct places *own, size_t rows, size_t first, size_t n)
{
    static const float zeros[VT_MAX_TILE_COLUMNS];
    const size_t nr = c->kernel->nr;
    const bool codes = c->product == VT_PRODUCT_U8S8;
    const char *panel = c->shared.panels + first / nr * c->shared.panel_bytes;
    const struct vt_epilogue e = { .sum_scale = codes ? c->shared.inverse + first : NULL,
                                   .sum_bias = codes ? zeros : NULL,
                                   .scale = codes ? NULL : c->shared.inverse + first,
                                   .c = own->similar + first,
                                   .ldc = own->ld_similar };
    _Alignas(64) float sums[VT_MAX_TILE];
    if (c->product == VT_PRODUCT_F32) {
        c->kernel->tile(rows, n, c->dim, own->rows, c->dim, panel, NULL, NULL, 0, own->similar + first,
                        own->ld_similar);
        return;
    }
    c->kernel->tile(rows, n, c->dim, own->rows, c->dim, panel, codes ? c->shared.bias + first : NULL, NULL, 0, sums,
                    nr);
    c->s->j->x->plan->kernels->finish[VT_ACT_NONE](rows, n, sums, nr, &e);
}

static void match_rows(void *arg, size_t begin, size_t end, size_t worker)
{
    const struct comparison *c = arg;
    const struct vt_similarity *s = c->s;
    const struct places own = places_of_worker(c, worker);
    const size_t mr = c->kernel->mr, nr = c->kernel->nr, others = s->other_count;
    for (size_t i = begin * mr; i < end * mr && i < s->count; i += mr) {
        const size_t rows = s->count - i < mr ? s->count - i : mr;
        float inverse[VT_MAX_TILE_ROWS];
        gather(c, &own, s->from + i, rows, inverse);
        for (size_t k = 0; k < others; k += nr)
            compare_tile(c, &own, rows, k, others - k < nr ? others - k : nr);
        for (size_t r = 0; r < rows; r++) { /* the row's own length changes nothing in which is the largest */
            const float *row = own.similar + r * own.ld_similar;
            s->to[i + r] = (uint32_t)vt_largest(row, others);
            s->best[i + r] = row[s->to[i + r]] * (c->product == VT_PRODUCT_F32 ? 1 : inverse[r]);
        }
    }
}

/* A step of one image is not handed out itself: the workers are idle. */
static void share_out(struct comparison *c, size_t n, vt_task_fn *task)
{
    const struct vt_exec *x = c->s->j->x;
    if (x->images == 1)
        vt_parallel(x->pool, n, 1, task, c);
    else
        task(c, 0, n, 0);
}

void vt_find_most_similar(const struct vt_similarity *s)
{
    const struct vt_plan *p = s->j->x->plan;
    const struct vt_node *select = s->j->s->node;
    struct comparison c = { .s = s,
                            .kernel = &p->kernels->gemm[select->product],
                            .product = select->product,
                            .dim = vt_feature_columns(select) };
    const size_t mr = c.kernel->mr, nr = c.kernel->nr;
    carve(p, select, s->features.rows, s->scratch, &c.shared);
    share_out(&c, (s->other_count + nr - 1) / nr, pack_others);
    share_out(&c, (s->count + mr - 1) / mr, match_rows);
}
