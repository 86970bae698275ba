"""tools/demo: a real ADS stream configures the proxy, shifts a canary under load, and loses nothing."""

import argparse
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parents[1] / "integration"))
sys.path.append(str(HERE.parent / "bench.d"))

from harness import config as c  # noqa: E402
from harness import paths  # noqa: E402
from harness.proxy import Proxy  # noqa: E402
from harness.pyads import PyAds  # noqa: E402
from native import Load, Origins, failures  # noqa: E402

REQUESTS = 20000  # measured in each phase, at least
SIGMAS = 4.5  # how far a random split may be off; one run in 100,000 is further


class Demo:
    """The walk through the phases. Every check that fails is kept, told at once, and decides the exit code."""

    def __init__(self, ads, proxy, port):
        self.ads = ads
        self.proxy = proxy
        self.port = port
        self.wrong = []
        self.totals = 0
        self.failed = 0

    def check(self, kept, text):
        print(f"    {'ok    ' if kept else 'FAILED'}  {text}", flush=True)
        if not kept:
            self.wrong.append(text)

    def weights(self, blue, green):
        """Push a route table with that split; returns when the proxy has accepted it."""
        split = {"weighted_clusters": {"clusters": [{"name": "blue", "weight": blue},
                                                    {"name": "green", "weight": green}]}}
        canary = {"prefix": "/", "headers": [{"name": "x-canary", "string_match": {"exact": "true"}}]}
        table = c.routes("demo", c.vhost("all", ["*"], c.route(canary, "green"), c.route("/", split)))
        started = time.monotonic()
        accepted = self.ads.wait_ack(c.ROUTES, self.ads.set(c.ROUTES, [table]))
        return (accepted - started) * 1e3

    def measure(self, load, count=REQUESTS):
        """What the running load counted, over at least that many responses: {body: responses}."""
        first = load.report()
        while True:
            time.sleep(0.02)
            now = load.report()
            if now["responses"] - first["responses"] >= count or sum(now["failures"].values()) > 1000:
                return {b: n - first["bodies"].get(b, 0) for b, n in now["bodies"].items()
                        if n > first["bodies"].get(b, 0)}

    def switch(self, load, blue, green):
        """All to one side, under load. Requests that are in flight while the table changes may still be the other's;
        once the workers have the new table, not one."""
        wanted, other = ("blue", "green") if blue else ("green", "blue")
        before = load.report()
        started = time.monotonic()
        print(f"    all {wanted}: accepted after {self.weights(blue, green):.1f} ms")
        last = before
        while time.monotonic() - started < 5:
            now = load.report()
            late = now["bodies"].get(other, 0) - last["bodies"].get(other, 0)
            if late == 0 and now["responses"] - last["responses"] >= 100:
                break
            if late:
                last = now
                took = (time.monotonic() - started) * 1e3
            time.sleep(0.002)
        moved = f"the last {other} answer came within {took:.0f} ms of the push" if last is not before else ""
        seen = self.measure(load)
        self.check(set(seen) == {wanted}, f"from then on {seen}; {moved}".rstrip("; "))

    def account(self, name, load):
        """End a load, and add what it lost."""
        totals = load.stop()
        failed, kinds = failures(totals)
        self.totals += totals["responses"]
        self.failed += failed
        self.check(failed == 0, f"{name}: {totals['responses']:,} requests, {failed} failures {kinds or ''}")

    def split(self, load, green):
        seen = self.measure(load)
        total = sum(seen.values())
        got = 100 * seen.get("green", 0) / total if total else 0
        allowed = SIGMAS * (green * (100 - green) / max(total, 1)) ** 0.5
        self.check(abs(got - green) <= allowed,
                   f"measured over {total:,} requests: {100 - got:.2f} % blue, {got:.2f} % green (chance allows {allowed:.2f} points)")

    def run(self):
        print("\n1. Canary: `X-Canary: true` goes to green, everybody else 95 % blue and 5 % green")
        with Load(self.port, connections=16, bodies=True) as plain, \
                Load(self.port, connections=4, bodies=True, headers=["X-Canary: true"]) as canary:
            self.split(plain, 5)
            seen = self.measure(canary, 2000)
            self.check(set(seen) == {"green"}, f"with the header: {seen}")

            print("\n2. Shift to 50/50 while requests flow")
            print(f"    pushed over ADS, accepted after {self.weights(50, 50):.1f} ms")
            self.split(plain, 50)

            print("\n3. Back to all blue, then an instant switch to green")
            self.switch(plain, 100, 0)
            self.switch(plain, 0, 100)

            print("\n4. What was lost")
            self.account("with X-Canary", canary)
            self.account("without", plain)


def serve(ads, origins):
    """What the proxy starts with."""
    ads.set(c.CLUSTER, [c.eds_cluster("blue"), c.eds_cluster("green")])
    ads.set(c.ENDPOINTS, [c.endpoints("blue", origins["blue"]), c.endpoints("green", origins["green"])])
    ads.set(c.LISTENER, [c.listener("demo", c.hcm(rds="demo"))])


def main():
    parser = argparse.ArgumentParser(prog="tools/demo", description=__doc__)
    parser.add_argument("--proxy", choices=["nuncio", "envoy"], default="nuncio")
    parser.add_argument("--delta", action="store_true", help="delta ADS instead of state of the world")
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C")
    chosen = parser.parse_args()
    if getattr(paths, chosen.proxy)() is None:
        print(f"no {chosen.proxy} binary", file=sys.stderr)
        return 1

    with ExitStack() as stack:
        origins = stack.enter_context(Origins("blue", "green"))
        ads = stack.enter_context(PyAds())
        serve(ads, origins)
        proxy = Proxy(chosen.proxy, c.ads_bootstrap(ads.port, delta=chosen.delta), concurrency=2, ready=False)
        demo = Demo(ads, proxy, 0)
        started = time.monotonic()
        stack.enter_context(proxy)
        demo.weights(95, 5)
        proxy.wait_ready()
        took = (time.monotonic() - started) * 1e3
        demo.port = proxy.address("demo")[1]
        host, port = proxy.admin_address
        admin = f"http://{host}:{port}"
        print(f"{chosen.proxy} is up {took:.0f} ms after it was started, configured by "
              f"{'delta' if chosen.delta else 'state-of-the-world'} ADS at 127.0.0.1:{ads.port}")
        print(f"  traffic   http://127.0.0.1:{demo.port}/   backends blue {origins['blue']}, green {origins['green']}")
        print(f"  admin     {admin}   (/clusters, /config_dump, /stats, /xds ...)")
        demo.run()
        print(f"\n{demo.totals:,} requests, {demo.failed} failures; admin: {admin}")
        if chosen.keep:
            print(f"still running: try curl -H 'X-Canary: true' http://127.0.0.1:{demo.port}/   Ctrl-C ends it", flush=True)
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: None)
            signal.pause()
        return 1 if demo.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
