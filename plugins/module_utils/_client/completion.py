# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Shell completion of the client, where a shell has its folder below the prefix.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import os
import subprocess
from typing import Any

from ansible_collections.crdb.onboard.plugins.module_utils._client.download import digest_of
from ansible_collections.crdb.onboard.plugins.module_utils._client.installation import Installation
from ansible_collections.crdb.onboard.plugins.module_utils._client.options import ClientOptions, ClientResult
from ansible_collections.crdb.onboard.plugins.module_utils._files import replace
from ansible_collections.crdb.onboard.plugins.module_utils._files.model import digest

_PATHS = {
    "bash": "share/bash-completion/completions/cockroach",
    "zsh": "share/zsh/site-functions/_cockroach",
    "fish": "share/fish/vendor_completions.d/cockroach.fish",
}
_TIMEOUT = 60


def pending(installation: Installation, options: ClientOptions, record: dict[str, Any]) -> dict[str, str]:
    """Return the completion files to write: shell -> path."""
    if not options.completion or "cockroach" not in options.products:
        return {}
    paths = {shell: os.path.join(installation.prefix, path) for shell, path in _PATHS.items()}
    return {
        shell: path
        for shell, path in paths.items()
        if os.path.isdir(os.path.dirname(path)) and _is_outdated(path, options.version, record)
    }


def _is_outdated(path: str, version: str, record: dict[str, Any]) -> bool:
    entry = record["completions"].get(path)
    return not os.path.lexists(path) or (entry is not None and entry["version"] != version)


def write(installation: Installation, options: ClientOptions, record: dict[str, Any], result: ClientResult) -> None:
    """Write the pending completion files, and record them. Raises OSError."""
    for shell, path in pending(installation, options, record).items():
        process = subprocess.run(  # noqa: S603 - the client that was just verified and installed
            [installation.link("cockroach"), "gen", "autocomplete", shell, "--out", "/dev/stdout"],
            stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=_TIMEOUT,
        )  # fmt: skip
        if process.returncode != 0 or not process.stdout:
            result.notes.append(f"{path} was not written: `cockroach gen autocomplete {shell}` failed.")
            continue
        entry = {"sha256": digest(process.stdout), "version": ""}
        if not os.path.lexists(path):
            # Recorded before it is written, so that a killed run leaves no file that the removal does not know.
            record["completions"][path] = entry
            installation.save(record)
        replace.write(path, process.stdout, 0o644)
        record["completions"][path] = {**entry, "version": options.version}
        installation.save(record)
        result.other_paths.append(path)


def remove(record: dict[str, Any], result: ClientResult) -> None:
    """Remove the recorded completion files, except those that somebody changed. Raises OSError."""
    for path, entry in record["completions"].items():
        if os.path.isfile(path) and digest_of(path) == entry["sha256"]:
            os.unlink(path)
        elif os.path.lexists(path):
            result.notes.append(f"{path} was kept: it was changed after the installation.")
