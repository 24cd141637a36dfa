#include "tests/worker/image/sample_files.h"

#include <zlib.h>

#include <array>
#include <cmath>
#include <cstdlib>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <utility>

#include "common/byte_order.h"
#include "common/check.h"

namespace atelier::image::testing {

cv::Mat Pattern(int height, int width) {
  cv::Mat pattern(height, width, CV_8UC3);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      pattern.at<cv::Vec3b>(y, x) = {static_cast<unsigned char>(20 + 200 * x / width),
                                     static_cast<unsigned char>(40 + 180 * y / height),
                                     static_cast<unsigned char>(90 + 60 * x * y / width / height)};
    }
  }
  return pattern;
}

cv::Mat Channels(const cv::Mat& pixels, const std::vector<int>& order) {
  std::vector<cv::Mat> planes(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) {
    cv::extractChannel(pixels, planes[i], order[i]);
  }
  cv::Mat merged;
  cv::merge(planes, merged);
  return merged;
}

double MaxDifference(const cv::Mat& a, const cv::Mat& b) {
  if (a.size() != b.size() || a.type() != b.type()) {
    return 256;
  }
  return cv::norm(a, b, cv::NORM_INF);
}

namespace {

// Progressive with one scan a coefficient: more than any encoder writes on its own.
std::vector<jpeg_scan_info> ManyScans(int scans) {
  std::vector<jpeg_scan_info> script;
  script.push_back({3, {0, 1, 2}, 0, 0, 0, 0});
  for (int i = 0; std::cmp_less(script.size(), scans); ++i) {
    const int coefficient = 1 + i % 63;
    script.push_back({1, {i / 63}, coefficient, coefficient, 0, 0});
  }
  return script;
}

}  // namespace

std::string Jpeg(const cv::Mat& pixels, const JpegOptions& options) {
  jpeg_compress_struct codec{};
  jpeg_error_mgr errors{};
  codec.err = jpeg_std_error(&errors);  // exits on errors: these files are right
  jpeg_create_compress(&codec);
  unsigned char* file = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&codec, &file, &size);
  codec.image_width = static_cast<JDIMENSION>(pixels.cols);
  codec.image_height = static_cast<JDIMENSION>(pixels.rows);
  codec.input_components = pixels.channels();
  codec.in_color_space = pixels.channels() == 1   ? JCS_GRAYSCALE
                         : pixels.channels() == 3 ? JCS_RGB
                                                  : JCS_CMYK;
  jpeg_set_defaults(&codec);
  jpeg_set_quality(&codec, options.quality, TRUE);
  if (pixels.channels() != 1) {
    jpeg_set_colorspace(&codec, options.stored);
    codec.comp_info[0].h_samp_factor = codec.comp_info[0].v_samp_factor = 1;
    codec.comp_info[3].h_samp_factor = codec.comp_info[3].v_samp_factor = 1;
  }
  codec.write_Adobe_marker = options.has_adobe_marker ? TRUE : FALSE;
  if (options.is_progressive) {
    jpeg_simple_progression(&codec);
  }
  const std::vector<jpeg_scan_info> script = ManyScans(options.scans);
  if (options.scans > 0) {
    codec.scan_info = script.data();
    codec.num_scans = static_cast<int>(script.size());
  }
  jpeg_start_compress(&codec, TRUE);
  if (!options.icc.empty()) {
    jpeg_write_icc_profile(&codec, reinterpret_cast<const JOCTET*>(options.icc.data()),
                           static_cast<unsigned int>(options.icc.size()));
  }
  for (int y = 0; y < pixels.rows; ++y) {
    auto* row = const_cast<JSAMPROW>(pixels.ptr(y));
    jpeg_write_scanlines(&codec, &row, 1);
  }
  jpeg_finish_compress(&codec);
  jpeg_destroy_compress(&codec);
  std::string bytes(reinterpret_cast<char*>(file), size);
  std::free(file);
  return bytes;
}

std::string WithJpegSegment(const std::string& jpeg, unsigned char marker, std::string_view data) {
  std::string segment = "\xff";
  segment.push_back(static_cast<char>(marker));
  segment.push_back(static_cast<char>((data.size() + 2) >> 8));
  segment.push_back(static_cast<char>((data.size() + 2) & 0xff));
  segment.append(data);
  return jpeg.substr(0, 2) + segment + jpeg.substr(2);
}

std::string PngChunk(std::string_view type, std::string_view data) {
  std::string body(type);
  body.append(data);
  std::string chunk;
  AppendBigEndian32(chunk, static_cast<std::uint32_t>(data.size()));
  chunk.append(body);
  AppendBigEndian32(chunk, static_cast<std::uint32_t>(crc32_z(
                               0, reinterpret_cast<const Bytef*>(body.data()), body.size())));
  return chunk;
}

namespace {

std::string Deflate(std::string_view data) {
  std::string out(compressBound(data.size()), '\0');
  uLongf size = out.size();
  ATELIER_CHECK(compress(reinterpret_cast<Bytef*>(out.data()), &size,
                         reinterpret_cast<const Bytef*>(data.data()), data.size()) == Z_OK);
  out.resize(size);
  return out;
}

}  // namespace

std::string Png(const PngLayout& layout, std::string_view rows, std::string_view chunks) {
  std::string header;
  AppendBigEndian32(header, static_cast<std::uint32_t>(layout.width));
  AppendBigEndian32(header, static_cast<std::uint32_t>(layout.height));
  header.append({layout.depth, layout.color_type, '\0', '\0', '\0'});
  std::string filtered;
  const std::size_t stride = rows.size() / static_cast<std::size_t>(layout.height);
  for (std::size_t at = 0; at < rows.size(); at += stride) {
    filtered.push_back('\0');
    filtered.append(rows.substr(at, stride));
  }
  return "\x89PNG\r\n\x1a\n" + PngChunk("IHDR", header) + std::string(chunks) +
         PngChunk("IDAT", Deflate(filtered)) + PngChunk("IEND", {});
}

std::string PngOf(const cv::Mat& pixels, std::string_view chunks) {
  ATELIER_CHECK(pixels.isContinuous());
  const char color_type = pixels.channels() == 4 ? '\6' : pixels.channels() == 3 ? '\2' : '\0';
  return Png({pixels.cols, pixels.rows, 8, color_type},
             {reinterpret_cast<const char*>(pixels.data), pixels.total() * pixels.elemSize()},
             chunks);
}

std::string IccChunk(std::string_view profile) {
  return PngChunk("iCCP", std::string("profile\0\0", 9) + Deflate(profile));
}

std::string Webp(const RiffChunks& chunks) {
  std::string body = "WEBP";
  for (const auto& [type, data] : chunks) {
    body.append(type);
    AppendLittleEndian32(body, static_cast<std::uint32_t>(data.size()));
    body.append(data);
    body.append(data.size() % 2, '\0');
  }
  std::string file = "RIFF";
  AppendLittleEndian32(file, static_cast<std::uint32_t>(body.size()));
  return file + body;
}

std::string WebpOf(const cv::Mat& pixels) {
  cv::Mat bgr;
  cv::cvtColor(pixels, bgr, pixels.channels() == 4 ? cv::COLOR_RGBA2BGRA : cv::COLOR_RGB2BGR);
  std::vector<unsigned char> file;
  ATELIER_CHECK(cv::imencode(".webp", bgr, file, {cv::IMWRITE_WEBP_QUALITY, 101}));  // lossless
  return {file.begin(), file.end()};
}

std::string ExtendedWebpOf(const cv::Mat& pixels, char flags, const RiffChunks& more) {
  const std::string simple = WebpOf(pixels);
  std::string canvas(4, '\0');
  canvas[0] = flags;
  AppendLittleEndian24(canvas, static_cast<std::uint32_t>(pixels.cols - 1));
  AppendLittleEndian24(canvas, static_cast<std::uint32_t>(pixels.rows - 1));
  RiffChunks chunks = {{"VP8X", canvas}};
  for (const auto& chunk : more) {
    if (chunk.first != "EXIF") {
      chunks.push_back(chunk);
    }
  }
  chunks.emplace_back("VP8L", simple.substr(20, LittleEndian32(simple, 16)));
  for (const auto& chunk : more) {
    if (chunk.first == "EXIF") {
      chunks.push_back(chunk);
    }
  }
  return Webp(chunks);
}

std::string Exif(int orientation, bool is_big_endian) {
  const auto value = static_cast<char>(orientation);
  if (is_big_endian) {
    return std::string("Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0", 25) + value +
           std::string(6, '\0');
  }
  return std::string("Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0", 24) + value +
         std::string(7, '\0');
}

}  // namespace atelier::image::testing
