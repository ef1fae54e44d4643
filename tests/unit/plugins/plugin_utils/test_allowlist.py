# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of an allowlist: which entries are added, changed and removed, and what the operator is told."""

from __future__ import annotations

from datetime import date

import pytest
from ansible_collections.crdb.onboard.plugins.action.allowlist import _distinct
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.allowlist import (
    DesiredAllowlist,
    Reconciler,
    StoredEntry,
    locked_out,
    plan,
    read,
    refuse_more_than,
    refuse_too_many,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._cloud.http_client import (
    CloudError,
    ExistsError,
    NotFoundError,
)
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.networks import parse_entry

from tests.instructions import instructions

PREFIX = "ours "
TODAY = date(2026, 6, 1)
ANY = "0.0.0.0/0"


def stored(cidr, name="", rights="sql"):
    address, _slash, mask = cidr.partition("/")
    return StoredEntry(address, int(mask or 32), name, "sql" in rights, "ui" in rights)


def desired(*entries, state="present", **more):
    parsed = tuple(parse_entry(entry, allow_any=True, allow_private=True) for entry in entries)
    return DesiredAllowlist(state, PREFIX, parsed, **{"today": TODAY, **more})


ANN = stored("198.41.0.9", "ours ann")
THEIRS = stored("203.0.113.0/24", "theirs")
OLD = stored("198.41.0.8", "ours bob (until 2026-05-31)")
LAST_DAY = stored("198.41.0.8", "ours bob (until 2026-06-01)")
OPEN = stored(ANY, "Default")
NEW = {"cidr": "198.41.0.1", "name": "new"}

SIX = stored("2001:db8::/32", "ours six (until 2026-05-31)")

PLANS = {
    "an entry of IPv6": (
        (ANN, SIX),
        desired(NEW),
        ["+198.41.0.1/32"],
        "2001:db8::/32 'ours six (until 2026-05-31)' is kept",
    ),
    "IPv6, exact": ((SIX,), desired(NEW, state="exact"), ["+198.41.0.1/32"], "it is IPv6, which is not managed here"),
    "IPv6, absent by name": ((SIX,), desired(state="absent", names=("six",)), [], "it is IPv6"),
    "nothing to do": ((ANN,), desired({"cidr": "198.41.0.9", "name": "ann"}), [], ""),
    "a new entry": ((ANN, THEIRS), desired(NEW), ["+198.41.0.1/32"], ""),
    "more rights": ((ANN,), desired({"cidr": "198.41.0.9", "name": "ann", "ui": True}), ["w198.41.0.9/32"], ""),
    "fewer rights": (
        (stored("198.41.0.9", "ours ann", "sql ui"),),
        desired({"cidr": "198.41.0.9", "name": "ann"}),
        ["n198.41.0.9/32"],
        "",
    ),
    "another right": (
        (stored("198.41.0.9", "ours ann", "ui"),),
        desired({"cidr": "198.41.0.9", "name": "ann"}),
        ["w198.41.0.9/32", "n198.41.0.9/32"],
        "",
    ),
    "another name": ((ANN,), desired({"cidr": "198.41.0.9", "name": "anna"}), ["w198.41.0.9/32"], ""),
    "an entry of somebody else": ((THEIRS,), desired({"cidr": "203.0.113.0/24", "name": "b"}), [], "its name is kept"),
    "host bits": ((stored("198.41.0.9/24", "ours ann"),), desired({"cidr": "198.41.0.0/24", "name": "ann"}), [], ""),
    "absent": ((ANN, THEIRS), desired("198.41.0.9", state="absent"), ["-198.41.0.9/32"], ""),
    "absent, somebody else's": ((THEIRS,), desired("203.0.113.0/24", state="absent"), [], "is not managed here"),
    "absent, not listed": ((ANN,), desired("198.41.0.1", state="absent"), [], ""),
    "absent, by name": ((ANN, OLD), desired(state="absent", names=("ann",)), ["-198.41.0.8/32", "-198.41.0.9/32"], ""),
    "exact": ((ANN, THEIRS), desired(NEW, state="exact"), ["+198.41.0.1/32", "-198.41.0.9/32", "-203.0.113.0/24"], ""),
    "exact renames": (
        (THEIRS,),
        desired({"cidr": "203.0.113.0/24", "name": "b"}, state="exact"),
        ["w203.0.113.0/24"],
        "",
    ),
    "a laptop that moved": (
        (ANN,),
        desired({"cidr": "198.41.0.1", "name": "ann"}, names=("ann",)),
        ["+198.41.0.1/32", "-198.41.0.9/32"],
        "",
    ),
    "a laptop that stayed": ((ANN,), desired({"cidr": "198.41.0.9", "name": "ann"}, names=("ann",)), [], ""),
    "a name with an expiry": ((LAST_DAY,), desired(names=("bob",)), ["-198.41.0.8/32"], ""),
    "expired": ((OLD,), desired(), ["-198.41.0.8/32"], ""),
    "the last day": ((LAST_DAY,), desired(), [], ""),
    "expired, somebody else's": ((stored("198.41.0.8", "x (until 2026-05-31)"),), desired(), [], ""),
    "expired, but desired": ((OLD,), desired({"cidr": "198.41.0.8", "name": "bob"}), ["w198.41.0.8/32"], ""),
    "open to all": ((OPEN,), desired(NEW), ["+198.41.0.1/32"], "remove it with remove_any: true"),
    "open to all, to be closed": ((OPEN,), desired(NEW, remove_any=True), ["+198.41.0.1/32", "-0.0.0.0/0"], ""),
    "open to all and nothing else": ((OPEN,), desired(remove_any=True), [], "would let nobody in"),
    "open to all, as desired": ((OPEN, ANN), desired(ANY, remove_any=True), [], "its name is kept"),
    "open to all, exact": ((OPEN,), desired(state="exact", remove_any=True), ["-0.0.0.0/0"], ""),
}


def changes(todo):
    return [
        *(f"+{entry.network}" for entry in todo.add),
        *(f"w{entry.network}" for entry, _after in todo.widen),
        *(f"n{entry.network}" for entry, _after in todo.narrow),
        *(f"-{entry.network}" for entry in todo.remove),
    ]


@pytest.mark.parametrize(("before", "what", "expected", "note"), PLANS.values(), ids=PLANS)
def test_plan(before, what, expected, note):
    todo = plan(before, what)
    assert changes(todo) == expected
    assert todo.empty == (not expected)
    assert todo.before == before
    assert note in " ".join(todo.notes)
    assert bool(todo.notes) == bool(note)
    assert plan(todo.after, what).empty


def test_an_entry_of_somebody_else_keeps_its_rights():
    ((before, after),) = plan((THEIRS,), desired({"cidr": "203.0.113.0/24", "sql": False, "ui": True})).widen
    assert (before, after) == (THEIRS, stored("203.0.113.0/24", "theirs", "sql ui"))


def test_the_last_entry_of_ipv4_is_kept_beside_one_of_ipv6():
    todo = plan((OPEN, SIX), desired(remove_any=True))
    assert todo.empty
    assert "would let nobody in" in " ".join(todo.notes)
    assert todo.after == (OPEN, SIX)


def test_who_loses_access_is_known():
    todo = plan((ANN, THEIRS), desired(NEW, state="exact"))
    assert locked_out(todo, ["198.41.0.9", "203.0.113.7", "198.41.0.1", "192.0.2.1"]) == ["198.41.0.9", "203.0.113.7"]


def test_a_right_is_added_before_another_is_taken_from_the_same_entry():
    before, after = stored("198.41.0.9", "ours ann", "ui"), stored("198.41.0.9", "ours ann")
    both = stored("198.41.0.9", "ours ann", "sql ui")
    todo = plan((before,), desired({"cidr": "198.41.0.9", "name": "ann"}))
    assert (todo.widen, todo.narrow) == (((before, both),), ((both, after),))
    assert todo.after == (after,)


def test_more_entries_than_the_plan_allows_are_refused_without_a_look_at_the_allowlist():
    refuse_more_than(50, 50, "shop")
    with pytest.raises(OnboardingError, match="allowlist of shop may have 50 entries, but entries lists 5000"):
        refuse_more_than(50, 5000, "shop")


def test_twice_as_many_entries_are_twice_the_work():
    def work(number):
        before = tuple(stored(f"20.1.{index // 256}.{index % 256}", f"ours {index}") for index in range(number))
        wanted = desired(*(f"20.2.{index // 256}.{index % 256}" for index in range(number)), state="exact")

        def reconcile():
            todo = plan(before, wanted)
            locked_out(todo, [entry.cidr_ip for entry in before])

        return instructions(reconcile)

    work(2)
    assert work(200) < 2.2 * work(100)


def test_the_entries_of_all_hosts_are_merged_without_comparing_all_pairs():
    class Counted(dict):
        compared = 0

        def __eq__(self, other):
            Counted.compared += 1
            return super().__eq__(other)

        __hash__ = None

    of_host = [[Counted(cidr=f"20.{host}.{index}.0/24") for index in range(100)] for host in (1, 2, 2)]
    assert [entry["cidr"][:4] for entry in _distinct([*of_host, [], of_host[0]])] == ["20.1"] * 100 + ["20.2"] * 100
    assert Counted.compared <= 300


@pytest.mark.parametrize(
    ("limit", "what", "message"),
    [
        (3, desired(NEW), ""),
        (2, desired(NEW), "may have 2 entries; it has 2, and 1 would be added. Join networks"),
        (2, desired(NEW, names=("ann",)), "New entries are added before old ones are removed: remove 1"),
        (1, desired(state="exact"), ""),
    ],
)
def test_the_limit_counts_entries_before_any_is_removed(limit, what, message):
    todo = plan((ANN, THEIRS), what)
    if not message:
        refuse_too_many(todo, limit, "shop")
        return
    with pytest.raises(OnboardingError) as caught:
        refuse_too_many(todo, limit, "shop")
    assert message in str(caught.value)


def test_entries_are_read_sorted_and_a_wrong_one_is_named():
    items = [
        {"cidr_ip": "203.0.113.0", "cidr_mask": 24, "name": None, "sql": True},
        {"cidr_ip": "198.41.0.9", "cidr_mask": "32", "name": "ours ann", "sql": True, "ui": False},
    ]
    assert read(items) == (ANN, stored("203.0.113.0/24"))
    assert read([{"cidr_ip": "2001:db8::1", "cidr_mask": 128}, *items])[-1] == stored("2001:db8::1/128", rights="")
    for wrong in (
        {},
        {"cidr_ip": "x", "cidr_mask": 1},
        {"cidr_ip": "198.41.0.9", "cidr_mask": 33},
        {"cidr_ip": "198.41.0.9", "cidr_mask": 24.5},
        {"cidr_ip": "198.41.0.9", "cidr_mask": True},
        {"cidr_ip": 3, "cidr_mask": 1},
        {"cidr_ip": ["198.41.0.9"], "cidr_mask": 1},
    ):
        with pytest.raises(OnboardingError, match="is not a network"):
            read([wrong])


class MemoryApi:
    """An allowlist in memory; `errors` are raised by the changes in turn, after those that are uncertain were made."""

    def __init__(self, entries=(), errors=()):
        self.entries = {entry.network: entry for entry in entries}
        self.errors = list(errors)
        self.log = []
        self.waits = 0

    def allowlist(self, cluster):
        return [entry.body() for entry in self.entries.values()], self.waits > 0

    def propagating(self, cluster):
        self.log.append("wait")
        self.waits -= 1
        return self.waits >= 0

    def _change(self, verb, body, entry):
        network = StoredEntry(**{"name": "", "sql": False, "ui": False, **body}).network
        self.log.append(f"{verb} {network}")
        error = self.errors.pop(0) if self.errors else None
        if error is None or error.uncertain:
            self.entries.pop(network, None)
            if entry is not None:
                self.entries[network] = entry
        if error is not None:
            raise error

    def add_entry(self, cluster, body):
        self._change("add", body, StoredEntry(**body))

    def update_entry(self, cluster, body):
        self._change("update", body, StoredEntry(**body))

    def remove_entry(self, cluster, body):
        self._change("remove", body, None)


def failure(kind=CloudError, **more):
    return kind("POST", "/allowlist", "it failed", **more)


def test_access_is_added_and_in_effect_before_any_is_removed():
    api = MemoryApi([ANN])
    todo = plan((ANN,), desired(NEW, names=("ann",)))
    reconciler = Reconciler(api, "1", "shop", pause=lambda seconds: None)
    api.waits = 1
    reconciler.carry_out(todo, 5)
    assert api.log == ["add 198.41.0.1/32", "wait", "wait", "remove 198.41.0.9/32", "wait"]
    assert reconciler.done == ["add 198.41.0.1/32 sql 'ours new'", "remove 198.41.0.9/32 sql 'ours ann'"]


BOTH = stored("198.41.0.9", "ours ann", "sql ui")
TAKEN = {
    "removed": (ANN, desired(names=("ann",)), "remove 198.41.0.9/32"),
    "removed, absent": (ANN, desired(state="absent", names=("ann",)), "remove 198.41.0.9/32"),
    "removed, exact": (ANN, desired(NEW, state="exact"), "remove 198.41.0.9/32"),
    "narrowed": (BOTH, desired({"cidr": "198.41.0.9", "name": "ann", "sql": False, "ui": True}), "update 198.41.0.9"),
}


@pytest.mark.parametrize(("before", "what", "change"), TAKEN.values(), ids=TAKEN)
def test_nothing_is_taken_while_an_earlier_change_is_not_in_effect(before, what, change):
    """Of a run that was killed, or of a colleague: the new entry is listed already."""
    api = MemoryApi([before, stored("198.41.0.1", "ours new")])
    api.waits = 2
    reconciler = Reconciler(api, "1", "shop", pause=lambda seconds: None)
    todo, propagating = reconciler.plan(what, 50, 5)
    assert (api.log, propagating) == (["wait", "wait", "wait"], False)
    # And one that comes between the plan and its end.
    api.log.clear()
    api.waits = 1
    reconciler.carry_out(todo, 5)
    assert [api.log[0], api.log[1], api.log[2].startswith(change)] == ["wait", "wait", True]


def test_what_is_planned_is_what_is_listed_after_the_wait():
    """The entry that kept somebody in is gone meanwhile, so that its loss can be refused."""
    api = MemoryApi([ANN, stored("198.41.0.0/24", "ours new")])
    api.waits = 1

    def pause(seconds):
        del api.entries[stored("198.41.0.0/24").network]

    todo, _propagating = Reconciler(api, "1", "shop", pause=pause).plan(desired(names=("ann",)), 50, 5)
    assert todo.before == (ANN,)
    assert locked_out(todo, ["198.41.0.9"]) == ["198.41.0.9"]


def test_nothing_is_changed_when_an_earlier_change_stays_without_effect():
    api = MemoryApi([ANN])
    api.waits = 1000
    with pytest.raises(OnboardingError, match=r"shop: an earlier change is not in effect after 0 s, .* Nothing was"):
        Reconciler(api, "1", "shop", pause=lambda seconds: None).plan(desired(NEW, names=("ann",)), 50, 0)
    assert set(api.log) == {"wait"}


@pytest.mark.parametrize(
    ("what", "wait"), [(desired(NEW), 5), (desired(names=("ann",)), None)], ids=["adds only", "check mode"]
)
def test_a_plan_that_takes_nothing_or_is_only_shown_does_not_wait(what, wait):
    api = MemoryApi([ANN])
    api.waits = 1
    todo, propagating = Reconciler(api, "1", "shop", pause=lambda seconds: None).plan(what, 50, wait)
    assert (api.log, propagating, todo.empty) == ([], True, False)


@pytest.mark.parametrize(
    ("errors", "log"),
    [
        ([failure(uncertain=True)], ["add 198.41.0.1/32", "wait"]),
        ([failure(ExistsError)], ["add 198.41.0.1/32", "add 198.41.0.1/32", "wait"]),
    ],
    ids=["lost response", "refused once"],
)
def test_after_a_lost_response_the_allowlist_is_looked_at(errors, log):
    api = MemoryApi(errors=errors)
    Reconciler(api, "1", "shop").carry_out(plan((), desired(NEW)), 5)
    assert api.log == log
    assert list(api.entries.values()) == [stored("198.41.0.1", "ours new")]


def test_what_is_removed_already_is_done():
    api = MemoryApi([ANN], errors=[failure(NotFoundError)])
    Reconciler(api, "1", "shop").carry_out(plan((ANN,), desired(state="absent", names=("ann",))), 5)
    assert api.log == ["wait", "remove 198.41.0.9/32", "wait"]


def test_a_refusal_names_the_entry():
    refused = CloudError("POST", "/allowlist", "the name is too long", status=400)
    todo = plan((ANN,), desired(NEW, {"cidr": "198.41.0.2", "name": "other"}, names=("ann",)))
    with pytest.raises(OnboardingError) as caught:
        Reconciler(MemoryApi([ANN], [None, refused]), "1", "shop", pause=lambda seconds: None).carry_out(todo, 5)
    assert str(caught.value).startswith(
        "The allowlist of shop: cannot add 198.41.0.2/32 sql 'ours other': Cloud API: POST /allowlist answered 400: the"
        " name is too long. Done: add 198.41.0.1/32 sql 'ours new'. Not done: add 198.41.0.2/32"
    )


def test_an_error_lists_what_was_done_and_what_was_not():
    api = MemoryApi([ANN])
    todo = plan((ANN,), desired(NEW, names=("ann",)))
    api.waits = 1000
    with pytest.raises(OnboardingError) as caught:
        Reconciler(api, "1", "shop", pause=lambda seconds: None).carry_out(todo, 0)
    assert (
        "The allowlist of shop: the changes are not in effect after 0 s. Set wait (crdb_network_wait) to a longer time."
        in str(caught.value)
    )
    assert "Done: add 198.41.0.1/32 sql 'ours new'. Not done: remove 198.41.0.9/32 sql 'ours ann'." in str(caught.value)
