"""The progress of an upload on stderr: a bar for the bytes, then a spinner for each step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Progress:
    """Shows nothing; what programs get."""

    def sent(self, size: int) -> None:
        """Count bytes that were sent."""

    def step(self, text: str) -> None:
        """Say what the server does now."""


class TerminalProgress(Progress):
    """Shows a bar on a terminal."""

    def __init__(self, bar: Any, task: Any) -> None:
        self._bar = bar
        self._task = task

    def sent(self, size: int) -> None:
        """Move the bar."""
        self._bar.advance(self._task, size)

    def step(self, text: str) -> None:
        """Replace the bar by a spinner with ``text``."""
        self._bar.update(self._task, description=text, total=None)


@contextmanager
def progress_of(name: str, size_bytes: int, *, quiet: bool, verb: str = "Sending") -> Iterator[Progress]:
    """Show progress while the block runs, where stderr is a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield Progress()
        return
    from rich.progress import BarColumn, DownloadColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        DownloadColumn(),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=console, transient=True) as bar:
        yield TerminalProgress(bar, bar.add_task(f"{verb} {name}", total=size_bytes))


@contextmanager
def spinning(title: str, *, quiet: bool) -> Iterator[Callable[[str], None]]:
    """Show a spinner while the block runs, where stderr is a terminal; give what changes its text."""
    from rich.console import Console

    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda _: None
        return
    from rich.progress import Progress as Bar
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda text: bar.update(task, description=text)
