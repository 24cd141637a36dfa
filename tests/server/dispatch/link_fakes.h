// Fakes around the worker link.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "server/dispatch/link/link_transport.h"
#include "server/dispatch/link/trainer_watcher.h"
#include "server/jobs/trainer_port.h"

namespace atelier::server::testing {

class FakeTransport final : public LinkTransport {
 public:
  void Send(internal::v1::ServerMessage message) override {
    const absl::MutexLock lock(&mutex_);
    sent_.push_back(std::move(message));
  }
  void Close(const absl::Status& status) override {
    const absl::MutexLock lock(&mutex_);
    if (!closed_.has_value()) {
      closed_ = status;
    }
  }

  void Abort() override {
    const absl::MutexLock lock(&mutex_);
    aborted_ = true;
  }

  bool aborted() const {
    const absl::MutexLock lock(&mutex_);
    return aborted_;
  }
  std::vector<internal::v1::ServerMessage> sent() const {
    const absl::MutexLock lock(&mutex_);
    return sent_;
  }
  std::optional<absl::Status> closed() const {
    const absl::MutexLock lock(&mutex_);
    return closed_;
  }
  bool closed_with(absl::StatusCode code) const {
    const auto status = closed();
    return status.has_value() && status->code() == code;
  }

 private:
  mutable absl::Mutex mutex_;
  std::vector<internal::v1::ServerMessage> sent_ ABSL_GUARDED_BY(mutex_);
  std::optional<absl::Status> closed_ ABSL_GUARDED_BY(mutex_);
  bool aborted_ ABSL_GUARDED_BY(mutex_) = false;
};

// Writes what happens to a job into a list: "connected j/1", "progress 5", "finished", "lost j/1:
// reason", "places".
class FakeJobs final : public JobSink {
 public:
  absl::StatusOr<internal::v1::StartJob> TrainerConnected(std::string_view job_id,
                                                          std::uint64_t fence) override {
    const absl::MutexLock lock(&mutex_);
    events_.push_back(absl::StrCat("connected ", std::string(job_id), "/", fence));
    if (!answer_.ok()) {
      return answer_;
    }
    internal::v1::StartJob start = start_;
    start.mutable_spec()->set_job_id(std::string(job_id));
    start.set_fence(fence);
    return start;
  }
  void TrainerUpdate(const internal::v1::JobUpdate& update) override {
    const absl::MutexLock lock(&mutex_);
    events_.push_back(update.has_progress() ? absl::StrCat("progress ", update.progress().step())
                                            : "finished");
    last_ = update;
  }
  void TrainerLost(std::string_view job_id, std::uint64_t fence, std::string_view reason) override {
    const absl::MutexLock lock(&mutex_);
    events_.push_back(
        absl::StrCat("lost ", std::string(job_id), "/", fence, ": ", std::string(reason)));
  }

  void PlacesChanged() override {
    const absl::MutexLock lock(&mutex_);
    events_.emplace_back("places");
  }
  bool HoldsLease(std::string_view /*job_id*/, std::uint64_t /*fence*/) const override {
    const absl::MutexLock lock(&mutex_);
    return holds_;
  }

  // From now on no lease is a present one.
  void EndLease() {
    const absl::MutexLock lock(&mutex_);
    holds_ = false;
  }
  // What trainers are told, but for the job and the fence.
  void StartWith(internal::v1::StartJob start) {
    const absl::MutexLock lock(&mutex_);
    start_ = std::move(start);
  }
  internal::v1::JobUpdate last() const {
    const absl::MutexLock lock(&mutex_);
    return last_;
  }
  void Refuse(absl::Status status) {
    const absl::MutexLock lock(&mutex_);
    answer_ = std::move(status);
  }
  std::vector<std::string> events() const {
    const absl::MutexLock lock(&mutex_);
    return events_;
  }

 private:
  mutable absl::Mutex mutex_;
  std::vector<std::string> events_ ABSL_GUARDED_BY(mutex_);
  absl::Status answer_ ABSL_GUARDED_BY(mutex_);
  internal::v1::StartJob start_ ABSL_GUARDED_BY(mutex_);
  internal::v1::JobUpdate last_ ABSL_GUARDED_BY(mutex_);
  bool holds_ ABSL_GUARDED_BY(mutex_) = true;
};

class FakeTrainers final : public TrainerWatcher {
 public:
  bool TrainerOpened(std::string_view job_id, std::uint64_t fence,
                     std::shared_ptr<TrainerPort> port) override {
    const absl::MutexLock lock(&mutex_);
    if (!knows_) {
      return false;
    }
    events_.push_back(absl::StrCat("opened ", std::string(job_id), "/", fence));
    port_ = std::move(port);
    return true;
  }
  void TrainerClosed(std::string_view job_id, std::uint64_t fence) override {
    const absl::MutexLock lock(&mutex_);
    events_.push_back(absl::StrCat("closed ", std::string(job_id), "/", fence));
    port_ = nullptr;
  }

  void KnowNoLease() {
    const absl::MutexLock lock(&mutex_);
    knows_ = false;
  }
  std::shared_ptr<TrainerPort> port() const {
    const absl::MutexLock lock(&mutex_);
    return port_;
  }
  std::vector<std::string> events() const {
    const absl::MutexLock lock(&mutex_);
    return events_;
  }

 private:
  mutable absl::Mutex mutex_;
  bool knows_ ABSL_GUARDED_BY(mutex_) = true;
  std::shared_ptr<TrainerPort> port_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> events_ ABSL_GUARDED_BY(mutex_);
};

// Writes down "free", "cannot" and "left: reason".
class FakeFreeTrainers final : public FreeTrainers {
 public:
  void TrainerFree(std::uint64_t /*trainer*/, std::string_view /*name*/,
                   std::shared_ptr<FreeTrainerPort> port) override {
    const absl::MutexLock lock(&mutex_);
    events_.emplace_back("free");
    port_ = std::move(port);
  }
  absl::Time RestsUntil(std::string_view /*name*/) const override {
    const absl::MutexLock lock(&mutex_);
    return rests_until_;
  }
  void TrainerSettled(std::uint64_t /*trainer*/) override {
    const absl::MutexLock lock(&mutex_);
    ++settled_;
  }
  void TrainerCannot(std::uint64_t /*trainer*/) override {
    const absl::MutexLock lock(&mutex_);
    events_.emplace_back("cannot");
  }
  void TrainerLeft(std::uint64_t /*trainer*/, std::string_view reason) override {
    const absl::MutexLock lock(&mutex_);
    events_.push_back("left: " + std::string(reason));
  }

  // Of trainers that come from now on.
  void RestUntil(absl::Time time) {
    const absl::MutexLock lock(&mutex_);
    rests_until_ = time;
  }
  int settled() const {
    const absl::MutexLock lock(&mutex_);
    return settled_;
  }
  // The newest one.
  std::shared_ptr<FreeTrainerPort> port() const {
    const absl::MutexLock lock(&mutex_);
    return port_;
  }
  std::vector<std::string> events() const {
    const absl::MutexLock lock(&mutex_);
    return events_;
  }

 private:
  mutable absl::Mutex mutex_;
  absl::Time rests_until_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  int settled_ ABSL_GUARDED_BY(mutex_) = 0;
  std::shared_ptr<FreeTrainerPort> port_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> events_ ABSL_GUARDED_BY(mutex_);
};

inline internal::v1::WorkerMessage ServeHello(std::uint32_t slots = 2) {
  internal::v1::WorkerMessage message;
  internal::v1::Hello& hello = *message.mutable_hello();
  hello.set_protocol_min(1);
  hello.set_protocol_max(1);
  hello.set_build("0.1.0");
  hello.set_device("cpu");
  hello.set_role(internal::v1::WORKER_ROLE_SERVE);
  hello.set_name("cpu-0");
  hello.set_slots(slots);
  return message;
}

inline internal::v1::WorkerMessage TrainHello(const std::string& job, std::uint64_t fence) {
  internal::v1::WorkerMessage message = ServeHello();
  message.mutable_hello()->set_role(internal::v1::WORKER_ROLE_TRAIN);
  message.mutable_hello()->set_name("train-" + job);
  message.mutable_hello()->set_job_id(job);
  message.mutable_hello()->set_fence(fence);
  return message;
}

// Of a trainer that waits for a job.
inline internal::v1::WorkerMessage FreeTrainHello() {
  internal::v1::WorkerMessage message = ServeHello();
  message.mutable_hello()->set_role(internal::v1::WORKER_ROLE_TRAIN);
  message.mutable_hello()->set_name("far");
  return message;
}

inline internal::v1::WorkerMessage CreditOf(std::uint32_t tasks) {
  internal::v1::WorkerMessage message;
  message.mutable_credit()->set_tasks(tasks);
  return message;
}

inline internal::v1::WorkerMessage GoodResult(std::uint64_t task) {
  internal::v1::WorkerMessage message;
  internal::v1::StylizeResult& result = *message.mutable_stylize_result();
  result.set_task_id(task);
  result.set_image("\xff\xd8\xff and so on");
  result.set_format(v1::IMAGE_FORMAT_JPEG);
  result.set_width(64);
  result.set_height(48);
  result.set_precision(v1::PRECISION_FP32);
  return message;
}

inline internal::v1::WorkerMessage ProgressOf(const std::string& job, std::uint64_t fence,
                                              std::uint64_t step) {
  internal::v1::WorkerMessage message;
  message.mutable_job_update()->set_job_id(job);
  message.mutable_job_update()->set_fence(fence);
  message.mutable_job_update()->mutable_progress()->set_step(step);
  return message;
}

}  // namespace atelier::server::testing
