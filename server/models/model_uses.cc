#include "server/models/model_uses.h"

namespace atelier::server {
namespace {

// "job:ID" is the checkpoint of a job, which keeps its own files.
constexpr char kJob[] = "job:";

std::vector<std::string> StartOf(const v1::TrainSpec& train) {
  const std::string& from = train.init_from();
  return from.empty() || from.starts_with(kJob) ? std::vector<std::string>() : std::vector{from};
}

}  // namespace

std::vector<std::string> SourcesOf(const v1::JobSpec& spec) {
  switch (spec.kind_case()) {
    case v1::JobSpec::kTrain:
      return StartOf(spec.train());
    case v1::JobSpec::kSweep:
      return StartOf(spec.sweep().train());
    case v1::JobSpec::kDistil:
      return {spec.distil().model()};
    case v1::JobSpec::kPrune:
      return {spec.prune().model()};
    case v1::JobSpec::kQuantize:
      return {spec.quantize().model()};
    case v1::JobSpec::kEvaluate:
      return {spec.evaluate().models().begin(), spec.evaluate().models().end()};
    case v1::JobSpec::kStylizeSet:
      return {spec.stylize_set().models().begin(), spec.stylize_set().models().end()};
    case v1::JobSpec::KIND_NOT_SET:
      return {};
  }
  return {};
}

}  // namespace atelier::server
