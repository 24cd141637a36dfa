// Jobs that use models as they are: "evaluate" and "stylize_set". What they are told, and which
// models they can use. Free of LibTorch and protobuf; pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/image_header.h"
#include "common/model_spec.h"
#include "common/precision.h"

namespace atelier {

inline constexpr char kEvaluate[] = "evaluate";
inline constexpr char kStylizeSet[] = "stylize_set";

// The most models of one such job.
inline constexpr std::size_t kMaxJobModels = 8;

// See EvaluateSpec.
struct EvaluateJobConfig {
  std::vector<std::string> models;  // NAME@VERSION
  std::string content_dataset;
  std::string style_dataset;         // empty: none
  std::vector<std::string> metrics;  // empty: what MetricsFor chooses
  int pictures = 64;
  std::uint64_t seed = 0;
  int image_size = 0;  // pixels; 0: 256, or the patterns' own
};

// See StylizeSetSpec.
struct StylizeSetConfig {
  std::string dataset;
  std::vector<std::string> models;  // NAME@VERSION
  std::string output_dataset;
  float strength = 1;
  bool preserve_color = false;
  int size = 0;                       // the results' long side, pixels; 0: the picture's
  std::optional<ImageFormat> format;  // nullopt: the picture's
  int quality = 95;
  std::optional<Precision> precision;  // nullopt: the model's
};

// From the JSON of the kind's message, in snake_case. INVALID_ARGUMENT naming the field, with the
// kind in front: "stylize_set.models".
absl::StatusOr<EvaluateJobConfig> ParseEvaluateJob(std::string_view json);
absl::StatusOr<StylizeSetConfig> ParseStylizeSet(std::string_view json);

// The metrics that the job is to measure of such models. INVALID_ARGUMENT naming
// `evaluate.metrics` or `evaluate.data.style`: one that they, or the data, do not have.
absl::StatusOr<std::vector<std::string>> MetricsFor(const EvaluateJobConfig& config,
                                                    const ModelSpec& spec);

// Whether the job can use the model at `place` of its list. INVALID_ARGUMENT naming
// "evaluate.models" or "stylize_set.models" (or the control that it lacks).
absl::Status CheckMeasurable(const EvaluateJobConfig& config, std::size_t place,
                             const ModelSpec& spec);
absl::Status CheckRestyles(const StylizeSetConfig& config, std::size_t place,
                           const ModelSpec& spec);

// Makes patterns from noise; else it restyles pictures.
bool MakesPatterns(const ModelSpec& spec);
// Takes its style from a picture that comes with each request.
bool NeedsStylePicture(const ModelSpec& spec);

}  // namespace atelier
