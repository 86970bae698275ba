/* overload_manager with the monitors that there are: Envoy's verdicts, what becomes of every field,
 * nuncio's own rules. Tests config/parse/overload.c, which needs the registry. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/parse/overload.h"
#include "config/parse/verdict_support.h"
#include "dataplane/extensions/registry.h"

static struct parse_fixture f;
static struct overload_config c;

static int parse(struct parse_fixture *fixture, struct str text, bool is_memory_limited)
{
    const ProtobufCMessage *m = NULL;
    int r = 0;

    fixture->ctx.registry = &extension_registry;
    if (text.len > 0) {
        r = parse_fixture_message(
            fixture, &envoy__config__overload__v3__overload_manager__descriptor, text, &m);
    }
    return r < 0 ? r
                 : parse_overload_manager(&fixture->ctx,
                                          (const Envoy__Config__Overload__V3__OverloadManager *)m,
                                          is_memory_limited, &c);
}

static int parse_case(struct parse_fixture *fixture, struct str text)
{
    return parse(fixture, text, false);
}

static void parse_ok(const char *text, bool is_memory_limited)
{
    parse_fixture_init(&f, sizeof(struct part), PART_SECRET, "bootstrap");
    if (parse(&f, str_c(text), is_memory_limited) != 0) {
        fail_msg("%s: %s", text, error_message(&f.err));
    }
}

static const struct overload_point_config *point(int which)
{
    for (size_t i = 0; i < c.point_count; i++) {
        if (c.points[i].point == which) {
            return &c.points[i];
        }
    }
    return NULL;
}

#define HEAP                                                                                       \
    "{name: heap, typed_config: {'@type': "                                                        \
    "type.googleapis.com/envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig, "       \
    "max_heap_size_bytes: 1000}}"
#define CPU                                                                                        \
    "{name: cpu, typed_config: {'@type': "                                                         \
    "type.googleapis.com/envoy.extensions.resource_monitors.cpu_utilization.v3."                   \
    "CpuUtilizationConfig}}"
#define STOP "envoy.overload_actions.stop_accepting_requests"

static void verdicts_are_envoys(void **state)
{
    (void)state;
    verdicts_check(VERDICTS_DIR "overload_manager.tsv", PART_SECRET, sizeof(struct part),
                   parse_case);
}

static void every_field_arrives(void **state)
{
    const struct overload_point_config *stop;

    (void)state;
    parse_ok("{refresh_interval: 0.25s, resource_monitors: [" HEAP ", " CPU "], "
             "buffer_factory_config: {minimum_account_to_track_power_of_two: 12}, actions: ["
             "{name: " STOP ", triggers: [{name: heap, threshold: {value: 0.9}}, "
             "{name: cpu, scaled: {scaling_threshold: 0.5, saturation_threshold: 0.75}}]}, "
             "{name: envoy.overload_actions.reduce_timeouts, triggers: [{name: cpu, threshold: "
             "{value: 1}}], typed_config: {'@type': type.googleapis.com/"
             "envoy.config.overload.v3.ScaleTimersOverloadActionConfig, timer_scale_factors: ["
             "{timer: HTTP_DOWNSTREAM_STREAM_IDLE, min_scale: {value: 20}}, "
             "{timer: TRANSPORT_SOCKET_CONNECT, min_timeout: 1.5s}]}}], loadshed_points: ["
             "{name: envoy.load_shed_points.tcp_listener_accept, triggers: "
             "[{name: heap, threshold: {value: 0.5}}]}]}",
             false);
    stop = point(OVERLOAD_STOP_ACCEPTING_REQUESTS);
    assert_int_equal(c.refresh_ms, 250);
    assert_int_equal(c.resource_count, 2);
    assert_int_equal(c.point_count, 3);
    assert_int_equal(c.reset_min_power, 12);
    assert_int_equal(c.shrink_interval_ms, 10000);
    assert_int_equal(c.max_connections, 0);
    assert_int_equal(stop->trigger_count, 2);
    assert_int_equal(stop->triggers[1].resource, 1);
    assert_true(stop->triggers[0].scaling == 0.9);
    assert_true(stop->triggers[0].saturation == 0.9);
    assert_true(stop->triggers[1].scaling == 0.5);
    assert_true(stop->triggers[1].saturation == 0.75);
    assert_true(point(LOAD_SHED_TCP_LISTENER_ACCEPT)->is_load_shed_point);
    assert_int_equal(c.timers[SCALED_STREAM_IDLE].min_percent, 20);
    assert_int_equal(c.timers[SCALED_TRANSPORT_CONNECT].min_ms, 1500);
    assert_false(c.timers[SCALED_CONNECTION_IDLE].is_set);
    assert_false(c.has_cgroup_default);
    assert_int_equal(f.ctx.unsupported_count, 0);
    parse_fixture_done(&f);
}

static void names_that_mean_nothing_here_are_reported(void **state)
{
    (void)state;
    parse_ok("{resource_monitors: [" HEAP "], loadshed_points: [{name: "
             "envoy.load_shed_points.tcp_proxy_on_data, triggers: [{name: heap, threshold: {value: "
             "0.5}}]}]}",
             false);
    assert_int_equal(f.ctx.unsupported_count, 1);
    parse_fixture_done(&f);
}

static void a_limited_control_group_brings_rules_of_its_own(void **state)
{
    (void)state;
    parse_ok("", false);
    assert_int_equal(c.point_count, 0);
    assert_int_equal(c.resource_count, 0);
    parse_fixture_done(&f);
    parse_ok("", true);
    assert_true(c.has_cgroup_default);
    assert_int_equal(c.resource_count, 1);
    assert_int_equal(c.refresh_ms, 250);
    assert_true(point(OVERLOAD_STOP_ACCEPTING_REQUESTS)->triggers[0].saturation < 1);
    assert_true(point(OVERLOAD_REJECT_INCOMING_CONNECTIONS)->triggers[0].saturation < 1);
    assert_true(c.timers[SCALED_CONNECTION_IDLE].is_set);
    parse_fixture_done(&f);
}

static void they_stand_beside_what_is_configured(void **state)
{
    (void)state;
    parse_ok("{resource_monitors: [" CPU "], actions: [{name: " STOP
             ", triggers: [{name: cpu, threshold: {value: 0.9}}]}]}",
             true);
    assert_int_equal(c.resource_count, 2);
    assert_int_equal(c.refresh_ms, 1000);
    assert_int_equal(point(OVERLOAD_STOP_ACCEPTING_REQUESTS)->trigger_count, 2);
    assert_int_equal(point(OVERLOAD_STOP_ACCEPTING_REQUESTS)->triggers[1].resource, 1);
    parse_fixture_done(&f);
    parse_ok("{resource_monitors: [" HEAP "]}", true); /* memory is watched already */
    assert_int_equal(c.resource_count, 1);
    assert_int_equal(c.point_count, 0);
    parse_fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts_are_envoys),
        cmocka_unit_test(every_field_arrives),
        cmocka_unit_test(names_that_mean_nothing_here_are_reported),
        cmocka_unit_test(a_limited_control_group_brings_rules_of_its_own),
        cmocka_unit_test(they_stand_beside_what_is_configured),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
