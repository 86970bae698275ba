"""Configuration from files changes under load, with several workers: nothing is lost.

No gRPC takes part, so this is also what runs under ThreadSanitizer (tools/test threads): publication, workers that
reconcile, listeners that change in place, merged statistics.
"""

import random
import threading

import pytest

from harness import config as c
from harness.discovery_files import Files
from harness.proxy import Proxy
from harness.upstream import Origin

UPDATES = 60
CLIENTS = 6
CLUSTERS = ("one", "two", "three")


class World:
    """Valid updates only: every table names clusters that exist, every cluster has a live endpoint."""

    def __init__(self, files, origins, seed):
        self.files = files
        self.origins = origins
        self.random = random.Random(seed)
        self.extra = 0
        self.note = 0

    def clusters(self):
        made = []
        for name in CLUSTERS:
            cluster = c.eds_cluster(name, connect_timeout=f"{self.random.randint(1, 9)}s")
            cluster["eds_cluster_config"]["eds_config"] = self.files.source("eds.json")
            made.append(cluster)
        made += [c.cluster(f"extra-{i}", self.origins[0].port) for i in range(self.extra)]
        self.extra = self.random.randint(0, 3)
        self.files.put("cds.json", c.CLUSTER, *made)

    def endpoints(self):
        ports = [origin.port for origin in self.origins]
        self.files.put("eds.json", c.ENDPOINTS, *(
            c.endpoints(name, *self.random.sample(ports, self.random.randint(1, len(ports)))) for name in CLUSTERS))

    def routes(self):
        order = self.random.sample(CLUSTERS, 2)
        weight = self.random.randint(1, 99)
        split = {"weighted_clusters": {"clusters": [{"name": order[0], "weight": weight},
                                                    {"name": order[1], "weight": 100 - weight}]}}
        self.files.put("rds.json", c.ROUTES, c.routes("r", c.vhost("all", ["*"], c.route("/", split))))

    def listeners(self):
        self.note += 1  # a change of the chain alone: the socket stays, the old chain drains
        manager = c.hcm(rds="r", stat_prefix=f"ingress{self.note % 2}")
        manager["typed_config"]["rds"]["config_source"] = self.files.source("rds.json")
        self.files.put("lds.json", c.LISTENER, c.listener("l", manager))

    def change(self):
        self.random.choice([self.clusters, self.endpoints, self.endpoints, self.routes, self.listeners])()


class Load:
    """Clients in threads; each keeps its connection for as long as the proxy lets it."""

    def __init__(self, proxy):
        self.proxy = proxy
        self.over = threading.Event()
        self.requests = 0
        self.failures = []
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run) for _ in range(CLIENTS)]

    def run(self):
        client = self.proxy.connect("l")
        done = 0
        while not self.over.is_set():
            try:
                response = client.get("/")
            except (AssertionError, OSError) as error:
                self.fail(f"after {done} requests: {error!r}")
                return
            done += 1
            if response.status != 200:
                self.fail(f"{response.status} {response.body[:100]!r}")
                return
            if (response.header("connection") or "").lower() == "close":
                client.close()
                client = self.proxy.connect("l")
        client.close()
        with self.lock:
            self.requests += done

    def fail(self, what):
        with self.lock:
            self.failures.append(what)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *exc):
        self.over.set()
        for thread in self.threads:
            thread.join()


@pytest.mark.threads
@pytest.mark.parametrize("seed", [1, 2])
def test_file_updates_lose_no_request(tmp_path, seed):
    files = Files(tmp_path)
    with Origin("a") as a, Origin("b") as b, Origin("c") as third:
        world = World(files, [a, b, third], seed)
        for first in (world.endpoints, world.clusters, world.routes, world.listeners):
            first()
        bootstrap = {"node": {"id": "n", "cluster": "c"},
                     "dynamic_resources": {"cds_config": files.source("cds.json"),
                                           "lds_config": files.source("lds.json")}}
        with Proxy("nuncio", bootstrap, concurrency=4) as proxy:
            with Load(proxy) as load:
                for _ in range(UPDATES):
                    world.change()
                    # Each look at the statistics makes main collect from the workers.
                    proxy.stats()
                    proxy.admin("/clusters")
            assert load.failures == []
            assert load.requests >= UPDATES
            # The files were read again and again: there was something to survive.
            assert proxy.stat("cluster_manager.cds.update_success") > 3
            assert proxy.stat("listener_manager.lds.update_success") > 3
            assert proxy.stat("listener_manager.listener_in_place_updated") > 1
            assert proxy.stat("cluster_manager.cds.update_rejected") == 0
            assert proxy.stat("listener_manager.lds.update_rejected") == 0
