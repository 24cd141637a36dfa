// What the steps of all families have in common: a generator that becomes the result, its Adam, and
// the running mean of its weights.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/train_config.h"
#include "worker/train/averaging.h"
#include "worker/train/batch.h"
#include "worker/train/gradients.h"
#include "worker/train/learner.h"
#include "worker/train/schedule.h"
#include "worker/train/train_step.h"

namespace atelier::train {

// Network: nn::Generator or nn::PatternGenerator.
template <typename Network>
class GeneratorStep : public TrainStep {
 public:
  double learning_rate() const final { return learner_.learning_rate(); }
  torch::nn::Module& result() final { return average_.result(); }
  std::vector<torch::nn::Module*> generators() final {
    return {generator_.get(), &average_.result()};
  }

 protected:
  // `mean`: a network like `generator`, or null without ema_decay. `name`: the generator's in a
  // checkpoint.
  GeneratorStep(const TrainConfig& config, std::shared_ptr<Network> generator,
                std::shared_ptr<Network> mean, std::string name = "generator")
      : config_(config),
        generator_(std::move(generator)),
        learner_(std::move(name), generator_, GeneratorOptions(config)),
        average_(std::move(mean), generator_, config.ema_decay),
        scaler_("loss", ScalerOptions(config)) {}

  // What a checkpoint keeps besides the generator, the mean of its weights and the scale of its
  // loss.
  virtual std::vector<Saved*> other_parts() = 0;

  // The share of the learning rates at step `step`.
  double Rate(std::int64_t step) const {
    return rate_factor() * RateShare(config_.schedule, step, config_.steps);
  }
  // The i-th of the `accumulate` parts of a batch.
  Batch PartOf(const Batch& batch, std::int64_t i) const {
    return Narrow(batch, i * config_.batch_size, config_.batch_size);
  }

  // One step of `learner_` and of `others`, and of the mean: they minimise the sums of the losses
  // that `losses` makes of the `accumulate` parts of a batch. Returns the mean losses by name;
  // adversaries may learn within (LearnPart). A learner whose gradients are not finite makes no
  // step; the others do.
  std::map<std::string, double> StepParts(const Batch& batch, std::int64_t step,
                                          const std::function<Losses(const Batch& part)>& losses,
                                          std::vector<Learner*> others = {}) {
    others.push_back(&learner_);
    for (Learner* learner : others) {
      learner->SetRateShare(Rate(step));
      learner->ZeroGradients();
    }
    std::map<std::string, double> values =
        AccumulateGradients(config_.accumulate, scaler_, [&](int i) {
          if (i + 1 == config_.accumulate) {
            for (Learner* learner : others) {
              learner->ExpectLastBackward();
            }
          }
          return losses(PartOf(batch, i));
        });
    bool finite = true;
    for (Learner* learner : others) {
      finite = learner->Step(scaler_.scale()) && finite;
    }
    scaler_.Report(finite);
    average_.Update(step);
    return values;
  }

  const TrainConfig config_;
  const std::shared_ptr<Network> generator_;
  Learner learner_;
  Average<Network> average_;

 private:
  std::vector<Saved*> parts() final {
    std::vector<Saved*> parts = other_parts();
    parts.insert(parts.begin(), &learner_);
    parts.insert(parts.end(), {&average_, &scaler_});
    return parts;
  }

  LossScaler scaler_;
};

}  // namespace atelier::train
