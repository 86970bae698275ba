/* Base64. Any thread, no state but the caller's. */

#include "dataplane/base/base64.h"

#include "dataplane/base/error.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* --- encoding --------------------------------------------------------------------------------- */

/* Of 1 to 3 bytes. */
static void encode_group(const uint8_t *in, size_t n, char out[4])
{
    uint32_t bits = (uint32_t)in[0] << 16;

    bits |= n > 1 ? (uint32_t)in[1] << 8 : 0;
    bits |= n > 2 ? in[2] : 0;
    out[0] = alphabet[bits >> 18];
    out[1] = alphabet[bits >> 12 & 63];
    out[2] = n > 1 ? alphabet[bits >> 6 & 63] : '=';
    out[3] = n > 2 ? alphabet[bits & 63] : '=';
}

size_t base64_encode_some(struct base64_encoder *e, struct str in, char *out)
{
    const uint8_t *p = (const uint8_t *)in.ptr;
    size_t left = in.len;
    size_t n = 0;

    while (left > 0 && (e->count > 0 || left < 3)) {
        uint8_t group[3] = {e->bytes[0], e->bytes[1], *p};

        if (e->count < sizeof(e->bytes)) {
            e->bytes[e->count++] = *p;
        } else {
            encode_group(group, sizeof(group), out + n);
            n += 4;
            e->count = 0;
        }
        p++;
        left--;
        if (e->count > 0 && left == 0) {
            return n;
        }
    }
    for (; left >= 3; left -= 3, p += 3, n += 4) {
        encode_group(p, 3, out + n);
    }
    for (; left > 0; left--) {
        e->bytes[e->count++] = *p++;
    }
    return n;
}

size_t base64_encode_end(struct base64_encoder *e, char out[4])
{
    size_t n = e->count;

    e->count = 0;
    if (n == 0) {
        return 0;
    }
    encode_group(e->bytes, n, out);
    return 4;
}

size_t base64_encode(struct str in, char *out)
{
    struct base64_encoder e = {.count = 0};
    size_t n = base64_encode_some(&e, in, out);

    return n + base64_encode_end(&e, out + n);
}

/* --- decoding --------------------------------------------------------------------------------- */

/* 0 to 63, -1 for what does not belong. */
static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Returns how many bytes the quad holds, 0 when it is none. */
static size_t decode_quad(const char quad[4], uint8_t out[3])
{
    size_t digits = quad[3] != '=' ? 4 : quad[2] != '=' ? 3 : 2;
    uint32_t bits = 0;

    for (size_t i = 0; i < 4; i++) {
        int v = i < digits ? value_of(quad[i]) : 0;

        if (v < 0) {
            return 0;
        }
        bits = bits << 6 | (uint32_t)v;
    }
    if ((digits == 3 && (bits & 0xff) != 0) || (digits == 2 && (bits & 0xffff) != 0)) {
        return 0;
    }
    out[0] = (uint8_t)(bits >> 16);
    if (digits > 2) {
        out[1] = (uint8_t)(bits >> 8);
    }
    if (digits > 3) {
        out[2] = (uint8_t)bits;
    }
    return digits - 1;
}

int base64_decode_some(struct base64_decoder *d, struct str in, uint8_t *out, size_t *ret_len)
{
    size_t n = 0;

    for (size_t i = 0; i < in.len; i++) {
        size_t got;

        d->quad[d->count++] = in.ptr[i];
        if (d->count < sizeof(d->quad)) {
            continue;
        }
        d->count = 0;
        got = d->is_padded ? 0 : decode_quad(d->quad, out + n);
        if (got == 0) {
            return E_PROTOCOL;
        }
        d->is_padded = got < 3;
        n += got;
    }
    *ret_len = n;
    return 0;
}
