# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ruby projects: a plain one with pg, one with ActiveRecord, the folder of a Rails app, and what `rails new` makes.

Where Rails is not installed, config/application.rb has as much of it as ActiveRecord's own tasks ask for. PostgreSQL's
adapter takes the place of CockroachDB's.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.clients.skeletons.project import Skeleton
from tests.conftest import CHECKOUT, Sandbox
from tests.integration.conftest import Controller

SETTINGS = {"pool_size": 7, "pool_lifetime": 600, "connect_timeout": 9, "keepalive": 45}
STAND_IN = {"RUBYLIB": str(CHECKOUT / "tests" / "clients" / "ruby")}
CLUSTER = "lone_badger"


def write(skeleton: Skeleton, name: str, text: str) -> None:
    """A file of the project's own."""
    path = skeleton.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def start(skeleton: Skeleton, *argv: str, **environment: str) -> list[dict[str, object]]:
    """What the program prints when it is started from three folders, the last one outside of the project."""
    elsewhere = skeleton.folder.parent / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    folders = (("its folder", "."), ("a folder below", "lib"), ("elsewhere", str(elsewhere)))
    printed = [skeleton.command(f"start from {title}", argv, cwd=cwd, **environment).stdout for title, cwd in folders]
    return [json.loads(text.splitlines()[-1]) for text in printed]


def without_url(skeleton: Skeleton, *argv: str) -> None:
    """Without a URL the program ends with a clear error, before any driver connects anywhere."""
    env = skeleton.folder / ".env"
    content = env.read_bytes()
    env.write_bytes(b'DATABASE_URL=""\n')
    done = skeleton.command("start with an empty DATABASE_URL fails", argv, status=1)
    assert "DATABASE_URL is not set: neither in the environment nor in .env" in done.stdout
    env.write_bytes(content)


def without_dotenv(skeleton: Skeleton, *argv: str) -> None:
    """Without the gem dotenv, the program says what is missing."""
    hidden = skeleton.folder.parent / "hidden" / "dotenv.rb"
    hidden.parent.mkdir(exist_ok=True)
    hidden.write_text('raise LoadError, "cannot load such file -- dotenv"\n')
    path = f"{hidden.parent}:{STAND_IN['RUBYLIB']}"
    done = skeleton.command("start without the gem dotenv fails", argv, status=1, RUBYLIB=path)
    assert "the gem dotenv, which reads" in done.stdout


SHOP = """%s

settings = connection.conninfo_hash
puts connection.exec("SELECT current_database() AS database")[0].merge(
  settings.slice(:connect_timeout, :keepalives, :keepalives_idle)
).to_json
"""
APP_TEST = """
require "minitest/autorun"
require "open3"

class AppTest < Minitest::Test
  def test_it_starts
    output, status = Open3.capture2e("ruby", File.expand_path("../%s", __dir__))
    assert status.success?, output
  end
end
"""


def test_a_plain_project_with_pg(tmp_path: Path, controller: Controller, sandbox: Sandbox):
    skeleton = Skeleton("Ruby, pg", "ruby-pg", tmp_path / "shop", controller, sandbox, dict(STAND_IN))
    write(skeleton, "Gemfile", 'gem "pg", "~> 1.4"\ngem "dotenv"\n')
    write(skeleton, "lib/shop.rb", "module Shop; end\n")
    run = skeleton.onboard(samples=True, **SETTINGS)
    line = 'require_relative "crdb_database"; connection = CrdbDatabase.connect'
    assert line in skeleton.usage(run)
    write(skeleton, "app.rb", 'require "json"\n' + SHOP % line)
    write(skeleton, "test/app_test.rb", APP_TEST % "app.rb")
    program = str(skeleton.folder / "app.rb")
    expected = {"database": "defaultdb", "connect_timeout": "9", "keepalives": "1", "keepalives_idle": "45"}
    assert start(skeleton, "ruby", program, DATABASE_URL="") == [expected] * 3
    skeleton.command("minitest", ["ruby", "test/app_test.rb"], DATABASE_URL="")
    for _number in range(12):
        done = skeleton.command("the sample", ["ruby", "samples/pg_accounts.rb"], DATABASE_URL="")
    assert "account 1: " in done.stdout
    skeleton.command("the sample with --remove", ["ruby", "samples/pg_accounts.rb", "--remove"])
    without_url(skeleton, "ruby", program)
    without_dotenv(skeleton, "ruby", program)
    # In another folder, the line ends the program at once.
    write(skeleton, "lib/wrong.rb", SHOP % line)
    skeleton.command("the line in another folder fails", ["ruby", "lib/wrong.rb"], status=1)
    for name in ("app.rb", "test/app_test.rb", "lib/wrong.rb"):
        (skeleton.folder / name).unlink()
    skeleton.offboard()


APPLICATION = """
require "active_record"
require "active_support/configuration_file"
require "pathname"

module Rails
  class << self
    def root = Pathname(File.expand_path("..", __dir__))
    def env = ENV.fetch("RAILS_ENV", "development")
    def application = Shop::Application
  end
end

module Shop
  class Application
    Config = Struct.new(:paths) do
      def load_database_yaml = ActiveSupport::ConfigurationFile.parse(Rails.root.join(paths["config/database"]))
    end
    def self.config = @config ||= Config.new({ "config/database" => "config/database.yml" })
    # LINE
  end
end
"""
ENVIRONMENT = """
require_relative "application"
ActiveRecord::Base.configurations = Rails.application.config.load_database_yaml
ActiveRecord::Base.establish_connection(Rails.env.to_sym)
"""
RUNNER = """
require "json"
require_relative "../config/environment"
if ARGV.any?
  load ARGV.shift
else
  pool = ActiveRecord::Base.connection_pool
  settings = ActiveRecord::Base.connection.raw_connection.conninfo_hash
  puts({
    database: ActiveRecord::Base.connection.current_database, size: pool.size, checkout: pool.checkout_timeout,
    idle: ActiveRecord::Base.connection_db_config.idle_timeout,
    **settings.slice(:connect_timeout, :keepalives, :keepalives_idle),
  }.to_json)
end
"""
RAKEFILE = """
require_relative "config/application"
tasks = ActiveRecord::Tasks::DatabaseTasks
tasks.register_task(/cockroachdb/, "ActiveRecord::Tasks::PostgreSQLDatabaseTasks")
tasks.db_dir = Rails.root.join("db").to_s
tasks.migrations_paths = [Rails.root.join("db/migrate").to_s]
task(:environment) { require_relative "config/environment" }
# The sandbox has pg_catalog in its search path, so PostgreSQL's adapter dumps that too.
ActiveRecord::SchemaDumper.ignore_tables = [/\\Apg_/]
load "active_record/railties/databases.rake"
"""
MIGRATION = """
class CreateItems < ActiveRecord::Migration[6.1]
  def change
    create_table(:crdb_skeleton_items) { |table| table.text :name, null: false }
  end
end
"""
THEIRS = "development:\n  adapter: sqlite3\n  database: db/development.sqlite3\n"
EXPECTED = {
    "size": 7, "checkout": 9.0, "idle": 600.0, "connect_timeout": "9", "keepalives": "1", "keepalives_idle": "45",
}  # fmt: skip


@pytest.fixture
def administrator(sandbox: Sandbox) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """The cluster's administrator, who lets the app's user create databases for a while."""
    cluster = sandbox.clusters["lone-badger"]
    state = json.loads((sandbox.state / "sandbox.json").read_text())
    facts = state["clusters"]["lone-badger"]["admin"]
    known = {key: facts[key] for key in ("sslcert", "sslkey") if facts.get(key)}
    own = {"user": facts["user"], "password": facts.get("password"), **known}
    with psycopg.connect(**cluster.conninfo(**own), autocommit=True) as connection:
        connection.execute(f"ALTER ROLE {cluster.user} CREATEDB".encode())
        yield connection
        # Not even an administrator may drop a database of somebody else.
        with psycopg.connect(**cluster.conninfo(), autocommit=True) as own_connection:
            own_connection.execute(b"DROP DATABASE IF EXISTS defaultdb_test WITH (FORCE)")
        for table in ("crdb_skeleton_items", "schema_migrations", "ar_internal_metadata"):
            connection.execute(f"DROP TABLE IF EXISTS {table}".encode())
        connection.execute(f"ALTER ROLE {cluster.user} NOCREATEDB".encode())


@pytest.mark.parametrize("theirs", [False, True], ids=["new", "with its own database.yml"])
def test_a_rails_app(tmp_path: Path, controller: Controller, sandbox: Sandbox, administrator, theirs: bool):
    title = "Rails, with a database.yml" if theirs else "Rails"
    skeleton = Skeleton(title, "activerecord", tmp_path / "shop", controller, sandbox, dict(STAND_IN), cluster=CLUSTER)
    write(skeleton, "config/application.rb", APPLICATION)
    write(skeleton, "config/environment.rb", ENVIRONMENT)
    write(skeleton, "bin/rails.rb", RUNNER)
    write(skeleton, "lib/shop.rb", "")
    write(skeleton, "Rakefile", RAKEFILE)
    write(skeleton, "db/migrate/20260101000000_create_items.rb", MIGRATION)
    if theirs:
        write(skeleton, "config/database.yml", THEIRS)
    run = skeleton.onboard(samples=True, **SETTINGS)
    line = 'config.paths["config/database"] = "config/crdb_database.yml"'
    assert (line in skeleton.usage(run)) == theirs
    if theirs:
        assert (skeleton.folder / "config" / "database.yml").read_text() == THEIRS
        # Without the line, the program does not start: the adapter of their file is not there.
        skeleton.command("start without the line fails", ["ruby", "bin/rails.rb"], status=1)
        write(skeleton, "config/application.rb", APPLICATION.replace("# LINE", line))
    program = str(skeleton.folder / "bin" / "rails.rb")
    assert start(skeleton, "ruby", program) == [{"database": "defaultdb", **EXPECTED}] * 3
    skeleton.command("rake db:migrate", ["rake", "db:migrate"])
    administrator.execute(b"INSERT INTO crdb_skeleton_items (name) VALUES ('tea')")
    url = (skeleton.folder / ".env").read_text().partition('DATABASE_URL="')[2].partition('"')[0]
    for title, environment in (
        ("rake db:test:prepare", {}),
        ("rake db:test:prepare with DATABASE_URL exported", {"DATABASE_URL": url}),
        ("rake db:test:prepare with RAILS_ENV=test", {"DATABASE_URL": url, "RAILS_ENV": "test"}),
    ):
        skeleton.command(title, ["rake", "db:test:prepare"], **environment)
        assert administrator.execute(b"SELECT name FROM crdb_skeleton_items").fetchall() == [("tea",)]
    assert start(skeleton, "ruby", program, RAILS_ENV="test") == [{"database": "defaultdb_test", **EXPECTED}] * 3
    assert start(skeleton, "ruby", program, RAILS_ENV="test", DATABASE_URL=url)[0]["database"] == "defaultdb_test"
    runner = ["ruby", "bin/rails.rb", "samples/active_record_accounts.rb"]
    for _number in range(12):
        skeleton.command("the sample", runner)
    skeleton.command("the sample with --remove", [*runner, "--remove"])
    without_url(skeleton, "ruby", program)
    without_dotenv(skeleton, "ruby", program)
    write(skeleton, "config/application.rb", APPLICATION)
    (skeleton.folder / "db" / "schema.rb").unlink()
    skeleton.offboard()


GEMS = ("railties", "actionpack", "activerecord", "pg", "dotenv")
ITEM_TEST = """require "test_helper"

class ItemTest < ActiveSupport::TestCase
  test "items are kept in the database of the tests" do
    Item.create!(name: "milk")
    assert_equal ["milk"], Item.pluck(:name)
    assert_equal "defaultdb_test", Item.connection.current_database
  end
end
"""
REPORT = """
pool = Item.connection_pool
settings = Item.connection.raw_connection.conninfo_hash
puts({
  database: Item.connection.current_database, size: pool.size, checkout: pool.checkout_timeout,
  idle: Item.connection_db_config.idle_timeout, **settings.slice(:connect_timeout, :keepalives, :keepalives_idle),
}.to_json)
"""


@pytest.fixture
def rails(tmp_path: Path, controller: Controller, sandbox: Sandbox) -> Skeleton:
    """What `rails new` makes, with PostgreSQL in its own database.yml, a model and a test; skipped without Rails."""
    if subprocess.run(["ruby", "-e", 'gem "railties"; gem "bundler"'], capture_output=True, check=False).returncode:
        pytest.skip("there is no Rails on this machine (Debian: apt-get install ruby-railties ruby-actionpack bundler)")
    # Assets, the server and the watcher need more gems.
    options = ["--minimal", "--skip-sprockets", "--skip-puma", "--skip-listen", "--skip-bundle", "--skip-git"]
    skeleton = Skeleton(
        "rails new", "activerecord", tmp_path / "shop", controller, sandbox, dict(STAND_IN), cluster=CLUSTER
    )
    new = ["rails", "new", "shop", "--database=postgresql", *options]
    done = subprocess.run(
        new, cwd=tmp_path, env={**os.environ, "HOME": str(controller.home)}, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout
    # Several processes of tests would each want a database.
    skeleton.environment["PARALLEL_WORKERS"] = "1"
    # Only what is installed here; its source stays as Rails wrote it.
    source = next(line for line in (skeleton.folder / "Gemfile").read_text().splitlines() if line.startswith("source"))
    write(skeleton, "Gemfile", "\n".join([source, *(f'gem "{name}"' for name in GEMS), ""]))
    write(
        skeleton,
        "app/models/item.rb",
        'class Item < ApplicationRecord\n  self.table_name = "crdb_skeleton_items"\nend\n',
    )
    write(skeleton, "db/migrate/20260101000000_create_items.rb", MIGRATION)
    write(skeleton, "test/models/item_test.rb", ITEM_TEST)
    write(skeleton, "test/fixtures/.keep", "")
    write(skeleton, "config/initializers/dumper.rb", "ActiveRecord::SchemaDumper.ignore_tables = [/\\Apg_/]\n")
    # CockroachDB's adapter brings tasks of its own.
    tasks = 'tasks.register_task(/cockroachdb/, "ActiveRecord::Tasks::PostgreSQLDatabaseTasks")'
    write(skeleton, "lib/tasks/adapter.rake", f"tasks = ActiveRecord::Tasks::DatabaseTasks\n{tasks}\n")
    skeleton.command("bundle install --local", ["bundle", "install", "--local", "--quiet"])
    return skeleton


def test_rails_new(rails: Skeleton, administrator):
    run = rails.onboard(samples=True, **SETTINGS)
    line = 'config.paths["config/database"] = "config/crdb_database.yml"'
    assert line in rails.usage(run)
    application = rails.folder / "config" / "application.rb"
    original = application.read_text()
    rails.command("rails db:migrate without the line fails", ["bin/rails", "db:migrate"], status=1)
    application.write_text(original.replace("    config.load_defaults", f"    {line}\n    config.load_defaults"))
    program = str(rails.folder / "bin" / "rails")
    rails.command("rails db:migrate", [program, "db:migrate"])
    administrator.execute(b"INSERT INTO crdb_skeleton_items (name) VALUES ('tea')")
    write(rails, "report.rb", REPORT)
    assert (
        start(rails, program, "runner", str(rails.folder / "report.rb")) == [{"database": "defaultdb", **EXPECTED}] * 3
    )
    url = (rails.folder / ".env").read_text().partition('DATABASE_URL="')[2].partition('"')[0]
    for title, environment in (("", {}), (" with DATABASE_URL exported", {"DATABASE_URL": url})):
        rails.command(f"rails db:test:prepare{title}", [program, "db:test:prepare"], **environment)
        done = rails.command(f"rails test{title}", [program, "test"], **environment)
        assert "1 runs, 2 assertions, 0 failures, 0 errors" in done.stdout
        assert administrator.execute(b"SELECT name FROM crdb_skeleton_items").fetchall() == [("tea",)]
    assert "up" in rails.command("rails db:migrate:status", [program, "db:migrate:status"]).stdout
    rails.command("the sample", [program, "runner", "samples/active_record_accounts.rb"])
    rails.command("the sample with --remove", [program, "runner", "samples/active_record_accounts.rb", "--remove"])
    without_url(rails, program, "runner", "puts Item.count")
    application.write_text(original)
    for name in ("db/schema.rb", "report.rb", "log/development.log", "log/test.log"):
        (rails.folder / name).unlink(missing_ok=True)
    shutil.rmtree(rails.folder / "tmp", ignore_errors=True)
    rails.before = {name: data for name, data in rails.before.items() if not name.startswith("tmp/")}
    rails.offboard()


def test_a_plain_project_with_activerecord(tmp_path: Path, controller: Controller, sandbox: Sandbox):
    skeleton = Skeleton("Ruby, ActiveRecord", "activerecord", tmp_path / "shop", controller, sandbox, dict(STAND_IN))
    write(skeleton, "Gemfile", 'gem "activerecord", "~> 6.1"\n')
    write(skeleton, "lib/shop.rb", "")
    run = skeleton.onboard(samples=True, **SETTINGS)
    line = 'require_relative "config/crdb_database"'
    assert line in skeleton.usage(run)
    write(skeleton, "app.rb", RUNNER.replace('require_relative "../config/environment"', line))
    program = str(skeleton.folder / "app.rb")
    assert start(skeleton, "ruby", program, DATABASE_URL="") == [{"database": "defaultdb", **EXPECTED}] * 3
    sample = str(skeleton.folder / "samples" / "active_record_accounts.rb")
    skeleton.command("the sample", ["ruby", sample], DATABASE_URL="")
    skeleton.command("the sample with --remove", ["ruby", sample, "--remove"], DATABASE_URL="")
    without_url(skeleton, "ruby", program)
    without_dotenv(skeleton, "ruby", program)
    (skeleton.folder / "app.rb").unlink()
    skeleton.offboard()
