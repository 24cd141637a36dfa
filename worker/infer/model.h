// A trained generator in memory, ready to make pictures: infer::Stylizer or infer::PatternMaker.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/model_spec.h"

namespace atelier::infer {

struct ModelOptions {
  std::filesystem::path directory;  // model.json, weights
  std::string weights_sha256;       // expected; empty: the one in model.json
  std::string device = "cpu";       // "cpu" or "cuda:N"
  // EfficientNet-Lite0 (.pth), for models of the family "gatys"; may be empty.
  std::filesystem::path feature_weights;
};

// Thread-safe.
class Model {
 public:
  virtual ~Model() = default;

  virtual const ModelSpec& spec() const = 0;
  virtual std::uint64_t bytes() const = 0;  // of its weights in memory
};

// Loads, verifies and warms up a model of either kind. NOT_FOUND: no such folder; DATA_LOSS:
// checksum, names or shapes disagree; UNIMPLEMENTED: unknown family; RESOURCE_EXHAUSTED: out of
// memory; FAILED_PRECONDITION: the device is not there; UNAVAILABLE: the feature weights that it
// needs are not.
absl::StatusOr<std::unique_ptr<Model>> LoadModel(const ModelOptions& options);

}  // namespace atelier::infer
