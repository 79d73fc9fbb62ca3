// SPDX-License-Identifier: Apache-2.0
// The public header alone, in C++98: it needs nothing but itself and has C linkage.
#include <vitrt.h>

int header_cxx();

int header_cxx()
{
    const vitrt_session_options session = vitrt_session_options();
    return vitrt_version() == VITRT_VERSION && session.precision == VITRT_PRECISION_DEFAULT;
}
