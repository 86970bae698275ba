/*
 * The HTTP/2 half of origin: enough of RFC 9113 to answer every request of a well-behaved proxy
 * with the same response, as cheaply as can be. It does not look at header blocks (so needs no
 * HPACK decoder), sends its own without indexing, announces windows that never close, and honours
 * those of the peer. A WINDOW_UPDATE for a stream whose request has not ended is not kept.
 */
#define _GNU_SOURCE
#include "origin.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define PREFACE_BYTES (sizeof(PREFACE) - 1)
#define FRAME_HEAD 9
#define MAX_FRAME 16384
#define OUTPUT_MARK (256 * 1024) /* no further DATA is made while more than this waits */
#define WINDOW_STEP (1 << 20)    /* the connection window is opened again in steps of this */

enum frame { DATA = 0, HEADERS = 1, RST_STREAM = 3, SETTINGS = 4, PING = 6, WINDOW_UPDATE = 8 };
enum { END_STREAM = 0x1, ACK = 0x1, END_HEADERS = 0x4, INITIAL_WINDOW_SIZE = 4 };

/* A response that is not all in the output yet. */
struct pending {
    uint32_t id;
    bool has_head;
    size_t sent;
    int64_t window;
};

struct bytes {
    char *data;
    size_t used;
    size_t room;
};

struct h2 {
    bool has_preface;
    struct bytes in;  /* what is not a whole frame yet */
    struct bytes out; /* from `written` on */
    size_t written;
    int64_t window; /* what the peer still takes on the connection */
    int64_t initial_window;
    size_t received; /* DATA since the last WINDOW_UPDATE */
    struct pending *streams;
    size_t count;
    size_t room;
};

static void *grow(void *data, size_t bytes)
{
    void *out = realloc(data, bytes);

    if (out == NULL) {
        perror("realloc");
        exit(1);
    }
    return out;
}

static void append(struct bytes *b, const void *data, size_t bytes)
{
    if (b->used + bytes > b->room) {
        b->room = (b->used + bytes) * 2;
        b->data = grow(b->data, b->room);
    }
    memcpy(b->data + b->used, data, bytes);
    b->used += bytes;
}

static void put_frame(struct h2 *h, enum frame type, unsigned flags, uint32_t id, const void *data,
                      size_t bytes)
{
    const unsigned char head[FRAME_HEAD] = {
        (unsigned char)(bytes >> 16), (unsigned char)(bytes >> 8), (unsigned char)bytes,
        (unsigned char)type,          (unsigned char)flags,        (unsigned char)(id >> 24),
        (unsigned char)(id >> 16),    (unsigned char)(id >> 8),    (unsigned char)id,
    };

    append(&h->out, head, sizeof(head));
    append(&h->out, data, bytes);
}

static void put_window_update(struct h2 *h, uint32_t by)
{
    const unsigned char data[4] = {(unsigned char)(by >> 24), (unsigned char)(by >> 16),
                                   (unsigned char)(by >> 8), (unsigned char)by};

    put_frame(h, WINDOW_UPDATE, 0, 0, data, sizeof(data));
}

/* A literal field without indexing; strings shorter than 127 bytes. */
static size_t put_field(char *block, const char *name, const char *value)
{
    size_t name_bytes = strlen(name);
    size_t value_bytes = strlen(value);

    block[0] = 0;
    block[1] = (char)name_bytes;
    memcpy(block + 2, name, name_bytes);
    block[2 + name_bytes] = (char)value_bytes;
    memcpy(block + 3 + name_bytes, value, value_bytes);
    return 3 + name_bytes + value_bytes;
}

static void put_head(struct h2 *h, const struct answer *answer, uint32_t id)
{
    char block[512];
    char length[24];
    size_t used = 1;

    block[0] = (char)0x88; /* :status 200, of the static table */
    if (answer->is_grpc) {
        used += put_field(block + used, "content-type", "application/grpc");
    } else {
        (void)snprintf(length, sizeof(length), "%zu", answer->body_bytes);
        used += put_field(block + used, "content-length", length);
    }
    used += put_field(block + used, "x-backend", answer->name);
    put_frame(h, HEADERS, END_HEADERS, id, block, used);
}

static void put_trailers(struct h2 *h, uint32_t id)
{
    char block[64];

    put_frame(h, HEADERS, END_HEADERS | END_STREAM, id, block,
              put_field(block, "grpc-status", "0"));
}

/* One frame of a response, if the windows allow. True: the response is all in the output. */
static bool put_next(struct h2 *h, const struct answer *answer, struct pending *p)
{
    size_t left = answer->body_bytes - p->sent;
    int64_t window = p->window < h->window ? p->window : h->window;
    size_t bytes = left < MAX_FRAME ? left : MAX_FRAME;
    bool is_last;

    if (!p->has_head) {
        put_head(h, answer, p->id);
        p->has_head = true;
    }
    if (window <= 0) {
        return false;
    }
    bytes = (int64_t)bytes < window ? bytes : (size_t)window;
    is_last = bytes == left;
    put_frame(h, DATA, is_last && !answer->is_grpc ? END_STREAM : 0, p->id, answer->body + p->sent,
              bytes);
    p->sent += bytes;
    p->window -= (int64_t)bytes;
    h->window -= (int64_t)bytes;
    if (is_last && answer->is_grpc) {
        put_trailers(h, p->id);
    }
    return is_last;
}

/* Puts what may be sent of the responses into the output, a frame each in turn. */
static void put_responses(struct h2 *h, const struct answer *answer)
{
    bool progressed = true;

    while (progressed && h->count > 0) {
        size_t kept = 0;

        progressed = false;
        for (size_t i = 0; i < h->count; i++) {
            struct pending *p = &h->streams[i];
            size_t sent = p->sent;
            bool is_done = h->out.used - h->written < OUTPUT_MARK && put_next(h, answer, p);

            progressed = progressed || is_done || p->sent > sent;
            if (!is_done) {
                h->streams[kept++] = *p;
            }
        }
        h->count = kept;
    }
}

static struct pending *find(struct h2 *h, uint32_t id)
{
    for (size_t i = 0; i < h->count; i++) {
        if (h->streams[i].id == id) {
            return &h->streams[i];
        }
    }
    return NULL;
}

static void request_ended(struct h2 *h, uint32_t id)
{
    if (h->count == h->room) {
        h->room = h->room > 0 ? h->room * 2 : 64;
        h->streams = grow(h->streams, h->room * sizeof(*h->streams));
    }
    h->streams[h->count++] = (struct pending){.id = id, .window = h->initial_window};
}

static uint32_t read_u32(const unsigned char *data)
{
    return (uint32_t)data[0] << 24 | (uint32_t)data[1] << 16 | (uint32_t)data[2] << 8 | data[3];
}

static void on_settings(struct h2 *h, const unsigned char *data, size_t bytes)
{
    for (size_t at = 0; at + 6 <= bytes; at += 6) {
        if (data[at] == 0 && data[at + 1] == INITIAL_WINDOW_SIZE) {
            int64_t size = read_u32(data + at + 2);

            for (size_t i = 0; i < h->count; i++) {
                h->streams[i].window += size - h->initial_window;
            }
            h->initial_window = size;
        }
    }
    put_frame(h, SETTINGS, ACK, 0, "", 0);
}

static void on_window_update(struct h2 *h, uint32_t id, uint32_t by)
{
    struct pending *p = id != 0 ? find(h, id) : NULL;

    if (id == 0) {
        h->window += by;
    } else if (p != NULL) {
        p->window += by;
    }
}

static void on_frame(struct h2 *h, const unsigned char *head, const unsigned char *data,
                     size_t bytes)
{
    unsigned flags = head[4];
    uint32_t id = read_u32(head + 5) & 0x7fffffffU;
    struct pending *p;

    switch (head[3]) {
    case DATA:
        h->received += bytes;
        if (h->received >= WINDOW_STEP) {
            put_window_update(h, (uint32_t)h->received);
            h->received = 0;
        }
        /* fall through */
    case HEADERS:
        if ((flags & END_STREAM) != 0) {
            request_ended(h, id);
        }
        break;
    case RST_STREAM:
        p = find(h, id);
        if (p != NULL) {
            *p = h->streams[--h->count];
        }
        break;
    case SETTINGS:
        if ((flags & ACK) == 0) {
            on_settings(h, data, bytes);
        }
        break;
    case PING:
        if ((flags & ACK) == 0) {
            put_frame(h, PING, ACK, 0, data, bytes);
        }
        break;
    case WINDOW_UPDATE:
        if (bytes == 4) {
            on_window_update(h, id, read_u32(data));
        }
        break;
    default:
        break;
    }
}

bool h2_is_preface(const char *data, size_t bytes)
{
    return bytes >= PREFACE_BYTES && memcmp(data, PREFACE, PREFACE_BYTES) == 0;
}

struct h2 *h2_new(void)
{
    static const unsigned char settings[6] = {0, INITIAL_WINDOW_SIZE, 0x7f, 0xff, 0xff, 0xff};
    struct h2 *h = grow(NULL, sizeof(*h));

    *h = (struct h2){.window = 65535, .initial_window = 65535};
    put_frame(h, SETTINGS, 0, 0, settings, sizeof(settings));
    put_window_update(h, 0x7fffffffU - 65535U);
    return h;
}

void h2_free(struct h2 *h)
{
    if (h != NULL) {
        free(h->in.data);
        free(h->out.data);
        free(h->streams);
        free(h);
    }
}

bool h2_read(struct h2 *h, const struct answer *answer, const char *data, size_t bytes)
{
    size_t at = 0;

    append(&h->in, data, bytes);
    if (!h->has_preface) {
        at = PREFACE_BYTES;
        h->has_preface = true;
    }
    while (h->in.used - at >= FRAME_HEAD) {
        const unsigned char *head = (const unsigned char *)h->in.data + at;
        size_t length = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];

        if (length > MAX_FRAME) {
            return false;
        }
        if (h->in.used - at < FRAME_HEAD + length) {
            break;
        }
        on_frame(h, head, head + FRAME_HEAD, length);
        at += FRAME_HEAD + length;
    }
    h->in.used -= at;
    memmove(h->in.data, h->in.data + at, h->in.used);
    put_responses(h, answer);
    return true;
}

bool h2_write(struct h2 *h, const struct answer *answer, int fd, bool *ret_is_blocked)
{
    *ret_is_blocked = false;
    while (h->written < h->out.used) {
        ssize_t n = send(fd, h->out.data + h->written, h->out.used - h->written, MSG_NOSIGNAL);

        if (n < 0) {
            *ret_is_blocked = errno == EAGAIN;
            return errno == EAGAIN;
        }
        h->written += (size_t)n;
        if (h->written == h->out.used) {
            h->written = h->out.used = 0;
        }
        put_responses(h, answer);
    }
    return true;
}
