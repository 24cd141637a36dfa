#include "server/store/sqlite/migrations.h"

#include <array>
#include <cstddef>
#include <string>

#include "common/status_macros.h"

namespace atelier::server::store {
namespace {

// Step N leads to layout N + 1. A released step is never changed: a new one is added behind it, and
// a database of the layout before it joins tests/server/store.
constexpr std::array<const char*, 3> kSteps = {
    // Jobs. Times are microseconds since 1970, messages protobuf, warnings a JSON list.
    R"sql(
      CREATE TABLE jobs (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        spec BLOB NOT NULL,
        state INTEGER NOT NULL,
        reason TEXT NOT NULL,
        fence INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        create_time INTEGER,
        start_time INTEGER,
        end_time INTEGER,
        progress BLOB,
        output_version INTEGER NOT NULL,
        last_sequence INTEGER NOT NULL,
        warnings TEXT NOT NULL,
        checkpoint_step INTEGER NOT NULL,
        fruitless_attempts INTEGER NOT NULL,
        result_directory TEXT NOT NULL
      );
      CREATE INDEX jobs_by_state ON jobs (state, number);
      CREATE TABLE job_events (
        job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        sequence INTEGER NOT NULL,
        time INTEGER NOT NULL,
        payload BLOB NOT NULL,
        PRIMARY KEY (job_id, sequence)
      );
    )sql",
    // Models. Labels may point at shipped versions, which have no row, so they refer to nothing.
    R"sql(
      CREATE TABLE models (
        name TEXT NOT NULL,
        version INTEGER NOT NULL,
        job_id TEXT UNIQUE,
        create_time INTEGER NOT NULL,
        family TEXT NOT NULL,
        tier TEXT NOT NULL,
        capabilities TEXT NOT NULL,
        parameters INTEGER NOT NULL,
        default_precision TEXT NOT NULL,
        weights_sha256 TEXT NOT NULL,
        weights_bytes INTEGER NOT NULL,
        PRIMARY KEY (name, version)
      );
      CREATE TABLE labels (
        name TEXT NOT NULL,
        label TEXT NOT NULL,
        version INTEGER NOT NULL,
        PRIMARY KEY (name, label)
      );
    )sql",
    // A canary's share, deleted versions, and versions that are kept in memory (shipped ones too;
    // sizes are decimal numbers with spaces between them).
    R"sql(
      ALTER TABLE labels ADD COLUMN traffic REAL NOT NULL DEFAULT 0;
      ALTER TABLE models ADD COLUMN deleted INTEGER NOT NULL DEFAULT 0;
      CREATE TABLE kept_models (
        name TEXT NOT NULL,
        version INTEGER NOT NULL,
        warmup_sizes TEXT NOT NULL,
        PRIMARY KEY (name, version)
      );
    )sql",
};

absl::StatusOr<int> PresentLayout(SqliteConnection& connection) {
  SqliteStatement statement =
      connection.Prepare("SELECT coalesce(max(version), 0) FROM migrations");
  ATELIER_RETURN_IF_ERROR(statement.Step().status());
  return static_cast<int>(statement.Signed(0));
}

absl::Status Apply(SqliteConnection& connection, int layout) {
  return connection.Transact("BEGIN IMMEDIATE", [&]() -> absl::Status {
    ATELIER_RETURN_IF_ERROR(connection.Execute(kSteps[static_cast<std::size_t>(layout - 1)]));
    return connection
        .Prepare("INSERT INTO migrations (version, time) VALUES (?, strftime('%s', 'now'))")
        .Bind(1, static_cast<std::uint64_t>(layout))
        .Run();
  });
}

}  // namespace

int LatestLayout() { return static_cast<int>(kSteps.size()); }

absl::Status Migrate(SqliteConnection& connection, int layout) {
  ATELIER_RETURN_IF_ERROR(
      connection.Execute("CREATE TABLE IF NOT EXISTS migrations (version INTEGER PRIMARY KEY, time "
                         "INTEGER NOT NULL)"));
  ATELIER_ASSIGN_OR_RETURN(const int present, PresentLayout(connection));
  if (present > LatestLayout()) {
    return absl::FailedPreconditionError("the database has layout " + std::to_string(present) +
                                         ", and this server knows layouts up to " +
                                         std::to_string(LatestLayout()) +
                                         "; use a newer atelier-server");
  }
  for (int next = present + 1; next <= layout; ++next) {
    ATELIER_RETURN_IF_ERROR(Apply(connection, next));
  }
  return absl::OkStatus();
}

}  // namespace atelier::server::store
