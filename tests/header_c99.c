/* SPDX-License-Identifier: Apache-2.0 */
/* The public header alone, in C99: it needs nothing but itself, and zeroed structs are the defaults. */
#include <vitrt.h>

int header_c99(void);

int header_c99(void)
{
    const vitrt_model_options model = { 0 };
    const vitrt_session_options session = { 0 };
    const vitrt_image image = { 0 };
    return vitrt_version() == VITRT_VERSION && !model.allocator && session.threads == 0 &&
           image.format == VITRT_FORMAT_RGB8;
}
