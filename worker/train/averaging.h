// The exponential running mean of a generator's weights, which makes better pictures than the
// weights of any one step (Yazıcı et al. 2019, arXiv:1806.04498; Karras et al. 2018,
// arXiv:1710.10196).
#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "worker/models/safetensors.h"
#include "worker/train/saved_state.h"

namespace atelier::train {

// mean = keep mean + (1 - keep) weights, with keep = min(decay, (step + 2) / (step + 11)): early on
// the mean follows faster, so that it does not remember the start. Buffers (batch norm's
// statistics) are copied.
double KeepShare(double decay, std::int64_t step);

// Everything of Average that does not depend on the network's type. Not thread-safe.
class WeightAverage : public Saved {
 public:
  // Both networks have the same architecture. The mean starts as `source`, in its memory layout,
  // and wants no gradients. decay in [0, 1); 0: off, and `mean` is not looked at and may be null.
  WeightAverage(std::string name, std::shared_ptr<torch::nn::Module> mean,
                std::shared_ptr<torch::nn::Module> source, double decay);

  bool on() const { return decay_ > 0; }

  // After the optimiser's step `step`, counted from 0.
  void Update(std::int64_t step);

  std::vector<NamedNetwork> Networks() override {
    return on() ? std::vector<NamedNetwork>{{name_, mean_.get(), false}}
                : std::vector<NamedNetwork>{};
  }
  // As NAME.KEY; nothing when off.
  void Save(models::TensorMap& state) const override;
  absl::Status Load(const models::TensorMap& state) override;

 private:
  std::string name_;
  std::shared_ptr<torch::nn::Module> mean_;
  std::shared_ptr<torch::nn::Module> source_;
  double decay_;
};

template <typename Network>
class Average final : public WeightAverage {
 public:
  Average(std::shared_ptr<Network> mean, std::shared_ptr<Network> source, double decay,
          std::string name = "average")
      : WeightAverage(std::move(name), mean, source, decay),
        result_(decay > 0 ? std::move(mean) : std::move(source)) {}

  // The mean, or the source when off: what is served, and what samples are made with.
  Network& result() const { return *result_; }

 private:
  std::shared_ptr<Network> result_;
};

}  // namespace atelier::train
