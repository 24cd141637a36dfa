// Jobs without pictures, moved by the test's hand, and models without weights.
#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "tests/support/wait_until.h"
#include "worker/infer/model.h"
#include "worker/serve/queue/job.h"

namespace atelier::test {

// What fake jobs tell of themselves ("compute b"), and which of them are to wait inside a stage.
// Thread-safe.
class Stagehand {
 public:
  // Jobs that come to `stage` ("prepare a") wait in it until it is released.
  void Hold(const std::string& stage) {
    absl::MutexLock lock(&mu_);
    held_[stage] = true;
  }
  void Release(const std::string& stage) {
    absl::MutexLock lock(&mu_);
    held_[stage] = false;
  }
  // Waits until something was told. False after a long time.
  bool Await(const std::string& told) {
    return WaitUntil([&] { return Count(told) > 0; });
  }
  int Count(const std::string& told) {
    absl::MutexLock lock(&mu_);
    return static_cast<int>(std::count(told_.begin(), told_.end(), told));
  }
  std::vector<std::string> told() {
    absl::MutexLock lock(&mu_);
    return told_;
  }

  // For the fakes.
  void Enter(const std::string& stage) {
    absl::MutexLock lock(&mu_);
    told_.push_back(stage);
    bool* held = &held_[stage];
    mu_.Await(absl::Condition(+[](bool* h) { return !*h; }, held));
  }

 private:
  absl::Mutex mu_;
  std::vector<std::string> told_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, bool> held_ ABSL_GUARDED_BY(mu_);
};

class FakeModel final : public infer::Model {
 public:
  const ModelSpec& spec() const override { return spec_; }
  std::uint64_t bytes() const override { return 1; }

 private:
  const ModelSpec spec_;
};

// Tells "prepare NAME", "compute NAME+NAME" and "finish NAME", or "drop NAME" when it was
// cancelled.
class FakeJob final : public worker::Job {
 public:
  FakeJob(std::string name, worker::BatchTraits batch, Stagehand* stagehand = nullptr,
          worker::CancelFlag flag = std::make_shared<std::atomic<bool>>(false))
      : Job(flag),
        name_(std::move(name)),
        flag_(std::move(flag)),
        batch_(std::move(batch)),
        stagehand_(stagehand) {
    model_.directory = "m";
  }

  const std::string& name() const { return name_; }
  const worker::CancelFlag& flag() const { return flag_; }
  FakeJob& OfModel(const std::string& directory) {
    model_.directory = directory;
    return *this;
  }
  FakeJob& Holding(std::uint64_t bytes) {
    bytes_ = bytes;
    return *this;
  }

  Next Prepare() override {
    stagehand_->Enter("prepare " + name_);
    return cancelled() ? Next::kFinish : Next::kModel;
  }
  const worker::ModelSource& model() const override { return model_; }
  Next TakeModel(const ModelOrError& model) override {
    return model.ok() && !cancelled() ? Next::kCompute : Next::kFinish;
  }
  const worker::BatchTraits& batch() const override { return batch_; }
  void Compute(const Batch& batch,
               const std::function<void(std::shared_ptr<Job>)>& computed) override {
    std::string names;
    for (const std::shared_ptr<Job>& job : batch) {
      names += (names.empty() ? "" : "+") + static_cast<FakeJob&>(*job).name();
    }
    stagehand_->Enter("compute " + names);
    for (const std::shared_ptr<Job>& job : batch) {
      computed(job);
    }
  }
  void Finish() override { stagehand_->Enter((cancelled() ? "drop " : "finish ") + name_); }
  std::uint64_t held_bytes() const override { return bytes_; }

 private:
  const std::string name_;
  const worker::CancelFlag flag_;
  const worker::BatchTraits batch_;
  Stagehand* const stagehand_;
  worker::ModelSource model_;
  std::uint64_t bytes_ = 0;
};

// Has the model of every directory that begins with "m"; loads others ("load x"), each time.
class FakeProvider final : public worker::ModelProvider {
 public:
  explicit FakeProvider(Stagehand& stagehand) : stagehand_(stagehand) {}

  std::shared_ptr<infer::Model> InMemory(const worker::ModelSource& source) override {
    return source.directory.starts_with("m") ? std::make_shared<FakeModel>() : nullptr;
  }
  worker::Job::ModelOrError Get(const worker::ModelSource& source) override {
    stagehand_.Enter("load " + source.directory);
    return std::make_shared<FakeModel>();
  }

 private:
  Stagehand& stagehand_;
};

}  // namespace atelier::test
