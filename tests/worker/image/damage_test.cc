// Bad input: every case is INVALID_ARGUMENT that names the field; nothing crashes or decodes to
// filler.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "common/errors.h"
#include "tests/worker/image/sample_files.h"
#include "worker/image/codec.h"

namespace atelier::image {
namespace {

using ::testing::HasSubstr;
using testing::Jpeg;
using testing::Pattern;
using testing::Png;
using testing::PngChunk;
using testing::PngOf;
using testing::WebpOf;

// Small files of all kinds; lossy WebP comes from the encoder under test.
std::vector<std::pair<std::string, std::string>> SmallFiles() {
  const cv::Mat pattern = Pattern(17, 23);
  const at::Tensor none;
  const cv::Mat rgba(18, 16, CV_8UC4, cv::Scalar(1, 2, 3, 100));
  absl::StatusOr<DecodedImage> image = DecodeImage(PngOf(rgba));
  absl::StatusOr<std::string> lossy =
      EncodeImage(image->rgb, image->alpha, {.format = ImageFormat::kWebp});
  return {{"jpeg", Jpeg(pattern)},
          {"progressive jpeg", Jpeg(pattern, {.is_progressive = true})},
          {"grey jpeg", Jpeg(cv::Mat(16, 16, CV_8UC1, cv::Scalar(9)))},
          {"png", PngOf(pattern)},
          {"png with alpha", PngOf(rgba)},
          {"lossless webp", WebpOf(pattern)},
          {"lossy webp with alpha", *lossy}};
}

void ExpectRefused(std::string_view bytes) {
  const absl::StatusOr<DecodedImage> image = DecodeImage(bytes);
  ASSERT_FALSE(image.ok());
  EXPECT_EQ(image.status().code(), absl::StatusCode::kInvalidArgument) << image.status();
  EXPECT_EQ(FieldOf(image.status()), "image");
}

std::string MessageOf(std::string_view bytes) {
  return std::string(DecodeImage(bytes).status().message());
}

TEST(Damage, EveryTruncationIsRefused) {
  for (const auto& [name, bytes] : SmallFiles()) {
    for (std::size_t length = 0; length < bytes.size(); ++length) {
      SCOPED_TRACE(name + " cut to " + std::to_string(length));
      ExpectRefused(std::string_view(bytes).substr(0, length));
    }
    EXPECT_TRUE(DecodeImage(bytes).ok()) << name;
  }
}

TEST(Damage, TruncationIsCalledByItsName) {
  const std::string jpeg = Jpeg(Pattern(64, 64));
  EXPECT_THAT(MessageOf(jpeg.substr(0, jpeg.size() - 100)),
              HasSubstr("is a JPEG file that ends before its pixels do; send the whole file"));
  const std::string png = PngOf(Pattern(64, 64));
  EXPECT_THAT(MessageOf(png.substr(0, png.size() - 20)), HasSubstr("is a PNG file that ends"));
}

TEST(Damage, AnyByteMayBeWrongWithoutHarm) {
  for (const auto& [name, bytes] : SmallFiles()) {
    for (std::size_t at = 0; at < bytes.size(); ++at) {
      for (const char flip : {'\xff', '\x10'}) {
        std::string changed = bytes;
        changed[at] = static_cast<char>(changed[at] ^ flip);
        const absl::StatusOr<DecodedImage> image = DecodeImage(changed);
        if (!image.ok()) {
          EXPECT_EQ(image.status().code(), absl::StatusCode::kInvalidArgument)
              << name << " at " << at << ": " << image.status();
        }
      }
    }
  }
}

TEST(Damage, AWrongChecksumInAPngIsRefused) {
  std::string bytes = PngOf(Pattern(20, 20), PngChunk("tEXt", std::string("a\0b", 3)));
  bytes[bytes.find("tEXt") + 5] = 'c';
  EXPECT_THAT(MessageOf(bytes), HasSubstr("is a damaged PNG file"));
}

TEST(Damage, PixelsThatEndEarlyUnderRightChecksumsAreRefused) {
  const std::string half(std::size_t{16} * 16 * 3 / 2, 'x');
  std::string bytes = Png({16, 8, 8, 2}, half);
  // The same rows under a header that promises twice as many.
  const std::string header = std::string("\0\0\0\x10\0\0\0\x10\x08\x02\0\0\0", 13);
  bytes.replace(8, 25, PngChunk("IHDR", header));
  ExpectRefused(bytes);
}

TEST(Damage, AFileThatOnlyClaimsToBeLargeIsRefused) {
  std::string jpeg = Jpeg(Pattern(32, 32));
  jpeg.replace(jpeg.find("\xff\xc0") + 5, 4, std::string("\x10\0\x10\0", 4));
  ExpectRefused(jpeg);
  jpeg.replace(jpeg.find("\xff\xc0") + 5, 4, "\xea\x60\xea\x60");
  EXPECT_THAT(MessageOf(jpeg), HasSubstr("is 60000 x 60000 px; at most 4096 x 4096"));
}

TEST(Damage, AJpegOfVeryManyScansIsRefused) {
  EXPECT_TRUE(DecodeImage(Jpeg(Pattern(32, 32), {.scans = 20})).ok());
  EXPECT_THAT(MessageOf(Jpeg(Pattern(32, 32), {.scans = 100})), HasSubstr("more than 64 scans"));
}

TEST(Damage, NoiseIsRefused) {
  std::minstd_rand random(1);  // NOLINT(bugprone-random-generator-seed): the same noise every time
  std::string noise(std::size_t{40} << 20, '\0');
  for (char& byte : noise) {
    byte = static_cast<char>(random());
  }
  ExpectRefused(noise);
  for (const char* start : {"\xff\xd8\xff\xe0", "\xff\xd8\xff\xc0", "\x89PNG\r\n\x1a\n", "RIFF"}) {
    for (std::size_t at = 0; at < 100; ++at) {
      ExpectRefused(start + noise.substr(at * 1000, 100000));
    }
  }
  const std::string jpeg = Jpeg(Pattern(64, 64));
  const std::size_t pixels = jpeg.find("\xff\xda") + 14;
  ExpectRefused(jpeg.substr(0, pixels) + noise.substr(0, 5000));
}

TEST(Damage, AnimationsAreRefused) {
  ExpectRefused(PngOf(Pattern(20, 20), PngChunk("acTL", std::string(8, '\1'))));
  ExpectRefused(testing::ExtendedWebpOf(Pattern(20, 20), 0x02, {}));
}

}  // namespace
}  // namespace atelier::image
