"""Series of gRPC calls and messages, their labels, and the filter state, as Envoy has them."""

import json

import pytest

from harness import config as c
from harness.client import chunked
from harness.differential import case, post
from harness.grpc_frames import GRPC, answer, cluster, frame, grpc_stats, grpc_stats_of, labels_of
from harness.proxy import validate
from harness.upstream import Reply, early_close
from harness.wait import wait_for

# A listener and a cluster each, so that what is counted says where.
VARIANTS = {
    "unset": {},
    "none": {"stats_for_all_methods": False},
    "all": {"stats_for_all_methods": True},
    "dots": {"stats_for_all_methods": True, "replace_dots_in_grpc_service_name": True},
    "some": {"replace_dots_in_grpc_service_name": True, "individual_method_stats_allowlist": {"services": [
        {"name": "pkg.Svc", "method_names": ["Meth", "Two"]}, {"name": "S", "method_names": ["M"]}]}},
    "empty": {"individual_method_stats_allowlist": {}},
    "timed": {"stats_for_all_methods": True, "enable_upstream_stats": True},
    "state": {"emit_filter_state": True},
}
STATE = "%FILTER_STATE(envoy.filters.http.grpc_stats"
FORMAT = f"{STATE})%|{STATE}:TYPED)%|{STATE}:PLAIN)%|{STATE}:PLAIN):2%|{STATE}:FIELD:request_message_count)%|" \
         "%FILTER_STATE(envoy.other)%\n"
JSON_FORMAT = {"typed": f"{STATE})%", "plain": f"{STATE}:PLAIN)%", "text": f"n={STATE}:PLAIN)%", "none": f"{STATE}:FIELD:x)%"}


def bootstrap(origins, log):
    port = origins["a"].port
    listeners = []
    for name, fields in VARIANTS.items():
        table = c.routes("r", c.vhost("all", ["*"], c.direct("/direct", 404), c.route("/nowhere", "missing"),
                                      c.route("/rewritten", {"cluster": name, "prefix_rewrite": "/else/where"}),
                                      c.route("/", name)), validate_clusters=False)
        hcm = c.hcm(table, filters=[grpc_stats(**fields)], log=log)
        if name == "state":
            lines = c.access_log(str(log) + ".state", FORMAT)
            objects = {"name": "file", "typed_config": {"@type": c.FILE_LOG, "path": str(log) + ".json", "log_format": {
                "json_format": JSON_FORMAT}}}
            hcm["typed_config"]["access_log"] += [lines, objects]
        listeners.append(c.listener(name, hcm))
    clusters = [cluster(name, port) for name in VARIANTS]
    clusters[2]["alt_stat_name"] = "other:name"
    return c.static_bootstrap(listeners, clusters)


def call(target="/pkg.Svc/Meth", body=frame(b"a") + frame(b""), content_type=GRPC, headers=()):
    return post(target, body, headers=[("content-type", content_type), *headers])


# (request, answer): what every variant is shown.
CALLS = [
    (call(), answer(b"abc", b"de")),
    (call(), answer(b"abc", status="7", message="no")),
    (call("/pkg.Svc/Two?x=/y/z"), answer(status="16")),
    (call("/S/M"), answer(b"x")),
    (call("/S/Other"), answer(b"x", status="5")),
    (call("//a//b/"), answer(b"x")),
    (call("/a/b/c"), answer(b"x")),
    (call("/one"), answer(b"x")),
    (call("/p.S/M.x", content_type=GRPC + "+json"), answer(b"x")),
    (call("/p:S/M", content_type=GRPC + ";a=b"), answer(b"x")),
    (call("/web/M", content_type="application/grpc-web"), answer(b"x")),
    (call("/json/M", content_type="application/json"), answer(b"x")),
    (call("/none/M"), Reply(body=b"not gRPC")),
    (call("/page/M"), Reply(503, {"content-type": GRPC}, b"abc", reason="x")),
    (call("/only/M"), Reply(200, {"content-type": GRPC, "grpc-status": "3"})),
    (call("/both/M"), answer(b"x", status="1", headers=[("grpc-status", "2")])),
    (call("/silent/M"), answer(b"x", status=None, trailers=[("x-y", "z")])),
    (call("/cut/M", frame(b"abcd")[:-2]), answer(b"x")),
    (call("/head/M", b"\0"), answer(b"x")),
    (call("/chunks/M", None, headers=[("transfer-encoding", "chunked")])
     + chunked(*[frame(b"ab")[i:i + 1] for i in range(7)], frame(b"") + frame(b"x")[:4], frame(b"x")[4:]), answer(b"x")),
    (call("/gone/M"), early_close()),
    (call("/direct/M"), Reply()),
    (call("/nowhere/M"), Reply()),
    (call("/rewritten/M"), answer(b"x")),
]

STREAM = "application/connect+json"
UNARY = [("connect-protocol-version", "1")]
JSON = {"content-type": "application/json"}


def connect_end(text):
    return frame(text, 2)


def connect_answer(*frames, status=200, **more):
    return Reply(status, [("content-type", STREAM)], chunks=list(frames), reason="x", **more)


# The same in the Connect protocol.
CONNECT_CALLS = [
    (call("/u/Ok", b"{}", "application/json", UNARY), Reply(200, JSON, b"{}")),
    (call("/u/Failed", b"{}", "application/json", UNARY), Reply(404, JSON, b"{}", reason="x")),
    (call("/u/Empty", b"", "application/json", UNARY), Reply(200, JSON, b"")),
    (call("/u/NoContent", b"x", "application/json", UNARY), Reply(204)),
    (call("/u/NoVersion", b"x", "application/json"), Reply(200, JSON, b"{}")),
    *[(call("/s/" + name, frame(b"a") + frame(b""), STREAM), answer_) for name, answer_ in (
        ("Ok", connect_answer(frame(b"x"), frame(b"y"), connect_end(b"{}"))),
        ("InOnePiece", connect_answer(frame(b"x") + connect_end(b"{}"))),
        ("ByteByByte", connect_answer(*[bytes([b]) for b in frame(b"xy") + connect_end(b'{"a": [1, {"error": 2}]}')])),
        ("Failed", connect_answer(frame(b"x"), connect_end(b'{"error": {"code": "internal"}}'))),
        ("FailedText", connect_answer(connect_end(b'{"error": "x"}'))),
        ("FailedNull", connect_answer(connect_end(b'{"error": null}'))),
        ("Metadata", connect_answer(connect_end(b'{"metadata": {"error": ["x"]}}'))),
        ("NoJson", connect_answer(connect_end(b"nope"))),
        ("NoObject", connect_answer(connect_end(b"[]"))),
        ("EmptyEnd", connect_answer(connect_end(b""))),
        ("CutEnd", connect_answer(connect_end(b"{}")[:-1])),
        ("NoEnd", connect_answer(frame(b"x"))),
        ("AfterEnd", connect_answer(frame(b"x"), connect_end(b"{}"), frame(b"y"))),
        ("Error500", connect_answer(frame(b"x"), connect_end(b"{}"), status=500)),
        ("NoStream", Reply(500, JSON, b"{}", reason="x")),
        ("Trailers", connect_answer(connect_end(b"{}"), trailers=[("grpc-status", "0")])),
        ("Nothing", Reply(200, {"content-type": STREAM}, b"")),
    )],
]


@pytest.mark.parametrize("variant", VARIANTS)
def test_series(duel, variant):
    """Every counter that these calls make, by name and value, and its labels."""
    seen = {}
    for flavour, proxy in duel.each():
        before = grpc_stats_of(proxy)
        for request, action in CALLS + CONNECT_CALLS:
            duel.play(flavour, case("call", request, action=action, listener=variant, log=True))
        after = grpc_stats_of(proxy)
        seen[flavour] = {n: v - before.get(n, 0) for n, v in after.items() if v != before.get(n, 0)}
    assert seen
    first = next(iter(seen.values()))
    assert len(first) > 5 and all(one == first for one in seen.values()), (
        {f: sorted(set(s.items()) - set(first.items())) for f, s in seen.items()},
        {f: sorted(set(first.items()) - set(s.items())) for f, s in seen.items()})
    labels = [labels_of(proxy) for _, proxy in duel.each()]
    assert all(one == labels[0] for one in labels), labels[0] ^ labels[-1]


def test_names_that_were_asked_for(duel):
    """What the comparison above shows, said once."""
    for flavour, proxy in duel.each():
        stats = [
            ("cluster.unset.grpc.total", True), ("cluster.unset.grpc.pkg.Svc.Meth.total", False),
            ("cluster.other_name.grpc.pkg.Svc.Meth.7", True), ("cluster.dots.grpc.pkg_Svc.Meth.total", True),
            ("cluster.some.grpc.pkg.Svc.Meth.success", True), ("cluster.some.grpc.S.Other.total", False),
            ("cluster.timed.grpc.S.M.request_message_count", True),
        ]
        before = {name: proxy.stat(name) for name, _ in stats}
        for variant in VARIANTS:
            for request, action in CALLS[:5]:
                duel.play(flavour, case("call", request, action=action, listener=variant))
        for name, moves in stats:
            assert (proxy.stat(name) > before[name]) == moves, (flavour, name)


def test_upstream_time(duel):
    """A histogram beside the counters, for calls that ended."""
    for flavour, proxy in duel.each():
        duel.play(flavour, case("call", call("/t.S/M"), action=answer(b"x"), listener="timed"))

        def counted():
            lines = proxy.admin("/stats/prometheus").text.splitlines()
            return [line for line in lines if line.startswith("envoy_cluster_grpc_M_upstream_rq_time_count{")
                    and 'envoy_cluster_name="timed"' in line and 'envoy_grpc_bridge_method="S"' in line
                    and line.endswith(" 1")]

        wait_for(counted, f"{flavour}: the histogram has a value", 15)


def test_a_connect_stream_with_a_version_is_counted_once(duel):
    """A difference: Envoy counts it as a unary call, too, and its messages as those of one."""
    for flavour, proxy in duel.each():
        duel.play(flavour, case("call", call("/once/M", frame(b"a"), STREAM, UNARY), listener="all",
                                action=connect_answer(frame(b"x"), connect_end(b"{}"))))
        assert proxy.stat("cluster.other_name.grpc.once.M.total") == (1 if flavour == "nuncio" else 2)


def test_unknown_statuses_are_failures(duel):
    """A difference: Envoy makes a counter of whatever the upstream says."""
    for flavour, proxy in duel.each():
        duel.play(flavour, case("call", call("/odd/M"), action=answer(status="42"), listener="all"))
        stats = grpc_stats_of(proxy)
        assert stats["cluster.other_name.grpc.odd.M.failure"] == 1
        assert ("cluster.other_name.grpc.odd.M.42" in stats) == (flavour == "envoy")


def test_counters_can_be_reset(duel):
    for flavour, proxy in duel.each():
        duel.play(flavour, case("call", call("/reset/M"), action=answer(b"x"), listener="all"))
        proxy.admin("/reset_counters", method="POST")
        assert proxy.stat("cluster.other_name.grpc.reset.M.total") == 0, flavour
        duel.play(flavour, case("call", call("/reset/M"), action=answer(b"x"), listener="all"))
        assert proxy.stat("cluster.other_name.grpc.reset.M.total") == 1, flavour


def test_names_invented_by_a_client_are_bounded(duel):
    """A difference: Envoy makes a series of every name; here a thousand, the rest is counted without names."""
    if "nuncio" not in duel.proxies:
        pytest.skip("Envoy has no bound")
    proxy = duel.proxies["nuncio"]
    before = proxy.rss_kb()
    with proxy.connect("dots") as client:
        for i in range(1500):
            duel.origins["a"].next(answer(status="0"))
            assert client.exchange(call(f"/invented/m{i}")).status == 200
    duel.forget()
    named = {name for name in grpc_stats_of(proxy) if name.startswith("cluster.dots.grpc.") and name.endswith(".total")}
    assert len(named) <= 1001
    assert proxy.stat("cluster.dots.grpc.total") >= 500
    assert proxy.is_sanitized or proxy.rss_kb() - before < 4096


@pytest.mark.differential
@pytest.mark.parametrize("request_bytes, action, plain", [
    (call(), answer(b"abc", b"de", b""), "2,3"),
    (call(), answer(status="0"), "2,0"),
    (call(body=b""), answer(b"abc"), "0,1"),
    (call(body=frame(b"abc")[:1]), answer(b"abc"), "1,1"),
    (call(body=b""), answer(status="0"), "-"),
    (call(content_type="application/json"), Reply(body=b"abc"), "-"),
    (call(content_type="application/json"), answer(b"abc"), "0,1"),
    (call("/no/method/here"), answer(b"abc"), "2,1"),
    (call("/u/m", b"x", "application/json", UNARY), Reply(200, JSON, b"{}"), "1,1"),
    (call("/u/m", b"", "application/json", UNARY), Reply(200, JSON, b"{}"), "0,1"),
    (call("/s/m", frame(b"a") * 3, STREAM), connect_answer(frame(b"x"), frame(b"y"), connect_end(b"{}")), "3,2"),
], ids=["both", "request only", "response only", "begun", "empty", "no gRPC", "gRPC answer", "no method", "Connect",
        "Connect response only", "Connect stream"])
def test_filter_state(duel, request_bytes, action, plain):
    seen = {}
    for flavour, _ in duel.each():
        texts = [open(f"{duel.logs[flavour].path}.{kind}", encoding="utf-8") for kind in ("state", "json")]
        for file in texts:
            file.seek(0, 2)
        duel.play(flavour, case("call", request_bytes, action=action, listener="state"))
        lines = ["", ""]

        def whole():
            for i, file in enumerate(texts):
                lines[i] += file.read()
            return all(line.endswith("\n") for line in lines)

        wait_for(whole, "both log lines", 15)
        assert lines[0].split("|")[2] == plain, flavour
        seen[flavour] = (lines[0], json.loads(lines[1]))
        for file in texts:
            file.close()
    assert len({str(one) for one in seen.values()}) == 1, seen


@pytest.mark.parametrize("fields, problem", [
    ({"individual_method_stats_allowlist": {"services": [{"name": "", "method_names": ["M"]}]}},
     "value length must be at least 1 characters"),
    ({"individual_method_stats_allowlist": {"services": [{"name": "S"}]}}, "value must contain at least 1 item(s)"),
    ({"individual_method_stats_allowlist": {"services": []}, "stats_for_all_methods": True}, "oneof"),
], ids=["no name", "no methods", "both"])
def test_what_is_refused(flavour, fields, problem):
    table = c.simple_routes("r", "a")
    made = c.static_bootstrap([c.listener("l", c.hcm(table, filters=[grpc_stats(**fields)]))], [cluster("a", 1)])
    status, output = validate(flavour, made)
    assert status == 1 and problem in output, output
