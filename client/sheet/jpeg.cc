#include "client/sheet/jpeg.h"

#include <turbojpeg.h>

#include <cstdint>
#include <memory>

namespace atelier::sheet {
namespace {

constexpr std::int64_t kMaxPixels = 64'000'000;
constexpr int kQuality = 92;

struct Destroy {
  void operator()(void* handle) const { tjDestroy(handle); }
};
using Handle = std::unique_ptr<void, Destroy>;

struct Free {
  void operator()(unsigned char* buffer) const { tjFree(buffer); }
};

}  // namespace

absl::StatusOr<cv::Mat> DecodeJpeg(std::string_view bytes) {
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  const Handle handle(tjInitDecompress());
  int width = 0;
  int height = 0;
  int subsampling = 0;
  int colors = 0;
  if (handle == nullptr || tjDecompressHeader3(handle.get(), data, bytes.size(), &width, &height,
                                               &subsampling, &colors) != 0) {
    return absl::InvalidArgumentError("the picture is no JPEG");
  }
  if (std::int64_t{width} * height > kMaxPixels) {
    return absl::InvalidArgumentError("the picture has more than 64 million pixels");
  }
  cv::Mat picture(height, width, CV_8UC3);
  if (tjDecompress2(handle.get(), data, bytes.size(), picture.data, width,
                    static_cast<int>(picture.step), height, TJPF_BGR, TJFLAG_STOPONWARNING) != 0) {
    return absl::InvalidArgumentError("the picture is a damaged JPEG");
  }
  return picture;
}

absl::StatusOr<std::string> EncodeJpeg(const cv::Mat& picture) {
  const Handle handle(tjInitCompress());
  unsigned char* buffer = nullptr;
  unsigned long size = 0;  // NOLINT(google-runtime-int): libjpeg-turbo's type
  const bool made =
      handle != nullptr &&
      tjCompress2(handle.get(), picture.data, picture.cols, static_cast<int>(picture.step),
                  picture.rows, TJPF_BGR, &buffer, &size, TJSAMP_444, kQuality, 0) == 0;
  const std::unique_ptr<unsigned char, Free> owner(buffer);
  if (!made) {
    return absl::InternalError("the picture cannot be written as JPEG");
  }
  return std::string(reinterpret_cast<const char*>(buffer), size);
}

}  // namespace atelier::sheet
