// The database's layouts, in order.
#pragma once

#include "absl/status/status.h"
#include "server/store/sqlite/connection.h"

namespace atelier::server::store {

// The newest layout; the table `migrations` holds a row for each one that was reached.
int LatestLayout();

// Brings the database up to `layout` (LatestLayout() but in tests), each step in a transaction of
// its own. FAILED_PRECONDITION: the database is newer than this program.
absl::Status Migrate(SqliteConnection& connection, int layout);

}  // namespace atelier::server::store
