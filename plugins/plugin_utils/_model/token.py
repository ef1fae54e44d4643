# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the token of a connection comes from, which takes the place of a password.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

TOKEN_KEYS = ("jwt", "jwt_file", "jwt_command")
"""The keys of a connection that give its token, of which it may have one."""


FILE_VARIABLE = "CRDB_JWT_FILE"
COMMAND_VARIABLE = "CRDB_JWT_COMMAND"
"""What an environment file says about the token for `crdb-sql`: where it is, never the token."""
_SAFE = re.compile(r"[A-Za-z0-9_./:=@+-]")


@dataclass(frozen=True)
class TokenSource:
    """Where the token of a connection comes from.

    Args:
        kind: one of TOKEN_KEYS.
        value: the token itself; it is never written to a file.
        path: absolute path on the host of the file that holds it.
        command: the program on the host that prints it, with its arguments.
    """

    kind: str
    value: str = field(default="", repr=False)
    path: str = ""
    command: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """What a check needs of it, by the names of its option `endpoints`."""
        value = {"jwt": self.value, "jwt_file": self.path, "jwt_command": list(self.command)}
        return {self.kind: value[self.kind]}

    def environment(self) -> dict[str, str]:
        """The variables of an environment file. In a command, commas stand between the words.

        Characters that an environment file or a shell could read differently are a percent sign and three octal digits.
        """
        if self.path:
            return {FILE_VARIABLE: self.path}
        words = ("".join(c if _SAFE.match(c) else f"%{ord(c):03o}" for c in word) for word in self.command)
        return {COMMAND_VARIABLE: ",".join(words)} if self.command else {}


def written_keys(variables: Mapping[str, str]) -> dict[str, str]:
    """The keys of a connection that the variables of an environment file stand for."""
    if variables.get(FILE_VARIABLE):
        return {"jwt_file": variables[FILE_VARIABLE]}
    words = variables.get(COMMAND_VARIABLE, "").split(",")
    decoded = [re.sub("%([0-7]{3})", lambda found: chr(int(found[1], 8)), word) for word in words]
    return {"jwt_command": shlex.join(decoded)} if any(words) else {}
