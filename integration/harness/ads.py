"""Drives the go-control-plane management server (../go): what it serves, when, and what proxies said to it."""

import base64
import json
import subprocess
import time
import urllib.error
import urllib.request

from . import config, paths
from .wait import WaitTimeout

SHORT = {"cds": config.CLUSTER, "eds": config.ENDPOINTS, "lds": config.LISTENER, "rds": config.ROUTES,
         "sds": config.SECRET, "rtds": config.RUNTIME}
NAME_FIELD = {config.ENDPOINTS: "cluster_name"}


def type_url(name):
    return SHORT.get(name, name)


class AdsServer:
    """One management server process. Types may be given as cds, eds, lds, rds, sds or as a type URL."""

    def __init__(self):
        self.process = subprocess.Popen(
            [str(paths.adsserver())], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.control = json.loads(self.process.stdout.readline())["control"]
        self.port = 0
        self.reset()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()

    def _call(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        call = urllib.request.Request(f"http://{self.control}{path}", data=data)
        try:
            with urllib.request.urlopen(call, timeout=60) as reply:
                return json.load(reply)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path}: {error.read().decode()}") from None

    # What is served.

    def reset(self, mode="linear", version_prefix=""):
        """Forget everything and serve on a fresh port. mode: linear, snapshot or raw (see ../go/state.go)."""
        self.port = self._call("/reset", {"mode": mode, "version_prefix": version_prefix})["port"]
        return self

    def set(self, kind, *resources, remove=(), replace=False):
        """Linear mode: add or change resources of one type; replace=True removes all others."""
        self._call("/set", {"type_url": type_url(kind), "resources": list(resources),
                            "remove": list(remove), "replace": replace})
        return self

    def replace(self, kind, *resources):
        return self.set(kind, *resources, replace=True)

    def remove(self, kind, *names):
        return self.set(kind, remove=names)

    def snapshot(self, version, **kinds):
        """Snapshot mode: everything at once, such as snapshot("1", cds=[...], lds=[...])."""
        self._call("/snapshot", {"version": version,
                                 "resources": {type_url(k): list(v) for k, v in kinds.items()}})
        return self

    # Faults.

    def kill(self):
        """End all streams and stop listening, at once."""
        self._call("/serve", {"state": "down"})

    def restart(self):
        """Listen again on the same port, with what was served before."""
        self._call("/serve", {"state": "up"})

    def hang(self):
        """After kill(): accept connections on the same port and say nothing."""
        self._call("/serve", {"state": "hang"})

    def delay(self, milliseconds):
        """Wait before every response."""
        self._call("/delay", {"ms": milliseconds})

    def send_bytes(self, data):
        """Put raw bytes on every open stream as one gRPC message."""
        return self._call("/raw", {"bytes": base64.b64encode(data).decode()})

    def send_response(self, kind, resources, version="1", nonce="n1"):
        """Put a hand-made DiscoveryResponse on every open stream."""
        full = [{"@type": type_url(kind), **r} for r in resources]
        return self._call("/raw", {"response": {
            "versionInfo": version, "resources": full, "typeUrl": type_url(kind), "nonce": nonce}})

    def send_delta(self, kind, resources=(), removed=(), version="1", nonce="n1"):
        """Put a hand-made DeltaDiscoveryResponse on every open stream. resources: dicts; named by their name."""
        url = type_url(kind)
        full = [{"name": r[NAME_FIELD.get(url, "name")], "version": version,
                 "resource": {"@type": url, **r}} for r in resources]
        return self._call("/raw", {"delta_response": {
            "systemVersionInfo": version, "resources": full, "removedResources": list(removed),
            "typeUrl": url, "nonce": nonce}})

    def end_streams(self, code=0):
        """End every open stream with that gRPC status."""
        self._call("/end", {"code": code})

    # What was said.

    def log(self, since=0, wait_ms=0):
        return self._call(f"/log?since={since}&wait={wait_ms}")

    def mark(self):
        """The number of the next event, for since=."""
        return len(self.log())

    def wait_event(self, test, what, since=0, timeout=10.0):
        """Wait for an event that passes test; returns it."""
        deadline = time.monotonic() + timeout
        seen = since
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                tail = "\n".join(json.dumps({k: v for k, v in e.items() if k not in ("node", "metadata")})
                                 for e in self.log()[-30:])
                raise WaitTimeout(f"not within {timeout:g} s: {what}; the record ends:\n{tail}")
            for found in self.log(seen, int(min(left, 1.0) * 1000)):
                if test(found):
                    return found
                seen = found["seq"] + 1

    def wait_request(self, kind, test=lambda e: True, what="a request", since=0, timeout=10.0):
        url = type_url(kind)
        return self.wait_event(
            lambda e: e["kind"] == "request" and e.get("type_url") == url and test(e),
            f"{what} for {url}", since, timeout)

    def wait_ack(self, kind, since=0, timeout=10.0, response=None):
        """Wait until the last response of that type (or the given one) is accepted; the ACK."""
        return self._wait_answer(kind, since, timeout, response, lambda e: not e.get("error"), "an ACK")

    def wait_nack(self, kind, since=0, timeout=10.0, response=None):
        """Wait until it is refused; the NACK, whose text is under "error"."""
        return self._wait_answer(kind, since, timeout, response, lambda e: e.get("error"), "a NACK")

    def _wait_answer(self, kind, since, timeout, response, test, what):
        url = type_url(kind)
        if response is None:
            # The one that is out, or still to come: a change is sent a moment after it is set.
            response = self.wait_event(
                lambda e: e["kind"] == "response" and e.get("type_url") == url,
                f"a response for {url}", since, timeout)
            later = [e for e in self.log(response["seq"] + 1)
                     if e["kind"] == "response" and e.get("type_url") == url]
            response = later[-1] if later else response
        return self.wait_request(
            url, lambda e: e.get("nonce") == response["nonce"] and e["stream"] == response["stream"] and test(e),
            f"{what} of nonce {response['nonce']}", response["seq"], timeout)

    def requests(self, kind, since=0):
        url = type_url(kind)
        return [e for e in self.log(since) if e["kind"] == "request" and e.get("type_url") == url]

    def responses(self, kind, since=0):
        url = type_url(kind)
        return [e for e in self.log(since) if e["kind"] == "response" and e.get("type_url") == url]
