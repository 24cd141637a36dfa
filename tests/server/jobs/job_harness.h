// A job manager on a real store in a temporary folder, with a launcher, a registry and a clock that
// the test plays.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/registry.h>

#include <atomic>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/errors.h"
#include "common/model_spec.h"
#include "server/jobs/job_manager.h"
#include "server/store/sqlite/sqlite_store.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace atelier::server {

struct TestLease {
  std::string job_id;
  std::uint64_t fence = 0;

  friend bool operator==(const TestLease&, const TestLease&) = default;
};

// Remembers what it was asked. Thread-safe.
class FakeLauncher final : public TrainerLauncher {
 public:
  struct Stopped {
    TestLease lease;
    internal::v1::StopJob::Why why;
    std::uint32_t kill_after_ms;
  };

  absl::Status Ready() const override {
    const absl::MutexLock lock(&mutex_);
    return ready_;
  }
  std::size_t Places() const override {
    ++asked;
    return places;
  }
  bool Takes(std::string_view job_id) const override {
    const absl::MutexLock lock(&mutex_);
    return job_id != refused_;
  }
  absl::Status Launch(std::string_view job_id, std::uint64_t fence) override {
    const absl::MutexLock lock(&mutex_);
    launches_.push_back({std::string(job_id), fence});
    return answer_;
  }
  void Stop(std::string_view job_id, std::uint64_t fence, internal::v1::StopJob::Why why,
            std::uint32_t kill_after_ms) override {
    const absl::MutexLock lock(&mutex_);
    stops_.push_back({{std::string(job_id), fence}, why, kill_after_ms});
  }

  void Answer(const absl::Status& status) {
    const absl::MutexLock lock(&mutex_);
    answer_ = status;
  }
  // There is no place for this job.
  void Refuse(const std::string& job_id) {
    const absl::MutexLock lock(&mutex_);
    refused_ = job_id;
  }
  void BeReady(const absl::Status& status) {
    const absl::MutexLock lock(&mutex_);
    ready_ = status;
  }
  std::vector<TestLease> launches() const {
    const absl::MutexLock lock(&mutex_);
    return launches_;
  }
  std::vector<Stopped> stops() const {
    const absl::MutexLock lock(&mutex_);
    return stops_;
  }

  std::atomic<std::size_t> places = 1;
  mutable std::atomic<std::size_t> asked = 0;  // for the places

 private:
  mutable absl::Mutex mutex_;
  absl::Status ready_ ABSL_GUARDED_BY(mutex_);
  absl::Status answer_ ABSL_GUARDED_BY(mutex_);
  std::string refused_ ABSL_GUARDED_BY(mutex_);
  std::vector<TestLease> launches_ ABSL_GUARDED_BY(mutex_);
  std::vector<Stopped> stops_ ABSL_GUARDED_BY(mutex_);
};

// Publishes every job as the next version, or answers what the test wants. Thread-safe.
class FakeModels final : public ModelRegistry {
 public:
  absl::StatusOr<ModelVersion> Resolve(std::string_view reference,
                                       std::string_view /*request_id*/) const override {
    if (reference == "program") {
      ModelVersion program;
      program.name = "program";
      program.family = "torchscript";
      return program;
    }
    const absl::MutexLock lock(&mutex_);
    const auto found = models_.find(std::string(reference));
    return found != models_.end()
               ? absl::StatusOr<ModelVersion>(found->second)
               : NotFoundResource("model", reference, "there is no such model here");
  }
  // A model that can be found, with a model.json in its folder.
  void Add(const std::string& reference, const std::filesystem::path& folder,
           const std::string& family, const std::string& generator) {
    ModelSpec spec;
    spec.family = family;
    spec.architecture.generator = generator;
    spec.weights_sha256 = std::string(64, '0');
    std::filesystem::create_directories(folder);
    ASSERT_TRUE(WriteModelSpec(folder, spec).ok());
    ModelVersion version;
    version.name = reference;
    version.family = family;
    version.directory = folder;
    const absl::MutexLock lock(&mutex_);
    models_[reference] = version;
  }
  void Remove(const std::string& reference) {
    const absl::MutexLock lock(&mutex_);
    models_.erase(reference);
  }
  std::vector<ModelVersion> List() const override { return {}; }
  absl::StatusOr<std::uint32_t> Publish(std::string_view name, std::string_view job_id,
                                        const std::filesystem::path& result) override {
    const absl::MutexLock lock(&mutex_);
    ++tries_;
    name_ = std::string(name);
    result_ = result;
    const auto answer = answers_.find(job_id);
    if (const absl::Status& status = answer == answers_.end() ? answer_ : answer->second;
        !status.ok()) {
      return status;
    }
    return ++version_;
  }

  void Answer(const absl::Status& status) {
    const absl::MutexLock lock(&mutex_);
    answer_ = status;
  }
  // The same for one job.
  void AnswerFor(const std::string& job_id, const absl::Status& status) {
    const absl::MutexLock lock(&mutex_);
    answers_[job_id] = status;
  }
  int tries() const {
    const absl::MutexLock lock(&mutex_);
    return tries_;
  }
  std::string name() const {
    const absl::MutexLock lock(&mutex_);
    return name_;
  }
  std::filesystem::path result() const {
    const absl::MutexLock lock(&mutex_);
    return result_;
  }

 private:
  mutable absl::Mutex mutex_;
  std::map<std::string, ModelVersion> models_ ABSL_GUARDED_BY(mutex_);
  absl::Status answer_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, absl::Status, std::less<>> answers_ ABSL_GUARDED_BY(mutex_);
  int tries_ ABSL_GUARDED_BY(mutex_) = 0;
  std::uint32_t version_ ABSL_GUARDED_BY(mutex_) = 0;
  std::string name_ ABSL_GUARDED_BY(mutex_);
  std::filesystem::path result_ ABSL_GUARDED_BY(mutex_);
};

// A store whose disk can be filled. Thread-safe.
class FaultyStore final : public store::Store {
 public:
  explicit FaultyStore(store::Store& inner) : inner_(inner) {}
  absl::Status Read(absl::FunctionRef<absl::Status(store::Reader&)> body) override {
    return inner_.Read(body);
  }
  absl::Status Write(absl::FunctionRef<absl::Status(store::Writer&)> body) override {
    if (full) {
      ++refused;
      return absl::ResourceExhaustedError("the server's disk is full");
    }
    return inner_.Write([&](store::Writer& writer) -> absl::Status {
      const absl::Status status = body(writer);
      return status.ok() && full_at_last ? absl::ResourceExhaustedError("the server's disk is full")
                                         : status;
    });
  }

  std::atomic<bool> full = false;
  std::atomic<bool> full_at_last = false;  // which shows at the end of a transaction
  std::atomic<int> refused = 0;

 private:
  store::Store& inner_;
};

class JobHarness : public ::testing::Test {
 protected:
  JobHarness()
      : sqlite_(*store::SqliteStore::Open({.path = folder_ / "atelier.db"})),
        store_(*sqlite_),
        probe_(metrics_) {
    for (const char* name : {"garments", "paintings"}) {
      std::filesystem::create_directories(folder_ / "datasets" / name);
      std::ofstream(folder_ / "datasets" / name / "a.jpg") << "x";
    }
    std::filesystem::create_directories(folder_ / "datasets/empty");
    datasets_ = *DatasetCatalog::Create({.datasets_directory = folder_ / "datasets"});
    options_.store = &store_;
    options_.datasets = datasets_.get();
    options_.models = &models_;
    options_.probe = &probe_;
    options_.clock = &clock_;
    options_.jobs_directory = folder_ / "jobs";
    std::filesystem::create_directories(options_.jobs_directory);
  }

  // A server's start; the one before, if any, is gone without a word.
  void Restart() {
    manager_.reset();
    manager_ = *JobManager::Create(options_);
  }
  void Begin() {
    Restart();
    manager_->Start(launcher_);
  }

  static v1::JobSpec Spec(const std::string& id) {
    v1::JobSpec spec;
    spec.set_job_id(id);
    spec.set_output_model("oil");
    spec.mutable_train()->set_family("faststyle");
    spec.mutable_train()->set_steps(1000);
    spec.mutable_train()->mutable_data()->set_content("garments");
    spec.mutable_train()->mutable_data()->set_style("paintings");
    return spec;
  }

  v1::Job Create(const std::string& id) {
    const absl::StatusOr<v1::Job> job = manager_->CreateJob(Spec(id));
    EXPECT_TRUE(job.ok()) << job.status();
    return job.value_or(v1::Job());
  }
  v1::Job Get(const std::string& id) const { return manager_->GetJob(id).value_or(v1::Job()); }

  [[nodiscard]] bool Becomes(const std::string& id, v1::JobState state) const {
    return test::WaitUntil([&] { return Get(id).state() == state; });
  }

  // The lease of the launch with this index, once it has come.
  TestLease Launched(std::size_t index) const {
    EXPECT_TRUE(test::WaitUntil([&] { return launcher_.launches().size() > index; }));
    return launcher_.launches().at(index);
  }

  internal::v1::JobUpdate Update(const TestLease& lease) const {
    internal::v1::JobUpdate update;
    update.set_job_id(lease.job_id);
    update.set_fence(lease.fence);
    return update;
  }

  void Started(const TestLease& lease) {
    internal::v1::JobUpdate update = Update(lease);
    update.mutable_started();
    manager_->TrainerUpdate(update);
  }
  // Dials in, starts, and waits until the job is RUNNING.
  void Run(const TestLease& lease) {
    ASSERT_TRUE(manager_->TrainerConnected(lease.job_id, lease.fence).ok());
    Started(lease);
    ASSERT_TRUE(Becomes(lease.job_id, v1::JOB_STATE_RUNNING));
  }
  // A RUNNING job: created, launched, dialled in, started.
  TestLease RunNew(const std::string& id) {
    const std::size_t before = launcher_.launches().size();
    Create(id);
    const TestLease lease = Launched(before);
    Run(lease);
    return lease;
  }
  void Progress(const TestLease& lease, std::uint64_t step) {
    internal::v1::JobUpdate update = Update(lease);
    update.mutable_progress()->set_step(step);
    update.mutable_progress()->set_steps(1000);
    update.mutable_progress()->set_images_per_s(12.5);
    (*update.mutable_progress()->mutable_losses())["style"] = 0.5;
    manager_->TrainerUpdate(update);
  }
  // Everything that a watcher of this job is told in words.
  std::vector<std::string> SentencesOf(const std::string& id) {
    std::vector<std::string> sentences;
    for (const v1::JobEvent& event : Events(id)) {
      for (const std::string& sentence : {event.state().reason(), event.warning().message()}) {
        if (!sentence.empty()) {
          sentences.push_back(sentence);
        }
      }
    }
    return sentences;
  }
  void Warn(const TestLease& lease, const std::string& sentence) {
    internal::v1::JobUpdate update = Update(lease);
    update.mutable_warning()->set_message(sentence);
    manager_->TrainerUpdate(update);
  }
  // Writes a whole checkpoint and tells it.
  void SaveCheckpoint(const TestLease& lease, std::uint64_t step) {
    const auto folder = AttemptFolder(lease) / "checkpoints" / ("step-" + std::to_string(step));
    std::filesystem::create_directories(folder);
    std::ofstream(folder / "complete") << "";
    internal::v1::JobUpdate update = Update(lease);
    update.mutable_checkpoint()->set_step(step);
    manager_->TrainerUpdate(update);
  }
  void Finish(const TestLease& lease, internal::v1::JobFinished::Outcome outcome,
              const std::string& message = "") {
    internal::v1::JobUpdate update = Update(lease);
    update.mutable_finished()->set_outcome(outcome);
    update.mutable_finished()->set_message(message);
    if (outcome == internal::v1::JobFinished::OUTCOME_SUCCEEDED) {
      const auto result = AttemptFolder(lease) / "result";
      std::filesystem::create_directories(result);
      update.mutable_finished()->set_result_directory(result.string());
    }
    manager_->TrainerUpdate(update);
  }
  void Lose(const TestLease& lease, const std::string& reason = "killed by signal 9") {
    manager_->TrainerLost(lease.job_id, lease.fence, reason);
  }

  std::filesystem::path AttemptFolder(const TestLease& lease) const {
    return options_.jobs_directory / lease.job_id / "attempts" / std::to_string(lease.fence);
  }

  std::vector<v1::JobEvent> Events(const std::string& id) {
    std::vector<v1::JobEvent> events;
    EXPECT_TRUE(sqlite_
                    ->Read([&](store::Reader& reader) {
                      events = *reader.ListEvents(id, 1, 100'000, 1 << 30);
                      return absl::OkStatus();
                    })
                    .ok());
    return events;
  }
  std::vector<v1::JobState> States(const std::string& id) {
    std::vector<v1::JobState> states;
    for (const v1::JobEvent& event : Events(id)) {
      if (event.has_state()) {
        states.push_back(event.state().state());
      }
    }
    return states;
  }

  // Puts a job with this state into the store, as a server that is gone might have left it.
  void Plant(const std::string& id, v1::JobState state, const std::string& result = "") {
    store::JobRecord record;
    *record.job.mutable_spec() = Spec(id);
    record.job.set_state(state);
    record.job.set_attempts(1);
    record.fence = 1;
    record.fruitless_attempts = 1;
    record.result_directory = result;
    ASSERT_TRUE(
        sqlite_->Write([&](store::Writer& writer) { return writer.InsertJob(record); }).ok());
  }

  test::TempDir folder_;
  std::unique_ptr<store::SqliteStore> sqlite_;
  FaultyStore store_;
  prometheus::Registry metrics_;
  JobProbe probe_;
  test::FakeClock clock_;
  std::unique_ptr<DatasetCatalog> datasets_;
  FakeModels models_;
  FakeLauncher launcher_;
  JobOptions options_;
  std::unique_ptr<JobManager> manager_;
};

}  // namespace atelier::server
