#include "server/models/model_uses.h"

namespace atelier::server {
namespace {

// "job:ID" is the checkpoint of a job, which keeps its own files.
constexpr char kJob[] = "job:";

}  // namespace

std::string SourceOf(const v1::JobSpec& spec) {
  switch (spec.kind_case()) {
    case v1::JobSpec::kTrain:
      return spec.train().init_from().starts_with(kJob) ? "" : spec.train().init_from();
    case v1::JobSpec::kDistil:
      return spec.distil().model();
    case v1::JobSpec::kPrune:
      return spec.prune().model();
    case v1::JobSpec::kQuantize:
      return spec.quantize().model();
    case v1::JobSpec::KIND_NOT_SET:
      return "";
  }
  return "";
}

}  // namespace atelier::server
