/* Secrets to the model: what the builder is given, what is read from where, what is refused.
 * Envoy's verdicts on whole bootstraps are in integration/config/test_tls_verdicts.py. */

#include "config/parse/tls_secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/parse/parse_support.h"

#define HEX_32 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789ABCDEF"
#define BASE64_32 "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

static struct parse_fixture f;

/* --- a builder that remembers ----------------------------------------------------------------- */

static struct tls_certificate_source given;
static struct tls_trust_source given_trust[4];
static size_t trust_count;
static char built; /* what certificates and CAs point to */

static int fake_certificate(struct part *part, const struct tls_certificate_source *src,
                            const struct tls_certificate **ret, struct error *reterr)
{
    (void)part;
    (void)reterr;
    given = *src;
    *ret = (const struct tls_certificate *)&built;
    return 0;
}

static int fake_trust(struct part *part, const struct tls_trust_source *src,
                      const struct tls_trust **ret, struct error *reterr)
{
    (void)part;
    assert_true(trust_count < ARRAY_LEN(given_trust));
    given_trust[trust_count++] = *src;
    *ret = (const struct tls_trust *)&built;
    return str_eq(src->ca.bytes, STR("bad")) ? error_set(reterr, E_INVALID, "a bad CA") : 0;
}

static bool fake_is_oid(struct str oid)
{
    return str_eq(oid, STR("1.2.3"));
}

static const struct tls_builder fake_builder = {
    .certificate = fake_certificate,
    .trust = fake_trust,
    .is_oid = fake_is_oid,
};

/* --- helpers ---------------------------------------------------------------------------------- */

/* Of the bootstrap, unless the caller says otherwise before it parses. */
static struct secret_config *secret_of(const char *yaml, bool is_static, int *ret_code)
{
    const ProtobufCMessage *m;

    trust_count = 0;
    parse_fixture_init(&f, sizeof(struct secret_config), PART_SECRET, "s");
    f.ctx.is_static = is_static;
    f.ctx.tls = &fake_builder;
    *ret_code = parse_fixture_message(
        &f, &envoy__extensions__transport_sockets__tls__v3__secret__descriptor, str_c(yaml), &m);
    if (*ret_code == 0) {
        *ret_code = parse_secret(&f.ctx, (const void *)m, (struct secret_config *)f.part);
    }
    return (struct secret_config *)f.part;
}

static const struct secret_config *good(const char *yaml)
{
    int r;
    const struct secret_config *s = secret_of(yaml, true, &r);

    if (r != 0) {
        fail_msg("%s: %s", yaml, error_message(&f.err));
    }
    return s;
}

static void bad(const char *yaml, const char *error)
{
    int r;

    (void)secret_of(yaml, true, &r);
    assert_true(r < 0);
    assert_string_equal(error_message(&f.err), error);
    parse_fixture_done(&f);
}

static void assert_str(struct str s, const char *want)
{
    assert_int_equal(s.len, strlen(want));
    assert_memory_equal(s.ptr, want, s.len);
}

/* A new file with that text; its name is the caller's to free. */
static char *new_file(const char *text)
{
    char *path = strdup("/tmp/nuncio_tls_secret_XXXXXX");
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    return path;
}

/* --- certificates ----------------------------------------------------------------------------- */

static void a_certificate_is_built_of_what_its_sources_say(void **state)
{
    const struct secret_config *s =
        good("{name: s, tls_certificate: {certificate_chain: {inline_string: chain}, private_key:"
             " {inline_bytes: a2V5}, password: {inline_string: pw}, ocsp_staple: {inline_bytes:"
             " b2NzcA==}}}");

    assert_str(s->name, "s");
    assert_int_equal(s->kind, SECRET_TLS_CERTIFICATE);
    assert_ptr_equal(s->certificate, &built);
    assert_str(given.chain.bytes, "chain");
    assert_str(given.chain.name, "<inline>");
    assert_str(given.key.bytes, "key");
    assert_str(given.password.bytes, "pw");
    assert_str(given.ocsp_staple.bytes, "ocsp");
    assert_int_equal(given.pkcs12.bytes.len, 0);
    parse_fixture_done(&f);

    (void)good("{name: s, tls_certificate: {pkcs12: {inline_bytes: cDEy}}}");
    assert_str(given.pkcs12.bytes, "p12");
    parse_fixture_done(&f);
}

static void files_are_read_and_their_directories_watched(void **state)
{
    char *path = new_file("from a file");
    struct strbuf yaml;

    strbuf_init(&yaml);
    strbuf_addf(&yaml,
                "{name: s, tls_certificate: {certificate_chain: {filename: %s}, private_key:"
                " {filename: %s}}}",
                path, path);
    (void)good(yaml.ptr);
    assert_str(given.chain.bytes, "from a file");
    assert_str(given.chain.name, path);
    assert_int_equal(f.ctx.watched_count, 1);
    assert_str(f.ctx.watched[0], "/tmp");
    parse_fixture_done(&f);

    strbuf_reset(&yaml);
    strbuf_addf(&yaml,
                "{name: s, tls_certificate: {certificate_chain: {filename: %s}, private_key:"
                " {inline_string: k}, watched_directory: {path: /somewhere}}}",
                path);
    (void)good(yaml.ptr);
    assert_int_equal(f.ctx.watched_count, 1);
    assert_str(f.ctx.watched[0], "/somewhere");
    parse_fixture_done(&f);
    strbuf_done(&yaml);
    unlink(path);
    free(path);
}

static void a_secret_is_another_one_when_its_file_is(void **state)
{
    char *path = new_file("one");
    struct strbuf yaml;
    uint64_t hash;
    FILE *file;

    strbuf_init(&yaml);
    strbuf_addf(&yaml, "{name: s, generic_secret: {secret: {filename: %s}}}", path);
    assert_str(good(yaml.ptr)->generic, "one");
    hash = f.part->hash;
    parse_fixture_done(&f);
    (void)good(yaml.ptr);
    assert_true(f.part->hash == hash);
    parse_fixture_done(&f);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs("two", file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_str(good(yaml.ptr)->generic, "two");
    assert_true(f.part->hash != hash);
    parse_fixture_done(&f);
    strbuf_done(&yaml);
    unlink(path);
    free(path);
}

/* In place it is as an empty one, which the builder refuses in its words; a control plane is told.
 */
static void a_file_that_is_not_there(void **state)
{
    static const char yaml[] =
        "{name: s, tls_certificate: {certificate_chain: {filename: /nonexistent/c}, private_key:"
        " {environment_variable: NUNCIO_NOT_THERE}}}";
    int r;

    (void)good(yaml);
    assert_int_equal(given.chain.bytes.len, 0);
    assert_str(given.chain.name, "/nonexistent/c");
    assert_int_equal(given.key.bytes.len, 0);
    assert_false(error_is_set(&f.err));
    parse_fixture_done(&f);

    (void)secret_of(yaml, false, &r);
    assert_true(r < 0);
    assert_string_equal(error_message(&f.err),
                        "tls_certificate.certificate_chain.filename: Invalid "
                        "path: /nonexistent/c");
    parse_fixture_done(&f);
    bad("{name: s, generic_secret: {secret: {filename: /proc/self/environ}}}",
        "generic_secret.secret.filename: Invalid path: /proc/self/environ");
    bad("{name: s, generic_secret: {secret: {filename: /nonexistent/g}}}",
        "generic_secret.secret.filename: Invalid path: /nonexistent/g");
}

/* Nobody writes into it: opening it must not wait. */
static void a_pipe_reads_as_empty(void **state)
{
    char directory[] = "/tmp/nuncio_tls_secret_XXXXXX";
    char path[64];
    struct strbuf yaml;

    assert_non_null(mkdtemp(directory));
    (void)snprintf(path, sizeof(path), "%s/pipe", directory);
    assert_int_equal(mkfifo(path, 0600), 0);
    strbuf_init(&yaml);
    strbuf_addf(&yaml, "{name: s, generic_secret: {secret: {filename: %s}}}", path);
    assert_int_equal(good(yaml.ptr)->generic.len, 0);
    parse_fixture_done(&f);
    strbuf_done(&yaml);
    unlink(path);
    rmdir(directory);
}

static void certificates_that_are_refused(void **state)
{
    static const char *const rows[][2] = {
        {"{certificate_chain: {}, private_key: {inline_string: k}}",
         "tls_certificate.certificate_chain.specifier: value is required"},
        {"{pkcs12: {inline_string: p}, private_key: {inline_string: k}}",
         "tls_certificate: Certificate configuration can't have both pkcs12 and private_key"},
        {"{pkcs12: {inline_string: p}, certificate_chain: {inline_string: k}}",
         "tls_certificate: Certificate configuration can't have both pkcs12 and certificate_chain"},
        {"{pkcs12: {inline_string: ''}}", "tls_certificate: Failed to load certificate chain from"},
        {"{private_key_provider: {provider_name: hsm}}",
         "tls_certificate: Failed to load private key provider: hsm"},
        {"{private_key_provider: {}}", "tls_certificate.private_key_provider.provider_name: value "
                                       "length must be at least 1 characters"},
        {"{ocsp_staple: {inline_string: x}}",
         "tls_certificate: OCSP staple cannot be provided via inline_string"},
        {"{watched_directory: {}}",
         "tls_certificate.watched_directory.path: value length must be at least 1 characters"},
        {"{tls_params: {}}",
         "tls_certificate.tls_params: not supported by this build, and not safe to ignore"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct strbuf yaml;

        strbuf_init(&yaml);
        strbuf_addf(&yaml, "{name: s, tls_certificate: %s}", rows[i][0]);
        bad(yaml.ptr, rows[i][1]);
        strbuf_done(&yaml);
    }
}

/* --- validation contexts ---------------------------------------------------------------------- */

static void every_field_of_a_validation_context_is_read(void **state)
{
    const struct tls_validation *v =
        &good(
             "{name: s, validation_context: {trusted_ca: {inline_string: ca}, crl: {inline_string:"
             " crl}, allow_expired_certificate: true, trust_chain_verification: ACCEPT_UNTRUSTED,"
             " only_verify_leaf_cert_crl: true, max_verify_depth: 7, suppress_client_ca_list: true,"
             " verify_certificate_hash: [" HEX_32 "], verify_certificate_spki: ['" BASE64_32
             "'], match_typed_subject_alt_names: [{san_type: EMAIL, matcher: {exact: a}},"
             " {san_type: OTHER_NAME, oid: 1.2.3, matcher: {prefix: b}}]}}")
             ->validation;

    assert_int_equal(trust_count, 1);
    assert_str(given_trust[0].ca.bytes, "ca");
    assert_str(given_trust[0].crl.bytes, "crl");
    assert_ptr_equal(v->trust, &built);
    assert_true(v->has_ca && v->has_crl);
    assert_str(v->crl_name, "<inline>");
    assert_true(v->allow_expired && v->accepts_untrusted && v->only_verify_leaf_crl);
    assert_true(v->suppresses_client_ca_list);
    assert_false(v->is_spiffe);
    assert_int_equal(v->max_verify_depth.value, 7);
    assert_int_equal(v->san_count, 2);
    assert_int_equal(v->sans[0].type, TLS_SAN_EMAIL);
    assert_int_equal(v->sans[1].type, TLS_SAN_OTHER_NAME);
    assert_str(v->sans[1].oid, "1.2.3");
    assert_int_equal(v->certificate_hash_count, 1);
    assert_int_equal(v->certificate_hashes[0].bytes[0], 0x01);
    assert_int_equal(v->certificate_hashes[0].bytes[31], 0xef);
    assert_int_equal(v->spki_hash_count, 1);
    assert_int_equal(v->spki_hashes[0].bytes[31], 31);
    parse_fixture_done(&f);
}

/* As Envoy: the deprecated list counts only where there is no typed one. */
static void typed_matchers_take_precedence(void **state)
{
    const struct tls_validation *v =
        &good("{name: s, validation_context: {match_subject_alt_names: [{exact: a}, {exact: b}]}}")
             ->validation;

    assert_int_equal(v->san_count, 2);
    assert_int_equal(v->sans[0].type, TLS_SAN_ANY);
    parse_fixture_done(&f);
    v = &good("{name: s, validation_context: {match_subject_alt_names: [{exact: a}, {exact: b}],"
              " match_typed_subject_alt_names: [{san_type: URI, matcher: {exact: u}}]}}")
             ->validation;
    assert_int_equal(v->san_count, 1);
    assert_int_equal(v->sans[0].type, TLS_SAN_URI);
    parse_fixture_done(&f);
}

#define SPIFFE_OF(domains)                                                                         \
    "{name: s, validation_context: {trusted_ca: {inline_string: bad}, custom_validator_config:"    \
    " {name: envoy.tls.cert_validator.spiffe, typed_config: {'@type':"                             \
    " type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig,"    \
    " trust_domains: [" domains "]}}}}"

/* It believes its own bundles; the CA beside it is not even built. */
static void the_spiffe_validator(void **state)
{
    const struct tls_validation *v =
        &good(SPIFFE_OF("{name: a.example, trust_bundle: {inline_string: one}},"
                        " {name: b.example, trust_bundle: {inline_string: two}}"))
             ->validation;

    assert_true(v->is_spiffe);
    assert_int_equal(v->trust_domain_count, 2);
    assert_str(v->trust_domains[1].name, "b.example");
    assert_ptr_equal(v->trust_domains[1].bundle, &built);
    assert_int_equal(trust_count, 2);
    assert_str(given_trust[0].ca.bytes, "one");
    assert_str(given_trust[0].trust_domain, "a.example");
    assert_null(v->trust);
    parse_fixture_done(&f);

    v = &good(SPIFFE_OF(""))->validation; /* nobody is believed */
    assert_true(v->is_spiffe);
    assert_int_equal(v->trust_domain_count, 0);
    parse_fixture_done(&f);

    bad(SPIFFE_OF("{name: a, trust_bundle: {inline_string: x}}, {name: a, trust_bundle:"
                  " {inline_string: z}}"),
        "validation_context.custom_validator_config.typed_config.trust_domains[1]: Multiple trust "
        "bundles are given for one trust domain for a, workload: ");
    bad(SPIFFE_OF("{name: a, trust_bundle: {inline_string: bad}}"),
        "validation_context.custom_validator_config.typed_config.trust_domains[0]: a bad CA");
}

static void validation_contexts_that_are_refused(void **state)
{
    static const char *const rows[][2] = {
        {"{trusted_ca: {inline_string: bad}}", "validation_context: a bad CA"},
        {"{trusted_ca: {inline_string: ''}}",
         "validation_context.trusted_ca: DataSource cannot be empty"},
        {"{trusted_ca: {filename: /tmp}}", "validation_context.trusted_ca: file /tmp is empty"},
        {"{trust_chain_verification: 7}", "validation_context.trust_chain_verification: value must "
                                          "be one of the defined enum values"},
        {"{max_verify_depth: 101}",
         "validation_context.max_verify_depth: value must be less than or equal to 100"},
        {"{verify_certificate_hash: [ab:" HEX_32 "]}",
         "validation_context.verify_certificate_hash[0]: Invalid hex-encoded SHA-256 ab:" HEX_32},
        {"{verify_certificate_hash: ['']}",
         "validation_context.verify_certificate_hash[0]: Invalid hex-encoded SHA-256 "},
        {"{verify_certificate_spki: [AAAA]}",
         "validation_context.verify_certificate_spki[0]: Invalid base64-encoded SHA-256 AAAA"},
        {"{match_typed_subject_alt_names: [{matcher: {exact: a}}]}",
         "validation_context.match_typed_subject_alt_names[0].san_type: value must not be in list "
         "[0]"},
        {"{match_typed_subject_alt_names: [{san_type: DNS}]}",
         "validation_context.match_typed_subject_alt_names[0].matcher: value is required"},
        {"{match_typed_subject_alt_names: [{san_type: OTHER_NAME, oid: x, matcher: {exact: a}}]}",
         "validation_context.match_typed_subject_alt_names[0]: Failed to create SAN matcher for "
         "OTHER_NAME with OID: x"},
        {"{custom_validator_config: {name: mine, typed_config: {'@type':"
         " type.googleapis.com/google.protobuf.Struct}}}",
         "validation_context.custom_validator_config: Failed to get certificate validator factory "
         "for mine"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct strbuf yaml;

        strbuf_init(&yaml);
        strbuf_addf(&yaml, "{name: s, validation_context: %s}", rows[i][0]);
        bad(yaml.ptr, rows[i][1]);
        strbuf_done(&yaml);
    }
}

/* --- the others ------------------------------------------------------------------------------- */

static void ticket_keys(void **state)
{
    char yaml[512];
    char key[81];
    const struct secret_config *s;

    memset(key, 'k', sizeof(key) - 1);
    key[80] = '\0';
    (void)snprintf(yaml, sizeof(yaml),
                   "{name: s, session_ticket_keys: {keys: [{inline_string: %s}, {inline_string:"
                   " %s}]}}",
                   key, key);
    s = good(yaml);
    assert_int_equal(s->kind, SECRET_SESSION_TICKET_KEYS);
    assert_int_equal(s->ticket_keys.count, 2);
    assert_memory_equal(s->ticket_keys.keys[1], key, TLS_TICKET_KEY_BYTES);
    parse_fixture_done(&f);

    bad("{name: s, session_ticket_keys: {}}",
        "session_ticket_keys.keys: value must contain at least 1 item(s)");
    bad("{name: s, session_ticket_keys: {keys: [{inline_string: short}]}}",
        "session_ticket_keys.keys[0]: Incorrect TLS session ticket key length. Length 5, expected "
        "length 80.");
    bad("{name: s, session_ticket_keys: {keys: [{inline_string: ''}]}}",
        "session_ticket_keys.keys[0]: DataSource cannot be empty");
    bad("{name: s}", "Secret type not implemented");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_certificate_is_built_of_what_its_sources_say),
        cmocka_unit_test(files_are_read_and_their_directories_watched),
        cmocka_unit_test(a_secret_is_another_one_when_its_file_is),
        cmocka_unit_test(a_file_that_is_not_there),
        cmocka_unit_test(a_pipe_reads_as_empty),
        cmocka_unit_test(certificates_that_are_refused),
        cmocka_unit_test(every_field_of_a_validation_context_is_read),
        cmocka_unit_test(typed_matchers_take_precedence),
        cmocka_unit_test(the_spiffe_validator),
        cmocka_unit_test(validation_contexts_that_are_refused),
        cmocka_unit_test(ticket_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
