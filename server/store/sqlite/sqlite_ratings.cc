// The ratings of SqliteTransaction.
#include <limits>

#include "common/status_macros.h"
#include "server/store/sqlite/sqlite_transaction.h"

namespace atelier::server::store {
namespace {

// The order of ReadRating.
#define ATELIER_RATING_COLUMNS "number, request_id, name, version, score, note, time"

RatingRecord ReadRating(const SqliteStatement& row) {
  RatingRecord record;
  record.number = row.Unsigned(0);
  record.request_id = row.Text(1);
  record.name = row.Text(2);
  record.version = static_cast<std::uint32_t>(row.Unsigned(3));
  record.score = static_cast<std::uint32_t>(row.Unsigned(4));
  record.note = row.Text(5);
  record.time = absl::FromUnixMicros(row.Signed(6));
  return record;
}

}  // namespace

absl::StatusOr<std::optional<RatingRecord>> SqliteTransaction::FindRating(
    std::string_view request_id) {
  SqliteStatement statement =
      connection_.Prepare("SELECT " ATELIER_RATING_COLUMNS " FROM ratings WHERE request_id = ?");
  statement.Bind(1, request_id);
  ATELIER_ASSIGN_OR_RETURN(const bool has_row, statement.Step());
  return has_row ? std::optional(ReadRating(statement)) : std::nullopt;
}

absl::StatusOr<std::vector<RatingRecord>> SqliteTransaction::ListRatings(std::string_view name,
                                                                         std::uint32_t version,
                                                                         std::uint64_t before,
                                                                         std::uint32_t limit) {
  SqliteStatement statement = connection_.Prepare(
      "SELECT " ATELIER_RATING_COLUMNS
      " FROM ratings WHERE name = ? AND version = ? AND number < ? ORDER BY number DESC LIMIT ?");
  constexpr auto kAll = std::uint64_t{std::numeric_limits<std::int64_t>::max()};
  statement.Bind(1, name)
      .Bind(2, std::uint64_t{version})
      .Bind(3, before == 0 ? kAll : before)
      .Bind(4, std::uint64_t{limit});
  std::vector<RatingRecord> records;
  for (;;) {
    ATELIER_ASSIGN_OR_RETURN(const bool has_row, statement.Step());
    if (!has_row) {
      return records;
    }
    records.push_back(ReadRating(statement));
  }
}

absl::StatusOr<RatingTotals> SqliteTransaction::SumRatings(std::string_view name,
                                                           std::uint32_t version,
                                                           std::uint32_t max_notes) {
  RatingTotals totals;
  SqliteStatement counts = connection_.Prepare(
      "SELECT score, count(*) FROM ratings WHERE name = ? AND version = ? GROUP BY score");
  counts.Bind(1, name).Bind(2, std::uint64_t{version});
  for (;;) {
    ATELIER_ASSIGN_OR_RETURN(const bool has_row, counts.Step());
    if (!has_row) {
      break;
    }
    if (const std::uint64_t score = counts.Unsigned(0); score >= 1 && score <= 5) {
      totals.counts.at(score - 1) = counts.Unsigned(1);
    }
  }
  SqliteStatement notes = connection_.Prepare(
      "SELECT note FROM ratings WHERE name = ? AND version = ? AND note != '' "
      "ORDER BY number DESC LIMIT ?");
  notes.Bind(1, name).Bind(2, std::uint64_t{version}).Bind(3, std::uint64_t{max_notes});
  for (;;) {
    ATELIER_ASSIGN_OR_RETURN(const bool has_row, notes.Step());
    if (!has_row) {
      return totals;
    }
    totals.notes.push_back(notes.Text(0));
  }
}

absl::Status SqliteTransaction::PutRating(RatingRecord& record) {
  ATELIER_RETURN_IF_ERROR(
      connection_
          .Prepare("INSERT OR REPLACE INTO ratings (request_id, name, version, score, note, time) "
                   "VALUES (?, ?, ?, ?, ?, ?)")
          .Bind(1, record.request_id)
          .Bind(2, record.name)
          .Bind(3, std::uint64_t{record.version})
          .Bind(4, std::uint64_t{record.score})
          .Bind(5, record.note)
          .Bind(6, std::optional<std::int64_t>(absl::ToUnixMicros(record.time)))
          .Run());
  record.number = connection_.last_insert_rowid();
  return connection_
      .Prepare(
          "DELETE FROM ratings WHERE name = ? AND version = ? AND number <= "
          "(SELECT number FROM ratings WHERE name = ? AND version = ? "
          "ORDER BY number DESC LIMIT 1 OFFSET ?)")
      .Bind(1, record.name)
      .Bind(2, std::uint64_t{record.version})
      .Bind(3, record.name)
      .Bind(4, std::uint64_t{record.version})
      .Bind(5, kKeptRatings)
      .Run();
}

absl::Status SqliteTransaction::RemoveRatings(std::string_view name, std::uint32_t version) {
  return connection_.Prepare("DELETE FROM ratings WHERE name = ? AND version = ?")
      .Bind(1, name)
      .Bind(2, std::uint64_t{version})
      .Run();
}

#undef ATELIER_RATING_COLUMNS

}  // namespace atelier::server::store
