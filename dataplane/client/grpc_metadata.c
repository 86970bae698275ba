/* gRPC in headers and trailers. Any thread; no I/O, no state. */

#include "dataplane/client/grpc_metadata.h"

#include "dataplane/base/base64.h"
#include "dataplane/codec/grpc_timeout.h"
#include "dataplane/stream_info/grpc_status.h"

/* --- The request's head --------------------------------------------------------------------------
 */

static struct str encode_binary(struct arena *a, struct str s)
{
    char *out = arena_alloc(a, BASE64_ENCODED_BYTES(s.len));

    return str_n(out, base64_encode(s, out));
}

static void add_metadata(struct header_map *h, const struct initial_metadata *m)
{
    char *name = arena_memdup(h->arena, m->key.ptr, m->key.len);
    struct str lower = str_n(name, m->key.len);

    str_lower_in_place(name, m->key.len);
    header_set_name(h, lower,
                    str_ends(lower, STR("-bin")) ? encode_binary(h->arena, m->value)
                                                 : arena_str(h->arena, m->value));
}

void grpc_metadata_write_head(struct header_map *h, const struct grpc_request_head *head)
{
    header_add(h, HDR_METHOD, STR("POST"));
    header_add(h, HDR_PATH, head->path);
    header_add(h, HDR_AUTHORITY, head->authority);
    header_add(h, HDR_SCHEME, head->scheme);
    header_add(h, HDR_TE, STR("trailers")); /* before the next two, as gRPC wants */
    if (head->has_timeout) {
        char *text = arena_alloc(h->arena, GRPC_TIMEOUT_BYTES);

        header_add(h, HDR_GRPC_TIMEOUT, str_n(text, grpc_timeout_format(head->timeout_ms, text)));
    }
    header_add(h, HDR_CONTENT_TYPE, STR("application/grpc"));
    for (size_t i = 0; i < head->metadata_count; i++) {
        add_metadata(h, &head->metadata[i]);
    }
}

/* --- How a call ended ----------------------------------------------------------------------------
 */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

struct str grpc_message_decode(struct arena *a, struct str s)
{
    char *out;
    size_t n = 0;

    if (str_find_char(s, '%') == STR_NPOS) {
        return s;
    }
    out = arena_alloc(a, s.len);
    for (size_t i = 0; i < s.len; i++) {
        int high = s.ptr[i] == '%' && s.len - i > 2 ? hex_value(s.ptr[i + 1]) : -1;
        int low = high >= 0 ? hex_value(s.ptr[i + 2]) : -1;

        out[n++] = low >= 0 ? (char)(high << 4 | low) : s.ptr[i];
        i += low >= 0 ? 2 : 0;
    }
    return str_n(out, n);
}

bool grpc_metadata_read_status(const struct header_map *trailers, enum grpc_code *ret_code,
                               struct str *ret_message)
{
    uint64_t status;

    if (!grpc_status_of(trailers, &status)) {
        return false;
    }
    *ret_code = status <= GRPC_STATUS_KNOWN_MAX ? (enum grpc_code)status : GRPC_UNKNOWN;
    *ret_message = grpc_message_decode(trailers->arena, header_get(trailers, HDR_GRPC_MESSAGE));
    return true;
}
