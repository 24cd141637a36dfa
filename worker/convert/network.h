// What a model's weights are loaded into, from what its model.json says.
#pragma once

#include <torch/nn/module.h>

#include <memory>

#include "absl/status/statusor.h"
#include "common/model_spec.h"
#include "worker/nn/generator.h"
#include "worker/nn/pattern_generator.h"

namespace atelier::convert {

struct Network {
  std::shared_ptr<torch::nn::Module> module;
  // The same, where it is one of these; a model of the family "gatys" is neither.
  std::shared_ptr<nn::Generator> picture;
  std::shared_ptr<nn::PatternGenerator> pattern;
};

// In evaluation mode, with weights to be loaded. Not for TorchScript programs. UNIMPLEMENTED: not
// in this build. INVALID_ARGUMENT, DATA_LOSS: a size that the generator does not have.
absl::StatusOr<Network> MakeNetwork(const ModelSpec& spec);

}  // namespace atelier::convert
