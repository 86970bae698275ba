/* Secrets in the store: who waits for them, what tells them apart, what becomes of bad ones. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/parse/secret_key.h"
#include "config/store_world.h"

static struct world w;
static struct arena texts;

static int setup_sotw(void **state)
{
    world_init(&w, false);
    arena_init(&texts, NULL);
    return 0;
}

static int setup_delta(void **state)
{
    world_init(&w, true);
    arena_init(&texts, NULL);
    return 0;
}

static int teardown(void **state)
{
    world_done(&w);
    arena_done(&texts);
    return 0;
}

/* --- messages ------------------------------------------------------------------------------- */

/* As YAML: a CommonTlsContext that names one secret. */
static struct str certificate_of(const char *name, const char *source)
{
    return arena_printf(&texts, "tls_certificate_sds_secret_configs: [{name: %s, %s}]", name,
                        source);
}

static struct str trust_of(const char *name, const char *source)
{
    return arena_printf(&texts, "validation_context_sds_secret_config: {name: %s, %s}", name,
                        source);
}

#define OVER_ADS "sds_config: {ads: {}, resource_api_version: V3, initial_fetch_timeout: 2s}"
#define STATIC ""

static struct fake_resource cluster(const char *name, struct str context)
{
    struct str yaml = arena_printf(
        &texts,
        "{name: %s, connect_timeout: 5s, load_assignment: {cluster_name: x, endpoints: [{"
        "lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: "
        "7}}}}]}]}, transport_socket: {name: tls, typed_config: {'@type': "
        "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, "
        "common_tls_context: {%.*s}}}}",
        name, STR_ARG(context));

    return (struct fake_resource){.name = w.is_delta ? str_c(name) : STR_NONE,
                                  .version = STR("v"),
                                  .bytes = message_from_yaml(PART_CLUSTER, yaml, &texts)};
}

static struct fake_resource secret(const char *name, struct str yaml)
{
    return (struct fake_resource){.name = w.is_delta ? str_c(name) : STR_NONE,
                                  .version = STR("v"),
                                  .bytes = message_from_yaml(PART_SECRET, yaml, &texts)};
}

static struct fake_resource certificate(const char *name, const char *text, const char *key)
{
    return secret(name, arena_printf(&texts,
                                     "{name: %s, tls_certificate: {certificate_chain: "
                                     "{inline_string: %s}, private_key: {inline_string: %s}}}",
                                     name, text, key));
}

static struct fake_resource trust(const char *name, const char *text)
{
    return secret(name, arena_printf(&texts,
                                     "{name: %s, validation_context: {trusted_ca: "
                                     "{inline_string: %s}}}",
                                     name, text));
}

static void respond(enum part_kind kind, struct fake_resource resource)
{
    world_respond_with(&w, kind, &resource, 1);
}

static void put_static(enum part_kind kind, struct fake_resource resource)
{
    const ProtobufCMessageDescriptor *d = resource_type_of(kind)->descriptor;
    ProtobufCMessage *m =
        protobuf_c_message_unpack(d, NULL, resource.bytes.len, (const uint8_t *)resource.bytes.ptr);
    struct error err;

    error_init(&err);
    assert_int_equal(config_store_put_static(w.store, kind, m, &err), 0);
    error_done(&err);
    protobuf_c_message_free_unpacked(m, NULL);
}

/* --- waiting -------------------------------------------------------------------------------- */

static void test_a_cluster_waits_for_its_secret(void **state)
{
    world_start(&w);
    respond(PART_CLUSTER, cluster("c", certificate_of("s", OVER_ADS)));
    assert_published(&w, PART_CLUSTER, "");
    assert_string_equal(world_waits(&w, PART_CLUSTER, "c"), "secret 's'");
    assert_string_equal(world_request(&w, PART_SECRET), w.is_delta ? "+s" : "names=s");
    respond(PART_SECRET, certificate("s", "one", "one"));
    assert_published(&w, PART_CLUSTER, "c$7");
    assert_published(&w, PART_SECRET, "s=one");
}

static void test_a_secret_that_does_not_come_is_waited_for_as_long_as_its_source_says(void **state)
{
    world_start(&w);
    respond(PART_CLUSTER, cluster("c", certificate_of("s", OVER_ADS)));
    world_advance(&w, 1900);
    assert_published(&w, PART_CLUSTER, "");
    world_advance(&w, 200);
    assert_published(&w, PART_CLUSTER, "c$7");
    assert_int_equal(config_store_counters(w.store, PART_SECRET)->init_fetch_timeout, 1);
    respond(PART_SECRET, certificate("s", "one", "one"));
    assert_published(&w, PART_SECRET, "s=one");
}

static void test_a_new_secret_is_one_change(void **state)
{
    world_start(&w);
    respond(PART_CLUSTER, cluster("c", certificate_of("s", OVER_ADS)));
    respond(PART_SECRET, certificate("s", "one", "one"));
    respond(PART_SECRET, certificate("s", "two", "two"));
    assert_published(&w, PART_SECRET, "s=two");
    assert_int_equal(w.last_change_count, 1);
}

static void test_a_secret_goes_with_its_last_user(void **state)
{
    world_start(&w);
    respond(PART_CLUSTER, cluster("c", certificate_of("s", OVER_ADS)));
    respond(PART_SECRET, certificate("s", "one", "one"));
    if (w.is_delta) {
        world_respond(&w, PART_CLUSTER, "-c");
    } else {
        world_respond(&w, PART_CLUSTER, "");
    }
    assert_published(&w, PART_CLUSTER, "");
    world_advance(&w, 1);
    assert_published(&w, PART_SECRET, "");
}

static void test_a_removal_is_ignored(void **state)
{
    world_start(&w);
    respond(PART_CLUSTER, cluster("c", certificate_of("s", OVER_ADS)));
    respond(PART_SECRET, certificate("s", "one", "one"));
    world_respond(&w, PART_SECRET, "-s");
    assert_published(&w, PART_SECRET, "s=one");
    assert_int_equal(config_store_counters(w.store, PART_SECRET)->ignored_removals, 1);
}

/* --- bad ones ------------------------------------------------------------------------------- */

static void test_a_bad_secret_is_refused_and_the_old_one_stays(void **state)
{
    world_start(&w);
    respond(PART_CLUSTER, cluster("c", certificate_of("s", OVER_ADS)));
    respond(PART_SECRET, certificate("s", "one", "one"));
    (void)world_request(&w, PART_SECRET);
    (void)world_request(&w, PART_SECRET);
    respond(PART_SECRET, certificate("s", "two", "three"));
    assert_string_equal(world_request(&w, PART_SECRET),
                        "version=2 nonce=n3 names=s error=s: tls_certificate: mismatch");
    assert_published(&w, PART_SECRET, "s=one");
    respond(PART_SECRET, certificate("s", "two", "two"));
    assert_published(&w, PART_SECRET, "s=two");
}

/* What its files hold may be good by now. */
static void test_a_refused_secret_that_comes_again_is_looked_at_again(void **state)
{
    world_start(&w);
    respond(PART_CLUSTER, cluster("c", certificate_of("s", OVER_ADS)));
    respond(PART_SECRET, secret("s", STR("{name: s, tls_certificate: {certificate_chain: "
                                         "{filename: /nonexistent/a}}}")));
    respond(PART_SECRET, secret("s", STR("{name: s, tls_certificate: {certificate_chain: "
                                         "{filename: /nonexistent/a}}}")));
    assert_int_equal(config_store_counters(w.store, PART_SECRET)->update_rejected, 2);
    respond(PART_SECRET, certificate("s", "one", "one"));
    assert_published(&w, PART_SECRET, "s=one");
}

/* --- what tells them apart ------------------------------------------------------------------ */

static void test_one_name_for_two_uses(void **state)
{
    const struct fake_resource both[] = {
        cluster("a", certificate_of("s", OVER_ADS)),
        cluster("b", trust_of("s", OVER_ADS)),
    };

    world_start(&w);
    world_respond_with(&w, PART_CLUSTER, both, 2);
    assert_string_equal(world_request(&w, PART_SECRET), "names=s");
    respond(PART_SECRET, certificate("s", "one", "one"));
    assert_string_equal(world_request(&w, PART_SECRET),
                        "nonce=n2 names=s error=s: a tls_certificate where a validation_context "
                        "is wanted");
    assert_published(&w, PART_SECRET, "s=one"); /* good for one of the two */
    respond(PART_SECRET, trust("s", "ca"));
    assert_published(&w, PART_SECRET, "s=one s=ca");
}

static void test_secrets_of_the_bootstrap_are_others(void **state)
{
    const struct fake_resource both[] = {
        cluster("a", certificate_of("s", STATIC)),
        cluster("b", certificate_of("s", OVER_ADS)),
    };

    put_static(PART_SECRET, certificate("s", "own", "own"));
    put_static(PART_SECRET, trust("s", "ca"));
    world_start(&w);
    world_respond_with(&w, PART_CLUSTER, both, 2);
    respond(PART_SECRET, certificate("s", "one", "one"));
    assert_published(&w, PART_SECRET, "s=own s=ca s=one");
    respond(PART_SECRET, certificate("s", "two", "two"));
    assert_published(&w, PART_SECRET, "s=own s=ca s=two");
}

static void test_keys(void **state)
{
    struct config_source ads = {.kind = CONFIG_SOURCE_ADS, .initial_fetch_timeout_ms = 1};
    struct config_source also = {.kind = CONFIG_SOURCE_ADS, .initial_fetch_timeout_ms = 2};
    struct config_source file = {.kind = CONFIG_SOURCE_PATH, .path = STR("/a")};
    struct config_source other = {.kind = CONFIG_SOURCE_PATH, .path = STR("/b")};
    struct str key = secret_key(&texts, STR("name"), SECRET_VALIDATION_CONTEXT, 7);

    assert_true(str_eq(secret_key_name(key), STR("name")));
    assert_true(str_eq(secret_key_name(STR("name")), STR("name")));
    assert_int_equal(secret_key_kind(key), SECRET_VALIDATION_CONTEXT);
    assert_true(config_source_hash(&ads) == config_source_hash(&also));
    assert_true(config_source_hash(&ads) != config_source_hash(&file));
    assert_true(config_source_hash(&other) != config_source_hash(&file));
}

#define SOTW(f) cmocka_unit_test_setup_teardown(f, setup_sotw, teardown)
#define DELTA(f) cmocka_unit_test_setup_teardown(f, setup_delta, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOTW(test_a_cluster_waits_for_its_secret),
        DELTA(test_a_cluster_waits_for_its_secret),
        SOTW(test_a_secret_that_does_not_come_is_waited_for_as_long_as_its_source_says),
        DELTA(test_a_secret_that_does_not_come_is_waited_for_as_long_as_its_source_says),
        SOTW(test_a_new_secret_is_one_change),
        SOTW(test_a_secret_goes_with_its_last_user),
        DELTA(test_a_secret_goes_with_its_last_user),
        DELTA(test_a_removal_is_ignored),
        SOTW(test_a_bad_secret_is_refused_and_the_old_one_stays),
        SOTW(test_a_refused_secret_that_comes_again_is_looked_at_again),
        SOTW(test_one_name_for_two_uses),
        SOTW(test_secrets_of_the_bootstrap_are_others),
        SOTW(test_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
