# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this util is meant for the collection's own code only, and may change in any release.

"""The form of an entry of the check's catalogue.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

SAME_NETWORK = "look for a firewall, VPN or proxy between this machine and {host} ({address})"


class Entry(NamedTuple):
    """Everything about one code.

    `cause` and `cure` are one sentence each; `per_deployment` has those of the deployments where they read differently.
    `quotes_server`: the server's own words end the cause. `refuses_login`: no endpoint and no host tries the login
    again. `withholds_drivers`: drivers would send a password that was rejected, or another one than was tried.
    `files_differ`: the app's files are not as this run writes them. `api_knows`: what the Cloud API may add, any of
    ``allowlist``, ``user`` and ``state``.
    """

    cause: str
    cure: str
    per_deployment: Mapping[str, tuple[str, str]] = {}
    quotes_server: bool = False
    refuses_login: bool = False
    withholds_drivers: bool = False
    files_differ: bool = False
    api_knows: tuple[str, ...] = ()


class Note(NamedTuple):
    """A sentence beside a verdict, which does not change it. `files_differ` as in an Entry.

    `stops_libpq`: clients built on libpq would not connect, so that it is the verdict where an app uses one.
    """

    text: str
    files_differ: bool = False
    stops_libpq: bool = False
