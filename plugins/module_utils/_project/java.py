# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a Java project is: Maven or Gradle, its package and source folder, its dependencies' versions.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ansible_collections.crdb.onboard.plugins.module_utils._project.folder import Folder
from ansible_collections.crdb.onboard.plugins.module_utils._project.found import Found

_SOURCE = "src/main/java"
_GRADLE = ("build.gradle", "build.gradle.kts")
_COMMENT = re.compile(r"<!--.*?-->", re.S)
_ELEMENT = re.compile(r"<(?P<name>[\w.-]+)>\s*(?P<text>[^<>]*?)\s*</(?P=name)>")
_DEPENDENCY = re.compile(r"<dependency>(?P<body>.*?)</dependency>", re.S)
_COORDINATES = re.compile(r"['\"](?P<name>[\w.-]+:[\w.-]+):(?P<version>[\w.-]+)['\"]")
# Groovy's other way: group: 'org.postgresql', name: 'postgresql', version: '42.7.7'.
_BY_NAME = re.compile(
    r"group\s*[:=]\s*['\"](?P<group>[\w.-]+)['\"]\s*,\s*name\s*[:=]\s*['\"](?P<name>[\w.-]+)['\"]"
    r"(?:\s*,\s*version\s*[:=]\s*['\"](?P<version>[\w.-]+)['\"])?"
)
_CATALOG = "gradle/libs.versions.toml"
_CATALOG_TABLE = re.compile(r"^[ \t]*\[(?P<table>[\w-]+)\][^\n]*$(?P<body>.*?)(?=^[ \t]*\[|\Z)", re.M | re.S)
_CATALOG_LINE = re.compile(r"^[ \t]*(?P<alias>[\w.-]+)[ \t]*=[ \t]*(?P<value>[^\n#]+)", re.M)
_CATALOG_PART = re.compile(r"(?P<key>module|group|name|version\.ref|version)\s*=\s*[\"'](?P<text>[^\"']*)[\"']")
_ALIAS = re.compile(r"\blibs(?:\.\w+)+")
_LOCKED = re.compile(r"^(?P<name>[\w.-]+:[\w.-]+):(?P<version>[\w.-]+)=", re.M)
_PROPERTY = re.compile(r"\$\{([\w.-]+)\}")
_PACKAGE = re.compile(r"^\s*package\s+([A-Za-z_][\w]*(?:\.[A-Za-z_]\w*)*)\s*;", re.M)
# Alone, or by what brings it along.
_HIBERNATE_HIKARI = re.compile(r"[>:]hibernate-hikaricp\b")
_HIKARI = re.compile(r"[>:]\s*(HikariCP|spring-boot-starter-(data-)?(jdbc|jpa))\b")
_GROUP = re.compile(r"^\s*group\s*=?\s*['\"]([\w.-]+)['\"]", re.M)


def _filled(text: str, properties: dict[str, str]) -> str:
    """The text with the values of the properties in it."""
    return _PROPERTY.sub(lambda found: properties.get(found[1], ""), text)


def _maven(folder: Folder) -> Iterator[tuple[str, str, str]]:
    """The dependencies with their versions, which may come from the parent's file above."""
    properties: dict[str, str] = {}
    for above in folder.upwards():
        text = _COMMENT.sub("", above.text("pom.xml") or "")
        if not text:
            return
        properties = {**{m["name"]: m["text"] for m in _ELEMENT.finditer(text)}, **properties}
        for match in _DEPENDENCY.finditer(text):
            facts = {m["name"]: m["text"] for m in _ELEMENT.finditer(match["body"])}
            version = _filled(facts.get("version", ""), properties)
            yield f"{facts.get('groupId', '')}:{facts.get('artifactId', '')}", version, "pom.xml"


def _used(folder: Folder) -> str:
    """The parts of the build's files that name what the program itself is compiled with."""
    text = _COMMENT.sub("", folder.text("pom.xml") or "")
    text = re.sub(r"<(dependencyManagement|build|profiles)>.*?</\1>", "", text, flags=re.S)
    kept = [m["body"] for m in _DEPENDENCY.finditer(text) if not re.search(r"<scope>\s*(test|provided)\s*<", m["body"])]
    libraries = _catalog(folder)
    for name in _GRADLE:
        lines = _build_file(folder, name, libraries).splitlines()
        kept += [line for line in lines if not re.match(r"\s*(//|test|annotationProcessor|constraints)", line)]
    return "\n".join(kept)


def _catalog(folder: Folder) -> dict[str, tuple[str, str]]:
    """The libraries of Gradle's version catalog, by the name that build files use: `group:artifact` and the version."""
    text = next((found for above in folder.upwards() if (found := above.text(_CATALOG)) is not None), "")
    tables = {match["table"]: match["body"] for match in _CATALOG_TABLE.finditer(text)}
    versions = {m["alias"]: m["value"].strip().strip("\"'") for m in _CATALOG_LINE.finditer(tables.get("versions", ""))}
    libraries = {}
    for match in _CATALOG_LINE.finditer(tables.get("libraries", "")):
        value = match["value"].strip()
        parts = {part["key"]: part["text"] for part in _CATALOG_PART.finditer(value)}
        module = parts.get("module") or f"{parts.get('group', '')}:{parts.get('name', '')}"
        version = parts.get("version") or versions.get(parts.get("version.ref", ""), "")
        if not parts:
            module, _colon, version = value.strip("\"'").rpartition(":")
        libraries["libs." + re.sub(r"[-_]", ".", match["alias"])] = (module, version)
    return libraries


def _build_file(folder: Folder, name: str, libraries: dict[str, tuple[str, str]]) -> str:
    """A build file of Gradle with every dependency as `'group:artifact'`, whichever way it is written."""
    text = _BY_NAME.sub(lambda m: f"'{m['group']}:{m['name']}:{m['version'] or ''}'", folder.text(name) or "")
    return _ALIAS.sub(lambda m: f"'{libraries[m[0]][0]}'" if m[0] in libraries else m[0], text)


def _gradle(folder: Folder) -> Iterator[tuple[str, str, str]]:
    for match in _LOCKED.finditer(folder.text("gradle.lockfile") or ""):
        yield match["name"], match["version"], "gradle.lockfile"
    libraries = _catalog(folder)
    for name in _GRADLE:
        for match in _COORDINATES.finditer(_build_file(folder, name, libraries)):
            yield match["name"], match["version"], name
        for alias in _ALIAS.findall(folder.text(name) or ""):
            if alias in libraries:
                yield (*libraries[alias], _CATALOG)


def _own_group(folder: Folder) -> str:
    """The group of the project itself, in which a package's name is allowed; empty when there is none."""
    text = _COMMENT.sub("", folder.text("pom.xml") or "")
    outside = re.sub(r"<(dependencies|dependencyManagement|build|parent|profiles)>.*?</\1>", "", text, flags=re.S)
    group = {m["name"]: m["text"] for m in _ELEMENT.finditer(outside)}.get("groupId", "")
    for name in _GRADLE:
        match = _GROUP.search(folder.text(name) or "")
        group = group or (match[1] if match else "")
    return group if re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", group) else ""


def _package(folder: Folder) -> str:
    """The package that all sources are in, else the group."""
    packages = {
        match[1] for path in folder.files(_SOURCE, ".java") if (match := _PACKAGE.search(folder.text(path) or ""))
    }
    if not packages:
        return _own_group(folder)
    parts = [package.split(".") for package in sorted(packages)]
    common = []
    for names in zip(*parts):
        if len(set(names)) > 1:
            break
        common.append(names[0])
    # `com` alone is nobody's package.
    return ".".join(common) if len(common) > 1 or common == parts[0] else _own_group(folder)


def look(folder: Folder, packages: Iterable[str]) -> Found:
    """What the project in a folder is."""
    gradle = any(folder.has(name) for name in _GRADLE)
    package = _package(folder)
    place = f"{_SOURCE}/{package.replace('.', '/')}" if package else _SOURCE
    facts = {"build": "gradle" if gradle else "maven", "package": package, "source": place}
    wanted = set(packages)
    versions: dict[str, str] = {}
    sources: dict[str, str] = {}
    for name, version, source in [*_maven(folder), *_gradle(folder)]:
        if name in wanted and version and name not in versions:
            versions[name], sources[name] = version, source
    used = _used(folder)
    for fact, pattern in (("hikari", _HIKARI), ("hibernate_hikari", _HIBERNATE_HIKARI)):
        if pattern.search(used):
            facts[fact] = "true"
    return Found(facts, versions, sources)
