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

namespace atelier::test {

// Models in directories that begin so make patterns: squares of 64 pixels, as bright as the seed.
inline constexpr char kPatternDirectory[] = "/patterns";

// What fake models have in common. Thread-safe.
class FakeModels {
 public:
  // Fails the loads of this directory with this status; OK clears it.
  void FailLoads(const std::string& directory, absl::Status status);
  // Fails every warm-up, every call that computes more pictures than that.
  void FailWarmUps(absl::Status status);
  void FailBatchesAbove(int pictures);
  // While closed, loads (or calls that compute) wait inside.
  void HoldLoads(bool hold);
  void HoldCompute(bool hold);
  // While closed: lets one call through.
  void StepCompute();
  void ThrowFromCompute(std::function<void()> thrower);

  std::vector<std::string> loads();  // directories, in order
  int computing();                   // calls that compute and are inside now
  int computed();                    // that have ended
  int loading();
  std::vector<int> batches();           // pictures in each call that computed, in order
  std::vector<std::uint32_t> warmed();  // sizes, in order

  // A cache whose models claim `bytes` of weights each and invert pictures; asked for a mixture of
  // their classes "dark" and "light" they make it of black and white, and from a style picture they
  // take the colour of its first pixel.
  worker::ModelCache::Options CacheOptions(std::uint64_t bytes, std::uint64_t budget);
  std::unique_ptr<worker::ModelCache> MakeCache(std::uint64_t bytes, std::uint64_t budget);
  std::unique_ptr<worker::Pipeline> MakePipeline(Clock& clock, std::uint64_t budget = 1 << 20);

  // For the fakes themselves.
  absl::Status Load(const std::string& directory);
  absl::Status Compute(int pictures);
  absl::Status WarmUp(const std::vector<std::uint32_t>& sizes);

 private:
  bool MayCompute() const ABSL_SHARED_LOCKS_REQUIRED(mu_) { return !hold_compute_ || steps_ > 0; }

  absl::Mutex mu_;
  std::map<std::string, absl::Status> failures_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> loads_ ABSL_GUARDED_BY(mu_);
  bool hold_loads_ ABSL_GUARDED_BY(mu_) = false;
  int steps_ ABSL_GUARDED_BY(mu_) = 0;
  bool hold_compute_ ABSL_GUARDED_BY(mu_) = false;
  std::function<void()> thrower_ ABSL_GUARDED_BY(mu_);
  int loading_ ABSL_GUARDED_BY(mu_) = 0;
  int computing_ ABSL_GUARDED_BY(mu_) = 0;
  int computed_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Status warm_up_failure_ ABSL_GUARDED_BY(mu_);
  int largest_batch_ ABSL_GUARDED_BY(mu_) = 1000;
  std::vector<int> batches_ ABSL_GUARDED_BY(mu_);
  std::vector<std::uint32_t> warmed_ ABSL_GUARDED_BY(mu_);
};

// A JPEG or PNG of one colour with a lighter frame.
std::string EncodedPicture(ImageFormat format, int height, int width);

}  // namespace atelier::test
