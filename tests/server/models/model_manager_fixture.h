// A model manager on a catalog of its own, with workers that load what the test says.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "server/models/model_manager.h"
#include "tests/server/support/model_fakes.h"

namespace atelier::server::testing {

// One answer that the test waits for.
template <typename T>
class Expected {
 public:
  Reply<T> reply() {
    return Reply<T>([this](absl::StatusOr<T> answer) {
      answer_ = std::move(answer);
      done_.Notify();
    });
  }
  bool came() const { return done_.HasBeenNotified(); }
  const absl::StatusOr<T>& Wait() {
    EXPECT_TRUE(done_.WaitForNotificationWithTimeout(absl::Seconds(20)));
    return answer_;
  }

 private:
  absl::Notification done_;
  absl::StatusOr<T> answer_ = absl::UnknownError("no answer came");
};

// Answers come on the manager's thread; time passes when the test says so.
class ModelManagerTest : public ::testing::Test {
 protected:
  ModelManagerTest() {
    room_.Publish("oil", "one");
    Start();
  }
  ~ModelManagerTest() override { manager_.reset(); }

  void Start() {
    manager_ = std::make_unique<ModelManager>(
        ModelManager::Options{.catalog = &room_.catalog(),
                              .loads = &loads_,
                              .clock = &room_.clock(),
                              .in_use = [this](const std::string& model) {
                                const absl::MutexLock lock(&mutex_);
                                return busy_.contains(model);
                              }});
  }

  absl::Time Deadline() { return room_.clock().Now() + absl::Minutes(1); }

  absl::StatusOr<ModelVersion> Load(const std::string& reference,
                                    std::vector<std::uint32_t> sizes = {}) {
    Expected<ModelVersion> loaded;
    manager_->Load(reference, std::move(sizes), Deadline(), loaded.reply());
    return loaded.Wait();
  }
  absl::StatusOr<ModelVersion> Unload(const std::string& reference) {
    Expected<ModelVersion> unloaded;
    manager_->Unload(reference, Deadline(), unloaded.reply());
    return unloaded.Wait();
  }
  absl::StatusOr<ModelManager::Promotion> Promote(const std::string& reference) {
    Expected<ModelManager::Promotion> promoted;
    manager_->Promote(reference, {}, Deadline(), promoted.reply());
    return promoted.Wait();
  }
  absl::Status Delete(const std::string& reference) {
    Expected<ModelVersion> deleted;
    manager_->Delete(reference, deleted.reply());
    return deleted.Wait().status();
  }
  // Returns when everything that was asked for before is done.
  void Settle() {
    Expected<ModelVersion> last;
    manager_->Load("nothing", {}, Deadline(), last.reply());
    last.Wait();
  }
  void SetBusy(const std::string& model, bool busy) {
    const absl::MutexLock lock(&mutex_);
    busy ? static_cast<void>(busy_.insert(model)) : static_cast<void>(busy_.erase(model));
  }
  // Time passes in small steps until `condition` holds, which takes at most `limit`.
  bool After(absl::Duration limit, const std::function<bool()>& condition) {
    const absl::Time end = room_.clock().Now() + limit;
    while (room_.clock().Now() < end) {
      Settle();
      if (condition()) {
        return true;
      }
      room_.clock().Advance(absl::Milliseconds(100));
    }
    Settle();
    return condition();
  }
  bool WasAsked(const std::string& what) {
    const std::vector<std::string> asked = loads_.asked();
    return std::ranges::count(asked, what) > 0;
  }
  std::vector<std::string> Kept() {
    std::vector<std::string> kept;
    for (const ModelVersion& model : room_.catalog().List()) {
      if (model.kept) {
        kept.push_back(NameAtVersion(model));
      }
    }
    return kept;
  }

  CatalogRoom room_;
  FakeLoads loads_;
  absl::Mutex mutex_;
  std::set<std::string> busy_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<ModelManager> manager_;
};

}  // namespace atelier::server::testing
