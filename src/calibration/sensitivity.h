/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What codes cost: the loss of each node when it alone has them, and which nodes have to stay in float for the loss of
 * the whole. A loss is the sum over images of the squared difference of the model's usual output to that of the float
 * model, divided by the sum of the latter's squares.
 */
#ifndef VT_SENSITIVITY_H
#define VT_SENSITIVITY_H

#include "quantized.h"

/* One node that has codes. */
struct vt_candidate {
    vt_value node;
    double loss;   /* of this node alone; not finite where an output was not */
    bool in_float; /* has to be so */
    size_t index;  /* used inside */
};

/* Ranks the candidates, all nodes of q that have codes, by their loss, the greatest first. Then, for a tolerance > 0,
 * finds how many of the first ones have to be in float instead, by bisection: as few as keep the loss of the whole at
 * the tolerance, if it falls with every node; otherwise the least of those that were tried and were enough.
 * VITRT_EINVAL: the last node with codes is one too many. q stays as it is; the calibration has kept images. */
vitrt_status vt_rank_candidates(struct vt_quantized *q, const struct vt_calibration *c, const vitrt_quantize_options *o,
                                struct vt_candidate *candidates, size_t count);

#endif
