// From a checkpoint to a version, and what must be found out before a version is promoted.
#pragma once

#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "atelier/v1/training.pb.h"
#include "common/clock.h"
#include "common/convert_task.h"
#include "server/datasets/dataset_catalog.h"
#include "server/feedback/rating_book.h"
#include "server/models/model_catalog.h"
#include "server/store/store.h"
#include "server/transfer/converter.h"

namespace atelier::server {

struct PublishedCheckpoint {
  ModelVersion model;
  std::uint64_t step = 0;
  std::optional<v1::GateReport> gate;
};

struct JudgedVersion {
  ModelVersion model;
  // What NAME meant when it was compared; nullopt: nothing, or this version.
  std::optional<ModelVersion> current;
  v1::GateReport report;  // passed, or forced
};

// Thread-safe. Methods block for seconds to minutes: they wait for processes. Whatever goes wrong,
// nothing stays behind.
class Promotion final {
 public:
  struct Options {
    // All outlive the object.
    store::Store* store = nullptr;
    const DatasetCatalog* datasets = nullptr;
    ModelCatalog* models = nullptr;
    const RatingBook* ratings = nullptr;
    Converter* converter = nullptr;
    Clock* clock = &SystemClock();
    std::filesystem::path jobs_directory;  // <data-dir>/jobs
    std::filesystem::path directory;       // <data-dir>/transfers; exists
  };

  explicit Promotion(Options options) : options_(std::move(options)) {}

  // Errors as TrainingService.PublishCheckpoint tells them.
  absl::StatusOr<PublishedCheckpoint> PublishCheckpoint(const v1::PublishCheckpointRequest& request,
                                                        const std::stop_token& stop) const;

  // Measures the version that `reference` names against what its name means. FAILED_PRECONDITION:
  // it is worse, and `force` is not set; else errors as PromotionGate tells them, and those of
  // ModelRegistry::Resolve.
  absl::StatusOr<JudgedVersion> Judge(std::string_view reference, const v1::PromotionGate& gate,
                                      bool force, const std::stop_token& stop) const;

  // ABORTED: NAME means another version than `judged` was compared with.
  absl::Status CheckUnchanged(const JudgedVersion& judged) const;

  // What remains of a promotion by force, after it: a line in the log, and a section in the
  // version's card, unless the version is a shipped one, whose files are not this server's. No
  // effect on a version that has passed.
  void NoteForced(const JudgedVersion& judged) const ABSL_LOCKS_EXCLUDED(card_mutex_);

 private:
  struct Candidate {
    std::string name;  // for sentences
    std::filesystem::path directory;
    std::uint64_t weights_bytes = 0;
  };

  absl::StatusOr<store::JobRecord> FindJob(const std::string& job_id) const;
  absl::StatusOr<PublishTask> TaskOf(const v1::JobSpec& spec) const;
  // `folder`: of this measurement alone.
  absl::StatusOr<v1::GateReport> Measure(const v1::PromotionGate& gate, const Candidate& candidate,
                                         const std::optional<ModelVersion>& current,
                                         const std::filesystem::path& folder,
                                         const std::stop_token& stop) const;
  // Writes the task into `folder` and has it done.
  absl::Status Run(const std::filesystem::path& folder, decltype(ConvertTask::work) work,
                   std::uint64_t bytes, const std::stop_token& stop) const;

  const Options options_;
  mutable absl::Mutex card_mutex_;  // one addition to a published card at a time
};

}  // namespace atelier::server
