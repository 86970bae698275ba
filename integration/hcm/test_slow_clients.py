"""A thousand clients that send a byte now and then (faults.md, 8), in their heads or in their bodies: each is answered
and closed when its time is up, counted, and a bystander is served all the while."""

import pytest

from harness import config as c
from harness.bystander import unharmed
from harness.proxy import Proxy
from harness.upstream import Origin

COUNT = 1000
HEAD = b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 100\r\n"
SLOW = {
    # listener: (what comes at once, the counter)
    "head": (HEAD[:30], "downstream_rq_header_timeout"),
    "body": (HEAD + b"\r\n0123", "downstream_rq_timeout"),
    "silence": (HEAD + b"\r\n0123", "downstream_rq_idle_timeout"),
}
TIMES = {"head": {"request_headers_timeout": "2s"}, "body": {"request_timeout": "2s"}, "silence": {"stream_idle_timeout": "2s"}}


def bootstrap(origin):
    table = c.routes("r", c.vhost("all", ["*"], c.route("/", "a")))
    return c.static_bootstrap(
        [c.listener("l", c.hcm(table)),
         *(c.listener(name, c.hcm(table, stat_prefix=name, delayed_close_timeout="0.1s", **more))
           for name, more in TIMES.items())],
        [c.cluster("a", origin.port, connect_timeout="20s", circuit_breakers={"thresholds": [
            {"max_connections": 10000, "max_pending_requests": 10000, "max_requests": 10000}]})])


@pytest.fixture(scope="module")
def proxy(flavours):
    if "nuncio" not in flavours:
        pytest.skip("holds nuncio alone")
    with Origin("a") as origin, Proxy("nuncio", bootstrap(origin)) as made:
        yield made


@pytest.mark.parametrize("where", SLOW)
def test_slow_clients(proxy, where):
    data, counter = SLOW[where]
    before = proxy.stat(f"http.{where}.{counter}")
    with unharmed(proxy):
        clients = [proxy.connect(where, timeout=20) for _ in range(COUNT)]
        for client in clients:
            client.send(data)
        if where != "silence":  # a byte now moves the idle timeout, and only that
            for client in clients:
                client.send(b"x")
        for client in clients:
            assert client.read_response("POST").status == 408
        proxy.wait_stat(f"http.{where}.{counter}", before + COUNT)
        for client in clients:
            client.close()
        proxy.wait_stat(f"http.{where}.downstream_cx_active", 0)
        proxy.wait_stat(f"http.{where}.downstream_rq_active", 0)
    # What it had opened to the origin for them is not kept by requests that nobody ends.
    proxy.wait_stat("cluster.a.upstream_rq_active", 0)
