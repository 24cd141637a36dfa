#include "server/models/managed_loading.h"

#include <string>
#include <utility>

namespace atelier::server {
namespace {

Reply<ModelVersion> StatusOnly(ModelLoading::Done done) {
  return Reply<ModelVersion>(
      [done = std::move(done)](const absl::StatusOr<ModelVersion>& model) mutable {
        std::move(done)(model.status());
      });
}

}  // namespace

void ManagedLoading::Load(std::string_view reference, absl::Time deadline, Done done) {
  manager_.Load(std::string(reference), {}, deadline, StatusOnly(std::move(done)));
}

void ManagedLoading::Unload(std::string_view reference, absl::Time deadline, Done done) {
  manager_.Unload(std::string(reference), deadline, StatusOnly(std::move(done)));
}

}  // namespace atelier::server
