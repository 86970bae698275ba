"""Builders of listener filters, and the first bytes that they look at."""

import ssl
import struct

TYPES = "type.googleapis.com/envoy.extensions.filters.listener."


def listener_filter(kind, message, disabled=None, **fields):
    made = {"name": kind, "typed_config": {"@type": f"{TYPES}{kind}.v3.{message}", **fields}}
    if disabled is not None:
        made["filter_disabled"] = disabled
    return made


def tls_inspector(**more):
    return listener_filter("tls_inspector", "TlsInspector", **more)


def http_inspector(**more):
    return listener_filter("http_inspector", "HttpInspector", **more)


def proxy_protocol(**more):
    return listener_filter("proxy_protocol", "ProxyProtocol", **more)


def original_dst(**more):
    return listener_filter("original_dst", "OriginalDst", **more)


# --- ClientHellos -----------------------------------------------------------------------------------------------------

def hello(name="a.test", alpn=(), versions=None):
    """The bytes of a ClientHello."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    if alpn:
        made.set_alpn_protocols(list(alpn))
    if versions:
        made.minimum_version, made.maximum_version = versions
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = made.wrap_bio(incoming, outgoing, server_hostname=name)
    try:
        session.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def hand_made(extensions, version=0x0303, ciphers=(0x1301, 0xC02F), compression=b"\0", session=b""):
    """A ClientHello of these (type, body) extensions; None: no extensions at all."""
    body = struct.pack(">H", version) + bytes(32) + bytes([len(session)]) + session
    body += struct.pack(">H", 2 * len(ciphers)) + b"".join(struct.pack(">H", x) for x in ciphers)
    body += bytes([len(compression)]) + compression
    if extensions is not None:
        packed = b"".join(struct.pack(">HH", kind, len(data)) + data for kind, data in extensions)
        body += struct.pack(">H", len(packed)) + packed
    return b"\x01" + len(body).to_bytes(3, "big") + body


def record(data, kind=22, version=0x0301):
    return struct.pack(">BHH", kind, version, len(data)) + data


def sni_extension(name, kind=0):
    entry = struct.pack(">BH", kind, len(name)) + name
    return 0, struct.pack(">H", len(entry)) + entry


def alpn_extension(*names):
    packed = b"".join(bytes([len(n)]) + n for n in names)
    return 16, struct.pack(">H", len(packed)) + packed
