/* SPDX-License-Identifier: Apache-2.0 */
/* Errors as values; see error.h. */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>

int vitrt_version(void)
{
    return VITRT_VERSION;
}

const char *vitrt_status_name(vitrt_status status)
{
    switch (status) {
    case VITRT_OK: return "VITRT_OK";
    case VITRT_EINVAL: return "VITRT_EINVAL";
    case VITRT_ENOMEM: return "VITRT_ENOMEM";
    case VITRT_EIO: return "VITRT_EIO";
    case VITRT_EFORMAT: return "VITRT_EFORMAT";
    case VITRT_EUNSUPPORTED: return "VITRT_EUNSUPPORTED";
    case VITRT_ELIMIT: return "VITRT_ELIMIT";
    case VITRT_ESTATE: return "VITRT_ESTATE";
    case VITRT_EIMAGE: return "VITRT_EIMAGE";
    }
    return "unknown";
}

void vt_blank_controls(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

vitrt_status vt_err(vitrt_error *err, vitrt_status status, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        err->status = status;
        vsnprintf(err->message, sizeof err->message, format, args);
        va_end(args);
        vt_blank_controls(err->message);
    }
    return status;
}

vitrt_status vt_err_memory(vitrt_error *err, size_t bytes, const char *what)
{
    return vt_err(err, VITRT_ENOMEM, "out of memory: %zu bytes for %s", bytes, what);
}
