"""Runtime layers: which wins, what files give, and that a changed value changes what requests get."""

import os

import pytest

from harness import config as c
from harness.proxy import Proxy, validate
from harness.wait import wait_for

FORM = "application/x-www-form-urlencoded"


def fractional_routes():
    """Requests in the fraction are answered with 201, the others with 202."""
    return c.routes("r", c.vhost("v", ["*"], [
        {"match": {"prefix": "/", "runtime_fraction": {
            "default_value": {"numerator": 0}, "runtime_key": "canary.percent"}},
         "direct_response": {"status": 201}},
        {"match": {"prefix": "/"}, "direct_response": {"status": 202}}]))


def bootstrap(layers):
    return c.static_bootstrap([c.listener("l", c.hcm(fractional_routes()))], layered_runtime={"layers": layers})


def statuses(proxy, count=40):
    with proxy.connect("l") as client:
        return {client.get("/").status for _ in range(count)}


def final_values(proxy):
    return {k: v["final_value"] for k, v in proxy.admin("/runtime").json()["entries"].items()}


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "v1" / "canary").mkdir(parents=True)
    (tmp_path / "v1" / "canary" / "percent").write_text("# on for everybody\n100\n")
    (tmp_path / "v1" / "test-cluster").mkdir()
    (tmp_path / "v1" / "test-cluster" / "mine").write_text("yes")
    (tmp_path / "current").symlink_to("v1")
    return tmp_path


def swap(tree, version):
    (tree / "next").symlink_to(version)
    os.rename(tree / "next", tree / "current")


def test_admin_layer_changes_what_requests_get(flavour):
    with Proxy(flavour, bootstrap([{"name": "s", "static_layer": {"canary": {"percent": 100}}},
                                   {"name": "a", "admin_layer": {}}]), concurrency=2) as proxy:
        assert statuses(proxy) == {201}
        loads = proxy.stat("runtime.load_success")  # Envoy has loaded twice
        assert proxy.admin("/runtime_modify?canary.percent=0", "POST").text == "OK\n"
        wait_for(lambda: statuses(proxy) == {202}, "the override is in force")
        assert proxy.admin("/runtime_modify?canary.percent=", "POST").text == "OK\n"
        wait_for(lambda: statuses(proxy) == {201}, "the layer below is in force again")
        assert proxy.stat("runtime.num_layers") == 2
        assert proxy.stat("runtime.num_keys") == 1
        assert proxy.stat("runtime.admin_overrides_active") == 0
        assert proxy.stat("runtime.load_success") == loads + 2


@pytest.mark.parametrize("value, wanted", [
    ({"numerator": 1000000, "denominator": "MILLION"}, {201}), ({"numerator": 0}, {202}), (100, {201}), (0, {202}),
    ("100", {201}), ("numerator: 100", {202}), ("nonsense", {202}), (True, {202}), (1000, {201}), (-1, {202}),
])
def test_what_a_value_means_for_a_fraction(flavour, value, wanted):
    with Proxy(flavour, bootstrap([{"name": "s", "static_layer": {"canary.percent": value}}])) as proxy:
        assert statuses(proxy) == wanted


def test_a_half_is_a_half(flavour):
    with Proxy(flavour, bootstrap([{"name": "s", "static_layer": {"canary": {"percent": {
            "numerator": 5000, "denominator": "TEN_THOUSAND"}}}}])) as proxy:
        assert statuses(proxy, 200) == {201, 202}


def test_files_and_their_swap(flavour, tree):
    layers = [{"name": "d", "disk_layer": {"symlink_root": str(tree / "current")}},
              {"name": "o", "disk_layer": {"symlink_root": str(tree / "current"), "append_service_cluster": True}}]
    with Proxy(flavour, bootstrap(layers)) as proxy:
        assert final_values(proxy) == {"canary.percent": "100", "mine": "yes", "test-cluster.mine": "yes"}
        assert statuses(proxy) == {201}
        assert proxy.stat("runtime.override_dir_exists") > 0
        (tree / "v2" / "canary").mkdir(parents=True)
        (tree / "v2" / "canary" / "percent").write_text("0")
        swap(tree, "v2")
        wait_for(lambda: statuses(proxy) == {202}, "the new files are in force")
        assert final_values(proxy) == {"canary.percent": "0"}
        assert proxy.stat("runtime.override_dir_not_exists") > 0
        # A file written in place is not looked at before the next swap.
        (tree / "v2" / "canary" / "percent").write_text("100")
        swap(tree, "v2")
        wait_for(lambda: statuses(proxy) == {201}, "the files were read again")


def test_a_directory_that_is_not_there(flavour, tmp_path):
    layers = [{"name": "d", "disk_layer": {"symlink_root": str(tmp_path / "current")}}]
    with Proxy(flavour, bootstrap(layers)) as proxy:
        assert proxy.admin("/runtime").json()["layers"] == []
        assert proxy.stat("runtime.load_success") > 0


def test_no_layers_at_all_means_an_admin_layer(flavour):
    with Proxy(flavour, bootstrap([])) as proxy:
        assert proxy.admin("/runtime").json()["layers"] == [""]
        assert proxy.admin("/runtime_modify?canary.percent=100", "POST").status == 200
        wait_for(lambda: statuses(proxy) == {201}, "the override is in force")


def test_a_file_with_a_fraction(flavour, tree):
    (tree / "v1" / "canary" / "percent").write_text("numerator: 100\n")
    with Proxy(flavour, bootstrap([{"name": "d", "disk_layer": {"symlink_root": str(tree / "current")}}])) as proxy:
        assert statuses(proxy) == {201}


def test_modify_without_admin_layer(flavour):
    with Proxy(flavour, bootstrap([{"name": "s", "static_layer": {}}])) as proxy:
        reply = proxy.admin("/runtime_modify?a=b", "POST")
        assert (reply.status, reply.text) == (503, "No admin layer specified")


@pytest.mark.parametrize("layers, part", [
    ([{"name": "a", "admin_layer": {}}, {"name": "b", "admin_layer": {}}], "Too many admin layers"),
    ([{"name": "a", "admin_layer": {}}, {"name": "a", "static_layer": {}}], "Duplicate layer name: a"),
    ([{"name": "a", "static_layer": {"x": [1]}}], "Invalid runtime entry value for x"),
    ([{"name": "a"}], ""), ([{"admin_layer": {}}], ""),
])
def test_bad_layers_are_refused(flavour, layers, part):
    code, output = validate(flavour, bootstrap(layers))
    assert code != 0
    assert part in output
