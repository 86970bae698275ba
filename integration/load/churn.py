#!/usr/bin/env python3
"""Random valid updates over ADS while requests flow: how many requests are lost?

Each update changes some of clusters, endpoints, route tables and listeners, and the types are sent in a shuffled order,
as a control plane without ordering would. The gentle kind waits for the proxy's answers before the next update. Every state and every mixture of two successive states has an origin that
answers for each path, so every failed request is the proxy's doing.

    build/venv/bin/python integration/load/churn.py --proxy nuncio --updates 1000 --requests 100000 --delta
"""

import argparse
import json
import random
import socket
import sys
import time
from contextlib import ExitStack
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
sys.path.append(str(REPO / "integration"))
sys.path.append(str(REPO / "tools" / "bench.d"))

from harness import config as c  # noqa: E402
from harness.ads import AdsServer, type_url  # noqa: E402
from harness.proxy import Proxy  # noqa: E402
from native import Load, Origins, failures  # noqa: E402

PATHS = ("a", "b", "c", "d")  # a path /a is only ever served by the origins a0, a1, ...
ORIGINS_PER_PATH = 4
LISTENERS = 2
KINDS = ("cds", "eds", "rds", "lds")


def free_ports(count):
    """Ports that were free a moment ago, all different."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [p.getsockname()[1] for p in probes]
    for probe in probes:
        probe.close()
    return ports


class World:
    """What the control plane wants at the moment; change() moves it to another valid state."""

    cluster_fields = {}  # of every cluster, besides its own

    def __init__(self, rng, origins, ports):
        self.rng = rng
        self.origins = origins
        self.ports = ports
        self.serial = 0
        self.clusters = {}  # name -> {path, service, timeout, policy, members}
        self.weights = {}  # path -> list of (cluster name, weight)
        self.tables = [f"routes-{i}" for i in range(LISTENERS)]
        self.listeners = [{"name": f"listener-{i}", "tag": 0} for i in range(LISTENERS)]
        self.noise = 0
        for path in PATHS:
            self.weights[path] = [(self.new_cluster(path), 1)]

    def next(self):
        self.serial += 1
        return self.serial

    def members(self, path):
        count = self.rng.randint(1, ORIGINS_PER_PATH)
        return self.rng.sample([self.origins[f"{path}{i}"] for i in range(ORIGINS_PER_PATH)], count)

    def new_cluster(self, path):
        name = f"cluster-{path}-{self.next()}"
        self.clusters[name] = {"path": path, "service": f"{name}-endpoints", "timeout": 1000,
                               "policy": "ROUND_ROBIN", "members": self.members(path), "sent": 0}
        return name

    # The changes.

    def replace_cluster(self):
        """A cluster goes, another with a new name comes, and the routes follow."""
        path = self.rng.choice(PATHS)
        for name, _ in self.weights[path]:
            del self.clusters[name]
        self.weights[path] = [(self.new_cluster(path), 1)]

    def split(self):
        """One more cluster beside the old one, with weights."""
        path = self.rng.choice(PATHS)
        if len(self.weights[path]) < 3:
            self.weights[path].append((self.new_cluster(path), 1))
        self.weights[path] = [(name, self.rng.randint(1, 100)) for name, _ in self.weights[path]]

    def join(self):
        """Back to one cluster; the others go."""
        path = self.rng.choice(PATHS)
        keep = self.rng.choice(self.weights[path])
        for name, _ in self.weights[path]:
            if name != keep[0]:
                del self.clusters[name]
        self.weights[path] = [keep]

    def change_cluster(self):
        """Same name, another definition; the endpoints keep their name."""
        one = self.rng.choice(list(self.clusters.values()))
        one["timeout"] = self.rng.randint(500, 5000)
        one["policy"] = self.rng.choice(["ROUND_ROBIN", "LEAST_REQUEST"])

    def rename_endpoints(self):
        """Same cluster, but its endpoints now have another name."""
        one = self.rng.choice(list(self.clusters.values()))
        one["service"] = f"endpoints-{self.next()}"

    def move_endpoints(self):
        one = self.rng.choice(list(self.clusters.values()))
        one["members"] = self.members(one["path"])

    def change_routes(self):
        self.noise = self.next()

    def rename_table(self):
        """A listener names another route table."""
        self.tables[self.rng.randrange(LISTENERS)] = f"routes-{self.next()}"

    def change_listener(self):
        self.rng.choice(self.listeners)["tag"] = self.next()

    def replace_listener(self):
        """The old name goes and a new one comes, on the same address."""
        self.rng.choice(self.listeners)["name"] = f"listener-{self.next()}"

    def change(self):
        """One to three of them at once; their names."""
        choices = [self.replace_cluster] * 4 + [self.move_endpoints] * 4 + [self.change_routes] * 2 + [
            self.split, self.split, self.join, self.change_cluster, self.change_cluster, self.rename_endpoints,
            self.rename_table, self.change_listener, self.replace_listener]
        done = []
        for _ in range(self.rng.randint(1, 3)):
            change = self.rng.choice(choices)
            change()
            done.append(change.__name__)
        return done

    # As resources.

    def resources(self):
        return {"cds": self._clusters(), "eds": self._endpoints(), "rds": self._tables(), "lds": self._listeners()}

    @staticmethod
    def route(path, to):
        return c.route(f"/{path}", to)

    def _clusters(self):
        return [c.eds_cluster(name, service_name=one["service"], connect_timeout=f"{one['timeout'] / 1000}s",
                              lb_policy=one["policy"], **self.cluster_fields) for name, one in self.clusters.items()]

    def _endpoints(self):
        return [c.endpoints(one["service"], *one["members"], policy={"overprovisioning_factor": 140 + one["sent"]})
                for one in self.clusters.values()]

    def _tables(self):
        noise = [c.direct({"path": f"/noise/{self.noise}/{i}"}, 204) for i in range(self.noise % 5)]
        own = []
        for path in PATHS:
            split = [{"name": name, "weight": weight} for name, weight in self.weights[path]]
            to = split[0]["name"] if len(split) == 1 else {"weighted_clusters": {"clusters": split}}
            own.append(self.route(path, to))
        return [c.routes(name, c.vhost("all", ["*"], *noise, *own)) for name in sorted(set(self.tables))]

    def _listeners(self):
        return [
            c.listener(one["name"], c.hcm(rds=table, stat_prefix=f"in-{one['tag']}"), port=port)
            for one, table, port in zip(self.listeners, self.tables, self.ports)
        ]


def resend(ads, world, before, after):
    """Send the endpoints of changed clusters once more, after everything else; the state then."""
    old = {r["name"]: r for r in before["cds"]}
    changed = [r["name"] for r in after["cds"] if r["name"] in old and old[r["name"]] != r]
    for name in changed:
        world.clusters[name]["sent"] += 1
    state = world.resources()
    if changed:
        ads.set("eds", *(r for r in state["eds"] if r not in after["eds"]))
    return state


class Settler:
    """Follows the management server's record: have all responses been sent and answered?"""

    def __init__(self, ads):
        self.ads = ads
        self.seen = 0
        self.open = set()
        self.sent = {}  # type URL -> how many responses

    def read(self, wait_ms=0):
        for event in self.ads.log(self.seen, wait_ms):
            self.seen = event["seq"] + 1
            key = (event["stream"], event.get("nonce"))
            if event["kind"] == "response":
                self.open.add(key)
                self.sent[event["type_url"]] = self.sent.get(event["type_url"], 0) + 1
            elif event["kind"] == "request":
                self.open.discard(key)

    def count(self, kind):
        return self.sent.get(type_url(kind), 0)

    def wait(self, test, limit=0.5):
        """Read on until test() holds; False if it did not within the limit."""
        deadline = time.monotonic() + limit
        self.read()
        while not test():
            if time.monotonic() > deadline:
                return False
            self.read(20)
        return True


def apply(ads, rng, before, after):
    """Send what changed, one type after the other in random order."""
    order = [k for k in KINDS if before is None or before[k] != after[k]]
    rng.shuffle(order)
    for kind in order:
        field = "cluster_name" if kind == "eds" else "name"
        old = {r[field]: r for r in before[kind]} if before else {}
        new = {r[field]: r for r in after[kind]}
        changed = [r for name, r in new.items() if old.get(name) != r]
        ads.set(kind, *changed, remove=[name for name in old if name not in new])
    return order


class Churn:
    """Moves a world from state to state and sends each to the proxies."""

    def __init__(self, ads, rng, world, gentle=True):
        self.ads = ads
        self.rng = rng
        self.world = world
        self.gentle = gentle
        self.settler = Settler(ads)
        self.unsettled = 0  # updates that were not answered within the limit
        self.state = world.resources()
        apply(ads, rng, None, self.state)

    def update(self):
        self.world.change()
        after = self.world.resources()
        self.settler.read()
        clusters_sent = self.settler.count("cds")
        order = apply(self.ads, self.rng, self.state, after)
        if self.gentle:
            if "cds" in order:
                self.settler.wait(lambda: self.settler.count("cds") > clusters_sent)
            after = resend(self.ads, self.world, self.state, after)
            self.unsettled += not self.settler.wait(lambda: not self.settler.open)
        self.state = after

    def proxy(self, flavour, delta, concurrency):
        """One that is configured by it, not yet started."""
        return Proxy(flavour, c.ads_bootstrap(self.ads.port, delta=delta), concurrency=concurrency,
                     args=["--drain-time-s", "5", "--drain-strategy", "immediate"])

    def summary(self):
        """What the proxies had to say to it."""
        log = self.ads.log()
        return {"unsettled": self.unsettled,
                "nacks": [e["error"] for e in log if e["kind"] == "request" and e.get("error")],
                "responses": sum(e["kind"] == "response" for e in log)}


def churn(flavour, *, updates, requests, delta, gentle=True, seed=1, concurrency=2, connections=4, ads=None,
          progress=None):
    """Run it; a dict with what happened."""
    rng = random.Random(seed)
    names = [f"{p}{i}" for p in PATHS for i in range(ORIGINS_PER_PATH)]
    with ExitStack() as stack:
        origins = stack.enter_context(Origins(*names))
        ads = ads or stack.enter_context(AdsServer())
        ads.reset()
        world = World(rng, origins, free_ports(LISTENERS))
        changes = Churn(ads, rng, world, gentle)
        proxy = stack.enter_context(changes.proxy(flavour, delta, concurrency))
        for name in [one["name"] for one in world.listeners]:
            proxy.wait_listener(name)
        loads = {}
        for index, path in enumerate(PATHS):
            loads[path] = stack.enter_context(
                Load(world.ports[index % LISTENERS], connections=connections, path=f"/{path}", bodies=True))
        rss = proxy.rss_kb()
        started = time.monotonic()
        done = 0
        for number in range(updates):
            changes.update()
            due = requests * (number + 1) / updates
            deadline = time.monotonic() + 30
            while done < due and time.monotonic() < deadline:
                done = sum(load.report()["responses"] for load in loads.values())
            if progress:
                progress(number + 1, done)
        ended = time.monotonic()
        totals = {path: load.stop() for path, load in loads.items()}
        result = {
            "proxy": flavour, "protocol": "delta" if delta else "sotw", "gentle": gentle, "seed": seed, "updates": updates,
            **changes.summary(),
            "seconds": round(ended - started, 2),
            "requests": sum(t["responses"] for t in totals.values()),
            "failures": sum(failures(t)[0] for t in totals.values()),
            "kinds": {}, "statuses": {}, "misrouted": 0,
            "rss_kb": {"before": rss, "after": proxy.rss_kb()},
        }
        for path, total in totals.items():
            for kind, count in failures(total)[1].items():
                result["kinds"][kind] = result["kinds"].get(kind, 0) + count
            for status, count in total["statuses"].items():
                result["statuses"][status] = result["statuses"].get(status, 0) + count
            result["misrouted"] += sum(
                n for body, n in total["bodies"].items()
                if not (body[:1] == path and body[1:].isdigit()) and total["statuses"].keys() == {"200"})
        return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--proxy", choices=["nuncio", "envoy"], default="nuncio")
    parser.add_argument("--updates", type=int, default=1000)
    parser.add_argument("--requests", type=int, default=100000, help="spread over the updates, at least")
    parser.add_argument("--delta", action="store_true")
    parser.add_argument("--rough", action="store_true",
                        help="next update at once, without waiting (up to 0.5 s) for the proxy's answers, and endpoints "
                             "are not sent again when only their cluster has changed: Envoy then waits 15 s for them")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--concurrency", type=int, default=2)
    parser.add_argument("--connections", type=int, default=4, help="for each of the four paths")
    chosen = parser.parse_args()

    def progress(number, done):
        if number % 100 == 0:
            print(f"{number} updates, {done} requests", file=sys.stderr)

    result = churn(chosen.proxy, updates=chosen.updates, requests=chosen.requests, delta=chosen.delta,
                   gentle=not chosen.rough, seed=chosen.seed, concurrency=chosen.concurrency, connections=chosen.connections,
                   progress=progress)
    print(json.dumps(result, indent=1))
    return 1 if result["failures"] or result["misrouted"] or result["nacks"] else 0


if __name__ == "__main__":
    sys.exit(main())
