#include "worker/models/feature_network.h"

#include <utility>

#include "common/status_macros.h"
#include "worker/models/torch_pickle.h"
#include "worker/models/weights.h"

namespace atelier::models {

absl::StatusOr<std::shared_ptr<nn::EfficientNetLite>> LoadEfficientNetLite(
    int variant, const std::filesystem::path& path) {
  constexpr std::uint64_t kMaxBytes = 64u << 20;
  absl::StatusOr<TensorMap> read = ReadTorchPickle(path, kMaxBytes);
  if (absl::IsNotFound(read.status())) {
    return absl::NotFoundError(
        "the feature network " + path.filename().string() +
        " is not installed; scripts/install-deps fetches it, cmake --install "
        "puts it beside the programs");
  }
  ATELIER_ASSIGN_OR_RETURN(const TensorMap tensors, std::move(read));
  auto network = std::make_shared<nn::EfficientNetLite>(variant);
  ATELIER_RETURN_IF_ERROR(LoadWeights(*network, tensors, /*strict=*/true));
  network->Fold();
  return network;
}

}  // namespace atelier::models
