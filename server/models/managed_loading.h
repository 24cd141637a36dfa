// ModelLoading by the server's ModelManager.
#pragma once

#include "server/models/model_loading.h"
#include "server/models/model_manager.h"

namespace atelier::server {

// Thread-safe, never blocks.
class ManagedLoading final : public ModelLoading {
 public:
  // `manager` outlives the object.
  explicit ManagedLoading(ModelManager& manager) : manager_(manager) {}

  void Load(std::string_view reference, absl::Time deadline, Done done) override;
  void Unload(std::string_view reference, absl::Time deadline, Done done) override;

 private:
  ModelManager& manager_;
};

}  // namespace atelier::server
