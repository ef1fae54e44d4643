# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which CockroachDB releases there are: a version that was asked for becomes one that can be downloaded.

``_releases.json`` is written by ``make releases``.
This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError

DATA = Path(__file__).with_name("releases.json")

_SERIES = re.compile(r"v?(\d+)\.(\d+)")
_EXACT = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")
_TESTING = re.compile(r"v?\d+\.\d+\.\d+-(alpha|beta|rc)\..*")


@dataclass(frozen=True)
class Release:
    """One version: `builds` and `products` that exist; `warnings` for whoever asked for it."""

    version: str
    builds: tuple[str, ...]
    products: tuple[str, ...]
    checksum: bool
    warnings: tuple[str, ...] = ()


def number(version: str) -> tuple[int, ...]:
    """A version's numbers, which sort as the releases do: v25.4.9 before v25.4.11."""
    return tuple(int(part) for part in version.lstrip("v").split("."))


def series_of(version: str) -> str:
    """The series of a version; the first releases were named like one (v1.0)."""
    return ".".join(version.split(".")[:2])


@cache
def _data(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return data


def _removed(series: dict[str, str], today: date) -> bool:
    return "removed" in series and date.fromisoformat(series["removed"]) <= today


def _support_ends(series: dict[str, str], version: str) -> date | None:
    dates = [series[key] for key in ("maintenance_ends", "assistance_ends") if key in series]
    if "lts_from" in series and "lts_ends" in series and number(version) >= number(series["lts_from"]):
        dates.append(series["lts_ends"])
    return max(map(date.fromisoformat, dates), default=None)


def _listed(data: dict[str, Any], series: str) -> list[dict[str, Any]]:
    return [r for r in data["releases"] if series_of(r["version"]) == series]


def _usable(release: dict[str, Any]) -> bool:
    return not release.get("withdrawn") and not release.get("cloud_only")


def _newest(data: dict[str, Any], today: date) -> str:
    left = [
        r["version"]
        for r in data["releases"]
        if _usable(r) and not _removed(data["series"].get(series_of(r["version"]), {}), today)
    ]
    if not left:
        raise OnboardingError(
            f"crdb_client_version: the vendor has removed the binaries of every release in the list of {data['as_of']}."
            " `make releases` refreshes the list."
        )
    return str(max(left, key=number))


def _of_series(data: dict[str, Any], series: str) -> dict[str, Any]:
    usable = [r for r in _listed(data, series) if _usable(r)]
    if not usable:
        known = sorted({series_of(r["version"]) for r in data["releases"]}, key=number)
        raise OnboardingError(
            f"crdb_client_version {series}: there is no release of this series in the list of {data['as_of']}; its"
            f" newest series are {', '.join(known[-4:])}. `make releases` refreshes the list."
        )
    return max(usable, key=lambda release: number(release["version"]))


def _exact(data: dict[str, Any], version: str, vendor: bool) -> tuple[dict[str, Any], tuple[str, ...]]:
    series = series_of(version)
    listed = {r["version"]: r for r in _listed(data, series)}
    if version in listed:
        release = listed[version]
        if release.get("withdrawn"):
            raise OnboardingError(
                f"crdb_client_version {version}: was withdrawn by the vendor. Take"
                f" {_of_series(data, series)['version']}."
            )
        if release.get("cloud_only") and vendor:
            raise OnboardingError(
                f"crdb_client_version {version}: runs in the vendor's cloud only and has no download. Take"
                f" {_of_series(data, series)['version']}."
            )
        return release, ()
    newest = max(listed, key=number, default="")
    if newest and number(version) < number(newest):
        raise OnboardingError(
            f"crdb_client_version {version}: there is no such release. The newest of {series} is"
            f" {_of_series(data, series)['version']}."
        )
    if not newest and number(version) < number(max((r["version"] for r in data["releases"]), key=number)):
        raise OnboardingError(f"crdb_client_version {version}: there is no series {series}.")
    guess = {
        "version": version,
        "builds": ["linux-amd64", "linux-arm64", "darwin-amd64", "darwin-arm64"],
        "products": ["cockroach", "cockroach-sql"],
    }
    return guess, (
        f"{version} is newer than the list of releases of {data['as_of']}: nothing is known about its support."
        " `make releases` refreshes the list.",
    )


def resolve(asked: str, *, today: date | None = None, vendor: bool = True, path: Path = DATA) -> Release:
    """The release that was asked for: an exact version, or the newest that can be downloaded of a series.

    `vendor`: it will be downloaded from the vendor, so it must still be there. Raises OnboardingError that names what
    to take instead.
    """
    data = _data(path)
    today = today or date.today()
    text = asked.strip()
    if _TESTING.fullmatch(text):
        raise OnboardingError(
            f"crdb_client_version {asked}: is a testing release. Take a production release, such as"
            f" {_newest(data, today)}."
        )
    exact, series = _EXACT.fullmatch(text), _SERIES.fullmatch(text)
    if exact:
        found, warnings = _exact(data, "v" + ".".join(str(int(part)) for part in exact.groups()), vendor)
    elif series:
        found, warnings = _of_series(data, "v" + ".".join(str(int(part)) for part in series.groups())), ()
    else:
        raise OnboardingError(
            f"crdb_client_version {asked!r}: write a version such as {_newest(data, today)}, or a series such as"
            f" {series_of(_newest(data, today))}."
        )
    version = str(found["version"])
    dates = data["series"].get(series_of(version), {})
    if vendor and _removed(dates, today):
        raise OnboardingError(
            f"crdb_client_version {asked}: the vendor removed the binaries of {series_of(version)} on"
            f" {dates['removed']}. The newest release is {_newest(data, today)}."
        )
    ends = _support_ends(dates, version)
    if ends is not None and ends < today:
        warnings += (f"{version} has no support since {ends}. The newest release is {_newest(data, today)}.",)
    return Release(
        version=version,
        builds=tuple(found["builds"]),
        products=tuple(found["products"]),
        checksum=bool(found.get("checksum", True)),
        warnings=warnings,
    )
