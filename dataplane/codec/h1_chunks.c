/*
 * Chunked framing (RFC 9112, 7.1) byte by byte; the data in between is the caller's. Extensions
 * mean nothing here, but must be well formed: who reads them otherwise sees another body.
 */

#include "dataplane/base/error.h"
#include "dataplane/codec/h1_parser.h"
#include "dataplane/codec/h1_scan.h"

/* 60 bits: what nobody sends, and no sum overflows. */
#define DIGITS_MAX 15
/* A chunk's line with its extensions, which are read past. */
#define LINE_MAX_BYTES 4096

enum chunk_state {
    CHUNK_SIZE,
    CHUNK_SIZE_SPACE,      /* behind the size: an extension must follow */
    CHUNK_EXT_BEFORE_NAME, /* behind ';' */
    CHUNK_EXT_NAME,
    CHUNK_EXT_AFTER_NAME,   /* white space: '=' or the next extension must follow */
    CHUNK_EXT_BEFORE_VALUE, /* behind '=' */
    CHUNK_EXT_VALUE,
    CHUNK_EXT_QUOTED,
    CHUNK_EXT_ESCAPED,
    CHUNK_EXT_AFTER_QUOTED,
    CHUNK_EXT_AFTER_VALUE, /* white space: the next extension must follow */
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

static bool is_space(char b)
{
    return b == ' ' || b == '\t';
}

static bool is_token(char b)
{
    return h1_token_lower[(uint8_t)b] != 0;
}

static int go(struct h1_chunks *c, enum chunk_state next)
{
    c->state = (uint8_t)next;
    return E_AGAIN;
}

/* Behind a size, a name or a value: the line's end, the next extension, or white space, which only
 * `after_space` may follow. */
static int end_or_next(struct h1_chunks *c, char b, enum chunk_state after_space)
{
    if (b == '\r') {
        return go(c, CHUNK_LINE_LF);
    }
    if (b == ';') {
        return go(c, CHUNK_EXT_BEFORE_NAME);
    }
    return is_space(b) ? go(c, after_space) : E_PROTOCOL;
}

/* White space that stands before ';' (or, behind a name, '='). */
static int space_byte(struct h1_chunks *c, char b, bool is_behind_name)
{
    if (is_space(b)) {
        return E_AGAIN;
    }
    if (b == '=' && is_behind_name) {
        return go(c, CHUNK_EXT_BEFORE_VALUE);
    }
    return b == ';' ? go(c, CHUNK_EXT_BEFORE_NAME) : E_PROTOCOL;
}

static int extension_byte(struct h1_chunks *c, char b)
{
    switch ((enum chunk_state)c->state) {
    case CHUNK_EXT_BEFORE_NAME:
        if (is_space(b)) {
            return E_AGAIN;
        }
        return is_token(b) ? go(c, CHUNK_EXT_NAME) : E_PROTOCOL;
    case CHUNK_EXT_NAME:
        if (is_token(b)) {
            return E_AGAIN;
        }
        return b == '=' ? go(c, CHUNK_EXT_BEFORE_VALUE) : end_or_next(c, b, CHUNK_EXT_AFTER_NAME);
    case CHUNK_EXT_AFTER_NAME:
        return space_byte(c, b, true);
    case CHUNK_EXT_BEFORE_VALUE:
        if (is_space(b)) {
            return E_AGAIN;
        }
        if (b == '"') {
            return go(c, CHUNK_EXT_QUOTED);
        }
        return is_token(b) ? go(c, CHUNK_EXT_VALUE) : E_PROTOCOL;
    case CHUNK_EXT_VALUE:
        return is_token(b) ? E_AGAIN : end_or_next(c, b, CHUNK_EXT_AFTER_VALUE);
    case CHUNK_EXT_QUOTED:
        if (b == '"') {
            return go(c, CHUNK_EXT_AFTER_QUOTED);
        }
        if (b == '\\') {
            return go(c, CHUNK_EXT_ESCAPED);
        }
        return h1_is_control((uint8_t)b) ? E_PROTOCOL : E_AGAIN;
    case CHUNK_EXT_ESCAPED:
        return h1_is_control((uint8_t)b) ? E_PROTOCOL : go(c, CHUNK_EXT_QUOTED);
    case CHUNK_EXT_AFTER_QUOTED:
        return end_or_next(c, b, CHUNK_EXT_AFTER_VALUE);
    default: /* CHUNK_EXT_AFTER_VALUE */
        return space_byte(c, b, false);
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
            return c->digits > 0 ? end_or_next(c, b, CHUNK_SIZE_SPACE) : E_PROTOCOL;
        }
        if (++c->digits > DIGITS_MAX) {
            return E_PROTOCOL;
        }
        c->size = c->size << 4 | (unsigned)digit;
        return E_AGAIN;
    case CHUNK_SIZE_SPACE:
        return space_byte(c, b, false);
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
    default:
        return extension_byte(c, b);
    }
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
