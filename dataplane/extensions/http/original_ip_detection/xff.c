/*
 * The client's address from x-forwarded-for, by the number of trusted proxies or by their ranges:
 * only its configuration; the reading is http/client_address.c.
 *
 * Trust: configuration; the header is what a peer sent.
 * Buffers: nothing.
 * Differs from Envoy: nothing known.
 */

#include "config/parse/check.h"
#include "config/parse/core.h"
#include "dataplane/http/client_address.h"
#include "proto/envoy/extensions/http/original_ip_detection/xff/v3/xff.pb-c.h"

typedef Envoy__Extensions__Http__OriginalIpDetection__Xff__V3__XffConfig XffConfig;

struct xff_config {
    uint32_t trusted_hops;
    bool has_cidrs;
    const struct cidr *cidrs;
    size_t cidr_count;
    bool skips_append;
};

static int xff_parse_cidrs(struct parse_context *ctx, const XffConfig *m, struct xff_config *c)
{
    size_t at;
    int r;

    if (m->xff_trusted_cidrs == NULL) {
        return 0;
    }
    if (m->xff_num_trusted_hops > 0) {
        return parse_fail(ctx, E_INVALID, NULL,
                          "Cannot set both xff_num_trusted_hops and xff_trusted_cidrs");
    }
    c->has_cidrs = true;
    at = path_push(ctx, "xff_trusted_cidrs");
    r = parse_cidrs(ctx, "cidrs", m->xff_trusted_cidrs->n_cidrs, m->xff_trusted_cidrs->cidrs,
                    &c->cidrs, &c->cidr_count);
    path_pop(ctx, at);
    return r;
}

static int xff_parse(struct parse_context *ctx, const ProtobufCMessage *msg,
                     const void **ret_config)
{
    const XffConfig *m = (const XffConfig *)msg;
    struct xff_config *c = ARENA_NEW(parse_arena(ctx), struct xff_config);

    c->trusted_hops = m->xff_num_trusted_hops;
    c->skips_append = parse_bool_or(m->skip_xff_append, true);
    *ret_config = c;
    return xff_parse_cidrs(ctx, m, c);
}

static bool is_trusted(const struct xff_config *c, const struct address *peer)
{
    for (size_t i = 0; i < c->cidr_count; i++) {
        if (cidr_contains(&c->cidrs[i], peer)) {
            return true;
        }
    }
    return false;
}

static void xff_detect(const void *config, const struct header_map *h, const struct address *peer,
                       struct client_address *ret)
{
    const struct xff_config *c = config;

    ret->appends_peer = !c->skips_append;
    if (!c->has_cidrs) {
        client_from_xff(h, c->trusted_hops, ret);
    } else if (is_trusted(c, peer)) {
        client_from_xff_beyond(h, c->cidrs, c->cidr_count, ret);
    } else {
        ret->appends_peer = true; /* as Envoy: what it says is worth no more than itself */
    }
}

const struct ip_detector_type original_ip_detection_xff = {
    .ext =
        {
            .name = "envoy.http.original_ip_detection.xff",
            .category = EXT_ORIGINAL_IP_DETECTION,
            .descriptor =
                &envoy__extensions__http__original_ip_detection__xff__v3__xff_config__descriptor,
            .parse = xff_parse,
        },
    .detect = xff_detect,
};
