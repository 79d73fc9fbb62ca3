/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time of a whole model: loading, running, share of the peak that is measured in the same run; as a summary, one line
 * of JSON, or served run by run to bench/compare.py. See bench_model -h.
 */
#include "bench_model.h"

#include "measure.h"
#include "peak.h"
#include "reduction.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __linux__
#include <unistd.h>
#endif

/* ---- The model under test ---- */

static double ms_since(double start)
{
    return (vt_bench_seconds() - start) * 1e3;
}

double bench_run(const struct bench *b, vitrt_session *s)
{
    vitrt_error err;
    const double start = vt_bench_seconds();
    if (vitrt_run(s, b->images, b->info.max_batch, NULL, &err))
        vt_bench_fail("%s", err.message);
    return ms_since(start);
}

double bench_peak(const struct bench *b)
{
    enum { LOOKS = 10 }; /* a thread that is not running at one of them is at another */
    double best = 0;
    for (int i = 0; i < LOOKS; i++) {
        const double peak = vt_bench_peak(b->product, b->cpu, b->info.threads);
        best = peak > best ? peak : best;
    }
    return best;
}

static vitrt_session *create_session(const struct bench *b)
{
    vitrt_session *s;
    vitrt_error err;
    if (vitrt_session_create(b->model, &b->options->session, &s, &err))
        vt_bench_fail("%s", err.message);
    return s;
}

vitrt_session *bench_new_session(const struct bench *b)
{
    vitrt_session *s = create_session(b);
    bench_run(b, s);
    return s;
}

static void read_file(const char *path, void *data, size_t bytes)
{
    FILE *f = fopen(path, "rb");
    if (!f || fread(data, 1, bytes, f) != bytes || fgetc(f) != EOF)
        vt_bench_fail("%s is not a readable file of %zu bytes, which is what the batch has as f32", path, bytes);
    fclose(f);
}

/* Noise for want of a file: the time does not depend on the values. */
static void make_images(struct bench *b)
{
    const size_t image = (size_t)b->info.height * b->info.width * 3, n = b->info.max_batch;
    uint32_t state = 1;
    b->pixels = vt_bench_alloc(n * image * sizeof *b->pixels);
    b->images = vt_bench_alloc(n * sizeof *b->images);
    if (b->options->input)
        read_file(b->options->input, b->pixels, n * image * sizeof *b->pixels);
    else
        vt_bench_noise(n * image, 1, &state, b->pixels);
    for (size_t i = 0; i < n; i++)
        b->images[i] = (vitrt_image){
            .data = b->pixels + i * image, .width = b->info.width, .height = b->info.height, .format = VITRT_FORMAT_F32
        };
}

static void write_output(const struct bench *b)
{
    vitrt_output out;
    if (!b->options->output)
        return;
    if (vitrt_session_output(b->session, 0, &out))
        vt_bench_fail("the session has no output");
    const size_t n = out.offsets[b->info.max_batch] * out.columns;
    FILE *f = fopen(b->options->output, "wb");
    if (!f || fwrite(out.data, sizeof(float), n, f) != n || fclose(f))
        vt_bench_fail("%s cannot be written", b->options->output);
}

static vitrt_status open_model(struct bench *b, vitrt_error *err)
{
    return b->options->path
               ? vitrt_model_open(b->options->path, NULL, &b->model, err)
               : vitrt_model_open_memory(b->checkpoint.files, b->checkpoint.file_count, NULL, &b->model, err);
}

/* Quantizes a float model on two images of noise: the time does not depend on the values. */
static void quantize(struct bench *b)
{
    enum { IMAGES = 2 };
    vitrt_model_info info;
    vitrt_model *quantized;
    vitrt_error err;
    vitrt_image images[IMAGES];
    uint32_t state = 2;
    const vitrt_session_options *o = &b->options->session;
    if (o->precision < VITRT_PRECISION_I8 || vt_graph_is_quantized(&b->model->graph))
        return;
    if (vitrt_model_get_info(b->model, &info))
        vt_bench_fail("the model does not tell its size");
    const uint32_t height = o->height ? o->height : info.height, width = o->width ? o->width : info.width;
    const size_t count = (size_t)height * width * 3;
    float *noise = vt_bench_alloc(IMAGES * count * sizeof *noise);
    vt_bench_noise(IMAGES * count, 1, &state, noise);
    for (size_t i = 0; i < IMAGES; i++)
        images[i] =
            (vitrt_image){ .data = noise + i * count, .width = width, .height = height, .format = VITRT_FORMAT_F32 };
    const vitrt_quantize_options options = {
        .images = images, .image_count = IMAGES, .height = height, .width = width
    };
    if (vitrt_model_quantize(b->model, &options, &quantized, &err))
        vt_bench_fail("%s", err.message);
    vitrt_model_free(b->model);
    b->model = quantized;
    free(noise);
}

vitrt_model *bench_reduced(const struct bench *b, const char *text, size_t n)
{
    struct reduction r;
    vitrt_model *reduced;
    vitrt_error err;
    if (!reduction_from_text(text, n, &r))
        vt_bench_fail("\"%.*s\" is no reduction, expected " REDUCTION_FORM " with " REDUCTION_NAMES, (int)n, text);
    r.options.height = b->options->session.height;
    r.options.width = b->options->session.width;
    if (vitrt_model_reduce(b->model, reduction_options(&r), &reduced, &err))
        vt_bench_fail("%.*s: %s", (int)n, text, err.message);
    return reduced;
}

static void reduce(struct bench *b)
{
    if (!b->options->reduction)
        return;
    vitrt_model *reduced = bench_reduced(b, b->options->reduction, strlen(b->options->reduction));
    vitrt_model_free(b->model);
    b->model = reduced;
}

static enum vt_product product_of(vitrt_precision precision)
{
    switch (precision) {
    case VITRT_PRECISION_BF16: return VT_PRODUCT_BF16;
    case VITRT_PRECISION_I8:
    case VITRT_PRECISION_I8_STRICT: return VT_PRODUCT_U8S8;
    default: return VT_PRODUCT_F32;
    }
}

static struct bench load(const struct bench_options *o)
{
    struct bench b = { .options = o };
    vitrt_error err;
    const char *reason;
    if (o->architecture && !vt_bench_random_checkpoint(o->architecture, &b.checkpoint, &reason))
        vt_bench_fail("--arch: %s %s", o->architecture, reason);
    double start = vt_bench_seconds();
    if (open_model(&b, &err))
        vt_bench_fail("%s", err.message);
    b.load_ms = ms_since(start);
    quantize(&b);
    reduce(&b);
    start = vt_bench_seconds();
    b.session = create_session(&b);
    b.load_ms += ms_since(start);
    if (vitrt_session_get_info(b.session, &b.info))
        vt_bench_fail("the session does not tell its size");
    make_images(&b);
    b.load_ms += bench_run(&b, b.session);
    b.product = product_of(o->session.precision);
    vt_cpu_from_name(b.session->kernels.bundle, &b.cpu);
    write_output(&b);
    return b;
}

static void unload(struct bench *b)
{
    free(b->pixels);
    free(b->images);
    vitrt_session_free(b->session);
    vitrt_model_free(b->model);
    vt_bench_checkpoint_free(&b->checkpoint);
}

/* ---- Times ---- */

struct times {
    double least_ms, median_ms, peak; /* milliseconds of the whole batch, GFLOP/s */
};

/* A few runs between two looks at the peak: then most of them find their threads as awake as a busy program would. */
static struct times measure(const struct bench *b)
{
    const size_t runs = b->options->runs;
    struct times t = { 0 };
    double *ms = vt_bench_alloc(runs * sizeof *ms);
    for (size_t i = 0; i < runs; i++) {
        const double peak = i % 4 == 0 ? bench_peak(b) : 0;
        t.peak = peak > t.peak ? peak : t.peak;
        ms[i] = bench_run(b, b->session);
    }
    t.median_ms = vt_bench_median(ms, runs);
    t.least_ms = ms[0];
    free(ms);
    return t;
}

/* Of this process now, without the file that --arch keeps in memory; 0 where the system does not tell. */
static double resident_mib(const struct bench *b)
{
    long pages = 0;
#ifdef __linux__
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%*d %ld", &pages) != 1)
        pages = 0;
    if (f)
        fclose(f);
    pages *= sysconf(_SC_PAGESIZE) / 1024;
#endif
    return ((double)pages * 1024 - (double)b->checkpoint.files[0].size) / (1 << 20);
}

/* ---- Reports ---- */

struct figures {
    struct times t;
    double images, gflop, gflop_executed; /* of one image */
    double gflops, share;                 /* executed, of the peak */
};

static struct figures figures_of(const struct bench *b)
{
    struct figures f = { .t = measure(b),
                         .images = b->info.max_batch,
                         .gflop = 2e-9 * (double)b->info.nominal_macs_per_image,
                         .gflop_executed = 2e-9 * (double)b->info.macs_per_image };
    f.gflops = f.gflop_executed * f.images / f.t.least_ms * 1e3;
    f.share = f.gflops / f.t.peak;
    return f;
}

static const char *const precision_names[] = { "f32", "bf16", "i8", "i8-strict" }; /* of enum vt_precision */

static void report_json(const struct bench *b)
{
    const struct figures f = figures_of(b);
    printf("{\"arch\": \"%s\", \"precision\": \"%s\", \"threads\": %u, \"batch\": %u, \"ms_min\": %.4f, "
           "\"ms_median\": %.4f, \"gflop\": %.4f, \"gflop_executed\": %.4f, \"gflops\": %.2f, \"peak_gflops\": %.2f, "
           "\"share_of_peak\": %.4f, \"rss_mb\": %.1f, \"load_ms\": %.2f}\n",
           b->model->facts.architecture, precision_names[b->session->plan->precision], (unsigned)b->info.threads,
           (unsigned)b->info.max_batch, f.t.least_ms / f.images, f.t.median_ms / f.images, f.gflop, f.gflop_executed,
           f.gflops, f.t.peak, f.share, resident_mib(b), b->load_ms);
}

static void print_what_runs(const struct bench *b)
{
    char text[512];
    vitrt_describe(b->session, text, sizeof text);
    printf("%.*s\n", (int)strcspn(text, "\n"), text);
    printf("load %.1f ms to the first result; packed weights %.1f MiB, arena %.1f MiB, resident %.1f MiB\n", b->load_ms,
           (double)b->info.packed_bytes / (1 << 20), (double)b->info.arena_bytes / (1 << 20), resident_mib(b));
}

static void report_summary(const struct bench *b)
{
    print_what_runs(b);
    const struct figures f = figures_of(b);
    printf("%.3f GFLOP an image, %.3f executed\n", f.gflop, f.gflop_executed);
    printf("an image: min %.3f ms, median %.3f ms; %.1f GFLOP/s, %.1f %% of the %.1f GFLOP/s of %u thread%s\n",
           f.t.least_ms / f.images, f.t.median_ms / f.images, f.gflops, 100 * f.share, f.t.peak,
           (unsigned)b->info.threads, b->info.threads == 1 ? "" : "s");
}

/* "ready", the milliseconds from opening to the first result, then a line of milliseconds for each line read. */
static void serve(const struct bench *b)
{
    char line[64];
    printf("ready %.3f\n", b->load_ms);
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        const long runs = strtol(line, NULL, 10);
        for (long i = 0; i < runs; i++)
            printf("%.4f ", bench_run(b, b->session));
        printf("\n");
        fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    const struct bench_options options = bench_parse_options(argc, argv);
    if (options.help) {
        bench_print_help();
        return 0;
    }
    struct bench b = load(&options);
    switch (options.report) {
    case BENCH_SUMMARY: report_summary(&b); break;
    case BENCH_JSON: report_json(&b); break;
    case BENCH_SERVE: serve(&b); break;
    case BENCH_LAYERS:
        print_what_runs(&b);
        bench_report_layers(&b);
        break;
    case BENCH_REDUCTIONS: bench_report_reductions(&b); break;
    case BENCH_SESSIONS:
        print_what_runs(&b);
        bench_report_sessions(&b);
        break;
    }
    unload(&b);
    return 0;
}
