// A job on several processes of one machine: the trainer that holds the lease, rank 0, starts the
// others, which know neither server nor lease.
#pragma once

#include <atomic>
#include <filesystem>
#include <string>

#include "absl/status/statusor.h"
#include "atelier/internal/v1/worker_link.pb.h"
#include "worker/train/trainer.h"

namespace atelier::worker {

// In the attempt's folder until all ranks have come: a StartJob, which is full of the server's
// paths. Hidden, so that it is neither an artifact (common/artifact_path.h) nor mirrored.
inline constexpr char kRankStartFile[] = ".ranks.start";

struct RankOptions {
  std::filesystem::path program;  // atelier-worker; empty: this program's own file
  std::filesystem::path feature_weights;
  std::string device = "cpu";  // of rank 0; rank r has the r-th GPU behind it
  int threads = 0;             // of all ranks together; 0: one for each core
  absl::Duration join_timeout = absl::Minutes(1);
};

// Trains the job of `start` as rank 0 of start.spec().workers(), 2 or more, and ends the others'
// processes with it. Errors: those of RunTraining, also of the others. UNAVAILABLE: a process did
// not come or was lost, and the job can go on from its last checkpoint.
absl::StatusOr<train::Outcome> TrainWithRanks(const internal::v1::StartJob& start,
                                              const RankOptions& options, train::Observer& observer,
                                              const std::atomic<bool>& stop);

// What the other processes do: reads the StartJob from `file`, joins the group that the environment
// tells (ranks/launch_environment.h) and trains. Returns the exit code.
class RankRole {
 public:
  RankRole(std::filesystem::path file, RankOptions options)
      : file_(std::move(file)), options_(std::move(options)) {}
  int Run();
  // From any thread: all ranks stop with a checkpoint.
  void Shutdown() { stop_ = true; }

 private:
  absl::StatusOr<train::Outcome> Train();

  const std::filesystem::path file_;
  const RankOptions options_;
  std::atomic<bool> stop_ = false;
};

}  // namespace atelier::worker
