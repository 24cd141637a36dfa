#include "worker/gather/gather.h"

#include <variant>

#include "common/convert_task.h"
#include "common/picture_task.h"
#include "common/status_macros.h"
#include "worker/convert/process_limits.h"
#include "worker/gather/picture_set.h"
#include "worker/gather/sample_grid.h"
#include "worker/gather/sources.h"
#include "worker/infer/guard.h"

namespace atelier::gather {
namespace {

absl::Status AddFrom(const GatherTask& task, PictureSet& set) {
  switch (task.source) {
    case GatherTask::Source::kUpload:
      return AddUpload(task.from, set);
    case GatherTask::Source::kArchive:
      return AddArchive(task.from, task.limits.max_entries, set);
    case GatherTask::Source::kFolder:
      return AddFolder(task.from, task.below, task.limits.max_entries, set);
  }
  return absl::InternalError("The task on pictures is malformed.");
}

absl::Status Gather(const GatherTask& task, const std::filesystem::path& folder) {
  ATELIER_ASSIGN_OR_RETURN(const auto set, PictureSet::Create({.present = task.set,
                                                               .made = folder / kGatheredSet,
                                                               .field = FieldOfSource(task.source),
                                                               .skip_bad = task.skip_bad,
                                                               .limits = task.limits}));
  ATELIER_RETURN_IF_ERROR(AddFrom(task, *set));
  ATELIER_ASSIGN_OR_RETURN(const GatherReport report, set->Finish());
  return WriteGatherReport(folder, report);
}

absl::Status Do(const PictureTask& task, const std::filesystem::path& folder) {
  ATELIER_RETURN_IF_ERROR(convert::LimitThisProcess(task.memory_bytes, task.file_bytes));
  return infer::Guarded("looking at pictures", [&]() -> absl::Status {
    if (const auto* gather = std::get_if<GatherTask>(&task.work)) {
      return Gather(*gather, folder);
    }
    return DrawSample(std::get<SampleTask>(task.work), folder / kSampleFile);
  });
}

}  // namespace

absl::Status RunPictureTask(const std::filesystem::path& folder) {
  ATELIER_ASSIGN_OR_RETURN(const PictureTask task, ReadPictureTask(folder));
  absl::Status outcome = Do(task, folder);
  ATELIER_RETURN_IF_ERROR(WriteConvertOutcome(folder, outcome));
  return outcome;
}

}  // namespace atelier::gather
