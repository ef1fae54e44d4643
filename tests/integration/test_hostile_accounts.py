# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Root among hostile accounts: it follows nobody's links and folders, and believes nothing that lies in a home."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from ansible_collections.crdb.onboard.plugins.module_utils._files.model import PlannedFile

from tests.conftest import new_state
from tests.integration.test_rights import flat
from tests.unit.plugins.module_utils.test_files import run as write_directly
from tests.unit.plugins.module_utils.test_files import tree

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: run the tests with sudo, or in a container")
HOSTILE, OTHER = "nobody", "games"
STATES = Path("/var/lib/crdb-onboard")
SECRET = "c4nary-secret"
RACES = 50


@pytest.fixture
def place():
    """A folder that every account can get to, with one of the hostile account and one that everybody may write to."""
    folder = new_state()
    folder.chmod(0o755)
    (folder / "own").mkdir()
    shutil.chown(folder / "own", HOSTILE)
    (folder / "shared").mkdir()
    (folder / "shared").chmod(0o1777)
    (folder / "precious").mkdir(mode=0o700)
    (folder / "precious" / ".env").write_text("ROOT='precious'\n")
    (folder / "precious" / ".env").chmod(0o640)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def states():
    """The folders of the records of the two accounts, which have no homes of their own."""
    for user in (HOSTILE, OTHER):
        shutil.rmtree(STATES / user, ignore_errors=True)
        (STATES / user).mkdir(parents=True, mode=0o700)
        shutil.chown(STATES / user, user)
    yield STATES
    for user in (HOSTILE, OTHER):
        shutil.rmtree(STATES / user, ignore_errors=True)


def write(controller, *files, **options):
    """Run the module as root; the files are root's own unless they name a user."""
    entries = [{**file, "content": base64.b64encode(file["content"].encode()).decode()} for file in files]
    arguments = controller.home / "arguments.json"
    arguments.write_text(json.dumps({"module": {"files": entries, **options}}))
    return controller.run(
        "ansible", "localhost", "-m", "crdb.onboard.files", "-a", "files={{ module.files }}", "-e", f"@{arguments}"
    )


def env(path):
    """An environment file with a secret."""
    return {"path": str(path), "content": f"PASSWORD='{SECRET}'\n", "format": "dotenv", "mode": "0600", "secret": True}


def hostile(path):
    """Give something to the hostile account."""
    os.chown(path, pwd.getpwnam(HOSTILE).pw_uid, pwd.getpwnam(HOSTILE).pw_gid, follow_symlinks=False)


def readable_by_others(folder):
    """The files below a folder that hold the secret, and that are not root's alone."""
    found = []
    for top, _folders, names in os.walk(folder):
        for name in names:
            path = Path(top, name)
            # The hostile account may replace it at any moment, by a pipe too.
            with contextlib.suppress(OSError):
                handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
                with os.fdopen(handle, "rb") as stream:
                    status = os.fstat(handle)
                    secret = stat.S_ISREG(status.st_mode) and SECRET.encode() in stream.read()
                if secret and (status.st_uid != 0 or status.st_mode & 0o077):
                    found.append(path)
    return found


def plant_link(place):
    (place / "own" / ".env").symlink_to(place / "precious" / ".env")


def plant_dangling_link(place):
    (place / "own" / ".env").symlink_to(place / "precious" / "new")


def plant_link_in_shared(place):
    (place / "shared" / ".env").symlink_to(place / "precious" / ".env")
    hostile(place / "shared" / ".env")


def plant_file_in_shared(place):
    (place / "shared" / ".env").write_text("A=1\n")
    (place / "shared" / ".env").chmod(0o666)
    hostile(place / "shared" / ".env")


def plant_folder_link(place):
    (place / "shared" / "app").symlink_to(place / "precious")
    hostile(place / "shared" / "app")


def plant_folder(place):
    (place / "shared" / "app").mkdir()
    hostile(place / "shared" / "app")


def plant_hard_link(place):
    path = place / "shared" / ".env"
    path.write_text("A=1\n")
    os.link(path, place / "shared" / "second")


def plant_group_writable(place):
    (place / "shared" / "app").mkdir(mode=0o775)
    (place / "shared" / "app").chmod(0o775)
    os.chown(place / "shared" / "app", 0, pwd.getpwnam(OTHER).pw_gid)


@pytest.mark.parametrize(
    ("plant", "path", "message"),
    [
        (lambda place: None, "own/.env", "own belongs to nobody"),
        (lambda place: None, "own/sub/certs/.env", "own belongs to nobody"),
        (plant_link, "own/.env", "own belongs to nobody"),
        (plant_dangling_link, "own/.env", "own belongs to nobody"),
        (plant_link_in_shared, "shared/.env", ".env belongs to nobody"),
        (plant_file_in_shared, "shared/.env", ".env belongs to nobody"),
        (plant_folder_link, "shared/app/.env", "app belongs to nobody"),
        (plant_folder, "shared/app/.env", "app belongs to nobody"),
        (plant_folder, "shared/app/sub/.env", "app belongs to nobody"),
        (plant_hard_link, "shared/.env", "has 2 names (hard links)"),
        (plant_group_writable, "shared/app/.env", "app can be written to by the group games"),
    ],
)
def test_root_is_led_nowhere(controller, place, plant, path, message):
    plant(place)
    before = tree(place)
    run = write(controller, {"path": str(place / "fine"), "content": "1"}, env(place / path))
    assert run.status == 2, run.output
    assert message in flat(run), run.output
    if "belongs to" in message:
        assert "Set user: nobody" in flat(run), run.output
    assert tree(place) == before


def test_root_reads_no_authority_that_others_can_replace(controller, place):
    shutil.copy("/etc/ssl/certs/ca-certificates.crt", place / "own" / "ca.crt")
    run = write(controller, {"path": str(place / "config"), "content": "1", "trusts": [str(place / "own" / "ca.crt")]})
    assert run.status == 2, run.output
    assert "own belongs to nobody" in flat(run)
    assert not (place / "config").exists()


def test_root_writes_what_is_its_own_below_a_shared_folder(controller, place):
    run = write(controller, env(place / "shared" / "app" / ".env"))
    assert run.status == 0, run.output
    assert not readable_by_others(place)
    again = write(controller, env(place / "shared" / "app" / ".env"))
    assert "changed: false" in again.output, again.output


def test_the_client_is_not_installed_below_a_folder_of_another_account(controller, place):
    (place / "own" / "opt").mkdir()
    run = controller.run(
        "ansible", "localhost", "-m", "crdb.onboard.client", "-a", f"prefix={place}/own/opt version=v25.4.11"
    )
    assert run.status == 2, run.output
    assert "own belongs to nobody" in flat(run), run.output
    assert tree(place / "own" / "opt") == tree(place / "precious" / "nothing")


ATTACKER = """
import os, sys
place, kind, mode = sys.argv[1:]
os.chdir(place)
precious = os.path.abspath("../precious")
def gone(path):
    for remove in (os.unlink, os.rmdir):
        try:
            remove(path)
        except OSError:
            pass
def turn(work):
    try:
        work()
    except OSError:
        pass
def links():
    for target in (precious + "/.env", precious + "/new", "/etc/passwd"):
        gone("app/.env"); turn(lambda: os.symlink(target, "app/.env")); gone(".env")
        turn(lambda: os.symlink(target, ".env"))
def pipes():
    for path in ("app/.env", ".env"):
        gone(path); turn(lambda: os.mkfifo(path, 0o666))
def folders():
    gone("app"); turn(lambda: os.symlink(precious, "app")); gone("app"); turn(lambda: os.mkdir("app", 0o777))
def renames():
    turn(lambda: os.mkdir("other", 0o777)); turn(lambda: os.symlink(precious, "link"))
    for name in ("other", "link"):
        turn(lambda: os.rename("app", "aside")); turn(lambda: os.rename(name, "app"))
        turn(lambda: os.rename("app", name)); turn(lambda: os.rename("aside", "app"))
work = {"links": links, "pipes": pipes, "folders": folders, "renames": renames}[kind]
print("ready", flush=True)
while os.getppid() == int(mode):
    work()
"""


@pytest.mark.parametrize("kind", ["links", "pipes", "folders", "renames"])
@pytest.mark.parametrize("where", ["own", "shared"])
def test_races_lead_root_nowhere(place, kind, where):
    precious = tree(place / "precious")
    password_file = Path("/etc/passwd").read_bytes()
    attacker = subprocess.Popen(
        # The checkout, and the Python in it, may be root's alone.
        ["/usr/bin/python3", "-c", ATTACKER, str(place / where), kind, str(os.getpid())],
        user=HOSTILE, group=pwd.getpwnam(HOSTILE).pw_gid, extra_groups=[], stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert attacker.stdout.readline() == "ready\n"
        for number in range(RACES):
            name = ("app/.env", ".env", "app/certs/.env")[number % 3]
            content = f"PASSWORD='{SECRET}'\n".encode()
            files = [PlannedFile(str(place / where / name), content, 0o600, "dotenv", secret=True, apps=("a",))]
            with contextlib.suppress(OSError):
                write_directly(place, files)
            assert not readable_by_others(place / where)
    finally:
        attacker.kill()
        attacker.wait()
    assert tree(place / "precious") == precious
    assert Path("/etc/passwd").read_bytes() == password_file


def app(name, user, place):
    """An app whose reload command leaves a mark."""
    return {
        "name": name, "user": user, "folder": "/",
        "reload": {"argv": ["/bin/touch", str(place / "shared" / f"reloaded-{name}")], "user": user},
    }  # fmt: skip


def reload(controller, *apps):
    """Run the module that reloads apps whose change is not confirmed."""
    arguments = controller.home / "apps.json"
    arguments.write_text(json.dumps({"module": {"apps": apps}}))
    return controller.run(
        "ansible", "localhost", "-m", "crdb.onboard.app_reload", "-a", "apps={{ module.apps }}", "-e", f"@{arguments}"
    )


def unconfirmed(path, *apps, files=()):
    """The state that a run leaves whose changes are not confirmed."""
    path.write_text(json.dumps({"apps": dict.fromkeys(apps, ""), "files": dict(files)}))
    hostile(path)


def plant_pipe(path):
    os.mkfifo(path, 0o666)
    hostile(path)


def plant_endless(path):
    path.symlink_to("/dev/zero")


def plant_root_file(path):
    path.symlink_to("/etc/shadow")


def plant_large(path):
    with path.open("wb") as stream:
        stream.truncate(1 << 34)
    hostile(path)


def plant_nested(path):
    path.write_text("[" * 100_000)
    hostile(path)


def plant_wrong_types(path):
    path.write_text(json.dumps({"apps": {"shop": ""}, "files": {"/x": {"before": 1, "apps": "shop"}}}))
    hostile(path)


@pytest.mark.parametrize("name", ["unconfirmed.json", "files.json"])
@pytest.mark.parametrize(
    "plant", [plant_pipe, plant_endless, plant_root_file, plant_large, plant_nested, plant_wrong_types]
)
def test_what_lies_in_a_home_is_not_believed(controller, place, states, plant, name):
    plant(states / HOSTILE / name)
    run = write(controller, {"path": str(place / "own" / "x"), "content": "1", "user": HOSTILE})
    assert run.status == 2, run.output
    assert name in flat(run), run.output
    assert "root:" not in run.output
    assert not (place / "own" / "x").exists()
    if name == "unconfirmed.json":
        run = reload(controller, app("shop", HOSTILE, place))
        assert run.status == 2, run.output
        assert name in flat(run), run.output
    assert not children_of(HOSTILE)


def children_of(user):
    """The processes of an account that run our code."""
    found = subprocess.run(["pgrep", "-u", user, "-f", "crdb|ansible"], capture_output=True, text=True, check=False)
    return found.stdout.split()


def test_a_user_s_file_reloads_that_user_s_apps_only(controller, place, states):
    unconfirmed(states / HOSTILE / "unconfirmed.json", "shop", "bank")
    run = reload(controller, app("shop", HOSTILE, place), app("bank", OTHER, place))
    assert run.status == 0, run.output
    assert (place / "shared" / "reloaded-shop").exists()
    assert not (place / "shared" / "reloaded-bank").exists()


def test_a_child_ends_with_its_parent(place, states):
    """A killed run leaves no process that holds the lock of a record, however many users it writes for."""
    program = textwrap.dedent(
        """
        import sys, time
        sys.path[:] = {path!r}
        from ansible_collections.crdb.onboard.plugins.module_utils._files.owner import Owner
        from ansible_collections.crdb.onboard.plugins.module_utils._files.record import Record
        class Holder:
            def __init__(self, folder):
                self._folder = folder
            def hold(self):
                self._record = Record(self._folder)
        owners = [Owner(name) for name in {users!r}]
        holders = [owner.does(Holder(owner.state)) for owner in owners]
        for holder in holders:
            holder.hold()
        print("held", flush=True)
        time.sleep(60)
        """
    )
    users = [HOSTILE, OTHER]
    parent = subprocess.Popen(
        [sys.executable, "-c", program.format(path=[p for p in sys.path if p], users=users)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert parent.stdout.readline() == "held\n"
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    end = time.monotonic() + 20
    find = ["pgrep", "-u", ",".join(users), "-f", "Holder"]
    while subprocess.run(find, capture_output=True, check=False).stdout:
        assert time.monotonic() < end, "a child is still there"
        time.sleep(0.05)


def test_a_child_that_does_not_answer_is_killed(states):
    from ansible_collections.crdb.onboard.plugins.module_utils._files.owner import Owner

    class Sleeper:
        def sleep(self):
            time.sleep(60)

        def close(self):
            pass

    sleeper = Owner(HOSTILE).does(Sleeper(), 0.2)
    with pytest.raises(OSError, match=r"rights of nobody did not answer within 0.2 s"):
        sleeper.sleep()
    sleeper.close()


def ask(controller, probe, interpreter="/usr/bin/python3"):
    """Run one driver's program as root."""
    arguments = controller.home / "probes.json"
    interpreters = {probe["interpreter"]: interpreter}
    arguments.write_text(json.dumps({"module": {"probes": [probe], "interpreters": interpreters}}))
    return controller.run(
        "ansible", "localhost", "-m", "crdb.onboard.driver_probe", "-a",
        "probes={{ module.probes }} interpreters={{ module.interpreters }}", "-e", f"@{arguments}",
    )  # fmt: skip


def test_a_probe_reads_its_environment_with_the_rights_of_its_user(controller, place, states):
    (place / "precious" / ".env").write_text(f"PASSWORD='{SECRET}'\n")
    (place / "own" / ".env").symlink_to(place / "precious" / ".env")
    probe = {
        "app": "shop", "framework": "test", "user": HOSTILE, "folder": str(place / "own"), "interpreter": "python",
        "environment_file": ".env", "program": "import os; raise SystemExit(os.environ.get('PASSWORD', 'nothing'))",
    }  # fmt: skip
    run = ask(controller, probe)
    assert SECRET not in run.output
    assert "Permission denied" in run.output, run.output


def test_root_runs_no_probe_in_a_folder_of_another_account(controller, place):
    (place / "own" / "json.py").write_text(f"import os; os.system('touch {place}/shared/taken')\n")
    probe = {
        "app": "shop", "framework": "test", "user": "", "folder": str(place / "own"), "interpreter": "python",
        "environment_file": "", "program": "import json",
    }  # fmt: skip
    run = ask(controller, probe)
    assert "own belongs to nobody" in flat(run), run.output
    assert not (place / "shared" / "taken").exists()


# What an account runs while its probe is built: it plants a link in the folder where that is done.
PLANTING = """#!/bin/sh
for folder in "${{TMPDIR:-/tmp}}"/crdb-probe-*; do
    [ -O "$folder" ] && ln -sf {target} "$folder/main.go"
done
printf 'shop\\t%s\\n' "$PWD"
"""


def test_root_writes_no_program_through_a_link_of_the_account(controller, place, states):
    precious = place / "precious" / ".env"
    script = place / "own" / "go"
    script.write_text(PLANTING.format(target=precious))
    script.chmod(0o755)
    probe = {
        "app": "shop", "framework": "test", "user": HOSTILE, "folder": str(place / "own"), "interpreter": "go",
        "program": "taken",
    }  # fmt: skip
    run = ask(controller, probe, "./go")
    assert precious.read_text() == "ROOT='precious'\n", run.output
    assert "main.go: Permission denied" in run.output, run.output


def test_root_takes_what_maven_says_of_an_account_s_project(controller, place, states):
    """Maven writes with the rights of the account, so what it wrote is read with them too."""
    programs = {
        "mvn": 'for word; do case $word in -Dmdep.outputFile=*) echo /from/maven.jar >"${word#*=}";; esac; done',
        "javac": 'echo "class path: $CLASSPATH" >&2; exit 1',
        "java": "exit 1",
    }
    for name, text in programs.items():
        (place / "own" / name).write_text(f"#!/bin/sh\n{text}\n")
        (place / "own" / name).chmod(0o755)
    (place / "own" / "pom.xml").write_text("<project/>")
    controller.environment["PATH"] = f"{place}/own:{os.environ['PATH']}"
    probe = {
        "app": "shop", "framework": "test", "user": HOSTILE, "folder": str(place / "own"), "interpreter": "java",
        "program": "public final class Probe {}",
    }  # fmt: skip
    run = ask(controller, probe, "./java")
    assert ":/from/maven.jar:" in run.output, run.output
