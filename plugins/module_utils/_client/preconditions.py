# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What must hold before the first change of an installation.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import os

from ansible_collections.crdb.onboard.plugins.module_utils._client.download import require_https
from ansible_collections.crdb.onboard.plugins.module_utils._client.errors import ClientError
from ansible_collections.crdb.onboard.plugins.module_utils._client.installation import Installation
from ansible_collections.crdb.onboard.plugins.module_utils._client.options import ClientOptions
from ansible_collections.crdb.onboard.plugins.module_utils._client.program import running_nodes
from ansible_collections.crdb.onboard.plugins.module_utils._files import tree


def check_replaceable(installation: Installation, product: str) -> None:
    """Raise ClientError when a product's link is somebody else's program, or its program runs as a node."""
    link = installation.link(product)
    if not os.path.lexists(link):
        return
    if not installation.current(product):
        target = f" (a link to {os.readlink(link)})" if os.path.islink(link) else ""
        raise ClientError(
            f"{link} already exists and was not installed by crdb.onboard{target}. Remove it, choose another"
            " prefix (crdb_client_prefix), or set `force: true` (crdb_client_force), which keeps a copy beside it."
        )
    pids = running_nodes(link, installation.base)
    if pids:
        raise ClientError(
            f"{link} runs as a node (process {', '.join(pids)}), which would start as another version next time. Stop"
            " it first, install cockroach-sql instead, or set `force: true` (crdb_client_force)."
        )


def check_writable(installation: Installation) -> None:
    """Raise ClientError unless the current user may write below the prefix; root only through folders of its own."""
    for folder in (installation.base, os.path.join(installation.prefix, "bin")):
        parent = folder
        while not os.path.lexists(parent):
            parent = os.path.dirname(parent)
        if not os.path.isdir(parent) or not os.access(parent, os.W_OK | os.X_OK):
            raise ClientError(
                f"{folder} cannot be written: {parent} is not a folder that this user may write to. Run as root"
                " (become), or set prefix (crdb_client_prefix) to a folder of the user, such as ~/.local."
            )
        try:
            tree.resolve(folder)
        except tree.UntrustedPathError as exc:
            raise ClientError(
                f"{folder} cannot be written: {exc.strerror}. Run as the user that it belongs to (become_user), or set"
                " another prefix (crdb_client_prefix)."
            ) from None
        except OSError as exc:
            raise ClientError(f"{folder} cannot be written: {exc.strerror}.") from None


def check_urls(options: ClientOptions, names: list[str]) -> None:
    """Raise ClientError when an archive would be downloaded over anything but https."""
    if any(name not in options.sha256 and name not in options.archives for name in names):
        require_https(options.base_url)
        require_https(options.checksum_url or options.base_url)
