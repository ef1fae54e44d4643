# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this util is meant for the collection's own code only, and may change in any release.

"""How the check writes a moment.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import datetime


def timestamp(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
