# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Install a version of the client below a prefix: decide, download, verify, switch the links.

A version's folder is renamed into its place only after its program ran.
This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from typing import Any

from ansible_collections.crdb.onboard.plugins.module_utils._client import (
    archive,
    builds,
    completion,
    download,
    preconditions,
    profile,
    program,
    remove,
)
from ansible_collections.crdb.onboard.plugins.module_utils._client.errors import ClientError
from ansible_collections.crdb.onboard.plugins.module_utils._client.installation import Installation, relink
from ansible_collections.crdb.onboard.plugins.module_utils._client.options import ClientOptions, ClientResult
from ansible_collections.crdb.onboard.plugins.module_utils._client.sql_shell import SCRIPT, SqlShell
from ansible_collections.crdb.onboard.plugins.module_utils._files.replace import write

BACKUP = ".before-crdb-onboard"


def install(options: ClientOptions, check_mode: bool) -> ClientResult:
    """Install the client; in check mode only report it.

    Raises ClientError; the version in use is then unchanged.
    """
    return _Installer(options).run(check_mode)


class _Installer:
    """One installation: the decision, then its execution."""

    def __init__(self, options: ClientOptions) -> None:
        self.options = options
        self.installation = Installation(options.prefix)
        self.sql_shell = SqlShell(self.installation, options)
        self.result = ClientResult()

    def run(self, check_mode: bool) -> ClientResult:
        pending_archives = self._decide()
        if self.result.changed:
            preconditions.check_writable(self.installation)
            if self.options.download:
                preconditions.check_urls(self.options, list(pending_archives.values()))
        self._add_hints()
        if pending_archives and not self.options.download:
            self.result.missing_archives = [
                name for name in pending_archives.values() if name not in self.options.archives
            ]
        if check_mode:
            self.result.other_paths += self._pending_paths()
        if not check_mode and not self.result.missing_archives:
            self._execute(pending_archives)
        return self.result

    def _decide(self) -> dict[str, str]:
        """Fill the result's products. Return the archives to unpack: product -> name."""
        options, build = self.options, builds.this_build()
        if build not in options.builds:
            raise ClientError(
                f"There is no {options.version} for {build}. The vendor has it for {', '.join(options.builds)}."
            )
        pending_archives = {}
        for product in options.products:
            before = self.installation.current(product)
            complete = self.installation.is_complete(product, options.version)
            settled = before == options.version and not self._is_unfinished(product)
            action = "ok" if complete and settled else "switched" if complete else "installed"
            path = self.installation.link(product)
            self.result.products.append(
                {"name": product, "action": action, "before": before, "version": options.version, "path": path}
            )
            if action != "ok" and not options.force:
                preconditions.check_replaceable(self.installation, product)
            if not complete:
                pending_archives[product] = builds.archive_name(product, options.version, build)
        return pending_archives

    def _other_versions(self, product: str) -> list[str]:
        return [version for version in self.installation.versions(product) if version != self.options.version]

    def _is_unfinished(self, product: str) -> bool:
        """Return whether a killed run left work to do."""
        superfluous = len(self._other_versions(product)) > self.options.keep
        return superfluous or bool(self.installation.leftovers()) or self._is_library_pending(product)

    def _is_library_pending(self, product: str) -> bool:
        folder = os.path.join(self.installation.folder(product, self.options.version), "lib")
        link = self.installation.libraries_link
        if product != "cockroach" or not os.path.isdir(folder):
            return False
        outdated = self.installation.owns_link(link) and os.path.realpath(link) != os.path.realpath(folder)
        return outdated or not os.path.lexists(link)

    def _add_hints(self) -> None:
        for product in self.options.products:
            other = shutil.which(product)
            if other and os.path.realpath(other) != os.path.realpath(self.installation.link(product)):
                self.result.notes.append(f"{other} is another {product}, and may come first in the PATH.")
        self.result.path_line = profile.path_line(os.path.join(self.installation.prefix, "bin"))
        if not self.sql_shell.product():
            self.result.notes.append(
                f"{SCRIPT} was not installed: cockroach-sql reads a connection from the environment since v24.3."
                " Add cockroach to the products, or install a newer version."
            )
        if self.installation.prefix != "/usr/local" and "cockroach" in self.options.products:
            self.result.notes.append(
                f"The spatial libraries are in {self.installation.libraries_link}. Only `cockroach demo` and nodes use"
                " them; give them that folder with --spatial-libs."
            )

    def _is_profile_pending(self, record: dict[str, Any]) -> bool:
        return bool(self.options.profile and self.result.path_line and not record["profile"])

    def _pending_paths(self) -> list[str]:
        """Return the paths besides the programs that would be changed."""
        record = self.installation.record()
        paths = list(completion.pending(self.installation, self.options, record).values())
        if self._is_profile_pending(record):
            paths.append(profile.profile_path())
        if self.sql_shell.is_pending():
            paths.append(self.sql_shell.link)
        return paths

    def _execute(self, pending_archives: dict[str, str]) -> None:
        if not self.result.changed and not self._pending_paths():
            return
        try:
            is_first_run = self.installation.create_base(self.installation.record())
            with self.installation.locked():
                try:
                    self._change(pending_archives)
                except (OSError, ClientError):
                    if is_first_run:
                        with contextlib.suppress(OSError, ClientError):
                            remove.remove_installed(self.installation, self.result)
                    raise
        except OSError as exc:
            raise ClientError(
                f"{exc.filename or self.installation.prefix}: {exc.strerror or exc}. The version in use is unchanged."
            ) from None

    def _change(self, pending_archives: dict[str, str]) -> None:
        record = self.installation.record()
        if pending_archives:
            self._place_versions(pending_archives, record)
        for product in self.result.products:
            self._switch(product["name"], record)
        if self.sql_shell.is_pending():
            self.sql_shell.write()
            self.result.other_paths.append(self.sql_shell.link)
        completion.write(self.installation, self.options, record, self.result)
        if self._is_profile_pending(record):
            path = profile.add_line(self.result.path_line, self.installation, record)
            self.result.other_paths += [path] if path else []

    def _place_versions(self, pending_archives: dict[str, str], record: dict[str, Any]) -> None:
        """Unpack every missing version into its folder. All are verified before the first one is placed."""
        stage = tempfile.mkdtemp(prefix=".stage-", dir=self.installation.base)
        try:
            for product, name in pending_archives.items():
                self._stage_version(stage, product, name)
            for product in pending_archives:
                target = self.installation.folder(product, self.options.version)
                self.installation.make_folder(os.path.dirname(target), record)
                if os.path.isdir(target):
                    os.rename(target, os.path.join(stage, f"{product}.damaged"))
                os.rename(os.path.join(stage, product), target)
        finally:
            shutil.rmtree(stage, ignore_errors=True)

    def _stage_version(self, stage: str, product: str, name: str) -> None:
        folder = os.path.join(stage, product)
        path = self._verified_archive(stage, name)
        archive.extract(path, name, product, folder)
        if path.startswith(stage):
            os.unlink(path)
        home = os.path.join(stage, "home")
        os.makedirs(home, exist_ok=True)
        staged_program = os.path.join(folder, product)
        program.verify_version(staged_program, product, self.options.version, home)
        content = json.dumps({"archive": name, "size": os.stat(staged_program).st_size}) + "\n"
        write(os.path.join(folder, "installed.json"), content.encode("utf-8"), 0o644)

    def _verified_archive(self, stage: str, name: str) -> str:
        """Return the path of an archive whose digest is right."""
        options = self.options
        if name in options.sha256:
            digest = download.parse_digest(options.sha256[name], f"sha256.{name}")
        else:
            url = builds.checksum_url(options.checksum_url or options.base_url, name)
            digest = download.parse_checksum(self._downloader().read(url), name)
        path = options.archives.get(name, "")
        if not path:
            path = os.path.join(stage, name)
            self._downloader().save(builds.archive_url(options.base_url, name), path)
        download.compare_digests(download.digest_of(path), digest, name)
        return path

    def _downloader(self) -> download.Downloader:
        options = self.options
        return download.Downloader(ca_file=options.ca_file, proxy=options.proxy, timeout=options.timeout)

    def _switch(self, product: str, record: dict[str, Any]) -> None:
        """Make the product's links lead to the version, and remove versions beyond those to keep."""
        link = self.installation.link(product)
        self.installation.make_folder(os.path.dirname(link), record)
        before = self.installation.current(product)
        if before:
            with contextlib.suppress(OSError):
                os.utime(self.installation.folder(product, before))
        elif os.path.lexists(link):
            self._back_up_foreign(link, record)
        folder = self.installation.folder(product, self.options.version)
        relink(link, os.path.join(folder, product))
        if self._is_library_pending(product):
            relink(self.installation.libraries_link, os.path.join(folder, "lib"))
        for version in self._other_versions(product)[self.options.keep :]:
            doomed = tempfile.mkdtemp(prefix=".stage-", dir=self.installation.base)
            os.rename(self.installation.folder(product, version), os.path.join(doomed, version))
            shutil.rmtree(doomed)

    def _back_up_foreign(self, link: str, record: dict[str, Any]) -> None:
        backup = link + BACKUP
        if os.path.lexists(backup) and record["backups"].get(link) != backup:
            raise ClientError(f"{backup} already exists. Move it away first.")
        record["backups"][link] = backup
        self.installation.save(record)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(backup)
        if os.path.islink(link):
            os.symlink(os.readlink(link), backup)
        elif os.path.isfile(link):
            shutil.copy2(link, backup)
        else:
            raise ClientError(f"{link} is neither a file nor a link. Move it away first.")
