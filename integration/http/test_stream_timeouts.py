"""How long a request may take: the route's, the cluster's, the connection manager's and gRPC's word, what the server is
told of it, and what the client gets when time is up."""

import itertools

import pytest

from harness import config as c
from harness import upstream as up
from harness.differential import case, get

LIMITS = {
    "plain": {}, "own": {"timeout": "7s"}, "none": {"timeout": "0s"},
    "max": {"max_grpc_timeout": "0s"}, "max-5": {"max_grpc_timeout": "5s"},
    "max-5-own": {"max_grpc_timeout": "5s", "timeout": "3s"},
    "offset": {"max_grpc_timeout": "0s", "grpc_timeout_offset": "1s"},
    "offset-alone": {"grpc_timeout_offset": "1s"},
    "new-empty": {"max_stream_duration": {}, "timeout": "7s"},
    "new": {"max_stream_duration": {"max_stream_duration": "8s"}, "timeout": "7s"},
    "new-0": {"max_stream_duration": {"max_stream_duration": "0s"}},
    "header": {"max_stream_duration": {"grpc_timeout_header_max": "0s"}},
    "header-5": {"max_stream_duration": {"grpc_timeout_header_max": "5s"}},
    "header-5-offset": {"max_stream_duration": {"grpc_timeout_header_max": "5s", "grpc_timeout_header_offset": "0.5s"}},
    "header-offset": {"max_stream_duration": {"grpc_timeout_header_offset": "0.5s"}},
    "both": {"max_stream_duration": {"grpc_timeout_header_max": "0s"}, "max_grpc_timeout": "5s"},
    "all": {"max_stream_duration": {"max_stream_duration": "8s", "grpc_timeout_header_max": "5s"}},
}
ASKED = (None, "2S", "10S", "1M", "99999999H", "100m", "2000000u", "2000000001n", "0S", "S", "", "2", "2s", "-2S",
         "+2S", "100000000m", "2 S", "soon")


def bootstrap(origins, log):
    rows = [c.route(f"/{name}/", {"cluster": "a", **limit}) for name, limit in LIMITS.items()]
    short = [
        c.route("/short/timeout", {"cluster": "a", "timeout": "0.2s"}),
        c.route("/short/stream", {"cluster": "a", "max_stream_duration": {"max_stream_duration": "0.2s"}}),
        c.route("/short/lifted", {"cluster": "a", "timeout": "0.5s"}),
        c.route("/short/header", {"cluster": "a", "max_stream_duration": {"grpc_timeout_header_max": "0s"}}),
        c.route("/short/now", {"cluster": "a", "max_stream_duration": {"grpc_timeout_header_max": "0s",
                                                                       "grpc_timeout_header_offset": "1s"}}),
        c.route("/short/max", {"cluster": "a", "max_grpc_timeout": "0.2s"}),
        c.route("/short/cluster", "brief"),
        c.direct("/short/direct", 200, "ok"),
    ]

    # Wishes are heard from clients within.
    local = {"cidr_ranges": [{"address_prefix": "127.0.0.0", "prefix_len": 8}]}

    def listener(name, **more):
        table = c.routes(name, c.vhost("all", ["*"], *rows, *short))
        return c.listener(name, c.hcm(table, stat_prefix=name, log=log, use_remote_address=True,
                                      internal_address_config=local,
                                      upgrade_configs=[{"upgrade_type": "websocket"}], **more))

    brief = c.http_options(common_http_protocol_options={"max_stream_duration": "0.2s"},
                           explicit_http_config={"http_protocol_options": {}})
    return c.static_bootstrap(
        [listener("plain"), listener("limited", common_http_protocol_options={"max_stream_duration": "9s"}),
         listener("short", common_http_protocol_options={"max_stream_duration": "0.3s"}),
         listener("respectful", http_filters=[{"name": "router", "typed_config": {
             "@type": c.ROUTER, "respect_expected_rq_timeout": True}}])],
        [c.cluster("a", origins["a"].port),
         c.cluster("brief", origins["a"].port, typed_extension_protocol_options=brief)])


def ask(target, timeout=None, is_grpc=True, more=(), **kwargs):
    fields = [("content-type", "application/grpc" if is_grpc else "text/plain"), *more]
    if timeout is not None:
        fields.append(("grpc-timeout", timeout))
    return get(target, method="POST", body=b"", headers=fields, **kwargs)


TOLD = [case(f"{limit} asked {asked!r} {kind} of {listener}", ask(f"/{limit}/", asked, kind == "gRPC"), listener=listener)
        for listener, limit, asked, kind in itertools.product(("plain", "limited"), LIMITS, (None, "2S", "10S", "soon"),
                                                              ("gRPC", "plain"))]
SPELLED = [case(f"{limit} asked {asked!r}", ask(f"/{limit}/", asked), status=200) for limit in ("max", "header-5")
           for asked in ASKED if (limit, asked) not in (("header-5", "0S"),)]
WISHES = [case(f"{name} on {listener} {limit}", ask(f"/{limit}/", "2S", more=fields), listener=listener)
          for listener in ("plain", "respectful") for limit in ("own", "none", "max-5", "new")
          for name, fields in {
              "timeout": [("x-envoy-upstream-rq-timeout-ms", "4000")],
              "no timeout": [("x-envoy-upstream-rq-timeout-ms", "0")],
              "nonsense": [("x-envoy-upstream-rq-timeout-ms", "4s")],
              "per try": [("x-envoy-upstream-rq-per-try-timeout-ms", "1000")],
              "per try, longer": [("x-envoy-upstream-rq-per-try-timeout-ms", "100000")],
              "both": [("x-envoy-upstream-rq-timeout-ms", "4000"), ("x-envoy-upstream-rq-per-try-timeout-ms", "4000")],
              "expected": [("x-envoy-expected-rq-timeout-ms", "6000")],
              "expected nonsense": [("x-envoy-expected-rq-timeout-ms", "x")],
              "expected and timeout": [("x-envoy-expected-rq-timeout-ms", "6000"),
                                       ("x-envoy-upstream-rq-timeout-ms", "4000")],
              "duration": [("x-envoy-upstream-stream-duration-ms", "4000")],
          }.items()]


@pytest.mark.differential
@pytest.mark.parametrize("item", TOLD + SPELLED + WISHES, ids=lambda item: item.name)
def test_what_the_server_is_told(duel, item):
    duel.run(item)


def late(name, target, timeout=None, is_grpc=False, listener="plain", more=(), data=None, **want):
    return case(name, data or ask(target, timeout, is_grpc, more), listener=listener, action=up.hang(), **want)


def grpc(status, message, **more):
    return {"status": 200, "headers": {"grpc-status": str(status), "grpc-message": message}, **more}


WEBSOCKET = get("/short/timeout", headers=[
    ("connection", "upgrade"), ("upgrade", "WebSocket"), ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")])
DURATION = {"details": "max_duration_timeout"}
LATE = [
    late("the route's timeout", "/short/timeout", status=504, flags="UT", details="response_timeout"),
    late("the route's timeout, gRPC", "/short/timeout", is_grpc=True, flags="UT", **grpc(14, "upstream request timeout")),
    late("max_grpc_timeout", "/short/max", "1S", is_grpc=True, flags="UT", **grpc(14, "upstream request timeout")),
    late("asked within max_grpc_timeout", "/max/", "200m", is_grpc=True, flags="UT",
         **grpc(14, "upstream request timeout")),
    late("the route's stream", "/short/stream", status=504, **DURATION),
    late("the route's stream, gRPC", "/short/stream", is_grpc=True, **grpc(4, "downstream duration timeout", **DURATION)),
    late("asked for", "/short/header", "200m", is_grpc=True, **grpc(4, "downstream duration timeout", **DURATION)),
    late("asked for without gRPC", "/short/header", "200m", status=504, **DURATION),
    late("nothing is left", "/short/now", "1S", is_grpc=True,
         ignore=("requests", "upstream", "log:upstream", "log:upstream_protocol"),
         **grpc(4, "downstream duration timeout", **DURATION)),
    late("the manager's stream", "/short/header", is_grpc=True, listener="short",
         **grpc(4, "downstream duration timeout", **DURATION)),
    late("the manager's stream, half a request", "", listener="short", status=408, log=True, closed=True, **DURATION,
         data=get("/none/", method="POST", headers=[("content-length", "9")])),
    late("lifted by the route", "/new-0/", listener="short", more=[("x-envoy-upstream-rq-timeout-ms", "500")],
         status=504, flags="UT"),
    late("asked for more than the manager's", "/short/header", "500m", is_grpc=True, listener="short",
         **grpc(4, "downstream duration timeout", **DURATION)),
    late("the cluster's stream", "/short/cluster", status=504, flags="UMSDR",
         details="upstream_max_stream_duration_reached"),
    late("the cluster's stream, gRPC", "/short/cluster", is_grpc=True, flags="UMSDR",
         **grpc(14, "upstream max stream duration reached")),
    late("the cluster's stream as asked", "/none/", status=504, flags="UMSDR",
         more=[("x-envoy-upstream-stream-duration-ms", "200")]),
    late("per try", "/none/", status=504, flags="UT", details="upstream_per_try_timeout",
         more=[("x-envoy-upstream-rq-per-try-timeout-ms", "200")]),
    late("a WebSocket that nobody accepts", "", status=504, flags="UT", details="response_timeout", data=WEBSOCKET),
    late("with another status", "/short/timeout", status=204, flags="UT",
         more=[("x-envoy-upstream-rq-timeout-alt-response", "1")]),
    late("with another status, gRPC", "/short/timeout", is_grpc=True, status=200, headers={"grpc-status": "2"},
         more=[("x-envoy-upstream-rq-timeout-alt-response", "1")]),
]


@pytest.mark.differential
@pytest.mark.parametrize("item", LATE, ids=lambda item: item.name)
def test_when_time_is_up(duel, item):
    duel.run(item)
