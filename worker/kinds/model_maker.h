// A finished model as train::Evaluation wants it: what makes results of batches. Shared by the
// comparison of versions (worker/convert) and evaluate jobs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/model_spec.h"
#include "worker/train/batch.h"
#include "worker/train/evaluation.h"
#include "worker/train/image_folder.h"

namespace atelier::kinds {

// Not thread-safe.
class ModelMaker {
 public:
  virtual ~ModelMaker() = default;

  // Results of a batch's content, or as many patterns: float [N, 3, S, S] in [-1, 1], on the CPU.
  virtual absl::StatusOr<torch::Tensor> Make(const train::Batch& batch) = 0;
  virtual const ModelSpec& spec() const = 0;
  // Of the patterns that it makes, pixels; 0: it takes pictures of any size.
  virtual int side() const { return 0; }
};

struct ModelMakerOptions {
  std::filesystem::path directory;  // model.json, weights
  std::filesystem::path feature_weights;
  std::string device = "cpu";  // int8 models compute on the CPU whatever it says
  std::uint64_t seed = 0;      // patterns are a function of it and their places
};

// FAILED_PRECONDITION: a model that takes its style from each request; errors of infer::LoadModel.
absl::StatusOr<std::unique_ptr<ModelMaker>> LoadModelMaker(const ModelMakerOptions& options);

// The numbers of Evaluation::Measure; none: the results are not finite. Errors of Make.
absl::StatusOr<std::map<std::string, double>> MeasureModel(train::Evaluation& evaluation,
                                                           ModelMaker& maker);

// A fixed choice of a folder's pictures.
struct PictureChoice {
  std::filesystem::path from;
  std::filesystem::path links;  // a new folder; its name is the set's in messages
  int side = 0;                 // of the short side, pixels
  std::int64_t pictures = 0;    // at most
  std::uint64_t seed = 0;
  std::int64_t purpose = 0;  // tells choices of one seed apart
};

// The chosen pictures as a folder of their own, so that a large set is not decoded for a few. The
// links must stay as long as it is used. INTERNAL: they cannot be made; errors of
// ImageFolder::Open.
absl::StatusOr<train::ImageFolder> OpenChoice(const PictureChoice& choice);

}  // namespace atelier::kinds
