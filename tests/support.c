/* SPDX-License-Identifier: Apache-2.0 */
/* See support.h. */
#define _XOPEN_SOURCE 700 /* mkdtemp, setenv */
#include "support.h"

#include <dirent.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "json.h"
#include "model.h"
#include "weight_rows.h"

void check_ok(vitrt_status status, const vitrt_error *err, const char *file, int line)
{
    if (status) {
        print_error("%s:%d: %s: %s\n", file, line, vitrt_status_name(status), err ? err->message : "(no sentence)");
        _fail(file, line);
    }
}

/* ---- Golden cases ---- */

const char *golden_path(const char *name, const char *suffix)
{
    static char buffers[8][512];
    static int next;
    char *buf = buffers[next++ % 8];
    snprintf(buf, sizeof buffers[0], "golden/cases/%s%s", name, suffix);
    return buf;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void for_each_golden(void (*visit)(const char *name))
{
    char *names[512];
    size_t count = 0;
    DIR *dir = opendir("golden/cases");
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));)
        if (e->d_name[0] != '.' && count < sizeof names / sizeof *names) {
            names[count] = malloc(strlen(e->d_name) + 1);
            strcpy(names[count++], e->d_name);
        }
    closedir(dir);
    assert_true(count > 0);
    qsort(names, count, sizeof *names, by_name);
    for (size_t i = 0; i < count; i++) {
        visit(names[i]);
        free(names[i]);
    }
}

void golden_open(struct golden *g, const char *name)
{
    golden_open_file(g, name, "golden.safetensors");
}

void golden_open_file(struct golden *g, const char *name, const char *file)
{
    vitrt_error err;
    const struct vt_origin origin = { .path = golden_path(name, "") };
    memset(g, 0, sizeof *g);
    assert_ok(vt_source_open(&vt_default_allocator, &origin, file, false, &g->source, &err), &err);
    assert_ok(vt_safetensors_read(&vt_default_allocator, &g->source, 0, &g->tensors, &err), &err);
}

void golden_close(struct golden *g)
{
    vt_tensor_list_free(&vt_default_allocator, &g->tensors);
    vt_source_close(&vt_default_allocator, &g->source);
}

const struct vt_tensor *golden_find(const struct golden *g, const char *name)
{
    for (size_t i = 0; i < g->tensors.count; i++)
        if (!strcmp(g->tensors.items[i].name, name))
            return &g->tensors.items[i];
    return NULL;
}

float *golden_read(const struct golden *g, const struct vt_tensor *t)
{
    vitrt_error err;
    const size_t bytes = (size_t)t->count * sizeof(float);
    float *values = malloc(bytes);
    assert_non_null(values);
    assert_int_equal(t->dtype, VT_F32);
    assert_ok(vt_source_read(&g->source, t->offset, values, bytes, &err), &err);
    return values;
}

void golden_size(const char *name, uint32_t *height, uint32_t *width)
{
    char text[256];
    struct vt_json_document *json;
    uint64_t h = 0, w = 0;
    FILE *f = fopen(golden_path(name, "/case.json"), "rb");
    *height = *width = 0;
    if (!f)
        return;
    const size_t n = fread(text, 1, sizeof text, f);
    fclose(f);
    vitrt_error err;
    assert_ok(vt_json_parse(&vt_default_allocator, "case.json", text, n, &json, &err), &err);
    assert_true(vt_json_to_u64(vt_json_get(vt_json_root(json), "height"), &h) &&
                vt_json_to_u64(vt_json_get(vt_json_root(json), "width"), &w));
    vt_json_free(json);
    *height = (uint32_t)h;
    *width = (uint32_t)w;
}

void open_session(const char *name, const vitrt_session_options *options, vitrt_model **model, vitrt_session **session)
{
    vitrt_error err;
    assert_ok(vitrt_model_open(golden_path(name, ""), NULL, model, &err), &err);
    assert_ok(vitrt_session_create(*model, options, session, &err), &err);
}

vitrt_image golden_image(const char *name, int i)
{
    char suffix[32];
    vitrt_error err;
    vitrt_image image;
    snprintf(suffix, sizeof suffix, "/image_%d.png", i);
    assert_ok(vitrt_image_open(golden_path(name, suffix), NULL, &image, &err), &err);
    return image;
}

vitrt_model *quantized_case(const char *name, const vitrt_quantize_options *options)
{
    static unsigned char noise[256 * 256 * 3];
    vitrt_quantize_options o = options ? *options : (vitrt_quantize_options){ 0 };
    vitrt_model *m, *quantized;
    vitrt_error err;
    uint32_t state = 1;
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (unsigned char)((state = state * 1664525 + 1013904223) >> 24);
    vitrt_image images[2] = { golden_image(name, 0) };
    images[1] = (vitrt_image){ .data = noise, .width = images[0].width, .height = images[0].height };
    assert_true((size_t)images[0].width * images[0].height * 3 <= sizeof noise);
    golden_size(name, &o.height, &o.width);
    o.images = images;
    o.image_count = 2;
    o.threads = o.threads ? o.threads : 1;
    assert_ok(vitrt_model_open(golden_path(name, ""), NULL, &m, &err), &err);
    assert_ok(vitrt_model_quantize(m, &o, &quantized, &err), &err);
    vitrt_image_free(&images[0]);
    vitrt_model_free(m);
    return quantized;
}

double score_roundings(const vitrt_model *m, uint32_t blocks)
{
    static _Alignas(64) unsigned char scratch[VT_SCRATCH_BYTES];
    double sum = 0;
    for (size_t i = 0; i < m->graph.node_count && blocks; i++) {
        const struct vt_node *node = &m->graph.nodes[i];
        float scales[64];
        vitrt_error err;
        if (node->type != VT_NODE_L2_NORM || node->weight == VT_NO_WEIGHT)
            continue;
        const uint32_t heads = node->u.norm.groups;
        assert_true(heads <= 64);
        assert_ok(vt_read_weight_rows(m->checkpoint, &m->graph.weights[node->weight], 0, heads, scales, scratch,
                                      sizeof scratch, &err),
                  &err);
        for (uint32_t h = 0; h < heads; h++)
            sum += 2 * (double)scales[h] * scales[h] / node->columns;
        blocks--;
    }
    return sum;
}

bool use_comma_locale(void)
{
    static const char *const names[] = { "de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "pt_BR.UTF-8", "ru_RU.UTF-8" };
    char folder[] = "/tmp/vitrt-locale-XXXXXX", command[256];
    for (int made = 0; made < 2; made++) {
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            if (setlocale(LC_ALL, names[i]) && !strcmp(localeconv()->decimal_point, ","))
                return true;
        if (made || !mkdtemp(folder))
            break;
        snprintf(command, sizeof command, "localedef -i de_DE -f UTF-8 %s/de_DE.UTF-8 >/dev/null 2>&1", folder);
        if (system(command) || setenv("LOCPATH", folder, 1))
            break;
    }
    setlocale(LC_ALL, "C");
    return false;
}

/* ---- Allocator ---- */

static void *counting_alloc(void *user, size_t size, size_t align)
{
    struct counting *c = user;
    pthread_mutex_lock(&c->mutex);
    void *p = ++c->calls == c->fail_at ? NULL : vt_default_allocator.alloc(NULL, size, align);
    if (p) {
        c->live++;
        c->live_bytes += size;
        if (c->peak_bytes < c->live_bytes)
            c->peak_bytes = c->live_bytes;
    }
    pthread_mutex_unlock(&c->mutex);
    return p;
}

static void counting_free(void *user, void *ptr, size_t size, size_t align)
{
    struct counting *c = user;
    pthread_mutex_lock(&c->mutex);
    c->live--;
    c->live_bytes -= size;
    pthread_mutex_unlock(&c->mutex);
    vt_default_allocator.free(NULL, ptr, size, align);
}

void counting_init(struct counting *c)
{
    memset(c, 0, sizeof *c);
    pthread_mutex_init(&c->mutex, NULL);
    c->allocator = (vitrt_allocator){ counting_alloc, counting_free, c };
}

/* ---- Changed cases ---- */

void changed_load(struct changed_case *c, const char *name)
{
    static const char *const files[2] = { "/config.json", "/model.safetensors" };
    for (int i = 0; i < 2; i++) {
        FILE *f = fopen(golden_path(name, files[i]), "rb");
        assert_non_null(f);
        fseek(f, 0, SEEK_END);
        c->size[i] = (size_t)ftell(f);
        rewind(f);
        c->data[i] = malloc(c->size[i] + 1024);
        assert_int_equal(fread(c->data[i], 1, c->size[i], f), c->size[i]);
        fclose(f);
    }
}

void changed_free(struct changed_case *c)
{
    free(c->data[0]);
    free(c->data[1]);
}

char *changed_find(char *data, size_t size, const char *text)
{
    const size_t n = strlen(text);
    for (size_t i = 0; i + n <= size; i++)
        if (!memcmp(data + i, text, n))
            return data + i;
    fail_msg("\"%s\" is not in the file", text);
    return NULL;
}

void changed_replace(struct changed_case *c, int file, const char *from, const char *to)
{
    char *at = changed_find(c->data[file], c->size[file], from);
    const size_t tail = (size_t)(c->data[file] + c->size[file] - at) - strlen(from);
    assert_true(file == 0 || strlen(from) == strlen(to));
    assert_true(strlen(to) < strlen(from) + 1024);
    memmove(at + strlen(to), at + strlen(from), tail);
    memcpy(at, to, strlen(to));
    c->size[file] += strlen(to) - strlen(from);
}

vitrt_status changed_open(const struct changed_case *c, struct counting *counting, vitrt_model **m, vitrt_error *err)
{
    const vitrt_buffer buffers[2] = { { "config.json", c->data[0], c->size[0] },
                                      { "model.safetensors", c->data[1], c->size[1] } };
    counting_init(counting);
    const vitrt_model_options options = { .allocator = &counting->allocator };
    return vitrt_model_open_memory(buffers, 2, &options, m, err);
}

void changed_refused(const struct changed_case *c, vitrt_status status, const char *part, const char *other)
{
    struct counting counting;
    vitrt_model *m = NULL;
    vitrt_error err = { 0 };
    assert_int_equal(changed_open(c, &counting, &m, &err), status);
    assert_null(m);
    if (!strstr(err.message, part) || !strstr(err.message, other))
        fail_msg("\"%s\" does not say \"%s\" and \"%s\"", err.message, part, other);
    assert_int_equal(counting.live, 0);
}

void refused_after(const char *name, int file, const char *from, const char *to, vitrt_status status, const char *part,
                   const char *other)
{
    struct changed_case c;
    changed_load(&c, name);
    changed_replace(&c, file, from, to);
    changed_refused(&c, status, part, other);
    changed_free(&c);
}

void missing_tensor(const char *name, const char *tensor)
{
    char changed[128];
    struct changed_case c;
    struct counting counting;
    vitrt_model *m = NULL;
    vitrt_error err = { 0 };
    changed_load(&c, name);
    strcpy(changed, tensor);
    changed[0] = '#';
    changed_replace(&c, 1, tensor, changed);
    assert_int_equal(changed_open(&c, &counting, &m, &err), VITRT_EFORMAT);
    if (!strstr(err.message, tensor) || !strstr(err.message, "missing"))
        fail_msg("\"%s\" does not say that %s is missing", err.message, tensor);
    assert_int_equal(counting.live, 0);
    changed_free(&c);
}
