# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which files a module takes to a host: by Python's imports, and as Ansible's own packer."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.crdb.onboard.plugins.plugin_utils._transport import imports, program
from ansible_collections.crdb.onboard.plugins.plugin_utils._transport.imports import UnresolvedImportError

from tests.conftest import CHECKOUT

MODULE_UTILS = f"{imports.COLLECTION}.module_utils"
# The others only document actions that run on the controller.
MODULES = sorted(
    path.stem for path in (CHECKOUT / "plugins" / "modules").glob("*.py") if "AnsibleModule(" in path.read_text()
)
CONTROLLERS = {"the pinned ansible-core": Path(sys.executable), "the newest": CHECKOUT / ".venv-newest/bin/python"}
# Ansible's packer, asked in a process of its own for what it puts into the archive of each module.
PACKER = """
import base64, io, json, re, sys, zipfile
from ansible.executor import module_common
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader, module_loader
from ansible.template import Templar

init_plugin_loader([sys.argv[1]])
names = {}
for module in sys.argv[2:]:
    found = module_loader.find_plugin_with_context(f"crdb.onboard.{module}")
    built = module_common.modify_module(
        module_name=f"crdb.onboard.{module}", module_path=found.plugin_resolved_path, module_args={},
        templar=Templar(loader=DataLoader(), variables={}),
        task_vars={"ansible_python_interpreter": sys.executable},
    )
    text = built.b_module_data.decode()
    archive = max(re.findall(r"[A-Za-z0-9+/=]{1000,}", text), key=len)
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(archive))) as opened:
        names[module] = {name: len(opened.read(name)) for name in opened.namelist()}
print(json.dumps(names))
"""


@pytest.mark.parametrize("controller", CONTROLLERS)
def test_every_module_takes_what_ansibles_own_packer_takes(controller: str) -> None:
    python = CONTROLLERS[controller]
    if not python.exists():
        pytest.skip(f"{python} is missing: make .venv-newest/controller.installed creates it with Python 3.12 or newer")
    done = subprocess.run(
        [python, "-c", PACKER, str(CHECKOUT / "collections"), *MODULES], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    packed = json.loads(done.stdout)
    assert {"files", "endpoint_check", "client"} < set(packed) == set(MODULES)
    for module, names in packed.items():
        # Packages that have no file are empty in Ansible's archive.
        expected = {
            name
            for name, size in names.items()
            if name.startswith("ansible_collections/crdb/") and (size or not name.endswith("__init__.py"))
        }
        sources = imports.sources(module)
        paths = {name: name.replace(".", "/") for name in sources}
        carried = {
            f"{path}.py" if f"{path}.py" in names else f"{path}/__init__.py"
            for name, path in paths.items()
            if sources[name]
        }
        assert carried == expected, module


def collection(folder: Path, files: dict[str, str]) -> Path:
    """A folder `plugins` with these files; every path begins in `module_utils` but that of the module `m`."""
    for name, text in files.items():
        path = folder / ("modules/m.py" if name == "m" else f"module_utils/{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


FILES = {
    "a.py": "",
    "b.py": "from . import a",
    "pkg/one.py": "from .. import a",
    "pkg/two.py": "from .one import value\nfrom ..b import other",
    "init/__init__.py": "from .inner import name",
    "init/inner.py": "",
    "init/deep/leaf.py": "from ..inner import name\nfrom ... import a",
}


@pytest.mark.parametrize(
    ("source", "carried"),
    [
        (f"import {MODULE_UTILS}.a", {"a"}),
        (f"import {MODULE_UTILS}.a as x, {MODULE_UTILS}.pkg.one as y", {"a", "pkg.one"}),
        (f"from {MODULE_UTILS} import a as x, b as y", {"a", "b"}),
        (f"from {MODULE_UTILS} import (  # a comment\n    a,  # another\n)", {"a"}),
        (f"from {MODULE_UTILS}.a import *", {"a"}),
        (f"from {MODULE_UTILS}.a import name, other as another", {"a"}),
        (f"from {MODULE_UTILS}.pkg import one", {"pkg.one", "a"}),
        (f"from {MODULE_UTILS}.pkg.two import value", {"pkg.two", "pkg.one", "a", "b"}),
        ("from ..module_utils import b", {"a", "b"}),
        ("from ..module_utils.pkg import one, two", {"pkg.one", "pkg.two", "a", "b"}),
        (f"from {MODULE_UTILS}.init import name", {"init", "init.inner"}),
        (f"import {MODULE_UTILS}.init.deep.leaf", {"init", "init.inner", "init.deep.leaf", "a"}),
        (f"def work():\n    from {MODULE_UTILS} import a", {"a"}),
        (f"if x:\n    pass\nelse:\n    import {MODULE_UTILS}.a", {"a"}),
        (f"if TYPE_CHECKING:\n    import {MODULE_UTILS}.b\nelse:\n    import {MODULE_UTILS}.a", {"a"}),
        (f"if typing.TYPE_CHECKING:\n    import {MODULE_UTILS}.b\n    import {MODULE_UTILS}.missing", set()),
        (f"text = 'import {MODULE_UTILS}.a'  # import {MODULE_UTILS}.b", set()),
        (f"try:\n    import {MODULE_UTILS}.missing\nexcept ImportError:\n    import {MODULE_UTILS}.a", {"a"}),
        ("import os, yaml\nfrom ansible.module_utils.basic import AnsibleModule", set()),
    ],
)
def test_the_imports_of_a_module_are_followed(source: str, carried: set[str], tmp_path: Path) -> None:
    found = imports.sources("m", collection(tmp_path, {**FILES, "m": source}))
    assert set(found) == {f"{imports.COLLECTION}.modules.m", *(f"{MODULE_UTILS}.{name}" for name in carried)}


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (f"import {MODULE_UTILS}.missing", f"{MODULE_UTILS}.missing"),
        (f"from {MODULE_UTILS} import missing", f"{MODULE_UTILS}.missing"),
        (f"from {MODULE_UTILS}.pkg import missing", f"{MODULE_UTILS}.pkg.missing"),
        (f"def work():\n    import {MODULE_UTILS}.missing", f"{MODULE_UTILS}.missing"),
        (f"try:\n    import {MODULE_UTILS}.missing\nexcept OSError: pass", f"{MODULE_UTILS}.missing"),
        ("from ..module_utils.pkg import missing", f"{MODULE_UTILS}.pkg.missing"),
        (f"import {imports.COLLECTION}.plugin_utils.x", f"{imports.COLLECTION}.plugin_utils.x"),
        ("from ..plugin_utils import x", f"{imports.COLLECTION}.plugin_utils.x"),
        ("from ansible.module_utils.urls import open_url", "ansible.module_utils.urls.open_url"),
        (
            "from ansible_collections.a.b.plugins.module_utils import c",
            "ansible_collections.a.b.plugins.module_utils.c",
        ),
    ],
)
def test_an_import_that_a_host_cannot_resolve_fails_on_the_controller(source: str, name: str, tmp_path: Path) -> None:
    plugins = collection(tmp_path, {**FILES, "m": f"\n{source}"})
    (plugins / "plugin_utils").mkdir()
    (plugins / "plugin_utils" / "x.py").touch()
    with pytest.raises(UnresolvedImportError, match="cannot be sent to a host") as caught:
        imports.sources("m", plugins)
    assert f"modules/m.py, line {source.count('def') + source.count('try') + 2}: {name} cannot" in str(caught.value)


def test_packages_work_on_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packages with and without `__init__.py`, and relative imports, as a program runs them."""
    own = Path(imports.PLUGINS)
    files = {
        f"_program/{name}.py": (own / "module_utils" / "_program" / f"{name}.py").read_text()
        for name in ("frame", "start")
    }
    files["init/__init__.py"] = "from .inner import NUMBER"
    files["init/inner.py"] = "NUMBER = 7"
    files["pkg/leaf.py"] = "from ..init import NUMBER as number\nfrom . import other\nTOTAL = number + other.ONE"
    files["pkg/other.py"] = "ONE = 1"
    files["m"] = (
        "from ansible.module_utils.basic import AnsibleModule\n"
        "from ..module_utils.pkg import leaf as x\n"
        f"import {MODULE_UTILS}.init.inner\n"
        "def main():\n    AnsibleModule(argument_spec={}).exit_json(total=x.TOTAL)\n"
    )
    plugins = collection(tmp_path, files)
    monkeypatch.setattr(imports, "PLUGINS", plugins)
    monkeypatch.setattr(program, "prepared", functools.partial(program.prepared, plugins=plugins))
    text = program.program("m", {}, check_mode=False, diff=False, log="")
    done = subprocess.run(
        [sys.executable, "-I", "-c", "import sys; exec(sys.stdin.buffer.read())"], input=text, capture_output=True,
        check=False,
    )  # fmt: skip
    answer = {"rc": done.returncode, "stdout": done.stdout.decode(), "stderr": done.stderr.decode()}
    assert program.result(answer) == {"total": 8}
