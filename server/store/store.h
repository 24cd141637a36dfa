// What the server must not forget: jobs, their events, published models, labels, which models are
// kept in memory, what people said of them. An interface with
// transactions by closure; tests/server/store/store_contract.h is the suite that every
// implementation passes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "atelier/v1/training.pb.h"

namespace atelier::server::store {

// The newest events kept of each job.
inline constexpr std::uint64_t kKeptEvents = 10'000;

// The newest ratings kept of each model version.
inline constexpr std::uint64_t kKeptRatings = 10'000;

struct JobRecord {
  // Order of creation, from 1; given by the store.
  std::uint64_t number = 0;
  // What users see. `spec` and `create_time` never change once inserted.
  v1::Job job;
  // The newest lease. Whoever speaks for an older one is not listened to.
  std::uint64_t fence = 0;
  // The highest step that any attempt saved; 0: none yet.
  std::uint64_t checkpoint_step = 0;
  // Attempts begun since then, the present one included.
  std::uint32_t fruitless_attempts = 0;
  // How often its trainer was lost since the checkpoint of `crash_step`, wherever it got to.
  std::uint32_t crashes = 0;
  std::uint64_t crash_step = 0;
  // How many servers in a row died while it was at work, without a new checkpoint since the first.
  std::uint32_t server_deaths = 0;
  // The server that runs the present attempt has begun to stop in order: its end is no such death.
  bool drained = false;
  // Training is done and this folder (relative to the folder of all jobs) waits to be published;
  // empty: it is not so far, or past it.
  std::string result_directory;
};

// A published model version. Fields as in server/models/model_registry.h.
struct ModelRecord {
  std::string name;
  std::uint32_t version = 0;
  std::string job_id;  // empty: no job made it
  // The step of the job's checkpoint that it was made of; 0: it is the job's result.
  std::uint64_t job_step = 0;
  absl::Time create_time;
  std::string family;
  std::string tier;
  std::vector<std::string> capabilities;
  std::uint64_t parameters = 0;
  std::string default_precision;  // "fp32", "bf16" or "int8"
  std::string weights_sha256;
  std::uint64_t weights_bytes = 0;
  // Its files are gone or about to go; the row stays, so that its number is never given again.
  bool deleted = false;
};

struct LabelRecord {
  std::string name;   // of the model
  std::string label;  // for example "stable"
  std::uint32_t version = 0;
  double traffic = 0;  // of "canary": its share of the requests for NAME alone, 0 to 1
};

// A version that is kept in the workers' memory.
struct KeptRecord {
  std::string name;
  std::uint32_t version = 0;
  std::vector<std::uint32_t> warmup_sizes;  // pixels
};

// What somebody said of the answer to one request.
struct RatingRecord {
  std::uint64_t number = 0;  // grows with every rating; given by the store
  std::string request_id;
  std::string name;  // the model version that answered
  std::uint32_t version = 0;
  std::uint32_t score = 0;  // 1 to 5
  std::string note;
  absl::Time time;
};

// All ratings of a version.
struct RatingTotals {
  std::array<std::uint64_t, 5> counts{};  // of the scores 1 to 5
  std::vector<std::string> notes;         // the newest that are not empty, the newest first

  std::uint64_t count() const;
  double mean() const;  // 0 without ratings
};

// One consistent view of the store, valid inside the closure that received it. Not thread-safe.
class Reader {
 public:
  virtual ~Reader() = default;

  // NOT_FOUND for an unknown id.
  virtual absl::StatusOr<JobRecord> GetJob(std::string_view id) = 0;
  // The newest first; only those with number < `before` (0: all).
  virtual absl::StatusOr<std::vector<JobRecord>> ListJobs(std::uint64_t before,
                                                          std::uint32_t limit) = 0;
  // All jobs in one of `states`, the oldest first.
  virtual absl::StatusOr<std::vector<JobRecord>> JobsInStates(
      const std::vector<v1::JobState>& states) = 0;
  // States without jobs are left out.
  virtual absl::StatusOr<std::map<v1::JobState, std::uint64_t>> CountJobs() = 0;

  // Events with sequence >= `from`, in order: at most `max_events`, and no more once their sizes
  // have reached `max_bytes`.
  virtual absl::StatusOr<std::vector<v1::JobEvent>> ListEvents(std::string_view job_id,
                                                               std::uint64_t from,
                                                               std::uint32_t max_events,
                                                               std::uint64_t max_bytes) = 0;

  // Sorted by name, then version; deleted ones too.
  virtual absl::StatusOr<std::vector<ModelRecord>> ListModels() = 0;
  // The job's result, deleted or not.
  virtual absl::StatusOr<std::optional<ModelRecord>> FindModelOfJob(std::string_view job_id) = 0;
  // The first version that was made of the job in any way, deleted or not.
  virtual absl::StatusOr<std::optional<ModelRecord>> FindAnyModelOfJob(std::string_view job_id) = 0;
  // The version of `name` that was made of this checkpoint and is not deleted.
  virtual absl::StatusOr<std::optional<ModelRecord>> FindModelOfCheckpoint(std::string_view name,
                                                                           std::string_view job_id,
                                                                           std::uint64_t step) = 0;
  // Sorted by name, then label.
  virtual absl::StatusOr<std::vector<LabelRecord>> ListLabels() = 0;
  // Sorted by name, then version.
  virtual absl::StatusOr<std::vector<KeptRecord>> ListKept() = 0;

  virtual absl::StatusOr<std::optional<RatingRecord>> FindRating(std::string_view request_id) = 0;
  // The newest first; only those with number < `before` (0: all).
  virtual absl::StatusOr<std::vector<RatingRecord>> ListRatings(std::string_view name,
                                                                std::uint32_t version,
                                                                std::uint64_t before,
                                                                std::uint32_t limit) = 0;
  virtual absl::StatusOr<RatingTotals> SumRatings(std::string_view name, std::uint32_t version,
                                                  std::uint32_t max_notes) = 0;
};

class Writer : public Reader {
 public:
  // Sets `record.number`. ALREADY_EXISTS.
  virtual absl::Status InsertJob(JobRecord& record) = 0;
  // Writes everything but spec and create_time. NOT_FOUND.
  virtual absl::Status UpdateJob(const JobRecord& record) = 0;
  // The job and its events. Versions of models that it made stay. NOT_FOUND.
  virtual absl::Status DeleteJob(std::string_view id) = 0;
  // Sets `event.sequence` and `record.job.last_sequence` to the next number and drops events that
  // fall out of kKeptEvents. The caller still calls UpdateJob.
  virtual absl::Status AppendEvent(JobRecord& record, v1::JobEvent& event) = 0;

  // ALREADY_EXISTS: the version, or another version that is the same job's result, or one of the
  // same name, not deleted, of the same checkpoint.
  virtual absl::Status InsertModel(const ModelRecord& record) = 0;
  // NOT_FOUND. What points at the version is the caller's to remove.
  virtual absl::Status MarkModelDeleted(std::string_view name, std::uint32_t version) = 0;
  // Points the label at this version with this share, wherever it pointed before.
  virtual absl::Status SetLabel(const LabelRecord& record) = 0;
  // No effect when there is none.
  virtual absl::Status RemoveLabel(std::string_view name, std::string_view label) = 0;
  // Adds it, or replaces its sizes.
  virtual absl::Status SetKept(const KeptRecord& record) = 0;
  // No effect when it is not kept.
  virtual absl::Status RemoveKept(std::string_view name, std::uint32_t version) = 0;

  // In the place of the one of the same request, if there is one; drops the version's ratings that
  // fall out of kKeptRatings. Sets `record.number`.
  virtual absl::Status PutRating(RatingRecord& record) = 0;
  // All of the version.
  virtual absl::Status RemoveRatings(std::string_view name, std::uint32_t version) = 0;
};

inline std::uint64_t RatingTotals::count() const {
  return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
}

inline double RatingTotals::mean() const {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    sum += counts[i] * (i + 1);
  }
  return count() == 0 ? 0 : static_cast<double>(sum) / static_cast<double>(count());
}

// Thread-safe. Calls block on the disk, for milliseconds on a healthy one.
// Errors besides those of the closure: RESOURCE_EXHAUSTED disk full; PERMISSION_DENIED read-only;
// UNAVAILABLE busy; DATA_LOSS damaged; INTERNAL anything else. Messages are free of paths.
class Store {
 public:
  virtual ~Store() = default;

  virtual absl::Status Read(absl::FunctionRef<absl::Status(Reader&)> body) = 0;
  // All of `body`'s writes are on the disk when this returns OK, none of them after an error.
  // Writes run one after the other; a body must not call the store itself.
  virtual absl::Status Write(absl::FunctionRef<absl::Status(Writer&)> body) = 0;
};

}  // namespace atelier::server::store
