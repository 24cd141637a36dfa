#include "server/store/sqlite/connection.h"

#include <utility>

#include "common/status_macros.h"
#include "server/store/disk_status.h"

namespace atelier::server::store {
namespace {

constexpr int kBusyTimeoutMs = 5000;

absl::Status LimitSize(SqliteConnection& connection, std::uint64_t max_bytes) {
  std::uint64_t page_size = 0;
  {
    SqliteStatement statement = connection.Prepare("PRAGMA page_size");
    ATELIER_RETURN_IF_ERROR(statement.Step().status());
    page_size = statement.Unsigned(0);
  }
  return connection.Execute("PRAGMA max_page_count=" + std::to_string(max_bytes / page_size));
}

}  // namespace

absl::Status FromSqlite(int code) {
  switch (code & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
      return absl::OkStatus();
    case SQLITE_FULL:
      return DiskFull();
    case SQLITE_READONLY:
    case SQLITE_PERM:
      return DiskReadOnly();
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::UnavailableError("the server's database is busy");
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::DataLossError("the server's database is damaged; restore it from a backup");
    case SQLITE_CONSTRAINT:
      return absl::AlreadyExistsError("the server's database holds it already");
    case SQLITE_CANTOPEN:
      return absl::InternalError("the server's database cannot be opened");
    default:
      return absl::InternalError("the server's database failed with code " + std::to_string(code));
  }
}

SqliteStatement::SqliteStatement(sqlite3_stmt* statement, absl::Status prepared)
    : statement_(statement), status_(std::move(prepared)) {}

SqliteStatement::~SqliteStatement() {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

void SqliteStatement::Keep(int code) {
  if (status_.ok()) {
    status_ = FromSqlite(code);
  }
}

SqliteStatement& SqliteStatement::Bind(int position, std::uint64_t value) {
  return Bind(position, std::optional<std::int64_t>(static_cast<std::int64_t>(value)));
}

SqliteStatement& SqliteStatement::Bind(int position, std::optional<std::int64_t> value) {
  if (!value.has_value()) {
    return BindNull(position);
  }
  if (status_.ok()) {
    Keep(sqlite3_bind_int64(statement_, position, *value));
  }
  return *this;
}

SqliteStatement& SqliteStatement::Bind(int position, std::string_view text) {
  if (status_.ok()) {
    // Never null: SQLite takes a null pointer for NULL, an empty view may hold one.
    Keep(sqlite3_bind_text64(statement_, position, text.empty() ? "" : text.data(), text.size(),
                             SQLITE_TRANSIENT, SQLITE_UTF8));
  }
  return *this;
}

SqliteStatement& SqliteStatement::BindBlob(int position, std::string_view bytes) {
  if (status_.ok()) {
    Keep(sqlite3_bind_blob64(statement_, position, bytes.empty() ? "" : bytes.data(), bytes.size(),
                             SQLITE_TRANSIENT));
  }
  return *this;
}

SqliteStatement& SqliteStatement::BindReal(int position, double value) {
  if (status_.ok()) {
    Keep(sqlite3_bind_double(statement_, position, value));
  }
  return *this;
}

SqliteStatement& SqliteStatement::BindNull(int position) {
  if (status_.ok()) {
    Keep(sqlite3_bind_null(statement_, position));
  }
  return *this;
}

absl::StatusOr<bool> SqliteStatement::Step() {
  if (!status_.ok()) {
    return status_;
  }
  const int code = sqlite3_step(statement_);
  Keep(code);
  if (!status_.ok()) {
    return status_;
  }
  return code == SQLITE_ROW;
}

absl::Status SqliteStatement::Run() { return Step().status(); }

std::uint64_t SqliteStatement::Unsigned(int column) const {
  return static_cast<std::uint64_t>(Signed(column));
}

std::int64_t SqliteStatement::Signed(int column) const {
  return sqlite3_column_int64(statement_, column);
}

double SqliteStatement::Real(int column) const { return sqlite3_column_double(statement_, column); }

std::string SqliteStatement::Text(int column) const {
  // The pointer first: asking for it may convert the value and so change its size.
  const void* data = sqlite3_column_blob(statement_, column);
  const int size = sqlite3_column_bytes(statement_, column);
  return data == nullptr
             ? std::string()
             : std::string(static_cast<const char*>(data), static_cast<std::size_t>(size));
}

bool SqliteStatement::IsNull(int column) const {
  return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

SqliteConnection::SqliteConnection(sqlite3* database) : database_(database) {}

SqliteConnection::~SqliteConnection() {
  for (const auto& [sql, statement] : statements_) {
    sqlite3_finalize(statement);
  }
  sqlite3_close(database_);
}

absl::StatusOr<std::unique_ptr<SqliteConnection>> SqliteConnection::Open(const Options& options) {
  sqlite3* database = nullptr;
  const int code =
      sqlite3_open_v2(options.path.c_str(), &database,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  std::unique_ptr<SqliteConnection> connection(new SqliteConnection(database));
  ATELIER_RETURN_IF_ERROR(FromSqlite(code));
  sqlite3_busy_timeout(database, kBusyTimeoutMs);
  ATELIER_RETURN_IF_ERROR(connection->Execute(
      "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON"));
  if (options.max_bytes > 0) {
    ATELIER_RETURN_IF_ERROR(LimitSize(*connection, options.max_bytes));
  }
  if (options.read_only) {
    ATELIER_RETURN_IF_ERROR(connection->Execute("PRAGMA query_only=ON"));
  }
  return connection;
}

absl::Status SqliteConnection::Execute(const std::string& sql) {
  return FromSqlite(sqlite3_exec(database_, sql.c_str(), nullptr, nullptr, nullptr));
}

SqliteStatement SqliteConnection::Prepare(const char* sql) {
  sqlite3_stmt*& statement = statements_[sql];
  if (statement != nullptr) {
    return {statement, absl::OkStatus()};
  }
  const int code =
      sqlite3_prepare_v3(database_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  return {statement, FromSqlite(code)};
}

absl::Status SqliteConnection::Transact(const char* begin, absl::FunctionRef<absl::Status()> body) {
  ATELIER_RETURN_IF_ERROR(Prepare(begin).Run());
  absl::Status status = body();
  if (status.ok()) {
    status = Prepare("COMMIT").Run();
  }
  if (!status.ok()) {
    RollBack();
  }
  return status;
}

void SqliteConnection::RollBack() {
  // A full disk may have made SQLite roll back by itself; then there is nothing left to do.
  if (sqlite3_get_autocommit(database_) == 0) {
    sqlite3_exec(database_, "ROLLBACK", nullptr, nullptr, nullptr);
  }
}

std::uint64_t SqliteConnection::last_insert_rowid() const {
  return static_cast<std::uint64_t>(sqlite3_last_insert_rowid(database_));
}

std::uint64_t SqliteConnection::changes() const {
  return static_cast<std::uint64_t>(sqlite3_changes(database_));
}

}  // namespace atelier::server::store
