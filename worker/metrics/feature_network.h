// The networks whose features the metrics compare. CPU only; an object is used from one thread at a
// time.
#pragma once

#include <torch/types.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/metrics/network_input.h"
#include "worker/nn/efficientnet_lite.h"

namespace atelier::metrics {

// Something that turns a picture into one vector.
class FeatureNetwork {
 public:
  virtual ~FeatureNetwork() = default;

  // picture: uint8 [H, W, 3], sides of 16 to 4096. Returns float32 [F]. INVALID_ARGUMENT: the
  // network gave something else; RESOURCE_EXHAUSTED: out of memory; INTERNAL: it failed.
  virtual absl::StatusOr<torch::Tensor> Pooled(const torch::Tensor& picture) = 0;

  // What the results are named after: "EfficientNet-Lite1", or the file's name.
  virtual const std::string& name() const = 0;
};

// EfficientNet-Lite with its ImageNet weights. Pictures are resized to a short side of 256 px and
// keep their aspect ratio.
//
// Pooled is the mean over the positions of block 10's output, the deepest that training and style
// metrics look at: F is 112 with variant 0 and 80 with variant 1. It is preferred to the 1,280
// features of the head because a covariance needs more pictures than features, and sets of garments
// or paintings often have only hundreds.
//
// Variant 1 is the judge: training's perceptual losses look through variant 0, so distances
// measured with variant 0 flatter what was trained on them.
class LiteNetwork final : public FeatureNetwork {
 public:
  // variant: 0 or 1; weights: efficientnet_lite{0,1}.pth. NOT_FOUND; DATA_LOSS: not these weights.
  static absl::StatusOr<std::unique_ptr<LiteNetwork>> Load(int variant,
                                                           const std::filesystem::path& weights);

  absl::StatusOr<torch::Tensor> Pooled(const torch::Tensor& picture) override;
  const std::string& name() const override { return name_; }

  // The size at which the network sees a picture of `size`.
  static InputSize SizeFor(const torch::Tensor& picture);

  // The stem's output (after ReLU6) and those of blocks 0, 2, 4 and 10, each float32 [1, C, h, w],
  // of the picture resized to `size`. Errors as with Pooled.
  absl::StatusOr<std::vector<torch::Tensor>> Layers(const torch::Tensor& picture, InputSize size);

 private:
  LiteNetwork(int variant, std::shared_ptr<nn::EfficientNetLite> network);

  std::string name_;
  std::shared_ptr<nn::EfficientNetLite> network_;
};

// A network of the user's own, for example the Inception network of the published FID.
struct TorchScriptOptions {
  enum class Range { kUnit, kSigned };  // the values of its input: [0, 1] or [-1, 1]

  std::filesystem::path path;  // written by torch.jit.save
  // Pictures are resized to squares of this side; 0: they keep their size. Unit: pixels.
  std::int64_t side = 299;
  Range range = Range::kUnit;
};

// The network takes float32 [N, 3, H, W], RGB, and returns float [N, F]. Its file is a program that
// runs with the caller's rights: load only what you trust. NOT_FOUND: no such file;
// INVALID_ARGUMENT: no TorchScript network.
absl::StatusOr<std::unique_ptr<FeatureNetwork>> LoadTorchScriptNetwork(
    const TorchScriptOptions& options);

}  // namespace atelier::metrics
