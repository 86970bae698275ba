#!/usr/bin/env python3
"""Many WebSockets stay open and echo while valid updates come over ADS that do not touch theirs: how many are lost?

The updates are those of churn.py: clusters come and go, endpoints move, route tables and listeners change, one type after
the other in random order. The sockets' own listener and cluster stay as they are; their route table changes with every
update, but for their route.

    build/venv/bin/python integration/load/tunnels.py --proxy nuncio --sockets 1000 --updates 10000
"""

import argparse
import asyncio
import json
import random
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import websockets.asyncio.client
import websockets.asyncio.server
from websockets.exceptions import ConnectionClosed

sys.path.append(str(Path(__file__).resolve().parents[1]))
sys.path.append(str(Path(__file__).resolve().parent))

from churn import LISTENERS, ORIGINS_PER_PATH, PATHS, Churn, World, free_ports  # noqa: E402
from harness import config as c  # noqa: E402
from harness.ads import AdsServer  # noqa: E402

QUIET = {"compression": None, "ping_interval": None}
OPENING = 50  # at once


class TunnelWorld(World):
    """The same, with a listener, a route and a cluster that no update touches."""

    def __init__(self, rng, origins, ports, server_port):
        self.server_port = server_port
        super().__init__(rng, origins, ports)
        self.renamed = 0

    def change(self):
        self.renamed = self.next()
        return super().change()

    def resources(self):
        made = super().resources()
        others = sorted(self.clusters)
        table = c.routes("tunnels", c.vhost(
            "all", ["*"], c.direct({"path": f"/renamed/{self.renamed}"}, 204), c.route("/echo", "tunnels"),
            c.route("/", others[self.renamed % len(others)])))
        listener = c.listener("tunnels", c.hcm(rds="tunnels", stat_prefix="tunnels", stream_idle_timeout="600s",
                                               upgrade_configs=[{"upgrade_type": "websocket"}]), port=self.ports[LISTENERS])
        made["cds"].append(c.eds_cluster("tunnels"))
        made["eds"].append(c.endpoints("tunnels", self.server_port))
        made["rds"].append(table)
        made["lds"].append(listener)
        return made


class Sockets:
    """A server that echoes, and clients that say something every now and then and check the echo. In a thread."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.echoes = 0
        self.lost = []
        self.tasks = []
        self.is_ending = None
        self.server = self._call(self._serve())
        self.port = self.server.sockets[0].getsockname()[1]

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.server.close()
        self.loop.call_soon_threadsafe(self.loop.stop)

    def _call(self, coroutine, timeout=300):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout)

    async def _serve(self):
        async def echo(connection):
            try:
                async for message in connection:
                    await connection.send(message)
            except ConnectionClosed:
                pass

        self.is_ending = asyncio.Event()
        return await websockets.asyncio.server.serve(echo, "127.0.0.1", 0, **QUIET)

    def open(self, port, count, pause):
        """That many through the proxy, each of which speaks once every `pause` seconds."""
        self._call(self._open(port, count, pause))

    async def _open(self, port, count, pause):
        gate = asyncio.Semaphore(OPENING)

        async def one(number):
            async with gate:
                socket = await websockets.asyncio.client.connect(
                    f"ws://127.0.0.1:{port}/echo", proxy=None, open_timeout=60, **QUIET)
            self.tasks.append(asyncio.create_task(self._talk(socket, number, pause)))

        await asyncio.gather(*(one(number) for number in range(count)))

    async def _talk(self, socket, number, pause):
        said = 0
        try:
            while not self.is_ending.is_set():
                message = f"{number} says {said}"
                await socket.send(message)
                heard = await asyncio.wait_for(socket.recv(), 30)
                if heard != message:
                    self.lost.append(f"{number} heard {heard[:80]!r}")
                    return
                said += 1
                self.echoes += 1
                try:
                    await asyncio.wait_for(self.is_ending.wait(), pause * random.uniform(0.5, 1.5))
                except TimeoutError:
                    pass
            await socket.close()
            if socket.close_code != 1000:
                self.lost.append(f"{number} ended with {socket.close_code}")
        except (ConnectionClosed, TimeoutError, OSError) as problem:
            self.lost.append(f"{number} after {said} echoes: {problem!r}")

    def close(self):
        """Ends them all."""
        self._call(self._close())

    async def _close(self):
        self.is_ending.set()
        await asyncio.gather(*self.tasks)


def hold(flavour, *, sockets, updates, delta, pause=1.0, gentle=True, seed=1, concurrency=2, ads=None, progress=None):
    """Run it; a dict with what happened."""
    rng = random.Random(seed)
    with ExitStack() as stack:
        fleet = stack.enter_context(Sockets())
        # Nobody asks for the other clusters: any port will do.
        origins = {f"{path}{i}": fleet.port for path in PATHS for i in range(ORIGINS_PER_PATH)}
        ads = ads or stack.enter_context(AdsServer())
        ads.reset()
        world = TunnelWorld(rng, origins, free_ports(LISTENERS + 1), fleet.port)
        changes = Churn(ads, rng, world, gentle)
        proxy = stack.enter_context(changes.proxy(flavour, delta, concurrency))
        proxy.wait_listener("tunnels")
        idle = proxy.rss_kb()
        fleet.open(world.ports[LISTENERS], sockets, pause)
        before, echoes, started = proxy.rss_kb(), fleet.echoes, time.monotonic()
        for number in range(updates):
            changes.update()
            if progress:
                progress(number + 1, fleet.echoes)
        ended = time.monotonic()
        stats = proxy.stats("?filter=^http.tunnels.downstream_cx")
        echoes = fleet.echoes - echoes
        active = stats.get("http.tunnels.downstream_cx_upgrades_active", 0)
        after = proxy.rss_kb()
        fleet.close()
        return {
            "proxy": flavour, "protocol": "delta" if delta else "sotw", "sockets": sockets, "updates": updates,
            "seconds": round(ended - started, 1), "echoes": echoes, "active": active, "lost": len(fleet.lost),
            "how": fleet.lost[:5], **changes.summary(), "rss_kb": {"idle": idle, "before": before, "after": after},
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--proxy", choices=["nuncio", "envoy"], default="nuncio")
    parser.add_argument("--sockets", type=int, default=1000)
    parser.add_argument("--updates", type=int, default=10000)
    parser.add_argument("--pause", type=float, default=2.0, help="seconds between two messages of a socket")
    parser.add_argument("--delta", action="store_true")
    parser.add_argument("--rough", action="store_true", help="next update without waiting for the proxy's answers")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--concurrency", type=int, default=2)
    chosen = parser.parse_args()

    def progress(number, echoes):
        if number % 500 == 0:
            print(f"{number} updates, {echoes} echoes", file=sys.stderr)

    result = hold(chosen.proxy, sockets=chosen.sockets, updates=chosen.updates, delta=chosen.delta, pause=chosen.pause,
                  gentle=not chosen.rough, seed=chosen.seed, concurrency=chosen.concurrency, progress=progress)
    print(json.dumps(result, indent=1))
    return 1 if result["lost"] or result["nacks"] else 0


if __name__ == "__main__":
    sys.exit(main())
