/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Depthwise convolution of a row of pixels, channels last, written once. Include a simd/<isa>.h before; contract in
 * kernels.h.
 *
 * Each output is a chain of fused multiply-adds that waits for itself, so up to MOST_PIXELS outputs go side by side,
 * and a weight that is loaded serves all of them. A window of 3 x 3 also shares its pixels: one that is loaded serves
 * each output that it is part of. Without that there would be a load for every multiply-add, and few CPUs have more
 * units for loads than for arithmetic.
 */

/* Channels in one go: what neighbouring outputs share of three rows of pixels, (8 + 2) * 3 * 512 bytes in all, is then
 * still in a first-level cache. */
enum { MOST_PIXELS = 8, MOST_CHANNELS = 128 };

struct depthwise {
    size_t n, taps;
    const float *const *x; /* [taps] */
    size_t step;
    const float *w, *bias; /* [taps, n]; [n] or NULL */
    vf highest;            /* of codes */
};

/* How the taps lie to each other. */
enum window {
    WINDOW_ANY,
    WINDOW_STRIDE_1, /* in threes, of which the second and third are the next output's first and second */
    WINDOW_STRIDE_2, /* in threes, of which the third is the next output's first */
};

static inline enum window window_of(const struct depthwise *d)
{
    bool stride_1 = d->taps % 3 == 0, stride_2 = stride_1;
    for (size_t t = 0; t < d->taps && (stride_1 || stride_2); t += 3) {
        const float *first = d->x[t], *second = d->x[t + 1], *third = d->x[t + 2];
        stride_1 = stride_1 && second == first + d->step && third == second + d->step;
        stride_2 = stride_2 && third == first + d->step;
    }
    return stride_1 ? WINDOW_STRIDE_1 : stride_2 ? WINDOW_STRIDE_2 : WINDOW_ANY;
}

/* What becomes of sums. */
static inline void store_f32_n(const struct depthwise *d, float *y, vf sum, size_t n)
{
    (void)d;
    vf_store_n(y, sum, n);
}
static inline void store_f32(const struct depthwise *d, float *y, vf sum)
{
    (void)d;
    vf_store(y, sum);
}
static inline void store_bf16_n(const struct depthwise *d, vt_bf16 *y, vf sum, size_t n)
{
    (void)d;
    vf_store_bf16_n(y, sum, n);
}
static inline void store_bf16(const struct depthwise *d, vt_bf16 *y, vf sum)
{
    (void)d;
    vf_store_bf16(y, sum);
}
static inline void store_u8_n(const struct depthwise *d, uint8_t *y, vf sum, size_t n)
{
    vf_store_u8_n(y, sum, d->highest, n);
}
static inline void store_u8(const struct depthwise *d, uint8_t *y, vf sum)
{
    vf_store_u8(y, sum, d->highest);
}

static inline vf start_of(const struct depthwise *d, size_t c)
{
    return d->bias ? vf_load(d->bias + c) : vf_zero();
}

/* What follows adds to the sums of a vector of channels of count outputs. Pointers move on by addition: offsets are the
 * same for every tap, so a compiler keeps all of them, and has not got the registers. */
#define ANY_TAPS(count)                                                                                                \
    for (size_t t = 0; t < d->taps; t++, w += d->n) {                                                                  \
        const float *pixel = d->x[t] + at;                                                                             \
        const vf w0 = vf_load_shared(w);                                                                               \
        for (size_t p = 0; p < count; p++, pixel += step)                                                              \
            sum[p] = vf_fma(vf_load(pixel), w0, sum[p]);                                                               \
    }

/* Columns of the input in ascending order, so that each chain takes its taps in that order, too. */
#define STRIDE_1_TAPS(count)                                                                                           \
    for (size_t t = 0; t < d->taps; t += 3, w += 3 * d->n) {                                                           \
        const float *pixel = d->x[t] + at;                                                                             \
        const vf w0 = vf_load_shared(w), w1 = vf_load_shared(w + d->n), w2 = vf_load_shared(w + 2 * d->n);             \
        for (size_t q = 0; q < count + 2; q++, pixel += step) {                                                        \
            const vf x = vf_load_shared(pixel);                                                                        \
            if (q >= 2)                                                                                                \
                sum[q - 2] = vf_fma(x, w2, sum[q - 2]);                                                                \
            if (q >= 1 && q <= count)                                                                                  \
                sum[q - 1] = vf_fma(x, w1, sum[q - 1]);                                                                \
            if (q < count)                                                                                             \
                sum[q] = vf_fma(x, w0, sum[q]);                                                                        \
        }                                                                                                              \
    }

#define STRIDE_2_TAPS(count)                                                                                           \
    for (size_t t = 0; t < d->taps; t += 3, w += 3 * d->n) {                                                           \
        const float *pixel = d->x[t] + at, *middle = d->x[t + 1] + at;                                                 \
        const vf w0 = vf_load_shared(w), w1 = vf_load_shared(w + d->n), w2 = vf_load_shared(w + 2 * d->n);             \
        for (size_t p = 0; p <= count; p++, pixel += step, middle += step) {                                           \
            const vf x = vf_load_shared(pixel);                                                                        \
            if (p >= 1)                                                                                                \
                sum[p - 1] = vf_fma(x, w2, sum[p - 1]);                                                                \
            if (p < count)                                                                                             \
                sum[p] = vf_fma(vf_load(middle), w1, vf_fma(x, w0, sum[p]));                                           \
        }                                                                                                              \
    }

/* Channels c to end, which are whole vectors, of count outputs from i on. */
#define DEFINE_PIXELS(name, count, TAPS, type, store)                                                                  \
    static void name##_##count(const struct depthwise *d, size_t i, size_t c, size_t end, type *y, size_t ldy)         \
    {                                                                                                                  \
        const size_t step = d->step;                                                                                   \
        for (; c < end; c += VL) {                                                                                     \
            const size_t at = i * step + c;                                                                            \
            const float *w = d->w + c;                                                                                 \
            const vf start = start_of(d, c);                                                                           \
            type *out = y + c;                                                                                         \
            vf sum[count];                                                                                             \
            for (size_t p = 0; p < count; p++)                                                                         \
                sum[p] = start;                                                                                        \
            TAPS(count)                                                                                                \
            for (size_t p = 0; p < count; p++, out += ldy)                                                             \
                store(d, out, sum[p]);                                                                                 \
        }                                                                                                              \
    }

#define DEFINE_WINDOW(name, TAPS, type, store)                                                                         \
    DEFINE_PIXELS(name, 2, TAPS, type, store)                                                                          \
    DEFINE_PIXELS(name, 3, TAPS, type, store)                                                                          \
    DEFINE_PIXELS(name, 4, TAPS, type, store)                                                                          \
    DEFINE_PIXELS(name, 5, TAPS, type, store)                                                                          \
    DEFINE_PIXELS(name, 6, TAPS, type, store)                                                                          \
    DEFINE_PIXELS(name, 7, TAPS, type, store)                                                                          \
    DEFINE_PIXELS(name, 8, TAPS, type, store)

#define PIXELS_OF(name, one)                                                                                           \
    {                                                                                                                  \
        one, name##_2, name##_3, name##_4, name##_5, name##_6, name##_7, name##_8                                      \
    }

/* An output that is alone, as those at the edges of a map are: vectors of channels side by side instead. */
#define DEFINE_ALONE(name, type, store)                                                                                \
    static void name(const struct depthwise *d, size_t i, size_t c, size_t end, type *y, size_t ldy)                   \
    {                                                                                                                  \
        enum { count = 4 };                                                                                            \
        (void)ldy;                                                                                                     \
        for (; c + count * VL <= end; c += count * VL) {                                                               \
            vf sum[count];                                                                                             \
            for (size_t v = 0; v < count; v++)                                                                         \
                sum[v] = start_of(d, c + v * VL);                                                                      \
            for (size_t t = 0; t < d->taps; t++) {                                                                     \
                const float *pixel = d->x[t] + i * d->step + c, *w = d->w + t * d->n + c;                              \
                for (size_t v = 0; v < count; v++)                                                                     \
                    sum[v] = vf_fma(vf_load(pixel + v * VL), vf_load(w + v * VL), sum[v]);                             \
            }                                                                                                          \
            for (size_t v = 0; v < count; v++)                                                                         \
                store(d, y + c + v * VL, sum[v]);                                                                      \
        }                                                                                                              \
        for (; c < end; c += VL) {                                                                                     \
            vf sum = start_of(d, c);                                                                                   \
            for (size_t t = 0; t < d->taps; t++)                                                                       \
                sum = vf_fma(vf_load(d->x[t] + i * d->step + c), vf_load(d->w + t * d->n + c), sum);                   \
            store(d, y + c, sum);                                                                                      \
        }                                                                                                              \
    }

/* The channels of one output behind the last whole vector. */
static inline vf last_channels(const struct depthwise *d, size_t i, size_t c)
{
    const size_t rest = d->n - c;
    vf sum = d->bias ? vf_load_n(d->bias + c, rest) : vf_zero();
    for (size_t t = 0; t < d->taps; t++)
        sum = vf_fma(vf_load_n(d->x[t] + i * d->step + c, rest), vf_load_n(d->w + t * d->n + c, rest), sum);
    return sum;
}

/* Outputs side by side are as many in all parts of a row, or one less: few of them would wait for themselves. */
#define VT_DEFINE_DEPTHWISE(name, type, store)                                                                         \
    DEFINE_ALONE(name##_alone, type, store)                                                                            \
    DEFINE_WINDOW(name##_any, ANY_TAPS, type, store)                                                                   \
    DEFINE_WINDOW(name##_stride_1, STRIDE_1_TAPS, type, store)                                                         \
    DEFINE_WINDOW(name##_stride_2, STRIDE_2_TAPS, type, store)                                                         \
                                                                                                                       \
    static inline void name(const struct depthwise *d, size_t m, type *y, size_t ldy)                                  \
    {                                                                                                                  \
        typedef void pixels_fn(const struct depthwise *, size_t i, size_t c, size_t end, type *y, size_t ldy);         \
        static pixels_fn *const pixels[][MOST_PIXELS] = {                                                              \
            [WINDOW_ANY] = PIXELS_OF(name##_any, name##_alone),                                                        \
            [WINDOW_STRIDE_1] = PIXELS_OF(name##_stride_1, name##_alone),                                              \
            [WINDOW_STRIDE_2] = PIXELS_OF(name##_stride_2, name##_alone),                                              \
        };                                                                                                             \
        const enum window window = m > 1 ? window_of(d) : WINDOW_ANY;                                                  \
        const size_t parts = (m + MOST_PIXELS - 1) / MOST_PIXELS, whole = d->n / VL * VL;                              \
        for (size_t c = 0; c < whole; c += MOST_CHANNELS) {                                                            \
            const size_t end = c + MOST_CHANNELS < whole ? c + MOST_CHANNELS : whole;                                  \
            for (size_t part = 0, i = 0; part < parts; part++) {                                                       \
                const size_t next = m * (part + 1) / parts;                                                            \
                pixels[window][next - i - 1](d, i, c, end, y + i * ldy, ldy);                                          \
                i = next;                                                                                              \
            }                                                                                                          \
        }                                                                                                              \
        if (whole < d->n)                                                                                              \
            for (size_t i = 0; i < m; i++)                                                                             \
                store##_n(d, y + i * ldy + whole, last_channels(d, i, whole), d->n - whole);                           \
    }

VT_DEFINE_DEPTHWISE(depthwise_f32, float, store_f32)
VT_DEFINE_DEPTHWISE(depthwise_bf16, vt_bf16, store_bf16)
VT_DEFINE_DEPTHWISE(depthwise_u8, uint8_t, store_u8)

void VT_FN(vt_depthwise_f32)(size_t m, size_t n, size_t taps, const float *const *x, size_t step, const float *w,
                             const float *bias, float *y, size_t ldy)
{
    const struct depthwise d = { n, taps, x, step, w, bias, vf_zero() };
    depthwise_f32(&d, m, y, ldy);
}

void VT_FN(vt_depthwise_bf16)(size_t m, size_t n, size_t taps, const float *const *x, size_t step, const float *w,
                              const float *bias, vt_bf16 *y, size_t ldy)
{
    const struct depthwise d = { n, taps, x, step, w, bias, vf_zero() };
    depthwise_bf16(&d, m, y, ldy);
}

void VT_FN(vt_depthwise_u8)(size_t m, size_t n, size_t taps, const float *const *x, size_t step, const float *w,
                            const float *bias, uint8_t highest, uint8_t *y, size_t ldy)
{
    const struct depthwise d = { n, taps, x, step, w, bias, vf_set1(highest) };
    depthwise_u8(&d, m, y, ldy);
}
