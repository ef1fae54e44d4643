# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The throttle, with a clock that the test controls."""

from __future__ import annotations

from ipaddress import ip_address

from sandbox.throttle import LONGEST, Throttle

HERE = ip_address("203.0.113.10")
THERE = ip_address("198.51.100.99")


class Clock:
    """A clock that only the test advances."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_every_failure_doubles_the_wait_up_to_an_hour() -> None:
    clock = Clock()
    throttle = Throttle(1.0, clock)
    for expected in (1.0, 2.0, 4.0, 8.0):
        throttle.failed(HERE, "funky-skunk")
        assert throttle.refuses(HERE, "funky-skunk")
        clock.now += expected - 0.001
        assert throttle.refuses(HERE, "funky-skunk")
        clock.now += 0.001
        assert not throttle.refuses(HERE, "funky-skunk")
    for _number in range(40):
        throttle.failed(HERE, "funky-skunk")
    clock.now += LONGEST
    assert not throttle.refuses(HERE, "funky-skunk")


def test_it_counts_each_address_and_cluster_separately() -> None:
    throttle = Throttle(1.0, Clock())
    throttle.failed(HERE, "funky-skunk")
    assert not throttle.refuses(THERE, "funky-skunk")
    assert not throttle.refuses(HERE, "brave-otter")


def test_a_successful_login_resets_the_failures() -> None:
    clock = Clock()
    throttle = Throttle(1.0, clock)
    for _number in range(5):
        throttle.failed(HERE, "funky-skunk")
    throttle.succeeded(HERE, "funky-skunk")
    assert not throttle.refuses(HERE, "funky-skunk")
    throttle.failed(HERE, "funky-skunk")
    clock.now += 1.0
    assert not throttle.refuses(HERE, "funky-skunk")


def test_without_a_base_it_never_refuses() -> None:
    throttle = Throttle(0, Clock())
    throttle.failed(HERE, "funky-skunk")
    assert not throttle.refuses(HERE, "funky-skunk")
