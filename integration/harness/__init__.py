"""Real processes, raw sockets and conditions: what every integration test stands on (see ../README.md)."""
