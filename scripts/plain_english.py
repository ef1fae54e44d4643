# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find phrases that have to be read twice, and say what to write instead: `make lint`.

Usage: python scripts/plain_english.py [FILE ...]. Without files it reads every file of the checkout that git knows.
It looks at Markdown, at names, descriptions, messages and comments in YAML, at comments and strings in Python, at
Makefiles, templates and shell scripts. Sentences of more than 40 words are reported in pages of the documentation.
Prints FILE:LINE: PHRASE: ADVICE for each, and exits with 1 when there are any.
"""

from __future__ import annotations

import bisect
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

TOP = Path(__file__).resolve().parents[1]
LONGEST_SENTENCE = 40

# A pattern, and what to write instead.
PHRASES = {
    r"(?<!reader )(?<!user )(?<!person )\bwants\b": "write 'must be', 'expects' or 'needs'",
    r"\bis none of\b": "write 'must be one of ...'",
    r"(?<!there )\b(?-i:is none)(?=[,.;:)\"']|$)": "write 'must be a ..., not ...' or 'is not a ...'",
    r"\bdoes not know (?:\{|[\w.]+; it knows)": "write 'unknown key: ...'",
    r"; it knows\b": "write 'valid keys: ...'",
    r"\black(?:s|ing) (?:nothing\b|\{[^}]*or 'nothing')": "write 'missing keys: ...'",
    r"\bhas no form for\b": "write 'cannot ...' or 'does not support ...'",
    r"(?<!there )\b(?:is|are) no (?:app|boolean|date|dict|dictionary|fact|file|framework|group|key|list|names?|numbers?"
    r"|path|text|URL|user|version)\b": "write 'is not a valid ...'",
    r"\b(?:has|have) not (?:a|an|any|the)\b": "write 'does not have'",
    r"\bmeets? no\b": "write 'see no ...'",
    r"\bmends\b": "write 'restores' or 'repairs'",
    r"\bby and by\b": "write 'on its own schedule'",
    r"\bthe roll\b(?! out)": "write 'the rollout'",
    r"\broll-outs?\b": "write 'rollout'",
    r"\bthe way there failed\b": "write 'the request failed'",
    r"\bopen(?:s|ed)? TLS\b": "write 'intercepts TLS'",
    r"\bon the way\b": "write 'on the network path' or name the device",
    r"\bempty module\b": "write 'no-op module'",
    r"\bis warned of\b": "write 'you get a warning'",
    r"\b(?:is|are) said\b": "write 'is reported' or 'is printed'",
    r"\bwell again\b": "write 'works again'",
    r"\blikewise\b": "write 'too' or 'in the same way'",
    r"\bunasked\b": "write 'unless you ask for it'",
    r"\bfor ever\b": "write 'forever'",
    r"\banew\b": "write 'again'",
    r"\bshall\b": "write 'must' or 'should'",
    r"\b(?:whereof|thereof|therein|wherein|thereupon|hitherto)\b": "name the thing",
}
# Only at the beginning of the name of a play or a task.
TITLES = {
    r"^Have\b": "write 'Ensure ... exist'",
    r"^Say\b": "write 'Report ...' or 'Show ...'",
    r"^Let\b": "write 'Allow ...', 'Add ...' or 'Authorize ...'",
}
_ANY = re.compile("|".join(PHRASES), re.IGNORECASE)
# Keys whose values in YAML are read by people.
TEXT_KEYS = {
    *("author_note", "description", "details", "fail_msg", "help", "msg", "name", "note", "prompt", "release_summary"),
    *("short_description", "success_msg", "title", "bugfixes", "minor_changes", "major_changes", "breaking_changes"),
}
# Its own list and the test of it hold the phrases on purpose; a license is quoted.
LEFT_OUT = {"scripts/plain_english.py", "tests/unit/test_plain_english.py", "LICENSE", "changelogs/changelog.yaml"}
BY_SUFFIX = {".md": "markdown", ".py": "python", ".yml": "yaml", ".yaml": "yaml", ".j2": "text", ".sh": "text"}
PAGES = re.compile(r"[A-Z_]+\.md|docs/[^/]+\.md|inventories/.+\.md")


@dataclass(frozen=True)
class Finding:
    """A phrase in a file, and what to write instead."""

    path: str
    line: int
    phrase: str
    advice: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.phrase}: {self.advice}"


class Passage:
    """Text that is read as one, made of pieces that each begin on a known line."""

    def __init__(self, title: bool = False) -> None:
        self.title = title
        self.text = ""
        self._starts: list[int] = []
        self._lines: list[int] = []

    def add(self, line: int, text: str) -> None:
        """Append the lines of a text, the first of which is this line of the file."""
        for number, part in enumerate(text.split("\n")):
            part = " ".join(part.split())
            if part:
                self.text += " " if self.text else ""
                self._starts.append(len(self.text))
                self._lines.append(line + number)
                self.text += part

    def line(self, offset: int) -> int:
        """The line of the file that this offset into the text is on."""
        return self._lines[bisect.bisect_right(self._starts, offset) - 1]


def _markdown(text: str) -> Iterator[Passage]:
    """Paragraphs, list items and cells of tables, without code."""
    passage, fenced = Passage(), False
    for number, line in enumerate(text.split("\n"), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        ends = not line.strip() or fenced or line.lstrip().startswith(("```", "#", "|", "<!--"))
        if ends or re.match(r"\s*(?:[-*]|\d+\.) ", line):
            yield passage
            passage = Passage()
        if fenced or line.lstrip().startswith(("```", "<!--")):
            continue
        plain = re.sub(r"`[^`]*`", "CODE", line)
        plain = re.sub(r"\]\([^)]*\)", "]", plain)
        for cell in re.split(r"(?<!\\)\||<br>", plain) if line.lstrip().startswith("|") else [plain]:
            passage.add(number, cell)
            if cell is not plain:
                yield passage
                passage = Passage()
    yield passage


def _yaml(text: str) -> Iterator[Passage]:
    """Comments, and the values of keys that people read."""
    for number, line in enumerate(text.split("\n"), 1):
        if comment := re.search(r"(?:^|\s)#\s(.*)", line):
            passage = Passage()
            passage.add(number, comment[1])
            yield passage
    for document in yaml.compose_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        yield from _yaml_values(document, "", text)


def _yaml_values(node: yaml.Node, key: str, text: str) -> Iterator[Passage]:
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            yield from _yaml_values(value, str(name.value), text)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _yaml_values(value, key, text)
    elif key in TEXT_KEYS and isinstance(node, yaml.ScalarNode):
        # As it is written, since the value of a folded text has lost its lines.
        written = text[node.start_mark.index : node.end_mark.index].strip()
        passage = Passage(title=key == "name")
        plain = re.sub(r"\{\{.*?\}\}", _blanked, re.sub(r"^[|>][-+\d]*|^[\"']|[\"']$", "", written), flags=re.DOTALL)
        passage.add(node.start_mark.line + 1, plain)
        yield passage


def _blanked(expression: re.Match[str]) -> str:
    """A word in place of a Jinja expression, on as many lines."""
    return "VALUE" + "\n" * expression[0].count("\n")


def _python(text: str) -> Iterator[Passage]:
    """Comments, and strings; strings that stand next to each other are one."""
    passage = Passage()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.STRING:
            passage.add(token.start[0], re.sub(r"^\w*(\"\"\"|'''|\"|')|(\"\"\"|'''|\"|')$", "", token.string))
        elif token.type == tokenize.COMMENT:
            passage.add(token.start[0], token.string.lstrip("#: "))
        elif token.type not in (tokenize.NL, tokenize.INDENT, tokenize.DEDENT):
            yield passage
            passage = Passage()
    yield passage


def _text(text: str) -> Iterator[Passage]:
    for number, line in enumerate(text.split("\n"), 1):
        passage = Passage()
        passage.add(number, line)
        yield passage


READERS = {"markdown": _markdown, "yaml": _yaml, "python": _python, "text": _text}


def _kind(path: str) -> str:
    name = path.rpartition("/")[2]
    if name == "Makefile" or (path.startswith("scripts/") and "." not in name):
        return "text"
    return BY_SUFFIX.get(Path(name).suffix, "")


def _long_sentences(passage: Passage) -> Iterator[tuple[int, str]]:
    """The offset and the beginning of each sentence that is too long."""
    for sentence in re.finditer(r"\S.*?(?:[.!?](?=\s|$)|$)", passage.text):
        words = sentence[0].split()
        if len(words) > LONGEST_SENTENCE:
            yield sentence.start(), f"{len(words)} words, '{' '.join(words[:6])} ...'"


def findings(path: str, text: str) -> list[Finding]:
    """What to write differently in a file of this path, relative to the checkout."""
    found = []
    for passage in READERS[_kind(path)](text):
        patterns = {**(PHRASES if _ANY.search(passage.text) else {}), **(TITLES if passage.title else {})}
        for pattern, advice in patterns.items():
            for match in re.finditer(pattern, passage.text, 0 if pattern in TITLES else re.IGNORECASE):
                found.append(Finding(path, passage.line(match.start()), f"'{match[0]}'", advice))
        if PAGES.fullmatch(path):
            for offset, phrase in _long_sentences(passage):
                advice = f"a sentence has at most {LONGEST_SENTENCE} words, better 25"
                found.append(Finding(path, passage.line(offset), phrase, advice))
    return sorted(found, key=lambda finding: finding.line)


def _listed() -> list[str]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=TOP, check=True, capture_output=True, text=True)  # noqa: S603
    return sorted(set(done.stdout.split("\0")) - {""})


def main(arguments: list[str]) -> int:
    """Print what was found in these files, or in the whole checkout."""
    paths = [str(Path(name).resolve().relative_to(TOP)) for name in arguments] or _listed()
    found = []
    for path in paths:
        if path not in LEFT_OUT and _kind(path) and (TOP / path).is_file():
            found += findings(path, (TOP / path).read_text(encoding="utf-8"))
    print("\n".join(map(str, found)) or f"No phrase of the list in {len(paths)} files.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
