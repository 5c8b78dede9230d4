"""The one door for predictions: REST, gRPC, jobs and graphs all come through here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from prism_core.errors import PrismError
from prism_core.gateway.prediction import Head, OnAnswer, Prediction
from prism_core.gateway.traffic.askable import Askable, Pending
from prism_core.gateway.traffic.sender import AskSender, nobody


class Lanes(Protocol):
    """What the service needs of the registry.

    ``lanes`` maps references (``churn``, ``churn@champion``, ``churn/3``) to lanes, a model's own to its
    route where it has one, and is replaced whole, never changed in place.
    """

    @property
    def lanes(self) -> Mapping[str, Askable]:
        """What can be asked, by reference."""

    def explain(self, reference: str) -> PrismError:
        """Return why there is no lane for ``reference``."""


class PredictService:
    """Finds the lane and asks it."""

    def __init__(self, registry: Lanes) -> None:
        self._registry = registry

    def meant(self, reference: str) -> str:
        """Return the reference to a model that ``reference`` is, "" where it is none."""
        return reference

    def lane(self, reference: str) -> Askable:
        """Return the lane of an alias or a version, and of a model its lane or its route.

        Raises
        ------
        ModelNotFound
            If nothing of that name is being served.
        """
        lane = self._registry.lanes.get(reference)
        if lane is None:
            raise self._registry.explain(reference)
        return lane

    def ask(
        self,
        reference: str,
        head: Head,
        body: bytes | memoryview,
        timeout_s: float,
        answer: OnAnswer,
        request: str = "",
        sender: AskSender = nobody,
    ) -> Pending | None:
        """Begin a prediction; see `Lane.ask`. Raises `ModelNotFound` at once."""
        return self.lane(reference).ask(head, body, timeout_s, answer, request, sender)

    async def predict(
        self,
        reference: str,
        body: bytes,
        *,
        media_type: str = "",
        accept: str = "",
        query: str = "",
        style: str = "",
        timeout_s: float = 0.0,
        no_store: bool = False,
    ) -> Prediction:
        """Return the answer of ``reference`` to ``body``; see `Lane.predict`."""
        head = Head(media_type, accept, query, style, cached=not no_store)
        return await self.lane(reference).predict(head, body, timeout_s)
