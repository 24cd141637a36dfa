#include "client/cli/video.h"

#include <gmock/gmock.h>

#include <atomic>
#include <filesystem>
#include <string>

#include "common/errors.h"
#include "common/files.h"
#include "nlohmann/json.hpp"
#include "tests/client/cli/cli_test.h"

namespace atelier::test {
namespace {

using cli::DurationIn;
using cli::FactsOfHeader;
using cli::IsVideo;
using cli::PngLength;
using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(IsVideoTest, LooksAtTheExtension) {
  EXPECT_TRUE(IsVideo("a/b.mp4"));
  EXPECT_TRUE(IsVideo("B.MOV"));
  EXPECT_FALSE(IsVideo("dress.jpg"));
  EXPECT_FALSE(IsVideo("mp4"));
}

TEST(FactsOfHeaderTest, TakesSizeAndRateApart) {
  const auto facts = FactsOfHeader("YUV4MPEG2 W640 H480 F30000:1001 Ip A1:1 C444\nFRAME\n");
  ASSERT_TRUE(facts.ok()) << facts.status();
  EXPECT_EQ(facts->width, 640U);
  EXPECT_EQ(facts->height, 480U);
  EXPECT_EQ(facts->rate, "30000/1001");
  for (const char* header : {"", "RIFF", "YUV4MPEG2 W640 H480", "YUV4MPEG2 W0 H480 F25:1",
                             "YUV4MPEG2 W640 H480 F25:0", "YUV4MPEG2 W640 Hx F25:1"}) {
    EXPECT_FALSE(FactsOfHeader(header).ok()) << header;
  }
}

TEST(DurationInTest, ReadsWhatFfmpegSays) {
  EXPECT_EQ(DurationIn("Input #0\n  Duration: 00:01:02.50, start: 0.0"), absl::Seconds(62.5));
  EXPECT_EQ(DurationIn("  Duration: N/A, bitrate: N/A"), std::nullopt);
  EXPECT_EQ(DurationIn("nothing"), std::nullopt);
}

TEST(PngLengthTest, EndsBehindTheLastChunk) {
  using std::string_literals::operator""s;
  const std::string png = "\x89PNG\r\n\x1a\n\0\0\0\x02IHDRabcrc_\0\0\0\0IEND\xae\x42\x60\x82"s;
  EXPECT_EQ(PngLength(png + "more").value(), png.size());
  for (std::size_t length = 0; length < png.size(); ++length) {
    EXPECT_EQ(PngLength(png.substr(0, length)).value(), 0U) << length;
  }
  EXPECT_FALSE(PngLength("JFIF").ok());
  EXPECT_FALSE(PngLength("\x89PNG\r\n\x1a\n\xff\xff\xff\xffIDATxxxxxxxx"s).ok());
}

class VideoCliTest : public CliTest {
 protected:
  // Returns each frame as it came.
  VideoCliTest() {
    server_.handlers().stylize_stream =
        [this](const v1::StylizeRequest& request) -> absl::StatusOr<v1::StylizeResponse> {
      const int frame = frames_++;
      if (frame == 0) {
        first_ = request;
      }
      if (frame == failing_frame_) {
        return failure_;
      }
      return Reply(request);
    };
    server_.handlers().stylize =
        [this](const v1::StylizeRequest& request) -> absl::StatusOr<v1::StylizeResponse> {
      ++asked_again_;
      return Reply(request);
    };
  }

  static v1::StylizeResponse Reply(const v1::StylizeRequest& request) {
    v1::StylizeResponse response;
    response.set_model("oil");
    response.set_model_version(3);
    v1::StylizedImage& result = *response.add_results();
    result.set_image(request.image());
    result.set_width(66);
    result.set_height(50);
    return response;
  }

  ProcessResult Ffmpeg(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {ATELIER_TEST_FFMPEG, "-hide_banner", "-y"});
    return RunProcess({.command = arguments, .directory = folder_.path().string()});
  }
  // 15 frames of a moving pattern, and a tone.
  void MakeVideo(const std::string& name) const {
    const ProcessResult made =
        Ffmpeg({"-f", "lavfi", "-i", "testsrc=size=66x50:rate=10:duration=1.5", "-f", "lavfi", "-i",
                "sine=frequency=440:duration=1.5", "-pix_fmt", "yuv420p", name});
    ASSERT_EQ(made.exit_code, 0) << made.err;
  }
  ProcessResult RunVideo(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), "stylize");
    ProcessOptions options = Atelier(arguments);
    options.environment["ATELIER_FFMPEG"] = ATELIER_TEST_FFMPEG;
    return RunProcess(options);
  }

  std::atomic<int> frames_ = 0;
  std::atomic<int> asked_again_ = 0;
  v1::StylizeRequest first_;
  int failing_frame_ = -1;
  absl::Status failure_;
};

TEST_F(VideoCliTest, EveryFrameGoesThroughAndTheSoundStays) {
  MakeVideo("runway.mp4");
  const ProcessResult result =
      RunVideo({"runway.mp4", "-o", "styled.mp4", "--model", "oil", "--strength", "0.5"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("wrote styled.mp4 (15 frames of 66 x 50, oil@3"));
  EXPECT_EQ(frames_, 15);
  EXPECT_EQ(first_.model(), "oil");
  EXPECT_EQ(first_.strength(), 0.5F);
  EXPECT_EQ(first_.format(), v1::IMAGE_FORMAT_JPEG);
  const ProcessResult facts = Ffmpeg({"-i", "styled.mp4", "-f", "null", "-"});
  EXPECT_THAT(facts.err, AllOf(HasSubstr("66x50"), HasSubstr("10 fps"), HasSubstr("Audio:"),
                               HasSubstr("Duration: 00:00:01.5")));
  EXPECT_FALSE(std::filesystem::exists(folder_ / ".styled.part.mp4"));
}

TEST_F(VideoCliTest, JsonTellsWhatWasMade) {
  MakeVideo("runway.mkv");
  const ProcessResult result =
      RunVideo({"--output", "json", "runway.mkv", "-o", "styled.mov", "--model", "oil"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto object = nlohmann::json::parse(result.out);
  EXPECT_EQ(object["frames"], 15);
  EXPECT_EQ(object["rate"], "10/1");
  EXPECT_EQ(object["files"][0], "styled.mov");
}

TEST_F(VideoCliTest, AFrameThatFoundTheQueueFullIsAskedForAgain) {
  MakeVideo("runway.mp4");
  failing_frame_ = 7;
  failure_ = RetryLater(absl::Milliseconds(1), "The queue is full.");
  const ProcessResult result = RunVideo({"runway.mp4", "-o", "styled.mp4", "--model", "oil"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("15 frames"));
  EXPECT_EQ(asked_again_, 1);
}

TEST_F(VideoCliTest, AFailedFrameIsNamedAndNothingIsLeft) {
  MakeVideo("runway.mp4");
  failing_frame_ = 4;
  failure_ = absl::DataLossError("The weights are damaged.");
  const ProcessResult result = RunVideo({"runway.mp4", "-o", "styled.mp4", "--model", "oil"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("frame 5: The weights are damaged."));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "styled.mp4"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / ".styled.part.mp4"));
}

TEST_F(VideoCliTest, SaysWhatIsWrongWithoutStarting) {
  Write("broken.mp4", "no video");
  Write("dress.jpg", "photo");
  ProcessResult result = RunVideo({"broken.mp4", "-o", "styled.mp4", "--model", "oil"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("broken.mp4 is no video that ffmpeg can read"));
  result = RunVideo({"broken.mp4", "-o", "styled.jpg", "--model", "oil"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("a video is written to a video"));
  result = RunVideo({"dress.jpg", "broken.mp4", "-o", "styled/", "--model", "oil"});
  EXPECT_EQ(result.exit_code, 2);
  result = RunVideo({"broken.mp4", "-o", "broken.mp4", "--model", "oil"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("would be overwritten"));
  ProcessOptions without = Atelier({"stylize", "broken.mp4", "-o", "a.mp4", "--model", "oil"});
  without.environment["ATELIER_FFMPEG"] = "/nowhere/ffmpeg";
  result = RunProcess(without);
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("install it (apt install ffmpeg)"));
  EXPECT_EQ(frames_, 0);
}

}  // namespace
}  // namespace atelier::test
