# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guide's forms that fail as printed: the printed text, and what is written instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

QUERY = "sslmode=verify-full&options=--cluster%3D{id}"
URL = "postgresql://{user}:{password}@{host}:{port}/{database}?" + QUERY
JDBC = (
    "jdbc:postgresql://{host}:{port}/{database}?user={user}&password={password}&sslmode=verify-full"
    "&sslfactory=org.postgresql.ssl.DefaultJavaSSLFactory&options=--cluster%3D{id}"
)
NODE_END = """.then(() => process.exit(0), (error) => {
  console.error(error.code, error.original?.code, error.message);
  process.exit(1);
});
"""
ORMCONFIG = """{
    "type": "cockroachdb",
    "url": "postgresql://{user}:{password}@{host}:{port}/{database}",
    "ssl": true,
    "extra": {
      "options": "--cluster={id}"
    }COMMA
}
"""
CREATE = (
    "process.env.APP_ROOT_PATH = process.cwd();\n"
    "Promise.resolve().then(() => require('typeorm').createConnection())" + NODE_END
)
CONFIGURATION = (
    """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE hibernate-configuration PUBLIC "-//Hibernate/Hibernate Configuration DTD 3.0//EN"
    "http://www.hibernate.org/dtd/hibernate-configuration-3.0.dtd">
<hibernate-configuration>
    <session-factory>
        <property name="hibernate.connection.driver_class">org.postgresql.Driver</property>
        <property name="hibernate.dialect">org.hibernate.dialect.CockroachDB201Dialect</property>
        <property name="hibernate.connection.url">"""
    + JDBC.replace("&", "&amp;")
    + """</property>
    </session-factory>
</hibernate-configuration>
"""
)
HIBERNATE = """public final class Guide {
    public static void main(String[] words) {
        try (org.hibernate.SessionFactory factory =
                new org.hibernate.cfg.Configuration().configure(new java.io.File("hibernate.cfg.xml"))
                    .buildSessionFactory();
                org.hibernate.Session session = factory.openSession()) {
            session.doWork(connection -> connection.createStatement().execute("SELECT 1"));
        } catch (Exception e) {
            StringBuilder text = new StringBuilder();
            for (Throwable cause = e; cause != null; cause = cause.getCause()) {
                text.append(cause.getMessage()).append(' ');
            }
            System.err.println(text);
            System.exit(1);
        }
    }
}
"""


def filled(text: str, facts: dict[str, Any]) -> str:
    """A text with the connection in place of the guide's placeholders."""
    for key, value in facts.items():
        text = text.replace("{" + key + "}", str(value))
    return text


@dataclass(frozen=True)
class Printed:
    """A form of the guide: `program` is run with `files` beside it, and has to end with `error`, a pattern."""

    framework: str
    versions: str
    variant: str
    printed: str
    error: str
    ours: str
    why: str
    program: str
    files: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """A name for the test."""
        return f"{self.framework}{self.versions}-{self.variant}-{self.error[:20]}".replace(" ", "_")


PRINTED = (
    Printed(
        "node-postgres",
        ">=8,<9",
        "",
        URL,
        "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
        "the same with `&sslrootcert=` and the CA's path",
        "node-postgres reads Node's own roots, not ~/.postgresql/root.crt",
        f"const {{ Client }} = require('pg');\nnew Client({{ connectionString: '{URL}' }}).connect()" + NODE_END,
    ),
    Printed(
        "sequelize",
        ">=6.10,<7",
        "",
        URL,
        "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
        "the same with `&sslrootcert=` and the CA's path",
        "as node-postgres, which it uses",
        "const Sequelize = require('sequelize-cockroachdb');\n"
        f"new Sequelize('{URL}', {{ logging: false }}).authenticate()" + NODE_END,
    ),
    Printed(
        "sequelize",
        ">=5,<6.10",
        "",
        "postgresql://...@{host}:{port}/{id}.{database}?ssl=true",
        "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
        "separate keys, with `dialectOptions.ssl.ca`",
        "the URL's ssl=true leaves the CA to Node, and sslrootcert in it is dropped",
        "const Sequelize = require('sequelize-cockroachdb');\n"
        "new Sequelize('postgresql://{user}:{password}@{host}:{port}/{id}.{database}?ssl=true', { logging: false })"
        ".authenticate()" + NODE_END,
    ),
    Printed(
        "typeorm",
        ">=0.2,<0.3",
        "json",
        "ormconfig.json with a comma after its last entry",
        "Expected double-quoted|Unexpected token",
        "valid JSON",
        "JSON has no trailing commas",
        CREATE,
        (("ormconfig.json", ORMCONFIG.replace("COMMA", ",")),),
    ),
    Printed(
        "typeorm",
        ">=0.2,<0.3",
        "json",
        'ormconfig.json with `"ssl": true`',
        "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
        '`"ssl": {"ca": "<text of the CA>"}`',
        "as node-postgres, which it uses",
        CREATE,
        (("ormconfig.json", ORMCONFIG.replace("COMMA", "")),),
    ),
    Printed(
        "typeorm",
        ">=1,<2",
        "",
        "createConnection() and ormconfig.json",
        "createConnection is not a function",
        "a DataSource in `crdb_datasource.cjs`",
        "1.0 has neither createConnection nor ormconfig",
        CREATE,
        (("ormconfig.json", ORMCONFIG.replace("COMMA", "")),),
    ),
    Printed(
        "sqlalchemy",
        ">=2.0,<2.1",
        "asyncpg",
        "cockroachdb+asyncpg://...?" + QUERY,
        "unexpected keyword argument 'sslmode'",
        "an SSLContext and server_settings as connect_args",
        "SQLAlchemy hands the query to asyncpg as keywords",
        "import asyncio, sys\nfrom sqlalchemy.ext.asyncio import create_async_engine\n"
        f"engine = create_async_engine('{URL.replace('postgresql', 'cockroachdb+asyncpg')}')\n"
        "async def main():\n    async with engine.connect():\n        pass\n"
        "try:\n    asyncio.run(main())\nexcept Exception as exc:\n    sys.exit(f'{exc}')\n",
    ),
    Printed(
        "pq",
        ">=1.10,<1.12",
        "",
        URL,
        "signed by unknown authority",
        "the same with `&sslrootcert=` and the CA's path",
        "pq before 1.12 reads the system's roots, not ~/.postgresql/root.crt",
        'package main\nimport (\n"database/sql"\n"fmt"\n"os"\n_ "github.com/lib/pq"\n)\nfunc main() {\n'
        f'db, err := sql.Open("postgres", "{URL}")\nif err == nil {{ err = db.Ping() }}\n'
        "if err != nil { fmt.Fprintln(os.Stderr, err); os.Exit(1) }\n}\n",
    ),
    Printed(
        "jdbc",
        ">=42.2.5,<43",
        "datasource",
        JDBC,
        "PKIX path building failed",
        "the same with `sslrootcert=` in place of sslfactory",
        "that factory reads the JVM's trust store only, and ignores sslrootcert",
        "public final class Guide {\n  public static void main(String[] words) {\n"
        "    org.postgresql.ds.PGSimpleDataSource ds = new org.postgresql.ds.PGSimpleDataSource();\n"
        f'    ds.setUrl("{JDBC}");\n    try {{ ds.getConnection().close(); }}\n'
        "    catch (Exception e) { System.err.println(e.getMessage() + e.getCause()); System.exit(1); }\n  }\n}\n",
    ),
    Printed(
        "hibernate",
        ">=5.4,<6",
        "",
        "hibernate.cfg.xml with " + JDBC.replace("&", "&amp;"),
        "PKIX path building failed",
        "the same with `sslrootcert=` in place of sslfactory",
        "as JDBC",
        HIBERNATE,
        (("hibernate.cfg.xml", CONFIGURATION),),
    ),
    Printed(
        "hibernate",
        ">=6,<7",
        "",
        "dialect org.hibernate.dialect.CockroachDB201Dialect",
        "CockroachDB201Dialect",
        "org.hibernate.dialect.CockroachDialect",
        "the dialects of single versions are gone since 6.2",
        HIBERNATE,
        (
            (
                "hibernate.cfg.xml",
                # With the rest of it mended, so that the dialect is what fails.
                CONFIGURATION.replace("sslfactory=org.postgresql.ssl.DefaultJavaSSLFactory", "sslrootcert={ca}"),
            ),
        ),
    ),
    Printed(
        "activerecord",
        ">=6.1,<6.2",
        "",
        "adapter: cockroachdb, url: postgresql://...",
        "the adapter became postgresql",
        "url: cockroachdb://...",
        "the scheme of the URL beats the key `adapter`",
        'require "active_record"\nrequire "yaml"\n'
        'ActiveRecord::Base.configurations = YAML.load(File.read("database.yml"))\n'
        'found = ActiveRecord::Base.configurations.configs_for(env_name: "default", name: "primary")\n'
        "found = found.configuration_hash\n"
        'abort("the adapter became #{found[:adapter]}") unless found[:adapter] == "cockroachdb"\n',
        (("database.yml", f"default:\n  adapter: cockroachdb\n  url: {URL}\n"),),
    ),
)

DJANGO = """        "ENGINE": "django_cockroachdb",
        "NAME": "{database}",
        "USER": "{user}",
        "PASSWORD": "{password}",
        "HOST": "{host}",
        "PORT": "{port}",
        "OPTIONS": {
            "sslmode": "verify-full",
            "options": "--cluster={id}",
        },
"""
DIALECT = '<property name="hibernate.dialect">org.hibernate.dialect.CockroachDB201Dialect</property>'
DRIVER = '<property name="hibernate.connection.driver_class">org.postgresql.Driver</property>'
PUBLIC: dict[tuple[str, str, str], tuple[str, ...]] = {
    ("node-postgres", ">=8,<9", ""): (URL,),
    ("sequelize", ">=6.10,<7", ""): (URL, "require('sequelize-cockroachdb')", "new Sequelize("),
    ("sequelize", ">=5,<6.10", ""): ("postgresql://{user}:{password}@{host}:{port}/{id}.{database}?ssl=true",),
    ("typeorm", ">=0.2,<0.3", "json"): (
        '"type": "cockroachdb"',
        '"url": "postgresql://{user}:{password}@{host}:{port}/{database}"',
        '"ssl": true',
        '"options": "--cluster={id}"',
    ),
    ("psycopg2", ">=2.8,<3", ""): (URL,),
    ("sqlalchemy", ">=2.0,<2.1", "psycopg2"): (URL, 'set(drivername="cockroachdb+psycopg2")'),
    ("django", ">=5,<6", ""): tuple(line.strip() for line in DJANGO.splitlines()),
    ("pgx", ">=5,<6", ""): (URL,),
    ("pgx", ">=4,<5", ""): (URL, '"github.com/jackc/pgx/v4"'),
    ("pq", ">=1.12,<2", ""): (URL,),
    ("pq", ">=1.10,<1.12", ""): (URL,),
    ("gorm", ">=1.24,<2", ""): (URL,),
    ("gorm", ">=1.23,<1.24", ""): (URL,),
    ("jdbc", ">=42.2.5,<43", "datasource"): (JDBC,),
    ("hibernate", ">=5.4,<6", ""): (JDBC.replace("&", "&amp;"), DIALECT, DRIVER),
    ("hibernate", ">=6,<7", ""): (JDBC.replace("&", "&amp;"), DRIVER),
    ("hibernate", ">=7,<8", ""): (JDBC.replace("&", "&amp;"), DRIVER),
    ("ruby-pg", ">=1.1,<2", ""): (URL,),
    ("activerecord", ">=6.1,<6.2", ""): (URL.replace("postgresql://", "cockroachdb://"), "adapter: cockroachdb"),
}
"""What stands in the files where the CA is public, word for word as the guide prints it, but for what fails with any
CA (the JSON's last comma, Hibernate 6's dialect, ActiveRecord's scheme) and quotes of another kind."""
