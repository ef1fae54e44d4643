# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The reports: grouping, and that nothing which a host says can break any format."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from ansible_collections.crdb.onboard.plugins.plugin_utils._report import fleet as _report
from ansible_collections.crdb.onboard.plugins.plugin_utils._report import formats as _report_formats
from ansible_collections.crdb.onboard.plugins.plugin_utils._report.fleet import Fleet, read_host
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests import reports

VOID = {"meta", "input", "br", "wbr"}


def fleet_of(results):
    return Fleet(tuple(read_host(name, result) for name, result in results.items()), reports.WRITTEN)


def text_of(fleet):
    return "\n".join(_report_formats.text(fleet))


class Page(HTMLParser):
    """A page's elements, once it is well formed: everything that is opened is closed, in order."""

    def __init__(self, page: bytes):
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict]] = []
        self.text: list[str] = []
        self.tables: list[list[int]] = []
        self._open: list[str] = []
        self.feed(page.decode("utf-8"))
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        assert len(attributes) == len(attrs)
        self.elements.append((tag, attributes))
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append(0)
        if tag in ("th", "td"):
            self.tables[-1][-1] += int(attributes.get("colspan", 1))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open[-1:] != ["style"]:
            self.text.append(data)

    def named(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


class TestCauses:
    def test_hosts_with_one_cause_are_one_group_that_says_what_to_add(self):
        found = fleet_of({f"app{n}": {"checks": [reports.refused()]} for n in range(37)})
        assert [cause.title for cause in found.causes] == [
            f"37 hosts: not_in_allowlist at {reports.CLUSTER} port 26257"
        ]
        assert "Add 203.0.113.7/32 to the IP allowlist" in found.causes[0].cure

    def test_what_differs_is_listed_within_the_sentence(self):
        addresses = [f"203.0.113.{n}" for n in range(1, 8)]
        found = fleet_of({a: {"checks": [reports.refused(address=a, public=a)]} for a in addresses})
        assert len(found.causes) == 1
        some = "203.0.113.1, 203.0.113.2, 203.0.113.3, 203.0.113.4, 203.0.113.5 and 2 more"
        assert f"({some}) refuses" in found.causes[0].cause
        assert found.causes[0].cure.startswith("Add 203.0.113.1/32, 203.0.113.2/32, ")

    def test_punctuation_around_values_stays_outside(self):
        found = fleet_of({n: {"checks": [reports.refused(cause=f"It ended at ({n}).")]} for n in ("one", "two")})
        assert found.causes[0].cause == "It ended at (one, two)."

    @pytest.mark.parametrize(
        "other",
        [
            {"code": "throttled"},
            {"port": 26258},
            {"host": "elsewhere.example.com"},
            {"cause": "Something else altogether is wrong with all of this, and nothing of it reads the same here."},
        ],
    )
    def test_other_causes_are_other_groups(self, other):
        found = fleet_of({"a": {"checks": [reports.refused()]}, "b": {"checks": [reports.refused(**other)]}})
        assert [cause.hosts for cause in found.causes] == [("a",), ("b",)]

    def test_the_cause_of_most_hosts_comes_first(self):
        results = {"z": {"checks": [reports.refused(code="throttled")]}}
        results.update({f"a{n}": {"checks": [reports.refused()]} for n in range(3)})
        assert [cause.code for cause in fleet_of(results).causes] == ["not_in_allowlist", "throttled"]

    def test_every_failure_is_in_exactly_one_group(self):
        found = reports.fleet(1000, 2)
        members = [(host, name) for cause in found.causes for host, name, _evidence in cause.members]
        failed = [(h.name, c.name) for h in found.hosts for c in h.checks if not c.ok]
        failed += [(h.name, p.name) for h in found.hosts for p in h.probes if p.verdict == "failed"]
        failed += [(h.name, "") for h in found.hosts if not h.checks]
        assert sorted(members) == sorted(failed)
        assert len(members) == len(set(members))

    def test_hosts_that_waited_are_folded_into_the_cause_that_held_them(self):
        results = {"app0": {"checks": [rejected()]}, "z": {"checks": [reports.refused(host="elsewhere")]}}
        results |= {f"app{n}": {"checks": [waited("app0", n)]} for n in range(1, 6)}
        results["y"] = {"checks": [reports.refused(host="elsewhere")]}
        found = fleet_of(results)
        where = f"at {reports.CLUSTER} port 26257"
        assert [cause.title for cause in found.causes] == [
            f"6 hosts: password_rejected {where}: 1 tried, 5 waited",
            "2 hosts: not_in_allowlist at elsewhere port 26257",
        ]
        assert found.causes[0].cause == rejected()["cause"]
        assert len(found.causes[0].members) == 6
        assert not [cause for cause in found.causes if "canary" in cause.cause + cause.code]

    def test_three_accidents_are_the_cause_of_those_that_waited(self):
        silent = rejected(code="server_hang_auth", cause="The server is silent.")
        results = {name: {"checks": [silent]} for name in ("a", "b", "c")}
        results |= {
            f"app{n}": {"checks": [waited("a", n, code="canary_failed", verdict="server_hang_auth", others=["b", "c"])]}
            for n in range(4)
        }
        assert [cause.title.partition(": ")[2] for cause in fleet_of(results).causes] == [
            f"server_hang_auth at {reports.CLUSTER} port 26257: 3 tried, 4 waited"
        ]

    def test_another_endpoint_of_the_host_is_folded_as_well(self):
        results = {"app": {"checks": [rejected(), reports.refused("two: db", code="not_tried", evidence={})]}}
        (cause,) = fleet_of(results).causes
        assert cause.title == f"1 host: password_rejected at {reports.CLUSTER} port 26257"
        assert [name for _host, name, _evidence in cause.members] == ["shop: shop_db", "two: db"]

    def test_hosts_that_waited_for_one_that_is_not_here_stand_alone(self):
        results = {f"app{n}": {"checks": [waited("gone", n)]} for n in range(2)}
        assert [cause.code for cause in fleet_of(results).causes] == ["canary_refused"]

    def test_what_differs_by_nature_neither_splits_nor_lengthens(self):
        def check(n):
            times = " ".join(f"x{m} {n * 100 + m}.5 ms," for m in range(6))
            return reports.refused(cause=f"It is 2026-11-29T02:45:{n:02}Z here; {times} which is long.", cure="Wait.")

        found = fleet_of({f"app{n}": {"checks": [check(n)]} for n in range(40)})
        assert len(found.causes) == 1
        assert "It is 2026-11-29T02:45:00Z to 2026-11-29T02:45:39Z here; x0 0.5 to 3900.5 ms," in found.causes[0].cause

    def test_a_note_on_several_endpoints_is_one(self):
        results = {f"app{n}": {"checks": [reports.passed(port=n, notes=[reports.NOTE])]} for n in range(5)}
        assert [note.title for note in fleet_of(results).notes] == ["5 hosts: slow_tcp"]


def rejected(**more):
    """A check whose password was refused."""
    return reports.refused(**{"code": "password_rejected", "cause": "It refuses the password.", **more})


def waited(first, number, code="canary_refused", verdict="password_rejected", others=()):
    """The check of a host that did not try, because `first` did."""
    evidence = {"tried_by": [first, *others], "verdict": verdict}
    cause = f"The server refused the login from {first}, so host {number} sent no password."
    return reports.refused(code=code, cause=cause, evidence=evidence, stages=[])


class TestStatus:
    @pytest.mark.parametrize(
        ("checks", "probes", "status"),
        [
            ({"checks": [reports.passed()]}, None, "reached"),
            ({"checks": [reports.passed()]}, {"skipped": True}, "reached"),
            ({"checks": [reports.passed("shop: db")]}, {"probes": [{"app": "shop", "verdict": "proved"}]}, "proved"),
            (
                {"checks": [reports.passed("shop: db"), reports.passed("ledger: db")]},
                {"probes": [{"app": "shop", "verdict": "proved"}]},
                "reached",
            ),
            ({"checks": [reports.passed(), reports.refused()]}, None, "failed"),
            ({"checks": [reports.passed()]}, {"probes": [{"verdict": "failed"}]}, "failed"),
            ({"checks": [reports.passed()]}, {"probes": [{"verdict": "not_proved"}]}, "reached"),
            ({"failed": True, "msg": "no CA"}, None, "failed"),
            ({"unreachable": True, "msg": "x"}, None, "unreachable"),
            ({"checks": []}, None, "not_checked"),
            ({"skipped": True}, None, "not_checked"),
            (None, None, "not_checked"),
            ({"checks": [{"ok": "yes"}]}, None, "failed"),
            ("nonsense", 7, "not_checked"),
        ],
    )
    def test_of_a_host(self, checks, probes, status):
        assert read_host("app", checks, probes).status == status

    def test_a_host_that_left_the_play_before(self):
        assert read_host("app", None, lost=True).status == "failed_before"
        assert read_host("app", {"checks": [reports.passed()]}, lost=True).status == "reached"

    def test_a_report_is_ok_only_when_all_hosts_are_reached(self):
        assert fleet_of({"a": {"checks": [reports.passed()]}}).ok
        assert not fleet_of({"a": {"checks": [reports.passed()]}, "b": None}).ok


class TestText:
    @pytest.mark.parametrize(
        ("probe", "verdict"),
        [
            ({"verdict": "proved"}, "proved"),
            (
                {"verdict": "not_proved", "message": "node is not on this host"},
                "reached, not proved: node is not on this host",
            ),
            ({"verdict": "failed", "message": "no such role"}, "reached, a driver FAILED"),
        ],
    )
    def test_the_verdict_line_says_how_far_a_connection_is_proved(self, probe, verdict):
        probes = {"probes": [{"app": "shop", "framework": "node-postgres", **probe}]}
        result = {"checks": [reports.passed("shop: db")], "drivers": probes}
        host = read_host("web1", result, probes)
        assert host.verdict(host.checks[0]) == verdict
        fleet = Fleet((host,), reports.WRITTEN)
        assert _report_formats.text(fleet)[1].endswith(f" {verdict}")

    def test_one_host(self):
        lines = _report_formats.of_host("app", {"checks": [reports.passed("a: db"), reports.refused("bb: db")]})
        assert lines[0].split() == ["endpoint", *_report.STAGES, "verdict"]
        assert lines[1].startswith("a: db ")
        assert lines[1].endswith(" reached")
        assert lines[2].startswith("bb: db ")
        assert re.search(r" FAILED +- +- +not_in_allowlist$", lines[2])
        assert (
            len({line.index(word) for line, word in zip(lines[:3], ("verdict", "reached", "not_in"), strict=True)}) == 1
        )
        assert [line[:9] for line in lines[-2:]] == ["  cause: ", "  cure:  "]

    def test_notes_are_shown(self):
        lines = _report_formats.of_host("app", {"checks": [reports.passed(notes=[reports.NOTE])]})
        assert lines[1].endswith("reached (1 note)")
        assert f"slow_tcp at {reports.CLUSTER} port 26257 (shop: shop_db)" in lines
        assert f"  note:  {reports.NOTE['text']}" in lines

    def test_a_fleet_is_short(self):
        lines = _report_formats.text(reports.fleet(1000))
        assert lines[0] == "1000 hosts: 944 proved, 40 failed, 11 unreachable, 5 failed or unreachable before the check"
        assert len(lines) < 50
        assert any(line.startswith("37 hosts: not_in_allowlist at ") for line in lines)
        assert any(line.startswith("11 hosts: unreachable") for line in lines)


class TestJson:
    def test_it_holds_what_the_modules_returned(self):
        check = reports.refused(notes=["a note"], something_new={"of": ["tomorrow", 1, None, True]})
        content = json.loads(_report_formats.as_json(fleet_of({"app": {"checks": [check]}})))
        assert content["hosts"][0]["checks"] == [check]
        assert content["hosts_by_status"]["failed"] == 1
        assert content["causes"][0]["hosts"] == ["app"]


class TestJunit:
    def test_of_a_fleet(self):
        top = ElementTree.fromstring(_report_formats.as_junit(reports.fleet(1000)))  # noqa: S314 our own
        cases = list(top.iter("testcase"))
        for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(top.get(attribute)) == len(list(top.iter(tag))) == sum(int(s.get(attribute)) for s in top)
        assert int(top.get("tests")) == len(cases) == sum(int(s.get("tests")) for s in top)
        assert (top.get("failures"), top.get("errors")) == ("40", "16")
        assert {suite.get("name") for suite in top} == {host.name for host in reports.fleet(1000).hosts}
        names = [(case.get("classname"), case.get("name")) for case in cases]
        assert len(names) == len(set(names))

    @pytest.mark.parametrize("code", ["not_tried", "canary_refused", "canary_failed"])
    def test_what_was_not_tried_is_skipped(self, code):
        results = {"app": {"checks": [reports.refused(code=code, stages=[])]}}
        top = ElementTree.fromstring(_report_formats.as_junit(fleet_of(results)))  # noqa: S314 our own
        assert (top.get("failures"), top.get("skipped")) == ("0", "1")


class TestPage:
    def test_it_needs_nothing_else(self):
        page = Page(_report_formats.as_html(reports.fleet(30)))
        assert {"script", "link", "img", "iframe", "object", "embed", "form", "base"}.isdisjoint(
            tag for tag, _attributes in page.elements
        )
        for _tag, attributes in page.elements:
            assert not [name for name in attributes if name.startswith("on") or name in ("style", "src", "srcset")]
            assert attributes.get("href", "#").startswith("#")
        style = _report_formats.as_html(reports.fleet(1)).decode().split("<style>")[1].split("</style>")[0]
        assert "url(" not in style
        assert "@import" not in style

    @pytest.mark.parametrize("size", [1, 30])
    def test_links_lead_somewhere_and_tables_are_even(self, size):
        page = Page(_report_formats.as_html(reports.fleet(size, 2)))
        identifiers = [attributes["id"] for _tag, attributes in page.elements if "id" in attributes]
        assert len(identifiers) == len(set(identifiers))
        targets = {a["href"][1:] for a in page.named("a")} | {
            a["aria-labelledby"] for _t, a in page.elements if "aria-labelledby" in a
        }
        assert targets <= set(identifiers)
        assert all(len(set(rows)) == 1 for rows in page.tables)

    def test_size_is_bounded(self):
        assert len(_report_formats.as_html(reports.fleet(1))) < 10_000
        assert len(_report_formats.as_html(reports.fleet(1000))) < 1_000_000
        assert len(_report_formats.as_html(reports.fleet(1000, 3))) < 2_500_000

    def test_a_host_cannot_make_it_large(self):
        huge = {"x" * 900: "y" * 10_000, "list": ["z" * 5000] * 5000}
        checks = [reports.refused(cause="c" * 10**6, evidence=huge, notes=["n" * 10**6] * 500)] * 5000
        fleet = fleet_of({"app": {"checks": checks}})
        assert len(fleet.hosts[0].checks) == 200
        assert len(_report_formats.as_html(fleet)) < 1_000_000
        assert len(_report_formats.as_junit(fleet)) + len(_report_formats.as_json(fleet)) < 40_000_000


# Of the page itself: anything else would be a host's.
TAGS = {
    *("html", "head", "meta", "title", "style", "body", "header", "main", "section", "article", "h1", "h2", "h3", "p"),
    *("footer", "code", "b"),
    *(
        "a",
        "time",
        "strong",
        "span",
        "br",
        "wbr",
        "ul",
        "li",
        "details",
        "summary",
        "dl",
        "dt",
        "dd",
        "div",
        "input",
        "label",
    ),
    *("table", "caption", "thead", "tbody", "tr", "th", "td", "svg", "rect"),
}
ATTRIBUTES = {
    *(
        "title",
        "aria-label",
        "lang",
        "charset",
        "name",
        "http-equiv",
        "content",
        "class",
        "href",
        "datetime",
        "id",
        "open",
        "role",
        "tabindex",
    ),
    *("aria-labelledby", "aria-hidden", "scope", "colspan", "x", "y", "width", "height", "type", "for"),
}
NASTY = [
    "<script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    *("]]>", "<!--", "&amp;", "&#x3c;", "{{ 7 * 7 }}", "{% raw %}", "%s{0}"),
    *("\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x9b31m", "a\nb\rc", "\x00", "\x1f", "\x7f"),
    *("\u202egnp.exe", "\u2066", "\u2028", "\ud800", "\ufffe"),
]
HOSTILE = st.one_of(st.text(max_size=60), st.sampled_from(NASTY))
ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), HOSTILE),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(HOSTILE, inner, max_size=4)),
    max_leaves=8,
)
STAGE = st.fixed_dictionaries(
    {},
    optional={"stage": st.one_of(st.sampled_from(_report.STAGES), ANYTHING), "ok": ANYTHING, "milliseconds": ANYTHING},
)
CHECK = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("name", "host", "code", "cause", "cure"), HOSTILE),
        "port": ANYTHING,
        "ok": st.one_of(st.booleans(), ANYTHING),
        "evidence": ANYTHING,
        "notes": st.one_of(st.lists(st.fixed_dictionaries({"code": HOSTILE, "text": HOSTILE}), max_size=3), ANYTHING),
        "stages": st.one_of(st.lists(STAGE, max_size=7), ANYTHING),
        "extra": ANYTHING,
    },
)
PROBE = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("app", "framework", "message"), HOSTILE),
        "verdict": st.one_of(st.sampled_from(_report.VERDICTS), HOSTILE),
        "facts": ANYTHING,
    },
)
RESULT = st.one_of(
    st.fixed_dictionaries({"checks": st.lists(st.one_of(CHECK, ANYTHING), max_size=4)}),
    st.fixed_dictionaries({"unreachable": st.just(True), "msg": HOSTILE}),
    st.fixed_dictionaries({"failed": st.just(True), "msg": HOSTILE}),
    ANYTHING,
)
PROBES = st.one_of(st.fixed_dictionaries({"probes": st.lists(st.one_of(PROBE, ANYTHING), max_size=3)}), ANYTHING)
HOSTS = st.lists(
    st.builds(read_host, HOSTILE, RESULT, PROBES, lost=st.booleans()), max_size=5, unique_by=lambda host: host.name
)


@given(HOSTS)
@settings(max_examples=150, deadline=None)
def test_no_answer_breaks_a_format(hosts):
    fleet = Fleet(tuple(hosts), reports.WRITTEN)
    for printed in _report_formats.text(fleet):
        assert printed.isprintable(), printed
    content = json.loads(_report_formats.as_json(fleet), parse_constant=pytest.fail)
    assert [host["name"] for host in content["hosts"]] == [host.name for host in hosts]
    top = ElementTree.fromstring(_report_formats.as_junit(fleet))  # noqa: S314 our own
    assert [suite.get("name") for suite in top] == [host.name for host in hosts]
    page = Page(_report_formats.as_html(fleet))
    assert {tag for tag, _attributes in page.elements} <= TAGS
    for _tag, attributes in page.elements:
        assert set(attributes) <= ATTRIBUTES
        assert attributes.get("href", "#").startswith("#")
    assert all(len(set(rows)) == 1 for rows in page.tables)


@given(HOSTILE, HOSTILE)
@example("0\r\x1b\r\ud7fc", "x")
@settings(deadline=None)
def test_what_a_server_says_is_shown_as_it_is(cause, name):
    """Escaped once, never twice, never evaluated: every format gives the cleaned text back."""
    fleet = fleet_of({"app": {"checks": [reports.refused(name or "x", cause=cause)]}})
    check = fleet.hosts[0].checks[0]
    assert check.cause in " ".join(Page(_report_formats.as_html(fleet)).text) or not check.cause
    case = next(ElementTree.fromstring(_report_formats.as_junit(fleet)).iter("testcase"))  # noqa: S314 our own
    assert case.get("name") == re.sub("[\ufffe\uffff]", "\ufffd", check.name)
    assert json.loads(_report_formats.as_json(fleet))["hosts"][0]["checks"][0]["name"] == check.name
