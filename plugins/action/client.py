# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from ansible import constants
from ansible_collections.crdb.onboard.plugins.module_utils._client import builds, download
from ansible_collections.crdb.onboard.plugins.module_utils._client.errors import ClientError
from ansible_collections.crdb.onboard.plugins.plugin_utils._action.base import OnboardingAction
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError
from ansible_collections.crdb.onboard.plugins.plugin_utils._releases import releases
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import orphan as _orphan
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import screen
from ansible_collections.crdb.onboard.plugins.plugin_utils._run import shared as _shared
from ansible_collections.crdb.onboard.plugins.plugin_utils._transport import call as transport

_CRDB_SQL = Path(builds.__file__).with_name("crdb-sql")


def _controller_archive(name: str, arguments: dict[str, Any]) -> Path:
    """Return a verified archive on the controller. The first host of a run copies or downloads it for all hosts."""
    folder = Path(str(constants.DEFAULT_LOCAL_TMP)) / "crdb-onboard-client"
    folder.mkdir(mode=0o700, exist_ok=True)
    target = folder / name
    with (folder / f"{name}.lock").open("w") as lock:
        _shared.lock_file(lock.fileno())
        if target.exists():
            return target
        digest, path = _fetch(name, arguments, folder)
        download.compare_digests(download.digest_of(str(path)), digest, name)
        path.rename(target)
    return target


def _fetch(name: str, arguments: dict[str, Any], folder: Path) -> tuple[str, Path]:
    """Return the expected digest of an archive, and its path in `folder` before it is verified."""
    downloader = download.Downloader(
        ca_file=arguments["ca_file"], proxy=arguments["proxy"], timeout=arguments["timeout"]
    )
    own_digest = arguments["sha256"].get(name)
    source = Path(arguments["archive_folder"]) if arguments["archive_folder"] else None
    if own_digest is not None:
        digest = download.parse_digest(str(own_digest), f"sha256.{name}")
    elif source is not None:
        digest = download.parse_checksum(_read(source / f"{name}.sha256sum"), name)
    else:
        base_url = arguments["checksum_url"] or arguments["base_url"]
        digest = download.parse_checksum(downloader.read(builds.checksum_url(base_url, name)), name)
    path = folder / f"{name}.part"
    path.unlink(missing_ok=True)
    if source is not None:
        try:
            shutil.copyfile(source / name, path)
        except OSError as exc:
            raise OnboardingError(
                f"{source / name} cannot be read on the controller: {exc.strerror}. Put the archive there."
            ) from None
    else:
        screen.show([f"Downloading {name} ..."])
        downloader.save(builds.archive_url(arguments["base_url"], name), str(path))
    return digest, path


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise OnboardingError(
            f"{path} cannot be read on the controller: {exc.strerror}. Put the checksum there, or set sha256"
            " (crdb_client_sha256) to it."
        ) from None


class ActionModule(OnboardingAction):
    """Resolve the version on the controller, and copy the archive to the host if the host does not download it."""

    OPTIONS = "client"

    def work(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return the module's result, or the reason of a failure where that is not to end the run."""
        try:
            result = self._install(arguments, task_vars)
        except OnboardingError as exc:
            if arguments["fail"]:
                raise
            result = {"failed": True, "msg": str(exc)}
        if result.get("failed") and not arguments["fail"]:
            failure = str(result.get("msg", ""))
            notes = [f"The client was not installed: {failure}", "To try again, run the same command once more."]
            return {"changed": False, "failure": failure, "products": [], "changes": [], "notes": notes}
        return result

    def _install(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """The module's result. Its notes begin with the warnings about the release. Raises OnboardingError."""
        warnings: list[str] = []
        paths = self.controller_paths()
        arguments = {**arguments, "archive_folder": paths.find(arguments["archive_folder"])}
        if arguments["source"] == "controller":
            arguments["ca_file"] = paths.find(arguments["ca_file"])
        if arguments["state"] == "present":
            arguments, warnings = self._resolve(arguments)
        # A host that downloads nothing needs no proxy, whose URL may hold a password.
        downloads = arguments["state"] == "present" and arguments["source"] == "host"
        on_host = arguments if downloads else {**arguments, "proxy": ""}
        result = self._run_module(on_host, task_vars)
        names = result.get("missing_archives", [])
        if names and not result.get("failed") and not self._task.check_mode:
            try:
                archives = {name: _controller_archive(name, arguments) for name in names}
            except ClientError as exc:
                raise OnboardingError(str(exc)) from None
            result = self._run_with_archives(archives, on_host, task_vars)
        products = [product for product in result.get("products", ()) if product["action"] != "ok"]
        changes = [f"{product['action']} {product['path']}" for product in products]
        return {**result, "changes": changes, "notes": warnings + result.get("notes", [])}

    @staticmethod
    def _resolve(arguments: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Return the arguments with an exact version and the module's internal options, and warnings.

        Raises OnboardingError.
        """
        if not arguments["version"]:
            raise OnboardingError(
                "version must not be empty. Set it (crdb_client_version) to a version or a series, such as v25.4."
            )
        is_local = bool(arguments["archive_folder"])
        for option in ("base_url", "checksum_url"):
            if arguments[option] and not is_local and not arguments[option].startswith("https://"):
                raise OnboardingError(
                    f"{option} must be an https URL, not {arguments[option]}: the client is downloaded over https only."
                )
        vendor = not is_local and arguments["base_url"].rstrip("/") == builds.VENDOR_URL
        release = releases.resolve(arguments["version"], vendor=vendor)
        missing = [product for product in arguments["products"] if product not in release.products]
        if missing:
            raise OnboardingError(
                f"version {release.version} does not include {missing[0]}. Choose a newer version, or remove"
                f" {missing[0]} from products (crdb_client_products)."
            )
        internal = {"builds": list(release.builds), "crdb_sql": _CRDB_SQL.read_text(encoding="utf-8")}
        source = "controller" if is_local else arguments["source"]
        resolved = {**arguments, "version": release.version, "source": source, "internal": internal}
        return resolved, list(release.warnings)

    def _run_module(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        # The user part of a URL may be a password or a token.
        if "@" in arguments["proxy"]:
            self._keep_arguments_out_of_files()
        _orphan.still_wanted()
        result: dict[str, Any] = self._execute_module(
            module_name="crdb.onboard.client", module_args=arguments, task_vars=task_vars
        )
        result.pop("invocation", None)
        return result

    def _keep_arguments_out_of_files(self) -> None:
        """Turn pipelining on for this task. Raises OnboardingError where that is not possible."""
        if self._task.async_val:
            raise OnboardingError("proxy holds a password, and async would write it to a file. Remove async.")
        try:
            transport.keep_secrets_out_of_files(self._connection)
        except OnboardingError as exc:
            raise OnboardingError(
                f"proxy holds a password. {exc} Or set `source: controller` (crdb_client_source)."
            ) from None

    def _run_with_archives(
        self, paths: dict[str, Path], arguments: dict[str, Any], task_vars: dict[str, Any]
    ) -> dict[str, Any]:
        """Copy archives to the host, and install from there."""
        folder = self._make_tmp_path()
        try:
            remote_paths = {name: self._connection._shell.join_path(folder, name) for name in paths}
            for name, path in remote_paths.items():
                _orphan.still_wanted()
                self._transfer_file(os.fspath(paths[name]), path)
            self._fixup_perms2([folder, *remote_paths.values()])
            digests = {name: download.digest_of(os.fspath(path)) for name, path in paths.items()}
            with_archives = {
                **arguments,
                "sha256": {**arguments["sha256"], **digests},
                "internal": {**arguments["internal"], "archives": remote_paths},
            }
            return self._run_module(with_archives, task_vars)
        finally:
            self._remove_tmp_path(folder, force=True)
