// What a training job is told, as plain data: one parser and one set of limits and defaults for the
// server's CreateJob, the worker and atelier-train. Free of LibTorch and protobuf. The JSON is that
// of atelier.v1.TrainSpec, in snake_case.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace atelier {

enum class Precision { kFp32, kBf16 };

// Weights of the faststyle losses (worker/train/faststyle.h defines the losses). The defaults are
// those that the shipped styles were found with; their job files are in models/.
struct FaststyleConfig {
  double content_weight = 2.0;
  double style_weight = 1.5;
  double total_variation_weight = 0.5;
  double adversarial_weight = 0.05;
  double luminance_weight = 2.0;
  double color_weight = 4.0;
  double chroma_weight = 0.5;
  int style_size = 640;  // short side of a painting, pixels; the scale image_size is used as well
};

struct TrainConfig {
  std::string family;
  std::string tier = "lite";
  std::string content_dataset;
  std::string style_dataset;
  std::int64_t steps = 0;
  int batch_size = 4;
  int image_size = 256;  // side of the square crops, pixels
  std::uint64_t seed = 0;
  std::int64_t sample_every_epochs = 10;
  std::int64_t checkpoint_every_steps = 200;
  int keep_checkpoints = 3;
  double learning_rate = 2e-4;
  double adam_beta1 = 0.5;
  Precision precision = Precision::kBf16;
  FaststyleConfig faststyle;
};

// Parses and checks. INVALID_ARGUMENT naming the field, with "train." in front: unknown family or
// tier, a number out of range or not finite, an unknown key, a missing required field.
absl::StatusOr<TrainConfig> ParseTrainConfig(std::string_view train_spec_json);

}  // namespace atelier
