# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Maven and Gradle projects: compiled and tested offline with the collection's files, run from three folders."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.crdb.onboard.plugins.module_utils._project import java
from ansible_collections.crdb.onboard.plugins.module_utils._project.folder import Folder
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue import choose, frameworks, project
from ansible_collections.crdb.onboard.plugins.plugin_utils._render.templates import install_line

from tests.clients.rendered import rendered
from tests.clients.skeletons.project import Skeleton

POOL = {"pool_size": 3, "pool_lifetime": 100, "connect_timeout": 40, "keepalive": 45}
PLACE = "src/main/java/com/example/shop"
DRIVER = "org.postgresql:postgresql:42.7.7"
DOTENV = "io.github.cdimascio:dotenv-java:3.2.0"
HIKARI = "com.zaxxer:HikariCP:7.0.2"
HIBERNATE = "org.hibernate.orm:hibernate-core:7.4.15.Final"
HIBERNATE_HIKARI = "org.hibernate.orm:hibernate-hikaricp:7.4.15.Final"
HIGHER = ("org.jboss.logging:jboss-logging:3.6.3.Final", "jakarta.xml.bind:jakarta.xml.bind-api:4.0.5")
JUNIT = "junit:junit:4.13.2:test"
CACHE = Path(os.environ.get("CRDB_CLIENTS") or Path.home() / ".cache" / "crdb-onboard" / "clients") / "maven"
TEST = """package com.example.shop;

import static org.junit.Assert.assertEquals;

import org.junit.Test;

public class AppTest {
    @Test
    public void connects() throws Exception {
        assertEquals("EXPECTED", App.user());
    }
}
"""
APP = """package com.example.shop;

IMPORTS
public final class App {
    static String user() throws Exception {
        BODY
    }

    public static void main(String[] words) throws Exception {
        System.out.println(user());
    }
}
"""
ASK = """try (java.sql.ResultSet row = connection.createStatement().executeQuery("SELECT current_user")) {
                row.next();
                user = row.getString(1);
            }"""
JDBC = f"""LINE
        String user;
        try (Connection connection = database.getConnection()) {{
            {ASK}
        }}
        PGSimpleDataSource source = (PGSimpleDataSource) database;
        return user + " " + source.getConnectTimeout() + " " + source.getTcpKeepAlive();"""
POOLED = f"""LINE
        String user;
        try (database; Connection connection = database.getConnection()) {{
            {ASK}
            return user + " " + database.getMaximumPoolSize() + " " + database.getMinimumIdle() + " "
                + database.getMaxLifetime() + " " + database.getKeepaliveTime() + " " + database.getConnectionTimeout()
                + " " + ((PGSimpleDataSource) database.getDataSource()).getTcpKeepAlive();
        }}"""
ENTITY = """package com.example.shop;

import jakarta.persistence.Entity;
import jakarta.persistence.Id;

@Entity
public class Item {
    @Id
    public long id;
}
"""
ORM = """LINE
        try (factory; Session session = factory.openSession()) {
            String user = session.createNativeQuery("SELECT current_user", String.class).getSingleResult();
            HikariDataSource pool = ((SessionFactoryImplementor) factory).getServiceRegistry()
                .requireService(ConnectionProvider.class).unwrap(HikariDataSource.class);
            return user + " " + pool.getMaximumPoolSize() + " " + pool.getMaxLifetime() + " "
                + pool.getKeepaliveTime() + " " + pool.getConnectionTimeout();
        }"""
ORM_PLAIN = """LINE
        try (factory; Session session = factory.openSession()) {
            return session.createNativeQuery("SELECT current_user", String.class).getSingleResult() + " "
                + factory.getProperties().get("hibernate.connection.pool_size");
        }"""
ORM_IMPORTS = "import org.hibernate.Session;\nimport org.hibernate.SessionFactory;\n"
JDBC_IMPORTS = "import java.sql.Connection;\nimport org.postgresql.ds.PGSimpleDataSource;\n"
FORMS = {
    "JDBC": ("jdbc", [DRIVER], JDBC_IMPORTS + "import javax.sql.DataSource;\n", JDBC, "maxroach 40 true"),
    "JDBC with HikariCP": (
        "jdbc",
        [DRIVER, HIKARI],
        "import com.zaxxer.hikari.HikariDataSource;\n" + JDBC_IMPORTS,
        POOLED,
        "maxroach 3 3 100000 45000 40000 true",
    ),
    "Hibernate": ("hibernate", [HIBERNATE, DRIVER], ORM_IMPORTS, ORM_PLAIN, "maxroach 3"),
    "Hibernate with HikariCP": (
        "hibernate",
        [HIBERNATE, HIBERNATE_HIKARI, HIKARI, DRIVER],
        "import com.zaxxer.hikari.HikariDataSource;\n"
        "import org.hibernate.engine.jdbc.connections.spi.ConnectionProvider;\n"
        "import org.hibernate.engine.spi.SessionFactoryImplementor;\n" + ORM_IMPORTS,
        ORM,
        "maxroach 3 100000 45000 40000",
    ),
}
LINES = {
    "JDBC": "DataSource database = com.example.shop.CrdbDataSource.create();",
    "JDBC with HikariCP": "HikariDataSource database = com.example.shop.CrdbDataSource.create();",
    "Hibernate": "SessionFactory factory = com.example.shop.CrdbHibernate.configuration()"
    ".addAnnotatedClass(YourEntity.class).buildSessionFactory();",
}
LINES["Hibernate with HikariCP"] = LINES["Hibernate"]


def pom(dependencies: list[str]) -> str:
    """A project file with a group, whose package the sources are in."""
    lines = ""
    for dependency in dependencies:
        group, artifact, version, *scope = dependency.split(":")
        lines += (
            f"<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version>"
        )
        lines += "".join(f"<scope>{word}</scope>" for word in scope) + "</dependency>\n"
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        "<groupId>com.example</groupId><artifactId>shop</artifactId><version>1</version><properties>"
        "<maven.compiler.source>17</maven.compiler.source><maven.compiler.target>17</maven.compiler.target>"
        "<project.build.sourceEncoding>UTF-8</project.build.sourceEncoding></properties>"
        f"<dependencies>{lines}</dependencies></project>\n"
    )


def write(folder: Path, dependencies: list[str], app: str, test: str) -> None:
    """The project's own files."""
    (folder / PLACE).mkdir(parents=True)
    (folder / PLACE.replace("main", "test")).mkdir(parents=True)
    (folder / "pom.xml").write_text(pom(dependencies))
    (folder / PLACE / "App.java").write_text(app)
    (folder / PLACE.replace("main", "test") / "AppTest.java").write_text(test)


@pytest.fixture(scope="module")
def maven() -> str:
    """Maven, which has all packages already; skipped without it."""
    program = shutil.which("mvn")
    if not program:
        pytest.skip("there is no mvn on this machine (make system-deps installs it)")
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        text = pom([HIBERNATE, HIBERNATE_HIKARI, HIKARI, DRIVER, DOTENV, JUNIT])
        if not (CACHE / "done").exists() or (CACHE / "done").read_text() != text:
            shutil.rmtree(CACHE / "project", ignore_errors=True)
            app = APP.replace("IMPORTS\n", "").replace("BODY", 'return "EXPECTED";')
            write(CACHE / "project", [HIBERNATE, HIBERNATE_HIKARI, HIKARI, DRIVER, DOTENV, JUNIT], app, TEST)
            words = [program, "-q", "-B", "test", "dependency:build-classpath", "-Dmdep.outputFile=jars"]
            done = subprocess.run(words, cwd=CACHE / "project", capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout
            (CACHE / "done").write_text(text)
    return program


@pytest.mark.parametrize("form", list(FORMS))
def test_a_maven_project(controller, sandbox, tmp_path, maven, form):
    name, dependencies, imports, body, expected = FORMS[form]
    folder = tmp_path / "shop"
    skeleton = Skeleton(f"Maven with {form}", name, folder, controller, sandbox)
    line = LINES[form].replace("YourEntity", "Item")
    app = APP.replace("IMPORTS", imports).replace("BODY", body.replace("LINE", line))
    write(folder, [*dependencies, DOTENV, JUNIT], app, TEST.replace("EXPECTED", expected))
    if name == "hibernate":
        (folder / PLACE / "Item.java").write_text(ENTITY)
    run = skeleton.onboard(samples=True, **POOL)
    assert LINES[form].replace(" ", "") in skeleton.usage(run).replace(" ", "")
    assert (folder / PLACE / ("CrdbHibernate.java" if name == "hibernate" else "CrdbDataSource.java")).is_file()
    done = skeleton.command("mvn -o -q compile test", [maven, "-o", "-q", "-B", "compile", "test"])
    listed = ["-o", "-q", "-B", "dependency:build-classpath", f"-Dmdep.outputFile={tmp_path}/jars"]
    skeleton.command("mvn dependency:build-classpath", [maven, *listed])
    path = f"{folder}/target/classes:{(tmp_path / 'jars').read_text().strip()}"
    program = ["java", "-cp", path, "com.example.shop.App"]
    for title, cwd in (("app's folder", "."), ("sub-folder", "src/main"), ("/", "/")):
        done = skeleton.command(f"java, from {title}", program, cwd=cwd)
        assert done.stdout.splitlines()[-1] == expected
        # Hibernate logs the URL.
        assert sandbox.connections[skeleton.cluster]["password"] not in done.stdout
    samples(skeleton, path, tmp_path)
    broken(skeleton, program)
    # Outside of a method, the line does not compile.
    source = folder / PLACE / "App.java"
    source.write_text(app + line + "\n")
    skeleton.command("the line at the end (must fail)", [maven, "-o", "-q", "-B", "compile"], status=1)
    source.write_text(app)
    shutil.rmtree(folder / "target")
    skeleton.offboard()


BUILD_GRADLE = """plugins {{
    id 'java'
    id 'application'
}}
group = 'com.example'
mainClassName = 'com.example.shop.App'
repositories {{
    maven {{ url '{repository}' }}
}}
dependencies {{
    {dependencies}
}}
task classpath {{
    doLast {{ println sourceSets.main.runtimeClasspath.asPath }}
}}
"""


@pytest.fixture(scope="module")
def gradle(maven: str) -> tuple[str, str]:
    """Debian's Gradle, and Maven's local repository, from which it takes all packages; skipped without it."""
    program = shutil.which("gradle")
    if not program:
        pytest.skip("there is no gradle on this machine (Debian: apt-get install gradle)")
    words = [maven, "-o", "-q", "-B", "help:evaluate", "-Dexpression=settings.localRepository", "-DforceStdout"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    # Of two versions that are asked for, Gradle takes the higher one, and Maven the nearer one.
    for artifact in HIGHER:
        subprocess.run([maven, "-q", "-B", "dependency:get", f"-Dartifact={artifact}"], capture_output=True, check=True)
    folder = done.stdout.strip() if done.returncode == 0 else str(Path.home() / ".m2" / "repository")
    return program, Path(folder).as_uri()


@pytest.mark.parametrize("form", ["JDBC", "JDBC with HikariCP", "Hibernate with HikariCP"])
def test_a_gradle_project(controller, sandbox, tmp_path, gradle, form):
    program, repository = gradle
    name, dependencies, imports, body, expected = FORMS[form]
    folder = tmp_path / "shop"
    skeleton = Skeleton(f"Gradle with {form}", name, folder, controller, sandbox)
    line = LINES[form].replace("YourEntity", "Item")
    app = APP.replace("IMPORTS", imports).replace("BODY", body.replace("LINE", line))
    write(folder, [], app, TEST.replace("EXPECTED", expected))
    (folder / "pom.xml").unlink()
    listed = [f"implementation '{text}'" for text in (*dependencies, DOTENV)] + [f"testImplementation '{JUNIT[:-5]}'"]
    build = BUILD_GRADLE.format(repository=repository, dependencies="\n    ".join(listed))
    (folder / "build.gradle").write_text(build)
    (folder / "settings.gradle").write_text("rootProject.name = 'shop'\n")
    if name == "hibernate":
        (folder / PLACE / "Item.java").write_text(ENTITY)
    run = skeleton.onboard(samples=True, **POOL)
    assert LINES[form].replace(" ", "") in skeleton.usage(run).replace(" ", "")
    assert (folder / PLACE / ("CrdbHibernate.java" if name == "hibernate" else "CrdbDataSource.java")).is_file()
    words = [program, "--offline", "--no-daemon", "--quiet", "--project-cache-dir", str(tmp_path / "cache")]
    home = {"GRADLE_USER_HOME": str(tmp_path / "gradle")}
    skeleton.command("gradle test", [*words, "test"], **home)
    done = skeleton.command("gradle run", [*words, "run"], **home)
    assert done.stdout.splitlines()[-1] == expected
    path = skeleton.command("gradle, the class path", [*words, "classpath"], **home).stdout.splitlines()[-1]
    java = ["java", "-cp", path, "com.example.shop.App"]
    for title, cwd in (("app's folder", "."), ("sub-folder", "src/main"), ("/", "/")):
        done = skeleton.command(f"java, from {title}", java, cwd=cwd)
        assert done.stdout.splitlines()[-1] == expected
        assert sandbox.connections[skeleton.cluster]["password"] not in done.stdout
    samples(skeleton, path, tmp_path)
    broken(skeleton, java)
    source = folder / PLACE / "App.java"
    source.write_text(app + line + "\n")
    skeleton.command("the line at the end (must fail)", [*words, "compileJava"], status=1, **home)
    source.write_text(app)
    shutil.rmtree(folder / "build")
    skeleton.offboard()


def samples(skeleton: Skeleton, path: str, scratch: Path, framework: str = "*") -> None:
    """The sample as its first lines say, twice, and the removal of its table."""
    source = next((skeleton.folder / "samples").glob(f"{framework}/CrdbSample.java"))
    skeleton.command(
        "javac, the sample", ["javac", "-proc:none", "-cp", path, "-d", str(scratch / "samples"), str(source)]
    )
    words = ["java", "-cp", f"{scratch}/samples:{path}", "CrdbSample"]
    for _time in range(2):
        assert "account 1: " in skeleton.command("the sample", words).stdout
    assert "account" not in skeleton.command("the sample --remove", [*words, "--remove"]).stdout.replace(
        "_accounts", ""
    )


def broken(skeleton: Skeleton, program: list[str]) -> None:
    """An empty variable counts as none, and no error has the URL or the password."""
    (skeleton.folder / ".env").rename(skeleton.folder / "kept")
    done = skeleton.command("no environment", program, status=1, JDBC_DATABASE_URL="")
    assert "JDBC_DATABASE_URL is neither in the environment nor in .env" in done.stdout
    for url in ("postgresql://u:hunter2@h/d", "jdbc:postgresql://h:port/d?user=u&password=hunter2"):
        done = skeleton.command("a broken URL", program, status=1, JDBC_DATABASE_URL=url)
        assert "JDBC_DATABASE_URL is not a URL that the driver can read" in done.stdout
        assert "hunter2" not in done.stdout
    (skeleton.folder / "kept").rename(skeleton.folder / ".env")


def chosen(name, versions):
    """What a framework is in a Maven project that has these versions."""
    answer = {"facts": {"build": "maven", "package": "com.example.shop", "source": PLACE}, "versions": versions}
    return choose.find(name, frameworks.load(), None, {"java": project.read("java", answer)})


def test_the_versions_of_the_project_choose_the_form():
    old = chosen("hibernate", {"org.hibernate:hibernate-core": "5.6.10.Final"})
    assert old.versions == ">=5.4,<6"
    assert "<artifactId>hibernate-core</artifactId><version>5.6.10.Final</version>" in install_line(old)
    assert chosen("hibernate", {"org.hibernate.orm:hibernate-core": "6.5.0.Final"}).versions == ">=6,<7"
    newer = chosen("hibernate", {"org.hibernate.orm:hibernate-core": "8.0.0.Final"})
    assert newer.versions == ">=7,<8"
    assert "not tested with this version" in newer.notes[0]


def test_a_pool_is_only_what_the_program_itself_is_compiled_with(tmp_path):
    managed = pom([HIKARI]).replace("<dependencies>", "<dependencyManagement><dependencies>")
    managed = managed.replace("</dependencies>", "</dependencies></dependencyManagement>")
    for text, expected in ((pom([HIKARI]), "true"), (managed, ""), (pom([f"{HIKARI}:test"]), "")):
        (tmp_path / "pom.xml").write_text(text)
        found = java.look(Folder(str(tmp_path)), [])
        assert found is not None
        assert found.facts.get("hikari", "") == expected


def test_the_version_may_come_from_the_file_of_the_parent(tmp_path):
    managed = pom([HIBERNATE]).replace("<dependencies>", "<dependencyManagement><dependencies>")
    (tmp_path / "pom.xml").write_text(managed.replace("</dependencies>", "</dependencies></dependencyManagement>"))
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "pom.xml").write_text(pom([HIBERNATE]).replace("<version>7.4.15.Final</version>", ""))
    found = java.look(Folder(str(tmp_path / "shop")), ["org.hibernate.orm:hibernate-core"])
    assert found is not None
    assert found.versions == {"org.hibernate.orm:hibernate-core": "7.4.15.Final"}


def test_hikari_gets_no_number_that_it_refuses():
    facts = {
        "build": "maven",
        "package": "com.example.shop",
        "source": PLACE,
        "hikari": "true",
        "hibernate_hikari": "true",
    }
    _framework, texts = rendered("jdbc", facts, pool_lifetime=5, keepalive=10)
    text = texts[f"{PLACE}/CrdbDataSource.java"]
    assert "setMaxLifetime(TimeUnit.SECONDS.toMillis(30))" in text
    # As long as the lifetime, it would never be used.
    assert "setKeepaliveTime(TimeUnit.SECONDS.toMillis(0))" in text
    _framework, texts = rendered("hibernate", facts, pool_lifetime=0, keepalive=0)
    assert 'maxLifetime">0<' in texts["src/main/resources/hibernate.cfg.xml"]
