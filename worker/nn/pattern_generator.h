// What every network is that makes pictures from noise: patterns.
#pragma once

#include <torch/nn/module.h>

#include "worker/nn/condition_encoder.h"

namespace atelier::nn {

class PatternGenerator : public torch::nn::Module {
 public:
  // z: float [N, latent_size()], standard normal; condition: float or int64 as ConditionEncoder
  // takes it, of N rows, undefined for an unconditional network. Returns RGB [N, 3, side(), side()]
  // in [-1, 1]. Batch norms follow training and evaluation mode. Thread-safe in evaluation mode;
  // throws c10::Error (see worker/infer/guard.h).
  virtual torch::Tensor forward(const torch::Tensor& z, const torch::Tensor& condition) = 0;

  // The same for serving, in evaluation mode and without gradients: on CPUs picture by picture, so
  // that the bits of a picture depend on its row of z and of condition alone.
  torch::Tensor Generate(const torch::Tensor& z, const torch::Tensor& condition);

  int latent_size() const { return latent_size_; }
  // Of the square pictures, pixels.
  int side() const { return side_; }
  // Labels, attributes or words of the condition; 0: unconditional.
  int condition_entries() const { return condition_entries_; }

  // Fills all weights afresh from `random` (a CPU generator), the way this network is meant to
  // start training.
  virtual void InitializeWeights(at::Generator random) = 0;

 protected:
  struct Shape {
    int latent_size;
    int side;
  };
  // Registers "condition" where there is one.
  PatternGenerator(const Shape& shape, const ConditionOptions& condition);

  // Columns of JoinCondition's result.
  int joined_size() const;
  // z with the embedded condition behind it, [N, joined_size()] (Mirza and Osindero 2014,
  // arXiv:1411.1784).
  torch::Tensor JoinCondition(const torch::Tensor& z, const torch::Tensor& condition);
  // For InitializeWeights: the condition's part.
  void InitializeCondition(const at::Generator& random);

 private:
  int latent_size_;
  int side_;
  int condition_entries_;
  ConditionEncoder condition_{nullptr};
};

}  // namespace atelier::nn
