/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VT_GEMM_U8S8_EVEX_H
#define VT_GEMM_U8S8_EVEX_H

#include "../kernels/kernels.h"

vt_gemm_fn vt_gemm_u8s8_6x16_evex;
vt_pack_fn vt_pack_rows_u8s8_16_evex, vt_pack_columns_u8s8_16_evex;

#endif
