# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path
from typing import Any

from ansible import constants
from ansible_collections.crdb.onboard.plugins.module_utils._client import archive as client_archive
from ansible_collections.crdb.onboard.plugins.plugin_utils._action.base import OnboardingAction
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._releases import releases as _releases


def _controller_archive(name: str, arguments: dict[str, Any]) -> Path:
    """A verified archive on the controller: the operator's file, or downloaded once a run, whichever host is first."""
    folder = Path(str(constants.DEFAULT_LOCAL_TMP)) / "crdb-onboard-client"
    folder.mkdir(mode=0o700, exist_ok=True)
    target = folder / name
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.exists():
            return target
        digest, path = _brought(name, arguments, folder)
        client_archive.compare(client_archive.digest_of(str(path)), digest, name)
        path.rename(target)
    return target


def _brought(name: str, arguments: dict[str, Any], folder: Path) -> tuple[str, Path]:
    downloader = client_archive.Downloader(
        ca_file=arguments["ca_file"], proxy=arguments["proxy"], timeout=arguments["timeout"]
    )
    given = arguments["sha256"].get(name)
    source = Path(arguments["archive_folder"]).expanduser() if arguments["archive_folder"] else None
    if given is not None:
        digest = client_archive.checked_digest(str(given), f"crdb_client_sha256.{name}")
    elif source is not None:
        digest = client_archive.parse_checksum(_read(source / f"{name}.sha256sum"), name)
    else:
        base = arguments["checksum_url"] or arguments["base_url"]
        digest = client_archive.parse_checksum(downloader.text(client_archive.checksum_url(base, name)), name)
    path = folder / f"{name}.part"
    path.unlink(missing_ok=True)
    if source is not None:
        try:
            shutil.copyfile(source / name, path)
        except OSError as exc:
            raise OnboardingError(f"{source / name}: cannot be read on the controller: {exc.strerror}.") from None
    else:
        downloader.file(client_archive.archive_url(arguments["base_url"], name), str(path))
    return digest, path


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise OnboardingError(
            f"{path}: cannot be read on the controller: {exc.strerror}. Put the checksum there, or give it in"
            " crdb_client_sha256."
        ) from None


class ActionModule(OnboardingAction):
    """Resolve the version on the controller, and bring the archive from there where that is wanted."""

    OPTIONS = "client"

    def work(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return the module's result, with what the version's age makes worth saying among its notes."""
        notes: list[str] = []
        if arguments["state"] == "present":
            arguments, notes = self._resolved(arguments)
        result = self._run(arguments, task_vars)
        needs = result.get("needs", [])
        if needs and not result.get("failed") and not self._task.check_mode:
            try:
                local = {name: _controller_archive(name, arguments) for name in needs}
            except client_archive.ClientRefused as exc:
                raise OnboardingError(str(exc)) from None
            result = self._bring(local, arguments, task_vars)
        changes = [f"{product['action']} {product['path']}" for product in result.get("products", ())]
        changes = [line for line in changes if not line.startswith("ok ")]
        return {**result, "changes": changes, "notes": notes + result.get("notes", [])}

    def _resolved(self, arguments: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        if not arguments["version"]:
            raise OnboardingError("crdb_client_version is empty: give a version or a series, such as v25.4.")
        local = bool(arguments["archive_folder"])
        for key in ("base_url", "checksum_url"):
            if arguments[key] and not local and not arguments[key].startswith("https://"):
                raise OnboardingError(f"crdb_client_{key} {arguments[key]}: a client is downloaded over https only.")
        vendor = not local and arguments["base_url"].rstrip("/") == client_archive.VENDOR_URL
        release = _releases.resolve(arguments["version"], vendor=vendor)
        missing = [product for product in arguments["products"] if product not in release.products]
        if missing:
            raise OnboardingError(
                f"crdb_client_version {release.version}: there is no {missing[0]} of this version yet."
            )
        resolved = {**arguments, "version": release.version, "builds": list(release.builds)}
        resolved["source"] = "controller" if local else arguments["source"]
        return resolved, list(release.warnings)

    def _run(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = self._execute_module(
            module_name="crdb.onboard.client", module_args=arguments, task_vars=task_vars
        )
        result.pop("invocation", None)
        return result

    def _bring(self, local: dict[str, Path], arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Copy archives to the host, and install from there."""
        folder = self._make_tmp_path()
        try:
            remote = {name: self._connection._shell.join_path(folder, name) for name in local}
            for name, path in remote.items():
                self._transfer_file(os.fspath(local[name]), path)
            self._fixup_perms2([folder, *remote.values()])
            digests = {name: client_archive.digest_of(os.fspath(path)) for name, path in local.items()}
            return self._run({**arguments, "archives": remote, "sha256": {**arguments["sha256"], **digests}}, task_vars)
        finally:
            self._remove_tmp_path(folder, force=True)
