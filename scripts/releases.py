# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write the list of CockroachDB releases from the vendor's documentation repository: `make releases DOCS=FOLDER`.

FOLDER is a checkout of cockroachdb/docs. Only facts are copied: names, dates and the builds that exist.
"""

from __future__ import annotations

import argparse
import csv
import json
from datetime import date
from pathlib import Path
from typing import Any

import yaml

TARGET = Path(__file__).resolve().parents[1] / "plugins" / "plugin_utils" / "_releases" / "releases.json"
RELEASES = Path("src/current/_data/releases.yml")
SUPPORT = Path("src/current/_data/versions.csv")


def _builds(release: dict[str, Any]) -> list[str]:
    builds = ["linux-amd64", "darwin-amd64"]
    if (release.get("linux") or {}).get("linux_arm"):
        builds.append("linux-arm64")
    if (release.get("mac") or {}).get("mac_arm"):
        builds.append("darwin-arm64")
    return builds


def releases(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the production releases of `releases.yml` in numeric order, each once."""
    releases_by_version: dict[str, dict[str, Any]] = {}
    for entry in entries:
        if entry["release_type"] != "Production":
            continue
        release = {"version": entry["release_name"], "builds": _builds(entry)}
        release["products"] = ["cockroach"] + (["cockroach-sql"] if entry.get("has_sql_only") else [])
        if not entry.get("has_sha256sum"):
            release["checksum"] = False
        for flag in ("withdrawn", "cloud_only"):
            if entry.get(flag):
                release[flag] = True
        releases_by_version[release["version"]] = release
    return sorted(
        releases_by_version.values(), key=lambda release: [int(part) for part in release["version"][1:].split(".")]
    )


def support(rows: list[dict[str, str]]) -> dict[str, dict[str, str]]:
    """Return the support dates of every released series: series -> kind of date -> date."""
    columns = {
        "maint_supp_exp_date": "maintenance_ends",
        "asst_supp_exp_date": "assistance_ends",
        "initial_lts_patch": "lts_from",
        "lts_asst_supp_exp_date": "lts_ends",
        "binary_removal_date": "removed",
    }
    dated = [row for row in rows if row["release_date"] != "N/A"]
    return {
        row["major_version"]: {
            to: row[column] for column, to in columns.items() if row.get(column) not in ("N/A", "", None)
        }
        for row in dated
    }


def text(data: dict[str, Any]) -> str:
    """Return the JSON with one line a release, so that the diff of a refresh is readable."""
    lines = ["{", f' "as_of": {json.dumps(data["as_of"])},', ' "series": {']
    lines += [",\n".join(f"  {json.dumps(name)}: {json.dumps(dates)}" for name, dates in data["series"].items())]
    lines += [
        " },",
        ' "releases": [',
        ",\n".join(f"  {json.dumps(release)}" for release in data["releases"]),
        " ]",
        "}",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the list of releases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("docs", type=Path, help="a checkout of cockroachdb/docs")
    parser.add_argument(
        "--as-of", default=date.today().isoformat(), help="the day of the checkout; the default is today"
    )
    arguments = parser.parse_args()
    entries = yaml.safe_load((arguments.docs / RELEASES).read_text(encoding="utf-8"))
    with (arguments.docs / SUPPORT).open(encoding="utf-8", newline="") as stream:
        dates = support(list(csv.DictReader(stream)))
    TARGET.write_text(
        text({"as_of": arguments.as_of, "series": dates, "releases": releases(entries)}), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
