// Store's Writer and Reader over one SQLite connection that is inside a transaction.
#pragma once

#include "server/store/sqlite/connection.h"
#include "server/store/store.h"

namespace atelier::server::store {

// On a read-only connection only the Reader part works. `connection` outlives it.
class SqliteTransaction final : public Writer {
 public:
  explicit SqliteTransaction(SqliteConnection& connection) : connection_(connection) {}

  absl::StatusOr<JobRecord> GetJob(std::string_view id) override;
  absl::StatusOr<std::vector<JobRecord>> ListJobs(std::uint64_t before,
                                                  std::uint32_t limit) override;
  absl::StatusOr<std::vector<JobRecord>> JobsInStates(
      const std::vector<v1::JobState>& states) override;
  absl::StatusOr<std::map<v1::JobState, std::uint64_t>> CountJobs() override;
  absl::StatusOr<std::vector<v1::JobEvent>> ListEvents(std::string_view job_id, std::uint64_t from,
                                                       std::uint32_t max_events,
                                                       std::uint64_t max_bytes) override;
  absl::Status InsertJob(JobRecord& record) override;
  absl::Status UpdateJob(const JobRecord& record) override;
  absl::Status DeleteJob(std::string_view id) override;
  absl::Status AppendEvent(JobRecord& record, v1::JobEvent& event) override;

  absl::StatusOr<std::vector<ModelRecord>> ListModels() override;
  absl::StatusOr<std::optional<ModelRecord>> FindModelOfJob(std::string_view job_id) override;
  absl::StatusOr<std::optional<ModelRecord>> FindAnyModelOfJob(std::string_view job_id) override;
  absl::StatusOr<std::optional<ModelRecord>> FindModelOfCheckpoint(std::string_view name,
                                                                   std::string_view job_id,
                                                                   std::uint64_t step) override;
  absl::StatusOr<std::vector<LabelRecord>> ListLabels() override;
  absl::StatusOr<std::vector<KeptRecord>> ListKept() override;
  absl::Status InsertModel(const ModelRecord& record) override;
  absl::Status MarkModelDeleted(std::string_view name, std::uint32_t version) override;
  absl::Status SetLabel(const LabelRecord& record) override;
  absl::Status RemoveLabel(std::string_view name, std::string_view label) override;
  absl::Status SetKept(const KeptRecord& record) override;
  absl::Status RemoveKept(std::string_view name, std::uint32_t version) override;

  absl::StatusOr<std::optional<RatingRecord>> FindRating(std::string_view request_id) override;
  absl::StatusOr<std::vector<RatingRecord>> ListRatings(std::string_view name,
                                                        std::uint32_t version, std::uint64_t before,
                                                        std::uint32_t limit) override;
  absl::StatusOr<RatingTotals> SumRatings(std::string_view name, std::uint32_t version,
                                          std::uint32_t max_notes) override;
  absl::Status PutRating(RatingRecord& record) override;
  absl::Status RemoveRatings(std::string_view name, std::uint32_t version) override;

 private:
  SqliteConnection& connection_;
};

}  // namespace atelier::server::store
