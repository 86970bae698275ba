"""Requests that mean one thing to the proxy and another to the origin (faults.md 5, 21, 22, 24 and 25): what is decided
holds for what the origin sees, or the origin sees nothing. Compared with Envoy."""

import re
import urllib.parse

import pytest

from harness import config as c
from harness.differential import case, get
from harness.upstream import Reply
from harness.wait import wait_for

SLASHES = {"normalize_path": True, "merge_slashes": True}
PATHS_OPTIONS = {
    "plain": {},
    "normal": {"normalize_path": True},
    "merge": {"merge_slashes": True},
    "reject": {**SLASHES, "path_with_escaped_slashes_action": "REJECT_REQUEST"},
    "redirect": {**SLASHES, "path_with_escaped_slashes_action": "UNESCAPE_AND_REDIRECT"},
    "forward": {**SLASHES, "path_with_escaped_slashes_action": "UNESCAPE_AND_FORWARD"},
}
STRICT = ("reject", "redirect", "forward")


def header(name, match, **more):
    return {"name": name, "string_match": match, **more}


def add(name, value):
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def bootstrap(origins, log):
    def listener(name, *routes, **more):
        table = c.routes(name, c.vhost("all", ["*"], *routes))
        return c.listener(name, c.hcm(table, stat_prefix=name, log=log, delayed_close_timeout="0.1s", **more))

    deny = {"status": 403}
    paths = [listener(name, c.route("/admin", direct_response=deny, name="deny"), c.route("/", "a", name="pass"), **more)
             for name, more in PATHS_OPTIONS.items()]
    roles = [
        listener("exact", c.route({"prefix": "/", "headers": [header("x-role", {"exact": "admin"})]}, direct_response=deny),
                 c.route("/", "a")),
        listener("contains",
                 c.route({"prefix": "/", "headers": [header("x-role", {"contains": "admin"})]}, direct_response=deny),
                 c.route("/", "a")),
        listener("listed", c.route({"prefix": "/", "headers": [header("x-role", {"exact": "user"})]}, "a"),
                 c.route("/", direct_response=deny)),
        listener("dropping",
                 c.route({"prefix": "/", "headers": [header("x-role", {"contains": "admin"})]}, direct_response=deny),
                 c.route("/", "a"), common_http_protocol_options={"headers_with_underscores_action": "DROP_HEADER"}),
    ]
    ours = listener("ours", c.route("/", "a", request_headers_to_add=[add("x-secure", "ours")],
                                    request_headers_to_remove=["x-unsafe"]),
                    use_remote_address=True, via="proxy", upgrade_configs=[{"upgrade_type": "websocket"}])
    tunnels = listener("tunnels", c.route({"connect_matcher": {}}, {
        "cluster": "a", "upgrade_configs": [{"upgrade_type": "CONNECT"}]}), c.route("/", "a"),
        upgrade_configs=[{"upgrade_type": "websocket"}, {"upgrade_type": "CONNECT"}],
        http_protocol_options={"accept_http_10": True})
    return c.static_bootstrap([listener("l", c.route("/", "a")), *paths, *roles, ours, tunnels],
                              [c.cluster("a", origins["a"].port)])


@pytest.fixture(scope="module", autouse=True)
def clean(duel):
    """What a client keeps open meanwhile still serves, and the log holds no report."""
    if "nuncio" not in duel.proxies:
        yield
        return
    proxy = duel.proxies["nuncio"]
    files = proxy.open_files()
    with proxy.connect("l") as client:
        yield
        assert client.get("/").status == 200
    wait_for(lambda: proxy.open_files() <= files + 4, "the clients' files are closed", 20)
    proxy.check_clean()


# --- 21: paths ----------------------------------------------------------------------------------------------------------

PATHS = [
    "/admin", "/admin/", "/admin/x", "/admins", "/ADMIN", "/x", "/x/../admin", "/x/../../admin", "/../admin", "/./admin",
    "/x/./../admin", "/admin/..", "/admin/../x", "/admin/../admin", "/x/..", "/..", "/.", "//admin", "///admin",
    "/x//../admin", "/x//admin", "/%61dmin", "/ad%6Din", "/%41DMIN", "/x/%2e%2e/admin", "/x/%2E%2e/admin", "/x/.%2e/admin",
    "/x/%2e./admin", "/%2e/admin", "/%2e%2e/admin", "/admin/%2e%2e/x", "/x/%252e%252e/admin", "/%252fadmin",
    "/x/..;/admin", "/x/..;a=b/admin", "/.;/admin", "/;/admin", "/admin;x=1", "/x;/../admin", "/admin%2f", "/admin%2Fx",
    "/%2fadmin", "/%2Fadmin", "/x%2f..%2fadmin", "/x/..%2fadmin", "/x%2F../admin", "/%5cadmin", "/x%5c..%5cadmin",
    "/x/..%5Cadmin", "/x\\..\\admin", "/\\admin", "/admin\\..\\x", "/admin%00", "/%00/admin", "/x%00/../admin",
    "/x/..%00/admin", "/%c0%ae%c0%ae/admin", "/x/%c0%ae%c0%ae/admin", "/%c0%afadmin", "/%e0%80%afadmin", "/%uff0e/admin",
    "/x/%ff/../admin", "/%", "/%2", "/%zz/../admin", "/x/%2/../admin", "/admin?a=/../x", "/x?a=/../admin", "/x?/../admin",
    "/x#/../admin", "/admin#", "/x%3f/../admin", "/x%23/../admin", "/x%20/../admin", "/*/../admin", "/x/.../admin",
    "/x/. ./admin".replace(" ", "%20"), "/a/b/c/../../../admin", "/a/b/c/../../../../admin", "/a%2fb/../admin",
]


def as_lenient_origin(target):
    """The path as one that unescapes once, knows both slashes and resolves dots would read it."""
    path = urllib.parse.unquote(target.split("?")[0].split("#")[0], errors="replace").replace("\\", "/")
    out = []
    for part in path.split("/"):
        if part == "..":
            out = out[:-1]
        elif part not in ("", "."):
            out.append(part)
    return "/" + "/".join(out)


@pytest.mark.differential
@pytest.mark.parametrize("options", PATHS_OPTIONS)
def test_paths(duel, options):
    for path in PATHS:
        data = get(path)
        outcomes = duel.run(case(f"{options}: {path}", data, listener=options))
        for outcome in outcomes.values():
            for request in outcome.requests:
                # The route that let it pass is the one that the origin's target has.
                assert not request.target.startswith("/admin"), path
                if options in STRICT:
                    read = as_lenient_origin(request.target)
                    assert not re.match(r"/admin\b", read), (path, request.target)


# --- 22, 23: headers that come twice, or nearly ---------------------------------------------------------------------------

ROLES = {
    "admin": [("x-role", "admin")],
    "user": [("x-role", "user")],
    "user then admin": [("x-role", "user"), ("x-role", "admin")],
    "admin then user": [("x-role", "admin"), ("x-role", "user")],
    "admin twice": [("x-role", "admin"), ("x-role", "admin")],
    "in one": [("x-role", "user, admin")],
    "another case": [("X-Role", "user"), ("x-rOLE", "admin")],
    "empty, admin": [("x-role", ""), ("x-role", "admin")],
    "white space": [("x-role", " \t admin \t ")],
    "underscore": [("x_role", "admin")],
    "underscore beside": [("x-role", "user"), ("x_role", "admin")],
    "none": [],
}
DENIED = {
    "contains": {"admin", "user then admin", "admin then user", "admin twice", "in one", "another case", "empty, admin",
                 "white space"},
}


@pytest.mark.differential
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("listener", ["exact", "contains", "listed", "dropping"])
def test_roles(duel, listener, role):
    denied = DENIED.get({"dropping": "contains"}.get(listener, listener))
    want = {} if denied is None else {"status": 403 if role in denied else 200}
    outcomes = duel.run(case(f"{listener}: {role}", get(headers=ROLES[role]), listener=listener, **want))
    if listener == "dropping":
        assert not [n for o in outcomes.values() for r in o.requests for n, _ in r.headers if "_" in n]


# --- 25: headers that a client declares to be for this hop alone ------------------------------------------------------------

NAMED = ["x-secure", "x-forwarded-for", "X-Forwarded-Proto", "x-request-id", "x-envoy-external-address", "via", "host",
         ":path", "content-length", "cookie", "authorization", "close, x-secure", "keep-alive, x-secure", "x-secure, close",
         "x-unsafe", "transfer-encoding", "te", "connection", ",,x-secure,,", "*"]
UPGRADE = [("upgrade", "websocket"), ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="), ("sec-websocket-version", "13")]


@pytest.mark.differential
@pytest.mark.parametrize("named", NAMED)
@pytest.mark.parametrize("upgrade", [False, True], ids=["request", "upgrade"])
def test_named_in_connection(duel, named, upgrade):
    fields = [("connection", f"upgrade, {named}" if upgrade else named), ("x-secure", "theirs"), ("x-unsafe", "1"),
              ("cookie", "a=b"), ("authorization", "me"), ("x-forwarded-for", "6.6.6.6"), ("x-envoy-internal", "true"),
              *(UPGRADE if upgrade else [])]
    outcomes = duel.run(case(f"connection: {named}", get(headers=fields), listener="ours", ignore=("log:sent",)))
    for outcome in outcomes.values():
        for request in outcome.requests:
            assert request.all("x-secure") == ["ours"] and request.header("x-unsafe") is None
            assert request.header("x-envoy-internal") is None and request.header("x-envoy-external-address")
            assert request.header("x-forwarded-for").startswith("6.6.6.6,")


# --- 5: bytes behind a request that is the last ------------------------------------------------------------------------------

MORE = b"GET /smuggled HTTP/1.1\r\nhost: evil\r\n\r\n"
LAST = {
    "close": get(headers=[("connection", "close")]),
    "close in a list": get(headers=[("connection", "x, close")]),
    "close with a body": get(method="POST", headers=[("connection", "close")], body=b"body"),
    "proxy-connection": get(headers=[("proxy-connection", "close")]),
    "1.0": b"GET / HTTP/1.0\r\nhost: test\r\n\r\n",
    "upgrade": get(headers=[("connection", "upgrade"), *UPGRADE]),
    "another upgrade": get(headers=[("connection", "upgrade"), ("upgrade", "foo")]),
    "CONNECT": b"CONNECT x:80 HTTP/1.1\r\nhost: x:80\r\n\r\n",
}


@pytest.mark.parametrize("answer", [200, 403, 500])
@pytest.mark.parametrize("last", LAST)
def test_bytes_behind_the_last_request(duel, flavour, last, answer):
    """The origin answers as to a plain request; whatever the client sent behind it reaches nobody."""
    if (last, answer) == ("CONNECT", 200):
        pytest.skip("a tunnel: the bytes are its own")
    proxy, origin = duel.proxies[flavour], duel.origins["a"]
    duel.forget()
    origin.next(Reply(status=answer, body=b"no tunnel"))
    with proxy.connect("tunnels") as client:
        client.send(LAST[last] + MORE * 3)
        assert client.read_response(LAST[last].split(b" ")[0].decode()).status in (answer, 403)
        client.is_closed(0.3)  # or not: as it is with Envoy
    targets = [r.target for r in origin.take()]
    duel.forget()
    # The connection to the origin that was used goes on with honest requests, or was closed.
    with proxy.connect("tunnels") as client:
        assert client.get("/honest").status == 200
    targets += [r.target for r in origin.take()]
    assert "/smuggled" not in targets and targets[-1] == "/honest"
    assert not origin.malformed
