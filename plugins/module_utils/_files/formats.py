# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files with independent keys: set and remove our keys, keep every other byte and the order.

A file is split into segments that join to the same bytes again. A segment has a key, or None for comments, blank lines
and other text. This module util is PRIVATE to the collection. It can have breaking changes
at any time.
"""

from __future__ import annotations

import hashlib
import re
from typing import Callable, NamedTuple, Optional

from ansible_collections.crdb.onboard.plugins.module_utils._pem import BEGIN, CERTIFICATE, pem_blocks

# Our first line in a file that we made: known, so that it can be taken away again.
HEADER = "# Written by crdb.onboard"
MASK = "********"
# The password part of a URL, whatever its value: what stood in a file before is not among the secrets that we know. A
# name without a password may be a key, as in `https://key@host`.
_URL_SECRET = re.compile(
    r"(://[^:/@\s'\"]*:)[^@\s'\"]+(?=@)|(://)[^:/@\s'\"]+(?=@)|([?&;](?:password|sslpassword)=)[^&\s'\"]+"
)
# The one key of a file that is ours as a whole.
WHOLE = ""


class FormatError(ValueError):
    """A file cannot be split into keys; the message says where."""


class Segment(NamedTuple):
    """A run of whole lines of a file; joined, the segments are the file."""

    key: Optional[str]
    raw: bytes


def mask_urls(text: str) -> str:
    """A text in which the passwords of URLs are masked, and names that stand there alone."""
    return _URL_SECRET.sub(lambda match: (match.group(1) or match.group(2) or match.group(3)) + MASK, text)


def split_whole(content: bytes) -> list[Segment]:
    """The whole content under one key."""
    return [Segment(WHOLE, content)]


_ASSIGNMENT = re.compile(rb"[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.]*)[ \t]*=[ \t]*")


def _closing(text: bytes, quote: bytes) -> int:
    """The place of the quote that ends a value; -1 when there is none. In double quotes a backslash escapes."""
    escaped = False
    for number in range(len(text)):
        char = text[number : number + 1]
        if escaped:
            escaped = False
        elif char == b"\\" and quote == b'"':
            escaped = True
        elif char == quote:
            return number
    return -1


def _check_encoding(content: bytes) -> None:
    """Raise FormatError for bytes that loaders of environment files do not read, or read each in its own way."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in content:
        raise FormatError("it is not UTF-8 (it looks like UTF-16). Save it as UTF-8")
    if content.startswith(b"\xef\xbb\xbf"):
        raise FormatError("a byte order mark hides its first line from programs. Save it as UTF-8 without the mark")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        raise FormatError(f"line {line} is not UTF-8. Save the file as UTF-8") from None


_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


def dotenv_text(raw: bytes) -> str:
    """The value of an assignment, as loaders of environment files read it: they differ on `$` and on escapes only."""
    match = _ASSIGNMENT.match(raw)
    value = raw[match.end() :] if match else b""
    quote = value[:1]
    if quote in (b"'", b'"', b"`"):
        end = _closing(value[1:], quote)
        if end != -1:
            text = value[1 : end + 1].decode("utf-8", "replace")
            if quote != b'"':
                return text
            return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), text)
    return re.sub(rb"[ \t]+#.*\Z|[ \t]+\Z", b"", value.rstrip(b"\r\n")).decode("utf-8", "replace")


def split_dotenv(content: bytes) -> list[Segment]:
    """Assignments by name; a quoted value may go on over lines, as the dotenv loaders read it.

    Raises FormatError for a quote that never ends, and for a file that is not UTF-8.
    """
    _check_encoding(content)
    segments: list[Segment] = []
    lines = content.splitlines(keepends=True)
    number = 0
    while number < len(lines):
        line = lines[number]
        match = _ASSIGNMENT.match(line)
        number += 1
        if not match:
            key = HEADER if line.startswith(HEADER.encode()) else None
            segments.append(Segment(key, line))
            continue
        value = line[match.end() :]
        quote = value[:1]
        if quote in (b"'", b'"') and _closing(value[1:], quote) == -1:
            start = number
            while number < len(lines):
                line += lines[number]
                number += 1
                if _closing(lines[number - 1], quote) != -1:
                    break
            else:
                raise FormatError(f"line {start}: a quoted value does not end")
        segments.append(Segment(match.group(1).decode("ascii"), line))
    return segments


_BLANK_LINE_END = re.compile(rb"[ \t]*(?:\r?\n|\Z)")


def split_pem(content: bytes) -> list[Segment]:
    """Certificates by their SHA-256 fingerprint in hexadecimal.

    Raises FormatError for a block that does not end, is not of whole lines, is not base64 or not a certificate.
    """
    segments: list[Segment] = []
    position = 0
    for block in pem_blocks(content):
        line_end_after = _BLANK_LINE_END.match(content, block.end)
        starts_line = block.start == 0 or content[block.start - 1 : block.start] == b"\n"
        whole_lines = starts_line and _BLANK_LINE_END.match(block.body) and block.body.endswith(b"\n")
        if block.label != CERTIFICATE or not whole_lines or line_end_after is None:
            continue
        if block.start > position:
            segments.append(Segment(None, content[position : block.start]))
        try:
            key = hashlib.sha256(block.der()).hexdigest()
        except ValueError:
            raise FormatError("a certificate in it is not base64") from None
        position = line_end_after.end()
        segments.append(Segment(key, content[block.start : position]))
    if position < len(content):
        segments.append(Segment(None, content[position:]))
    if any(s.key is None and BEGIN in s.raw for s in segments):
        raise FormatError("a PEM block in it does not end or is not a certificate")
    return segments


_PGPASS = re.compile(rb"((?:(?:\\.|[^:\\])*:){3}(?:\\.|[^:\\])*):", re.S)


def split_pgpass(content: bytes) -> list[Segment]:
    """Lines of a ``.pgpass`` by ``host:port:database:user`` as they are written; a backslash escapes what follows."""
    segments = []
    for line in content.splitlines(keepends=True):
        match = None if line.startswith(b"#") else _PGPASS.match(line)
        segments.append(Segment(match.group(1).decode("utf-8", "surrogateescape") if match else None, line))
    return segments


def split_service(content: bytes) -> list[Segment]:
    """Sections of a ``pg_service.conf`` by name, without the comments and empty lines behind them."""
    segments: list[Segment] = []
    behind: list[bytes] = []
    for line in content.splitlines(keepends=True):
        match = re.match(rb"\s*\[([^\]]*)\]", line)
        if match or not segments or segments[-1].key is None:
            segments += [Segment(None, raw) for raw in behind]
            behind = []
            key = match.group(1).decode("utf-8", "surrogateescape") if match else None
            segments.append(Segment(key, line))
        elif re.match(rb"\s*(?:#|\Z)", line):
            behind.append(line)
        else:
            last = segments[-1]
            segments[-1] = Segment(last.key, last.raw + b"".join(behind) + line)
            behind = []
    return segments + [Segment(None, raw) for raw in behind]


FORMATS: dict[str, Callable[[bytes], list[Segment]]] = {
    "link": split_whole,
    "whole": split_whole,
    "dotenv": split_dotenv,
    "pem": split_pem,
    "pgpass": split_pgpass,
    "service": split_service,
}


_LABELS = {"pem": "the certificate with the SHA-256 fingerprint {}", "pgpass": "the line {}", "service": "[{}]"}


def label(format_: str, key: str) -> str:
    """A key as people read it. No key holds a password."""
    return _LABELS.get(format_, "{}").format(key)


def find(segments: list[Segment], key: str) -> Optional[Segment]:
    """The segment of a key. Raises FormatError when it is there twice: which one counts differs by loader."""
    matching = [segment for segment in segments if segment.key == key]
    if len({normal(segment.raw) for segment in matching}) > 1:
        raise FormatError(f"has {key} more than once: keep one")
    return matching[-1] if matching else None


def line_end(content: bytes) -> bytes:
    """The line end that a file uses: that of its first line."""
    first = content.split(b"\n", 1)[0]
    return b"\r\n" if b"\n" in content and first.endswith(b"\r") else b"\n"


def normal(raw: bytes) -> bytes:
    """A segment for comparison: line ends do not count, nor a shell's ``export`` before an assignment."""
    return re.sub(rb"^[ \t]*export[ \t]+", b"", raw.replace(b"\r\n", b"\n").rstrip(b"\n"))


def put(segments: list[Segment], ours: Segment, end: bytes, first: bool = False) -> tuple[list[Segment], bool]:
    """The segments with ours in the place of its key, or at the end; True when the line before had to be ended.

    `first` puts a new one before the others' keys, for a format in which the first line that fits counts.
    """
    raw = ours.raw.replace(b"\r\n", b"\n").rstrip(b"\n").replace(b"\n", end) + end
    places = [number for number, segment in enumerate(segments) if segment.key == ours.key]
    if places:
        before = segments[places[-1]].raw
        exported = re.match(rb"[ \t]*export[ \t]+", before)
        if exported:
            raw = exported.group() + raw
        if not before.endswith(b"\n") and places[-1] == len(segments) - 1:
            raw = raw[: -len(end)]
        return [*segments[: places[-1]], Segment(ours.key, raw), *segments[places[-1] + 1 :]], False
    start = next((number for number, s in enumerate(segments) if s.key is not None), None) if first else None
    if start is not None:
        return [*segments[:start], Segment(ours.key, raw), *segments[start:]], False
    if segments and not segments[-1].raw.endswith(b"\n"):
        last = segments[-1]
        return [*segments[:-1], Segment(last.key, last.raw + end), Segment(ours.key, raw)], True
    return [*segments, Segment(ours.key, raw)], False


def take(segments: list[Segment], key: str, before: Optional[bytes], unended: bool) -> list[Segment]:
    """The segments with a key as it was: `before` in its place, or gone; `unended` takes back an added line end."""
    kept: list[Segment] = []
    last = max((number for number, segment in enumerate(segments) if segment.key == key), default=-1)
    for number, segment in enumerate(segments):
        if segment.key != key:
            kept.append(segment)
            continue
        if before is not None:
            if number == last:
                kept.append(Segment(key, before))
        elif unended and number == len(segments) - 1 and kept:
            kept[-1] = Segment(kept[-1].key, re.sub(rb"\r?\n\Z", b"", kept[-1].raw))
    return kept


def join(segments: list[Segment]) -> bytes:
    """The content again."""
    return b"".join(segment.raw for segment in segments)
