/* What an HttpConnectionManager message says about every request and response: who the client is,
 * ids, headers, host and path. Main thread. */

#include "config/parse/check.h"
#include "config/parse/core.h"
#include "config/parse/extension.h"
#include "dataplane/extensions/filters/network/http_connection_manager/hcm_config.h"

static int parse_internal_addresses(struct parse_context *ctx, const hcm_message *m,
                                    struct http_conn_manager_config *c)
{
    size_t at;
    int r;

    if (m->internal_address_config == NULL) {
        return 0;
    }
    at = path_push(ctx, "internal_address_config");
    c->unix_sockets_are_internal = m->internal_address_config->unix_sockets;
    r = parse_cidrs(ctx, "cidr_ranges", m->internal_address_config->n_cidr_ranges,
                    m->internal_address_config->cidr_ranges, &c->internal_ranges,
                    &c->internal_range_count);
    path_pop(ctx, at);
    return r;
}

/* As Envoy: what finds the address has its own idea of whom to trust. */
static int check_ip_detections(struct parse_context *ctx, const hcm_message *m)
{
    if (m->n_original_ip_detection_extensions == 0) {
        return 0;
    }
    if (parse_bool_or(m->use_remote_address, false)) {
        return parse_fail(ctx, E_INVALID, NULL,
                          "Original IP detection extensions and use_remote_address may not be "
                          "mixed");
    }
    if (m->xff_num_trusted_hops > 0) {
        return parse_fail(ctx, E_INVALID, NULL,
                          "Original IP detection extensions and xff_num_trusted_hops may not be "
                          "mixed");
    }
    return 0;
}

static int parse_ip_detections(struct parse_context *ctx, const hcm_message *m,
                               struct http_conn_manager_config *c)
{
    size_t n = m->n_original_ip_detection_extensions;
    struct ip_detection *detections = ARENA_ARRAY(parse_arena(ctx), struct ip_detection, n);
    int r = check_ip_detections(ctx, m);

    for (size_t i = 0; r == 0 && i < n; i++) {
        size_t at = path_push_index(ctx, "original_ip_detection_extensions", i);
        struct filter_config parsed;

        r = parse_typed_extension(ctx, EXT_ORIGINAL_IP_DETECTION,
                                  m->original_ip_detection_extensions[i], &parsed);
        if (r == 0) {
            detections[i] =
                (struct ip_detection){(const struct ip_detector_type *)parsed.ext, parsed.config};
            path_pop(ctx, at);
        }
    }
    c->ip_detections = detections;
    c->ip_detection_count = n;
    return r;
}

static int parse_early_mutations(struct parse_context *ctx, const hcm_message *m,
                                 struct http_conn_manager_config *c)
{
    size_t n = m->n_early_header_mutation_extensions;
    struct early_mutation *mutations = ARENA_ARRAY(parse_arena(ctx), struct early_mutation, n);
    int r = 0;

    for (size_t i = 0; r == 0 && i < n; i++) {
        size_t at = path_push_index(ctx, "early_header_mutation_extensions", i);
        struct filter_config parsed;

        r = parse_typed_extension(ctx, EXT_EARLY_HEADER_MUTATION,
                                  m->early_header_mutation_extensions[i], &parsed);
        if (r == 0) {
            mutations[i] = (struct early_mutation){(const struct early_mutation_type *)parsed.ext,
                                                   parsed.config};
            path_pop(ctx, at);
        }
    }
    c->early_mutations = mutations;
    c->early_mutation_count = n;
    return r;
}

static struct forward_proto parse_forward_proto(struct parse_context *ctx,
                                                const HCM(ForwardProtoConfig) * m)
{
    struct arena *a = parse_arena(ctx);

    if (m == NULL) {
        return (struct forward_proto){.https_ports = NULL};
    }
    return (struct forward_proto){
        .https_ports = arena_memdup(a, m->https_destination_ports,
                                    m->n_https_destination_ports * sizeof(uint32_t)),
        .https_port_count = m->n_https_destination_ports,
        .http_ports = arena_memdup(a, m->http_destination_ports,
                                   m->n_http_destination_ports * sizeof(uint32_t)),
        .http_port_count = m->n_http_destination_ports,
    };
}

int hcm_parse_client_address(struct parse_context *ctx, const hcm_message *m,
                             struct http_conn_manager_config *c)
{
    int r = parse_internal_addresses(ctx, m, c);

    c->use_remote_address = parse_bool_or(m->use_remote_address, false);
    c->xff_num_trusted_hops = m->xff_num_trusted_hops;
    c->skip_xff_append = m->skip_xff_append;
    c->append_x_forwarded_port = m->append_x_forwarded_port;
    c->forward_proto = parse_forward_proto(ctx, m->forward_proto_config);
    c->add_user_agent = parse_bool_or(m->add_user_agent, false);
    c->local_ip = ctx->local_ip;
    if (r == 0) {
        r = parse_ip_detections(ctx, m, c);
    }
    return r == 0 ? parse_early_mutations(ctx, m, c) : r;
}

int hcm_parse_request_id(struct parse_context *ctx, const hcm_message *m,
                         struct http_conn_manager_config *c)
{
    struct filter_config parsed = {.ext = NULL};
    size_t at;
    int r;

    c->generate_request_id = parse_bool_or(m->generate_request_id, true);
    c->preserve_external_request_id = m->preserve_external_request_id;
    c->always_set_request_id_in_response = m->always_set_request_id_in_response;
    c->request_id.pack_trace_reason = true;
    if (m->request_id_extension == NULL || m->request_id_extension->typed_config == NULL) {
        return 0;
    }
    at = path_push(ctx, "request_id_extension");
    r = parse_extension(ctx, EXT_REQUEST_ID, "", "typed_config",
                        m->request_id_extension->typed_config, &parsed);
    path_pop(ctx, at);
    if (r == 0) {
        c->request_id = *(const struct request_id_config *)parsed.config;
    }
    return r;
}

static int hcm_parse_scheme(struct parse_context *ctx,
                            const Envoy__Config__Core__V3__SchemeHeaderTransformation *m,
                            struct http_conn_manager_config *c)
{
    if (m == NULL) {
        return 0;
    }
    c->scheme_matches_upstream = m->match_upstream;
    if (m->transformation_case !=
        ENVOY__CONFIG__CORE__V3__SCHEME_HEADER_TRANSFORMATION__TRANSFORMATION_SCHEME_TO_OVERWRITE) {
        return 0;
    }
    c->scheme_to_overwrite = parse_str(ctx, m->scheme_to_overwrite);
    if (!str_eq(c->scheme_to_overwrite, STR("http")) &&
        !str_eq(c->scheme_to_overwrite, STR("https"))) {
        return parse_fail(ctx, E_INVALID, "scheme_header_transformation.scheme_to_overwrite",
                          "value must be in list [http https]");
    }
    return 0;
}

int hcm_parse_headers(struct parse_context *ctx, const hcm_message *m,
                      struct http_conn_manager_config *c)
{
    int r = parse_check_header_text(ctx, "server_name", m->server_name);

    if (r == 0) {
        r = parse_check_header_text(ctx, "via", m->via);
    }
    if (r == 0) {
        r = parse_check_enum(ctx, "server_header_transformation",
                             (int)m->server_header_transformation,
                             &HCM_DESCRIPTOR(_server_header_transformation__descriptor));
    }
    if (r == 0) {
        r = hcm_parse_scheme(ctx, m->scheme_header_transformation, c);
    }
    if (r < 0) {
        return r;
    }
    c->server_name = m->server_name[0] != '\0' ? parse_str(ctx, m->server_name) : STR("envoy");
    c->via = parse_str(ctx, m->via);
    c->proxy_100_continue = m->proxy_100_continue;
    c->append_local_overload = m->append_local_overload;
    switch (m->server_header_transformation) {
    case HCM_ENUM(SERVER_HEADER_TRANSFORMATION__APPEND_IF_ABSENT):
        c->server_header = SERVER_APPEND_IF_ABSENT;
        break;
    case HCM_ENUM(SERVER_HEADER_TRANSFORMATION__PASS_THROUGH):
        c->server_header = SERVER_PASS_THROUGH;
        break;
    default:
        c->server_header = SERVER_OVERWRITE;
        break;
    }
    return 0;
}

int hcm_parse_client_cert(struct parse_context *ctx, const hcm_message *m,
                          struct http_conn_manager_config *c)
{
    static const enum forward_client_cert MODES[] = {
        [HCM_ENUM(FORWARD_CLIENT_CERT_DETAILS__SANITIZE)] = CLIENT_CERT_SANITIZE,
        [HCM_ENUM(FORWARD_CLIENT_CERT_DETAILS__FORWARD_ONLY)] = CLIENT_CERT_FORWARD_ONLY,
        [HCM_ENUM(FORWARD_CLIENT_CERT_DETAILS__APPEND_FORWARD)] = CLIENT_CERT_APPEND_FORWARD,
        [HCM_ENUM(FORWARD_CLIENT_CERT_DETAILS__SANITIZE_SET)] = CLIENT_CERT_SANITIZE_SET,
        [HCM_ENUM(FORWARD_CLIENT_CERT_DETAILS__ALWAYS_FORWARD_ONLY)] =
            CLIENT_CERT_ALWAYS_FORWARD_ONLY,
    };
    const HCM(HttpConnectionManager__SetCurrentClientCertDetails) *d =
        m->set_current_client_cert_details;
    int r =
        parse_check_enum(ctx, "forward_client_cert_details", (int)m->forward_client_cert_details,
                         &HCM_DESCRIPTOR(_forward_client_cert_details__descriptor));

    if (r == 0 && d != NULL) {
        r = parse_check_enum(ctx, "set_current_client_cert_details.format", (int)d->format,
                             &HCM_DESCRIPTOR(_forward_client_cert_format__descriptor));
    }
    if (r < 0) {
        return r;
    }
    c->forward_client_cert = MODES[m->forward_client_cert_details];
    if (d != NULL) {
        c->client_cert_details = (struct client_cert_details){
            .cert = d->cert,
            .chain = d->chain,
            .subject = parse_bool_or(d->subject, false),
            .uri = d->uri,
            .dns = d->dns,
            .issuer = d->issuer,
            .is_json = d->format == HCM_ENUM(FORWARD_CLIENT_CERT_FORMAT__JSON),
        };
    }
    return 0;
}

int hcm_parse_path(struct parse_context *ctx, const hcm_message *m,
                   struct http_conn_manager_config *c)
{
    (void)ctx; /* nothing here can be wrong */
    c->normalize_path = parse_bool_or(m->normalize_path, false);
    c->merge_slashes = m->merge_slashes;
    switch (m->path_with_escaped_slashes_action) {
    case HCM_ENUM(PATH_WITH_ESCAPED_SLASHES_ACTION__REJECT_REQUEST):
        c->escaped_slashes = ESCAPED_SLASHES_REJECT;
        break;
    case HCM_ENUM(PATH_WITH_ESCAPED_SLASHES_ACTION__UNESCAPE_AND_REDIRECT):
        c->escaped_slashes = ESCAPED_SLASHES_REDIRECT;
        break;
    case HCM_ENUM(PATH_WITH_ESCAPED_SLASHES_ACTION__UNESCAPE_AND_FORWARD):
        c->escaped_slashes = ESCAPED_SLASHES_FORWARD;
        break;
    default:
        c->escaped_slashes = ESCAPED_SLASHES_KEEP;
        break;
    }
    return 0;
}

int hcm_parse_host(struct parse_context *ctx, const hcm_message *m,
                   struct http_conn_manager_config *c)
{
    bool strips_any = m->strip_port_mode_case == HCM_ENUM(STRIP_PORT_MODE_STRIP_ANY_HOST_PORT) &&
                      m->strip_any_host_port;

    if (strips_any && m->strip_matching_host_port) {
        return parse_fail(ctx, E_INVALID, NULL,
                          "Error: Only one of `strip_matching_host_port` or `strip_any_host_port` "
                          "can be set.");
    }
    c->strip_port = strips_any                    ? STRIP_PORT_ANY
                    : m->strip_matching_host_port ? STRIP_PORT_MATCHING
                                                  : STRIP_PORT_NONE;
    c->strip_trailing_host_dot = m->strip_trailing_host_dot;
    return 0;
}
