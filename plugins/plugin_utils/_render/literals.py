# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values as they stand in source code and configuration files: the filters of the templates.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Callable

from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue import languages
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._model.connection import Connection

_PRINTABLE = frozenset(map(chr, range(0x20, 0x7F))) - {"\\"}
# A database name that is the same percent-encoded.
_PLAIN = re.compile(r"[A-Za-z0-9._~-]+")


def _escaped(value: str, named: dict[str, str], form: Callable[[int], str]) -> str:
    """ASCII text in which every character that is not plain is replaced by its name or its form."""
    return "".join(named.get(c) or (c if c in _PRINTABLE else form(ord(c))) for c in value)


def python_literal(value: str) -> str:
    """A Python string literal of ASCII characters only: it means the same under any source encoding."""
    escaped = value.encode("unicode_escape").decode("ascii").replace('"', '\\"')
    return f'"{escaped}"'


def javascript_literal(value: str) -> str:
    """A JavaScript string literal of ASCII characters, safe inside a script element too."""
    return json.dumps(value).replace("<", "\\u003c").replace("\x7f", "\\x7f")


def json_literal(value: str) -> str:
    """A JSON string of ASCII characters."""
    return json.dumps(value).replace("\x7f", "\\u007f")


def yaml_literal(value: str) -> str:
    """A YAML double-quoted scalar of ASCII characters, safe in a file that goes through ERB too."""
    named = {'"': '\\"', "\\": "\\\\", "<": "\\x3C"}
    return f'"{_escaped(value, named, lambda code: chr(92) + f"U{code:08X}")}"'


def xml_text(value: str) -> str:
    """Text between two tags. Raises OnboardingError for a character that XML cannot represent."""
    if re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]", value):
        raise OnboardingError("XML cannot represent a control character: percent-encode it, or use another format.")
    named = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;", "\\": "\\"}
    return _escaped(value, named, lambda code: f"&#{code};")


def go_literal(value: str) -> str:
    """A Go interpreted string literal of ASCII characters."""
    named = {'"': '\\"', "\\": "\\\\"}
    return f'"{_escaped(value, named, lambda code: chr(92) + f"U{code:08x}")}"'


def _utf16(code: int) -> str:
    units = chr(code).encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def java_literal(value: str) -> str:
    """A Java string literal of ASCII characters; control characters as octal, since a Unicode escape is read first."""
    named = {'"': '\\"', "\\": "\\\\", **{chr(code): f"\\{code:03o}" for code in [*range(0x20), 0x7F]}}
    return f'"{_escaped(value, named, _utf16)}"'


def properties_value(value: str) -> str:
    """A value of a Java properties file."""
    named = {char: f"\\{char}" for char in "\\:=#! "}
    return _escaped(value, named, _utf16)


def ruby_literal(value: str) -> str:
    """A Ruby double-quoted literal of ASCII characters, in which nothing is interpolated."""
    named = {'"': '\\"', "\\": "\\\\", "#": "\\#"}
    return f'"{_escaped(value, named, lambda code: chr(92) + f"u{{{code:x}}}")}"'


def dns_label(value: str) -> str:
    """A name as Kubernetes allows it: small letters, digits and hyphens, with a letter or digit at both ends.

    A name that has to be changed gets a hyphen and six hexadecimal digits of its hash, so that no two names meet.
    """
    words = re.split(r"[^a-z0-9]+", value.lower())
    label = "-".join(word for word in words if word)
    return label if label and label == value else f"{label or 'app'}-{hashlib.sha256(value.encode()).hexdigest()[:6]}"


def stable_uuid(value: str) -> str:
    """A UUID that is always the same for a text."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, value))


def comment_text(value: str) -> str:
    """Text for one comment line: whatever could end the line or the comment is escaped."""
    shown = json.dumps(value)[1:-1].replace("\x7f", "\\x7f").replace("*/", "*\\/")
    return re.sub("-(?=-)", r"-\\", shown)


def dotenv_value(value: str) -> str:
    """A value in quotes, which sh, systemd and the dotenv loaders all read as the same text.

    The quotes are double ones, because dotenv-java keeps single ones (measured); single ones where a loader would
    replace what follows a `$` or stands between backticks.
    Raises OnboardingError for a character that they read differently: URLs contain none.
    """
    if not re.fullmatch(r"[!#-&(-\[\]-~]*", value):
        raise OnboardingError(
            "an environment file can contain URLs only: no space, quote, backslash or control character"
        )
    return f"'{value}'" if re.search(r"[$`]", value) else f'"{value}"'


def has_bare_url(connection: Connection) -> bool:
    """Whether the database is the same in the URL and decoded."""
    return _PLAIN.fullmatch(connection.startup_database) is not None


def bare_url(connection: Connection) -> str:
    """The URL without a query, for a client that does not decode the database in it.

    Raises OnboardingError where :func:`has_bare_url` is false.
    """
    if not has_bare_url(connection):
        raise OnboardingError(
            f"database {connection.startup_database!r}: this form cannot contain such a name because the"
            " client does not decode it: use a form with separate keys."
        )
    return connection.url(query="none")


def without(value: str, character: str, name: str, why: str) -> str:
    """The value. Raises OnboardingError where it has a character that a client cannot take."""
    if character in value:
        raise OnboardingError(f"{name}: {value!r} must not contain {character!r}: {why}.")
    return value


# The literal of each language.
LITERALS: dict[str, Callable[[str], str]] = {
    "python": python_literal,
    "javascript": javascript_literal,
    "json": json_literal,
    "yaml": yaml_literal,
    "xml": xml_text,
    "go": go_literal,
    "java": java_literal,
    "properties": properties_value,
    "ruby": ruby_literal,
}


def all_literals() -> dict[str, Callable[[str], str]]:
    """The literals above, and those that the catalogue's languages declare."""
    return {**LITERALS, **{name: found.literal for name, found in languages.load().items() if found.literal}}


def secret_forms(connection: Connection) -> set[str]:
    """Every form in which the password can appear in a rendered file: what a diff must mask."""
    secrets = connection.secrets()
    forms = set(secrets)
    for literal in all_literals().values():
        for text in map(literal, secrets):
            quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
            forms |= {text, text[1:-1] if quoted else text}
    return forms - {""}
