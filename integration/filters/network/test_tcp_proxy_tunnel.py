"""tcp_proxy through an HTTP proxy: CONNECT and POST over HTTP/1 and HTTP/2, with the proxy in the test's hand."""

import re

import pytest

from filters.network.relay import Pair, compare, tcp
from harness import config as c
from harness.tcp_peer import H2End
from harness.wait import wait_for

LOG = ("%RESPONSE_FLAGS%|%BYTES_RECEIVED%|%BYTES_SENT%|%UPSTREAM_HOST%|%UPSTREAM_REQUEST_ATTEMPT_COUNT%|%RESPONSE_CODE%|"
       "%PROTOCOL%|%UPSTREAM_PROTOCOL%|%UPSTREAM_TRANSPORT_FAILURE_REASON%|"
       "%FILTER_STATE(envoy.tcp_proxy.propagate_response_headers:TYPED)%|"
       "%FILTER_STATE(envoy.tcp_proxy.propagate_response_trailers:TYPED)%\n")
FIELDS = ("flags", "received", "sent", "host", "attempts", "code", "protocol", "upstream_protocol", "reason",
          "response_headers", "response_trailers")
UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f-]{27}")


def bootstrap(log, backend):
    def listener(name, cluster, use_post=False, **more):
        tunnel = {"hostname": "host.example:443", **({"use_post": True} if use_post else {}), **more.pop("tunnel", {})}
        return c.listener(name, tcp(cluster, log, LOG, stat_prefix=name, tunneling_config=tunnel, **more))

    kept = {"propagate_response_headers": True, "propagate_response_trailers": True}
    added = {"headers_to_add": [
        {"header": {"key": "X-From", "value": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"}},
        {"header": {"key": "x-two", "value": "1"}}, {"header": {"key": "x-two", "value": "2"}},
        {"header": {"key": "X-None", "value": "%REQUESTED_SERVER_NAME%"}}]}
    listeners = []
    for version in ("h1", "h2"):
        listeners += [
            listener(f"{version} connect", version), listener(f"{version} post", version, use_post=True),
            listener(f"{version} path", version, use_post=True, tunnel={"post_path": "/tunnel"}),
            listener(f"{version} added", version, tunnel=added), listener(f"{version} kept", version, tunnel=kept),
            listener(f"{version} names", version, tunnel={"hostname": "%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%:%PROTOCOL%"}),
            listener(f"{version} retries", version, max_connect_attempts=2),
        ]
    return c.static_bootstrap(listeners, [
        c.cluster("h1", backend.port), c.cluster("h2", backend.port, typed_extension_protocol_options=c.http_options())])


@pytest.fixture(scope="module")
def worlds(flavours, tmp_path_factory):
    with Pair(flavours, tmp_path_factory.mktemp("tunnel"), bootstrap, FIELDS) as pair:
        yield pair.worlds


def accept(world):
    """The proxy's end, when its head has come."""
    return world.backend.accept()


# Over HTTP/1.


def h1_served(world, connect):
    with connect() as client, accept(world) as proxy:
        head = proxy.read_until(b"\r\n\r\n")
        client.send(b"before the answer")
        silent = proxy.is_silent()
        proxy.send(b"HTTP/1.1 200 OK\r\n\r\nearly")
        got = client.read(5)
        there = proxy.read(17)
        client.fin()
        rest = proxy.read_to_end()
        proxy.send(b"answer")
        proxy.fin()
        return head, silent, got, there, rest, client.read_to_end()


def h1_host_ends_first(world, connect):
    with connect() as client, accept(world) as proxy:
        proxy.read_until(b"\r\n\r\n")
        proxy.send(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        proxy.fin()
        return client.read_to_end()


def h1_answer(text, fin=True):
    def play(world, connect):
        with connect() as client, accept(world) as proxy:
            proxy.read_until(b"\r\n\r\n")
            proxy.send(text)
            if fin:
                proxy.fin()
            return client.read_to_end(), proxy.read_to_end()[1]
    return play


def h1_post(world, connect):
    with connect() as client, accept(world) as proxy:
        head = proxy.read_until(b"\r\n\r\n")
        proxy.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nearly\r\n")
        got = client.read(5)
        client.send(b"bytes")
        there = proxy.read(10)
        client.fin()
        last = proxy.read(5)
        proxy.send(b"4\r\nlast\r\n0\r\n\r\n")
        return head, got, there, last, client.read_to_end()


def h1_client_resets(world, connect):
    client = connect()
    with accept(world) as proxy:
        proxy.read_until(b"\r\n\r\n")
        proxy.send(b"HTTP/1.1 200 OK\r\n\r\nx")
        client.read(1)
        client.rst()
        return proxy.read_to_end()


def h1_proxy_resets(world, connect):
    with connect() as client, accept(world) as proxy:
        proxy.read_until(b"\r\n\r\n")
        proxy.send(b"HTTP/1.1 200 OK\r\n\r\nx")
        client.read(1)
        proxy.rst()
        return client.read_to_end()


def h1_refused_twice(world, connect):
    with connect() as client:
        for _ in range(2):
            with accept(world) as proxy:
                proxy.read_until(b"\r\n\r\n")
                proxy.send(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n")
                proxy.read_to_end()
        return client.read_to_end()


# Over HTTP/2.


def h2_served(world, connect):
    with connect() as client, H2End(accept(world)) as proxy:
        head = proxy.read_head()
        client.send(b"question")
        proxy.respond()
        proxy.send(b"early")
        got = client.read(5)
        there = proxy.read(8)
        client.fin()
        rest = proxy.read_to_end()
        proxy.send(b"answer", end=True)
        return head, got, there, rest, client.read_to_end()


def h2_host_ends_first(world, connect):
    with connect() as client, H2End(accept(world)) as proxy:
        proxy.read_head()
        proxy.respond()
        proxy.send(b"all of it", end=True)
        got = client.read_to_end()
        client.send(b"more")
        client.fin()
        return got, proxy.read_to_end()


def h2_trailers(world, connect):
    with connect() as client, H2End(accept(world)) as proxy:
        proxy.read_head()
        proxy.respond(headers=[("x-y", "z")])
        proxy.send(b"all of it")
        proxy.trailers([("x-t", "v")])
        got = client.read_to_end()
        client.fin()
        return got, proxy.read_to_end()


def h2_answer(status, end):
    def play(world, connect):
        with connect() as client, H2End(accept(world)) as proxy:
            proxy.read_head()
            proxy.respond(status, end=end)
            return client.read_to_end(), proxy.read_to_end()
    return play


def h2_proxy_resets(world, connect):
    with connect() as client, H2End(accept(world)) as proxy:
        proxy.read_head()
        proxy.respond()
        proxy.send(b"x")
        client.read(1)
        proxy.rst()
        return client.read_to_end()


def h2_proxy_resets_before(world, connect):
    with connect() as client, H2End(accept(world)) as proxy:
        proxy.read_head()
        proxy.rst()
        return client.read_to_end()


def h2_client_resets(world, connect):
    client = connect()
    with H2End(accept(world)) as proxy:
        proxy.read_head()
        proxy.respond()
        proxy.send(b"x")
        client.read(1)
        client.rst()
        return proxy.read_to_end()


H1_ANSWERS = {
    "403": b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno",
    "201": b"HTTP/1.1 201 Made\r\n\r\nx",
    "100 first": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nx",
    "garbage": b"SSH-2.0-x\r\n\r\n",
    "nothing": b"",
}

SCENARIOS = {
    "h1": ("h1 connect", h1_served, 1),
    "h1 host ends first": ("h1 connect", h1_host_ends_first, 1),
    "h1 names": ("h1 names", h1_served, 1),
    "h1 added": ("h1 added", h1_served, 1),
    "h1 kept": ("h1 kept", h1_served, 1),
    "h1 post": ("h1 post", h1_post, 1),
    "h1 path": ("h1 path", h1_post, 1),
    "h1 client resets": ("h1 connect", h1_client_resets, 1),
    "h1 proxy resets": ("h1 connect", h1_proxy_resets, 1),
    "h1 refused twice": ("h1 retries", h1_refused_twice, 1),
    **{f"h1 {name}": ("h1 connect", h1_answer(text), 1) for name, text in H1_ANSWERS.items()},
    "h2": ("h2 connect", h2_served, 1),
    "h2 host ends first": ("h2 connect", h2_host_ends_first, 1),
    "h2 trailers": ("h2 kept", h2_trailers, 1),
    "h2 post": ("h2 post", h2_served, 1),
    "h2 path": ("h2 path", h2_served, 1),
    "h2 names": ("h2 names", h2_served, 1),
    "h2 added": ("h2 added", h2_served, 1),
    "h2 proxy resets": ("h2 connect", h2_proxy_resets, 1),
    "h2 proxy resets before": ("h2 connect", h2_proxy_resets_before, 1),
    "h2 client resets": ("h2 connect", h2_client_resets, 1),
    "h2 403": ("h2 connect", h2_answer("403", False), 1),
    "h2 403 and the end": ("h2 connect", h2_answer("403", True), 1),
    "h2 200 and the end": ("h2 connect", h2_answer("200", True), 1),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_as_envoy(worlds, name):
    compare(worlds, SCENARIOS[name])
