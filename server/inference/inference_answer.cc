#include "server/inference/inference_answer.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <variant>

#include "absl/strings/str_join.h"
#include "common/precision.h"
#include "common/status_macros.h"

namespace atelier::server {
namespace {

// A message has 64 MiB with all its fields.
constexpr std::size_t kMaxOutput = (64ULL << 20U) - (64U << 10U);

void AddOutput(const char* name, const char* datatype, const std::vector<std::int64_t>& shape,
               std::string raw, inference::ModelInferResponse& response) {
  auto& output = *response.add_outputs();
  output.set_name(name);
  output.set_datatype(datatype);
  output.mutable_shape()->Add(shape.begin(), shape.end());
  response.add_raw_output_contents(std::move(raw));
}

absl::Status CheckSize(std::size_t bytes) {
  return bytes <= kMaxOutput
             ? absl::OkStatus()
             : absl::OutOfRangeError(
                   "The pictures of this batch are together larger than a message may be, which is "
                   "64 MiB. Ask for fewer in one request.");
}

// Encoded pictures: as many strings, in the input's shape.
absl::Status AddStrings(const char* name, const Inference& inference,
                        const std::vector<std::string>& pictures,
                        inference::ModelInferResponse& response) {
  std::size_t bytes = 0;
  for (const std::string& picture : pictures) {
    bytes += sizeof(std::uint32_t) + picture.size();
  }
  ATELIER_RETURN_IF_ERROR(CheckSize(bytes));
  std::string raw;
  raw.reserve(bytes);
  for (const std::string& picture : pictures) {
    AppendString(picture, raw);
  }
  AddOutput(name, "BYTES", inference.shape, std::move(raw), response);
  return absl::OkStatus();
}

absl::Status AddPixels(const Inference& inference, std::vector<StylizeOutcome> outcomes,
                       inference::ModelInferResponse& response) {
  const std::int64_t height = outcomes.front().height;
  const std::int64_t width = outcomes.front().width;
  std::size_t bytes = 0;
  for (const StylizeOutcome& outcome : outcomes) {
    if (outcome.layout != inference.layout || std::cmp_not_equal(outcome.height, height) ||
        std::cmp_not_equal(outcome.width, width)) {
      return absl::InternalError("The results of one batch differ in size.");
    }
    bytes += outcome.image.size();
  }
  ATELIER_RETURN_IF_ERROR(CheckSize(bytes));
  std::string raw = std::move(outcomes.front().image);
  raw.reserve(bytes);
  for (std::size_t i = 1; i < outcomes.size(); ++i) {
    raw.append(outcomes[i].image);
  }
  const auto batch = static_cast<std::int64_t>(outcomes.size());
  if (inference.layout == PixelLayout::kFp32Chw) {
    AddOutput(kStylizedTensor, "FP32", {batch, 3, height, width}, std::move(raw), response);
  } else {
    AddOutput(kStylizedTensor, "UINT8", {batch, height, width, 3}, std::move(raw), response);
  }
  return absl::OkStatus();
}

absl::Status AddStylized(const Inference& inference, std::vector<WorkAnswer> answers,
                         inference::ModelInferResponse& response) {
  std::vector<StylizeOutcome> outcomes;
  outcomes.reserve(answers.size());
  for (WorkAnswer& answer : answers) {
    outcomes.push_back(std::get<StylizeOutcome>(*std::move(answer.outcome)));
  }
  if (inference.layout != PixelLayout::kEncoded) {
    return AddPixels(inference, std::move(outcomes), response);
  }
  std::vector<std::string> pictures;
  pictures.reserve(outcomes.size());
  for (StylizeOutcome& outcome : outcomes) {
    pictures.push_back(std::move(outcome.image));
  }
  return AddStrings(kStylizedTensor, inference, pictures, response);
}

absl::Status AddPatterns(const Inference& inference, GenerateOutcome outcome,
                         inference::ModelInferResponse& response) {
  std::vector<std::string> pictures;
  pictures.reserve(outcome.pictures.size());
  for (GeneratedPicture& picture : outcome.pictures) {
    pictures.push_back(std::move(picture.image));
  }
  return AddStrings(kPatternTensor, inference, pictures, response);
}

// What atelier.v1's replies tell besides the pictures, as parameters.
void AddFacts(const Inference& inference, const std::vector<WorkAnswer>& answers,
              inference::ModelInferResponse& response) {
  if (inference.kind == InferenceKind::kIdentity) {
    return;
  }
  auto& parameters = *response.mutable_parameters();
  bool cached = true;
  std::uint32_t batch_size = 0;
  std::vector<std::string> warnings = inference.warnings;
  for (const WorkAnswer& answer : answers) {
    const OutcomeFacts& facts = FactsOf(*answer.outcome);
    cached = cached && answer.from == WorkAnswer::From::kCache;
    batch_size = std::max(batch_size, facts.batch_size);
    warnings.insert(warnings.end(), facts.warnings.begin(), facts.warnings.end());
    parameters["atelier_precision"].set_string_param(std::string(PrecisionName(facts.precision)));
  }
  parameters["atelier_cached"].set_bool_param(cached);
  parameters["atelier_batch_size"].set_int64_param(batch_size);
  if (!warnings.empty()) {
    parameters["atelier_warnings"].set_string_param(absl::StrJoin(warnings, "\n"));
  }
}

}  // namespace

void Announce(const Inference& inference, const inference::ModelInferRequest& request,
              inference::ModelInferResponse& response) {
  response.set_model_name(inference.model);
  response.set_model_version(std::to_string(inference.version));
  response.set_id(request.id());
  (*response.mutable_parameters())["atelier_request_id"].set_string_param(inference.request_id);
}

absl::Status FillAnswer(const Inference& inference, std::vector<WorkAnswer> answers,
                        inference::ModelInferResponse& response) {
  AddFacts(inference, answers, response);
  switch (inference.kind) {
    case InferenceKind::kStylize:
      return AddStylized(inference, std::move(answers), response);
    case InferenceKind::kGenerate:
      return AddPatterns(inference, std::get<GenerateOutcome>(*std::move(answers.front().outcome)),
                         response);
    case InferenceKind::kIdentity:
      break;
  }
  AddOutput(kIdentityOutput, "UINT8", inference.shape,
            std::get<IdentityOutcome>(*std::move(answers.front().outcome)).payload, response);
  return absl::OkStatus();
}

}  // namespace atelier::server
