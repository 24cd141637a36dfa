#include "worker/infer/serving_network.h"

#include <torch/torch.h>

#include "common/files.h"
#include "common/image_header.h"
#include "common/status_macros.h"
#include "worker/nn/memory_format.h"

namespace atelier::infer {
namespace {

constexpr std::uint64_t kMaxWeightsBytes = 2ULL << 30U;

}  // namespace

absl::StatusOr<std::string> ReadVerified(const std::filesystem::path& path,
                                         const std::string& sha256) {
  ATELIER_ASSIGN_OR_RETURN(std::string bytes, ReadFile(path, kMaxWeightsBytes));
  if (Sha256Hex(bytes) != sha256) {
    return absl::DataLossError(
        "The checksum of the model's weights is wrong; import or publish the model again.");
  }
  return bytes;
}

absl::Status CheckPictures(const at::Tensor& images) {
  const bool fits = images.dim() == 4 && images.size(3) == 3 &&
                    images.scalar_type() == torch::kByte && images.size(1) >= kMinImageSide &&
                    images.size(2) >= kMinImageSide && images.size(0) > 0;
  return fits ? absl::OkStatus()
              : absl::InternalError("A batch of pictures has the wrong type or shape.");
}

std::uint64_t BytesOf(const torch::nn::Module& network) {
  std::uint64_t bytes = 0;
  for (const torch::Tensor& parameter : network.parameters()) {
    bytes += parameter.nbytes();
    // Weights of int8 convolutions are there twice: as in the file, and in oneDNN's layout.
    bytes += parameter.scalar_type() == torch::kChar ? parameter.nbytes() : 0;
  }
  return bytes;
}

void PrepareToServe(torch::nn::Module& network, torch::Device device, torch::ScalarType type) {
  // Module::to would turn the counts of batch norms, which are integers, into `type` as well.
  for (torch::Tensor& buffer : network.buffers()) {
    buffer.set_data(buffer.is_floating_point() ? buffer.to(device, type) : buffer.to(device));
  }
  for (torch::Tensor& parameter : network.parameters()) {
    parameter.set_data(parameter.is_floating_point() ? parameter.to(device, type)
                                                     : parameter.to(device));
    parameter.requires_grad_(false);
  }
  nn::UseChannelsLast(network);
}

}  // namespace atelier::infer
