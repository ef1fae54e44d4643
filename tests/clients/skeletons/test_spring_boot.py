# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Spring Boot project by Maven: its own context, pool and entities, with the written file imported."""

from __future__ import annotations

import shutil

import pytest

from tests.clients.skeletons.project import Skeleton
from tests.clients.skeletons.test_java import DRIVER, PLACE, POOL, pom
from tests.integration.conftest import environment_values

RESOURCES = "src/main/resources"
STARTERS = ("spring-boot-starter-data-jpa", "spring-boot-starter-test")
PACKAGED = """<build><plugins><plugin><groupId>org.springframework.boot</groupId>
<artifactId>spring-boot-maven-plugin</artifactId><version>VERSION</version>
<executions><execution><goals><goal>repackage</goal></goals></execution></executions></plugin></plugins></build>
"""
ENTITY = """package com.example.shop;

import jakarta.persistence.Entity;
import jakarta.persistence.Id;
import jakarta.persistence.Table;

@Entity
@Table(name = "crdb_skeleton_spring")
public class Item {
    @Id
    public long id;
    public String name;
}
"""
REPOSITORY = """package com.example.shop;

import org.springframework.data.jpa.repository.JpaRepository;

public interface Items extends JpaRepository<Item, Long> {
}
"""
APP = """package com.example.shop;

import com.zaxxer.hikari.HikariDataSource;
import javax.sql.DataSource;
import org.springframework.boot.CommandLineRunner;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.annotation.Bean;
import org.springframework.jdbc.core.JdbcTemplate;

@SpringBootApplication
public class App {
    public static void main(String[] words) {
        SpringApplication.run(App.class, words).close();
    }

    static String asked(DataSource source, JdbcTemplate jdbc, Items items) throws Exception {
        jdbc.execute("CREATE TABLE IF NOT EXISTS crdb_skeleton_spring (id BIGINT PRIMARY KEY, name TEXT)");
        Item item = new Item();
        item.id = 1;
        item.name = "tea";
        items.save(item);
        String name = items.findById(1L).orElseThrow().name;
        jdbc.execute("DROP TABLE crdb_skeleton_spring");
        HikariDataSource pool = source.unwrap(HikariDataSource.class);
        return name + " " + pool.getMaximumPoolSize() + " " + pool.getMinimumIdle() + " " + pool.getMaxLifetime() + " "
            + pool.getKeepaliveTime() + " " + pool.getConnectionTimeout() + " "
            + pool.getDataSourceProperties().get("tcpKeepAlive");
    }

    @Bean
    CommandLineRunner print(DataSource source, JdbcTemplate jdbc, Items items) {
        return words -> System.out.println("asked " + asked(source, jdbc, items));
    }
}
"""
TEST = """package com.example.shop;

import static org.junit.jupiter.api.Assertions.assertEquals;

import javax.sql.DataSource;
import org.junit.jupiter.api.Test;
import org.springframework.beans.factory.annotation.Autowired;
import org.springframework.boot.test.context.SpringBootTest;
import org.springframework.jdbc.core.JdbcTemplate;

@SpringBootTest
class AppTest {
    @Autowired DataSource source;
    @Autowired JdbcTemplate jdbc;
    @Autowired Items items;

    @Test
    void keepsItems() throws Exception {
        assertEquals("EXPECTED", App.asked(source, jdbc, items));
    }
}
"""
EXPECTED = "tea 3 3 100000 45000 40000 true"


@pytest.mark.parametrize(("version", "variant"), [("4.0.0", "properties"), ("3.5.8", "yml")])
def test_a_spring_boot_project(controller, sandbox, tmp_path, version, variant):
    maven = shutil.which("mvn")
    if not maven:
        pytest.skip("there is no mvn on this machine (make system-deps installs it)")
    folder = tmp_path / "shop"
    starters = [f"org.springframework.boot:{name}:{version}" for name in STARTERS]
    text = pom([*starters, DRIVER]).replace("</project>", f"{PACKAGED.replace('VERSION', version)}</project>")
    compiler = "<artifactId>maven-surefire-plugin</artifactId><version>3.2.5</version>"
    text = text.replace("<plugins>", f"<plugins><plugin>{compiler}</plugin>")
    own = f"{RESOURCES}/application.{variant}"
    files = {
        "pom.xml": text,
        f"{PLACE}/App.java": APP,
        f"{PLACE}/Item.java": ENTITY,
        f"{PLACE}/Items.java": REPOSITORY,
        f"{PLACE.replace('main', 'test')}/AppTest.java": TEST.replace("EXPECTED", EXPECTED),
        own: "",
    }
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    entry = {"name": "spring-boot", "variant": variant}
    skeleton = Skeleton(f"Maven with Spring Boot {version}, {variant}", entry, folder, controller, sandbox)
    run = skeleton.onboard(**POOL)
    end = f"classpath:crdb.{variant}"
    line = f"spring.config.import={end}" if variant == "properties" else f"spring.config.import: {end}"
    assert f"in {own}: {line}" in skeleton.usage(run)
    written = (folder / RESOURCES / f"crdb.{variant}").read_text()
    assert sandbox.connections[skeleton.cluster]["password"] not in written
    given = environment_values((folder / ".env").read_text())

    # Without the line, Spring Boot has no data source.
    skeleton.command("mvn test without the line fails", [maven, "-q", "-B", "test"], status=1, **given)
    (folder / own).write_text(f"{line}\n")
    skeleton.command("mvn test", [maven, "-q", "-B", "test"], **given)
    skeleton.command("mvn package", [maven, "-q", "-B", "package", "-DskipTests"])
    jar = str(folder / "target" / "shop-1.jar")
    for cwd in (".", "src/main", "/"):
        printed = skeleton.command("java -jar", ["java", "-jar", jar], cwd=cwd, **given).stdout
        assert f"asked {EXPECTED}" in printed
        assert sandbox.connections[skeleton.cluster]["password"] not in printed
    skeleton.command("java -jar without JDBC_DATABASE_URL fails", ["java", "-jar", jar], status=1, JDBC_DATABASE_URL="")
    (folder / own).write_text("")
    shutil.rmtree(folder / "target")
    skeleton.offboard()
