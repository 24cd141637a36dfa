// Models without weights, and workers that load what the test says.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/files.h"
#include "common/model_spec.h"
#include "server/models/model_catalog.h"
#include "server/models/model_loads.h"
#include "server/store/sqlite/sqlite_store.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temp_dir.h"

namespace atelier::server::testing {

// A whole model folder; its weights are `text`.
inline void WriteModel(const std::filesystem::path& folder, const std::string& text) {
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "weights.safetensors") << text;
  std::ofstream(folder / "card.md") << "# card";
  ModelSpec spec;
  spec.family = "faststyle";
  spec.tier = "lite";
  spec.architecture.generator = "lite";
  spec.parameters = 42;
  spec.default_precision = Precision::kBf16;
  spec.weights_sha256 = Sha256Hex(text);
  spec.weights_bytes = text.size();
  ASSERT_TRUE(WriteModelSpec(folder, spec).ok());
}

// Writes down what is asked of it: "load oil@1", "unload oil@1". Answers at once, or when the test
// says so. Thread-safe.
class FakeLoads final : public ModelLoads {
 public:
  Ticket Load(const ModelVersion& model, Done done) override {
    return Take("load " + NameAtVersion(model), model, std::move(done));
  }
  Ticket Unload(const ModelVersion& model, Done done) override {
    return Take("unload " + NameAtVersion(model), model, std::move(done));
  }
  void Forget(Ticket ticket) override {
    const absl::MutexLock lock(&mutex_);
    waiting_.erase(ticket);
  }
  void Withdraw(Ticket ticket) override {
    const absl::MutexLock lock(&mutex_);
    withdrawn_ += waiting_.erase(ticket);
  }
  std::uint32_t Workers() const override { return 1; }
  std::uint32_t LoadedWorkers(const ModelVersion& model) const override {
    const absl::MutexLock lock(&mutex_);
    return std::ranges::count(loaded_, NameAtVersion(model)) > 0 ? 1 : 0;
  }

  // From now on nothing is answered but by Answer.
  void Hold() {
    const absl::MutexLock lock(&mutex_);
    holds_ = true;
  }
  // What is answered at once from now on.
  void Fail(absl::Status status) {
    const absl::MutexLock lock(&mutex_);
    status_ = std::move(status);
  }
  // Answers the oldest that waits, or the newest.
  void Answer(const absl::Status& status) { AnswerOne(status, /*newest=*/false); }
  void AnswerLast(const absl::Status& status) { AnswerOne(status, /*newest=*/true); }

  std::vector<std::string> asked() const {
    const absl::MutexLock lock(&mutex_);
    return asked_;
  }
  std::vector<std::uint32_t> last_sizes() const {
    const absl::MutexLock lock(&mutex_);
    return last_sizes_;
  }
  std::size_t waiting() const {
    const absl::MutexLock lock(&mutex_);
    return waiting_.size();
  }
  std::size_t withdrawn() const {
    const absl::MutexLock lock(&mutex_);
    return withdrawn_;
  }

 private:
  struct Waiting {
    std::string what;
    Done done;
  };

  void AnswerOne(const absl::Status& status, bool newest) {
    Waiting next;
    {
      const absl::MutexLock lock(&mutex_);
      ASSERT_FALSE(waiting_.empty());
      const auto one = newest ? std::prev(waiting_.end()) : waiting_.begin();
      next = std::move(one->second);
      waiting_.erase(one);
      Learn(next, status);
    }
    next.done(status);
  }

  Ticket Take(const std::string& what, const ModelVersion& model, Done done) {
    absl::Status status;
    Ticket ticket = 0;
    {
      const absl::MutexLock lock(&mutex_);
      asked_.push_back(what);
      last_sizes_ = model.warmup_sizes;
      ticket = next_++;
      Waiting waiting{what, std::move(done)};
      if (holds_) {
        waiting_.emplace(ticket, std::move(waiting));
        return ticket;
      }
      status = status_;
      Learn(waiting, status);
      done = std::move(waiting.done);
    }
    done(status);
    return ticket;
  }

  void Learn(const Waiting& asked, const absl::Status& status)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const std::size_t space = asked.what.find(' ');
    const std::string model = asked.what.substr(space + 1);
    std::erase(loaded_, model);
    if (status.ok() && asked.what.starts_with("load")) {
      loaded_.push_back(model);
    }
  }

  mutable absl::Mutex mutex_;
  std::size_t withdrawn_ ABSL_GUARDED_BY(mutex_) = 0;
  bool holds_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  Ticket next_ ABSL_GUARDED_BY(mutex_) = 1;
  std::map<Ticket, Waiting> waiting_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> asked_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> loaded_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::uint32_t> last_sizes_ ABSL_GUARDED_BY(mutex_);
};

// A catalog on a store and a disk of its own.
class CatalogRoom {
 public:
  CatalogRoom() : store_(*store::SqliteStore::Open({.path = folder_ / "atelier.db"})) { Open(); }

  // Also what a restart of the server does.
  void Open() {
    catalog_.reset();
    catalog_ = *ModelCatalog::Create({.store = store_.get(),
                                      .models_directory = models(),
                                      .shipped_directory = shipped(),
                                      .clock = &clock_});
  }

  // The next version of `name`.
  ModelVersion Publish(const std::string& name, const std::string& text = "weights",
                       const std::string& job_id = "") {
    WriteModel(folder_ / "result", text);
    const absl::StatusOr<std::uint32_t> version =
        catalog_->Publish(name, job_id, folder_ / "result");
    EXPECT_TRUE(version.ok()) << version.status();
    return *catalog_->Resolve(name + "@" + std::to_string(version.value_or(0)));
  }

  std::filesystem::path models() const { return folder_ / "models"; }
  std::filesystem::path shipped() const { return folder_ / "shipped"; }
  ModelCatalog& catalog() { return *catalog_; }
  store::Store& store() { return *store_; }
  test::FakeClock& clock() { return clock_; }

  // What `reference` means, "oil@2"; empty: nothing.
  std::string Means(const std::string& reference, const std::string& request_id = "") const {
    const absl::StatusOr<ModelVersion> model = catalog_->Resolve(reference, request_id);
    return model.ok() ? NameAtVersion(*model) : "";
  }

 private:
  test::TempDir folder_;
  test::FakeClock clock_;
  std::unique_ptr<store::SqliteStore> store_;
  std::unique_ptr<ModelCatalog> catalog_;
};

}  // namespace atelier::server::testing
