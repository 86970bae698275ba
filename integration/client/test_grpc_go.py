"""nuncio's own gRPC client against gRPC's Go server: the interop cases, their protobuf written by hand."""

import pytest

from harness import grpc_peer
from harness.grpc_interop import InteropServer

SERVICE = "/grpc.testing.TestService/"
OK, UNKNOWN, UNIMPLEMENTED, UNAVAILABLE = 0, 2, 12, 14


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def number(field, value):
    return varint(field << 3) + varint(value)


def octets(field, value):
    return varint(field << 3 | 2) + varint(len(value)) + value


def payload(field, size):
    return octets(field, octets(2, bytes(size)))


def status(code, message):
    return octets(7, number(1, code) + octets(2, message.encode()))


def wanted(*sizes, pause_us=0):
    return b"".join(octets(2, number(1, size) + (number(2, pause_us) if pause_us else b"")) for size in sizes)


@pytest.fixture(scope="module")
def server():
    with InteropServer() as made:
        yield made


@pytest.fixture
def peer(binary, server):
    with grpc_peer.Peer(binary, server.port) as made:
        yield made


def call(peer, method, *messages, timeout_ms=0):
    peer.do("start", 1, SERVICE + method, timeout_ms)
    for message in messages:
        peer.do("send", 1, message.hex())
    peer.do("finish", 1)
    return peer.close_of(1)


def message_sizes(peer):
    return [int(e[1]) for e in peer.of(1) if e[0] == "message"]


def test_empty_unary(peer):
    assert call(peer, "EmptyCall", b"")[0] == OK
    assert message_sizes(peer) == [0]


def test_large_unary(peer):
    assert call(peer, "UnaryCall", number(2, 314159) + payload(3, 271828))[0] == OK
    assert message_sizes(peer) == [len(payload(1, 314159))]


def test_client_streaming(peer):
    sizes = (27182, 8, 1828, 45904)
    assert call(peer, "StreamingInputCall", *(payload(1, size) for size in sizes))[0] == OK
    assert message_sizes(peer) == [len(number(1, sum(sizes)))]


def test_server_streaming(peer):
    sizes = (31415, 9, 2653, 58979)
    assert call(peer, "StreamingOutputCall", wanted(*sizes))[0] == OK
    assert message_sizes(peer) == [len(payload(1, size)) for size in sizes]


def test_ping_pong(peer):
    peer.do("start", 1, SERVICE + "FullDuplexCall")
    for i, (asked, sent) in enumerate(((31415, 27182), (9, 8), (2653, 1828), (58979, 45904)), 1):
        peer.do("send", 1, (wanted(asked) + payload(3, sent)).hex())
        assert int(peer.wait(1, "message", i)[1]) == len(payload(1, asked))
    peer.do("finish", 1)
    assert peer.close_of(1)[0] == OK


def test_empty_stream(peer):
    assert call(peer, "FullDuplexCall")[0] == OK
    assert message_sizes(peer) == []


def test_timeout_on_sleeping_server(peer):
    """Whoever is first, the server that heeds grpc-timeout or the client's own clock."""
    code, message, details, _ = call(peer, "FullDuplexCall", wanted(9, pause_us=5_000_000), timeout_ms=50)
    assert (code, details) in ((UNAVAILABLE, "response_timeout"), (4, "via_upstream"),
                               (UNAVAILABLE, "upstream_reset_before_response_started{remote_reset}")), message


def test_cancel_after_first_response(peer):
    peer.do("start", 1, SERVICE + "FullDuplexCall")
    peer.do("send", 1, (wanted(31415) + payload(3, 27182)).hex())
    peer.wait(1, "message")
    peer.do("cancel", 1)
    peer.wait(1, "cancelled")
    peer.do("unary", 2, SERVICE + "EmptyCall", 0)
    assert peer.close_of(2)[0] == OK
    assert [e[0] for e in peer.of(1)] == ["head", "message", "cancelled"]


@pytest.mark.parametrize("method", ["UnaryCall", "FullDuplexCall"])
def test_status_code_and_message(peer, method):
    assert call(peer, method, status(UNKNOWN, "test status message"))[:2] == (UNKNOWN, "test status message")


def test_special_status_message(peer):
    words = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
    assert call(peer, "UnaryCall", status(UNKNOWN, words))[:2] == (UNKNOWN, words)


def test_unimplemented_method_and_service(peer):
    assert call(peer, "UnimplementedCall", b"")[0] == UNIMPLEMENTED
    peer.do("unary", 2, "/grpc.testing.UnimplementedService/UnimplementedCall", 0)
    assert peer.close_of(2)[0] == UNIMPLEMENTED
