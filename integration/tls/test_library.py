"""BoringSSL is the only TLS library in the process."""

import re
from pathlib import Path

import pytest

from harness import config as c
from harness import paths
from harness.certs import Authority
from harness.proxy import Proxy
from harness.tls import attempt, context
from harness.upstream import Origin

ROOT = Authority("root")
SERVER = ROOT.leaf("server", dns=["test.example"])
OTHERS = re.compile(r"/lib(ssl|crypto|gnutls|nss3|nspr4|mbedtls|wolfssl)[-.\d]*\.so")
VERSION = re.compile(rb"(?:OpenSSL|LibreSSL) \d+\.\d+[ -~]*")


def versions(data):
    """Version strings in a program. BoringSSL only says what it is compatible with."""
    return [found for found in VERSION.findall(data) if b"(compatible; BoringSSL)" not in found]


@pytest.fixture(scope="module")
def maps():
    """The files mapped by a nuncio that has spoken TLS on both sides and to a control plane's library."""
    if paths.nuncio() is None:
        pytest.skip("no nuncio")
    with Origin("a", tls=context(server=True, certificate=SERVER)) as origin:
        listener = c.listener("l", c.chain(c.hcm(c.simple_routes("r", "a")), transport_socket=c.downstream_tls(SERVER)))
        cluster = c.cluster("a", origin.port, transport_socket=c.upstream_tls(validation=c.trust(ROOT)))
        with Proxy("nuncio", c.static_bootstrap([listener], [cluster])) as proxy:
            assert attempt(proxy.address()).status == 200
            return {line.split(maxsplit=5)[5] for line in Path(f"/proc/{proxy.pid}/maps").read_text().splitlines()
                    if len(line.split(maxsplit=5)) == 6}


def test_no_other_library_is_mapped(maps):
    assert any(name == str(paths.nuncio().resolve()) for name in maps)
    assert [name for name in maps if OTHERS.search(name)] == []


def test_no_other_library_is_linked_in():
    if paths.nuncio() is None:
        pytest.skip("no nuncio")
    program = paths.nuncio().read_bytes()
    assert b"BoringSSL" in program
    assert versions(program) == []


def test_the_patterns_would_find_one():
    assert OTHERS.search("/usr/lib/x86_64-linux-gnu/libssl.so.3") and OTHERS.search("/usr/lib/libcrypto.so.1.1")
    assert versions(b"\0OpenSSL 3.0.22 25 Aug 2026\0OpenSSL 1.1.1 (compatible; BoringSSL)\0") == [b"OpenSSL 3.0.22 25 Aug 2026"]
