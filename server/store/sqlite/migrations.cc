#include "server/store/sqlite/migrations.h"

#include <array>
#include <cstddef>
#include <string>

#include "common/status_macros.h"

namespace atelier::server::store {
namespace {

// Step N leads to layout N + 1. A released step is never changed: a new one is added behind it, and
// a database of the layout before it joins tests/server/store.
constexpr std::array<const char*, 6> kSteps = {
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
    // How often a job's trainer was lost since the checkpoint of a step.
    R"sql(
      ALTER TABLE jobs ADD COLUMN crashes INTEGER NOT NULL DEFAULT 0;
      ALTER TABLE jobs ADD COLUMN crash_step INTEGER NOT NULL DEFAULT 0;
    )sql",
    // Several versions of one job: its result, and any of its checkpoints under any name. Ratings
    // may be of shipped versions, which have no row, so they refer to nothing.
    R"sql(
      CREATE TABLE models_of_any_step (
        name TEXT NOT NULL,
        version INTEGER NOT NULL,
        job_id TEXT,
        job_step INTEGER NOT NULL,
        create_time INTEGER NOT NULL,
        family TEXT NOT NULL,
        tier TEXT NOT NULL,
        capabilities TEXT NOT NULL,
        parameters INTEGER NOT NULL,
        default_precision TEXT NOT NULL,
        weights_sha256 TEXT NOT NULL,
        weights_bytes INTEGER NOT NULL,
        deleted INTEGER NOT NULL,
        PRIMARY KEY (name, version)
      );
      INSERT INTO models_of_any_step
        SELECT name, version, job_id, 0, create_time, family, tier, capabilities, parameters,
               default_precision, weights_sha256, weights_bytes, deleted FROM models;
      DROP TABLE models;
      ALTER TABLE models_of_any_step RENAME TO models;
      CREATE UNIQUE INDEX results_of_jobs ON models (job_id) WHERE job_step = 0;
      CREATE UNIQUE INDEX models_of_checkpoints ON models (name, job_id, job_step)
        WHERE job_step > 0 AND deleted = 0;
      CREATE TABLE ratings (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        request_id TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        version INTEGER NOT NULL,
        score INTEGER NOT NULL,
        note TEXT NOT NULL,
        time INTEGER NOT NULL
      );
      CREATE INDEX ratings_by_model ON ratings (name, version, number);
    )sql",
    // How many servers died beneath a job, and whether the present one stops in order.
    R"sql(
      ALTER TABLE jobs ADD COLUMN server_deaths INTEGER NOT NULL DEFAULT 0;
      ALTER TABLE jobs ADD COLUMN drained INTEGER NOT NULL DEFAULT 0;
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
