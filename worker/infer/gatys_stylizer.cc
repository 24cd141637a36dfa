#include "worker/infer/gatys_stylizer.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "common/errors.h"
#include "common/status_macros.h"
#include "common/train_config.h"
#include "worker/infer/guard.h"
#include "worker/infer/serving_network.h"
#include "worker/kernels/pixels.h"
#include "worker/models/feature_network.h"
#include "worker/models/weights.h"
#include "worker/nn/gatys_target.h"
#include "worker/nn/picture_pyramid.h"

namespace atelier::infer {
namespace {

bool InRange(const nn::GatysTarget::Settings& settings) {
  const auto is_weight = [](double value) { return std::isfinite(value) && value >= 0; };
  const auto is_beta = [](double value) { return value >= 0 && value < 1; };
  return is_weight(settings.content_weight) && is_weight(settings.style_weight) &&
         is_weight(settings.total_variation_weight) && settings.learning_rate > 0 &&
         settings.learning_rate <= 1 && is_beta(settings.beta1) && is_beta(settings.beta2) &&
         settings.iterations >= 1 && settings.iterations <= kMaxGatysIterations;
}

class GatysStylizer final : public Stylizer {
 public:
  GatysStylizer(ModelSpec spec, torch::Device device, std::shared_ptr<nn::GatysTarget> target,
                std::shared_ptr<nn::EfficientNetLite> network)
      : spec_(std::move(spec)),
        device_(device),
        target_(std::move(target)),
        network_(std::move(network)),
        settings_(target_->settings()),
        bytes_(BytesOf(*network_)) {}

  absl::StatusOr<at::Tensor> Stylize(const at::Tensor& images,
                                     const StylizeControls& controls) override {
    ATELIER_RETURN_IF_ERROR(CheckPictures(images));
    ATELIER_RETURN_IF_ERROR(
        CheckPrecision("precision", controls.precision, spec_.default_precision));
    if (!controls.mix.empty()) {
      return InvalidField("mix", "does not apply: this model does not know several styles");
    }
    if (controls.style_image.defined()) {
      return InvalidField("style_image", "does not apply: this model has learnt its style");
    }
    if (std::max(images.size(1), images.size(2)) > kMaxGatysSide) {
      return InvalidField("size", "must be at most " + std::to_string(kMaxGatysSide) +
                                      " for this model, which optimises every pixel; set it to "
                                      "that or less");
    }
    return Guarded("restyling a picture", [&]() -> absl::StatusOr<at::Tensor> {
      const absl::MutexLock lock(&mutex_);
      std::vector<torch::Tensor> results;
      for (const torch::Tensor& image : images.split(1)) {
        ATELIER_ASSIGN_OR_RETURN(torch::Tensor result, Optimize(image, controls));
        results.push_back(std::move(result));
      }
      return torch::cat(results);
    });
  }

  bool OneByOne() const override { return true; }
  const ModelSpec& spec() const override { return spec_; }
  std::uint64_t bytes() const override { return bytes_; }

 private:
  absl::StatusOr<torch::Tensor> Optimize(const torch::Tensor& image,
                                         const StylizeControls& controls) const {
    const torch::AutoGradMode with_gradients(true);
    const torch::Tensor photo = kernels::PixelsToTensor(image.to(device_));
    const torch::Tensor content = target_->Content(*network_, photo);
    const nn::PicturePyramid pyramid(photo);
    torch::optim::Adam adam(pyramid.parameters(), torch::optim::AdamOptions(settings_.learning_rate)
                                                      .betas({settings_.beta1, settings_.beta2}));
    for (int i = 0; i < static_cast<int>(settings_.iterations); ++i) {
      if (controls.still_wanted != nullptr) {
        ATELIER_RETURN_IF_ERROR(controls.still_wanted());
      }
      torch::Tensor total;
      for (const auto& [name, loss] : target_->Losses(*network_, pyramid.Picture(), content)) {
        total = total.defined() ? total + loss : loss;
      }
      adam.zero_grad();
      total.backward();
      adam.step();
    }
    return kernels::TensorToPixels(pyramid.Picture().detach()).to(torch::kCPU);
  }

  const ModelSpec spec_;
  const torch::Device device_;
  const std::shared_ptr<nn::GatysTarget> target_;
  const std::shared_ptr<nn::EfficientNetLite> network_;
  const nn::GatysTarget::Settings settings_;
  const std::uint64_t bytes_;
  absl::Mutex mutex_;  // one picture at a time
};

}  // namespace

absl::StatusOr<std::unique_ptr<Stylizer>> MakeGatysStylizer(
    const ModelSpec& spec, const models::TensorMap& weights,
    const std::filesystem::path& feature_weights, c10::Device device) {
  auto target = std::make_shared<nn::GatysTarget>();
  ATELIER_RETURN_IF_ERROR(models::LoadWeights(*target, weights, /*strict=*/true));
  if (!InRange(target->settings())) {
    return absl::DataLossError("The model's settings are out of range.");
  }
  auto network = models::LoadEfficientNetLite(0, feature_weights);
  if (!network.ok()) {
    return absl::UnavailableError("The feature network cannot be read: " +
                                  std::string(network.status().message()));
  }
  target->to(device);
  (*network)->to(device);
  return std::make_unique<GatysStylizer>(spec, device, std::move(target), *std::move(network));
}

}  // namespace atelier::infer
