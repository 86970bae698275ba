"""Secrets in files, as control planes and Kubernetes leave them: replaced by renames."""

import json
import os

from . import config as c


class Place:
    """A directory of discovery files, each a list of secrets."""

    def __init__(self, path):
        self.path = path

    def text(self, name, text):
        fresh = self.path / f".{name}.new"
        fresh.write_text(text)
        os.replace(fresh, self.path / name)

    def put(self, name, *secrets, version="1"):
        """Write it whole; the ConfigSource that reads it."""
        full = [{"@type": c.SECRET, **s} for s in secrets]
        self.text(name, json.dumps({"version_info": version, "resources": full}))
        return self.source(name)

    def source(self, name, **more):
        return {"path_config_source": {"path": str(self.path / name), **more}, "resource_api_version": "V3"}


class Mount:
    """A secret as Kubernetes mounts it: tls.pem and tls.key lead through ..data, which is swapped as one."""

    def __init__(self, path, issued):
        self.path = path
        self.count = 0
        path.mkdir()
        self.swap(issued)
        for name in ("tls.pem", "tls.key"):
            (path / name).symlink_to(f"..data/{name}")

    def swap(self, issued, key=None):
        self.count += 1
        made = self.path / f"..{self.count}"
        made.mkdir()
        issued.files(made, "tls")
        if key is not None:
            (made / "tls.key").write_text(key)
        fresh = self.path / "..new"
        fresh.symlink_to(made.name)
        os.rename(fresh, self.path / "..data")

    def certificate(self, **more):
        """The TlsCertificate that names these files."""
        return {"certificate_chain": {"filename": str(self.path / "tls.pem")},
                "private_key": {"filename": str(self.path / "tls.key")}, **more}
