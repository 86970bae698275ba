"""The fixture of the tables: a module with LISTENERS has them in every proxy."""

import pytest

from harness.tls_table import Tables


@pytest.fixture(scope="module")
def tables(request, flavours, tmp_path_factory):
    with Tables(flavours, request.module.LISTENERS, tmp_path_factory.mktemp("tls"),
                **getattr(request.module, "OPTIONS", {})) as made:
        yield made
