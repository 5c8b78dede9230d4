"""Every setting of a server and its default: defaults < prism.yaml < PRISM_* < flags.

The classes are the reference: ``docs/reference/settings.md`` has a heading for each key.
`prism_core.settings_file` reads them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import attrs
from msgspec import Meta

from prism_core.limits import Limits
from prism_core.manifest import Batching
from prism_core.rates import Rate
from prism_core.sizes import Bytes
from prism_core.traffic.flaws import MODEL, Flaw
from prism_core.traffic.route import Route

MB = 1024 * 1024

Port = Annotated[int, Meta(ge=0, le=65535)]
Count = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]


@attrs.frozen
class CacheSettings:
    """Answers kept in memory. Sizes in bytes (``256MB`` in the file), times in seconds."""

    enabled: bool = True
    max_memory: Bytes = 256 * MB
    ttl_s: Seconds = 3600.0
    second_level: str = ""
    second_level_timeout_ms: Annotated[float, Meta(gt=0)] = 4.0


@attrs.frozen
class ModelCacheSettings:
    """What is different for one model; None: as the server has it."""

    enabled: bool | None = None
    ttl_s: Seconds | None = None
    max_memory: Bytes | None = None


@attrs.frozen
class MemorySettings:
    """Memory of all replicas together, in bytes, and when models are loaded and unloaded; 0 is no limit."""

    soft_limit: Bytes = 0
    hard_limit: Bytes = 0
    idle_unload_s: NotNegative = 0.0
    predictive_preload: bool = False


@attrs.frozen
class LimitSettings(Limits):
    """Bounds on what callers may send, and on how long things may take."""

    max_artifact: Bytes = 8192 * MB
    ready_s: Seconds = 120.0
    drain_s: NotNegative = 10.0
    hold_s: Seconds = 30.0
    hang_s: Seconds = 30.0
    timeout_s: Seconds = 30.0
    max_connections: Count = 20_000
    max_head: Annotated[Bytes, Meta(ge=4096)] = 32 * 1024
    max_headers: Count = 100
    max_target: Annotated[Bytes, Meta(ge=2048)] = 8 * 1024
    head_s: Seconds = 10.0
    body_s: Seconds = 20.0
    body_rate: Annotated[Bytes, Meta(ge=1)] = 500
    write_s: Seconds = 30.0
    idle_s: Seconds = 75.0
    optimize_s: Seconds = 300.0
    optimize_memory: Bytes = 4096 * MB

    @property
    def of_readers(self) -> Limits:
        """Those that whatever reads an artifact or a body asks for."""
        return Limits(**{field.name: getattr(self, field.name) for field in attrs.fields(Limits)})


# What may be said of a model that is uploaded, not brought up by the server.
OF_ANY_MODEL = ("cache", "cors", "rate", "access_log_values")


@attrs.frozen
class FeedbackSettings:
    """How much of what was answered is remembered, to be judged by feedback: the oldest goes beyond that."""

    max_size: Bytes = 256 * MB
    max_age_s: Seconds = 30 * 86_400.0


@attrs.frozen
class RateSettings:
    """How often callers may ask, None for no limit; ``quota``: how many predictions in all, 0 for none."""

    address: Rate | None = None
    link: Rate | None = None
    model: Rate | None = None
    key: Rate | None = None
    quota: Annotated[int, Meta(ge=0)] = 0
    store: str = ""
    store_down: Literal["go_on", "refuse"] = "go_on"

    @property
    def strict(self) -> bool:
        """Whether nobody is let in while the store does not answer."""
        return self.store_down == "refuse"


@attrs.frozen
class TlsSettings:
    """Whether the listeners are encrypted, and with what."""

    mode: Literal["off", "self-signed", False] = "off"  # YAML reads a bare `off` as false
    cert: str = ""
    key: str = ""
    client_ca: str = ""


@attrs.frozen
class IsolationSettings:
    """Where models run, and how strictly they are shut in; a text alone is the ``backend``."""

    backend: str = "process"
    sandbox: Literal["required", "best", "off", False] = "best"

    @property
    def wish(self) -> str:
        """The sandbox that is wished for; YAML reads a bare ``off`` as false."""
        return self.sandbox or "off"


@attrs.frozen
class LinkSettings:
    """Whom to tell that links have another address now, and which authority to believe beside the system's.

    ``webhook`` is a URL that is posted to, ``notify`` the owner's desktop, ``ca`` a file.
    """

    webhook: str = ""
    notify: bool = False
    ca: str = ""

    def __attrs_post_init__(self) -> None:
        """Refuse what cannot be posted to, or read."""
        if self.webhook and not self.webhook.startswith(("http://", "https://")):
            raise ValueError("webhook is no URL that begins with http:// or https://.")
        if self.ca and not Path(self.ca).is_file():
            raise ValueError(f"ca is {self.ca!r}, and there is no such file.")


@attrs.frozen
class EnvironmentSettings:
    """Whether models get the packages that they were made with, and what may be done for that."""

    mode: Literal["auto", "server"] = "auto"
    allow_builds: bool = False
    build_s: Seconds = 900.0


def _isolation(value: str | IsolationSettings) -> IsolationSettings:
    return IsolationSettings(value) if isinstance(value, str) else value


@attrs.frozen
class ModelSettings:
    """A model that the server brings up by itself; without a path, what holds for one that was uploaded."""

    path: str = ""
    loader: str = ""
    alias: str = ""
    preload: bool = True
    memory_estimate: Bytes = 0
    memory_limit: Bytes = 0
    replicas: Count = 1
    min_replicas: Annotated[int, Meta(ge=0)] | None = None
    max_replicas: Count | None = None
    idle_unload_s: NotNegative | None = None
    pin: bool = False
    threads: Count = 1
    timeout_s: Seconds = 30.0
    isolation: str = ""
    options: dict[str, Any] = attrs.field(factory=dict)
    batching: Batching = Batching()
    cache: ModelCacheSettings = ModelCacheSettings()
    cors: tuple[str, ...] | None = None
    rate: Rate | None = None
    trust: tuple[str, ...] = ()
    optimize: Literal["", "auto", "off", False] = ""
    environment: Literal["", "auto", "server"] = ""
    requirements: str = ""
    python: str = ""
    access_log_values: Annotated[int, Meta(ge=0, le=65536)] = 0
    description: str = ""

    def __attrs_post_init__(self) -> None:
        """Refuse what would be read by nobody."""
        default = {field.name: field.default for field in attrs.fields(ModelSettings)} | {"options": {}}
        said = {name for name, value in default.items() if getattr(self, name) != value}
        if not self.path and (not said or said.difference(OF_ANY_MODEL)):
            raise ValueError(f"path is required, unless {', '.join(OF_ANY_MODEL)} are all that is set.")


Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]


@attrs.frozen
class OidcSettings:
    """Whose tokens are believed with ``auth: oidc``, and what their claims mean."""

    issuer: str = ""
    audience: tuple[str, ...] = ()
    jwks_url: str = ""
    algorithms: tuple[Algorithm, ...] = ("RS256", "ES256")
    leeway_s: NotNegative = 30.0
    scope_claim: str = "scope"
    predict_scope: str = ""
    read_scope: str = ""
    models_claim: str = ""


@attrs.frozen
class Settings:
    """All settings of one server.

    ``plugins`` in the file holds each extension's own configuration by its name;
    ``load`` names the plugins to load, None for all that are installed.
    """

    host: str = "0.0.0.0"  # the public listener predicts and nothing else; sharing is its purpose
    port: Port = 8000
    admin_host: str = "127.0.0.1"
    admin_port: Port = 8001
    gateways: Count = 1
    auth: Literal["none", "keys", "oidc"] = "none"
    oidc: OidcSettings = OidcSettings()
    data_dir: Path = Path()
    load: tuple[str, ...] | None = None
    isolation: IsolationSettings = attrs.field(default=IsolationSettings(), converter=_isolation)
    link: str = "lan"
    links: LinkSettings = LinkSettings()
    optimize: Literal["auto", "off", False] = "off"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    access_log: str = ""
    models: dict[str, ModelSettings] = attrs.field(factory=dict)
    routes: dict[str, Route] = attrs.field(factory=dict)
    cache: CacheSettings = CacheSettings()
    memory: MemorySettings = MemorySettings()
    environments: EnvironmentSettings = EnvironmentSettings()
    limits: LimitSettings = LimitSettings()
    rates: RateSettings = RateSettings()
    feedback: FeedbackSettings = FeedbackSettings()
    tls: TlsSettings = TlsSettings()
    cors: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    proxy_header: Literal["x-forwarded-for", "forwarded"] = "x-forwarded-for"
    geo_database: str = ""
    plugins: dict[str, dict[str, Any]] = attrs.field(factory=dict)

    def flaws(self) -> Iterator[Flaw]:
        """Yield what no kind of a single value can say."""
        for name in self.routes:
            if not MODEL.fullmatch(name):
                yield Flaw(
                    ("routes", name), "no model can have this name.", "A route is that of a whole model."
                )
