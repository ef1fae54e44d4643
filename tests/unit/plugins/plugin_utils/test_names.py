# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every name that people type leads to its framework, or to a question with the candidates."""

from __future__ import annotations

import pytest
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue import choose, frameworks, names
from ansible_collections.crdb.onboard.plugins.plugin_utils._errors import OnboardingError

CATALOGUE = frameworks.load()


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("psycopg", "psycopg"),
        ("psycopg3", "psycopg"),
        ("psycopg 3", "psycopg"),
        ("psycopg[binary,pool]", "psycopg"),
        ("psycopg2-binary", "psycopg2"),
        ("SQLAlchemy", "sqlalchemy"),
        ("rails", "activerecord"),
        ("Ruby on Rails", "activerecord"),
        ("k8s", "kubernetes"),
        ("docker-compose", "compose"),
        ("servicebinding.io", "servicebinding"),
        ("pgAdmin", "pgadmin"),
        ("deadpool", "tokio-postgres"),
        ("diesel@2", "diesel"),
        ("sqlx-rs", "sqlx-rust"),
        ("PHP", "pdo"),
        ("entgo", "ent"),
        ("migrate@4", "golang-migrate"),
        ("github.com/pressly/goose/v3", "goose"),
        ("github.com/uptrace/bun", "bun"),
        ("ext-pdo_pgsql", "pdo"),
        ("Django==5.2.19", "django"),
        ("TypeORM", "typeorm"),
        ("github.com/lib/pq", "pq"),
        ("org.postgresql:postgresql@42.7.7", "jdbc"),
        ("hibernate-core", "hibernate"),
        ("@prisma/client", "prisma"),
        ("prisma@7", "prisma"),
        ("drizzle-orm@0.45", "drizzle"),
        ("drizzle-kit", "drizzle"),
        ("postgres.js", "postgres-js"),
        ("PostgresJS", "postgres-js"),
        ("knex@3", "knex"),
        ("Kysely", "kysely"),
        ("playhouse", "peewee"),
        ("Alembic", "alembic"),
        ("spring", "spring-boot"),
        ("spring-boot-starter-data-jpa", "spring-boot"),
        ("flyway-core", "flyway"),
        ("org.flywaydb:flyway-maven-plugin@13.12.0", "flyway"),
        ("liquibase@4.33", "liquibase"),
        ("org.jooq:jooq", "jooq"),
        ("jOOQ", "jooq"),
        ("mybatis-3", "mybatis"),
        ("ibatis", "mybatis"),
        ("r2dbc-postgresql", "r2dbc"),
        ("webflux", "r2dbc"),
    ],
)
def test_a_name_leads_to_its_framework(word, name):
    assert choose.find(word, CATALOGUE).name == name


@pytest.mark.parametrize(
    ("word", "candidates"),
    [
        ("sqlx", {"sqlx-rust", "sqlx-go"}),
        ("pg", {"node-postgres", "ruby-pg"}),
        ("jpa", {"hibernate", "spring-boot"}),
        (
            "postgres",
            {
                "asyncpg",
                "psycopg",
                "psycopg2",
                "node-postgres",
                "pgx",
                "pq",
                "jdbc",
                "ruby-pg",
                "diesel",
                "sqlx-rust",
                "tokio-postgres",
                "pdo",
                *("bun", "ent", "golang-migrate", "goose", "sqlx-go"),
                *("flyway", "jooq", "liquibase", "mybatis", "r2dbc"),
            },
        ),
    ],
)
def test_a_name_of_several_is_a_question(word, candidates):
    with pytest.raises(OnboardingError, match=f"^{word} can be one of several frameworks") as caught:
        choose.find(word, CATALOGUE)
    asked = str(caught.value).partition("Which one do you use? ")[2]
    found = {name for part in asked.rstrip(".").split("; ") for name in part.partition(": ")[2].split(" or ")}
    assert candidates <= found
    assert found <= set(CATALOGUE)


@pytest.mark.parametrize(
    ("word", "versions", "version"),
    [
        ("sequelize@6", ">=6.10,<7", "6"),
        ("sequelize@6.9.0", ">=5,<6.10", "6.9.0"),
        ("sequelize@^6.37", ">=6.10,<7", "6.37"),
        ("sequelize@latest", ">=6.10,<7", ""),
        ("hibernate@5.6", ">=5.4,<6", "5.6"),
    ],
)
def test_a_version_behind_the_name_counts(word, versions, version):
    framework = choose.find(word, CATALOGUE)
    assert (framework.versions, framework.version) == (versions, version)


def test_a_release_that_does_not_start_is_refused_and_its_major_is_not():
    assert choose.find("knex@3.0.1", CATALOGUE).versions == ">=3.0.1,<3.2"
    assert choose.find("knex@3", CATALOGUE).versions == ">=3.2,<4"
    with pytest.raises(OnboardingError, match=r"Knex 3\.0\.0 is outside the supported ranges"):
        choose.find("knex@3.0.0", CATALOGUE)


def test_two_versions_are_refused():
    with pytest.raises(OnboardingError, match=r"sequelize: there are two versions, 6 and 5\.1\.0"):
        choose.find({"name": "sequelize@6", "version": "5.1.0"}, CATALOGUE)


@pytest.mark.parametrize("word", ["", "  ", "@", "==1", None, 7, ["pg"]])
def test_what_is_no_name_is_refused(word):
    with pytest.raises(OnboardingError, match="There is no framework"):
        choose.find(word, CATALOGUE)


def test_the_nearest_name_is_offered_also_for_a_word_of_people():
    with pytest.raises(OnboardingError, match="Did you mean activerecord"):
        choose.find("rials", CATALOGUE)


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("@prisma/client", ("@prisma/client", "")),
        ("@prisma/client@7.1", ("@prisma/client", "7.1")),
        ("psycopg[pool] == 3.2", ("psycopg", "3.2")),
        ("a@b@c", ("a@b@c", "")),
    ],
)
def test_a_version_is_split_from_its_name(word, parts):
    assert names.split(word) == parts


def test_no_name_of_a_framework_is_taken_by_another():
    for framework in CATALOGUE.values():
        assert choose.find(framework.name, CATALOGUE).name == framework.name
        assert choose.find(framework.title.upper(), CATALOGUE).name == framework.name


def test_the_choices_are_grouped_by_language_and_what_is_old_comes_last():
    groups = list(frameworks.by_language(CATALOGUE))
    titles = [title for title, _choices in groups]
    assert titles[-2:] == ["Files for other programs", "Legacy"]
    assert titles[:-2] == sorted(titles[:-2])
    assert {(choice.name, choice.versions) for choice in groups[-1][1]} == {("typeorm", ">=0.2,<0.3")}
    assert len(groups[-1][1]) == 6
    assert sum(len(choices) for _title, choices in groups) == sum(len(f.choices) for f in CATALOGUE.values())
