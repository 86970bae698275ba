"""track_cluster_stats.per_endpoint_stats: a series for each count of each endpoint, as Envoy, name by name and label by
label; what is there follows the endpoints."""

import json
import re

from harness import config as c
from harness.proxy import Proxy
from harness.upstream import Origin, Refused, Reply
from harness.wait import wait_for

TRACKED = {"track_cluster_stats": {"per_endpoint_stats": True}}


def named(name, port):
    return {"endpoint": {"hostname": name, "address": c.address(port)}}


def series(proxy):
    """{name: value} of /stats; the samples of /stats/prometheus."""
    stats = {s["name"]: s["value"] for s in json.loads(proxy.admin("/stats?format=json&filter=endpoint").text)["stats"]
             if "name" in s}
    text = proxy.admin("/stats/prometheus?filter=endpoint").text
    return stats, sorted(line for line in text.splitlines() if line.startswith("envoy_cluster_endpoint_"))


def run(flavour, origin, refused):
    clusters = [
        c.cluster("a", named("one", origin.port), refused.port, c.endpoint(origin.port, "::1", health="UNHEALTHY"),
                  {"endpoint": {"address": {"pipe": {"path": "/nonexistent/endpoint"}}}, "health_status": "DEGRADED"},
                  alt_stat_name="other:name", **TRACKED),
        c.cluster("untracked", origin.port)]
    table = c.routes("r", c.vhost("all", ["*"], c.route("/untracked", "untracked"), c.route("/", "a")))
    with Proxy(flavour, c.static_bootstrap([c.listener("l", c.hcm(table))], clusters)) as proxy:
        with proxy.connect("l") as client:
            for target in ["/"] * 4 + ["/broken"] * 2 + ["/untracked"]:
                client.get(target)
        proxy.wait_stat("http.ingress.downstream_rq_active", 0)
        return series(proxy)


def test_counts_of_each_endpoint(flavours):
    with Origin("a") as origin, Refused() as refused:
        origin.on("/broken", Reply(500))
        seen = {flavour: run(flavour, origin, refused) for flavour in flavours}
        for stats, samples in seen.values():
            prefix = f"cluster.other_name.endpoint.127.0.0.1_{origin.port}."
            assert stats[prefix + "rq_total"] == stats[prefix + "rq_success"] + stats[prefix + "rq_error"] > 0
            assert stats[prefix + "cx_active"] == stats[prefix + "healthy"] == 1
            assert stats[f"cluster.other_name.endpoint.127.0.0.1_{refused.port}.cx_connect_fail"] > 0
            assert stats[f"cluster.other_name.endpoint.[__1]_{origin.port}.healthy"] == 0
            assert len(stats) == len(samples) == 4 * 10
            assert not [name for name in stats if "untracked" in name]
        # Where the balancer begins is its own affair, so only names and labels are compared.
        if len(seen) > 1:
            assert set(seen["envoy"][0]) == set(seen["nuncio"][0])
            labels = {flavour: [re.sub(r" \d+$", "", s) for s in samples] for flavour, (_, samples) in seen.items()}
            assert labels["envoy"] == labels["nuncio"]


def test_series_come_and_go_with_endpoints_and_counts_stay(flavour, ads):
    with Origin("a") as one, Origin("a") as two, Proxy(flavour, c.ads_bootstrap(ads.port)) as proxy:
        ads.set("cds", c.eds_cluster("e", **TRACKED)).set("eds", c.endpoints("e", one.port))
        ads.set("lds", c.listener("l", c.hcm(c.simple_routes("r", "e"))))
        proxy.wait_listener("l")
        with proxy.connect("l") as client:
            assert client.get("/").status == 200
        prefix = "cluster.e.endpoint.127.0.0.1_{}.rq_total"
        first, second = prefix.format(one.port), prefix.format(two.port)
        proxy.wait_stat(first, 1)
        assert second not in series(proxy)[0]
        ads.set("eds", c.endpoints("e", one.port, two.port))
        wait_for(lambda: second in series(proxy)[0], "the second has series")
        assert proxy.stat(first) == 1
        ads.set("eds", c.endpoints("e", two.port))
        wait_for(lambda: first not in series(proxy)[0], "the first has none any more")
        ads.set("cds", c.eds_cluster("e")).set("eds", c.endpoints("e", one.port, two.port))
        wait_for(lambda: not series(proxy)[0], "nobody wants them")
