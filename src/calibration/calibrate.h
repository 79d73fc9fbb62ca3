/* SPDX-License-Identifier: Apache-2.0 */
/* Calibration: a model runs over images twice; from what its products read come the quantizers of their inputs. */
#ifndef VT_CALIBRATE_H
#define VT_CALIBRATE_H

#include "compensation.h"
#include "model.h"
#include "pool.h"

/* Stands for an input: what attention multiplies v with. It has one logarithmic scale and no zero point. */
#define VT_PROBABILITIES VT_MAX_CODED

/* What was found for an input of a product. */
struct vt_operand {
    vt_value node;  /* that reads it, in the model's graph */
    uint32_t input; /* which of its inputs */
    uint32_t bits;
    size_t columns;                     /* that have a scale and zero point of their own; 1: one for all */
    const float *scales, *zeros;        /* [columns] */
    const struct vt_products *products; /* of a layer's columns, or NULL */
    const double *means, *code_means;   /* [of all columns read]: of numbers, and of what their codes stand for */
};

struct vt_calibration;

/* Reads the images, each twice. keep: some of them stay for trials. Free with vt_calibration_free. */
vitrt_status vt_calibrate(const vitrt_model *m, const vitrt_quantize_options *o, uint32_t bits, bool keep,
                          struct vt_calibration **out, vitrt_error *err);

/* Of node v alone, in a model that has codes in nodes before it. */
vitrt_status vt_calibrate_node(const vitrt_model *m, vt_value v, const vitrt_quantize_options *o, uint32_t bits,
                               struct vt_calibration **out, vitrt_error *err);
void vt_calibration_free(struct vt_calibration *c); /* NULL is allowed */

/* The session's threads. */
struct vt_pool *vt_calibration_pool(const struct vt_calibration *c);

/* Images that were kept for trials, as the network reads them: a few of all, equally far apart. */
#define VT_MAX_KEPT_IMAGES 8
size_t vt_calibration_images(const struct vt_calibration *c);
vitrt_image vt_calibration_image(const struct vt_calibration *c, size_t i);

/* Inputs that products multiply: those of one product behind each other. */
size_t vt_calibration_count(const struct vt_calibration *c);

vt_value vt_calibration_node(const struct vt_calibration *c, size_t i);

/* Number i; valid until the calibration is freed. Fails where what was seen gives no scale. */
vitrt_status vt_calibration_operand(const struct vt_calibration *c, size_t i, struct vt_operand *out, vitrt_error *err);

/* Gives the values of g, a copy of the model's graph, their units. */
void vt_calibration_units(const struct vt_calibration *c, struct vt_graph *g);

#endif
