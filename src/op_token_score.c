/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers that tokens are ranked by; the arithmetic is in token_score.h. */
#include "ops.h"
#include "token_score.h"

#include <float.h>
#include <math.h>

static struct vt_head_scores heads_of(const struct vt_step_job *j, uint32_t input, size_t image)
{
    const struct vt_image_rows r = vt_exec_image_rows(j->x, j->s->node->in[input], image);
    return (struct vt_head_scores){ (const float *)(const void *)r.at, r.ld, r.rows, j->s->node->in[input].columns };
}

static void votes(const struct vt_step_job *j, size_t image, float *score)
{
    const struct vt_node *node = j->s->node;
    const struct vt_head_scores sums = heads_of(j, 0, image);
    const float *first = node->in_count > 1 ? heads_of(j, 1, image).at : NULL;
    const struct vt_vote_options o = { .boost = node->u.token_score.boost,
                                       .lowest = node->u.token_score.lowest,
                                       .highest = node->u.token_score.highest > 0 ? node->u.token_score.highest
                                                                                  : INFINITY };
    vt_score_votes(&sums, first, &o, j->scratch, score);
}

static void values(const struct vt_step_job *j, size_t image, float *score)
{
    const struct vt_head_scores p = heads_of(j, 0, image);
    const struct vt_image_rows v = vt_exec_image_rows(j->x, j->s->node->in[1], image);
    vt_score_values(&p, (const float *)(const void *)v.at, v.ld, j->s->node->in[1].columns,
                    j->s->node->u.token_score.kind == VT_TOKEN_HEAD_VALUES, score);
}

static void difference(const struct vt_step_job *j, size_t image, float *score)
{
    const struct vt_head_scores a = heads_of(j, 0, image), b = heads_of(j, 1, image);
    for (size_t i = 0; i < a.rows; i++)
        score[i] = a.at[i * a.ld] - b.at[i * b.ld];
}

static void halting(const struct vt_step_job *j, size_t image, float *score)
{
    const struct vt_node *node = j->s->node;
    const struct vt_head_scores x = heads_of(j, 0, image);
    const struct vt_head_scores none = { .at = NULL }, before = node->in_count > 1 ? heads_of(j, 1, image) : none;
    const struct vt_halting o = { node->u.token_score.scale, node->u.token_score.center, node->u.token_score.limit };
    vt_score_halting(x.rows, x.at, x.ld, before.at, before.ld, &o, score);
}

/* ln to within a rounding of f32 and with the same bits everywhere: x = m 2^e with m from 0.7 to 1.4, ln m =
 * 2 artanh((m - 1) / (m + 1)) as a series, whose 12th term is below 2e-20. Of 0 it is -infinity, of less a NaN. */
static float logarithm(float x)
{
    const double ln2 = 0.69314718055994530942;
    int e = 0;
    if (!(x > 0 && x <= FLT_MAX))
        return x > 0 ? x : x == 0 ? -INFINITY : NAN;
    double m = frexp((double)x, &e);
    if (m < 0.70710678118654752440) {
        m *= 2;
        e--;
    }
    const double t = (m - 1) / (m + 1), square = t * t;
    double term = t, sum = 0;
    for (int k = 1; k < 24; k += 2, term *= square)
        sum += term / k;
    return (float)(2 * sum + e * ln2);
}

static void score_images(const struct vt_step_job *j, size_t begin, size_t end)
{
    for (size_t image = begin; image < end; image++) {
        const struct vt_image_rows out = vt_exec_image_rows(j->x, vt_view_of(j->s->out), image);
        float *score = (float *)(void *)out.at;
        const struct vt_head_scores in = heads_of(j, 0, image);
        if (!out.rows)
            continue;
        switch (j->s->node->u.token_score.kind) {
        case VT_TOKEN_MEAN: vt_score_mean(&in, score); break;
        case VT_TOKEN_VALUES:
        case VT_TOKEN_HEAD_VALUES: values(j, image, score); break;
        case VT_TOKEN_VOTES: votes(j, image, score); break;
        case VT_TOKEN_ONES:
            for (size_t i = 0; i < out.rows; i++)
                score[i] = 1;
            break;
        case VT_TOKEN_LOGARITHM:
            for (size_t i = 0; i < out.rows; i++)
                score[i] = logarithm(in.at[i * in.ld]);
            break;
        case VT_TOKEN_NUMBER:
            for (size_t i = 0; i < out.rows; i++)
                score[i] = (float)(i + 1);
            break;
        case VT_TOKEN_DIFFERENCE: difference(j, image, score); break;
        case VT_TOKEN_HALTING: halting(j, image, score); break;
        case VT_TOKEN_SCORE_COUNT: break;
        }
    }
}

static size_t score_scratch(const struct vt_plan *p, const struct vt_step *s)
{
    const struct vt_view in = s->node->in[0];
    return s->node->u.token_score.kind == VT_TOKEN_VOTES
               ? vt_size_mul(vt_size_mul(p->values[in.value].rows, in.columns), sizeof(float))
               : 0;
}

const struct vt_op vt_op_token_score = { .name = "token_score",
                                         .images = score_images,
                                         .scratch_bytes = score_scratch };
