"""Sessions: TLS 1.2 ids and tickets, TLS 1.3 tickets; what the switches turn off, and which tickets are worth nothing."""

import re
import time

import pytest

from harness import config as c
from harness.certs import Authority, inline
from harness.tls import TlsClient, TlsEnded, attempt, context, s_client

ROOT = Authority("root")
OTHER = Authority("other")
SERVER = ROOT.leaf("server", dns=["a.example", "b.example"])
SECOND = ROOT.leaf("second", dns=["c.example"])
CLIENT = ROOT.leaf("client", dns=["client.example"])
KEYS = [bytes([n]) * 80 for n in range(3)]


def serves(*keys, certificate=SERVER, **more):
    if keys:
        more["session_ticket_keys"] = {"keys": [inline(k) for k in keys]}
    return c.downstream_tls(certificate, **more)


LISTENERS = {
    "plain": serves(),
    "twin": serves(),  # the same context again: its own keys
    "no_tickets": serves(disable_stateless_session_resumption=True),
    "no_ids": serves(disable_stateful_session_resumption=True),
    "neither": serves(disable_stateless_session_resumption=True, disable_stateful_session_resumption=True),
    "key0": serves(KEYS[0]),
    "key0_again": serves(KEYS[0]),
    "key1": serves(KEYS[1]),
    "key1_then_0": serves(KEYS[1], KEYS[0]),
    "key0_other_cert": serves(KEYS[0], certificate=SECOND),
    "key0_mtls": serves(KEYS[0], validation=c.trust(ROOT), require_client_certificate=True),
    "key0_mtls_again": serves(KEYS[0], validation=c.trust(ROOT), require_client_certificate=True),
    "key0_mtls_san": serves(KEYS[0], validation=c.trust(ROOT, san=[("DNS", "other.example")]),
                            require_client_certificate=True),
    "key0_mtls_both": serves(KEYS[0], validation=c.trust(ROOT.ca_pem + OTHER.ca_pem), require_client_certificate=True),
    "short": serves(session_timeout="100s"),
    "brief": serves(session_timeout="1s"),
    "mtls": serves(validation=c.trust(ROOT), require_client_certificate=True),
}
FROM_TO = [
    ("plain", "plain"), ("plain", "twin"), ("no_tickets", "no_tickets"), ("no_ids", "no_ids"), ("neither", "neither"),
    ("key0", "key0"), ("key0", "key0_again"), ("key0", "key1"), ("key0", "key1_then_0"), ("key1", "key1_then_0"),
    ("key1_then_0", "key0"), ("key1_then_0", "key1"), ("key0", "key0_other_cert"), ("key0", "key0_mtls"),
    ("key0_mtls", "key0"), ("key0_mtls", "key0_mtls_again"), ("key0_mtls", "key0_mtls_san"),
    ("key0_mtls", "key0_mtls_both"), ("mtls", "mtls"), ("short", "short"), ("key0", "no_tickets"), ("plain", "key0"),
]
MODES = {"1.2 id": ("1.2", False), "1.2 ticket": ("1.2", True), "1.3": ("1.3", True)}
RESUMES = {("plain", "plain"), ("key0", "key0"), ("key0", "key0_again"), ("key0", "key1_then_0"), ("key1", "key1_then_0"),
           ("key0_mtls", "key0_mtls_again"), ("mtls", "mtls")}
NEVER = {("plain", "twin"), ("key0", "key1"), ("key1_then_0", "key0"), ("key0_mtls", "key0_mtls_san"), ("neither", "neither")}


@pytest.mark.differential
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("first, then", FROM_TO)
def test_second_connection(tables, first, then, mode):
    """The session of one listener shown to another, or again to the same."""
    version, tickets = MODES[mode]
    made = context(versions=version, tickets=tickets, certificate=CLIENT)
    rows = {}
    for flavour, table in sorted(tables.tables.items()):
        session = table.observe(first, tls=made, sni="a.example").seen.session
        rows[flavour] = table.observe(then, tls=made, sni="a.example", session=session)
    resumed = {flavour: row.seen.resumed for flavour, row in rows.items()}
    assert len(set(resumed.values())) == 1, resumed
    if len(rows) > 1:
        assert rows["envoy"].view() == rows["nuncio"].view()
    for row in rows.values():
        assert row.counters.get("ssl.session_reused", 0) == int(row.seen.resumed)
        if (first, then) in RESUMES and mode != "1.2 id":
            assert row.seen.resumed
        if (first, then) in NEVER:
            assert not row.seen.resumed
        if (first, then) == ("no_tickets", "no_tickets"):
            assert row.seen.resumed == (mode != "1.3")
        if (first, then) == ("no_ids", "no_ids"):
            assert row.seen.resumed == (mode != "1.2 id")
        if row.seen.resumed and first.endswith("mtls"):
            assert row.log["peer_subject"] == "CN=client"  # the client is still known


@pytest.mark.differential
@pytest.mark.parametrize("mode", ["1.2 ticket", "1.3"])
def test_session_of_another_name(tables, mode):
    """A session made for one name, shown with another SNI."""
    version, tickets = MODES[mode]
    made = context(versions=version, tickets=tickets)
    rows = {}
    for flavour, table in sorted(tables.tables.items()):
        session = table.observe("plain", tls=made, sni="a.example").seen.session
        rows[flavour] = table.observe("plain", tls=made, sni="b.example", session=session)
        assert rows[flavour].seen.status == 200
    if len(rows) > 1:
        assert rows["envoy"].view() == rows["nuncio"].view()


@pytest.mark.differential
def test_broken_ticket(tables):
    """A ticket with a bit turned: a full handshake, no error."""
    made = context(versions="1.2")
    for table in tables.tables.values():
        session = attempt(table.address("key0"), tls=made, sni="a.example").session
        client = TlsClient(table.address("key0"), tls=made, sni="a.example", session=session, handshake=False)
        with client:
            hello = bytearray(client.hello())
            # The ticket begins with the key's name, its first sixteen bytes.
            at = hello.find(KEYS[0][:16])
            assert at > 0
            client.send_raw(bytes(hello))
            client.shake()
            assert client.object.session_reused
        for offset in (0, 20, 60):
            client = TlsClient(table.address("key0"), tls=made, sni="a.example", session=session, handshake=False)
            with client:
                hello = bytearray(client.hello())
                hello[hello.find(KEYS[0][:16]) + offset] ^= 1
                client.send_raw(bytes(hello))
                # The transcript no longer agrees, so this client cannot finish; the server began a full handshake.
                with pytest.raises(TlsEnded):
                    client.shake()
                assert SERVER.der in client.wire


@pytest.mark.differential
@pytest.mark.parametrize("mode", MODES)
def test_session_ends(tables, mode):
    """session_timeout, by the second: time has to pass here."""
    version, tickets = MODES[mode]
    sessions = {}
    for flavour, table in tables.tables.items():
        made = context(versions=version, tickets=tickets)
        sessions[flavour] = made, table.observe("brief", tls=made, sni="a.example").seen.session
    time.sleep(2.2)
    rows = {f: t.observe("brief", tls=sessions[f][0], sni="a.example", session=sessions[f][1])
            for f, t in sorted(tables.tables.items())}
    for row in rows.values():
        assert row.seen.status == 200
    assert len({row.seen.resumed for row in rows.values()}) == 1, {f: row.seen.resumed for f, row in rows.items()}


@pytest.mark.differential
def test_lifetime_hint(tables):
    """session_timeout is what the client is told, and Envoy's default without."""
    hints = {}
    for flavour, table in sorted(tables.tables.items()):
        for listener in ("plain", "short"):
            for version in ("-tls1_2", "-tls1_3"):
                said = s_client(table.address(listener), version, "-servername", "a.example",
                                send=b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
                found = re.search(r"lifetime hint: (\d+)", said.text)
                hints.setdefault((listener, version), {})[flavour] = found and int(found[1])
    for key, value in hints.items():
        told = list(value.values())
        # A second may begin between the session and its ticket.
        assert None not in told and max(told) - min(told) <= 1 or set(told) == {None}, (key, value)


@pytest.mark.differential
def test_no_early_data(tables):
    """Neither offers 0-RTT: the ticket says so."""
    for table in tables.tables.values():
        said = s_client(table.address("plain"), "-tls1_3", "-servername", "a.example",
                        send=b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        assert re.search(r"Max Early Data: 0", said.text) or "Max Early Data" not in said.text
        assert "Early data was not sent" in said.text


