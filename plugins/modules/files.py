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
  - What this collection did not write is never overwritten unasked. What was changed since it was written is left
    alone as long as ours stays the same, and replaced with a copy kept when ours moved on, as dpkg does it. In check
    mode such a drifted file counts as changed and is shown in the difference.
  - All files are written or none (staged beside their places, synced, renamed; put back when one fails), with the ids
    of their user, never as root through a path that this user controls.
  - What was written and what was there before is recorded in C(~/.local/state/crdb-onboard/files.json) of the files'
    user, or in C(/var/lib/crdb-onboard/USER) for a user whose home folder is not there.
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
  state:
    description:
      - V(present) writes O(files).
      - V(absent) takes away what the record says was written for O(purpose) and O(apps), and gives back what was there.
        What somebody changed since is not what was written, and stays.
    type: str
    choices: [present, absent]
    default: present
  files:
    description:
      - The files, of any number of apps and users.
      - A file that several apps share is given once an app, each time with that app's keys; the keys of one app can
        then be taken away alone.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path.
        type: path
        required: true
      content:
        description: The bytes of the file, or of our part of it, in base64.
        type: str
        required: true
      format:
        description:
          - How our part is told from what others wrote. V(whole) is a file of ours as a whole.
          - Of V(dotenv) (assignments), V(pem) (certificates), V(pgpass) (lines) and V(service) (sections) only our keys
            are touched, and every other byte and the order stay.
        type: str
        choices: [dotenv, pem, pgpass, service, whole]
        default: whole
      mode:
        description:
          - Permission bits in octal digits. A file with independent keys that others made keeps its own, but that
            nobody else may read a password.
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
      trusts:
        description: CA files that must be there already and be good, for the content names them.
        type: list
        elements: path
        default: []
      apps:
        description: The apps that the file is written for.
        type: list
        elements: str
        default: []
      exclusive:
        description: Refuse a file that holds keys of others.
        type: bool
        default: false
      keep_previous:
        description: Leave the keys that were written before beside today's, as a change of a CA needs it.
        type: bool
        default: false
  purpose:
    description: What the files are for; the record is kept by it.
    type: str
    default: files
  apps:
    description: The apps whose files are taken away; all when it is not given.
    type: list
    elements: str
  users:
    description: The users whose files are taken away, beside those of O(files).
    type: list
    elements: str
    default: []
  secrets:
    description:
      - Texts that are masked in the differences.
    type: list
    elements: str
    default: []
  force:
    description:
      - Replace what is not ours or was changed since. What was not ours is given back when ours is taken away; a copy
        of what was changed is kept beside the file.
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
notes:
  description: CA files that expire within 30 days.
  returned: success
  type: list
  elements: str
refused:
  description: Why nothing was written, one sentence a file.
  returned: when a file is refused
  type: list
  elements: str
"""

import base64
import binascii
import contextlib
import functools
import grp
import json
import os
import pwd
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, Optional

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.crdb.onboard.plugins.module_utils import _files, _pem
from ansible_collections.crdb.onboard.plugins.module_utils._formats import FORMATS


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
    return _files.Wanted(
        path=os.path.normpath(path),
        content=content,
        mode=mode,
        format=entry["format"],
        secret=entry["secret"],
        requires=tuple(entry["requires"]),
        trusts=tuple(entry["trusts"]),
        gid=gid,
        apps=tuple(entry["apps"]),
        purpose=module.params["purpose"],
        exclusive=entry["exclusive"],
        keep_previous=entry["keep_previous"],
    )


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


class Writer:
    """One user's files, step by step: `plan` says what is refused, `stage` and `commit` write, `rollback` undoes."""

    def __init__(self, owner: Owner, params: dict[str, Any], check_mode: bool) -> None:
        self.owner, self.params, self.check_mode = owner, params, check_mode
        self._record: Optional[_files.Record] = None

    def plan(self) -> list[str]:
        """Decide about all files: the refusals."""
        params = self.params
        try:
            self._record = _files.Record(self.owner.state, write=not self.check_mode)
            if params["state"] == "present":
                decisions, refusals = _files.plan(self.owner.wanted, self._record, params["force"])
            else:
                decisions, refusals = _files.plan_undo(self._record, params["purpose"], params["apps"], params["force"])
            self._transaction = _files.Transaction(decisions, self._record)
        except _files.FileRefused as exc:
            refusals = [str(exc)]
        return refusals

    def stage(self) -> None:
        """Write everything beside its place. Raises OSError."""
        self._transaction.stage()

    def commit(self) -> None:
        """Put everything in its place. Raises OSError."""
        self._transaction.commit()

    def finish(self) -> None:
        """Note that everything is in its place. Raises OSError."""
        self._transaction.finish()

    def rollback(self) -> None:
        """Give back what was there."""
        self._transaction.rollback()

    def report(self) -> list[dict[str, Any]]:
        """What became of each file."""
        required = sorted({path for wanted in self.owner.wanted for path in wanted.trusts})
        notes = [note for note in map(_pem.expiry, required) if note is not None]
        return [
            {
                "path": d.path,
                "action": d.action,
                "mode": f"{d.mode:04o}",
                "backup": self._transaction.copies.get(d.path),
                "diff": _files.diff(d, self.params["secrets"]) if d.changed or d.action == "drifted" else None,
                "notes": notes if number == 0 else [],
            }
            for number, d in enumerate(self._transaction.decisions)
        ]

    def close(self) -> None:
        """Let the lock go."""
        if self._record is not None:
            self._record.close()


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
                    name = json.loads(line)
                    try:
                        answer = {"result": getattr(self._writer, name)()}
                    except OSError as exc:
                        answer = {"error": [exc.errno, exc.strerror, exc.filename]}
                    out.write(json.dumps(answer) + "\n")
                    out.flush()
                    # The pipe does not end with the parent's side: the children of other users have that too.
                    if name == "close":
                        break
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

    def __getattr__(self, step: str) -> Callable[[], Any]:
        return functools.partial(self._ask, step)

    def close(self) -> None:
        """Let the lock go, and end the child."""
        with contextlib.suppress(OSError):
            self._ask("close")
        os.close(self._out)
        os.waitpid(self._pid, 0)


def _write(writers: Sequence[Any]) -> None:
    """All users' files as one step. Raises OSError; what was there is then given back."""
    try:
        for step in ("stage", "commit"):
            for writer in writers:
                getattr(writer, step)()
    except OSError:
        for writer in writers:
            writer.rollback()
        raise
    for writer in writers:
        writer.finish()


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "files": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "path": {"type": "path", "required": True},
                    "content": {"type": "str", "required": True, "no_log": True},
                    "mode": {"type": "str", "default": "0644"},
                    "user": {"type": "str", "default": ""},
                    "group": {"type": "str", "default": ""},
                    "secret": {"type": "bool", "default": False, "no_log": False},
                    "requires": {"type": "list", "elements": "path", "default": []},
                    "trusts": {"type": "list", "elements": "path", "default": []},
                    "format": {"type": "str", "choices": sorted(FORMATS), "default": "whole"},
                    "apps": {"type": "list", "elements": "str", "default": []},
                    "exclusive": {"type": "bool", "default": False},
                    "keep_previous": {"type": "bool", "default": False},
                },
            },
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "purpose": {"type": "str", "default": "files"},
            "apps": {"type": "list", "elements": "str"},
            "users": {"type": "list", "elements": "str", "default": []},
            "secrets": {"type": "list", "elements": "str", "default": [], "no_log": True},
            "force": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    params = module.params
    owners: dict[str, Owner] = {user: Owner(user, module) for user in params["users"]}
    for entry in params["files"]:
        if entry["user"] not in owners:
            owners[entry["user"]] = Owner(entry["user"], module)
        owners[entry["user"]].wanted.append(_wanted(module, entry))
    writers: list[Any] = []
    try:
        for owner in owners.values():
            if not module.check_mode:
                owner.prepare()
            writer = Writer(owner, params, module.check_mode)
            writers.append(ChildWriter(writer) if owner.foreign else writer)
        refusals = [refusal for writer in writers for refusal in writer.plan()]
        if not refusals and not module.check_mode:
            _write(writers)
        reports = [] if refusals else [report for writer in writers for report in writer.report()]
    except OSError as exc:
        module.fail_json(msg=f"Nothing was written. {exc.filename or 'A file'}: cannot be written: {exc.strerror}.")
    finally:
        for writer in writers:
            writer.close()
    if refusals:
        module.fail_json(msg="Nothing was written. " + " ".join(refusals), refused=refusals, files=[])
    for report in reports:
        if report["action"] == "drifted":
            module.warn(f"{report['path']}: was changed since crdb.onboard wrote it, and stays; force replaces it.")
        if report["action"] == "kept":
            module.warn(f"{report['path']}: was changed since crdb.onboard wrote it; what was changed stays.")
        if report["backup"]:
            module.warn(f"{report['path']}: what was there is kept at {report['backup']}.")
    notes = [note for report in reports for note in report.pop("notes")]
    diffs = [report.pop("diff") for report in reports]
    # Check mode is the drift gate: a file that is not as we want it counts there, though a run would leave it.
    unwanted = ("ok", "kept") if module.check_mode else ("ok", "kept", "drifted")
    module.exit_json(
        changed=any(report["action"] not in unwanted for report in reports),
        files=reports,
        notes=notes,
        diff=[d for d in diffs if d is not None],
    )


if __name__ == "__main__":
    main()
