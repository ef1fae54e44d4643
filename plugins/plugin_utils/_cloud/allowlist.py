# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One cluster's allowlist, reconciled: decided purely first, then access is given before any is taken.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.api import (
    CloudApi,
    CloudError,
    ExistsError,
    NotFoundError,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.networks import Entry, expiry_of

ANY = ipaddress.IPv4Network("0.0.0.0/0")
TRIES = 3
POLL = 1.0


@dataclass(frozen=True)
class Found:
    """An entry as it is at the service; `cidr_ip` may have bits of the host set."""

    cidr_ip: str
    cidr_mask: int
    name: str
    sql: bool
    ui: bool

    @property
    def network(self) -> ipaddress.IPv4Network:
        """The network that it means."""
        return ipaddress.IPv4Network((self.cidr_ip, self.cidr_mask), strict=False)

    def body(self) -> dict[str, Any]:
        """As the API has it."""
        return {
            "cidr_ip": self.cidr_ip,
            "cidr_mask": self.cidr_mask,
            "name": self.name,
            "sql": self.sql,
            "ui": self.ui,
        }

    def shown(self) -> str:
        """One line of a diff."""
        rights = [right for right, there in (("sql", self.sql), ("ui", self.ui)) if there]
        return f"{self.network} {'+'.join(rights) or 'nothing'} {self.name!r}"


@dataclass(frozen=True)
class Wanted:
    """What an allowlist is to be.

    `names` are those whose other networks go (a laptop that moved); for `absent` all of whose networks go.
    """

    state: str
    prefix: str
    entries: tuple[Entry, ...] = ()
    names: tuple[str, ...] = ()
    remove_any: bool = False
    today: date = field(default_factory=date.today)


@dataclass(frozen=True)
class Plan:
    """What is to be done, in this order; a change is (before, after)."""

    add: tuple[Found, ...]
    widen: tuple[tuple[Found, Found], ...]
    narrow: tuple[tuple[Found, Found], ...]
    remove: tuple[Found, ...]
    before: tuple[Found, ...]
    notes: tuple[str, ...]

    @property
    def after(self) -> tuple[Found, ...]:
        """The allowlist when all is done."""
        changed = dict(self.widen) | dict(self.narrow)
        kept = [changed.get(entry, entry) for entry in self.before if entry not in self.remove]
        return tuple(sorted([*kept, *self.add], key=_by_network))

    @property
    def empty(self) -> bool:
        """Whether nothing is to be done."""
        return not (self.add or self.widen or self.narrow or self.remove)


def _by_network(entry: Found) -> tuple[int, int]:
    return int(entry.network.network_address), entry.network.prefixlen


def read(items: Iterable[dict[str, Any]]) -> tuple[Found, ...]:
    """The entries of a response. Raises OnboardingError for one that is no network."""
    found = []
    for item in items:
        try:
            entry = Found(
                str(item["cidr_ip"]),
                int(item["cidr_mask"]),
                str(item.get("name") or ""),
                bool(item.get("sql")),
                bool(item.get("ui")),
            )
            _network = entry.network
        except (KeyError, ValueError, TypeError):
            raise OnboardingError(f"The service's allowlist has an entry that is no IPv4 network: {item!r}.") from None
        found.append(entry)
    return tuple(sorted(found, key=_by_network))


def _base(name: str) -> str:
    """A name without the expiry at its end."""
    return name.rpartition(" (until ")[0] if expiry_of(name) else name


def plan(before: Sequence[Found], wanted: Wanted) -> Plan:
    """Decide what is to be done."""
    there = {entry.network: entry for entry in before}
    owned = {entry for entry in before if wanted.prefix and entry.name.startswith(wanted.prefix)}
    notes: list[str] = []
    add: list[Found] = []
    widen: list[tuple[Found, Found]] = []
    narrow: list[tuple[Found, Found]] = []
    names = {wanted.prefix + name for name in wanted.names}
    remove = {entry for entry in owned if _base(entry.name) in names}
    if wanted.state == "absent":
        for asked in wanted.entries:
            entry = there.get(asked.network)
            if entry in owned:
                remove.add(entry)
            elif entry is not None:
                notes.append(
                    f"{asked.cidr} {entry.name!r} is left: its name does not begin with {wanted.prefix!r}, so it is not"
                    " ours."
                )
    else:
        for asked in wanted.entries:
            new = Found(
                str(asked.network.network_address),
                asked.network.prefixlen,
                asked.full_name(wanted.prefix),
                asked.sql,
                asked.ui,
            )
            entry = there.get(asked.network)
            if entry is None:
                add.append(new)
                continue
            mine = entry in owned or wanted.state == "exact"
            after = Found(
                entry.cidr_ip,
                entry.cidr_mask,
                new.name if mine else entry.name,
                new.sql if mine else entry.sql or new.sql,
                new.ui if mine else entry.ui or new.ui,
            )
            if after != entry:
                less = (entry.sql and not after.sql) or (entry.ui and not after.ui)
                (narrow if less else widen).append((entry, after))
            if not mine:
                notes.append(f"{asked.cidr} is there as {entry.name!r}, which is not ours: its name is left.")
        remove |= set(before) if wanted.state == "exact" else set()
        remove -= {there[asked.network] for asked in wanted.entries if asked.network in there}
    kept = {asked.network for asked in wanted.entries} if wanted.state != "absent" else set()
    for entry in owned:
        end = expiry_of(entry.name)
        if end is not None and end < wanted.today and entry.network not in kept:
            remove.add(entry)
    narrow_there = any(asked.network != ANY for asked in wanted.entries) or any(e.network != ANY for e in before)
    if ANY in there and ANY not in kept:
        if wanted.remove_any and narrow_there:
            remove.add(there[ANY])
        elif wanted.remove_any:
            notes.append("0.0.0.0/0 is left: nothing else would let anybody in.")
        elif there[ANY] not in remove:
            notes.append(
                "0.0.0.0/0 is in the allowlist: the narrow entries mean nothing beside it. Once they are right,"
                " remove it with crdb_network_remove_any: true."
            )
    changing = {entry for entry, _after in widen + narrow}
    gone = tuple(sorted(remove - changing, key=_by_network))
    return Plan(tuple(add), tuple(widen), tuple(narrow), gone, tuple(before), tuple(notes))


def refuse_too_many(todo: Plan, limit: int, name: str) -> None:
    """Raise OnboardingError when there are, or on the way would be, more entries than the plan allows."""
    most = len(todo.before) + len(todo.add)
    if todo.add and most > limit:
        final = len(todo.after)
        cure = (
            f"Access is given before it is taken, so that both count for a moment: remove {most - limit} first."
            if final <= limit
            else "Join networks, or ask the service's support for more."
        )
        raise OnboardingError(
            f"The allowlist of {name} may have {limit} entries; it has {len(todo.before)}, and {len(todo.add)} would be"
            f" added. {cure} Nothing was changed."
        )


def locked_out(todo: Plan, addresses: Iterable[str]) -> list[str]:
    """Those of the addresses that SQL is open to now, and would not be when all is done."""

    def admitted(entries: Iterable[Found], address: str) -> bool:
        return any(entry.sql and ipaddress.IPv4Address(address) in entry.network for entry in entries)

    return sorted(a for a in set(addresses) if admitted(todo.before, a) and not admitted(todo.after, a))


class Reconciler:
    """Carries out a plan, and knows how far it came."""

    def __init__(self, api: CloudApi, cluster: str, name: str, *, pause: Callable[[float], None] = time.sleep) -> None:
        self._api = api
        self._cluster = cluster
        self._name = name
        self._pause = pause
        self.done: list[str] = []

    def carry_out(self, todo: Plan, wait: float) -> None:
        """Do it. Raises OnboardingError that says what was done and what was not."""
        steps: list[tuple[str, Callable[[], None]]] = []
        steps += [(f"add {new.shown()}", partial(self._put, None, new)) for new in todo.add]
        steps += [(f"change {old.shown()} to {new.shown()}", partial(self._put, old, new)) for old, new in todo.widen]
        given = len(steps)
        steps += [(f"change {old.shown()} to {new.shown()}", partial(self._put, old, new)) for old, new in todo.narrow]
        steps += [(f"remove {old.shown()}", partial(self._remove, old)) for old in todo.remove]
        try:
            for number, (title, step) in enumerate(steps):
                if number == given and given:
                    # What is given must work before anything is taken.
                    self.wait(wait)
                step()
                self.done.append(title)
            self.wait(wait)
        except OnboardingError as exc:
            left = [title for title, _step in steps[len(self.done) :]]
            raise OnboardingError(
                f"The allowlist of {self._name}: {exc} Done: {'; '.join(self.done) or 'nothing'}. Not done:"
                f" {'; '.join(left) or 'nothing'}. Nobody has less access than was asked for; run it again to go on."
            ) from None

    def wait(self, seconds: float) -> None:
        """Wait until what was changed is in effect. Raises OnboardingError when it takes longer."""
        deadline = time.monotonic() + seconds
        while self._api.propagating(self._cluster):
            if time.monotonic() > deadline:
                raise OnboardingError(
                    f"the change is still on its way after {seconds:g} s; crdb_network_wait gives it longer."
                )
            self._pause(POLL)

    def _there(self, entry: Found) -> Found | None:
        found = read(self._api.allowlist(self._cluster)[0])
        return next((one for one in found if one.network == entry.network), None)

    def _put(self, current: Found | None, entry: Found) -> None:
        """Make the entry be there as it is wanted; after a lost answer only once it was looked for."""
        for attempt in range(TRIES):
            try:
                if current is None:
                    self._api.add_entry(self._cluster, entry.body())
                else:
                    body = {**entry.body(), "cidr_ip": current.cidr_ip, "cidr_mask": current.cidr_mask}
                    self._api.update_entry(self._cluster, body)
                return
            except (ExistsError, NotFoundError):
                if attempt + 1 == TRIES:
                    raise
            except CloudError as exc:
                if not exc.uncertain or attempt + 1 == TRIES:
                    raise
            current = self._there(entry)
            if current is not None and (current.name, current.sql, current.ui) == (entry.name, entry.sql, entry.ui):
                return

    def _remove(self, entry: Found) -> None:
        for attempt in range(TRIES):
            try:
                self._api.remove_entry(self._cluster, entry.body())
                return
            except NotFoundError:
                return
            except CloudError as exc:
                if not exc.uncertain or attempt + 1 == TRIES:
                    raise
            if self._there(entry) is None:
                return
