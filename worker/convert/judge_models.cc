#include "worker/convert/judge_models.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "common/model_jobs.h"
#include "common/status_macros.h"
#include "worker/kinds/model_maker.h"
#include "worker/train/evaluation.h"
#include "worker/train/image_folder.h"

namespace atelier::convert {
namespace {

namespace fs = std::filesystem;

// Tell the choices of pictures apart.
constexpr std::int64_t kContentChoice = 0;
constexpr std::int64_t kStyleChoice = 1;

TrainConfig EvaluationConfig(const JudgeTask& task, const kinds::ModelMaker& candidate) {
  TrainConfig config;
  config.family = candidate.spec().family;
  config.seed = task.seed;
  config.image_size = candidate.side() > 0 ? candidate.side() : task.size;
  config.evaluate.every_steps = 1;
  config.evaluate.metrics = task.metrics;
  config.evaluate.pictures = task.pictures;
  return config;
}

absl::StatusOr<train::ImageFolder> OpenJudged(const fs::path& from, const fs::path& links, int side,
                                              const JudgeTask& task, std::int64_t purpose) {
  return kinds::OpenChoice({.from = from,
                            .links = links,
                            .side = side,
                            .pictures = task.pictures,
                            .seed = task.seed,
                            .purpose = purpose});
}

}  // namespace

absl::Status JudgeModels(const JudgeTask& task, const fs::path& folder,
                         const fs::path& feature_weights) {
  const auto load = [&](const fs::path& directory) {
    return kinds::LoadModelMaker(
        {.directory = directory, .feature_weights = feature_weights, .seed = task.seed});
  };
  ATELIER_ASSIGN_OR_RETURN(const std::unique_ptr<kinds::ModelMaker> candidate,
                           load(task.candidate));
  std::unique_ptr<kinds::ModelMaker> current;  // null: none
  if (!task.current.empty()) {
    ATELIER_ASSIGN_OR_RETURN(current, load(task.current));
    if (MakesPatterns(current->spec()) != MakesPatterns(candidate->spec())) {
      return absl::FailedPreconditionError(
          "One of the versions restyles pictures and the other makes patterns: no metric compares "
          "them.");
    }
  }
  TrainConfig config = EvaluationConfig(task, *candidate);
  ATELIER_ASSIGN_OR_RETURN(const train::ImageFolder content,
                           OpenJudged(task.content_directory, folder / "content", config.image_size,
                                      task, kContentChoice));
  std::optional<train::ImageFolder> style;
  if (!task.style_directory.empty()) {
    ATELIER_ASSIGN_OR_RETURN(style, OpenJudged(task.style_directory, folder / "style",
                                               config.image_size, task, kStyleChoice));
  }
  // Patterns are compared with as many real ones as there are.
  config.evaluate.pictures =
      static_cast<int>(std::min<std::int64_t>(task.pictures, content.size()));
  ATELIER_ASSIGN_OR_RETURN(const auto evaluation,
                           train::Evaluation::Make({.config = config,
                                                    .pictures = content,
                                                    .content = content,
                                                    .style = style.has_value() ? &*style : nullptr,
                                                    .judge_weights = feature_weights.parent_path() /
                                                                     "efficientnet_lite1.pth"}));
  JudgeNumbers numbers;
  numbers.pictures = config.evaluate.pictures;
  ATELIER_ASSIGN_OR_RETURN(numbers.candidate, kinds::MeasureModel(*evaluation, *candidate));
  if (current != nullptr) {
    ATELIER_ASSIGN_OR_RETURN(numbers.current, kinds::MeasureModel(*evaluation, *current));
  }
  return WriteJudgeNumbers(folder, numbers);
}

}  // namespace atelier::convert
