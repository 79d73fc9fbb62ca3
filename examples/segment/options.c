/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of segment; see segment.h. */
#include "segment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef VITRT_BUNDLED_SEGMENTER
#define DEFAULT_MODEL VITRT_BUNDLED_SEGMENTER
#else
#define DEFAULT_MODEL NULL
#endif

const char options_usage[] =
    "usage: segment [-m MODEL] [--dtop P[,P]...] [--overlay OUT.png] IMAGE...\n"
    "Says which classes the pixels of images have.\n"
    "\n"
    "  -m MODEL           saved model with an output \"classmap\" (default: the bundled one)\n"
    "  --dtop P[,P]...    tokens leave behind blocks with a head that gives their class a probability over P, from 0\n"
    "                     to 1, the first P being that of the first such block; tells how many are left, and the time\n"
    "  --overlay OUT.png  the image with its classes in colours; of one image\n"
    "  -h, --help         this text\n";

static bool wrong(const char *what, const char *argument)
{
    fprintf(stderr, "segment: %s%s\n%s", what, argument, options_usage);
    return false;
}

/* "0.98" or "0.95,0.98" */
static bool read_thresholds(struct options *o, const char *text)
{
    const char *p = text;
    for (o->threshold_count = 0; o->threshold_count < MOST_EXITS; p++) {
        char *end;
        const double x = strtod(p, &end);
        if (end == p || !(x > 0 && x <= 1))
            break;
        o->thresholds[o->threshold_count++] = x;
        p = end;
        if (!*p)
            return true;
        if (*p != ',')
            break;
    }
    return wrong("no probabilities over 0 and up to 1 with commas: ", text);
}

bool options_parse(struct options *o, int argc, char **argv)
{
    *o = (struct options){ .model = DEFAULT_MODEL, .images = argv };
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i];
        const bool takes_value = !strcmp(a, "-m") || !strcmp(a, "--dtop") || !strcmp(a, "--overlay");
        if (takes_value && i + 1 == argc)
            return wrong("a value is missing behind ", a);
        if (!strcmp(a, "-h") || !strcmp(a, "--help"))
            o->help = true;
        else if (!strcmp(a, "-m"))
            o->model = argv[++i];
        else if (!strcmp(a, "--overlay"))
            o->overlay = argv[++i];
        else if (!strcmp(a, "--dtop") && !read_thresholds(o, argv[++i]))
            return false;
        else if (!takes_value && a[0] == '-')
            return wrong("unknown option ", a);
        else if (!takes_value)
            o->images[o->image_count++] = argv[i]; /* in place of what was read before */
    }
    if (o->help)
        return true;
    if (!o->image_count)
        return wrong("no image", "");
    if (!o->model)
        return wrong("no model", "");
    return !o->overlay || o->image_count == 1 || wrong("--overlay is of one image", "");
}
