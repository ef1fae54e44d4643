# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this util is meant for the collection's own code only, and may change in any release.

"""Make texts from a server or a file safe to show.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import datetime
import re

_MAX_LENGTH = 300


def clean(text: object) -> str:
    """The text on one line, without non-printable characters (colours, direction marks), at most _MAX_LENGTH long."""
    spaced = re.sub(r"\s+", " ", str(text)).strip()
    printable = "".join(char for char in spaced if char.isprintable())
    return printable if len(printable) <= _MAX_LENGTH else printable[: _MAX_LENGTH - 3] + "..."


def timestamp(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
