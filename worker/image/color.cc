#include "worker/image/color.h"

#include <algorithm>
#include <cstdint>
#include <opencv2/core.hpp>

#include "common/check.h"
#include "worker/image/mat_tensor.h"

namespace atelier::image {
namespace {

// BT.601 luma weights in 1/65536; they add up to 65536.
constexpr std::int32_t kRed = 19595;
constexpr std::int32_t kGreen = 38470;
constexpr std::int32_t kBlue = 7471;

unsigned char Clamped(std::int32_t value) {
  return static_cast<unsigned char>(std::clamp(value, 0, 255));
}

}  // namespace

at::Tensor Blend(const at::Tensor& photo, const at::Tensor& styled, float strength) {
  ATELIER_CHECK(photo.sizes() == styled.sizes());
  ATELIER_CHECK(strength >= 0 && strength <= 1);
  if (strength == 0) {
    return photo;
  }
  if (strength == 1) {
    return styled;
  }
  const at::Tensor from = photo.contiguous();
  const at::Tensor to = styled.contiguous();
  cv::Mat blended;
  cv::addWeighted(MatOver(from), 1.0 - strength, MatOver(to), strength, 0, blended);
  return TensorOver(blended);
}

at::Tensor PreserveColor(const at::Tensor& photo, const at::Tensor& styled) {
  ATELIER_CHECK(photo.sizes() == styled.sizes() && photo.dim() == 3 && photo.size(2) == 3);
  const at::Tensor chroma = photo.contiguous();
  const at::Tensor luma = styled.contiguous();
  const cv::Mat chroma_mat = MatOver(chroma);
  const cv::Mat luma_mat = MatOver(luma);
  cv::Mat mixed(chroma_mat.rows, chroma_mat.cols, CV_8UC3);
  for (int row = 0; row < mixed.rows; ++row) {
    const unsigned char* color = chroma_mat.ptr(row);
    const unsigned char* light = luma_mat.ptr(row);
    unsigned char* out = mixed.ptr(row);
    for (int column = 0; column < mixed.cols; ++column, color += 3, light += 3, out += 3) {
      // R = Y + 1.402 Cr and so on: with Cb and Cr kept, a change of luma moves all three channels
      // by itself.
      const std::int32_t change = (kRed * (light[0] - color[0]) + kGreen * (light[1] - color[1]) +
                                   kBlue * (light[2] - color[2]) + 32768) >>
                                  16;
      out[0] = Clamped(color[0] + change);
      out[1] = Clamped(color[1] + change);
      out[2] = Clamped(color[2] + change);
    }
  }
  return TensorOver(mixed);
}

}  // namespace atelier::image
