// What a training job is told, as plain data: one parser and one set of limits and defaults for the
// server's CreateJob, the worker and atelier-train. Free of LibTorch and protobuf. The JSON is that
// of atelier.v1.TrainSpec, in snake_case; the proto says what every option means.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace atelier {

enum class Precision { kFp32, kBf16 };

// The form of the adversarial loss; worker/train/adversarial_loss.h has the equations.
enum class GanLoss { kVanilla, kSaturating, kLeastSquares, kHinge, kWasserstein };

enum class DiscriminatorKind { kPatch, kPixel, kMultiScale, kProjected };

enum class ScheduleKind { kConstant, kLinear, kCosine, kPlateau };

// The adversary. The defaults are overwritten by the family's own (train_config_families.cc).
struct GanConfig {
  GanLoss loss = GanLoss::kLeastSquares;
  DiscriminatorKind discriminator = DiscriminatorKind::kPatch;
  std::string norm = "instance";  // of the discriminator: "instance", "batch", "layer", "none"
  int channels = 64;              // of its first layer
  int scales = 2;                 // of the multi-scale one
  bool spectral_norm = false;
  bool antialias = false;    // CUT's layout of "patch"
  double learning_rate = 0;  // 0: the generator's
  double adam_beta1 = -1;    // below 0: the generator's
  double adam_beta2 = -1;
  int steps = 1;          // of the discriminator, a step of the generator
  int freeze_layers = 0;  // of the discriminator, from its input on
  double weight = 1;      // of the adversarial loss in the generator's sum
  double gradient_penalty_weight = 0;
  double r1_weight = 0;
  double clip_weights = 0;  // 0: off
  double feature_matching_weight = 0;
  double mode_seeking_weight = 0;
  int pool_size = 0;  // pictures of earlier steps that the discriminator sees again
};

struct ScheduleConfig {
  ScheduleKind kind = ScheduleKind::kLinear;
  double decay_from = 0.5;  // share of all steps
  double final_share = 0;   // of the learning rate, at the end of the decay
  std::int64_t warmup_steps = 0;
};

struct AugmentConfig {
  double rotation = 0;  // degrees, to either side
  double shift = 0;     // share of the side
  double shear = 0;     // tangent
  double zoom = 0;      // share, in and out
  bool flip = true;
  bool reflect = true;          // the border; false: nearest
  bool differentiable = false;  // DiffAugment on what the discriminator sees
  bool adaptive = false;        // ADA steers its probability
};

// Weights of the faststyle losses (worker/train/faststyle.h defines the losses). The defaults are
// those that the shipped styles were found with; their job files are in models/.
struct FaststyleConfig {
  double content_weight = 2.0;
  double style_weight = 1.5;
  double total_variation_weight = 0.5;
  double adversarial_weight = 0.05;
  double luminance_weight = 2.0;
  double color_weight = 4.0;
  double chroma_weight = 0.5;
  int style_size = 640;  // short side of a painting, pixels; the scale image_size is used as well
};

struct CycleganConfig {
  double cycle_weight = 10;
  double identity_weight = 0.5;  // times cycle_weight
};

struct Pix2pixConfig {
  double l1_weight = 100;
  bool edges = false;  // inputs are edges drawn from the targets; false: pictures hold both halves
};

struct CutConfig {
  double nce_weight = 1;
  std::vector<int> layers = {0, 4, 8, 12, 16};
  int patches = 256;
  double temperature = 0.07;
  bool identity = true;  // PatchNCE on pictures of the target domain too
  bool flip_equivariance = false;
};

// Noise → pattern families.
struct PatternConfig {
  bool classic = false;  // the 7x7 recipe instead of DCGAN's layout
  int latent_size = 100;
  bool resize_convolution = false;
};

struct VaeganConfig {
  double reconstruction_weight = 1;
  double kl_weight = 0.01;
  double feature_matching_weight = 1;
  double regularization_weight = 1e-4;
};

struct TrainConfig {
  std::string family;
  std::string tier = "lite";
  std::string generator;  // a row of the generator table; empty: the tier's
  int base_channels = 0;  // of the generator's first layer; 0: its own default
  std::string content_dataset;
  std::string style_dataset;
  std::int64_t steps = 0;  // one of steps and epochs is above 0
  std::int64_t epochs = 0;
  int batch_size = 4;
  int accumulate = 1;    // batches a step
  int image_size = 256;  // side of the square crops, pixels
  std::uint64_t seed = 0;
  std::int64_t sample_every_epochs = 10;
  std::int64_t checkpoint_every_steps = 200;
  int keep_checkpoints = 3;
  double learning_rate = 2e-4;
  double adam_beta1 = 0.5;
  double adam_beta2 = 0.999;
  Precision precision = Precision::kBf16;
  double ema_decay = 0;      // running mean of the generator's weights; 0: off
  double gradient_clip = 0;  // largest norm of the generator's gradient; 0: off
  std::string init_from;     // a model: NAME or NAME@VERSION
  GanConfig gan;
  ScheduleConfig schedule;
  AugmentConfig augment;
  FaststyleConfig faststyle;
  CycleganConfig cyclegan;
  Pix2pixConfig pix2pix;
  CutConfig cut;
  PatternConfig pattern;
  VaeganConfig vaegan;
};

// Parses and checks. INVALID_ARGUMENT naming the field, with "train." in front: unknown family or
// tier, a number out of range or not finite, an unknown key, a missing required field, options of
// another family, options that contradict each other.
absl::StatusOr<TrainConfig> ParseTrainConfig(std::string_view train_spec_json);

}  // namespace atelier
