#include "worker/image/mat_tensor.h"

#include <ATen/ops/from_blob.h>

#include <vector>

#include "common/check.h"

namespace atelier::image {

cv::Mat MatOver(const at::Tensor& tensor) {
  ATELIER_CHECK(tensor.scalar_type() == at::kByte && tensor.is_contiguous());
  ATELIER_CHECK(tensor.dim() == 2 || (tensor.dim() == 3 && tensor.size(2) <= 4));
  const int channels = tensor.dim() == 3 ? static_cast<int>(tensor.size(2)) : 1;
  return {static_cast<int>(tensor.size(0)), static_cast<int>(tensor.size(1)), CV_8UC(channels),
          tensor.data_ptr()};
}

at::Tensor TensorOver(const cv::Mat& mat) {
  ATELIER_CHECK(mat.depth() == CV_8U && mat.isContinuous());
  std::vector<std::int64_t> sizes = {mat.rows, mat.cols};
  if (mat.channels() > 1) {
    sizes.push_back(mat.channels());
  }
  return at::from_blob(mat.data, sizes, [mat](void*) {}, at::TensorOptions().dtype(at::kByte));
}

}  // namespace atelier::image
