#!/usr/bin/python

# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: files
short_description: Write all files of all apps of a host in one call
version_added: 0.1.0
author:
  - crdb.onboard authors (@crdb-onboard)
description:
  - Decides about every file before it writes the first one, and refuses all together, naming each file and the way on.
  - A file that this collection did not write, or that was changed since, is never overwritten unasked.
  - Every file is written at once or not at all (temporary file in the same folder, synced, renamed), with the ids of
    its user, never as root through a path that this user controls.
  - What was written is recorded in C(~/.local/state/crdb-onboard/files.json) of the files' user, or in
    C(/var/lib/crdb-onboard/USER) for a user whose home folder is not there.
  - The modules M(crdb.onboard.ca) and M(crdb.onboard.app_config) render on the controller and call this one.
extends_documentation_fragment:
  - crdb.onboard.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Passwords are masked.
  idempotent:
    support: full
options:
  files:
    description:
      - The files, of any number of apps and users.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Absolute path.
        type: path
        required: true
      content:
        description: The bytes of the file, in base64.
        type: str
        required: true
      mode:
        description: Permission bits in octal digits.
        type: str
        default: "0644"
      user:
        description:
          - The user whose file it is; another one than the module runs as needs root.
          - The default is the user that the module runs as.
        type: str
        default: ""
      group:
        description: The group of the file; the default is the user's own.
        type: str
        default: ""
      secret:
        description: Whether the file holds a password; it must not lie where git would commit it.
        type: bool
        default: false
      requires:
        description: Files that must be there already, for the content names them.
        type: list
        elements: path
        default: []
  secrets:
    description:
      - Texts that are masked in the differences.
    type: list
    elements: str
    default: []
  force:
    description:
      - Replace files that are not ours or that were changed; a copy of each is kept beside it.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Write two files of an app in one call
  crdb.onboard.files:
    files:
      - path: /srv/shop/crdb_database.py
        content: "{{ lookup('ansible.builtin.file', 'crdb_database.py') | b64encode }}"
      - path: /srv/shop/.env
        content: "{{ lookup('community.sops.sops', 'shop.env') | b64encode }}"
        mode: "0600"
        secret: true
"""

RETURN = r"""
files:
  description: The files in the order given.
  returned: always
  type: list
  elements: dict
  sample:
    - path: /srv/shop/.env
      action: created
      mode: "0600"
      backup: null
refused:
  description: Why nothing was written, one sentence a file.
  returned: when a file is refused
  type: list
  elements: str
"""

import base64
import binascii
import grp
import json
import os
import pwd
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn, Optional

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.crdb.onboard.plugins.module_utils import _files


def _wanted(module: AnsibleModule, entry: dict[str, Any]) -> _files.Wanted:
    path = entry["path"]
    try:
        content = base64.b64decode(entry["content"], validate=True)
    except (binascii.Error, ValueError):
        module.fail_json(msg=f"{path}: content is not base64.")
    try:
        mode = int(entry["mode"], 8)
    except ValueError:
        module.fail_json(msg=f"{path}: mode {entry['mode']!r} is not octal digits, such as 0600.")
    if not os.path.isabs(path):
        module.fail_json(msg=f"{path}: is not an absolute path.")
    if entry["secret"] and mode & 0o077:
        module.fail_json(msg=f"{path}: holds a password and may be read by its user only, not mode {mode:04o}.")
    gid = -1
    if entry["group"]:
        try:
            gid = grp.getgrnam(entry["group"]).gr_gid
        except KeyError:
            module.fail_json(msg=f"There is no group {entry['group']!r} on this host.")
    return _files.Wanted(os.path.normpath(path), content, mode, entry["secret"], tuple(entry["requires"]), gid)


class Owner:
    """The files of one user: planned and written with that user's ids."""

    def __init__(self, user: str, module: AnsibleModule) -> None:
        self.wanted: list[_files.Wanted] = []
        try:
            entry = pwd.getpwnam(user) if user else pwd.getpwuid(os.geteuid())
        except KeyError:
            module.fail_json(msg=f"There is no user {user or os.geteuid()!r} on this host.")
        self.user, self.uid, self.gid, self.home = entry.pw_name, entry.pw_uid, entry.pw_gid, entry.pw_dir
        if self.foreign and os.geteuid() != 0:
            module.fail_json(msg=f"The files of {user} need that user's rights: run as root (become) or as {user}.")
        if not self.foreign:
            self.home = os.environ.get("HOME") or self.home

    @property
    def state(self) -> str:
        """The folder of the record."""
        if os.path.isdir(self.home):
            return os.path.join(self.home, _files.HOME_STATE)
        return os.path.join(_files.SYSTEM_STATE, self.user)

    def prepare(self) -> None:
        """Make the folder of the record for a user who has no home; root makes it, it is the user's."""
        if self.foreign and not os.path.isdir(self.home):
            _files.make_folder(_files.SYSTEM_STATE)
            _files.make_folder(self.state, 0o700)
            os.chown(self.state, self.uid, self.gid)

    @property
    def foreign(self) -> bool:
        """Whether these files belong to another user than the module runs as."""
        return self.uid != os.geteuid()

    def become(self) -> None:
        """Take the ids of the user for good: only in a child process."""
        os.umask(0o077)
        os.initgroups(self.user, self.gid)
        os.setgid(self.gid)
        os.setuid(self.uid)
        os.environ["HOME"] = self.home


Report = list[dict[str, Any]]


def _reports(decisions: Sequence[_files.Decision], copies: Sequence[Optional[str]], secrets: Sequence[str]) -> Report:
    return [
        {
            "path": d.wanted.path,
            "action": d.action,
            "mode": f"{d.wanted.mode:04o}",
            "backup": copy,
            "diff": _files.diff(d, secrets) if d.changed else None,
        }
        for d, copy in zip(decisions, copies)
    ]


class Writer:
    """One owner's files: `plan` says what is refused, `write` writes."""

    def __init__(self, owner: Owner, force: bool, secrets: Sequence[str]) -> None:
        self.owner, self.force, self.secrets = owner, force, secrets

    def plan(self) -> list[str]:
        """Decide about all files: the refusals."""
        try:
            self._record = _files.Record(self.owner.state)
            self._decisions, refusals = _files.plan(self.owner.wanted, self._record, self.force)
        except _files.FileRefused as exc:
            refusals = [str(exc)]
        return refusals

    def write(self, check_mode: bool) -> Report:
        """Write what was planned, or say what would be. Raises OSError."""
        copies: list[Optional[str]] = [None] * len(self._decisions)
        if not check_mode:
            copies = _files.apply(self._decisions, self._record)
        return _reports(self._decisions, copies, self.secrets)


class ChildWriter:
    """The same in a child process with the user's ids, spoken to by one JSON line a step."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        to_child, self._out = os.pipe()
        self._in, to_parent = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._out)
            os.close(self._in)
            self._serve(to_child, to_parent)
        os.close(to_child)
        os.close(to_parent)
        self._answers = os.fdopen(self._in, encoding="utf-8")

    def _serve(self, requests: int, answers: int) -> NoReturn:
        code = 1
        try:
            self._writer.owner.become()
            with os.fdopen(requests, encoding="utf-8") as lines, os.fdopen(answers, "w", encoding="utf-8") as out:
                for line in lines:
                    step = json.loads(line)
                    try:
                        result = self._writer.plan() if step == "plan" else self._writer.write(step == "check")
                        answer = {"result": result}
                    except OSError as exc:
                        answer = {"error": [exc.errno, exc.strerror, exc.filename]}
                    out.write(json.dumps(answer) + "\n")
                    out.flush()
            code = 0
        except BaseException:
            traceback.print_exc(file=sys.stderr)
        finally:
            os._exit(code)

    def _ask(self, step: str) -> Any:
        try:
            os.write(self._out, (json.dumps(step) + "\n").encode("utf-8"))
            line = self._answers.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise OSError(0, f"the process with the rights of {self._writer.owner.user} ended early", "")
        answer = json.loads(line)
        if "error" in answer:
            raise OSError(*answer["error"])
        return answer["result"]

    def plan(self) -> list[str]:
        """Decide about all files: the refusals."""
        refusals: list[str] = self._ask("plan")
        return refusals

    def write(self, check_mode: bool) -> Report:
        """Write what was planned, or say what would be. Raises OSError."""
        report: Report = self._ask("check" if check_mode else "write")
        return report

    def close(self) -> None:
        """End the child."""
        os.close(self._out)
        os.waitpid(self._pid, 0)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "files": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "path": {"type": "path", "required": True},
                    "content": {"type": "str", "required": True, "no_log": True},
                    "mode": {"type": "str", "default": "0644"},
                    "user": {"type": "str", "default": ""},
                    "group": {"type": "str", "default": ""},
                    "secret": {"type": "bool", "default": False, "no_log": False},
                    "requires": {"type": "list", "elements": "path", "default": []},
                },
            },
            "secrets": {"type": "list", "elements": "str", "default": [], "no_log": True},
            "force": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    params = module.params
    owners: dict[str, Owner] = {}
    for entry in params["files"]:
        if entry["user"] not in owners:
            owners[entry["user"]] = Owner(entry["user"], module)
        owners[entry["user"]].wanted.append(_wanted(module, entry))
    writers: list[Any] = []
    try:
        for owner in owners.values():
            writer = Writer(owner, params["force"], params["secrets"])
            writers.append(ChildWriter(writer) if owner.foreign else writer)
        refusals = [refusal for writer in writers for refusal in writer.plan()]
        if refusals:
            module.fail_json(msg="Nothing was written. " + " ".join(refusals), refused=refusals, files=[])
        if not module.check_mode:
            for owner in owners.values():
                owner.prepare()
        reports = [report for writer in writers for report in writer.write(module.check_mode)]
    except OSError as exc:
        module.fail_json(msg=f"{exc.filename or 'A file'}: cannot be written: {exc.strerror}.")
    finally:
        for writer in writers:
            if isinstance(writer, ChildWriter):
                writer.close()
    diffs = [report.pop("diff") for report in reports]
    module.exit_json(
        changed=any(report["action"] != "ok" for report in reports),
        files=reports,
        diff=[d for d in diffs if d is not None],
    )


if __name__ == "__main__":
    main()
