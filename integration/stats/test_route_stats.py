"""Series below vhost.: virtual clusters and routes with a stat_prefix; as Envoy, name by name and label by label."""

import json
import re

import pytest

from harness import config as c
from harness.client import Client
from harness.proxy import Proxy, validate
from harness.upstream import Origin, Refused, Reply, hang
from harness.wait import wait_for


def exact(header, value, **more):
    return {"name": header, "string_match": {"exact": value}, **more}


def table():
    """Three virtual hosts with the same routes; the last has no virtual clusters."""
    clusters = [{"name": "gets", "headers": [exact(":method", "GET"),
                                             {"name": ":path", "string_match": {"prefix": "/v"}}]},
                {"name": "any.get", "headers": [exact(":method", "GET")]},
                {"name": "never", "headers": [exact(":method", "GET")]}]
    named = [{"header": {"key": "x-vc", "value": "%VIRTUAL_CLUSTER_NAME%"}}]
    forward = [c.direct("/direct"), c.route("/none", "absent"), c.route("/refused", "refused", stat_prefix="down"),
               c.route("/empty", "empty", stat_prefix="no.hosts"),
               c.route("/slow", {"cluster": "a", "timeout": "0.1s"}, stat_prefix="slow"),
               c.route("/plain", "a", stat_prefix="plain", request_headers_to_add=named),
               c.route("/", "a", request_headers_to_add=named)]
    return c.routes("r", c.vhost("with", ["with"], *forward, virtual_clusters=clusters),
                    c.vhost("a.dotted:80", ["dotted"], *forward, virtual_clusters=clusters),
                    c.vhost("none", ["none"], *forward), validate_clusters=False)


# (method, path) and the virtual cluster that is told of; None: None has no name but in stats, or there is no cluster.
REQUESTS = {("GET", "/v"): "gets", ("POST", "/v"): None, ("GET", "/x"): "any.get", ("GET", "/plain"): "any.get",
            ("POST", "/missing"): None, ("GET", "/v/broken"): "gets", ("GET", "/direct"): None,
            ("GET", "/none"): None, ("GET", "/refused"): "any.get", ("GET", "/empty"): "any.get",
            ("POST", "/slow"): None}


def run(flavour, origin, refused, log):
    """What the pages say after REQUESTS at each virtual host; what the origin and the log were told."""
    fmt = '["%REQ(:AUTHORITY)%", "%REQ(:METHOD)%", "%REQ(:PATH)%", "%VIRTUAL_CLUSTER_NAME%"]\n'
    bootstrap = c.static_bootstrap(
        [c.listener("l", c.hcm(table(), access_log=[c.access_log(log, fmt)]))],
        [c.cluster("a", origin.port), c.cluster("refused", refused.port), c.cluster("empty")],
        stats_flush_interval="0.05s")
    with Proxy(flavour, bootstrap) as proxy:
        for host in ("with", "dotted", "none"):
            for method, path in REQUESTS:
                with Client(proxy.address("l")) as client:
                    client.get(path, host=host, method=method)
        proxy.wait_stat("http.ingress.downstream_rq_completed", 3 * len(REQUESTS))
        stats = proxy.stats("?filter=^vhost")
        merged = "envoy_vhost_route_upstream_rq_time_count", ('envoy_route="plain"', 'envoy_virtual_host="none"')
        wait_for(lambda: merged in samples(proxy.admin("/stats/prometheus").text), "histograms were merged")
        text = proxy.admin("/stats/prometheus").text
    named = [(r.header("host"), r.method, r.target, r.header("x-vc")) for r in origin.take() if r.target != "/slow"]
    with open(log, encoding="utf-8") as lines:
        logged = [tuple(json.loads(line)) for line in lines]
    return {"stats": stats, "prometheus": text, "named": named, "logged": logged}


@pytest.fixture(scope="module")
def seen(flavours, tmp_path_factory):
    with Origin("a") as origin, Refused() as refused:
        origin.on("/missing", Reply(404)).on("/v/broken", Reply(503)).on("/slow", hang())
        return {f: run(f, origin, refused, tmp_path_factory.mktemp("log") / f) for f in flavours}


def moved(stats):
    return {name: value for name, value in stats.items() if value}


def samples(text):
    """(name, labels) -> value of what is not zero; of histograms how often they were recorded."""
    found = re.findall(r"^(envoy_vhost\w+)\{(.*)\} (\S+)$", text, re.M)
    return {(name, tuple(sorted(labels.split(",")))): value for name, labels, value in found
            if value != "0" and not name.endswith(("_bucket", "_sum"))}


@pytest.mark.differential
def test_counters(seen):
    for page in seen.values():
        stats = moved(page["stats"])
        prefix = "vhost.with.vcluster."
        assert stats[prefix + "gets.upstream_rq_total"] == 2
        assert stats[prefix + "gets.upstream_rq_503"] == 1
        assert stats[prefix + "other.upstream_rq_404"] == 1
        assert stats[prefix + "other.upstream_rq_timeout"] == 1
        assert stats[prefix + "other.upstream_rq_504"] == 1
        assert stats[prefix + "any.get.upstream_rq_503"] == 2
        assert stats["vhost.none.route.slow.upstream_rq_timeout"] == 1
        assert stats["vhost.none.route.no.hosts.upstream_rq_503"] == 1
        assert not any(name.startswith(("vhost.none.vcluster", prefix + "never")) for name in stats)
    if len(seen) > 1:
        assert moved(seen["nuncio"]["stats"]) == moved(seen["envoy"]["stats"])


@pytest.mark.differential
def test_labels(seen):
    for page in seen.values():
        labels = ('envoy_response_code="404"', 'envoy_virtual_cluster="other"', 'envoy_virtual_host="with"')
        assert samples(page["prometheus"])["envoy_vhost_vcluster_upstream_rq", labels] == "1"
    if len(seen) > 1:
        assert samples(seen["nuncio"]["prometheus"]) == samples(seen["envoy"]["prometheus"])


@pytest.mark.differential
def test_names_of_requests(seen):
    """In headers of the request and in the log, also where the router answers itself."""
    for page in seen.values():
        assert ("with", "GET", "/v", "gets") in page["named"]
        assert [line for line in page["logged"] if line[0] == "with"] == [
            ("with", method, path, name or "-") for (method, path), name in REQUESTS.items()]
    if len(seen) > 1:
        assert seen["nuncio"]["named"] == seen["envoy"]["named"]
        assert seen["nuncio"]["logged"] == seen["envoy"]["logged"]


def test_untouched_series_are_not_there(seen):
    assert not any(".never." in name for name in seen["nuncio"]["stats"])


@pytest.mark.differential
@pytest.mark.parametrize("wrong", [{"name": "v"}, {"headers": [exact("a", "b")]}], ids=["headers", "name"])
def test_refused(flavours, wrong):
    host = c.vhost("v", ["*"], c.direct("/"), virtual_clusters=[wrong])
    bootstrap = c.static_bootstrap([c.listener("l", c.hcm(c.routes("r", host)))])
    for flavour in flavours:
        code, output = validate(flavour, bootstrap)
        assert code != 0 and re.search("headers|name", output, re.I), output
