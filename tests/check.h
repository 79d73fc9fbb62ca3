/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the checks of kernels share: memory between guard pages, fills, the bundles to go through, comparisons.
 *
 * A check program runs every function of kernels.inc that this CPU can run. Options: --only=PATTERN (tests by name, *
 * and ? as in a shell), --exhaustive (sweeps over single floats visit all 2^32).
 */
#ifndef VT_CHECK_H
#define VT_CHECK_H

#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#endif

#include "../kernels/kernels.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- Bundles ---- */

/* Calls run(&table) for "ref" and then for each bundle of this CPU, in ascending order. */
static inline void for_each_bundle(void (*run)(const struct vt_kernels *))
{
    const unsigned cpu = vt_cpu_detect();
    char names[256];
    snprintf(names, sizeof names, "%s", vt_cpu_names());
    for (char *name = strtok(names, ", "); name; name = strtok(NULL, ", ")) {
        unsigned mask = 0;
        assert_true(vt_cpu_from_name(name, &mask));
        if ((mask & cpu) != mask) {
            print_message("[  SKIPPED ] %s: not on this CPU\n", name);
            continue;
        }
        struct vt_kernels k;
        vt_kernels_init(&k, mask);
        run(&k);
    }
}

static inline struct vt_kernels reference_bundle(void)
{
    struct vt_kernels k;
    vt_kernels_init(&k, 0);
    return k;
}

/* The instructions for bf16 take denormal operands and results for 0, and add in their own way. */
static inline bool has_own_arithmetic(const struct vt_gemm_kernel *gemm)
{
    return strstr(gemm->name, "_avx512bf16") != NULL;
}

/* ---- Numbers ---- */

/* splitmix64 (Steele, Lea, Flood 2014). */
static inline uint64_t random_bits(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

/* In [-1, 1). */
static inline float random_float(uint64_t *state)
{
    return (float)((double)(random_bits(state) >> 40) * 0x1p-23 - 1.0);
}

enum fill { FILL_UNIFORM, FILL_TINY, FILL_HUGE, FILL_ZEROS, FILL_DENORMAL, FILL_EQUAL, FILL_COUNT };

/* HUGE leaves room for sums of thousands of products; TINY makes products denormal. */
static inline void fill_floats(enum fill fill, size_t n, float *x, uint64_t seed)
{
    const float equal = random_float(&seed);
    for (size_t i = 0; i < n; i++) {
        const float r = random_float(&seed);
        switch (fill) {
        case FILL_TINY: x[i] = r * 1e-20f; break;
        case FILL_HUGE: x[i] = r * 1e15f; break;
        case FILL_ZEROS: x[i] = r < 0 ? -0.0f : 0.0f; break;
        case FILL_DENORMAL: x[i] = r * FLT_MIN; break;
        case FILL_EQUAL: x[i] = equal; break;
        default: x[i] = r; break;
        }
    }
}

static inline float float_of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Equal bits; a NaN equals any NaN, for its sign and payload are not part of any contract. */
static inline bool same_bits(size_t n, const float *a, const float *b)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(a + i, b + i, sizeof *a) != 0 && !(isnan(a[i]) && isnan(b[i])))
            return false;
    return true;
}

/* Half the distance from 1 to the next float: the relative error of one rounding. */
static const double unit_roundoff = FLT_EPSILON / 2.0;

/* Relative error of n roundings in a row (Higham, Accuracy and Stability, lemma 3.1). */
static inline double gamma_of(size_t n)
{
    return (double)n * unit_roundoff / (1 - (double)n * unit_roundoff);
}

/* ---- Memory between guard pages ---- */

enum { CANARY = 0xA5 };
enum place { AT_START, AT_END, PLACES };

struct guarded {
    unsigned char *map;  /* guard page, pages, guard page */
    size_t pages_bytes;  /* between the guards */
    unsigned char *data; /* touches the guard before or behind it */
    size_t data_bytes;
};

static inline size_t page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* Memory whose first (AT_START) or last (AT_END) byte touches a page that cannot be accessed; what is left of the
 * page is canaries. */
static inline void *guarded_new(struct guarded *g, size_t bytes, enum place place)
{
    const size_t page = page_bytes();
    g->data_bytes = bytes;
    g->pages_bytes = (bytes / page + 1) * page;
    g->map = mmap(NULL, g->pages_bytes + 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(g->map, MAP_FAILED);
    assert_int_equal(mprotect(g->map, page, PROT_NONE), 0);
    assert_int_equal(mprotect(g->map + page + g->pages_bytes, page, PROT_NONE), 0);
    memset(g->map + page, CANARY, g->pages_bytes);
    g->data = g->map + page + (place == AT_END ? g->pages_bytes - bytes : 0);
    return g->data;
}

static inline float *guarded_floats(struct guarded *g, size_t n, enum place place)
{
    return guarded_new(g, n * sizeof(float), place);
}

/* The bytes around the data still hold canaries. */
static inline bool guarded_intact(const struct guarded *g)
{
    const unsigned char *first = g->map + page_bytes(), *end = first + g->pages_bytes;
    for (const unsigned char *p = first; p < end; p++)
        if ((p < g->data || p >= g->data + g->data_bytes) && *p != CANARY)
            return false;
    return true;
}

static inline void guarded_free(struct guarded *g)
{
    munmap(g->map, g->pages_bytes + 2 * page_bytes());
}

/* True where a float still holds the canaries it was allocated with. */
static inline bool untouched(const float *x)
{
    unsigned char bytes[sizeof *x];
    memcpy(bytes, x, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++)
        if (bytes[i] != CANARY)
            return false;
    return true;
}

/* ---- Reports ---- */

/* Prints what is needed to run the case again, and fails the test. */
static inline void require(bool ok, const char *what, const char *family, const char *function, size_t m, size_t n,
                           size_t k, uint64_t seed)
{
    if (!ok)
        fail_msg("%s %s m=%zu n=%zu k=%zu seed=%llu: %s", family, function, m, n, k, (unsigned long long)seed, what);
}

static bool check_exhaustive;

/* Distance between the bit patterns of a sweep over all floats: a prime, so that no field of the format is always
 * the same. */
static inline uint64_t sweep_step(void)
{
    return check_exhaustive ? 1 : 7919;
}

enum { BLOCK = 4096 };

/* The next BLOCK floats of a sweep over all bit patterns. */
static inline void next_floats(uint64_t *bits, float *x)
{
    for (size_t i = 0; i < BLOCK; i++, *bits += sweep_step())
        x[i] = float_of_bits((uint32_t)*bits);
}

static inline void check_options(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--only=", 7) == 0)
            cmocka_set_test_filter(argv[i] + 7);
        else if (strcmp(argv[i], "--exhaustive") == 0)
            check_exhaustive = true;
        else {
            fprintf(stderr, "%s: unknown option %s (known: --only=PATTERN, --exhaustive)\n", argv[0], argv[i]);
            exit(2);
        }
    }
}

#endif
