// A trained generator, ready to restyle pictures.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/train_config.h"
#include "worker/infer/model.h"

namespace atelier::infer {

// What a result depends on besides the picture and the model.
struct StylizeControls {
  // An int8 model computes in fp32 around its int8 convolutions.
  Precision precision = Precision::kFp32;
  // For a model that knows several styles: the weight of each of its classes, at least one above 0
  // (common/style_mix.h makes them); empty: the first class alone.
  std::vector<float> mix;
  // For a model that takes the style from a picture: uint8 [H, W, 3] on the CPU, H and W >= 16.
  at::Tensor style_image;
  // For models that work in iterations: looked at before each, an error ends the work. May be null.
  std::function<absl::Status()> still_wanted;
};

class Stylizer : public Model {
 public:
  using Options = ModelOptions;

  // Loads, verifies and warms up. NOT_FOUND: no such folder; DATA_LOSS: checksum, names or shapes
  // disagree; UNIMPLEMENTED: unknown family; RESOURCE_EXHAUSTED: out of memory;
  // FAILED_PRECONDITION: the device is not there, or an int8 model on a GPU; UNAVAILABLE: the
  // feature weights that the family "gatys" needs are not.
  static absl::StatusOr<std::unique_ptr<Stylizer>> Load(const Options& options);

  // uint8 [N, H, W, 3] in, uint8 [N, H, W, 3] out, on the CPU, any H and W from 16 to 4096. A
  // picture's result does not depend on the others in its batch (on CPUs bit for bit). Thread-safe;
  // calls may run at the same time, so that a size can be warmed while others are served (the
  // family "gatys" takes one at a time). INVALID_ARGUMENT naming `mix` or `style_image`: missing,
  // or not what this model takes; `precision`: not one that it has (common/precision.h); `size`:
  // the family "gatys" takes sides up to 1024. RESOURCE_EXHAUSTED: out of memory; INTERNAL: the
  // device failed; errors of `controls.still_wanted`.
  virtual absl::StatusOr<at::Tensor> Stylize(const at::Tensor& images,
                                             const StylizeControls& controls) = 0;
  absl::StatusOr<at::Tensor> Stylize(const at::Tensor& images, Precision precision) {
    return Stylize(images, StylizeControls{.precision = precision});
  }

  // Whether a batch takes as long as its pictures one after the other (on CPUs), so that calls with
  // one picture each have the first ones ready earlier at no cost.
  virtual bool OneByOne() const { return false; }
};

// Whether the model optimises the pixels of each picture, which takes hundreds of times as long as
// running a network.
bool OptimisesPixels(const ModelSpec& spec);

}  // namespace atelier::infer
