"""local_reply_config: which local replies a mapper takes, what it makes of status, headers and body, in which type; and
the same for gRPC, for HEAD and for requests that the parser refuses."""

import pytest

from harness import config as c
from harness import upstream as up
from harness.differential import case, get
from harness.wide import NO_REPLAYS


def when(status=None, header=None, flag=None, **more):
    if status is not None:
        return {"status_code_filter": {"comparison": {"op": "EQ", "value": {
            "default_value": status, "runtime_key": "nuncio.none"}}}}
    if header is not None:
        return {"header_filter": {"header": {"name": header, "present_match": True}}}
    if flag is not None:
        return {"response_flag_filter": {"flags": [flag]}}
    return more


def text(value, **more):
    return {"text_format_source": {"inline_string": value}, **more}


def add(*pairs, action="APPEND_IF_EXISTS_OR_ADD"):
    return [{"header": {"key": k, "value": v}, "append_action": action} for k, v in pairs]


EVERY = {"not_health_check_filter": {}}
VARIANTS = {
    "format": {"body_format": text("%RESPONSE_CODE%:%LOCAL_REPLY_BODY%:%REQ(:path)%:%RESPONSE_FLAGS%\n")},
    "typed": {"body_format": text("<b>%LOCAL_REPLY_BODY%</b>", content_type="text/html; charset=utf-8")},
    "json": {"body_format": {"json_format": {"code": "%RESPONSE_CODE%", "body": "%LOCAL_REPLY_BODY%",
                                             "path": "%REQ(:path)%", "none": "%REQ(x-none)%"}}},
    "json-typed": {"body_format": {"json_format": {"code": "%RESPONSE_CODE%"}, "omit_empty_values": True,
                                   "content_type": "application/problem+json"}},
    "mappers": {"mappers": [
        {"filter": when(status=503), "status_code": 504, "body": {"inline_string": "sorry"},
         "headers_to_add": add(("x-mapped", "1"), ("x-code", "%RESPONSE_CODE%"), ("x-path", "%REQ(:path)%"))},
        {"filter": when(header="x-plain"), "body": {"inline_string": ""}},
        {"filter": when(header="x-teapot"), "status_code": 418,
         "body_format_override": text("%RESPONSE_CODE% %LOCAL_REPLY_BODY%", content_type="text/tea")},
        {"filter": when(header="x-typed"), "body": {"inline_string": "{}"},
         "headers_to_add": add(("content-type", "application/json"), action="OVERWRITE_IF_EXISTS_OR_ADD")},
        {"filter": when(flag="NR"), "body_format_override": {"json_format": {
            "flag": "%RESPONSE_FLAGS%", "details": "%RESPONSE_CODE_DETAILS%"}}},
        {"filter": when(status=404), "status_code": 599, "body": {"inline_string": "never: NR came before"}},
        {"filter": when(status=400), "status_code": 422, "body": {"inline_string": "be strict"}},
        {"filter": when(status=200), "body": {"inline_string": "all is well"}},
    ]},
    "both": {"mappers": [{"filter": EVERY, "headers_to_add": add(("x-every", "%RESPONSE_CODE_DETAILS%"))}],
             "body_format": text("[%LOCAL_REPLY_BODY%]")},
    "empty": {},
}


def bootstrap(origins, log):
    table = c.routes("r", c.vhost(
        "all", ["*"],
        c.direct("/direct", 200, "hello", response_headers_to_add=add(("x-route", "direct"))),
        c.direct("/typed", 200, "hello", response_headers_to_add=add(("content-type", "text/route"))),
        c.direct("/empty", 200), c.direct("/503", 503, "unavailable"),
        c.route("/redirect", redirect={"path_redirect": "/new"}),
        c.route("/nobody", "nobody"), c.route("/a", "a"), c.route("/gone", "gone")))
    return c.static_bootstrap(
        [c.listener(name, c.hcm(table, stat_prefix=name, log=log, local_reply_config=more))
         for name, more in VARIANTS.items()],
        [c.cluster("a", origins["a"].port), c.cluster("nobody"), c.cluster("gone", 1)], layered_runtime=NO_REPLAYS)


GRPC = [("content-type", "application/grpc")]
ASKED = {
    "direct": get("/direct"),
    "direct HEAD": get("/direct", method="HEAD"),
    "direct typed": get("/typed"),
    "direct empty": get("/empty"),
    "direct 503": get("/503"),
    "redirect": get("/redirect"),
    "no route": get("/none"),
    "no route HEAD": get("/none", method="HEAD"),
    "no route gRPC": get("/none", method="POST", headers=GRPC, body=b""),
    "nobody": get("/nobody"),
    "nobody gRPC": get("/nobody", method="POST", headers=GRPC, body=b""),
    "refused": get("/gone"),
    "plain": get("/none", headers=[("x-plain", "1")]),
    "teapot": get("/none", headers=[("x-teapot", "1")]),
    "teapot gRPC": get("/none", method="POST", headers=[*GRPC, ("x-teapot", "1")], body=b""),
    "typed": get("/none", headers=[("x-typed", "1")]),
    "typed direct": get("/typed", headers=[("x-typed", "1")]),
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "fragment": get("/a#b"),
    "proxied": get("/a"),
}


@pytest.mark.differential
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("asked", ASKED)
def test_reply(duel, variant, asked):
    data = ASKED[asked]
    duel.run(case(f"{variant}: {asked}", data, listener=variant, ignore=("closed",)))


@pytest.mark.differential
@pytest.mark.parametrize("variant", VARIANTS)
def test_upstream_fails(duel, variant):
    duel.run(case(f"{variant}: reset", get("/a"), listener=variant, action=up.early_close()))


@pytest.mark.differential
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_parser_refuses(duel, variant):
    duel.run(case(f"{variant}: garbage", b"GET / HTTP/1.1\r\nhost: h\r\nno colon here\r\n\r\n", listener=variant,
                  ignore=("log:details", "log:sent", "body", "header:content-length")))
