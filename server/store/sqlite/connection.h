// A thin, safe skin over sqlite3: statements with bound parameters, statuses instead of codes.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace atelier::server::store {

// One use of a prepared statement; its parameters are cleared at the end of its life. Positions of
// parameters count from 1, of columns from 0.
class SqliteStatement {
 public:
  // `statement` belongs to the connection; null when `prepared` is an error, which the first Step
  // returns.
  SqliteStatement(sqlite3_stmt* statement, absl::Status prepared);
  ~SqliteStatement();
  SqliteStatement(const SqliteStatement&) = delete;
  SqliteStatement& operator=(const SqliteStatement&) = delete;

  // The first failure is kept and returned by Step. Unsigned numbers keep their 64 bits.
  SqliteStatement& Bind(int position, std::uint64_t value);
  SqliteStatement& Bind(int position, std::optional<std::int64_t> value);  // nullopt: NULL
  SqliteStatement& Bind(int position, std::string_view text);
  SqliteStatement& BindBlob(int position, std::string_view bytes);
  SqliteStatement& BindReal(int position, double value);
  SqliteStatement& BindNull(int position);

  // True: there is a row.
  absl::StatusOr<bool> Step();
  // For statements without rows.
  absl::Status Run();

  std::uint64_t Unsigned(int column) const;
  std::int64_t Signed(int column) const;
  double Real(int column) const;
  std::string Text(int column) const;  // of texts and blobs
  bool IsNull(int column) const;

 private:
  void Keep(int code);

  sqlite3_stmt* const statement_;
  absl::Status status_;
};

// Not thread-safe.
class SqliteConnection {
 public:
  struct Options {
    std::filesystem::path path;
    bool read_only = false;
    std::uint64_t max_bytes = 0;  // 0: no limit
  };

  // Opens or creates the file: WAL, flush at each commit, foreign keys, five seconds of patience.
  static absl::StatusOr<std::unique_ptr<SqliteConnection>> Open(const Options& options);
  ~SqliteConnection();
  SqliteConnection(const SqliteConnection&) = delete;
  SqliteConnection& operator=(const SqliteConnection&) = delete;

  // Runs statements that have no parameters.
  absl::Status Execute(const std::string& sql);
  // `sql` is a literal: it is prepared once and kept.
  SqliteStatement Prepare(const char* sql);
  // Runs `body` in a transaction begun with `begin`; commits if it returns OK, else takes
  // everything back.
  absl::Status Transact(const char* begin, absl::FunctionRef<absl::Status()> body);

  std::uint64_t last_insert_rowid() const;
  // Rows changed by the last statement.
  std::uint64_t changes() const;

 private:
  explicit SqliteConnection(sqlite3* database);

  void RollBack();

  sqlite3* const database_;
  std::map<const char*, sqlite3_stmt*> statements_;
};

// RESOURCE_EXHAUSTED, PERMISSION_DENIED, UNAVAILABLE, DATA_LOSS, ALREADY_EXISTS (a broken
// constraint) or INTERNAL, as Store tells.
absl::Status FromSqlite(int code);

}  // namespace atelier::server::store
