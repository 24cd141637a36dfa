// Fakes and samples that the tests of the stylize path share.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/errors.h"
#include "server/dispatch/worker_port.h"
#include "server/models/model_registry.h"
#include "server/queue/request_queue.h"

namespace atelier::server::testing {

// The header of a PNG of this size; enough for whoever reads only headers. Sides below 2^16.
inline std::string PngHeader(std::uint32_t width, std::uint32_t height) {
  const auto side = [](std::uint32_t value) {
    return std::string{'\0', '\0', static_cast<char>(value >> 8U), static_cast<char>(value)};
  };
  using std::string_literals::operator""s;
  return "\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"s + side(width) + side(height) +
         "\x08\x02\0\0\0"s        // 8 bit, RGB
         "\0\0\0\0"s              // CRC, which nobody checks here
         "\0\0\0\0IDAT\0\0\0\0"s  // an empty body
         "\0\0\0\0IEND\0\0\0\0"s;
}

inline ModelVersion SampleModel() {
  return {.name = "oil",
          .version = 3,
          .family = "faststyle",
          .tier = "lite",
          .capabilities = {"strength", "preserve_color", "size", "precision"},
          .default_precision = Precision::kFp32,
          .weights_sha256 = "ab",
          .directory = "/models/oil/3"};
}

// Remembers the newest task and what was cancelled. Thread-safe.
class RecordingPort final : public WorkerPort {
 public:
  void SendTask(RequestId task, const Work& work, absl::Time deadline,
                std::atomic<bool>& sent) override {
    sent = true;
    const absl::MutexLock lock(&mutex_);
    task_ = task;
    work_ = work;
    deadline_ = deadline;
  }
  void SendCancel(RequestId task) override {
    const absl::MutexLock lock(&mutex_);
    cancelled_ = task;
  }

  RequestId task() const {
    const absl::MutexLock lock(&mutex_);
    return task_;
  }
  RequestId cancelled() const {
    const absl::MutexLock lock(&mutex_);
    return cancelled_;
  }
  Work work() const {
    const absl::MutexLock lock(&mutex_);
    return work_;
  }
  absl::Time deadline() const {
    const absl::MutexLock lock(&mutex_);
    return deadline_;
  }

 private:
  mutable absl::Mutex mutex_;
  RequestId task_ ABSL_GUARDED_BY(mutex_) = 0;
  RequestId cancelled_ ABSL_GUARDED_BY(mutex_) = 0;
  Work work_ ABSL_GUARDED_BY(mutex_);
  absl::Time deadline_ ABSL_GUARDED_BY(mutex_);
};

// Knows one model, and another if `other` has a name.
class FakeRegistry final : public ModelRegistry {
 public:
  absl::StatusOr<ModelVersion> Resolve(std::string_view reference,
                                       std::string_view /*request_id*/) const override {
    if (Means(reference, model)) {
      return model;
    }
    if (!other.name.empty() && Means(reference, other)) {
      return other;
    }
    return NotFoundResource("model", reference, "there is no such model");
  }
  std::vector<ModelVersion> List() const override {
    return other.name.empty() ? std::vector{model} : std::vector{model, other};
  }
  absl::StatusOr<std::uint32_t> Publish(std::string_view, std::string_view,
                                        const std::filesystem::path&) override {
    return absl::UnimplementedError("not in this fake");
  }

  ModelVersion model = SampleModel();
  ModelVersion other;

 private:
  static bool Means(std::string_view reference, const ModelVersion& version) {
    return reference == version.name ||
           reference == version.name + "@" + std::to_string(version.version);
  }
};

inline StylizeWork SampleWork(std::size_t image_bytes = 100) {
  StylizeWork work;
  work.request_id = "r";
  work.image = std::string(image_bytes, 'x');
  work.model = SampleModel();
  return work;
}

inline StylizeOutcome SampleOutcome(std::string image = "restyled") {
  StylizeOutcome outcome;
  outcome.image = std::move(image);
  outcome.width = 64;
  outcome.height = 48;
  return outcome;
}

// Patterns of a model that knows two labels.
inline ModelVersion SamplePatternModel() {
  ModelVersion model = SampleModel();
  model.name = "florals";
  model.family = "cgan";
  model.tier = "";
  model.capabilities = {"generate",   "seed",          "size", "precision",
                        "truncation", "interpolation", "label"};
  model.classes = {"dots", "stripes"};
  return model;
}

inline GenerateWork SampleGenerateWork(std::size_t pictures = 2) {
  GenerateWork work;
  work.request_id = "g";
  work.model = SamplePatternModel();
  for (std::size_t i = 0; i < pictures; ++i) {
    work.seeds.push_back(7 + i);
    work.labels.push_back(static_cast<std::uint32_t>(i % 2));
  }
  return work;
}

inline GenerateOutcome SampleGenerateOutcome(std::size_t pictures = 2) {
  GenerateOutcome outcome;
  for (std::size_t i = 0; i < pictures; ++i) {
    outcome.pictures.push_back(
        {.image = "pattern " + std::to_string(i), .width = 64, .height = 64});
  }
  return outcome;
}

// What a request was answered, for all to look at. Thread-safe; answers may come after its end.
class Answers {
 public:
  Request::Done Expect() {
    return [state = state_](absl::StatusOr<Outcome> outcome) {
      const absl::MutexLock lock(&state->mutex);
      state->answers.push_back(std::move(outcome));
    };
  }

  std::size_t count() const {
    const absl::MutexLock lock(&state_->mutex);
    return state_->answers.size();
  }

  // The only answer; nullopt if there is none yet. A second answer ends the test program.
  std::optional<absl::StatusOr<Outcome>> only() const {
    const absl::MutexLock lock(&state_->mutex);
    if (state_->answers.size() > 1) {
      std::abort();
    }
    return state_->answers.empty() ? std::nullopt : std::optional(state_->answers.front());
  }

  absl::StatusCode code() const {
    const auto answer = only();
    return answer.has_value() ? answer->status().code() : absl::StatusCode::kUnknown;
  }

 private:
  struct State {
    absl::Mutex mutex;
    std::vector<absl::StatusOr<Outcome>> answers ABSL_GUARDED_BY(mutex);
  };
  const std::shared_ptr<State> state_ = std::make_shared<State>();
};

// The picture that a stylize request was answered with; ends the test program when there is none.
inline StylizeOutcome Stylized(const Answers& answers) {
  return std::get<StylizeOutcome>(answers.only().value().value());
}

}  // namespace atelier::server::testing
