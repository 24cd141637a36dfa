// Restyles a video: frames out of the file, through one stream of the server, into another file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "client/api/client.h"
#include "client/cli/video.h"

namespace atelier::cli {

class StylizeVideo final {
 public:
  // Nothing is read from the stream meanwhile, and the server ends one that is not read for 60 s.
  static constexpr absl::Duration kMaxFrameWait = absl::Seconds(30);

  struct Options {
    std::filesystem::path input;
    std::filesystem::path output;
    // The request but for the picture and its format.
    v1::StylizeRequest controls;
    // Of each frame: how long a full queue is waited for, at most kMaxFrameWait.
    absl::Duration frame_deadline = absl::Seconds(60);
  };
  struct Result {
    std::uint64_t frames = 0;
    std::uint32_t width = 0;  // pixels
    std::uint32_t height = 0;
    std::string rate;  // frames a second as a fraction
    std::string model;
    std::uint32_t model_version = 0;
  };
  // After every frame: how many are done, of how many, if that is known. On the caller's thread.
  using OnFrame = std::function<void(std::uint64_t done, const VideoFacts& facts)>;

  StylizeVideo(client::Client& client, Options options)
      : client_(client), options_(std::move(options)) {}

  // Once. A frame that the server refuses because its queue is full is asked for again; any other
  // error of a frame ends the work and names the frame. Nothing is left of a video that failed.
  // Errors of VideoReader, VideoWriter and Client::StylizeStream.
  absl::StatusOr<Result> Run(const OnFrame& on_frame);

 private:
  // The first request but for its picture.
  v1::StylizeRequest Controls() const;
  absl::StatusOr<std::optional<v1::StylizeRequest>> NextFrame(VideoReader& reader)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // The restyled frame, encoded.
  absl::StatusOr<v1::StylizeResponse> Take(v1::StylizeStreamResponse answer)
      ABSL_LOCKS_EXCLUDED(mutex_);

  client::Client& client_;
  const Options options_;
  std::uint64_t sent_ = 0;

  absl::Mutex mutex_;
  // The frames under way, by number: what is asked for again when the queue was full. As many as
  // the server reads ahead, and those that the connection holds.
  std::map<std::uint64_t, std::string> under_way_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace atelier::cli
