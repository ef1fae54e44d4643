# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one exception of the client's room.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations


class ClientError(Exception):
    """The client cannot be installed or removed with these options. The message says why and what to do."""
