# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Prove the connection that crdb_database.rb makes: run with ruby in the folder of the app.
require "json"
begin
  require File.join(Dir.pwd, "crdb_database")
  connection = CrdbDatabase.connect
  row = connection.exec_params("SELECT current_user, current_database(), $1::INT + 1", [41])[0].values
  version = PG::VERSION
  puts JSON.generate(
    version: version, user: row[0], database: row[1], answer: Integer(row[2]),
    tls: connection.ssl_in_use? ? connection.ssl_attribute("protocol") : ""
  )
  connection.close
rescue LoadError => e
  abort("#{e.message} (LoadError)")
rescue PG::Error => e
  abort("pg: #{e.message.strip}")
end
