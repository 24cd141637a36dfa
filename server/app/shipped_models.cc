#include "server/app/shipped_models.h"

#include <spdlog/spdlog.h>

#include <string>

#include "server/models/model_catalog.h"

namespace atelier::server {

std::filesystem::path ShippedModels(const ServerOptions& options) {
  const std::string& folder = options.config.shipped_models();
  return folder == "none" ? "" : folder;
}

absl::Status CheckShippedModels(const ServerOptions& options) {
  const std::filesystem::path folder = ShippedModels(options);
  if (folder.empty() || HoldsModels(folder)) {
    return absl::OkStatus();
  }
  const std::string what = folder.string() + " holds no whole model";
  if (options.shipped_models_given) {
    return absl::InvalidArgumentError(
        "--shipped-models: " + what +
        "; give a folder with NAME/VERSION/model.json and its weights, or none");
  }
  spdlog::warn("no styles are shipped: {}; install them there, or start with --shipped-models none",
               what);
  return absl::OkStatus();
}

}  // namespace atelier::server
