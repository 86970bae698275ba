"""Histograms on the admin pages: quantiles, buckets and details, of the last interval and of all time; as Envoy."""

import json
import re

import pytest

from harness import config as c
from harness import promcheck
from harness.client import Client
from harness.proxy import Proxy
from harness.upstream import Origin
from harness.wait import wait_for

TIME = "cluster.a.upstream_rq_time"
# Spellings that a label or a name of Prometheus cannot have.
ODD = "a-b.c/\"d\\é 1"


@pytest.fixture(scope="module")
def origin():
    with Origin("a") as made:
        yield made


def bootstrap(origin, **more):
    """Intervals end whenever somebody looks, so that nothing depends on time."""
    return c.static_bootstrap([c.listener("l", c.hcm(c.simple_routes("r", "a")))], [c.cluster("a", origin.port)],
                              **(more or {"stats_flush_on_admin": True}))


@pytest.fixture(scope="module")
def busy(flavours, origin):
    """Both proxies after seven requests, and one more look at the page: {flavour: Proxy}."""
    made = {}
    try:
        for flavour in flavours:
            made[flavour] = Proxy(flavour, bootstrap(origin))
            made[flavour].start()
            ask(made[flavour], 7)
            made[flavour].wait_stat("http.ingress.downstream_rq_2xx", 7)
        yield made
    finally:
        for proxy in made.values():
            proxy.stop()


def ask(proxy, times):
    with Client(proxy.address("l")) as client:
        for _ in range(times):
            assert client.get("/").status == 200


def page(proxy, query, path="/stats"):
    reply = proxy.admin(f"{path}?filter=^{TIME}$&{query}")
    return reply.status, reply.text


def shape(text):
    """The page with the numbers taken out that are samples: (i,c) pairs, counts and JSON values."""
    text = re.sub(r"\((nan|[\d.e+]+),(nan|[\d.e+]+)\)", "(#,#)", text)
    text = re.sub(r"(totals|intervals)=[^\n]*", r"\1=#", text)
    text = re.sub(r'("(?:interval|cumulative)"):(null|[\d.e+]+)', r"\1:#", text)
    text = re.sub(r'\[(\{"lower_bound"[^\]]*)?\]', "[#]", text)
    return re.sub(r"} (nan|[\d.e+]+)\n", "} #\n", text)


@pytest.mark.differential
@pytest.mark.parametrize("path", ["/stats", "/stats/prometheus"])
@pytest.mark.parametrize("form", ["", "&format=json"])
@pytest.mark.parametrize("mode", ["", "none", "summary", "cumulative", "disjoint", "detailed", "x"])
def test_shape(busy, path, form, mode):
    seen = {f: page(proxy, f"histogram_buckets={mode}{form}", path) for f, proxy in busy.items()}
    for flavour, (status, text) in seen.items():
        wanted = 400 if mode == "x" or (path == "/stats/prometheus" and mode in ("disjoint", "detailed")) else 200
        assert status == wanted, (flavour, text)
        if status == 200 and form and path == "/stats":
            json.loads(text)
    if len(seen) > 1 and mode != "x":  # its usage names a mode for protobuf
        if form and path == "/stats":
            seen = {f: (status, json.dumps(json.loads(text, parse_int=float),
                                         separators=(",", ":"))) for f, (status, text) in seen.items()}
        assert shape(seen["envoy"][1]) == shape(seen["nuncio"][1])


def test_each_sample_is_in_one_interval(flavour, origin):
    def look():
        status, text = page(proxy, "format=json&histogram_buckets=detailed")
        assert status == 200
        details = [d for s in json.loads(text)["stats"] for d in s["histograms"]["details"]]
        return tuple(sum(b["count"] for d in details for b in d[k]) for k in ("totals", "intervals"))

    def all_seen():
        total, interval = look()
        seen.append(interval)
        return total == 5 and sum(seen) == 5

    with Proxy(flavour, bootstrap(origin)) as proxy:
        seen = []
        ask(proxy, 2)
        wait_for(lambda: seen.append(look()[1]) or sum(seen) == 2, "two samples")
        ask(proxy, 3)
        wait_for(all_seen, lambda: f"five samples, not {seen}")
        wait_for(lambda: look() == (5, 0), "an interval without samples")
        assert re.search(r"P50\(nan,[\d.e+]+\)", page(proxy, "")[1])
        assert '"interval":null' in page(proxy, "format=json")[1]
        _, text = page(proxy, "histogram_buckets=cumulative")
        assert text.rstrip().endswith("B3.6e+06(0,5)")
        _, text = page(proxy, "histogram_buckets=disjoint")
        assert sum(int(n) for n in re.findall(r"\(0,(\d+)\)", text)) == 5


def test_intervals_end_by_themselves(flavour, origin):
    with Proxy(flavour, bootstrap(origin, stats_flush_interval="0.3s")) as proxy:
        ask(proxy, 2)
        wait_for(lambda: "(0,2)" not in page(proxy, "histogram_buckets=cumulative")[1]
                 and "B3.6e+06(2,2)" in page(proxy, "histogram_buckets=cumulative")[1], "in the interval")
        wait_for(lambda: "B3.6e+06(0,2)" in page(proxy, "histogram_buckets=cumulative")[1], "and no more in the next")


@pytest.mark.differential
def test_selection(busy):
    """Parameters beside histogram_buckets."""
    for flavour, proxy in busy.items():
        inverted = proxy.admin("/stats?filter=^cluster&invert_filter").text
        assert "\nserver.live: 1" in inverted and "\ncluster." not in "\n" + inverted, flavour
        inverted = proxy.admin("/stats/prometheus?filter=^cluster&invert_filter").text
        assert "envoy_server_live{" in inverted and "envoy_cluster_upstream" not in inverted, flavour
        assert proxy.admin("/stats?type=counters").status == 400, flavour
        assert proxy.admin("/stats?format=&filter=^server.live$").text == "server.live: 1\n", flavour
        assert proxy.admin("/stats?filter=(").text == "Invalid re2 regex: missing ): (", flavour


@pytest.mark.differential
def test_prometheus_accepts_the_pages(flavours, origin):
    """What `promtool check metrics` does, over names, labels and texts that need care. Envoy's metrics have no help and
    its counters no suffix; nuncio's are complained about for nothing else."""
    seen = {}
    listener = c.listener("l", c.hcm(c.simple_routes("r", ODD), stat_prefix="x-y.ü z"), stat_prefix="p q\\\"")
    made = c.static_bootstrap(
        [listener], [c.cluster(ODD, origin.port), c.cluster("plain", origin.port)], stats_flush_on_admin=True,
        stats_config={"stats_tags": [{"tag_name": "zone-1", "fixed_value": 'z "\\ 1'},
                                     {"tag_name": "half.rq", "regex": r"downstream(_rq)_total"}]})
    for flavour in flavours:
        with Proxy(flavour, made) as proxy:
            ask(proxy, 3)
            wait_for(lambda: "envoy_http_downstream_rq_xx" in proxy.admin("/stats/prometheus?usedonly").text, "counted")
            for query in ("", "text_readouts", "usedonly", "histogram_buckets=summary", "histogram_buckets=cumulative"):
                complaints = promcheck.check(proxy.admin(f"/stats/prometheus?{query}").text)
                seen[flavour, query] = {line.split(": ", 1)[1] for line in complaints}
    for (flavour, query), complaints in seen.items():
        if flavour == "nuncio":
            assert complaints - seen.get(("envoy", query), complaints) == set(), query
            assert "no help text" in complaints


def test_the_check_can_fail():
    with pytest.raises(AssertionError):
        promcheck.check("a{b=\"c} 1\n")
