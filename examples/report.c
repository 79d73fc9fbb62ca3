/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints results; see report.h. The program never calls setlocale, so printf writes numbers with a decimal point
 * everywhere. Labels and file names are foreign text: they are escaped for JSON and freed of control characters for the
 * terminal.
 */
#include "report.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

size_t report_top(const float *logits, size_t classes, struct top *top, size_t k)
{
    float last = INFINITY;
    size_t last_index = 0, n = 0;
    for (; n < k && n < classes; n++) {
        size_t best = classes;
        for (size_t i = 0; i < classes; i++) {
            const bool follows = logits[i] < last || (n > 0 && logits[i] == last && i > last_index);
            if (follows && (best == classes || logits[i] > logits[best]))
                best = i;
        }
        if (best == classes)
            break;
        top[n].class_index = (uint32_t)best;
        last = logits[best];
        last_index = best;
    }
    double sum = 0;
    for (size_t i = 0; n > 0 && i < classes; i++)
        sum += exp((double)logits[i] - (double)logits[top[0].class_index]);
    for (size_t i = 0; i < n; i++)
        top[i].score = exp((double)logits[top[i].class_index] - (double)logits[top[0].class_index]) / sum;
    return n;
}

/* Length of the UTF-8 character at s; 0 if it is none. */
static size_t utf8_length(const unsigned char *s)
{
    if (s[0] < 0x80)
        return 1;
    const size_t n = s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    }
    const bool overlong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
    const bool surrogate = s[0] == 0xed && s[1] >= 0xa0;
    const bool too_large = s[0] == 0xf4 && s[1] >= 0x90;
    return overlong || surrogate || too_large ? 0 : n;
}

static void print_json_string(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    putchar('"');
    while (*s) {
        const size_t n = utf8_length(s);
        if (n == 0)
            fputs("\\ufffd", stdout);
        else if (*s == '"' || *s == '\\')
            printf("\\%c", *s);
        else if (*s < 0x20)
            printf("\\u%04x", *s);
        else
            fwrite(s, 1, n, stdout);
        s += n ? n : 1;
    }
    putchar('"');
}

static void print_plain(const char *text)
{
    for (const char *s = text; *s; s++)
        putchar((unsigned char)*s < 0x20 || *s == 0x7f ? '?' : *s);
}

void report_json(const struct report *r)
{
    fputs("{\"image\":", stdout);
    print_json_string(r->image);
    fputs(",\"model\":", stdout);
    print_json_string(r->model_path);
    fputs(",\"top\":[", stdout);
    for (size_t i = 0; i < r->top_count; i++) {
        const char *label = vitrt_model_label(r->model, r->top[i].class_index);
        printf("%s{\"class\":%u,\"label\":", i ? "," : "", (unsigned)r->top[i].class_index);
        if (label)
            print_json_string(label);
        else
            fputs("null", stdout);
        printf(",\"score\":%.7g}", r->top[i].score);
    }
    printf("],\"ms_prepare\":%.3f,\"ms_run\":%.3f}\n", r->ms_prepare, r->ms_run);
}

void report_table(const struct report *r)
{
    static const char bar[] = "####################";
    print_plain(r->image);
    putchar('\n');
    for (size_t i = 0; i < r->top_count; i++) {
        const char *label = vitrt_model_label(r->model, r->top[i].class_index);
        printf("  %5.1f %%  %-20.*s  ", 100 * r->top[i].score, (int)(r->top[i].score * 20 + 0.5), bar);
        if (label)
            print_plain(label);
        else
            printf("class %u", (unsigned)r->top[i].class_index);
        putchar('\n');
    }
    printf("  decoded in %.1f ms, resized and run in %.1f ms\n\n", r->ms_prepare, r->ms_run);
}

void report_session(const vitrt_session *session)
{
    char text[512];
    vitrt_describe(session, text, sizeof(text));
    printf("%.*s\n", (int)strcspn(text, "\n"), text);
}
