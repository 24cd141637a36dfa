#include "common/style_mix.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "common/check.h"
#include "common/errors.h"

namespace atelier {
namespace {

constexpr std::size_t kMaxShares = 64;
constexpr std::size_t kListed = 20;

// What somebody sent may be of any length.
std::string NameOfLabel(const std::string& label) {
  constexpr std::size_t kLongest = 63;
  return label.size() > kLongest ? "a label" : "the label \"" + label + "\"";
}

std::string ListOfLabels(const std::vector<std::string>& classes) {
  std::string list;
  for (std::size_t i = 0; i < classes.size(); ++i) {
    if (i == kListed) {
      return list + ", ...";
    }
    list += (list.empty() ? "" : ", ") + classes[i];
  }
  return list;
}

}  // namespace

absl::StatusOr<std::vector<float>> MixWeights(const std::vector<StyleShare>& mix,
                                              const std::vector<std::string>& classes) {
  ATELIER_CHECK(!classes.empty());
  if (mix.size() > kMaxShares) {
    return InvalidField("mix", "may have at most 64 labels");
  }
  std::vector<float> weights(classes.size(), 0.0F);
  if (mix.empty()) {
    weights.front() = 1;
    return weights;
  }
  std::vector<bool> given(classes.size(), false);
  double sum = 0;
  for (const StyleShare& share : mix) {
    const auto found = std::ranges::find(classes, share.label);
    if (found == classes.end()) {
      return InvalidField(
          "mix", "names " + NameOfLabel(share.label) +
                     ", which the model does not know; its labels are: " + ListOfLabels(classes));
    }
    const auto place = static_cast<std::size_t>(found - classes.begin());
    if (given[place]) {
      return InvalidField("mix", "names " + NameOfLabel(share.label) + " twice");
    }
    if (!std::isfinite(share.weight) || share.weight < 0) {
      return InvalidField("mix", "must have finite weights of 0 or above");
    }
    given[place] = true;
    weights[place] = share.weight;
    sum += share.weight;
  }
  if (sum <= 0) {
    return InvalidField("mix", "must have a weight above 0");
  }
  for (float& weight : weights) {
    weight = static_cast<float>(weight / sum);
  }
  return weights;
}

}  // namespace atelier
