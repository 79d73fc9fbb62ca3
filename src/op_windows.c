/* SPDX-License-Identifier: Apache-2.0 */
/* Rows in the order of windows and back, and blocks of a map side by side, as steps of their own: only in graphs where
 * no norm or linear layer stands beside them that does it while it works. */
#include "gather.h"

#include <string.h>

static void gather_rows(const struct vt_step_job *job, size_t begin, size_t end)
{
    const struct vt_format format = { .element = vt_exec_element(job->x, job->s->out) };
    const size_t ld = vt_exec_ld(job->x, job->s->out), bytes = vt_dtype_bytes(format.element);
    char *out = vt_exec_view(job->x, vt_view_of(job->s->out));
    vt_gather_rows(job->x, job->s, begin, end - begin, &format, out + begin * ld * bytes, ld);
}

static void unwindows_images(const struct vt_step_job *job, size_t begin, size_t end)
{
    const struct vt_view in = job->s->node->in[0], out = vt_view_of(job->s->out);
    const struct vt_row_order *order = job->x->plan->values[in.value].order;
    const size_t *rows_in = vt_exec_offsets(job->x, in.value), *rows_out = vt_exec_offsets(job->x, out.value);
    for (size_t image = begin; image < end; image++)
        for (size_t i = 0; i < rows_in[image + 1] - rows_in[image]; i++)
            if (order->rows[i] != VT_NO_ROW)
                memcpy(vt_exec_row(job->x, out, rows_out[image] + order->rows[i]),
                       vt_exec_row(job->x, in, rows_in[image] + i), in.columns * vt_dtype_bytes(vt_exec_element(job->x, in.value)));
}

const struct vt_op vt_op_windows = { .name = "windows", .rows = gather_rows };
const struct vt_op vt_op_space_to_depth = { .name = "space_to_depth", .rows = gather_rows };
const struct vt_op vt_op_unwindows = { .name = "unwindows", .images = unwindows_images };
