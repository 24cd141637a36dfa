#include "worker/image/edges.h"

#include <algorithm>
#include <opencv2/imgproc.hpp>

#include "worker/image/mat_tensor.h"

namespace atelier::image {

at::Tensor DrawEdges(const at::Tensor& picture) {
  // A black or flat picture would get a threshold of 0 and edges out of its noise.
  constexpr double kLeastThreshold = 10.0;
  const at::Tensor input = picture.contiguous();
  cv::Mat gray;
  cv::cvtColor(MatOver(input), gray, cv::COLOR_RGB2GRAY);
  cv::GaussianBlur(gray, gray, cv::Size(5, 5), 0);
  cv::Mat binary;
  const double threshold = std::max(
      kLeastThreshold, cv::threshold(gray, binary, 0, 255, cv::THRESH_BINARY | cv::THRESH_OTSU));
  cv::Mat edges;
  cv::Canny(gray, edges, 0.4 * threshold, threshold);
  cv::bitwise_not(edges, edges);
  cv::Mat drawing;
  cv::cvtColor(edges, drawing, cv::COLOR_GRAY2RGB);
  return TensorOver(drawing);
}

bool IsEmptyDrawing(const at::Tensor& drawing) { return drawing.min().item<int>() == 255; }

}  // namespace atelier::image
