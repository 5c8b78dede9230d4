"""Calls that may have ended their replica, asked again alone: one at a time, with nothing beside them.

A lost replica's calls are asked again together, because most replicas are lost to something
else. One that was alone on a lost replica, or has lost two, is under suspicion: whatever it
is asked together with might pay for it. So a replica is kept apart until those calls have
been asked one by one. Whoever loses that one too is what ends replicas, and fails; all
others are answered, whatever they were beside.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from prism_core.gateway.client import ReplicaClient

if TYPE_CHECKING:
    from prism_core.gateway.asking import Asking
    from prism_core.gateway.lane import Lane

# How often it is looked whether a replica that is to be kept apart has answered what it had.
LOOK_S = 0.005


class Trials:
    """The trials of one lane.

    Parameters
    ----------
    lane
        Gives a replica, and takes it back.

    Attributes
    ----------
    waiting
        Calls that are to be asked alone, in order.
    """

    def __init__(self, lane: Lane) -> None:
        self.waiting: dict[Asking, None] = {}
        self._lane = lane
        self._client: ReplicaClient | None = None
        self._asked = False
        self._timer: asyncio.TimerHandle | None = None

    def add(self, asking: Asking) -> None:
        """Let a call be asked alone, when it is its turn."""
        self.waiting[asking] = None
        self.go_on()

    def take(self, client: ReplicaClient) -> bool:
        """Keep a new replica apart, if calls wait for one."""
        if self._client is not None or not self.waiting:
            return False
        self._client = client
        self.go_on()
        return True

    def remove(self, client: ReplicaClient) -> None:
        """Let go of a replica that is lost or is to end; what it was asked goes on."""
        if self._client is client:
            self._client, self._asked = None, False
            self.go_on()

    def answered(self, client: ReplicaClient) -> None:
        """Hear that the call which a replica was asked has come to its end."""
        if self._client is client:
            self._asked = False
            self.go_on()

    def go_on(self) -> None:
        """Ask the next one, or give the replica back."""
        if self._asked or not (self.waiting or self._client):
            return
        client = self._client
        if client is None:
            client = self._client = self._lane.set_apart()
            self._lane.troubles.spare()  # not before: what is taken back then would be kept apart, too
        if client is None:
            self._lane.wake_up()
        elif not self.waiting:
            self._client = None
            self._lane.add(client)
        elif client.in_flight:
            self._look_later()
        else:
            asking = next(iter(self.waiting))
            del self.waiting[asking]
            self._asked = True
            asking.compute_alone(client)

    def _look_later(self) -> None:
        # Nothing tells of it: a word from every answer would cost every prediction, and this is rare.
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def _look(self) -> None:
        self._timer = None
        self.go_on()
