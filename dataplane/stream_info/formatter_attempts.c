/* What operators say of the hosts and connections that were tried, in their order. Owns nothing;
 * the thread of the stream. */

#include "dataplane/stream_info/formatter_ops.h"

#include <string.h>

/* As many as are shown; one stream is tried far fewer times. */
#define ATTEMPTS_SHOWN 64

/* First tried first; returns how many. */
static size_t attempts_collect(const struct stream_info *si,
                               struct upstream_attempt out[ATTEMPTS_SHOWN])
{
    const struct upstream_attempt *a;
    size_t count = 0;
    size_t i;

    for (a = si->earlier_attempts; a != NULL && count < ATTEMPTS_SHOWN - 1; a = a->next) {
        count++;
    }
    i = count;
    for (a = si->earlier_attempts; i > 0; a = a->next) {
        out[--i] = *a;
    }
    if (address_is_set(&si->upstream_remote) && (si->is_upstream_connected || si->keeps_attempts)) {
        out[count++] = (struct upstream_attempt){
            .remote = si->upstream_remote,
            .host_name = si->upstream_host_name,
            .connection_id = si->upstream_connection_id,
        };
    }
    return count;
}

static struct str name_without_port(struct str name)
{
    size_t at = str_rfind_char(name, ':');
    bool is_v6 = at != STR_NPOS && at > 0 && name.ptr[at - 1] != ']' &&
                 str_find_char(name, ':') != at; /* several, and no bracket before the last */

    return at == STR_NPOS || is_v6 ? name : str_sub(name, 0, at);
}

/* One attempt as `op` shows it, into at least ADDRESS_TEXT_MAX bytes; longer names are cut. */
static size_t attempt_format(const struct upstream_attempt *a, enum format_op op, char *out)
{
    struct str name = a->host_name;

    switch (op) {
    case FORMAT_UPSTREAM_CONNECTION_IDS_ATTEMPTED:
        return a->connection_id != 0 ? format_u64(a->connection_id, out) : 0;
    case FORMAT_UPSTREAM_HOSTS_ATTEMPTED:
        return address_format(&a->remote, out);
    case FORMAT_UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT:
        return address_format_ip(&a->remote, out);
    case FORMAT_UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT:
    case FORMAT_UPSTREAM_HOST_NAME_WITHOUT_PORT:
        if (name.len == 0) {
            return address_format_ip(&a->remote, out);
        }
        name = name_without_port(name);
        break;
    default:
        if (name.len == 0) {
            return address_format(&a->remote, out);
        }
        break;
    }
    name = str_sub(name, 0, ADDRESS_TEXT_MAX);
    memcpy(out, name.ptr, name.len);
    return name.len;
}

static void set_attempts(struct formatted *out, const struct stream_info *si, enum format_op op)
{
    struct upstream_attempt attempts[ATTEMPTS_SHOWN];
    size_t count = attempts_collect(si, attempts);
    char one[ADDRESS_TEXT_MAX];
    size_t len = 0;

    for (size_t i = 0; i < count; i++) {
        size_t n = attempt_format(&attempts[i], op, one);

        if (n == 0 || len + 1 + n > FORMATTED_SCRATCH) {
            continue;
        }
        if (len > 0) {
            out->scratch[len++] = ',';
        }
        memcpy(out->scratch + len, one, n);
        len += n;
    }
    if (len > 0) {
        formatted_set_scratch(out, len);
    }
}

static void set_host_name_without_port(struct formatted *out, const struct stream_info *si)
{
    if (si->upstream_host_name.len > 0) {
        formatted_set_string(out, name_without_port(si->upstream_host_name));
    } else if (address_is_set(&si->upstream_remote)) {
        formatted_set_scratch(out, address_format_ip(&si->upstream_remote, out->scratch));
    }
}

bool format_attempts(const struct format_item *item, const struct stream_info *si,
                     struct formatted *out)
{
    switch (item->op) {
    case FORMAT_UPSTREAM_CONNECTION_ID:
        if (si->upstream_request_ns != 0) { /* as Envoy: 0 where there was none to be had */
            formatted_set_u64(out, si->upstream_connection_id);
        }
        return true;
    case FORMAT_UPSTREAM_HOST_NAME_WITHOUT_PORT:
        set_host_name_without_port(out, si);
        return true;
    case FORMAT_UPSTREAM_CONNECTION_IDS_ATTEMPTED:
    case FORMAT_UPSTREAM_HOSTS_ATTEMPTED:
    case FORMAT_UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT:
    case FORMAT_UPSTREAM_HOST_NAMES_ATTEMPTED:
    case FORMAT_UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT:
        set_attempts(out, si, item->op);
        return true;
    default:
        return false;
    }
}
