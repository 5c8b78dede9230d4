"""How often a request may come: by address, by link, by model, by key, and how many in all.

A limit is a policy (how often) and a subject (whose bucket): ``203.0.113.7``, ``link:lan``,
``churn``, ``key:ab12cd34``. The address is asked before anything else, so that guessing keys
costs requests too. The others are asked together: what one of them refuses takes nothing
from the rest.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Protocol

from prism_core.errors import RateLimited
from prism_core.gateway.callers.addresses import REMEMBERED, subject_of
from prism_core.gateway.callers.buckets import Buckets
from prism_core.gateway.callers.policies import Policy, quota_lines, quota_refusal
from prism_core.rates import Rate
from prism_core.specs import Call, Caller, model_of

KINDS = ("address", "link", "model", "key")


class Uses(Protocol):
    """Keeps what callers have used in all."""

    def spent(self, caller: str) -> int:
        """Return what a caller has used."""

    def spend(self, caller: str) -> None:
        """Count one."""


class Limiter:
    """Counts what addresses, links, models and callers have had.

    Parameters
    ----------
    rates
        By name of the policy; one that is missing is no limit.
    models
        Rates of single models.
    link
        The subject of the public listener.
    quota
        Of callers without one of their own; 0 is none.
    uses
        What callers have used of their quotas; None where there are no callers.
    clock
        Monotonic seconds.

    Attributes
    ----------
    buckets
        By name of the policy.
    refused
        How many requests each sort of limit has refused.
    """

    def __init__(
        self,
        rates: Mapping[str, Rate] | None = None,
        *,
        models: Mapping[str, Rate] | None = None,
        link: str = "link:lan",
        quota: int = 0,
        uses: Uses | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        policies = {name: Policy.of(name, rate) for name, rate in (rates or {}).items()}
        self.buckets = {name: Buckets() for name in KINDS}
        self.refused: Counter[str] = Counter()
        self._address = policies.get("address")
        self._link = policies.get("link")
        self._model = policies.get("model")
        self._models = {name: Policy.of("model", rate) for name, rate in (models or {}).items()}
        self._limits_models = bool(self._models) or self._model is not None
        self._key = policies.get("key")
        self._own: dict[Rate, Policy] = {}
        self._uses = uses
        self._quota = quota
        self._subject = link
        self._clock = clock
        self._subjects: dict[str, str] = {}

    def knock(self, client: str) -> bytes:
        """Count a request of an address, and return header lines for its answer.

        Raises
        ------
        RateLimited
            If it asks too often; nothing is counted then.
        """
        policy = self._address
        if policy is None:
            return b""
        subject = self._subjects.get(client) or self._learn(client)
        now = self._clock()
        buckets, _, ahead_s = self._ask(policy, "address", subject, now)
        buckets.spend(subject, now, ahead_s)
        return policy.lines(ahead_s)

    def admit(self, call: Call) -> bytes:
        """Count a call of a caller, and return header lines for its answer.

        What the link or the model has left is not told: it would say how much others ask.

        Raises
        ------
        RateLimited
            If it comes too often, or the caller's quota is used up; nothing is counted then.
        """
        now, caller = self._clock(), call.caller
        predicts = call.verb == "predict"
        asked = []
        if self._link is not None:
            asked.append(self._ask(self._link, "link", self._subject, now))
        if predicts and self._limits_models:
            model = model_of(call.model)
            policy = self._models.get(model, self._model)
            if policy is not None:
                asked.append(self._ask(policy, "model", model, now))
        lines = b""
        if caller.id:
            policy = self._policy(caller)
            if policy is not None:
                asked.append(self._ask(policy, "key", caller.id, now))
                lines = policy.lines(asked[-1][2])
            if predicts:
                lines += self._count(caller)
        for buckets, subject, ahead_s in asked:
            buckets.spend(subject, now, ahead_s)
        return lines

    def _ask(self, policy: Policy, kind: str, subject: str, now: float) -> tuple[Buckets, str, float]:
        """Return how far from full a bucket is with one request less, or raise that there is none in it."""
        buckets = self.buckets[kind]
        ahead_s = buckets.ahead_s(subject, now)
        if ahead_s > policy.pace.most_s:
            raise self._refused(policy.refusal(ahead_s))
        return buckets, subject, ahead_s + policy.pace.interval_s

    def _policy(self, caller: Caller) -> Policy | None:
        rate = caller.limits.rate
        if rate is None:
            return self._key
        return self._own.get(rate) or self._learn_rate(rate)

    def _count(self, caller: Caller) -> bytes:
        """Count a prediction to the caller's quota; what is used is kept where there is none, too."""
        uses, quota = self._uses, caller.limits.quota
        if uses is None:
            return b""
        if quota is None:
            quota = self._quota
        used = uses.spent(caller.id) if quota else 0
        if quota and used >= quota:
            raise self._refused(quota_refusal(quota, used))
        uses.spend(caller.id)
        return quota_lines(quota, used + 1) if quota else b""

    def _refused(self, error: RateLimited) -> RateLimited:
        self.refused[error.details["limit"]] += 1
        return error

    def _learn(self, client: str) -> str:
        if len(self._subjects) >= REMEMBERED:  # a hostile client may have many addresses
            self._subjects.clear()
        subject = self._subjects[client] = subject_of(client)
        return subject

    def _learn_rate(self, rate: Rate) -> Policy:
        if len(self._own) >= REMEMBERED:
            self._own.clear()
        policy = self._own[rate] = Policy.of("key", rate)
        return policy
