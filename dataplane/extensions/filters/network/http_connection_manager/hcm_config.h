#ifndef DATAPLANE_EXTENSIONS_FILTERS_NETWORK_HTTP_CONNECTION_MANAGER_HCM_CONFIG_H
#define DATAPLANE_EXTENSIONS_FILTERS_NETWORK_HTTP_CONNECTION_MANAGER_HCM_CONFIG_H

/* The pieces of an HttpConnectionManager message, each into its part of the configuration. Main
 * thread. */

#include "config/parse/context.h"
#include "dataplane/http/conn_manager_config.h"
#include "proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb-c.h"

/* protoc-c's names are as long as the path. */
#define HCM(suffix) Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__##suffix
#define HCM_ENUM(suffix)                                                                           \
    ENVOY__EXTENSIONS__FILTERS__NETWORK__HTTP_CONNECTION_MANAGER__V3__HTTP_CONNECTION_MANAGER__##suffix
#define HCM_DESCRIPTOR(suffix)                                                                     \
    envoy__extensions__filters__network__http_connection_manager__v3__http_connection_manager_##suffix

typedef HCM(HttpConnectionManager) hcm_message;

typedef int hcm_parse_fn(struct parse_context *ctx, const hcm_message *m,
                         struct http_conn_manager_config *c);

/* --- request_rules.c: what is done to every request and response ---------------------------- */

hcm_parse_fn hcm_parse_client_address;
hcm_parse_fn hcm_parse_request_id;
hcm_parse_fn hcm_parse_headers;
hcm_parse_fn hcm_parse_client_cert;
hcm_parse_fn hcm_parse_host;
hcm_parse_fn hcm_parse_path;

/* --- local_reply_config.c ------------------------------------------------------------------- */

hcm_parse_fn hcm_parse_local_reply;

#endif
