# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The names of everything that an acceptance run makes, by which it is found and removed again."""

from __future__ import annotations

import re
import secrets

PREFIX = "crdb_acc_"
"""Begins the name of every user, database, role and allowlist entry that a run makes."""

# A user whose name begins with pg_ is asked for, to see that it is refused.
_OURS = re.compile(r"(pg_)?crdb_acc_([0-9a-f]{8})([_ ].*)?")


def new_run() -> str:
    """The id of a run: eight hexadecimal digits."""
    return secrets.token_hex(4)


def belongs(name: str, run: str = "") -> bool:
    """Whether something of this name was made by an acceptance run; by this one, if its id is given."""
    match = _OURS.fullmatch(name.lower())
    return match is not None and run in ("", match[2])


class Names:
    """The names of one run.

    Args:
        run: its id.
    """

    def __init__(self, run: str) -> None:
        self.run = run
        self.entry_prefix = f"{PREFIX}{run} "

    def __call__(self, word: str) -> str:
        """The name of a user, a role or a database; `word` says what it is for."""
        return f"{PREFIX}{self.run}_{word}"
