# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The execution environment, as far as it goes without building an image: the context, and what it would install."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
import yaml

from tests.integration.conftest import BIN, CHECKOUT


def run(*words, cwd, home):
    environment = {**os.environ, "HOME": str(home)}
    done = subprocess.run(
        [*map(str, words)], cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    """The build context, as `make execution-environment` makes it, in a copy of what it reads."""
    folder = tmp_path_factory.mktemp("environment")
    run(BIN / "ansible-galaxy", "collection", "build", "--output-path", folder / "build", cwd=CHECKOUT, home=folder)
    (folder / "execution-environment.yml").write_bytes((CHECKOUT / "execution-environment.yml").read_bytes())
    words = ("create", "--file", "execution-environment.yml", "--context", "context")
    run(BIN / "ansible-builder", *words, cwd=folder, home=folder)
    return folder / "context"


def test_the_context_holds_the_collection_that_it_installs(context):
    wanted = yaml.safe_load((context / "_build" / "requirements.yml").read_text())["collections"]
    version = yaml.safe_load((CHECKOUT / "galaxy.yml").read_text())["version"]
    assert wanted == [{"name": f"collection/crdb-onboard-{version}.tar.gz", "type": "file"}]
    assert (context / "_build" / wanted[0]["name"]).stat().st_size > 10_000


def test_it_has_the_ansible_core_that_is_tested(context):
    pinned = re.search(
        r"^(ansible-core~=\S+)$", (CHECKOUT / "requirements" / "controller.in").read_text(), re.MULTILINE
    )
    assert f'ARG ANSIBLE_INSTALL_REFS="{pinned.group(1)} ansible-runner"' in (context / "Containerfile").read_text()


def test_the_collection_says_what_it_needs(context, tmp_path):
    """By the program that runs while an image is built."""
    artifact = next((context / "_build" / "collection").iterdir())
    run(
        BIN / "ansible-galaxy", "collection", "install", "--offline", "-p", tmp_path / "collections", artifact,
        cwd=tmp_path, home=tmp_path,
    )  # fmt: skip
    script = context / "_build" / "scripts" / "introspect.py"
    found = yaml.safe_load(
        run(sys.executable, script, "introspect", tmp_path / "collections", cwd=tmp_path, home=tmp_path)
    )
    python = {re.match(r"[\w-]+", line).group() for line in found["python"]}
    controller = (CHECKOUT / "requirements" / "controller.in").read_text()
    assert python == set(re.findall(r"^([a-z-]+)", controller, re.MULTILINE)) - {"ansible-core"}
    assert any(line.startswith("openssh-clients [platform:rpm]") for line in found["system"])
