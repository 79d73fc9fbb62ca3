/* SPDX-License-Identifier: Apache-2.0 */
/* The options of bench_model: one table for reading and for the help text. */
#include "bench_model.h"
#include "measure.h"
#include "reduction.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Values; false: not what the option expects ---- */

static bool read_number(const char *text, uint32_t most, uint32_t *n)
{
    char *end;
    const unsigned long value = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || value < 1 || value > most)
        return false;
    *n = (uint32_t)value;
    return true;
}

static bool set_path(struct bench_options *o, const char *text)
{
    o->path = text;
    return *text;
}

static bool set_architecture(struct bench_options *o, const char *text)
{
    o->architecture = text;
    return *text;
}

static bool set_precision(struct bench_options *o, const char *text)
{
    static const char *const names[] = { "f32", "bf16", "i8", "i8-strict" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(text, names[i])) {
            o->session.precision = (vitrt_precision)(VITRT_PRECISION_F32 + i);
            return true;
        }
    return false;
}

static bool set_threads(struct bench_options *o, const char *text)
{
    uint32_t n = 0;
    const bool good = read_number(text, VITRT_MAX_THREADS, &n);
    o->session.threads = (int32_t)n;
    return good;
}

static bool set_batch(struct bench_options *o, const char *text)
{
    return read_number(text, VITRT_MAX_BATCH, &o->session.max_batch);
}

static bool set_size(struct bench_options *o, const char *text)
{
    char side[8] = "";
    const size_t n = strcspn(text, "x");
    if (n >= sizeof side)
        return false;
    memcpy(side, text, n);
    return read_number(side, VITRT_MAX_INPUT_SIDE, &o->session.height) &&
           read_number(text[n] ? text + n + 1 : side, VITRT_MAX_INPUT_SIDE, &o->session.width);
}

static bool set_reduction(struct bench_options *o, const char *text)
{
    o->reduction = text;
    return *text;
}

static bool set_runs(struct bench_options *o, const char *text)
{
    return read_number(text, 1000000, &o->runs);
}

static bool set_input(struct bench_options *o, const char *text)
{
    o->input = text;
    return *text;
}

static bool set_output(struct bench_options *o, const char *text)
{
    o->output = text;
    return *text;
}

static bool set_report(struct bench_options *o, enum bench_report report)
{
    const bool first = o->report == BENCH_SUMMARY;
    o->report = report;
    return first;
}

static bool set_layers(struct bench_options *o, const char *text)
{
    (void)text;
    return set_report(o, BENCH_LAYERS);
}

static bool set_json(struct bench_options *o, const char *text)
{
    (void)text;
    return set_report(o, BENCH_JSON);
}

static bool set_serve(struct bench_options *o, const char *text)
{
    (void)text;
    return set_report(o, BENCH_SERVE);
}

static bool set_sessions(struct bench_options *o, const char *text)
{
    return read_number(text, 256, &o->sessions) && set_report(o, BENCH_SESSIONS);
}

static bool set_reductions(struct bench_options *o, const char *text)
{
    o->reductions = text;
    return *text && set_report(o, BENCH_REDUCTIONS);
}

static bool set_help(struct bench_options *o, const char *text)
{
    (void)text;
    o->help = true;
    return true;
}

/* ---- The table ---- */

#define ONE_REPORT "only one of --layers, --json, --serve, --sessions and --reductions"

static const struct option {
    const char *name, *value; /* value NULL: takes none */
    bool (*set)(struct bench_options *o, const char *text);
    const char *expected; /* of the value, for messages */
    const char *help;
} options[] = {
    { "-m", "MODEL", set_path, "a path", "a folder with config.json and model.safetensors, or a saved model" },
    { "--arch", "NAME", set_architecture, "a name", "or random weights for an architecture: timm's name, or cvt-13" },
    { "-p", "PRECISION", set_precision, "f32, bf16, i8 or i8-strict",
      "f32 (default), bf16, i8 or i8-strict, for which a float model is quantized on noise" },
    { "-t", "THREADS", set_threads, "a number from 1 to 256", "default 1" },
    { "-b", "BATCH", set_batch, "a number from 1 to 65536", "images in one run, default 1" },
    { "--size", "HxW", set_size, "N or HxW, sides from 1 to 16384", "input size, or one number for both sides" },
    { "-r", "REDUCTION", set_reduction, "a reduction", "of tokens: " REDUCTION_FORM },
    { "-n", "RUNS", set_runs, "a number from 1 to 1000000", "default 20" },
    { "--layers", NULL, set_layers, ONE_REPORT, "time of every step and of every kind of step" },
    { "--json", NULL, set_json, ONE_REPORT, "one line for programs" },
    { "--sessions", "N", set_sessions, "a number from 1 to 256 and " ONE_REPORT,
      "images a second of N sessions on one model at once" },
    { "--reductions", "LIST", set_reductions, "reductions with commas in between and " ONE_REPORT,
      "time and multiply-adds beside those of the model itself" },
    { "--serve", NULL, set_serve, ONE_REPORT, "answer each line read, a number of runs, with their milliseconds" },
    { "--input", "FILE", set_input, "a file", "raw f32 [batch, height, width, 3], normalised, instead of noise" },
    { "--output", "FILE", set_output, "a file", "write the first run's first output as raw f32" },
    { "-h", NULL, set_help, "", "this text" },
};

void bench_print_help(void)
{
    printf("usage: bench_model -m MODEL | --arch NAME [OPTION]...\n"
           "Measures a model against the peak of the CPU, which is measured in the same run.\n\n");
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        printf("  %-10s %-10s %s\n", options[i].name, options[i].value ? options[i].value : "", options[i].help);
    printf("\nMETHOD is one of " REDUCTION_NAMES "\n");
    printf("\nThe environment variable VITRT_CPU caps the bundle of kernels: %s\n", vt_cpu_names());
}

static const struct option *find(const char *name)
{
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (!strcmp(options[i].name, name))
            return &options[i];
    return NULL;
}

static void read_option(int argc, char **argv, int *i, struct bench_options *o)
{
    const struct option *option = find(argv[*i]);
    if (!option)
        vt_bench_fail("there is no option \"%s\"; -h lists them", argv[*i]);
    const char *value = option->value && *i + 1 < argc ? argv[++*i] : "";
    if (option->set(o, value))
        return;
    if (option->value)
        vt_bench_fail("%s is \"%s\", expected %s", option->name, value, option->expected);
    vt_bench_fail("%s: expected %s", option->name, option->expected);
}

struct bench_options bench_parse_options(int argc, char **argv)
{
    struct bench_options o = { .runs = 20,
                               .session = { .threads = 1, .max_batch = 1, .precision = VITRT_PRECISION_F32 } };
    for (int i = 1; i < argc; i++)
        read_option(argc, argv, &i, &o);
    if (!o.help && !o.path == !o.architecture)
        vt_bench_fail("expected either -m MODEL or --arch NAME; -h lists all options");
    return o;
}
