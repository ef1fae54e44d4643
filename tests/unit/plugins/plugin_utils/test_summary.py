# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The summary of an onboarding: folders with counts, proofs, samples, next steps."""

from __future__ import annotations

from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._report import summary
from ansible_collections.crdb.onboard.plugins.plugin_utils._report.fleet import read_host


def files(**actions: str) -> dict[str, Any]:
    return {"files": [{"path": path, "action": action} for path, action in actions.items()]}


def lines(*results: dict[str, Any], checks: list[Any] | None = None, probes: list[Any] | None = None, **options: Any):
    host = read_host("localhost", {"checks": checks or []}, {"probes": probes or []})
    return summary.text(results, host, **options)


def test_files_are_counted_by_the_folder_that_holds_them():
    result = files(
        **{
            "/home/ann/app/.env": "created",
            "/home/ann/app/certs/ca.crt": "created",
            "/home/ann/app/samples/a.py": "ok",
            "/home/ann/.postgresql/root.crt": "changed",
            "/home/ann/.pgpass": "created",
            "/home/ann/app/settings.py": "drifted",
        }
    )
    assert lines({**result, "environment_files": ["/home/ann/app/.env"]}) == [
        "Written (-v lists every file):",
        "  /home/ann/app          4 files: 2 created, 1 as before, 1 left as you changed it",
        "  /home/ann/.postgresql  1 file: 1 changed",
        "  /home/ann              1 file: 1 created",
    ]


def test_every_file_is_listed_on_demand():
    result = files(**{"/a/b": "created", "/a/c": "ok"})
    assert lines(result, all_files=True) == ["Written:", "  created  /a/b", "  ok       /a/c"]


def test_a_run_that_changes_nothing_says_so():
    result = files(**{"/a/b": "ok", "/a/c": "ok"})
    assert lines(result) == ["Written: nothing, all 2 files are as they should be"]


def test_check_mode_says_what_would_be_written():
    assert lines(files(**{"/a/b": "created"}), check_mode=True)[0] == "Would be written (-v lists every file):"


def test_what_was_not_proved_is_named_with_the_reason_once():
    checks = [{"name": "shop: db", "ok": True, "code": "ok"}]
    message = "npm is missing"
    probes = [
        {"app": "shop", "framework": "django", "verdict": "proved", "message": "", "facts": {}},
        {"app": "shop", "framework": "typeorm", "verdict": "not_proved", "message": message, "facts": {}},
        {"app": "shop", "framework": "sequelize", "verdict": "not_proved", "message": message, "facts": {}},
    ]
    assert lines(checks=checks, probes=probes) == [
        "Reached by the check: shop: db",
        "Proved by their own drivers: shop (django)",
        "Not proved: shop (typeorm, sequelize): npm is missing",
    ]


def test_different_reasons_are_left_to_the_report_above():
    probes = [
        {"app": "shop", "framework": name, "verdict": "not_proved", "message": f"{name} is missing", "facts": {}}
        for name in ("django", "pgx")
    ]
    checks = [{"name": "shop: db", "ok": True, "code": "ok"}]
    assert lines(checks=checks, probes=probes) == [
        "Reached, not proved: shop (django, pgx), for the reasons in the report above"
    ]
    assert lines(checks=checks, probes=probes[:1]) == ["Reached, not proved: shop (django): django is missing"]
    checks.append({"name": "shop: other", "ok": False, "code": "dns_not_found"})
    assert lines(checks=checks, probes=probes[:1]) == [
        "Reached by the check: shop: db",
        "Not proved: shop (django): django is missing",
    ]


def test_samples_of_several_apps_are_shown_once_with_their_folders():
    def sample(folder: str, use: str) -> dict[str, str]:
        return {"folder": folder, "use": use, "file": "samples/x", "framework": "f", "app": "a"}

    result = {"samples": [sample("/a", "python x"), sample("/b", "python x"), sample("/c", "")]}
    assert lines(result) == [
        "Run a sample, with the driver installed, in /a or /b:",
        "  python x",
        "Run a sample, with the driver installed, in /c:",
        "  see the first lines of samples/x",
    ]


def test_next_steps_and_uses_are_columns_and_capped():
    usage = [{"framework": f"f{number}", "use": "use it"} for number in range(9)]
    assert lines({"usage": usage}, next_steps=[("check", "one"), ("remove it", "two")]) == [
        "Put into your program:",
        *(f"  f{number}  use it" for number in range(6)),
        "  and 3 more",
        "Next:",
        "  check      one",
        "  remove it  two",
    ]
