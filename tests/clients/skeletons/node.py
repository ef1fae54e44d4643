# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Node.js projects as `npm init` makes them, and what each of them has to do."""

from __future__ import annotations

import json
from pathlib import Path

from tests.clients.matrix import _installed
from tests.clients.skeletons.project import Skeleton
from tests.conftest import Sandbox
from tests.integration.conftest import Controller

POOL = {"max": 7, "maxLifetimeSeconds": 600, "connectionTimeoutMillis": 9000, "keepAliveInitialDelayMillis": 45000}
SETTINGS = {"pool_size": 7, "pool_lifetime": 600, "connect_timeout": 9, "keepalive": 45}
COMPILED = {
    "strict": True, "rootDir": "src", "outDir": "dist", "target": "ES2022", "types": ["node"],
    "noUncheckedIndexedAccess": True, "exactOptionalPropertyTypes": True, "noUnusedLocals": True,
    "noPropertyAccessFromIndexSignature": True, "noImplicitReturns": True, "skipLibCheck": True,
    "experimentalDecorators": True, "emitDecoratorMetadata": True, "strictPropertyInitialization": False,
}  # fmt: skip


def packages(folder: Path, framework: str, versions: str) -> None:
    """A node_modules with the packages that the locks of the tests name."""
    found = _installed(framework, "tools")
    for key in ((framework, versions, ""), ("tools", "", "javascript")):
        installed = Path(found[key]["folder"]) / "node_modules"
        for path in installed.iterdir():
            if path.name.startswith("@"):
                (folder / "node_modules" / path.name).mkdir(parents=True, exist_ok=True)
                for scoped in path.iterdir():
                    link(folder / "node_modules" / path.name / scoped.name, scoped)
            elif not path.name.startswith("."):
                link(folder / "node_modules" / path.name, path)


def link(path: Path, target: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.symlink_to(target)


class Node:
    """Makes projects, each in a folder of its own."""

    def __init__(self, tmp_path: Path, controller: Controller, sandbox: Sandbox) -> None:
        self.folder, self.controller, self.sandbox = tmp_path / "shop", controller, sandbox

    def project(
        self, name: str, framework: str, versions: str, kind: str = "commonjs", typescript: str = ""
    ) -> Skeleton:
        """A project as `npm init` makes it; `typescript` is the compiler's module option."""
        self.folder.mkdir()
        skeleton = Skeleton(name, framework, self.folder, self.controller, self.sandbox)
        packages(self.folder, framework, versions)
        skeleton.command("npm init", ["npm", "init", "-y", "--offline"])
        manifest = json.loads((self.folder / "package.json").read_text())
        (self.folder / "package.json").write_text(json.dumps({**manifest, "type": kind}))
        if typescript:
            self.write("tsconfig.json", json.dumps({"compilerOptions": {**COMPILED, "module": typescript}}))
        return skeleton

    def write(self, name: str, text: str) -> None:
        """A file of the project's own."""
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


def start(skeleton: Skeleton, program: str) -> list[dict[str, object]]:
    """What the program prints when it is started from three folders, the last one outside of the project."""
    elsewhere = skeleton.folder.parent / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    (skeleton.folder / "docs").mkdir(exist_ok=True)
    path = str(skeleton.folder / program)
    printed = [
        skeleton.command(f"start from {title}", ["node", path], cwd=cwd, DATABASE_URL="").stdout
        for title, cwd in (("its folder", "."), ("a folder below", "docs"), ("elsewhere", str(elsewhere)))
    ]
    (skeleton.folder / "docs").rmdir()
    return [json.loads(text.splitlines()[-1]) for text in printed]


def without_url(skeleton: Skeleton, program: str) -> None:
    """Without a URL the program ends with a clear error, before any driver connects anywhere."""
    env = skeleton.folder / ".env"
    content = env.read_bytes()
    env.write_bytes(b'DATABASE_URL=""\n')
    done = skeleton.command("start with an empty DATABASE_URL fails", ["node", program], status=1, DATABASE_URL="")
    assert "DATABASE_URL is not set: neither in the environment nor in .env" in done.stdout
    assert "ECONNREFUSED" not in done.stdout
    env.write_bytes(content)
