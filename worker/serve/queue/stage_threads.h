// The serving threads: decode → model → dispatch → encode, overlapping, on threads of their own.
// Free of LibTorch, protobuf and gRPC.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/clock.h"
#include "worker/serve/queue/batcher.h"
#include "worker/serve/queue/job.h"
#include "worker/serve/queue/job_queue.h"

namespace atelier::worker {

// Thread-safe. Its queues are as long as the credit that the link grants.
class StageThreads {
 public:
  struct Options {
    int decode_threads = 2;
    int encode_threads = 2;
    // Run first on the threads that compute or load models, and on those that decode or encode.
    std::function<void()> at_compute_start = [] {};
    std::function<void()> at_codec_start = [] {};
    // No further picture is decoded while the jobs past decoding hold this much memory: sixteen
    // pictures of 4096 x 4096 ahead of the device would be a gigabyte of pixels.
    std::uint64_t max_held_bytes = 256U << 20U;
  };

  // The provider and the clock must outlive it.
  StageThreads(const Options& options, ModelProvider& models, Clock& clock);

  // Waits for the jobs at work; those still queued are cancelled and finished.
  ~StageThreads();

  StageThreads(const StageThreads&) = delete;
  StageThreads& operator=(const StageThreads&) = delete;

  // Never blocks. The job's Finish will be called once, on one of the threads.
  void Submit(std::shared_ptr<Job> job);

  // Cancels the job with this flag; if it waits for a thread or for the device it is finished at
  // once and not when its turn comes. Never blocks.
  void Cancel(const CancelFlag& flag);

  // Jobs that wait for the device.
  std::size_t waiting() const { return to_compute_.size(); }

 private:
  void Decode();
  void LoadModels();
  void Compute();
  void Encode();

  void Forward(std::shared_ptr<Job> job, Job::Next next);
  void Hold(std::int64_t bytes) ABSL_LOCKS_EXCLUDED(mu_);
  void AwaitRoom() ABSL_LOCKS_EXCLUDED(mu_);
  bool HasRoom() const ABSL_SHARED_LOCKS_REQUIRED(mu_) {
    return ending_ || held_bytes_ < max_held_bytes_;
  }

  const std::int64_t max_held_bytes_;
  ModelProvider& models_;
  JobQueue to_decode_;
  JobQueue to_load_;  // their models are not in memory
  Batcher to_compute_;
  JobQueue to_encode_;

  absl::Mutex mu_;
  std::int64_t held_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  bool ending_ ABSL_GUARDED_BY(mu_) = false;

  std::vector<std::thread> decoders_;
  std::thread loader_;
  std::thread computer_;
  std::vector<std::thread> encoders_;
};

}  // namespace atelier::worker
