"""A TLS server in front of a plain port, as a control plane has one: asks for client certificates and notes who came."""

import select
import socket
import ssl
import threading


class TlsFront:
    """Listens on .port; what comes through goes to `target`. context: an ssl.SSLContext for a server (harness.tls.context)."""

    def __init__(self, target, context):
        self.target = target
        self.context = context
        self.peers = []  # the subjects of those whose handshake succeeded, None without a certificate
        self.failures = []
        self.alpn = []
        self.open = set()
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.listener.close()
        self.cut()

    def cut(self):
        """Ends every connection that is open."""
        with self.lock:
            for sock in self.open:
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def _accept(self):
        while True:
            try:
                raw, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(raw,), daemon=True).start()

    def _serve(self, raw):
        try:
            client = self.context.wrap_socket(raw, server_side=True)
        except (ssl.SSLError, OSError) as error:
            self.failures.append(str(error))
            raw.close()
            return
        certificate = client.getpeercert()
        self.peers.append(dict(part[0] for part in certificate["subject"])["commonName"] if certificate else None)
        self.alpn.append(client.selected_alpn_protocol())
        with client:
            try:
                upstream = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                return
            with upstream:
                with self.lock:
                    self.open |= {client, upstream}
                self._pump(client, upstream)
                with self.lock:
                    self.open -= {client, upstream}

    def _pump(self, client, upstream):
        """One thread: OpenSSL's objects are not for two. A select with pending bytes in mind."""
        client.setblocking(False)
        while True:
            if not client.pending():
                ready, _, _ = select.select([client, upstream], [], [], 30)
                if not ready:
                    return
            else:
                ready = [client]
            try:
                if client in ready:
                    try:
                        data = client.recv(65536)
                    except ssl.SSLWantReadError:
                        data = None
                    if data == b"":
                        return
                    if data:
                        upstream.sendall(data)
                if upstream in ready:
                    data = upstream.recv(65536)
                    if not data:
                        return
                    client.setblocking(True)
                    client.sendall(data)
                    client.setblocking(False)
            except (OSError, ssl.SSLError):
                return
