"""Where addresses are, by a database in MaxMind's format: DB-IP and IPinfo have free ones, too."""

from __future__ import annotations

import ipaddress
import os
import time
from pathlib import Path
from typing import Any

import structlog

from prism_core.errors import ConfigError
from prism_core.gateway.traffic.rules import CountryOf, nowhere

# How often it is looked whether there is a newer file: they come weekly, or monthly.
LOOK_S = 60.0

log = structlog.get_logger("prism.routes")


class Countries:
    """The countries of addresses. Made by `open_countries`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader, self._changed = _open(path), os.stat(path).st_mtime_ns
        self._look = time.monotonic() + LOOK_S

    def __call__(self, address: str) -> str:
        """Return the country of an address as ISO 3166 has it, ``DE``; "" where it is not known."""
        if time.monotonic() >= self._look:
            self.reopen()
        try:
            found = self._reader.get(_plain(address))
        except (
            ValueError,
            RuntimeError,
        ):  # it is no address, or the file is damaged
            return ""
        return _code(found)

    def reopen(self) -> None:
        """Go on with the file that is there now; with the old one where it cannot be read."""
        self._look = time.monotonic() + LOOK_S
        try:
            changed = os.stat(self._path).st_mtime_ns
            if changed != self._changed:
                self._reader, self._changed = _open(self._path), changed
        except (OSError, ConfigError) as error:
            log.warning("geo_database.unreadable", error=str(error))


def open_countries(path: str) -> CountryOf:
    """Open the database of the setting ``geo_database``; `nowhere` where there is none.

    Raises
    ------
    ConfigError
        If it cannot be read, or its library is not installed.
    """
    return Countries(Path(path).expanduser()) if path else nowhere


def _open(path: Path) -> Any:
    try:
        import maxminddb
    except ImportError:
        raise ConfigError(
            "geo_database needs the package maxminddb, which is not installed here.",
            hint="pip install 'prism-core[geo]'",
        ) from None
    try:
        return maxminddb.open_database(path)
    except (OSError, maxminddb.InvalidDatabaseError) as error:
        raise ConfigError(
            f"geo_database: {path} cannot be read: {error}.", hint="It must be in MaxMind's format, .mmdb."
        ) from None


def _plain(address: str) -> str:
    """Return an address without its zone, IPv4 as such."""
    if ":" not in address:
        return address
    mapped = ipaddress.IPv6Address(address.partition("%")[0]).ipv4_mapped
    return str(mapped) if mapped else address.partition("%")[0]


def _code(found: Any) -> str:
    """Return the country's code in a record: MaxMind and DB-IP nest it, others have it at the top."""
    if not isinstance(found, dict):
        return ""
    for name in ("country", "registered_country"):
        country = found.get(name)
        code = country.get("iso_code") if isinstance(country, dict) else country
        if isinstance(code, str):
            return code
    code = found.get("country_code")
    return code if isinstance(code, str) else ""
