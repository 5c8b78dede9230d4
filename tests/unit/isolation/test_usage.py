"""What the kernel says of a process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from prism_core.isolation.usage import measured, parse_rollup, usage_of

ROLLUP = """\
55b819f79000-7ffe2ea1c000 ---p 00000000 00:00 0                          [rollup]
Rss:              127796 kB
Pss:               34440 kB
Private_Clean:        20 kB
Private_Dirty:     12948 kB
Private_Hugetlb:       0 kB
"""
STAT = "7 (prism:a (b) c) S " + " ".join(str(n) for n in range(4, 53))


def test_own_memory_share_and_processor_time_are_read(tmp_path):
    (tmp_path / "smaps_rollup").write_text(ROLLUP)
    (tmp_path / "stat").write_text(STAT)
    usage = measured(tmp_path)

    assert usage.memory_bytes == (12948 + 20) * 1024
    assert usage.share_bytes == 34440 * 1024
    assert usage.cpu_s == pytest.approx((14 + 15) / 100)


def test_the_heading_of_a_rollup_is_no_size():
    assert set(parse_rollup(ROLLUP)) == {"Rss", "Pss", "Private_Clean", "Private_Dirty", "Private_Hugetlb"}


@pytest.mark.parametrize("linux", [True, False])
def test_a_process_is_measured_until_it_is_gone(monkeypatch, linux):
    if not linux:
        monkeypatch.setattr("prism_core.isolation.usage.measured", _denied)
    command = [sys.executable, "-c", "print('up', flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.stdout.readline()  # before that it may not have become Python yet
        process = psutil.Process(child.pid)
        usage = usage_of(process)
        child.kill()

    assert usage.memory_bytes > 100_000
    assert usage.share_bytes >= usage.memory_bytes
    assert usage_of(process) is None


def _denied(proc: Path):
    raise PermissionError
