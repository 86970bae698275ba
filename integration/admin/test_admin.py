"""The admin port: paths, methods, formats, and the series that dashboards and agents poll."""

import json
import re

import pytest

from harness import config as c
from harness.client import Client
from harness.h2peer import H2Client
from harness.proxy import Proxy
from harness.upstream import Origin


@pytest.fixture(scope="module")
def proxy(flavour):
    with Origin("a") as origin:
        bootstrap = c.static_bootstrap(
            [c.listener("l", c.hcm(c.simple_routes("r", "a"), stat_prefix="in"))],
            [c.cluster("a", origin.port), c.cluster("<script>\"'&", origin.port)],
            stats_flush_on_admin=True)
        with Proxy(flavour, bootstrap) as running:
            with running.connect("l") as client:
                for _ in range(3):
                    assert client.get("/").status == 200
            yield running


@pytest.mark.parametrize("path, kind", [
    ("/ready", "text/plain"), ("/server_info", "application/json"), ("/stats", "text/plain"),
    ("/stats/prometheus", "text/plain"), ("/clusters", "text/plain"), ("/listeners", "text/plain"),
    ("/config_dump", "application/json"), ("/clusters?format=json", "application/json"),
    ("/listeners?format=json", "application/json"), ("/stats?format=json", "application/json"),
    ("/help", "text/plain"), ("/memory", "application/json"), ("/hot_restart_version", "text/plain"),
])
def test_get(proxy, path, kind):
    reply = proxy.admin(path)
    headers = {name.lower(): value for name, value in reply.headers}
    assert reply.status == 200
    assert headers["content-type"].startswith(kind)
    assert headers["cache-control"] == "no-cache, max-age=0"
    assert headers["x-content-type-options"] == "nosniff"
    if kind == "application/json":
        json.loads(reply.body)


@pytest.mark.parametrize("path", ["/logging", "/logging?level=debug", "/quitquitquit", "/reset_counters"])
def test_what_changes_something_wants_post(proxy, path):
    reply = proxy.admin(path)
    assert (reply.status, reply.text) == (405, "Method GET not allowed, POST required.")
    assert proxy.is_running()


def test_unknown_path(proxy):
    reply = proxy.admin("/nope")
    assert reply.status == 404
    assert reply.text.startswith("invalid path. admin commands are:\n")


def test_ready(proxy):
    reply = proxy.admin("/ready")
    assert (reply.status, reply.text) == (200, "LIVE\n")


def test_server_info(proxy):
    info = proxy.admin("/server_info").json()
    assert info["state"] == "LIVE"
    assert info["node"]["id"] == "test-node"
    assert info["command_line_options"]["concurrency"] == 1
    assert re.match(r".+/.+/.+", info["version"])
    assert re.fullmatch(r"[0-9]+s", info["uptime_current_epoch"])


@pytest.mark.parametrize("path", ["//stats?filter=server.state", "/stats?filter=^server\\.state$",
                                  "/stats?filter=%5Eserver%5C.state%24", "/stats?usedonly&filter=^server\\.state$"])
def test_stats_filter(proxy, path):
    reply = proxy.admin(path)
    assert (reply.status, reply.text) == (200, "server.state: 0\n")


def test_what_pilot_agent_polls(proxy):
    reply = proxy.admin("/stats?usedonly&filter=^(server\\.state|listener_manager\\.workers_started)")
    assert reply.text == "listener_manager.workers_started: 1\nserver.state: 0\n"


HIDDEN = "usage: /stats?hidden=(include|only|exclude)\n\n"


@pytest.mark.parametrize("query, words", [
    ("filter=(&type=x", "Invalid re2 regex: missing ): ("), ("filter=%ff", "Invalid re2 regex: invalid UTF-8"),
    ("invert_filter", "invert_filter can only be used if filter is also provided"),
    ("format=xx", "usage: /stats?format=("), ("type=x&hidden=x&format=x", "invalid &type= param"),
    ("hidden=x&format=x", HIDDEN), ("histogram_buckets=x&type=x", "usage: /stats?histogram_buckets=(cumulative|"),
])
def test_the_first_mistake_is_told(proxy, query, words):
    reply = proxy.admin("/stats?" + query)
    assert (reply.status, reply.text[:len(words)]) == (400, words)


def test_mistakes_on_the_prometheus_page(proxy):
    reply = proxy.admin("/stats/prometheus?hidden=x")
    assert (reply.status, reply.text) == (400, HIDDEN)


@pytest.mark.parametrize("query, text", [
    ("hidden=include", "server.live: 1\n"), ("hidden=exclude", "server.live: 1\n"), ("hidden=", "server.live: 1\n"),
    ("hidden=only", ""), ("type=", "server.live: 1\n"),
])
def test_parameters_that_select(proxy, query, text):
    assert proxy.admin("/stats?filter=^server\\.live&" + query).text == text


def test_clusters_filter_is_utf8(proxy):
    reply = proxy.admin("/clusters?filter=%ff")
    assert (reply.status, reply.text) == (400, "Invalid re2 regex")


def test_http2_with_prior_knowledge(proxy):
    def get(method, path):
        return [(":method", method), (":path", path), (":scheme", "http"), (":authority", "a")]

    with H2Client(proxy.admin_address) as client:
        assert client.finish(client.start(get("GET", "/ready"), end=True)).body == b"LIVE\n"
        assert client.finish(client.start(get("POST", "/healthcheck/ok"), end=True)).body == b"OK\n"
        assert client.finish(client.start(get("GET", "/healthcheck/ok"), end=True)).status == 405
        head = client.finish(client.start(get("HEAD", "/stats"), end=True))
        assert head.status == 200
        assert head.body == b"" or proxy.flavour == "envoy"
        assert len(client.finish(client.start(get("GET", "/config_dump"), end=True)).body) > 2000


def test_stats_are_sorted_and_whole(proxy):
    lines = proxy.admin("/stats").text.splitlines()
    scalar = [line.split(": ")[0] for line in lines if re.search(r": \d+$", line)]
    assert scalar == sorted(scalar)
    assert any(line.startswith("cluster.a.upstream_rq_time: ") for line in lines)


ALWAYS = [
    "server.state", "server.live", "server.uptime", "server.concurrency", "server.memory_allocated",
    "server.total_connections", "listener_manager.workers_started",
    "listener_manager.total_listeners_active", "listener_manager.total_listeners_draining",
    "listener_manager.total_listeners_warming", "listener_manager.listener_added", "listener_manager.listener_modified",
    "listener_manager.listener_removed", "listener_manager.listener_in_place_updated",
    "listener_manager.listener_create_success", "listener_manager.listener_create_failure",
    "cluster_manager.active_clusters", "cluster_manager.warming_clusters", "cluster_manager.cluster_added",
    "cluster_manager.cluster_modified", "cluster_manager.cluster_removed", "cluster_manager.cluster_updated",
    "listener.127.0.0.1_0.downstream_cx_active", "listener.127.0.0.1_0.downstream_cx_total",
    "listener.127.0.0.1_0.downstream_cx_destroy", "listener.127.0.0.1_0.no_filter_chain_match",
    "http.in.downstream_cx_active", "http.in.downstream_cx_total", "http.in.downstream_rq_total",
    "http.in.downstream_rq_active", "http.in.downstream_rq_2xx", "http.in.downstream_rq_4xx",
    "http.in.downstream_rq_5xx", "http.in.downstream_rq_completed", "http.in.downstream_cx_http1_total",
    "http.in.downstream_cx_protocol_error", "http.in.downstream_rq_timeout", "http.in.downstream_cx_idle_timeout",
    "http.in.no_route", "http.in.no_cluster", "http.in.rq_total", "http.in.rq_direct_response", "http.in.rq_redirect",
    "cluster.a.upstream_cx_total", "cluster.a.upstream_cx_active", "cluster.a.upstream_rq_total",
    "cluster.a.upstream_rq_active", "cluster.a.upstream_rq_2xx", "cluster.a.upstream_rq_200",
    "cluster.a.upstream_rq_completed", "cluster.a.upstream_cx_connect_fail", "cluster.a.upstream_rq_timeout",
    "cluster.a.upstream_cx_rx_bytes_total", "cluster.a.upstream_cx_tx_bytes_total", "cluster.a.membership_total",
    "cluster.a.membership_healthy", "cluster.a.membership_change", "cluster.a.lb_healthy_panic",
    "cluster.a.upstream_rq_pending_overflow", "cluster.a.upstream_rq_pending_total",
    "cluster.a.circuit_breakers.default.cx_open", "cluster.a.circuit_breakers.default.rq_open",
]


def test_series_that_are_always_there(proxy):
    text = proxy.admin("/stats").text
    have = {line.split(": ")[0] for line in text.splitlines()}
    assert [name for name in ALWAYS if name not in have] == []


@pytest.mark.parametrize("name, value", [
    ("http.in.downstream_rq_total", 3), ("http.in.downstream_rq_2xx", 3), ("http.in.downstream_rq_completed", 3),
    ("http.in.downstream_cx_total", 1), ("http.in.downstream_cx_active", 0), ("http.in.downstream_rq_active", 0),
    ("listener.127.0.0.1_0.downstream_cx_total", 1), ("listener.127.0.0.1_0.downstream_cx_active", 0),
    ("cluster.a.upstream_rq_total", 3), ("cluster.a.upstream_rq_200", 3), ("cluster.a.upstream_cx_total", 1),
    ("cluster.a.membership_total", 1), ("cluster_manager.active_clusters", 2), ("server.state", 0), ("server.live", 1),
    ("listener_manager.total_listeners_active", 1), ("server.concurrency", 1),
])
def test_value(proxy, name, value):
    proxy.wait_stat(name, value, 5)


def test_usedonly_means_ever_written(proxy):
    """A gauge that went back to zero was used; a counter that nobody touched was not."""
    used = {line.split(": ")[0] for line in proxy.admin("/stats?usedonly").text.splitlines()}
    assert "http.in.downstream_cx_active" in used
    assert "http.in.downstream_rq_active" in used
    assert "http.in.downstream_rq_4xx" not in used


def test_prometheus(proxy):
    text = proxy.admin("/stats/prometheus").text
    assert "# TYPE envoy_http_downstream_rq_total counter\n" in text
    assert 'envoy_http_downstream_rq_total{envoy_http_conn_manager_prefix="in"} 3\n' in text
    assert 'envoy_cluster_upstream_rq_total{envoy_cluster_name="a"} 3\n' in text
    assert 'envoy_http_downstream_rq_xx{envoy_response_code_class="2",envoy_http_conn_manager_prefix="in"} 3\n' in text
    assert 'envoy_cluster_upstream_rq{envoy_response_code="200",envoy_cluster_name="a"} 3\n' in text
    assert "envoy_server_live{} 1\n" in text
    assert "# TYPE envoy_cluster_upstream_rq_time histogram\n" in text
    buckets = re.findall(r'envoy_cluster_upstream_rq_time_bucket\{envoy_cluster_name="a",le="([^"]+)"\} (\d+)', text)
    assert buckets[-1] == ("+Inf", "3")
    counts = [int(n) for _, n in buckets]
    assert counts == sorted(counts)
    assert re.search(r'envoy_cluster_upstream_rq_time_count\{envoy_cluster_name="a"\} 3\n', text)
    # Every family has its type once, before its samples.
    families = re.findall(r"^# TYPE (\S+) ", text, re.M)
    assert len(families) == len(set(families))
    # Label values are escaped.
    for line in text.splitlines():
        if "script" in line and not line.startswith("#"):
            assert re.fullmatch(r'\S+\{([a-z_]+="([^"\\\n]|\\.)*",?)+\} \S+', line), line


def test_stats_json(proxy):
    stats = proxy.admin("/stats?format=json").json()["stats"]
    scalars = {s["name"]: s["value"] for s in stats if "name" in s}
    assert scalars["http.in.downstream_rq_total"] == 3
    (histograms,) = [s["histograms"] for s in stats if "histograms" in s]
    assert histograms["supported_quantiles"]
    assert "cluster.a.upstream_rq_time" in [q["name"] for q in histograms["computed_quantiles"]]


def test_clusters_text(proxy):
    lines = set(proxy.admin("/clusters").text.splitlines())
    assert "a::default_priority::max_connections::1024" in lines
    assert "a::added_via_api::false" in lines
    (host,) = {line.split("::")[1] for line in lines if line.startswith("a::127.0.0.1")}
    assert {f"a::{host}::health_flags::healthy", f"a::{host}::rq_total::3", f"a::{host}::rq_success::3",
            f"a::{host}::weight::1", f"a::{host}::priority::0", f"a::{host}::cx_active::1"} <= lines


def test_clusters_json(proxy):
    by_name = {s["name"]: s for s in proxy.admin("/clusters?format=json").json()["cluster_statuses"]}
    (host,) = by_name["a"]["host_statuses"]
    assert host["health_status"]["eds_health_status"] == "HEALTHY"
    assert {s["name"]: s.get("value") for s in host["stats"]}["rq_total"] == "3"
    assert host["weight"] == 1


def test_config_dump(proxy):
    configs = {part["@type"].rsplit(".", 1)[-1]: part for part in proxy.config_dump()["configs"]}
    assert {"BootstrapConfigDump", "ClustersConfigDump", "ListenersConfigDump", "RoutesConfigDump"} <= set(configs)
    names = [entry["cluster"]["name"] for entry in configs["ClustersConfigDump"]["static_clusters"]]
    assert sorted(names) == sorted(["a", "<script>\"'&"])
    (listener,) = configs["ListenersConfigDump"]["static_listeners"]
    assert listener["listener"]["name"] == "l"
    assert listener["listener"]["@type"] == c.LISTENER
    (routes,) = configs["RoutesConfigDump"]["static_route_configs"]
    assert routes["route_config"]["virtual_hosts"][0]["domains"] == ["*"]
    assert configs["BootstrapConfigDump"]["bootstrap"]["node"]["id"] == "test-node"


def test_config_dump_of_one_list(proxy):
    dump = proxy.admin("/config_dump?resource=static_clusters").json()["configs"]
    assert {entry["cluster"]["name"] for entry in dump} == {"a", "<script>\"'&"}
    assert proxy.admin("/config_dump?resource=nope").status == 404


def test_logging(proxy):
    reply = proxy.admin("/logging?level=debug", "POST")
    assert reply.status == 200
    assert reply.text.startswith("active loggers:\n")
    assert ": debug\n" in reply.text
    assert proxy.admin("/logging?level=nonsense", "POST").status == 400
    assert proxy.admin("/logging?level=info", "POST").status == 200


def test_reset_counters(flavour):
    with Proxy(flavour, c.static_bootstrap([c.listener("l", c.hcm(c.routes("r", c.vhost("v", ["*"]))))])) as proxy:
        with proxy.connect("l") as client:
            assert client.get("/").status == 404
        proxy.wait_stat("http.ingress.downstream_rq_4xx", 1)
        assert proxy.admin("/reset_counters", "POST").text == "OK\n"
        assert proxy.stat("http.ingress.downstream_rq_4xx") == 0


def test_slow_admin_client_blocks_nobody(proxy):
    """A client that asks for a big answer and does not read it."""
    with Client(proxy.admin_address) as stuck:
        stuck.send(b"GET /stats HTTP/1.1\r\nHost: a\r\n\r\n" * 200)
        for _ in range(20):
            assert proxy.admin("/ready").status == 200
        with proxy.connect("l") as client:
            assert client.get("/").status == 200


def test_names_are_escaped(proxy):
    for path in ("/clusters?format=json", "/config_dump", "/stats?format=json"):
        json.loads(proxy.admin(path).body)
    headers = {n.lower(): v for n, v in proxy.admin("/clusters").headers}
    assert headers["content-type"].startswith("text/plain")


def test_admin_is_on_loopback_only(proxy):
    assert proxy.admin_address[0] == "127.0.0.1"


@pytest.mark.parametrize("path", ["/xds", "/unsupported"])
def test_own_pages(proxy, path):
    if proxy.flavour == "envoy":
        pytest.skip("nuncio's own")
    assert proxy.admin(path).status == 200
