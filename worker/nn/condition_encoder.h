// What a conditional network is told about the picture, as a vector: a label, attributes, a mixture
// of them, or a short text.
#pragma once

#include <ATen/core/Generator.h>
#include <torch/nn/modules/container/any.h>
#include <torch/nn/modules/linear.h>

namespace atelier::nn {

struct ConditionOptions {
  int entries = 0;  // labels, attributes, or Tokenizer::entries(); 0: unconditional
  int size = 64;    // of the vector
  // Channels of a second layer, which lets words that stand together change each other's meaning;
  // 0: none, the vector is the mean or the sum of the entries' embeddings.
  int hidden = 0;
  // The sum instead of the mean, for entries that hold independently of one another (attributes,
  // the words of a caption): log p(c | x) is then a sum over them, and so is its projection in a
  // discriminator (Miyato and Koyama 2018, arXiv:1802.05637, section 3).
  bool sum = false;
};

// condition, N rows of one of:
//   int64 [N]           one entry each, a label in [0, entries);
//   int64 [N, T]        words (tokenizer.h): their mean, without Tokenizer::kPadding;
//   float [N, entries]  weights of entries, >= 0, of any sum: several attributes, mixed labels.
// All three are weights that sum to 1 (or to 0: an empty text; with `sum` weights and counts as
// they are) times an embedding that is learnt, "embedding.weight" [size, entries]; then, with
// `hidden`, x + W2 relu(W1 x): "widen", "narrow".
class ConditionEncoderImpl final : public torch::nn::Module {
 public:
  // spectral: the embedding has spectral norm (worker/nn/spectral_norm.h), as in projection
  // discriminators.
  explicit ConditionEncoderImpl(const ConditionOptions& options, bool spectral = false);

  // Returns [N, size] of the weights' type. Throws c10::Error for an entry out of range.
  torch::Tensor forward(const torch::Tensor& condition);

  int size() const { return options_.size; }

  // Embeddings Normal(0, 1); the second layer Kaiming normal (He et al. 2015), its result small.
  void InitializeWeights(const at::Generator& random);

 private:
  ConditionOptions options_;
  torch::nn::AnyModule embedding_;
  torch::nn::Linear widen_{nullptr};
  torch::nn::Linear narrow_{nullptr};
};
TORCH_MODULE(ConditionEncoder);

// The weights that ConditionEncoder makes of a condition, float [N, entries]; rows sum to 1 or 0,
// with `sum` to what they may.
torch::Tensor ConditionWeights(const torch::Tensor& condition, int entries, bool sum = false);

}  // namespace atelier::nn
