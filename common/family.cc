#include "common/family.h"

#include <algorithm>
#include <cstddef>

namespace atelier {
namespace {

// The recipe of Zhu et al. 2017 (arXiv:1703.10593).
void CycleganDefaults(TrainConfig& config) {
  config.tier = "quality";
  config.batch_size = 1;
  config.gan.pool_size = 50;
  config.gan.halved = true;
}

// Isola et al. 2017 (arXiv:1611.07004).
void Pix2pixDefaults(TrainConfig& config) {
  config.generator = "unet-256";
  config.batch_size = 1;
  config.gan.loss = GanLoss::kVanilla;
  config.gan.norm = "batch";
  config.gan.halved = true;
}

// Park et al. 2020 (arXiv:2007.15651).
void CutDefaults(TrainConfig& config) {
  config.generator = "cut-resnet-9";
  config.batch_size = 1;
  config.gan.antialias = true;
  config.gan.halved = true;
}

void FaststyleDefaults(TrainConfig& config) {
  config.adam_beta2 = 0.99;
  config.ema_decay = 0.99;
  config.gradient_clip = 5;
  config.gan.channels = 16;
  config.gan.learning_rate = 2e-4;
  config.gan.adam_beta1 = 0.5;
  config.gan.adam_beta2 = 0.999;
  config.schedule.final_share = 0.05;
  config.schedule.warmup_steps = 20;
}

void ReferenceDefaults(TrainConfig& config) {
  config.learning_rate = 1e-3;
  config.ema_decay = 0.99;
  config.gradient_clip = 5;
  config.gan.channels = 32;
  config.gan.weight = 0.2;
}

// Adam on pictures, whose values span 2, needs far longer steps than on weights.
void GatysDefaults(TrainConfig& config) {
  config.tier = "";
  config.batch_size = 1;
  config.learning_rate = 0.02;
  config.adam_beta1 = 0.9;
  config.precision = Precision::kFp32;
  config.sample_every_epochs = 50;
  config.schedule.kind = ScheduleKind::kConstant;
}

// Radford et al. 2015 (arXiv:1511.06434).
void DcganDefaults(TrainConfig& config) {
  config.generator = "dcgan";
  config.image_size = 64;
  config.batch_size = 32;
  config.gan.loss = GanLoss::kVanilla;
  config.gan.norm = "batch";
  config.schedule.kind = ScheduleKind::kConstant;
}

// Gulrajani et al. 2017 (arXiv:1704.00028): gradient penalty 10, five critic steps, Adam (1e-4, 0,
// 0.9), no batch norm in the critic.
void WganDefaults(TrainConfig& config) {
  DcganDefaults(config);
  config.learning_rate = 1e-4;
  config.adam_beta1 = 0;
  config.adam_beta2 = 0.9;
  config.gan.loss = GanLoss::kWasserstein;
  config.gan.norm = "none";
  config.gan.steps = 5;
  config.gan.gradient_penalty_weight = 10;
}

// A generator that is told what to make soon makes one picture of each and ignores its noise; mode
// seeking (Mao et al. 2019, arXiv:1903.05628, with the paper's weight) keeps it from that.
void CganDefaults(TrainConfig& config) {
  DcganDefaults(config);
  config.gan.mode_seeking_weight = 1;
  config.gan.loss = GanLoss::kHinge;
  config.gan.spectral_norm = true;
  config.gan.norm = "none";
}

void VaeganDefaults(TrainConfig& config) { DcganDefaults(config); }

// Liu et al. 2017 (arXiv:1703.00848). The paper's weights are 10 for the adversarial loss, 100 for
// both reconstructions and 0.1 for both divergences; these are a tenth, the figures of the authors'
// later code (github.com/mingyuliutw/UNIT, configs/), so that gan.weight keeps its 1. Its weight
// decay of 1e-4 is the gradient of 5e-5 times the squared weights.
void VaeganPicturesDefaults(TrainConfig& config) {
  config.tier = "";
  config.batch_size = 1;
  config.learning_rate = 1e-4;
  config.vaegan = {.reconstruction_weight = 10,
                   .kl_weight = 0.01,
                   .feature_matching_weight = 0,
                   .regularization_weight = 5e-5,
                   .cycle_weight = 10,
                   .cycle_kl_weight = 0.01};
}

template <typename Has>
std::string FamiliesThat(const Has& has) {
  std::vector<std::string> names;
  for (const Family& family : Families()) {
    if (has(family)) {
      names.push_back("\"" + std::string(family.name) + "\"");
    }
  }
  std::string list = names.size() == 1 ? "the family " : "the families ";
  for (std::size_t i = 0; i < names.size(); ++i) {
    list += i == 0 ? "" : (i + 1 == names.size() ? " and " : ", ");
    list += names[i];
  }
  return list;
}

}  // namespace

const std::vector<Family>& Families() {
  static const auto* const families = new std::vector<Family>{
      {.name = "faststyle",
       .has_style = true,
       .adversarial_weight = "faststyle.adversarial_weight",
       .own_losses = {{"total_variation_weight", "faststyle.total_variation_weight"}},
       .options = {"faststyle", "losses", "generator_options"},
       .set_defaults = FaststyleDefaults},
      {.name = "multistyle",
       .has_style = true,
       .own_generator = true,
       .adversarial_weight = "faststyle.adversarial_weight",
       .own_losses = {{"total_variation_weight", "faststyle.total_variation_weight"}},
       .options = {"faststyle", "multistyle", "losses"},
       .set_defaults = FaststyleDefaults},
      {.name = "reference",
       .has_style = true,
       .own_generator = true,
       .own_losses = {{"total_variation_weight", "reference.total_variation_weight"}},
       .options = {"reference", "resample", "losses"},
       .set_defaults = ReferenceDefaults},
      {.name = "gatys",
       .has_style = true,
       .optimizes_pixels = true,
       .options = {"gatys", "schedule"},
       .set_defaults = GatysDefaults},
      {.name = "cyclegan",
       .has_style = true,
       .has_style_pictures = true,
       .has_levels = true,
       .options = {"cyclegan", "resample", "losses", "generator_options"},
       .set_defaults = CycleganDefaults},
      {.name = "cut",
       .has_style = true,
       .has_style_pictures = true,
       .needs_resnet = true,
       .has_levels = true,
       .options = {"cut", "resample", "losses", "generator_options"},
       .set_defaults = CutDefaults},
      {.name = "pix2pix",
       .judges_pairs = true,
       .options = {"pix2pix", "resample", "losses", "generator_options"},
       .set_defaults = Pix2pixDefaults},
      {.name = "dcgan",
       .from_noise = true,
       .adversary_alone = true,
       .options = {"pattern", "resample", "losses"},
       .set_defaults = DcganDefaults},
      {.name = "wgan",
       .from_noise = true,
       .adversary_alone = true,
       .only_loss = GanLoss::kWasserstein,
       .options = {"pattern", "resample", "losses"},
       .set_defaults = WganDefaults},
      {.name = "cgan",
       .from_noise = true,
       .has_labels = true,
       .adversary_alone = true,
       .options = {"pattern", "resample", "losses"},
       .set_defaults = CganDefaults},
      {.name = "vaegan",
       .from_noise = true,
       .with_style = "vaegan-pictures",
       .options = {"pattern", "vaegan", "resample"},
       .set_defaults = VaeganDefaults},
      {.name = "vaegan-pictures",
       .has_style = true,
       .own_generator = true,
       .any_width = true,
       .has_style_pictures = true,
       .own_losses = {{"regularization_weight", "vaegan.regularization_weight"}},
       .options = {"vaegan", "resample", "losses"},
       .set_defaults = VaeganPicturesDefaults},
  };
  return *families;
}

std::string FamiliesWith(bool Family::* property) {
  return FamiliesThat([property](const Family& family) { return family.*property; });
}

std::string FamiliesWith(std::string_view options) {
  return FamiliesThat([options](const Family& family) {
    return std::ranges::find(family.options, options) != family.options.end();
  });
}

const Family* FindFamily(std::string_view name) {
  if (name == "hdrgan") {
    name = "vaegan";
  }
  for (const Family& family : Families()) {
    if (family.name == name) {
      return &family;
    }
  }
  return nullptr;
}

}  // namespace atelier
