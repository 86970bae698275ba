"""Access log filters: which requests each kind lets into the log, beside Envoy; and what is refused."""

import threading

import pytest

from harness import config as c
from harness.differential import LogFile, get
from harness.proxy import Proxy, validate
from harness.upstream import Origin, Reply
from harness.wait import wait_for

UUID = "f47ac10b-58cc-4372-a567-0e02b2c3d479"  # 0xf47ac10b: 15 of 100, 5515 of 10000


def compare(op, value):
    return {"comparison": {"op": op, "value": {"default_value": value, "runtime_key": "some.key"}}}


def runtime(numerator, denominator="HUNDRED", **more):
    return {"runtime_filter": {"runtime_key": "k", "percent_sampled": {"numerator": numerator, "denominator": denominator},
                               **more}}


def header(**matcher):
    return {"header_filter": {"header": matcher}}


def metadata(path="b", absent=None, value=None, **more):
    matcher = {"filter": "a", "path": [{"key": path}], "value": value or {"present_match": True}, **more}
    out = {"matcher": matcher}
    if absent is not None:
        out["match_if_key_not_found"] = absent
    return {"metadata_filter": out}


STATUS_404 = {"status_code_filter": compare("EQ", 404)}
IS_GET = header(name=":method", string_match={"exact": "GET"})
FILTERS = {
    "none": None,
    "status eq 404": STATUS_404,
    "status ge 400": {"status_code_filter": compare("GE", 400)},
    "status le 200": {"status_code_filter": compare("LE", 200)},
    "status ne 200": {"status_code_filter": compare("NE", 200)},
    "status ge 0": {"status_code_filter": compare("GE", 0)},
    "duration ge 0": {"duration_filter": compare("GE", 0)},
    "duration ge 200": {"duration_filter": compare("GE", 200)},
    "duration le 100000": {"duration_filter": compare("LE", 100000)},
    "not health check": {"not_health_check_filter": {}},
    "traceable": {"traceable_filter": {}},
    "runtime none": {"runtime_filter": {"runtime_key": "k"}},
    "runtime 0": runtime(0),
    "runtime 15": runtime(15),
    "runtime 16": runtime(16),
    "runtime 5515": runtime(5515, "TEN_THOUSAND"),
    "runtime 5516": runtime(5516, "TEN_THOUSAND"),
    "runtime all": runtime(100),
    "runtime above all": runtime(200),
    "runtime alone, all": runtime(100, use_independent_randomness=True),
    "runtime alone, none": runtime(0, use_independent_randomness=True),
    "and": {"and_filter": {"filters": [STATUS_404, IS_GET]}},
    "or": {"or_filter": {"filters": [STATUS_404, IS_GET]}},
    "or in and": {"and_filter": {"filters": [{"or_filter": {"filters": [STATUS_404, IS_GET]}}, STATUS_404]}},
    "header": IS_GET,
    "header, two values": header(name="x-a", string_match={"exact": "two"}),
    "header missing": header(name="x-none", present_match=True),
    "header missing, inverted": header(name="x-none", string_match={"exact": "x"}, invert_match=True),
    "header absent": header(name="x-none", present_match=True, invert_match=True),
    "any flag": {"response_flag_filter": {}},
    "NR": {"response_flag_filter": {"flags": ["NR"]}},
    "UF or UH": {"response_flag_filter": {"flags": ["UF", "UH"]}},
    "grpc not found": {"grpc_status_filter": {"statuses": ["NOT_FOUND", "UNIMPLEMENTED"]}},
    "grpc ok": {"grpc_status_filter": {"statuses": ["OK"]}},
    "grpc unknown": {"grpc_status_filter": {"statuses": ["UNKNOWN"]}},
    "grpc not those": {"grpc_status_filter": {"statuses": ["UNKNOWN", "UNIMPLEMENTED"], "exclude": True}},
    "grpc none": {"grpc_status_filter": {}},
    "metadata": metadata(),
    "metadata, absent": metadata(absent=True),
    "metadata, not absent": metadata(absent=False),
    "metadata, inverted": metadata(absent=False, invert=True),
    "metadata, nothing": {"metadata_filter": {}},
    "type end": {"log_type_filter": {"types": ["DownstreamEnd"]}},
    "type others": {"log_type_filter": {"types": ["DownstreamStart", "TcpConnectionEnd"]}},
    "type not end": {"log_type_filter": {"types": ["DownstreamEnd"], "exclude": True}},
    "type none": {"log_type_filter": {}},
}


def file_log(path, name, log_filter):
    log = c.access_log(path, f"{name}\n")
    if log_filter is not None:
        log["filter"] = log_filter
    return log


class Both:
    """Both proxies with every filter before a logger of its own, all into one file each."""

    def __init__(self, flavours, directory):
        self.origin = Origin("a")
        self.proxies = {}
        self.logs = {}
        for flavour in flavours:
            path = directory / flavour
            path.touch()
            table = c.routes("r", c.vhost("all", ["x"], c.direct("/teapot", 418), c.route("/gone", "gone"),
                                          c.route("/", "a")))
            logs = [file_log(path, name, f) for name, f in FILTERS.items()]
            bootstrap = c.static_bootstrap([c.listener("l", c.hcm(table, access_log=logs))],
                                           [c.cluster("a", self.origin.port), c.cluster("gone")])
            self.logs[flavour] = LogFile(path)
            self.proxies[flavour] = Proxy(flavour, bootstrap).start()

    def passed(self, flavour, data, reply=None):
        """The names of the filters that let this request pass."""
        self.logs[flavour].skip()
        if reply is not None:
            self.origin.next(reply() if callable(reply) else reply)
        with self.proxies[flavour].connect() as client:
            client.exchange(data)
            # The last filter of the list that lets everything pass has been written when the next request's has.
            client.exchange(get("/teapot", "x", {"x-request-id": UUID}))
        lines = self.logs[flavour]
        wait_for(lambda: lines.lines().count("none") == 2, "both requests", 5)
        wait_for(lambda: lines.lines().count("type end") == 2, "both requests", 5)
        return first_of(lines.lines())

    def close(self):
        for proxy in self.proxies.values():
            proxy.stop()
        self.origin.close()


def first_of(lines):
    """The first request's names: up to the second "none"."""
    return set(lines[:lines.index("none", 1)])


@pytest.fixture(scope="module")
def both(flavours, tmp_path_factory):
    made = Both(flavours, tmp_path_factory.mktemp("filters"))
    yield made
    made.close()


def slow():
    """An answer that takes a while."""
    gate = threading.Event()
    threading.Timer(0.25, gate.set).start()
    return Reply(gate=gate)


GRPC = {"content-type": "application/grpc", "te": "trailers"}
ID = {"x-request-id": UUID}
ALWAYS = {"none", "status ge 0", "duration ge 0", "duration le 100000", "not health check", "runtime all",
          "runtime above all", "runtime alone, all", "header absent", "metadata", "metadata, absent", "metadata, nothing",
          "type end"}
# (request, what the origin does, what must have passed, what must not)
CASES = {
    "a good answer": (get("/", "x", ID), None,
                      {"status le 200", "header", "or", "grpc unknown", "runtime 16", "runtime 5516"},
                      {"status eq 404", "and", "any flag", "runtime 15", "runtime 5515", "traceable"}),
    "a POST": (get("/", "x", ID, method="POST", body=b"x"), None, {"status le 200"}, {"header", "or", "and"}),
    "not found by the origin": (get("/", "x", ID), Reply(status=404),
                                {"status eq 404", "status ge 400", "and", "or", "or in and", "grpc not found"},
                                {"any flag", "grpc unknown"}),
    "no route": (get("/", "y", ID), None, {"status eq 404", "any flag", "NR"}, {"UF or UH"}),
    "no host": (get("/gone", "x", ID), None, {"any flag", "UF or UH"}, {"NR"}),
    "a direct response": (get("/teapot", "x", ID), None, {"status ge 400", "status ne 200"}, {"any flag"}),
    "two values": (get("/", "x", [("x-a", "one"), ("x-a", "two"), *ID.items()]), None, {"header, two values"}, set()),
    "grpc ok": (get("/", "x", {**GRPC, **ID}), Reply(headers=[("content-type", "application/grpc"), ("grpc-status", "0")],
                                                     body=b""), {"grpc ok", "grpc not those"}, {"grpc unknown"}),
    "a status that gRPC does not know": (
        get("/", "x", {**GRPC, **ID}), Reply(headers=[("content-type", "application/grpc"), ("grpc-status", "77")],
                                             body=b""), {"grpc not those"}, {"grpc ok", "grpc unknown"}),
    "slow": (get("/", "x", ID), slow, {"duration ge 200"}, set()),
    "an id that is no uuid": (get("/", "x", {"x-request-id": "short"}), None, {"runtime all"}, {"runtime 0"}),
    "an id of other letters": (get("/", "x", {"x-request-id": "zzzzzzzz-zzzz"}), None, {"runtime all"}, {"runtime 0"}),
}
# Decided by chance without an id to decide by.
CHANCE = {"runtime 15", "runtime 16", "runtime 5515", "runtime 5516"}


@pytest.mark.differential
@pytest.mark.parametrize("name", CASES)
def test_what_passes(both, name):
    data, reply, passes, stops = CASES[name]
    seen = {flavour: both.passed(flavour, data, reply) for flavour in both.proxies}
    for flavour, found in seen.items():
        assert ALWAYS | passes <= found, (flavour, (ALWAYS | passes) - found)
        assert not stops & found, (flavour, stops & found)
    if len(seen) > 1:
        ignored = CHANCE if name.startswith("an id") else set()
        assert seen["envoy"] - ignored == seen["nuncio"] - ignored


REFUSED = {
    "no kind": {},
    "no comparison": {"status_code_filter": {}},
    "no value": {"duration_filter": {"comparison": {"op": "EQ"}}},
    "operator": {"status_code_filter": {"comparison": {"op": 9, "value": {"default_value": 1}}}},
    "one of and": {"and_filter": {"filters": [STATUS_404]}},
    "none of or": {"or_filter": {}},
    "bad in or": {"or_filter": {"filters": [STATUS_404, {}]}},
    "runtime without key": {"runtime_filter": {"percent_sampled": {"numerator": 1}}},
    "header without name": {"header_filter": {"header": {}}},
    "no header": {"header_filter": {}},
    "flag": {"response_flag_filter": {"flags": ["UH", "XX"]}},
    "grpc status": {"grpc_status_filter": {"statuses": [17]}},
    "log type": {"log_type_filter": {"types": [99]}},
    "metadata without path": {"metadata_filter": {"matcher": {"filter": "a", "value": {"null_match": {}}}}},
    "metadata without value": {"metadata_filter": {"matcher": {"filter": "a", "path": [{"key": "b"}]}}},
    "extension without config": {"extension_filter": {"name": "x"}},
    "extension that nobody has": {"extension_filter": {
        "name": "x", "typed_config": {"@type": "type.googleapis.com/google.protobuf.Empty"}}},
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(flavour, tmp_path, name):
    hcm = c.hcm(c.routes("r"), access_log=[file_log(tmp_path / "log", "x", REFUSED[name])])
    code, output = validate(flavour, c.static_bootstrap([c.listener("l", hcm)]))
    assert code == 1, output
