/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernels of integer-only inference, written once. Include a simd/<isa>.h and simd/integer_<isa>.h before;
 * contracts in kernels.h.
 *
 * A block is two vectors of columns in two rows: as bytes that is one vector, and what is known about the columns is
 * loaded once for all rows. An odd last row is taken twice.
 *
 * No floating-point arithmetic, comparison or conversion; tests/test_no_float.sh looks for it in the object files.
 */
#include "../integer_rows.h"

/* The loops below are made by inlining what they do with a block, which is known where they are written. */
#define INLINE static inline __attribute__((always_inline))

enum { BLOCK = 2 * VL, BLOCK_ROWS = 4 };

/* How many of count lanes lie in vector v of a block. */
INLINE size_t lanes_of(size_t v, size_t count)
{
    return count >= BLOCK ? VL : count <= v * VL ? 0 : count - v * VL < VL ? count - v * VL : VL;
}

INLINE vi numbers_at(const int32_t *p, size_t v, size_t count)
{
    return count == BLOCK ? vi_load(p + v * VL) : vi_load_n(p + (count > v * VL ? v * VL : 0), lanes_of(v, count));
}

INLINE vi words_at(const int16_t *p, size_t v, size_t count)
{
    return count == BLOCK ? vi_load_s16(p + v * VL)
                          : vi_load_s16_n(p + (count > v * VL ? v * VL : 0), lanes_of(v, count));
}

INLINE vi bytes_at(const uint8_t *p, size_t v, size_t count)
{
    return count == BLOCK ? vi_load_u8(p + v * VL)
                          : vi_load_u8_n(p + (count > v * VL ? v * VL : 0), lanes_of(v, count));
}

/* ---- Scales ---- */

struct column_block {
    vm multiplier[2];
    vi shift[2], add[2];
};

INLINE struct column_block columns_at(const struct vt_columns *k, size_t j, size_t count)
{
    struct column_block b;
    for (size_t v = 0; v < 2; v++) {
        b.multiplier[v] = vm_of(numbers_at(k->multiplier + j, v, count));
        b.shift[v] = numbers_at(k->shift + j, v, count);
        b.add[v] = numbers_at(k->add + j, v, count);
    }
    return b;
}

struct word_scale {
    vi multiplier, half;
    unsigned shift;
};

static inline struct word_scale word_scale_of(struct vt_word_scale s)
{
    return (struct word_scale){ vi_set1(s.multiplier), vi_set1((int32_t)((1u << s.shift) >> 1)), (unsigned)s.shift };
}

INLINE vi scaled_word(const struct word_scale *s, vi x)
{
    return vi_shift_right(vi_add(vi_mul(x, s->multiplier), s->half), s->shift);
}

/* ---- Epilogues ---- */

/* A copy of the epilogue, which stores to c cannot change, and what is the same for all of it. */
struct epilogue {
    struct vt_integer_epilogue e;
    struct word_scale residual;
    vb highest;
};

static inline struct epilogue epilogue_of(const struct vt_integer_epilogue *e)
{
    return (struct epilogue){ *e, word_scale_of(e->residual_scale), vb_set1(e->highest) };
}

INLINE void store_codes(vb highest, uint8_t *first, uint8_t *second, size_t count, vi y[2][2])
{
    const vb codes = vb_min(vb_of_vi(y[0][0], y[0][1], y[1][0], y[1][1]), highest);
    if (count == BLOCK)
        vb_store_halves(first, second, codes);
    else
        vb_store_halves_n(first, second, codes, count);
}

INLINE void store_words(int16_t *p, size_t count, const vi y[2])
{
    if (count == BLOCK)
        vw_store(p, y[0], y[1]);
    else
        vw_store_n(p, y[0], y[1], count);
}

INLINE void store_numbers(int32_t *p, size_t count, const vi y[2])
{
    vi_store_n(p, y[0], lanes_of(0, count));
    if (count > VL)
        vi_store_n(p + VL, y[1], lanes_of(1, count));
}

/* A floor of floors is the floor of all, so halves are added behind the shift. One step after the other for all rows:
 * CPUs do not look far enough ahead to do that with one chain after the other. */
INLINE void scale_block(const struct column_block *k, vi x[BLOCK_ROWS][2])
{
    for (size_t r = 0; r < BLOCK_ROWS; r++)
        for (size_t v = 0; v < 2; v++)
            x[r][v] = vi_mul_high(x[r][v], k->multiplier[v]);
    for (size_t r = 0; r < BLOCK_ROWS; r++)
        for (size_t v = 0; v < 2; v++)
            x[r][v] = vi_add(vi_shift_right_each(x[r][v], k->shift[v]), k->add[v]);
    for (size_t r = 0; r < BLOCK_ROWS; r++)
        for (size_t v = 0; v < 2; v++)
            x[r][v] = vi_half(x[r][v]);
}

INLINE void add_residuals(const struct epilogue *o, const size_t rows[BLOCK_ROWS], size_t j, size_t count,
                          vi x[BLOCK_ROWS][2])
{
    const struct vt_integer_epilogue *e = &o->e;
    for (size_t r = 0; r < BLOCK_ROWS; r++)
        for (size_t v = 0; v < 2; v++)
            x[r][v] =
                vi_add(x[r][v], scaled_word(&o->residual, words_at(e->residual + rows[r] * e->ldr + j, v, count)));
}

/* Columns j .. j + count - 1 of some rows, of which x are the numbers. Where rows are one and the same it is written as
 * often, with the same. */
INLINE void finish_block(const struct epilogue *o, const struct column_block *k, const size_t rows[BLOCK_ROWS],
                         size_t j, size_t count, vi x[BLOCK_ROWS][2])
{
    const struct vt_integer_epilogue *e = &o->e;
    scale_block(k, x);
    if (e->residual)
        add_residuals(o, rows, j, count, x);
    if (e->to == VT_TO_CODES) {
        for (size_t r = 0; r < BLOCK_ROWS; r += 2)
            store_codes(o->highest, (uint8_t *)e->c + rows[r] * e->ldc + j, (uint8_t *)e->c + rows[r + 1] * e->ldc + j,
                        count, x + r);
        return;
    }
    for (size_t r = 0; r < BLOCK_ROWS; r++) {
        if (e->to == VT_TO_WORDS)
            store_words((int16_t *)e->c + rows[r] * e->ldc + j, count, x[r]);
        else
            store_numbers((int32_t *)e->c + rows[r] * e->ldc + j, count, x[r]);
    }
}

/* Where numbers come from: vector v of row i from column j on, of which count lanes are in the matrix. */
typedef vi load_fn(const void *source, size_t i, size_t j, size_t v, size_t count);

INLINE void finish_columns(size_t m, size_t j, size_t count, const struct epilogue *o, load_fn *load,
                           const void *source)
{
    const struct column_block k = columns_at(&o->e.columns, j, count);
    for (size_t i = 0; i < m; i += BLOCK_ROWS) {
        size_t rows[BLOCK_ROWS];
        vi x[BLOCK_ROWS][2];
        for (size_t r = 0; r < BLOCK_ROWS; r++)
            rows[r] = i + r < m ? i + r : m - 1;
        for (size_t r = 0; r < BLOCK_ROWS; r++)
            for (size_t v = 0; v < 2; v++)
                x[r][v] = load(source, rows[r], j, v, count);
        finish_block(o, &k, rows, j, count, x);
    }
}

INLINE void finish_all(size_t m, size_t n, const struct vt_integer_epilogue *e, load_fn *load, const void *source)
{
    const struct epilogue o = epilogue_of(e);
    size_t j = 0;
    for (; j + BLOCK <= n; j += BLOCK)
        finish_columns(m, j, BLOCK, &o, load, source);
    if (j < n)
        finish_columns(m, j, n - j, &o, load, source);
}

/* ---- The end of a product, other scales ---- */

struct matrix {
    const void *x;
    size_t ld;
    unsigned left;
    const struct row_division *divisions;
};

INLINE vi load_sums(const void *source, size_t i, size_t j, size_t v, size_t count)
{
    const struct matrix *s = source;
    return numbers_at((const int32_t *)s->x + i * s->ld + j, v, count);
}

INLINE vi load_shifted_sums(const void *source, size_t i, size_t j, size_t v, size_t count)
{
    return vi_shift_left(load_sums(source, i, j, v, count), ((const struct matrix *)source)->left);
}

INLINE vi load_quotients(const void *source, size_t i, size_t j, size_t v, size_t count)
{
    const struct matrix *s = source;
    const struct row_division *d = &s->divisions[i];
    const vi sum = vi_shift_left(load_sums(source, i, j, v, count), d->left);
    return vi_shift_left(vi_mul_high(sum, vm_of(vi_set1(d->multiplier))), s->left);
}

/* Bytes from one row of c to the next. */
static inline size_t row_bytes(const struct vt_integer_epilogue *e)
{
    return e->ldc * (e->to == VT_TO_CODES ? 1 : e->to == VT_TO_WORDS ? sizeof(int16_t) : sizeof(int32_t));
}

/* The epilogue of what comes behind so many rows. */
static inline void skip_rows(struct vt_integer_epilogue *e, size_t rows)
{
    e->c = (char *)e->c + rows * row_bytes(e);
    e->residual = e->residual ? e->residual + rows * e->ldr : NULL;
}

static inline void finish_quotients(size_t m, size_t n, struct matrix s, const int32_t *divisors,
                                    struct vt_integer_epilogue e)
{
    struct row_division divisions[VT_MAX_TILE_ROWS];
    s.divisions = divisions;
    for (size_t rows; m; m -= rows, divisors += rows) {
        rows = m < VT_MAX_TILE_ROWS ? m : VT_MAX_TILE_ROWS;
        for (size_t r = 0; r < rows; r++)
            divisions[r] = row_division_of(divisors[r]);
        finish_all(rows, n, &e, load_quotients, &s);
        skip_rows(&e, rows);
        s.x = (const int32_t *)s.x + rows * s.ld;
    }
}

void VT_FN(vt_finish_integer)(size_t m, size_t n, const int32_t *sums, size_t ld, const int32_t *divisors,
                              const struct vt_integer_epilogue *e)
{
    const struct matrix s = { sums, ld, e->columns.left, NULL };
    if (divisors)
        finish_quotients(m, n, s, divisors, *e);
    else if (s.left)
        finish_all(m, n, e, load_shifted_sums, &s);
    else
        finish_all(m, n, e, load_sums, &s);
}

INLINE vi load_words(const void *source, size_t i, size_t j, size_t v, size_t count)
{
    const struct matrix *s = source;
    return vi_shift_left(words_at((const int16_t *)s->x + i * s->ld + j, v, count), s->left);
}

void VT_FN(vt_requantize_s16)(size_t m, size_t n, const int16_t *x, size_t ldx, const struct vt_integer_epilogue *e)
{
    const struct matrix s = { x, ldx, e->columns.left, NULL };
    finish_all(m, n, e, load_words, &s);
}

INLINE vi load_bytes(const void *source, size_t i, size_t j, size_t v, size_t count)
{
    const struct matrix *s = source;
    return vi_shift_left(bytes_at((const uint8_t *)s->x + i * s->ld + j, v, count), s->left);
}

void VT_FN(vt_requantize_u8)(size_t m, size_t n, const uint8_t *x, size_t ldx, const struct vt_integer_epilogue *e)
{
    const struct matrix s = { x, ldx, e->columns.left, NULL };
    finish_all(m, n, e, load_bytes, &s);
}

/* ---- GELU ---- */

enum { GELU_ROWS = 6 }; /* side by side, as what is done with each is one chain */

struct gelu_columns {
    vw fraction;
    vi right[2], factors[2], add[2], shift[2];
};

INLINE struct gelu_columns gelu_columns_at(const struct vt_integer_gelu *k, size_t j, size_t count)
{
    struct gelu_columns b;
    for (size_t v = 0; v < 2; v++) {
        b.right[v] = numbers_at(k->right + j, v, count);
        b.factors[v] = numbers_at(k->factors + j, v, count);
        b.add[v] = numbers_at(k->add + j, v, count);
        b.shift[v] = numbers_at(k->shift + j, v, count);
    }
    b.fraction = vw_words(numbers_at(k->fraction + j, 0, count), numbers_at(k->fraction + j, 1, count));
    return b;
}

/* What is the same for all columns. */
struct gelu_scale {
    unsigned left, up;
    vw limit, multiplier;
};

/* *y = c + w * *y, in words of both rows. */
INLINE void gelu_step(vw y[GELU_ROWS], const vw w[GELU_ROWS], int c)
{
    for (size_t r = 0; r < GELU_ROWS; r++)
        y[r] = vw_add(vw_set1(c), vw_mul_round(w[r], y[r]));
}

/* h * tail(h). Side by side for two rows, as all of this is one chain. */
INLINE void gelu_tails(const vw h[GELU_ROWS], vw v[GELU_ROWS])
{
    vw w[GELU_ROWS];
    for (size_t r = 0; r < GELU_ROWS; r++) {
        w[r] = vw_sub(vw_set1(INT16_MAX), h[r]);
        v[r] = vw_set1(VT_GELU_5);
    }
    gelu_step(v, w, VT_GELU_4);
    gelu_step(v, w, VT_GELU_3);
    gelu_step(v, w, VT_GELU_2);
    gelu_step(v, w, VT_GELU_1);
    gelu_step(v, w, VT_GELU_0);
    for (size_t r = 0; r < GELU_ROWS; r++)
        v[r] = vw_shift_left(v[r], 2);
    for (size_t r = 0; r < GELU_ROWS; r++)
        v[r] = vw_mul_round(v[r], v[r]);
    for (size_t r = 0; r < GELU_ROWS; r++)
        v[r] = vw_mul_round(h[r], v[r]);
}

/* Sums of two rows to numbers of codes. */
INLINE void gelu_block(const struct gelu_scale *g, const struct gelu_columns *k, vi y[GELU_ROWS][2])
{
    vw x[GELU_ROWS], h[GELU_ROWS], v[GELU_ROWS];
    for (size_t r = 0; r < GELU_ROWS; r++)
        x[r] = vw_words(vi_shift_right_each(y[r][0], k->right[0]), vi_shift_right_each(y[r][1], k->right[1]));
    for (size_t r = 0; r < GELU_ROWS; r++)
        x[r] = vw_add_limited(x[r], vw_mul_round(x[r], k->fraction));
    for (size_t r = 0; r < GELU_ROWS; r++)
        h[r] = vw_mul_high(vw_shift_left(vw_min(vw_abs(x[r]), g->limit), g->up), g->multiplier);
    gelu_tails(h, v);
    for (size_t r = 0; r < GELU_ROWS; r++) {
        const vw positive = vw_positive(x[r]);
        y[r][0] = vi_dot(vw_first_of(positive, v[r]), k->factors[0]);
        y[r][1] = vi_dot(vw_second_of(positive, v[r]), k->factors[1]);
    }
    for (size_t r = 0; r < GELU_ROWS; r++)
        for (size_t i = 0; i < 2; i++)
            y[r][i] = vi_shift_right_each(vi_add(y[r][i], k->add[i]), k->shift[i]);
}

struct gelu_job {
    const struct vt_integer_gelu *k;
    const int32_t *sums;
    size_t ld;
    uint8_t *c;
    size_t ldc;
    vb highest;
    struct gelu_scale scale;
};

INLINE void gelu_down(const struct gelu_job *t, size_t m, size_t j, size_t count, bool shifts)
{
    const struct gelu_columns k = gelu_columns_at(t->k, j, count);
    const struct gelu_scale scale = t->scale;
    const vb highest = t->highest;
    for (size_t i = 0; i < m; i += GELU_ROWS) {
        size_t rows[GELU_ROWS];
        for (size_t r = 0; r < GELU_ROWS; r++)
            rows[r] = i + r < m ? i + r : m - 1;
        vi y[GELU_ROWS][2];
        for (size_t r = 0; r < GELU_ROWS; r++) {
            for (size_t v = 0; v < 2; v++) {
                const vi sum = numbers_at(t->sums + rows[r] * t->ld + j, v, count);
                y[r][v] = shifts ? vi_shift_left(sum, scale.left) : sum;
            }
        }
        gelu_block(&scale, &k, y);
        for (size_t r = 0; r < GELU_ROWS; r += 2)
            store_codes(highest, t->c + rows[r] * t->ldc + j, t->c + rows[r + 1] * t->ldc + j, count, y + r);
    }
}

INLINE void gelu_all(const struct gelu_job *t, size_t m, size_t n, bool shifts)
{
    size_t j = 0;
    for (; j + BLOCK <= n; j += BLOCK)
        gelu_down(t, m, j, BLOCK, shifts);
    if (j < n)
        gelu_down(t, m, j, n - j, shifts);
}

void VT_FN(vt_finish_integer_gelu)(size_t m, size_t n, const int32_t *sums, size_t ld, const struct vt_integer_gelu *k,
                                   uint8_t highest, uint8_t *c, size_t ldc)
{
    const struct gelu_scale scale = { k->left, k->up, vw_set1(k->limit), vw_set1(k->multiplier) };
    const struct gelu_job job = { k, sums, ld, c, ldc, vb_set1(highest), scale };
    if (k->left)
        gelu_all(&job, m, n, true);
    else
        gelu_all(&job, m, n, false);
}

/* ---- Layer norm ---- */

enum { NORM_ROWS = 8 }; /* that share what is loaded for their columns */

struct norm_rows {
    const int16_t *x;
    size_t ldx;
    vi mean[NORM_ROWS], factor[NORM_ROWS];
};

struct row_sums {
    int32_t sum;
    uint64_t squares;
};

static inline struct row_sums sums_of_row(size_t n, const int16_t *x)
{
    vi sum = vi_set1(0);
    vq squares = vq_zero();
    size_t i = 0;
    for (; i + BLOCK <= n; i += BLOCK) {
        const vw w = vw_load(x + i);
        sum = vi_add_pairs(sum, w);
        squares = vq_add_squares(squares, w);
    }
    if (i < n) {
        const vw w = vw_load_n(x + i, n - i);
        sum = vi_add_pairs(sum, w);
        squares = vq_add_squares(squares, w);
    }
    return (struct row_sums){ vi_sum(sum), vq_sum(squares) };
}

/* The product is within 32 bits: |x - mean| <= std <= (2^31 - 1) / factor. */
INLINE vi load_normalised(const void *source, size_t i, size_t j, size_t v, size_t count)
{
    const struct norm_rows *s = source;
    const vi x = vi_sub(words_at(s->x + i * s->ldx + j, v, count), s->mean[i]);
    return vi_mul(x, s->factor[i]);
}

void VT_FN(vt_layer_norm_s16)(size_t m, size_t n, const int16_t *x, size_t ldx, uint64_t eps,
                              const struct vt_integer_epilogue *epilogue)
{
    struct vt_integer_epilogue e = *epilogue;
    const int64_t inverse = row_inverse_of(n ? n : 1);
    for (size_t rows; m && n; m -= rows, x += rows * ldx) {
        struct row_sums sums[NORM_ROWS];
        struct norm_rows s; /* of NORM_ROWS, of which only what is needed is set */
        s.x = x;
        s.ldx = ldx;
        rows = m < NORM_ROWS ? m : NORM_ROWS;
        for (size_t r = 0; r < rows; r++)
            sums[r] = sums_of_row(n, x + r * ldx);
        for (size_t r = 0; r < rows; r++) {
            const struct row_norm norm = row_norm_of(n, inverse, sums[r].sum, sums[r].squares, eps);
            s.mean[r] = vi_set1(norm.mean);
            s.factor[r] = vi_set1(norm.factor);
        }
        finish_all(rows, n, &e, load_normalised, &s);
        skip_rows(&e, rows);
    }
}

/* ---- Softmax ---- */

enum { QUAD = 4 * VL }; /* scores that become one vector of codes */

/* Four vectors of scores; lanes behind the first n are `other`. */
INLINE void load_scores(const int32_t *x, const int32_t *bias, size_t n, vi other, vi score[4])
{
    for (size_t v = 0; v < 4; v++) {
        const size_t at = n > v * VL ? v * VL : 0, left = n <= v * VL ? 0 : n - v * VL < VL ? n - v * VL : VL;
        score[v] = n >= QUAD ? vi_load(x + v * VL) : vi_load_or(x + at, other, left);
        if (bias)
            score[v] = vi_add(score[v], n >= QUAD ? vi_load(bias + v * VL) : vi_load_n(bias + at, left));
    }
}

enum { SOFTMAX_ROWS = 2 }; /* side by side */

/* Rows of scores and of codes. */
struct softmax_rows {
    const int32_t *x[SOFTMAX_ROWS], *bias[SOFTMAX_ROWS]; /* bias: NULL in all or in none */
    uint8_t *y[SOFTMAX_ROWS];
};

INLINE void row_scores(const struct softmax_rows *t, size_t r, size_t i, size_t n, vi other, vi score[4])
{
    const int32_t *x = t->x[r] + i, *bias = t->bias[r] ? t->bias[r] + i : NULL;
    if (n - i >= QUAD)
        load_scores(x, bias, QUAD, other, score);
    else
        load_scores(x, bias, n - i, other, score);
}

/* In every lane. */
INLINE void largest_scores(const struct softmax_rows *t, size_t n, vi largest[SOFTMAX_ROWS])
{
    const vi lowest = vi_set1(INT32_MIN);
    for (size_t r = 0; r < SOFTMAX_ROWS; r++)
        largest[r] = lowest;
    for (size_t i = 0; i < n; i += QUAD)
        for (size_t r = 0; r < SOFTMAX_ROWS; r++) {
            vi score[4];
            row_scores(t, r, i, n, lowest, score);
            largest[r] = vi_max(largest[r], vi_max(vi_max(score[0], score[1]), vi_max(score[2], score[3])));
        }
    for (size_t r = 0; r < SOFTMAX_ROWS; r++)
        largest[r] = vi_set1(vi_largest(largest[r]));
}

struct exp_scale {
    unsigned right, left;
    vw limit, multiplier;
};

/* Vectors of differences of all rows, in words, to their exponents of 2, in units of 2^-11. */
INLINE void exponents(const struct exp_scale *s, vw d[SOFTMAX_ROWS][2])
{
    for (size_t r = 0; r < SOFTMAX_ROWS; r++)
        for (size_t v = 0; v < 2; v++)
            d[r][v] = vw_mul_high(vw_shift_left(vw_min(d[r][v], s->limit), s->left), s->multiplier);
}

/* p = c - f * p */
INLINE void exp_step(vw p[SOFTMAX_ROWS][2], vw f[SOFTMAX_ROWS][2], int c)
{
    for (size_t r = 0; r < SOFTMAX_ROWS; r++)
        for (size_t v = 0; v < 2; v++)
            p[r][v] = vw_sub(vw_set1(c), vw_mul_high(f[r][v], p[r][v]));
}

/* 255 * 2^-t. */
INLINE void exponentials(vw t[SOFTMAX_ROWS][2])
{
    vw f[SOFTMAX_ROWS][2], p[SOFTMAX_ROWS][2];
    for (size_t r = 0; r < SOFTMAX_ROWS; r++)
        for (size_t v = 0; v < 2; v++) {
            f[r][v] = vw_fraction(t[r][v]);
            p[r][v] = vw_set1(VT_EXP_3);
        }
    exp_step(p, f, VT_EXP_2);
    exp_step(p, f, VT_EXP_1);
    exp_step(p, f, VT_EXP_0);
    for (size_t r = 0; r < SOFTMAX_ROWS; r++)
        for (size_t v = 0; v < 2; v++)
            t[r][v] = vw_scale_down(p[r][v], vw_exponent(t[r][v]));
}

/* Differences behind the row are the largest one, whose code is 0. */
INLINE void softmax_rows(size_t n, const struct exp_scale *s, const struct softmax_rows *t, int32_t sums[SOFTMAX_ROWS])
{
    vi largest[SOFTMAX_ROWS];
    vs sum[SOFTMAX_ROWS];
    largest_scores(t, n, largest);
    for (size_t r = 0; r < SOFTMAX_ROWS; r++)
        sum[r] = vs_zero();
    for (size_t i = 0; i < n; i += QUAD) {
        vw d[SOFTMAX_ROWS][2];
        for (size_t r = 0; r < SOFTMAX_ROWS; r++) {
            vi score[4];
            row_scores(t, r, i, n, vi_sub(largest[r], vi_set1(INT32_MAX)), score);
            for (size_t v = 0; v < 4; v++)
                score[v] = vi_shift_right(vi_sub(largest[r], score[v]), s->right);
            d[r][0] = vw_limited(score[0], score[1]);
            d[r][1] = vw_limited(score[2], score[3]);
        }
        exponents(s, d);
        exponentials(d);
        for (size_t r = 0; r < SOFTMAX_ROWS; r++) {
            const vb codes = vb_of_vw(d[r][0], d[r][1]);
            sum[r] = vs_add(sum[r], codes);
            if (n - i >= QUAD)
                vb_store(t->y[r] + i, codes);
            else
                vb_store_n(t->y[r] + i, codes, n - i);
        }
    }
    for (size_t r = 0; r < SOFTMAX_ROWS; r++)
        sums[r] = vs_sum(sum[r]);
}

/* Rows behind the last one are the last one. */
void VT_FN(vt_softmax_s32)(size_t m, size_t n, const struct vt_exp_scale *scale, const int32_t *x, size_t ldx,
                           const int32_t *bias, size_t ldb, uint8_t *y, size_t ldy, int32_t *sums)
{
    const struct exp_scale s = { scale->right, scale->left, vw_set1(scale->limit), vw_set1(scale->multiplier) };
    for (size_t i = 0; i < m; i += SOFTMAX_ROWS) {
        struct softmax_rows t;
        int32_t of_rows[SOFTMAX_ROWS];
        for (size_t r = 0; r < SOFTMAX_ROWS; r++) {
            const size_t row = i + r < m ? i + r : m - 1;
            t.x[r] = x + row * ldx;
            t.bias[r] = bias ? bias + row * ldb : NULL;
            t.y[r] = y + row * ldy;
        }
        if (bias)
            softmax_rows(n, &s, &t, of_rows);
        else
            softmax_rows(n, &s, &t, of_rows);
        for (size_t r = 0; r < SOFTMAX_ROWS && i + r < m; r++)
            sums[i + r] = of_rows[r];
    }
}

/* ---- Elements ---- */

void VT_FN(vt_lookup_u8)(size_t n, const uint8_t *table, const uint8_t *x, uint8_t *y)
{
    const vt_byte_table t = vb_table(table);
    size_t i = 0;
    for (; i + QUAD <= n; i += QUAD)
        vb_store(y + i, vb_lookup(&t, vb_load(x + i)));
    if (i < n)
        vb_store_n(y + i, vb_lookup(&t, vb_load_n(x + i, n - i)), n - i);
}

INLINE void add_words(const struct word_scale scale[2], const int16_t *a, const int16_t *b, int16_t *y, size_t count)
{
    vi sum[2];
    for (size_t v = 0; v < 2; v++)
        sum[v] = vi_add(scaled_word(&scale[0], words_at(a, v, count)), scaled_word(&scale[1], words_at(b, v, count)));
    store_words(y, count, sum);
}

void VT_FN(vt_add_s16)(size_t n, const int16_t *a, struct vt_word_scale scale_a, const int16_t *b,
                       struct vt_word_scale scale_b, int16_t *y)
{
    const struct word_scale scale[2] = { word_scale_of(scale_a), word_scale_of(scale_b) };
    size_t i = 0;
    for (; i + BLOCK <= n; i += BLOCK)
        add_words(scale, a + i, b + i, y + i, BLOCK);
    if (i < n)
        add_words(scale, a + i, b + i, y + i, n - i);
}

void VT_FN(vt_add_where_s32)(size_t n, const int32_t *a, int32_t b, const int32_t *mask, int32_t *y)
{
    const vi added = vi_set1(b);
    size_t i = 0;
    for (; i + VL <= n; i += VL)
        vi_store(y + i, vi_add_where(vi_load(a + i), added, vi_load(mask + i)));
    if (i < n)
        vi_store_n(y + i, vi_add_where(vi_load_n(a + i, n - i), added, vi_load_n(mask + i, n - i)), n - i);
}

/* Through two vectors of columns at a time, down all rows. */
#define VT_DEFINE_SUM_ROWS(kernel, type, elements_at)                                                                  \
    void VT_FN(kernel)(size_t m, size_t n, const type *x, size_t ldx, int32_t *y)                                      \
    {                                                                                                                  \
        for (size_t j = 0; j < n; j += BLOCK) {                                                                        \
            const size_t count = n - j < BLOCK ? n - j : BLOCK;                                                        \
            vi sum[2] = { vi_set1(0), vi_set1(0) };                                                                    \
            for (size_t i = 0; i < m; i++)                                                                             \
                for (size_t v = 0; v < 2; v++)                                                                         \
                    sum[v] = vi_add(sum[v], elements_at(x + i * ldx + j, v, count));                                   \
            store_numbers(y + j, count, sum);                                                                          \
        }                                                                                                              \
    }

VT_DEFINE_SUM_ROWS(vt_sum_rows_s16, int16_t, words_at)
VT_DEFINE_SUM_ROWS(vt_sum_rows_u8, uint8_t, bytes_at)
