"""What somebody says of answers: read item by item, so that a wrong one harms no other. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import attrs
import msgspec
from msgspec import UNSET, Meta, UnsetType

from prism_core.errors import AnswerJudged, AnswerNotFound, InvalidInput, MalformedBody, PrismError
from prism_core.gateway.traffic.journal import Row
from prism_core.gateway.traffic.kinds import Remembered
from prism_core.traffic.rewards import predictions_of, reward_of, same

# In one request.
MAX_ITEMS = 1_000
# Of refused items so many are told one by one.
MAX_TOLD = 100

LINES = frozenset(
    {"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"}
)
_EXAMPLE = 'For instance {"request_id": "...", "label": "yes"}, a list of these, or one a line as NDJSON.'


class Item(msgspec.Struct, forbid_unknown_fields=True):
    """Feedback about one answer: exactly one of ``label``, ``labels``, ``reward`` and ``correct``.

    ``model`` is needed only where an X-Request-Id was used for several.
    """

    request_id: Annotated[str, Meta(min_length=1, max_length=128)]
    model: Annotated[str, Meta(max_length=200)] = ""
    label: Any = UNSET
    labels: list[Any] | UnsetType = UNSET
    reward: Annotated[float, Meta(ge=0, le=1)] | UnsetType = UNSET
    correct: bool | UnsetType = UNSET

    def __post_init__(self) -> None:
        """Refuse what says nothing, or two things."""
        said = [name for name in ("label", "labels", "reward", "correct") if getattr(self, name) is not UNSET]
        if len(said) != 1:
            raise ValueError(
                f"Give one of label, labels, reward and correct, not {' and '.join(said) or 'none'}"
            )


@attrs.frozen
class Refused:
    """An item that counts for nothing, and why."""

    index: int
    request_id: str
    error: PrismError


# Finds answers by their X-Request-Id; whether whoever sends feedback may judge one; a model's tolerance.
Find = Callable[[str], Sequence[Row]]
May = Callable[[Remembered], bool]
Tolerance = Callable[[str], float]

_list = msgspec.json.Decoder(list[msgspec.Raw])
_item = msgspec.json.Decoder(Item)


def pieces_of(body: bytes, media_type: str) -> tuple[list[bytes], bool]:
    """Return the items of a body, unread, and whether it was one object alone.

    Raises
    ------
    MalformedBody
        If it is no JSON.
    InvalidInput
        If it holds nothing, or too much.
    """
    kind, start = media_type.partition(";")[0].strip().lower(), body.lstrip()[:1]
    if kind in LINES:
        pieces, alone = [line for line in body.splitlines() if line.strip()], False
    elif start == b"[":
        pieces, alone = _listed(body), False
    else:
        pieces, alone = [body], True
    if not 0 < len(pieces) <= MAX_ITEMS:
        raise InvalidInput(
            f"The body has {len(pieces)} items, and a request may have 1 to {MAX_ITEMS}.",
            hint="Send them in several requests.",
        )
    return pieces, alone


def _listed(body: bytes) -> list[bytes]:
    try:
        return [bytes(raw) for raw in _list.decode(body)]
    except (msgspec.MsgspecError, RecursionError):
        raise MalformedBody("The body is no list in JSON.", hint=_EXAMPLE) from None


def read(piece: bytes) -> Item:
    """Read one item.

    Raises
    ------
    MalformedBody, InvalidInput
        If it is no JSON, or is not what an item is. Labels are not quoted: they are nobody else's business.
    """
    try:
        return _item.decode(piece)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"This is no feedback: {error}.", hint=_EXAMPLE) from None
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise MalformedBody("The feedback is no JSON.", hint=_EXAMPLE) from None


def meant(item: Item, rows: Sequence[Row], may: May) -> Row:
    """Return the answer that an item is about.

    Raises
    ------
    AnswerNotFound
        If none is remembered; the same where there is one that its sender may not judge.
    InvalidInput
        If there are several.
    """
    found = [row for row in rows if may(row.answer) and item.model in ("", row.answer.model)]
    if not found:
        raise AnswerNotFound(
            f"No answer with the X-Request-Id {item.request_id!r} is remembered.",
            hint="Answers are, for a while, where a model's route has feedback, a bandit or an experiment.",
        )
    if len(found) > 1:
        models = ", ".join(sorted(row.answer.model for row in found))
        raise InvalidInput(
            f"The X-Request-Id {item.request_id!r} was used for several models: {models}.",
            hint='Say which one is meant: "model": "...".',
        )
    return found[0]


def worth(item: Item, row: Row, tolerance: float) -> float:
    """Return the reward that an item says an answer was worth.

    Raises
    ------
    InvalidInput
        If its labels cannot be compared with what is remembered.
    """
    if item.reward is not UNSET:
        return item.reward
    if item.correct is not UNSET:
        return float(item.correct)
    predictions = predictions_of(row.answer.media_type, row.answer.answer, row.answer.output)
    labels = [item.label] if item.labels is UNSET else item.labels
    return reward_of(predictions, labels, tolerance)


@attrs.define
class Verdicts:
    """What comes of feedback, item by item.

    Attributes
    ----------
    rewards
        What answers are worth, those that are new; by the place of their rows.
    repeated
        How many items said what was said before.
    refused
        The others.
    """

    rewards: dict[int, tuple[Row, float]] = attrs.field(factory=dict)
    repeated: int = 0
    refused: list[Refused] = attrs.field(factory=list)

    def take(self, index: int, piece: bytes, find: Find, may: May, tolerance: Tolerance) -> None:
        """Take one item."""
        request = ""
        try:
            item = read(piece)
            request = item.request_id
            row = meant(item, find(request), may)
            self._judge(row, worth(item, row, tolerance(row.answer.model)))
        except PrismError as error:
            self.refused.append(Refused(index, request, error))
        except RecursionError:
            self.refused.append(Refused(index, request, InvalidInput("The label is nested too deeply.")))

    def _judge(self, row: Row, reward: float) -> None:
        before = self.rewards[row.seq][1] if row.seq in self.rewards else row.reward
        if before is None:
            self.rewards[row.seq] = (row, reward)
        elif same(before, reward):
            self.repeated += 1
        else:
            raise AnswerJudged(
                f"The answer with the X-Request-Id {row.answer.request!r} was judged before, and otherwise.",
                hint="The first judgement counts. Use a new X-Request-Id for each request.",
            )

    def take_back(self) -> list[int]:
        """Forget the refusals of answers that are not remembered; return the places of their items."""
        again = [one.index for one in self.refused if isinstance(one.error, AnswerNotFound)]
        self.refused = [one for one in self.refused if one.index not in again]
        return again

    def document(self) -> dict[str, Any]:
        """Return what is answered."""
        told = [
            {
                "index": one.index,
                "request_id": one.request_id,
                "code": one.error.code,
                "detail": one.error.message,
                "hint": one.error.hint,
            }
            for one in sorted(self.refused, key=lambda one: one.index)[:MAX_TOLD]
        ]
        counts = {"judged": len(self.rewards), "repeated": self.repeated, "refused": len(self.refused)}
        return counts | {"errors": told}
