# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Resolve a version or a series to a release."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._releases import releases

TOP = Path(__file__).resolve().parents[4]
SNAPSHOT = date(2026, 6, 12)


@pytest.mark.parametrize(
    ("asked", "version"),
    [
        ("v26.2", "v26.2.1"),  # v26.2.2 runs in the cloud only
        ("26.1", "v26.1.5"),
        ("v25.4", "v25.4.11"),  # after v25.4.9 in numbers, before it as text
        ("v25.3", "v25.3.7"),
        ("v25.2", "v25.2.19"),
        ("v25.1", "v25.1.10"),
        ("v24.3", "v24.3.33"),
        ("v24.1", "v24.1.29"),
        ("v23.2", "v23.2.30"),
        ("25.4.9", "v25.4.9"),
        ("v23.1.12", "v23.1.12"),
        (" v24.1.0 ", "v24.1.0"),
    ],
)
def test_a_version_or_the_newest_of_a_series(asked, version):
    assert releases.resolve(asked, today=SNAPSHOT).version == version


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("v25.4.6", "runs in the vendor's cloud only and has no download. Use v25.4.11."),
        ("v23.1.0", "was withdrawn by the vendor. Use v23.1."),
        ("v21.2", "removed the binaries of v21.2 on 2025-11-16. The newest release is v26.2.1."),
        ("v22.1.22", "removed the binaries of v22.1 on 2026-05-24. The newest release is v26.2.1."),
        (
            "v26.3",
            "no release of this series in the list of 2026-06-12. Its newest series are v25.3, v25.4, v26.1, v26.2.",
        ),
        ("v25.5.1", "there is no series v25.5."),
        ("v24.2.11", None),
        ("v25.4.0-beta.2", "is a testing release. Use a production release, such as v26.2.1."),
        ("latest", "must be a version such as v26.2.1, or a series such as v26.2, not 'latest'."),
        ("25.4.11; rm -rf /", "must be a version such as"),
        ("v25", "must be a version such as"),
    ],
)
def test_what_cannot_be_had_is_refused_with_what_can(asked, message):
    if message is None:
        assert "newer than the list" in releases.resolve(asked, today=SNAPSHOT).warnings[0]
        return
    with pytest.raises(OnboardingError, match=re.escape(message)):
        releases.resolve(asked, today=SNAPSHOT)


TODAY = date(2026, 11, 25)
# On one day every series of the list: the version, whether it has support, or that its binaries are gone.
ON_A_DAY = {
    **dict.fromkeys(("v1.0", "v2.1", "v19.2", "v20.1", "v20.2", "v21.1", "v21.2", "v22.1"), "gone"),
    "v22.2": ("v22.2.19", False),  # its binaries go on 2026-12-05
    "v23.1": ("v23.1.30", False),
    "v23.2": ("v23.2.30", False),
    "v24.1": ("v24.1.29", False),  # long-term support ended on 2026-10-21
    "v24.2": ("v24.2.10", False),
    "v24.3": ("v24.3.33", True),
    "v25.1": ("v25.1.10", False),
    "v25.2": ("v25.2.19", True),
    "v25.2.9": ("v25.2.9", False),  # before the long-term support: until 2026-11-12
    "v25.3": ("v25.3.7", False),
    "v25.4": ("v25.4.11", True),
    "v26.1": ("v26.1.5", False),
    "v26.2": ("v26.2.1", True),
}


@pytest.mark.parametrize("asked", ON_A_DAY)
def test_every_series_on_one_day(asked):
    expected = ON_A_DAY[asked]
    if expected == "gone":
        with pytest.raises(OnboardingError, match=r"removed the binaries of .*The newest release is v26\.2\.1\."):
            releases.resolve(asked, today=TODAY)
        return
    release = releases.resolve(asked, today=TODAY)
    assert (release.version, not release.warnings) == expected
    assert all("The newest release is v26.2.1." in warning for warning in release.warnings)


def test_binaries_are_gone_from_the_day_of_their_removal_on():
    assert releases.resolve("v22.2", today=date(2026, 12, 4)).version == "v22.2.19"
    with pytest.raises(OnboardingError, match=r"removed the binaries of v22\.2 on 2026-12-05"):
        releases.resolve("v22.2.19", today=date(2026, 12, 5))
    # In the far future the newest that is left is the newest whose binaries are not gone by then.
    with pytest.raises(OnboardingError, match=r"The newest release is v26\.2\.1"):
        releases.resolve("v25.4", today=date(2030, 1, 1))


def test_when_nothing_is_left_that_is_said():
    with pytest.raises(OnboardingError, match="make releases"):
        releases.resolve("v26.2", today=date(2031, 1, 1))


def test_a_mirror_may_have_what_the_vendor_removed():
    assert releases.resolve("v21.2.17", today=SNAPSHOT, vendor=False).version == "v21.2.17"


@pytest.mark.parametrize(
    ("asked", "today", "warned"),
    [
        ("v25.2.9", date(2026, 11, 12), False),
        ("v25.2.9", date(2026, 11, 13), True),
        ("v25.2.10", date(2026, 11, 13), False),  # long-term support begins with this patch
        ("v25.2.10", date(2027, 12, 18), True),
        ("v26.1.5", date(2026, 8, 3), True),  # an innovation release has no assistance after maintenance
    ],
)
def test_a_version_past_support_warns(asked, today, warned):
    warnings = releases.resolve(asked, today=today).warnings
    assert bool(warnings) is warned
    assert all(warning.startswith(f"The support of {asked} ended on ") for warning in warnings)


@pytest.mark.parametrize(
    ("version", "builds", "products", "checksum"),
    [
        ("v20.2.19", 2, 1, False),
        ("v21.1.0", 2, 1, True),
        ("v22.1.0", 2, None, True),
        ("v22.2.19", 4, 2, True),
        ("v26.2.1", 4, 2, True),
    ],
)
def test_what_there_is_of_a_version(version, builds, products, checksum):
    release = releases.resolve(version, today=SNAPSHOT, vendor=False)
    assert (len(release.builds), release.checksum) == (builds, checksum)
    assert products is None or len(release.products) == products


def test_the_list_is_in_numeric_order_and_each_release_is_there_once():
    versions = [r["version"] for r in json.loads(releases.DATA.read_text())["releases"]]
    assert versions == sorted(set(versions), key=releases.number)
    assert not [version for version in versions if "-" in version]


def test_the_list_is_refreshed_from_the_vendors_files(tmp_path):
    data = tmp_path / "docs" / "src" / "current" / "_data"
    data.mkdir(parents=True)
    (data / "releases.yml").write_text(
        "\n".join(
            f"- {{release_name: {name}, major_version: v30.1, release_date: '2030-01-01', release_type: {kind},"
            f" has_sql_only: true, has_sha256sum: true, mac: {{mac_arm: true}}, linux: {{linux_arm: true}}{more}}}"
            for name, kind, more in [
                ("v30.1.10", "Production", ""),
                ("v30.1.9", "Production", ""),
                ("v30.1.11", "Production", ", withdrawn: true"),
                ("v30.1.0-rc.1", "Testing", ""),
            ]
        )
    )
    (data / "versions.csv").write_text(
        "major_version,release_date,maint_supp_exp_date,asst_supp_exp_date,binary_removal_date\n"
        "v30.1,2030-01-01,2031-01-01,N/A,2035-01-01\nv30.2,N/A,N/A,N/A,N/A\n"
    )
    target = tmp_path / "releases.json"
    program = f"import scripts.releases as r, pathlib; r.TARGET = pathlib.Path({str(target)!r}); r.main()"
    subprocess.run([sys.executable, "-c", program, tmp_path / "docs", "--as-of", "2030-02-01"], cwd=TOP, check=True)
    assert releases.resolve("v30.1", today=date(2030, 2, 1), path=target).version == "v30.1.10"
    with pytest.raises(OnboardingError, match=r"Use v30\.1\.10"):
        releases.resolve("v30.1.11", today=date(2030, 2, 1), path=target)
