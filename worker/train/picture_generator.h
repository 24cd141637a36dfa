// What the families that make pictures from pictures share: the generator that a job's
// configuration asks for, and how it is run.
#pragma once

#include <ATen/core/Generator.h>

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "common/model_spec.h"
#include "common/train_config.h"
#include "worker/nn/generator.h"
#include "worker/train/generator_step.h"

namespace atelier::train {

// With fresh weights from `random`, and with dropout where its layout has some. INVALID_ARGUMENT
// naming the option: no such generator.
absl::StatusOr<std::shared_ptr<nn::Generator>> MakePictureGenerator(const TrainConfig& config,
                                                                    const at::Generator& random,
                                                                    bool dropout = false);

// For the running mean of its weights, which are not set yet; null when `config` wants none.
absl::StatusOr<std::shared_ptr<nn::Generator>> MakePictureMean(const TrainConfig& config);

// Sets tier and architecture of model.json.
void DescribePictureGenerator(const TrainConfig& config, ModelSpec& spec);

// The result in fp32, whatever `precision` it is computed in.
torch::Tensor Forward(nn::Generator& generator, const torch::Tensor& pictures, Precision precision);

// The same at the scales of generator_options.multi_level, finest first; without that option the
// picture alone.
std::vector<torch::Tensor> ForwardLevels(nn::Generator& generator, const torch::Tensor& pictures,
                                         const TrainConfig& config);

// float [N, 3, S, S] in [-1, 1] → the same in fp32, picture by picture, without gradients and in
// evaluation mode: for sample grids.
torch::Tensor Restyle(nn::Generator& generator, const torch::Tensor& pictures, Precision precision);

// A step whose result restyles pictures.
class PictureStep : public GeneratorStep<nn::Generator> {
 public:
  void Describe(ModelSpec& spec) const final { DescribePictureGenerator(config_, spec); }
  torch::Tensor Results(const Batch& batch) override {
    return Restyle(average_.result(), batch.content, config_.precision);
  }
  // The pictures over their results.
  std::vector<torch::Tensor> Sample(const torch::Tensor& pictures) override {
    return {pictures, Restyle(average_.result(), pictures, config_.precision)};
  }

 protected:
  using GeneratorStep::GeneratorStep;
};

}  // namespace atelier::train
