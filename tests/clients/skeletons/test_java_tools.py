# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Maven projects: Flyway's and Liquibase's own commands, jOOQ's generator, and one program that uses all five."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import psycopg
import pytest

from tests.clients.matrix import Cell, installed, toolchain
from tests.clients.rendered import rendered
from tests.clients.skeletons.project import Skeleton
from tests.clients.skeletons.test_java import DOTENV, DRIVER, HIKARI, JUNIT, PLACE, POOL, TEST, pom, samples
from tests.integration.conftest import environment_values

MIGRATION = """CREATE TABLE crdb_skeleton_items (id BIGINT PRIMARY KEY, name VARCHAR(20) NOT NULL);
INSERT INTO crdb_skeleton_items (id, name) VALUES (1, 'tea');
"""
CHANGELOG = f"""--liquibase formatted sql
--changeset shop:1
{MIGRATION}--rollback DROP TABLE crdb_skeleton_items;
"""
JOOQ = "3.19.39"
FLYWAY = ("13.12.0", "flyway-database-cockroachdb"), ("12.11.0", "flyway-database-postgresql")
LIQUIBASE = "5.0.4", "4.33.0"
PLUGIN = """<plugin><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version>
<configuration>{configuration}</configuration><dependencies>{dependencies}</dependencies></plugin>"""
DEPENDENCY = "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>"


def plugin(name: str, configuration: str, *dependencies: str) -> str:
    """A plugin of a project file, with what it is run with."""
    group, artifact, version = name.split(":")
    listed = "".join(DEPENDENCY.format(*text.split(":")) for text in dependencies)
    facts = {"group": group, "artifact": artifact, "version": version, "configuration": configuration}
    return PLUGIN.format(**facts, dependencies=listed)


def write(folder, dependencies, plugins="", **files):
    """A project of Maven with these dependencies, plugins and files."""
    text = pom(dependencies).replace("</project>", f"<build><plugins>{plugins}</plugins></build></project>")
    for name, content in {"pom.xml": text, **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


@pytest.fixture
def maven():
    """The program."""
    found = shutil.which("mvn")
    if not found:
        pytest.skip("there is no mvn on this machine (make system-deps installs it)")
    return found


@pytest.fixture
def database(sandbox):
    """The cluster's SQL, without what an earlier project left."""
    with psycopg.connect(**sandbox.clusters["funky-skunk"].conninfo(), autocommit=True) as session:
        names = "crdb_skeleton_items, flyway_schema_history, databasechangelog, databasechangeloglock"
        session.execute(f"DROP TABLE IF EXISTS {names}".encode())
        yield session
        session.execute(f"DROP TABLE IF EXISTS {names}".encode())


def tables(database):
    """The tables of the schema that everybody uses."""
    found = database.execute(b"SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
    return {name for (name,) in found}


@pytest.mark.parametrize("place", ["env", "inline"])
@pytest.mark.parametrize(("version", "module"), FLYWAY)
def test_flyway_commands(controller, sandbox, tmp_path, maven, database, version, module, place):
    folder = tmp_path / "shop"
    needed = (f"org.flywaydb:{module}:{version}", DRIVER)
    own = plugin(
        f"org.flywaydb:flyway-maven-plugin:{version}",
        "<locations><location>filesystem:migrations</location></locations>",
        *needed,
    )
    core = f"org.flywaydb:flyway-core:{version}"
    write(folder, [core, *needed], own, **{"migrations/V1__items.sql": MIGRATION})
    entry = {"name": "flyway", "variant": "conf", "password_place": place}
    skeleton = Skeleton(f"Maven with Flyway {version}, {place}", entry, folder, controller, sandbox)
    run = skeleton.onboard(**POOL)
    assert "mvn flyway:migrate" in skeleton.usage(run)
    password = sandbox.connections[skeleton.cluster]["password"]
    assert (password in (folder / "flyway.conf").read_text()) == (place == "inline")
    given = environment_values((folder / ".env").read_text()) if place == "env" else {}

    def flyway(command, title="", status=0, **environment):
        words = [maven, "-B", f"flyway:{command}"]
        done = skeleton.command(title or f"mvn flyway:{command}", words, status=status, **{**given, **environment})
        assert password not in done.stdout
        return done.stdout

    assert "Pending" in flyway("info", "mvn flyway:info, before")
    assert tables(database) == set()
    printed = flyway("migrate")
    assert "Successfully applied 1 migration" in printed
    assert database.execute(b"SELECT name FROM crdb_skeleton_items").fetchall() == [("tea",)]
    # The row that is Flyway's lock on CockroachDB is gone.
    rows = database.execute(b"SELECT version, description, success FROM flyway_schema_history").fetchall()
    assert rows == [("1", "items", True)]
    assert "is up to date" in flyway("migrate", "mvn flyway:migrate again")
    assert "Success" in flyway("info")
    flyway("validate")
    assert "clean" in flyway("clean", "mvn flyway:clean is refused", status=1)
    if place == "env":
        flyway("info", "mvn flyway:info without JDBC_DATABASE_URL fails", status=1, JDBC_DATABASE_URL="")
    shutil.rmtree(folder / "target", ignore_errors=True)
    skeleton.offboard()


@pytest.mark.parametrize("version", LIQUIBASE)
def test_liquibase_commands(controller, sandbox, tmp_path, maven, database, version):
    folder = tmp_path / "shop"
    line = "<propertyFile>liquibase.properties</propertyFile>"
    own = plugin(
        f"org.liquibase:liquibase-maven-plugin:{version}",
        f"<changeLogFile>changes/changelog.sql</changeLogFile>{line}",
        DRIVER,
    )
    core = f"org.liquibase:liquibase-core:{version}"
    write(folder, [core, DRIVER], own, **{"changes/changelog.sql": CHANGELOG})
    entry = {"name": "liquibase", "variant": "properties"}
    skeleton = Skeleton(f"Maven with Liquibase {version}", entry, folder, controller, sandbox)
    run = skeleton.onboard(**POOL)
    assert line in skeleton.usage(run)
    password = sandbox.connections[skeleton.cluster]["password"]
    assert password not in (folder / "liquibase.properties").read_text()

    def liquibase(command, title="", status=0, *words):
        done = skeleton.command(
            title or f"mvn liquibase:{command}", [maven, "-B", f"liquibase:{command}", *words], status=status
        )
        assert password not in done.stdout
        return done.stdout

    assert "1 changeset" in liquibase("status", "mvn liquibase:status, before")
    assert "crdb_skeleton_items" not in tables(database)
    liquibase("update")
    assert database.execute(b"SELECT name FROM crdb_skeleton_items").fetchall() == [("tea",)]
    assert database.execute(b"SELECT locked FROM databasechangeloglock").fetchall() == [(False,)]
    assert "is up to date" in liquibase("status")
    liquibase("update", "mvn liquibase:update again")
    liquibase("rollback", "mvn liquibase:rollback", 0, "-Dliquibase.rollbackCount=1")
    assert "crdb_skeleton_items" not in tables(database)
    kept = (folder / "pom.xml").read_text()
    (folder / "pom.xml").write_text(kept.replace(line, ""))
    liquibase("status", "mvn liquibase:status without the line fails", 1)
    (folder / "pom.xml").write_text(kept)
    shutil.rmtree(folder / "target", ignore_errors=True)
    skeleton.offboard()


CODEGEN = """<logging>WARN</logging>
<jdbc><driver>org.postgresql.Driver</driver><url>${env.JDBC_DATABASE_URL}</url></jdbc>
<generator><database><name>org.jooq.meta.postgres.PostgresDatabase</name><inputSchema>public</inputSchema>
<includes>crdb_skeleton_items</includes></database>
<target><packageName>com.example.shop.generated</packageName><directory>src/main/java</directory></target></generator>
"""
GENERATED = """package com.example.shop;

import static com.example.shop.generated.Tables.CRDB_SKELETON_ITEMS;

import org.jooq.DSLContext;

public final class Items {
    static String name(DSLContext database) {
        return database.selectFrom(CRDB_SKELETON_ITEMS).where(CRDB_SKELETON_ITEMS.ID.eq(1L)).fetchSingle().getName();
    }
}
"""
USING_JOOQ = """package com.example.shop;

import org.jooq.DSLContext;

public final class App {
    static String user() throws Exception {
        LINE
        return Items.name(database);
    }

    public static void main(String[] words) throws Exception {
        System.out.println(user());
    }
}
"""


def test_code_that_jooq_generates(controller, sandbox, tmp_path, maven, database):
    database.execute(MIGRATION.encode())
    folder = tmp_path / "shop"
    own = plugin(f"org.jooq:jooq-codegen-maven:{JOOQ}", CODEGEN, DRIVER)
    line = "DSLContext database = com.example.shop.CrdbJooq.using(com.example.shop.CrdbDataSource.create());"
    files = {
        f"{PLACE}/App.java": USING_JOOQ.replace("LINE", line),
        f"{PLACE}/Items.java": GENERATED,
        f"{PLACE.replace('main', 'test')}/AppTest.java": TEST.replace("EXPECTED", "tea"),
    }
    write(folder, [f"org.jooq:jooq:{JOOQ}", DRIVER, DOTENV, JUNIT], own, **files)
    skeleton = Skeleton("Maven with jOOQ and its generator", "jooq", folder, controller, sandbox)
    run = skeleton.onboard(**POOL)
    assert line in skeleton.usage(run)
    given = environment_values((folder / ".env").read_text())
    printed = skeleton.command("mvn jooq-codegen:generate", [maven, "-B", "jooq-codegen:generate"], **given).stdout
    assert sandbox.connections[skeleton.cluster]["password"] not in printed
    skeleton.command("mvn test", [maven, "-q", "-B", "test"])
    shutil.rmtree(folder / "target")
    shutil.rmtree(folder / PLACE / "generated")
    skeleton.offboard()


EVERYTHING = [
    f"org.flywaydb:flyway-core:{FLYWAY[0][0]}",
    f"org.flywaydb:{FLYWAY[0][1]}:{FLYWAY[0][0]}",
    f"org.liquibase:liquibase-core:{LIQUIBASE[0]}",
    f"org.jooq:jooq:{JOOQ}",
    "org.mybatis:mybatis:3.5.19",
    "org.postgresql:r2dbc-postgresql:1.1.3.RELEASE",
    "io.r2dbc:r2dbc-pool:1.0.2.RELEASE",
]
LINES = {
    "pool": "HikariDataSource pool = com.example.shop.CrdbDataSource.create();",
    "jooq": "DSLContext database = com.example.shop.CrdbJooq.using(pool);",
    "mybatis": "SqlSessionFactory sessions = com.example.shop.CrdbMyBatis.sessions(pool, YourMapper.class);",
    "r2dbc": "ConnectionPool database = com.example.shop.CrdbR2dbc.create();",
    "flyway": "com.example.shop.CrdbFlyway.configure().load().migrate();",
    "liquibase": "try (Database database = com.example.shop.CrdbLiquibase.open()) { ... }",
}
USING_ALL = (
    """package com.example.shop;

import com.zaxxer.hikari.HikariDataSource;
import io.r2dbc.pool.ConnectionPool;
import io.r2dbc.pool.PoolMetrics;
import io.r2dbc.spi.Connection;
import java.io.OutputStream;
import liquibase.command.CommandScope;
import liquibase.database.Database;
import org.apache.ibatis.annotations.Select;
import org.apache.ibatis.session.SqlSession;
import org.apache.ibatis.session.SqlSessionFactory;
import org.jooq.DSLContext;
import org.jooq.impl.DSL;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;

public final class App {
    public interface Items {
        @Select("SELECT name FROM crdb_skeleton_items WHERE id = 1")
        String name();
    }

    static void migrate() throws Exception {
        FLYWAY
    }

    static void change() throws Exception {
        try (Database database = com.example.shop.CrdbLiquibase.open()) {
            new CommandScope("update").addArgumentValue("database", database)
                .addArgumentValue("changelogFile", "changelog.sql").setOutput(OutputStream.nullOutputStream())
                .execute();
        }
    }

    static String blocking() throws Exception {
        POOL
        try (pool) {
            return jooq(pool) + " " + mybatis(pool) + " " + pool.getMaximumPoolSize() + " " + pool.getMaxLifetime();
        }
    }

    static String jooq(HikariDataSource pool) {
        JOOQ
        return database.select(DSL.field("name", String.class)).from("crdb_skeleton_items").fetchSingle().value1();
    }

    static String mybatis(HikariDataSource pool) {
        MYBATIS
        try (SqlSession session = sessions.openSession()) {
            return session.getMapper(Items.class).name();
        }
    }

    static String reactive() {
        R2DBC
        String name = Mono.usingWhen(database.create(), connection -> Flux
            .from(connection.createStatement("SELECT name FROM crdb_skeleton_items WHERE id = $1")
                .bind("$1", 1L).execute())
            .flatMap(result -> result.map((row, metadata) -> row.get("name", String.class))).next(),
            Connection::close).block();
        PoolMetrics metrics = database.getMetrics().orElseThrow();
        String found = name + " " + metrics.getMaxAllocatedSize();
        database.disposeLater().block();
        return found;
    }

    static String user() throws Exception {
        migrate();
        change();
        return blocking() + " " + reactive();
    }

    public static void main(String[] words) throws Exception {
        System.out.println(user());
    }
}
""".replace("FLYWAY", LINES["flyway"])
    .replace("POOL", LINES["pool"])
    .replace("JOOQ", LINES["jooq"])
    .replace("MYBATIS", LINES["mybatis"].replace("YourMapper", "Items"))
    .replace("R2DBC", LINES["r2dbc"])
)
CHANGED = """--liquibase formatted sql
--changeset shop:1
UPDATE crdb_skeleton_items SET name = 'green tea' WHERE id = 1;
"""
EXPECTED = "green tea green tea 3 100000 green tea 3"
FRAMEWORKS = [
    {"name": "flyway", "variant": "java"},
    {"name": "liquibase", "variant": "java"},
    "jooq",
    "mybatis",
    "r2dbc",
]


def test_one_program_that_uses_all(controller, sandbox, tmp_path, maven, database):
    folder = tmp_path / "shop"
    resources = "src/main/resources"
    files = {
        f"{PLACE}/App.java": USING_ALL,
        f"{PLACE.replace('main', 'test')}/AppTest.java": TEST.replace("EXPECTED", EXPECTED),
        f"{resources}/db/migration/V1__items.sql": MIGRATION,
        f"{resources}/changelog.sql": CHANGED,
    }
    write(folder, [*EVERYTHING, HIKARI, DRIVER, DOTENV, JUNIT], **files)
    skeleton = Skeleton("Maven with all of Java's other tools", "jooq", folder, controller, sandbox)
    run = skeleton.onboard(frameworks=FRAMEWORKS, samples=True, **POOL)
    usage = skeleton.usage(run).replace(" ", "")
    for line in LINES.values():
        assert line.replace(" ", "") in usage
    skeleton.command("mvn test", [maven, "-q", "-B", "test"])
    listed = ["-q", "-B", "dependency:build-classpath", f"-Dmdep.outputFile={tmp_path}/jars"]
    skeleton.command("mvn dependency:build-classpath", [maven, *listed])
    path = f"{folder}/target/classes:{(tmp_path / 'jars').read_text().strip()}"
    program = ["java", "-cp", path, "com.example.shop.App"]
    password = sandbox.connections[skeleton.cluster]["password"]
    for title, cwd in (("app's folder", "."), ("sub-folder", "src/main"), ("/", "/")):
        done = skeleton.command(f"java, from {title}", program, cwd=cwd)
        assert done.stdout.splitlines()[-1] == EXPECTED
        assert password not in done.stdout
    for name in ("jooq", "mybatis", "r2dbc"):
        samples(skeleton, path, tmp_path / name, name)
    (folder / ".env").rename(folder / "kept")
    for url, words in (
        ("", "JDBC_DATABASE_URL is neither in the environment nor in .env"),
        ("postgresql://u:hunter2@h/d", "is not a URL that the driver can read"),
    ):
        done = skeleton.command("no environment or a broken URL", program, status=1, JDBC_DATABASE_URL=url)
        assert words in done.stdout
        assert "hunter2" not in done.stdout
    (folder / "kept").rename(folder / ".env")
    shutil.rmtree(folder / "target")
    skeleton.offboard()


REACTIVE = """public final class Try {
    public static void main(String[] words) {
        CrdbR2dbc.create().dispose();
    }
}
"""


def test_a_url_that_the_reactive_class_cannot_read(tmp_path):
    framework, texts = rendered("r2dbc")
    facts = installed([Cell(framework, "dedicated")])[framework.name, framework.versions, framework.variant]
    if facts["missing"]:
        pytest.skip(f"there is no {facts['missing']} on this machine (make system-deps installs it)")
    environment = {**os.environ, **toolchain(framework, Path(facts["folder"]))["environment"]}
    (tmp_path / "CrdbR2dbc.java").write_text(texts["CrdbR2dbc.java"])
    (tmp_path / "Try.java").write_text(REACTIVE)
    subprocess.run(["javac", "-d", ".", "CrdbR2dbc.java", "Try.java"], cwd=tmp_path, env=environment, check=True)
    environment["CLASSPATH"] = f"{tmp_path}:{environment['CLASSPATH']}"
    base = "jdbc:postgresql://h/d?user=u&password=hunter2"
    for url, words in (
        (base.replace("//h", "//h:port"), "is not a JDBC URL that can be read"),
        (f"{base} x", "is not a JDBC URL that can be read"),
        (base.removeprefix("jdbc:postgresql:"), "is not a JDBC URL that can be read"),
        (f"{base}&socketTimeout=5", "does not know socketTimeout"),
        (f"{base}&sslfactory=org.postgresql.ssl.NonValidatingFactory", "does not know sslfactory"),
        (f"{base}&sslmode=nothing", "is not a JDBC URL that can be read"),
    ):
        done = subprocess.run(
            ["java", "Try"], cwd=tmp_path, capture_output=True, text=True, check=False,
            env={**environment, "JDBC_DATABASE_URL": url},
        )  # fmt: skip
        assert done.returncode == 1, url
        assert words in done.stderr, done.stderr
        assert "hunter2" not in done.stdout + done.stderr
    good = {**environment, "JDBC_DATABASE_URL": f"{base}&sslmode=verify-full"}
    subprocess.run(["java", "Try"], cwd=tmp_path, env=good, check=True)
