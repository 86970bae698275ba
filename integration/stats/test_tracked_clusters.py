"""track_cluster_stats: sizes of requests and responses, and how much of their time they took, an attempt each; as Envoy."""

import contextlib
import re

import pytest

from harness import config as c
from harness.client import Client
from harness.differential import get, post
from harness.h2peer import H2Origin
from harness.proxy import Proxy
from harness.translate import Answer
from harness.upstream import Origin, Raw, Reply, early_close, short_body
from harness.wait import wait_for
from harness.wide import NO_REPLAYS

SIZES = {"track_cluster_stats": {"request_response_sizes": True}}
BUDGETS = {"track_cluster_stats": {"timeout_budgets": True}}
LEGACY = {"track_timeout_budgets": True}
GRPC = {"content-type": "application/grpc", "te": "trailers"}


def hangs():
    return Raw(b"", "hang")


def hangs_within():
    return Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n0123456789", "hang")


CASES = {  # name, which is the first of the path and the cluster: (request, what the origin does)
    "plain": (get("/plain"), Reply(headers={"x-a": "1"}, body=b"x" * 50)), "body": (post("/body", b"y" * 1234), Reply(201)),
    "chunked": (get("/chunked"), Reply(chunks=[b"one", b"two"], trailers=[("x-sum", "1")])), "interim": (get("/interim"), Reply(interim=[b"HTTP/1.1 103 X\r\nlink: </a>\r\n\r\n"], body=b"b")),
    "head": (get("/head", method="HEAD"), Reply(headers={"content-length": "5"})), "grpc": (post("/grpc", b"\0\0\0\0\0", headers=GRPC), Reply(404, body=b"x")),
    "closed": (get("/closed"), early_close), "cut": (get("/cut"), short_body), "nobody": (get("/nobody"), None), "h2": (post("/h2", b"abc"), None),
}


def samples(proxy, cluster):
    """{series: (count, sum)} of that cluster's tracked histograms; those that are there."""
    text = proxy.admin(f"/stats/prometheus?filter=cluster.{cluster}.upstream_r").text
    found = dict(re.findall(r"^envoy_cluster_(upstream_r[qs]_(?:headers|body|timeout)\w+){[^}]*} ([\d.e+-]+)$", text, re.MULTILINE))
    names = {n.removesuffix("_count") for n in found if n.endswith("_count")} - {"upstream_rq_headers", "upstream_rs_headers"}
    return {n: (int(found[n + "_count"]), round(float(found[n + "_sum"]), 6)) for n in names}


def manager(timeouts):
    """{cluster: its route's timeout}; the first of the path is the cluster."""
    return c.hcm(c.routes("r", c.vhost("v", ["*"], *[c.route(f"/{name}", {"cluster": name, "timeout": timeout}) for name, timeout in timeouts.items()])), use_remote_address=True,
                 internal_address_config={"cidr_ranges": [{"address_prefix": "127.0.0.0", "prefix_len": 8}]})


def send(proxy, data):
    with Client(proxy.address("l")) as client:
        client.send(data)
        with contextlib.suppress(Exception):
            client.read_response(data.split(b" ")[0].decode())


@pytest.mark.differential
def test_sizes(flavours):
    seen = {}
    with Origin("a") as origin, contextlib.closing(H2Origin("h2", Answer(body=b"two", trailers=[("x-sum", "1")]))) as h2:
        ports = {name: origin.port for name in CASES} | {"nobody": 1, "h2": h2.port}
        for flavour in flavours:
            clusters = [c.cluster(name, port, **SIZES, **({"typed_extension_protocol_options": c.http_options()} if name == "h2" else {}))
                        for name, port in ports.items()]
            made = c.static_bootstrap([c.listener("l", manager(dict.fromkeys(CASES, "15s")))], clusters, stats_flush_interval="0.1s", layered_runtime=NO_REPLAYS)
            with Proxy(flavour, made) as proxy:
                for name, (data, action) in CASES.items():
                    if action is not None:
                        origin.next(action() if callable(action) else action)
                    send(proxy, data)
                wait_for(lambda: all(samples(proxy, name).get("upstream_rq_headers_size", (0,))[0] for name in CASES), "all are recorded")
                seen[flavour] = {name: samples(proxy, name) for name in CASES}
    for found in seen.values():
        assert found["body"]["upstream_rq_body_size"][0] == 1 and found["plain"]["upstream_rs_body_size"][0] == 1
        assert found["nobody"].get("upstream_rs_headers_size", (0,))[0] == 0
    if len(seen) == 2:
        for name in CASES:
            # What nothing was recorded in is there in Envoy all the same (README, Differs from Envoy).
            assert {k: v for k, v in seen["envoy"][name].items() if v[0]} == {k: v for k, v in seen["nuncio"][name].items() if v[0]}, name


@pytest.mark.differential
@pytest.mark.parametrize("options", [BUDGETS, LEGACY], ids=["track_cluster_stats", "legacy"])
def test_budgets(flavours, options):
    per_try = {"x-envoy-upstream-rq-per-try-timeout-ms": "50"}
    requests = {  # request, what the origin does, the route's timeout, [count, least, most percent] of the whole and of the attempt
        "quick": (get("/quick"), Reply(), "10s", (1, 0, 1), (1, 0, 0)), "late": (get("/late"), hangs, "0.1s", (1, 95, 300), (0, 0, 0)),
        "halted": (get("/halted"), hangs_within, "0.1s", (1, 95, 300), (1, 0, 0)), "try": (get("/try", headers=per_try), hangs, "1s", (1, 5, 90), (1, 95, 300)),
        "closed": (get("/closed", headers=per_try), early_close, "10s", (0, 0, 0), (1, 0, 90)), "nobody": (get("/nobody", headers=per_try), None, "10s", (0, 0, 0), (1, 0, 90)),
        "unlimited": (get("/unlimited"), Reply(), "0s", (1, 0, 0), (1, 0, 0))}
    with Origin("a") as origin:
        for flavour in flavours:
            clusters = [c.cluster(name, 1 if name == "nobody" else origin.port, **options) for name in requests]
            made = c.static_bootstrap([c.listener("l", manager({n: r[2] for n, r in requests.items()}))], clusters, stats_flush_interval="0.1s", layered_runtime=NO_REPLAYS)
            with Proxy(flavour, made) as proxy:
                for name, (data, action, _, *expected) in requests.items():
                    if action is not None:
                        origin.next(action() if callable(action) else action)
                    send(proxy, data)
                    proxy.wait_stat(f"cluster.{name}.upstream_rq_active", 0)
                    for series, (count, least, most) in zip(("percent_used", "per_try_percent_used"), expected):
                        def got(name=name, series=series):
                            return samples(proxy, name).get(f"upstream_rq_timeout_budget_{series}", (0, 0))
                        wait_for(lambda: got()[0] == count, f"{count} {series} of {name} in {flavour}")
                        assert least <= got()[1] <= most, (flavour, name, series)


def test_nothing_of_clusters_that_do_not_ask(flavours):
    with Origin("a") as origin:
        for flavour in flavours:
            with Proxy(flavour, c.static_bootstrap([c.listener("l", manager({"a": "15s"}))], [c.cluster("a", origin.port)], stats_flush_interval="0.1s")) as proxy:
                send(proxy, get("/a"))
                proxy.wait_stat("cluster.a.upstream_rq_completed", 1)
                assert samples(proxy, "a") == {}
