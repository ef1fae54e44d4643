#!/usr/bin/python

# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: driver_probe
short_description: Run probes on a host; the worker of crdb.onboard.probe
version_added: 1.0.0
author:
  - crdb.onboard authors (@crdb-onboard)
description:
  - Runs on the host for M(crdb.onboard.probe), which prepares its options on the controller. Use that module in
    playbooks.
extends_documentation_fragment:
  - crdb.onboard.attributes
  - crdb.onboard.projects
attributes:
  check_mode:
    support: full
    details:
      - The probes only read, so they run in check mode too.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  interpreters:
    description:
      - The program that runs each kind of probe, a path or a name in C(PATH).
      - A relative path, such as C(env/bin/python), is relative to the folder of the app.
      - In place of a name for C(python), the C(.venv) or C(venv) in the folder of the app is used, if there is one.
    type: dict
    default: {}
  environment:
    description:
      - Environment variables for the probes, such as C(NODE_PATH), or C(PGCONNECT_TIMEOUT) (seconds, 15 by default).
    type: dict
    default: {}
  timeout:
    description: Seconds that one probe may take.
    type: float
    default: 60.0
  probes:
    description:
      - The probes to run.
    type: list
    elements: dict
    suboptions:
      app:
        description: Name of the app.
        type: str
        required: true
      framework:
        description: Name of the framework.
        type: str
        required: true
      interpreter:
        description: Kind of interpreter, a key of O(interpreters).
        type: str
        required: true
      program:
        description: Source text of the program, passed on standard input or compiled first.
        type: str
        required: true
      sources:
        description: The app's own files that a Java program is compiled with, relative to O(probes[].folder).
        type: list
        elements: str
        default: []
      arguments:
        description: Arguments of the interpreter itself, for a Java program.
        type: list
        elements: str
        default: []
      files:
        description:
          - Files of a program that O(probes[].steps) build, by their path in a scratch folder; O(probes[].program) is
            one of them. C(@NAME@) in their text is the name of the scratch folder.
        type: dict
        default: {}
      copies:
        description: Files of O(probes[].folder), or of a folder above it, that are copied to the scratch folder.
        type: list
        elements: str
        default: []
      steps:
        description:
          - Commands that build and run the program, the last one runs it. C(@INTERPRETER@), C(@SCRATCH@), C(@NAME@) and
            C(@CACHE@) in their words stand for the interpreter, the scratch folder, its name, and the folder
            C(crdb-onboard/probes) in the user's cache, or E(CRDB_PROBE_CACHE).
        type: list
        elements: list
        default: []
      afterwards:
        description: Commands like O(probes[].steps) that remove what these left outside of the scratch folder.
        type: list
        elements: list
        default: []
      missing:
        description: A pattern of the errors that say that a driver is not installed.
        type: str
        default: ""
      environment_file:
        description: A file in O(probes[].folder) with environment variables for the program.
        type: str
        default: ""
      folder:
        description: Folder of the app.
        type: path
        required: true
      user:
        description: The user to run as; a user other than the current one needs root.
        type: str
        default: ""
"""

EXAMPLES = r"""
- name: Run one probe
  crdb.onboard.driver_probe:
    interpreters:
      python: /srv/shop/venv/bin/python
    probes:
      - app: shop
        framework: psycopg2
        interpreter: python
        program: "{{ lookup('ansible.builtin.file', 'probe.py') }}"
        folder: /srv/shop
"""

RETURN = r"""
projects:
  description:
    - What each app's project is, by app and language, where one is not as it was assumed. Nothing else was done.
  returned: when a project is not as it was assumed
  type: dict
ok:
  description: Whether no driver failed.
  returned: success
  type: bool
probes:
  description: One entry for each framework of each app.
  returned: success
  type: list
  elements: dict
  sample:
    - app: shop
      framework: psycopg2
      verdict: proved
      message: ""
      facts:
        version: 2.9.13
        user: maxroach
        database: defaultdb
        tls: TLSv1.3
report:
  description: The same as lines of text.
  returned: success
  type: list
  elements: str
"""

import json
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.crdb.onboard.plugins.module_utils._check.probe_options import PROBES
from ansible_collections.crdb.onboard.plugins.module_utils._files import tree
from ansible_collections.crdb.onboard.plugins.module_utils._files.formats import (
    FORMATS,
    HEADER,
    FormatError,
    dotenv_text,
    mask_urls,
)
from ansible_collections.crdb.onboard.plugins.module_utils._files.owner import Owner, UnknownOwnerError
from ansible_collections.crdb.onboard.plugins.module_utils._project.folder import Folder
from ansible_collections.crdb.onboard.plugins.module_utils._project.look import PROJECTS, differing

# The driver is not installed for this interpreter, which says nothing about the connection.
_NO_DRIVER = re.compile(
    r"No module named|Cannot find module|ModuleNotFoundError|MODULE_NOT_FOUND|LoadError"
    r"|no required module provides package|package [\w.]+ does not exist|missing go.sum entry|inconsistent vendoring"
    r"|cannot find module providing package|pip install python-dotenv"
)
# Go's words depend on whether a folder above is under version control.
_NO_GO_MODULE = re.compile(r"go\.mod file not found|cannot find main module")
_JAVA_CLASS = re.compile(r"public final class (\w+)")
_OTHER_CONNECTION = re.compile(r"PG[A-Z]+|(JDBC_)?DATABASE_URL|COCKROACH_.*")
_MESSAGE_LIMIT = 600
_PARALLEL = 4
_VIRTUAL_ENVIRONMENTS = (".venv", "venv")
# Seconds; a sleeping Serverless cluster takes some to wake up. libpq reads the variable, or else the probe does.
_CONNECT_TIMEOUT = "15"
_BUILD_TIMEOUT = 900.0


def _environment(extra: dict[str, Any], home: Optional[str]) -> dict[str, str]:
    environment = {k: v for k, v in os.environ.items() if not _OTHER_CONNECTION.fullmatch(k)}
    environment["PGCONNECT_TIMEOUT"] = _CONNECT_TIMEOUT
    # A probe must not leave files in the folder of the app.
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    environment.update({str(k): str(v) for k, v in extra.items()})
    if home is not None:
        environment["HOME"] = home
    return environment


def _last_lines(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return mask_urls(" ".join(lines[-3:]))[-_MESSAGE_LIMIT:]


Answer = subprocess.CompletedProcess[bytes]


def _interpreted(interpreter: str, probe: dict[str, Any], scratch: str, common: dict[str, Any]) -> Answer:
    program = probe["program"].encode("utf-8")
    return subprocess.run(  # noqa: S603 - the interpreter of the inventory, with the rights of the app's user
        [interpreter, "-"], input=program, capture_output=True, check=False, **common
    )


def _silent(argv: list[str], common: dict[str, Any]) -> Answer:
    return subprocess.run(  # noqa: S603 - a list of arguments, with the rights of the app's user
        argv, stdin=subprocess.DEVNULL, capture_output=True, check=False, **common
    )


def _write(probe: dict[str, Any], files: dict[str, str]) -> None:
    """Write files to the scratch folder with the rights of the app's user, who can plant links there."""
    theirs = Owner(probe["user"]).does(_TheirFiles())
    try:
        for path, text in files.items():
            theirs.write(path, text)
    finally:
        theirs.close()


def _package(modules: str, folder: str) -> str:
    """The import path of a folder, from lines of a module's path and folder: a workspace has several."""
    name, nearest = "", ""
    for line in modules.splitlines():
        path, _tab, top = line.partition("\t")
        below = os.path.relpath(os.path.realpath(folder), os.path.realpath(top))
        if not below.startswith("..") and len(top) >= len(nearest):
            name, nearest = path if below == "." else f"{path}/{below}", top
    return name


def _go(interpreter: str, probe: dict[str, Any], scratch: str, common: dict[str, Any]) -> Answer:
    """Build the program as part of the app's module by an overlay, so nothing is written to the app's folder."""
    # Go believes PWD where it is the same folder, and looks for the overlay's files below it.
    common = {**common, "env": {**common["env"], "PWD": probe["folder"]}}
    modules = _silent([interpreter, "list", "-m", "-f", "{{ .Path }}\t{{ .Dir }}"], common)
    if modules.returncode != 0:
        return modules
    name = _package(modules.stdout.decode("utf-8"), probe["folder"])
    source, overlay, binary = (os.path.join(scratch, part) for part in ("main.go", "overlay.json", "probe"))
    replaced = {"Replace": {os.path.join(probe["folder"], "crdbprobe", "main.go"): source}}
    _write(probe, {source: probe["program"].replace('"MODULE/', f'"{name}/'), overlay: json.dumps(replaced)})
    built = _silent([interpreter, "build", "-overlay", overlay, "-o", binary, "./crdbprobe"], common)
    return built if built.returncode != 0 else _silent([binary], common)


def _class_path(probe: dict[str, Any], scratch: str, common: dict[str, Any]) -> list[str]:
    """The jars of the app's project: those of Maven, which is not let onto the network, else of its usual folders."""
    folder = probe["folder"]
    found = [path for path in ("lib", "libs", "target/dependency") if os.path.isdir(os.path.join(folder, path))]
    maven = shutil.which("mvn", path=common["env"].get("PATH"))
    if maven is None or not os.path.exists(os.path.join(folder, "pom.xml")):
        return [os.path.join(folder, path, "*") for path in found]
    listed = os.path.join(scratch, "classpath")
    _silent([maven, "-o", "-q", "-B", "dependency:build-classpath", f"-Dmdep.outputFile={listed}"], common)
    theirs = Owner(probe["user"]).does(_TheirFiles())
    try:
        return [theirs.read(listed).strip()]
    except OSError:
        return [os.path.join(folder, path, "*") for path in found]
    finally:
        theirs.close()


def _java(interpreter: str, probe: dict[str, Any], scratch: str, common: dict[str, Any]) -> Answer:
    """Compile the program with the app's own files of ours, and run both with the project's resources."""
    match = _JAVA_CLASS.search(probe["program"])
    name = match.group(1) if match else "Probe"
    source = os.path.join(scratch, f"{name}.java")
    _write(probe, {source: probe["program"]})
    compiler = os.path.join(os.path.dirname(shutil.which(interpreter) or ""), "javac")
    environment = common["env"]
    given = environment.get("CLASSPATH", "")
    jars = [given] if given else _class_path(probe, scratch, common)
    path = os.pathsep.join([scratch, *jars, os.path.join(probe["folder"], "src", "main", "resources")])
    common = {**common, "env": {**environment, "CLASSPATH": path}}
    built = _silent([compiler, "-proc:none", "-d", scratch, source, *probe["sources"]], common)
    return built if built.returncode != 0 else _silent([interpreter, *probe["arguments"], name], common)


def _steps(interpreter: str, probe: dict[str, Any], scratch: str, common: dict[str, Any]) -> Answer:
    """Build and run the program by the commands that its language declares, in a scratch folder."""
    environment = common["env"]
    kept = environment.get("XDG_CACHE_HOME") or os.path.join(environment.get("HOME", scratch), ".cache")
    cache = environment.get("CRDB_PROBE_CACHE") or os.path.join(kept, "crdb-onboard", "probes")
    named = {"@INTERPRETER@": interpreter, "@SCRATCH@": scratch, "@NAME@": os.path.basename(scratch), "@CACHE@": cache}

    def filled(text: str) -> str:
        for name, value in named.items():
            text = text.replace(name, value)
        return text

    theirs = Owner(probe["user"]).does(_TheirFiles())
    try:
        for name in probe["copies"]:
            theirs.copy(probe["folder"], name, os.path.join(scratch, name))
        for name, text in probe["files"].items():
            theirs.write(os.path.join(scratch, name), filled(text))
    finally:
        theirs.close()
    *builds, start = [[filled(str(word)) for word in step] for step in probe["steps"]]
    # A compiler needs longer than a driver does, and waits for others.
    patient = {**common, "timeout": max(common["timeout"], _BUILD_TIMEOUT)}
    try:
        for step in builds:
            built = _silent(step, patient)
            if built.returncode != 0:
                return built
        return _silent(start, common)
    finally:
        for step in probe["afterwards"]:
            _silent([filled(str(word)) for word in step], patient)


_COMPILED = {"go": _go, "java": _java}


class _TheirFiles:
    """Files of an app, with the rights of its user: a link there leads no further than they do."""

    def read(self, path: str) -> str:
        """The text of the file. Raises OSError."""
        return tree.read_file(path).content.decode("utf-8", "surrogateescape")

    def write(self, path: str, text: str) -> None:
        """Make a file, and the folders that it needs."""
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(text)

    def copy(self, folder: str, name: str, target: str) -> None:
        """Copy a file of a folder, or of one above it; where there is none, nothing is done."""
        text = next((text for above in Folder(folder).upwards() if (text := above.text(name)) is not None), None)
        if text is not None:
            self.write(target, text)

    def close(self) -> None:
        """Do nothing: nothing is held."""


def _assignments(probe: dict[str, Any]) -> dict[str, str]:
    """The variables that the app's environment file sets. Raises OSError, and FormatError where loaders differ."""
    reader = Owner(probe["user"]).does(_TheirFiles())
    try:
        text = reader.read(os.path.join(probe["folder"], probe["environment_file"]))
    finally:
        reader.close()
    segments = FORMATS["dotenv"](text.encode("utf-8", "surrogateescape"))
    return {segment.key: dotenv_text(segment.raw) for segment in segments if segment.key not in (None, HEADER)}


def _untrusted(paths: Sequence[str]) -> str:
    """Why root must not run a program in these places; empty when nobody else can change them."""
    try:
        for path in paths:
            tree.resolve(path)
    except tree.UntrustedPathError as exc:
        return f"{exc.strerror}. {exc.cure}"
    except OSError as exc:
        return f"{exc.filename}: {exc.strerror}"
    return ""


def _interpreter(kind: str, interpreters: dict[str, Any], folder: str) -> str:
    """The program that runs a probe: a path, or a name in PATH unless the app has a virtual environment."""
    given = str(interpreters.get(kind) or kind)
    if "/" in given:
        return os.path.join(folder, given)
    own = [os.path.join(folder, name, "bin", "python") for name in _VIRTUAL_ENVIRONMENTS if kind == "python"]
    return next((path for path in own if os.path.exists(path)), given)


def _run(probe: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    report = {"app": probe["app"], "framework": probe["framework"], "verdict": "not_proved", "message": "", "facts": {}}
    kind = probe["interpreter"]
    interpreter = _interpreter(kind, params["interpreters"], probe["folder"])
    if shutil.which(interpreter) is None:
        return {**report, "message": f"{interpreter} is not installed on this host"}
    if not os.path.isdir(probe["folder"]):
        verdict = "not_proved" if params["check_mode"] else "failed"
        return {**report, "verdict": verdict, "message": f"the folder {probe['folder']} does not exist"}
    ids: dict[str, Any] = {}
    home = None
    if probe["user"] and pwd.getpwnam(probe["user"]).pw_uid != os.geteuid():
        entry = pwd.getpwnam(probe["user"])
        ids = {
            "user": entry.pw_uid,
            "group": entry.pw_gid,
            "extra_groups": os.getgrouplist(probe["user"], entry.pw_gid),
        }
        home = entry.pw_dir
    if not ids:
        reason = _untrusted([probe["folder"], *([interpreter] if "/" in interpreter else [])])
        if reason:
            return {**report, "verdict": "failed", "message": reason}
    scratch = tempfile.mkdtemp(prefix="crdb-probe-")
    try:
        environment = _environment(params["environment"], home)
        if probe["environment_file"]:
            environment.update(_assignments(probe))
        if ids:
            os.chown(scratch, ids["user"], ids["group"])
        common = {"cwd": probe["folder"], "env": environment, "timeout": params["timeout"], **ids}
        start = _steps if probe.get("steps") else _COMPILED.get(kind, _interpreted)
        answer = start(interpreter, probe, scratch, common)
    except subprocess.TimeoutExpired as exc:
        return {**report, "verdict": "failed", "message": f"no answer within {exc.timeout:g} s"}
    except OSError as exc:
        return {**report, "verdict": "failed", "message": f"{exc.filename or interpreter}: {exc.strerror}"}
    except FormatError as exc:
        return {**report, "verdict": "failed", "message": f"{probe['environment_file']}: {exc}"}
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    error = answer.stderr.decode("utf-8", "replace")
    if answer.returncode != 0:
        missing = _missing_driver(error, probe.get("missing", ""))
        message = missing or _last_lines(error) or f"exit code {answer.returncode}"
        return {
            **report,
            "verdict": "not_proved" if missing else "failed",
            "message": message,
            "missing": bool(missing),
        }
    return {**report, **_proof(answer.stdout)}


def _proof(printed: bytes) -> dict[str, Any]:
    """The verdict by what a probe printed last; the app's own packages may print anything."""
    try:
        facts = json.loads(printed.decode("utf-8").splitlines()[-1])
    except (ValueError, IndexError, RecursionError):
        facts = None
    nothing = {"verdict": "failed", "message": "the probe did not print its result"}
    if not isinstance(facts, dict):
        return nothing
    if facts.get("not_proved"):
        return {"message": _last_lines(str(facts["not_proved"]))}
    if not facts.get("tls") or facts.get("answer") != 42:
        return {"verdict": "failed", "message": "connected, but not over verified TLS", "facts": facts}
    if not {"version", "user", "database"} <= facts.keys():
        return nothing
    return {"verdict": "proved", "facts": facts}


def _missing_driver(error: str, pattern: str = "") -> str:
    """The line that says that a driver is not installed; empty when the error is another one."""
    if _NO_GO_MODULE.search(error):
        return "there is no go.mod in the app's folder or above it: `go mod init NAME` makes one"
    own = re.compile(pattern) if pattern else _NO_DRIVER
    return next((_last_lines(line) for line in error.splitlines() if own.search(line)), "")


def _line(probe: dict[str, Any]) -> str:
    facts = probe["facts"]
    who = f"{probe['app']}: {probe['framework']}"
    if probe["verdict"] == "proved":
        return f"{who} {facts['version']}: connected as {facts['user']} to {facts['database']}, {facts['tls']}"
    verdict = "FAILED" if probe["verdict"] == "failed" else "not proved"
    return f"{who}: {verdict}: {probe['message']}"


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "interpreters": {"type": "dict", "default": {}},
            "environment": {"type": "dict", "default": {}},
            "timeout": {"type": "float", "default": 60.0},
            "probes": PROBES,
            "projects": PROJECTS,
        },
        supports_check_mode=True,
    )
    try:
        projects = differing(module.params["projects"])
    except (OSError, UnknownOwnerError) as exc:
        module.fail_json(msg=str(exc))
    if projects:
        module.exit_json(changed=False, projects=projects, probes=[])
    probes: list[dict[str, Any]] = module.params["probes"] or []
    for probe in probes:
        try:
            owner = pwd.getpwnam(probe["user"]).pw_uid if probe["user"] else os.geteuid()
        except KeyError:
            module.fail_json(msg=f"There is no user {probe['user']!r} on this host.")
        if owner != os.geteuid() != 0:
            module.fail_json(msg=f"The probes of {probe['user']} need that user's rights: run as root (become).")
    with ThreadPoolExecutor(_PARALLEL) as pool:
        params = {**module.params, "check_mode": module.check_mode}
        reports = list(pool.map(lambda probe: _run(probe, params), probes))
    ok = all(report["verdict"] != "failed" for report in reports)
    module.exit_json(changed=False, ok=ok, probes=reports, report=[_line(report) for report in reports])


if __name__ == "__main__":
    main()
