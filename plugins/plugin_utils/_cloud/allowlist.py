# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reconcile the allowlist of one cluster: plan all changes first, then add access before removing any.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from functools import cached_property, partial
from typing import Any

from ansible_collections.crdb.onboard.plugins.module_utils._text import clean
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.api import CloudApi
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.http_client import (
    CloudError,
    ExistsError,
    NotFoundError,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.networks import Coverage, Entry, expiry_of
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import orphan, screen

ANY = ipaddress.IPv4Network("0.0.0.0/0")
TRIES = 3
"""How often a change is sent whose response was lost."""
POLL = 1.0
"""Seconds between two looks at whether a change is in effect."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Step = tuple[str, Callable[[], None]]
"""A title, and what to do."""


@dataclass(frozen=True)
class StoredEntry:
    """An entry as the service stores it; `cidr_ip` may have host bits set."""

    cidr_ip: str
    cidr_mask: int
    name: str
    sql: bool
    ui: bool

    @cached_property
    def network(self) -> Network:
        """The network that the entry stands for, its host bits cleared."""
        return ipaddress.ip_network((self.cidr_ip, self.cidr_mask), strict=False)

    @property
    def is_version_4(self) -> bool:
        """Whether it is IPv4. The service accepts nothing else today, and we manage nothing else."""
        return self.network.version == 4

    def body(self) -> dict[str, Any]:
        """The entry as the API's JSON has it."""
        return asdict(self)

    def shown(self) -> str:
        """The entry as one line of a diff."""
        rights = [right for right, allowed in (("sql", self.sql), ("ui", self.ui)) if allowed]
        return f"{self.network} {'+'.join(rights) or 'nothing'} {self.name!r}"


@dataclass(frozen=True)
class DesiredAllowlist:
    """The state that an allowlist must reach.

    Args:
        state: `present` adds entries, `exact` also removes all others, `absent` removes entries.
        prefix: the beginning of the names of the entries that this collection manages.
        entries: the networks to add, or to remove when `absent`.
        names: names without the prefix. Other networks of these names are removed, as after a laptop has moved;
            when `absent`, all of them.
        remove_any: remove 0.0.0.0/0 once another entry lets somebody in.
        today: entries whose expiry lies before this day are removed.
    """

    state: str
    prefix: str
    entries: tuple[Entry, ...] = ()
    names: tuple[str, ...] = ()
    remove_any: bool = False
    today: date = field(default_factory=date.today)

    @property
    def kept(self) -> frozenset[ipaddress.IPv4Network]:
        """The networks that stay or are added."""
        return frozenset() if self.state == "absent" else frozenset(entry.network for entry in self.entries)

    def owns(self, entry: StoredEntry) -> bool:
        """Whether this collection manages the entry, which its name tells."""
        return bool(self.prefix) and entry.name.startswith(self.prefix)

    def drops(self, entry: StoredEntry) -> bool:
        """Whether the name or the expiry of a managed entry says that it goes."""
        end = expiry_of(entry.name)
        base = entry.name.rpartition(" (until ")[0] if end else entry.name
        return base.removeprefix(self.prefix) in self.names or (end is not None and end < self.today)


@dataclass(frozen=True)
class AllowlistPlan:
    """The changes to make, in this order; a change is the pair of the entry before and after.

    A change that adds one right and takes another is two: one of `widen`, then one of `narrow`.
    """

    add: tuple[StoredEntry, ...]
    widen: tuple[tuple[StoredEntry, StoredEntry], ...]
    narrow: tuple[tuple[StoredEntry, StoredEntry], ...]
    remove: tuple[StoredEntry, ...]
    before: tuple[StoredEntry, ...]
    notes: tuple[str, ...]

    @cached_property
    def after(self) -> tuple[StoredEntry, ...]:
        """The allowlist once all changes are made, sorted by network."""
        removed, widened, narrowed = set(self.remove), dict(self.widen), dict(self.narrow)
        kept = [widened.get(entry, entry) for entry in self.before if entry not in removed]
        kept = [narrowed.get(entry, entry) for entry in kept]
        return tuple(sorted([*kept, *self.add], key=_by_network))

    @property
    def empty(self) -> bool:
        """Whether there is nothing to change."""
        return not (self.add or self.widen or self.narrow or self.remove)

    @property
    def takes(self) -> bool:
        """Whether anybody loses a right."""
        return bool(self.narrow or self.remove)


def _by_network(entry: StoredEntry) -> tuple[int, int, int]:
    return entry.network.version, int(entry.network.network_address), entry.network.prefixlen


def read(items: Iterable[dict[str, Any]]) -> tuple[StoredEntry, ...]:
    """The entries of the API's response, sorted by network.

    Raises OnboardingError for an entry that is not a network.
    """
    entries = []
    for item in items:
        address, mask = item.get("cidr_ip"), item.get("cidr_mask")
        try:
            if not isinstance(address, str) or not re.fullmatch("[0-9]{1,3}", str(mask)):
                raise ValueError
            entry = StoredEntry(
                address,
                int(str(mask)),
                str(item.get("name") or ""),
                bool(item.get("sql")),
                bool(item.get("ui")),
            )
            _network = entry.network
        except ValueError:
            raise OnboardingError(
                f"The cluster's allowlist has an entry that is not a network: {clean(f'{address!r}/{mask!r}', 100)}."
            ) from None
        entries.append(entry)
    return tuple(sorted(entries, key=_by_network))


def plan(before: Sequence[StoredEntry], desired: DesiredAllowlist) -> AllowlistPlan:
    """Decide what to change. It is pure: it asks nothing and changes nothing. Entries of IPv6 are left alone."""
    ours = [entry for entry in before if entry.is_version_4]
    current = {entry.network: entry for entry in ours}
    kept = {current[network] for network in desired.kept if network in current}
    remove = {
        entry
        for entry in ours
        if entry not in kept and (desired.state == "exact" or (desired.owns(entry) and desired.drops(entry)))
    }
    add: list[StoredEntry] = []
    widen: list[tuple[StoredEntry, StoredEntry]] = []
    narrow: list[tuple[StoredEntry, StoredEntry]] = []
    notes: list[str] = []
    for entry in desired.entries:
        stored = current.get(entry.network)
        if desired.state == "absent":
            if stored is not None and desired.owns(stored):
                remove.add(stored)
            elif stored is not None:
                notes.append(
                    f"{entry.cidr} {stored.name!r} is kept: its name does not begin with {desired.prefix!r}, so it is"
                    " not managed here."
                )
        elif stored is None:
            add.append(_new(entry, desired.prefix))
        else:
            managed = desired.owns(stored) or desired.state == "exact"
            after = _merged(stored, _new(entry, desired.prefix), managed=managed)
            widest = replace(after, sql=stored.sql or after.sql, ui=stored.ui or after.ui)
            if after == widest != stored:
                widen.append((stored, after))
            elif after != widest:
                if (widest.sql, widest.ui) != (stored.sql, stored.ui):
                    # What the entry adds must be in effect before anything is taken.
                    widen.append((stored, widest))
                    stored = widest
                narrow.append((stored, after))
            if not managed:
                notes.append(
                    f"{entry.cidr} is listed already as {stored.name!r}, which is not managed here: its name is kept."
                )
    notes += [
        f"{entry.network} {entry.name!r} is kept: it is IPv6, which is not managed here."
        for entry in before
        if not entry.is_version_4
    ]
    any_goes, note = _decide_any(ours, desired, removed=current.get(ANY) in remove)
    if any_goes:
        remove.add(current[ANY])
    return AllowlistPlan(
        add=tuple(add),
        widen=tuple(widen),
        narrow=tuple(narrow),
        remove=tuple(sorted(remove, key=_by_network)),
        before=tuple(before),
        notes=(*notes, *note),
    )


def _new(entry: Entry, prefix: str) -> StoredEntry:
    address, length = str(entry.network.network_address), entry.network.prefixlen
    return StoredEntry(address, length, entry.full_name(prefix), entry.sql, entry.ui)


def _merged(stored: StoredEntry, new: StoredEntry, *, managed: bool) -> StoredEntry:
    """The stored entry with the new one's name and rights; one that is not managed keeps its name and its rights."""
    if managed:
        return replace(stored, name=new.name, sql=new.sql, ui=new.ui)
    return replace(stored, sql=stored.sql or new.sql, ui=stored.ui or new.ui)


def _decide_any(before: Sequence[StoredEntry], desired: DesiredAllowlist, *, removed: bool) -> tuple[bool, list[str]]:
    """Whether `remove_any` removes 0.0.0.0/0, and what the operator should know of it."""
    networks = {entry.network for entry in before}
    if ANY not in networks or ANY in desired.kept or removed:
        return False, []
    if not desired.remove_any:
        return False, [
            "0.0.0.0/0 is in the allowlist, so narrower entries have no effect. Once they are right, remove it with"
            " remove_any: true (crdb_network_remove_any)."
        ]
    if networks | {entry.network for entry in desired.entries} == {ANY}:
        return False, ["0.0.0.0/0 is kept: without it, the allowlist would let nobody in."]
    return True, []


def refuse_more_than(limit: int, count: int, name: str) -> None:
    """Raise OnboardingError when so many entries can never be in the allowlist. It needs no look at the allowlist."""
    if count > limit:
        raise OnboardingError(
            f"The allowlist of {name} may have {limit} entries, but entries lists {count}. Join networks, or ask the"
            " service's support for a higher limit. Nothing was changed."
        )


def refuse_too_many(changes: AllowlistPlan, limit: int, name: str) -> None:
    """Raise OnboardingError when the plan, before its removals, has more entries than the cluster's plan allows."""
    most = len(changes.before) + len(changes.add)
    if not changes.add or most <= limit:
        return
    cure = (
        f"New entries are added before old ones are removed: remove {most - limit} of the old ones first."
        if len(changes.after) <= limit
        else "Join networks, or ask the service's support for a higher limit."
    )
    raise OnboardingError(
        f"The allowlist of {name} may have {limit} entries; it has {len(changes.before)}, and {len(changes.add)} would"
        f" be added. {cure} Nothing was changed."
    )


def locked_out(changes: AllowlistPlan, addresses: Iterable[str]) -> list[str]:
    """The addresses that can use SQL now and could not once all changes are made."""
    before, after = (
        Coverage(
            (entry.network, entry.sql, entry.ui)
            for entry in entries
            if isinstance(entry.network, ipaddress.IPv4Network)
        )
        for entries in (changes.before, changes.after)
    )
    return sorted(a for a in set(addresses) if before.admits(a) and not after.admits(a))


class Reconciler:
    """Carries out the plan of one cluster's allowlist; `done` lists the steps that succeeded.

    Args:
        api: of the account that the cluster belongs to.
        cluster: its id.
        name: its name, for errors.
        pause: waits some seconds.
    """

    def __init__(
        self, api: CloudApi, cluster: str, name: str, *, pause: Callable[[float], None] = orphan.pause
    ) -> None:
        self._api = api
        self._cluster = cluster
        self._name = name
        self._pause = pause
        self.done: list[str] = []

    def plan(self, desired: DesiredAllowlist, limit: int, wait: float | None) -> tuple[AllowlistPlan, bool]:
        """The plan, and whether an earlier change of the allowlist is not in effect yet.

        When the plan takes anybody's access, it is made of an allowlist that is in effect: an entry that is not must
        not count as access that is kept. An earlier run that was killed, or a colleague, may have added one.

        Args:
            desired: the state to reach.
            limit: the number of entries that the cluster's plan allows.
            wait: the seconds to wait for earlier changes; None to plan without waiting.

        Raises OnboardingError when they are not in effect then.
        """
        deadline = time.monotonic() + (wait or 0)
        while True:
            items, propagating = self._api.allowlist(self._cluster)
            todo = plan(read(items), desired)
            refuse_too_many(todo, limit, self._name)
            if wait is None or not (todo.takes and propagating):
                return todo, propagating
            if not self._in_effect(deadline):
                raise OnboardingError(
                    f"The allowlist of {self._name}: an earlier change is not in effect after {wait:g} s, and access is"
                    " removed only after that. Nothing was changed. Run it again later, or set wait"
                    " (crdb_network_wait) to a longer time."
                )

    def carry_out(self, changes: AllowlistPlan, wait: float) -> None:
        """Make the changes, waiting at most `wait` seconds until they are in effect.

        Raises OnboardingError that lists what was done and what was not.
        """
        added: list[Step] = [(f"add {new.shown()}", partial(self._put, None, new)) for new in changes.add]
        added += [self._change(old, new) for old, new in changes.widen]
        taken = [self._change(old, new) for old, new in changes.narrow]
        taken += [(f"remove {old.shown()}", partial(self._remove, old)) for old in changes.remove]
        try:
            self._run(added)
            # All access must work before any is removed: ours, and what somebody else added since the plan was made.
            if taken:
                self.wait(wait)
            self._run(taken)
            self.wait(wait)
        except OnboardingError as exc:
            missing = [title for title, _step in [*added, *taken][len(self.done) :]]
            raise OnboardingError(
                f"The allowlist of {self._name}: {exc} Done: {'; '.join(self.done) or 'nothing'}. Not done:"
                f" {'; '.join(missing) or 'nothing'}. Nobody lost access that was to be kept; run it again to continue."
            ) from None

    def _run(self, steps: Iterable[Step]) -> None:
        for title, step in steps:
            orphan.still_wanted()
            try:
                step()
            except OnboardingError as exc:
                # The path of a request that adds an entry does not name it.
                raise OnboardingError(f"cannot {title}: {exc}") from None
            self.done.append(title)

    def _change(self, old: StoredEntry, new: StoredEntry) -> Step:
        return f"change {old.shown()} to {new.shown()}", partial(self._put, old, new)

    def wait(self, seconds: float) -> None:
        """Wait until the changes are in effect. Raises OnboardingError when that takes longer than `seconds`."""
        if not self._in_effect(time.monotonic() + seconds):
            raise OnboardingError(
                f"the changes are not in effect after {seconds:g} s. Set wait (crdb_network_wait) to a longer time."
            )

    def _in_effect(self, deadline: float) -> bool:
        """Wait until all changes are in effect; False when some are not at the deadline."""
        shown = False
        while self._api.propagating(self._cluster):
            # The service takes up to a minute.
            shown = shown or screen.show([f"Waiting until the allowlist of {self._name} is in effect ..."])
            if time.monotonic() > deadline:
                return False
            self._pause(POLL)
        return True

    def _stored(self, entry: StoredEntry) -> StoredEntry | None:
        entries = read(self._api.allowlist(self._cluster)[0])
        return next((stored for stored in entries if stored.network == entry.network), None)

    def _put(self, current: StoredEntry | None, entry: StoredEntry) -> None:
        """Add or change an entry; after a lost response, look at the allowlist before trying again."""
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
            current = self._stored(entry)
            if current is not None and (current.name, current.sql, current.ui) == (entry.name, entry.sql, entry.ui):
                return

    def _remove(self, entry: StoredEntry) -> None:
        for attempt in range(TRIES):
            try:
                self._api.remove_entry(self._cluster, entry.body())
                return
            except NotFoundError:
                return
            except CloudError as exc:
                if not exc.uncertain or attempt + 1 == TRIES:
                    raise
            if self._stored(entry) is None:
                return
