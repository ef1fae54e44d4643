# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The line in the user's shell profile that adds the client's folder to the PATH.

This module util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import os
import pwd
import shlex
from typing import Any

from ansible_collections.crdb.onboard.plugins.module_utils._client.errors import ClientError
from ansible_collections.crdb.onboard.plugins.module_utils._client.installation import Installation
from ansible_collections.crdb.onboard.plugins.module_utils._files.current import read_current
from ansible_collections.crdb.onboard.plugins.module_utils._files.model import FileRefusedError
from ansible_collections.crdb.onboard.plugins.module_utils._files.replace import write

_MARK = "# crdb.onboard"


def path_line(folder: str) -> str:
    """Return the line that adds a folder to the PATH; empty when the PATH has it."""
    if folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        return ""
    home = os.path.expanduser("~")
    below_home = folder.startswith(home + os.sep)
    value = f'"$HOME{folder[len(home) :]}:$PATH"' if below_home else f'{shlex.quote(folder)}:"$PATH"'
    return f"export PATH={value}"


def profile_path() -> str:
    """Return the profile that the user's login shell reads."""
    home = os.path.expanduser("~")
    if os.path.basename(pwd.getpwuid(os.geteuid()).pw_shell) == "zsh":
        return os.path.join(home, ".zprofile")
    for name in (".bash_profile", ".bash_login"):
        if os.path.exists(os.path.join(home, name)):
            return os.path.join(home, name)
    return os.path.join(home, ".profile")


def add_line(line: str, installation: Installation, record: dict[str, Any]) -> str:
    """Add a line to the profile, and record it. Return the changed path; empty when it has the line. Raises OSError."""
    path = os.path.realpath(profile_path())
    profile = read_current(path)
    content = profile.content or b""
    start = "\n" if content and not content.endswith(b"\n") else ""
    added = f"{start}{line} {_MARK}\n"
    record["profile"] = {"path": path, "added": added, "existed": profile.content is not None}
    installation.save(record)
    if added.encode("utf-8") in content:
        return ""
    write(path, content + added.encode("utf-8"), profile.mode or 0o644)
    return path


def remove_line(entry: dict[str, Any]) -> None:
    """Remove the recorded line from the profile, and a profile that we created. Raises ClientError, OSError."""
    path = entry["path"]
    try:
        profile = read_current(path)
    except FileRefusedError as exc:
        raise ClientError(str(exc)) from None
    if profile.content is None:
        return
    before, added, after = profile.content.rpartition(entry["added"].encode("utf-8"))
    content = before + after if added else profile.content
    if not content and not entry["existed"]:
        os.unlink(path)
    elif content != profile.content:
        write(path, content, profile.mode)
