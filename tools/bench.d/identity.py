"""Certificates for the TLS scenarios: one authority, a server's (P-256) and a client's, as files and as configuration."""

import tempfile
from pathlib import Path

from harness import config as c
from harness.certs import Authority
from harness.tls import context

NAME = "bench.example"


class Identity:
    """Owns a directory with ca.pem, server.pem, server.key, client.pem, client.key, and each pair in one <name>.both."""

    def __init__(self, authority=None):
        self.authority = authority or Authority("bench root")
        self.server = self.authority.leaf("server", dns=[NAME])
        self.client = self.authority.leaf("client", uri=["spiffe://bench.example/client"])
        self._place = tempfile.TemporaryDirectory(prefix="bench-tls-")
        self.place = Path(self._place.name)
        self["ca.pem"].write_text(self.authority.ca_pem)
        for name in ("server", "client"):
            issued = getattr(self, name)
            issued.files(self.place, name)
            self[f"{name}.both"].write_text(issued.pem + issued.key_pem)

    def __getitem__(self, name):
        return self.place / name

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self._place.cleanup()

    def downstream(self, mutual):
        """The transport socket of a listener."""
        asks = {"validation": c.trust(self.authority), "require_client_certificate": True} if mutual else {}
        return c.downstream_tls(self.server, **asks)

    def upstream(self):
        """The transport socket of a cluster: TLS 1.3, both sides show a certificate."""
        return c.upstream_tls(self.client, validation=c.trust(self.authority, san=[("DNS", NAME)]), sni=NAME,
                              params={"tls_maximum_protocol_version": "TLSv1_3"})

    def context(self, mutual):
        """For a Python client."""
        return context(certificate=self.client if mutual else None)
