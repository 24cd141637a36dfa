#include "common/idle_options.h"

#include <initializer_list>
#include <set>
#include <string>
#include <string_view>

#include "common/errors.h"
#include "common/json_reader.h"
#include "common/option_names.h"
#include "common/status_macros.h"

namespace atelier {
namespace {

using Json = nlohmann::json;

// Which options of its messages a job says.
class Said {
 public:
  explicit Said(const Json& spec) {
    for (const auto& [message, options] : spec.items()) {
      if (!options.is_object()) {
        continue;
      }
      for (const auto& [name, value] : options.items()) {
        Add(SnakeCase(message) + "." + SnakeCase(name), value);
      }
    }
  }

  bool operator()(std::string_view path) const { return paths_.contains(path); }
  // The first that is said; empty: none.
  std::string_view FirstOf(std::initializer_list<std::string_view> paths) const {
    for (const std::string_view path : paths) {
      if (paths_.contains(path)) {
        return path;
      }
    }
    return {};
  }

 private:
  // Protobuf's JSON may write a field that was left out: null, or its zero where the proto does not
  // say `optional`.
  void Add(std::string path, const Json& value) {
    static const std::set<std::string, std::less<>> not_optional = {"cut.fast", "cut.patches"};
    const bool zero = value == Json(0) || value == Json(false) || value == Json("0");
    if (value.is_null() || value == Json("") || value == Json::array() ||
        (zero && not_optional.contains(path))) {
      return;
    }
    paths_.insert(std::move(path));
  }

  std::set<std::string, std::less<>> paths_;
};

absl::Status RefuseOption(std::string_view path, const std::string& sentence) {
  return InvalidField("train." + std::string(path), sentence);
}

absl::Status CheckSchedule(const Said& said, const TrainConfig& config) {
  const ScheduleConfig& schedule = config.schedule;
  const ScheduleKind kind = schedule.kind;
  const std::string not_this = ", not " + Quoted(NameOf(kScheduleNames, kind)) +
                               "; leave it out or choose another schedule.kind";
  const bool decays = kind == ScheduleKind::kLinear || kind == ScheduleKind::kCosine;
  if (said("schedule.decay_from") && !decays) {
    return RefuseOption("schedule.decay_from",
                        R"(is for the schedules "linear" and "cosine")" + not_this);
  }
  if (said("schedule.final_share") && kind == ScheduleKind::kConstant) {
    return RefuseOption("schedule.final_share",
                        R"(is for the schedules "linear", "cosine" and "plateau")" + not_this);
  }
  const std::string_view of_plateau = said.FirstOf(
      {"schedule.plateau_factor", "schedule.plateau_patience", "schedule.plateau_threshold"});
  if (!of_plateau.empty() && kind != ScheduleKind::kPlateau) {
    return RefuseOption(of_plateau, R"(is for the schedule "plateau")" + not_this);
  }
  if (said("schedule.warmup_steps") && config.steps > 0 && schedule.warmup_steps >= config.steps) {
    return RefuseOption("schedule.warmup_steps", "must be below steps, " +
                                                     std::to_string(config.steps) +
                                                     ", or the rate would never be reached");
  }
  return absl::OkStatus();
}

absl::Status CheckClipping(const GanConfig& gan) {
  if (gan.clip_weights == 0) {
    return absl::OkStatus();
  }
  if (gan.loss != GanLoss::kWasserstein) {
    return RefuseOption("gan.clip_weights",
                        R"(is for the loss "wasserstein", whose critic it bounds, not )" +
                            Quoted(NameOf(kGanLossNames, gan.loss)) +
                            "; set it to 0 or choose that gan.loss");
  }
  if (gan.gradient_penalty_weight > 0) {
    return RefuseOption("gan.clip_weights",
                        "contradicts gan.gradient_penalty_weight; set one of them to 0");
  }
  if (gan.spectral_norm) {
    return RefuseOption(
        "gan.clip_weights",
        "does nothing under gan.spectral_norm, which scales the clipped weights back; set "
        "one of them to 0 or false");
  }
  return absl::OkStatus();
}

absl::Status CheckGan(const Said& said, const Family& family, const TrainConfig& config) {
  const GanConfig& gan = config.gan;
  if (family.only_loss.has_value() && gan.loss != *family.only_loss) {
    return RefuseOption("gan.loss", "must be " + Quoted(NameOf(kGanLossNames, *family.only_loss)) +
                                        " with the family " + Quoted(family.name) +
                                        R"(; for other losses use the family "dcgan")");
  }
  if (said("gan.norm") && family.from_noise && config.pattern.classic) {
    return RefuseOption(
        "gan.norm",
        "does not apply to pattern.architecture \"classic\", whose discriminator has no "
        "norm; leave it out or use \"dcgan\"");
  }
  if (said("gan.weight") && !family.adversarial_weight.empty()) {
    return RefuseOption("gan.weight",
                        "is " + std::string(family.adversarial_weight) + " with this family");
  }
  if (gan.pool_size > 0 && family.has_labels) {
    return RefuseOption(
        "gan.pool_size",
        "would show the discriminator pictures of other labels than it is told; leave it "
        "out with the family " +
            Quoted(family.name));
  }
  return CheckClipping(gan);
}

absl::Status CheckAugment(const Said& said, const TrainConfig& config) {
  const AugmentConfig& augment = config.augment;
  if (augment.adaptive && !augment.differentiable) {
    return RefuseOption("augment.adaptive",
                        "steers augment.differentiable; set that to true as well");
  }
  if (augment.adaptive && config.gan.loss == GanLoss::kWasserstein) {
    return RefuseOption(
        "augment.adaptive",
        "reads the sign of the discriminator's logits, which means nothing with gan.loss "
        "\"wasserstein\"; set it to false, or use \"vanilla\", \"saturating\", \"hinge\" or "
        "\"least_squares\"");
  }
  const bool moves =
      augment.rotation > 0 || augment.shift > 0 || augment.shear > 0 || augment.zoom > 0;
  if (said("augment.border") && !moves) {
    return RefuseOption(
        "augment.border",
        "fills what augment.rotation, shift, shear and zoom uncover; set one of them "
        "above 0, or leave it out");
  }
  return absl::OkStatus();
}

absl::Status CheckCut(const Said& said, const TrainConfig& config) {
  const std::string_view of_nce =
      said.FirstOf({"cut.fast", "cut.layers", "cut.patches", "cut.temperature", "cut.identity",
                    "cut.flip_equivariance"});
  if (config.cut.nce_weight == 0 && !of_nce.empty()) {
    return RefuseOption(
        of_nce,
        "is about the PatchNCE loss, which cut.nce_weight 0 turns off; leave it out or set "
        "cut.nce_weight above 0");
  }
  return absl::OkStatus();
}

absl::Status CheckFamilies(const Said& said, const Family& family, const TrainConfig& config) {
  if (said("pattern.condition") && !family.has_labels) {
    return RefuseOption("pattern.condition", "is for " + FamiliesWith(&Family::has_labels) +
                                                 ", not " + Quoted(family.name) + "; leave it out");
  }
  if (said("cyclegan.identity_weight") && config.cyclegan.identity_weight > 0 &&
      config.cyclegan.cycle_weight == 0) {
    return RefuseOption(
        "cyclegan.identity_weight",
        "is multiplied with cyclegan.cycle_weight, which is 0; set that above 0, or this "
        "to 0");
  }
  if (said("faststyle.style_size") && config.faststyle.style_size < config.image_size) {
    return RefuseOption("faststyle.style_size", "must be at least image_size, " +
                                                    std::to_string(config.image_size) +
                                                    ", a scale that is used anyway");
  }
  return CheckCut(said, config);
}

}  // namespace

absl::Status CheckIdleOptions(const Json& spec, const Family& family, const TrainConfig& config) {
  const Said said(spec);
  ATELIER_RETURN_IF_ERROR(CheckSchedule(said, config));
  ATELIER_RETURN_IF_ERROR(CheckGan(said, family, config));
  ATELIER_RETURN_IF_ERROR(CheckAugment(said, config));
  return CheckFamilies(said, family, config);
}

}  // namespace atelier
