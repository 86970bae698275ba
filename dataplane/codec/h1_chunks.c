/* Chunked framing (RFC 9112, 7.1) byte by byte; the data in between is the caller's. */

#include "dataplane/base/error.h"
#include "dataplane/codec/h1_parser.h"

/* 60 bits: what nobody sends, and no sum overflows. */
#define DIGITS_MAX 15
/* A chunk's line with its extensions, which are read past. */
#define LINE_MAX_BYTES 4096

enum chunk_state {
    CHUNK_SIZE,
    CHUNK_SIZE_SPACE, /* whitespace behind the size */
    CHUNK_EXTENSION,
    CHUNK_LINE_LF,
    CHUNK_DATA_CR, /* behind the data */
    CHUNK_DATA_LF,
};

void h1_chunks_start(struct h1_chunks *c)
{
    *c = (struct h1_chunks){.state = CHUNK_SIZE};
}

/* -1: none. */
static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* What may follow the size on its line. */
static int after_size(struct h1_chunks *c, char b)
{
    if (c->digits == 0) {
        return E_PROTOCOL;
    }
    switch (b) {
    case '\r':
        c->state = CHUNK_LINE_LF;
        return E_AGAIN;
    case ';':
        c->state = CHUNK_EXTENSION;
        return E_AGAIN;
    case ' ':
    case '\t':
        c->state = CHUNK_SIZE_SPACE;
        return E_AGAIN;
    default:
        return E_PROTOCOL;
    }
}

/* E_AGAIN: go on; 0: data follows; 1: trailers follow. */
static int chunk_byte(struct h1_chunks *c, char b)
{
    int digit;

    switch ((enum chunk_state)c->state) {
    case CHUNK_SIZE:
        digit = hex_value(b);
        if (digit < 0) {
            return after_size(c, b);
        }
        if (++c->digits > DIGITS_MAX) {
            return E_PROTOCOL;
        }
        c->size = c->size << 4 | (unsigned)digit;
        return E_AGAIN;
    case CHUNK_SIZE_SPACE:
        return after_size(c, b);
    case CHUNK_EXTENSION:
        if (b == '\r') {
            c->state = CHUNK_LINE_LF;
            return E_AGAIN;
        }
        return ((unsigned char)b >= 0x20 || b == '\t') && b != 0x7f ? E_AGAIN : E_PROTOCOL;
    case CHUNK_LINE_LF:
        c->state = CHUNK_DATA_CR;
        c->remaining = c->size;
        return b != '\n' ? E_PROTOCOL : c->size > 0 ? 0 : 1;
    case CHUNK_DATA_CR:
        c->state = CHUNK_DATA_LF;
        return b == '\r' ? E_AGAIN : E_PROTOCOL;
    case CHUNK_DATA_LF:
        h1_chunks_start(c);
        return b == '\n' ? E_AGAIN : E_PROTOCOL;
    }
    return E_PROTOCOL;
}

int h1_chunks_feed(struct h1_chunks *c, const char *data, size_t len, size_t *ret_used)
{
    size_t used = 0;
    int r = E_AGAIN;

    while (used < len && r == E_AGAIN) {
        r = ++c->line_bytes > LINE_MAX_BYTES ? E_PROTOCOL : chunk_byte(c, data[used]);
        used++;
    }
    *ret_used = used;
    return r;
}
