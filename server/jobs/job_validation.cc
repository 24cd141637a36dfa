#include "server/jobs/job_validation.h"

#include <google/protobuf/util/json_util.h>

#include <string>

#include "common/compress_config.h"
#include "common/errors.h"
#include "common/names.h"
#include "common/rpc/job_kind.h"
#include "common/status_macros.h"

namespace atelier::server {

absl::Status CheckJobNames(const v1::JobSpec& spec) {
  ATELIER_RETURN_IF_ERROR(CheckName("job_id", spec.job_id()));
  ATELIER_RETURN_IF_ERROR(CheckName("output_model", spec.output_model()));
  if (spec.kind_case() == v1::JobSpec::KIND_NOT_SET) {
    return InvalidField(
        "kind",
        R"(is missing: a job needs something to do; give "train", "distil", "prune" or "quantize")");
  }
  return absl::OkStatus();
}

absl::StatusOr<TrainConfig> CheckJobKind(const v1::JobSpec& spec) {
  const JobKind kind = KindOf(spec);
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(*kind.message, &json, options).ok()) {
    return InvalidField(kind.name, "a text in it is not UTF-8");
  }
  return ParseJobConfig(kind.name, json);
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
