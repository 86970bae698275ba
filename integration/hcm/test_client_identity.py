"""Whom a request is said to come from, and what of it the next one is told: the detectors of original addresses,
x-forwarded-port and -proto, user agents, mutations before all of that. Told outsiders' lies included (faults.md, 24)."""

import pytest

from harness import config as c
from harness.differential import case, get
from harness.listener_filters import proxy_protocol

EXT = "type.googleapis.com/envoy.extensions.http."
XFF = EXT + "original_ip_detection.xff.v3.XffConfig"
CUSTOM = EXT + "original_ip_detection.custom_header.v3.CustomHeaderConfig"
EARLY = EXT + "early_header_mutation.header_mutation.v3.HeaderMutation"


def xff(**more):
    return {"name": "xff", "typed_config": {"@type": XFF, **more}}


def custom(header="x-real-ip", **more):
    return {"name": "custom", "typed_config": {"@type": CUSTOM, "header_name": header, **more}}


def early(*mutations):
    return {"name": "early", "typed_config": {"@type": EARLY, "mutations": list(mutations)}}


def cidr(text):
    prefix, length = text.split("/")
    return {"address_prefix": prefix, "prefix_len": int(length)}


def append(key, value, **more):
    return {"append": {"header": {"key": key, "value": value}, **more}}


def detect(*detectors, **more):
    return {"original_ip_detection_extensions": list(detectors), **more}


LOCAL = {"internal_address_config": {"cidr_ranges": [cidr("127.0.0.0/8"), cidr("10.0.0.0/8"), cidr("::1/128")]}}
TRUSTED = {"xff_trusted_cidrs": {"cidrs": [cidr("127.0.0.0/8"), cidr("10.0.0.0/8")]}}
VARIANTS = {
    "xff": detect(xff(), **LOCAL),
    "xff-1": detect(xff(xff_num_trusted_hops=1), **LOCAL),
    "xff-append": detect(xff(skip_xff_append=False), **LOCAL),
    "cidrs": detect(xff(**TRUSTED), **LOCAL),
    "cidrs-append": detect(xff(**TRUSTED, skip_xff_append=False)),
    "cidrs-not-us": detect(xff(xff_trusted_cidrs={"cidrs": [cidr("10.0.0.0/8")]})),
    "custom": detect(custom()),
    "custom-trusted": detect(custom(allow_extension_to_set_address_as_trusted=True), **LOCAL),
    "custom-401": detect(custom(reject_with_status={"code": "Unauthorized"})),
    "custom-302": detect(custom(reject_with_status={"code": "Found"})),
    "custom-then-xff": detect(custom(), xff()),
    "port": {"append_x_forwarded_port": True},
    "port-edge": {"append_x_forwarded_port": True, "use_remote_address": True},
    "port-hops": {"append_x_forwarded_port": True, "use_remote_address": True, "xff_num_trusted_hops": 1},
    "agent": {"add_user_agent": True},
    "agent-edge": {"add_user_agent": True, "use_remote_address": True},
    "early": {"use_remote_address": True, "early_header_mutation_extensions": [
        early(append("x-forwarded-for", "9.9.9.9"), append("x-a", "%REQ(x-b)%-%PROTOCOL%"), {"remove": "x-b"},
              append("x-order", "1"), append("x-order", "2", append_action="OVERWRITE_IF_EXISTS_OR_ADD"),
              {"remove_on_match": {"key_matcher": {"prefix": "x-secret-"}}}),
        early(append("x-second", "%REQ(x-a)%"), append("x-empty", "%REQ(x-none)%"),
              append("x-kept-empty", "%REQ(x-none)%", keep_empty_value=True))]},
}


def bootstrap(origins, log):
    table = c.routes("r", c.vhost("all", ["*"], c.route("/", "a")), internal_only_headers=["x-inner"])
    fmt = c.LOG_FORMAT.rstrip("\n") + "|%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%\n"
    return c.static_bootstrap(
        [c.listener(name, c.hcm(table, stat_prefix=name, access_log=[c.access_log(log, fmt)], **more))
         for name, more in VARIANTS.items()] +
        [c.listener("proxied-" + name, c.hcm(table, stat_prefix=name, log=log, **more),
                    listener_filters=[proxy_protocol()]) for name, more in MEANT.items()],
        [c.cluster("a", origins["a"].port)])


PROTO = {"forward_proto_config": {"https_destination_ports": [443], "http_destination_ports": [80]}}
MEANT = {"edge": {"use_remote_address": True, **PROTO}, "inner": PROTO,
         "hops": {"use_remote_address": True, "xff_num_trusted_hops": 1, **PROTO},
         "port": {"append_x_forwarded_port": True, "strip_matching_host_port": True}}
SAYS = {
    "nothing": [],
    "one": [("x-forwarded-for", "1.2.3.4")],
    "inner": [("x-forwarded-for", "10.1.2.3")],
    "two": [("x-forwarded-for", "1.2.3.4, 10.0.0.9")],
    "three": [("x-forwarded-for", "1.2.3.4,5.6.7.8 , 10.0.0.9")],
    "all inner": [("x-forwarded-for", "10.0.0.1, 10.0.0.2")],
    "broken": [("x-forwarded-for", "1.2.3.4, nobody")],
    "broken first": [("x-forwarded-for", "nobody, 10.0.0.9")],
    "empty": [("x-forwarded-for", "")],
    "commas": [("x-forwarded-for", "1.2.3.4,,")],
    "six": [("x-forwarded-for", "2001:db8::1")],
    "with port": [("x-forwarded-for", "1.2.3.4:80")],
    "real": [("x-real-ip", "1.2.3.4")],
    "real inner": [("x-real-ip", "10.2.3.4"), ("x-forwarded-for", "5.6.7.8")],
    "real six": [("x-real-ip", "2001:db8::2")],
    "real broken": [("x-real-ip", "x"), ("x-forwarded-for", "5.6.7.8")],
    "real twice": [("x-real-ip", "1.2.3.4"), ("x-real-ip", "5.6.7.8")],
    "lies": [("x-forwarded-proto", "https"), ("x-forwarded-port", "1"), ("x-envoy-internal", "true"),
             ("x-envoy-external-address", "8.8.8.8"), ("x-envoy-force-trace", "1"), ("x-envoy-ip-tags", "friend"),
             ("x-envoy-retry-on", "5xx"), ("x-envoy-max-retries", "9"), ("x-envoy-upstream-rq-timeout-ms", "1"),
             ("x-envoy-original-path", "/admin"), ("x-envoy-original-host", "admin"),
             ("x-envoy-downstream-service-cluster", "root"), ("x-envoy-downstream-service-node", "root"),
             ("x-envoy-decorator-operation", "op"), ("x-inner", "1")],
    "agent": [("user-agent", "curl/1")],
    "empty agent": [("user-agent", "")],
    "early": [("x-b", "b"), ("x-secret-1", "s"), ("x-secret", "t"), ("x-order", "0")],
}


@pytest.mark.differential
@pytest.mark.parametrize("says", SAYS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_who_it_is(duel, variant, says):
    ignore = ["upstream_header:x-forwarded-port"]  # the listeners have ports of their own in each proxy
    if says == "lies" and variant in ("custom-401", "custom-302"):
        ignore.append("log:cluster")  # refused before headers are stripped: Envoy names the cluster for some of them
    duel.run(case(f"{variant}: {says}", get(headers=SAYS[says]), listener=variant, ignore=tuple(ignore)))


@pytest.mark.differential
@pytest.mark.parametrize("variant", [v for v in VARIANTS if v.startswith("port")])
@pytest.mark.parametrize("says", ["nothing", "one", "lies"])
def test_forwarded_port(duel, variant, says):
    seen = {}
    for flavour, proxy in duel.each():
        outcome = duel.play(flavour, case("port", get(headers=SAYS[says]), listener=variant))
        port = str(proxy.listeners()[variant][0][1])
        got = outcome.requests[0].header("x-forwarded-port")
        seen[flavour] = "own" if got == port else got
    assert len(set(seen.values())) == 1, seen
    assert set(seen.values()) <= {"own", "1"}


@pytest.mark.differential
@pytest.mark.parametrize("variant", MEANT)
@pytest.mark.parametrize("port", [443, 80, 8080])
@pytest.mark.parametrize("scheme", [None, "https"])
def test_the_port_that_was_meant(duel, variant, port, scheme):
    fields = [("x-forwarded-proto", scheme)] if scheme else []
    data = f"PROXY TCP4 1.2.3.4 5.6.7.8 99 {port}\r\n".encode() + get(host="h:443", headers=fields)
    duel.run(case(f"{variant} {port} {scheme}", data, method="GET", listener="proxied-" + variant, status=200))
