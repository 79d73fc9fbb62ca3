/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of reduce; see reduce.h. */
#include "reduce.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "precision.h"

const char options_usage[] =
    "usage: reduce -m MODEL -o OUT.safetensors BUDGET [OPTION]... IMAGE...\n"
    "\n"
    "  IMAGE           a JPEG, PNG or BMP file, or a folder (with subfolders): of the kind that the model will see,\n"
    "                  256 or more, without labels\n"
    "  -m MODEL        folder or saved model, quantized or not\n"
    "  -o FILE         where the model with the best schedule is saved\n"
    "  BUDGET          one of these:\n"
    "    --macs SHARE  of the model's multiply-adds, within 1 %\n"
    "    --gmacs X     10^9 multiply-adds, within 1 %\n"
    "    --time SHARE  of the model's time on this machine, within 5 %\n"
    "    --keep LIST   no search but this schedule: BLOCK@KEEP/BLOCK@KEEP..\n"
    "  --method NAME   " REDUCTION_NAMES ", several with commas, or\n"
    "                  all: the first four (default)\n"
    "  --candidates N  schedules of each method (default 64): a quarter is drawn at random, each later quarter is like\n"
    "                  the best ones before, on a sixteenth of the images; the best 16 run on a quarter of the\n"
    "                  images, the best 4 of those on all\n"
    "  --limit N       at most N images, evenly spread (default 256); prepared, they are all kept in memory\n"
    "  --seed N        of candidates (default 1)\n"
    "  --size N        of the model's input, N x N (default: the model's own)\n"
    "  -t THREADS      1 to 256 (default 0: as many as this process may use)\n"
    "  -p PRECISION    " PRECISION_NAMES " (default: the model's own)\n"
    "  --plot FILE     agreement against time as SVG\n"
    "  -h, --help      this text\n";

static bool parse_count(const char *value, unsigned long least, unsigned long most, size_t *n)
{
    char *rest;
    const unsigned long x = strtoul(value, &rest, 10);
    *n = x;
    return *value >= '0' && *value <= '9' && *rest == '\0' && x >= least && x <= most;
}

static bool parse_number(const char *value, double most, double *x)
{
    char *rest;
    *x = strtod(value, &rest);
    return rest != value && *rest == '\0' && *x > 0 && *x <= most;
}

static bool parse_budget(struct options *o, const char *name, const char *value)
{
    if (o->macs_share > 0 || o->time_share > 0 || o->macs > 0 || o->schedule)
        return false;
    if (strcmp(name, "--macs") == 0)
        return parse_number(value, 1, &o->macs_share);
    if (strcmp(name, "--time") == 0)
        return parse_number(value, 1, &o->time_share);
    const bool ok = strcmp(name, "--gmacs") != 0 || parse_number(value, 1e6, &o->macs);
    o->macs *= 1e9;
    o->schedule = o->macs > 0 ? NULL : value;
    return ok;
}

static bool parse_methods(struct options *o, const char *names)
{
    struct reduction r;
    if (strcmp(names, "all") == 0) /* as they are by default */
        return true;
    o->methods = names;
    for (const char *p = names, *end; p; p = *end ? end + 1 : NULL) {
        end = p + strcspn(p, ",");
        if (!reduction_from_name(p, (size_t)(end - p), &r))
            return false;
    }
    return true;
}

/* An option with a value. */
static bool parse_value(struct options *o, const char *name, const char *value)
{
    size_t threads = 0;
    if (strcmp(name, "--macs") == 0 || strcmp(name, "--gmacs") == 0 || strcmp(name, "--time") == 0 ||
        strcmp(name, "--keep") == 0)
        return parse_budget(o, name, value);
    if (strcmp(name, "--method") == 0)
        return parse_methods(o, value);
    if (strcmp(name, "--candidates") == 0)
        return parse_count(value, 1, 100000, &o->candidates);
    if (strcmp(name, "--limit") == 0)
        return parse_count(value, 1, 1000000, &o->limit);
    if (strcmp(name, "--seed") == 0)
        return parse_count(value, 0, UINT32_MAX, &o->seed);
    if (strcmp(name, "--size") == 0)
        return parse_count(value, 1, VITRT_MAX_INPUT_SIDE, &o->side);
    if (strcmp(name, "-p") == 0)
        return precision_from_name(value, strlen(value), &o->precision);
    const bool ok = strcmp(name, "-t") == 0 && parse_count(value, 0, VITRT_MAX_THREADS, &threads);
    o->threads = (int32_t)threads;
    return ok;
}

static bool parse_option(struct options *o, const char *name, const char *value)
{
    bool ok = value != NULL;
    if (ok && strcmp(name, "-m") == 0)
        o->model = value;
    else if (ok && strcmp(name, "-o") == 0)
        o->out = value;
    else if (ok && strcmp(name, "--plot") == 0)
        o->plot = value;
    else
        ok = ok && parse_value(o, name, value);
    if (!ok)
        fprintf(stderr, "reduce: %s %s\n\n%s", name, value ? value : "needs a value", options_usage);
    return ok;
}

bool options_parse(struct options *o, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] != '-') {
            if (!files_add(&o->images, argv[i]))
                return false;
        } else if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) {
            o->help = true;
        } else if (parse_option(o, argv[i], argv[i + 1])) {
            i++;
        } else {
            return false;
        }
    }
    const bool budget = o->macs_share > 0 || o->time_share > 0 || o->macs > 0 || o->schedule;
    if (!o->help && (!o->model || !o->out || !budget || !o->images.count)) {
        fprintf(stderr, "reduce: -m, -o, a budget and at least one image are needed\n\n%s", options_usage);
        return false;
    }
    return true;
}
