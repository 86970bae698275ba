"""The fixture of this folder: a WideDuel a module."""

import pytest

from harness.wide import WideDuel


@pytest.fixture(scope="module")
def wide(request, flavours, tmp_path_factory):
    """The module defines bootstrap(origins, log) and, if it likes, ORIGINS and EXCUSED."""
    module = request.module
    made = WideDuel(flavours, module.bootstrap, getattr(module, "ORIGINS", ("a", "b")), workdir=tmp_path_factory.mktemp("wide"))
    with made:
        yield made
