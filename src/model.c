/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a model: checkpoint, family, graph, preprocessing; see model.h. */
#include "model.h"

#include "float_env.h"
#include "graph_read.h"

#include <stdio.h>
#include <string.h>

static void log_note(const vitrt_model *m, const char *what, const char *name)
{
    if (!m->logger.log)
        return;
    char text[256];
    snprintf(text, sizeof text, "%s: %s %s", vt_checkpoint_path(m->checkpoint), what, name);
    vt_blank_controls(text);
    m->logger.log(m->logger.user, text);
}

/* ---- Labels ---- */

static vitrt_status set_label(vitrt_model *m, size_t i, vt_json text, vitrt_error *err)
{
    if (i >= m->label_count || m->labels[i] ||
        vt_json_type(text) != VT_JSON_STRING) /* an index out of range, twice, or no text */
        return VITRT_OK;
    m->labels[i] = vt_json_dup_string(&m->alloc, text);
    return m->labels[i] ? VITRT_OK : vt_err_memory(err, 0, "labels");
}

/* The class index that an id2label key spells, or SIZE_MAX. */
static size_t label_index(const char *key, size_t n)
{
    size_t index = 0;
    if (n == 0 || n > 9)
        return SIZE_MAX;
    for (size_t i = 0; i < n; i++) {
        if (key[i] < '0' || key[i] > '9')
            return SIZE_MAX;
        index = index * 10 + (size_t)(key[i] - '0');
    }
    return index;
}

/* Is the key that the iterator stands at this string? Both as written in the file. */
static bool same_text(const vt_json_iterator *it, vt_json string)
{
    size_t n = 0;
    const char *text = vt_json_text(string, &n);
    return it->key && text && vt_json_type(it->value) == VT_JSON_STRING && n == it->key_size &&
           !memcmp(text, it->key, n);
}

/* Of images, or of tokens. */
static size_t class_count(const vitrt_model *m)
{
    const vt_value v = vt_graph_find_output(&m->graph, "segmentation");
    return m->facts.classes || v == VT_NO_VALUE ? m->facts.classes : m->graph.nodes[v].columns;
}

/* Hugging Face: id2label {"0": name}; timm: label_names [name] and label_descriptions {name: text} in the same order.
 */
static vitrt_status read_labels(vitrt_model *m, vitrt_error *err)
{
    const vt_json config = vt_checkpoint_config(m->checkpoint);
    const size_t count = class_count(m);
    if (!count)
        return VITRT_OK;
    m->labels = vt_calloc(&m->alloc, count, sizeof *m->labels);
    if (!m->labels)
        return vt_err_memory(err, count * sizeof *m->labels, "labels");
    m->label_count = count;
    vitrt_status st = VITRT_OK;
    for (vt_json_iterator it = vt_json_first(vt_json_get(config, "id2label")); vt_json_type(it.value) && !st;
         vt_json_next(&it))
        st = it.key ? set_label(m, label_index(it.key, it.key_size), it.value, err) : VITRT_OK;
    vt_json_iterator description = vt_json_first(vt_json_get(config, "label_descriptions"));
    size_t i = 0;
    for (vt_json_iterator it = vt_json_first(vt_json_get(config, "label_names")); vt_json_type(it.value) && !st;
         vt_json_next(&it), i++) {
        st = set_label(m, i, same_text(&description, it.value) ? description.value : it.value, err);
        if (vt_json_type(description.value))
            vt_json_next(&description);
    }
    return st;
}

/* ---- Weights ---- */

/* used has an element for each tensor of the checkpoint. NULL is allowed. */
static void mark(const vitrt_model *m, const struct vt_tensor *t, bool *used)
{
    if (t)
        used[t - vt_checkpoint_tensor(m->checkpoint, 0)] = true;
}

/* Marks the tensors that the graph reads. */
static void mark_used(const vitrt_model *m, bool *used)
{
    for (size_t i = 0; i < m->graph.weight_count; i++) {
        const struct vt_graph_weight *w = &m->graph.weights[i];
        for (uint32_t p = 0; p < w->part_count; p++) {
            mark(m, w->parts[p].tensor, used);
            mark(m, w->parts[p].tensor ? w->parts[p].tensor->scale : NULL, used);
        }
        mark(m, w->norm.gamma, used);
        mark(m, w->norm.beta, used);
        mark(m, w->norm.mean, used);
        mark(m, w->norm.variance, used);
    }
}

/* A tensor that the graph does not read would be a part of the model that is silently left out. A stored graph (family:
 * NULL) says itself what belongs to it. */
static vitrt_status check_tensor(const vitrt_model *m, const struct vt_family *family, const struct vt_tensor *t,
                                 vitrt_error *err)
{
    if (!strncmp(t->name, VT_PADDING_PREFIX, strlen(VT_PADDING_PREFIX)) && !family)
        return VITRT_OK;
    if (family && family->reads && family->reads(t->name))
        return VITRT_OK;
    if (family && !family->ignores(t->name))
        return vt_err(err, VITRT_EUNSUPPORTED, "%s: tensor %s belongs to nothing that this version knows of %s (%s)",
                      vt_checkpoint_path(m->checkpoint), t->name, m->facts.family, m->facts.architecture);
    log_note(m, "not needed for inference:", t->name);
    return VITRT_OK;
}

static vitrt_status check_tensors(vitrt_model *m, const struct vt_family *family, vitrt_error *err)
{
    const size_t count = vt_checkpoint_tensor_count(m->checkpoint);
    bool *used = vt_calloc(&m->alloc, count, sizeof *used);
    if (count && !used) /* a stored graph may do without weights */
        return vt_err_memory(err, count, "checking the tensors");
    mark_used(m, used);
    vitrt_status st = VITRT_OK;
    for (size_t i = 0; i < count && !st; i++) {
        const struct vt_tensor *t = vt_checkpoint_tensor(m->checkpoint, i);
        if (used[i]) {
            m->parameters += t->count;
            m->parameters -= t->scale ? t->scale->count : 0; /* counted as a tensor of its own */
            m->weight_bytes += t->bytes;
        } else {
            st = check_tensor(m, family, t, err);
        }
    }
    vt_free(&m->alloc, used, count * sizeof *used);
    return st;
}

/* ---- Opening ---- */

static vitrt_status find_family(const struct vt_checkpoint *c, const struct vt_family **out, vitrt_error *err)
{
    const vt_json config = vt_checkpoint_config(c);
    for (size_t i = 0; vt_families[i]; i++)
        if (vt_families[i]->matches(config)) {
            *out = vt_families[i];
            return VITRT_OK;
        }
    size_t n = 0;
    const char *type = vt_json_text(vt_json_get(config, "model_type"), &n);
    if (!type)
        type = vt_json_text(vt_json_get(config, "architecture"), &n);
    if (!type)
        return vt_err(err, VITRT_EFORMAT,
                      "%s/config.json: neither \"model_type\" (Hugging Face) nor \"architecture\" (timm) is there",
                      vt_checkpoint_path(c));
    return vt_err(err, VITRT_EUNSUPPORTED, "%s/config.json: architecture \"%.*s\" is not supported",
                  vt_checkpoint_path(c), (int)(n < 100 ? n : 100), type);
}

/* What a session takes by default must be in proportion to the file: a caller may ask for a large input, a few bytes of
 * config may not. */
static vitrt_status choose_default_size(vitrt_model *m, vitrt_error *err)
{
    const vt_json config = vt_checkpoint_config(m->checkpoint);
    const uint64_t trained = (uint64_t)m->facts.trained_size[0] * m->facts.trained_size[1], usual = 1024 * 1024;
    const bool described =
        vt_json_type(vt_checkpoint_preprocessor(m->checkpoint)) || vt_json_type(vt_json_get(config, "pretrained_cfg"));
    if (!described || !vt_preprocess_default_size(&m->preprocess, &m->default_size[0], &m->default_size[1]))
        memcpy(m->default_size, m->facts.trained_size, sizeof m->default_size);
    if (!described)
        log_note(m, "no preprocessor_config.json: images are prepared as is usual for", m->facts.family);
    const uint64_t area = (uint64_t)m->default_size[0] * m->default_size[1];
    if (area <= usual || area / 4 <= trained)
        return VITRT_OK;
    return vt_err(err, VITRT_ELIMIT, "%s: the preprocessing asks for images of %ux%u, the model was trained on %ux%u",
                  vt_checkpoint_path(m->checkpoint), (unsigned)m->default_size[0], (unsigned)m->default_size[1],
                  (unsigned)m->facts.trained_size[0], (unsigned)m->facts.trained_size[1]);
}

static vitrt_status build(vitrt_model *m, vitrt_error *err)
{
    const struct vt_family *family = NULL; /* none of a stored graph */
    vitrt_status st = VITRT_OK;
    if (!vt_json_type(vt_checkpoint_graph(m->checkpoint)))
        st = find_family(m->checkpoint, &family, err);
    if (st)
        return st;
    vt_graph_init(&m->graph, &m->alloc, m->checkpoint, err);
    if (family)
        family->build(&m->graph, &m->facts);
    else
        vt_graph_read(&m->graph, &m->facts);
    m->graph.err = NULL;
    if (m->graph.status)
        return m->graph.status;
    st = check_tensors(m, family, err);
    if (!st)
        st = read_labels(m, err);
    if (!st)
        st = vt_preprocess_from_config(vt_checkpoint_config(m->checkpoint), vt_checkpoint_preprocessor(m->checkpoint),
                                       vt_checkpoint_path(m->checkpoint), &m->preprocess, err);
    if (!st)
        st = vt_weights_create(&m->graph, &m->weights, err);
    if (st)
        return st;
    return choose_default_size(m, err);
}

static vitrt_model *new_model(const vitrt_model_options *o, vitrt_error *err)
{
    const vitrt_allocator alloc = vt_allocator_or_default(o ? o->allocator : NULL);
    vitrt_model *m = vt_calloc(&alloc, 1, sizeof *m);
    if (!m) {
        (void)vt_err_memory(err, sizeof *m, "the model");
        return NULL;
    }
    m->alloc = alloc;
    m->graph.alloc = alloc;
    if (o && o->logger)
        m->logger = *o->logger;
    atomic_init(&m->references, 1);
    return m;
}

/* Takes the result of opening the checkpoint on to the finished model. */
static vitrt_status finish(vitrt_model *m, vitrt_status st, vitrt_model **out, vitrt_error *err)
{
    vt_float_env env;
    vt_float_env_enter(&env);
    if (!st)
        st = build(m, err);
    vt_float_env_leave(&env);
    if (st)
        vitrt_model_free(m);
    else
        *out = m;
    return st;
}

static vitrt_status check_options(const vitrt_model_options *o, vitrt_model **out, vitrt_error *err)
{
    if (!out)
        return vt_err(err, VITRT_EINVAL, "out is NULL");
    *out = NULL;
    if (o && !vt_allocator_valid(o->allocator))
        return vt_err(err, VITRT_EINVAL, "the allocator has only one of its two functions");
    if (o && (o->flags & ~(VITRT_MODEL_COPY_BUFFERS | VITRT_MODEL_MAP_FILES) || o->reserved32 || o->reserved[0] ||
              o->reserved[1] || o->reserved[2] || o->reserved[3]))
        return vt_err(err, VITRT_EINVAL, "the model options have unknown flags or reserved members that are not zero");
    return VITRT_OK;
}

vitrt_status vitrt_model_open(const char *path, const vitrt_model_options *options, vitrt_model **out, vitrt_error *err)
{
    vitrt_status st = check_options(options, out, err);
    if (st)
        return st;
    if (!path)
        return vt_err(err, VITRT_EINVAL, "the path is NULL");
    const bool map = options && options->flags & VITRT_MODEL_MAP_FILES;
    vitrt_model *m = new_model(options, err);
    return m ? finish(m, vt_checkpoint_open(&m->alloc, path, map, &m->checkpoint, err), out, err) : VITRT_ENOMEM;
}

vitrt_status vitrt_model_open_memory(const vitrt_buffer *buffers, size_t count, const vitrt_model_options *options,
                                     vitrt_model **out, vitrt_error *err)
{
    vitrt_status st = check_options(options, out, err);
    if (st)
        return st;
    if (count && !buffers)
        return vt_err(err, VITRT_EINVAL, "buffers is NULL");
    const bool copy = options && options->flags & VITRT_MODEL_COPY_BUFFERS;
    vitrt_model *m = new_model(options, err);
    return m ? finish(m, vt_checkpoint_open_memory(&m->alloc, buffers, count, copy, &m->checkpoint, err), out, err)
             : VITRT_ENOMEM;
}

void vt_model_retain(vitrt_model *m)
{
    atomic_fetch_add_explicit(&m->references, 1, memory_order_relaxed);
}

/* *copy: `count` elements. */
static bool copy_array(const vitrt_allocator *a, const void *from, size_t count, size_t bytes, void **copy)
{
    *copy = vt_calloc(a, count, bytes);
    if (*copy)
        memcpy(*copy, from, count * bytes);
    return *copy || !count;
}

vitrt_model *vt_model_derive(const vitrt_model *m, vitrt_error *err)
{
    vitrt_model *d = vt_calloc(&m->alloc, 1, sizeof *d);
    const struct vt_graph *g = &m->graph;
    if (!d) {
        (void)vt_err_memory(err, sizeof *d, "the model");
        return NULL;
    }
    memcpy(d, m, sizeof *d);
    atomic_init(&d->references, 1);
    d->base = (vitrt_model *)m; /* const to the caller; the reference count is ours */
    vt_model_retain(d->base);
    vt_graph_init(&d->graph, &m->alloc, m->checkpoint, err);
    if (copy_array(&m->alloc, g->weights, g->weight_count, sizeof *g->weights, (void **)&d->graph.weights))
        d->graph.weight_count = d->graph.weight_capacity = g->weight_count;
    if (copy_array(&m->alloc, g->patterns, g->pattern_count, sizeof *g->patterns, (void **)&d->graph.patterns))
        d->graph.pattern_count = d->graph.pattern_capacity = g->pattern_count;
    if (d->graph.weight_count == g->weight_count && d->graph.pattern_count == g->pattern_count)
        return d;
    (void)vt_err_memory(err, g->weight_count * sizeof *g->weights, "the model");
    vitrt_model_free(d);
    return NULL;
}

/* What is not shared with a base. */
static void free_own(vitrt_model *m)
{
    for (size_t i = 0; i < m->label_count; i++)
        vt_free(&m->alloc, m->labels[i], vt_strsize(m->labels[i]));
    vt_free(&m->alloc, m->labels, m->label_count * sizeof *m->labels);
    vt_weights_free(m->weights);
    vt_checkpoint_free(m->checkpoint);
}

void vitrt_model_free(vitrt_model *m)
{
    if (!m || atomic_fetch_sub_explicit(&m->references, 1, memory_order_acq_rel) != 1)
        return;
    const vitrt_allocator alloc = m->alloc;
    vt_graph_free(&m->graph);
    if (m->base)
        vitrt_model_free(m->base);
    else
        free_own(m);
    vt_free(&alloc, m, sizeof *m);
}

vitrt_status vitrt_model_get_info(const vitrt_model *m, vitrt_model_info *info)
{
    if (!m || !info)
        return VITRT_EINVAL;
    *info = (vitrt_model_info){ .family = m->facts.family,
                                .architecture = m->facts.architecture,
                                .parameters = m->parameters,
                                .weight_bytes = m->weight_bytes,
                                .height = m->default_size[0],
                                .width = m->default_size[1],
                                .channels = 3,
                                .blocks = m->facts.blocks,
                                .dim = m->facts.dim,
                                .classes = m->facts.classes,
                                .size_multiple = { m->facts.size_multiple[0], m->facts.size_multiple[1] } };
    return VITRT_OK;
}

const char *vitrt_model_output_name(const vitrt_model *m, size_t i)
{
    return m && i < m->graph.output_count ? m->graph.outputs[i].name : NULL;
}

const char *vitrt_model_label(const vitrt_model *m, uint32_t class_index)
{
    return m && class_index < m->label_count ? m->labels[class_index] : NULL;
}
