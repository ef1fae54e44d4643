# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The checks of endpoints whose login another host tried first.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.crdb.onboard.plugins.module_utils._check.codes import REFUSED_LOGINS, is_no_refusal
from ansible_collections.crdb.onboard.plugins.module_utils._check.facts import Facts
from ansible_collections.crdb.onboard.plugins.module_utils._check.report import skipped
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import canary

_EARLIER = "an earlier attempt of this run"


def outcome(checks: Iterable[Mapping[str, Any]]) -> canary.Outcome:
    """What became of one login, by its checks."""
    return canary.outcome(checks, REFUSED_LOGINS, is_no_refusal)


def check(held: canary.Held, facts: Facts, host: str) -> dict[str, Any]:
    """The check of an endpoint whose login this host must not try. The evidence names the hosts that tried it."""
    other = _EARLIER if held.hosts == (host,) else _listed(held.hosts)
    found = skipped(held.code, facts, other, verdict=held.verdict).as_dict()
    found["evidence"].update(tried_by=list(held.hosts), verdict=held.verdict)
    return found


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
