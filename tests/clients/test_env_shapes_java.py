# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Environment files in every shape, as a written Java class reads them by dotenv-java."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.clients.env_shapes import ABSENT, NAME, REFUSED, SHAPES, URL, Shape
from tests.clients.matrix import Cell, installed
from tests.clients.rendered import rendered

LOADER = "dotenv-java"
READER = """
import com.example.shop.CrdbDataSource;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;

public final class Reader {
    public static void main(String[] folders) throws Exception {
        Method method = CrdbDataSource.class.getDeclaredMethod("databaseUrl");
        method.setAccessible(true);
        for (String folder : folders) {
            System.setProperty("user.dir", folder);
            try {
                System.out.println(method.invoke(null));
            } catch (InvocationTargetException e) {
                System.out.println("error: " + e.getCause().getMessage());
            }
        }
    }
}
"""


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the class finds for each shape, by its title; an error's text after `error: `."""
    top = tmp_path_factory.mktemp("java")
    place = "src/main/java/com/example/shop"
    framework, texts = rendered("jdbc", {"build": "maven", "package": "com.example.shop", "source": place})
    facts = installed([Cell(framework, "dedicated")])[framework.name, framework.versions, framework.variant]
    if facts["missing"]:
        pytest.skip(f"there is no {facts['missing']} on this machine (make system-deps installs it)")
    (top / "CrdbDataSource.java").write_text(texts[f"{place}/CrdbDataSource.java"])
    (top / "Reader.java").write_text(READER)
    folders = []
    for number, shape in enumerate(SHAPES):
        folder = top / str(number)
        folder.mkdir()
        # The Java files read a variable of their own.
        name = NAME.encode("utf-16-le") if b"\x00" in shape.content else NAME.encode()
        other = f"JDBC_{NAME}".encode("utf-16-le" if b"\x00" in shape.content else "ascii")
        (folder / ".env").write_bytes(shape.content.replace(name, other))
        folders.append(str(folder))
    environment = {name: value for name, value in os.environ.items() if name != f"JDBC_{NAME}"}
    # An empty variable counts as none.
    environment[f"JDBC_{NAME}"] = ""
    environment["CLASSPATH"] = os.pathsep.join(
        [str(top / "classes"), *map(str, Path(facts["folder"]).glob("jars/*.jar"))]
    )
    for words in (
        ["javac", "-d", "classes", "CrdbDataSource.java", "Reader.java"],
        ["java", "Reader", *folders],
    ):
        done = subprocess.run(words, cwd=top, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return {shape.title: text for shape, text in zip(SHAPES, done.stdout.splitlines(), strict=True)}


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.title)
def test_dotenv_java_reads(shape: Shape, read: dict[str, str]):
    value = read[shape.title]
    expected = shape.loaders.get(LOADER, shape.value)
    if value.startswith("error: "):
        # No error quotes the file, in which the password is.
        assert "ann:" not in value
        assert "p%40ss" not in value
        assert expected in (ABSENT, REFUSED)
    else:
        # What is refused is never written; a person's own file may still be read.
        assert value == expected or (expected == REFUSED and value == URL)
