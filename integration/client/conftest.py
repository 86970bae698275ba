"""What the tests of the gRPC client share."""

import pytest

from harness import grpc_peer


@pytest.fixture(scope="session")
def binary():
    path = grpc_peer.build()
    if path is None:
        pytest.fail("no build tree to make client-grpc_client_peer in; or set NUNCIO_GRPC_PEER")
    return path
