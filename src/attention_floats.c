/* SPDX-License-Identifier: Apache-2.0 */
/* What attention computes with floats: see attention_head.h. */
#include "attention_head.h"

#include "dot.h"
#include "gemm.h"
#include "quantizer.h"

#include <math.h>
#include <string.h>

void vt_attention_mask(const struct vt_attention *a, const struct vt_attention_head *h, size_t i, size_t m)
{
    for (size_t r = 0; r < m; r++) /* the softmax multiplies by scale */
        a->kernels->axpy_f32(a->keys, 1 / a->scale, vt_attention_mask_row(a, i + r), h->scores + r * h->ld);
}

/* Bias plus mask for m queries from row i on, or NULL. */
static const float *biases_of(const struct vt_attention *a, const struct vt_attention_head *h, size_t i, size_t m,
                              size_t *ld)
{
    *ld = a->mask ? h->ld : a->ld_bias;
    if (!a->mask)
        return a->bias ? a->bias + i * a->ld_bias : NULL;
    for (size_t r = 0; r < m; r++) {
        const float *mask = vt_attention_mask_row(a, i + r);
        if (a->bias)
            a->kernels->add_f32(a->keys, a->bias + (i + r) * a->ld_bias, mask, h->biases + r * h->ld);
        else
            memcpy(h->biases + r * h->ld, mask, a->keys * sizeof *mask);
    }
    return h->biases;
}

/* The probabilities of m queries from row i on, of which the largest in each row is 1 (or the code 255), and the inverse
 * of their sums. */
static void exponentials(const struct vt_attention *a, const struct vt_attention_head *h, size_t i, size_t m,
                         float *inverse)
{
    size_t ld_bias = 0;
    const float *biases = a->product == VT_PRODUCT_U8S8 ? biases_of(a, h, i, m, &ld_bias) : NULL;
    if (a->product == VT_PRODUCT_U8S8)
        a->kernels->softmax_u8(m, a->keys, a->scale, (const int32_t *)(const void *)h->scores, h->ld, biases, ld_bias,
                               h->probabilities, h->ld, inverse);
    else if (a->product == VT_PRODUCT_BF16)
        a->kernels->softmax_bf16(m, a->keys, a->scale, h->scores, h->ld, h->probabilities, h->ld, inverse);
    else
        a->kernels->softmax_f32(m, a->keys, a->scale, h->scores, h->ld, h->scores, h->ld, inverse);
    for (size_t r = 0; r < m; r++)
        inverse[r] = a->keys ? 1.0f / inverse[r] : 0.0f;
}

/* clip(stretch * x + gamma, 0, 1); a NaN stays one. */
static void clip(size_t n, float stretch, float gamma, float *x)
{
    for (size_t i = 0; i < n; i++) {
        const float y = stretch * x[i] + gamma;
        x[i] = y < 0 ? 0 : y > 1 ? 1 : y;
    }
}

/* The probabilities of m queries, clipped, and 1 as what is left to multiply them by. */
static void clipped_probabilities(const struct vt_attention *a, const struct vt_attention_head *h, size_t m,
                                  float *inverse)
{
    a->kernels->softmax_f32(m, a->keys, a->scale, h->scores, h->ld, h->scores, h->ld, inverse);
    for (size_t r = 0; r < m; r++) {
        float *row = h->scores + r * h->ld;
        clip(a->keys, (a->zeta - a->gamma) / inverse[r], a->gamma, row);
        if (a->product == VT_PRODUCT_BF16)
            a->kernels->to_bf16(a->keys, row, (vt_bf16 *)h->probabilities + r * h->ld);
        inverse[r] = 1;
    }
}

/* The gates of m queries from row i on. sigmoid(x) = (1 + tanh(x / 2)) / 2. */
static void find_gates(const struct vt_attention *a, size_t i, size_t m, float *gates)
{
    for (size_t r = 0; r < m; r++)
        gates[r] = 0.5f * a->gate[(i + r) * a->ld_gate];
    a->kernels->activation_f32[VT_ACT_TANH](m, gates, gates);
    for (size_t r = 0; r < m; r++)
        gates[r] = 0.5f + 0.5f * gates[r];
}

void vt_attention_give_row(const struct vt_attention *a, const float *row, float *column)
{
    for (size_t k = 0; k < a->keys; k++)
        column[k * a->ld_scores] = row[k];
}

/* Adds the probabilities in rows [r, end), each times its factor, to sums[keys]. */
static void add_rows(const struct vt_attention *a, const struct vt_attention_head *h, size_t r, size_t end,
                     const float *factor, float *sums)
{
    const size_t at = r * h->ld;
    switch (a->product) {
    case VT_PRODUCT_BF16:
        a->kernels->axpy_rows_bf16(end - r, a->keys, factor + r, (const vt_bf16 *)h->probabilities + at, h->ld, sums);
        break;
    case VT_PRODUCT_U8S8:
        a->kernels->axpy_rows_u8(end - r, a->keys, factor + r, (const uint8_t *)h->probabilities + at, h->ld, sums);
        break;
    default: a->kernels->axpy_rows_f32(end - r, a->keys, factor + r, h->scores + at, h->ld, sums); break;
    }
}

/* Adds the probabilities of m queries from row i on to the sums, which after the first query are what it has. */
static void add_scores(const struct vt_attention *a, const struct vt_attention_head *h, size_t i, size_t m,
                       const float *inverse)
{
    size_t r = 0;
    if (i == 0)
        memset(h->column_sums, 0, a->keys * sizeof *h->column_sums);
    if (i == 0 && a->first_row) {
        add_rows(a, h, 0, 1, inverse, h->column_sums);
        vt_attention_give_row(a, h->column_sums, a->first_row);
        r = 1;
    }
    if (a->column_sums)
        add_rows(a, h, r, m, inverse, h->column_sums);
}

void vt_attention_vote(const struct vt_attention *a, const struct vt_attention_head *h)
{
    const double n = (double)a->keys, boost = a->boost == 0 ? sqrt(n) : (double)a->boost, one = n / (n - 1 + boost);
    float *before = h->votes, *behind = before + a->keys;
    for (size_t i = 0; i < a->keys; i++)
        before[i] = (float)(i ? one : boost * one);
    for (uint32_t round = 0; round < a->rounds; round++) {
        float *given = before;
        a->kernels->mul_f32(a->keys, given, h->inverses, given);
        memset(behind, 0, a->keys * sizeof *behind);
        add_rows(a, h, 0, a->keys, given, behind);
        before = behind;
        behind = given;
    }
    vt_attention_give_row(a, before, a->votes);
}

/* Rounds the probabilities of m queries, which are still to be divided by their sums, to what their codes stand for. */
static void round_logarithms(const struct vt_attention *a, const struct vt_attention_head *h, size_t m, float *inverse)
{
    const struct vt_log_quantizer q = { a->log_scale, (uint8_t)a->log_bits };
    for (size_t r = 0; r < m; r++) {
        for (size_t k = 0; k < a->keys; k++) {
            float *p = &h->scores[r * h->ld + k];
            *p = (float)vt_log_value(&q, vt_log_code(&q, (double)(*p * inverse[r])));
        }
        inverse[r] = 1;
    }
}

void vt_attention_finish(const struct vt_attention *a, const struct vt_attention_head *h, size_t i, size_t m,
                         const float *factor)
{
    const bool codes = a->product == VT_PRODUCT_U8S8, shifted = codes && a->gate;
    float gates[VT_MAX_TILE_ROWS];
    const struct vt_epilogue e = { .sum_scale = codes ? a->sum_scale : NULL,
                                   .sum_bias = codes ? a->sum_bias : NULL,
                                   .row_scale = codes ? factor : NULL,
                                   .scale = codes ? NULL : a->out_scale,
                                   .residual = shifted ? h->shifts
                                               : codes ? NULL
                                                       : a->out_shift,
                                   .ldr = shifted ? h->ld_sums : 0,
                                   .c = (char *)a->out + i * a->ldo * vt_destination_bytes(a->to),
                                   .ldc = a->ldo,
                                   .to = a->to,
                                   .highest = a->highest };
    if (!codes)
        a->kernels->scale_rows_f32(m, a->dim_v, factor, h->sums, h->ld_sums, h->sums, h->ld_sums);
    if (shifted) {
        find_gates(a, i, m, gates);
        a->kernels->scale_rows_f32(m, a->dim_v, gates, a->gate_bias, 0, h->shifts, h->ld_sums);
    }
    a->kernels->finish[VT_ACT_NONE](m, a->dim_v, h->sums, h->ld_sums, &e);
}

void vt_attention_factors(const struct vt_attention *a, const struct vt_attention_head *h, size_t i, size_t m,
                          float *factor)
{
    float gates[VT_MAX_TILE_ROWS];
    if (a->clipped)
        clipped_probabilities(a, h, m, factor);
    else
        exponentials(a, h, i, m, factor);
    if (a->log_bits)
        round_logarithms(a, h, m, factor);
    if (a->first_row || a->column_sums)
        add_scores(a, h, i, m, factor);
    if (a->votes)
        memcpy(h->inverses + i, factor, m * sizeof *factor);
    if (!a->gate)
        return;
    find_gates(a, i, m, gates);
    for (size_t r = 0; r < m; r++)
        factor[r] *= gates[r];
}

/* ---- For statistics ---- */

void vt_attention_probabilities(const struct vt_attention *a, size_t i, float *p)
{
    const float *q = (const float *)a->q + i * a->ldq, *k = a->k;
    const float *bias = a->bias ? a->bias + i * a->ld_bias : NULL;
    const float *mask = a->mask ? vt_attention_mask_row(a, i) : NULL;
    float max = -INFINITY, sum = 0;
    for (size_t j = 0; j < a->keys; j++) {
        const float score = vt_dot(q, k + j * a->ldk, a->dim) + (bias ? bias[j] : 0);
        p[j] = a->scale * score + (mask ? mask[j] : 0);
        max = fmaxf(max, p[j]);
    }
    for (size_t j = 0; j < a->keys; j++) {
        p[j] = expf(p[j] - max);
        sum += p[j];
    }
    for (size_t j = 0; j < a->keys; j++)
        p[j] /= sum;
}
