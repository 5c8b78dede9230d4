"""An idle server uses no processor time."""

from __future__ import annotations

import time


def test_an_idle_server_uses_no_processor_time(server):
    """0.0 % over ten seconds: less than a hundredth of a second in the gateway and all its processes."""
    processes = server.processes()
    time.sleep(1)

    def used():
        return sum(sum(p.cpu_times()[:2]) for p in processes)

    before = used()
    time.sleep(10)

    assert used() - before < 0.01 * len(processes)
