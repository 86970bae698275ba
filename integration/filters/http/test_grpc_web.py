"""gRPC-Web both ways, byte for byte as Envoy: forms, trailers in the body, answers that are no gRPC, bad text."""

import base64

import pytest

from harness import config as c
from harness.client import chunked
from harness.differential import case, get, post
from harness.grpc_frames import GRPC, answer, cluster, frame, grpc_stats_of, grpc_web, labels_of, text, trailers_frame
from harness.upstream import Reply, early_close, hang

ORIGINS = ("a",)
WEB = "application/grpc-web"
TEXT = "application/grpc-web-text"
MESSAGE = frame(b"hello")


def bootstrap(origins, log):
    table = c.routes("r", c.vhost("all", ["*"], c.direct("/direct", 404, "nothing ~ 100% h\u00e9re\n"),
                                  c.route("/short", {"cluster": "a", "timeout": "0.2s"}),
                                  c.route("/nowhere", "missing"), c.route("/", "a")), validate_clusters=False)
    hcm = c.hcm(table, filters=[grpc_web()], log=log, http_protocol_options={"enable_trailers": True})
    return c.static_bootstrap([c.listener("l", hcm)], [cluster("a", origins["a"].port)])


def web(body, content_type=WEB, target="/pkg.Svc/Meth", accept=None, headers=(), **kwargs):
    pairs = [("content-type", content_type), ("x-grpc-web", "1"), *headers]
    if accept is not None:
        pairs.append(("accept", accept))
    return post(target, body, headers=pairs, **kwargs)


def web_chunked(pieces, content_type=TEXT, trailers=(), **kwargs):
    head = web(None, content_type, headers=[("transfer-encoding", "chunked")], **kwargs)
    return head + chunked(*pieces, trailers=trailers)


def split(data, size):
    return [data[i:i + size] for i in range(0, len(data), size)]


OK = answer(b"abc")
PLAIN = MESSAGE + frame(b"") + frame(b"x" * 300, 1)

CASES = [
    # The request's form.
    *[case(f"binary request {t}", web(PLAIN, t), action=OK, status=200, upstream_body=PLAIN,
           upstream_headers={"content-type": GRPC, "te": "trailers", "grpc-accept-encoding": "identity",
                             "content-length": None},
           headers={"content-type": WEB + "+proto"},
           body=frame(b"abc") + trailers_frame("grpc-status:0"))
      for t in (WEB, WEB + "+proto")],
    *[case(f"text request {t}", web(text(MESSAGE), t), action=OK, status=200, upstream_body=MESSAGE,
           headers={"content-type": WEB + "+proto"})
      for t in (TEXT, TEXT + "+proto")],
    *[case(f"other type {t}", web(b"abcd", t), action=OK, upstream_headers={"content-type": t}, upstream_body=b"abcd",
           headers={"content-type": GRPC}, trailers=[("grpc-status", "0")])
      for t in (WEB + "+json", WEB + ";charset=utf-8", "Application/grpc-web", GRPC, "application/grpc-web-text+json")],
    case("no content type", get("/pkg.Svc/Meth", method="OPTIONS"), action=Reply(204), status=204),
    case("grpc-accept-encoding stays", web(MESSAGE, headers=[("grpc-accept-encoding", "gzip")]), action=OK,
         upstream_headers={"grpc-accept-encoding": "gzip"}),
    case("te is replaced", web(MESSAGE, headers=[("te", "gzip")]), action=OK, upstream_headers={"te": "trailers"}),
    case("empty body", web(b"", TEXT), action=OK, status=200, upstream_body=b""),
    case("chunked binary", web_chunked([PLAIN[:3], PLAIN[3:]], WEB), action=OK, status=200, upstream_body=PLAIN),
    # Text in any division.
    *[case(f"text in pieces of {n}", web_chunked(split(base64.b64encode(PLAIN), n)), action=OK, status=200,
           upstream_body=PLAIN)
      for n in (1, 2, 3, 5, 7, 64)],
    case("long text", web(base64.b64encode(frame(b"y" * 60000)), TEXT), action=OK, status=200,
         upstream_body=frame(b"y" * 60000)),
    # Bad text.
    # Whether a host is known by then depends on the pool having a connection at hand.
    *[case(f"bad text {name}", web(bad, TEXT), status=400, details=details, flags="-", ignore=("log:upstream",),
           headers={"content-type": WEB + "+proto", "grpc-status": "13", "content-length": "0",
                    "grpc-message": "Bad gRPC-web request, invalid base64 data."}, body=b"")
      for name, bad, details in (
          ("not in the alphabet", b"****", "grpc_base_64_decode_failed"),
          ("of the URL alphabet", b"ab_-", "grpc_base_64_decode_failed"),
          ("with a line break", b"abc\n", "grpc_base_64_decode_failed"),
          ("with bits left over", b"Zh==", "grpc_base_64_decode_failed"),
          ("with padding in the middle", b"Zg==Zm9v", "grpc_base_64_decode_failed"),
          ("of padding alone", b"====", "grpc_base_64_decode_failed"),
          ("without padding", b"Zg", "grpc_base_64_decode_failed_bad_size"),
          ("of three", b"Zm9vYmE", "grpc_base_64_decode_failed_bad_size"),
          ("of one more", b"Zm9vY", "grpc_base_64_decode_failed_bad_size"),
      )],
    case("bad text, text wanted", web(b"****", TEXT, accept=TEXT), status=400, headers={"content-type": TEXT + "+proto"},
         ignore=("log:upstream",)),
    # The response's form.
    *[case(f"accept {a}", web(MESSAGE, accept=a), action=answer(b"abc", b"", b"de"), status=200,
           headers={"content-type": TEXT + "+proto"},
           body=text(frame(b"abc"), frame(b""), frame(b"de"), trailers_frame("grpc-status:0")))
      for a in (TEXT, TEXT + "+proto")],
    *[case(f"accept {a}", web(MESSAGE, accept=a), action=OK, headers={"content-type": WEB + "+proto"})
      for a in (WEB, TEXT + ", */*", "*/*", "application/grpc-web-text+json")],
    # Envoy joins the lines of this header, as it does with all that it keeps a place for.
    case("two accepts", web(MESSAGE, headers=[("accept", TEXT), ("accept", TEXT)]), action=OK,
         headers={"content-type": WEB + "+proto"}, ignore=("upstream_header:accept",)),
    case("long message as text", web(MESSAGE, accept=TEXT), action=answer(b"z" * 70000), status=200,
         body=text(frame(b"z" * 70000), trailers_frame("grpc-status:0"))),
    case("trailers", web(MESSAGE), action=answer(
        b"abc", status="5", message="not%20here", trailers=[("x-a", "1"), ("x-a", "2"), ("x-b-bin", "AA==")]),
        body=frame(b"abc") + trailers_frame("grpc-status:5", "grpc-message:not%20here", "x-a:1", "x-a:2", "x-b-bin:AA=="),
        trailers=[], framing="chunked"),
    case("no message", web(MESSAGE, accept=TEXT), action=answer(status="12"), body=text(trailers_frame("grpc-status:12"))),
    case("no trailers", web(MESSAGE), action=Reply(headers={"content-type": GRPC}, body=frame(b"abc")),
         body=frame(b"abc"), headers={"content-type": WEB + "+proto"}),
    case("trailers only", web(MESSAGE), action=Reply(headers={"content-type": GRPC, "grpc-status": "7",
                                                              "grpc-message": "no"}),
         status=200, headers={"grpc-status": "7", "grpc-message": "no", "content-type": WEB + "+proto"}, body=b""),
    case("already gRPC-Web", web(MESSAGE), action=Reply(headers={"content-type": WEB + "+proto"}, body=b"as it is"),
         body=b"as it is"),
    case("already gRPC-Web, with parameters", web(MESSAGE), action=Reply(
        headers={"content-type": "Application/GRPC-web ; x=y"}, body=b"as it is"), body=b"as it is"),
    # Answers that are no gRPC.
    case("error page", web(MESSAGE), action=Reply(503, {"content-type": "text/plain"}, b"no ~ % \x80\n", reason="x"),
         status=503, body=b"", headers={"grpc-status": "14", "grpc-message": "no %7E %25 %80%0A", "content-length": "0",
                                        "content-type": WEB + "+proto"}),
    case("200 that is no gRPC", web(MESSAGE), action=Reply(200, {"content-type": "text/html"}, b"<html>"),
         status=200, body=b"", headers={"grpc-status": "2", "grpc-message": "<html>"}),
    case("gRPC that is no 200", web(MESSAGE), action=Reply(500, {"content-type": GRPC}, b"abc", reason="x"),
         status=500, body=b"", headers={"grpc-status": "2", "grpc-message": "abc"}),
    case("error without a body", web(MESSAGE), action=Reply(404, reason="x"), status=404, body=b"",
         headers={"grpc-status": None, "grpc-message": None}),
    *[case(f"status {code}", web(MESSAGE), action=Reply(code, body=b"x", reason="x"), status=code,
           headers={"grpc-status": status})
      for code, status in ((400, "13"), (401, "16"), (403, "7"), (404, "12"), (418, "2"), (429, "14"), (502, "14"),
                           (503, "14"), (504, "14"))],
    case("chunked error page", web(MESSAGE), action=Reply(500, chunks=[b"one ", b"two"], reason="x"), status=500,
         headers={"grpc-message": "one two"}),
    case("error page with trailers", web(MESSAGE, accept=TEXT), action=Reply(
        500, chunks=[b"one"], trailers=[("x-t", "1")], reason="x"), status=500, headers={"grpc-message": "one"}),
    # Envoy cuts only what did not come in one piece; where it does depends on its reads.
    case("long error page", web(MESSAGE), action=Reply(500, chunks=[b"n" * 16384, b"m" * 4000], reason="x"), status=500,
         headers={"grpc-message": lambda value: value is not None and value.startswith("n" * 16384)}, body=b"",
         differs={"headers": {"grpc-message": "n" * 16384}}),
    # Answers of the proxy's own.
    case("direct response", web(MESSAGE, target="/direct"), status=404, body=b"",
         headers={"grpc-status": "12", "grpc-message": "nothing %7E 100%25 h%C3%A9re%0A"}),
    case("no cluster", web(MESSAGE, target="/nowhere"), status=503, flags="NC", body=b"", headers={"grpc-status": None}),
    case("no answer in time", web(MESSAGE, target="/short"), action=hang(), status=504, flags="UT",
         headers={"grpc-status": "14", "grpc-message": "upstream request timeout"}),
    case("upstream closes", web(MESSAGE), action=early_close(), status=503, flags="UC", headers={"grpc-status": "14"}),
]


@pytest.mark.differential
@pytest.mark.parametrize("item", CASES, ids=lambda item: item.name)
def test_grpc_web(duel, item):
    duel.run(item)


def test_text_before_trailers_must_be_whole(duel):
    """A difference: Envoy forwards the bytes it could decode and drops the rest."""
    for flavour, _ in duel.each():
        outcome = duel.play(flavour, case("cut off", web_chunked([b"Zm9vY"], trailers=[("x", "y")]), action=OK,
                                          ignore=("log:*",)))
        if flavour == "nuncio":
            assert outcome.response.status == 400
            assert outcome.log[-1]["details"] == "grpc_base_64_decode_failed_bad_size"
        else:
            assert outcome.response.status == 200 and outcome.requests[-1].body == b"foo"


@pytest.mark.parametrize("body", [frame(b"abc"), frame(b"abc") + frame(b"cut off")[:-2]], ids=["whole", "cut off"])
def test_a_text_answer_without_trailers_ends(duel, body):
    """A difference: Envoy never ends it, for the last piece holds no whole message."""
    if "nuncio" in duel.proxies:
        outcome = duel.play("nuncio", case("no trailers", web(MESSAGE, accept=TEXT),
                                           action=Reply(headers={"content-type": GRPC}, body=body)))
        assert outcome.response.status == 200
        assert outcome.response.body == text(frame(b"abc"), body[len(frame(b"abc")):])


def test_text_cut_anywhere_in_time(duel):
    """One byte a segment: however the reads fall, the same arrives."""
    body = base64.b64encode(PLAIN)
    head = web(None, TEXT, headers=[("content-length", str(len(body)))])
    for flavour, proxy in duel.each():
        duel.forget()
        duel.origins["a"].next(OK)
        with proxy.connect() as client:
            client.send(head)
            for i in range(len(body)):
                client.send(body[i:i + 1])
            assert client.read_response("POST").status == 200, flavour
        assert duel.origins["a"].take()[-1].body == PLAIN


def test_series(duel, flavours):
    """cluster.<name>.grpc-web.<service>.<method>.*, and what Prometheus makes of it."""
    seen = {}
    for flavour, proxy in duel.each():
        before = grpc_stats_of(proxy)
        for target, status in (("/p.S/One", "0"), ("/p.S/One", "5"), ("/p.S/Two?q=/x/y", "0"), ("/three", "0")):
            duel.play(flavour, case("call", web(MESSAGE, target=target), action=answer(b"x", status=status)))
        after = grpc_stats_of(proxy)
        seen[flavour] = {n: v - before.get(n, 0) for n, v in after.items() if v != before.get(n, 0)}
        assert seen[flavour] == {
            "cluster.a.grpc-web.p.S.One.0": 1, "cluster.a.grpc-web.p.S.One.5": 1, "cluster.a.grpc-web.p.S.One.failure": 1,
            "cluster.a.grpc-web.p.S.One.success": 1, "cluster.a.grpc-web.p.S.One.total": 2,
            "cluster.a.grpc-web.p.S.Two.0": 1, "cluster.a.grpc-web.p.S.Two.success": 1,
            "cluster.a.grpc-web.p.S.Two.total": 1,
        }, flavour
    labels = [labels_of(proxy) for _, proxy in duel.each()]
    assert all(one == labels[0] for one in labels)
