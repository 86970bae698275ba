"""Runtime values that go before what is configured: circuit breakers' limits, and what log filters compare with; as Envoy."""

import pytest

from harness import config as c
from harness.differential import LogFile
from harness.proxy import Proxy
from harness.upstream import Origin
from harness.wait import wait_for

RUNTIME = {"layers": [{"name": "fixed", "static_layer": {"circuit_breakers": {"b": {"default": {"max_requests": 0}}}, "log": {"share": 0}}},
                      {"name": "admin", "admin_layer": {}}]}


def filtered(path, **by):
    return {**c.access_log(str(path), "%REQ(:path)%\n"), "filter": by}


def comparison(key, value, op="GE"):
    return {"comparison": {"op": op, "value": {"default_value": value, "runtime_key": key}}}


@pytest.fixture
def run(flavours, tmp_path):
    """Calls its argument with each proxy in turn, and its logs."""
    def call(test):
        with Origin("a") as origin:
            for flavour in flavours:
                paths = {name: tmp_path / f"{flavour}.{name}" for name in ("status", "duration", "share")}
                logs = [filtered(paths["status"], status_code_filter=comparison("log.status", 400)),
                        filtered(paths["duration"], duration_filter=comparison("log.duration", 100000)),
                        filtered(paths["share"], runtime_filter={"runtime_key": "log.share", "percent_sampled": {"numerator": 100}})]
                table = c.routes("r", c.vhost("v", ["*"], c.route("/b", "b"), c.route("/", "a")))
                made = c.static_bootstrap([c.listener("l", c.hcm(table, access_log=logs))], [c.cluster("a", origin.port), c.cluster("b", origin.port)], layered_runtime=RUNTIME)
                with Proxy(flavour, made) as proxy:
                    test(proxy, {name: LogFile(path) for name, path in paths.items()})
    return call


def modify(proxy, **values):
    query = "&".join(f"{key}={value}" for key, value in values.items())
    assert proxy.admin(f"/runtime_modify?{query}", "POST").status == 200


def status_of(proxy, path):
    with proxy.connect("l") as client:
        return client.get(path).status


@pytest.mark.differential
def test_circuit_breakers(run):
    def test(proxy, _):
        def limit(cluster, name, priority="default"):
            return f"{cluster}::{priority}_priority::{name}::"

        assert status_of(proxy, "/a") == 200 and status_of(proxy, "/b") == 503
        assert limit("b", "max_requests") + "0\n" in proxy.admin("/clusters").text
        modify(proxy, **{"circuit_breakers.b.default.max_requests": 5, "circuit_breakers.a.default.max_requests": 0, "circuit_breakers.a.high.max_retries": 9})
        wait_for(lambda: status_of(proxy, "/b") == 200, "workers have taken the values")
        assert status_of(proxy, "/a") == 503
        text = proxy.admin("/clusters").text
        assert limit("b", "max_requests") + "5\n" in text and limit("a", "max_requests") + "0\n" in text
        assert limit("a", "max_retries", "high") + "9\n" in text and limit("a", "max_connections") + "1024\n" in text
        shown = {s["name"]: s for s in proxy.admin("/clusters?format=json").json()["cluster_statuses"]}["a"]["circuit_breakers"]["thresholds"]
        assert shown[0]["max_requests"] == 0 and shown[1]["max_retries"] == 9
        modify(proxy, **{"circuit_breakers.a.default.max_requests": ""})
        wait_for(lambda: status_of(proxy, "/a") == 200, "what is configured holds again")

    run(test)


@pytest.mark.differential
def test_log_filters(run):
    def test(proxy, logs):
        assert status_of(proxy, "/first") == 200
        modify(proxy, **{"log.status": 200, "log.duration": 0, "log.share": 100})

        def all_logged():
            status_of(proxy, "/later")
            return all("/later" in log.lines() for log in logs.values())

        wait_for(all_logged, "each filter looks at its key")
        for log in logs.values():
            assert "/first" not in log.lines()

    run(test)
