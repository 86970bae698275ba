"""PROXY protocol headers to the backend: what is said to whom, with TLVs of the client's header, of tcp_proxy and of the
transport socket; over TLS; by HTTP. Compared with Envoy."""

import base64
import socket
import struct

import pytest

from filters.network.relay import Pair, compare, tcp
from harness import config as c
from harness import tls
from harness.certs import Authority
from harness.wait import wait_for

UPSTREAM = "type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport"
RAW = "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"
TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
LISTENER = "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LOG = "%RESPONSE_FLAGS%|%BYTES_RECEIVED%|%BYTES_SENT%|%UPSTREAM_HOST%|%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%\n"
FIELDS = ("flags", "received", "sent", "host", "local")
ALL = {"match_type": "INCLUDE_ALL"}


def tlv(kind, value):
    return {"type": kind, "value": base64.b64encode(value).decode()}


def transport(inner=None, **config):
    inner = inner or {"@type": RAW}
    return {"name": "pp", "typed_config": {
        "@type": UPSTREAM, "config": config, "transport_socket": {"name": "inner", "typed_config": inner}}}


TRANSPORTS = {
    "v1": transport(version="V1"), "v2": transport(version="V2"), "unset": transport(),
    "all": transport(version="V2", pass_through_tlvs=ALL),
    "some": transport(version="V2", pass_through_tlvs={"match_type": "INCLUDE", "tlv_type": [0xE1, 0xE4]}),
    "added": transport(version="V2", pass_through_tlvs=ALL,
                       added_tlvs=[tlv(0xE2, b"mine"), tlv(0xE5, b"five"), tlv(0xE5, b"again")]),
    "tls": transport({"@type": TLS}, version="V1"), "tls v2": transport({"@type": TLS}, version="V2"),
}
TLVS = [tlv(0xE1, b"one"), {"type": 0xE3, "format_string": {"text_format_source": {"inline_string": "%PROTOCOL%!"}}},
        tlv(0xE2, b"two"), tlv(0xE1, b"once more")]
POLICIES = ("ADD_IF_ABSENT", "OVERWRITE_BY_TYPE_IF_EXISTS_OR_ADD", "APPEND_IF_EXISTS_OR_ADD")


def bootstrap(log, backend):
    received = {"listener_filters": [{"name": "pp", "typed_config": {"@type": LISTENER, "pass_through_tlvs": ALL}}]}
    listeners = [c.listener(name, tcp(name, log, LOG, stat_prefix=name, proxy_protocol_tlvs=TLVS)) for name in TRANSPORTS]
    listeners.append(c.listener("v6", tcp("v1", log, LOG, stat_prefix="v6"), host="::1"))
    listeners.append(c.listener("v6 v2", tcp("v2", log, LOG, stat_prefix="v62"), host="::1"))
    listeners.append(c.listener("big", tcp("all", log, LOG, stat_prefix="big", proxy_protocol_tlvs=[
        tlv(0xE1, b"x" * 40000), tlv(0xE2, b"y" * 40000), tlv(0xE3, b"z" * 10000)])))
    for policy in POLICIES:
        listeners.append(c.listener(policy, tcp("all", log, LOG, stat_prefix=policy, proxy_protocol_tlvs=TLVS,
                                                proxy_protocol_tlv_merge_policy=policy), **received))
    listeners.append(c.listener("relayed", tcp("v1", log, LOG, stat_prefix="relayed"), **received))
    return c.static_bootstrap(listeners, [
        c.cluster(name, backend.port, transport_socket=made) for name, made in TRANSPORTS.items()])


@pytest.fixture(scope="module")
def worlds(flavours, tmp_path_factory):
    with Pair(flavours, tmp_path_factory.mktemp("pp"), bootstrap, FIELDS) as pair:
        yield pair.worlds


def header(end):
    """The header that came, with its TLVs in a list; ports are left to the caller."""
    first = end.read(1)
    if first == b"P":
        return (first + end.read_until(b"\r\n")).decode().split()
    start = first + end.read(15)
    assert start[:12] == SIGNATURE
    length = struct.unpack(">H", start[14:])[0]
    payload = end.read(length)
    size = {0x11: 12, 0x21: 36}.get(start[13], 0)
    addresses, rest = payload[:size], payload[size:]
    tlvs = []
    while rest:
        kind, count = struct.unpack(">BH", rest[:3])
        tlvs.append((kind, rest[3:3 + count]))
        rest = rest[3 + count:]
    half = (size - 4) // 2
    family = socket.AF_INET if size == 12 else socket.AF_INET6
    ends = [] if not size else [
        socket.inet_ntop(family, addresses[:half]), socket.inet_ntop(family, addresses[half:2 * half]),
        *map(str, struct.unpack(">HH", addresses[-4:]))]
    return [start[12], start[13], *ends, tlvs]


def unnumbered(said, client, address):
    """The header with the client's and the listener's own ports by name."""
    names = {str(client.port): "client", str(address[1]): "listener"}
    return [names.get(part, part) if isinstance(part, str) else part for part in said]


def said_at_once(sent=b""):
    """The header comes before anybody has said a word."""
    def play(world, connect):
        with connect() as client:
            client.send(sent)
            with world.backend.accept() as host:
                got = unnumbered(header(host), client, client.sock.getpeername())
                client.send(b"hello")
                there = host.read(5)
                client.fin()
                host.read_to_end()
                host.fin()
                return got, there, client.read_to_end()
    return play


def before_tls(world, connect):
    """And before the handshake, in the clear."""
    served = tls.context(server=True, certificate=AUTHORITY.leaf("host"))
    with connect() as client, world.backend.accept() as host:
        got = unnumbered(header(host), client, client.sock.getpeername())
        with served.wrap_socket(host.sock, server_side=True) as secure:
            client.send(b"hello")
            there = secure.recv(5)
            secure.sendall(b"answer")
            return got, there, client.read(6)


AUTHORITY = Authority()
V1 = b"PROXY TCP4 192.0.2.1 192.0.2.2 1111 2222\r\n"


def v2(*tlvs):
    payload = socket.inet_aton("192.0.2.1") + socket.inet_aton("192.0.2.2") + struct.pack(">HH", 1111, 2222)
    payload += b"".join(struct.pack(">BH", kind, len(value)) + value for kind, value in tlvs)
    return SIGNATURE + b"\x21\x11" + struct.pack(">H", len(payload)) + payload


SCENARIOS = {
    **{name: (name, said_at_once(), 1) for name in TRANSPORTS if not name.startswith("tls")},
    "IPv6": ("v6", said_at_once(), 1), "IPv6, version 2": ("v6 v2", said_at_once(), 1), "too much": ("big", said_at_once(), 1),
    "before TLS": ("tls", before_tls, 1), "before TLS, version 2": ("tls v2", before_tls, 1),
    "of the client's header": ("relayed", said_at_once(V1), 1),
    **{f"{policy}, {name}": (policy, said_at_once(sent), 1) for policy in POLICIES for name, sent in (
        ("no TLVs", V1), ("TLVs", v2((0xE1, b"theirs"), (0xE9, b"nine"))))},
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_as_envoy(worlds, name):
    compare(worlds, SCENARIOS[name])


def test_says_who_it_is(worlds):
    """Two clients at once: each is told of as itself."""
    for world in worlds:
        address = world.proxy.address("v1")
        with socket.create_connection(address) as one, socket.create_connection(address) as two:
            said = set()
            for _ in range(2):
                with world.backend.accept() as host:
                    said.add(header(host)[4])
            assert said == {str(one.getsockname()[1]), str(two.getsockname()[1])}


@pytest.mark.parametrize("version,wanted", [("v1", ["PROXY", "UNKNOWN"]), ("v2", [0x20, 0, []])])
def test_unix_clients_are_unknown(flavours, version, wanted, tmp_path):
    """Envoy 1.40 ends at version 1, and says nothing with version 2."""
    if "nuncio" not in flavours:
        pytest.skip("nuncio alone")

    def unix(log, backend):
        made = c.listener("l", tcp(version, log))
        made["address"] = {"pipe": {"path": str(tmp_path / "s")}}
        return c.static_bootstrap([made], [c.cluster(version, backend.port, transport_socket=TRANSPORTS[version])])

    with Pair(["nuncio"], tmp_path, unix, FIELDS) as pair, socket.socket(socket.AF_UNIX) as client:
        wait_for((tmp_path / "s").exists, "the socket")
        client.connect(str(tmp_path / "s"))
        with pair.worlds[0].backend.accept() as host:
            assert header(host) == wanted
