/* Which certificates contexts have, when the first ends, whom contexts believe. */

#include "dataplane/tls/inventory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* cmocka wants the four above. */
#include <cmocka.h>

#include "config/model/part_handle.h"
#include "dataplane/event/loop.h"
#include "dataplane/tls/testing.h"
#include "dataplane/tls/tls_internal.h"

#define NS_PER_S UINT64_C(1000000000)
#define NOW_NS (TEST_NOW_S * NS_PER_S)
#define SLOT 3

static struct loop main_loop; /* only its table is looked at */
static struct part_table parts;
static struct part_releaser releaser;
static struct stat_store *stats;
static struct part *part;
static struct error err;
static struct test_cert soon; /* ends in 10 days */
static struct test_cert late; /* in 20 */
static struct tls_validation trusting_late;
static const struct tls_certificate *certificates[2];

static void release(struct part_releaser *r, const struct part *p)
{
    part_unref(p);
}

static const struct tls_certificate *build(struct part *p, const struct test_cert *c,
                                           struct str staple)
{
    const struct tls_certificate_source source = {
        .chain = {strbuf_str(&c->pem), STR("a \"path\"")},
        .key = {strbuf_str(&c->key_pem), STR("<inline>")},
        .ocsp_staple = {staple, STR("<inline>")},
    };
    const struct tls_certificate *built = NULL;

    assert_int_equal(tls_certificate_build(p, &source, &built, &err), 0);
    return built;
}

static int set_up(void **state)
{
    const struct tls_trust *trust = NULL;

    test_cert_init(
        &soon, &(struct test_cert_params){.cn = "soon",
                                          .serial = 0x50,
                                          .sans = "URI:urn:a,DNS:a.example,email:x@y.z,IP:10.0.0.1",
                                          .not_after_s = TEST_NOW_S + 10 * TEST_DAY_S});
    test_cert_init(&late, &(struct test_cert_params){.cn = "late",
                                                     .serial = 0x1a,
                                                     .is_ca = true,
                                                     .not_after_s = TEST_NOW_S + 20 * TEST_DAY_S});
    error_init(&err);
    releaser.release = release;
    part_table_init(&parts, &releaser);
    main_loop.parts = &parts;
    main_loop.index = LOOP_MAIN_INDEX;
    stats = stat_store_new(1);
    part = part_new(sizeof(struct part), PART_CLUSTER, STR("test"));
    assert_int_equal(
        tls_trust_build(part,
                        &(struct tls_trust_source){.ca = {strbuf_str(&late.pem), STR("ca.pem")}},
                        &trust, &err),
        0);
    trusting_late = (struct tls_validation){.trust = trust, .has_ca = true};
    return 0;
}

static int tear_down(void **state)
{
    part_unref(part);
    part_table_done(&parts);
    stat_store_free(stats);
    error_done(&err);
    test_cert_done(&soon);
    test_cert_done(&late);
    return 0;
}

static struct tls_client_config client(const struct tls_validation *validation)
{
    return (struct tls_client_config){.common = {.min_version = TLS_1_2,
                                                 .max_version = TLS_1_2,
                                                 .validation = validation,
                                                 .validation_slot = SLOT_NONE}};
}

static const struct tls_context *make(const struct tls_client_config *config)
{
    const struct tls_context_params p = {
        .client = config,
        .stats = stats,
        .stat_scope = {.prefix = STR("cluster.c."),
                       .tagged_prefix = STR("cluster."),
                       .tags = {{STR("envoy.cluster_name"), STR("c")}},
                       .tag_count = 1},
    };
    const struct tls_context *context = NULL;

    assert_int_equal(tls_context_build(part, &p, &context, &err), 0);
    return context;
}

struct found {
    const char *name;
    uint64_t value;
    bool is_there;
};

static void find(void *user, const struct stat_sample *s)
{
    struct found *f = user;

    if (str_eq(s->name, str_c(f->name))) {
        f->value = s->value;
        f->is_there = true;
    }
}

static void assert_gauge(const char *name, uint64_t value)
{
    struct found f = {.name = name};

    stat_store_visit(stats, find, &f);
    assert_true(f.is_there);
    assert_int_equal(f.value, value);
}

static void publish(struct secret_config *secret)
{
    part_table_set(&parts, PART_SECRET, SLOT, &secret->part);
}

static void nothing_to_end(void **state)
{
    struct tls_expiry e = tls_inventory_refresh(&main_loop, NOW_NS);

    assert_int_equal(e.days_until_first_certificate, UINT32_MAX);
    assert_int_equal(e.seconds_until_first_staple, 0);
}

static void the_first_end_counts(void **state)
{
    struct tls_client_config config = client(&trusting_late);
    struct tls_expiry e;
    struct strbuf staple;

    strbuf_init(&staple);
    test_ocsp(&soon, TEST_NOW_S, TEST_NOW_S + 1000, &staple);
    certificates[0] = build(part, &soon, strbuf_str(&staple));
    config.common.certificates = certificates;
    config.common.certificate_count = 1;
    (void)make(&config); /* its part has it */
    e = tls_inventory_refresh(&main_loop, NOW_NS + NS_PER_S / 2);
    assert_int_equal(e.days_until_first_certificate, 10);
    assert_int_equal(e.seconds_until_first_staple, 999);
    e = tls_inventory_refresh(&main_loop, NOW_NS + 2000 * NS_PER_S);
    assert_int_equal(e.seconds_until_first_staple, 0);
    assert_gauge("cluster.c.ssl.certificate.unnamed_cert_e3b0c442.expiration_unix_time_seconds",
                 TEST_NOW_S + 10 * TEST_DAY_S);
    assert_gauge("cluster.c.ssl.certificate.unnamed_ca_cert_e3b0c442.expiration_unix_time_seconds",
                 TEST_NOW_S + 20 * TEST_DAY_S);
    strbuf_done(&staple);
}

static void a_secret_counts_once_it_is_there(void **state)
{
    static const uint32_t slots[] = {SLOT};
    struct tls_client_config config = client(&trusting_late);
    struct secret_config *secret = part_new(sizeof(*secret), PART_SECRET, STR("secret.name"));

    config.common.certificate_slots = slots;
    config.common.certificate_slot_count = 1;
    (void)make(&config);
    assert_int_equal(tls_inventory_refresh(&main_loop, NOW_NS).days_until_first_certificate,
                     UINT32_MAX);
    secret->name = STR("secret.name");
    secret->kind = SECRET_TLS_CERTIFICATE;
    secret->certificate = build(&secret->part, &soon, STR_NONE);
    publish(secret);
    assert_int_equal(tls_inventory_refresh(&main_loop, NOW_NS).days_until_first_certificate, 10);
    assert_gauge("cluster.c.ssl.certificate.secret.name.expiration_unix_time_seconds",
                 TEST_NOW_S + 10 * TEST_DAY_S);
}

static void whom_contexts_believe(void **state)
{
    struct tls_validation untrusted = trusting_late;
    struct tls_client_config checks = client(&trusting_late);
    struct tls_client_config accepts = client(&untrusted);
    struct tls_client_config believes = client(NULL);
    struct tls_client_config waits = client(NULL);
    struct secret_config *secret = part_new(sizeof(*secret), PART_SECRET, STR("trust"));
    const struct tls_context *waiting;

    untrusted.accepts_untrusted = true;
    waits.common.validation_slot = SLOT;
    assert_null(tls_context_credulity(make(&checks), &main_loop));
    assert_non_null(strstr(tls_context_credulity(make(&accepts), &main_loop), "ACCEPT_UNTRUSTED"));
    assert_non_null(strstr(tls_context_credulity(make(&believes), &main_loop), "any certificate"));
    waiting = make(&waits);
    assert_null(tls_context_credulity(waiting, &main_loop));
    secret->kind = SECRET_VALIDATION_CONTEXT; /* with nothing in it */
    publish(secret);
    assert_non_null(tls_context_credulity(waiting, &main_loop));
    secret->validation = trusting_late;
    assert_null(tls_context_credulity(waiting, &main_loop));
}

static void a_server_that_asks_in_vain(void **state)
{
    struct tls_server_config config = {
        .common = {.min_version = TLS_1_2, .max_version = TLS_1_3, .validation_slot = SLOT_NONE},
        .ticket_keys_slot = SLOT_NONE};
    const struct tls_context *context = NULL;

    certificates[0] = build(part, &soon, STR_NONE);
    config.common.certificates = certificates;
    config.common.certificate_count = 1;
    assert_int_equal(
        tls_context_build(part, &(struct tls_context_params){.server = &config}, &context, &err),
        0);
    assert_null(tls_context_credulity(context, &main_loop));
    config.require_client_certificate = true;
    assert_non_null(tls_context_credulity(context, &main_loop));
    /* Nobody counts: no gauges either. */
    assert_int_equal(tls_inventory_refresh(&main_loop, NOW_NS).days_until_first_certificate, 10);
}

static void the_page(void **state)
{
    const struct admin_request rq = {.path = STR("/certs")};
    struct tls_client_config config = client(NULL);
    struct admin_response rs = {.status = 200};
    struct str page;

    certificates[0] = build(part, &soon, STR_NONE);
    config.common.certificates = certificates;
    config.common.certificate_count = 1;
    (void)make(&config);
    strbuf_init(&rs.body);
    tls_certs_endpoint.render(&main_loop, &rq, &rs);
    page = strbuf_str(&rs.body);
    assert_string_equal(rs.content_type, "application/json");
    assert_true(str_find(page, STR("\"path\": \"a \\\"path\\\"\"")) != STR_NPOS);
    assert_true(str_find(page, STR("\"serial_number\": \"50\"")) != STR_NPOS);
    assert_true(str_find(page, STR("\"dns\": \"a.example\"")) <
                str_find(page, STR("\"uri\": \"urn:a\"")));
    assert_true(str_find(page, STR("\"uri\": \"urn:a\"")) <
                str_find(page, STR("\"ip_address\": \"10.0.0.1\"")));
    assert_true(str_find(page, STR("x@y.z")) == STR_NPOS); /* as Envoy */
    assert_true(str_find(page, STR("\"valid_from\": \"2025-12-31T00:00:00Z\"")) != STR_NPOS);
    assert_true(str_find(page, STR("\"unverified\": \"cluster.c: ")) != STR_NPOS);
    strbuf_done(&rs.body);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(nothing_to_end),
        CASE(the_first_end_counts),
        CASE(a_secret_counts_once_it_is_there),
        CASE(whom_contexts_believe),
        CASE(a_server_that_asks_in_vain),
        CASE(the_page),
    };
#undef CASE

    return cmocka_run_group_tests(tests, NULL, NULL);
}
