#include "worker/jobs/rank_role.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/strings/numbers.h"
#include "common/device_name.h"
#include "common/files.h"
#include "common/status_macros.h"
#include "worker/jobs/job_messages.h"
#include "worker/jobs/rank_processes.h"
#include "worker/ranks/launch_environment.h"
#include "worker/ranks/rank_group.h"

namespace atelier::worker {
namespace {

constexpr std::uint64_t kMaxStartBytes = 1 << 20;
constexpr char kGpu[] = "cuda:";

int ThreadsOfRank(int threads, int ranks) {
  const int all = threads > 0 ? threads : static_cast<int>(std::thread::hardware_concurrency());
  return std::max(1, all / ranks);
}

// The rank-th GPU behind a device's; a CPU is all ranks'.
std::string DeviceOfRank(const std::string& device, int rank) {
  int first = 0;
  if (!device.starts_with(kGpu) || !absl::SimpleAtoi(device.substr(sizeof(kGpu) - 1), &first)) {
    return device;
  }
  return kGpu + std::to_string(first + rank);
}

absl::StatusOr<train::TrainJob> JobOfRank(const internal::v1::StartJob& start,
                                          const RankOptions& options, int rank) {
  ATELIER_ASSIGN_OR_RETURN(train::TrainJob job, ToTrainJob(start));
  job.feature_weights = options.feature_weights;
  job.threads = ThreadsOfRank(options.threads, static_cast<int>(start.spec().workers()));
  job.device = DeviceOfRank(options.device, rank);
  ATELIER_RETURN_IF_ERROR(CheckTrainDevice(job.config, job.device));
  return job;
}

// Removes the file at its end.
class StartFile {
 public:
  explicit StartFile(std::filesystem::path path) : path_(std::move(path)) {}
  ~StartFile() {
    std::error_code error;
    std::filesystem::remove(path_, error);
  }
  StartFile(const StartFile&) = delete;
  StartFile& operator=(const StartFile&) = delete;

 private:
  std::filesystem::path path_;
};

std::vector<std::string> RankCommand(const std::filesystem::path& file,
                                     const RankOptions& options) {
  std::error_code error;
  const std::filesystem::path program = options.program.empty()
                                            ? std::filesystem::read_symlink("/proc/self/exe", error)
                                            : options.program;
  return {program.string(),
          "--role",
          "rank",
          "--task",
          file.string(),
          "--device",
          options.device,
          "--threads",
          std::to_string(options.threads),
          "--feature-weights",
          options.feature_weights.string()};
}

absl::Status StartOthers(const std::vector<std::string>& command, int ranks, int port,
                         RankProcesses& others) {
  for (int rank = 1; rank < ranks; ++rank) {
    ATELIER_RETURN_IF_ERROR(others.Start(command, {{"WORLD_SIZE", std::to_string(ranks)},
                                                   {"RANK", std::to_string(rank)},
                                                   {"LOCAL_RANK", std::to_string(rank)},
                                                   {"MASTER_ADDR", "127.0.0.1"},
                                                   {"MASTER_PORT", std::to_string(port)}}));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<train::Outcome> TrainWithRanks(const internal::v1::StartJob& start,
                                              const RankOptions& options, train::Observer& observer,
                                              const std::atomic<bool>& stop) {
  ATELIER_ASSIGN_OR_RETURN(train::TrainJob job, JobOfRank(start, options, /*rank=*/0));
  const std::filesystem::path path =
      std::filesystem::path(start.attempt_directory()) / kRankStartFile;
  std::optional<StartFile> file(path);
  ATELIER_RETURN_IF_ERROR(WriteFileAtomically(path, start.SerializeAsString()));
  const int ranks = static_cast<int>(start.spec().workers());
  RankProcesses others;  // ended when the group below is gone
  absl::Status started;
  ranks::RankGroup::Options group = {.rank = 0, .size = ranks};
  group.join_timeout = options.join_timeout;
  group.on_listening = [&](int port) {
    started = StartOthers(RankCommand(path, options), ranks, port, others);
  };
  const absl::StatusOr<std::unique_ptr<ranks::RankGroup>> joined = ranks::RankGroup::Join(group);
  ATELIER_RETURN_IF_ERROR(started);
  ATELIER_RETURN_IF_ERROR(joined.status());
  file.reset();  // all have read it before they came
  job.group = joined->get();
  return train::RunTraining(job, observer, stop);
}

absl::StatusOr<train::Outcome> RankRole::Train() {
  ATELIER_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(file_, kMaxStartBytes));
  internal::v1::StartJob start;
  if (!start.ParseFromString(bytes)) {
    return absl::DataLossError("the file of the job is damaged");
  }
  ATELIER_ASSIGN_OR_RETURN(auto launch, ranks::LaunchFromEnvironment(
                                            [](const char* name) { return std::getenv(name); }));
  if (!launch.has_value()) {
    return absl::InvalidArgumentError("the environment tells of no group to join");
  }
  launch->group.join_timeout = options_.join_timeout;
  ATELIER_ASSIGN_OR_RETURN(train::TrainJob job, JobOfRank(start, options_, launch->group.rank));
  ATELIER_ASSIGN_OR_RETURN(const auto group, ranks::RankGroup::Join(launch->group));
  job.group = group.get();
  train::SilentObserver observer;
  return train::RunTraining(job, observer, stop_);
}

int RankRole::Run() {
  const absl::StatusOr<train::Outcome> outcome = Train();
  if (!outcome.ok()) {
    spdlog::error("this rank ends: {}", std::string(outcome.status().message()));
  }
  return outcome.ok() ? 0 : 1;
}

}  // namespace atelier::worker
