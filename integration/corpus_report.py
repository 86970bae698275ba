#!/usr/bin/env python3
"""What becomes of configurations that real control planes push.

For each case of the corpus (one JSON: responses per type URL and, perhaps, a bootstrap) a fresh proxy is started, gets the
case's resources over ADS, and is asked what it made of them; a bootstrap goes through `--mode validate`. Per case:
accepted resources, rejected ones with the reason, and the fields the proxy says it does not support. A resource that is
neither in use, nor waiting with a stated reason, nor rejected by name has been dropped silently: a defect.

    build/venv/bin/python integration/corpus_report.py [--proxy envoy] [--delta] [--corpus DIR] [--json FILE] [case...]
"""

import argparse
import base64
import copy
import ipaddress
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from google.protobuf import descriptor_pb2

REPO = Path(__file__).resolve().parents[1]
sys.path.append(str(REPO / "integration"))

from harness import config as c  # noqa: E402
from harness.ads import AdsServer, type_url  # noqa: E402
from harness.certs import Authority  # noqa: E402
from harness.proxy import Proxy, validate  # noqa: E402
from harness.wait import WaitTimeout, wait_for  # noqa: E402

ORDER = [c.CLUSTER, c.ENDPOINTS, c.SECRET, c.LISTENER, c.ROUTES]
WATCHED = {c.CLUSTER: "dynamic_active_clusters", c.LISTENER: "dynamic_listeners"}
DUMPS = {
    # type URL -> where /config_dump has it: (lists, key of the resource in an entry)
    c.CLUSTER: (("dynamic_active_clusters", "dynamic_warming_clusters"), "cluster"),
    c.ROUTES: (("dynamic_route_configs",), "route_config"),
    c.SECRET: (("dynamic_active_secrets", "dynamic_warming_secrets"), None),
}


def corpus_dir(given=None):
    """The corpus, or None if it is not here."""
    place = Path(given or os.environ.get("NUNCIO_CORPUS", REPO.parent / "shared" / "corpus-dev"))
    return place if place.is_dir() else None


def cases(place):
    """(name, parsed JSON) of every case."""
    for path in sorted(place.rglob("*.json")):
        yield str(path.relative_to(place).with_suffix("")), json.loads(path.read_text())


def short(url):
    return url.rsplit(".", 1)[-1]


def name_of(resource):
    return resource.get("name") or resource.get("clusterName") or resource.get("cluster_name") or ""


# Which fields nuncio knows: read from its own proto files, so that what it says can be checked against them.


class Subset:
    """The messages under proto/, as protoc reads them."""

    def __init__(self):
        with tempfile.NamedTemporaryFile() as out:
            files = sorted(str(p.relative_to(REPO / "proto")) for p in (REPO / "proto").rglob("*.proto"))
            subprocess.run(["protoc", f"--descriptor_set_out={out.name}", "--include_imports", "-I", ".", *files],
                           cwd=REPO / "proto", check=True, capture_output=True)
            described = descriptor_pb2.FileDescriptorSet.FromString(Path(out.name).read_bytes())
        self.messages = {}
        for file in described.file:
            self._add(file.package, file.message_type)

    def _add(self, prefix, messages):
        for message in messages:
            name = f"{prefix}.{message.name}"
            self.messages[name] = message
            self._add(name, message.nested_type)

    def missing(self, type_name, value, path=""):
        """Paths in a JSON message that the subset has no field for."""
        message = self.messages.get(type_name)
        if message is None or type_name.startswith("google.protobuf.") or not isinstance(value, dict):
            return
        fields = {}
        for field in message.field:
            fields[field.name] = field
            fields[field.json_name or re.sub(r"_(.)", lambda m: m[1].upper(), field.name)] = field
        for key, inner in value.items():
            if key == "@type" or inner is None:
                continue
            field = fields.get(key)
            here = f"{path}.{key}" if path else key
            if field is None:
                yield here
            elif field.type == field.TYPE_MESSAGE:
                yield from self._inner(field, inner, here)

    def _inner(self, field, value, path):
        name = field.type_name.lstrip(".")
        message = self.messages.get(name)
        if message is not None and message.options.map_entry:
            (of,) = [f for f in message.field if f.number == 2]
            for key, one in value.items() if isinstance(value, dict) else ():
                if of.type == of.TYPE_MESSAGE:
                    yield from self._inner(of, one, f"{path}[{key}]")
            return
        for index, one in enumerate(value if isinstance(value, list) else [value]):
            here = f"{path}[{index}]" if isinstance(value, list) else path
            if name == "google.protobuf.Any":
                if isinstance(one, dict) and "@type" in one:
                    yield from self.missing(one["@type"].rsplit("/", 1)[-1], one, here)
            else:
                yield from self.missing(name, one, here)


def subset():
    """The Subset, read once."""
    if not hasattr(subset, "made"):
        subset.made = Subset()
    return subset.made


def silent_fields(url, resource, told):
    """Fields of a resource in use that nuncio does not know and does not report."""
    def plain(path):
        """A path without what spelling may differ in: `a_b["k"].value.c (Message)` and `aB[k].c` are one."""
        return path.split(" (")[0].replace("_", "").replace('"', "").replace("].value", "]").lower()

    reported = {plain(path) for path in told}
    return [path for path in subset().missing(url.rsplit("/", 1)[-1], resource) if plain(path) not in reported]


# Making a case safe to run here: loopback only, and no fixed ports.


def _get(message, snake):
    camel = re.sub(r"_(.)", lambda m: m[1].upper(), snake)
    return message.get(snake, message.get(camel))


def _is_ip(text):
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _loopback(socket_address):
    """The loopback address of the same kind."""
    if ":" not in socket_address.get("address", ""):
        return "127.0.0.1"
    return "::ffff:127.0.0.1" if _get(socket_address, "ipv4_compat") else "::1"


def localise(url, resource):
    """The resource with listener addresses on loopback and port 0, and DNS names that resolve here."""
    resource = copy.deepcopy(resource)
    if url == c.LISTENER and _get(resource, "bind_to_port") is not False:
        places = [resource.get("address")] + [a.get("address") for a in _get(resource, "additional_addresses") or ()]
        for place in places:
            socket_address = _get(place or {}, "socket_address")
            if socket_address:
                socket_address["address"] = _loopback(socket_address)
                socket_address.pop("portValue", None)
                socket_address["port_value"] = 0
    if url == c.CLUSTER:
        assignment = _get(resource, "load_assignment") or {}
        for locality in assignment.get("endpoints", ()):
            for member in _get(locality, "lb_endpoints") or ():
                address = _get(_get(member.get("endpoint") or {}, "address") or {}, "socket_address")
                if address and not _is_ip(address.get("address", "")):
                    address["address"] = "localhost"
    return resource


# Running a case.


def dump_parts(proxy):
    """The parts of /config_dump. Envoy gives none of it when one extension cannot be written as JSON: then list by list."""
    reply = proxy.admin("/config_dump?include_eds")
    try:
        return reply.json().get("configs", [])
    except ValueError:
        if proxy.flavour == "nuncio":
            raise AssertionError(f"/config_dump is not JSON: {reply.text[:500]}") from None
    parts = []
    for name in ("dynamic_listeners", "dynamic_active_clusters", "dynamic_warming_clusters", "dynamic_route_configs"):
        try:
            entries = proxy.admin(f"/config_dump?resource={name}").json().get("configs", [])
        except ValueError:
            continue
        parts.append({name: entries})
    return parts


def dumped(proxy):
    """{type URL: {name: "active" | "warming" | error text}} from /config_dump."""
    found = {}
    for part in dump_parts(proxy):
        for url, (lists, key) in DUMPS.items():
            for where in lists:
                for entry in part.get(where, ()):
                    resource = entry.get(key, {}) if key else entry
                    state = "warming" if "warming" in where else "active"
                    found.setdefault(url, {}).setdefault(name_of(resource) or entry.get("name", ""), state)
        for entry in part.get("dynamic_listeners", ()):
            state = next((s for s in ("active", "warming", "draining") if f"{s}_state" in entry), None)
            if state is None:
                state = "refused: " + entry.get("error_state", {}).get("details", "no reason given")
            found.setdefault(c.LISTENER, {})[entry.get("name", "")] = state
        for entry in part.get("dynamic_endpoint_configs", ()):
            found.setdefault(c.ENDPOINTS, {})[name_of(entry.get("endpoint_config", {}))] = "active"
    return found


def unsupported(proxy):
    """What /unsupported lists (nuncio only): [{type, name, field}]."""
    reply = proxy.admin("/unsupported")
    return reply.json()["unsupported"] if reply.status == 200 else []


def waiting(proxy):
    """The text of /xds (nuncio only): what each resource that is not live waits for."""
    reply = proxy.admin("/xds")
    return reply.text if reply.status == 200 else ""


STAND_IN = Authority("stand-in")
SDS_FIELDS = {"tlsCertificateSdsSecretConfigs": "certificate", "validationContextSdsSecretConfig": "trust",
              "sessionTicketKeysSdsSecretConfig": "tickets"}


def secrets_named(value):
    """(field, SdsSecretConfig) of every secret that is named anywhere inside."""
    if isinstance(value, list):
        for item in value:
            yield from secrets_named(item)
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key in SDS_FIELDS:
                yield from ((SDS_FIELDS[key], one) for one in (inner if isinstance(inner, list) else [inner]))
            yield from secrets_named(inner)


def stand_in(kind, name):
    """A secret of the test's own: a case has none, and what names it would wait."""
    if kind == "certificate":
        return c.tls_secret(name, STAND_IN.leaf())
    if kind == "trust":
        return c.trust_secret(name, c.trust(STAND_IN))
    return {"name": name, "session_ticket_keys": {"keys": [{"inline_bytes": base64.b64encode(bytes(80)).decode()}]}}


def serve_secrets(ads, served):
    """Secrets that the resources name; the clusters that they come from, but for the aggregated stream's."""
    clusters = set()
    for kind, config in secrets_named(served):
        source = config.get("sdsConfig")
        if source is None or config.get("name") in served.get(c.SECRET, {}):
            continue
        ads.set("sds", stand_in(kind, config["name"]))
        services = source.get("apiConfigSource", {}).get("grpcServices", [])
        clusters |= {service["envoyGrpc"]["clusterName"] for service in services if "envoyGrpc" in service}
    return [c.ads_cluster(ads.port, name=name) for name in sorted(clusters - served.get(c.CLUSTER, {}).keys())]


def serve_missing_endpoints(ads, served):
    """Clusters whose endpoints a case leaves out have none, instead of waiting for them."""
    there = {resource.get("clusterName") for resource in served.get(c.ENDPOINTS, {}).values()}
    for name, cluster in served.get(c.CLUSTER, {}).items():
        if cluster.get("type") == "EDS":
            wanted = cluster.get("edsClusterConfig", {}).get("serviceName") or name
            if wanted not in there:
                ads.set("eds", c.endpoints(wanted))


def serve(ads, served):
    for url in ORDER:
        if url in served:
            ads.replace(url, *served[url].values())
    for url in served.keys() - set(ORDER):
        ads.replace(url, *served[url].values())


def settled(ads, served):
    """Every response so far has been answered, and CDS and LDS have been asked for and sent."""
    log = ads.log()
    asked = {e["type_url"]: e for e in log if e["kind"] == "request"}
    for url in (c.CLUSTER, c.LISTENER):
        if url in served and not any(e["kind"] == "response" and e["type_url"] == url for e in log):
            return False
    answered = {e.get("nonce") for e in log if e["kind"] == "request"}
    # A refused response is sent again at once by many servers, this one too: one refusal is answer enough.
    refused = {e["type_url"] for e in log if e["kind"] == "request" and e.get("error")}
    if any(e["kind"] == "response" and e["nonce"] not in answered and e["type_url"] not in refused for e in log):
        return False
    return bool(asked)


def run_resources(flavour, ads, case, delta):
    """Serve a case's resources; {type: {name: verdict}} and what the proxy says of itself."""
    served = {}
    for response in case["responses"]:
        for resource in response["resources"]:
            url = resource.get("@type", response["typeUrl"])
            served.setdefault(url, {}).setdefault(name_of(resource), localise(url, resource))
    ads.reset()
    report = {"resources": {}, "dropped": [], "unsupported": [], "nacks": [], "not_sent": []}
    for url, resources in list(served.items()):
        for name, resource in list(resources.items()):
            try:
                ads.set(url, resource)
            except AssertionError as error:
                report["not_sent"].append(f"{short(url)} {name}: {error}")
                del resources[name]
        served[url] = resources
    serve_missing_endpoints(ads, served)
    bootstrap = c.ads_bootstrap(ads.port, delta=delta, static_clusters=serve_secrets(ads, served))
    with Proxy(flavour, bootstrap, ready=False, log_level="warning") as proxy:
        try:
            wait_for(lambda: settled(ads, served), "every response is answered", 5)
        except WaitTimeout as late:
            report["unanswered"] = str(late)
        log = ads.log()
        state = dumped(proxy)
        report["unsupported"] = unsupported(proxy)
        hold = waiting(proxy)
        report["nacks"] = [{"type": short(e["type_url"]), "error": e["error"]} for e in log
                           if e["kind"] == "request" and e.get("error")]
        asked = {}
        for event in log:
            if event["kind"] == "request":
                asked.setdefault(event["type_url"], set()).update(
                    (event.get("names") or []) + (event.get("subscribe") or []))
        for url, resources in served.items():
            for name in resources:
                verdict = judge(url, name, state, report["nacks"], asked, hold, "unanswered" in report)
                report["resources"].setdefault(short(url), {})[name] = verdict
                if verdict == "dropped":
                    report["dropped"].append(f"{short(url)} {name}")
                elif flavour == "nuncio" and verdict in ("active", "warming"):
                    told = [entry["field"] for entry in report["unsupported"] if entry.get("name") == name]
                    report["dropped"] += [f"{short(url)} {name}: {path}" for path in
                                          silent_fields(url, resources[name], told)]
    return report


def judge(url, name, state, nacks, asked, hold, unanswered):
    """What became of one resource."""
    reason = next((n["error"] for n in nacks if n["type"] == short(url) and name and name in n["error"]), None)
    if reason:
        # The text tells of several resources: what concerns this one starts at its name.
        return f"rejected: {reason[reason.index(name):][:400]}"
    found = state.get(url, {}).get(name)
    if found:
        return found
    wants = asked.get(url)
    if wants is None or (wants and name not in wants and "*" not in wants):
        return "not asked for"
    if url not in (c.CLUSTER, c.LISTENER) and name not in (wants or ()):
        return "not asked for"
    whole = next((n["error"] for n in nacks if n["type"] == short(url)), None)
    if whole:
        return f"rejected with its response: {whole}"
    if name and name in hold:
        return "held (see /xds)"
    if unanswered:
        return "unanswered"
    return "dropped"


def run_case(flavour, ads, case, delta):
    report = {}
    if any(r["resources"] for r in case["responses"]):
        report = run_resources(flavour, ads, case, delta)
    if case.get("bootstrap"):
        code, output = validate(flavour, case["bootstrap"], ["--service-node", "corpus", "--service-cluster", "corpus"])
        lines = [line for line in output.splitlines() if line.strip()]
        report["bootstrap"] = {"code": code, "output": lines[-1] if lines else ""}
    return report


def crashes(report):
    """Signs that a proxy died of a case rather than judged it."""
    bootstrap = report.get("bootstrap")
    return [f"validate ended with {bootstrap['code']}"] if bootstrap and bootstrap["code"] not in (0, 1) else []


def show(name, report):
    counts = {}
    for resources in report.get("resources", {}).values():
        for verdict in resources.values():
            key = verdict.split(":")[0]
            counts[key] = counts.get(key, 0) + 1
    print(f"{name}: " + (", ".join(f"{n} {k}" for k, n in sorted(counts.items())) or "no resources"))
    for kind, resources in report.get("resources", {}).items():
        for resource, verdict in resources.items():
            verdict = " ".join(verdict.split())
            if verdict not in ("active", "warming", "not asked for"):
                print(f"    {kind} {resource}: {verdict}")
    for entry in report.get("unsupported", ()):
        print(f"    unsupported: {entry.get('type')} {entry.get('name', '')}: {entry['field']}")
    for path in report.get("dropped", ()):
        print(f"    DROPPED IN SILENCE: {path}")
    for text in report.get("not_sent", ()):
        print(f"    could not be sent: {text}")
    if "unanswered" in report:
        print(f"    {report['unanswered']}")
    if "bootstrap" in report:
        code = report["bootstrap"]["code"]
        print(f"    bootstrap: {'accepted' if code == 0 else 'rejected'}"
              + ("" if code == 0 else f" ({code}): {report['bootstrap']['output']}"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", nargs="*", help="only cases whose name contains this")
    parser.add_argument("--corpus")
    parser.add_argument("--proxy", choices=["nuncio", "envoy"], default="nuncio")
    parser.add_argument("--delta", action="store_true")
    parser.add_argument("--json", metavar="FILE")
    chosen = parser.parse_args()
    place = corpus_dir(chosen.corpus)
    if place is None:
        print("no corpus here (give --corpus or NUNCIO_CORPUS): nothing to report")
        return 0
    reports = {}
    bad = 0
    with AdsServer() as ads:
        for name, case in cases(place):
            if chosen.case and not any(part in name for part in chosen.case):
                continue
            try:
                report = run_case(chosen.proxy, ads, case, chosen.delta)
            except AssertionError as error:
                report = {"crash": str(error)}
                print(f"{name}: CRASH {error}")
            reports[name] = report
            wrong = report.get("dropped", []) + crashes(report) + ([report["crash"]] if "crash" in report else [])
            bad += bool(wrong)
            show(name, report)
    if chosen.json:
        Path(chosen.json).write_text(json.dumps(reports, indent=1))
    print(f"\n{len(reports)} cases, {bad} with a crash or a silent drop")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())


__all__ = ["cases", "corpus_dir", "crashes", "run_case", "type_url"]
