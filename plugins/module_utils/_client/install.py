# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The client on a machine: versioned folders, one link a program, and what belongs to them.

    PREFIX/bin/cockroach                            -> ../lib/crdb-onboard/cockroach/v25.4.11/cockroach
    PREFIX/lib/cockroach                            -> crdb-onboard/cockroach/v25.4.11/lib   (spatial libraries)
    PREFIX/lib/crdb-onboard/client.json             what was made besides, for the way back

A version's folder is renamed into its place when it is complete and its program ran: a run that is killed leaves a
folder ``.stage-*`` at most, which the next one removes.
This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import pwd
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.crdb.onboard.plugins.module_utils._client import archive as archives
from ansible_collections.crdb.onboard.plugins.module_utils._client.archive import ClientRefused
from ansible_collections.crdb.onboard.plugins.module_utils._files import files as _files

BACKUP = ".before-crdb-onboard"
LINK_MARK = ".crdb-onboard-link."
STAGE_MARK = ".crdb-onboard-client."
NODE_COMMANDS = ("start", "start-single-node", "demo")
PROFILE_MARK = "# crdb.onboard"

HELPER = "crdb-sql"
# The first cockroach-sql that reads COCKROACH_URL; an older one would connect to localhost as root.
HELPER_SQL_SINCE = (24, 3)
_HELPER = """#!/bin/sh
# Written by crdb.onboard. Usage: crdb-sql [-f ENVIRONMENT_FILE] [arguments of cockroach sql]
# A SQL shell with the connection of an app: DATABASE_URL of ENVIRONMENT_FILE (.env here), else of the environment.
# The password stays off the command line, and certificates in ~/.cockroach-certs are not taken for this cluster's.
set -eu
file=.env url=
if [ "${{1:-}}" = -f ]; then
    file=${{2:?-f wants the path of an environment file}}
    shift 2
    [ -r "$file" ] || {{ echo "crdb-sql: $file: cannot be read" >&2; exit 2; }}
    unset DATABASE_URL
fi
if [ -r "$file" ]; then
    line=$(grep -E '^[[:blank:]]*(export[[:blank:]]+)?DATABASE_URL=' "$file" | tr -d '\\r' | tail -n 1)
    url=${{line#*DATABASE_URL=}}
    url=${{url#[\\"\\']}}
    url=${{url%[\\"\\']}}
fi
url=${{url:-${{DATABASE_URL:-}}}}
case $url in
    postgresql://* | postgres://*) ;;
    cockroachdb://* | cockroachdb+*://*) url=postgresql://${{url#*://}} ;;
    *)
        echo "crdb-sql: no DATABASE_URL with a postgresql:// URL in $file or the environment: use -f FILE" >&2
        echo "crdb-sql: (a file of SQL is for --file)" >&2
        exit 2
        ;;
esac
unset COCKROACH_HOST COCKROACH_PORT COCKROACH_USER COCKROACH_DATABASE COCKROACH_INSECURE
export COCKROACH_URL="$url" COCKROACH_CERTS_DIR={certs}
exec {program} sql "$@"
"""

_PROC = "/proc"
_VERSION = re.compile(r"v\d+\.\d+\.\d+")
_COMPLETIONS = {
    "bash": "share/bash-completion/completions/cockroach",
    "zsh": "share/zsh/site-functions/_cockroach",
    "fish": "share/fish/vendor_completions.d/cockroach.fish",
}


@dataclass(frozen=True)
class Wanted:
    """What shall be installed below `prefix`.

    `archives` are files on this machine by their archive's name, which then need no download; `sha256` are the
    operator's own digests by the same names. With `fetch` false nothing is downloaded: what is missing is named.
    """

    prefix: str
    version: str
    products: tuple[str, ...] = ("cockroach",)
    builds: tuple[str, ...] = tuple(archives.BUILDS)
    base_url: str = archives.VENDOR_URL
    checksum_url: str = ""
    sha256: dict[str, str] = field(default_factory=dict)
    archives: dict[str, str] = field(default_factory=dict)
    fetch: bool = True
    ca_file: str = ""
    proxy: str = ""
    timeout: float = 60.0
    keep: int = 1
    force: bool = False
    completion: bool = True
    profile: bool = False


@dataclass
class Report:
    """What became of the client; `needs` are archives that have to be brought first."""

    products: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    needs: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    path_line: str = ""

    @property
    def changed(self) -> bool:
        """Whether anything was, or would be, changed."""
        return bool(self.others) or any(product["action"] != "ok" for product in self.products)


def default_prefix() -> str:
    """/usr/local for root, else ~/.local."""
    return "/usr/local" if os.geteuid() == 0 else os.path.join(os.path.expanduser("~"), ".local")


def _is_own(path: str) -> bool:
    return os.lstat(path).st_uid == os.geteuid()


class Installation:
    """What is below a prefix, and the only code that changes it."""

    def __init__(self, prefix: str) -> None:
        self.prefix = os.path.normpath(prefix)
        self.base = os.path.join(self.prefix, "lib", "crdb-onboard")
        self.record_path = os.path.join(self.base, "client.json")

    def link(self, product: str) -> str:
        """The path of a program's link."""
        return os.path.join(self.prefix, "bin", product)

    def folder(self, product: str, version: str) -> str:
        """The folder of a version."""
        return os.path.join(self.base, product, version)

    def current(self, product: str) -> str:
        """The version that the link leads to; empty when the link is not ours."""
        link = self.link(product)
        if not os.path.islink(link):
            return ""
        target = os.path.normpath(os.path.join(os.path.dirname(link), os.readlink(link)))
        version = os.path.basename(os.path.dirname(target))
        ours = target == os.path.join(self.folder(product, version), product) and _VERSION.fullmatch(version)
        return version if ours else ""

    def is_complete(self, product: str, version: str) -> bool:
        """Whether a version's folder is there with the program as it was installed."""
        folder = self.folder(product, version)
        try:
            with open(os.path.join(folder, "installed.json"), encoding="utf-8") as stream:
                size = json.load(stream)["size"]
            status = os.stat(os.path.join(folder, product))
        except (OSError, ValueError, KeyError):
            return False
        return bool(status.st_size == size and status.st_mode & 0o100)

    def versions(self, product: str) -> list[str]:
        """The versions that are there, the one used last first."""
        folder = os.path.join(self.base, product)
        try:
            names = [name for name in os.listdir(folder) if _VERSION.fullmatch(name)]
        except FileNotFoundError:
            return []
        return sorted(names, key=lambda name: os.stat(os.path.join(folder, name)).st_mtime_ns, reverse=True)

    def record(self) -> dict[str, Any]:
        """What was made besides: `made` folders, `profile` lines, `completions`, `backups`."""
        empty: dict[str, Any] = {"made": [], "profile": {}, "completions": {}, "backups": {}}
        try:
            with open(self.record_path, encoding="utf-8") as stream:
                return {**empty, **json.load(stream)}
        except FileNotFoundError:
            return empty
        except (OSError, ValueError):
            raise ClientRefused(f"{self.record_path}: the record of the client cannot be read; move it away.") from None

    def save(self, record: dict[str, Any]) -> None:
        """Write the record. Raises OSError."""
        _files.write(self.record_path, self._text(record), 0o644)

    @staticmethod
    def _text(record: dict[str, Any]) -> bytes:
        return (json.dumps(record, indent=1, sort_keys=True) + "\n").encode("utf-8")

    @property
    def stage_mark(self) -> str:
        """How the stages of this prefix begin: those of another one beside it may be of a run that goes on."""
        return f"{STAGE_MARK}{hashlib.sha256(os.fsencode(self.base)).hexdigest()[:12]}."

    def found(self, record: dict[str, Any]) -> bool:
        """Make the base with its record, and the folders above it that are missing, at once; whether it was this run.

        Raises OSError.
        """
        missing, parent = [], self.base
        while not os.path.isdir(parent):
            missing.append(parent)
            parent = os.path.dirname(parent)
        if not missing:
            return False
        stage = tempfile.mkdtemp(prefix=self.stage_mark, dir=parent)
        try:
            inside = os.path.join(stage, os.path.relpath(self.base, parent))
            self.make(inside)
            record["made"] = missing
            _files.write(os.path.join(inside, "client.json"), self._text(record), 0o644)
            os.rename(os.path.join(stage, os.path.basename(missing[-1])), missing[-1])
        except OSError:
            # Another run may have been first.
            if not os.path.isdir(self.base):
                raise
            return False
        else:
            return True
        finally:
            shutil.rmtree(stage, ignore_errors=True)

    def make(self, folder: str, record: Optional[dict[str, Any]] = None) -> None:
        """Make a folder, and note which ones were missing."""
        missing = []
        while not os.path.isdir(folder):
            missing.append(folder)
            folder = os.path.dirname(folder)
        if not missing:
            return
        if record is not None:
            record["made"] += [path for path in missing if path not in record["made"]]
            self.save(record)
        for path in reversed(missing):
            os.mkdir(path, 0o755)
            os.chmod(path, 0o755)  # noqa: S103 - programs and folders for everybody

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second run out, and remove what a killed one left."""
        with open(os.path.join(self.base, "lock"), "w", encoding="ascii") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ClientRefused(f"{self.base}: another run installs a client there; try again after it.") from None
            self.sweep()
            yield

    def leftovers(self) -> list[str]:
        """What runs that were killed left half-made."""
        marks = {
            self.base: (".stage-", _files.TEMPORARY),
            os.path.join(self.prefix, "bin"): (LINK_MARK,),
            os.path.join(self.prefix, "lib"): (LINK_MARK,),
        }
        above = os.path.dirname(self.base)
        while above != os.path.dirname(above):
            marks[above] = (*marks.get(above, ()), self.stage_mark)
            above = os.path.dirname(above)
        found = []
        for folder, starts in marks.items():
            with contextlib.suppress(OSError):
                names = [name for name in os.listdir(folder) if name.startswith(starts)]
                found += [path for path in (os.path.join(folder, name) for name in names) if _is_own(path)]
        return found

    def sweep(self) -> None:
        """Remove the leftovers. Raises OSError."""
        for path in self.leftovers():
            try:
                if os.path.isdir(path) and not os.path.islink(path):
                    shutil.rmtree(path)
                else:
                    os.unlink(path)
            except OSError as exc:
                # A run that began beside this one still fills, or takes away, what it made.
                if exc.errno not in (errno.ENOENT, errno.ENOTEMPTY):
                    raise


def relink(path: str, target: str) -> bool:
    """Make a link lead to `target`, at once; whether it did not before. Raises OSError."""
    target = os.path.relpath(target, os.path.dirname(path))
    if os.path.islink(path) and os.readlink(path) == target:
        return False
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f"{LINK_MARK}{name}.{os.getpid()}")
    os.symlink(target, temporary)
    os.replace(temporary, path)
    return True


def _processes() -> Iterator[tuple[str, list[str], str]]:
    """This machine's processes: number, words of the command line, and the executable where that can be told."""
    if os.path.isdir(_PROC):
        for pid in filter(str.isdigit, os.listdir(_PROC)):
            executable = ""
            try:
                with open(os.path.join(_PROC, pid, "cmdline"), "rb") as stream:
                    words = [os.fsdecode(word) for word in stream.read().split(b"\0")[:-1]]
                executable = os.readlink(os.path.join(_PROC, pid, "exe")).replace(" (deleted)", "")
            except FileNotFoundError:
                continue
            except OSError:
                pass
            yield pid, words, executable
        return
    # An option for each column: in macOS's ps all that follows the first equals sign is a column's title.
    command = ["ps", "-axww", "-o", "pid=", "-o", "command="]
    try:
        answer = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError:
        return
    for line in answer.stdout.decode("utf-8", "replace").splitlines():
        pid, _space, text = line.strip().partition(" ")
        yield pid, text.split(), ""


def running_nodes(link: str, base: str = "") -> list[str]:
    """The process numbers of nodes (or demos) that run by the program at `link`, or by any version below `base`."""
    found = []
    for pid, words, executable in _processes():
        # Flags may come before the command, and we cannot tell which ones take the next word as their value.
        heads = words[1:] if len(words) > 1 and words[1].startswith("-") else words[1:2]
        if not words or os.path.basename(words[0]) != os.path.basename(link) or not set(heads) & set(NODE_COMMANDS):
            continue
        # What cannot be looked into and has a bare name may well be this one.
        real = os.path.realpath(executable or (words[0] if os.path.isabs(words[0]) else link))
        if real == os.path.realpath(link) or (base and real.startswith(os.path.realpath(base) + os.sep)):
            found.append(pid)
    return found


class Client:
    """One decision about a client, and its execution."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.at = Installation(wanted.prefix)
        self.report = Report()

    def present(self, check_mode: bool) -> Report:
        """Install what is wanted, or say what would be. Raises ClientRefused when nothing can be changed."""
        wanted, at = self.wanted, self.at
        build = archives.this_build()
        if build not in wanted.builds:
            raise ClientRefused(
                f"There is no {wanted.version} for {build}; the vendor has it for {', '.join(wanted.builds)}."
            )
        names = {product: archives.archive_name(product, wanted.version, build) for product in wanted.products}
        pending = {}
        for product in wanted.products:
            before = at.current(product)
            complete = at.is_complete(product, wanted.version)
            settled = before == wanted.version and not self._unfinished(product)
            action = "ok" if complete and settled else "switched" if complete else "installed"
            self.report.products.append(
                {
                    "name": product,
                    "action": action,
                    "before": before,
                    "version": wanted.version,
                    "path": at.link(product),
                }
            )
            if action != "ok":
                self._may_replace(product)
            if not complete:
                pending[product] = names[product]
        if self.report.changed:
            self._may_write(pending)
        self._hints()
        if pending and not wanted.fetch:
            self.report.needs = [name for name in pending.values() if name not in wanted.archives]
        if check_mode:
            self.report.others += self._extras_pending()
        if check_mode or self.report.needs:
            return self.report
        self._install(pending)
        return self.report

    def _unfinished(self, product: str) -> bool:
        """Whether a run that was killed left something to do behind its last step."""
        others = [version for version in self.at.versions(product) if version != self.wanted.version]
        return len(others) > self.wanted.keep or bool(self.at.leftovers()) or self._libraries_pending(product)

    def _libraries_pending(self, product: str) -> bool:
        folder = os.path.join(self.at.folder(product, self.wanted.version), "lib")
        link = os.path.join(self.at.prefix, "lib", "cockroach")
        if product != "cockroach" or not os.path.isdir(folder):
            return False
        return not os.path.lexists(link) or (self._ours(link) and os.path.realpath(link) != os.path.realpath(folder))

    def _may_replace(self, product: str) -> None:
        link = self.at.link(product)
        if not os.path.lexists(link) or self.wanted.force:
            return
        if not self.at.current(product):
            target = f" (a link to {os.readlink(link)})" if os.path.islink(link) else ""
            raise ClientRefused(
                f"{link}: is there already and was not installed by crdb.onboard{target}. Remove it, choose another"
                " crdb_client_prefix, or set crdb_client_force: a copy of it is then kept beside it."
            )
        nodes = running_nodes(link, self.at.base)
        if nodes:
            raise ClientRefused(
                f"{link}: runs as a node (process {', '.join(nodes)}), which would start as another version next time."
                " Stop it first, install cockroach-sql instead, or set crdb_client_force."
            )

    def _may_write(self, pending: dict[str, str]) -> None:
        for place in (self.at.base, os.path.join(self.at.prefix, "bin")):
            parent = place
            while not os.path.lexists(parent):
                parent = os.path.dirname(parent)
            if not os.path.isdir(parent) or not os.access(parent, os.W_OK | os.X_OK):
                raise ClientRefused(
                    f"{place}: {parent} is not a folder that this user may write to. Run as root (become), or set"
                    " crdb_client_prefix to a folder of the user, such as ~/.local."
                )
            owner = os.stat(parent).st_uid
            if os.geteuid() == 0 and owner != 0:
                raise ClientRefused(
                    f"{place}: {parent} belongs to the user {owner}, and root does not install through it: run as that"
                    " user (become_user)."
                )
        for product, name in pending.items():
            if name not in self.wanted.sha256 and name not in self.wanted.archives and self.wanted.fetch:
                for url in (self.wanted.base_url, self.wanted.checksum_url or self.wanted.base_url):
                    if not url.startswith("https://"):
                        raise ClientRefused(f"{url}: {product} is downloaded over https only.")

    def _hints(self) -> None:
        folder = os.path.join(self.at.prefix, "bin")
        search = os.environ.get("PATH", os.defpath).split(os.pathsep)
        for product in self.wanted.products:
            other = shutil.which(product)
            if other and os.path.realpath(other) != os.path.realpath(self.at.link(product)):
                self.report.notes.append(f"{other} is another {product}, and may be found first in the PATH.")
        if folder not in search:
            home = os.path.expanduser("~")
            inside = folder.startswith(home + os.sep)
            shown = f'"$HOME{folder[len(home) :]}:$PATH"' if inside else f'{shlex.quote(folder)}:"$PATH"'
            self.report.path_line = f"export PATH={shown}"
        if not self._shell():
            self.report.notes.append(
                f"{HELPER} was not installed: cockroach-sql reads a connection from the environment since v24.3."
                " Install cockroach too (crdb_client_products), or a newer version."
            )
        if self.at.prefix != "/usr/local" and "cockroach" in self.wanted.products:
            self.report.notes.append(
                f"The spatial libraries are in {self.at.prefix}/lib/cockroach: only `cockroach demo` and nodes use"
                " them,"
                " with --spatial-libs."
            )

    def _install(self, pending: dict[str, str]) -> None:
        if not self.report.changed and not self._extras_pending():
            return
        try:
            new = self.at.found(self.at.record())
            with self.at.locked():
                try:
                    record = self.at.record()
                    if pending:
                        self._bring(pending, record)
                    for product in self.report.products:
                        self._switch(product, record)
                    self._extras(record)
                except (OSError, ClientRefused):
                    if new:
                        with contextlib.suppress(OSError, ClientRefused):
                            self._remove()
                    raise
        except OSError as exc:
            raise ClientRefused(
                f"{exc.filename or self.at.prefix}: {exc.strerror or exc}. Nothing of the version in use was changed."
            ) from None

    def _bring(self, pending: dict[str, str], record: dict[str, Any]) -> None:
        """Put every missing version into its folder: all are verified before the first one is placed."""
        stage = tempfile.mkdtemp(prefix=".stage-", dir=self.at.base)
        try:
            for product, name in pending.items():
                folder = os.path.join(stage, product)
                path = self._archive(stage, name)
                archives.extract(path, name, product, folder)
                if path.startswith(stage):
                    os.unlink(path)
                home = os.path.join(stage, "home")
                os.makedirs(home, exist_ok=True)
                program = os.path.join(folder, product)
                archives.smoke_test(program, product, self.wanted.version, home)
                content = json.dumps({"archive": name, "size": os.stat(program).st_size}) + "\n"
                _files.write(os.path.join(folder, "installed.json"), content.encode("utf-8"), 0o644)
            for product in pending:
                target = self.at.folder(product, self.wanted.version)
                self.at.make(os.path.dirname(target), record)
                if os.path.isdir(target):
                    os.rename(target, os.path.join(stage, f"{product}.damaged"))
                os.rename(os.path.join(stage, product), target)
        finally:
            shutil.rmtree(stage, ignore_errors=True)

    def _archive(self, stage: str, name: str) -> str:
        """The path of a verified archive."""
        wanted = self.wanted
        if name in wanted.sha256:
            digest = archives.checked_digest(wanted.sha256[name], f"crdb_client_sha256.{name}")
        else:
            url = archives.checksum_url(wanted.checksum_url or wanted.base_url, name)
            digest = archives.parse_checksum(self._downloader().text(url), name)
        path = wanted.archives.get(name, "")
        if not path:
            path = os.path.join(stage, name)
            self._downloader().file(archives.archive_url(wanted.base_url, name), path)
        archives.compare(archives.digest_of(path), digest, name)
        return path

    def _downloader(self) -> archives.Downloader:
        return archives.Downloader(ca_file=self.wanted.ca_file, proxy=self.wanted.proxy, timeout=self.wanted.timeout)

    def _switch(self, product: dict[str, Any], record: dict[str, Any]) -> None:
        name, link = product["name"], product["path"]
        self.at.make(os.path.dirname(link), record)
        before = self.at.current(name)
        if before:
            with contextlib.suppress(OSError):
                os.utime(self.at.folder(name, before))
        elif os.path.lexists(link):
            self._keep_foreign(link, record)
        folder = self.at.folder(name, self.wanted.version)
        relink(link, os.path.join(folder, name))
        if self._libraries_pending(name):
            relink(os.path.join(self.at.prefix, "lib", "cockroach"), os.path.join(folder, "lib"))
        self._prune(name)

    def _ours(self, link: str) -> bool:
        if not os.path.islink(link):
            return False
        target = os.path.normpath(os.path.join(os.path.dirname(link), os.readlink(link)))
        return target.startswith(self.at.base + os.sep)

    def _keep_foreign(self, link: str, record: dict[str, Any]) -> None:
        copy = link + BACKUP
        if os.path.lexists(copy) and record["backups"].get(link) != copy:
            raise ClientRefused(f"{copy}: is there already; move it away first.")
        record["backups"][link] = copy
        self.at.save(record)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(copy)
        if os.path.islink(link):
            os.symlink(os.readlink(link), copy)
        elif os.path.isfile(link):
            shutil.copy2(link, copy)
        else:
            raise ClientRefused(f"{link}: is there and is neither a file nor a link.")

    def _prune(self, product: str) -> None:
        others = [version for version in self.at.versions(product) if version != self.wanted.version]
        for version in others[self.wanted.keep :]:
            doomed = tempfile.mkdtemp(prefix=".stage-", dir=self.at.base)
            os.rename(self.at.folder(product, version), os.path.join(doomed, version))
            shutil.rmtree(doomed)

    def _completions(self) -> dict[str, str]:
        if not self.wanted.completion or "cockroach" not in self.wanted.products:
            return {}
        places = {shell: os.path.join(self.at.prefix, place) for shell, place in _COMPLETIONS.items()}
        return {shell: path for shell, path in places.items() if os.path.isdir(os.path.dirname(path))}

    def _profile_path(self) -> str:
        home = os.path.expanduser("~")
        if os.path.basename(pwd.getpwuid(os.geteuid()).pw_shell) == "zsh":
            return os.path.join(home, ".zprofile")
        for name in (".bash_profile", ".bash_login"):
            if os.path.exists(os.path.join(home, name)):
                return os.path.join(home, name)
        return os.path.join(home, ".profile")

    def _extras_pending(self) -> list[str]:
        record = self.at.record()
        pending = [path for path in self._completions().values() if self._completion_pending(path, record)]
        if self.wanted.profile and self.report.path_line and not record["profile"]:
            pending.append(self._profile_path())
        if self._helper_pending():
            pending.append(self.at.link(HELPER))
        return pending

    def _shell(self) -> str:
        """The product that crdb-sql runs; empty when none of those that are there reads its connection."""
        if "cockroach" in self.wanted.products or self.at.current("cockroach"):
            return "cockroach"
        numbers = tuple(int(part) for part in self.wanted.version.lstrip("v").split("."))
        return "cockroach-sql" if numbers >= HELPER_SQL_SINCE else ""

    def _helper(self) -> tuple[str, bytes]:
        """The path and the text of the program behind the link crdb-sql."""
        certs = shlex.quote(os.path.join(self.at.base, "no-certs"))
        text = _HELPER.format(certs=certs, program=shlex.quote(self.at.link(self._shell())))
        return os.path.join(self.at.base, HELPER), text.encode("utf-8")

    def _helper_pending(self) -> bool:
        path, text = self._helper()
        link = self.at.link(HELPER)
        if not self._shell() or (os.path.lexists(link) and not self._ours(link)):
            return False
        try:
            with open(path, "rb") as stream:
                return stream.read() != text or not os.path.lexists(link)
        except OSError:
            return True

    def _completion_pending(self, path: str, record: dict[str, Any]) -> bool:
        known = record["completions"].get(path)
        if not os.path.lexists(path):
            return True
        return known is not None and known["version"] != self.wanted.version

    def _extras(self, record: dict[str, Any]) -> None:
        """Completion where a shell has its folder, and the PATH line where it was asked for."""
        if self._helper_pending():
            path, text = self._helper()
            self.at.make(os.path.join(self.at.base, "no-certs"))
            _files.write(path, text, 0o755)
            relink(self.at.link(HELPER), path)
            self.report.others.append(self.at.link(HELPER))
        for shell, path in self._completions().items():
            if not self._completion_pending(path, record):
                continue
            answer = subprocess.run(
                [self.at.link("cockroach"), "gen", "autocomplete", shell, "--out", "/dev/stdout"],
                stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60,
            )  # fmt: skip
            if answer.returncode != 0 or not answer.stdout:
                self.report.notes.append(f"{path}: not written, `cockroach gen autocomplete {shell}` failed.")
                continue
            if not os.path.lexists(path):
                # Before it is there, so that it is known as ours when the run is killed.
                record["completions"][path] = {"sha256": _files.digest(answer.stdout), "version": ""}
                self.at.save(record)
            _files.write(path, answer.stdout, 0o644)
            record["completions"][path] = {"sha256": _files.digest(answer.stdout), "version": self.wanted.version}
            self.at.save(record)
            self.report.others.append(path)
        if self.wanted.profile and self.report.path_line and not record["profile"]:
            path = os.path.realpath(self._profile_path())
            found = _files.look(path)
            before = found.content or b""
            start = "\n" if before and not before.endswith(b"\n") else ""
            added = f"{start}{self.report.path_line} {PROFILE_MARK}\n"
            record["profile"] = {"path": path, "added": added, "existed": found.content is not None}
            self.at.save(record)
            if added.encode("utf-8") not in before:
                _files.write(path, before + added.encode("utf-8"), found.mode or 0o644)
                self.report.others.append(path)

    def absent(self, check_mode: bool) -> Report:
        """Take away what was installed, and nothing else, or say what would be. Raises ClientRefused."""
        at = self.at
        for product in archives.PRODUCTS:
            before = at.current(product)
            there = bool(before) or bool(at.versions(product))
            if before and not self.wanted.force and running_nodes(at.link(product), at.base):
                raise ClientRefused(f"{at.link(product)}: runs as a node. Stop it first, or set crdb_client_force.")
            self.report.products.append(
                {
                    "name": product, "action": "removed" if there else "ok", "before": before, "version": "",
                    "path": at.link(product),
                }
            )  # fmt: skip
        there = os.path.isdir(at.base)
        self.report.others += [at.base] if there else at.leftovers()
        if check_mode:
            return self.report
        try:
            if there:
                with at.locked():
                    self._remove()
            else:
                at.sweep()
        except OSError as exc:
            raise ClientRefused(f"{exc.filename or at.prefix}: cannot be removed: {exc.strerror or exc}.") from None
        return self.report

    def _remove(self) -> None:
        at, record = self.at, self.at.record()
        profile = record["profile"]
        if profile:
            self._restore_profile(profile)
        for path, known in record["completions"].items():
            if os.path.isfile(path) and archives.digest_of(path) == known["sha256"]:
                os.unlink(path)
            elif os.path.lexists(path):
                self.report.notes.append(f"{path}: was changed since, and stays.")
        for product in archives.PRODUCTS:
            link = at.link(product)
            if at.current(product):
                copy = record["backups"].get(link)
                if copy and os.path.lexists(copy):
                    os.replace(copy, link)
                else:
                    os.unlink(link)
        for link in (os.path.join(at.prefix, "lib", "cockroach"), at.link(HELPER)):
            if self._ours(link):
                os.unlink(link)
        for product in archives.PRODUCTS:
            shutil.rmtree(os.path.join(at.base, product), ignore_errors=True)
        # The record goes last: a run that is killed before can be followed by another.
        made = sorted(record["made"], key=len, reverse=True)
        shutil.rmtree(at.base)
        for folder in made:
            with contextlib.suppress(OSError):
                os.rmdir(folder)

    def _restore_profile(self, profile: dict[str, Any]) -> None:
        path = profile["path"]
        try:
            found = _files.look(path)
        except _files.FileRefused as exc:
            raise ClientRefused(str(exc)) from None
        if found.content is None:
            return
        added = profile["added"].encode("utf-8")
        before, hit, after = found.content.rpartition(added)
        content = before + after if hit else found.content
        if not content and not profile["existed"]:
            os.unlink(path)
        elif content != found.content:
            _files.write(path, content, found.mode)


def resolved_prefix(prefix: str) -> str:
    """The absolute prefix for what was given; the default one for nothing."""
    path = os.path.expanduser(prefix) if prefix else default_prefix()
    if not os.path.isabs(path):
        raise ClientRefused(f"crdb_client_prefix {prefix!r}: is not an absolute path; begin it with / or ~/.")
    return path
