// What can be asked for by the names of the Open Inference Protocol: the registry's versions, and
// the model "identity" where it is offered.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/models/model_registry.h"

namespace atelier::server {

// Thread-safe. Blocks as long as ModelRegistry does.
class ServedModels {
 public:
  // `registry` outlives the object. A model of the registry that is called "identity" is hidden by
  // the one for measuring while `identity` is true.
  ServedModels(const ModelRegistry& registry, bool identity)
      : registry_(registry), identity_(identity) {}

  // An empty version is what the name means now; which version of a canary's name that is, the
  // request's id says. INVALID_ARGUMENT naming `model_name` or `model_version`: malformed, where
  // versions are decimal numbers. NOT_FOUND.
  absl::StatusOr<ModelVersion> Resolve(const std::string& name, const std::string& version,
                                       std::string_view request_id = {}) const;

  // All versions, in the order of the registry, identity last.
  std::vector<ModelVersion> List() const;
  // Those of this name, the lowest first.
  std::vector<ModelVersion> VersionsOf(std::string_view name) const;

  bool IsIdentity(std::string_view name) const;

 private:
  const ModelRegistry& registry_;
  const bool identity_;
};

}  // namespace atelier::server
