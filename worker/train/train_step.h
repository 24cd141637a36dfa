// One optimiser step of one model family: the part of training that differs between families.
#pragma once

#include <torch/nn/module.h>
#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/model_spec.h"
#include "common/train_config.h"
#include "worker/models/safetensors.h"
#include "worker/nn/efficientnet_lite.h"
#include "worker/nn/generator.h"
#include "worker/ranks/rank_group.h"
#include "worker/train/batch.h"
#include "worker/train/image_folder.h"
#include "worker/train/saved_state.h"

namespace atelier::train {

using models::TensorMap;

// The discriminator's mean logits of real pictures of the last Run, in the batch's order, [N];
// undefined where it did not see that set's pictures as they are.
struct RealScores {
  torch::Tensor content;
  torch::Tensor target;
};

// Not thread-safe: owned by the training thread.
class TrainStep {
 public:
  virtual ~TrainStep() = default;

  // Updates all networks once; `step` counts from 0 and keys the step's randomness. Returns the
  // losses by name. Here and below pictures are where the networks are.
  virtual std::map<std::string, double> Run(const Batch& batch, std::int64_t step) = 0;

  // Adam's step size of the generator at the last Run.
  virtual double learning_rate() const = 0;

  // Rows of the sample grid, float [N, 3, S, S] in [-1, 1] each. `pictures` is the content of a
  // fixed batch; families that start from noise ignore it. Called without gradients.
  virtual std::vector<torch::Tensor> Sample(const torch::Tensor& pictures) = 0;

  // The row of Sample whose pictures must not grow alike: what the result makes of other pictures,
  // or of other noise.
  struct ResultRow {
    std::size_t row = 1;
    // What all of it was made for: a place in labels() of the style set or, where there is none, of
    // the content set. Below 0: nothing in particular.
    std::int64_t label = -1;
  };
  virtual ResultRow result_row() const { return {}; }

  // What the result makes, float [N, 3, S, S] in [-1, 1], for a measurement: of `batch`'s content
  // or, in families that start from noise, of noise keyed by its samples, with its labels. In
  // evaluation mode, without gradients; nothing of the training changes. The default is the second
  // row of Sample.
  virtual torch::Tensor Results(const Batch& batch) { return Sample(batch.content).at(1); }

  // With resampling on; both undefined in families that have none.
  virtual RealScores TakeRealScores() { return {}; }

  // A factor on the learning rates of all further steps, besides the schedule's own: what the
  // schedule "plateau" sets. 1 at first; not part of State.
  void SetRateFactor(double factor) { rate_factor_ = factor; }

  // Whether a network has skipped an update since this was last asked, because its gradients were
  // not all finite.
  bool TakeSkipped();

  // All networks that have weights of their own.
  std::vector<NamedNetwork> Networks();
  // Moves these.
  void MoveTo(const torch::Device& device);
  // From now on it is a rank's: Run gets its parts of batches, and its learners the mean of all
  // ranks' gradients. The group must outlive it.
  void Join(ranks::RankGroup& group);

  // With compression, the network whose results the result is to have, in evaluation mode; null
  // otherwise. The trainer measures one against the other at the end.
  virtual nn::Generator* source() { return nullptr; }

  // The network that is the result, and what model.json says of it (family, generator and its
  // options; the caller adds checksums and sizes).
  virtual torch::nn::Module& result() = 0;
  virtual void Describe(ModelSpec& spec) const = 0;

  // The network that becomes the result and, where there is one, its running mean: what starts from
  // the weights of init_from.
  virtual std::vector<torch::nn::Module*> generators() = 0;

  // Everything that a bit-equal continuation needs: weights, buffers and optimiser moments of all
  // networks, and what else changes from step to step.
  TensorMap State();
  // DATA_LOSS: a tensor is missing or has another shape or type.
  absl::Status LoadState(const TensorMap& state);

 protected:
  // What State is made of.
  virtual std::vector<Saved*> parts() = 0;

  double rate_factor() const { return rate_factor_; }

 private:
  double rate_factor_ = 1;
};

// What a step is made from. The folders are read while it is made and not kept.
//
// Networks that learn are made on the CPU, so that their first weights are equal on all devices,
// and MakeStep moves them. What a step keeps besides (frozen networks, pictures, what is known of
// them) it puts on `device` by itself.
struct StepInputs {
  const TrainConfig& config;  // with steps set
  std::filesystem::path feature_weights;
  const ImageFolder& content;
  const ImageFolder* style;  // null: the family has none
  // The folder of the model that is compressed; empty: the job trains.
  std::filesystem::path source_model = {};
  torch::Device device = torch::kCPU;  // where batches will be
  // The other ranks, with batch_size this rank's part; null: alone.
  ranks::RankGroup* group = nullptr;

  // EfficientNet-Lite0, on the device. DATA_LOSS, NOT_FOUND.
  absl::StatusOr<std::shared_ptr<nn::EfficientNetLite>> LoadFeatureNetwork() const;
};

// A family's row: how it uses its data sets, and how its step is made. FAILED_PRECONDITION: the
// data sets do not suit it; DATA_LOSS, NOT_FOUND: the feature network's file is damaged or missing.
struct StepRow {
  std::string_view family;
  BatchKind (*batch_kind)(const TrainConfig& config);
  absl::StatusOr<std::unique_ptr<TrainStep>> (*make)(const StepInputs& inputs);
  bool cpu_only = false;  // whatever device the job is given
};

// The step of a row, on inputs.device. Errors: those of its `make`.
absl::StatusOr<std::unique_ptr<TrainStep>> MakeStep(const StepRow& row, const StepInputs& inputs);

// UNIMPLEMENTED: this build cannot train the family.
absl::StatusOr<const StepRow*> FindStepRow(std::string_view family);

}  // namespace atelier::train
