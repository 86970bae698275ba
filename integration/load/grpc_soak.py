#!/usr/bin/env python3
"""gRPC's rpc_soak and channel_soak through the proxy, h2c in and out, while random valid updates come over ADS.

Four interop clients call for that many seconds, two over one channel each and two with a new channel for every call; each
is sent to its own clusters by a header. The updates are those of churn.py: clusters, endpoints, route tables and listeners
change in shuffled order of types, and whoever is asked at any moment is a server that can answer. So every failed call is
the proxy's doing.

    build/venv/bin/python integration/load/grpc_soak.py --proxy nuncio --seconds 300 --delta
"""

import argparse
import json
import random
import sys
import time
from contextlib import ExitStack
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
sys.path.append(str(Path(__file__).resolve().parent))

from churn import LISTENERS, ORIGINS_PER_PATH, PATHS, Churn, World, free_ports  # noqa: E402
from harness import config as c  # noqa: E402
from harness.ads import AdsServer  # noqa: E402
from harness.grpc_interop import InteropServer, Soak  # noqa: E402

KINDS = ("rpc_soak", "channel_soak")


class GrpcWorld(World):
    """The same, with gRPC servers: all servers can answer for every path."""

    cluster_fields = {"typed_extension_protocol_options": c.http_options()}

    @staticmethod
    def route(path, to):
        match = {"prefix": "/grpc.testing.TestService/",
                 "headers": [{"name": "x-path", "string_match": {"exact": path}}]}
        return c.route(match, to)


def soak(flavour, *, seconds, delta, gentle=True, seed=1, concurrency=2, calls_a_second=20, updates_a_second=5, ads=None,
         progress=None):
    """Run it; a dict with what happened."""
    rng = random.Random(seed)
    with ExitStack() as stack:
        servers = [stack.enter_context(InteropServer()) for _ in range(ORIGINS_PER_PATH)]
        origins = {f"{p}{i}": server.port for p in PATHS for i, server in enumerate(servers)}
        ads = ads or stack.enter_context(AdsServer())
        ads.reset()
        world = GrpcWorld(rng, origins, free_ports(LISTENERS))
        changes = Churn(ads, rng, world, gentle)
        proxy = stack.enter_context(changes.proxy(flavour, delta, concurrency))
        for name in [one["name"] for one in world.listeners]:
            proxy.wait_listener(name)
        before = proxy.rss_kb()
        clients = [
            stack.enter_context(Soak(world.ports[index % LISTENERS], KINDS[index // 2 % 2], seconds,
                                     calls_a_second=calls_a_second, metadata=f"x-path:{path}"))
            for index, path in enumerate(PATHS)
        ]
        started = time.monotonic()
        updates = 0
        while any(client.is_running for client in clients):
            changes.update()
            updates += 1
            if progress:
                progress(updates, sum(len(client.failed) for client in clients))
            time.sleep(max(started + updates / updates_a_second - time.monotonic(), 0))
        results = [client.result() for client in clients]
        return {
            "proxy": flavour, "protocol": "delta" if delta else "sotw", "gentle": gentle, "seed": seed,
            "seconds": round(time.monotonic() - started, 1), "updates": updates,
            "calls": sum(r["succeeded"] or 0 for r in results),
            "failures": sum(r["calls"] - (r["succeeded"] or 0) for r in results),
            "clients": results, **changes.summary(), "rss_kb": {"before": before, "after": proxy.rss_kb()},
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--proxy", choices=["nuncio", "envoy"], default="nuncio")
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--delta", action="store_true")
    parser.add_argument("--rough", action="store_true", help="next update without waiting for the proxy's answers (see churn.py)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--concurrency", type=int, default=2)
    parser.add_argument("--calls", type=int, default=20, help="a second, for each of 16 threads")
    parser.add_argument("--updates", type=float, default=5, help="a second")
    chosen = parser.parse_args()

    def progress(updates, failed):
        if updates % 50 == 0:
            print(f"{updates} updates, {failed} failed calls", file=sys.stderr)

    result = soak(chosen.proxy, seconds=chosen.seconds, delta=chosen.delta, gentle=not chosen.rough, seed=chosen.seed,
                  concurrency=chosen.concurrency, calls_a_second=chosen.calls, updates_a_second=chosen.updates, progress=progress)
    print(json.dumps(result, indent=1))
    return 1 if result["failures"] or result["nacks"] else 0


if __name__ == "__main__":
    sys.exit(main())
