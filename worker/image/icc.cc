#include "worker/image/icc.h"

#include <lcms2.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <deque>
#include <memory>
#include <opencv2/imgproc.hpp>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/check.h"
#include "worker/image/raw_image.h"

namespace atelier::image {
namespace {

struct ProfileCloser {
  void operator()(void* profile) const { cmsCloseProfile(profile); }
};
struct TransformDeleter {
  void operator()(void* transform) const { cmsDeleteTransform(transform); }
};
// cmsHPROFILE and cmsHTRANSFORM are both void*.
using Profile = std::unique_ptr<void, ProfileCloser>;
using Transform = std::unique_ptr<void, TransformDeleter>;

// Device links, abstract and named-colour profiles do not describe a picture's colours.
bool DescribesPictures(cmsProfileClassSignature profile_class) {
  return profile_class == cmsSigInputClass || profile_class == cmsSigDisplayClass ||
         profile_class == cmsSigOutputClass || profile_class == cmsSigColorSpaceClass;
}

Transform MakeTransform(const Profile& from, cmsUInt32Number pixel_type) {
  const Profile srgb(cmsCreate_sRGBProfile());
  return Transform(
      cmsCreateTransform(from.get(), pixel_type, srgb.get(), TYPE_RGB_8, INTENT_PERCEPTUAL, 0));
}

// True when the transform moves no colour of a grid over the cube by more than one level: most
// profiles in the wild are sRGB under some name, and converting them would cost time and a level of
// rounding.
bool IsIdentity(const Transform& transform) {
  constexpr int kGrid = 9;
  std::vector<unsigned char> colors;
  for (int i = 0; i < kGrid * kGrid * kGrid; ++i) {
    for (const int step : {i % kGrid, i / kGrid % kGrid, i / (kGrid * kGrid)}) {
      colors.push_back(static_cast<unsigned char>(step * 255 / (kGrid - 1)));
    }
  }
  std::vector<unsigned char> converted(colors.size());
  cmsDoTransform(transform.get(), colors.data(), converted.data(), kGrid * kGrid * kGrid);
  for (std::size_t i = 0; i < colors.size(); ++i) {
    if (std::abs(colors[i] - converted[i]) > 1) {
      return false;
    }
  }
  return true;
}

// The last few profiles that were found to mean sRGB. A shop's pictures carry the same one again
// and again, and finding out takes Little CMS 2.5 ms: as long as all else around a small picture.
class SrgbProfiles {
 public:
  bool Has(std::string_view profile) ABSL_LOCKS_EXCLUDED(mutex_) {
    const absl::MutexLock lock(&mutex_);
    return std::find(known_.begin(), known_.end(), profile) != known_.end();
  }

  void Add(std::string_view profile) ABSL_LOCKS_EXCLUDED(mutex_) {
    if (profile.size() > kLargestBytes) {
      return;
    }
    const absl::MutexLock lock(&mutex_);
    if (known_.size() == kMost) {
      known_.pop_front();
    }
    known_.emplace_back(profile);
  }

 private:
  static constexpr std::size_t kMost = 8;
  static constexpr std::size_t kLargestBytes = 64 << 10;

  absl::Mutex mutex_;
  std::deque<std::string> known_ ABSL_GUARDED_BY(mutex_);
};

SrgbProfiles& KnownSrgbProfiles() {
  static SrgbProfiles& profiles = *new SrgbProfiles;  // never destroyed: threads may outlive main
  return profiles;
}

cv::Mat Apply(const Transform& transform, const cv::Mat& pixels) {
  cv::Mat rgb(pixels.rows, pixels.cols, CV_8UC3);
  for (int row = 0; row < pixels.rows; ++row) {
    cmsDoTransform(transform.get(), pixels.ptr(row), rgb.ptr(row),
                   static_cast<cmsUInt32Number>(pixels.cols));
  }
  return rgb;
}

// C, M, Y and K as ideal inks: each takes its share of what the others leave.
cv::Mat IdealInksToRgb(const cv::Mat& cmyk) {
  cv::Mat rgb(cmyk.rows, cmyk.cols, CV_8UC3);
  for (int row = 0; row < cmyk.rows; ++row) {
    const unsigned char* in = cmyk.ptr(row);
    unsigned char* out = rgb.ptr(row);
    for (int column = 0; column < cmyk.cols; ++column, in += 4, out += 3) {
      for (int c = 0; c < 3; ++c) {
        out[c] = static_cast<unsigned char>(((255 - in[c]) * (255 - in[3]) + 127) / 255);
      }
    }
  }
  return rgb;
}

}  // namespace

absl::StatusOr<cv::Mat> ConvertToSrgb(const cv::Mat& pixels, std::string_view profile_bytes) {
  const int channels = pixels.channels();
  if (channels != 4 && KnownSrgbProfiles().Has(profile_bytes)) {
    return AssumeSrgb(pixels);
  }
  const Profile profile(cmsOpenProfileFromMem(profile_bytes.data(),
                                              static_cast<cmsUInt32Number>(profile_bytes.size())));
  if (profile == nullptr) {
    return absl::InvalidArgumentError(kDamagedProfileWarning);
  }
  const cmsColorSpaceSignature space = cmsGetColorSpace(profile.get());
  // A grey picture often carries the RGB profile of the program that made it; its grey axis is what
  // is meant.
  const bool is_rgb = space == cmsSigRgbData && (channels == 3 || channels == 1);
  const bool is_gray = space == cmsSigGrayData && channels == 1;
  const bool is_cmyk = space == cmsSigCmykData && channels == 4;
  if (!DescribesPictures(cmsGetDeviceClass(profile.get())) || !(is_rgb || is_gray || is_cmyk)) {
    return absl::InvalidArgumentError(
        "the embedded colour profile is for another kind of picture and was ignored");
  }
  const cmsUInt32Number pixel_type = is_rgb ? TYPE_RGB_8 : is_gray ? TYPE_GRAY_8 : TYPE_CMYK_8;
  const Transform transform = MakeTransform(profile, pixel_type);
  if (transform == nullptr) {
    return absl::InvalidArgumentError(kDamagedProfileWarning);
  }
  if (!is_rgb) {
    return Apply(transform, pixels);
  }
  const cv::Mat rgb = AssumeSrgb(pixels);
  if (!IsIdentity(transform)) {
    return Apply(transform, rgb);
  }
  KnownSrgbProfiles().Add(profile_bytes);
  return rgb;
}

cv::Mat AssumeSrgb(const cv::Mat& pixels) {
  if (pixels.channels() == 3) {
    return pixels;
  }
  if (pixels.channels() == 4) {
    return IdealInksToRgb(pixels);
  }
  cv::Mat rgb;
  cv::cvtColor(pixels, rgb, cv::COLOR_GRAY2RGB);
  return rgb;
}

const std::string& SrgbProfile() {
  static const std::string profile_bytes = [] {
    const Profile srgb(cmsCreate_sRGBProfile());
    cmsUInt32Number size = 0;
    ATELIER_CHECK(srgb != nullptr && cmsSaveProfileToMem(srgb.get(), nullptr, &size));
    std::string bytes(size, '\0');
    ATELIER_CHECK(cmsSaveProfileToMem(srgb.get(), bytes.data(), &size));
    // Little CMS writes the time of creation here (ICC.1, 7.2.8); equal requests must give equal
    // bytes.
    constexpr std::string_view kFixedTime("\x07\xd0\0\x01\0\x01\0\0\0\0\0\0", 12);  // 2000-01-01
    bytes.replace(24, kFixedTime.size(), kFixedTime);
    return bytes;
  }();
  return profile_bytes;
}

}  // namespace atelier::image
