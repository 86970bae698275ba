"""stats_config: which series are shown, with which tags, and how fine histograms are; as Envoy."""

import re

import pytest

from harness import config as c
from harness.client import Client
from harness.proxy import Proxy, validate
from harness.upstream import Origin


@pytest.fixture(scope="module")
def origin():
    with Origin("a") as made:
        yield made


def told(flavour, origin, stats_config, path, args=()):
    """What the page says after two requests."""
    bootstrap = c.static_bootstrap([c.listener("l", c.hcm(c.simple_routes("r", "a")))], [c.cluster("a", origin.port)],
                                   stats_flush_interval="0.1s", stats_config=stats_config)
    with Proxy(flavour, bootstrap, args=args) as proxy:
        with Client(proxy.address("l")) as client:
            for _ in range(2):
                assert client.get("/").status == 200
        proxy.wait_stat("http.ingress.downstream_rq_2xx", 2) if "stats_matcher" not in stats_config else None
        return proxy.admin(path).text


def lines(text, pattern):
    return sorted(line for line in text.splitlines() if re.search(pattern, line))


MATCHERS = {
    "exclusion": {"exclusion_list": {"patterns": [{"prefix": "cluster."}, {"contains": "rq_total"}]}},
    "inclusion": {"inclusion_list": {"patterns": [{"suffix": "upstream_rq_total"}, {"safe_regex": {"regex": "server\\.l.*"}},
                                                  {"exact": "http.ingress.downstream_rq_2xx"}]}},
    "nothing": {"reject_all": True},
}


@pytest.mark.differential
@pytest.mark.parametrize("kind", MATCHERS)
def test_matcher(flavours, origin, kind):
    seen = {}
    for flavour in flavours:
        text = told(flavour, origin, {"stats_matcher": MATCHERS[kind]}, "/stats")
        names = {line.split(":")[0] for line in text.splitlines()}
        if kind == "exclusion":
            assert not any(n.startswith("cluster.") or "rq_total" in n for n in names)
            assert "http.ingress.downstream_rq_2xx" in names
        elif kind == "inclusion":
            assert names == {"cluster.a.upstream_rq_total", "server.live", "http.ingress.downstream_rq_2xx"}
        else:
            assert not names
        seen[flavour] = names
    if kind != "exclusion" and len(seen) > 1:
        assert seen["envoy"] == seen["nuncio"]


TAGS = {
    "regex": [{"tag_name": "phase", "regex": r"^http\.((in)gress\.)"}],
    "one group": [{"tag_name": "my.tag", "regex": r"downstream(_rq)_total"}],
    "fixed": [{"tag_name": "zone", "fixed_value": "z 1"}, {"tag_name": "b-c", "fixed_value": "\"x\\y"}],
    "default by name": [{"tag_name": "envoy.cluster_name"}],
}


@pytest.mark.differential
@pytest.mark.parametrize("defaults", [True, False], ids=["defaults", "no-defaults"])
@pytest.mark.parametrize("kind", TAGS)
def test_tags(flavours, origin, kind, defaults):
    if kind == "default by name" and not defaults:
        pytest.skip("README: a default tag comes with all the others or not at all")
    seen = {}
    for flavour in flavours:
        text = told(flavour, origin, {"stats_tags": TAGS[kind], "use_all_default_tags": defaults}, "/stats/prometheus")
        seen[flavour] = lines(text, r"^envoy_(http_(ingress_)?downstream(_rq)?_total|cluster_(a_)?upstream_rq|"
                                    r"http_ingress_downstream_total|cluster_(a_)?membership_total)\b")
        assert seen[flavour]
    if len(seen) > 1:
        def parsed(found):
            return {(re.match(r"\w+", line)[0], tuple(sorted(re.findall(r'([\w]+)="((?:[^"\\]|\\.)*)"', line))), line.split()[-1])
                    for line in found if "admin" not in line}
        assert parsed(seen["envoy"]) == parsed(seen["nuncio"])


@pytest.mark.differential
def test_buckets(flavours, origin):
    settings = [{"match": {"prefix": "cluster.a.upstream_rq_t"}, "buckets": [10000, 0.5, 25]},
                {"match": {"prefix": "cluster."}, "buckets": [7]}]
    for flavour in flavours:
        text = told(flavour, origin, {"histogram_bucket_settings": settings}, "/stats/prometheus")
        bounds = re.findall(r'^envoy_cluster_upstream_rq_time_bucket\{envoy_cluster_name="a",le="([^"]+)"\}', text, re.M)
        assert bounds == ["0.5", "25", "10000", "+Inf"], flavour
        bounds = re.findall(r'^envoy_cluster_upstream_cx_connect_ms_bucket\{envoy_cluster_name="a",le="([^"]+)"\}', text, re.M)
        assert bounds == ["7", "+Inf"], flavour
        assert len(re.findall(r'^envoy_http_downstream_rq_time_bucket\{envoy_http_conn_manager_prefix="ingress"', text, re.M)) == 20


@pytest.mark.differential
@pytest.mark.parametrize("stats_config, reason", [
    ({"stats_tags": [{"tag_name": "a"}]}, "No regex specified for tag specifier and no default regex for name: 'a'"),
    ({"stats_tags": [{"tag_name": "a", "regex": "("}]}, "Invalid regex '('"),
    ({"stats_tags": [{"tag_name": "", "regex": "x"}]}, "tag_name cannot be empty"),
    ({"stats_tags": [{"tag_name": "a", "regex": "^x(y)"}]}, None),
    ({"stats_tags": [{"tag_name": "a", "regex": ""}]}, "No regex specified"),
    ({"stats_tags": [{"tag_name": "envoy.cluster_name"}]}, None),
    ({"stats_matcher": {}}, "is required"),
    ({"stats_matcher": {"exclusion_list": {}}}, "patterns"),
    ({"histogram_bucket_settings": [{"match": {"prefix": "a"}, "buckets": [1, 2, 2]}]}, "unique"),
    ({"histogram_bucket_settings": [{"match": {"prefix": "a"}, "buckets": [3, 2]}]}, None),
    ({"histogram_bucket_settings": [{"match": {"prefix": "a"}, "buckets": [0]}]}, "greater than 0"),
    ({"histogram_bucket_settings": [{"buckets": [1]}]}, "match"),
], ids=str)
def test_verdicts(flavours, stats_config, reason):
    for flavour in flavours:
        code, said = validate(flavour, c.static_bootstrap([], [], stats_config=stats_config))
        assert code == (0 if reason is None else 1), f"{flavour}: {said}"
        if reason is not None and flavour == "nuncio":
            assert reason in said, said
