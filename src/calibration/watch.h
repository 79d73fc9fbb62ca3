/* SPDX-License-Identifier: Apache-2.0 */
/* One input of a product under observation while a model runs over calibration images: how it gets its quantizer, what
 * has been seen of it, and what comes of that. */
#ifndef VT_WATCH_H
#define VT_WATCH_H

#include "calibrate.h"
#include "channel_scales.h"
#include "observer.h"
#include "session.h"

/* How an input gets its quantizer. */
enum vt_way {
    VT_WAY_PIXELS,       /* it is the image, whose 8-bit values are codes already */
    VT_WAY_COLUMNS,      /* every column by itself, */
    VT_WAY_BALANCED,     /* or those of q and k so that products of a head have one scale */
    VT_WAY_TENSOR,       /* all columns together */
    VT_WAY_SEARCH,       /* by percentiles: RepQ-ViT's search (arXiv:2212.08254, sec. 4.1); columns of norms by
                            themselves */
    VT_WAY_PROBABILITIES /* the same search for the logarithmic codes of attention's probabilities (sec. 4.2) */
};

struct vt_watch {
    struct vt_operand operand;
    struct vt_view view; /* in the model's graph; of probabilities: what attention makes of them */
    enum vt_way way;
    struct vt_spread spread;
    const struct vt_watch *other; /* VT_WAY_BALANCED: k of q, q of k */
    size_t tap;                   /* index of the session's output */
    const struct vt_step *step;   /* VT_WAY_PROBABILITIES: the attention in the session's plan */
    struct vt_column *columns;    /* [view.columns] */
    uint64_t rows;                /* that they have seen */
    struct vt_observer observer;  /* of the last two ways */
    bool has_observer, by_column;
    struct vt_products products; /* if the weights are to be compensated */
    size_t product_stride;       /* of the images that these are taken from; 0: none */
    size_t images;               /* so far */
    float *probabilities;        /* [keys] */
    size_t keys;
    struct vt_quantizer *quantizers; /* [view.columns] */
    float *scales, *zeros;           /* [view.columns] */
    double *means, *code_means;      /* [view.columns]; of layers */
};

/* Input k of node v; k VT_PROBABILITIES: what its attention makes of q and k. */
void vt_watch_choose(struct vt_watch *w, const vitrt_model *m, const vitrt_quantize_options *o, uint32_t bits,
                     vt_value v, uint32_t k);

/* Memory for what the session, in f32 and of one image, is to show of `images` of them. *room: bytes that are left for
 * products of a layer's inputs, which are not taken where they do not fit. */
vitrt_status vt_watch_allocate(struct vt_watch *w, const vitrt_session *s, size_t images, size_t *room,
                               vitrt_error *err);
void vt_watch_free(struct vt_watch *w, const vitrt_allocator *a);

/* What the session has read of the image that it ran last; all images pass twice, and watches without observer are
 * finished in between. Each watch is used by one thread at a time. */
void vt_watch_see(struct vt_watch *w, const vitrt_session *s, bool second);

/* The quantizers, as w->operand. Fails where what was seen gives none. */
vitrt_status vt_watch_finish(struct vt_watch *w, const vitrt_model *m, vitrt_error *err);

#endif
