/* SPDX-License-Identifier: Apache-2.0 */
/* Agreement against time as SVG; see reduce.h. */
#include "reduce.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WIDTH = 720, HEIGHT = 440, LEFT = 70, RIGHT = 200, TOP = 40, BOTTOM = 60, TICKS = 6 };

static const char *const colours[] = { "#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                       "#e69f00", "#56b4e9", "#f0e442", "#777777" };

enum { COLOURS = sizeof(colours) / sizeof(*colours) };

struct plot {
    FILE *f;
    double x[2], y[2]; /* ms and per cent at the ends of the axes */
    const char *methods[COLOURS];
};

static double share_of(double value, const double ends[2])
{
    return (value - ends[0]) / (ends[1] - ends[0]);
}

static double x_of(const struct plot *p, double ms)
{
    return LEFT + (WIDTH - LEFT - RIGHT) * share_of(ms, p->x);
}

static double y_of(const struct plot *p, double percent)
{
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share_of(percent, p->y);
}

static double agreement(const struct candidate *c)
{
    return 100 * (double)c->same / (double)c->images;
}

/* 1, 2 or 5 times a power of 10, so that there are about TICKS of them. */
static double tick_step(const double ends[2])
{
    const double rough = (ends[1] - ends[0]) / TICKS, power = pow(10, floor(log10(rough))), digit = rough / power;
    return power * (digit <= 1 ? 1 : digit <= 2 ? 2 : digit <= 5 ? 5 : 10);
}

/* From a little before the least value to a little behind the greatest. */
static void set_ends(struct plot *p, const struct candidate *c, size_t n, const struct dense *d)
{
    double ms[2] = { d->ms, d->ms }, least = 99;
    for (size_t i = 0; i < n; i++) {
        ms[0] = fmin(ms[0], c[i].ms);
        ms[1] = fmax(ms[1], c[i].ms);
        least = fmin(least, agreement(&c[i]));
    }
    const double margin = fmax((ms[1] - ms[0]) / 12, ms[1] / 100);
    p->x[0] = ms[0] - margin;
    p->x[1] = ms[1] + margin;
    p->y[0] = least - (100 - least) / 10;
    p->y[1] = 100 + (100 - least) / 20;
}

static void draw_axes(const struct plot *p, const struct dense *d)
{
    const double xs = tick_step(p->x), ys = tick_step(p->y), bottom = HEIGHT - BOTTOM, right = WIDTH - RIGHT;
    for (double x = ceil(p->x[0] / xs) * xs; x <= p->x[1]; x += xs)
        fprintf(p->f,
                "<path class=\"grid\" d=\"M%.1f %d V%.1f\"/>"
                "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%g</text>\n",
                x_of(p, x), TOP, bottom, x_of(p, x), bottom + 18, x);
    for (double y = ceil(p->y[0] / ys) * ys; y <= p->y[1]; y += ys)
        fprintf(p->f,
                "<path class=\"grid\" d=\"M%d %.1f H%.1f\"/>"
                "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n",
                LEFT, y_of(p, y), right, LEFT - 8, y_of(p, y) + 4, y);
    fprintf(p->f,
            "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">ms of an image</text>\n"
            "<text x=\"%d\" y=\"%d\">answers that are the dense model's, %% of %zu images</text>\n",
            (LEFT + right) / 2, HEIGHT - 16, LEFT - 40, TOP - 16, d->images);
}

/* ---- Points ---- */

/* Methods have numbers in the order in which they come; those that there is no colour for have the last one. */
static size_t method_number(struct plot *p, const struct candidate *c)
{
    const char *name = c->reduction.name;
    size_t i = 0;
    while (i < COLOURS - 1 && p->methods[i] && strcmp(p->methods[i], name) != 0)
        i++;
    p->methods[i] = name;
    return i;
}

static void draw_point(struct plot *p, const struct candidate *c)
{
    char text[1024];
    reduction_to_text(&c->reduction, text, sizeof(text));
    fprintf(p->f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"5\" fill=\"%s\"><title>%s</title></circle>\n", x_of(p, c->ms),
            y_of(p, agreement(c)), colours[method_number(p, c)], text);
}

/* From the dense model on; candidates are in the order of their quality, in which those of the front get quicker. */
static void draw_front(const struct plot *p, const struct candidate *c, size_t n, const struct dense *d)
{
    fprintf(p->f, "<polyline class=\"front\" points=\"%.1f,%.1f", x_of(p, d->ms), y_of(p, 100));
    for (size_t i = 0; i < n; i++)
        if (c[i].front)
            fprintf(p->f, " %.1f,%.1f", x_of(p, c[i].ms), y_of(p, agreement(&c[i])));
    fprintf(p->f, "\"/>\n<rect x=\"%.1f\" y=\"%.1f\" width=\"10\" height=\"10\"><title>dense</title></rect>\n",
            x_of(p, d->ms) - 5, y_of(p, 100) - 5);
}

static void draw_legend(const struct plot *p)
{
    const int x = WIDTH - RIGHT + 24;
    int y = TOP + 10;
    fprintf(p->f,
            "<rect x=\"%d\" y=\"%d\" width=\"10\" height=\"10\"/><text x=\"%d\" y=\"%d\">all tokens</text>\n",
            x - 5, y - 5, x + 14, y + 4);
    for (size_t i = 0; i < COLOURS && p->methods[i]; i++) {
        y += 22;
        fprintf(p->f, "<circle cx=\"%d\" cy=\"%d\" r=\"5\" fill=\"%s\"/><text x=\"%d\" y=\"%d\">%s</text>\n", x, y,
                colours[i], x + 14, y + 4, p->methods[i]);
    }
}

bool plot_write(const char *path, const struct candidate *c, size_t n, const struct dense *d)
{
    struct plot p = { .f = fopen(path, "w") };
    if (!p.f)
        return false;
    set_ends(&p, c, n, d);
    fprintf(p.f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\""
            " font-size=\"13\">\n<style>.grid{stroke:#ddd} .front{stroke:#888;fill:none;stroke-dasharray:4 3}</style>\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
            WIDTH, HEIGHT);
    draw_axes(&p, d);
    draw_front(&p, c, n, d);
    for (size_t i = n; i-- > 0;) /* the best on top */
        draw_point(&p, &c[i]);
    draw_legend(&p);
    fputs("</svg>\n", p.f);
    const bool ok = !ferror(p.f);
    return fclose(p.f) == 0 && ok;
}
