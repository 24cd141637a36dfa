// A trained generator of patterns, ready to make pictures from seeds.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/train_config.h"
#include "worker/infer/model.h"

namespace atelier::infer {

// What patterns to make.
struct PatternOrder {
  std::vector<std::uint64_t> seeds;             // one a picture, at least one
  std::optional<std::uint64_t> interpolate_to;  // see LatentRows; at least two seeds then
  double truncation = 1;                        // 0..1, see Noise
  // Places in ModelSpec::classes, one a picture; empty for models without labels.
  std::vector<std::uint32_t> labels;
  // Of ModelSpec::vocabulary, for all pictures; empty: the model is told nothing.
  std::vector<std::string> words;
};

class PatternMaker : public Model {
 public:
  // Loads, verifies and warms up; errors of LoadModel.
  static absl::StatusOr<std::unique_ptr<PatternMaker>> Load(const ModelOptions& options);

  // uint8 [N, side(), side(), 3] on the CPU. A picture depends on its own seed, label and words
  // alone, not on the others of its order (on CPUs bit for bit). Thread-safe; calls may run
  // at the same time. INVALID_ARGUMENT naming `seed`, `truncation`, `label` or `attributes`: the
  // order does not suit this model; RESOURCE_EXHAUSTED: out of memory; INTERNAL: the device failed.
  virtual absl::StatusOr<at::Tensor> Make(const PatternOrder& order, Precision precision) = 0;

  // Of the square pictures, pixels.
  virtual int side() const = 0;
};

}  // namespace atelier::infer
