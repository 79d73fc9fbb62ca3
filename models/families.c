/* SPDX-License-Identifier: Apache-2.0 */
/* The table of model families: the first that recognises a config builds the model. */
#include "cvt.h"
#include "swin.h"
#include "vit.h"

const struct vt_family *const vt_families[] = { &vt_vit_hf_family,  &vt_vit_ivit_family,  &vt_vit_timm_family,
                                                &vt_swin_hf_family, &vt_swin_timm_family, &vt_cvt_family,
                                                NULL };
