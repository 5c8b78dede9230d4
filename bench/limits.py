"""What limits cost a request: ``python -m bench.limits``.

The door is asked as `rest.shortcut` asks it, by one address and by very many, and told to
refuse; then the memory of as many addresses as are remembered. `bench.budget` has the
request around it.
"""

from __future__ import annotations

import itertools
import tracemalloc

from bench.budget import measure, table
from prism_core.errors import RateLimited
from prism_core.gateway.callers.addresses import Proxies
from prism_core.gateway.callers.buckets import SUBJECTS
from prism_core.gateway.callers.door import Door
from prism_core.gateway.callers.limiter import Limiter
from prism_core.rates import Allowance, Rate
from prism_core.rest.errors import problem_response
from prism_core.specs import Caller

FREE, RARE = Rate.parse("10000000/s"), Rate.parse("1/h")
HEADERS = {"host": "127.0.0.1:8000", "content-type": "application/json", "x-forwarded-for": "203.0.113.7"}


class Known:
    """Knows one caller: what recognising a key costs is not counted here."""

    def __init__(self, limits: Allowance) -> None:
        self._caller = Caller("key:ab12cd34", limits=limits)

    def of(self, headers: object) -> Caller:
        """Return the caller."""
        return self._caller


class Used(dict[str, int]):
    """Totals of callers."""

    def spent(self, caller: str) -> int:
        """Return a total."""
        return self.get(caller, 0)

    def spend(self, caller: str) -> None:
        """Count one."""
        self[caller] = self.get(caller, 0) + 1


def shared(limiter: Limiter) -> Limiter:
    """Let it keep news, as for a store."""
    limiter.share(lambda: None)
    return limiter


def enter(door: Door) -> float:
    """Return the microseconds of letting one in."""
    return measure(lambda: door.enter("logistic", "predict", HEADERS, "127.0.0.1", 70))


def admitted() -> dict[str, float]:
    """Return what a request costs that comes in, by what is configured."""
    nothing = enter(Door(guards=[]))
    doors = {
        "rates.address": Door(limiter=Limiter({"address": FREE})),
        "rates.address, shared with others": Door(limiter=shared(Limiter({"address": FREE}))),
        "rates.model": Door(limiter=Limiter({"model": FREE})),
        "rates.address, model and link": Door(
            limiter=Limiter({"address": FREE, "model": FREE, "link": FREE})
        ),
        "a key with a rate and a quota": Door(
            identity=Known(Allowance(FREE, 10**9)), limiter=Limiter(uses=Used())
        ),
        "trusted_proxies": Door(addresses=Proxies(["127.0.0.1"])),
        "all of them": Door(
            addresses=Proxies(["127.0.0.1"]),
            identity=Known(Allowance(FREE, 10**9)),
            limiter=Limiter({"address": FREE, "model": FREE, "link": FREE}, uses=Used()),
        ),
    }
    return {"(a door that asks nothing)": nothing} | {
        name: enter(door) - nothing for name, door in doors.items()
    }


def refused() -> dict[str, float]:
    """Return what a request costs that does not come in, its answer included."""
    door = Door(limiter=Limiter({"address": RARE}))
    enter_once(door)

    def refuse() -> None:
        try:
            enter_once(door)
        except RateLimited as error:
            problem_response(error)

    return {"a refusal, rendered": measure(refuse)}


def enter_once(door: Door) -> None:
    """Ask to be let in."""
    door.enter("logistic", "predict", HEADERS, "127.0.0.1", 70)


def made_up() -> dict[str, float]:
    """Return what a request of a new address costs, and what all that are remembered take."""
    limiter = Limiter({"address": Rate.parse("1/h")})
    numbers = itertools.count()
    tracemalloc.start()
    for _ in range(10 * SUBJECTS):
        limiter.knock(f"2001:db8:{next(numbers):x}::1")
    taken_mb = tracemalloc.get_traced_memory()[0] / 1024 / 1024
    tracemalloc.stop()
    return {
        "an IPv6 address that is new": measure(lambda: limiter.knock(f"2001:db8:{next(numbers):x}::1")),
        f"(memory of the {len(limiter.buckets['address'])} that are remembered, MB)": taken_mb,
    }


if __name__ == "__main__":
    print(table(admitted() | refused() | made_up()))
