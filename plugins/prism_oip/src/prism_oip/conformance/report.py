"""Tell outcomes: for people, as JSON, and as the XML that continuous integration reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from xml.etree import ElementTree

from prism_oip.conformance.check import REQUIRED, Check
from prism_oip.conformance.exchange import Answer, Call, Exchange, Reply, Request
from prism_oip.conformance.running import FAILS, HOLDS, NOT_OFFERED, UNTRIED, Outcome, counted

# How much of a body is shown as evidence.
MAX_SHOWN = 400
# How many models are named at a check.
MAX_NAMED = 3
MARKS = {HOLDS: "+", FAILS: "x", NOT_OFFERED: "-", UNTRIED: "?"}
SUMS = {HOLDS: "hold", FAILS: "fail", NOT_OFFERED: "not offered", UNTRIED: "untried"}


def conformant(outcomes: Sequence[Outcome]) -> bool:
    """Return whether all that is required, or advertised, holds, and nothing of that could not be asked."""
    return not any(one.counts or one.blocked for one in outcomes)


def lines(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Give the report for people: groups with their checks, then what fails with its evidence."""
    yield from map(shown, _lines(outcomes))


def _lines(outcomes: Sequence[Outcome]) -> Iterator[str]:
    for group in dict.fromkeys(one.check.group for one in outcomes):
        own = [one for one in outcomes if one.check.group == group]
        yield f"{group}: {_summed(own)}"
        yield from (f"  {line}" for line in _asked(own))
        yield from (f"  {line}" for line in _aside(own))
    for alike in _alike(outcomes, FAILS):
        yield ""
        yield from evidence(alike)
    yield ""
    yield _verdict(outcomes)


def _alike(outcomes: Sequence[Outcome], *states: str) -> Iterator[list[Outcome]]:
    """Give what became the same of a check with several models, together."""
    together: dict[tuple[str, str, str], list[Outcome]] = {}
    for one in outcomes:
        if one.state in states:
            together.setdefault((one.check.name, one.state, one.reason), []).append(one)
    yield from together.values()


def _asked(outcomes: Sequence[Outcome]) -> Iterator[str]:
    for alike in _alike(outcomes, HOLDS, FAILS):
        check = alike[0].check
        level = "" if check.level == REQUIRED else f" ({check.level})"
        yield f"{MARKS[alike[0].state]} {_titled(alike)}{level}: {check.sentence}"


def _aside(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Give what was not asked, by the reasons for that."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for alike in _alike(outcomes, NOT_OFFERED, UNTRIED):
        reasons.setdefault((alike[0].state, alike[0].reason), []).append(_titled(alike))
    yield from (f"{MARKS[state]} {reason}: {', '.join(names)}" for (state, reason), names in reasons.items())


def _titled(alike: Sequence[Outcome]) -> str:
    """Return a check's name with the models, the first of many."""
    models = [one.model for one in alike if one.model]
    more = len(models) - MAX_NAMED
    told = ", ".join(models[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
    return alike[0].check.name + (f" [{told}]" if models else "")


def _summed(outcomes: Iterable[Outcome]) -> str:
    return ", ".join(f"{count} {SUMS[state]}" for state, count in counted(outcomes).items() if count)


def _verdict(outcomes: Sequence[Outcome]) -> str:
    wrong = [one for one in outcomes if one.counts]
    if wrong:
        fail = "fails" if len(wrong) == 1 else "fail"
        return f"Not conformant: {len(wrong)} of what is required or advertised {fail}. {_summed(outcomes)}."
    if not conformant(outcomes):
        return f"Not shown: not all could be asked. {_summed(outcomes)}."
    return f"Conformant: all that is required or advertised holds. {_summed(outcomes)}."


def evidence(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Give what was promised and found, sent and came, where a check fails, with one model or several."""
    one = outcomes[0]
    yield f"{_titled(outcomes)} fails, {one.check.level}: {one.check.clause}"
    yield f"  promised  {one.check.sentence}"
    yield f"  expected  {one.expected}"
    yield f"  found     {one.found}"
    if one.exchange is not None:
        yield f"  sent      {sent(one.exchange)}"
        yield f"  came      {came(one.exchange)}"


def sent(exchange: Exchange) -> str:
    """Return what was sent, in one line."""
    request = exchange.sent
    if isinstance(request, Call):
        return f"{request.method} {excerpt(' '.join(str(one) for one in request.messages).encode())}"
    return f"{request.method} /{request.path} {_headers(request)}{excerpt(request.body)}".rstrip()


def _headers(request: Request) -> str:
    told = {name: value for name, value in request.headers.items() if value != "application/json"}
    return "".join(f"{name}: {value}; " for name, value in told.items())


def came(exchange: Exchange) -> str:
    """Return what came, in one line."""
    answer = exchange.came
    if answer.fault:
        return answer.fault
    if isinstance(answer, Reply):
        text = answer.details or " ".join(" ".join(str(one).split()) for one in answer.messages)
        return f"{answer.code} {excerpt(text.encode())}"
    return f"{answer.status} {_media(answer)}{excerpt(answer.body)}".rstrip()


def _media(answer: Answer) -> str:
    return f"{answer.headers['content-type']} " if "content-type" in answer.headers else ""


def excerpt(body: bytes) -> str:
    """Return the beginning of a body so that it can be shown: one line, no control characters."""
    text = shown(body[:MAX_SHOWN].decode("utf-8", "backslashreplace"))
    return text + (f" ... ({len(body)} bytes)" if len(body) > MAX_SHOWN else "")


def shown(text: str) -> str:
    """Return text of a server's so that a terminal shows it and does nothing else."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def as_json(url: str, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the report for programs."""
    return {
        "url": url,
        "conformant": conformant(outcomes),
        "counts": dict(counted(outcomes)),
        "checks": [{**described(one.check), **_became(one)} for one in outcomes],
    }


def described(check: Check) -> dict[str, Any]:
    """Return a check for programs."""
    return {
        "name": check.name,
        "level": check.level,
        "clause": check.clause,
        "extension": check.extension,
        "promises": check.sentence,
    }


def _became(one: Outcome) -> dict[str, Any]:
    told: dict[str, Any] = {"model": one.model, "state": one.state, "reason": one.reason}
    if one.state == FAILS:
        told |= {"expected": one.expected, "found": one.found}
    if one.exchange is not None:
        told |= {"sent": sent(one.exchange), "came": came(one.exchange)}
    return told


def as_junit(outcomes: Sequence[Outcome]) -> bytes:
    """Return the report as JUnit's XML; what is only recommended is skipped where it fails."""
    suite = ElementTree.Element("testsuite", name="prism conformance", tests=str(len(outcomes)))
    for one in outcomes:
        case = ElementTree.SubElement(suite, "testcase", classname=one.check.group, name=_named(one))
        if one.counts:
            failure = ElementTree.SubElement(
                case, "failure", message=shown(f"{one.expected}; found {one.found}")
            )
            failure.text = "\n".join(map(shown, evidence([one])))
        elif one.state != HOLDS:
            ElementTree.SubElement(
                case, "skipped", message=shown(one.reason or f"recommended: {one.expected}")
            )
    text: bytes = ElementTree.tostring(suite, "utf-8", xml_declaration=True)
    return text


def _named(one: Outcome) -> str:
    return shown(f"{one.check.name}[{one.model}]" if one.model else one.check.name)
