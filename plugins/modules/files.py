#!/usr/bin/python

# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: files
short_description: Write all files of all apps of a host in one call
version_added: 1.0.0
author:
  - crdb.onboard authors (@crdb-onboard)
description:
  - Decides about every file before it writes the first one. It refuses all of them together, names each file, and says
    how to continue.
  - A file that this collection did not write is never overwritten unless you ask for it. A file that was changed after
    it was written stays while our version stays the same. When ours changes, the file is replaced and a copy is kept.
    In check mode such a file counts as changed and is shown in the difference.
  - All files are written or none (staged beside their places, synced, renamed; put back when one fails), with the ids
    of their user, never as root through a path that this user controls.
  - What was written, and the earlier contents, are recorded in C(~/.local/state/crdb-onboard/files.json) of the files'
    user, or in C(/var/lib/crdb-onboard/USER) for a user without a home folder of its own.
  - The modules M(crdb.onboard.ca) and M(crdb.onboard.app_config) render on the controller and call this one.
extends_documentation_fragment:
  - crdb.onboard.attributes
  - crdb.onboard.endpoints
  - crdb.onboard.projects
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
      - V(absent) removes what was written for O(purpose) and O(apps) according to the record, and restores the earlier
        files. Files that were edited since are kept.
    type: str
    choices: [present, absent]
    default: present
  files:
    description:
      - The files, of any number of apps and users.
      - List a file that several apps share once for each app, with that app's keys, so that the keys of one app can be
        removed alone.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path.
        type: path
        required: true
      content:
        description:
          - The bytes of the file, or of our part of it, in base64. In the format V(link), where the link leads.
        type: str
        default: ""
      pending:
        description:
          - The name of a key that M(crdb.onboard.key_pairs) made on this host. Its bytes are the content, so the key
            never leaves the host. It is removed there once the file is in its place.
        type: str
        default: ""
      private:
        description: Whether the content is a private key, of which only the digest may be recorded.
        type: bool
        default: false
      format:
        description:
          - The format, which decides which part of the file is ours. V(whole) means the whole file.
          - In V(dotenv) (assignments), V(pem) (certificates), V(pgpass) (lines) and V(service) (sections), only our
            keys are changed. All other bytes and the order stay.
          - V(link) is a symbolic link, which is replaced in one step. Anything else in its place is refused.
        type: str
        choices: [dotenv, link, pem, pgpass, service, whole]
        default: whole
      mode:
        description:
          - Permission bits in octal digits. An existing file with keys of others keeps its own mode, except that
            nobody else may read a password.
        type: str
        default: "0644"
      user:
        description:
          - The user who owns the file; a user other than the current one needs root.
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
        description: Files that must already exist, because the content names them.
        type: list
        elements: path
        default: []
      trusts:
        description: CA files that must already exist and be valid, because the content names them.
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
        description: Keep the keys that were written before beside the new ones, as the change of a CA needs.
        type: bool
        default: false
      force:
        description: Replace what is not ours or was changed since in this file, as O(force) does in all of them.
        type: bool
        default: false
      purpose:
        description: What this file is for, where that differs from O(purpose).
        type: str
        default: ""
  endpoints:
    description:
      - The connections that the files are for. Those of the apps whose files change are checked, with the rights of the
        app's user, once everything is staged and before anything is in its place; a CA among O(files) is trusted as it
        was staged. When one does not pass, nothing is put in place and the error has the code, the cause and the cure.
      - In check mode nothing is checked.
    default: []
  timeout:
    description: Seconds that the whole check of one endpoint may take.
    type: float
    default: 15.0
  hold:
    description:
      - Write nothing where one of O(endpoints) would have to be checked, and return RV(held) instead. One host of a
        fleet tries a login first, while the others find out in this way whether they need it at all.
    type: bool
    default: false
  renamed:
    description: Apps that have another name now, so that what is recorded under the former one is theirs.
    type: list
    elements: dict
    default: []
    suboptions:
      old:
        description: The former name.
        type: str
        required: true
      new:
        description: The name now.
        type: str
        required: true
      folder:
        description: The folder of the app, an absolute path or one that begins with C(~/).
        type: str
        required: true
      user:
        description: The user who owns its files. The default is the user that the module runs as.
        type: str
        default: ""
  run:
    description:
      - The name of the run, for O(unconfirmed). What an earlier run left unconfirmed for these apps is this run's then.
    type: str
    default: ""
  unconfirmed:
    description:
      - Apps whose change waits until M(crdb.onboard.app_service) confirms it. Until then what was there before is kept
        beside the record, mode 0600, so that it can be given back.
    type: list
    elements: str
    default: []
  purpose:
    description: What the files are for; the record is kept by it.
    type: str
    default: files
  apps:
    description: The apps whose files are removed; by default all apps.
    type: list
    elements: str
  folders:
    description:
      - Folders by app, with V(absent). Of these apps, only the files in the folder are removed. Their files elsewhere,
        such as C(~/.pgpass), are removed with the last folder of the app.
    type: dict
    default: {}
  managed:
    description:
      - All apps that the inventory has. Files that were written for them, are not among O(files) and have one of
        O(purposes) are no longer managed. RV(unmanaged) lists them.
      - By default nothing is looked for.
    type: list
    elements: str
  purposes:
    description: The purposes that O(managed) is about.
    type: list
    elements: str
    default: []
  complete:
    description: Whether the files of apps that are not in O(managed) are no longer managed either.
    type: bool
    default: false
  prune:
    description: Remove what is no longer managed, as V(absent) does.
    type: bool
    default: false
  kept:
    description: Files and folders that an earlier run wrote, and that stay managed although O(files) has none of them.
    type: list
    elements: path
    default: []
  retired:
    description: Files that an earlier run wrote, and that are removed with this one, as V(absent) does.
    type: list
    elements: path
    default: []
  users:
    description: The users whose files are removed, in addition to those in O(files).
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
  description:
    - The files, in the order of O(files). C(removes) names what we wrote into a shared file before and take away now.
  returned: always
  type: list
  elements: dict
  sample:
    - path: /srv/shop/.env
      action: created
      mode: "0600"
      backup: null
      apps: [shop]
      removes: []
held:
  description: The apps whose connection has to be checked first. Nothing was written.
  returned: with O(hold), when there are any
  type: list
  elements: str
projects:
  description:
    - What each app's project is, by app and language, where one is not as it was assumed. Nothing else was done.
  returned: when a project is not as it was assumed
  type: dict
notes:
  description: CA files that expire within 30 days.
  returned: success
  type: list
  elements: str
proofs:
  description: The reports of the check before the files were put in place, as M(crdb.onboard.check) returns them.
  returned: when the files are not refused
  type: list
  elements: dict
unconfirmed:
  description: The apps whose change waits to be confirmed, from this run or from one that was killed.
  returned: success
  type: list
  elements: str
unmanaged:
  description:
    - The files that are no longer managed and were not removed, with C(path) and C(apps).
    - With O(state=absent), the files that were written for O(purpose) and are not removed.
  returned: success
  type: list
  elements: dict
refused:
  description: Why nothing was written, one sentence for each file.
  returned: when a file is refused
  type: list
  elements: str
"""

import base64
import binascii
import grp
import os
from collections.abc import Sequence
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.crdb.onboard.plugins.module_utils._check.options import DEFAULT_TIMEOUT, ENDPOINTS, MAX_TIMEOUT
from ansible_collections.crdb.onboard.plugins.module_utils._files.decide import FORCE
from ansible_collections.crdb.onboard.plugins.module_utils._files.formats import FORMATS
from ansible_collections.crdb.onboard.plugins.module_utils._files.model import PlannedFile
from ansible_collections.crdb.onboard.plugins.module_utils._files.owner import STEP_SECONDS, Owner, UnknownOwnerError
from ansible_collections.crdb.onboard.plugins.module_utils._files.together import (
    NotProvedError,
    PartlyError,
    reason,
    write_all,
)
from ansible_collections.crdb.onboard.plugins.module_utils._files.unmanaged import of_users, other_users
from ansible_collections.crdb.onboard.plugins.module_utils._files.writer import Writer, scope_of
from ansible_collections.crdb.onboard.plugins.module_utils._project.look import PROJECTS, differing


def _planned_file(module: AnsibleModule, entry: dict[str, Any]) -> PlannedFile:
    path = entry["path"]
    try:
        content = base64.b64decode(entry["content"], validate=True)
    except (binascii.Error, ValueError):
        module.fail_json(msg=f"{path}: content must be base64.")
    try:
        mode = int(entry["mode"], 8)
    except ValueError:
        module.fail_json(msg=f"{path}: mode must be octal digits such as 0600, not {entry['mode']!r}.")
    if not os.path.isabs(path):
        module.fail_json(msg=f"{path}: must be an absolute path.")
    if entry["secret"] and mode & 0o077:
        module.fail_json(msg=f"{path}: holds a password, so its mode must be 0600 or stricter, not {mode:04o}.")
    gid = -1
    if entry["group"]:
        try:
            gid = grp.getgrnam(entry["group"]).gr_gid
        except KeyError:
            module.fail_json(msg=f"The group {entry['group']!r} does not exist on this host.")
    return PlannedFile(
        path=os.path.normpath(path),
        content=content,
        mode=mode,
        format=entry["format"],
        secret=entry["secret"],
        requires=tuple(entry["requires"]),
        trusts=tuple(entry["trusts"]),
        gid=gid,
        apps=tuple(entry["apps"]),
        purpose=entry["purpose"] or module.params["purpose"],
        exclusive=entry["exclusive"],
        keep_previous=entry["keep_previous"],
        force=entry["force"],
        pending=entry["pending"],
        private=entry["private"] or bool(entry["pending"]),
    )


def _owners(module: AnsibleModule) -> dict[str, Owner]:
    """Every user of the call, by the name it was given, one object a user."""
    params = module.params
    entries = [*params["files"], *params["renamed"]]
    names = {*params["users"], *(e["user"] for e in entries), *(e["run_as"] for e in params["endpoints"])}
    by_id: dict[int, Owner] = {}
    if params["managed"] is not None and os.geteuid() != 0:
        names.add("")
    scope = scope_of(params)
    if scope is not None and scope.complete and params["prune"]:
        # Only those who have something to remove: an account's own record must not stop the run for all others.
        names.update(name for name in other_users(()) if of_users([name], scope))
    try:
        owners = {name: Owner(name) for name in sorted(names)}
    except UnknownOwnerError as exc:
        module.fail_json(msg=str(exc))
    # Always in one order: two calls that lock the records of the same users never wait for each other.
    for owner in owners.values():
        by_id.setdefault(owner.uid, owner)
    return dict(sorted(((name, by_id[owner.uid]) for name, owner in owners.items()), key=lambda item: item[1].uid))


_ARGUMENT_SPEC: dict[str, Any] = {
    "files": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "path": {"type": "path", "required": True},
            "content": {"type": "str", "default": "", "no_log": True},
            "pending": {"type": "str", "default": ""},
            "private": {"type": "bool", "default": False},
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
            "force": {"type": "bool", "default": False},
            "purpose": {"type": "str", "default": ""},
        },
    },
    "endpoints": {**ENDPOINTS, "default": []},
    "projects": PROJECTS,
    "timeout": {"type": "float", "default": DEFAULT_TIMEOUT},
    "hold": {"type": "bool", "default": False},
    "renamed": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "old": {"type": "str", "required": True},
            "new": {"type": "str", "required": True},
            "folder": {"type": "str", "required": True},
            "user": {"type": "str", "default": ""},
        },
    },
    "run": {"type": "str", "default": ""},
    "unconfirmed": {"type": "list", "elements": "str", "default": []},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "purpose": {"type": "str", "default": "files"},
    "apps": {"type": "list", "elements": "str"},
    "folders": {"type": "dict", "default": {}},
    "managed": {"type": "list", "elements": "str"},
    "purposes": {"type": "list", "elements": "str", "default": []},
    "complete": {"type": "bool", "default": False},
    "prune": {"type": "bool", "default": False},
    "kept": {"type": "list", "elements": "path", "default": []},
    "retired": {"type": "list", "elements": "path", "default": []},
    "users": {"type": "list", "elements": "str", "default": []},
    "secrets": {"type": "list", "elements": "str", "default": [], "no_log": True},
    "force": {"type": "bool", "default": False},
}


def _writers(module: AnsibleModule, owners: dict[str, Owner], writers: list[Any]) -> None:
    """Add one writer a user to `writers`, in the order in which records are locked. Raises OSError."""
    params = module.params
    planned: dict[int, list[PlannedFile]] = {}
    for entry in params["files"]:
        planned.setdefault(owners[entry["user"]].uid, []).append(_planned_file(module, entry))
    endpoints: dict[int, list[dict[str, Any]]] = {}
    for entry in params["endpoints"]:
        endpoints.setdefault(owners[entry["run_as"]].uid, []).append(entry)
    options = {**params, "check_mode": module.check_mode, "diff": module._diff}
    # root has the drop-ins of everybody's apps.
    renamed = [(owners[entry["user"]].uid, entry) for entry in params["renamed"]]
    for uid, owner in {owner.uid: owner for owner in owners.values()}.items():
        if not module.check_mode:
            owner.prepare()
        mine = endpoints.get(uid, [])
        seconds = STEP_SECONDS + 10 * params["timeout"] * len(mine)
        options = {**options, "renamed": [entry for of, entry in renamed if uid in (of, 0)]}
        writers.append(owner.does(Writer(owner.state, planned.get(uid, []), mine, options), seconds))


def _grouped(refusals: Sequence[str]) -> list[str]:
    """The refusals, each reason once with all of its files."""
    paths: dict[str, list[str]] = {}
    for refusal in refusals:
        path, _colon, reason = refusal.partition(": ")
        paths.setdefault(reason, []).append(path)
    return [
        f"{first}: {reason}" + (f" The same is true of {', '.join(others)}." if others else "")
        for reason, (first, *others) in paths.items()
    ]


def _run(module: AnsibleModule) -> dict[str, Any]:
    """Plan and write the files of all users: `reports`, `proofs`, `unconfirmed`. Fails the module when it cannot."""
    owners = _owners(module)
    try:
        projects = differing(module.params["projects"])
    except (OSError, UnknownOwnerError) as exc:
        module.fail_json(msg=f"This task wrote no file. {exc}")
    if projects:
        module.exit_json(changed=False, projects=projects, files=[])
    prove = bool(module.params["endpoints"]) and not module.check_mode
    if prove and any(owner.foreign for owner in owners.values()):
        # Before the users' processes start: they may not be able to read this module's own file. Elsewhere it is loaded
        # once something changed, because it is the larger part of this module's start.
        from ansible_collections.crdb.onboard.plugins.module_utils._check import run, token  # noqa: F401
    scope = scope_of(module.params)
    look = scope is not None and scope.complete and not module.params["prune"]
    others = of_users(other_users({owner.uid for owner in owners.values()}), scope) if scope and look else []
    writers: list[Any] = []
    proofs: list[dict[str, Any]] = []
    try:
        _writers(module, owners, writers)
        refusals = [refusal for writer in writers for refusal in writer.plan()]
        if refusals:
            for writer in writers if not module.check_mode else ():
                writer.discard()
            module.fail_json(msg="This task wrote no file. " + " ".join(_grouped(refusals)), refused=refusals, files=[])
        waiting = [e["for_app"] for writer in writers for e in writer.unproved()] if prove else []
        if waiting and module.params["hold"]:
            module.exit_json(changed=False, held=sorted(set(waiting)), files=[])
        if not module.check_mode:
            proofs = write_all(writers, prove)
        return {
            "reports": [report for writer in writers for report in writer.report()],
            "proofs": proofs,
            "unconfirmed": sorted({app for writer in writers for app in writer.unconfirmed()}),
            "unmanaged": [entry for writer in writers for entry in writer.unmanaged()] + others,
        }
    except OSError as exc:
        module.fail_json(msg=f"This task wrote no file. {reason(exc)}")
    except PartlyError as exc:
        module.fail_json(msg=str(exc), changed=True)
    except NotProvedError as exc:
        from ansible_collections.crdb.onboard.plugins.module_utils._check.report import failure_text

        text = f"This task wrote no file, because with the new configuration {failure_text(exc.reports)}"
        module.fail_json(msg=text, proofs=exc.reports, files=[])
    finally:
        for writer in writers:
            writer.close()
        for owner in owners.values() if not module.check_mode else ():
            owner.tidy()


def _warn(module: AnsibleModule, reports: list[dict[str, Any]]) -> None:
    for report in reports:
        path = report["path"]
        if report["action"] == "drifted":
            module.warn(f"{path}: was changed after crdb.onboard wrote it, and is kept; {FORCE} to replace it.")
        if report["action"] == "kept":
            module.warn(f"{path}: was changed after crdb.onboard wrote it; the changes are kept.")
        if report["backup"]:
            module.warn(f"{path}: the previous file is kept at {report['backup']}.")


def main() -> None:
    module = AnsibleModule(argument_spec=_ARGUMENT_SPEC, supports_check_mode=True)
    timeout = module.params["timeout"]
    if not 0 < timeout <= MAX_TIMEOUT:
        module.fail_json(msg=f"timeout must be between 0 and {MAX_TIMEOUT:g} seconds, not {timeout:g}.")
    outcome = _run(module)
    reports = outcome["reports"]
    _warn(module, reports)
    notes = [note for report in reports for note in report.pop("notes")]
    diffs = [report.pop("diff") for report in reports]
    # Check mode detects drift: a drifted file counts as changed there, though a run would leave it.
    unchanged = ("ok", "kept") if module.check_mode else ("ok", "kept", "drifted")
    module.exit_json(
        changed=any(report["action"] not in unchanged for report in reports),
        files=reports,
        notes=notes,
        proofs=outcome["proofs"],
        unconfirmed=outcome["unconfirmed"],
        unmanaged=outcome["unmanaged"],
        diff=[diff_ for diff_ in diffs if diff_ is not None],
    )


if __name__ == "__main__":
    main()
