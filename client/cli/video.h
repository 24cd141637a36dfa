// Videos as rows of pictures, read and written by the program ffmpeg. It is run, not linked: how it
// is built, and which formats it knows, is the user's choice.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cli/child_program.h"

namespace atelier::cli {

// By its extension: .mp4, .mov, .m4v, .mkv, .webm, .avi or .mpg.
bool IsVideo(const std::filesystem::path& path);

struct VideoFacts {
  std::string rate;  // frames a second as a fraction: "30000/1001"
  std::uint32_t width = 0;
  std::uint32_t height = 0;
  // Rounded; unknown of files that do not say how long they are.
  std::optional<std::uint64_t> frames;
};

// The frames of a video at a constant rate, each as a PNG.
class VideoReader final {
 public:
  // FAILED_PRECONDITION: there is no ffmpeg (the sentence says how to get one). INVALID_ARGUMENT:
  // not a video that it can read.
  static absl::StatusOr<std::unique_ptr<VideoReader>> Open(const std::filesystem::path& file);

  const VideoFacts& facts() const { return facts_; }

  // nullopt after the last one. INTERNAL: ffmpeg failed on the way.
  absl::StatusOr<std::optional<std::string>> Next();

 private:
  VideoReader(VideoFacts facts, std::unique_ptr<ChildProgram> program)
      : facts_(std::move(facts)), program_(std::move(program)) {}

  const VideoFacts facts_;
  const std::unique_ptr<ChildProgram> program_;
  std::string buffer_;
  bool ended_ = false;
};

// Writes a video whose sound is that of another file. The file is whole or not there: it has a
// temporary name beside its own until Finish.
class VideoWriter final {
 public:
  struct Options {
    std::filesystem::path file;   // its extension says the format
    std::string rate;             // as in VideoFacts
    std::filesystem::path sound;  // the file whose sound goes into it, if it has any
  };

  static absl::StatusOr<std::unique_ptr<VideoWriter>> Create(const Options& options);
  // Without Finish nothing is left behind.
  ~VideoWriter();
  VideoWriter(const VideoWriter&) = delete;
  VideoWriter& operator=(const VideoWriter&) = delete;

  // One frame, JPEG or PNG; all of one size.
  absl::Status Add(std::string_view picture);
  absl::Status Finish();

 private:
  VideoWriter(std::filesystem::path file, std::filesystem::path temporary,
              std::unique_ptr<ChildProgram> program)
      : file_(std::move(file)), temporary_(std::move(temporary)), program_(std::move(program)) {}

  const std::filesystem::path file_;
  const std::filesystem::path temporary_;
  std::unique_ptr<ChildProgram> program_;
};

// How many bytes the PNG at the beginning of `bytes` has: 0 when it is not whole yet.
// INVALID_ARGUMENT: no PNG.
absl::StatusOr<std::size_t> PngLength(std::string_view bytes);

// Width, height and rate of a YUV4MPEG2 header, "YUV4MPEG2 W256 H256 F30000:1001 ...".
absl::StatusOr<VideoFacts> FactsOfHeader(std::string_view header);

// "Duration: 00:01:02.50" in what ffmpeg says of a file; nullopt when it says none.
std::optional<absl::Duration> DurationIn(std::string_view said);

}  // namespace atelier::cli
