"""The same exchange through every proxy, compared in full.

A Duel runs one bootstrap in nuncio and in Envoy over shared origins. A Case is one request (or a scripted exchange)
with the outcome it must have; run() plays it through each proxy in turn, checks the expectations against each, and
compares everything observable: status, reason, headers, body and trailers at the client, what the origins saw, and the
access log's flags and details. So a wrong expectation fails on the oracle, and a right one is only the visible part of
what is compared.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from . import config
from .client import Client, ConnectionEnded, ProtocolError, request
from .proxy import Proxy
from .upstream import Origin
from .wait import WaitTimeout, wait_for

UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")


BROKEN = (ConnectionEnded, ProtocolError)  # what stands in for a response that did not come whole


@dataclass
class Case:
    """One request with what must come of it; make it with case()."""

    name: str
    data: bytes  # the request, whole
    method: str
    expect: dict = field(default_factory=dict)
    listener: object = None  # its name; the bootstrap's first without
    action: object = None  # what the origin does with it, instead of its default
    ignore: tuple = ()  # parts not compared: "header:x", "upstream_header:x", "log:flags", "upstream", "body", ...
    log: bool = True  # an access log line is written
    differs: object = None  # nuncio differs on purpose: expectations for it that replace some of the above


def get(target="/", host="test", headers=(), method="GET", body=None, version="HTTP/1.1"):
    """The bytes of a request, for case()."""
    return request(method, target, host, headers, body, version)


def post(target="/", body=b"", **kwargs):
    return get(target, method="POST", body=body, **kwargs)


def case(name, data, **kwargs):
    """A Case. data: the request's bytes (get(), post()) or a target. The further arguments are fields of Case, or else
    what must come of it: status, reason, body, headers {name: value; None = absent; a callable or pattern}, trailers,
    interim (statuses), complete, framing, closed (the proxy closes after the response); origin (the name of the one
    that saw it; None = none did), requests (how many did), target, host, upstream_method, upstream_headers,
    upstream_body; flags, details, cluster, route (of the access log)."""
    if isinstance(data, str):
        data = get(data)
    own = {k: kwargs.pop(k) for k in list(kwargs) if k in Case.__dataclass_fields__}
    method = own.pop("method", None) or (data.split(b" ", 1)[0].decode("latin-1") if isinstance(data, bytes) else "GET")
    return Case(name, data, method, expect=kwargs, **own)


@dataclass
class Outcome:
    """What one proxy made of a case."""

    response: object
    requests: list
    log: list
    closed: object
    malformed: list
    ports: dict


class Duel:
    """One bootstrap in several proxies, with shared origins.

    make(origins, log) returns the bootstrap; origins is {name: Origin}, log the access-log path to use.
    """

    def __init__(self, flavours, make, origin_names=("a",), concurrency=1, args=(), workdir=None, origins=None):
        self.origins = origins if origins is not None else {n: Origin(n) for n in origin_names}
        self.workdir = Path(workdir)
        self.proxies = {}
        self.logs = {}
        for flavour in flavours:
            log = self.workdir / f"access-{flavour}.log"
            log.touch()
            self.logs[flavour] = LogFile(log)
            self.proxies[flavour] = Proxy(flavour, make(self.origins, log), concurrency=concurrency, args=args)

    def __enter__(self):
        try:
            for proxy in self.proxies.values():
                proxy.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc):
        problems = []
        for proxy in self.proxies.values():
            try:
                proxy.stop()
            except AssertionError as error:
                problems.append(error)
        for origin in self.origins.values():
            origin.close()
        if problems:
            raise problems[0]

    def each(self):
        """(flavour, proxy) pairs, the oracle first."""
        return sorted(self.proxies.items())

    @staticmethod
    def first_listener(proxy):
        """The one for cases that name none."""
        return proxy.bootstrap["static_resources"]["listeners"][0]["name"]

    def forget(self):
        for origin in self.origins.values():
            origin.forget()

    def play(self, flavour, item):
        """Run one case through one proxy."""
        proxy = self.proxies[flavour]
        wanted = self.expected(flavour, item)
        self.forget()
        if item.action is not None:
            for origin in self.origins.values():
                origin.next(item.action)
        log = self.logs[flavour]
        log.skip()
        with proxy.connect(item.listener or self.first_listener(proxy)) as client:
            try:
                response = client.exchange(item.data, item.method)
            except BROKEN as ended:
                response = ended
            closed = self._closed(client, response, wanted)
        lines = log.read(1) if item.log else []
        # A request that broke off may or may not have reached its origin: only whole ones are compared.
        seen = [r for origin in self.origins.values() for r in origin.take() if r.complete]
        malformed = [m for origin in self.origins.values() for m in origin.malformed]
        ports = {port: f"<{name}>" for name, [(_, port), *_] in proxy.listeners().items()}
        ports[proxy.admin_address[1]] = "<admin>"
        return Outcome(response, seen, lines, closed, malformed, ports)

    def run(self, item):
        """Play it through all, check what must be, compare the rest."""
        outcomes = {flavour: self.play(flavour, item) for flavour, _ in self.each()}
        self.judge(item, outcomes, lambda outcome: view(outcome, item.ignore))
        return outcomes

    def judge(self, item, outcomes, view_of):
        """Check what must be of each, compare what view_of() shows."""
        for flavour, outcome in outcomes.items():
            problems = check(outcome, self.expected(flavour, item))
            assert not problems, f"{item.name} on {flavour}:\n  " + "\n  ".join(problems) + describe(outcome)
        if len(outcomes) > 1 and not item.differs:
            views = {flavour: view_of(outcome) for flavour, outcome in outcomes.items()}
            differences = diff(views["envoy"], views["nuncio"])
            assert not differences, f"{item.name}: envoy / nuncio\n  " + "\n  ".join(differences)

    @staticmethod
    def expected(flavour, item):
        """What must come of a case with that proxy."""
        return {**item.expect, **(item.differs or {})} if flavour == "nuncio" else item.expect

    @staticmethod
    def _closed(client, response, wanted):
        if isinstance(response, BROKEN):
            return True
        if "closed" in wanted:
            return client.is_closed(3.0 if wanted["closed"] else 0.1)
        return None


class LogFile:
    """Reads an access log as it grows."""

    def __init__(self, path):
        self.path = Path(path)
        self.offset = 0

    def skip(self):
        """Forget what is there."""
        self.offset = self.path.stat().st_size

    def lines(self):
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read().decode("utf-8", "replace").splitlines()

    def read(self, count, timeout=3.0):
        """Wait for that many further lines; as dicts of LOG_FIELDS."""
        try:
            wait_for(lambda: len(self.lines()) >= count, f"{count} access-log lines", timeout)
        except WaitTimeout:
            pass
        return [dict(zip(config.LOG_FIELDS, line.split("|"))) for line in self.lines()]


# Checking expectations.


def check(outcome, expect):
    """The list of what is not as expected."""
    problems = []
    response = outcome.response
    dead = isinstance(response, BROKEN)

    def differs(what, wanted, got):
        if callable(wanted):
            ok = wanted(got)
        elif isinstance(wanted, re.Pattern):
            ok = got is not None and wanted.search(got) is not None
        else:
            ok = wanted == got
        if not ok:
            problems.append(f"{what}: wanted {wanted!r}, got {got!r}")

    if outcome.malformed:
        problems.append(f"origin got malformed bytes: {outcome.malformed}")
    for key, wanted in expect.items():
        if key == "status":
            differs("status", wanted, None if dead else response.status)
        elif key == "closed":
            differs("closed", wanted, outcome.closed)
        elif key == "requests":
            differs("requests", wanted, len(outcome.requests))
        elif key == "origin":
            differs("origin", wanted, outcome.requests[-1].origin if outcome.requests else None)
        elif key in ("flags", "details", "cluster", "route"):
            differs(key, wanted, outcome.log[-1][key] if outcome.log else "no log line")
        elif key in ("target", "host", "upstream_headers", "upstream_body", "upstream_method"):
            if not outcome.requests:
                problems.append(f"{key}: no request reached an origin")
                continue
            seen = outcome.requests[-1]
            if key == "upstream_headers":
                for name, value in wanted.items():
                    differs(f"upstream {name}", value, seen.header(name))
            else:
                got = {"target": seen.target, "host": seen.header("host"), "upstream_body": seen.body,
                       "upstream_method": seen.method}[key]
                differs(key, wanted, got)
        elif dead:
            problems.append(f"{key}: no response: {response}")
        elif key == "headers":
            for name, value in wanted.items():
                differs(f"header {name}", value, response.header(name))
        elif key in ("body", "reason", "framing", "complete"):
            differs(key, wanted, getattr(response, key))
        elif key == "trailers":
            differs("trailers", wanted, [(n.lower(), v) for n, v in response.trailers])
        elif key == "interim":
            differs("interim", wanted, [r.status for r in response.interim])
        else:
            raise KeyError(f"unknown expectation {key}")
    return problems


# Comparing.


def normal(text, ports):
    """Text without what differs by nature: own ports, generated ids."""
    if not isinstance(text, str):
        return text
    text = UUID.sub("<uuid>", text)
    for port, name in ports.items():
        text = re.sub(rf"(?<=[:\[]){port}\b", name, text)
    return text


def header_view(pairs, ports, ignore, kind):
    out = {}
    for name, value in pairs:
        key = name.lower()
        if f"{kind}:{key}" in ignore:
            continue
        if key in ("date", "x-envoy-upstream-service-time"):
            value = "<varies>"
        out.setdefault(key, []).append(normal(value, ports))
    # Names are compared as sent, apart from the case rules: both write lower case.
    return out


def view(outcome, ignore=()):
    """Everything comparable of an outcome, flat: {path: value}."""
    out = {}
    response = outcome.response
    if isinstance(response, BROKEN):
        out["response"] = type(response).__name__
    else:
        out["status"] = response.status
        out["reason"] = response.reason
        out["version"] = response.version
        out["body"] = normal(response.body.decode("latin-1"), outcome.ports)
        out["complete"] = response.complete
        out["framing"] = response.framing
        out["interim"] = [r.status for r in response.interim]
        out["trailers"] = [(n.lower(), v) for n, v in response.trailers]
        out["names"] = sorted(n for n, _ in response.headers if f"header:{n.lower()}" not in ignore)
        for name, values in header_view(response.headers, outcome.ports, ignore, "header").items():
            out[f"header {name}"] = values
    out["closed"] = outcome.closed
    out["requests"] = len(outcome.requests)
    for index, seen in enumerate(outcome.requests if "upstream" not in ignore else ()):
        at = f"upstream[{index}]"
        out[f"{at} origin"] = seen.origin
        out[f"{at} line"] = f"{seen.method} {normal(seen.target, outcome.ports)} {seen.version}"
        out[f"{at} body"] = seen.body.decode("latin-1")
        out[f"{at} framing"] = seen.framing
        out[f"{at} names"] = sorted(n for n, _ in seen.headers if f"upstream_header:{n.lower()}" not in ignore)
        out[f"{at} trailers"] = [(n.lower(), v) for n, v in seen.trailers]
        for name, values in header_view(seen.headers, outcome.ports, ignore, "upstream_header").items():
            out[f"{at} header {name}"] = values
    out["log lines"] = len(outcome.log)
    for index, line in enumerate(outcome.log):
        for key, value in line.items():
            if f"log:{key}" not in ignore:
                out[f"log[{index}] {key}"] = normal(value, outcome.ports)
    for key in ignore:
        out.pop(key, None)
    return out


def diff(one, other):
    """Lines that say where two views differ."""
    return [
        f"{key}: {one.get(key, 'absent')!r} / {other.get(key, 'absent')!r}"
        for key in sorted({*one, *other})
        if one.get(key, "absent") != other.get(key, "absent")
    ]


def describe(outcome):
    """An outcome in words, for a failure message."""
    return "\n  outcome: " + json.dumps(view(outcome), indent=4, default=str)


__all__ = ["Case", "Client", "Duel", "LogFile", "Origin", "Outcome", "case", "check", "diff", "get", "post", "view"]
