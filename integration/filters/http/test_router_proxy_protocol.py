"""PROXY headers before the HTTP connections of the router: whom they name, and that no two clients share one."""

import re
import socket
import threading

import pytest

from harness import config as c
from harness.client import Client, request
from harness.proxy import Proxy

RAW = {"name": "raw", "typed_config": {"@type": c.RAW_BUFFER}}
PROXY = "type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport"
RESPONSE = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Backend:
    """Keeps the PROXY line of every connection, and how many requests came over it."""

    def __init__(self):
        self.connections = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        with sock, sock.makefile("rb") as stream:
            seen = [stream.readline().decode().strip(), 0]
            self.connections.append(seen)
            while stream.readline():
                while stream.readline().strip():
                    pass
                seen[1] += 1
                sock.sendall(RESPONSE)


def transport(version):
    return {"name": "proxy", "typed_config": {"@type": PROXY, "config": {"version": version}, "transport_socket": RAW}}


@pytest.fixture(scope="module")
def sides(flavours):
    backend = Backend()
    made = {}
    try:
        for flavour in flavours:
            clusters = [c.cluster("proxied", backend.port, transport_socket=transport("V1")),
                        c.cluster("auto", backend.port, transport_socket=transport("V1"), typed_extension_protocol_options=c.http_options(
                            explicit_http_config={"http_protocol_options": {}}, upstream_http_protocol_options={"auto_sni": True}))]
            table = c.routes("r", c.vhost("all", ["*"], c.route("/auto", "auto"), c.route("/", "proxied")))
            made[flavour] = Proxy(flavour, c.static_bootstrap([c.listener("l", c.hcm(table))], clusters)).start()
        yield made, backend
    finally:
        for proxy in made.values():
            proxy.stop()
        backend.close()


def test_each_client_has_its_own(sides):
    """Two requests over each of two connections: as many upstream, each named for its client."""
    proxies, backend = sides
    for flavour, proxy in proxies.items():
        backend.connections = []
        wanted = []
        with Client(proxy.address()) as one, Client(proxy.address(), source=("127.0.0.3", 0)) as two:
            for client in (one, two, one, two):
                assert client.exchange(request("GET", "/", "a.example")).status == 200
            for client in (one, two):
                (source, port), (host, to) = client.sock.getsockname(), client.sock.getpeername()
                wanted.append([f"PROXY TCP4 {source} {host} {port} {to}", 2])
        assert backend.connections == wanted, flavour


def test_what_the_client_says_changes_nobody(sides):
    """x-forwarded-for is not who is connected."""
    proxies, backend = sides
    for flavour, proxy in proxies.items():
        backend.connections = []
        with Client(proxy.address()) as client:
            for source in ("192.0.2.1", "192.0.2.2"):
                assert client.exchange(request("GET", "/", "a.example", [("x-forwarded-for", source)])).status == 200
            port = client.sock.getsockname()[1]
        (line, count), = backend.connections
        assert count == 2 and re.search(rf"127\.0\.0\.1 127\.0\.0\.1 {port} ", line), flavour


def test_names_add_to_it(sides):
    proxies, backend = sides
    for flavour, proxy in proxies.items():
        backend.connections = []
        with Client(proxy.address()) as client:
            for host in ("a.example", "b.example", "a.example"):
                assert client.exchange(request("GET", "/auto", host)).status == 200
        assert sorted(count for _, count in backend.connections) == [1, 2], flavour
