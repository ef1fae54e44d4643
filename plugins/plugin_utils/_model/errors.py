# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one error of the model.

This plugin util is PRIVATE to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from typing import NoReturn


class InvalidConnectionError(ValueError):
    """The input does not describe a usable connection.

    ``part`` names the part at fault: scheme, user, password, host, port, database, routing_id, routing, deployment,
    sslmode, sslrootcert, sslcert, sslkey, options, parameters or url. ``str()`` says what is wrong, the offending
    value where that cannot be a password, and what to do.
    """

    def __init__(self, part: str, message: str) -> None:
        super().__init__(part, message)
        self.part = part

    def __str__(self) -> str:
        return str(self.args[1])


def refuse(part: str, message: str) -> NoReturn:
    """Raise InvalidConnectionError; the message gets its full stop here."""
    raise InvalidConnectionError(part, f"{message}.")


def sentences_of(text: str) -> tuple[str, str]:
    """What is wrong and what to do, each a sentence, from the text of an error about input."""
    text = text.removesuffix(".")
    problem, mark, remedy = text.rpartition(". ")
    if not mark:
        problem, mark, remedy = text.partition(": ")
    if not mark:
        problem, remedy = text, "correct the connection as the cause says"
    return f"{problem[:1].upper()}{problem[1:]}.", f"{remedy[:1].upper()}{remedy[1:]}."
