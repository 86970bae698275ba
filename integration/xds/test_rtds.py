"""Runtime layers that are discovered: over the aggregated stream, a stream of their own, from files; what start-up
waits for; what is refused."""

import json

import pytest

from harness import config as c
from harness.proxy import Proxy, validate
from harness.wait import wait_for

ADS = {"ads": {}, "resource_api_version": "V3"}


def layers(source, *names):
    return {"layers": [
        {"name": "base", "static_layer": {"canary": {"percent": 0}, "kept": 1}},
        *({"name": f"layer-{n}", "rtds_layer": {"name": n, "rtds_config": source}} for n in names),
        {"name": "admin", "admin_layer": {}}]}


def resource(name="values", **values):
    return {"@type": c.RUNTIME, "name": name, "layer": values}


def own_stream(delta):
    return {"resource_api_version": "V3", "api_config_source": {
        "api_type": "DELTA_GRPC" if delta else "GRPC", "transport_api_version": "V3",
        "grpc_services": [{"envoy_grpc": {"cluster_name": "ads"}}]}}


def fractional_listener():
    """Requests in the fraction are answered with 201, the others with 202."""
    return c.listener("l", c.hcm(c.routes("r", c.vhost(
        "v", ["*"],
        {"match": {"prefix": "/", "runtime_fraction": {
            "default_value": {"numerator": 0}, "runtime_key": "canary.percent"}},
         "direct_response": {"status": 201}},
        c.direct("/", 202)))))


def statuses(proxy):
    with proxy.connect("l") as client:
        return {client.get("/").status for _ in range(20)}


def values(proxy):
    return {k: v["final_value"] for k, v in proxy.admin("/runtime").json()["entries"].items()}


@pytest.fixture
def start(flavour, delta, ads):
    running = []

    def run(source=ADS, names=("values",), **kwargs):
        proxy = Proxy(flavour, c.ads_bootstrap(ads.port, delta=delta, layered_runtime=layers(source, *names)), **kwargs)
        running.append(proxy)
        return proxy.start()

    yield run
    for proxy in running:
        proxy.stop()


@pytest.mark.parametrize("own", [False, True], ids=["ads", "own stream"])
def test_values_come_and_change(start, ads, delta, own):
    ads.set("lds", fractional_listener())
    ads.set("rtds", resource(canary={"percent": 100}))
    proxy = start(own_stream(delta) if own else ADS)
    proxy.wait_listener("l")
    assert proxy.admin("/runtime").json()["layers"] == ["base", "layer-values", "admin"]
    assert statuses(proxy) == {201}
    ads.set("rtds", resource(canary={"percent": 0}, more="x"))
    wait_for(lambda: statuses(proxy) == {202}, "the new value is in force")
    assert values(proxy) == {"canary.percent": "0", "kept": "1", "more": "x"}
    assert proxy.admin("/runtime_modify?canary.percent=100", "POST").status == 200
    wait_for(lambda: statuses(proxy) == {201}, "the layer above wins")
    assert proxy.stat("runtime.update_success") >= 2
    assert proxy.stat("runtime.update_rejected") == 0


def test_clusters_are_asked_for_when_the_values_are_there(start, ads):
    """With a fetch timeout that a slow answer does not reach."""
    ads.set("lds", fractional_listener())
    ads.set("rtds", resource(canary={"percent": 100}))
    proxy = start()
    proxy.wait_listener("l")
    asked = []
    for event in ads.log():
        if event["kind"] == "request" and event["type_url"] not in asked:
            asked.append(event["type_url"])
    assert asked[:2] == [c.RUNTIME, c.CLUSTER]


def test_start_up_goes_on_without_an_answer(start, ads):
    ads.set("lds", fractional_listener())
    proxy = start({**ADS, "initial_fetch_timeout": "0.3s"}, ("absent",))
    proxy.wait_listener("l")
    assert statuses(proxy) == {202}
    assert proxy.stat("runtime.init_fetch_timeout") == 1
    ads.set("rtds", resource("absent", canary={"percent": 100}))
    wait_for(lambda: statuses(proxy) == {201}, "it came later")


def test_a_bad_value_is_refused_and_the_old_ones_stay(start, ads):
    ads.set("lds", fractional_listener())
    ads.set("rtds", resource(canary={"percent": 100}))
    proxy = start()
    proxy.wait_listener("l")
    mark = ads.mark()
    ads.set("rtds", resource(canary={"percent": 0}, bad=[1]))
    refused = ads.wait_event(lambda e: e["kind"] == "request" and e["type_url"] == c.RUNTIME and e.get("error"),
                             "a NACK", since=mark)
    assert "Invalid runtime entry value for bad" in json.dumps(refused["error"])
    assert statuses(proxy) == {201}
    assert proxy.stat("runtime.update_rejected") >= 1
    ads.set("rtds", resource(canary={"percent": 0}))
    wait_for(lambda: statuses(proxy) == {202}, "a good one comes")


def test_a_refused_first_answer_ends_the_waiting(start, ads):
    ads.set("lds", fractional_listener())
    ads.set("rtds", resource(bad=[1]))
    proxy = start({**ADS, "initial_fetch_timeout": "0s"})
    proxy.wait_listener("l")
    assert statuses(proxy) == {202}


def test_two_layers_of_one_stream(start, ads):
    ads.set("lds", fractional_listener())
    ads.set("rtds", resource("low", canary={"percent": 100}, x="low"), resource("high", x="high"))
    proxy = start(names=("low", "high"))
    proxy.wait_listener("l")
    assert values(proxy) == {"canary.percent": "100", "kept": "1", "x": "high"}
    ads.set("rtds", resource("high"))
    wait_for(lambda: values(proxy) == {"canary.percent": "100", "kept": "1", "x": "low"}, "the upper one is empty now")


def file_source(path):
    return {"path_config_source": {"path": str(path)}, "resource_api_version": "V3"}


def write(path, *resources):
    path.with_suffix(".new").write_text(json.dumps({"version_info": "1", "resources": list(resources)}))
    path.with_suffix(".new").rename(path)


def test_files(flavour, tmp_path):
    path = tmp_path / "runtime.json"
    write(path, resource(canary={"percent": 100}))
    bootstrap = c.static_bootstrap([fractional_listener()], layered_runtime=layers(file_source(path), "values"))
    with Proxy(flavour, bootstrap) as proxy:
        assert statuses(proxy) == {201}
        write(path, resource(canary={"percent": 0}))
        wait_for(lambda: statuses(proxy) == {202}, "the file was read again")
        rejected = proxy.stat("runtime.update_rejected")
        write(path, resource("another", canary={"percent": 100}))
        proxy.wait_stat("runtime.update_rejected", rejected + 1)
        write(path, resource(canary={"percent": 100}), resource("another"))
        proxy.wait_stat("runtime.update_rejected", rejected + 2)
        assert statuses(proxy) == {202}
        write(path, resource(canary={"percent": 100}))
        wait_for(lambda: statuses(proxy) == {201}, "a good one came")


@pytest.mark.parametrize("source, part", [
    (None, ""), ({"resource_api_version": "V3"}, ""),
    (file_source("/nonexistent/runtime.json"), "/nonexistent/runtime.json"),
    (own_stream(False), "ads"),
], ids=["none", "empty", "no file", "no cluster"])
def test_sources_that_are_refused(flavour, source, part):
    runtime = {"layers": [{"name": "a", "rtds_layer": {"name": "r", **({"rtds_config": source} if source else {})}}]}
    code, output = validate(flavour, c.static_bootstrap([], layered_runtime=runtime))
    assert code != 0
    assert part in output
