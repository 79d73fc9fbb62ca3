/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See grow_graph.h. Four bytes make a node: its kind and quantizers, and three choices. What has the wrong columns or
 * kind of rows is passed over for an earlier value that fits, and a node for which there is none is left out.
 */
#include "grow_graph.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MAX_VALUES 60

enum rows { MAP, TOKENS, WINDOWS }; /* WINDOWS + i: in the order of pattern i */

/* Kinds of rows that no one chooses. */
enum { CONSTANT = -2, TOKEN_MAP = -3 };

/* Shape of the rows that value i, a token map, leaves: LEFT + i. */
enum { LEFT = 10000 };

struct value {
    unsigned columns;
    int rows;    /* kind */
    int shape;   /* values of one shape have the same rows; of a token map: those that it is made for */
    int map;     /* of windows: the map they are made of */
    int protect; /* of a token map and what it leaves */
};

/* Weights that may be multiplied with codes. */
static const char *const code_weights[] = { "i8.8x8",  "i8.24x8",    "i8.4x8",     "i8.8x3",    "i8.8x24",
                                            "i8.8x32", "i8.8x8x3x3", "i8.8x4x1x1", "i8.8x3x2x2" };
enum { CODE_WEIGHTS = sizeof code_weights / sizeof *code_weights };

struct grower {
    char *text;
    size_t room, used;
    struct value values[MAX_VALUES];
    int count, shapes;
    unsigned a, b, c; /* the choices of the node being made */
    unsigned codes;   /* another one: quantizers; 0: none */
    /* What the nodes before have made of each: 0: nothing yet; 1: it is as it is; 2: it is stored for codes with a
     * scale for each column */
    int stored[CODE_WEIGHTS];
};

static void put(struct grower *g, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(struct grower *g, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(g->text + g->used, g->room - g->used, format, args);
    va_end(args);
    if (n > 0 && (size_t)n < g->room - g->used)
        g->used += (size_t)n;
}

/* The last value up to the wanted one, counted from the end, that has so many columns (0: any) and rows of this kind
 * (-1: any; MAP is one of tokens too). Constants and token maps are no one's choice. -1: none. */
static int pick(const struct grower *g, unsigned wanted, unsigned columns, int rows, int shape)
{
    for (int i = 0; i < g->count; i++) {
        const int v = (2 * g->count - 1 - i - (int)(wanted % 4) % g->count) % g->count;
        const struct value *x = &g->values[v];
        if ((!columns || x->columns == columns) && (shape < 0 || x->shape == shape) && x->rows >= 0 &&
            (rows < 0 || x->rows == rows || (rows == TOKENS && x->rows == MAP)))
            return v;
    }
    return -1;
}

/* Ends a node's text, with a unit for most, and adds its value, like x with so many columns. */
static struct value *add(struct grower *g, const struct value *x, unsigned columns)
{
    struct value *v = &g->values[g->count++];
    *v = *x;
    v->columns = columns;
    if (g->c % 16 < 15)
        put(g, ",\"unit\":%g", 1e-6 * (1 << g->c % 16));
    put(g, "}");
    return v;
}

static void begin(struct grower *g, const char *op, int in)
{
    put(g, ",{\"op\":\"%s\",\"name\":\"n%d\"", op, g->count);
    if (in >= 0)
        put(g, ",\"in\":[\"n%d\"]", in);
}

/* One quantizer: numbers, or vectors for so many columns. */
static void put_quantizer(struct grower *g, unsigned columns, int vectors)
{
    static const unsigned bits[] = { 8, 8, 8, 7, 6, 4, 3, 8 };
    const unsigned n = vectors ? 8 : bits[g->codes % 8];
    if (vectors)
        put(g, "{\"bits\":%u,\"scale\":\"scale.%u\",\"zero_point\":\"zero.%u\"}", n, columns, columns);
    else
        put(g, "{\"bits\":%u,\"scale\":%g,\"zero_point\":%u}", n, 0.004 * (1 + g->codes % 7) * (1 << (8 - n)),
            (1u << (n - 1)) - g->codes % 3);
}

/* A layer's weight, and its quantizer if it is one of codes: what all that read the weight agree on. */
static void put_weight(struct grower *g, const char *weight, unsigned columns, int may_be_vectors)
{
    int w = 0;
    put(g, ",\"weight\":\"%s\"", weight);
    while (w < CODE_WEIGHTS && strcmp(weight, code_weights[w]))
        w++;
    if (w == CODE_WEIGHTS)
        return;
    if (!g->stored[w])
        g->stored[w] = may_be_vectors && g->codes % 4 > 1 ? 2 : 1;
    if (!g->codes && g->stored[w] == 1)
        return;
    put(g, ",\"quantize\":[");
    put_quantizer(g, columns, g->stored[w] == 2);
    put(g, "]");
}

static void grow_linear(struct grower *g)
{
    static const char *const weights[] = { "f32.8x8", "bf16.24x8", "f32.4x8", "f16.8x8", "i8.8x8", "f32.24x8" };
    static const char *const codes[] = { "i8.8x8", "i8.24x8", "i8.4x8", "i8.8x8", "i8.8x8", "i8.24x8" };
    static const unsigned columns[] = { 8, 24, 4, 8, 8, 24 }, in[] = { 8, 24, 32, 3 };
    const unsigned k = in[g->a % 4], w = g->c % 6;
    const int x = pick(g, g->b, k, -1, -1), whole = k == 24 && g->codes && g->a & 4;
    if (x < 0)
        return;
    begin(g, "linear", k == 24 && !whole ? -1 : x);
    if (k == 24 && !whole)
        put(g, ",\"in\":[[\"n%d\",%u,8]]", x, g->b % 17);
    const char *usual = k == 32 ? "f32.8x32" : k == 3 ? "f32.8x3" : weights[w];
    const char *coded = k == 32 ? "i8.8x32" : k == 3 ? "i8.8x3" : whole ? "i8.8x24" : codes[w];
    put_weight(g, g->codes ? coded : usual, k == 24 && !whole ? 8 : k, 1);
    const unsigned out = k == 32 || k == 3 || whole ? 8 : columns[w];
    if (g->c & 64)
        put(g, ",\"bias\":\"f32.%u\"", out);
    add(g, &g->values[x], out);
}

static void grow_row_wise(struct grower *g)
{
    static const char *const functions[] = { "gelu", "gelu_tanh", "quick_gelu", "silu", "relu", "tanh" };
    const int x = pick(g, g->b, g->a % 4 == 3 ? 0 : 8, -1, -1);
    if (x < 0)
        return;
    begin(g, g->a % 4 == 0 ? "layer_norm" : g->a % 4 == 1 ? "l2_norm" : g->a % 4 == 2 ? "scale" : "activation", x);
    if (g->a % 4 == 0)
        put(g, ",\"eps\":1e-5,\"weight\":\"f32.%d\",\"bias\":\"f32.%d\",\"groups\":%d", g->c & 1 ? 8 : 4,
            g->c & 1 ? 8 : 4, g->c & 1 ? 1 : 2);
    else if (g->a % 4 == 1)
        put(g, g->c & 1 ? ",\"groups\":2,\"weight\":\"f32.2\"" : ",\"groups\":%u", g->c & 2 ? 1u : 4u);
    else if (g->a % 4 == 2)
        put(g, ",\"weight\":\"%s\"", g->c & 1 ? "bf16.8" : "f32.1x1x8");
    else
        put(g, ",\"activation\":\"%s\"", functions[g->c % 6]);
    add(g, &g->values[x], g->values[x].columns);
}

static void grow_binary(struct grower *g)
{
    static const char *const ops[] = { "add", "mul", "head_combine", "concat", "add" };
    const int x = pick(g, g->a, 0, -1, -1);
    const unsigned columns = g->values[x].columns;
    const int y = pick(g, g->b, g->c % 5 == 3 ? 0 : columns, -1, g->values[x].shape); /* at least x itself */
    begin(g, ops[g->c % 5], -1);
    if (g->c & 128)
        put(g, ",\"in\":[\"n%d\",\"n%d\"]", y, x);
    else
        put(g, ",\"in\":[\"n%d\",\"n%d\"]", x, y);
    add(g, &g->values[x], g->c % 5 == 3 ? columns + g->values[y].columns : columns);
}

/* A view of 8 columns. */
static void put_eight(struct grower *g, int v, unsigned column)
{
    if (g->values[v].columns == 24)
        put(g, "[\"n%d\",%u,8]", v, column);
    else
        put(g, "\"n%d\"", v);
}

/* One column of a value with rows of that shape: of a value of one column, or else of v. */
static void put_one(struct grower *g, unsigned wanted, int v)
{
    const int one = pick(g, wanted, 1, TOKENS, g->values[v].shape);
    if (one >= 0)
        put(g, "\"n%d\"", one);
    else
        put(g, "[\"n%d\",%u,1]", v, wanted % g->values[v].columns);
}

static void grow_attention(struct grower *g)
{
    const unsigned columns = g->a & 1 ? 24 : 8;
    const int q = pick(g, g->a >> 1, columns, -1, -1);
    if (q < 0)
        return;
    const int rows = g->values[q].rows;
    const int k = pick(g, g->b, g->a & 2 ? 8 : columns, rows >= WINDOWS ? rows : TOKENS,
                       rows >= WINDOWS ? g->values[q].shape : -1);
    if (k < 0)
        return;
    const int v = pick(g, g->c >> 3, g->a & 4 ? 8 : columns, rows >= WINDOWS ? rows : TOKENS, g->values[k].shape);
    if (v < 0)
        return;
    const int biased = rows >= WINDOWS && g->c & 1;
    if (biased) {
        begin(g, g->c & 2 ? "bias_table" : "bias_network", g->values[q].map);
        put(g, g->c & 2 ? ",\"weight\":\"f32.9x2\",\"trained\":[2,2]"
                        : ",\"weight\":\"f32.4x2\",\"weight2\":\"f32.2x4\",\"trained\":[0,0]");
        put(g, ",\"windows\":%d", rows - WINDOWS);
        add(g, &(struct value){ 1, CONSTANT, g->shapes++, 0, 0 }, 1);
    }
    begin(g, "attention", -1);
    put(g, ",\"in\":[");
    put_eight(g, q, 0);
    put(g, ",");
    put_eight(g, k, 8);
    put(g, ",");
    put_eight(g, v, 16);
    if (biased)
        put(g, ",\"n%d\"", g->count - 1);
    const int heads = biased ? 2 : 1 << (g->c & 3), gated = g->c >> 5 & 1, clipped = g->c >> 6 & 1 && g->codes % 3 == 0;
    const int key_bias = rows < WINDOWS && g->b & 128;
    if (gated)
        put(g, ",[\"n%d\",0,%d]", q, heads);
    if (key_bias) {
        put(g, ",");
        put_one(g, g->b >> 4, k);
    }
    put(g, "],\"scale\":0.5,\"heads\":%d%s%s%s", heads, gated ? ",\"gated\":true" : "",
        key_bias ? ",\"key_bias\":true" : "", clipped ? ",\"gamma\":-0.0625,\"zeta\":1.125" : "");
    if (g->codes && !clipped) {
        put(g, ",\"quantize\":[");
        for (unsigned i = 0; i < 3; i++, g->codes += g->codes % 5) {
            put(g, i ? "," : "");
            put_quantizer(g, 8, i == 2 && g->codes & 1);
        }
        put(g, "]");
        if (g->codes % 7 == 6)
            put(g, ",\"log_bits\":%u,\"log_scale\":0.25", 2 + g->codes % 5);
    }
    add(g, &g->values[q], 8);
    if (rows >= WINDOWS || !(g->c & 4))
        return;
    begin(g, "attention_scores", g->count - 1);
    if (g->a & 8 && g->values[q].shape == g->values[k].shape)
        put(g, ",\"scores\":\"votes\",\"rounds\":%u,\"boost\":%u", 1 + g->b % 8, g->b >> 6);
    else
        put(g, ",\"scores\":\"%s\"", g->c & 8 ? "first_row" : "column_sums");
    add(g, &g->values[k], 1u << (g->c & 3));
}

static void grow_rows(struct grower *g)
{
    const int x = pick(g, g->b, 0, TOKENS, -1);
    if (g->a % 4 == 3) {
        begin(g, "tokens", -1);
        put(g, ",\"weight\":\"%s\"", g->c & 1 ? "f32.3x8" : "f32.1x8");
        add(g, &(struct value){ 8, TOKENS, g->shapes++, 0, 0 }, 8);
        return;
    }
    const int left = g->values[x].shape >= LEFT, protect = g->values[x].protect;
    unsigned first = g->c % 3, count = g->a % 4 == 1 ? g->c % 4 : 0;
    if (left && g->a % 4) {
        first = protect ? g->c % (unsigned)protect : 0;
        count = protect ? 1 + (g->c >> 2) % ((unsigned)protect - first) : 0;
    }
    const int pool = g->a % 4 == 0, spread = pool && g->a & 32;
    if (pool && g->a & 8)
        count = 1 + (g->c >> 4);
    begin(g, pool ? "pool" : "slice", g->a % 8 == 4 ? -1 : x);
    if (g->a % 8 == 4) {
        put(g, ",\"in\":[\"n%d\",", x);
        put_one(g, g->b >> 2, x);
        put(g, "]");
    }
    put(g, ",\"first_row\":%u", first);
    if (count)
        put(g, ",\"row_count\":%u", count);
    put(g, "%s%s", pool && g->a & 16 ? ",\"sum\":true" : "", spread ? ",\"spread\":true" : "");
    struct value *v = add(g, &g->values[x], g->values[x].columns);
    if (spread || (left && !pool && !count))
        return; /* all of them */
    v->shape = g->shapes++;
    v->rows = TOKENS;
    v->protect = 0;
}

static void grow_map(struct grower *g)
{
    static const char *const convs[] = { "f32.8x8x3x3", "f32.8x4x1x1", "f32.8x1x3x3" };
    const int pixels = g->a & 1, x = pick(g, g->b, pixels ? 3 : 8, MAP, -1);
    if (x < 0)
        return;
    const unsigned kind = g->a >> 1 & 3;
    begin(g, kind == 3 ? "pool2d" : "conv2d", x);
    if (kind == 3)
        put(g, ",\"kernel\":[2,3],\"largest\":%s", g->c & 32 ? "true" : "false");
    else if (!pixels && g->codes && kind < 2)
        put_weight(g, kind ? "i8.8x4x1x1" : "i8.8x8x3x3", 8, !kind);
    else
        put_weight(g, pixels ? (g->c & 64 || g->codes ? "i8.8x3x2x2" : "f32.8x3x2x2") : convs[kind], 3, 1);
    put(g, ",\"stride\":[%u,%u],\"padding\":[%u,%u]", 1 + (g->c & 1), 1 + (g->c >> 1 & 1), g->c >> 2 & 1,
        g->c >> 3 & 1);
    if (kind != 3 && g->c & 16)
        put(g, ",\"cover\":true");
    add(g, &g->values[x], kind == 3 ? g->values[x].columns : 8)->shape = g->shapes++;
}

static void grow_embed(struct grower *g)
{
    const int x = pick(g, g->b, 8, MAP, -1);
    if (x < 0)
        return;
    const int prefix = (int)(g->a & 1), placed = g->a & 2;
    if (placed) {
        begin(g, "positions", x);
        put(g, ",\"grid\":[4,4],\"filter\":\"%s\",\"prefix\":%d,\"weight\":\"%s\"",
            g->c & 1 ? "bicubic" : "bicubic_antialias", prefix, prefix ? "f32.17x8" : "f32.1x16x8");
        add(g, &(struct value){ 8, CONSTANT, g->shapes++, 0, 0 }, 8);
    }
    begin(g, "embed", -1);
    put(g, placed ? ",\"in\":[\"n%d\",\"n%d\"]" : ",\"in\":[\"n%d\"]", x, g->count - 1);
    if (prefix || g->a & 4)
        put(g, ",\"weight\":\"f32.3x8\"");
    if (prefix && placed)
        put(g, ",\"position_prefix\":1");
    struct value *v = add(g, &g->values[x], 8);
    v->rows = TOKENS;
    v->shape = g->shapes++;
}

static void grow_windows(struct grower *g)
{
    const int back = g->a & 1, x = pick(g, g->b, 0, back ? WINDOWS + (int)(g->c % 3) : MAP, -1);
    if (x < 0)
        return;
    const struct value from = g->values[x];
    if (back) {
        begin(g, "unwindows", x);
        add(g, &from, from.columns)->rows = MAP;
        g->values[g->count - 1].shape = g->values[from.map].shape;
    } else if (g->a & 2 && from.columns == 8) {
        begin(g, "space_to_depth", x);
        put(g, ",\"block\":[2,2]");
        add(g, &from, 32)->shape = g->shapes++;
    } else {
        begin(g, "windows", x);
        put(g, ",\"windows\":%u", g->c % 3);
        struct value *v = add(g, &from, from.columns);
        v->rows = WINDOWS + (int)(g->c % 3);
        v->shape = 1000 + from.shape * 3 + (int)(g->c % 3);
        v->map = x;
    }
}

static void grow_token_score(struct grower *g)
{
    static const char *const scores[] = { "mean", "values",    "head_values", "votes",      "votes",
                                          "ones", "logarithm", "number",      "difference", "halting" };
    const unsigned kind = g->c % 10;
    const int x = pick(g, g->b, 0, TOKENS, -1);
    const struct value from = g->values[x];
    const int same = pick(g, g->a >> 2, from.columns, TOKENS, from.shape); /* at least x itself */
    const int y = kind == 1 ? pick(g, g->a >> 2, 0, TOKENS, from.shape) : same;
    const int other = pick(g, g->a >> 2, 0, TOKENS, from.shape);
    const int one_column = kind == 6 || kind > 7;
    begin(g, "token_score", one_column || (kind && kind < 4) ? -1 : x);
    if (kind && kind < 4)
        put(g, ",\"in\":[\"n%d\",\"n%d\"]", x, y);
    if (one_column) {
        put(g, ",\"in\":[");
        put_one(g, g->a, x);
        if (kind == 8 || (kind == 9 && g->a & 64)) {
            put(g, ",");
            put_one(g, g->a >> 3, other);
        }
        put(g, "]");
    }
    if (kind == 9)
        put(g, ",\"scale\":%u,\"center\":%d,\"limit\":%g", g->b >> 4, (int)(g->b & 15) - 8, 0.1 * (1 + g->a % 10));
    put(g, ",\"score\":\"%s\"", scores[kind]);
    if (g->a & 1)
        put(g, ",\"boost\":%u", g->a >> 4);
    if (g->a & 2)
        put(g, ",\"lowest\":0.01,\"highest\":%g", 0.1 * (1 + g->a % 32));
    add(g, &from, 1);
}

static void grow_select(struct grower *g)
{
    static const char *const by[] = { "top", "samples", "match", "even", "random", "below" };
    static const char *const keep[] = { "0.5", "0.7", "1", "1e-9", "0.25", "0.99", "0.34", "0.05" };
    static const unsigned counts[] = { 0, 0, 0, 2, 5, 1000, 3, 0 };
    const unsigned kind = g->a % 6;
    const int x = pick(g, g->b, 0, TOKENS, -1);
    const struct value from = g->values[x];
    const int y = pick(g, g->b >> 2, 0, TOKENS, from.shape); /* at least x itself */
    const int similar = kind == 0 && g->c & 1, match = kind == 2;
    const unsigned most = from.shape >= LEFT ? (unsigned)from.protect : 3, protect = (g->a >> 5) % (most + 1);
    const int below = kind == 5, reads_all = kind == 3 || kind == 4;
    begin(g, "select", reads_all ? x : -1);
    if (!reads_all) {
        put(g, ",\"in\":[");
        if (match)
            put(g, "\"n%d\"", y);
        else
            put_one(g, g->b >> 4, x);
        if (similar)
            put(g, ",\"n%d\"", y);
        if (similar && g->b & 32) {
            put(g, ",");
            put_one(g, g->a >> 4, x);
        }
        if (match && g->c & 1) {
            put(g, ",");
            put_one(g, g->b >> 4, x);
        }
        put(g, "]");
    }
    put(g, ",\"by\":\"%s\",\"protect\":%u", by[kind], protect);
    if (below)
        put(g, ",\"threshold\":%g%s", 0.1 * (g->c >> 2), g->c & 2 ? ",\"with_first\":true" : "");
    else
        put(g, ",\"keep\":%s,\"count\":%u", keep[g->c >> 1 & 7], counts[g->c >> 4 & 7]);
    if ((similar || match) && g->values[y].columns % 2 == 0 && g->c & 8)
        put(g, ",\"groups\":2");
    if (similar)
        put(g, ",\"similar\":%u", 1 + (g->c >> 5 & 3));
    put(g, "%s%s%s,\"seed\":%u", g->c & 128 ? ",\"up\":true" : "", kind == 0 && g->b & 64 ? ",\"fuse\":true" : "",
        g->b & 128 ? match ? ",\"drop\":true" : ",\"in_order\":true" : "", g->b);
    struct value *v = add(g, &from, 4);
    v->rows = TOKEN_MAP;
    v->protect = (int)protect;
}

/* The last token map up to the wanted one; -1: none. */
static int pick_map(const struct grower *g, unsigned wanted)
{
    int found = -1;
    for (int v = g->count - 1, left = (int)(wanted % 3); v >= 0 && left >= 0; v--)
        if (g->values[v].rows == TOKEN_MAP) {
            found = v;
            left--;
        }
    return found;
}

static void grow_apply(struct grower *g)
{
    const int map = pick_map(g, g->a >> 2);
    const int x = map < 0 ? -1 : pick(g, g->b, g->a & 1 ? 24 : 0, TOKENS, g->values[map].shape);
    if (x < 0)
        return;
    const unsigned all = g->values[x].columns;
    begin(g, "apply", -1);
    if (all == 24 && g->b & 32)
        put(g, ",\"in\":[[\"n%d\",%u,8],\"n%d\"]", x, g->b % 3 * 8, map);
    else
        put(g, ",\"in\":[\"n%d\",\"n%d\"]", x, map);
    if (g->c & 16)
        put(g, ",\"sum\":true");
    struct value *v = add(g, &g->values[x], all == 24 && g->b & 32 ? 8 : all);
    v->rows = TOKENS;
    v->shape = LEFT + map;
    v->protect = g->values[map].protect;
}

static void grow_scatter(struct grower *g)
{
    const int map = pick_map(g, g->a >> 2);
    const int x = map < 0 ? -1 : pick(g, g->b, 0, TOKENS, LEFT + map);
    if (x < 0)
        return;
    const struct value *for_rows = &g->values[map];
    const int base = g->a & 1 ? pick(g, g->b >> 2, g->values[x].columns, TOKENS, for_rows->shape) : -1;
    begin(g, "scatter", -1);
    put(g, ",\"in\":[\"n%d\",\"n%d\"", x, map);
    if (base >= 0)
        put(g, ",\"n%d\"", base);
    put(g, "]");
    struct value *v = add(g, for_rows, g->values[x].columns);
    v->rows = TOKENS;
    v->protect = for_rows->shape >= LEFT ? g->values[for_rows->shape - LEFT].protect : 0;
}

size_t grow_graph(const uint8_t *data, size_t size, char *text, size_t room)
{
    static void (*const growers[])(struct grower *) = { grow_linear,    grow_row_wise, grow_binary,      grow_attention,
                                                        grow_attention, grow_rows,     grow_map,         grow_embed,
                                                        grow_windows,   grow_windows,  grow_token_score, grow_select,
                                                        grow_apply,     grow_apply,    grow_scatter };
    enum { KINDS = sizeof growers / sizeof *growers };
    struct grower g = { .text = text, .room = room, .count = 2, .shapes = 2 };
    g.values[0] = (struct value){ 3, MAP, 0, 0, 0 };
    g.values[1] = (struct value){ 8, MAP, 1, 0, 0 };
    put(&g,
        "{\"version\":3,\"size\":[8,8],\"windows\":[{\"size\":[2,2]},{\"size\":[2,3],\"shift\":[1,1],\"fit\":"
        "\"each_side\",\"shift_first\":true,\"mask\":-100},{\"size\":[3,3],\"shift\":[1,2],\"fit\":\"shorter_side\","
        "\"mask\":-5}],\"nodes\":[{\"op\":\"input\",\"name\":\"n0\"},{\"op\":\"conv2d\",\"name\":\"n1\","
        "\"in\":[\"n0\"],\"stride\":[2,2]");
    g.codes = size > 1 && data[1] & 128 ? 8 : 0;
    put_weight(&g, g.codes ? "i8.8x3x2x2" : "f32.8x3x2x2", 3, 1);
    put(&g, ",\"unit\":0.001}");
    for (; size >= 4 && g.count < MAX_VALUES - 2; size -= 4, data += 4) {
        g.a = data[1];
        g.b = data[2];
        g.c = data[3];
        g.codes = data[0] / KINDS;
        growers[data[0] % KINDS](&g);
    }
    put(&g, "],\"outputs\":{");
    int outputs = 0;
    for (int v = g.count - 1; v > 0; v--)
        if (g.values[v].rows < WINDOWS && g.values[v].rows >= 0 && (outputs < 2 || (size && data[0] >> v % 8 & 1)))
            put(&g, "%s\"o%d\":\"n%d\"", outputs++ ? "," : "", v, v);
    put(&g, "}}");
    return g.used;
}
