// What a training job is told, as plain data: one parser and one set of limits and defaults for the
// server's CreateJob, the worker and atelier-train. Free of LibTorch and protobuf. The JSON is that
// of atelier.v1.TrainSpec, in snake_case; the proto says what every option means.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/precision.h"

namespace atelier {

// The form of the adversarial loss; worker/train/adversarial_loss.h has the equations.
enum class GanLoss { kVanilla, kSaturating, kLeastSquares, kHinge, kWasserstein };

enum class DiscriminatorKind { kPatch, kPixel, kMultiScale, kProjected };

enum class ScheduleKind { kConstant, kLinear, kCosine, kPlateau };

// The adversary. The defaults are overwritten by the family's own (family.cc).
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
  // No option: the reference projects of the families from picture to picture halve the sum of the
  // discriminator's losses, whatever its form.
  bool halved = false;
};

struct ScheduleConfig {
  ScheduleKind kind = ScheduleKind::kLinear;
  double decay_from = 0.5;  // share of all steps
  double final_share = 0;   // of the learning rate, at the end of the decay
  std::int64_t warmup_steps = 0;
  // With kPlateau only; see worker/train/schedule.h.
  double plateau_factor = 0.1;
  int plateau_patience = 3;
  double plateau_threshold = 1e-4;
};

// Metrics during training (common/train_metrics.h), and what follows from them.
struct EvaluateConfig {
  std::int64_t every_steps = 0;   // one of the two turns it on
  std::int64_t every_epochs = 0;  // of the content set
  std::vector<std::string> metrics = {"kernel_distance"};
  int pictures = 64;         // results a measurement
  double held_out = 0;       // share of the content set that is not learnt from
  std::string best_by;       // one of `metrics`; empty: the first
  bool best_result = false;  // the best step's weights are the result; false: the last's
  int patience = 0;          // measurements without an improvement before it stops; 0: off
  double min_delta = 0;      // by which a measurement must be better to count for `patience`

  bool on() const { return every_steps > 0 || every_epochs > 0; }
  const std::string& decisive() const { return best_by.empty() ? metrics.front() : best_by; }
};

// Weighted resampling of the data by the discriminator's logits; worker/train/resampling.h.
struct ResampleConfig {
  double strength = 0;  // 0: off
  double bound = 4;
  std::int64_t window = 100;  // steps
  double decay = 0.9;

  bool on() const { return strength > 0; }
};

// Weights of further losses of the generator; worker/train/extra_losses.h.
struct LossesConfig {
  double perceptual_weight = 0;
  double structure_weight = 0;
  double statistics_weight = 0;
  double total_variation_weight = 0;
  double regularization_weight = 0;
};

// Changes to the generator that is named, as Architecture has them.
struct GeneratorConfig {
  std::string norm;  // empty: its own
  bool antialias = false;
  bool resize_convolution = false;
  bool multi_level = false;
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

// Weights of the losses of worker/train/painting_losses.h. The defaults are those that the shipped
// styles were found with; their job files are in models/.
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

// Besides FaststyleConfig, whose losses multistyle shares.
struct MultistyleConfig {
  double mix_share = 0.25;  // of the pictures that are taught a mixture of two styles
};

// Weights of the reference losses (worker/train/reference.h).
struct ReferenceConfig {
  double content_weight = 2;
  // The statistics of these features begin some 80 apart. With a weight of 1 they drowned the
  // content: every photograph became one and the same painting.
  double style_weight = 0.03;
  double total_variation_weight = 0.5;
};

// The most that a model may work on a request's picture.
inline constexpr int kMaxGatysIterations = 500;

// Weights of nn::GatysTarget, and how long a model of it works on a request's picture.
struct GatysConfig {
  double content_weight = 3;
  double style_weight = 10;
  double total_variation_weight = 2;
  int iterations = 60;
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
  bool words = false;  // "cgan": what it is told is a caption's words; false: the folder's name
};

// Weights of the losses of worker/train/vaegan.h; with other defaults of vaegan_pictures.h.
struct VaeganConfig {
  double reconstruction_weight = 1;
  double kl_weight = 0.01;
  double feature_matching_weight = 1;
  double regularization_weight = 1e-4;
  // From pictures only.
  double cycle_weight = 0;
  double cycle_kl_weight = 0;
};

// A compression of a model: what makes another one of it.
struct CompressConfig {
  std::string model;  // NAME@VERSION
  double keep = 0.5;  // "prune": share of the channels
  double pixel_weight = 10;
};

struct TrainConfig {
  // A row of common/family.h, or the kind of a compression: "distil", "prune", "quantize".
  std::string family;
  std::string tier = "lite";
  std::string generator;  // a row of the generator table; empty: the tier's
  int base_channels = 0;  // of the generator's first layer; 0: its own default
  std::string content_dataset;
  std::string style_dataset;
  bool upscale = false;    // pictures below image_size are enlarged instead of refused
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
  std::string init_from;  // a model, NAME or NAME@VERSION, or a checkpoint, job:ID or job:ID@STEP
  GanConfig gan;
  ScheduleConfig schedule;
  AugmentConfig augment;
  EvaluateConfig evaluate;
  ResampleConfig resample;
  LossesConfig losses;
  GeneratorConfig generator_options;
  FaststyleConfig faststyle;
  MultistyleConfig multistyle;
  ReferenceConfig reference;
  GatysConfig gatys;
  CycleganConfig cyclegan;
  Pix2pixConfig pix2pix;
  CutConfig cut;
  PatternConfig pattern;
  VaeganConfig vaegan;
  CompressConfig compress;

  bool compresses() const { return !compress.model.empty(); }
};

// Parses and checks. INVALID_ARGUMENT naming the field, with "train." in front: unknown family or
// tier, a number out of range or not finite, an unknown key, a missing required field, options of
// another family, options that contradict each other or would change nothing (idle_options.h).
absl::StatusOr<TrainConfig> ParseTrainConfig(std::string_view train_spec_json);

}  // namespace atelier
