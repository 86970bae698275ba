"""TLS peers under the test's own hand: a client that keeps what the wire showed, and contexts for origins.

The client runs OpenSSL over memory, so that the test sees alerts, close_notify, FIN and RST apart, and may cut what it
sends as it likes.
"""

import hashlib
import re
import socket
import ssl
import subprocess
import tempfile
import warnings
from dataclasses import dataclass, field
from pathlib import Path

from .client import Client, ConnectionEnded, ProtocolError, request

VERSIONS = {"1.0": ssl.TLSVersion.TLSv1, "1.1": ssl.TLSVersion.TLSv1_1, "1.2": ssl.TLSVersion.TLSv1_2,
            "1.3": ssl.TLSVersion.TLSv1_3}
_ALERT = re.compile(r"^(?:SSLV3|TLSV1|TLSV13)_ALERT_(.*)$|^TLSV1_(UNRECOGNIZED_NAME|BAD_CERTIFICATE_STATUS_RESPONSE|"
                    r"UNSUPPORTED_EXTENSION|BAD_CERTIFICATE_HASH_VALUE|CERTIFICATE_UNOBTAINABLE)$")


class TlsEnded(ConnectionEnded):
    """The handshake or the connection did not survive. how: of Seen.end."""

    def __init__(self, how):
        super().__init__(f"TLS ended: {how}")
        self.how = how


def context(server=False, certificate=None, ca=None, versions=None, ciphers=None, alpn=(), tickets=True,
            verify=None, curve=None, security=None):
    """An SSLContext. certificate: an Issued; ca: PEM or an Authority, which makes a server ask for a certificate and
    a client check the server's; verify: overrides that; versions: a pair or one of VERSIONS."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    if ca is not None:
        made.load_verify_locations(cadata=getattr(ca, "ca_pem", ca))
        made.verify_mode = ssl.CERT_REQUIRED
    if verify is not None:
        made.verify_mode = verify
    if security is not None:
        made.set_ciphers(f"DEFAULT:@SECLEVEL={security}")
    if ciphers:
        made.set_ciphers(ciphers)
    if versions:
        low, high = (versions, versions) if isinstance(versions, str) else versions
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # TLS 1.0 and 1.1, to be refused
            made.minimum_version, made.maximum_version = VERSIONS[low], VERSIONS[high]
    if alpn:
        made.set_alpn_protocols(list(alpn))
    if curve:
        made.set_ecdh_curve(curve)
    if not tickets:
        made.options |= ssl.OP_NO_TICKET
    if certificate is not None:
        load(made, certificate)
    return made


def load(made, issued, chain=True):
    """Give a context a certificate: that module only reads files."""
    with tempfile.TemporaryDirectory(prefix="certs-") as place:
        certificate, key = issued.files(Path(place))
        if not chain:
            certificate.write_text(issued.leaf_pem)
        made.load_cert_chain(certificate, key)


@dataclass
class Seen:
    """What a client saw of one attempt."""

    end: str = ""  # "": it worked; else an alert's name, "close_notify", "FIN", "RST", or what OpenSSL objects to
    version: object = None
    cipher: object = None
    alpn: object = None
    served: object = None  # sha256 of the server's certificate
    resumed: bool = False
    status: object = None  # of the response
    session: object = None
    response: object = None

    def view(self):
        """What may be compared between two proxies."""
        return {"end": self.end, "version": self.version, "cipher": self.cipher, "alpn": self.alpn,
                "resumed": self.resumed, "status": self.status}


def _reason(error):
    """The alert that came, or OpenSSL's own objection in its words."""
    name = error.reason or type(error).__name__
    found = _ALERT.match(name)
    if found:
        return (found[1] or found[2]).lower()
    return "FIN" if name == "UNEXPECTED_EOF_WHILE_READING" else name


class TlsClient(Client):
    """A Client over TLS. handshake=False: the caller shakes hands, with shake()."""

    def __init__(self, address, *, tls=None, sni="test.example", session=None, handshake=True, timeout=10.0,
                 source=None, **options):
        super().__init__(address, timeout, source)
        self.tls = tls or context(**options)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.object = self.tls.wrap_bio(self.incoming, self.outgoing, server_hostname=sni, session=session)
        self.wire = b""  # every byte the server sent
        self.end = None  # "FIN" or "RST"
        self.was_notified = False  # the server said close_notify
        if handshake:
            try:
                self.shake()
            except BaseException:
                self.close()
                raise

    def hello(self):
        """The bytes of the ClientHello, unsent."""
        try:
            self.object.do_handshake()
        except ssl.SSLWantReadError:
            pass
        return self.outgoing.read()

    def shake(self):
        """The whole handshake, as the client sees it: in TLS 1.3 the server may still refuse afterwards."""
        while True:
            try:
                self.object.do_handshake()
                self.flush()
                return self
            except ssl.SSLWantReadError:
                self.flush()
                self._feed()
            except ssl.SSLError as error:
                self.flush()
                raise TlsEnded(self._how(error)) from error

    def flush(self):
        """Send what OpenSSL wants sent. A peer that is gone shows when reading."""
        data = self.outgoing.read()
        if data:
            try:
                self.sock.sendall(data)
            except (ConnectionResetError, BrokenPipeError):
                pass

    def send(self, data):
        self.object.write(data)
        self.flush()

    def send_raw(self, data):
        """Past TLS."""
        self.sock.sendall(data)

    def _feed(self):
        if self.end is not None:
            self.incoming.write_eof()
            return
        try:
            piece = self.sock.recv(65536)
        except ConnectionResetError:
            self.end = "RST"
            self.incoming.write_eof()
            return
        if piece:
            self.wire += piece
            self.incoming.write(piece)
        else:
            self.end = "FIN"
            self.incoming.write_eof()

    def _how(self, error):
        how = _reason(error)
        return self.end if how == "FIN" and self.end else how

    def _recv(self):
        while True:
            try:
                piece = self.object.read(65536)
                self.flush()
                if not piece:
                    self.was_notified = True
                self.received += piece
                return piece
            except ssl.SSLWantReadError:
                self.flush()
                self._feed()
            except ssl.SSLZeroReturnError:
                self.was_notified = True
                return b""
            except ssl.SSLError as error:
                raise TlsEnded(self._how(error)) from error

    def notify(self):
        """Send close_notify; the connection stays open."""
        try:
            self.object.unwrap()
        except ssl.SSLError:
            pass
        self.flush()

    def wait_end(self):
        """Read the socket to its end without minding what comes: "FIN" or "RST"."""
        while self.end is None:
            self._feed()
        return self.end

    @property
    def served(self):
        """The sha256 of the server's certificate."""
        certificate = self.object.getpeercert(True)
        return hashlib.sha256(certificate).hexdigest() if certificate else None


def attempt(address, *, target="/", host="test", headers=(), h2=False, **options):
    """Connect, shake hands, ask once: what came of it. Never raises for what the server does."""
    seen = Seen()
    try:
        client = TlsClient(address, handshake=False, **options)
    except (ConnectionError, ProtocolError) as error:
        seen.end = type(error).__name__
        return seen
    with client:
        try:
            client.shake()
            made = client.object
            seen.version, seen.cipher = made.version(), made.cipher()[0]
            seen.alpn, seen.served, seen.resumed = made.selected_alpn_protocol(), client.served, made.session_reused
            if h2:
                return seen
            client.send(request("GET", target, host, headers))
            seen.response = client.read_response()
            seen.status = seen.response.status
            seen.session = made.session
        except TlsEnded as ended:
            seen.end = ended.how
        except ConnectionEnded:
            seen.end = "close_notify" if client.was_notified else "FIN"
        except TimeoutError:
            seen.end = "silence"
    return seen


@dataclass
class SClient:
    """What openssl s_client said."""

    code: int
    text: str
    fields: dict = field(default_factory=dict)

    def __getitem__(self, name):
        return self.fields.get(name)


_SAID = {
    "version": r"^New, (\S+), Cipher is", "cipher": r"^New, \S+, Cipher is (\S+)", "group": r"^Server Temp Key: ([^,\n]+)",
    "signature": r"^Peer signature type: (\S+)", "digest": r"^Peer signing digest: (\S+)", "alpn": r"^ALPN protocol: (\S+)",
    "subject": r"^subject=(.*)$", "alert": r"alert ([a-z ]+):", "staple": r"^OCSP response: (.*)$",
    "staple_status": r"^\s+Cert Status: (\S+)", "renegotiation": r"^(Secure Renegotiation .*supported)",
    "error": r"error:[0-9A-F]+:[^:]*:[^:]*:([^:]+):", "resumed": r"^(Reused), ",
}


def s_client(address, *options, send=b"", timeout=20):
    """Debian's openssl s_client; stdin is `send`, then its end."""
    command = ["openssl", "s_client", "-connect", f"{address[0]}:{address[1]}", *options]
    done = subprocess.run(command, input=send, capture_output=True, timeout=timeout)
    text = (done.stdout + done.stderr).decode("latin-1")
    fields = {name: m[1].strip() for name, pattern in _SAID.items() if (m := re.search(pattern, text, re.M))}
    return SClient(done.returncode, text, fields)


def curl(url, *options, timeout=20):
    """(exit code, HTTP status, what it said)."""
    command = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--noproxy", "*", *options, url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    return done.returncode, int(done.stdout or 0), done.stderr.strip()


def plain_exchange(address, data, timeout=5.0):
    """Send bytes without TLS: (all that comes back, "FIN", "RST" or "silence")."""
    with socket.create_connection(address, timeout=timeout) as sock:
        out = b""
        try:
            sock.sendall(data)
            while piece := sock.recv(65536):
                out += piece
        except ConnectionError:
            return out, "RST"
        except TimeoutError:
            return out, "silence"
    return out, "FIN"


ALERTS = {0: "close_notify", 10: "unexpected_message", 20: "bad_record_mac", 22: "record_overflow", 40: "handshake_failure",
          42: "bad_certificate", 47: "illegal_parameter", 50: "decode_error", 51: "decrypt_error", 70: "protocol_version",
          80: "internal_error", 86: "inappropriate_fallback", 100: "no_renegotiation", 109: "missing_extension",
          112: "unrecognized_name", 120: "no_application_protocol"}


def records(data):
    """TLS records as (type, version, payload); a cut one at the end is left out."""
    out = []
    while len(data) >= 5 and len(data) >= 5 + int.from_bytes(data[3:5], "big"):
        size = int.from_bytes(data[3:5], "big")
        out.append((data[0], data[1:3].hex(), data[5:5 + size]))
        data = data[5 + size:]
    return out


def plain_alerts(data):
    """Names of the unencrypted alerts among those records."""
    return [ALERTS.get(body[1], str(body[1])) for kind, _, body in records(data) if kind == 21 and len(body) == 2]
