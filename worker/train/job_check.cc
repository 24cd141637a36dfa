#include "worker/train/job_check.h"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "common/errors.h"
#include "common/family.h"
#include "common/status_macros.h"
#include "worker/train/loader.h"

namespace atelier::train {
namespace {

// By how many pixels a pair may miss twice its height: one lost in rounding each half.
constexpr int kPairTolerance = 2;

std::string SizeText(image::Size size) {
  return std::to_string(size.width) + " x " + std::to_string(size.height) + " px";
}

// The pictures of a set that are wrong in one way.
struct AtFault {
  std::int64_t count = 0;
  std::int64_t of = 0;
  std::string first;  // "name (W x H px)"

  std::string Text(const std::string& dataset) const {
    return std::to_string(count) + " of the " + std::to_string(of) + " pictures of \"" + dataset +
           "\", the first of them " + first;
  }
};

template <typename IsWrong>
AtFault FindAtFault(const std::vector<const ImageFolder*>& folders, const IsWrong& is_wrong) {
  AtFault found;
  std::filesystem::path first;  // a held-back share comes before the rest, but not by name
  for (const ImageFolder* folder : folders) {
    found.of += folder->size();
    for (std::int64_t i = 0; i < folder->size(); ++i) {
      const image::Size size = folder->original(i);
      if (!is_wrong(size)) {
        continue;
      }
      ++found.count;
      if (first.empty() || folder->path(i) < first) {
        first = folder->path(i);
        found.first = first.filename().string() + " (" + SizeText(size) + ")";
      }
    }
  }
  return found;
}

std::string FieldOf(const TrainConfig& config, const std::string& rest) {
  return (config.compresses() ? config.family : "train") + "." + rest;
}

absl::Status CheckPairs(const TrainConfig& config, const std::vector<const ImageFolder*>& folders) {
  const AtFault found = FindAtFault(folders, [](image::Size size) {
    return std::abs(size.width - 2 * size.height) > kPairTolerance;
  });
  return found.count == 0
             ? absl::OkStatus()
             : InvalidField(
                   "train.data.content",
                   "must hold pairs, an input and its target as two squares side by side in one "
                   "picture that is twice as wide as high; that are not " +
                       found.Text(config.content_dataset) +
                       ". Make such pictures, or set pix2pix.edges to true, which takes ordinary "
                       "pictures as targets and draws the inputs from them");
}

// `halves`: the crop is taken of either half of a picture.
absl::Status CheckSizes(const TrainConfig& config, const std::string& role,
                        const std::string& dataset, bool halves,
                        const std::vector<const ImageFolder*>& folders) {
  const AtFault found = FindAtFault(folders, [&](image::Size size) {
    return std::min(size.height, halves ? size.width / 2 : size.width) < config.image_size;
  });
  return found.count == 0
             ? absl::OkStatus()
             : InvalidField(FieldOf(config, "data." + role),
                            "holds pictures that are smaller than the crop of " +
                                std::to_string(config.image_size) + " px (image_size)" +
                                (halves ? ", of which each half must have one" : "") + ": " +
                                found.Text(dataset) +
                                ". Use larger pictures or a smaller image_size, or set "
                                "data.upscale to true to have them enlarged");
}

}  // namespace

absl::Status CheckPictures(const TrainJob& job, BatchKind kind, const Datasets& sets) {
  const TrainConfig& config = job.config;
  std::vector<const ImageFolder*> content = {&sets.content};
  if (sets.held_out) {
    content.push_back(&sets.evaluation);
  }
  const bool pairs = kind == BatchKind::kSideBySide;
  if (pairs) {
    ATELIER_RETURN_IF_ERROR(CheckPairs(config, content));
  }
  if (config.upscale) {
    return absl::OkStatus();
  }
  ATELIER_RETURN_IF_ERROR(CheckSizes(config, "content", config.content_dataset, pairs, content));
  return sets.style.has_value()
             ? CheckSizes(config, "style", config.style_dataset, false, {&*sets.style})
             : absl::OkStatus();
}

std::int64_t StepsOf(const TrainConfig& config, std::int64_t pictures) {
  if (config.steps > 0) {
    return config.steps;
  }
  const std::int64_t a_step = SamplesAStep(config);
  return (config.epochs * pictures + a_step - 1) / a_step;
}

absl::Status CheckWarmup(const TrainConfig& config, std::int64_t pictures) {
  const Family* family = FindFamily(config.family);
  if (config.steps > 0 || family == nullptr) {
    return absl::OkStatus();
  }
  TrainConfig defaults;
  family->set_defaults(defaults);
  const std::int64_t steps = StepsOf(config, pictures);
  const std::int64_t warmup = config.schedule.warmup_steps;
  if (warmup == defaults.schedule.warmup_steps || warmup < steps) {
    return absl::OkStatus();
  }
  return InvalidField("train.schedule.warmup_steps",
                      "must be below the " + std::to_string(steps) + " steps of " +
                          std::to_string(config.epochs) + " epochs of \"" + config.content_dataset +
                          "\", or the rate would never be reached");
}

}  // namespace atelier::train
