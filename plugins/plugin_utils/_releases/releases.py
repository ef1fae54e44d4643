# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The list of CockroachDB releases: resolve a version or a series to a release that can be downloaded.

``releases.json`` is written by ``make releases``.
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
_REFRESH = "Run `make releases` to refresh the list."


@dataclass(frozen=True)
class Release:
    """One release: its exact version, the `builds` and `products` that exist of it, and warnings for the operator."""

    version: str
    builds: tuple[str, ...]
    products: tuple[str, ...]
    checksum: bool
    warnings: tuple[str, ...] = ()


def number(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, which sort as the releases do: v25.4.9 before v25.4.11."""
    return tuple(int(part) for part in version.lstrip("v").split("."))


def series_of(version: str) -> str:
    """Return the series of a version. The first releases are named like a series (v1.0)."""
    return ".".join(version.split(".")[:2])


@cache
def _data(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return data


def _removed(series: dict[str, str], today: date) -> bool:
    return "removed" in series and date.fromisoformat(series["removed"]) <= today


def _support_end(series: dict[str, str], version: str) -> date | None:
    dates = [series[key] for key in ("maintenance_ends", "assistance_ends") if key in series]
    if "lts_from" in series and "lts_ends" in series and number(version) >= number(series["lts_from"]):
        dates.append(series["lts_ends"])
    return max(map(date.fromisoformat, dates), default=None)


def _releases_of(data: dict[str, Any], series: str) -> list[dict[str, Any]]:
    return [release for release in data["releases"] if series_of(release["version"]) == series]


def _downloadable(release: dict[str, Any]) -> bool:
    return not release.get("withdrawn") and not release.get("cloud_only")


def _newest(data: dict[str, Any], today: date) -> str:
    """Return the newest version that the vendor still has. Raises OnboardingError when there is none."""
    versions = [
        release["version"]
        for release in data["releases"]
        if _downloadable(release) and not _removed(data["series"].get(series_of(release["version"]), {}), today)
    ]
    if not versions:
        raise OnboardingError(
            f"The vendor has removed the binaries of every release in the list of {data['as_of']}. {_REFRESH}"
        )
    return str(max(versions, key=number))


def _newest_of_series(data: dict[str, Any], series: str) -> dict[str, Any]:
    """Return the newest release of a series that can be downloaded. Raises OnboardingError when there is none."""
    candidates = [release for release in _releases_of(data, series) if _downloadable(release)]
    if not candidates:
        known = sorted({series_of(release["version"]) for release in data["releases"]}, key=number)
        raise OnboardingError(
            f"version {series}: there is no release of this series in the list of {data['as_of']}. Its newest series"
            f" are {', '.join(known[-4:])}. {_REFRESH}"
        )
    return max(candidates, key=lambda release: number(release["version"]))


def _exact(data: dict[str, Any], version: str, vendor: bool) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the release of an exact version, and warnings. Raises OnboardingError when it cannot be used."""
    series = series_of(version)
    releases = {release["version"]: release for release in _releases_of(data, series)}
    if version in releases:
        release = releases[version]
        if release.get("withdrawn"):
            raise OnboardingError(
                f"version {version} was withdrawn by the vendor. Use {_newest_of_series(data, series)['version']}."
            )
        if release.get("cloud_only") and vendor:
            raise OnboardingError(
                f"version {version} runs in the vendor's cloud only and has no download. Use"
                f" {_newest_of_series(data, series)['version']}."
            )
        return release, ()
    newest = max(releases, key=number, default="")
    if newest and number(version) < number(newest):
        raise OnboardingError(
            f"version {version} does not exist. The newest release of {series} is"
            f" {_newest_of_series(data, series)['version']}."
        )
    if not newest and number(version) < number(max((r["version"] for r in data["releases"]), key=number)):
        raise OnboardingError(f"version {version} does not exist: there is no series {series}.")
    assumed = {
        "version": version,
        "builds": ["linux-amd64", "linux-arm64", "darwin-amd64", "darwin-arm64"],
        "products": ["cockroach", "cockroach-sql"],
    }
    return assumed, (
        f"{version} is newer than the list of releases of {data['as_of']}, so its support dates are unknown."
        f" {_REFRESH}",
    )


def resolve(version: str, *, today: date | None = None, vendor: bool = True, path: Path = DATA) -> Release:
    """Return the release of a version, or the newest release of a series that can be downloaded.

    `vendor`: it is downloaded from the vendor, so the vendor must still have it. Raises OnboardingError, which names
    the release to use instead.
    """
    data = _data(path)
    today = today or date.today()
    text = version.strip()
    if _TESTING.fullmatch(text):
        raise OnboardingError(
            f"version {version} is a testing release. Use a production release, such as {_newest(data, today)}."
        )
    warnings: tuple[str, ...] = ()
    exact, series = _EXACT.fullmatch(text), _SERIES.fullmatch(text)
    if exact:
        release, warnings = _exact(data, "v" + ".".join(str(int(part)) for part in exact.groups()), vendor)
    elif series:
        release = _newest_of_series(data, "v" + ".".join(str(int(part)) for part in series.groups()))
    else:
        newest = _newest(data, today)
        raise OnboardingError(
            f"version must be a version such as {newest}, or a series such as {series_of(newest)}, not {version!r}."
        )
    exact_version = str(release["version"])
    dates = data["series"].get(series_of(exact_version), {})
    if vendor and _removed(dates, today):
        raise OnboardingError(
            f"version {version}: the vendor removed the binaries of {series_of(exact_version)} on {dates['removed']}."
            f" The newest release is {_newest(data, today)}."
        )
    support_end = _support_end(dates, exact_version)
    if support_end is not None and support_end < today:
        warnings += (
            f"The support of {exact_version} ended on {support_end}. The newest release is {_newest(data, today)}.",
        )
    return Release(
        version=exact_version,
        builds=tuple(release["builds"]),
        products=tuple(release["products"]),
        checksum=bool(release.get("checksum", True)),
        warnings=warnings,
    )
