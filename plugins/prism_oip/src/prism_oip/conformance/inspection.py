"""Look at a server as a user wishes it: open what carries requests, find what there is, try the checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

import attrs

from prism_oip.conformance.check import Check
from prism_oip.conformance.discovery import advertised, described, known_models, prepared
from prism_oip.conformance.exchange import Answer, Request
from prism_oip.conformance.rest import open_rest
from prism_oip.conformance.running import Ask, Outcome, drive, run
from prism_oip.conformance.subject import Model, Subject
from prism_oip.conformance.tensors import Tensor

# What is asked where models are managed.
MANAGED = frozenset({"model_repository"})


@attrs.frozen
class Wish:
    """What a user asks for.

    Parameters
    ----------
    url
        The server's, without ``/v2``.
    models
        The names of models to ask; none for those that the server tells.
    inputs
        A request that they take; none for one that is made from the metadata.
    extensions
        What counts as advertised, too.
    headers, admin_headers
        What is sent with each request, and with each to ``admin``.
    ca, grpc_ca
        Certificates to trust, as PEM, by REST and by gRPC; "" for those of the machine.
    grpc
        Where gRPC is asked.
    admin
        Where models are managed, if not at ``url``.
    write
        Whether they may be loaded and unloaded.
    """

    url: str
    models: tuple[str, ...] = ()
    inputs: tuple[Tensor, ...] = ()
    extensions: tuple[str, ...] = ()
    headers: Mapping[str, str] = attrs.field(factory=dict)
    admin_headers: Mapping[str, str] = attrs.field(factory=dict)
    timeout_s: float = 10.0
    ca: str = ""
    grpc_ca: str = ""
    grpc: str | None = None
    admin: str | None = None
    write: bool = False


async def inspected(wish: Wish, checks: Sequence[Check], tell: Callable[[str], None]) -> list[Outcome]:
    """Look at a server and try checks on it.

    Raises
    ------
    ImportError
        If gRPC is asked for and not installed.
    """
    async with AsyncExitStack() as opened:
        rest = await opened.enter_async_context(open_rest(wish.url, wish.timeout_s, wish.headers, wish.ca))
        admin = await opened.enter_async_context(
            open_rest(wish.admin or wish.url, wish.timeout_s, wish.admin_headers, wish.ca)
        )
        call = (await opened.enter_async_context(_by_grpc(wish))).ask if wish.grpc else None

        async def ask(request: Request) -> Answer:
            return await (admin if request.managing else rest).ask(request)

        return await run(checks, await found(wish, ask), ask, call, tell)


def _by_grpc(wish: Wish) -> AbstractAsyncContextManager[Any]:
    from prism_oip.conformance.rpc import open_rpc

    return open_rpc(wish.grpc or "", wish.timeout_s, wish.headers, wish.grpc_ca)


async def found(wish: Wish, ask: Ask) -> list[Subject]:
    """Find what there is to ask: a subject for each model, one without a model where there is none."""
    extensions = await drive(advertised(), ask, [])
    if wish.admin:
        extensions |= MANAGED & await drive(advertised(managing=True), ask, [])
    names = wish.models or await drive(known_models(), ask, [])
    common = Subject(extensions | set(wish.extensions), names, write=wish.write)
    subjects: list[Subject] = []
    for name in names:
        model: Model = await drive(described(name), ask, [])
        subject = attrs.evolve(common, model=model)
        subjects.append(await drive(prepared(subject, wish.inputs), ask, []))
    return subjects or [attrs.evolve(common, reason="no model is known: name one with --model NAME")]
