// The model tables of SqliteTransaction.
#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/status_macros.h"
#include "server/store/sqlite/sqlite_transaction.h"

namespace atelier::server::store {
namespace {

// The order of ReadModel. Capabilities are words, kept with spaces between them.
#define ATELIER_MODEL_COLUMNS                                                    \
  "name, version, job_id, create_time, family, tier, capabilities, parameters, " \
  "default_precision, weights_sha256, weights_bytes, deleted, job_step"

ModelRecord ReadModel(const SqliteStatement& row) {
  ModelRecord record;
  record.name = row.Text(0);
  record.version = static_cast<std::uint32_t>(row.Unsigned(1));
  record.job_id = row.Text(2);
  record.create_time = absl::FromUnixMicros(row.Signed(3));
  record.family = row.Text(4);
  record.tier = row.Text(5);
  record.capabilities = absl::StrSplit(row.Text(6), ' ', absl::SkipEmpty());
  record.parameters = row.Unsigned(7);
  record.default_precision = row.Text(8);
  record.weights_sha256 = row.Text(9);
  record.weights_bytes = row.Unsigned(10);
  record.deleted = row.Signed(11) != 0;
  record.job_step = row.Unsigned(12);
  return record;
}

std::vector<std::uint32_t> ReadSizes(const std::string& text) {
  std::vector<std::uint32_t> sizes;
  for (const std::string& word : std::vector<std::string>(absl::StrSplit(text, ' '))) {
    if (std::uint32_t size = 0; absl::SimpleAtoi(word, &size)) {
      sizes.push_back(size);
    }
  }
  return sizes;
}

}  // namespace

absl::StatusOr<std::vector<ModelRecord>> SqliteTransaction::ListModels() {
  SqliteStatement statement =
      connection_.Prepare("SELECT " ATELIER_MODEL_COLUMNS " FROM models ORDER BY name, version");
  std::vector<ModelRecord> records;
  for (;;) {
    ATELIER_ASSIGN_OR_RETURN(const bool has_row, statement.Step());
    if (!has_row) {
      return records;
    }
    records.push_back(ReadModel(statement));
  }
}

absl::StatusOr<std::optional<ModelRecord>> SqliteTransaction::FindModelOfJob(
    std::string_view job_id) {
  SqliteStatement statement = connection_.Prepare("SELECT " ATELIER_MODEL_COLUMNS
                                                  " FROM models WHERE job_id = ? AND job_step = 0");
  statement.Bind(1, job_id);
  ATELIER_ASSIGN_OR_RETURN(const bool has_row, statement.Step());
  return has_row ? std::optional(ReadModel(statement)) : std::nullopt;
}

absl::StatusOr<std::optional<ModelRecord>> SqliteTransaction::FindAnyModelOfJob(
    std::string_view job_id) {
  SqliteStatement statement =
      connection_.Prepare("SELECT " ATELIER_MODEL_COLUMNS
                          " FROM models WHERE job_id = ? ORDER BY name, version LIMIT 1");
  statement.Bind(1, job_id);
  ATELIER_ASSIGN_OR_RETURN(const bool has_row, statement.Step());
  return has_row ? std::optional(ReadModel(statement)) : std::nullopt;
}

absl::StatusOr<std::optional<ModelRecord>> SqliteTransaction::FindModelOfCheckpoint(
    std::string_view name, std::string_view job_id, std::uint64_t step) {
  SqliteStatement statement = connection_.Prepare(
      "SELECT " ATELIER_MODEL_COLUMNS
      " FROM models WHERE name = ? AND job_id = ? AND job_step = ? AND deleted = 0");
  statement.Bind(1, name).Bind(2, job_id).Bind(3, step);
  ATELIER_ASSIGN_OR_RETURN(const bool has_row, statement.Step());
  return has_row ? std::optional(ReadModel(statement)) : std::nullopt;
}

absl::StatusOr<std::vector<LabelRecord>> SqliteTransaction::ListLabels() {
  SqliteStatement statement =
      connection_.Prepare("SELECT name, label, version, traffic FROM labels ORDER BY name, label");
  std::vector<LabelRecord> records;
  for (;;) {
    ATELIER_ASSIGN_OR_RETURN(const bool has_row, statement.Step());
    if (!has_row) {
      return records;
    }
    records.push_back({.name = statement.Text(0),
                       .label = statement.Text(1),
                       .version = static_cast<std::uint32_t>(statement.Unsigned(2)),
                       .traffic = statement.Real(3)});
  }
}

absl::StatusOr<std::vector<KeptRecord>> SqliteTransaction::ListKept() {
  SqliteStatement statement = connection_.Prepare(
      "SELECT name, version, warmup_sizes FROM kept_models ORDER BY name, version");
  std::vector<KeptRecord> records;
  for (;;) {
    ATELIER_ASSIGN_OR_RETURN(const bool has_row, statement.Step());
    if (!has_row) {
      return records;
    }
    records.push_back({.name = statement.Text(0),
                       .version = static_cast<std::uint32_t>(statement.Unsigned(1)),
                       .warmup_sizes = ReadSizes(statement.Text(2))});
  }
}

absl::Status SqliteTransaction::InsertModel(const ModelRecord& record) {
  SqliteStatement statement =
      connection_.Prepare("INSERT INTO models (" ATELIER_MODEL_COLUMNS
                          ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  statement.Bind(1, record.name).Bind(2, std::uint64_t{record.version});
  if (record.job_id.empty()) {
    statement.BindNull(3);
  } else {
    statement.Bind(3, record.job_id);
  }
  return statement.Bind(4, std::optional<std::int64_t>(absl::ToUnixMicros(record.create_time)))
      .Bind(5, record.family)
      .Bind(6, record.tier)
      .Bind(7, absl::StrJoin(record.capabilities, " "))
      .Bind(8, record.parameters)
      .Bind(9, record.default_precision)
      .Bind(10, record.weights_sha256)
      .Bind(11, record.weights_bytes)
      .Bind(12, std::uint64_t{record.deleted ? 1U : 0U})
      .Bind(13, record.job_step)
      .Run();
}

absl::Status SqliteTransaction::MarkModelDeleted(std::string_view name, std::uint32_t version) {
  ATELIER_RETURN_IF_ERROR(
      connection_.Prepare("UPDATE models SET deleted = 1 WHERE name = ? AND version = ?")
          .Bind(1, name)
          .Bind(2, std::uint64_t{version})
          .Run());
  return connection_.changes() == 1
             ? absl::OkStatus()
             : absl::NotFoundError("the database has no such version of a model");
}

absl::Status SqliteTransaction::SetLabel(const LabelRecord& record) {
  return connection_
      .Prepare(
          "INSERT INTO labels (name, label, version, traffic) VALUES (?, ?, ?, ?) "
          "ON CONFLICT (name, label) DO UPDATE SET version = excluded.version, "
          "traffic = excluded.traffic")
      .Bind(1, record.name)
      .Bind(2, record.label)
      .Bind(3, std::uint64_t{record.version})
      .BindReal(4, record.traffic)
      .Run();
}

absl::Status SqliteTransaction::RemoveLabel(std::string_view name, std::string_view label) {
  return connection_.Prepare("DELETE FROM labels WHERE name = ? AND label = ?")
      .Bind(1, name)
      .Bind(2, label)
      .Run();
}

absl::Status SqliteTransaction::SetKept(const KeptRecord& record) {
  return connection_
      .Prepare(
          "INSERT INTO kept_models (name, version, warmup_sizes) VALUES (?, ?, ?) "
          "ON CONFLICT (name, version) DO UPDATE SET warmup_sizes = excluded.warmup_sizes")
      .Bind(1, record.name)
      .Bind(2, std::uint64_t{record.version})
      .Bind(3, absl::StrJoin(record.warmup_sizes, " "))
      .Run();
}

absl::Status SqliteTransaction::RemoveKept(std::string_view name, std::uint32_t version) {
  return connection_.Prepare("DELETE FROM kept_models WHERE name = ? AND version = ?")
      .Bind(1, name)
      .Bind(2, std::uint64_t{version})
      .Run();
}

#undef ATELIER_MODEL_COLUMNS

}  // namespace atelier::server::store
