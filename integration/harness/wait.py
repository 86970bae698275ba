"""Waiting for conditions. Nothing in the tests sleeps for a fixed time: it polls something observable."""

import time


class WaitTimeout(AssertionError):
    """A condition did not become true in time; the message says which."""


def wait_for(condition, what, timeout=10.0, interval=0.005):
    """Call condition() until it returns something true, and return that."""
    deadline = time.monotonic() + timeout
    pause = interval
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise WaitTimeout(f"not within {timeout:g} s: {what() if callable(what) else what}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)
