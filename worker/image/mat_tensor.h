// OpenCV's and LibTorch's view of the same pixels; nothing is copied.
#pragma once

#include <ATen/core/Tensor.h>

#include <opencv2/core.hpp>

namespace atelier::image {

// `tensor`: contiguous uint8 [H, W, C] or [H, W]; it must outlive the view.
cv::Mat MatOver(const at::Tensor& tensor);

// [H, W, C], or [H, W] for one channel; the tensor keeps the pixels of `mat` alive. `mat`: 8 bits,
// without gaps between its rows.
at::Tensor TensorOver(const cv::Mat& mat);

}  // namespace atelier::image
