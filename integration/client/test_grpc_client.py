"""nuncio's own gRPC client against a real gRPC server (C core, through grpcio). It meets no proxy here: what filters will
call lies in dataplane/client/, and grpc_client_peer is the program around it."""

import random
import threading
import time
from concurrent import futures

import grpc
import pytest

from harness import grpc_peer
from harness.scripted_h2 import (INTERNAL_ERROR, REFUSED_STREAM, ScriptedH2, close, data, goaway, headers, rst)
from harness.wait import wait_for

OK, CANCELLED, UNKNOWN, INVALID_ARGUMENT, DEADLINE_EXCEEDED = 0, 1, 2, 3, 4
RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE = 8, 12, 13, 14


class Methods(grpc.GenericRpcHandler):
    """What the server does; messages are plain bytes."""

    def __init__(self):
        self.seen = []  # (method, metadata, seconds left)
        self.received = []  # message lengths of client streams
        self.cancelled = threading.Event()
        self.gate = threading.Event()  # `Hold` waits for it
        self.held = 0
        self.lock = threading.Lock()

    def service(self, details):
        name = details.method.rsplit("/", 1)[1].lower()
        self.seen.append((details.method, dict(details.invocation_metadata)))
        if name in ("echo", "fail", "slow", "hold", "big", "headers"):
            return grpc.unary_unary_rpc_method_handler(getattr(self, name))
        if name == "download":
            return grpc.unary_stream_rpc_method_handler(self.download)
        if name == "upload":
            return grpc.stream_unary_rpc_method_handler(self.upload)
        if name in ("chat", "refuse", "ignore"):
            return grpc.stream_stream_rpc_method_handler(getattr(self, name))
        return None  # UNIMPLEMENTED, trailers only

    def echo(self, request, context):
        return request

    def headers(self, request, context):
        context.send_initial_metadata((("x-server", "grpcio"),))
        context.set_trailing_metadata((("x-trailer", "last"),))
        return b"ok"

    def fail(self, request, context):
        context.set_trailing_metadata((("x-trailer", "why"),))
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "böse: 100%\n")

    def slow(self, request, context):
        context.add_callback(self.cancelled.set)
        self.cancelled.wait(20)
        return b""

    def hold(self, request, context):
        with self.lock:
            self.held += 1
        self.gate.wait(20)
        return request

    def big(self, request, context):
        return b"y" * int.from_bytes(request[:4].ljust(4, b"x"), "big") if request[:1] != b"x" else b"y" * len(request)

    def download(self, request, context):
        context.add_callback(self.cancelled.set)
        for i in range(len(request)):
            if not context.is_active():
                return
            yield bytes([i % 256]) * 1000

    def upload(self, requests, context):
        total = 0
        for message in requests:
            self.received.append(len(message))
            total += len(message)
        return total.to_bytes(8, "big")

    def chat(self, requests, context):
        context.add_callback(self.cancelled.set)
        for message in requests:
            yield message + b"!"

    def refuse(self, requests, context):
        """Ends the call while the client still talks."""
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "enough")
        yield b""

    def ignore(self, requests, context):
        """Reads nothing until it may."""
        self.gate.wait(20)
        total = sum(len(m) for m in requests)
        yield total.to_bytes(8, "big")


class Server:
    def __init__(self, threads=8, port=0, **options):
        self.methods = Methods()
        settings = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1),
                    ("grpc.max_send_message_length", -1)]
        settings += [(f"grpc.{k}", v) for k, v in options.items()]
        self.server = grpc.server(futures.ThreadPoolExecutor(threads), options=settings)
        self.server.add_generic_rpc_handlers((self.methods,))
        self.port = self.server.add_insecure_port(f"127.0.0.1:{port}")
        assert self.port
        self.server.start()

    def stop(self, grace=None):
        self.methods.gate.set()
        self.methods.cancelled.set()
        return self.server.stop(grace)


@pytest.fixture
def server():
    made = Server()
    yield made
    made.stop().wait()


@pytest.fixture
def peer(binary, server):
    with grpc_peer.Peer(binary, server.port) as made:
        yield made


# --- one message there, one back --------------------------------------------------------------------


def test_unary(peer, server):
    peer.do("unary", 1, "/t.T/Echo", 5)
    assert peer.wait(1, "message") == ["message", "5", "120", "120"]
    assert peer.close_of(1) == (OK, "", "via_upstream", "")
    assert server.methods.seen == [("/t.T/Echo", {"x-envoy-internal": "true"})]


def test_unary_of_nothing(peer):
    peer.do("unary", 1, "/t.T/Echo", 0)
    assert peer.wait(1, "message")[1] == "0"
    assert peer.close_of(1)[0] == OK


def test_metadata_of_both_ends(peer):
    peer.do("start", 1, "/t.T/Headers")
    peer.do("send", 1, "00")
    peer.do("finish", 1)
    assert grpc_peer.text(peer.wait(1, "head")[1]) == "grpcio"
    assert peer.close_of(1) == (OK, "", "via_upstream", "last")


def test_errors_arrive_with_their_words(peer):
    peer.do("unary", 1, "/t.T/Fail", 5)
    assert peer.close_of(1) == (INVALID_ARGUMENT, "böse: 100%\n", "via_upstream", "why")
    assert [e[0] for e in peer.of(1)] == ["close"]


def test_trailers_only(peer):
    """A method that nobody has is refused in the first HEADERS frame."""
    peer.do("start", 1, "/t.T/Nothing")
    assert peer.close_of(1)[0] == UNIMPLEMENTED
    assert [e[0] for e in peer.of(1)] == ["close"]


def test_one_connection_carries_all(peer):
    for i in range(20):
        peer.do("unary", i, "/t.T/Echo", 10)
    assert {peer.close_of(i)[0] for i in range(20)} == {OK}
    assert peer.stat("cluster.c.upstream_cx_total") == 1
    assert peer.stat("cluster.c.upstream_rq_200") == 20
    assert peer.stat("cluster.c.internal.upstream_rq_200") == 20


@pytest.mark.parametrize("size", [65_536, 1_000_000, 4 * 1024 * 1024])
def test_big_messages(peer, size):
    """Over several frames and several windows, both ways; the last is the largest that is taken."""
    peer.do("unary", 1, "/t.T/Echo", size)
    assert peer.wait(1, "message") == ["message", str(size), "120", "120"]
    assert peer.close_of(1)[0] == OK


def test_a_message_over_the_bound(peer):
    peer.do("unary", 1, "/t.T/Echo", 4 * 1024 * 1024 + 1)
    assert peer.close_of(1)[0::2] == (RESOURCE_EXHAUSTED, "grpc_message_too_large")
    peer.do("unary", 2, "/t.T/Echo", 11, 0, 10)
    assert peer.close_of(2)[0] == RESOURCE_EXHAUSTED
    peer.do("unary", 3, "/t.T/Echo", 10, 0, 10)
    assert peer.close_of(3)[0] == OK
    assert peer.stat("cluster.c.upstream_cx_total") == 1  # the streams were reset, not the connection


# --- streams ----------------------------------------------------------------------------------------


def test_server_stream(peer):
    peer.do("start", 1, "/t.T/Download")
    peer.do("send", 1, "00" * 300)
    peer.do("finish", 1)
    assert peer.close_of(1)[0] == OK
    messages = [e for e in peer.of(1) if e[0] == "message"]
    assert messages == [["message", "1000", str(i % 256), str(i % 256)] for i in range(300)]


def test_client_stream(peer, server):
    peer.do("start", 1, "/t.T/Upload")
    for i in range(200):
        peer.do("send", 1, "ab" * i)
    peer.do("finish", 1)
    assert peer.close_of(1)[0] == OK
    assert server.methods.received == list(range(200))


def test_bidirectional_stream_in_turns(peer):
    peer.do("start", 1, "/t.T/Chat")
    for i in range(1, 50):
        peer.do("send", 1, "61" * i)
        assert peer.wait(1, "message", i)[1:] == [str(i + 1), "97", "33"]
    peer.do("finish", 1)
    assert peer.close_of(1)[0] == OK


def test_the_server_may_end_first(peer):
    peer.do("start", 1, "/t.T/Refuse")
    peer.do("send", 1, "00")
    assert peer.close_of(1)[:2] == (RESOURCE_EXHAUSTED, "enough")
    peer.do("send", 1, "00")  # too late: nothing happens
    peer.do("unary", 2, "/t.T/Echo", 1)
    assert peer.close_of(2)[0] == OK


def test_sending_stops_at_the_limit_and_goes_on(peer, server):
    peer.do("start", 1, "/t.T/Ignore")
    peer.do("fill", 1, 100_000, 1000)
    first = int(peer.wait(1, "filled")[1])
    assert first < 1000
    peer.wait(1, "above")
    server.methods.gate.set()
    peer.wait(1, "below")
    peer.do("finish", 1)
    assert peer.close_of(1)[0] == OK


def test_a_paused_call_holds_the_server_back(peer):
    """5 MB cannot have come: the stream's window is shut, and nothing is handed out."""
    peer.do("start", 1, "/t.T/Download")
    peer.do("pause", 1)
    peer.do("send", 1, "00" * 5000)
    peer.do("finish", 1)
    peer.do("unary", 2, "/t.T/Echo", 1)  # beside it, on the same connection
    assert peer.close_of(2)[0] == OK
    assert "message" not in [e[0] for e in peer.of(1)]
    assert peer.stat("cluster.c.upstream_flow_control_paused_reading_total") == 1
    assert peer.blocks() < 200
    peer.do("resume", 1)
    assert peer.close_of(1, timeout=60)[0] == OK
    assert len([e for e in peer.of(1) if e[0] == "message"]) == 5000


# --- deadlines and cancels --------------------------------------------------------------------------


def test_a_deadline(peer, server):
    """The server knows it too (grpc-timeout): whichever is first says how the call ended."""
    peer.do("unary", 1, "/t.T/Slow", 1, 200)
    code, _, details, _ = peer.close_of(1)
    assert (code, details) in [(UNAVAILABLE, "response_timeout"), (DEADLINE_EXCEEDED, "via_upstream")]
    assert server.methods.cancelled.wait(10)
    assert peer.stat("cluster.c.upstream_rq_timeout") == (details == "response_timeout")
    assert peer.stat("cluster.c.upstream_cx_active") == 1
    assert peer.stat("cluster.c.upstream_rq_active") == 0


def test_a_deadline_that_is_kept(peer, server):
    peer.do("unary", 1, "/t.T/Echo", 1, 10_000)
    assert peer.close_of(1)[0] == OK
    assert server.methods.seen[0][1]["x-envoy-expected-rq-timeout-ms"] == "10000"


def test_cancel_reaches_the_server(peer, server):
    peer.do("start", 1, "/t.T/Chat")
    peer.do("send", 1, "61")
    peer.wait(1, "message")
    peer.do("cancel", 1)
    assert server.methods.cancelled.wait(10)
    peer.do("unary", 2, "/t.T/Echo", 1)
    assert peer.close_of(2)[0] == OK
    assert [e[0] for e in peer.of(1)] == ["head", "message", "cancelled"]
    assert peer.stat("cluster.c.upstream_cx_total") == 1


def test_cancel_before_there_is_a_connection(peer):
    peer.do("unary", 1, "/t.T/Echo", 1)
    peer.do("cancel", 1)
    peer.do("unary", 2, "/t.T/Echo", 1)
    assert peer.close_of(2)[0] == OK
    assert peer.of(1) == [["cancelled"]]


# --- servers that go --------------------------------------------------------------------------------


def test_nobody_is_there(binary):
    server = Server()
    server.stop().wait()
    with grpc_peer.Peer(binary, server.port) as peer:
        peer.do("unary", 1, "/t.T/Echo", 1)
        code, message, details, _ = peer.close_of(1)
    assert code == UNAVAILABLE
    assert message.endswith("reset reason: remote connection failure")
    assert details.startswith("upstream_reset_before_response_started{remote_connection_failure")


def test_a_server_that_dies_ends_its_calls(binary):
    server = Server()
    with grpc_peer.Peer(binary, server.port) as peer:
        peer.do("start", 1, "/t.T/Chat")
        peer.do("send", 1, "61")
        peer.wait(1, "message")
        peer.do("unary", 2, "/t.T/Hold", 1)
        wait_for(lambda: server.methods.held == 1, "the call to arrive")
        server.server.stop(None)
        assert peer.close_of(1)[0] != OK
        assert peer.close_of(2)[0] != OK
        server.stop().wait()
        again = Server(port=server.port)
        peer.do("unary", 3, "/t.T/Echo", 1)
        assert peer.close_of(3)[0] == OK
        again.stop().wait()


def test_goaway_lets_calls_finish_and_moves_the_next(binary):
    """A connection's age is up: GOAWAY; the call under way ends well, the next one has a connection of its own."""
    server = Server(max_connection_age_ms=200, max_connection_age_grace_ms=20_000)
    with grpc_peer.Peer(binary, server.port) as peer:
        peer.do("start", 1, "/t.T/Chat")
        peer.do("send", 1, "61")
        peer.wait(1, "message")
        sent = 10

        def on_a_second_connection():
            nonlocal sent
            sent += 1
            peer.do("unary", sent, "/t.T/Echo", 1)
            assert peer.close_of(sent)[0] == OK
            return peer.stat("cluster.c.upstream_cx_total") > 1

        wait_for(on_a_second_connection, "a second connection")
        peer.do("send", 1, "61")
        peer.wait(1, "message", 2)
        peer.do("finish", 1)
        assert peer.close_of(1)[0] == OK
    server.stop().wait()


def test_no_call_is_lost_to_goaway(binary):
    """Connections live 50 ms; calls that meet the GOAWAY were not processed and go again elsewhere."""
    server = Server(max_connection_age_ms=50, max_connection_age_grace_ms=20_000)
    with grpc_peer.Peer(binary, server.port) as peer:
        end = time.monotonic() + 3
        done = 0
        while time.monotonic() < end:
            for i in range(20):
                peer.do("unary", done + i, "/t.T/Echo", 10)
            codes = [peer.close_of(done + i) for i in range(20)]
            assert {c[0] for c in codes} == {OK}, codes
            done = (done + 20) % 4000
            if done == 0:
                peer.events.clear()
        assert peer.stat("cluster.c.upstream_cx_total") > 5
    server.stop().wait()


# --- answers that no honest server gives ------------------------------------------------------------


@pytest.fixture
def scripted():
    with ScriptedH2() as made:
        yield made


@pytest.fixture
def scripted_peer(binary, scripted):
    with grpc_peer.Peer(binary, scripted.port) as made:
        yield made


HEAD = {":status": "200", "content-type": "application/grpc"}


def test_a_deadline_that_the_server_does_not_know_of(scripted, scripted_peer):
    scripted.answers.append([])
    scripted_peer.do("unary", 1, "/t.T/Silent", 1, 200)
    code, message, details, _ = scripted_peer.close_of(1)
    assert (code, message, details) == (UNAVAILABLE, "upstream request timeout", "response_timeout")
    assert scripted_peer.stat("cluster.c.upstream_rq_timeout") == 1


def message(payload, flags=0):
    return bytes([flags]) + len(payload).to_bytes(4, "big") + payload


@pytest.mark.parametrize("frames, code", [
    ([headers({":status": "503"}, end=True)], UNAVAILABLE),
    ([headers({":status": "404"}), data(b"<html>", end=True)], UNIMPLEMENTED),
    ([headers({":status": "503", "grpc-status": "8"}, end=True)], RESOURCE_EXHAUSTED),
    ([headers(HEAD), data(message(b"a"), end=True)], UNKNOWN),
    ([headers(HEAD), data(message(b"a")), headers({"x": "y"}, end=True)], UNKNOWN),
    ([headers(HEAD), data(message(b"a")), headers({"grpc-status": "x"}, end=True)], UNKNOWN),
    ([headers(HEAD), data(message(b"a", flags=1)), headers({"grpc-status": "0"}, end=True)], INTERNAL),
    ([headers(HEAD), data(message(b"a", flags=4)), headers({"grpc-status": "0"}, end=True)], INTERNAL),
    ([headers(HEAD), data(b"\0\xff\xff\xff\xff")], RESOURCE_EXHAUSTED),
    ([headers(HEAD), headers({"grpc-status": "0"}, end=True)], INTERNAL),  # no message
    ([headers(HEAD), data(message(b"a")[:3]), headers({"grpc-status": "0"}, end=True)], INTERNAL),
    ([headers(HEAD), data(message(b"a")), rst(INTERNAL_ERROR)], INTERNAL),
    ([rst(INTERNAL_ERROR)], UNAVAILABLE),
    ([headers(HEAD), data(message(b"ab")), headers({"grpc-status": "0"}, end=True)], OK),
])
def test_odd_answers(scripted, scripted_peer, frames, code):
    scripted.answers.append(frames)
    scripted_peer.do("unary", 1, "/t.T/M", 5)
    assert scripted_peer.close_of(1)[0] == code
    scripted.answers.append([headers(HEAD), data(message(b"ab")), headers({"grpc-status": "0"}, end=True)])
    scripted_peer.do("unary", 2, "/t.T/M", 5)  # the connection has not suffered
    assert scripted_peer.close_of(2)[0] == OK
    assert scripted.connections == 1


GOOD = [headers(HEAD), data(message(b"ab")), headers({"grpc-status": "0"}, end=True)]


@pytest.mark.parametrize("refusal", [[rst(REFUSED_STREAM)], [goaway(0)]], ids=["refused", "goaway"])
def test_what_was_not_processed_goes_again_once(scripted, scripted_peer, refusal):
    scripted.answers += [refusal, GOOD]
    scripted_peer.do("unary", 1, "/t.T/M", 5)
    assert scripted_peer.close_of(1)[0] == OK
    assert scripted_peer.stat("cluster.c.upstream_rq_retry") == 1
    assert scripted_peer.stat("cluster.c.upstream_rq_retry_success") == 1
    scripted.answers += [refusal, refusal, GOOD]
    scripted_peer.do("unary", 2, "/t.T/M", 5)
    code, _, details, _ = scripted_peer.close_of(2)
    assert code == UNAVAILABLE
    assert details == "upstream_reset_before_response_started{remote_refused_stream_reset}"
    assert scripted_peer.stat("cluster.c.upstream_rq_retry_limit_exceeded") == 1


def test_what_is_too_big_to_keep_does_not_go_again(scripted, scripted_peer):
    scripted.answers += [[rst(REFUSED_STREAM)], GOOD]
    scripted_peer.do("unary", 1, "/t.T/M", 65_537)
    assert scripted_peer.close_of(1)[0] == UNAVAILABLE


def test_what_may_have_been_processed_does_not_go_again(scripted, scripted_peer):
    scripted.answers += [[goaway(1), close()], GOOD]
    scripted_peer.do("unary", 1, "/t.T/M", 5)
    assert scripted_peer.close_of(1)[0] == UNAVAILABLE


def test_a_peer_that_stops_with_calls_open(binary, server):
    """As a worker would: calls are cancelled, connections close, nothing is left (ASan counts)."""
    with grpc_peer.Peer(binary, server.port) as peer:
        for i in range(50):
            peer.do("start", i, "/t.T/Chat")
            peer.do("send", i, "61")
            peer.do("unary", 100 + i, "/t.T/Hold", 70_000)
        peer.wait(0, "message")
        peer.do("start", 200, "/t.T/Chat")
    assert peer.process.returncode == 0


# --- many -------------------------------------------------------------------------------------------


def test_a_thousand_calls_at_once(binary):
    server = Server(threads=1000, max_concurrent_streams=2000)
    with grpc_peer.Peer(binary, server.port) as peer:
        for i in range(1000):
            peer.do("unary", i, "/t.T/Hold", 100)
        wait_for(lambda: server.methods.held == 1000, lambda: f"1000 calls to arrive, {server.methods.held} have", 60)
        assert peer.stat("cluster.c.upstream_rq_active") == 1000
        server.methods.gate.set()
        assert {peer.close_of(i, timeout=60)[0] for i in range(1000)} == {OK}
        assert peer.stat("cluster.c.upstream_rq_active") == 0
    server.stop().wait()


def test_a_thousand_streams_cancelled(binary):
    server = Server(threads=16, max_concurrent_streams=2000)
    with grpc_peer.Peer(binary, server.port) as peer:
        for i in range(1000):
            peer.do("start", i, "/t.T/Chat")
            peer.do("send", i, "61")
        for i in range(1000):
            peer.do("cancel", i)
        for i in range(1000):
            peer.wait(i, "cancelled")
        assert peer.stat("cluster.c.upstream_rq_active") == 0
        peer.do("unary", 2000, "/t.T/Echo", 1)
        assert peer.close_of(2000, timeout=60)[0] == OK
    server.stop().wait()


@pytest.mark.parametrize("seed", range(3))
def test_calls_at_random(binary, seed):
    """Anything at any time: nothing is called twice or after its end, nothing is left open, nothing leaks."""
    server = Server(threads=64, max_concurrent_streams=2000)
    server.methods.gate.set()
    rng = random.Random(seed)
    paths = ["/t.T/" + m for m in ("Echo", "Fail", "Nothing", "Headers", "Download", "Upload", "Chat", "Refuse", "Ignore")]
    with grpc_peer.Peer(binary, server.port) as peer:
        last = 0
        for _ in range(1500):
            call = rng.randint(max(last - 20, 0), last)
            what = rng.randrange(8)
            if what < 3:
                last += 1
                command = ("unary", last, rng.choice(paths), rng.choice([0, 10, 3000, 70_000]), rng.choice([0, 0, 1, 20]))
                peer.do(*(command if what == 0 else ("start", last, command[2], command[4])))
            else:
                peer.do(*[("send", call, "61" * rng.randrange(30)), ("finish", call), ("pause", call), ("resume", call),
                          ("cancel", call)][what - 3])
        for call in range(last + 1):
            peer.do("cancel", call)
        peer.wait(last, "cancelled")
        assert peer.stat("cluster.c.upstream_rq_active") == 0
        assert peer.stat("cluster.c.upstream_rq_pending_active") == 0
        peer.do("unary", 4000, "/t.T/Echo", 1)
        assert peer.close_of(4000)[0] == OK
        for call in range(last + 1):
            words = [e[0] for e in peer.of(call)]
            assert words.count("close") <= 1 and words.count("head") <= 1
            if "close" in words:
                assert set(words[words.index("close") + 1:]) <= {"cancelled"}
    server.stop().wait()
