#ifndef DATAPLANE_BASE_BASE64_H
#define DATAPLANE_BASE_BASE64_H

/*
 * Base64 of RFC 4648, section 4, whole or piece by piece. Decoding is strict: the padding must be
 * there, and the bits it leaves over must be zero.
 */

#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/check.h"
#include "dataplane/base/str.h"

#define BASE64_ENCODED_BYTES(n) (((n) + 2) / 3 * 4)
#define BASE64_DECODED_MAX(n) ((n) / 4 * 3)

/* --- piece by piece: all zeroes begins ---------------------------------------------------------
 */

struct base64_encoder {
    uint8_t bytes[2]; /* wait for the third */
    uint8_t count;
};

/* Writes at most BASE64_ENCODED_BYTES(in.len + 2); returns how many. */
size_t base64_encode_some(struct base64_encoder *e, struct str in, char *out);
/* What waits, padded: 0 or 4. Ready for the next text. */
size_t base64_encode_end(struct base64_encoder *e, char out[4]);

struct base64_decoder {
    char quad[4];
    uint8_t count;  /* of the quad under way: at the end it must be 0 */
    bool is_padded; /* the last quad was: nothing but a new text may follow */
};

/* Writes at most BASE64_DECODED_MAX(in.len + 3). Returns 0 or E_PROTOCOL; after that the decoder
 * is of no further use. */
int base64_decode_some(struct base64_decoder *d, struct str in, uint8_t *out,
                       size_t *ret_len) MUST_CHECK;

/* --- whole ------------------------------------------------------------------------------------ */

/* Writes BASE64_ENCODED_BYTES(in.len). */
size_t base64_encode(struct str in, char *out);

#endif
