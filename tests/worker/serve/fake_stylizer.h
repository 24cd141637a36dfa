// Models without weights, moved by the test's hand. Free of LibTorch and protobuf headers, so that
// tests of both sides use it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "common/clock.h"
#include "worker/serve/pipeline.h"

namespace atelier::worker {
class ModelCache;
}  // namespace atelier::worker

namespace atelier::test {

// Models in directories that begin so make patterns: squares of 64 pixels, as bright as the seed.
inline constexpr char kPatternDirectory[] = "/patterns";

// What fake models have in common. Thread-safe.
class FakeModels {
 public:
  // Fails the loads of this directory with this status; OK clears it.
  void FailLoads(const std::string& directory, absl::Status status);
  // While closed, loads (or calls that compute) wait inside.
  void HoldLoads(bool hold);
  void HoldCompute(bool hold);
  void ThrowFromCompute(std::function<void()> thrower);

  std::vector<std::string> loads();  // directories, in order
  int computing();                   // calls that compute and are inside now
  int computed();                    // that have ended
  int loading();

  // A cache whose models claim `bytes` of weights each and invert pictures; asked for a mixture of
  // their classes "dark" and "light" they make it of black and white, and from a style picture they
  // take the colour of its first pixel.
  std::unique_ptr<worker::ModelCache> MakeCache(std::uint64_t bytes, std::uint64_t budget);
  std::unique_ptr<worker::Pipeline> MakePipeline(Clock& clock);

  // For the fakes themselves.
  absl::Status Load(const std::string& directory);
  void Compute();

 private:
  absl::Mutex mu_;
  std::map<std::string, absl::Status> failures_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> loads_ ABSL_GUARDED_BY(mu_);
  bool hold_loads_ ABSL_GUARDED_BY(mu_) = false;
  bool hold_compute_ ABSL_GUARDED_BY(mu_) = false;
  std::function<void()> thrower_ ABSL_GUARDED_BY(mu_);
  int loading_ ABSL_GUARDED_BY(mu_) = 0;
  int computing_ ABSL_GUARDED_BY(mu_) = 0;
  int computed_ ABSL_GUARDED_BY(mu_) = 0;
};

// A JPEG or PNG of one colour with a lighter frame.
std::string EncodedPicture(ImageFormat format, int height, int width);

}  // namespace atelier::test
