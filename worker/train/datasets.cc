#include "worker/train/datasets.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "common/status_macros.h"
#include "worker/train/random.h"
#include "worker/train/sample_maker.h"

namespace atelier::train {
namespace {

// The sets' names in a checkpoint.
constexpr const char* kContentRole = "content";
constexpr const char* kStyleRole = "style";

// Nothing for a job that has no style set.
absl::StatusOr<std::optional<ImageFolder>> OpenStyle(const TrainJob& job, BatchKind kind) {
  if (job.config.style_dataset.empty()) {
    return std::nullopt;
  }
  // Paintings that are read as a whole are kept a little larger than the largest scale, because
  // their edges are cut off afterwards.
  const int side = kind == BatchKind::kUnpaired
                       ? ContentSide(job.config.image_size)
                       : std::max(job.config.image_size, job.config.faststyle.style_size) * 11 / 10;
  ATELIER_ASSIGN_OR_RETURN(ImageFolder folder,
                           ImageFolder::Open({.directory = job.style_directory,
                                              .name = job.config.style_dataset,
                                              .short_side = side,
                                              .cache_bytes = job.picture_cache_bytes}));
  return folder;
}

// Moves a share of the content set to the evaluation set.
absl::Status HoldOut(const TrainConfig& config, Datasets& sets) {
  const std::int64_t size = sets.content.size();
  const std::int64_t least = config.compresses() ? 1 : 0;
  const std::int64_t kept_back = std::max<std::int64_t>(
      least, std::lround(config.evaluate.held_out * static_cast<double>(size)));
  if (kept_back < 1 || kept_back >= size) {
    return absl::FailedPreconditionError(
        "the data set " + config.content_dataset + " has " + std::to_string(size) +
        " pictures, too few to keep some back for measuring; use a larger set, or a smaller "
        "evaluate.held_out");
  }
  const std::vector<std::int64_t> order =
      KeyedOrder(size, KeyedRandom(config.seed, 0, 0, Purpose::kHeldOut));
  const auto split = order.begin() + kept_back;
  std::vector<std::int64_t> evaluation(order.begin(), split);
  std::vector<std::int64_t> content(split, order.end());
  std::ranges::sort(evaluation);
  std::ranges::sort(content);
  sets.evaluation = sets.content.Subset(evaluation);
  sets.content = sets.content.Subset(content);
  sets.held_out = true;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Datasets> OpenDatasets(const TrainJob& job, BatchKind kind) {
  Datasets sets;
  ATELIER_ASSIGN_OR_RETURN(sets.content,
                           ImageFolder::Open({.directory = job.content_directory,
                                              .name = job.config.content_dataset,
                                              .short_side = ContentSide(job.config.image_size),
                                              .cache_bytes = job.picture_cache_bytes}));
  if (job.config.evaluate.held_out > 0 && (job.config.evaluate.on() || job.config.compresses())) {
    ATELIER_RETURN_IF_ERROR(HoldOut(job.config, sets));
  } else {
    sets.evaluation = sets.content;
  }
  ATELIER_ASSIGN_OR_RETURN(sets.style, OpenStyle(job, kind));
  return sets;
}

SetDigests DigestsOf(const Datasets& sets) {
  const auto of = [](const ImageFolder& folder) {
    return SetDigest{.sha256 = folder.digest(), .pictures = folder.digested()};
  };
  SetDigests digests = {{kContentRole, of(sets.content)}};
  if (sets.style.has_value()) {
    digests.emplace(kStyleRole, of(*sets.style));
  }
  return digests;
}

absl::Status CheckSameSets(const TrainConfig& config, const SetDigests& made_with,
                           const Datasets& sets) {
  for (const auto& [role, now] : DigestsOf(sets)) {
    const auto then = made_with.find(role);
    if (then == made_with.end() || then->second.sha256 == now.sha256) {
      continue;
    }
    const std::string& name = role == kContentRole ? config.content_dataset : config.style_dataset;
    const std::string counts =
        then->second.pictures == now.pictures
            ? "as many (" + std::to_string(now.pictures) + "), but with other names or contents"
            : std::to_string(then->second.pictures) + " then, " + std::to_string(now.pictures) +
                  " now";
    return absl::FailedPreconditionError(
        "the data set " + name + " (data." + role +
        ") does not hold the pictures that the checkpoint was made with: " + counts +
        "; put them back as they were, or start the job under a new id");
  }
  return absl::OkStatus();
}

}  // namespace atelier::train
