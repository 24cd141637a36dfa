// One task on its way through the serving threads (stage_threads.h), whatever kind of work it is.
// Free of LibTorch, protobuf and gRPC.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "worker/serve/task.h"

namespace atelier::infer {
class Model;
}  // namespace atelier::infer

namespace atelier::worker {

// Which other jobs a job may share a dispatch with.
struct BatchTraits {
  std::string key;             // jobs with equal keys differ in their pictures only
  std::uint32_t max_size = 1;  // jobs in one dispatch; 0 and 1: it goes alone
  // How long it waits for others of its key while the device is free.
  absl::Duration max_delay;
};

// A job is in one stage at a time, so its stages need no lock; only the flag is touched from
// elsewhere. Stages never throw and look first whether anybody still waits for the result.
class Job {
 public:
  using ModelOrError = absl::StatusOr<std::shared_ptr<infer::Model>>;
  using Batch = std::vector<std::shared_ptr<Job>>;

  // What a stage leaves to be done.
  enum class Next { kModel, kCompute, kFinish };

  explicit Job(CancelFlag cancelled) : cancelled_(std::move(cancelled)) {}
  virtual ~Job() = default;

  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  bool Is(const CancelFlag& flag) const { return cancelled_ == flag; }
  bool cancelled() const { return cancelled_->load(); }
  void Cancel() { cancelled_->store(true); }

  // All that comes before the model: decoding, resizing. On a decoding thread. kModel or kFinish.
  virtual Next Prepare() = 0;

  // Which model it needs, after Prepare has returned kModel.
  virtual const ModelSource& model() const = 0;

  // Its model, or why there is none. kCompute or kFinish.
  virtual Next TakeModel(const ModelOrError& model) = 0;

  // Constant after TakeModel has returned kCompute.
  virtual const BatchTraits& batch() const = 0;

  // Computes a dispatch, this job and others of its key; called on the first one only, on the one
  // thread that computes. `computed` takes each job over as soon as it is through, in any order.
  virtual void Compute(const Batch& batch,
                       const std::function<void(std::shared_ptr<Job>)>& computed) = 0;

  // Encodes the result if there is one and tells the outcome, once. May block: the outcome goes
  // onto the link.
  virtual void Finish() = 0;

  // Memory that it holds between Prepare and Finish.
  virtual std::uint64_t held_bytes() const = 0;

 private:
  const CancelFlag cancelled_;
};

// Where jobs get their models from. Thread-safe.
class ModelProvider {
 public:
  virtual ~ModelProvider() = default;

  // The model if it is in memory, else null; never waits for a load.
  virtual std::shared_ptr<infer::Model> InMemory(const ModelSource& source) = 0;

  // The model, loaded if need be; blocks meanwhile.
  virtual Job::ModelOrError Get(const ModelSource& source) = 0;
};

}  // namespace atelier::worker
