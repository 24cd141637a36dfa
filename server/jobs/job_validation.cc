#include "server/jobs/job_validation.h"

#include <google/protobuf/util/json_util.h>

#include <cstddef>
#include <string>
#include <utility>

#include "common/compress_config.h"
#include "common/device_name.h"
#include "common/errors.h"
#include "common/job_workers.h"
#include "common/names.h"
#include "common/rpc/job_kind.h"
#include "common/status_macros.h"
#include "common/sweep_config.h"
#include "server/jobs/model_job.h"

namespace atelier::server {
namespace {

// Every field fits into a fraction of it; lists of names could be longer than any use of them.
constexpr std::size_t kMaxSpecBytes = 1 << 20;

}  // namespace

absl::Status CheckJobNames(const v1::JobSpec& spec) {
  if (spec.ByteSizeLong() > kMaxSpecBytes) {
    return InvalidField("spec", "must be at most 1 MiB");
  }
  ATELIER_RETURN_IF_ERROR(CheckName("job_id", spec.job_id()));
  if (!IsModelJob(spec)) {
    ATELIER_RETURN_IF_ERROR(CheckName("output_model", spec.output_model()));
  } else if (!spec.output_model().empty()) {
    return InvalidField("output_model", "does not apply: a job of this kind makes no model");
  }
  if (!v1::Priority_IsValid(spec.priority())) {
    return InvalidField("priority", "must be HIGH, NORMAL or LOW; this server knows no other");
  }
  if (spec.kind_case() == v1::JobSpec::KIND_NOT_SET) {
    return InvalidField(
        "kind",
        R"(is missing: a job needs something to do; give "train", "distil", "prune", "quantize", "evaluate", "sweep" or "stylize_set")");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> KindJson(const v1::JobSpec& spec) {
  const JobKind kind = KindOf(spec);
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  // As the trainer reads it (common/rpc/proto_json.h), so that a section without a word in it is
  // refused here and not there.
  options.always_print_primitive_fields = true;
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(*kind.message, &json, options).ok()) {
    return InvalidField(kind.name, "a text in it is not UTF-8");
  }
  return json;
}

absl::Status CheckCells(const v1::JobSpec& spec, std::string_view device) {
  ATELIER_ASSIGN_OR_RETURN(const std::string json, KindJson(spec));
  ATELIER_ASSIGN_OR_RETURN(const SweepConfig sweep, ParseSweep(json));
  for (const SweepCell& cell : sweep.cells) {
    ATELIER_RETURN_IF_ERROR(CheckTrainDevice(cell.config, device));
  }
  return absl::OkStatus();
}

absl::StatusOr<TrainConfig> CheckJobKind(const v1::JobSpec& spec) {
  ATELIER_ASSIGN_OR_RETURN(const std::string json, KindJson(spec));
  if (spec.has_sweep()) {
    if (spec.workers() > 1) {
      return InvalidField("workers", "must be 1: the cells of a sweep run one after the other");
    }
    ATELIER_ASSIGN_OR_RETURN(SweepConfig sweep, ParseSweep(json));
    return std::move(sweep.cells.front().config);
  }
  ATELIER_ASSIGN_OR_RETURN(TrainConfig config, ParseJobConfig(KindOf(spec).name, json));
  if (spec.workers() > kMaxJobWorkers) {
    return InvalidField("workers", "must be from 1 to " + std::to_string(kMaxJobWorkers) +
                                       ", and is " + std::to_string(spec.workers()));
  }
  ATELIER_RETURN_IF_ERROR(CheckWorkers(config, spec.workers()));
  return config;
}

absl::Status CheckDatasets(const DatasetCatalog& datasets, const TrainConfig& config) {
  for (const std::string& name : {config.content_dataset, config.style_dataset}) {
    if (name.empty()) {  // the family has no such set
      continue;
    }
    ATELIER_ASSIGN_OR_RETURN(const Dataset dataset, datasets.Find(name));
    if (dataset.files == 0) {
      return absl::FailedPreconditionError(
          "the data set \"" + name +
          "\" holds no pictures; put .jpg, .jpeg, .png or .webp files into its "
          "folder, or name another set");
    }
  }
  return absl::OkStatus();
}

}  // namespace atelier::server
