#include "server/store/sqlite/sqlite_store.h"

#include <utility>

#include "common/status_macros.h"
#include "server/store/sqlite/migrations.h"
#include "server/store/sqlite/sqlite_transaction.h"

namespace atelier::server::store {

SqliteStore::SqliteStore(std::unique_ptr<SqliteConnection> writer,
                         std::unique_ptr<SqliteConnection> reader)
    : writer_(std::move(writer)), reader_(std::move(reader)) {}

absl::StatusOr<std::unique_ptr<SqliteStore>> SqliteStore::Open(const Options& options) {
  ATELIER_ASSIGN_OR_RETURN(
      std::unique_ptr<SqliteConnection> writer,
      SqliteConnection::Open({.path = options.path, .max_bytes = options.max_bytes}));
  ATELIER_RETURN_IF_ERROR(Migrate(*writer, LatestLayout()));
  ATELIER_ASSIGN_OR_RETURN(std::unique_ptr<SqliteConnection> reader,
                           SqliteConnection::Open({.path = options.path, .read_only = true}));
  return std::unique_ptr<SqliteStore>(new SqliteStore(std::move(writer), std::move(reader)));
}

absl::Status SqliteStore::Read(absl::FunctionRef<absl::Status(Reader&)> body) {
  const absl::MutexLock lock(&read_mutex_);
  SqliteTransaction transaction(*reader_);
  return reader_->Transact("BEGIN", [&] { return body(transaction); });
}

absl::Status SqliteStore::Write(absl::FunctionRef<absl::Status(Writer&)> body) {
  const absl::MutexLock lock(&write_mutex_);
  SqliteTransaction transaction(*writer_);
  return writer_->Transact("BEGIN IMMEDIATE", [&] { return body(transaction); });
}

}  // namespace atelier::server::store
