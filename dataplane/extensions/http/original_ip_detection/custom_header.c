/*
 * The client's address from a header of the operator's choice.
 *
 * Trust: configuration; the header is what a peer sent, so a front proxy must see to it.
 * Buffers: nothing.
 * Differs from Envoy: nothing known.
 */

#include "config/parse/check.h"
#include "config/parse/core.h"
#include "dataplane/http/client_address.h"
#include "proto/envoy/extensions/http/original_ip_detection/custom_header/v3/custom_header.pb-c.h"

#define CUSTOM_HEADER(suffix)                                                                      \
    Envoy__Extensions__Http__OriginalIpDetection__CustomHeader__V3__##suffix

struct custom_header_config {
    struct str name;
    bool may_be_trusted;
    int reject_status; /* without a usable address; 0: goes on without */
};

static int parse_reject_status(struct parse_context *ctx, const Envoy__Type__V3__HttpStatus *m,
                               int *ret)
{
    size_t at;
    int r;

    if (m == NULL) {
        return 0;
    }
    at = path_push(ctx, "reject_with_status");
    r = parse_check_enum(ctx, "code", (int)m->code, &envoy__type__v3__status_code__descriptor);
    if (r == 0 && m->code == ENVOY__TYPE__V3__STATUS_CODE__Empty) {
        r = parse_fail(ctx, E_INVALID, "code", "value must not be in list [0]");
    }
    path_pop(ctx, at);
    *ret = (int)m->code >= 400 ? (int)m->code : 403; /* as Envoy: a refusal is one */
    return r;
}

static int custom_header_parse(struct parse_context *ctx, const ProtobufCMessage *msg,
                               const void **ret_config)
{
    const CUSTOM_HEADER(CustomHeaderConfig) *m = (const CUSTOM_HEADER(CustomHeaderConfig) *)msg;
    struct custom_header_config *c = ARENA_NEW(parse_arena(ctx), struct custom_header_config);
    int r = parse_check_not_empty(ctx, "header_name", m->header_name);

    if (r == 0) {
        r = parse_check_strict_header_name(ctx, "header_name", m->header_name);
    }
    if (r < 0) {
        return r;
    }
    c->name = parse_lower(ctx, m->header_name);
    c->may_be_trusted = m->allow_extension_to_set_address_as_trusted;
    *ret_config = c;
    return parse_reject_status(ctx, m->reject_with_status, &c->reject_status);
}

static void custom_header_detect(const void *config, const struct header_map *h,
                                 const struct address *peer, struct client_address *ret)
{
    const struct custom_header_config *c = config;
    const struct header *found = header_find_name(h, c->name);

    (void)peer;
    if (found == NULL || address_from_ip(found->value, 0, &ret->address) != 0) {
        ret->reject_status = c->reject_status;
        return;
    }
    ret->is_trusted = c->may_be_trusted;
    ret->appends_peer = false;
}

const struct ip_detector_type original_ip_detection_custom_header = {
    .ext =
        {
            .name = "envoy.http.original_ip_detection.custom_header",
            .category = EXT_ORIGINAL_IP_DETECTION,
            .descriptor =
                &envoy__extensions__http__original_ip_detection__custom_header__v3__custom_header_config__descriptor,
            .parse = custom_header_parse,
        },
    .detect = custom_header_detect,
};
