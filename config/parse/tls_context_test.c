/* The TLS contexts of both sides to the model: every field, defaults, secrets by name, what is
 * refused. Envoy's verdicts on whole bootstraps are in integration/config/test_tls_verdicts.py. */

#include "config/parse/tls_context.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "config/parse/parse_support.h"
#include "config/parse/secret_key.h"

#define CERTIFICATE "{certificate_chain: {inline_string: c}, private_key: {inline_string: k}}"
#define ADS_SECRET(name) "{name: " name ", sds_config: {ads: {}}}"

static struct parse_fixture f;
static struct tls_server_config server;
static struct tls_client_config client;
/* The bootstrap's secret "there". */
static struct secret_config known;

static bool has_secret(struct slot_resolver *r, enum part_kind kind, struct str key)
{
    (void)r;
    return kind == PART_SECRET && str_eq(secret_key_name(key), STR("there"));
}

static const struct part *accepted_secret(struct slot_resolver *r, enum part_kind kind,
                                          uint32_t slot)
{
    return has_secret(r, kind, parse_fixture_slot_name(&f, kind, slot)) ? &known.part : NULL;
}

static const ProtobufCMessage *message(const ProtobufCMessageDescriptor *d, const char *yaml)
{
    const ProtobufCMessage *m;

    parse_fixture_init(&f, sizeof(struct part), PART_CLUSTER, "c");
    f.slots.has = has_secret;
    f.slots.accepted = accepted_secret;
    return parse_fixture_message(&f, d, str_c(yaml), &m) == 0 ? m : NULL;
}

static int parse_server(const char *yaml)
{
    const ProtobufCMessage *m = message(
        &envoy__extensions__transport_sockets__tls__v3__downstream_tls_context__descriptor, yaml);

    server = (struct tls_server_config){0};
    return m != NULL ? parse_downstream_tls_context(&f.ctx, (const void *)m, &server) : -1;
}

static int parse_client(const char *yaml)
{
    const ProtobufCMessage *m = message(
        &envoy__extensions__transport_sockets__tls__v3__upstream_tls_context__descriptor, yaml);

    client = (struct tls_client_config){0};
    return m != NULL ? parse_upstream_tls_context(&f.ctx, (const void *)m, &client) : -1;
}

static void good(int (*parse)(const char *yaml), const char *yaml)
{
    if (parse(yaml) != 0) {
        fail_msg("%s: %s", yaml, error_message(&f.err));
    }
}

static void bad(int (*parse)(const char *yaml), const char *yaml, const char *error)
{
    assert_true(parse(yaml) < 0);
    assert_string_equal(error_message(&f.err), error);
    parse_fixture_done(&f);
}

static void assert_str(struct str s, const char *want)
{
    assert_int_equal(s.len, strlen(want));
    assert_memory_equal(s.ptr, want, s.len);
}

/* --- servers ---------------------------------------------------------------------------------- */

static void a_servers_defaults(void **state)
{
    good(parse_server, "{common_tls_context: {tls_certificates: [" CERTIFICATE "]}}");
    assert_int_equal(server.common.min_version, TLS_1_2);
    assert_int_equal(server.common.max_version, TLS_1_3);
    assert_int_equal(server.common.certificate_count, 1);
    assert_int_equal(server.common.validation_slot, SLOT_NONE);
    assert_int_equal(server.ticket_keys_slot, SLOT_NONE);
    assert_int_equal(server.common.cipher_suites.len, 0);
    assert_int_equal(server.common.alpn_count, 0);
    assert_null(server.common.validation);
    assert_false(server.require_client_certificate);
    assert_int_equal(server.common.compliance, TLS_COMPLIANCE_NONE);
    assert_false(server.session_timeout.is_set);
    assert_int_equal(server.ocsp_policy, OCSP_LENIENT_STAPLING);
    parse_fixture_done(&f);
}

static void every_field_of_a_server_is_read(void **state)
{
    good(parse_server,
         "{require_client_certificate: true, disable_stateless_session_resumption: true,"
         " disable_stateful_session_resumption: true, session_timeout: 7s, ocsp_staple_policy:"
         " MUST_STAPLE, full_scan_certs_on_sni_mismatch: true, prefer_client_ciphers: true,"
         " common_tls_context: {tls_certificates: [" CERTIFICATE ", " CERTIFICATE "], tls_params:"
         " {tls_minimum_protocol_version: TLSv1_0, tls_maximum_protocol_version: TLSv1_2,"
         " cipher_suites: [A, B], ecdh_curves: [X, Z], signature_algorithms: [S, T],"
         " compliance_policies: [FIPS_202205]}, alpn_protocols: [h2, 'http/1.1,x'],"
         " validation_context: {trusted_ca: {inline_string: ca}}, key_log: {path: /k,"
         " local_address_range: [{address_prefix: 10.0.0.0, prefix_len: 8}]}}}");
    assert_true(server.require_client_certificate && server.disable_stateless_resumption);
    assert_true(server.disable_stateful_resumption && server.full_scan_certs_on_sni_mismatch);
    assert_true(server.prefer_client_ciphers);
    assert_int_equal(server.common.compliance, TLS_COMPLIANCE_FIPS_202205);
    assert_int_equal(server.session_timeout.ms, 7000);
    assert_int_equal(server.ocsp_policy, OCSP_MUST_STAPLE);
    assert_int_equal(server.common.certificate_count, 2);
    assert_int_equal(server.common.min_version, TLS_1_0);
    assert_int_equal(server.common.max_version, TLS_1_2);
    assert_str(server.common.cipher_suites, "A:B");
    assert_str(server.common.curves, "X:Z");
    assert_str(server.common.signature_algorithms, "S:T");
    assert_int_equal(server.common.alpn_count, 3);
    assert_str(server.common.alpn[1], "http/1.1");
    assert_str(server.common.alpn[2], "x");
    assert_true(server.common.validation->has_ca);
    assert_str(server.common.key_log.path, "/k");
    assert_int_equal(server.common.key_log.local_range_count, 1);
    parse_fixture_done(&f);
}

/* BoringSSL takes a list with an empty name for broken and chooses nothing. */
static void an_empty_protocol_name(void **state)
{
    good(parse_server,
         "{common_tls_context: {tls_certificates: [" CERTIFICATE "], alpn_protocols: [h2, '']}}");
    assert_int_equal(server.common.alpn_count, 0);
    parse_fixture_done(&f);
    good(parse_client, "{common_tls_context: {alpn_protocols: ['']}}");
    assert_int_equal(client.common.alpn_count, 0);
    parse_fixture_done(&f);
    bad(parse_client, "{common_tls_context: {alpn_protocols: [h2, '']}}",
        "common_tls_context.alpn_protocols: Invalid ALPN protocol string");
    bad(parse_client, "{common_tls_context: {alpn_protocols: ['', h2]}}",
        "common_tls_context.alpn_protocols: Invalid ALPN protocol string");
}

static void certificates_that_say_nothing_do_not_count(void **state)
{
    good(parse_server, "{common_tls_context: {tls_certificates: [{}, " CERTIFICATE "]}}");
    assert_int_equal(server.common.certificate_count, 1);
    parse_fixture_done(&f);
    bad(parse_server, "{common_tls_context: {tls_certificates: [{}]}}",
        "Server TlsCertificates must have a certificate specified");
}

static void servers_that_are_refused(void **state)
{
    static const char *const rows[][2] = {
        {"{}", "No TLS certificates found for server context"},
        {"{common_tls_context: {}}", "No TLS certificates found for server context"},
        {"{common_tls_context: {tls_certificates: [" CERTIFICATE
         "], tls_certificate_sds_secret_configs: [" ADS_SECRET("a") "]}}",
         "SDS and non-SDS TLS certificates may not be mixed in server contexts"},
        {"{ocsp_staple_policy: 5}",
         "ocsp_staple_policy: value must be one of the defined enum values"},
        {"{common_tls_context: {tls_certificates: [" CERTIFICATE "], tls_params:"
         " {tls_maximum_protocol_version: 9}}}",
         "common_tls_context.tls_params.tls_maximum_protocol_version: value must be one of the "
         "defined enum values"},
        {"{common_tls_context: {tls_certificates: [" CERTIFICATE "], tls_params:"
         " {compliance_policies: [7]}}}",
         "common_tls_context.tls_params.compliance_policies: Unknown compliance policy: 7"},
        {"{common_tls_context: {tls_certificates: [" CERTIFICATE "], custom_handshaker: {name: h,"
         " typed_config: {'@type': type.googleapis.com/google.protobuf.Struct}}}}",
         "common_tls_context.custom_handshaker: Didn't find a registered implementation for 'h' "
         "with type URL: 'google.protobuf.Struct'"},
        {"{common_tls_context: {tls_certificates: [" CERTIFICATE "], key_log: {}}}",
         "common_tls_context.key_log.path: value length must be at least 1 characters"},
        {"{session_timeout: 4294967296s, common_tls_context: {tls_certificates: [" CERTIFICATE
         "]}}",
         "session_timeout: value must be less than 4294967296s"},
        {"{common_tls_context: {tls_certificates: [" CERTIFICATE "], validation_context:"
         " {match_subject_alt_names: [{exact: a}]}}}",
         "common_tls_context.validation_context: SAN-based verification of peer certificates "
         "without trusted CA is insecure and not allowed"},
        {"{common_tls_context: {tls_certificates: [" CERTIFICATE "], validation_context: {crl:"
         " {inline_string: x}}}}",
         "common_tls_context.validation_context: Failed to load CRL from <inline> without trusted "
         "CA"},
        {"{common_tls_context: {tls_certificates: [" CERTIFICATE "], validation_context:"
         " {allow_expired_certificate: true}}}",
         "common_tls_context.validation_context: Certificate validity period is always ignored "
         "without trusted CA"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        bad(parse_server, rows[i][0], rows[i][1]);
    }
}

/* --- secrets ---------------------------------------------------------------------------------- */

static void secrets_of_a_control_plane_are_subscribed(void **state)
{
    good(parse_server,
         "{session_ticket_keys_sds_secret_config: " ADS_SECRET(
             "t") ", common_tls_context:"
                  " {tls_certificate_sds_secret_configs: [" ADS_SECRET("a") ", " ADS_SECRET(
                      "b") "],"
                           " combined_validation_context: {default_validation_context: "
                           "{match_subject_alt_names:"
                           " [{exact: x}]}, validation_context_sds_secret_config: " ADS_SECRET(
                               "v") "}}}");
    assert_int_equal(server.common.certificate_count, 0);
    assert_int_equal(server.common.certificate_slot_count, 2);
    assert_true(server.common.certificate_slots[0] != server.common.certificate_slots[1]);
    assert_true(server.ticket_keys_slot != SLOT_NONE);
    assert_true(server.common.validation_slot != SLOT_NONE);
    assert_int_equal(server.common.validation->san_count, 1); /* the CA is yet to come */
    assert_int_equal(f.ctx.subscription_count, 4);
    assert_str(secret_key_name(f.ctx.subscriptions[0].name), "a");
    assert_int_equal(secret_key_kind(f.ctx.subscriptions[0].name), SECRET_TLS_CERTIFICATE);
    assert_int_equal(secret_key_kind(f.ctx.subscriptions[2].name), SECRET_VALIDATION_CONTEXT);
    assert_int_equal(f.ctx.subscriptions[0].source->kind, CONFIG_SOURCE_ADS);
    parse_fixture_done(&f);
}

static void secrets_of_the_bootstrap_are_there_or_unknown(void **state)
{
    known.validation = (struct tls_validation){0};
    good(parse_server,
         "{common_tls_context: {tls_certificate_sds_secret_configs: [{name: there}]}}");
    assert_int_equal(server.common.certificate_slot_count, 1);
    assert_int_equal(f.ctx.subscription_count, 0);
    parse_fixture_done(&f);
    bad(parse_server, "{common_tls_context: {tls_certificate_sds_secret_configs: [{name: x}]}}",
        "common_tls_context.tls_certificate_sds_secret_configs[0]: Unknown static secret: x");
    bad(parse_server, "{common_tls_context: {tls_certificate_sds_secret_configs: [{}]}}",
        "common_tls_context.tls_certificate_sds_secret_configs[0].name: value length must be at "
        "least 1 characters");
    bad(parse_client, "{common_tls_context: {validation_context_sds_secret_config: {name: x}}}",
        "common_tls_context.validation_context_sds_secret_config: Unknown static certificate "
        "validation context: x");
    bad(parse_server,
        "{common_tls_context: {tls_certificates: [" CERTIFICATE
        "]}, session_ticket_keys_sds_secret_config: {name: x}}",
        "session_ticket_keys_sds_secret_config: Unknown tls session ticket keys: x");
}

/* Both halves of a combined context are looked at as one, whoever sent the secret. */
static void halves_that_do_not_fit(void **state)
{
    static const char yaml[] =
        "{auto_sni_san_validation: true, common_tls_context: {combined_validation_context:"
        " {default_validation_context: {match_subject_alt_names: [{exact: x}]},"
        " validation_context_sds_secret_config: {name: there}}}}";

    known.validation = (struct tls_validation){0};
    bad(parse_client, yaml,
        "common_tls_context.combined_validation_context: SAN-based verification of peer "
        "certificates without trusted CA is insecure and not allowed");
    known.validation = (struct tls_validation){.has_ca = true};
    good(parse_client, yaml);
    parse_fixture_done(&f);
    known.validation = (struct tls_validation){.is_spiffe = true};
    good(parse_client, yaml);
    parse_fixture_done(&f);
    known.validation = (struct tls_validation){0};
    bad(parse_client,
        "{auto_sni_san_validation: true, common_tls_context:"
        " {validation_context_sds_secret_config: " ADS_SECRET("there") "}}",
        "common_tls_context.validation_context_sds_secret_config: 'auto_sni_san_validation' was "
        "configured without configuring a trusted CA");
    known.validation = (struct tls_validation){.has_crl = true, .crl_name = STR("/crl")};
    bad(parse_client, "{common_tls_context: {validation_context_sds_secret_config: {name: there}}}",
        "common_tls_context.validation_context_sds_secret_config: Failed to load CRL from /crl "
        "without trusted CA");
    bad(parse_client, "{common_tls_context: {combined_validation_context: {}}}",
        "common_tls_context.combined_validation_context.default_validation_context: value is "
        "required");
}

/* --- clients ---------------------------------------------------------------------------------- */

static void a_clients_defaults(void **state)
{
    good(parse_client, "{}");
    assert_int_equal(client.common.min_version, TLS_1_2);
    assert_int_equal(client.common.max_version, TLS_1_2);
    assert_int_equal(client.max_session_keys, 1);
    assert_true(client.enforce_rsa_key_usage);
    assert_false(client.auto_host_sni || client.auto_sni_san_validation ||
                 client.allow_renegotiation);
    assert_int_equal(client.sni.len, 0);
    assert_int_equal(f.ctx.unsupported_count, 0);
    assert_int_equal(client.common.validation_slot, SLOT_NONE);
    parse_fixture_done(&f);
}

static void every_field_of_a_client_is_read(void **state)
{
    uint64_t hash;

    good(parse_client, "{sni: a.example, auto_host_sni: true, auto_sni_san_validation: true,"
                       " allow_renegotiation: true, enforce_rsa_key_usage: false, max_session_keys:"
                       " 0, common_tls_context: {validation_context: {trusted_ca: {inline_string:"
                       " ca}}}}");
    assert_str(client.sni, "a.example");
    assert_true(client.auto_host_sni && client.auto_sni_san_validation);
    assert_true(client.allow_renegotiation);
    assert_false(client.enforce_rsa_key_usage);
    assert_int_equal(client.max_session_keys, 0);
    assert_int_equal(f.ctx.unsupported_count, 2); /* renegotiation, lax key usage */
    hash = client.common.hash;
    parse_fixture_done(&f);
    good(parse_client, "{common_tls_context: {validation_context: {trusted_ca: {inline_string:"
                       " cb}}}}");
    assert_true(client.common.hash != hash);
    parse_fixture_done(&f);
}

static void clients_that_are_refused(void **state)
{
    static const char *const rows[][2] = {
        {"{common_tls_context: {tls_certificates: [" CERTIFICATE ", " CERTIFICATE "]}}",
         "Multiple TLS certificates are not supported for client contexts"},
        {"{common_tls_context: {tls_certificates: [{}], tls_certificate_sds_secret_configs:"
         " [" ADS_SECRET("a") "]}}",
         "Multiple TLS certificates are not supported for client contexts"},
        {"{auto_sni_san_validation: true}",
         "'auto_sni_san_validation' was configured without a validation context"},
        {"{auto_sni_san_validation: true, common_tls_context: {validation_context: {}}}",
         "common_tls_context.validation_context: 'auto_sni_san_validation' was configured without "
         "configuring a trusted CA"},
    };
    struct strbuf yaml;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        bad(parse_client, rows[i][0], rows[i][1]);
    }
    strbuf_init(&yaml);
    strbuf_addf(&yaml, "{sni: '%0256d'}", 0);
    bad(parse_client, yaml.ptr, "sni: value length must be at most 255 bytes");
    strbuf_done(&yaml);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_servers_defaults),
        cmocka_unit_test(every_field_of_a_server_is_read),
        cmocka_unit_test(an_empty_protocol_name),
        cmocka_unit_test(certificates_that_say_nothing_do_not_count),
        cmocka_unit_test(servers_that_are_refused),
        cmocka_unit_test(secrets_of_a_control_plane_are_subscribed),
        cmocka_unit_test(secrets_of_the_bootstrap_are_there_or_unknown),
        cmocka_unit_test(halves_that_do_not_fit),
        cmocka_unit_test(a_clients_defaults),
        cmocka_unit_test(every_field_of_a_client_is_read),
        cmocka_unit_test(clients_that_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
