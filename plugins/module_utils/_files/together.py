# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write the files of several users as one step, or none of them.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.crdb.onboard.plugins.module_utils._files.tree import UntrustedPathError


class NotProvedError(Exception):
    """The connection with the new files failed; `reports` says why."""

    def __init__(self, reports: list[dict[str, Any]]) -> None:
        super().__init__()
        self.reports = reports


class PartlyError(Exception):
    """The task failed with files of its own in their places; the message names them."""


def write_all(writers: Sequence[Any], prove: bool) -> list[dict[str, Any]]:
    """All users' files as one step; the reports of the proof.

    Raises OSError, or NotProvedError before anything is in its place; what was there is then restored. Raises
    PartlyError where that is not possible, or when the record cannot be saved at the end.
    """
    reports: list[dict[str, Any]] = []
    try:
        for writer in writers:
            writer.stage()
        for writer in writers if prove else ():
            reports += writer.prove()
            # The next user's endpoints may have the login that was refused: it is not tried again.
            if not all(report["ok"] for report in reports):
                raise NotProvedError(reports)
        for writer in writers:
            writer.commit()
    except (OSError, NotProvedError) as exc:
        left = [path for writer in writers for path in _rolled_back(writer)]
        if left and isinstance(exc, OSError):
            raise PartlyError(
                f"{reason(exc)} These files were written before that, and could not be restored: {', '.join(left)}."
            ) from None
        raise
    try:
        for writer in writers:
            writer.finish()
    except OSError as exc:
        raise PartlyError(f"The files were written, but what was written was not recorded: {reason(exc)}") from None
    return reports


def _rolled_back(writer: Any) -> list[str]:
    """The files that a writer could not restore."""
    try:
        left: list[str] = writer.rollback()
    except OSError as exc:
        return [exc.filename or str(exc.strerror)]
    return left


def reason(exc: OSError) -> str:
    """Why a file cannot be written, and what to do."""
    cure = f" {exc.cure}" if isinstance(exc, UntrustedPathError) else ""
    return f"{exc.filename or 'A file'} cannot be written: {exc.strerror}.{cure}"
