// The job tables of SqliteTransaction.
#include <algorithm>
#include <limits>

#include "absl/time/time.h"
#include "common/errors.h"
#include "common/status_macros.h"
#include "nlohmann/json.hpp"
#include "server/store/proto_time.h"
#include "server/store/sqlite/sqlite_transaction.h"

namespace atelier::server::store {
namespace {

using Json = nlohmann::json;

// The order of ReadJob.
#define ATELIER_JOB_COLUMNS                                                                  \
  "number, id, spec, state, reason, fence, attempts, create_time, start_time, end_time, "    \
  "progress, output_version, last_sequence, warnings, checkpoint_step, fruitless_attempts, " \
  "result_directory, crashes, crash_step, server_deaths, drained"

absl::Status Damaged(std::string_view what) {
  return absl::DataLossError("the server's database holds a damaged " + std::string(what));
}

absl::Status NoSuchJob(std::string_view id) {
  return NotFoundResource("job", id, "there is no job \"" + std::string(id) + "\"");
}

std::uint64_t StateNumber(v1::JobState state) { return static_cast<std::uint64_t>(state); }

std::string WarningsToJson(const v1::Job& job) {
  const Json list(std::vector<std::string>(job.warnings().begin(), job.warnings().end()));
  return list.dump(-1, ' ', false, Json::error_handler_t::replace);
}

absl::Status WarningsFromJson(const std::string& text, v1::Job& job) {
  const Json list = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!list.is_array()) {
    return Damaged("list of warnings");
  }
  for (const Json& warning : list) {
    if (warning.is_string()) {
      job.add_warnings(warning.get<std::string>());
    }
  }
  return absl::OkStatus();
}

std::optional<std::int64_t> Micros(bool has, const google::protobuf::Timestamp& time) {
  return has ? std::optional(ProtoToMicros(time)) : std::nullopt;
}

void ReadTimes(const SqliteStatement& row, v1::Job& job) {
  if (!row.IsNull(7)) {
    *job.mutable_create_time() = MicrosToProto(row.Signed(7));
  }
  if (!row.IsNull(8)) {
    *job.mutable_start_time() = MicrosToProto(row.Signed(8));
  }
  if (!row.IsNull(9)) {
    *job.mutable_end_time() = MicrosToProto(row.Signed(9));
  }
}

absl::StatusOr<JobRecord> ReadJob(const SqliteStatement& row) {
  JobRecord record;
  v1::Job& job = record.job;
  record.number = row.Unsigned(0);
  if (!job.mutable_spec()->ParseFromString(row.Text(2)) || job.spec().job_id() != row.Text(1)) {
    return Damaged("job");
  }
  job.set_state(static_cast<v1::JobState>(row.Signed(3)));
  job.set_reason(row.Text(4));
  record.fence = row.Unsigned(5);
  job.set_attempts(static_cast<std::uint32_t>(row.Unsigned(6)));
  ReadTimes(row, job);
  if (!row.IsNull(10) && !job.mutable_progress()->ParseFromString(row.Text(10))) {
    return Damaged("progress report");
  }
  job.set_output_version(static_cast<std::uint32_t>(row.Unsigned(11)));
  job.set_last_sequence(row.Unsigned(12));
  ATELIER_RETURN_IF_ERROR(WarningsFromJson(row.Text(13), job));
  record.checkpoint_step = row.Unsigned(14);
  record.fruitless_attempts = static_cast<std::uint32_t>(row.Unsigned(15));
  record.result_directory = row.Text(16);
  record.crashes = static_cast<std::uint32_t>(row.Unsigned(17));
  record.crash_step = row.Unsigned(18);
  record.server_deaths = static_cast<std::uint32_t>(row.Unsigned(19));
  record.drained = row.Signed(20) != 0;
  return record;
}

absl::Status ReadJobs(SqliteStatement& statement, std::vector<JobRecord>& records) {
  for (;;) {
    ATELIER_ASSIGN_OR_RETURN(const bool has_row, statement.Step());
    if (!has_row) {
      return absl::OkStatus();
    }
    ATELIER_ASSIGN_OR_RETURN(JobRecord record, ReadJob(statement));
    records.push_back(std::move(record));
  }
}

// Binds what UpdateJob may change, to positions 1 to 17.
void BindChanging(SqliteStatement& statement, const JobRecord& record) {
  const v1::Job& job = record.job;
  statement.Bind(1, StateNumber(job.state()))
      .Bind(2, job.reason())
      .Bind(3, record.fence)
      .Bind(4, std::uint64_t{job.attempts()})
      .Bind(5, Micros(job.has_start_time(), job.start_time()))
      .Bind(6, Micros(job.has_end_time(), job.end_time()));
  if (job.has_progress()) {
    statement.BindBlob(7, job.progress().SerializeAsString());
  } else {
    statement.BindNull(7);
  }
  statement.Bind(8, std::uint64_t{job.output_version()})
      .Bind(9, job.last_sequence())
      .Bind(10, WarningsToJson(job))
      .Bind(11, record.checkpoint_step)
      .Bind(12, std::uint64_t{record.fruitless_attempts})
      .Bind(13, record.result_directory)
      .Bind(14, std::uint64_t{record.crashes})
      .Bind(15, record.crash_step)
      .Bind(16, std::uint64_t{record.server_deaths})
      .Bind(17, std::uint64_t{record.drained ? 1U : 0U});
}

}  // namespace

absl::StatusOr<JobRecord> SqliteTransaction::GetJob(std::string_view id) {
  SqliteStatement statement =
      connection_.Prepare("SELECT " ATELIER_JOB_COLUMNS " FROM jobs WHERE id = ?");
  statement.Bind(1, id);
  ATELIER_ASSIGN_OR_RETURN(const bool has_row, statement.Step());
  if (!has_row) {
    return NoSuchJob(id);
  }
  return ReadJob(statement);
}

absl::StatusOr<std::vector<JobRecord>> SqliteTransaction::ListJobs(std::uint64_t before,
                                                                   std::uint32_t limit) {
  constexpr std::uint64_t kLargest = std::numeric_limits<std::int64_t>::max();
  SqliteStatement statement = connection_.Prepare(
      "SELECT " ATELIER_JOB_COLUMNS " FROM jobs WHERE number < ? ORDER BY number DESC LIMIT ?");
  statement.Bind(1, before == 0 ? kLargest : std::min(before, kLargest))
      .Bind(2, std::uint64_t{limit});
  std::vector<JobRecord> records;
  ATELIER_RETURN_IF_ERROR(ReadJobs(statement, records));
  return records;
}

absl::StatusOr<std::vector<JobRecord>> SqliteTransaction::JobsInStates(
    const std::vector<v1::JobState>& states) {
  std::vector<JobRecord> records;
  for (const v1::JobState state : states) {
    SqliteStatement statement = connection_.Prepare("SELECT " ATELIER_JOB_COLUMNS
                                                    " FROM jobs WHERE state = ? ORDER BY number");
    statement.Bind(1, StateNumber(state));
    ATELIER_RETURN_IF_ERROR(ReadJobs(statement, records));
  }
  std::sort(records.begin(), records.end(),
            [](const JobRecord& a, const JobRecord& b) { return a.number < b.number; });
  return records;
}

absl::StatusOr<std::map<v1::JobState, std::uint64_t>> SqliteTransaction::CountJobs() {
  SqliteStatement statement =
      connection_.Prepare("SELECT state, count(*) FROM jobs GROUP BY state");
  std::map<v1::JobState, std::uint64_t> counts;
  for (;;) {
    ATELIER_ASSIGN_OR_RETURN(const bool has_row, statement.Step());
    if (!has_row) {
      return counts;
    }
    counts[static_cast<v1::JobState>(statement.Signed(0))] = statement.Unsigned(1);
  }
}

absl::StatusOr<std::vector<v1::JobEvent>> SqliteTransaction::ListEvents(std::string_view job_id,
                                                                        std::uint64_t from,
                                                                        std::uint32_t max_events,
                                                                        std::uint64_t max_bytes) {
  SqliteStatement statement = connection_.Prepare(
      "SELECT payload FROM job_events WHERE job_id = ? AND sequence >= ? "
      "ORDER BY sequence LIMIT ?");
  statement.Bind(1, job_id).Bind(2, from).Bind(3, std::uint64_t{max_events});
  std::vector<v1::JobEvent> events;
  std::uint64_t bytes = 0;
  while (bytes < max_bytes) {
    ATELIER_ASSIGN_OR_RETURN(const bool has_row, statement.Step());
    if (!has_row) {
      break;
    }
    const std::string payload = statement.Text(0);
    bytes += payload.size();
    if (!events.emplace_back().ParseFromString(payload)) {
      return Damaged("event");
    }
  }
  return events;
}

absl::Status SqliteTransaction::InsertJob(JobRecord& record) {
  const v1::Job& job = record.job;
  SqliteStatement statement = connection_.Prepare(
      "INSERT INTO jobs (state, reason, fence, attempts, start_time, end_time, progress, "
      "output_version, last_sequence, warnings, checkpoint_step, fruitless_attempts, "
      "result_directory, crashes, crash_step, server_deaths, drained, id, spec, create_time) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  BindChanging(statement, record);
  statement.Bind(18, job.spec().job_id())
      .BindBlob(19, job.spec().SerializeAsString())
      .Bind(20, Micros(job.has_create_time(), job.create_time()));
  ATELIER_RETURN_IF_ERROR(statement.Run());
  record.number = connection_.last_insert_rowid();
  return absl::OkStatus();
}

absl::Status SqliteTransaction::UpdateJob(const JobRecord& record) {
  SqliteStatement statement = connection_.Prepare(
      "UPDATE jobs SET state = ?, reason = ?, fence = ?, attempts = ?, start_time = ?, "
      "end_time = ?, progress = ?, output_version = ?, last_sequence = ?, warnings = ?, "
      "checkpoint_step = ?, fruitless_attempts = ?, result_directory = ?, crashes = ?, "
      "crash_step = ?, server_deaths = ?, drained = ? WHERE id = ?");
  BindChanging(statement, record);
  const std::string& id = record.job.spec().job_id();
  statement.Bind(18, id);
  ATELIER_RETURN_IF_ERROR(statement.Run());
  return connection_.changes() == 0 ? NoSuchJob(id) : absl::OkStatus();
}

absl::Status SqliteTransaction::DeleteJob(std::string_view id) {
  // Its events go with it (ON DELETE CASCADE).
  SqliteStatement statement = connection_.Prepare("DELETE FROM jobs WHERE id = ?");
  statement.Bind(1, id);
  ATELIER_RETURN_IF_ERROR(statement.Run());
  return connection_.changes() == 0 ? NoSuchJob(id) : absl::OkStatus();
}

absl::Status SqliteTransaction::AppendEvent(JobRecord& record, v1::JobEvent& event) {
  const std::string& id = record.job.spec().job_id();
  const std::uint64_t sequence = record.job.last_sequence() + 1;
  event.set_sequence(sequence);
  {
    SqliteStatement insert = connection_.Prepare(
        "INSERT INTO job_events (job_id, sequence, time, payload) VALUES (?, ?, ?, ?)");
    insert.Bind(1, id)
        .Bind(2, sequence)
        .Bind(3, std::optional(ProtoToMicros(event.time())))
        .BindBlob(4, event.SerializeAsString());
    ATELIER_RETURN_IF_ERROR(insert.Run());
  }
  if (sequence > kKeptEvents) {
    SqliteStatement prune =
        connection_.Prepare("DELETE FROM job_events WHERE job_id = ? AND sequence <= ?");
    prune.Bind(1, id).Bind(2, sequence - kKeptEvents);
    ATELIER_RETURN_IF_ERROR(prune.Run());
  }
  record.job.set_last_sequence(sequence);
  return absl::OkStatus();
}

#undef ATELIER_JOB_COLUMNS

}  // namespace atelier::server::store
