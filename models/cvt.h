/* SPDX-License-Identifier: Apache-2.0 */
/* CvT (Wu et al. 2021, arXiv:2103.15808), as Hugging Face transformers publishes it: config.json's model_type cvt. */
#ifndef VT_MODELS_CVT_H
#define VT_MODELS_CVT_H

#include "family.h"

extern const struct vt_family vt_cvt_family;

#endif
