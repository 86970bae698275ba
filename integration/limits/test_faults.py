"""Faults of faults.md that need more than one place to look at: 26 (patterns that ruin a backtracking engine), 32 (origins
that never answer or are never reached) and 33 (hosts that come and go, and none). Beside each a client that behaves is served without an error."""

import json
import subprocess

import pytest

from harness import config as c
from harness import paths
from harness.bystander import unharmed
from harness.client import request
from harness.proxy import Proxy
from harness.upstream import BlackHole, Origin, Refused, hang

RUINOUS = ["/(a+)+$", "/(a|aa)*b", "/(.*a){20}x", "/([a-z]+)*0"]
FLAPS = 20
SHORT_LIVED = c.http_options(common_http_protocol_options={"idle_timeout": "0.5s"},
                             explicit_http_config={"http_protocol_options": {}})


@pytest.fixture(autouse=True)
def nuncio_only(pytestconfig):
    if pytestconfig.getoption("--oracle-only"):
        pytest.skip("nuncio's own")


def routes_of(patterns, origin="a"):
    return c.routes("r", c.vhost("all", ["*"], *(c.direct({"safe_regex": {"regex": p}}) for p in patterns),
                                 c.route("/bystander", origin)))


def test_faults_26_patterns_cost_no_more_than_their_input_is_long():
    """A backtracking engine would be at it for longer than anybody lives."""
    with Origin("a") as origin, Proxy("nuncio", c.static_bootstrap(
            [c.listener("l", c.hcm(routes_of(RUINOUS)))], [c.cluster("a", origin.port)])) as proxy:
        with unharmed(proxy), proxy.connect() as client:
            for _ in range(20):
                assert client.get("/" + "a" * 8000 + "!").status == 404
        proxy.wait_stat("http.ingress.no_route", 20)


def test_faults_26_patterns_that_grow_are_refused(tmp_path):
    file = tmp_path / "bootstrap.json"
    file.write_text(json.dumps(c.static_bootstrap([c.listener("l", c.hcm(routes_of(["/((a{100}){100}){100}"])))],
                                                  [c.cluster("a", 1)])))
    said = subprocess.run([paths.nuncio(), "-c", file, "--mode", "validate"], capture_output=True, text=True, timeout=60)
    assert said.returncode == 1
    assert "safe_regex" in said.stdout + said.stderr


def test_faults_32_origins_that_keep_silent():
    """The route's timeout and the connect timeout end what nobody answers, each under its own counter."""
    with Origin("a") as origin, Origin("a") as silent, BlackHole() as hole:
        for _ in range(5):
            silent.next(hang())
        table = c.routes("r", c.vhost("all", ["*"], c.route("/silent", {"cluster": "silent", "timeout": "0.2s"}),
                                      c.route("/hole", "hole"), c.route("/", "a")))
        with Proxy("nuncio", c.static_bootstrap([c.listener("l", c.hcm(table))], [
                c.cluster("a", origin.port), c.cluster("silent", silent.port),
                c.cluster("hole", hole.port, connect_timeout="0.2s")])) as proxy:
            with unharmed(proxy), proxy.connect() as client:
                for _ in range(5):
                    assert client.get("/silent").status == 504
                    assert client.get("/hole").status == 503
            proxy.wait_stat("cluster.silent.upstream_rq_timeout", 5)
            proxy.wait_stat("cluster.hole.upstream_cx_connect_timeout", 5)
            proxy.wait_stat("cluster.silent.upstream_cx_active", 0)


def told(ads, *members):
    mark = ads.mark()
    ads.set("eds", c.endpoints("c", *members))
    ads.wait_ack("eds", mark)


def test_faults_33_hosts_that_flap_and_none_at_all(ads):
    """Each change is one of health, nobody who asks notices; where all are unhealthy all are asked (panic), and a host
    that refuses is tried once for each request."""
    with Origin("a") as a, Origin("a") as b, Refused() as refused:
        # Idle connections go, so that every file is accounted for.
        ads.set("cds", c.eds_cluster("c", typed_extension_protocol_options=SHORT_LIVED))
        ads.set("eds", c.endpoints("c", a.port, b.port))
        ads.set("lds", c.listener("l", c.hcm(c.simple_routes("r", "c"))))
        with Proxy("nuncio", c.ads_bootstrap(ads.port)) as proxy:
            with unharmed(proxy), proxy.connect() as client:
                for n in range(FLAPS):
                    told(ads, c.endpoint(a.port, health="UNHEALTHY" if n % 2 == 0 else "HEALTHY"), b.port)
                    proxy.wait_stat("cluster.c.membership_healthy", 1 + n % 2)
                    assert client.get("/").status == 200
                told(ads, c.endpoint(a.port, health="UNHEALTHY"), c.endpoint(b.port, health="UNHEALTHY"))
                proxy.wait_stat("cluster.c.membership_healthy", 0)
                panics = proxy.stat("cluster.c.lb_healthy_panic")
                assert client.get("/").status == 200
                assert proxy.stat("cluster.c.lb_healthy_panic") > panics
            failed = proxy.stat("cluster.c.upstream_cx_connect_fail")
            told(ads, refused.port)
            proxy.wait_stat("cluster.c.membership_total", 1)
            with proxy.connect() as client:
                for _ in range(10):
                    client.send(request("GET", "/"))
                    assert client.read_response().status == 503
            assert proxy.stat("cluster.c.upstream_cx_connect_fail") == failed + 10
            told(ads, a.port)
            proxy.wait_stat("cluster.c.membership_healthy", 1)
            with proxy.connect() as client:
                assert client.get("/").status == 200
            proxy.check_clean()
