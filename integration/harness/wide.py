"""A Duel that looks wider: every operator of the access log, and every counter and gauge that a case has moved.

Cases run one after another over one pair of proxies with one worker each, so pools and counters of both go through the
same states. What is compared of the log and the stats beyond what Duel compares is listed here; what is left out, too.
"""

import json
import re
import time

from .client import Client, ConnectionEnded
from .differential import BROKEN, Duel, LogFile, Outcome, normal, view
from .translate import Ask, ask_h2
from .wait import WaitTimeout, wait_for

JSON_LOG = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"

# One key an operator. Numbers stay numbers: the types are compared as well.
OPERATORS = {
    "code": "%RESPONSE_CODE%", "flags": "%RESPONSE_FLAGS%", "flags_long": "%RESPONSE_FLAGS_LONG%",
    "details": "%RESPONSE_CODE_DETAILS%", "termination": "%CONNECTION_TERMINATION_DETAILS%",
    "protocol": "%PROTOCOL%", "upstream_protocol": "%UPSTREAM_PROTOCOL%",
    "received": "%BYTES_RECEIVED%", "sent": "%BYTES_SENT%",
    "method": "%REQ(:METHOD)%", "path": "%REQ(:PATH)%", "original_path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "authority": "%REQ(:AUTHORITY)%", "scheme": "%REQ(:SCHEME)%", "xff": "%REQ(X-FORWARDED-FOR)%",
    "id": "%REQ(X-REQUEST-ID)%", "stream_id": "%STREAM_ID%", "agent": "%REQ(USER-AGENT):10%",
    "status": "%RESP(:STATUS)%", "type": "%RESP(CONTENT-TYPE)%", "trailer": "%TRAILER(X-SUM)%",
    "grpc": "%GRPC_STATUS%", "grpc_number": "%GRPC_STATUS_NUMBER%",
    "route": "%ROUTE_NAME%", "cluster": "%UPSTREAM_CLUSTER%", "virtual_cluster": "%VIRTUAL_CLUSTER_NAME%",
    "host": "%UPSTREAM_HOST%", "host_name": "%UPSTREAM_HOST_NAME%", "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "upstream_remote": "%UPSTREAM_REMOTE_ADDRESS%", "upstream_remote_bare": "%UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "upstream_remote_port": "%UPSTREAM_REMOTE_PORT%", "upstream_local": "%UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%",
    "upstream_failure": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    "remote": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "direct": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%",
    "local": "%DOWNSTREAM_LOCAL_ADDRESS%", "local_port": "%DOWNSTREAM_LOCAL_PORT%",
    "sni": "%REQUESTED_SERVER_NAME%", "downstream_failure": "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%",
    "reply": "%LOCAL_REPLY_BODY%",
    "request_headers_bytes": "%REQUEST_HEADERS_BYTES%", "response_headers_bytes": "%RESPONSE_HEADERS_BYTES%",
    "response_trailers_bytes": "%RESPONSE_TRAILERS_BYTES%",
    "wire_in": "%DOWNSTREAM_WIRE_BYTES_RECEIVED%", "wire_out": "%DOWNSTREAM_WIRE_BYTES_SENT%",
    "wire_head_in": "%DOWNSTREAM_HEADER_BYTES_RECEIVED%", "wire_head_out": "%DOWNSTREAM_HEADER_BYTES_SENT%",
    "up_wire_in": "%UPSTREAM_WIRE_BYTES_RECEIVED%", "up_wire_out": "%UPSTREAM_WIRE_BYTES_SENT%",
    "up_head_in": "%UPSTREAM_HEADER_BYTES_RECEIVED%", "up_head_out": "%UPSTREAM_HEADER_BYTES_SENT%",
    "plain_path": "%PATH(NQ)%", "orig_path": "%PATH(WQ:ORIG)%", "short": "%REQ(:PATH):4%",
    "none": "%REQ(X-NEVER-SENT)%", "two": "%PROTOCOL% %RESPONSE_CODE%", "metadata": "%METADATA(ROUTE:test:key)%",
    "duration": "%DURATION%", "request_duration": "%REQUEST_DURATION%", "response_duration": "%RESPONSE_DURATION%",
    "request_tx": "%REQUEST_TX_DURATION%", "response_tx": "%RESPONSE_TX_DURATION%",
}
# For tests of what else becomes of requests whose upstream closes (README, Differs from Envoy).
NO_REPLAYS = {"layers": [{"name": "no replays", "static_layer": {"nuncio": {
    "replay_raced_requests": False, "replay_unprocessed_streams": False}}}]}
# Of a time only that there is one.
TIMES = {"duration", "request_duration", "response_duration", "request_tx", "response_tx"}
# These contain x-envoy-upstream-service-time, whose digits vary.
WITH_SERVICE_TIME = {"response_headers_bytes", "wire_out", "wire_head_out"}
# HPACK leaves the encoder a choice.
OF_THE_ENCODER = {"wire_out", "wire_head_out", "up_wire_out", "up_head_out", "wire_in", "wire_head_in", "up_wire_in", "up_head_in"}
# Of a request that broke off: how far its reader had come.
HOW_FAR = {"wire_in", "wire_head_in"}


def log(path):
    """The access log that WideDuel reads."""
    form = {"@type": JSON_LOG, "path": str(path), "log_format": {"json_format": OPERATORS}}
    return {"name": "wide", "typed_config": form}


class JsonLog(LogFile):
    """Reads lines of OPERATORS."""

    def read(self, count, timeout=3.0):
        try:
            wait_for(lambda: len(self.lines()) >= count, f"{count} access-log lines", timeout)
        except WaitTimeout:
            pass
        return [json.loads(line) for line in self.lines()]


# Stats. Those of the admin listener are moved by the looking itself.
WATCHED = re.compile(r"^(http|cluster|listener|vhost)\.(?!admin\.)")
# Not compared, whoever moved them.
EXCUSED = (
    (r"^listener\..*\.worker_\d+\.", "not there (README, Differs from Envoy)"),
    (r"downstream_cx_delayed_close_timeout$", "nuncio sends FIN at once (README, Differs from Envoy), so that clients close first"),
    (r"_flow_control_", "buffers are smaller (README, Differs from Envoy)"),
    (r"_rx_bytes_buffered$|_tx_bytes_buffered$", "Envoy's say what the last read or write left, until the next"),
)
ACTIVE = re.compile(r"(downstream_(cx|rq)|upstream_rq(_pending)?)_active$")


class StatsWatch:
    """What moved since the last look."""

    def __init__(self, proxy):
        self.proxy = proxy
        self.last = self.settled()

    def _now(self):
        return {name: value for name, value in self.proxy.stats("?type=All").items()
                if isinstance(value, int) and WATCHED.match(name)}

    def settled(self, timeout=5.0):
        """The stats once nothing is under way and nothing moves any more."""
        deadline = time.monotonic() + timeout
        before = self._now()
        while True:
            now = self._now()
            if now == before and not any(v for n, v in now.items() if ACTIVE.search(n)):
                return now
            if time.monotonic() > deadline:
                return now
            before = now

    def moved(self):
        """{name: difference} since the last call."""
        now = self.settled()
        names = {*now, *self.last}
        out = {n: now.get(n, 0) - self.last.get(n, 0) for n in names if now.get(n, 0) != self.last.get(n, 0)}
        self.last = now
        return out


class WideDuel(Duel):
    """Cases whose data is bytes, an Ask (HTTP/2), or a function that is given a Client and returns its responses.

    excused: (pattern of a stat's name, why it is not compared) pairs.
    """

    excused = EXCUSED

    def __enter__(self):
        super().__enter__()
        self.logs = {flavour: JsonLog(log.path) for flavour, log in self.logs.items()}
        self.watches = {flavour: StatsWatch(proxy) for flavour, proxy in self.proxies.items()}
        self.last_moved = {}
        return self

    def play(self, flavour, item):
        proxy = self.proxies[flavour]
        self.forget()
        if item.action is not None:
            for action in item.action if isinstance(item.action, (list, tuple)) else [item.action]:
                for origin in self.origins.values():
                    origin.next(action)
        log = self.logs[flavour]
        log.skip()
        address = proxy.address(item.listener or self.first_listener(proxy))
        responses, closed = self._put(address, item)
        moved = self.watches[flavour].moved()  # first: lines are written meanwhile
        lines = log.read(item.log if item.log is not True else len(responses)) if item.log else []
        seen = [r for origin in self.origins.values() for r in origin.take() if r.complete]
        malformed = [m for origin in self.origins.values() for m in origin.malformed]
        ports = {port: f"<{name}>" for name, [(_, port), *_] in self._listeners(flavour).items()}
        ports[proxy.admin_address[1]] = "<admin>"
        out = Outcome(responses[-1] if responses else None, seen, lines, closed, malformed, ports)
        out.earlier = responses[:-1]
        out.moved = moved
        out.is_h2 = isinstance(item.data, Ask)
        return out

    def _listeners(self, flavour):
        found = getattr(self, "_found", {})
        self._found = found
        if flavour not in found:
            found[flavour] = self.proxies[flavour].listeners()
        return found[flavour]

    def _put(self, address, item):
        if isinstance(item.data, Ask):
            return [ask_h2(address, item.data, next(iter(self.origins.values())))], None
        with Client(address) as client:
            try:
                if callable(item.data):
                    responses = item.data(client)
                else:
                    client.send(item.data)
                    responses = [client.read_response(item.method)]
            except BROKEN as ended:
                return [ended], True
            except OSError as error:
                return [ConnectionEnded(str(error))], True
            last = responses[-1] if responses else None
            closes = last is not None and not isinstance(last, BROKEN) and (
                "close" in (last.header("connection") or "") or last.framing == "close")
            return responses, client.is_closed(3.0) if closes or item.expect.get("closed") else None

    def run(self, item):
        outcomes = {flavour: self.play(flavour, item) for flavour, _ in self.each()}
        if item.differs or "stats" in item.ignore:
            self.start_afresh()
        self.judge(item, outcomes, lambda o: wide_view(o, item.ignore, self.excused))
        return outcomes

    def start_afresh(self):
        """After a case that left the pools in different states: both are emptied."""
        for origin in self.origins.values():
            origin.drop_connections()
        for watch in self.watches.values():
            wait_for(lambda: not any(v for n, v in watch.settled().items() if n.endswith("upstream_cx_active")), "empty pools")
            watch.moved()


def wide_view(outcome, ignore, excused):
    """view() with earlier responses, the wide log and the stats."""
    out = view(outcome, ignore)
    for index, response in enumerate(outcome.earlier):
        one = Outcome(response, [], [], None, [], outcome.ports)
        out.update({f"response[{index}] {k}": v for k, v in view(one, ignore).items()})
    out = {key: value for key, value in out.items() if not key.startswith("log[")}
    for index, line in enumerate(outcome.log):
        for key, value in log_view(line, outcome).items():
            if f"log:{key}" not in ignore:
                out[f"log[{index}] {key}"] = value
    if "stats" not in ignore:
        for name, value in outcome.moved.items():
            if name.endswith(".downstream_cx_tx_bytes_total"):
                value -= sum(service_time(r) for r in [*outcome.earlier, outcome.response])
            if not any(re.search(pattern, name) for pattern, _ in excused) and f"stat:{name}" not in ignore:
                out[f"stat {name}"] = value
    return out


def service_time(response):
    if response is None or isinstance(response, BROKEN):
        return 0
    return len(response.header("x-envoy-upstream-service-time") or "")


def log_view(line, outcome):
    out = {}
    for key, value in line.items():
        if key in TIMES:
            value = value if value is None else "<time>"
        elif key in HOW_FAR and "DPE" in line["flags"]:
            continue
        elif key in WITH_SERVICE_TIME and isinstance(value, int) and value:
            value -= service_time(outcome.response)
        if key in OF_THE_ENCODER and outcome.is_h2:
            continue
        if key == "local_port":
            value = outcome.ports.get(value, value)
        out[key] = normal(value, outcome.ports)
    return out
