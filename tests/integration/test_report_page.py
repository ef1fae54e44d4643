# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report's page in a real browser: Chromium, driven by ChromeDriver. Screenshots are left in build/screenshots."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from pathlib import Path

import pytest
from ansible_collections.crdb.onboard.plugins.plugin_utils._report import fleet as page_room
from ansible_collections.crdb.onboard.plugins.plugin_utils._report import formats as _report_formats
from ansible_collections.crdb.onboard.plugins.plugin_utils._report.fleet import Fleet, read_host
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.keys import Keys

from tests import reports

SCREENSHOTS = Path(__file__).resolve().parents[2] / "build" / "screenshots"
SIZES = (1, 1000)
# What people look at: one host, a small fleet and a large one, on a phone and on a desk.
LOOKED_AT = (1, 12, 200)
WIDTHS = (390, 1280)
# As long as a cloud names its hosts.
DOMAIN = "eu-central-1.compute.internal.shop.example.com"
SCHEMES = ("light", "dark")

# The contrast of every text that is shown with what is behind it, by WCAG 2's formula, where it is too low.
LOW_CONTRAST = """
const channels = text => text.match(/[\\d.]+/g).map(Number);
const luminance = colour => {
  const [r, g, b] = channels(colour).map(c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = element => {
  for (let e = element; e; e = e.parentElement) {
    const colour = getComputedStyle(e).backgroundColor;
    if (channels(colour)[3] !== 0) return colour;
  }
  return 'rgb(255, 255, 255)';
};
const ratio = (a, b) => {
  const [x, y] = [luminance(a), luminance(b)].sort((p, q) => q - p);
  return (x + 0.05) / (y + 0.05);
};
const low = new Set();
let seen = 0;
for (const element of document.body.querySelectorAll('*')) {
  const style = getComputedStyle(element);
  if (element.tagName === 'rect') {
    seen += 1;
    if (ratio(style.fill, getComputedStyle(element.parentElement).backgroundColor) < 3) low.add('rect ' + style.fill);
    continue;
  }
  if (![...element.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
  seen += 1;
  const found = ratio(style.color, behind(element));
  if (found < 4.5) low.add(element.className + ' ' + element.textContent.slice(0, 40) + ' ' + found);
}
return [seen, [...low]];
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Debian's Chromium, without a window."""
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in programs:
        pytest.skip("there is no chromium or no chromedriver: make system-deps installs them")
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for argument in ("--headless=new", "--window-size=1300,900", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(argument)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")
    # With a home of its own: the person's gets no settings of a browser.
    home = str(tmp_path_factory.mktemp("home"))
    driver = webdriver.Chrome(options, Service(programs[1], env={**os.environ, "HOME": home}))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The pages, by size."""
    folder = tmp_path_factory.mktemp("pages")
    for size in SIZES:
        (folder / f"{size}.html").write_bytes(_report_formats.as_html(reports.fleet(size, 3 if size == 1 else 1)))
    for size in LOOKED_AT:
        (folder / f"long-{size}.html").write_bytes(_report_formats.as_html(reports.fleet(size, domain=DOMAIN)))
    return folder


@pytest.fixture(params=SIZES)
def page(request, browser, folder):
    """The browser with the page of one host, and with that of 1,000."""
    return opened(browser, folder / f"{request.param}.html")


@pytest.fixture
def fleet(browser, folder):
    """The browser with the page of 1,000 hosts."""
    return opened(browser, folder / "1000.html")


def opened(browser, path):
    browser.set_window_size(1300, 900)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    browser.get(path.as_uri())
    return browser


def scheme(browser, name):
    features = [{"name": "prefers-color-scheme", "value": name}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def screenshot(browser, name):
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    assert browser.save_screenshot(str(SCREENSHOTS / f"{name}.png"))


def press(browser, *keys):
    for key in keys:
        browser.switch_to.active_element.send_keys(key)


def shown_rows(browser):
    return browser.execute_script(
        "return [...document.querySelectorAll('#hosts tbody tr')].filter(r => r.checkVisibility()).length"
    )


def test_it_loads_nothing_and_complains_of_nothing(page):
    assert page.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert page.execute_script("return document.scripts.length") == 0
    assert page.execute_script("return document.compatMode") == "CSS1Compat"
    assert page.get_log("browser") == []
    # The style is in force although nothing but it may be: the digest in the policy is the style's.
    assert page.execute_script("return getComputedStyle(document.querySelector('table')).borderCollapse") == "collapse"


def test_every_host_is_a_row(browser, folder):
    for size, rows in ((1, 3), (1000, 1003)):
        assert shown_rows(opened(browser, folder / f"{size}.html")) == rows


@pytest.mark.parametrize("name", SCHEMES)
def test_contrast(page, name):
    scheme(page, name)
    page.execute_script("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    seen, low = page.execute_script(LOW_CONTRAST)
    assert seen > 30
    assert low == []
    colours = page.execute_script("const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]")
    assert (colours[1] == "rgb(255, 255, 255)") == (name == "light")


def test_the_contrast_test_finds_what_is_planted(fleet):
    fleet.execute_script("document.querySelector('h1').style.color = '#888'")
    assert len(fleet.execute_script(LOW_CONTRAST)[1]) == 1
    fleet.execute_script("document.querySelector('#hosts rect').style.fill = '#ccc'")
    assert len(fleet.execute_script(LOW_CONTRAST)[1]) == 2


def test_without_colour_every_verdict_is_still_there(fleet):
    cells = fleet.execute_script("return [...document.querySelectorAll('#hosts td:last-child')].map(c => c.innerText)")
    assert {cell[0] for cell in cells} == {"✓", "✗"}
    assert all(len(cell) > 3 for cell in cells)
    stages = fleet.execute_script(
        "return [...document.querySelectorAll('#hosts td.bad')].map(c => c.innerText.trim()).filter(t => t[0] !== '✗')"
    )
    assert stages == []


def test_it_is_walked_by_keyboard(fleet):
    press(fleet, Keys.TAB)
    focused = fleet.switch_to.active_element
    assert focused.text == "Skip to the hosts"
    assert focused.rect["x"] >= 0
    assert fleet.execute_script("return getComputedStyle(arguments[0]).outlineStyle", focused) == "solid"
    screenshot(fleet, "1000-skip-link")
    # Everything that can be acted on is reached, in the order of the page, and seen.
    places = []
    for _step in range(20):
        press(fleet, Keys.TAB)
        focused = fleet.switch_to.active_element
        assert fleet.execute_script("return getComputedStyle(arguments[0]).outlineStyle", focused) == "solid"
        places.append(
            fleet.execute_script("const r = arguments[0].getBoundingClientRect(); return r.y + scrollY", focused)
        )
    assert places == sorted(places)


def test_the_skip_link_leads_to_the_hosts(fleet):
    press(fleet, Keys.TAB, Keys.ENTER)
    assert fleet.switch_to.active_element.get_attribute("id") == "hosts"
    press(fleet, Keys.TAB)
    assert fleet.switch_to.active_element.get_attribute("id") == "only"
    before = shown_rows(fleet)
    press(fleet, Keys.SPACE)
    assert (before, shown_rows(fleet)) == (1003, 59)
    screenshot(fleet, "1000-only-what-is-not-proved")
    press(fleet, Keys.SPACE)
    assert shown_rows(fleet) == before


def test_evidence_opens_by_keyboard(fleet):
    for _step in range(40):
        press(fleet, Keys.TAB)
        if fleet.switch_to.active_element.text == "Evidence":
            break
    else:
        pytest.fail("the evidence is not reached by Tab")
    press(fleet, Keys.ENTER)
    terms = fleet.execute_script(
        "return [...document.querySelectorAll('main dt')].filter(t => t.checkVisibility()).length"
    )
    assert terms == 4
    screenshot(fleet, "1000-evidence")


def test_a_verdict_leads_to_its_cause(fleet):
    link = fleet.execute_script("return document.querySelector('#hosts tbody a[href^=\"#cause\"]')")
    fleet.execute_script("arguments[0].focus()", link)
    press(fleet, Keys.ENTER)
    code = fleet.execute_script("return document.querySelector(':target code').innerText")
    assert link.text.replace(" ", "_") in code


def test_what_a_screen_reader_is_told(page):
    nodes = page.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    nodes = [node for node in nodes if not node["ignored"]]
    by_role = {}
    for node in nodes:
        by_role.setdefault(node["role"]["value"], []).append(node)
    names = {role: [n["name"]["value"] for n in found if "name" in n] for role, found in by_role.items()}
    levels = [
        next(p["value"]["value"] for p in node["properties"] if p["name"] == "level") for node in by_role["heading"]
    ]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False))
    assert len(by_role["main"]) == len(by_role["banner"]) == 1
    assert "How far each host got" in names["region"]
    assert {"Host", "Endpoint", "dns", "sql", "Verdict"} <= set(names["columnheader"])
    assert any(name.startswith("app0000") for name in names["rowheader"])
    assert names["checkbox"] == ["Show only what is not proved"]
    for role in ("link", "checkbox", "DisclosureTriangle"):
        assert all(names.get(role, ["x"]))
    assert "hosts" in page.title or "host" in page.title


def test_with_scripts_off_it_is_the_same(browser, folder):
    """And sends nothing anywhere: the page has no script, so turning them off cannot matter."""
    opened(browser, folder / "1000.html")
    before = browser.get_screenshot_as_base64()
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get((folder / "1000.html").as_uri())
        assert browser.get_screenshot_as_base64() == before
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


@contextlib.contextmanager
def window(browser, width):
    """A window of this width."""
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": False}
    )
    try:
        yield
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("size", LOOKED_AT)
def test_a_phone_shows_verdict_and_failed_stage_without_scrolling_sideways(browser, folder, size):
    opened(browser, folder / f"long-{size}.html")
    with window(browser, 390):
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
        rows = browser.execute_script("""
            return [...document.querySelectorAll('#hosts tbody tr')].map(row => ({
                scrolls: row.closest('.wide').scrollWidth > row.closest('.wide').clientWidth,
                cells: [...row.querySelectorAll('th, td:last-child, td.bad')].map(cell => {
                    const r = cell.getBoundingClientRect();
                    const stage = getComputedStyle(cell, '::before').content;
                    return [cell.innerText, stage, r.left >= 0 && r.right <= innerWidth && r.height > 0];
                }),
            }));
        """)
    assert len(rows) >= size
    assert not any(row["scrolls"] for row in rows)
    assert all(shown for row in rows for _text, _stage, shown in row["cells"])
    refused = [row["cells"] for row in rows if any("not_in_allowlist" in text for text, _stage, _shown in row["cells"])]
    assert len(refused) == sum(number % 27 == 6 for number in range(size) if size > 1)
    assert all(cells[1][1] == '"route: "' for cells in refused)


@pytest.mark.parametrize("size", LOOKED_AT)
def test_a_desk_shows_each_host_name_on_one_line(browser, folder, size):
    opened(browser, folder / f"long-{size}.html")
    with window(browser, 1280):
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 1280
        lines = browser.execute_script("""
            const range = document.createRange();
            return [...document.querySelectorAll('#hosts tbody th, [aria-labelledby=times] .n')].map(cell => {
                range.selectNodeContents(cell);
                const tops = [...range.getClientRects()].map(r => r.top).sort((a, b) => a - b);
                return 1 + tops.filter((top, n) => n && top - tops[n - 1] > 5).length;
            });
        """)
    assert len(lines) >= size
    assert set(lines) == {1}


def test_headings_are_sentences_and_the_code_stands_beside_them(browser, folder):
    opened(browser, folder / "long-200.html")
    headings = browser.execute_script("return [...document.querySelectorAll('h1, h2, h3')].map(h => h.innerText)")
    assert headings[0] == "187 of 200 hosts can reach their databases"
    assert all(len(heading.split()) > 3 and "_" not in heading for heading in headings)
    sizes = browser.execute_script(
        "return [...document.querySelectorAll('article')].map(a =>"
        " [a.querySelector('h3'), a.querySelector('code')].map(e => parseFloat(getComputedStyle(e).fontSize)))"
    )
    assert sizes
    assert all(code < heading for heading, code in sizes)


def test_equal_evidence_is_one_fold(browser, tmp_path):
    """And of evidence that differs in part, what is equal stands once."""
    equal = [(f"a{n}", {"checks": [reports.refused()]}) for n in range(20)]
    others = [
        (
            f"b{n}",
            {"checks": [reports.refused(code="other", evidence={"step": "startup", "local_address": f"10.0.0.{n}"})]},
        )
        for n in range(3)
    ]
    path = tmp_path / "folds.html"
    fleet = Fleet(tuple(read_host(name, result) for name, result in [*equal, *others]), reports.WRITTEN)
    path.write_bytes(_report_formats.as_html(fleet))
    opened(browser, path)
    folds = browser.execute_script(
        "return [...document.querySelectorAll('article')].map(a => [...a.querySelectorAll('dl')].map(d => d.innerText))"
    )
    assert [len(fold) for fold in folds] == [1, 4]
    assert "startup" in browser.execute_script(
        "return document.querySelectorAll('article')[1].querySelector('dl').innerHTML"
    )


def test_the_page_ends_with_inventory_command_and_version(page):
    last = page.execute_script("return document.body.lastElementChild.innerText")
    for name, value in reports.ORIGIN:
        assert f"{name}\n{value}" in last


def test_the_style_has_no_rule_twice():
    rules = re.findall(
        r"(?m)^ *([^@{}\n][^{}]*\{[^{}]*\})", (Path(page_room.__file__).parent / "report.css").read_text()
    )
    assert len(rules) > 30
    assert sorted(set(rules)) == sorted(rules)


@pytest.mark.parametrize("width", [320, 1100, 1160, 1300])
def test_no_window_cuts_it(page, width):
    """320 is what 400% zoom leaves: the tables scroll by themselves, the page does not."""
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    )
    try:
        assert page.execute_script("return innerWidth") == width
        assert page.execute_script("return document.documentElement.scrollWidth") <= width
        screenshot(page, f"{shown_rows(page)}-rows-{width}-wide")
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_what_a_host_says_stays_text(browser, tmp_path):
    nasty = "</td></tr></table><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    check = reports.refused(nasty, host=nasty, cause=nasty, cure=nasty, code=nasty, evidence={nasty: nasty})
    hosts = (read_host(nasty, {"checks": [check]}), read_host("b" * 250, {"unreachable": True, "msg": nasty}))
    path = tmp_path / "nasty.html"
    path.write_bytes(_report_formats.as_html(Fleet(hosts, reports.WRITTEN)))
    opened(browser, path)
    assert browser.title.startswith("2 hosts")
    assert browser.execute_script("return document.querySelectorAll('script, img').length") == 0
    assert shown_rows(browser) == 2
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 1300
    assert nasty in browser.execute_script("return document.querySelector('#hosts th[scope=row]').innerText")


@pytest.mark.thorough
def test_screenshots_for_people(browser, folder):
    for size in LOOKED_AT:
        for width in WIDTHS:
            for name in SCHEMES:
                opened(browser, folder / f"long-{size}.html")
                scheme(browser, name)
                with window(browser, width):
                    screenshot(browser, f"look-{size}-{width}-{name}-top")
                    browser.execute_script("document.getElementById('hosts').scrollIntoView()")
                    screenshot(browser, f"look-{size}-{width}-{name}-hosts")
                    browser.execute_script("document.querySelector('footer').scrollIntoView()")
                    screenshot(browser, f"look-{size}-{width}-{name}-end")
    for size in SIZES:
        for name in SCHEMES:
            opened(browser, folder / f"{size}.html")
            scheme(browser, name)
            screenshot(browser, f"{size}-{name}-top")
            for place in ("times", "hosts"):
                if browser.execute_script(
                    "const e = document.getElementById(arguments[0]); if (e) e.scrollIntoView(); return !!e", place
                ):
                    screenshot(browser, f"{size}-{name}-{place}")
    opened(browser, folder / "1000.html")
    browser.execute_cdp_cmd("Emulation.setEmulatedVisionDeficiency", {"type": "achromatopsia"})
    browser.execute_script("document.getElementById('hosts').scrollIntoView()")
    screenshot(browser, "1000-without-colour")
    browser.execute_cdp_cmd("Emulation.setEmulatedVisionDeficiency", {"type": "none"})
    assert len(list(SCREENSHOTS.glob("*.png"))) >= 12
