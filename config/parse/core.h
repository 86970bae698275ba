#ifndef CONFIG_PARSE_CORE_H
#define CONFIG_PARSE_CORE_H

/*
 * envoy.config.core.v3 (and friends) to model values. The caller has pushed the path of the message
 * itself; what is allocated lies in the part's arena. All main thread; all return 0 or a negative
 * E_* with the error set.
 */

#include "config/model/core.h"
#include "config/parse/context.h"
#include "proto/envoy/config/core/v3/address.pb-c.h"
#include "proto/envoy/config/core/v3/base.pb-c.h"
#include "proto/envoy/config/core/v3/config_source.pb-c.h"
#include "proto/envoy/config/core/v3/grpc_service.pb-c.h"
#include "proto/envoy/config/core/v3/socket_option.pb-c.h"
#include "proto/envoy/type/v3/percent.pb-c.h"
#include "proto/google/protobuf/struct.pb-c.h"

/* A copy in lower case (ASCII): header names, domains. */
struct str parse_lower(struct parse_context *ctx, const char *s);

/* IP literals and unix paths only. `ret_name` (may be NULL: refused) takes a host name instead;
 * the address is then 0.0.0.0 with its port. */
int parse_address(struct parse_context *ctx, const Envoy__Config__Core__V3__Address *m,
                  struct address *ret, struct str *ret_name) MUST_CHECK;
int parse_socket_address(struct parse_context *ctx, const Envoy__Config__Core__V3__SocketAddress *m,
                         struct address *ret, struct str *ret_name) MUST_CHECK;
/* `field` is the repeated field's name. */
int parse_cidrs(struct parse_context *ctx, const char *field, size_t n,
                Envoy__Config__Core__V3__CidrRange *const *m, const struct cidr **ret,
                size_t *ret_count) MUST_CHECK;
int parse_socket_options(struct parse_context *ctx, const char *field, size_t n,
                         Envoy__Config__Core__V3__SocketOption *const *m,
                         const struct socket_option **ret, size_t *ret_count) MUST_CHECK;
struct tcp_keepalive parse_tcp_keepalive(const Envoy__Config__Core__V3__TcpKeepalive *m);

/* Reads files and environment variables at once, as Envoy does. `max_bytes` 0: no bound but that
 * of memory (64 MiB). E_LIMIT above it. */
int parse_data_source(struct parse_context *ctx, const Envoy__Config__Core__V3__DataSource *m,
                      size_t max_bytes, struct str *ret) MUST_CHECK;

/* NULL stays NULL. */
int parse_metadata(struct parse_context *ctx, const char *field,
                   const Envoy__Config__Core__V3__Metadata *m, const struct value **ret) MUST_CHECK;
/* Depth was bounded when the message was unpacked. */
void parse_struct(struct parse_context *ctx, const Google__Protobuf__Struct *m, struct value *ret);
void parse_value(struct parse_context *ctx, const Google__Protobuf__Value *m, struct value *ret);

struct locality parse_locality(struct parse_context *ctx,
                               const Envoy__Config__Core__V3__Locality *m);

int parse_fraction(struct parse_context *ctx, const Envoy__Type__V3__FractionalPercent *m,
                   struct fraction *ret) MUST_CHECK;
/* Only the default value counts: there is no runtime layer that could override it. */
int parse_runtime_fraction(struct parse_context *ctx,
                           const Envoy__Config__Core__V3__RuntimeFractionalPercent *m,
                           struct fraction *ret) MUST_CHECK;

/* NULL: `absent`, and no key. */
int parse_runtime_flag(struct parse_context *ctx, const char *field,
                       const Envoy__Config__Core__V3__RuntimeFeatureFlag *m, bool absent,
                       struct runtime_flag *ret) MUST_CHECK;

struct config_source;
struct grpc_service_config;
int parse_config_source(struct parse_context *ctx, const Envoy__Config__Core__V3__ConfigSource *m,
                        struct config_source *ret) MUST_CHECK;
/* Also the bootstrap's ads_config. */
int parse_api_config_source(struct parse_context *ctx,
                            const Envoy__Config__Core__V3__ApiConfigSource *m,
                            struct config_source *ret) MUST_CHECK;
int parse_grpc_service(struct parse_context *ctx, const Envoy__Config__Core__V3__GrpcService *m,
                       struct grpc_service_config *ret) MUST_CHECK;

#endif
