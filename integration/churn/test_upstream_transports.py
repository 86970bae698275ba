"""Clusters whose TLS contexts, matches and endpoint labels change all the time, under load: no request is lost."""

import collections
import random
import threading

import pytest

from harness import config as c
from harness.alpn_origin import AlpnOrigin
from harness.certs import Authority
from harness.client import Client, ConnectionEnded, request
from harness.proxy import Proxy
from harness.tls import context

ROOT = Authority("root")
UPDATES, CLIENTS, REQUESTS_BETWEEN = 60, 4, 10


def tls(sni):
    return c.upstream_tls(validation=c.trust(ROOT), sni=sni)


def random_cluster(rng):
    options = {"auto_config": {}, "upstream_http_protocol_options": {"auto_sni": True, "auto_san_validation": rng.random() < .5}}
    if rng.random() < .5:
        options["common_http_protocol_options"] = {"idle_timeout": rng.choice(["7s", "8s"])}
    return c.eds_cluster(
        "k", transport_socket=tls(f"default{rng.randrange(3)}.example"),
        transport_socket_matches=[{"name": name, "match": {"to": name}, "transport_socket": tls(f"{name}{rng.randrange(3)}.example")}
                                  for name in rng.sample(["a", "b"], 2)],
        lb_policy=rng.choice(["ROUND_ROBIN", "RANDOM", "LEAST_REQUEST"]),
        typed_extension_protocol_options=c.http_options(**options))


def random_endpoints(rng, origins):
    members = []
    for origin in rng.sample(origins, rng.randrange(1, len(origins) + 1)):
        member = c.endpoint(origin.port)
        member["metadata"] = {"filter_metadata": {"envoy.transport_socket_match": {"to": rng.choice(["a", "b", "nobody"])}}}
        members.append(member)
    return c.endpoints("k", *members)


class Load:
    """Clients that ask until they are told to stop."""

    def __init__(self, address):
        self.address = address
        self.counts = collections.Counter()
        self.arrived = threading.Condition()
        self.stopped = False
        self.threads = [threading.Thread(target=self._run, args=(seed,)) for seed in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def _run(self, seed):
        rng = random.Random(seed)
        while not self.stopped:
            with Client(self.address) as client:
                for _ in range(rng.randrange(1, 9)):
                    try:
                        response = client.exchange(request("GET", "/", f"host{rng.randrange(6)}.example"))
                        outcome = response.status if response.status == 200 else (response.status, response.text)
                    except (ConnectionEnded, OSError) as error:
                        outcome = repr(error)
                    with self.arrived:
                        self.counts[outcome] += 1
                        self.arrived.notify_all()

    def wait(self, more):
        with self.arrived:
            wanted = self.counts.total() + more
            assert self.arrived.wait_for(lambda: self.counts.total() >= wanted, 30), self.counts

    def stop(self):
        self.stopped = True
        for thread in self.threads:
            thread.join()


def test_no_request_is_lost(flavours, ads):
    if "nuncio" not in flavours:
        pytest.skip("of nuncio")
    rng = random.Random(7)
    certificate = ROOT.leaf("origin", dns=["*.example"])
    origins = [AlpnOrigin(f"o{i}", context(server=True, certificate=certificate, alpn=alpn))
               for i, alpn in enumerate((["h2", "http/1.1"], ["http/1.1"], ["h2"]))]
    ads.set("cds", random_cluster(rng))
    ads.set("eds", random_endpoints(rng, origins))
    bootstrap = c.ads_bootstrap(ads.port)
    del bootstrap["dynamic_resources"]["lds_config"]
    bootstrap["static_resources"]["listeners"] = [c.listener("l", c.hcm(c.simple_routes("r", "k", validate_clusters=False)))]
    try:
        with Proxy("nuncio", bootstrap, concurrency=2) as proxy:
            load = Load(proxy.address())
            try:
                for _ in range(UPDATES):
                    kind = rng.choice(["cds", "eds"])
                    since = ads.mark()
                    ads.set(kind, random_cluster(rng) if kind == "cds" else random_endpoints(rng, origins))
                    ads.wait_ack(kind, since)
                    load.wait(REQUESTS_BETWEEN)
            finally:
                load.stop()
            assert set(load.counts) == {200}, load.counts
            assert proxy.stat("cluster.k.upstream_rq_active") == 0
    finally:
        for origin in origins:
            origin.close()
