/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of quantize; see quantize.h. */
#include "quantize.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Fewer images than this are all for calibration. */
enum { MIN_TO_SPLIT = 16, HELD_OUT_EVERY = 4 };

const char options_usage[] =
    "usage: quantize -m MODEL -o OUT.safetensors [-p KIND] [OPTION]... IMAGE...\n"
    "\n"
    "  IMAGE           a JPEG, PNG or BMP file, or a folder (with subfolders): of the kind that the model will see,\n"
    "                  43 or more. Every fourth is not calibrated with but held out for the comparison, if there are\n"
    "                  at least 16.\n"
    "  -m MODEL        folder or saved model with float weights\n"
    "  -o FILE         where the quantized model is saved\n"
    "  -p KIND         i8 (default), i8-strict (the same file, compared in integers alone), w6a6 or w4a4 (for\n"
    "                  experiments)\n"
    "  -t THREADS      1 to 256 (default 0: as many as this process may use)\n"
    "  --report        what each node costs, which takes as long as some hundred images\n"
    "  --tolerance T   keep the nodes that cost most in float until the loss (the squared relative error of the\n"
    "                  output) is at most T; the default, 0, gives all nodes codes\n"
    "  --sequential    layers are calibrated one by one, behind the codes of those before, as published for RepQ-ViT:\n"
    "                  every image runs twice for each layer\n"
    "  -h, --help      this text\n";

static const struct kind kinds[] = { { "i8", 8, VITRT_PRECISION_I8 },
                                     { "i8-strict", 8, VITRT_PRECISION_I8_STRICT },
                                     { "w6a6", 6, VITRT_PRECISION_I8 },
                                     { "w4a4", 4, VITRT_PRECISION_I8 } };

bool options_holds_out(const struct options *o, size_t i)
{
    return o->images.count >= MIN_TO_SPLIT && i % HELD_OUT_EVERY == HELD_OUT_EVERY - 1;
}

static bool parse_kind(struct options *o, const char *name)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        o->kind = &kinds[i];
        if (strcmp(name, kinds[i].name) == 0)
            return true;
    }
    return false;
}

static bool parse_threads(struct options *o, const char *value)
{
    char *rest;
    const unsigned long n = strtoul(value, &rest, 10);
    o->threads = (int32_t)n;
    return *value >= '0' && *value <= '9' && *rest == '\0' && n <= VITRT_MAX_THREADS;
}

static bool parse_tolerance(struct options *o, const char *value)
{
    char *rest;
    o->tolerance = strtof(value, &rest);
    return rest != value && *rest == '\0' && o->tolerance > 0;
}

/* An option with a value. */
static bool parse_option(struct options *o, const char *name, const char *value)
{
    bool ok = value != NULL;
    if (ok && strcmp(name, "-m") == 0)
        o->model = value;
    else if (ok && strcmp(name, "-o") == 0)
        o->out = value;
    else
        ok = ok && ((strcmp(name, "-p") == 0 && parse_kind(o, value)) ||
                    (strcmp(name, "-t") == 0 && parse_threads(o, value)) ||
                    (strcmp(name, "--tolerance") == 0 && parse_tolerance(o, value)));
    if (!ok)
        fprintf(stderr, "quantize: %s %s\n\n%s", name, value ? value : "needs a value", options_usage);
    return ok;
}

bool options_parse(struct options *o, int argc, char **argv)
{
    o->kind = kinds;
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] != '-') {
            if (!files_add(&o->images, argv[i]))
                return false;
        } else if (strcmp(argv[i], "--report") == 0) {
            o->report = true;
        } else if (strcmp(argv[i], "--sequential") == 0) {
            o->sequential = true;
        } else if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) {
            o->help = true;
        } else if (parse_option(o, argv[i], argv[i + 1])) {
            i++;
        } else {
            return false;
        }
    }
    if (!o->help && (!o->model || !o->out || !o->images.count)) {
        fprintf(stderr, "quantize: -m, -o and at least one image are needed\n\n%s", options_usage);
        return false;
    }
    return true;
}
