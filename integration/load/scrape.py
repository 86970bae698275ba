"""What a Prometheus scrape costs with thousands of clusters that nobody uses: bytes, time, memory.

usage: build/venv/bin/python integration/load/scrape.py [--proxy nuncio|envoy] [--clusters N] [--scrapes N]
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import config as c  # noqa: E402
from harness.proxy import Proxy  # noqa: E402


def bootstrap(count):
    clusters = [c.cluster(f"cluster-{i:05}", 1) for i in range(count)]
    return c.static_bootstrap([c.listener("l", c.hcm(c.simple_routes("r", "cluster-00000")))], clusters)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--proxy", choices=["nuncio", "envoy"], default="nuncio")
    parser.add_argument("--clusters", type=int, default=10_000)
    parser.add_argument("--scrapes", type=int, default=5)
    args = parser.parse_args()
    with Proxy(args.proxy, bootstrap(args.clusters)) as proxy:
        time.sleep(2)  # what the start took has been given back
        before = proxy.rss_kb()
        times = []
        for _ in range(args.scrapes):
            start = time.monotonic()
            size = len(proxy.admin("/stats/prometheus").body)
            times.append(time.monotonic() - start)
        after = proxy.rss_kb()
        time.sleep(3)  # the same
        print(f"{args.proxy}: {args.clusters} clusters, {size} bytes, {statistics.median(times) * 1000:.1f} ms, "
              f"resident {before / 1024:.1f} MB, {(after - before) / 1024:+.1f} MB "
              f"right after {args.scrapes} scrapes, {(proxy.rss_kb() - before) / 1024:+.1f} MB later")


if __name__ == "__main__":
    main()
