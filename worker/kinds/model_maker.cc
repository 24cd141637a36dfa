#include "worker/kinds/model_maker.h"

#include <torch/torch.h>

#include <algorithm>
#include <system_error>
#include <utility>
#include <vector>

#include "common/image_header.h"
#include "common/model_jobs.h"
#include "common/status_macros.h"
#include "worker/infer/pattern_maker.h"
#include "worker/infer/stylizer.h"
#include "worker/kernels/pixels.h"
#include "worker/train/random.h"

namespace atelier::kinds {
namespace {

namespace fs = std::filesystem;

// Keeps the seeds of patterns apart from those that people type.
constexpr std::int64_t kPatternSeeds = 2;

class PictureMaker final : public ModelMaker {
 public:
  explicit PictureMaker(std::unique_ptr<infer::Stylizer> stylizer)
      : stylizer_(std::move(stylizer)) {}

  absl::StatusOr<torch::Tensor> Make(const train::Batch& batch) override {
    ATELIER_ASSIGN_OR_RETURN(
        const torch::Tensor results,
        stylizer_->Stylize(kernels::TensorToPixels(batch.content), spec().default_precision));
    return kernels::PixelsToTensor(results);
  }
  const ModelSpec& spec() const override { return stylizer_->spec(); }

 private:
  const std::unique_ptr<infer::Stylizer> stylizer_;
};

class SeededPatterns final : public ModelMaker {
 public:
  SeededPatterns(std::unique_ptr<infer::PatternMaker> maker, std::uint64_t seed)
      : maker_(std::move(maker)), seed_(seed) {}

  absl::StatusOr<torch::Tensor> Make(const train::Batch& batch) override {
    infer::PatternOrder order;
    for (std::int64_t i = 0; i < batch.content.size(0); ++i) {
      const std::int64_t sample = batch.first_sample + i;
      order.seeds.push_back(
          train::KeyedRandom(seed_, sample, kPatternSeeds, train::Purpose::kEvaluation).Next());
      if (!spec().classes.empty()) {
        order.labels.push_back(
            static_cast<std::uint32_t>(static_cast<std::uint64_t>(sample) % spec().classes.size()));
      }
    }
    ATELIER_ASSIGN_OR_RETURN(const torch::Tensor results,
                             maker_->Make(order, spec().default_precision));
    return kernels::PixelsToTensor(results);
  }
  const ModelSpec& spec() const override { return maker_->spec(); }
  int side() const override { return maker_->side(); }

 private:
  const std::unique_ptr<infer::PatternMaker> maker_;
  const std::uint64_t seed_;
};

// The places of a folder's pictures, of at most one level of sub-folders, sorted.
std::vector<fs::path> PicturesBelow(const fs::path& from) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::recursive_directory_iterator it(from, error), end; !error && it != end;
       it.increment(error)) {
    if (it.depth() >= 1 && it->is_directory(error)) {
      it.disable_recursion_pending();
    }
    if (it->is_regular_file(error) && HasPictureExtension(it->path())) {
      files.push_back(it->path().lexically_relative(from));
    }
  }
  std::ranges::sort(files);
  return files;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ModelMaker>> LoadModelMaker(const ModelMakerOptions& options) {
  ATELIER_ASSIGN_OR_RETURN(const ModelSpec spec, ReadModelSpec(options.directory));
  if (NeedsStylePicture(spec)) {
    return absl::FailedPreconditionError(
        "A model that takes its style from each request cannot be measured without one.");
  }
  const infer::ModelOptions model = {.directory = options.directory,
                                     .device = spec.architecture.int8 ? "cpu" : options.device,
                                     .feature_weights = options.feature_weights};
  if (MakesPatterns(spec)) {
    ATELIER_ASSIGN_OR_RETURN(auto maker, infer::PatternMaker::Load(model));
    return std::make_unique<SeededPatterns>(std::move(maker), options.seed);
  }
  ATELIER_ASSIGN_OR_RETURN(auto stylizer, infer::Stylizer::Load(model));
  return std::make_unique<PictureMaker>(std::move(stylizer));
}

absl::StatusOr<std::map<std::string, double>> MeasureModel(train::Evaluation& evaluation,
                                                           ModelMaker& maker) {
  absl::Status failed;
  ATELIER_ASSIGN_OR_RETURN(auto numbers, evaluation.Measure([&](const train::Batch& batch) {
    absl::StatusOr<torch::Tensor> results =
        failed.ok() ? maker.Make(batch) : absl::StatusOr<torch::Tensor>(failed);
    failed.Update(results.status());
    return results.ok() ? *std::move(results) : batch.content;
  }));
  ATELIER_RETURN_IF_ERROR(failed);
  return numbers;
}

absl::StatusOr<train::ImageFolder> OpenChoice(const PictureChoice& choice) {
  const std::vector<fs::path> files = PicturesBelow(choice.from);
  std::vector<std::int64_t> order = train::KeyedOrder(
      static_cast<std::int64_t>(files.size()),
      train::KeyedRandom(choice.seed, 0, choice.purpose, train::Purpose::kEvaluation));
  order.resize(std::min(order.size(), static_cast<std::size_t>(choice.pictures)));
  std::error_code error;
  fs::create_directories(choice.links, error);
  for (const std::int64_t i : order) {
    const fs::path& file = files[static_cast<std::size_t>(i)];
    fs::create_directories((choice.links / file).parent_path(), error);
    fs::create_symlink(fs::absolute(choice.from / file), choice.links / file, error);
    if (error) {
      return absl::InternalError("The pictures to measure cannot be gathered: " + error.message() +
                                 ".");
    }
  }
  return train::ImageFolder::Open({.directory = choice.links,
                                   .name = choice.links.filename().string(),
                                   .short_side = choice.side});
}

}  // namespace atelier::kinds
