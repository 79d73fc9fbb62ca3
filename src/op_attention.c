/* SPDX-License-Identifier: Apache-2.0 */
/* Attention: a piece of work is a range of query rows of one head of one group, which is an image or a window of it;
 * see attention.h. */
#include "op_attention.h"

#include "step_integers.h"

struct attention_job {
    const struct vt_exec *x;
    const struct vt_step *s;
    const struct vt_step_weights *w;
    size_t chunks; /* pieces of one head */
};

/* Column `head` of the value that the step gives beside its own, or NULL if nobody asked for it. */
static float *scores_column(const struct vt_exec *x, vt_value value, size_t image, size_t head)
{
    if (value == VT_NO_VALUE)
        return NULL;
    return (float *)vt_exec_row(x, vt_view_of(value), vt_exec_offsets(x, value)[image]) + head;
}

size_t vt_attention_groups(const struct vt_plan *p, const struct vt_step *s)
{
    const struct vt_row_order *order = p->values[s->node->in[0].value].order;
    return order ? order->count : 1;
}

/* The biases of a head, rows vt_bias_ld apart. */
static const float *bias_of_head(const struct vt_exec *x, const struct vt_step *s, size_t head, size_t area)
{
    if (!vt_bias_input(s->node))
        return NULL;
    return (const float *)vt_exec_view(x, s->node->in[vt_bias_input(s->node)]) + head * area * vt_bias_ld(area);
}

/* What is added to the scores of an image's keys for all queries. */
static const float *key_bias_of(const struct vt_exec *x, const struct vt_step *s, size_t row)
{
    const uint32_t input = vt_key_bias_input(s->node);
    return input ? vt_exec_row(x, s->node->in[input], row) : NULL;
}

/* The gate of a head, from a row of the queries on. */
static const float *gate_of_head(const struct vt_exec *x, const struct vt_step *s, uint32_t head, size_t row)
{
    const uint32_t input = vt_gate_input(s->node);
    const struct vt_view gate = { s->node->in[input].value, s->node->in[input].column + head, 1 };
    return input ? vt_exec_row(x, gate, row) : NULL;
}

static const float *part_of(const float *vector, uint32_t column)
{
    return vector ? vector + column : NULL;
}

/* The end of a head's output in integers, from a column on. */
static struct vt_integer_epilogue integers_of_head(const struct vt_step_weights *w, uint32_t column)
{
    if (!w->integers)
        return (struct vt_integer_epilogue){ .to = VT_TO_CODES };
    struct vt_integer_epilogue e = w->integers->epilogue;
    e.columns.multiplier += column;
    e.columns.shift += column;
    e.columns.add += column;
    return e;
}

/* How votes are counted, which are only where somebody asked for them. */
static const struct vt_scores *votes_of(const struct vt_exec *x, const struct vt_step *s)
{
    static const struct vt_scores none = { .kind = VT_SCORES_VOTES };
    const vt_value votes = s->scores[VT_SCORES_VOTES];
    return votes == VT_NO_VALUE ? &none : &x->plan->graph->nodes[votes].u.scores;
}

struct vt_attention vt_attention_of_head(const struct vt_exec *x, const struct vt_step *s,
                                         const struct vt_step_weights *w, size_t i, size_t h)
{
    const struct vt_node *node = s->node;
    const struct vt_row_order *order = x->plan->values[node->in[0].value].order;
    const size_t groups = order ? order->count : 1, image = i / groups, window = i % groups;
    const size_t *rows_q = vt_exec_offsets(x, node->in[0].value), *rows_k = vt_exec_offsets(x, node->in[1].value);
    const size_t queries = (rows_q[image + 1] - rows_q[image]) / groups,
                 keys = (rows_k[image + 1] - rows_k[image]) / groups;
    const size_t first_q = rows_q[image] + window * queries, first_k = rows_k[image] + window * keys;
    const uint32_t heads = node->u.attention.heads, head = (uint32_t)h;
    const uint32_t dim = node->in[0].columns / heads, dim_v = node->in[2].columns / heads;
    const struct vt_view q = { node->in[0].value, node->in[0].column + head * dim, dim },
                         k = { node->in[1].value, node->in[1].column + head * dim, dim },
                         v = { node->in[2].value, node->in[2].column + head * dim_v, dim_v },
                         out = { s->out, head * dim_v, dim_v };
    return (
        struct vt_attention){ .kernels = x->plan->kernels,
                              .product = node->product,
                              .queries = queries,
                              .keys = keys,
                              .dim = dim,
                              .dim_v = dim_v,
                              .q = vt_exec_row(x, q, first_q),
                              .k = vt_exec_row(x, k, first_k),
                              .v = vt_exec_row(x, v, first_k),
                              .ldq = vt_exec_ld(x, q.value),
                              .ldk = vt_exec_ld(x, k.value),
                              .ldv = vt_exec_ld(x, v.value),
                              .scale = node->product == VT_PRODUCT_U8S8 ? w->score_scale[h] : node->u.attention.scale,
                              .bias = bias_of_head(x, s, h, queries),
                              .ld_bias = vt_bias_ld(keys),
                              .mask = order ? vt_row_order_mask(order, window) : key_bias_of(x, s, first_k),
                              .ld_mask = keys,
                              .mask_rows = order ? order->regions : NULL,
                              .out = vt_exec_row(x, out, first_q),
                              .ldo = vt_exec_ld(x, s->out),
                              .to = vt_destination_of(vt_exec_element(x, s->out)),
                              .out_scale = part_of(w->out.scale, out.column),
                              .out_shift = part_of(w->out.shift, out.column),
                              .highest = w->out.highest,
                              .query_zero = w->query_zero ? w->query_zero + head * dim : NULL,
                              .sum_scale = part_of(w->sum_scale, out.column),
                              .sum_bias = part_of(w->sum_bias, out.column),
                              .zero_codes = w->out.zero ? w->out.zero + out.column : NULL,
                              .exp = w->integers ? &w->integers->scores[h] : NULL,
                              .masked = w->integers ? w->integers->mask[h] : 0,
                              .key_scale = w->integers && w->integers->key_scales ? &w->integers->key_scales[h] : NULL,
                              .epilogue = integers_of_head(w, out.column),
                              .log_bits = s->node->product == VT_PRODUCT_F32 && x->plan->precision == VT_PRECISION_I8
                                              ? node->u.attention.log_bits
                                              : 0,
                              .log_scale = node->u.attention.log_scale,
                              .clipped = vt_is_clipped(node),
                              .gamma = node->u.attention.gamma,
                              .zeta = node->u.attention.zeta,
                              .gate = gate_of_head(x, s, head, first_q),
                              .ld_gate = vt_exec_ld(x, node->in[vt_gate_input(node)].value),
                              .gate_bias = part_of(w->gate_bias, out.column),
                              .first_row = scores_column(x, s->scores[VT_SCORES_FIRST_ROW], image, h),
                              .column_sums = scores_column(x, s->scores[VT_SCORES_COLUMN_SUMS], image, h),
                              .ld_scores = heads,
                              .votes = scores_column(x, s->scores[VT_SCORES_VOTES], image, h),
                              .rounds = votes_of(x, s)->rounds,
                              .boost = votes_of(x, s)->boost,
                              .integer_boost = w->integers ? w->integers->boost : 0,
                              .score_bits = w->integers ? w->integers->score_bits : 0 };
}

static struct vt_attention head_of(const struct attention_job *job, size_t i, size_t h)
{
    return vt_attention_of_head(job->x, job->s, job->w, i, h);
}

static void run_pieces(void *arg, size_t begin, size_t end, size_t worker)
{
    const struct attention_job *job = arg;
    const size_t heads = job->s->node->u.attention.heads, mr = job->x->plan->kernels->gemm[job->s->node->product].mr;
    struct vt_attention a, next = head_of(job, begin / job->chunks / heads, begin / job->chunks % heads);
    for (size_t i = begin; i < end; i++) {
        const size_t piece = i / job->chunks, chunk = i % job->chunks;
        const size_t after = i + 1 < end ? (i + 1) / job->chunks : piece;
        a = next;
        next = head_of(job, after / heads, after % heads);
        a.next = after == piece ? NULL : &next;
        const size_t rows = ((a.queries + job->chunks - 1) / job->chunks + mr - 1) / mr * mr; /* of a chunk */
        const size_t first = chunk * rows, last = a.queries < first + rows ? a.queries : first + rows;
        if (first < last || chunk == 0)
            vt_attention_run(&a, first, last, vt_exec_scratch(job->x, worker));
    }
}

static void run_attention(const struct vt_exec *x, const struct vt_step *s, const struct vt_step_weights *w)
{
    const size_t heads = x->images * vt_attention_groups(x->plan, s) * s->node->u.attention.heads;
    const size_t threads = vt_pool_size(x->pool);
    /* Every piece packs its head's keys and values again, so heads are cut only where there are too few of them to
     * share out evenly. Sums over queries need whole heads. */
    const bool whole = s->scores[VT_SCORES_COLUMN_SUMS] != VT_NO_VALUE || s->scores[VT_SCORES_VOTES] != VT_NO_VALUE;
    const bool few = heads < 8 * threads && heads % threads;
    const size_t chunks = !whole && threads > 1 && few ? (2 * threads + heads - 1) / heads : 1;
    struct attention_job job = { x, s, w, chunks };
    const size_t pieces = heads * chunks, shares = threads == 1 ? 1 : 4 * threads; /* for cores of different speed */
    vt_parallel(x->pool, pieces, pieces / shares ? pieces / shares : 1, run_pieces, &job);
}

static size_t attention_scratch(const struct vt_plan *p, const struct vt_step *s)
{
    const struct vt_node *node = s->node;
    const size_t heads = node->u.attention.heads;
    const struct vt_plan_value *keys = &p->values[node->in[1].value];
    return vt_attention_scratch_bytes(p->kernels, node->product, keys->order ? keys->order->area : keys->rows,
                                      node->in[0].columns / heads, node->in[2].columns / heads,
                                      s->scores[VT_SCORES_VOTES] != VT_NO_VALUE);
}

static uint64_t attention_macs(const struct vt_node *node, const struct vt_shape *shapes, vt_value v)
{
    const struct vt_shape *q = &shapes[node->in[0].value], *k = &shapes[node->in[1].value];
    (void)v;
    const uint64_t keys = k->order == VT_RASTER ? vt_shape_rows(k) : vt_window_area(&k->windows);
    return (uint64_t)vt_shape_rows(q) * keys * (node->in[0].columns + node->in[2].columns);
}

const struct vt_op vt_op_attention = { .name = "attention",
                                       .run = run_attention,
                                       .scratch_bytes = attention_scratch,
                                       .macs = attention_macs,
                                       .kernel_name = vt_gemm_name };

/* Column sums and rows are by-products. */
static uint64_t scores_macs(const struct vt_node *node, const struct vt_shape *shapes, vt_value v)
{
    const uint64_t keys = vt_shape_rows(&shapes[v]);
    return node->u.scores.kind == VT_SCORES_VOTES ? node->u.scores.rounds * keys * keys * node->columns : 0;
}

const struct vt_op vt_op_attention_scores = { .name = "attention_scores", .macs = scores_macs };
