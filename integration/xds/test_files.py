"""Configuration from files: path_config_source, replaced by rename, alone or in a watched directory."""

import json
import os

import pytest

from harness import config as c
from harness.proxy import Proxy
from harness.upstream import Origin
from harness.wait import wait_for


def response(version, *resources):
    return {"version_info": version, "resources": list(resources)}


class Place:
    """A directory of discovery files, each replaced whole."""

    def __init__(self, path):
        self.path = path

    def put(self, name, type_url, version, *resources):
        full = response(version, *({"@type": type_url, **r} for r in resources))
        self.text(name, json.dumps(full))

    def text(self, name, text):
        fresh = self.path / f".{name}.new"
        fresh.write_text(text)
        os.replace(fresh, self.path / name)

    def source(self, name, **more):
        return {"path_config_source": {"path": str(self.path / name), **more}, "resource_api_version": "V3"}


@pytest.fixture
def origin():
    with Origin("a") as made:
        yield made


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def bootstrap(place, **source):
    return {"node": {"id": "n", "cluster": "c"},
            "dynamic_resources": {"cds_config": place.source("cds.json", **source),
                                  "lds_config": place.source("lds.json", **source)}}


def hcm_from_file(place):
    made = c.hcm(rds="r")
    made["typed_config"]["rds"]["config_source"] = place.source("rds.json")
    return made


def serve(place, origin):
    eds = c.eds_cluster("c")
    eds["eds_cluster_config"]["eds_config"] = place.source("eds.json")
    place.put("eds.json", c.ENDPOINTS, "1", c.endpoints("c", origin.port))
    place.put("cds.json", c.CLUSTER, "1", eds)
    place.put("rds.json", c.ROUTES, "1", c.simple_routes("r", "c"))
    place.put("lds.json", c.LISTENER, "1", c.listener("l", hcm_from_file(place)))


def text(proxy, target="/"):
    with proxy.connect("l") as client:
        return client.get(target).text


def test_everything_from_files(flavour, place, origin):
    serve(place, origin)
    with Proxy(flavour, bootstrap(place)) as proxy:
        assert text(proxy) == "a"


def test_replaced_files_are_read(flavour, place, origin):
    serve(place, origin)
    with Proxy(flavour, bootstrap(place)) as proxy, Origin("b") as other:
        assert text(proxy) == "a"
        place.put("eds.json", c.ENDPOINTS, "2", c.endpoints("c", other.port))
        wait_for(lambda: text(proxy) == "b", "the new endpoints")
        place.put("rds.json", c.ROUTES, "2", c.routes("r", c.vhost("v", ["*"], c.direct("/", 200, "table two"))))
        wait_for(lambda: text(proxy) == "table two", "the new routes")
        place.put("cds.json", c.CLUSTER, "2", c.cluster("more", other.port))
        proxy.wait_stat("cluster.more.membership_total", 1)


def test_yaml_file(flavour, place, origin):
    serve(place, origin)
    place.text("lds.yaml", f"""
resources:
- "@type": {c.LISTENER}
  name: l
  address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}
  filter_chains:
  - filters:
    - name: hcm
      typed_config: {json.dumps(hcm_from_file(place)["typed_config"])}
""")
    made = bootstrap(place)
    made["dynamic_resources"]["lds_config"] = place.source("lds.yaml")
    with Proxy(flavour, made) as proxy:
        assert text(proxy) == "a"


def rds_counters(proxy):
    """Envoy has them per route table among the stats; nuncio, so far, per type on its /xds page."""
    if proxy.flavour == "envoy":
        return proxy.stats("?filter=rds")
    return proxy.admin("/xds").json()["counters"]["route configuration"]


@pytest.mark.parametrize("bad", ["{", "", "[]", '{"resources": [{"@type": "x/y"}]}', '{"resource": []}'],
                         ids=["cut short", "empty", "a list", "unknown type", "unknown field"])
def test_bad_file_changes_nothing(flavour, place, origin, bad):
    serve(place, origin)
    with Proxy(flavour, bootstrap(place)) as proxy:
        assert text(proxy) == "a"
        before = rds_counters(proxy)
        place.text("rds.json", bad)
        wait_for(lambda: rds_counters(proxy) != before, "the bad file is counted")
        assert text(proxy) == "a"
        place.put("rds.json", c.ROUTES, "3", c.routes("r", c.vhost("v", ["*"], c.direct("/", 200, "good again"))))
        wait_for(lambda: text(proxy) == "good again", "the good file")


def test_watched_directory(flavour, tmp_path, origin):
    """Files behind a symbolic link that is swapped, as in a mounted ConfigMap."""
    def fill(name, body):
        place = Place(tmp_path / name)
        place.path.mkdir()
        place.put("cds.json", c.CLUSTER, name, c.cluster("c", origin.port))
        place.put("lds.json", c.LISTENER, name, c.listener("l", c.hcm(c.routes("r", c.vhost(
            "v", ["*"], c.direct("/", 200, body))))))

    fill("one", "first")
    (tmp_path / "current").symlink_to("one")
    place = Place(tmp_path / "current")
    with Proxy(flavour, bootstrap(place, watched_directory={"path": str(tmp_path)})) as proxy:
        assert text(proxy) == "first"
        fill("two", "second")
        (tmp_path / "next").symlink_to("two")
        os.replace(tmp_path / "next", tmp_path / "current")
        wait_for(lambda: text(proxy) == "second", "the swapped directory")
