/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention: softmax(scale * q k^T) v for every image and head.
 *
 * A piece of work is a range of query rows of one head. Its keys and values are packed into panels in the worker's
 * scratch; then each tile of query rows gets its scores, their exponentials and its output while they are in the
 * first-level cache. The scores of a whole head never exist. A row's result depends on that row and the keys only, so
 * pieces can be cut anywhere.
 */
#include "ops.h"

struct attention_job {
    const struct vt_exec *x;
    const struct vt_step *s;
    size_t chunks; /* pieces of one head */
};

/* One head's place in the scratch of a worker. */
struct head_scratch {
    float *keys;   /* panels of nr keys: [ceil(nk / nr)][dim][nr] */
    float *values; /* panels of nr columns: [ceil(dim_v / nr)][nk][nr] */
    float *scores; /* [mr][ld] */
    size_t ld;     /* nk rounded up to whole panels */
};

static size_t round_up(size_t n, size_t multiple)
{
    return (n + multiple - 1) / multiple * multiple;
}

static size_t head_floats(const struct vt_gemm_f32 *kernel, size_t keys, size_t dim, size_t dim_v)
{
    const size_t padded = round_up(keys, kernel->nr);
    return vt_size_add(vt_size_mul(padded, vt_size_add(dim, kernel->mr)),
                       vt_size_mul(keys, round_up(dim_v, kernel->nr)));
}

static struct head_scratch carve(float *scratch, const struct vt_gemm_f32 *kernel, size_t keys, size_t dim,
                                 size_t dim_v)
{
    struct head_scratch h = { .ld = round_up(keys, kernel->nr) };
    h.keys = scratch;
    h.values = h.keys + h.ld * dim;
    h.scores = h.values + keys * round_up(dim_v, kernel->nr);
    return h;
}

static void pack_head(const struct head_scratch *h, const struct vt_gemm_f32 *kernel, const float *k, size_t ldk,
                      size_t keys, size_t dim, const float *v, size_t ldv, size_t dim_v)
{
    for (size_t i = 0; i < keys; i += kernel->nr)
        kernel->pack_rows(keys - i < kernel->nr ? keys - i : kernel->nr, dim, k + i * ldk, ldk, h->keys + i * dim);
    for (size_t j = 0; j < dim_v; j += kernel->nr)
        kernel->pack_columns(dim_v - j < kernel->nr ? dim_v - j : kernel->nr, keys, v + j, ldv, h->values + j * keys);
}

/* Output rows of m <= mr queries. */
static void attend(const struct head_scratch *h, const struct vt_kernels *kernels, float scale, const float *q,
                   size_t ldq, size_t m, size_t keys, size_t dim, size_t dim_v, float *out, size_t ldo)
{
    const struct vt_gemm_f32 *kernel = &kernels->gemm_f32;
    for (size_t i = 0; i < keys; i += kernel->nr)
        kernel->tile(m, kernel->nr, dim, q, ldq, h->keys + i * dim, NULL, NULL, 0, h->scores + i,
                     h->ld); /* zeros behind the last key */
    float inverse[VT_MAX_TILE_ROWS];
    for (size_t r = 0; r < m; r++)
        inverse[r] = 1.0f / kernels->softmax_f32(keys, scale, h->scores + r * h->ld, h->scores + r * h->ld);
    for (size_t j = 0; j < dim_v; j += kernel->nr)
        kernel->tile(m, dim_v - j < kernel->nr ? dim_v - j : kernel->nr, keys, h->scores, h->ld, h->values + j * keys,
                     NULL, NULL, 0, out + j, ldo);
    for (size_t r = 0; r < m; r++) /* dim_v products instead of one for each key */
        for (size_t j = 0; j < dim_v; j++)
            out[r * ldo + j] *= inverse[r];
}

static void run_piece(const struct attention_job *job, size_t image, size_t head, size_t chunk, float *scratch)
{
    const struct vt_exec *x = job->x;
    const struct vt_node *node = job->s->node;
    const struct vt_kernels *kernels = x->plan->kernels;
    const struct vt_gemm_f32 *kernel = &kernels->gemm_f32;
    const size_t *rows_q = vt_exec_offsets(x, node->in[0].value), *rows_k = vt_exec_offsets(x, node->in[1].value);
    const size_t queries = rows_q[image + 1] - rows_q[image], keys = rows_k[image + 1] - rows_k[image];
    const size_t per_chunk = round_up((queries + job->chunks - 1) / job->chunks, kernel->mr);
    const size_t begin = chunk * per_chunk, end = queries < begin + per_chunk ? queries : begin + per_chunk;
    if (begin >= end)
        return;
    const size_t dim = node->in[0].columns / node->u.attention.heads,
                 dim_v = node->in[2].columns / node->u.attention.heads;
    const size_t ldq = vt_exec_ld(x, node->in[0].value), ldk = vt_exec_ld(x, node->in[1].value),
                 ldv = vt_exec_ld(x, node->in[2].value);
    const size_t ldo = vt_exec_ld(x, job->s->out);
    const float *q = vt_exec_view(x, node->in[0]) + rows_q[image] * ldq + head * dim;
    const float *k = vt_exec_view(x, node->in[1]) + rows_k[image] * ldk + head * dim;
    const float *v = vt_exec_view(x, node->in[2]) + rows_k[image] * ldv + head * dim_v;
    float *out = vt_exec_view(x, vt_view_of(job->s->out)) + rows_q[image] * ldo + head * dim_v;
    const struct head_scratch h = carve(scratch, kernel, keys, dim, dim_v);
    pack_head(&h, kernel, k, ldk, keys, dim, v, ldv, dim_v);
    for (size_t i = begin; i < end; i += kernel->mr)
        attend(&h, kernels, node->u.attention.scale, q + i * ldq, ldq, end - i < kernel->mr ? end - i : kernel->mr,
               keys, dim, dim_v, out + i * ldo, ldo);
}

static void run_pieces(void *arg, size_t begin, size_t end, size_t worker)
{
    const struct attention_job *job = arg;
    const size_t heads = job->s->node->u.attention.heads;
    for (size_t i = begin; i < end; i++)
        run_piece(job, i / job->chunks / heads, i / job->chunks % heads, i % job->chunks,
                  vt_exec_scratch(job->x, worker));
}

static void run_attention(const struct vt_exec *x, const struct vt_step *s, const struct vt_step_weights *w)
{
    (void)w;
    const size_t heads = x->images * s->node->u.attention.heads, threads = vt_pool_size(x->pool);
    /* Every piece packs its head's keys and values again, so heads are cut only where there are too few of them to
     * share out evenly. */
    const size_t chunks = threads > 1 && heads % threads ? (2 * threads + heads - 1) / heads : 1;
    struct attention_job job = { x, s, chunks };
    vt_parallel(x->pool, heads * chunks, 1, run_pieces, &job);
}

static size_t attention_scratch(const struct vt_plan *p, const struct vt_step *s)
{
    const struct vt_node *node = s->node;
    const size_t heads = node->u.attention.heads;
    return vt_size_mul(head_floats(&p->kernels->gemm_f32, p->values[node->in[1].value].rows,
                                   node->in[0].columns / heads, node->in[2].columns / heads),
                       sizeof(float));
}

static uint64_t attention_macs(const struct vt_node *node, const struct vt_shape *shapes, vt_value v)
{
    (void)v;
    return (uint64_t)vt_shape_rows(&shapes[node->in[0].value]) * vt_shape_rows(&shapes[node->in[1].value]) *
           (node->in[0].columns + node->in[2].columns);
}

const struct vt_op vt_op_attention = {
    .name = "attention", .run = run_attention, .scratch_bytes = attention_scratch, .macs = attention_macs
};
