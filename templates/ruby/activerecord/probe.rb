# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Prove the connection of config/database.yml: run with ruby in the folder of the app. Where the CockroachDB adapter is
# not installed, what ActiveRecord made of the file is given to its PostgreSQL adapter, and the result says so.
require "erb"
require "json"
require "yaml"
begin
  require "active_record"
  text = ERB.new(File.read("config/database.yml")).result
  loaded = YAML.respond_to?(:unsafe_load) ? YAML.unsafe_load(text) : YAML.load(text)
  ActiveRecord::Base.configurations = loaded
  found = ActiveRecord::Base.configurations.configs_for(env_name: "development", name: "primary").configuration_hash
  abort("activerecord: the adapter became #{found[:adapter]}") unless found[:adapter] == "cockroachdb"
  begin
    require "active_record/connection_adapters/cockroachdb_adapter"
    stand_in = ""
  rescue LoadError
    require "active_record/connection_adapters/postgresql_adapter"
    found = found.merge(adapter: "postgresql")
    stand_in = " (PostgreSQL's adapter)"
  end
  ActiveRecord::Base.establish_connection(found)
  connection = ActiveRecord::Base.connection
  row = connection.select_rows("SELECT current_user, current_database(), 41 + 1")[0]
  raw = connection.raw_connection
  puts JSON.generate(
    version: ActiveRecord::VERSION::STRING + stand_in, user: row[0], database: row[1], answer: Integer(row[2]),
    tls: raw.ssl_in_use? ? raw.ssl_attribute("protocol") : ""
  )
rescue LoadError => e
  abort("#{e.message} (LoadError)")
rescue ActiveRecord::ActiveRecordError, PG::Error => e
  abort("activerecord: #{e.message.strip}")
end
