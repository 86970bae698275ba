#!/usr/bin/env python3
"""Secrets rotate every second under load, on both sides of the proxy: how many requests are lost?

A request comes over TLS with a client certificate, goes over TLS with a client certificate to a second listener of the same
proxy, and is answered there. Server certificates, the proxy's own client certificate, the CAs and the ticket keys all
change with every rotation, over the aggregated stream or in files that are swapped as Kubernetes does. Some clients keep
their connections, some make a new one for each request, some resume. Every state is valid, and so is every mixture of two
successive ones, so every failed request is the proxy's doing.

    build/venv/bin/python integration/load/sds_rotation.py --proxy nuncio --seconds 60 --source delta
"""

import argparse
import base64
import json
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
sys.path.append(str(REPO / "integration"))
sys.path.append(str(REPO / "tools" / "bench.d"))
sys.path.append(str(Path(__file__).resolve().parent))

from churn import free_ports  # noqa: E402
from harness import config as c  # noqa: E402
from harness.ads import AdsServer  # noqa: E402
from harness.certs import Authority, inline  # noqa: E402
from harness.proxy import Proxy  # noqa: E402
from harness.secret_files import Mount, Place  # noqa: E402
from harness.tls import attempt  # noqa: E402
from harness.wait import wait_for  # noqa: E402
from native import Load, failures  # noqa: E402

SOURCES = ("sotw", "delta", "files")


class Secrets:
    """What the secrets are; rotate() makes others. How they come to the proxy is up to publish()."""

    def __init__(self):
        self.root = Authority("root")
        self.client = self.root.leaf("a client", usage=("client",))
        self.tickets = []
        self.renew()

    def renew(self):
        """Others than before, such as go with those of before."""
        self.server = self.root.leaf("server", dns=["test"], usage=("server",))
        self.proxy = self.root.leaf("proxy", usage=("client",))
        self.trusted = self.root.ca_pem + Authority("another root").ca_pem
        self.tickets = [os.urandom(80), *self.tickets[:1]]

    def others(self):
        """Those that are no certificates."""
        keys = [{"inline_bytes": base64.b64encode(key).decode()} for key in self.tickets]
        return [c.trust_secret("ca", {"trusted_ca": inline(self.trusted)}),
                {"name": "tickets", "session_ticket_keys": {"keys": keys}}]


class Streamed:
    """Over the aggregated stream."""

    def __init__(self, ads, secrets):
        self.ads = ads
        self.secrets = secrets
        self.source = "ads"

    def publish(self):
        self.ads.set("sds", c.tls_secret("server", self.secrets.server), c.tls_secret("proxy", self.secrets.proxy),
                     *self.secrets.others())


class Filed:
    """In files: certificates are mounted, the rest is a file that is replaced."""

    def __init__(self, path, secrets):
        self.secrets = secrets
        (path / "sds").mkdir()
        self.place = Place(path / "sds")
        self.mounts = {"server": Mount(path / "server", secrets.server), "proxy": Mount(path / "proxy", secrets.proxy)}
        self.source = self.place.source("sds.json")
        self.version = 0

    def publish(self):
        self.version += 1
        self.mounts["server"].swap(self.secrets.server)
        self.mounts["proxy"].swap(self.secrets.proxy)
        self.place.put("sds.json", *({"name": n, "tls_certificate": m.certificate()} for n, m in self.mounts.items()),
                       *self.secrets.others(), version=str(self.version))


def listener(name, port, source, chain):
    socket = c.downstream_tls(
        params={"tls_minimum_protocol_version": "TLSv1_2"}, require_client_certificate=True,
        common={"tls_certificate_sds_secret_configs": [c.sds("server", source)],
                "validation_context_sds_secret_config": c.sds("ca", source)},
        session_ticket_keys_sds_secret_config=c.sds("tickets", source))
    return c.listener(name, c.chain(chain, transport_socket=socket), port=port, stat_prefix=name)


def bootstrap(ads, delta, source, ports):
    made = c.ads_bootstrap(ads.port, delta=delta)
    inner = c.hcm(c.routes("inner", c.vhost("all", ["*"], c.direct("/", 200, "ok"))), stat_prefix="inner")
    outer = c.hcm(c.simple_routes("outer", "inner"), stat_prefix="outer")
    upstream = c.upstream_tls(
        sni="test", params={"tls_maximum_protocol_version": "TLSv1_3"},
        common={"tls_certificate_sds_secret_configs": [c.sds("proxy", source)],
                "validation_context_sds_secret_config": c.sds("ca", source)})
    # Connections to the host end now and then, so that the new certificates are shown.
    options = c.http_options(explicit_http_config={"http_protocol_options": {}},
                             common_http_protocol_options={"max_requests_per_connection": 50})
    made["static_resources"]["clusters"].append(
        c.cluster("inner", ports[1], transport_socket=upstream, typed_extension_protocol_options=options))
    made["static_resources"]["listeners"] = [
        listener("outer", ports[0], source, outer), listener("inner", ports[1], source, inner)]
    return made


def rotation(flavour, *, seconds, source, interval=1.0, connections=4, concurrency=2, ads=None, progress=None):
    """Run it; a dict with what happened."""
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rotation-")))
        ads = ads or stack.enter_context(AdsServer())
        ads.reset()
        secrets = Secrets()
        publisher = Filed(place, secrets) if source == "files" else Streamed(ads, secrets)
        publisher.publish()
        ports = free_ports(2)
        made = bootstrap(ads, source == "delta", publisher.source, ports)
        proxy = stack.enter_context(Proxy(flavour, made, concurrency=concurrency))
        identity = dict(zip(("client.pem", "client.key"), secrets.client.files(place, "client")))

        def shown():
            return attempt(("127.0.0.1", ports[0]), certificate=secrets.client, host="test").served == secrets.server.sha256

        wait_for(shown, "the first certificate")
        memory = proxy.rss_kb()
        common = {"port": ports[0], "tls": identity, "mutual": True}
        loads = {"kept": stack.enter_context(Load(connections=2 * connections, **common)),
                 "new": stack.enter_context(Load(connections=connections, reconnect=True, **common)),
                 "resumed": stack.enter_context(Load(connections=connections, reconnect=True, resume=True, **common))}
        started = time.monotonic()
        rotations, unseen = 0, 0
        while time.monotonic() < started + seconds:
            secrets.renew()
            publisher.publish()
            rotations += 1
            due = started + rotations * interval
            while not shown():
                if time.monotonic() > due + 5:
                    unseen += 1
                    break
            if progress:
                progress(rotations)
            time.sleep(max(due - time.monotonic(), 0))
        took = time.monotonic() - started
        totals = {name: load.stop() for name, load in loads.items()}
        lost = {name: failures(one)[1] for name, one in totals.items()}
        stats = proxy.stats("?filter=sds%5C.|ssl_context_update_by_sds|fail_verify|connection_error|session_reused")
        return {
            "proxy": flavour, "source": source, "seconds": round(took, 1), "rotations": rotations, "unseen": unseen,
            "requests": {name: one["responses"] for name, one in totals.items()},
            "per_second": round(sum(one["responses"] for one in totals.values()) / took),
            "statuses": {name: one["statuses"] for name, one in totals.items()},
            "resumed": totals["resumed"]["resumed"],
            "p99_us": {name: one["p99_us"] for name, one in totals.items()},
            "failures": sum(sum(kinds.values()) for kinds in lost.values()), "failed": lost,
            "refused": sum(n for name, n in stats.items() if name.endswith(("update_rejected", "key_rotation_failed"))),
            "rss_kb": {"before": memory, "after": proxy.rss_kb()},
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--proxy", choices=("nuncio", "envoy"), default="nuncio")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--interval", type=float, default=1.0)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--source", choices=SOURCES, default="sotw")
    options = parser.parse_args()
    result = rotation(options.proxy, seconds=options.seconds, source=options.source, interval=options.interval,
                      connections=options.connections)
    print(json.dumps(result, indent=2))
    sys.exit(bool(result["failures"] or result["unseen"]))


if __name__ == "__main__":
    main()
