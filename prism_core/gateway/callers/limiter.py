"""How often a request may come: by address, by link, by model, by key, and how many in all.

A limit is a policy (how often) and a subject (whose bucket): ``203.0.113.7``, ``lan``,
``churn``, ``key:ab12cd34``. The address is asked before anything else, so that guessing keys
costs requests too. The others are asked together: what one of them refuses takes nothing
from the rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from prism_core.errors import PrismError
from prism_core.gateway.callers.addresses import REMEMBERED, subject_of
from prism_core.gateway.callers.buckets import Buckets
from prism_core.gateway.callers.policies import Policy, quota_lines, quota_refusal
from prism_core.protocols import Spending
from prism_core.rates import Rate
from prism_core.specs import Call, Caller, model_of

KINDS = ("address", "link", "model", "key")
# Beside those: what says whether the store works.
PROBED = "probe"


class Uses(Protocol):
    """Keeps what callers have used in all."""

    def spent(self, caller: str) -> int:
        """Return what a caller has used."""

    def spend(self, caller: str, count: int = 1) -> None:
        """Count some more."""


class Limiter:
    """Counts what addresses, links, models and callers have had.

    Parameters
    ----------
    rates
        By name of the policy; one that is missing is no limit.
    models
        Rates of single models.
    serves
        Whether something of a name is served; what is not is no model's, and needs no bucket.
    link
        The link that the public listener is.
    quota
        Of callers without one of their own; 0 is none.
    uses
        What callers have used of their quotas; None where it is not kept.
    clock
        Monotonic seconds.

    Attributes
    ----------
    buckets
        By name of the policy.
    outage
        Why nobody is let in; None mostly.
    """

    def __init__(
        self,
        rates: Mapping[str, Rate] | None = None,
        *,
        models: Mapping[str, Rate] | None = None,
        serves: Callable[[str], bool] = bool,
        link: str = "lan",
        quota: int = 0,
        uses: Uses | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        policies = {name: Policy.of(name, rate) for name, rate in (rates or {}).items()}
        self.buckets = {name: Buckets() for name in (*KINDS, PROBED)}
        self.outage: PrismError | None = None
        self._news: dict[tuple[str, str], tuple[float, int]] | None = None
        self._arrived: Callable[[], None] = lambda: None
        self._address = policies.get("address")
        self._link = policies.get("link")
        self._model = policies.get("model")
        self._models = {name: Policy.of("model", rate) for name, rate in (models or {}).items()}
        self._serves = serves
        self._limits_models = bool(self._models) or self._model is not None
        self._key = policies.get("key")
        self._own: dict[str, tuple[Rate, Policy]] = {}
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
            If it asks too often; nothing is counted then. Or the `outage` that there is.
        """
        if self.outage is not None:
            raise self.outage
        policy = self._address
        if policy is None:
            return b""
        subject = self._subjects.get(client) or self._subject_of(client)
        now = self._clock()
        ahead_s = self._ask(policy, "address", subject, now)
        self._spend(policy, "address", subject, now, ahead_s)
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
            ahead_s = self._ask(self._link, "link", self._subject, now)
            asked.append((self._link, "link", self._subject, ahead_s))
        if predicts and self._limits_models and self._serves(call.model):
            model = model_of(call.model)
            policy = self._models.get(model, self._model)
            if policy is not None:
                asked.append((policy, "model", model, self._ask(policy, "model", model, now)))
        lines = b""
        if caller.id:
            policy = self._policy(caller)
            if policy is not None:
                ahead_s = self._ask(policy, "key", caller.id, now)
                asked.append((policy, "key", caller.id, ahead_s))
                lines = policy.lines(ahead_s)
            if predicts:
                lines += self._count(caller)
        for policy, kind, subject, ahead_s in asked:
            self._spend(policy, kind, subject, now, ahead_s)
        return lines

    def give_back(self, call: Call) -> None:
        """Take back from a quota a call that was turned away; from no rate, as it was asked."""
        if self._uses is not None and call.caller.id and call.verb == "predict":
            self._uses.spend(call.caller.id, -1)

    def _ask(self, policy: Policy, kind: str, subject: str, now: float) -> float:
        """Return how far from full a bucket is with one request less, or raise that there is none in it."""
        ahead_s = self.buckets[kind].ahead_s(subject, now)
        if ahead_s > policy.pace.most_s:
            raise policy.refusal(ahead_s)
        return ahead_s + policy.pace.interval_s

    def _spend(self, policy: Policy, kind: str, subject: str, now: float, ahead_s: float) -> None:
        self.buckets[kind].set_ahead(subject, now, ahead_s)
        if self._news is not None:
            self._note(kind, subject, policy.pace.interval_s, 1)

    def _policy(self, caller: Caller) -> Policy | None:
        rate = caller.limits.rate
        if rate is None:
            return self._key
        known = self._own.get(caller.id)
        if known is None or (known[0] is not rate and known[0] != rate):
            known = self._learn_rate(caller.id, rate)
        return known[1]

    def _count(self, caller: Caller) -> bytes:
        """Count a prediction to the caller's quota; what is used is kept where there is none, too."""
        uses, quota = self._uses, caller.limits.quota
        if uses is None:
            return b""
        if quota is None:
            quota = self._quota
        used = uses.spent(caller.id) if quota else 0
        if quota and used >= quota:
            raise quota_refusal(quota, used)
        uses.spend(caller.id)
        return quota_lines(quota, used + 1) if quota else b""

    # --- with others -----------------------------------------------------------------

    @property
    def has_news(self) -> bool:
        """Whether requests were let in that nobody has been told of."""
        return bool(self._news)

    def share(self, arrived: Callable[[], None]) -> None:
        """Keep news from now on; ``arrived`` is called when there are some and were none before."""
        self._news, self._arrived = {}, arrived

    def take_news(self, most: int) -> list[Spending]:
        """Return what was let in since this was last asked, of at most so many buckets."""
        news: list[Spending] = []
        while self._news and len(news) < most:
            (kind, subject), (interval_s, count) = self._news.popitem()
            news.append(Spending(f"{kind}/{subject}", interval_s, count))
        return news

    def learn(self, told: Iterable[tuple[Spending, float]]) -> None:
        """Take over how far shared buckets are from full; what was let in since is still to be told."""
        now, news = self._clock(), self._news or {}
        for spending, ahead_s in told:
            kind, _, subject = spending.subject.partition("/")
            interval_s, count = news.get((kind, subject), (0.0, 0))
            ahead_s += interval_s * count
            # Further than what is known here it can only be if others have asked too.
            if ahead_s > self.buckets[kind].ahead_s(subject, now):
                self.buckets[kind].set_ahead(subject, now, ahead_s)

    def spend(self, spendings: Iterable[Spending]) -> list[float]:
        """Be the store of another gateway: see `RateStore.spend`."""
        now, ahead_s = self._clock(), []
        for spending in spendings:
            kind, _, subject = spending.subject.partition("/")
            buckets = self.buckets[kind]
            ahead_s.append(buckets.ahead_s(subject, now) + spending.interval_s * spending.count)
            if spending.count:
                buckets.set_ahead(subject, now, ahead_s[-1])
                if self._news is not None:
                    self._note(kind, subject, spending.interval_s, spending.count)
        return ahead_s

    def _note(self, kind: str, subject: str, interval_s: float, count: int) -> None:
        assert self._news is not None
        if not self._news:
            self._arrived()
        known = self._news.get((kind, subject))
        self._news[kind, subject] = (interval_s, count + (known[1] if known else 0))

    # --- what is known ---------------------------------------------------------------

    def _subject_of(self, client: str) -> str:
        if len(self._subjects) >= REMEMBERED:  # a hostile client may have many addresses
            self._subjects.clear()
        subject = self._subjects[client] = subject_of(client)
        return subject

    def _learn_rate(self, caller: str, rate: Rate) -> tuple[Rate, Policy]:
        if len(self._own) >= REMEMBERED:
            self._own.clear()
        kind = "link" if caller.startswith("link:") else "key"
        known = self._own[caller] = (rate, Policy.of(kind, rate))
        return known
