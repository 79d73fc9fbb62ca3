/* SPDX-License-Identifier: Apache-2.0 */
/* Parses the command line of classify; see options.h. Options and images may be mixed; "--" ends the options. */
#include "options.h"

#include "precision.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char options_usage[] =
    "usage: classify [-m MODEL] [-k TOP] [-t THREADS] [-p PRECISION] [-r REDUCTION] [OPTION]... IMAGE...\n"
    "\n"
    "  IMAGE               a JPEG, PNG or BMP file, or a folder: its images and those of its direct subfolders\n"
    "  -m MODEL            folder with config.json and model.safetensors, or a saved model (default: bundled)\n"
    "  -k TOP              how many classes to print (default 5)\n"
    "  -t THREADS          1 to 256 (default 0: as many as this process may use)\n"
    "  -p PRECISION        " PRECISION_NAMES " (default: the model's own)\n"
    "  -r REDUCTION        of tokens: " REDUCTION_FORM ", where METHOD is\n"
    "                      " REDUCTION_NAMES "\n"
    "  --size HxW          input size in pixels (default: the model's own)\n"
    "  --json              one line of JSON per image; ms_prepare: read, decode; ms_run: resize, normalise, network\n"
    "  --dump FILE         also write i/pixels, i/block.K, i/tokens.K where tokens leave, i/logits (or i/features) of\n"
    "                      image i = 0, 1, ... as safetensors\n"
    "  --show-tokens FILE  also draw, as PNG, each image as the model sees it and behind every block where tokens\n"
    "                      leave: patches that have left are dark, those that have become one token have their mean\n"
    "                      colour and an outline\n"
    "  -h, --help          this text\n";

/* A decimal number in [min, max] at s, ended by the character end. */
static bool parse_number(const char *s, char end, unsigned long min, unsigned long max, unsigned long *value)
{
    char *rest;
    if (*s < '0' || *s > '9')
        return false;
    *value = strtoul(s, &rest, 10); /* ULONG_MAX on overflow, which is above max */
    return *rest == end && *value >= min && *value <= max;
}

static bool parse_size(const char *s, uint32_t *height, uint32_t *width)
{
    unsigned long h, w;
    const char *x = strchr(s, 'x');
    if (!x || !parse_number(s, 'x', 1, 65536, &h) || !parse_number(x + 1, '\0', 1, 65536, &w))
        return false;
    *height = (uint32_t)h;
    *width = (uint32_t)w;
    return true;
}

/* An option with a value. */
static bool parse_option(struct options *o, const char *name, const char *value)
{
    unsigned long n = 0;
    bool ok = value != NULL;
    if (ok && strcmp(name, "-m") == 0) {
        o->model = value;
    } else if (ok && strcmp(name, "--dump") == 0) {
        o->dump = value;
    } else if (ok && strcmp(name, "--show-tokens") == 0) {
        o->picture = value;
    } else if (ok && strcmp(name, "-r") == 0) {
        ok = reduction_from_text(value, strlen(value), &o->reduction);
    } else if (ok && strcmp(name, "-k") == 0) {
        ok = parse_number(value, '\0', 1, 1000000, &n);
        o->top = n;
    } else if (ok && strcmp(name, "-t") == 0) {
        ok = parse_number(value, '\0', 0, 256, &n);
        o->session.threads = (int32_t)n;
    } else if (ok && strcmp(name, "-p") == 0) {
        ok = precision_from_name(value, strlen(value), &o->session.precision);
    } else if (ok) {
        ok = parse_size(value, &o->session.height, &o->session.width);
    }
    if (!ok)
        fprintf(stderr, "classify: %s %s\n\n%s", name, value ? value : "needs a value", options_usage);
    return ok;
}

static bool takes_value(const char *name)
{
    static const char *const names[] = { "-m", "-k", "-t", "-p", "-r", "--size", "--dump", "--show-tokens" };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(name, names[i]) == 0)
            return true;
    }
    return false;
}

bool options_parse(struct options *o, int argc, char **argv)
{
    bool images_only = false;
    for (int i = 1; i < argc; i++) {
        const char *s = argv[i];
        if (images_only || s[0] != '-' || s[1] == '\0') {
            o->files_failed |= !files_add(&o->files, s);
        } else if (strcmp(s, "--") == 0) {
            images_only = true;
        } else if (strcmp(s, "--json") == 0) {
            o->json = true;
        } else if (strcmp(s, "-h") == 0 || strcmp(s, "--help") == 0) {
            o->help = true;
        } else if (takes_value(s)) {
            if (!parse_option(o, s, argv[i + 1]))
                return false;
            i++;
        } else {
            fprintf(stderr, "classify: unknown option %s\n\n%s", s, options_usage);
            return false;
        }
    }
    if (!o->help && o->files.count == 0 && !o->files_failed) {
        fprintf(stderr, "classify: no image was named\n\n%s", options_usage);
        return false;
    }
    return true;
}
