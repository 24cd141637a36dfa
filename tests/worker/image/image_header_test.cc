#include "common/image_header.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "common/errors.h"
#include "tests/worker/image/sample_files.h"

namespace atelier {
namespace {

using ::atelier::image::testing::ExtendedWebpOf;
using ::atelier::image::testing::Jpeg;
using ::atelier::image::testing::Pattern;
using ::atelier::image::testing::PngChunk;
using ::atelier::image::testing::PngOf;
using ::atelier::image::testing::Webp;
using ::atelier::image::testing::WebpOf;
using ::atelier::image::testing::WithJpegSegment;
using ::testing::HasSubstr;

std::string RefusalOf(std::string_view bytes) {
  const absl::StatusOr<ImageHeader> header = ReadImageHeader(bytes);
  if (header.ok()) {
    return "accepted";
  }
  EXPECT_EQ(header.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FieldOf(header.status()), "image");
  return std::string(header.status().message());
}

// Overwrites the size in a baseline JPEG's frame segment.
std::string WithJpegSize(std::string jpeg, const std::string& height_then_width) {
  return jpeg.replace(jpeg.find("\xff\xc0") + 5, 4, height_then_width);
}

std::string WithPngSize(std::string png, const std::string& width_then_height) {
  return png.replace(16, 8, width_then_height);
}

TEST(ImageHeader, ReadsFormatAndSizeOfEveryKind) {
  const cv::Mat pattern = Pattern(31, 17);
  const std::pair<std::string, ImageFormat> files[] = {
      {Jpeg(pattern), ImageFormat::kJpeg},
      {Jpeg(pattern, {.is_progressive = true}), ImageFormat::kJpeg},
      {WithJpegSegment(Jpeg(pattern), 0xe5, std::string(60000, 'x')), ImageFormat::kJpeg},
      {PngOf(pattern), ImageFormat::kPng},
      {PngOf(pattern, PngChunk("tEXt", "a\0b")), ImageFormat::kPng},
      {WebpOf(pattern), ImageFormat::kWebp},
      {ExtendedWebpOf(pattern, 0, {{"XMP ", "odd"}}), ImageFormat::kWebp}};
  for (const auto& [bytes, format] : files) {
    const absl::StatusOr<ImageHeader> header = ReadImageHeader(bytes);
    ASSERT_TRUE(header.ok()) << header.status();
    EXPECT_EQ(header->format, format);
    EXPECT_EQ(header->width, 17);
    EXPECT_EQ(header->height, 31);
  }
}

TEST(ImageHeader, SaysWhatToDoAboutThingsThatAreNoPictures) {
  EXPECT_EQ(RefusalOf(""), "image: is empty; send the bytes of a JPEG, PNG or WebP file");
  EXPECT_THAT(RefusalOf("hello, I am a text"), HasSubstr("is not a JPEG, PNG or WebP file"));
  EXPECT_THAT(RefusalOf("GIF89a and so on"), HasSubstr("is a GIF file; convert it"));
  EXPECT_THAT(RefusalOf(std::string("\0\0\0\x18", 4) + "ftypheic1234"), HasSubstr("HEIC"));
  EXPECT_THAT(RefusalOf(std::string(kMaxImageBytes + 1, 'x')), HasSubstr("at most 33554432"));
}

TEST(ImageHeader, RefusesSidesOutsideTheLimits) {
  const std::string jpeg = Jpeg(Pattern(32, 32));
  const std::string png = PngOf(Pattern(32, 32));
  EXPECT_THAT(RefusalOf(WithJpegSize(jpeg, "\xea\x60\xea\x60")),
              HasSubstr("is 60000 x 60000 px; at most 4096 x 4096 are accepted"));
  EXPECT_THAT(RefusalOf(WithPngSize(png, std::string("\0\0\xea\x60\0\0\xea\x60", 8))),
              HasSubstr("is 60000 x 60000 px; at most 4096 x 4096 are accepted"));
  EXPECT_THAT(RefusalOf(WithPngSize(png, std::string("\0\0\0\x20\0\0\x10\x01", 8))),
              HasSubstr("is 32 x 4097 px"));
  EXPECT_THAT(RefusalOf(Jpeg(Pattern(1, 1))),
              HasSubstr("is 1 x 1 px; at least 16 x 16 are needed"));
  EXPECT_THAT(RefusalOf(PngOf(Pattern(1, 1))), HasSubstr("is 1 x 1 px"));
  EXPECT_THAT(RefusalOf(WebpOf(Pattern(15, 40))), HasSubstr("is 40 x 15 px"));
  EXPECT_EQ(RefusalOf(WithPngSize(png, std::string("\0\0\x10\0\0\0\x10\0", 8))), "accepted");
  EXPECT_EQ(RefusalOf(PngOf(Pattern(16, 16))), "accepted");
}

TEST(ImageHeader, RefusesAnimations) {
  const cv::Mat pattern = Pattern(20, 20);
  EXPECT_THAT(RefusalOf(PngOf(pattern, PngChunk("acTL", std::string(8, '\1')))),
              HasSubstr("is an animated PNG; send a single picture"));
  EXPECT_THAT(RefusalOf(ExtendedWebpOf(pattern, 0x02, {})), HasSubstr("is an animated WebP"));
  EXPECT_THAT(RefusalOf(ExtendedWebpOf(pattern, 0, {{"ANIM", "123456"}})),
              HasSubstr("is an animated WebP"));
}

TEST(ImageHeader, RefusesHeadersThatContradictThemselves) {
  const std::string jpeg = Jpeg(Pattern(32, 32));
  EXPECT_THAT(RefusalOf(jpeg.substr(0, 2) + "garbage" + jpeg.substr(2)),
              HasSubstr("bytes between two segments"));
  EXPECT_THAT(RefusalOf(WithJpegSize(jpeg, std::string("\0\0\0\x20", 4))),
              HasSubstr("a side of 0 px"));
  std::string lossless = jpeg;
  lossless[lossless.find("\xff\xc0") + 1] = '\xc3';
  EXPECT_THAT(RefusalOf(lossless), HasSubstr("lossless or hierarchical"));
  std::string twelve_bits = jpeg;
  twelve_bits[twelve_bits.find("\xff\xc0") + 4] = 12;
  EXPECT_THAT(RefusalOf(twelve_bits), HasSubstr("12 bits a sample"));
  std::string no_frame = jpeg;
  no_frame[no_frame.find("\xff\xc0") + 1] = '\xda';
  EXPECT_THAT(RefusalOf(no_frame), HasSubstr("no frame before the data"));

  std::string odd_depth = PngOf(Pattern(32, 32));
  odd_depth[24] = 3;
  EXPECT_THAT(RefusalOf(odd_depth), HasSubstr("an unknown pixel layout"));
  EXPECT_THAT(RefusalOf(odd_depth.substr(0, 12) + "IDAT" + odd_depth.substr(16)),
              HasSubstr("does not begin with IHDR"));

  // The canvas says 20 x 20, the picture in it 24 x 20.
  std::string two_sizes = ExtendedWebpOf(Pattern(20, 24), 0, {});
  two_sizes[24] = 19;
  EXPECT_THAT(RefusalOf(two_sizes), HasSubstr("two different sizes"));
}

TEST(ImageHeader, RefusesEveryHeaderThatIsCutOff) {
  const std::string jpeg = Jpeg(Pattern(20, 20));
  const std::size_t jpeg_frame_end = jpeg.find("\xff\xc0") + 2 + 17;
  for (std::size_t length = 0; length < jpeg_frame_end; ++length) {
    EXPECT_NE(RefusalOf(jpeg.substr(0, length)), "accepted") << length;
  }
  const std::string png = PngOf(Pattern(20, 20));
  for (std::size_t length = 0; length < png.find("IDAT"); ++length) {
    EXPECT_NE(RefusalOf(png.substr(0, length)), "accepted") << length;
  }
  const std::string webp = ExtendedWebpOf(Pattern(20, 20), 0, {});
  for (std::size_t length = 0; length < webp.size(); ++length) {
    EXPECT_NE(RefusalOf(webp.substr(0, length)), "accepted") << length;
  }
}

TEST(ImageHeader, FormatsHaveNames) {
  EXPECT_STREQ(ImageFormatName(ImageFormat::kJpeg), "jpeg");
  EXPECT_STREQ(ImageFormatName(ImageFormat::kPng), "png");
  EXPECT_STREQ(ImageFormatName(ImageFormat::kWebp), "webp");
}

}  // namespace
}  // namespace atelier
