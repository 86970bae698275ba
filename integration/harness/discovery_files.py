"""Discovery files that a proxy watches."""

import json
import os


class Files:
    """The discovery files; each put() writes a version that differs from the last."""

    def __init__(self, path):
        self.path = path
        self.version = 0

    def put(self, name, type_url, *resources):
        self.version += 1
        fresh = self.path / f".{name}.new"
        fresh.write_text(json.dumps({"version_info": str(self.version),
                                     "resources": [{"@type": type_url, **r} for r in resources]}))
        os.replace(fresh, self.path / name)

    def source(self, name):
        return {"path_config_source": {"path": str(self.path / name)}, "resource_api_version": "V3"}
