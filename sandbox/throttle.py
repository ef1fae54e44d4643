# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The routing proxy's protection against repeated wrong passwords."""

from __future__ import annotations

import time
from typing import Callable

from sandbox.allowlist import Address

LONGEST = 3600.0
"""Seconds; the documented limit of the service."""


class Throttle:
    """Refuses an address after a failed login to a cluster. The delay doubles with every further failure.

    Args:
        base: seconds after the first failure; 0 to never refuse.
        clock: a monotonic clock, in seconds.
    """

    def __init__(self, base: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._base = base
        self._clock = clock
        self._failures: dict[tuple[Address, str], tuple[int, float]] = {}

    def refuses(self, address: Address, cluster: str) -> bool:
        """Whether the address must still wait, whatever its password is."""
        _count, until = self._failures.get((address, cluster), (0, 0.0))
        return self._clock() < until

    def failed(self, address: Address, cluster: str) -> None:
        """Count a failed login."""
        if self._base:
            count = self._failures.get((address, cluster), (0, 0.0))[0] + 1
            delay = min(self._base * 2 ** min(count - 1, 20), LONGEST)
            self._failures[(address, cluster)] = (count, self._clock() + delay)

    def succeeded(self, address: Address, cluster: str) -> None:
        """Reset the count after a successful login."""
        self._failures.pop((address, cluster), None)
