# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A whole onboarding, connection, CA, files and check, against bare ssh that only unpacks the files."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.bench.files import BARE, Files
from tests.bench.measure import Median, in_turn
from tests.bench.scene import HERE, Scene

WHOLE, AGAIN = "whole onboarding", "whole onboarding, second run"
PLAYBOOK = HERE / "playbooks" / "onboarding.yml"


def measure(
    scene: Scene, sizes: Sequence[int], rounds: int, say: Callable[[str], None]
) -> dict[str, dict[str, Median]]:
    """By number of hosts and way."""
    files = Files(scene)
    found = {}
    for count in sizes:
        say(f"onboarding, {count} hosts")
        bare = next(way for way in files.ways(count) if way.name == BARE)
        ours = scene.ways(PLAYBOOK, count, files.variables, cold=WHOLE, again=AGAIN)
        found[str(count)] = in_turn([bare, *ours], rounds, say)
    return found
