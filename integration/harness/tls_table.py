"""Many TLS listeners in one proxy, and what each client makes of them: the same table for nuncio and for Envoy.

A module says LISTENERS (a dict name -> transport socket, or a listener) and cases; observe() is one row: what the client
saw, which ssl counters moved, what the connection's access log says.
"""

import re
from dataclasses import dataclass, field

from . import config as c
from .differential import LogFile
from .proxy import Proxy
from .tls import attempt
from .upstream import Origin
from .wait import WaitTimeout, wait_for

FIELDS = ("failure", "details", "flags", "version", "cipher", "sni", "peer_subject", "peer_sans", "fingerprint")
FORMAT = "\t".join((
    "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%", "%CONNECTION_TERMINATION_DETAILS%", "%RESPONSE_FLAGS%",
    "%DOWNSTREAM_TLS_VERSION%", "%DOWNSTREAM_TLS_CIPHER%", "%REQUESTED_SERVER_NAME%", "%DOWNSTREAM_PEER_SUBJECT%",
    "%DOWNSTREAM_PEER_URI_SAN%", "%DOWNSTREAM_PEER_FINGERPRINT_256%")) + "\n"
HEADERS = ("x-forwarded-proto", "x-forwarded-client-cert")

# Counters that say what TLS did, without those that only time decides.
_COUNTERS = re.compile(r"^ssl\.|^downstream_cx_(total|destroy|transport_socket_connect_timeout)$|^no_filter_chain_match$")


def row_listener(name, tls, log, hcm=None, **more):
    """A listener whose connections, and failed handshakes, are logged."""
    table = c.routes("r", c.vhost("all", ["*"], c.route("/", "a")))
    made = hcm or c.hcm(table, stat_prefix=name)
    return c.listener(name, c.chain(made, transport_socket=tls), stat_prefix=name,
                      access_log=[c.access_log(log, FORMAT)], **more)


@dataclass
class Row:
    """What one attempt did."""

    seen: object
    counters: dict
    log: dict
    upstream: object = None
    extra: dict = field(default_factory=dict)

    @property
    def failure(self):
        return self.log.get("failure", "no log line")

    def view(self, ignore=()):
        out = {**{f"client {k}": v for k, v in self.seen.view().items()},
               **{f"log {k}": v for k, v in self.log.items()},
               **{f"counter {k}": v for k, v in self.counters.items()}}
        if self.upstream is not None:
            for name in HEADERS:
                out[f"upstream {name}"] = self.upstream.header(name)
        return {k: v for k, v in out.items() if k not in ignore}


class Table:
    """One proxy with the listeners."""

    def __init__(self, flavour, listeners, workdir, clusters=None, origin=None, **options):
        self.flavour = flavour
        self.log_path = workdir / f"connections-{flavour}.log"
        self.log_path.touch()
        self.log = LogFile(self.log_path)
        self.origin = origin or Origin("a")
        made = []
        for name, what in listeners.items():
            made.append(what(name, self.log_path) if callable(what) else row_listener(name, what, self.log_path))
        self.proxy = Proxy(flavour, c.static_bootstrap(made, clusters or [c.cluster("a", self.origin.port)]), **options)

    def __enter__(self):
        try:
            self.proxy.start()
        except BaseException:
            self.origin.close()
            raise
        return self

    def __exit__(self, *exc):
        try:
            self.proxy.stop()
        finally:
            self.origin.close()

    def address(self, listener):
        return self.proxy.address(listener)

    def counters(self, listener):
        stats = self.proxy.stats(f"?filter=^listener\\.{listener}\\.").items()
        every = {name.removeprefix(f"listener.{listener}."): value for name, value in stats}
        return {name: value for name, value in every.items() if _COUNTERS.search(name)}

    def moved(self, listener, before):
        after = self.counters(listener)
        return {name: value - before.get(name, 0) for name, value in after.items() if value != before.get(name, 0)}

    def log_line(self):
        """The next line of the connection log, as a dict; empty if none comes."""
        try:
            wait_for(self.log.lines, "a log line", 3)
        except WaitTimeout:
            return {}
        lines = self.log.lines()
        # On purpose: nuncio writes no NUL into a log.
        out = dict(zip(FIELDS, lines[-1].replace("\\x00", "\0").split("\t")))
        out["lines"] = len(lines)
        return out

    def around(self, listener, action):
        """Do it, and tell what it did: (its result, counters, log line)."""
        self._wait_idle(listener)
        self.origin.forget()
        self.log.skip()
        before = self.counters(listener)
        result = action()
        self._wait_idle(listener)
        line = self.log_line()
        return result, self.moved(listener, before), line

    def _wait_idle(self, listener):
        wait_for(lambda: self.proxy.stat(f"listener.{listener}.downstream_cx_active") == 0, "connections are gone")

    def observe(self, listener, **options):
        """One attempt of the Python client."""
        seen, counters, line = self.around(listener, lambda: attempt(self.address(listener), **options))
        asked = self.origin.take()
        return Row(seen, counters, line, asked[-1] if asked else None)


def differences(one, other, ignore=()):
    """Lines that say where two rows differ."""
    first, second = one.view(ignore), other.view(ignore)
    return [f"{key}: {first.get(key, 'absent')!r} / {second.get(key, 'absent')!r}"
            for key in sorted({*first, *second}) if first.get(key, "absent") != second.get(key, "absent")]


class Tables:
    """The same listeners in every proxy under test."""

    def __init__(self, flavours, listeners, workdir, **options):
        self.tables = {f: Table(f, listeners, workdir, **options) for f in flavours}

    def __enter__(self):
        started = []
        try:
            for table in self.tables.values():
                table.__enter__()
                started.append(table)
        except BaseException:
            for table in started:
                table.__exit__()
            raise
        return self

    def __exit__(self, *exc):
        for table in self.tables.values():
            table.__exit__()

    def check(self, listener, expect=None, ignore=(), differs=None, **options):
        """One attempt on each; expectations on each, the rest compared. expect: keys of Row.view(), or prefixes with a
        callable or pattern. differs: expectations that replace some for nuncio, which is then not compared."""
        rows = {}
        for flavour, table in sorted(self.tables.items()):
            rows[flavour] = row = table.observe(listener, **options)
            wanted = {**(expect or {}), **((differs or {}) if flavour == "nuncio" else {})}
            judge(flavour, row.view(), wanted)
        if len(rows) > 1 and not differs:
            found = differences(rows["envoy"], rows["nuncio"], ignore)
            assert not found, "envoy / nuncio\n  " + "\n  ".join(found)
        return rows


def judge(flavour, view, wanted):
    problems = []
    for key, value in wanted.items():
        got = view.get(key)
        if isinstance(value, re.Pattern):
            ok = isinstance(got, str) and value.search(got)
        else:
            ok = value(got) if callable(value) else got == value
        if not ok:
            problems.append(f"{key}: wanted {value!r}, got {got!r}")
    assert not problems, f"{flavour}:\n  " + "\n  ".join(problems) + f"\n  {view}"
