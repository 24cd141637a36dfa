#include "worker/gather/sample_grid.h"

#include <ATen/Functions.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "common/files.h"
#include "common/status_macros.h"
#include "worker/image/codec.h"
#include "worker/image/resize.h"

namespace atelier::gather {
namespace {

constexpr int kCell = 192;  // px
constexpr int kGap = 8;
constexpr int kColumns = 4;
constexpr int kQuality = 85;

// uint8 [h, w, 3] within a cell.
absl::StatusOr<at::Tensor> Small(const std::filesystem::path& file) {
  ATELIER_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(file, kMaxImageBytes));
  ATELIER_ASSIGN_OR_RETURN(const image::DecodedImage picture, image::DecodeImage(bytes));
  const image::Size size = image::FitLongSide({.height = static_cast<int>(picture.rgb.size(0)),
                                               .width = static_cast<int>(picture.rgb.size(1))},
                                              kCell);
  return image::Resize(picture.rgb, size.height, size.width);
}

}  // namespace

absl::Status DrawSample(const SampleTask& task, const std::filesystem::path& file) {
  std::vector<at::Tensor> pictures;
  for (const std::string& name : task.pictures) {
    absl::StatusOr<at::Tensor> picture = Small(task.directory / name);
    if (picture.ok()) {
      pictures.push_back(*std::move(picture));
    }
  }
  if (pictures.empty()) {
    return absl::OkStatus();
  }
  const int count = static_cast<int>(pictures.size());
  const int columns = std::min(count, kColumns);
  const int rows = (count + columns - 1) / columns;
  const at::Tensor grid =
      at::full({rows * (kCell + kGap) + kGap, columns * (kCell + kGap) + kGap, 3}, 255,
               at::TensorOptions().dtype(at::kByte));
  for (int i = 0; i < count; ++i) {
    const at::Tensor& picture = pictures[static_cast<std::size_t>(i)];
    const std::int64_t height = picture.size(0);
    const std::int64_t width = picture.size(1);
    const std::int64_t top = kGap + (i / columns) * (kCell + kGap) + (kCell - height) / 2;
    const std::int64_t left = kGap + (i % columns) * (kCell + kGap) + (kCell - width) / 2;
    grid.narrow(0, top, height).narrow(1, left, width).copy_(picture);
  }
  ATELIER_ASSIGN_OR_RETURN(
      const std::string jpeg,
      image::EncodeImage(grid, {}, {.format = ImageFormat::kJpeg, .quality = kQuality}));
  return WriteFileAtomically(file, jpeg);
}

}  // namespace atelier::gather
