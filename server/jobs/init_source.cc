#include "server/jobs/init_source.h"

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/numbers.h"
#include "common/compress_config.h"
#include "common/errors.h"
#include "common/model_spec.h"
#include "common/names.h"
#include "common/status_macros.h"
#include "server/jobs/attempt_files.h"

namespace atelier::server {
namespace {

constexpr std::string_view kField = "train.init_from";
constexpr std::string_view kJob = "job:";

absl::StatusOr<std::filesystem::path> FindJobCheckpoint(const std::filesystem::path& jobs_directory,
                                                        std::string_view reference) {
  const std::size_t at = reference.find('@');
  const std::string job_id(reference.substr(0, at));
  ATELIER_RETURN_IF_ERROR(CheckName(kField, job_id));
  std::optional<std::uint64_t> step;
  if (at != std::string_view::npos) {
    std::uint64_t number = 0;
    if (!absl::SimpleAtoi(std::string(reference.substr(at + 1)), &number) || number == 0) {
      return InvalidField(kField, R"(must be "job:ID" or "job:ID@STEP" with a step of 1 or more)");
    }
    step = number;
  }
  const Checkpoint found = FindCheckpoint(jobs_directory, job_id, step);
  if (found.directory.empty()) {
    return absl::NotFoundError("the job \"" + job_id + "\" has no checkpoint" +
                               (step.has_value() ? " of step " + std::to_string(*step) : "") +
                               " to start from");
  }
  return found.directory;
}

}  // namespace

absl::StatusOr<std::filesystem::path> FindInitSource(const ModelRegistry& models,
                                                     const std::filesystem::path& jobs_directory,
                                                     std::string_view init_from) {
  if (init_from.starts_with(kJob)) {
    return FindJobCheckpoint(jobs_directory, init_from.substr(kJob.size()));
  }
  ATELIER_ASSIGN_OR_RETURN(const ModelVersion model, models.Resolve(init_from));
  if (model.family == kTorchScript) {
    return InvalidField(
        kField,
        "names " + model.name + ", a TorchScript program, from which no other network can start");
  }
  return model.directory;
}

absl::StatusOr<std::filesystem::path> FindCompressionSource(const ModelRegistry& models,
                                                            const TrainConfig& config) {
  ATELIER_ASSIGN_OR_RETURN(const ModelVersion model, models.Resolve(config.compress.model));
  ATELIER_ASSIGN_OR_RETURN(const ModelSpec spec, ReadModelSpec(model.directory));
  ATELIER_RETURN_IF_ERROR(CheckCompressible(config.family, spec));
  return model.directory;
}

}  // namespace atelier::server
