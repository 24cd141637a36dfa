#include "worker/train/distil.h"

#include <torch/torch.h>

#include <utility>

#include "common/check.h"
#include "common/compress_config.h"
#include "common/errors.h"
#include "common/status_macros.h"
#include "worker/models/generator_table.h"
#include "worker/models/pruning.h"
#include "worker/models/weights.h"
#include "worker/nn/memory_format.h"
#include "worker/train/extra_losses.h"
#include "worker/train/gradients.h"
#include "worker/train/image_losses.h"
#include "worker/train/picture_generator.h"
#include "worker/train/random.h"
#include "worker/train/source_model.h"

namespace atelier::train {
namespace {

// What learns, and what model.json will say of it.
struct Student {
  std::shared_ptr<nn::Generator> network;
  std::shared_ptr<nn::Generator> mean;
  Architecture architecture;
  std::string tier;
};

class DistilStep final : public GeneratorStep<nn::Generator> {
 public:
  DistilStep(const TrainConfig& config, SourceModel source, Student student, ExtraLosses extra)
      : GeneratorStep(config, std::move(student.network), std::move(student.mean)),
        source_(std::move(source)),
        architecture_(std::move(student.architecture)),
        tier_(std::move(student.tier)),
        extra_(std::move(extra)) {}

  std::map<std::string, double> Run(const Batch& batch, std::int64_t step) override;
  void Describe(ModelSpec& spec) const override {
    // A program is of no family; "faststyle" is the one whose models are a generator and nothing
    // else.
    spec.family = source_.spec.family == kTorchScript ? "faststyle" : source_.spec.family;
    spec.tier = tier_;
    spec.architecture = architecture_;
  }
  nn::Generator* source() override { return source_.network.get(); }
  // In fp32, as they are served.
  torch::Tensor Results(const Batch& batch) override {
    return Restyle(average_.result(), batch.content, Precision::kFp32);
  }
  // The pictures over the results and those of the source.
  std::vector<torch::Tensor> Sample(const torch::Tensor& pictures) override {
    return {pictures, Restyle(average_.result(), pictures, Precision::kFp32),
            Restyle(*source_.network, pictures, Precision::kFp32)};
  }

 private:
  std::vector<Saved*> other_parts() override { return {}; }

  const SourceModel source_;
  const Architecture architecture_;
  const std::string tier_;
  const ExtraLosses extra_;
};

std::map<std::string, double> DistilStep::Run(const Batch& batch, std::int64_t step) {
  return StepParts(batch, step, [&](const Batch& part) {
    torch::Tensor target;
    {
      const torch::NoGradGuard no_grad;
      target = Forward(*source_.network, part.content, config_.precision);
    }
    const torch::Tensor result = Forward(*generator_, part.content, config_.precision);
    Losses losses = {{"pixels", config_.compress.pixel_weight * AbsoluteDistance(result, target)}};
    extra_.Add(result, target, /*style=*/{}, *generator_, "", losses);
    return losses;
  });
}

absl::StatusOr<std::unique_ptr<TrainStep>> MakeDistil(const StepInputs& inputs, SourceModel source,
                                                      Student student) {
  nn::UseChannelsLast(*student.network);
  ATELIER_ASSIGN_OR_RETURN(ExtraLosses extra, ExtraLosses::Make(inputs));
  return std::make_unique<DistilStep>(inputs.config, std::move(source), std::move(student),
                                      std::move(extra));
}

}  // namespace

absl::StatusOr<std::unique_ptr<TrainStep>> MakeDistilStep(const StepInputs& inputs) {
  const TrainConfig& config = inputs.config;
  ATELIER_ASSIGN_OR_RETURN(SourceModel source,
                           ReadSourceModel(kDistil, inputs.source_model, inputs.device));
  KeyedRandom random(config.seed, 0, 0, Purpose::kInit);
  Student student;
  ATELIER_ASSIGN_OR_RETURN(student.network,
                           MakePictureGenerator(config, MakeRandom(random.Next())));
  ATELIER_ASSIGN_OR_RETURN(student.mean, MakePictureMean(config));
  ModelSpec described;
  DescribePictureGenerator(config, described);
  student.architecture = described.architecture;
  student.tier = described.tier;
  return MakeDistil(inputs, std::move(source), std::move(student));
}

absl::StatusOr<std::unique_ptr<TrainStep>> MakePruneStep(const StepInputs& inputs) {
  ATELIER_ASSIGN_OR_RETURN(SourceModel source,
                           ReadSourceModel(kPrune, inputs.source_model, inputs.device));
  const Architecture& whole = source.spec.architecture;
  Student student;
  student.architecture = models::PrunedArchitecture(whole, inputs.config.compress.keep);
  if (student.architecture.base_channels >= whole.base_channels) {
    return InvalidField("prune.keep", "leaves all " + std::to_string(whole.base_channels) +
                                          " channels of the model; give a smaller share");
  }
  ATELIER_ASSIGN_OR_RETURN(student.network, models::MakeGenerator(student.architecture));
  ATELIER_ASSIGN_OR_RETURN(student.mean, models::MakeGenerator(student.architecture));
  ATELIER_ASSIGN_OR_RETURN(const TensorMap left,
                           models::PruneChannels(whole, *source.network, student.architecture));
  ATELIER_RETURN_IF_ERROR(models::LoadWeights(*student.network, left, /*strict=*/true));
  student.network->train();
  return MakeDistil(inputs, std::move(source), std::move(student));
}

}  // namespace atelier::train
