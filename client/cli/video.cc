#include "client/cli/video.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/status_macros.h"

namespace atelier::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kReadBytes = 256 << 10;
// The largest picture that a server takes, 4096 x 4096, has 48 MiB before it is compressed.
constexpr std::size_t kMaxFrameBytes = 64 << 20;

std::string Program() {
  const char* named = std::getenv("ATELIER_FFMPEG");
  return named != nullptr && *named != '\0' ? named : "ffmpeg";
}

// Starts ffmpeg, with a sentence that helps when there is none.
absl::StatusOr<std::unique_ptr<ChildProgram>> StartFfmpeg(const std::vector<std::string>& arguments,
                                                          ChildProgram::Pipe pipe) {
  std::vector<std::string> words = {Program(), "-hide_banner", "-nostdin", "-nostats"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  auto program = ChildProgram::Start(words, pipe);
  if (absl::IsNotFound(program.status())) {
    return absl::FailedPreconditionError(absl::StrCat(
        "videos are read and written by the program ffmpeg, and there is no ", Program(),
        "; install it (apt install ffmpeg), or say where it is with ATELIER_FFMPEG"));
  }
  return program;
}

// Without a protocol name: a file called "http:..." stays a file.
std::string FileName(const fs::path& file) { return "file:" + file.string(); }

// What ffmpeg finds out when it opens the file and decodes the first frame.
absl::StatusOr<VideoFacts> Probe(const fs::path& file) {
  ATELIER_ASSIGN_OR_RETURN(
      const auto program,
      StartFfmpeg({"-loglevel", "info", "-i", FileName(file), "-map", "0:v:0", "-frames:v", "1",
                   "-pix_fmt", "yuv444p", "-strict", "-1", "-f", "yuv4mpegpipe", "-"},
                  ChildProgram::Pipe::kOutput));
  std::string header;
  while (header.find('\n') == std::string::npos) {
    ATELIER_ASSIGN_OR_RETURN(const std::string bytes, program->Read(kReadBytes));
    if (bytes.empty()) {
      return absl::InvalidArgumentError(file.string() + " is no video that ffmpeg can read");
    }
    header += bytes;
  }
  ATELIER_ASSIGN_OR_RETURN(VideoFacts facts, FactsOfHeader(header));
  const std::optional<absl::Duration> duration = DurationIn(program->Said());
  const std::vector<std::string> fraction = absl::StrSplit(facts.rate, '/');
  double frames = 0;
  double seconds = 0;
  if (duration.has_value() && absl::SimpleAtod(fraction[0], &frames) &&
      absl::SimpleAtod(fraction[1], &seconds)) {
    facts.frames = static_cast<std::uint64_t>(
        std::llround(absl::ToDoubleSeconds(*duration) * frames / seconds));
  }
  return facts;
}

std::string LowerExtension(const fs::path& file) {
  return absl::AsciiStrToLower(file.extension().string());
}

std::vector<std::string> WriterArguments(const VideoWriter::Options& options,
                                         const fs::path& temporary) {
  std::vector<std::string> words = {"-loglevel", "error", "-y", "-f", "image2pipe", "-framerate",
                                    options.rate, "-i", "-", "-i", FileName(options.sound), "-map",
                                    "0:v:0", "-map", "1:a?",
                                    // Most encoders want even sides and halved colour.
                                    "-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-pix_fmt", "yuv420p"};
  const std::string extension = LowerExtension(options.file);
  if (extension == LowerExtension(options.sound)) {
    words.insert(words.end(), {"-c:a", "copy"});  // another container may not hold this sound
  }
  if (extension == ".avi" || extension == ".mpg") {
    words.insert(words.end(), {"-q:v", "2"});  // their encoders save bits at the picture's cost
  }
  words.push_back(FileName(temporary));
  return words;
}

std::uint32_t NumberOr0(const std::string& text) {
  std::uint32_t number = 0;
  return absl::SimpleAtoi(text, &number) ? number : 0;
}

std::uint32_t BigEndian(std::string_view bytes) {
  std::uint32_t value = 0;
  for (const char byte : bytes.substr(0, 4)) {
    value = value << 8U | static_cast<unsigned char>(byte);
  }
  return value;
}

}  // namespace

bool IsVideo(const fs::path& path) {
  static constexpr std::array<std::string_view, 7> kExtensions = {".mp4",  ".mov", ".m4v", ".mkv",
                                                                  ".webm", ".avi", ".mpg"};
  const std::string extension = LowerExtension(path);
  return std::ranges::find(kExtensions, extension) != kExtensions.end();
}

absl::StatusOr<std::size_t> PngLength(std::string_view bytes) {
  // The signature, then chunks: length, name, data, checksum. IEND is the last one.
  constexpr std::string_view kSignature = "\x89PNG\r\n\x1a\n";
  constexpr std::size_t kAroundData = 12;
  if (bytes.substr(0, kSignature.size()) != kSignature.substr(0, bytes.size())) {
    return absl::InvalidArgumentError("not a PNG");
  }
  std::size_t at = kSignature.size();
  while (at + kAroundData <= bytes.size()) {
    const std::size_t end = at + kAroundData + BigEndian(bytes.substr(at));
    const bool last = bytes.substr(at + 4, 4) == "IEND";
    if (end > kMaxFrameBytes) {
      return absl::InvalidArgumentError("a PNG of an impossible length");
    }
    if (last) {
      return end <= bytes.size() ? end : 0;
    }
    at = end;
  }
  return 0;
}

absl::StatusOr<VideoFacts> FactsOfHeader(std::string_view header) {
  VideoFacts facts;
  const std::string line(header.substr(0, header.find('\n')));
  const std::vector<std::string> words = absl::StrSplit(line, ' ');
  for (const std::string& word : words) {
    const std::string value = word.substr(std::min<std::size_t>(1, word.size()));
    if (word.starts_with('W')) {
      facts.width = NumberOr0(value);
    } else if (word.starts_with('H')) {
      facts.height = NumberOr0(value);
    } else if (word.starts_with('F')) {
      const std::pair<std::string, std::string> fraction =
          absl::StrSplit(value, absl::MaxSplits(':', 1));
      const std::uint32_t frames = NumberOr0(fraction.first);
      const std::uint32_t seconds = NumberOr0(fraction.second);
      facts.rate = frames > 0 && seconds > 0 ? absl::StrCat(frames, "/", seconds) : "";
    }
  }
  if (words.front() != "YUV4MPEG2" || facts.width == 0 || facts.height == 0 || facts.rate.empty()) {
    return absl::InternalError("ffmpeg says nothing of the video's size and rate");
  }
  return facts;
}

std::optional<absl::Duration> DurationIn(std::string_view said) {
  constexpr std::string_view kName = "Duration: ";
  const std::size_t at = said.find(kName);
  if (at == std::string_view::npos) {
    return std::nullopt;
  }
  const std::string_view rest = said.substr(at + kName.size());
  const std::string text(rest.substr(0, rest.find(',')));
  const std::vector<std::string> parts = absl::StrSplit(text, ':');
  int hours = 0;
  int minutes = 0;
  double seconds = 0;
  if (parts.size() != 3 || !absl::SimpleAtoi(parts[0], &hours) ||
      !absl::SimpleAtoi(parts[1], &minutes) || !absl::SimpleAtod(parts[2], &seconds)) {
    return std::nullopt;
  }
  return absl::Hours(hours) + absl::Minutes(minutes) + absl::Seconds(seconds);
}

absl::StatusOr<std::unique_ptr<VideoReader>> VideoReader::Open(const fs::path& file) {
  std::error_code ignored;
  if (!fs::is_regular_file(file, ignored)) {
    return absl::NotFoundError("there is no file " + file.string());
  }
  ATELIER_ASSIGN_OR_RETURN(VideoFacts facts, Probe(file));
  ATELIER_ASSIGN_OR_RETURN(
      auto program, StartFfmpeg({"-loglevel", "error", "-i", FileName(file), "-map", "0:v:0", "-r",
                                 facts.rate, "-f", "image2pipe", "-c:v", "png",
                                 "-compression_level", "1", "-pix_fmt", "rgb24", "-"},
                                ChildProgram::Pipe::kOutput));
  return std::unique_ptr<VideoReader>(new VideoReader(std::move(facts), std::move(program)));
}

absl::StatusOr<std::optional<std::string>> VideoReader::Next() {
  while (!ended_) {
    const absl::StatusOr<std::size_t> length = PngLength(buffer_);
    if (!length.ok()) {
      return absl::InternalError("ffmpeg sent something else than pictures");
    }
    if (*length > 0) {
      std::optional<std::string> frame = buffer_.substr(0, *length);
      buffer_.erase(0, *length);
      return frame;
    }
    ATELIER_ASSIGN_OR_RETURN(const std::string bytes, program_->Read(kReadBytes));
    if (bytes.empty()) {
      ended_ = true;
      ATELIER_RETURN_IF_ERROR(program_->Finish());
      if (!buffer_.empty()) {
        return absl::InternalError("ffmpeg stopped within a picture");
      }
    }
    buffer_ += bytes;
  }
  return std::nullopt;
}

absl::StatusOr<std::unique_ptr<VideoWriter>> VideoWriter::Create(const Options& options) {
  fs::path temporary = options.file;
  temporary.replace_filename("." + options.file.stem().string() + ".part" +
                             options.file.extension().string());
  ATELIER_ASSIGN_OR_RETURN(
      auto program, StartFfmpeg(WriterArguments(options, temporary), ChildProgram::Pipe::kInput));
  return std::unique_ptr<VideoWriter>(
      new VideoWriter(options.file, std::move(temporary), std::move(program)));
}

VideoWriter::~VideoWriter() {
  if (program_ != nullptr) {
    program_.reset();
    std::error_code ignored;
    fs::remove(temporary_, ignored);
  }
}

absl::Status VideoWriter::Add(std::string_view picture) { return program_->Write(picture); }

absl::Status VideoWriter::Finish() {
  ATELIER_RETURN_IF_ERROR(program_->Finish());
  std::error_code error;
  fs::rename(temporary_, file_, error);
  if (error) {
    return absl::InternalError("cannot write " + file_.string() + ": " + error.message());
  }
  program_.reset();
  return absl::OkStatus();
}

}  // namespace atelier::cli
