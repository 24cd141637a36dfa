// A model loader whose workers write down what they are sent.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/errors.h"
#include "server/dispatch/model_loader.h"

namespace atelier::server::testing {

inline ModelVersion Oil(std::uint32_t version) {
  ModelVersion model;
  model.name = "oil";
  model.version = version;
  model.weights_sha256 = std::string(64, static_cast<char>('a' + version));
  return model;
}

inline ModelVersion WarmFor(ModelVersion model, std::vector<std::uint32_t> sizes) {
  model.warmup_sizes = std::move(sizes);
  return model;
}

// Knows the models that the test puts in.
class KeptRegistry final : public ModelRegistry {
 public:
  absl::StatusOr<ModelVersion> Resolve(std::string_view reference,
                                       std::string_view /*request_id*/) const override {
    return NotFoundResource("model", reference, "nothing is asked here");
  }
  std::vector<ModelVersion> List() const override {
    const absl::MutexLock lock(&mutex_);
    return models_;
  }
  absl::StatusOr<std::uint32_t> Publish(std::string_view, std::string_view,
                                        const std::filesystem::path&) override {
    return absl::UnimplementedError("not in this fake");
  }
  void Add(ModelVersion model, bool kept) {
    model.kept = kept;
    const absl::MutexLock lock(&mutex_);
    models_.push_back(std::move(model));
  }

 private:
  mutable absl::Mutex mutex_;
  std::vector<ModelVersion> models_ ABSL_GUARDED_BY(mutex_);
};

// Writes down what it is sent: "welcome 1,2", "load 1", "unload 1"; and the numbers of its loads.
class FakeModelPort final : public ModelPort {
 public:
  void SendWelcome(const std::vector<LoadOrder>& preload) override {
    std::string line = "welcome ";
    for (const LoadOrder& order : preload) {
      line += std::to_string(order.model.version) + ",";
      AddOrder(order.number);
    }
    Add(line.substr(0, line.size() - 1));
  }
  void SendLoad(const LoadOrder& order) override {
    Add("load " + std::to_string(order.model.version));
    AddOrder(order.number);
  }
  void SendCancelLoad(std::uint64_t number) override { Add("cancel " + std::to_string(number)); }
  void SendUnload(const ModelVersion& model) override {
    Add("unload " + std::to_string(model.version));
  }
  std::vector<std::string> sent() const {
    const absl::MutexLock lock(&mutex_);
    return sent_;
  }
  std::vector<std::uint64_t> orders() const {
    const absl::MutexLock lock(&mutex_);
    return orders_;
  }

 private:
  void AddOrder(std::uint64_t number) {
    const absl::MutexLock lock(&mutex_);
    orders_.push_back(number);
  }
  void Add(std::string line) {
    const absl::MutexLock lock(&mutex_);
    sent_.push_back(std::move(line));
  }
  mutable absl::Mutex mutex_;
  std::vector<std::string> sent_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::uint64_t> orders_ ABSL_GUARDED_BY(mutex_);
};

class ModelLoaderFixture : public ::testing::Test {
 protected:
  std::shared_ptr<FakeModelPort> Connect(WorkerId id,
                                         const std::vector<ModelVersion>& loaded = {}) {
    auto port = std::make_shared<FakeModelPort>();
    std::vector<ModelKey> keys;
    for (const ModelVersion& model : loaded) {
      keys.push_back(KeyOf(model));
    }
    loader_.AddWorker(id, port, keys);
    return port;
  }
  absl::Status Report(WorkerId id, const ModelVersion& model, ModelReport::State state,
                      absl::Status failure = absl::OkStatus(), std::uint64_t order = 0) {
    return loader_.OnReport(
        id, {.model = KeyOf(model), .state = state, .failure = std::move(failure), .order = order});
  }
  // Without an order: a task needed it.
  void Ready(WorkerId id, const ModelVersion& model, std::uint64_t order = 0) {
    EXPECT_TRUE(Report(id, model, ModelReport::State::kReady, absl::OkStatus(), order).ok());
  }
  void Unloaded(WorkerId id, const ModelVersion& model) {
    EXPECT_TRUE(Report(id, model, ModelReport::State::kUnloaded).ok());
  }
  void Failed(WorkerId id, const ModelVersion& model, std::uint64_t order = 0) {
    EXPECT_TRUE(
        Report(id, model, ModelReport::State::kFailed, absl::DataLossError("damaged"), order).ok());
  }
  // Into `answer`, once it comes.
  ModelLoads::Done Into(std::optional<absl::Status>& answer) {
    return [&answer](absl::Status status) {
      EXPECT_FALSE(answer.has_value()) << "one answer only";
      answer = std::move(status);
    };
  }

  KeptRegistry registry_;
  ModelLoader loader_{registry_};
};

}  // namespace atelier::server::testing
