// Augmentation of what the discriminator sees, real and generated alike, that the generator's
// gradient passes through: a small data set no longer lets the discriminator learn it by heart
// (Zhao et al. 2020, arXiv:2006.10738, policies "color", "translation" and "cutout"; agrees with
// the authors' code), and its probability steered by how far that has gone (Karras et al. 2020,
// arXiv:2006.06676).
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "worker/models/safetensors.h"
#include "worker/ranks/rank_group.h"
#include "worker/train/random.h"

namespace atelier::train {

// What happens to one picture. The defaults change nothing.
struct DiffAugmentDraw {
  double brightness = 0;  // added, in [-0.5, 0.5)
  double saturation = 1;  // factor on a pixel's difference from its grey, in [0, 2)
  double contrast = 1;    // factor on the difference from the picture's mean, in [0.5, 1.5)
  std::int64_t down = 0;  // pixels, at most H / 8 either way; 0 fills the gap
  std::int64_t right = 0;
  bool cut = false;        // a rectangle of H / 2 by W / 2 becomes 0
  std::int64_t cut_y = 0;  // its middle, in [0, H]
  std::int64_t cut_x = 0;
};

// For a picture of H x W. Color, translation and cutout each happen with `probability`. `random` is
// keyed by (seed, sample, adversary and role, kDiffAugment).
DiffAugmentDraw DrawDiffAugment(std::int64_t height, std::int64_t width, double probability,
                                KeyedRandom random);

// pictures: float [N, C, H, W]; one draw a picture. Returns the same shape, differentiable any
// number of times.
torch::Tensor DiffAugment(const torch::Tensor& pictures, const std::vector<DiffAugmentDraw>& draws);

// What steers the probability: the mean of sign(D(real)). It is 0 while the discriminator guesses
// and 1 when it knows every real picture; above `target` the probability rises, below it falls,
// by a step that would take it from 0 to 1 within `pictures_to_full` real pictures. The figures are
// the authors', who count with hundreds of thousands of pictures: shorter runs need fewer. Not
// thread-safe.
class AdaptiveProbability {
 public:
  struct Options {
    double target = 0.6;
    int interval = 4;  // discriminator steps between adjustments
    std::int64_t pictures_to_full = 500'000;
  };

  AdaptiveProbability() : AdaptiveProbability(Options{}) {}
  explicit AdaptiveProbability(const Options& options) : options_(options) {}

  // At the beginning of each discriminator step, in front of its Observe: moves the probability
  // when it is time. Not at the step's end, so that all parts of a batch see the same one.
  void StartStep();

  // The logits of real pictures as the discriminator saw them, one map a scale, each with N first:
  // of the whole batch, or of each of its parts; those of all ranks count.
  void Observe(const std::vector<torch::Tensor>& real_logits, ranks::RankGroup* group = nullptr);

  double probability() const { return probability_; }

  void Save(const std::string& name, models::TensorMap& state) const;
  // DATA_LOSS: missing or misshapen.
  absl::Status Load(const std::string& name, const models::TensorMap& state);

 private:
  Options options_;
  double probability_ = 0;
  double signs_ = 0;     // sum over pictures since the last adjustment
  double pictures_ = 0;  // how many
  int steps_ = 0;        // begun since then
};

}  // namespace atelier::train
