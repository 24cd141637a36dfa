#include "worker/image/jpeg.h"

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstddef>
#include <cstdio>
#include <cstdlib>

// The order matters: jpeglib.h wants FILE and size_t to be known, and jerror.h numbers its messages
// by jpeglib.h's macros.
#include <jpeglib.h>

#include <jerror.h>

#include "common/errors.h"
#include "worker/image/exif.h"
#include "worker/image/icc.h"

namespace atelier::image {
namespace {

// A progressive file can make the decoder pass over all pixels once a scan, with a few bytes each;
// encoders write about ten.
constexpr int kMaxScans = 64;
// From here on colour is kept at full resolution (4:4:4): the thin coloured strokes that a style
// draws are what is paid for.
constexpr int kFullColorQuality = 90;

struct ErrorState {
  jpeg_error_mgr manager;  // first: libjpeg gives the callbacks a pointer to it
  std::jmp_buf jump;
  bool has_too_many_scans = false;
  bool has_stray_bytes = false;
  bool has_damaged_profile = false;
};

ErrorState& StateOf(j_common_ptr codec) { return *reinterpret_cast<ErrorState*>(codec->err); }

[[noreturn]] void OnError(j_common_ptr codec) { std::longjmp(StateOf(codec).jump, 1); }

// libjpeg fills up what is missing and only warns. Here nearly every warning (level -1) is an
// error.
void OnMessage(j_common_ptr codec, int level) {
  if (level >= 0) {
    return;
  }
  switch (codec->err->msg_code) {
    case JWRN_ADOBE_XFORM:
    case JWRN_JFIF_MAJOR:
      return;
    case JWRN_BOGUS_ICC:
      StateOf(codec).has_damaged_profile = true;
      return;
    case JWRN_EXTRANEOUS_DATA:
      // Some cameras pad the pixels' data; all of them have been read when the end marker follows.
      if (codec->err->msg_parm.i[1] == JPEG_EOI) {
        StateOf(codec).has_stray_bytes = true;
        return;
      }
      break;
    default:
      break;
  }
  OnError(codec);
}

void OnPrint(j_common_ptr) {}

void OnProgress(j_common_ptr codec) {
  if (reinterpret_cast<j_decompress_ptr>(codec)->input_scan_number > kMaxScans) {
    StateOf(codec).has_too_many_scans = true;
    OnError(codec);
  }
}

jpeg_error_mgr* InitErrors(ErrorState& errors) {
  jpeg_error_mgr* manager = jpeg_std_error(&errors.manager);
  manager->error_exit = OnError;
  manager->emit_message = OnMessage;
  manager->output_message = OnPrint;
  return manager;
}

// Runs one stage of libjpeg; false when libjpeg gave up. A stage must own nothing: the jump out of
// it runs no destructors.
template <typename Stage>
bool Run(ErrorState& errors, const Stage& stage) {
  // C++ exceptions must not be thrown through libjpeg's C frames, so setjmp is what remains.
  if (setjmp(errors.jump) != 0) {  // NOLINT(modernize-*,cert-err52-cpp)
    return false;
  }
  stage();
  return true;
}

class Decoder {
 public:
  Decoder() { codec_.err = InitErrors(errors_); }
  ~Decoder() {
    jpeg_destroy_decompress(&codec_);
    std::free(profile_);
  }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  bool ReadHeader(std::string_view bytes) {
    return Run(errors_, [this, bytes] {
      jpeg_create_decompress(&codec_);
      progress_.progress_monitor = OnProgress;
      codec_.progress = &progress_;
      jpeg_mem_src(&codec_, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
      jpeg_save_markers(&codec_, kExifMarker, 0xffff);
      jpeg_save_markers(&codec_, JPEG_APP0 + 2, 0xffff);  // ICC
      jpeg_read_header(&codec_, TRUE);
      jpeg_read_icc_profile(&codec_, &profile_, &profile_bytes_);
      if (codec_.jpeg_color_space == JCS_CMYK || codec_.jpeg_color_space == JCS_YCCK) {
        codec_.out_color_space = JCS_CMYK;
      } else if (codec_.jpeg_color_space != JCS_GRAYSCALE) {
        codec_.out_color_space = JCS_RGB;
      }
    });
  }

  bool ReadPixels(cv::Mat& pixels) {
    return Run(errors_, [this, &pixels] {
      jpeg_start_decompress(&codec_);
      while (codec_.output_scanline < codec_.output_height) {
        const JDIMENSION first = codec_.output_scanline;
        std::array<JSAMPROW, 16> rows;
        const JDIMENSION count = std::min<JDIMENSION>(rows.size(), codec_.output_height - first);
        for (JDIMENSION i = 0; i < count; ++i) {
          rows[i] = pixels.ptr(static_cast<int>(first + i));
        }
        jpeg_read_scanlines(&codec_, rows.data(), count);
      }
      jpeg_finish_decompress(&codec_);
    });
  }

  int width() const { return static_cast<int>(codec_.image_width); }
  int height() const { return static_cast<int>(codec_.image_height); }
  int channels() const {
    return codec_.out_color_space == JCS_CMYK ? 4 : codec_.out_color_space == JCS_RGB ? 3 : 1;
  }
  // Programs of Adobe, and all that follow them, store ink as 255 - ink and say so by this marker.
  bool has_inverted_ink() const { return channels() == 4 && codec_.saw_Adobe_marker; }
  std::string_view profile() const {
    return {reinterpret_cast<const char*>(profile_), profile_bytes_};
  }
  const ErrorState& errors() const { return errors_; }

  // EXIF block of the first APP1 segment that has one; empty when there is none.
  std::string_view exif() const {
    for (const jpeg_marker_struct* marker = codec_.marker_list; marker; marker = marker->next) {
      const std::string_view data(reinterpret_cast<const char*>(marker->data), marker->data_length);
      if (marker->marker == kExifMarker && data.starts_with("Exif")) {
        return data;
      }
    }
    return {};
  }

  absl::Status Failure() const {
    if (errors_.has_too_many_scans) {
      return InvalidField("image", "is a JPEG with more than " + std::to_string(kMaxScans) +
                                       " scans; save it as baseline JPEG");
    }
    switch (errors_.manager.msg_code) {
      case JERR_OUT_OF_MEMORY:
        return OutOfMemory();
      case JWRN_JPEG_EOF:
      case JERR_INPUT_EOF:
        return TruncatedImage("JPEG");
      default:
        return DamagedImage("JPEG");
    }
  }

 private:
  static constexpr int kExifMarker = JPEG_APP0 + 1;

  jpeg_decompress_struct codec_{};
  jpeg_progress_mgr progress_{};
  ErrorState errors_{};
  JOCTET* profile_ = nullptr;
  unsigned int profile_bytes_ = 0;
};

class Encoder {
 public:
  Encoder() { codec_.err = InitErrors(errors_); }
  ~Encoder() {
    jpeg_destroy_compress(&codec_);
    std::free(file_);
  }
  Encoder(const Encoder&) = delete;
  Encoder& operator=(const Encoder&) = delete;

  bool Write(const cv::Mat& rgb, int quality, std::string_view profile) {
    return Run(errors_, [&, this] {
      jpeg_create_compress(&codec_);
      jpeg_mem_dest(&codec_, &file_, &file_bytes_);
      codec_.image_width = static_cast<JDIMENSION>(rgb.cols);
      codec_.image_height = static_cast<JDIMENSION>(rgb.rows);
      codec_.input_components = 3;
      codec_.in_color_space = JCS_RGB;
      jpeg_set_defaults(&codec_);
      jpeg_set_quality(&codec_, quality, TRUE);
      const int subsampling = quality >= kFullColorQuality ? 1 : 2;
      codec_.comp_info[0].h_samp_factor = subsampling;
      codec_.comp_info[0].v_samp_factor = subsampling;
      jpeg_start_compress(&codec_, TRUE);
      jpeg_write_icc_profile(&codec_, reinterpret_cast<const JOCTET*>(profile.data()),
                             static_cast<unsigned int>(profile.size()));
      while (codec_.next_scanline < codec_.image_height) {
        // libjpeg does not write to its input; its type only predates const.
        auto* row = const_cast<JSAMPROW>(rgb.ptr(static_cast<int>(codec_.next_scanline)));
        jpeg_write_scanlines(&codec_, &row, 1);
      }
      jpeg_finish_compress(&codec_);
    });
  }

  std::string_view file() const { return {reinterpret_cast<const char*>(file_), file_bytes_}; }

 private:
  jpeg_compress_struct codec_{};
  ErrorState errors_{};
  unsigned char* file_ = nullptr;
  unsigned long file_bytes_ = 0;
};

}  // namespace

absl::StatusOr<RawImage> DecodeJpeg(std::string_view bytes, const ImageHeader& header) {
  Decoder decoder;
  if (!decoder.ReadHeader(bytes)) {
    return decoder.Failure();
  }
  if (decoder.width() != header.width || decoder.height() != header.height) {
    return DamagedImage("JPEG");
  }
  RawImage image;
  image.orientation = ReadExifOrientation(decoder.exif());
  if (decoder.profile().size() <= kMaxIccProfileBytes) {
    image.icc_profile = decoder.profile();
  }
  image.pixels.create(header.height, header.width, CV_8UC(decoder.channels()));
  if (!decoder.ReadPixels(image.pixels)) {
    return decoder.Failure();
  }
  if (decoder.has_inverted_ink()) {
    cv::bitwise_not(image.pixels, image.pixels);
  }
  if (decoder.errors().has_damaged_profile || image.icc_profile.size() < decoder.profile().size()) {
    image.warnings.emplace_back(kDamagedProfileWarning);
  }
  if (decoder.errors().has_stray_bytes) {
    image.warnings.emplace_back("the JPEG has stray bytes after its pixels, which were ignored");
  }
  return image;
}

absl::StatusOr<std::string> EncodeJpeg(const cv::Mat& rgb, int quality) {
  Encoder encoder;
  if (!encoder.Write(rgb, quality, SrgbProfile())) {
    return absl::InternalError("the JPEG encoder failed");
  }
  return std::string(encoder.file());
}

}  // namespace atelier::image
