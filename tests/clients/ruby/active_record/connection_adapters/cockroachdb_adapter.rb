# Copyright: (c) 2026, the crdb.onboard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# In place of the CockroachDB adapter, which cannot be installed here: the sample runs with PostgreSQL's.
require "active_record/connection_adapters/postgresql_adapter"

module ActiveRecord
  module ConnectionHandling
    def cockroachdb_connection(config)
      postgresql_connection(config.merge(adapter: "postgresql"))
    end
  end
end
