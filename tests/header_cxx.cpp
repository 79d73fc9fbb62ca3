// SPDX-License-Identifier: Apache-2.0
// The public header alone, in C++98: it needs nothing but itself and has C linkage.
#include <vitrt.h>

int header_cxx();

int header_cxx()
{
    const vitrt_session_options session = vitrt_session_options();
    // "= {0}" is how the header says defaults are made: it must hold in C++, too, where 0 is no enumerator.
    vitrt_error err = {0};
    vitrt_model_options model = {0};
    vitrt_session_options options = {0};
    vitrt_decode_options decode = {0};
    vitrt_image image = {0};
    vitrt_output output = {0};
    (void)err, (void)model, (void)options, (void)decode, (void)image, (void)output;
    return vitrt_version() == VITRT_VERSION && session.precision == VITRT_PRECISION_DEFAULT;
}
