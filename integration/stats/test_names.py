"""The names of all series, their kinds and their tags: one configuration and the same traffic in both proxies. Every
difference has a row here; that something is missing is in the README too."""

import contextlib
import re

import pytest

from harness import certs, tls
from harness import config as c
from harness import promcheck
from harness.client import Client
from harness.h2peer import H2Client, H2Origin
from harness.proxy import Proxy
from harness.translate import Answer
from harness.upstream import Origin

CODES = r"upstream_rq_([1-5]xx|completed|time|unknown)"

# Names of Envoy's that nuncio has not, and why. Each row must be needed.
LACKING = [
    # Shown once a worker has counted anything for the cluster (README).
    (r"cluster\.idle\..*", "nobody uses it"),
    (r"cluster\.ads\.(bind_errors|lb_healthy_panic|(internal\.)?upstream_.*|http2\..*)",
     "the stream to the control plane is gRPC's own, not a pool's"),
    (r"http\.async-client\..*", "likewise: no client of this kind has asked for anything"),
    # Never anything but zero there, or of features that nuncio has not.
    (r"cluster\.\w+\.lb_(subsets|zone|recalculate|local)_.*", "subsets; routing by zone"),
    (r"cluster\.\w+\.upstream_(http3_broken|cx_http3_total|cx_connect_with_0_rtt|rq_0rtt)", "HTTP/3"),
    (r"cluster\.\w+\.upstream_cx_(preconnect_skipped|pool_overflow)", "preconnecting; limit of pools"),
    (r"cluster\.\w+\.circuit_breakers\.\w+\.cx_pool_open", "limit of pools"),
    (r"cluster\.\w+\.(upstream|http\.passthrough)_internal_redirect_.*", "internal redirects"),
    (r"http\.\w+\.passthrough_internal_redirect_.*", "internal redirects"),
    (r"http\.\w+\.tracing\..*", "tracing"),
    (r"cluster\.\w+\.original_dst_host_invalid", "ORIGINAL_DST"),
    (r"cluster\.\w+\.retry_or_shadow_abandoned", "what is buffered for a retry is dropped without a count"),
    (r"cluster\.\w+\.upstream_rq_(maintenance_mode|per_try_idle_timeout|retry_backoff_\w+|rx_reset_no_error)",
     "not counted"),
    (r"cluster\.\w+\.upstream_(queue_overloaded|cx_[rt]x_bytes_buffered)", "not counted"),
    (r"cluster\.\w+\.(warming_state|max_host_weight|assignment_\w+)", "not counted"),
    (r"cluster\.\w+\.(update_(attempt|empty|failure|no_rebuild|success)|version)",
     "where no control plane or DNS tells endpoints there is nothing to update"),
    (r".*\.update_duration", "not counted"),
    (r"http\.dynamic\.rds\.routes\.update_empty", "not counted"),
    (r"cluster_manager\.(cds\.config_reload_time_ms|cluster_updated_via_merge|update_merge_cancelled|"
     r"update_out_of_merge_window)", "not counted; updates are never merged over time"),
    (r"cluster\.\w+\.http1\..*", "not counted for clusters"),
    (r"(cluster\.\w+\.)?http2\.(cookie_\w+|cookies_\w+|header_count|header_list_size|\w+http2_\w+_connections)",
     "of its libraries, or not counted"),
    (r"cluster\.tls\.client_ssl_socket_factory\..*", "shown once secrets have moved them"),
    (r"listener\.secret\.server_ssl_socket_factory\.upstream_context_secrets_not_ready", "a client's; here is a server"),
    (r"listener\.\w+\.(network_)?extension_config_missing|listener\.127\.0\.0\.1_PORT\.(network_)?extension_config_missing",
     "ECDS"),
    (r"listener\.admin\.http\.admin\..*", "codes of the admin page are counted in http.admin only"),
    (r"listener_manager\.workers_pinned", "CPU pinning"),
    (r"overload\.refresh_interval_delay", "there with an overload manager only"),
    (r"server\.(compilation_settings\.fips_mode|dropped_stat_flushes|envoy_notifications|stats_recent_lookups|wip_protos)",
     "of its build and its symbol table"),
    (r"tcp\.raw\.(downstream_cx_overload_close|route_delayed_total)", "not counted"),
    (r"thread_local_cluster_manager\..*", "of its threads' tables"),
]

# And the other way round.
ADDED = [
    (rf"cluster\.\w+\.((canary|external|internal)\.)?{CODES}", "there together, at zero"),
    (r"filesystem\.write_dropped", "lines that a full buffer dropped"),
    (r"http\.admin\.(no_\w+|rq_\w+)", "as every connection manager's"),
    (r"listener\.[\w.]+\.downstream_cx_accept_paused", "out of file descriptors"),
    (r"(cluster\.tls|listener\.secret)\.ssl\.was_key_usage_invalid", "shown before it is counted"),
    (r"listener_manager\.lds\.config_reload", "as cluster_manager.cds's"),
    (r"server\.hot_restart_generation", "shown without hot restart too"),
]


def bootstrap(ads, origins, log):
    table = c.routes("local", c.vhost(
        "all", ["*"], c.route("/h2", "h2"), c.route("/tls", "tls"), c.route("/none", "none"), c.route("/", "h1")))
    made = c.ads_bootstrap(
        ads.port,
        static_clusters=[
            c.cluster("h1", origins["h1"].port), c.cluster("none", 1),
            c.cluster("h2", origins["h2"].port, typed_extension_protocol_options=c.http_options()),
            c.cluster("tls", origins["tls"].port, transport_socket=c.upstream_tls()),
            c.cluster("idle", 1)],
        layered_runtime={"layers": [{"name": "static", "static_layer": {"a": {"b": 1}}}, {"name": "admin", "admin_layer": {}}]},
        stats_flush_on_admin=True)
    made["static_resources"]["listeners"] = [
        c.listener("plain", c.hcm(table, log=log), stat_prefix="plain"),
        c.listener("tcp", c.tcp_proxy("h1", stat_prefix="raw")),
        c.listener("secret", c.chain(c.hcm(table, stat_prefix="secret"), transport_socket=c.downstream_tls(
            alpn=["h2", "http/1.1"], common={"tls_certificate_sds_secret_configs": [c.sds("cert", "ads")]})),
            listener_filters=[c.tls_inspector()], stat_prefix="secret")]
    return made


PAGES = ("", "text_readouts", "usedonly", "histogram_buckets=summary")


class Seen:
    """What one proxy shows after the traffic."""

    def __init__(self, proxy):
        stats = dict(line.split(": ", 1) for line in proxy.admin("/stats").text.splitlines() if ": " in line)
        self.values = {normal(name): value for name, value in stats.items()}
        self.series = series_of(proxy)
        self.pages = {query: proxy.admin(f"/stats/prometheus?{query}").text for query in PAGES}


def normal(name):
    return re.sub(r"(?<=127\.0\.0\.1[_:])\d+|(?<=127_0_0_1_)\d+", "PORT", name)


def series_of(proxy):
    """(metric, type, labels) of the page for Prometheus."""
    out, kinds = set(), {}
    for line in proxy.admin("/stats/prometheus?text_readouts").text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            kinds[name] = kind
        elif m := re.fullmatch(r"(\w+)\{(.*)\} [-\d.e+naif]+", line):
            name = re.sub(r"_(bucket|sum|count)$", "", m[1]) if m[1] not in kinds else m[1]
            labels = {k: v for k, v in re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', m[2]) if k not in ("le", "text_value")}
            out.add((normal(name), kinds[name], tuple(sorted((k, normal(v)) for k, v in labels.items()))))
        else:
            assert not line, line
    return out


@pytest.fixture(scope="module")
def seen(flavours, ads_process, tmp_path_factory):
    """{flavour: Seen} after the same traffic."""
    ads = ads_process.reset()
    issued = certs.Authority("root").leaf("test.example")
    with Origin("h1") as h1, Origin("tls", tls=tls.context(server=True, certificate=issued)) as secret, \
            contextlib.closing(H2Origin("h2", Answer(body=b"h2"))) as h2:
        ads.set("cds", c.eds_cluster("eds"))
        ads.set("eds", c.endpoints("eds", h1.port))
        ads.set("sds", c.tls_secret("cert", issued))
        ads.set("lds", c.listener("l", c.hcm(rds="routes", stat_prefix="dynamic"), stat_prefix="dynamic"))
        ads.set("rds", c.simple_routes("routes", "eds"))
        found = {}
        for flavour in flavours:
            log = tmp_path_factory.mktemp("names") / "log"
            with Proxy(flavour, bootstrap(ads, {"h1": h1, "h2": h2, "tls": secret}, str(log)), concurrency=2) as proxy:
                proxy.wait_listener("l")
                drive(proxy)
                found[flavour] = Seen(proxy)
        yield found
    ads.reset()


def drive(proxy):
    for listener, paths in (("plain", ("/", "/h2", "/tls", "/none")), ("l", ("/",)), ("tcp", ("/",))):
        for path in paths:
            with Client(proxy.address(listener)) as client:
                assert client.get(path).status == (503 if path == "/none" else 200), path
    assert tls.attempt(proxy.address("secret")).status == 200
    with H2Client(proxy.address("secret"), tls=tls.context(alpn=["h2"])) as client:
        stream = client.start([(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "test")], end=True)
        assert client.finish(stream).status == 200
    proxy.wait_stat("cluster.eds.upstream_rq_completed", 1)
    proxy.wait_stat("cluster.h1.upstream_rq_completed", 3)
    proxy.wait_stat("listener.plain.downstream_cx_total", 4)
    proxy.wait_stat("tcp.raw.downstream_cx_tx_bytes_total", lambda n: n > 0)
    proxy.admin("/stats")


def unexplained(names, table):
    return sorted(name for name in names if not any(re.fullmatch(row, name) for row, _ in table))


def idle_rows(names, table):
    return [row for row, _ in table if not any(re.fullmatch(row, name) for name in names)]


@pytest.mark.differential
def test_names(seen):
    if len(seen) < 2:
        pytest.skip("there is nothing to compare with")
    envoy, nuncio = set(seen["envoy"].values), set(seen["nuncio"].values)
    assert unexplained(envoy - nuncio, LACKING) == []
    assert unexplained(nuncio - envoy, ADDED) == []
    assert idle_rows(envoy - nuncio, LACKING) == []
    assert idle_rows(nuncio - envoy, ADDED) == []


@pytest.mark.differential
def test_kinds_and_labels(seen):
    """Series of a name that both know: the same ones, of the same kind, with the same labels."""
    if len(seen) < 2:
        pytest.skip("there is nothing to compare with")
    envoy, nuncio = seen["envoy"].series, seen["nuncio"].series
    common = {metric for metric, _, _ in envoy} & {metric for metric, _, _ in nuncio}
    assert len(common) > 300

    def shapes(series):
        return {(metric, kind, tuple(key for key, _ in labels)) for metric, kind, labels in series if metric in common}

    assert shapes(envoy) == shapes(nuncio)


@pytest.mark.differential
def test_metrics_of_families(seen):
    """What a label holds is not in the name."""
    for flavour, found in seen.items():
        metrics = {(metric, labels) for metric, _, labels in found.series}
        for metric, label in [
            ("envoy_cluster_ssl_ciphers", "cipher_suite"), ("envoy_listener_ssl_ciphers", "envoy_ssl_cipher"),
            ("envoy_listener_ssl_versions", "envoy_ssl_version"), ("envoy_cluster_ssl_curves", "envoy_ssl_curve"),
            ("envoy_cluster_ssl_sigalgs", "envoy_ssl_sigalg"), ("envoy_sds_update_success", "envoy_xds_resource_name"),
            ("envoy_server_worker_watchdog_miss", "envoy_worker_id"), ("envoy_http_rds_update_success", "envoy_rds_route_config"),
            ("envoy_listener_worker_downstream_cx_total", "envoy_worker_id"),
        ]:
            assert any(m == metric and label in dict(labels) for m, labels in metrics), (flavour, metric)


COUNTED = [
    "cluster.eds.update_success", "cluster.eds.update_failure", "cluster.eds.update_rejected",
    "cluster.eds.init_fetch_timeout", "cluster.eds.version", "cluster.eds.version_text",
    "http.dynamic.rds.routes.update_success", "http.dynamic.rds.routes.update_failure",
    "http.dynamic.rds.routes.config_reload", "http.dynamic.rds.routes.version", "http.dynamic.rds.routes.version_text",
    "cluster.eds.update_attempt", "http.dynamic.rds.routes.update_attempt",
    "sds.cert.update_success", "sds.cert.update_attempt",
]


@pytest.mark.differential
@pytest.mark.parametrize("name", COUNTED)
def test_values(seen, name):
    values = {flavour: found.values[name] for flavour, found in seen.items()}
    assert len(set(values.values())) == 1, values


@pytest.mark.differential
@pytest.mark.parametrize("query", PAGES)
def test_promtool(seen, query):
    """It can read them, and complains of nothing that it does not say of Envoy's own."""
    complaints = {flavour: {line.split(": ", 1)[1] for line in promcheck.check(found.pages[query])}
                  for flavour, found in seen.items()}
    assert complaints.get("nuncio", set()) <= complaints.get("envoy", complaints.get("nuncio"))


def test_workers_add_up(seen):
    """Which worker has a connection is the kernel's choice; together they have them all."""
    for flavour, found in seen.items():
        v = {name: int(value) for name, value in found.values.items() if value.isdigit()}
        for listener, total in (("plain", 4), ("dynamic", 1), ("secret", 2)):
            assert v[f"listener.{listener}.downstream_cx_total"] == total, flavour
            assert sum(v[f"listener.{listener}.worker_{n}.downstream_cx_total"] for n in (0, 1)) == total, flavour
        assert v["listener.admin.main_thread.downstream_cx_total"] > 0, flavour
        assert v["cluster.eds.update_time"] > 1.7e12 and v["http.dynamic.rds.routes.update_time"] > 1.7e12, flavour
