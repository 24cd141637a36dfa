#include "worker/train/image_pool.h"

#include <utility>

#include "common/check.h"
#include "common/status_macros.h"
#include "worker/train/saved_state.h"

namespace atelier::train {

ImagePool::ImagePool(std::int64_t capacity) : capacity_(capacity) { ATELIER_CHECK(capacity >= 0); }

torch::Tensor ImagePool::Exchange(const torch::Tensor& pictures, std::vector<KeyedRandom> randoms) {
  if (capacity_ == 0) {
    return pictures.detach();
  }
  ATELIER_CHECK(std::cmp_equal(randoms.size(), pictures.size(0)));
  const torch::Tensor fresh = pictures.detach();
  std::vector<torch::Tensor> shown;
  for (std::int64_t i = 0; i < fresh.size(0); ++i) {
    torch::Tensor picture = fresh.narrow(0, i, 1);
    KeyedRandom& random = randoms[static_cast<std::size_t>(i)];
    if (size() < capacity_) {
      pictures_.push_back(picture.clone());
    } else if (random.Uniform() > 0.5) {
      picture = std::exchange(pictures_[static_cast<std::size_t>(random.Below(capacity_))],
                              picture.clone());
    }
    shown.push_back(std::move(picture));
  }
  return torch::cat(shown);
}

void ImagePool::Save(const std::string& name, models::TensorMap& state) const {
  state[name + "#pool"] = pictures_.empty() ? torch::empty({0}, torch::kFloat32)
                                            : torch::cat(pictures_).cpu().contiguous();
}

absl::Status ImagePool::Load(const std::string& name, const models::TensorMap& state,
                             const torch::Device& device) {
  ATELIER_ASSIGN_OR_RETURN(const torch::Tensor saved, FindTensor(state, name + "#pool"));
  if (saved.numel() > 0 ? saved.dim() != 4 || saved.size(0) > capacity_ : saved.dim() != 1) {
    return absl::DataLossError(name + "#pool of the checkpoint has another shape");
  }
  pictures_.clear();
  for (std::int64_t i = 0; i < saved.size(0); ++i) {
    pictures_.push_back(saved.narrow(0, i, 1).to(device, /*non_blocking=*/false, /*copy=*/true));
  }
  return absl::OkStatus();
}

}  // namespace atelier::train
