// What the networks of a conditional family are told about the pictures that they learn from: a
// label (Mirza and Osindero 2014, arXiv:1411.1784), or the words of a caption.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/model_spec.h"
#include "common/train_config.h"
#include "worker/nn/condition_encoder.h"
#include "worker/nn/tokenizer.h"
#include "worker/train/batch.h"
#include "worker/train/image_folder.h"

namespace atelier::train {

// Immutable once made.
class Conditioning {
 public:
  // Unconditional.
  Conditioning() = default;

  // Of the family of `config`; with words every picture of `content` is looked at (caption.h).
  // FAILED_PRECONDITION: labels, of which `content` has fewer than two or more than 1000;
  // DATA_LOSS: a file has vanished.
  static absl::StatusOr<Conditioning> Make(const TrainConfig& config, const ImageFolder& content);

  // Of the generator; the discriminator has as many entries.
  nn::ConditionOptions options() const;

  // What the pictures of `part` are told, and pictures made beside them: int64 [N] labels, or float
  // [N, entries] weights of words; undefined when unconditional. A caption loses each word in one
  // of five draws and all of them in one of ten, keyed by the sample, so that a generator can be
  // told less than everything. On the device of part.labels.
  torch::Tensor Of(const Batch& part) const;

  // How many rows of the sample grid differ, at least 1: labels, or the most frequent captions.
  std::int64_t kinds() const;
  // The label that row `row` of the sample grid is told; below 0: none, or words.
  std::int64_t LabelOfRow(std::int64_t row) const;
  // `count` times what row `row` of the sample grid is told.
  torch::Tensor OfRow(std::int64_t row, std::int64_t count, const torch::Device& device) const;

  // Sets classes or vocabulary, and the capabilities, of model.json.
  void Describe(ModelSpec& spec) const;

 private:
  using Words = std::vector<std::int64_t>;  // entries of the tokenizer

  torch::Tensor WeightsOf(const std::vector<Words>& captions) const;
  static absl::StatusOr<Conditioning> MakeWords(const TrainConfig& config,
                                                const ImageFolder& content);

  std::uint64_t seed_ = 0;
  std::vector<std::string> classes_;
  std::optional<nn::Tokenizer> tokenizer_;
  std::vector<Words> captions_;  // of the content set's pictures
  std::vector<Words> frequent_;  // captions, the most frequent one first, a few
};

}  // namespace atelier::train
