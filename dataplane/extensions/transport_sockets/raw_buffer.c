/*
 * envoy.transport_sockets.raw_buffer: bytes as they are. One descriptor per role, for both
 * categories have a transport socket of this type.
 *
 * Trust: none needed. Buffers: nothing. Differs from Envoy: no.
 */

#include "dataplane/net/transport_socket.h"
#include "proto/envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer.pb-c.h"

#define RAW_BUFFER_DESCRIPTOR                                                                      \
    (&envoy__extensions__transport_sockets__raw_buffer__v3__raw_buffer__descriptor)

/* Every callback NULL: passes through. */
const struct transport_socket transport_socket_raw_buffer_downstream = {
    .ext =
        {
            .name = "envoy.transport_sockets.raw_buffer",
            .category = EXT_DOWNSTREAM_TRANSPORT_SOCKET,
            .descriptor = RAW_BUFFER_DESCRIPTOR,
        },
};

const struct transport_socket transport_socket_raw_buffer_upstream = {
    .ext =
        {
            .name = "envoy.transport_sockets.raw_buffer",
            .category = EXT_UPSTREAM_TRANSPORT_SOCKET,
            .descriptor = RAW_BUFFER_DESCRIPTOR,
        },
};

#undef RAW_BUFFER_DESCRIPTOR
