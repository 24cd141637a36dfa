#include "worker/train/gatys.h"

#include <torch/torch.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "common/errors.h"
#include "common/status_macros.h"
#include "worker/kernels/pixels.h"
#include "worker/nn/gatys_target.h"
#include "worker/nn/picture_pyramid.h"
#include "worker/train/learner.h"
#include "worker/train/samples.h"
#include "worker/train/schedule.h"
#include "worker/train/style_set.h"

namespace atelier::train {
namespace {

constexpr std::int64_t kMaxPictures = 16;
constexpr std::size_t kGatysSamples = 4;

// The pictures as parameters: "0.level_0" ..., "1.level_0" ...
class OptimizedPictures final : public torch::nn::Module {
 public:
  explicit OptimizedPictures(const std::vector<torch::Tensor>& photos) {
    for (std::size_t i = 0; i < photos.size(); ++i) {
      pyramids_.push_back(
          register_module(std::to_string(i), std::make_shared<nn::PicturePyramid>(photos[i])));
    }
  }
  torch::Tensor At(std::size_t place) const { return pyramids_.at(place)->Picture(); }

 private:
  std::vector<std::shared_ptr<nn::PicturePyramid>> pyramids_;
};

class GatysStep final : public TrainStep {
 public:
  GatysStep(const TrainConfig& config, std::vector<torch::Tensor> photos,
            std::shared_ptr<nn::EfficientNetLite> network, std::shared_ptr<nn::GatysTarget> target)
      : config_(config),
        photos_(std::move(photos)),
        network_(std::move(network)),
        target_(std::move(target)),
        pictures_(std::make_shared<OptimizedPictures>(photos_)),
        learner_("pictures", pictures_, GeneratorOptions(config)) {
    for (const torch::Tensor& photo : photos_) {
      contents_.push_back(target_->Content(*network_, photo));
    }
  }

  std::map<std::string, double> Run(const Batch& batch, std::int64_t step) override;
  double learning_rate() const override { return learner_.learning_rate(); }
  // The first few photographs over what has become of them.
  std::vector<torch::Tensor> Sample(const torch::Tensor& pictures) override;
  torch::nn::Module& result() override { return *target_; }
  void Describe(ModelSpec& spec) const override;
  std::vector<torch::nn::Module*> generators() override { return {}; }

 private:
  std::vector<Saved*> parts() override { return {&learner_}; }

  const TrainConfig config_;
  const std::vector<torch::Tensor> photos_;
  const std::shared_ptr<nn::EfficientNetLite> network_;
  const std::shared_ptr<nn::GatysTarget> target_;
  const std::shared_ptr<OptimizedPictures> pictures_;
  Learner learner_;
  std::vector<torch::Tensor> contents_;
};

std::map<std::string, double> GatysStep::Run(const Batch& batch, std::int64_t step) {
  learner_.SetRateShare(rate_factor() * RateShare(config_.schedule, step, config_.steps));
  learner_.ZeroGradients();
  std::map<std::string, double> values;
  for (std::int64_t i = 0; i < config_.batch_size; ++i) {
    const auto place = static_cast<std::size_t>((batch.first_sample + i) % std::ssize(photos_));
    torch::Tensor total;
    for (const auto& [name, loss] :
         target_->Losses(*network_, pictures_->At(place), contents_[place])) {
      values[name] += loss.item<double>() / config_.batch_size;
      total = total.defined() ? total + loss : loss;
    }
    values["total"] += total.item<double>() / config_.batch_size;
    total.backward();
  }
  learner_.Step();
  return values;
}

std::vector<torch::Tensor> GatysStep::Sample(const torch::Tensor& /*pictures*/) {
  std::vector<torch::Tensor> results;
  for (std::size_t place = 0; place < std::min(kGatysSamples, photos_.size()); ++place) {
    results.push_back(pictures_->At(place));
  }
  const auto count = static_cast<std::int64_t>(results.size());
  return {torch::cat(photos_).narrow(0, 0, count), torch::cat(results)};
}

void GatysStep::Describe(ModelSpec& spec) const {
  spec.tier = "";
  spec.architecture.generator = "gatys";
  spec.capabilities = {"strength", "preserve_color", "size"};
}

absl::StatusOr<std::vector<torch::Tensor>> ReadPhotos(const TrainConfig& config,
                                                      const ImageFolder& content) {
  if (content.size() > kMaxPictures) {
    return absl::FailedPreconditionError(
        "the family \"gatys\" keeps every picture in memory and takes at most " +
        std::to_string(kMaxPictures) + ": the data set \"" + config.content_dataset + "\" has " +
        std::to_string(content.size()));
  }
  if (config.batch_size > content.size()) {
    return InvalidField("train.batch_size",
                        "must be at most the number of pictures in data.content, " +
                            std::to_string(content.size()));
  }
  std::vector<torch::Tensor> photos;
  for (std::int64_t i = 0; i < content.size(); ++i) {
    ATELIER_ASSIGN_OR_RETURN(const torch::Tensor picture, content.Load(i));
    photos.push_back(kernels::PixelsToTensor(CentreCrop(picture, config.image_size).unsqueeze(0)));
  }
  return photos;
}

// The mean Gram matrices of the paintings.
std::vector<torch::Tensor> MeanGrams(const StyleSet& set) {
  std::vector<torch::Tensor> means;
  for (std::size_t layer = 0; layer < kFeatureLayers; ++layer) {
    std::vector<torch::Tensor> grams;
    for (const StyleSet::Painting& painting : set.paintings()) {
      grams.push_back(painting.scales.front().grams[layer]);
    }
    means.push_back(torch::stack(grams).mean(0));
  }
  return means;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TrainStep>> MakeGatysStep(const StepInputs& inputs) {
  const TrainConfig& config = inputs.config;
  ATELIER_ASSIGN_OR_RETURN(std::vector<torch::Tensor> photos, ReadPhotos(config, inputs.content));
  for (torch::Tensor& photo : photos) {
    photo = photo.to(inputs.device);
  }
  ATELIER_ASSIGN_OR_RETURN(auto network, inputs.LoadFeatureNetwork());
  ATELIER_ASSIGN_OR_RETURN(const StyleSet set,
                           StyleSet::Make(*inputs.style, {config.image_size}, *network));
  auto target = std::make_shared<nn::GatysTarget>();
  target->to(inputs.device);
  target->SetGrams(MeanGrams(set));
  target->Set({.content_weight = config.gatys.content_weight,
               .style_weight = config.gatys.style_weight,
               .total_variation_weight = config.gatys.total_variation_weight,
               .learning_rate = config.learning_rate,
               .beta1 = config.adam_beta1,
               .beta2 = config.adam_beta2,
               .iterations = static_cast<double>(config.gatys.iterations)});
  return std::make_unique<GatysStep>(config, std::move(photos), std::move(network),
                                     std::move(target));
}

}  // namespace atelier::train
