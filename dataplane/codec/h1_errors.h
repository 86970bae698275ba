#ifndef DATAPLANE_CODEC_H1_ERRORS_H
#define DATAPLANE_CODEC_H1_ERRORS_H

/* Refusals shared by the HTTP/1 files: status, response_code_details and body as Envoy's. */

#include "dataplane/codec/codec.h"

#define H1_ERROR(code, detail, text)                                                               \
    {                                                                                              \
        .status = (code), .details = {(detail), sizeof(detail) - 1}, .body = {                     \
            (text),                                                                                \
            sizeof(text) - 1                                                                       \
        }                                                                                          \
    }

extern const struct codec_error h1_error_message;    /* 400 http1.codec_error */
extern const struct codec_error h1_error_characters; /* 400 http1.invalid_characters */
extern const struct codec_error h1_error_low_version;

#endif
