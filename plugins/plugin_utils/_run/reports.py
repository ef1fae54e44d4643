# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tasks of a run report to people. Hosts that report the same text are shown together.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import shared
from ansible_collections.crdb.onboard.plugins.plugin_utils._run.memory import Memory, MemoryFullError

_NAMES_SHOWN = 5
_secret_texts = Memory("reports", 1024 * 1024)


def note(subject: str, task: str, host: str, lines: Sequence[str], *, secret: bool = False) -> None:
    """Keep the lines that a task reports about a subject for its host. Lines with a secret stay out of files.

    Raises OnboardingError when there are too many different reports to keep.
    """
    text = "\n".join(lines)
    digest = shared.mark(text)
    if not secret:
        shared.once(f"report {digest}", lambda: list(lines))
    else:
        try:
            _secret_texts.once(digest, lambda: text)
        except MemoryFullError:
            raise OnboardingError(
                "The hosts have too many different reports with passwords to show. Run it for fewer hosts with -l."
            ) from None
    if shared.get(f"reported last {subject}") != task:
        shared.put(f"reported last {subject}", task)
    shared.put(f"reported {subject} {host}", [task, digest, secret, len(lines)])


def _lines(digest: str, secret: bool, count: int) -> list[str]:
    """The lines of a report that was noted."""
    if not secret:
        return list(shared.get(f"report {digest}")["value"])
    return (_secret_texts.get(digest) or "").split("\n") if count else []


def _title(hosts: Sequence[str]) -> str:
    rest = len(hosts) - _NAMES_SHOWN
    more = f" and {rest} more" if rest > 0 else ""
    return f"{', '.join(hosts[:_NAMES_SHOWN])}{more}"


def is_overtaken(key: str, checked: int) -> bool:
    """Whether a report of more checked hosts was already written under a key; otherwise, this number is kept.

    A task knows the hosts that were checked when it began. Where each host goes at its own pace, one that began earlier
    can end later. Call it within `shared.alone`.
    """
    if checked < int(shared.get(f"checked {key}") or 0):
        return True
    shared.put(f"checked {key}", checked)
    return False


def under(title: str, lines: Sequence[str]) -> list[str]:
    """Lines with a title above them."""
    return [f"{title}:", *(f"  {line}" if line else "" for line in lines)]


def of_host(subject: str, host: str) -> list[str]:
    """The lines that a host reported last about a subject, whatever other hosts reported since."""
    _task, digest, secret, count = shared.get(f"reported {subject} {host}") or (None, "", False, 0)
    return _lines(str(digest), bool(secret), int(count)) if digest else []


def distinct(subject: str, hosts: Sequence[str]) -> list[str]:
    """The lines that the last task which reported about a subject noted for these hosts, each text once.

    With several hosts, every text is indented under the names of its hosts.
    """
    last = shared.get(f"reported last {subject}")
    hosts_by_text: dict[tuple[str, bool, int], list[str]] = {}
    for host in hosts:
        task, digest, secret, count = shared.get(f"reported {subject} {host}") or (None, "", False, 0)
        if last is not None and task == last:
            hosts_by_text.setdefault((str(digest), bool(secret), int(count)), []).append(host)
    reports = [(_lines(*text), names) for text, names in hosts_by_text.items()]
    if len(hosts) == 1:
        return [line for lines, _names in reports for line in lines]
    return [shown for lines, names in reports if lines for shown in under(_title(names), lines)]
