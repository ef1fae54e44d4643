# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All files of one app on one host: what is written there, and the facts that a check compares the host's files with.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from ansible_collections.crdb.onboard.plugins.plugin_utils._inventory.apps import App
from ansible_collections.crdb.onboard.plugins.plugin_utils._render.expected import expected_facts
from ansible_collections.crdb.onboard.plugins.plugin_utils._render.files import RenderedFile, render_app, render_psql
from ansible_collections.crdb.onboard.plugins.plugin_utils._render.literals import secret_forms


@dataclass(frozen=True)
class AppFiles:
    """The rendered files of an app.

    `folder_files` belong to the app's folder, and to systemd where the app is a service. `home_files` belong to the
    home of its user: they have that user's group, not the app's.
    """

    app: App
    ca_path: str
    folder_files: tuple[RenderedFile, ...]
    home_files: tuple[RenderedFile, ...]

    @property
    def files(self) -> tuple[RenderedFile, ...]:
        """All files, in the order in which they are written."""
        return (*self.folder_files, *self.home_files)

    @cached_property
    def secrets(self) -> frozenset[str]:
        """Every form in which the password can appear in the files: what a diff must mask."""
        return frozenset(secret_forms(self.app.source.connection))

    def expected(self) -> dict[str, Any]:
        """What a check compares the host's files with: an entry of the option `apps` of the module `check`.

        It lacks only the name of the app and of its endpoint. Raises OnboardingError when the CA cannot be read.
        """
        return expected_facts(self.app, self.files, self.ca_path, self.secrets)


def app_files(app: App, folder: str, home: str, ca_path: str) -> AppFiles:
    """Render all files of an app.

    Args:
        app: what the inventory says of it.
        folder: the app's folder on the host, with `~` expanded.
        home: the home of the app's user on the host.
        ca_path: the absolute path of the CA on the host.

    Raises:
        OnboardingError: a template and its values do not fit, or a format cannot hold a value.
        InvalidConnectionError: the files of psql cannot hold a value.
    """
    return AppFiles(app, ca_path, tuple(render_app(app, folder, ca_path)), tuple(render_psql(app, home, ca_path)))


def sample_paths(app: App, folder: str) -> list[str]:
    """The paths that the samples of an app's frameworks have in its folder on the host."""
    return [str(PurePosixPath(folder, file.destination)) for f in app.frameworks for file in f.samples]
