"""Secrets rotate under load, and no request is lost: over ADS, and in a mounted directory that also brings bad files.

An edge speaks mTLS to an inner proxy; certificates and CAs of both rotate. Load goes to the inner one directly (kept
connections, new ones, resumed ones) and through the edge. Short by default; --full is a minute, a rotation a second.
"""

import json
import os
import sys
import time

import pytest

from harness import config as c
from harness import paths
from harness.certs import Authority
from harness.proxy import Proxy
from harness.tls import attempt
from harness.wait import wait_for

sys.path.append(str(paths.REPO / "tools" / "bench.d"))

from identity import NAME, Identity  # noqa: E402
from native import Load, Origins, failures  # noqa: E402

ROOT = Authority("root")
OTHER = Authority("another root, that comes and goes")


class Secrets:
    """The rotating ones. Each generation has new certificates; every other trusts one more CA."""

    def __init__(self):
        self.generation = 0
        self.rotate()

    def rotate(self):
        self.generation += 1
        self.server = ROOT.leaf(f"server {self.generation}", dns=[NAME])
        self.client = ROOT.leaf(f"client {self.generation}", uri=["spiffe://bench.example/edge"])
        self.ca = ROOT.ca_pem + (OTHER.ca_pem if self.generation % 2 else "")

    def all(self):
        return [c.tls_secret("server", self.server), c.tls_secret("client", self.client),
                c.trust_secret("ca", c.trust(self.ca))]


class OverAds:
    """Secrets over the aggregated stream."""

    def __init__(self, ads, delta):
        self.ads, self.delta = ads, delta

    def publish(self, secrets):
        self.ads.set("sds", *secrets.all())

    def sds(self, name):
        return c.sds(name, "ads")

    def bootstrap(self, listener, cluster):
        """Listeners and clusters come this way too: both proxies get all of them."""
        self.ads.set("cds", cluster)
        self.ads.set("lds", listener)
        return c.ads_bootstrap(self.ads.port, delta=self.delta)

    def disturb(self):
        """A key that is another certificate's: refused, and the old secret serves on."""
        broken = c.tls_secret("server", OTHER.leaf("unmatched"))
        broken["tls_certificate"]["private_key"] = c.text_source(OTHER.key_pem)
        self.ads.set("sds", broken)


class Mounted:
    """As Kubernetes mounts secrets: files behind a symlink that is swapped."""

    def __init__(self, place):
        self.place = place
        self.version = 0

    def publish(self, secrets):
        self.put({"server.pem": secrets.server.pem, "server.key": secrets.server.key_pem,
                  "client.pem": secrets.client.pem, "client.key": secrets.client.key_pem, "ca.pem": secrets.ca})
        self.good = secrets

    def put(self, files):
        self.version += 1
        target = self.place / f"..{self.version}"
        target.mkdir()
        for name, text in files.items():
            (target / name).write_text(text)
        fresh = self.place / "..new"
        fresh.symlink_to(target.name)
        os.replace(fresh, self.place / "..data")
        for name in files:
            link = self.place / name
            if not link.is_symlink():
                link.symlink_to(f"..data/{name}")

    def sds(self, name):
        def source(file):
            return {"filename": str(self.place / file)}

        watched = {"watched_directory": {"path": str(self.place)}}
        if name == "ca":
            secret = c.trust_secret("ca", {"trusted_ca": source("ca.pem"), **watched})
        else:
            secret = {"name": name, "tls_certificate": {
                "certificate_chain": source(f"{name}.pem"), "private_key": source(f"{name}.key"), **watched}}
        path = self.place / f"{name}.json"
        if not path.exists():
            path.write_text(json.dumps({"resources": [{"@type": c.SECRET, **secret}]}))
        return c.sds(name, {"path_config_source": {"path": str(path)}, "resource_api_version": "V3"})

    @staticmethod
    def bootstrap(listener, cluster):
        return c.static_bootstrap([listener], [cluster])

    def disturb(self):
        """Half a certificate, and a key that is another's."""
        good = self.good
        self.put({"server.pem": good.server.pem[:200], "server.key": good.server.key_pem, "client.pem": good.client.pem,
                  "client.key": good.server.key_pem, "ca.pem": "-----BEGIN CERTIFICATE-----\n"})


def inner_bootstrap(source, origin):
    tls = c.downstream_tls(require_client_certificate=True, common={
        "tls_certificate_sds_secret_configs": [source.sds("server")],
        "validation_context_sds_secret_config": source.sds("ca")})
    listener = c.listener("inner", c.chain(c.hcm(c.simple_routes("r", "origin"), stat_prefix="inner"), transport_socket=tls),
                          stat_prefix="inner")
    return source.bootstrap(listener, c.cluster("origin", origin))


def edge_bootstrap(source, inner):
    tls = c.upstream_tls(sni=NAME, params={"tls_maximum_protocol_version": "TLSv1_3"}, common={
        "tls_certificate_sds_secret_configs": [source.sds("client")],
        "combined_validation_context": {
            "default_validation_context": c.trust(san=[("DNS", NAME)]),
            "validation_context_sds_secret_config": source.sds("ca")}})
    listener = c.listener("edge", c.hcm(c.simple_routes("r", "inner"), stat_prefix="edge"), stat_prefix="edge")
    return source.bootstrap(listener, c.cluster("inner", inner, transport_socket=tls))


@pytest.fixture
def source(request, ads, tmp_path):
    kind = request.param
    return Mounted(tmp_path) if kind == "mounted" else OverAds(ads, kind == "delta")


@pytest.mark.churn
@pytest.mark.parametrize("source", ["sotw", "delta", "mounted"], indirect=True)
def test_no_request_is_lost(flavour, source, pytestconfig, record_property):
    rotations, pause = (60, 1.0) if pytestconfig.getoption("--full") else (12, 0.25)
    secrets = Secrets()
    source.publish(secrets)
    visitor = Identity(ROOT)
    with visitor, Origins("ok") as origins, \
            Proxy(flavour, inner_bootstrap(source, origins["ok"])) as inner, \
            Proxy(flavour, edge_bootstrap(source, inner.address("inner")[1])) as edge:
        wait_for(lambda: attempt(inner.address("inner"), certificate=visitor.client, sni=NAME).status == 200, "the inner proxy serves")
        port = inner.address("inner")[1]
        shows = {"tls": visitor, "mutual": True, "host": NAME}
        with Load(port, connections=4, **shows) as kept, Load(port, connections=2, reconnect=True, **shows) as new, \
                Load(port, connections=2, reconnect=True, resume=True, **shows) as resumed, \
                Load(edge.address("edge")[1], connections=4, host=NAME) as through:
            loads = {"kept": kept, "new": new, "resumed": resumed, "through": through}
            for _ in range(rotations):
                if flavour == "nuncio":
                    # Envoy refuses the good secrets of a response with the bad one, and may miss a swap right after a bad one.
                    source.disturb()
                time.sleep(pause / 2)  # under load: time is what this test is about
                secrets.rotate()
                source.publish(secrets)
                wait_for(lambda: shown(inner, visitor) == secrets.server.sha256, "the newest certificate is served")
                time.sleep(pause / 2)
            totals = {name: load.stop() for name, load in loads.items()}
        record_property("rotation", {name: total["responses"] for name, total in totals.items()})
        # Nothing was lost, on whatever connection it went.
        assert {name: failures(total) for name, total in totals.items()} == dict.fromkeys(loads, (0, {}))
        assert all(total["responses"] > rotations for total in totals.values())
        assert totals["kept"]["connects"] == 4, "a rotation dropped connections"
        assert totals["resumed"]["resumed"] > 0


def shown(proxy, visitor):
    """The certificate that a new connection is shown: by its sha256."""
    return attempt(proxy.address("inner"), certificate=visitor.client, sni=NAME).served
