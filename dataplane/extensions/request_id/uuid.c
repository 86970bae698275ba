/*
 * x-request-id as a random uuid: only its configuration; the ids are made in http/forwarding.c.
 * Main thread.
 *
 * Trust: configuration only.
 * Buffers: nothing.
 * Differs from Envoy: there is no tracing yet, so use_request_id_for_trace_sampling decides
 * nothing and ids are always marked as not traced.
 */

#include "config/parse/check.h"
#include "config/parse/context.h"
#include "dataplane/http/conn_manager_config.h"
#include "proto/envoy/extensions/request_id/uuid/v3/uuid.pb-c.h"

static int uuid_parse(struct parse_context *ctx, const ProtobufCMessage *msg,
                      const void **ret_config)
{
    const Envoy__Extensions__RequestId__Uuid__V3__UuidRequestIdConfig *m =
        (const Envoy__Extensions__RequestId__Uuid__V3__UuidRequestIdConfig *)msg;
    struct request_id_config *c = ARENA_NEW(parse_arena(ctx), struct request_id_config);

    c->pack_trace_reason = parse_bool_or(m->pack_trace_reason, true);
    *ret_config = c;
    return 0;
}

const struct extension request_id_uuid = {
    .name = "envoy.request_id.uuid",
    .category = EXT_REQUEST_ID,
    .descriptor = &envoy__extensions__request_id__uuid__v3__uuid_request_id_config__descriptor,
    .parse = uuid_parse,
};
