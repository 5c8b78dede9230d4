"""What a route leads to: a version of its model, an alias of it, or another model."""

from __future__ import annotations

from typing import Annotated, Any

import attrs
from msgspec import Meta

NotNegative = Annotated[float, Meta(ge=0)]
Percent = Annotated[float, Meta(ge=0, le=100)]
# A number, or an alias of the route's own model.
VersionName = int | str


@attrs.frozen
class Target:
    """One version: ``version`` of the route's own model, or what ``model`` means.

    Parameters
    ----------
    version
        A number, or an alias.
    model
        A reference: ``rf``, ``rf@champion``, ``rf/3``. Its own route, if it has one, is not followed: a
        route leads to versions, never to another route.
    """

    version: VersionName | None = None
    model: str = ""

    def __attrs_post_init__(self) -> None:
        """Refuse what leads nowhere, or to two places."""
        if (self.version is not None) == bool(self.model):
            raise ValueError("name either a version of the model or another model.")

    def reference(self, own: str) -> str:
        """Return the reference of what it means in a route of the model ``own``."""
        if self.version is None:
            return self.model if "@" in self.model or "/" in self.model else f"{self.model}@latest"
        return f"{own}/{self.version}" if isinstance(self.version, int) else f"{own}@{self.version}"

    @property
    def text(self) -> str:
        """It as people write it: ``3``, ``@champion``, ``rf``, ``rf/3``."""
        return self.model or (str(self.version) if isinstance(self.version, int) else f"@{self.version}")


def target_keys(text: str) -> dict[str, Any]:
    """Return the keys of a target as people write it; see `Target.text`.

    Raises
    ------
    ValueError
        If nothing was written.
    """
    text = text.strip()
    if text.isdecimal():
        return {"version": int(text)}
    if text in ("", "@"):
        raise ValueError("a version is missing: write 3, @champion, rf, rf@champion or rf/3.")
    return {"version": text[1:]} if text.startswith("@") else {"model": text}


@attrs.frozen
class Share(Target):
    """A share of a split, or a member of an ensemble: weights count in relation to each other."""

    weight: NotNegative = 1.0


@attrs.frozen
class Shadow(Target):
    """What is asked too, of so many requests in a hundred, and never answers.

    Its numbers agree with those of the answer that are at most ``tolerance`` apart, or at most so many
    per cent.
    """

    percent: Percent = 100.0
    tolerance: NotNegative = 1e-6
    tolerance_percent: NotNegative = 1.0


@attrs.frozen
class Rule(Target):
    """What answers the requests of which ``when`` is true; see docs/reference/routes.md."""

    when: str = ""


@attrs.frozen
class Fallback(Target):
    """What answers when nothing before it did: a version, or a ``value`` that is sent as JSON."""

    value: Any = None

    def __attrs_post_init__(self) -> None:
        """Refuse what is neither, or both."""
        if self.value is None:
            super().__attrs_post_init__()
        elif self.version is not None or self.model:
            raise ValueError("name either a version or a value.")
