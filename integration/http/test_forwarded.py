"""x-forwarded-*, x-request-id and x-envoy-* headers: what is trusted, written and stripped."""

import re

import pytest

from harness import config as c
from harness.differential import case, get
from harness.upstream import Reply, hang

UUID4 = re.compile(r"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
# For a client on loopback Envoy writes the machine's own address instead.
OWN = re.compile(r"^[0-9.]+$")
OWN_AFTER = re.compile(r"^1\.2\.3\.4,[0-9.]+$")
GIVEN = "f47ac10b-58cc-4372-a567-0e02b2c3d479"

VARIANTS = {
    "plain": {},
    "edge": {"use_remote_address": True},
    "edge-hops": {"use_remote_address": True, "xff_num_trusted_hops": 1},
    "inner-hops": {"xff_num_trusted_hops": 1},
    "skip": {"use_remote_address": True, "skip_xff_append": True},
    "via": {"via": "proxy-1"},
    "no-id": {"generate_request_id": False},
    "keep-id": {"use_remote_address": True, "preserve_external_request_id": True},
    "id-in-answer": {"always_set_request_id_in_response": True},
    "server-pass": {"server_header_transformation": "PASS_THROUGH"},
    "server-absent": {"server_header_transformation": "APPEND_IF_ABSENT", "server_name": "custom"},
    "server-name": {"server_name": "custom"},
    "internal": {"use_remote_address": True,
                 "internal_address_config": {"cidr_ranges": [{"address_prefix": "127.0.0.0", "prefix_len": 8}]}},
    "not-internal": {"use_remote_address": True,
                     "internal_address_config": {"cidr_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 8}]}},
    "normal": {"normalize_path": True, "merge_slashes": True},
    "escaped-reject": {"path_with_escaped_slashes_action": "REJECT_REQUEST"},
    "escaped-redirect": {"path_with_escaped_slashes_action": "UNESCAPE_AND_REDIRECT"},
    "escaped-forward": {"path_with_escaped_slashes_action": "UNESCAPE_AND_FORWARD"},
    "suppress": {},
}
ROUTER = {"@type": c.ROUTER, "suppress_envoy_headers": True}


def bootstrap(origins, log):
    table = c.routes("r", c.vhost("all", ["*"], c.route("/", "a")))
    listeners = []
    for name, options in VARIANTS.items():
        made = c.hcm(table, stat_prefix=name, log=log, **options)
        if name == "suppress":
            made["typed_config"]["http_filters"] = [{"name": "router", "typed_config": ROUTER}]
        listeners.append(c.listener(name, made))
    return c.static_bootstrap(listeners, [c.cluster("a", origins["a"].port)])


def on(listener, name, headers=(), target="/", host="test", action=None, ignore=(), status=200, answer=None, **upstream):
    fields = {k.replace("_", "-"): v for k, v in upstream.items()}
    return case(f"{listener}: {name}", get(target, host, headers), listener=listener, action=action, ignore=ignore,
                status=status, upstream_headers=fields, **({"headers": answer} if answer else {}))


def xff(*addresses):
    return {"x-forwarded-for": ", ".join(addresses)}


SPOOFED = {
    "x-envoy-internal": "true", "x-envoy-upstream-rq-timeout-ms": "5000", "x-envoy-max-retries": "2",
    "x-envoy-retry-on": "5xx", "x-envoy-downstream-service-cluster": "spoof", "x-envoy-downstream-service-node": "spoof",
    "x-envoy-expected-rq-timeout-ms": "77", "x-envoy-original-path": "/spoof", "x-envoy-decorator-operation": "spoof",
    "x-envoy-external-address": "9.9.9.9", "x-envoy-attempt-count": "9", "x-envoy-ip-tags": "spoof",
    "x-envoy-force-trace": "true",
    "x-envoy-upstream-rq-per-try-timeout-ms": "100", "x-envoy-upstream-alt-stat-name": "spoof",
    "x-envoy-upstream-stream-duration-ms": "60000", "x-envoy-original-host": "spoof", "x-envoy-unknown": "1",
}

CASES = [
    on("plain", "bare", x_forwarded_for=None, x_forwarded_proto="http", x_request_id=UUID4,
       x_envoy_expected_rq_timeout_ms="15000"),
    on("plain", "xff is passed", xff("1.2.3.4"), x_forwarded_for="1.2.3.4"),
    on("plain", "an internal xff", xff("10.0.0.1"), x_forwarded_for="10.0.0.1", x_envoy_internal=None),
    on("plain", "two hops", xff("1.2.3.4", "10.0.0.1"), x_envoy_internal=None),
    on("plain", "proto is passed", {"x-forwarded-proto": "https"}, x_forwarded_proto="https"),
    on("plain", "odd proto", {"x-forwarded-proto": "ftp"}),
    on("plain", "spoofed headers", SPOOFED),
    on("plain", "spoofed headers from an internal address", {**SPOOFED, **xff("10.0.0.1")}),
    on("plain", "garbage in xff", xff("not an address")),
    on("plain", "user agent and empty headers", {"user-agent": "", "x-forwarded-for": ""}),

    on("edge", "bare", x_forwarded_for=OWN, x_forwarded_proto="http", x_request_id=UUID4),
    on("edge", "xff is appended to", xff("1.2.3.4"), x_forwarded_for=OWN_AFTER),
    on("edge", "proto from outside is replaced", {"x-forwarded-proto": "https"}, x_forwarded_proto="http"),
    on("edge", "spoofed headers", SPOOFED, x_envoy_upstream_rq_timeout_ms=None),
    on("edge", "given request id", {"x-request-id": GIVEN}),
    on("edge", "forwarded host", {"x-forwarded-host": "h", "x-forwarded-port": "99", "forwarded": "for=1"}),
    on("edge-hops", "bare", x_forwarded_for=OWN),
    on("edge-hops", "one", xff("1.2.3.4"), x_forwarded_for=OWN_AFTER),
    on("edge-hops", "three", xff("1.1.1.1", "2.2.2.2", "3.3.3.3")),
    on("edge-hops", "one, spoofed", {**SPOOFED, **xff("1.2.3.4")}),
    on("inner-hops", "two", xff("1.2.3.4", "5.6.7.8")),
    on("inner-hops", "one", xff("1.2.3.4")),
    on("skip", "bare"), on("skip", "one", xff("1.2.3.4"), x_forwarded_for="1.2.3.4"),
    on("internal", "bare"), on("internal", "spoofed", SPOOFED), on("internal", "one", xff("1.2.3.4")),
    on("not-internal", "bare", x_envoy_internal=None), on("not-internal", "spoofed", SPOOFED),
    case("internal: timeout from a header", get("/", headers={"x-envoy-upstream-rq-timeout-ms": "150"}), action=hang(),
         listener="internal", status=504, flags="UT"),
    case("internal: timeout of zero from a header", get("/", headers={"x-envoy-upstream-rq-timeout-ms": "0"}),
         listener="internal", status=200, upstream_headers={"x-envoy-expected-rq-timeout-ms": None}),
    case("edge: timeout from a header is not believed", get("/", headers={"x-envoy-upstream-rq-timeout-ms": "1"}),
         listener="edge", status=200, upstream_headers={"x-envoy-expected-rq-timeout-ms": "15000"}),
    on("via", "bare", via="proxy-1", answer={"via": "proxy-1"}),
    on("via", "given", {"via": "1.0 x"}, action=Reply(headers={"via": "1.1 origin"})),

    on("plain", "request id is kept from an inner hop", {"x-request-id": GIVEN}),
    on("plain", "odd request id", {"x-request-id": "not-a-uuid"}),
    on("no-id", "none made", x_request_id=None), on("no-id", "given", {"x-request-id": "abc"}, x_request_id="abc"),
    on("keep-id", "given", {"x-request-id": "mine"}, x_request_id="mine"), on("keep-id", "none given", x_request_id=UUID4),
    on("id-in-answer", "given", {"x-request-id": GIVEN}), on("id-in-answer", "made", answer={"x-request-id": UUID4}),

    on("plain", "server", answer={"server": "envoy"}, action=Reply(headers={"server": "apache"})),
    on("server-pass", "given", answer={"server": "apache"}, action=Reply(headers={"server": "apache"})),
    on("server-pass", "absent"),
    on("server-absent", "given", answer={"server": "apache"}, action=Reply(headers={"server": "apache"})),
    on("server-absent", "absent", answer={"server": "custom"}),
    on("server-name", "overwritten", answer={"server": "custom"}, action=Reply(headers={"server": "apache"})),

    on("plain", "upstream's x-envoy headers", action=Reply(headers={
        "x-envoy-upstream-service-time": "777", "x-envoy-upstream-healthchecked-cluster": "c",
        "x-envoy-degraded": "true", "x-envoy-immediate-health-check-fail": "1", "x-envoy-overloaded": "true"})),
    on("suppress", "no x-envoy headers", x_envoy_expected_rq_timeout_ms=None,
       answer={"x-envoy-upstream-service-time": None}),
    on("suppress", "upstream's", action=Reply(headers={"x-envoy-upstream-service-time": "777"})),

    case("dots are resolved", get("/a/../b/./c//d/"), listener="normal", status=200, target="/b/c/d/"),
    case("encoded dots are resolved", get("/a/%2e%2e/b"), listener="normal", status=200, target="/b"),
    case("above the root", get("/../../x"), listener="normal", status=200),
    case("backslash", get("/a\\..\\b"), listener="normal", status=200),
    case("unreserved is decoded", get("/%7Euser/%41"), listener="normal", status=200),
    case("query is left alone", get("/a//b?x=//..//y"), listener="normal", status=200, target="/a/b?x=//..//y"),
    case("encoded slash stays", get("/a%2Fb"), listener="normal", status=200),
    # Envoy logs such a path half rewritten.
    case("encoded slash refused", get("/a%2Fb"), listener="escaped-reject", status=400, ignore=("log:path",)),
    case("encoded backslash refused", get("/a%5cb"), listener="escaped-reject", status=400, ignore=("log:path",)),
    case("encoded slash redirected", get("/a%2Fb?q"), listener="escaped-redirect", status=307),
    case("encoded slash decoded", get("/a%2Fb%5Cc"), listener="escaped-forward", status=200),
]


@pytest.mark.differential
@pytest.mark.parametrize("item", CASES, ids=lambda item: item.name)
def test_forwarded(duel, item):
    duel.run(item)
