# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Go modules: built, vetted and tested with the collection's package in them, from three working directories."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from ansible_collections.crdb.onboard.plugins.plugin_utils._catalogue import choose, frameworks, project
from ansible_collections.crdb.onboard.plugins.plugin_utils._render.templates import install_line

from tests.clients.matrix import go_caches
from tests.clients.rendered import rendered, with_tabs
from tests.clients.skeletons.project import Skeleton

POOL = {"pool_size": 3, "pool_lifetime": 100, "connect_timeout": 7, "keepalive": 45}
# What the kernel says of a connection's socket, in seconds.
SOCKET = """
func idle(connection interface{}) int {
    raw, _ := connection.(*tls.Conn).NetConn().(syscall.Conn).SyscallConn()
    seconds := 0
    _ = raw.Control(func(fd uintptr) {
        seconds, _ = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE)
    })
    return seconds
}
"""
# database/sql has a setter for it and no getter.
LIFETIME = """
func lifetime(pool *sql.DB) float64 {
    return time.Duration(reflect.ValueOf(pool).Elem().FieldByName("maxLifetime").Int()).Seconds()
}
"""
# pq shows no connection of its own; the process has this one only.
KEPT = """
func kept() int {
    for fd := 3; fd < 256; fd++ {
        if _, err := syscall.Getpeername(fd); err != nil {
            continue
        }
        on, _ := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_KEEPALIVE)
        seconds, _ := syscall.GetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE)
        return on * seconds
    }
    return 0
}
"""
HELPERS = {"crypto/tls": SOCKET, "reflect": LIFETIME, "kept()": KEPT}
STORES = {
    "pgx": (
        '"context"\n\t"crypto/tls"\n\t"fmt"\n\t"syscall"',
        """    ctx := context.Background()
    pool, err := crdbpgx.NewPool(ctx)
    if err != nil {
        return "", err
    }
    defer pool.Close()
    connection, err := pool.Acquire(ctx)
    if err != nil {
        return "", err
    }
    defer connection.Release()
    var user string
    err = connection.QueryRow(ctx, "SELECT current_user").Scan(&user)
    config := pool.Config()
    return fmt.Sprint(user, " ", config.MaxConns, config.MinConns, config.MaxConnLifetime.Seconds(),
        config.MaxConnLifetimeJitter.Seconds(), config.ConnConfig.ConnectTimeout.Seconds(),
        idle(connection.Conn().PgConn().Conn())), err""",
        "maxroach 3 3 100 10 7 45",
    ),
    "pq": (
        '"database/sql"\n\t"fmt"\n\t"reflect"\n\t"syscall"\n\t"time"',
        """    pool, err := crdbpq.Open()
    if err != nil {
        return "", err
    }
    defer pool.Close()
    var user string
    err = pool.QueryRow("SELECT current_user").Scan(&user)
    return fmt.Sprint(user, " ", pool.Stats().MaxOpenConnections, pool.Stats().Idle, lifetime(pool), kept()), err""",
        "maxroach 3 1 100 45",
    ),
    "gorm": (
        '"context"\n\t"crypto/tls"\n\t"database/sql"\n\t"fmt"\n\t"reflect"\n\t"syscall"\n\t"time"'
        '\n\n\t"github.com/jackc/pgx/v5/stdlib"',
        """    session, err := crdbgorm.Open(nil)
    if err != nil {
        return "", err
    }
    pool, err := session.DB()
    if err != nil {
        return "", err
    }
    defer pool.Close()
    var user string
    err = session.Raw("SELECT current_user").Scan(&user).Error
    if err != nil {
        return "", err
    }
    connection, err := pool.Conn(context.Background())
    if err != nil {
        return "", err
    }
    defer connection.Close()
    seconds, timeout := 0, 0.0
    err = connection.Raw(func(driver interface{}) error {
        inner := driver.(*stdlib.Conn).Conn()
        seconds = idle(inner.PgConn().Conn())
        timeout = inner.Config().ConnectTimeout.Seconds()
        return nil
    })
    return fmt.Sprint(user, " ", pool.Stats().MaxOpenConnections, timeout, seconds, lifetime(pool)), err""",
        "maxroach 3 7 45 100",
    ),
    "sqlx-go": (
        '"database/sql"\n\t"fmt"\n\t"reflect"\n\t"time"',
        """    database, err := crdbpgx.OpenSqlx()
    if err != nil {
        return "", err
    }
    defer database.Close()
    var user string
    err = database.Get(&user, "SELECT current_user")
    return fmt.Sprint(user, " ", database.Stats().MaxOpenConnections, " ", lifetime(database.DB)), err""",
        "maxroach 3 100",
    ),
    "bun": (
        '"context"\n\t"database/sql"\n\t"fmt"\n\t"reflect"\n\t"time"',
        """    database, err := crdbpgx.OpenBun()
    if err != nil {
        return "", err
    }
    defer database.Close()
    var user string
    err = database.NewSelect().ColumnExpr("current_user").Scan(context.Background(), &user)
    return fmt.Sprint(user, " ", database.Stats().MaxOpenConnections, " ", lifetime(database.DB)), err""",
        "maxroach 3 100",
    ),
    "ent": (
        '"context"\n\t"database/sql"\n\t"fmt"\n\t"reflect"\n\t"time"\n\n\tentsql "entgo.io/ent/dialect/sql"',
        """    driver, err := crdbpgx.OpenEnt()
    if err != nil {
        return "", err
    }
    defer driver.Close()
    rows := &entsql.Rows{}
    err = driver.Query(context.Background(), "SELECT current_user", []interface{}{}, rows)
    if err != nil {
        return "", err
    }
    defer rows.Close()
    user, err := entsql.ScanString(rows)
    return fmt.Sprint(user, " ", driver.DB().Stats().MaxOpenConnections, " ", lifetime(driver.DB())), err""",
        "maxroach 3 100",
    ),
    "goose": (
        '"context"\n\t"fmt"\n\t"testing/fstest"',
        """    ctx := context.Background()
    text := "-- +goose Up\\nCREATE TABLE skeleton_goose (id BIGINT PRIMARY KEY);\\n"
    text += "-- +goose Down\\nDROP TABLE skeleton_goose;\\n"
    folder := fstest.MapFS{"00001_items.sql": &fstest.MapFile{Data: []byte(text)}}
    provider, err := crdbpgx.GooseMigrations(folder)
    if err != nil {
        return "", err
    }
    defer provider.Close()
    up, err := provider.Up(ctx)
    if err != nil {
        return "", err
    }
    status, err := provider.Status(ctx)
    if err != nil {
        return "", err
    }
    down, err := provider.DownTo(ctx, 0)
    return fmt.Sprint(len(up), " ", status[0].State, " ", len(down)), err""",
        "1 applied 1",
    ),
    "golang-migrate": (
        '"fmt"\n\t"testing/fstest"\n\n\t"github.com/golang-migrate/migrate/v4/source/iofs"',
        """    up := "CREATE TABLE skeleton_migrate (id BIGINT PRIMARY KEY);"
    folder := fstest.MapFS{
        "1_items.up.sql":   &fstest.MapFile{Data: []byte(up)},
        "1_items.down.sql": &fstest.MapFile{Data: []byte("DROP TABLE skeleton_migrate;")},
    }
    source, err := iofs.New(folder, ".")
    if err != nil {
        return "", err
    }
    migrations, err := crdbpgx.Migrations(source)
    if err != nil {
        return "", err
    }
    defer migrations.Close()
    if err := migrations.Up(); err != nil {
        return "", err
    }
    version, dirty, err := migrations.Version()
    if err != nil {
        return "", err
    }
    return fmt.Sprint(version, " ", dirty), migrations.Down()""",
        "1 false",
    ),
}
MAIN = """package main

import (
    "fmt"
    "os"

    "PACKAGE/store"
)

func main() {
    user, err := store.User()
    if err != nil {
        fmt.Println(err)
        os.Exit(1)
    }
    fmt.Println(user)
}
"""
TEST = """package store

import "testing"

func TestUser(t *testing.T) {
    if user, err := User(); err != nil || user == "" {
        t.Fatal(user, err)
    }
}
"""


def package(name: str) -> str:
    """The package that the collection writes for a framework: those that use pgx share pgx's."""
    return f"crdb{name}" if name in ("pgx", "pq", "gorm") else "crdbpgx"


def module(skeleton: Skeleton, name: str, path: str = "example.com/shop") -> None:
    """A program with a package `store` that uses the collection's package; `path` is the program's own."""
    imports, body, _expected = STORES[name]
    line = f'import "{path}/{package(name)}"'
    text = f"// Package store has a test.\npackage store\n\n{line}\n\nimport (\n\t{imports}\n)\n\n"
    helpers = "".join(text for word, text in HELPERS.items() if word in imports + body)
    text += f"// User connects.\nfunc User() (string, error) {{\n{body}\n}}\n{helpers}"
    (skeleton.folder / "store").mkdir(parents=True)
    (skeleton.folder / "store" / "store.go").write_text(with_tabs(text))
    (skeleton.folder / "store" / "store_test.go").write_text(with_tabs(TEST))
    (skeleton.folder / "main.go").write_text(with_tabs(MAIN.replace("PACKAGE", path)))


@pytest.fixture
def skeleton(controller, sandbox, tmp_path):
    """A Go module's folder; skipped without Go."""
    if not shutil.which("go"):
        pytest.skip("there is no go on this machine (make system-deps installs it)")
    folder = tmp_path / "shop"
    folder.mkdir()
    controller.environment.update(go_caches())
    return Skeleton("Go", "pgx", folder, controller, sandbox, environment={**go_caches(), "GOFLAGS": "-buildvcs=false"})


def everywhere(skeleton: Skeleton, folder: Path, expected: str) -> None:
    """The built program finds its environment in its folder, below it, and elsewhere by its own place."""
    for title, cwd in (("app's folder", "."), ("sub-folder", "store"), ("/", "/")):
        done = skeleton.command(f"the built program, from {title}", [str(folder / "program")], cwd=cwd)
        assert done.stdout.split() == expected.split()


@pytest.mark.parametrize("name", list(STORES))
def test_a_module(skeleton, name):
    skeleton.name, skeleton.framework = f"Go module with {name}", name
    (skeleton.folder / "go.mod").write_text("module example.com/shop\n\ngo 1.21\n")
    framework, _texts = rendered(name, {"module": "example.com/shop"})
    module(skeleton, name)
    skeleton.command("go get", install_line(framework).split())
    run = skeleton.onboard(samples=True, **POOL)
    printed = f'import "example.com/shop/{package(name)}"'
    assert printed in skeleton.usage(run)
    assert skeleton.command("gofmt -l .", ["gofmt", "-l", "."]).stdout == ""
    for words in (["vet", "./..."], ["build", "./..."], ["test", "./..."]):
        skeleton.command(f"go {' '.join(words)}", ["go", *words])
    expected = STORES[name][2]
    skeleton.command("go build", ["go", "build", "-o", "program", "."])
    everywhere(skeleton, skeleton.folder, expected)
    for file in framework.samples:
        sample = ["go", "run", file.destination]
        for _time in range(2):
            assert "account 1: " in skeleton.command("the sample", sample).stdout
        assert skeleton.command("the sample --remove", [*sample, "--remove"]).stdout == ""
    # An empty variable counts as none, and no error has the password.
    (skeleton.folder / ".env").rename(skeleton.folder / "kept")
    done = skeleton.command("no environment", [str(skeleton.folder / "program")], status=1, DATABASE_URL="")
    assert "DATABASE_URL is neither in the environment nor in .env" in done.stdout
    done = skeleton.command(
        "a broken URL", [str(skeleton.folder / "program")], status=1, DATABASE_URL="postgresql://u:hunter2@h:port\r/d"
    )
    assert "DATABASE_URL cannot be used" in done.stdout
    assert "hunter2" not in done.stdout
    (skeleton.folder / "kept").rename(skeleton.folder / ".env")
    # The line in the wrong place is an error of the compiler.
    store = skeleton.folder / "store" / "store.go"
    text = store.read_text()
    store.write_text(text.replace(printed, "") + printed + "\n")
    assert "import" in skeleton.command("the line at the end (must fail)", ["go", "vet", "./..."], status=1).stdout
    store.write_text(text)
    (skeleton.folder / "program").unlink()
    skeleton.offboard()


def test_an_app_of_two_in_one_module(skeleton):
    top = skeleton.folder
    skeleton.name, skeleton.folder = "Go monorepo, two apps in one module", top / "services" / "api"
    (top / "go.mod").write_text("module example.com/shop\n\ngo 1.21\n")
    (top / "services" / "jobs").mkdir(parents=True)
    (top / "services" / "jobs" / "main.go").write_text("package main\n\nfunc main() {}\n")
    module(skeleton, "pgx", "example.com/shop/services/api")
    framework, _texts = rendered("pgx", {"module": "example.com/shop"})
    skeleton.command("go get", install_line(framework).split())
    run = skeleton.onboard(**POOL)
    assert 'import "example.com/shop/services/api/crdbpgx"' in skeleton.usage(run)
    for title, cwd, words in (
        ("go run ./services/api at the top", "../..", ["run", "./services/api"]),
        ("go run . in the app's folder", ".", ["run", "."]),
        ("go test ./... at the top", "../..", ["test", "./..."]),
    ):
        skeleton.command(title, ["go", *words], cwd=cwd)
    skeleton.offboard()


def install(name, versions):
    """The label and the install line of a framework in a module that requires these versions."""
    answer = {"facts": {"module": "example.com/shop"}, "versions": versions, "sources": {}}
    found = choose.find(name, frameworks.load(), None, {"go": project.read("go", answer)})
    return found.versions, install_line(found), found.notes


def test_the_versions_of_go_mod_choose_the_form():
    old = install("pgx", {"github.com/jackc/pgx/v4/pgxpool": "4.17.2"})
    assert old[:2] == (">=4,<5", "go get github.com/jackc/pgx/v4/pgxpool@v4.17.2 github.com/joho/godotenv@v1.5.1")
    new = install("pgx", {"github.com/jackc/pgx/v5/pgxpool": "5.7.5"})
    assert new[:2] == (">=5,<6", "go get github.com/jackc/pgx/v5/pgxpool@v5.7.5 github.com/joho/godotenv@v1.5.1")
    newer = install("pq", {"github.com/lib/pq": "2.0.0"})
    assert "not tested with this version" in newer[2][0]
    assert install("gorm", {"gorm.io/gorm": "1.23.4"})[0] == ">=1.23,<1.24"


def test_files_without_lifetime_and_keepalive_say_so():
    for name, folder in (("pgx", "crdbpgx"), ("pq", "crdbpq"), ("gorm", "crdbgorm")):
        _framework, texts = rendered(name, {"module": "x.y/z"}, pool_lifetime=0, keepalive=0)
        text = texts[f"{folder}/{folder}.go"]
        assert "KeepAlive: -1" in text
        assert "SetConnMaxLifetime" not in text
