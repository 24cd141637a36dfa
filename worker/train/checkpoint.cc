#include "worker/train/checkpoint.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>
#include <vector>

#include "common/files.h"
#include "common/status_macros.h"
#include "common/train_settings.h"
#include "worker/models/safetensors.h"
#include "worker/train/trainer.h"

namespace atelier::train {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxStateBytes = 8ull << 30;
constexpr std::uint64_t kMaxTextBytes = 1 << 20;
constexpr const char* kState = "state.safetensors";
constexpr const char* kMeta = "checkpoint.json";
constexpr const char* kComplete = "complete";

// The N of "step-N"; -1 for any other name.
std::int64_t StepOf(const fs::path& directory) {
  const std::string name = directory.filename().string();
  if (!name.starts_with("step-") || name.size() == 5 || name.size() > 20 ||
      name.find_first_not_of("0123456789", 5) != std::string::npos) {
    return -1;
  }
  return std::stoll(name.substr(5));
}

std::vector<fs::path> StepFolders(const fs::path& checkpoints) {
  std::vector<fs::path> folders;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(checkpoints, error)) {
    if (StepOf(entry.path()) >= 0) {
      folders.push_back(entry.path());
    }
  }
  std::sort(folders.begin(), folders.end(),
            [](const fs::path& a, const fs::path& b) { return StepOf(a) < StepOf(b); });
  return folders;
}

absl::Status WriteCheckpointFiles(const fs::path& folder, const Checkpoint& checkpoint) {
  ATELIER_RETURN_IF_ERROR(models::WriteSafetensors(folder / kState, checkpoint.state, {}));
  nlohmann::json datasets = nlohmann::json::object();
  for (const auto& [role, set] : checkpoint.datasets) {
    datasets[role] = {{"sha256", set.sha256}, {"pictures", set.pictures}};
  }
  const nlohmann::json meta = {{"format", 1},
                               {"step", checkpoint.step},
                               {"threads", checkpoint.threads},
                               {"device", checkpoint.device},
                               {"seconds", checkpoint.seconds},
                               {"fingerprint", checkpoint.fingerprint},
                               {"datasets", datasets}};
  ATELIER_RETURN_IF_ERROR(WriteFileAtomically(folder / kMeta, meta.dump(2) + "\n"));
  nlohmann::json complete;
  for (const char* name : {kState, kMeta}) {
    ATELIER_ASSIGN_OR_RETURN(complete[name], Sha256HexOfFile(folder / name));
  }
  return WriteFileAtomically(folder / kComplete, complete.dump(2) + "\n");
}

absl::Status VerifyFiles(const fs::path& folder) {
  const absl::StatusOr<std::string> text = ReadFile(folder / kComplete, kMaxTextBytes);
  const nlohmann::json complete =
      nlohmann::json::parse(text.ok() ? *text : "", nullptr, /*allow_exceptions=*/false);
  for (const char* name : {kState, kMeta}) {
    const absl::StatusOr<std::string> sha256 = Sha256HexOfFile(folder / name);
    if (!sha256.ok() || !complete.is_object() || complete.value(name, "") != *sha256) {
      return absl::DataLossError("the checkpoint " + folder.filename().string() +
                                 " is incomplete or damaged");
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::string Fingerprint(const TrainConfig& config) {
  TrainConfig rest = config;
  rest.steps = 0;
  rest.epochs = 0;
  rest.sample_every_epochs = 0;
  rest.checkpoint_every_steps = 0;
  rest.keep_checkpoints = 0;
  return Sha256Hex(TrainSettings(rest));
}

fs::path CheckpointFolder(const fs::path& checkpoints, std::int64_t step) {
  return checkpoints / ("step-" + std::to_string(step));
}

absl::Status AdoptCheckpoint(const fs::path& from, const fs::path& checkpoints) {
  std::error_code error;
  if (!fs::exists(from / kComplete, error)) {
    return absl::NotFoundError("the checkpoint " + from.filename().string() + " is not there");
  }
  const fs::path final_path = checkpoints / from.filename();
  if (fs::exists(final_path / kComplete, error)) {
    return absl::OkStatus();
  }
  const fs::path staging = checkpoints / ("tmp-" + from.filename().string());
  fs::remove_all(staging, error);
  fs::remove_all(final_path, error);
  fs::create_directories(staging, error);
  for (const char* name : {kState, kMeta, kComplete}) {
    fs::create_hard_link(from / name, staging / name, error);
    if (error) {
      fs::copy_file(from / name, staging / name, error);
    }
    if (error) {
      return absl::ResourceExhaustedError("cannot copy the best checkpoint: " + error.message());
    }
  }
  ATELIER_RETURN_IF_ERROR(SyncDirectory(staging));
  fs::rename(staging, final_path, error);
  if (error) {
    return absl::InternalError("cannot rename the best checkpoint: " + error.message());
  }
  return SyncDirectory(checkpoints);
}

absl::Status SaveCheckpoint(const fs::path& checkpoints, const Checkpoint& checkpoint, int keep,
                            std::int64_t best) {
  const fs::path final_path = CheckpointFolder(checkpoints, checkpoint.step);
  const fs::path staging = checkpoints / ("tmp-" + std::to_string(checkpoint.step));
  std::error_code error;
  if (fs::exists(final_path / kComplete, error)) {
    return absl::OkStatus();
  }
  fs::remove_all(staging, error);
  fs::remove_all(final_path, error);
  fs::create_directories(staging, error);
  if (error) {
    return absl::ResourceExhaustedError("cannot make a folder for the checkpoint: " +
                                        error.message());
  }
  absl::Status written = WriteCheckpointFiles(staging, checkpoint);
  if (!written.ok()) {
    fs::remove_all(staging, error);
    return written;
  }
  fs::rename(staging, final_path, error);
  if (error) {
    return absl::InternalError("cannot rename the checkpoint: " + error.message());
  }
  ATELIER_RETURN_IF_ERROR(SyncDirectory(checkpoints));
  std::vector<fs::path> folders = StepFolders(checkpoints);
  std::erase_if(folders, [best](const fs::path& folder) { return StepOf(folder) == best; });
  for (std::size_t i = 0; i + static_cast<std::size_t>(keep) < folders.size(); ++i) {
    // One that stays takes room and harms nothing else.
    RemoveVouchedFolder(folders[i], kComplete).IgnoreError();
  }
  return absl::OkStatus();
}

absl::StatusOr<Checkpoint> LoadCheckpoint(const fs::path& directory) {
  ATELIER_RETURN_IF_ERROR(VerifyFiles(directory));
  ATELIER_ASSIGN_OR_RETURN(const std::string text, ReadFile(directory / kMeta, kMaxTextBytes));
  const nlohmann::json meta = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!meta.is_object() || meta.value("format", 0) != 1) {
    return absl::DataLossError("the checkpoint is of an unknown format");
  }
  Checkpoint checkpoint;
  checkpoint.step = meta.value("step", std::int64_t{0});
  checkpoint.threads = meta.value("threads", 0);
  checkpoint.device = meta.value("device", "cpu");
  checkpoint.seconds = meta.value("seconds", 0.0);
  checkpoint.fingerprint = meta.value("fingerprint", "");
  const nlohmann::json datasets = meta.value("datasets", nlohmann::json::object());
  for (const auto& [role, set] : datasets.items()) {
    if (set.is_object()) {
      checkpoint.datasets[role] = {.sha256 = set.value("sha256", ""),
                                   .pictures = set.value("pictures", std::int64_t{0})};
    }
  }
  ATELIER_ASSIGN_OR_RETURN(models::Safetensors file,
                           models::ReadSafetensors(directory / kState, kMaxStateBytes));
  checkpoint.state = std::move(file.tensors);
  return checkpoint;
}

fs::path FindNewestCheckpointOf(const std::vector<fs::path>& runs) {
  fs::path newest;
  std::error_code error;
  for (const fs::path& run : runs) {
    for (const fs::path& folder : StepFolders(run / "checkpoints")) {
      if (fs::exists(folder / kComplete, error) &&
          (newest.empty() || StepOf(folder) > StepOf(newest))) {
        newest = folder;
      }
    }
  }
  return newest;
}

fs::path FindNewestCheckpoint(const fs::path& attempts_directory) {
  std::vector<fs::path> attempts;
  std::error_code error;
  for (const auto& attempt : fs::directory_iterator(attempts_directory, error)) {
    attempts.push_back(attempt.path());
  }
  return FindNewestCheckpointOf(attempts);
}

}  // namespace atelier::train
