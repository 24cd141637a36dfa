// The embedded store: one SQLite file in WAL mode, flushed at every commit. One connection writes,
// one reads, so that reading never waits for the disk. Migrations are numbered and run at Open.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "server/store/sqlite/connection.h"
#include "server/store/store.h"

namespace atelier::server::store {

class SqliteStore final : public Store {
 public:
  struct Options {
    std::filesystem::path path;
    // The file's greatest size; beyond it writes are RESOURCE_EXHAUSTED. Unit: bytes; 0: as large
    // as the disk allows.
    std::uint64_t max_bytes = 0;
  };

  // FAILED_PRECONDITION: the file was written by a newer program; else the errors of Store.
  static absl::StatusOr<std::unique_ptr<SqliteStore>> Open(const Options& options);

  absl::Status Read(absl::FunctionRef<absl::Status(Reader&)> body) override
      ABSL_LOCKS_EXCLUDED(read_mutex_);
  absl::Status Write(absl::FunctionRef<absl::Status(Writer&)> body) override
      ABSL_LOCKS_EXCLUDED(write_mutex_);

 private:
  SqliteStore(std::unique_ptr<SqliteConnection> writer, std::unique_ptr<SqliteConnection> reader);

  absl::Mutex write_mutex_;
  const std::unique_ptr<SqliteConnection> writer_ ABSL_PT_GUARDED_BY(write_mutex_);
  absl::Mutex read_mutex_;
  const std::unique_ptr<SqliteConnection> reader_ ABSL_PT_GUARDED_BY(read_mutex_);
};

}  // namespace atelier::server::store
