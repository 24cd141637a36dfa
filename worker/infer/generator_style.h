// Generators whose style is not fixed: which network a model is, and what the controls of a request
// make of it. Used by the stylizer
// and by worker/convert.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "common/model_spec.h"
#include "worker/infer/stylizer.h"
#include "worker/nn/generator.h"

namespace atelier::infer {

// The network of models::MakeGenerator, or one that is told the style: "multistyle", with a style
// for each of the model's classes, or "reference". Errors of models::MakeGenerator; DATA_LOSS: no
// classes, or too many.
absl::StatusOr<std::shared_ptr<nn::Generator>> MakeModelNetwork(const ModelSpec& spec);

// The style that `controls` ask for as a code for Forward, on the device of `generator`; undefined
// for a network that has one style. INVALID_ARGUMENT naming `mix` or `style_image`: missing, of the
// wrong size, or nothing that this network takes.
absl::StatusOr<at::Tensor> StyleCode(nn::Generator& generator, const ModelSpec& spec,
                                     const StylizeControls& controls);

// x: see nn::Generator::forward.
at::Tensor Forward(nn::Generator& generator, const at::Tensor& x, const at::Tensor& code);

}  // namespace atelier::infer
