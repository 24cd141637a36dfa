// What the options of a training are called in job files: one list for reading and for writing.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "common/train_config.h"

namespace atelier {

template <typename Value>
using OptionName = std::pair<std::string_view, Value>;

inline constexpr OptionName<GanLoss> kGanLossNames[] = {
    {"vanilla", GanLoss::kVanilla},
    {"saturating", GanLoss::kSaturating},
    {"least_squares", GanLoss::kLeastSquares},
    {"hinge", GanLoss::kHinge},
    {"wasserstein", GanLoss::kWasserstein},
};

inline constexpr OptionName<DiscriminatorKind> kDiscriminatorNames[] = {
    {"patch", DiscriminatorKind::kPatch},
    {"pixel", DiscriminatorKind::kPixel},
    {"multi_scale", DiscriminatorKind::kMultiScale},
    {"projected", DiscriminatorKind::kProjected},
};

// Norms are known by their names everywhere.
inline constexpr OptionName<std::string_view> kNormNames[] = {
    {"instance", "instance"}, {"batch", "batch"}, {"layer", "layer"}, {"none", "none"}};

inline constexpr OptionName<ScheduleKind> kScheduleNames[] = {
    {"constant", ScheduleKind::kConstant},
    {"linear", ScheduleKind::kLinear},
    {"cosine", ScheduleKind::kCosine},
    {"plateau", ScheduleKind::kPlateau},
};

// Of AugmentConfig::reflect and PatternConfig::classic.
inline constexpr OptionName<bool> kBorderNames[] = {{"reflect", true}, {"nearest", false}};
inline constexpr OptionName<bool> kPatternNames[] = {{"dcgan", false}, {"classic", true}};
inline constexpr OptionName<bool> kConditionNames[] = {{"labels", false}, {"words", true}};
// Of EvaluateConfig::best_result.
inline constexpr OptionName<bool> kResultNames[] = {{"last", false}, {"best", true}};

// Empty for a value that no job file can ask for.
template <typename Value, std::size_t kCount>
constexpr std::string_view NameOf(const OptionName<Value> (&names)[kCount], Value value) {
  for (const auto& [name, named] : names) {
    if (named == value) {
      return name;
    }
  }
  return {};
}

// As sentences name an option's value.
inline std::string Quoted(std::string_view name) { return "\"" + std::string(name) + "\""; }

}  // namespace atelier
