# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A module as a program for a host's Python, against the same module in Ansible's own frame."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.crdb.onboard.plugins.modules import driver_probe
from ansible_collections.crdb.onboard.plugins.plugin_utils._transport import program as _program

from tests.conftest import CHECKOUT

CANARY = "c4n4ry-Passw0rd"
VERSIONS = ("3.9", "3.10", "3.11", "3.12", "3.13")
PLAIN: dict[str, Any] = {"check_mode": False, "diff": False, "log": ""}
MODULES = ("app_reload", "driver_probe", "endpoint_check", "files")


def python(version: str) -> str:
    done = subprocess.run([CHECKOUT / "scripts" / "find-python", version], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no Python {version} on this machine: pyenv install {version} gives one")
    return done.stdout.strip()


class Host:
    """A folder to work in, a home, and the program that was run last."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder / "work", folder / "home"
        for made in (self.folder, self.home):
            made.mkdir()
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(self.home)}
        self.done = subprocess.CompletedProcess[bytes]([], 0)

    def run(self, program: bytes, interpreters: list[str], environment: str = "") -> dict[str, Any]:
        command = _program.command(interpreters, environment)
        assert CANARY not in command
        self.done = subprocess.run(
            ["sh", "-c", command],
            input=program,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            check=False,
        )
        text = {"stdout": self.done.stdout.decode(), "stderr": self.done.stderr.decode()}
        return _program.result({"rc": self.done.returncode, **text})

    def call(self, module: str, arguments: dict[str, Any], interpreter: str = sys.executable, **more: Any) -> Any:
        options = {**PLAIN, **more}
        return self.run(_program.program(module, arguments, **options), [interpreter])


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def file(path: Path, text: str = "text", **more: Any) -> dict[str, Any]:
    return {"path": str(path), "content": base64.b64encode(text.encode()).decode(), **more}


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("version", VERSIONS)
def test_every_module_answers_on_every_python(version: str, module: str, host: Host) -> None:
    needed = {"endpoint_check": {"endpoints": []}, "driver_probe": {"probes": []}}
    result = host.call(module, needed.get(module, {}), python(version))
    assert "failed" not in result
    assert result["changed"] is False


def broken(monkeypatch: pytest.MonkeyPatch, part: str, data: bytes) -> None:
    """Send programs in which one of the prepared parts is replaced."""
    parts = {**_program.prepared("files"), part: _program._packed(data)}
    monkeypatch.setattr(_program, "prepared", lambda _module: parts)


def test_a_host_with_the_controllers_python_compiles_nothing(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch, "sources", b"no sources")
    assert host.call("files", {"files": [file(host.folder / "f")]})["changed"]


@pytest.mark.parametrize("version", [v for v in VERSIONS if v != "{}.{}".format(*sys.version_info)])
def test_a_host_with_another_python_does_not_look_at_the_controllers_code(
    version: str, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(monkeypatch, "codes", b"no code")
    assert host.call("files", {"files": [file(host.folder / "f")]}, python(version))["changed"]


@pytest.mark.parametrize("diff", [False, True])
@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize(
    "changes",
    [{}, {"mode": "0640"}, {"mode": "no mode"}, {"format": "dotenv", "secret": True, "mode": "0600"}],
    ids=["as it is", "a mode", "refused", "keys"],
)
def test_the_answer_is_that_of_ansibles_own_frame(
    changes: dict[str, Any], check_mode: bool, diff: bool, host: Host
) -> None:
    text = "URL='x'\n"
    arguments = {
        "files": [file(host.folder / "a" / "f", text, **changes), file(host.folder / "b")],
        "secrets": [CANARY],
    }
    given = json.dumps({"ANSIBLE_MODULE_ARGS": {**arguments, "_ansible_check_mode": check_mode, "_ansible_diff": diff}})
    work = CHECKOUT / "collections"
    command = [sys.executable, "-m", "ansible_collections.crdb.onboard.plugins.modules.files"]
    environment = {**host.environment, "PYTHONPATH": f"{work}{os.pathsep}{os.pathsep.join(sys.path)}"}
    done = subprocess.run(
        command, input=given, env=environment, cwd=host.folder, capture_output=True, text=True, check=False
    )
    expected = json.loads(done.stdout)
    expected.pop("invocation", None)
    expected.pop("exception", None)
    for name in ("a/f", "b"):
        (host.folder / name).unlink(missing_ok=True)
    (host.home / ".local/state/crdb-onboard/files.json").unlink(missing_ok=True)
    found = host.call("files", arguments, check_mode=check_mode, diff=diff)
    assert found == expected
    assert bool(found.get("diff")) is (diff and "failed" not in found)
    assert (host.folder / "b").exists() is ("failed" not in found and not check_mode)


def test_what_is_no_log_is_masked_wherever_it_stands(host: Host) -> None:
    named = host.folder / f"of-{CANARY}"
    result = host.call("files", {"files": [file(named)], "secrets": [CANARY]})
    assert named.exists()
    assert CANARY not in json.dumps(result)
    assert result["files"][0]["path"] == str(host.folder / "of-********")
    refused = host.call("files", {"files": [file(named, mode=CANARY)], "secrets": [CANARY]})
    assert refused["failed"]
    assert CANARY not in host.done.stdout.decode() + host.done.stderr.decode()


def test_a_module_that_ends_early_says_where_and_no_secret(host: Host) -> None:
    broken = {"files": [{**file(host.folder / "f"), "path": {CANARY: 1}}], "secrets": [CANARY]}
    result = host.call("files", broken)
    assert result["failed"]
    assert result["msg"].startswith("The module ended early: TypeError")
    assert 'plugins.modules.files>", line' in result["exception"]
    assert "in _planned_file" in result["exception"], "the traceback does not name the function"
    assert CANARY not in host.done.stdout.decode() + host.done.stderr.decode()


def test_no_module_is_taken_from_the_folder_it_starts_in(host: Host) -> None:
    for name in ("json", "base64", "zlib", "pwd", "ansible"):
        (host.folder / f"{name}.py").write_text("raise SystemExit('imported from the folder')")
    result = host.call("files", {"files": [file(host.folder / "f")]})
    assert result["changed"], result


@pytest.mark.parametrize("version", ["3.8", "3.7", "3.6"])
def test_a_python_that_is_too_old_is_named(version: str, host: Host) -> None:
    old = python(version)
    result = host.call("files", {"secrets": [CANARY]}, old)
    assert result["failed"]
    assert f"needs Python 3.9 or newer on this host, {old}" in result["msg"]
    assert f"is {version}: set ansible_python_interpreter" in result["msg"]


def test_the_first_python_that_can_run_it_does(host: Host) -> None:
    program = _program.program("files", {"files": [file(host.folder / "f")]}, **PLAIN)
    shim = host.home / "python3.99"
    shim.write_text("#!/bin/sh\necho 'python3.99: command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    assert host.run(program, ["python9.9", str(shim), sys.executable, "false"])["changed"]
    nothing = host.run(program, ["python9.9", str(shim)])
    assert nothing["rc"] == 127
    assert nothing["msg"].startswith("The module did not answer: There is no Python 3.9 or newer on this host: install")


def test_a_python_that_is_too_old_is_passed_over(host: Host) -> None:
    program = _program.program("files", {"files": [file(host.folder / "f")]}, **PLAIN)
    assert host.run(program, [python("3.8"), sys.executable])["changed"]


def test_the_environment_reaches_the_module(host: Host, tmp_path: Path) -> None:
    other = tmp_path / "other home"
    other.mkdir()
    program = _program.program("files", {"files": [file(host.folder / "f")]}, **PLAIN)
    assert host.run(program, [sys.executable], f"HOME='{other}'")["changed"]
    assert (other / ".local/state/crdb-onboard/files.json").exists()
    again = _program.program("files", {"files": [file(host.folder / "g")]}, **PLAIN)
    assert host.run(again, ["python9.9", sys.executable], f"HOME='{other}'")["changed"]
    assert str(host.folder / "g") in (other / ".local/state/crdb-onboard/files.json").read_text()
    assert not list(host.home.iterdir())


@pytest.mark.parametrize("noise", ["", "Welcome to app-01\n", "Welcome\nno line end"])
def test_the_answer_is_found_in_what_a_profile_prints(noise: str) -> None:
    found = _program.result({"rc": 0, "stdout": f'{noise}\n{_program.ANSWER}{{"changed": true}}\nbye\n', "stderr": "x"})
    assert found == {"changed": True}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"rc": 1, "stdout": "", "stderr": "sudo: a password is required\n"}, "sudo: a password is required"),
        ({"rc": 137, "stdout": "", "stderr": ""}, "it ended with 137"),
        ({"rc": 1, "stdout": "locked\n", "stderr": ""}, "locked"),
    ],
)
def test_no_answer_is_a_failure_with_what_was_said_instead(answer: dict[str, Any], said: str) -> None:
    result = _program.result(answer)
    assert result == {"failed": True, "msg": f"The module did not answer: {said}", "rc": answer["rc"]}


def test_a_home_in_a_folder_is_the_hosts(host: Host) -> None:
    (host.home / "app").mkdir()
    said = "import os; raise SystemExit(os.getcwd())"
    probe = {"app": "shop", "framework": "any", "interpreter": "python", "program": said, "folder": "~/app"}
    result = host.call("driver_probe", {"probes": [probe], "interpreters": {"python": sys.executable}})
    assert [found["message"] for found in result["probes"]] == [str(host.home / "app")]


@pytest.mark.parametrize(
    "printed", ["7", "[1]", "'[' * 100000", """'{"tls": "TLSv1.3", "answer": 42}'""", "'not JSON'", "''", "chr(233)"]
)
def test_a_probe_that_prints_something_else_fails_alone(host: Host, printed: str) -> None:
    """The program runs with the app's own packages, which may print anything."""
    common = {"app": "shop", "framework": "any", "interpreter": "python", "folder": "~"}
    probes = [{**common, "program": f"import sys; sys.stdout.buffer.write(str({printed}).encode('latin-1'))"}]
    result = host.call("driver_probe", {"probes": probes, "interpreters": {"python": sys.executable}})
    assert [found["verdict"] for found in result["probes"]] == ["failed"]
    assert result["probes"][0]["message"] == "the probe did not print its result"


def test_a_build_that_does_not_end_is_named_with_its_own_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(driver_probe, "_BUILD_TIMEOUT", 0.2)
    probe = {
        "app": "shop", "framework": "any", "interpreter": "sh", "program": "", "folder": str(tmp_path), "user": "",
        "environment_file": "", "copies": [], "files": {}, "steps": [["sleep", "5"], ["true"]], "afterwards": [],
    }  # fmt: skip
    params = {"interpreters": {}, "environment": {}, "timeout": 0.1, "check_mode": False}
    assert driver_probe._run(probe, params)["message"] == "no answer within 0.2 s"


def test_syslog_gets_words_and_no_secret(host: Host) -> None:
    told = host.folder / "told"
    # A stand-in of Python's module, which is built into Debian's Python: no path leads past it.
    fake = host.folder / "site" / "sitecustomize.py"
    fake.parent.mkdir()
    fake.write_text(
        "import sys, types\n"
        "fake = sys.modules['syslog'] = types.ModuleType('syslog')\n"
        "fake.LOG_USER, fake.LOG_INFO, fake.LOG_LOCAL3 = 8, 6, 152\n"
        f"fake.openlog = fake.syslog = lambda *words: print(*words, file=open({str(told)!r}, 'a'))\n"
    )
    arguments = {"files": [file(host.folder / "f", CANARY)], "secrets": [CANARY], "purpose": f"for {CANARY}"}
    program = _program.program("files", arguments, **{**PLAIN, "log": "LOG_LOCAL3"})
    assert host.run(program, [sys.executable], f"PYTHONPATH={fake.parent}")["changed"]
    lines = told.read_text().splitlines()
    assert lines[0] == "ansible-crdb.onboard.files 0 152"
    assert lines[1].startswith("6 Invoked with check_mode=False ")
    assert "state=present purpose=for ********" in lines[1]
    assert CANARY not in told.read_text()
