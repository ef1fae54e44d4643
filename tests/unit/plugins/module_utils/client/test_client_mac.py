# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The client on a Mac, as docs/macos.md records it: no /proc, BSD's ps, zsh as the login shell, .dylib libraries."""

from __future__ import annotations

import os
import pwd
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
from ansible_collections.crdb.onboard.plugins.module_utils._client import builds, program
from ansible_collections.crdb.onboard.plugins.module_utils._client.errors import ClientError
from ansible_collections.crdb.onboard.plugins.module_utils._client.remove import remove

from tests.unit.plugins.module_utils.client.conftest import NEW, OLD, present, tree, version_of

BSD_PS = """#!{python}
import sys
words, columns, titled = sys.argv[1:], [], False
while words:
    word = words.pop(0)
    if word == "-o":
        name, equals, title = words.pop(0).partition("=")
        columns += name.split(",")
        titled = titled or not equals or bool(title)
row = {{"pid": {pid}, "command": "{command}"}}
if titled:
    print("PID COMMAND")
print("%5s" % row["pid"], row["command"] if "command" in columns else "")
"""


@pytest.fixture
def mac(tmp_path, home, monkeypatch):
    """This machine as a Mac, with an Apple silicon and a translated Python; `mac(command)` runs a process there."""
    tools = tmp_path / "tools"
    tools.mkdir()

    def tool(name, text):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
        return str(tools / name)

    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Darwin", "mac.local", "24.6.0", "Darwin", "x86_64")))
    monkeypatch.setattr(builds, "_SYSCTL", (tool("sysctl", "#!/bin/sh\necho 1\n"),))
    monkeypatch.setattr(program, "_PROC", "/nowhere")
    account = pwd.getpwuid(os.geteuid())
    monkeypatch.setattr(pwd, "getpwuid", lambda _uid: SimpleNamespace(pw_shell="/bin/zsh", pw_name=account.pw_name))
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    return lambda command: tool("ps", BSD_PS.format(python=sys.executable, pid=4711, command=command))


def test_a_mac_gets_its_build_and_all_is_taken_away_again(home, server, options, mac):
    mac("/sbin/launchd")
    (home / ".zprofile").write_text("# theirs")
    (home / ".local/share/zsh/site-functions").mkdir(parents=True)
    before = tree(home)
    result = present(replace(options, products=("cockroach", "cockroach-sql"), profile=True))
    assert [path for path in server.requests if path.endswith(".tgz")] == [
        f"/cockroach-{NEW}.darwin-11.0-arm64.tgz",
        f"/cockroach-sql-{NEW}.darwin-11.0-arm64.tgz",
    ]
    assert sorted(p.name for p in (home / ".local/lib/cockroach").iterdir()) == ["libgeos.dylib", "libgeos_c.dylib"]
    assert (home / ".zprofile").read_text() == f"# theirs\n{result.path_line} # crdb.onboard\n"
    completion = (home / ".local/share/zsh/site-functions/_cockroach").read_text()
    assert completion == f"# completion of cockroach {NEW} for zsh\n"
    assert not present(replace(options, products=("cockroach", "cockroach-sql"), profile=True)).changed
    remove(options, False)
    assert tree(home) == before


def test_a_node_on_a_mac_is_found_by_its_ps(home, options, mac):
    mac("/sbin/launchd")
    present(replace(options, version=OLD))
    link = home / ".local/bin/cockroach"
    for command in (f"{link} start --insecure", "cockroach start-single-node", f"{link.resolve()} --log=x demo"):
        mac(command)
        with pytest.raises(ClientError, match=r"runs as a node .process 4711."):
            present(options)
    mac("/opt/homebrew/opt/cockroach/bin/cockroach start-single-node --insecure")
    present(options)
    assert version_of(link) == NEW


def test_homebrews_program_is_left_alone_and_named(home, options, mac, tmp_path, monkeypatch):
    mac("/sbin/launchd")
    brew = tmp_path / "homebrew/bin/cockroach"
    brew.parent.mkdir(parents=True)
    brew.write_text("#!/bin/sh\necho homebrew\n")
    brew.chmod(0o755)
    monkeypatch.setenv("PATH", f"{brew.parent}:{os.environ['PATH']}")
    result = present(options)
    assert f"{brew} is another cockroach, and may come first in the PATH." in result.notes
    assert brew.read_text() == "#!/bin/sh\necho homebrew\n"
    # On an Intel Mac its link is where ours would be.
    remove(options, False)
    link = home / ".local/bin/cockroach"
    link.parent.mkdir(parents=True)
    link.symlink_to(brew)
    with pytest.raises(ClientError, match=rf"was not installed by crdb\.onboard .a link to {brew}."):
        present(options)
