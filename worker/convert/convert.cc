#include "worker/convert/convert.h"

#include <string>
#include <variant>

#include "common/convert_task.h"
#include "common/status_macros.h"
#include "worker/convert/export_model.h"
#include "worker/convert/import_model.h"
#include "worker/convert/judge_models.h"
#include "worker/convert/process_limits.h"
#include "worker/convert/publish_checkpoint.h"
#include "worker/infer/guard.h"

namespace atelier::convert {
namespace {

absl::Status Convert(const ConvertTask& task, const std::filesystem::path& folder,
                     const std::filesystem::path& feature_weights) {
  ATELIER_RETURN_IF_ERROR(LimitThisProcess(task.memory_bytes, task.file_bytes));
  return infer::Guarded("converting a file", [&]() -> absl::Status {
    if (const auto* work = std::get_if<ExportTask>(&task.work)) {
      return ExportModel(*work, folder);
    }
    if (const auto* work = std::get_if<PublishTask>(&task.work)) {
      return PublishCheckpoint(*work, folder, feature_weights);
    }
    if (const auto* work = std::get_if<JudgeTask>(&task.work)) {
      return JudgeModels(*work, folder, feature_weights);
    }
    absl::Status status = ImportModel(std::get<ImportTask>(task.work), folder, feature_weights);
    // The file arrived as its sender has it: what is damaged is the sender's.
    return absl::IsDataLoss(status) ? absl::InvalidArgumentError(status.message()) : status;
  });
}

}  // namespace

absl::Status RunConversion(const std::filesystem::path& folder,
                           const std::filesystem::path& feature_weights) {
  ATELIER_ASSIGN_OR_RETURN(const ConvertTask task, ReadConvertTask(folder));
  absl::Status outcome = Convert(task, folder, feature_weights);
  ATELIER_RETURN_IF_ERROR(WriteConvertOutcome(folder, outcome));
  return outcome;
}

}  // namespace atelier::convert
