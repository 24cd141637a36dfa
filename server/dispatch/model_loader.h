// Which worker has which model in memory, and the loads and unloads under way. Free of gRPC.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "server/dispatch/dispatcher.h"
#include "server/models/model_loads.h"
#include "server/models/model_registry.h"

namespace atelier::server {

// One version, as a worker names it.
struct ModelKey {
  std::string name;
  std::uint32_t version = 0;
  std::string weights_sha256;

  auto operator<=>(const ModelKey&) const = default;
};

ModelKey KeyOf(const ModelVersion& model);

// What a worker tells of a model.
struct ModelReport {
  enum class State { kReady, kFailed, kUnloaded };

  ModelKey model;
  State state = State::kReady;
  absl::Status failure;  // of kFailed
  // Of the LoadOrder that this answers; 0: nobody asked.
  std::uint64_t order = 0;
};

// A load that a worker is told to do.
struct LoadOrder {
  ModelVersion model;
  std::uint64_t number = 0;  // 0: nobody waits for its answer
};

// How the loader reaches a connected serving worker. Thread-safe. Methods only queue a message and
// never call back into the loader; one that cannot be delivered is followed by RemoveWorker.
class ModelPort {
 public:
  virtual ~ModelPort() = default;
  // The first message of all: the worker loads and warms these before it grants credit.
  virtual void SendWelcome(const std::vector<LoadOrder>& preload) = 0;
  virtual void SendLoad(const LoadOrder& order) = 0;
  // Nobody waits for the load of this number any more.
  virtual void SendCancelLoad(std::uint64_t number) = 0;
  virtual void SendUnload(const ModelVersion& model) = 0;
};

// Thread-safe, never blocks. Lock order: loader, then registry or port.
class ModelLoader final : public ModelLoads {
 public:
  // A worker has no more models than this at a time, and may say so often again what is known
  // already, before it counts as broken.
  static constexpr std::size_t kMaxModels = 256;
  static constexpr std::uint32_t kMaxRepeats = 1024;

  // `models` says what is kept; outlives the loader.
  explicit ModelLoader(const ModelRegistry& models);

  // A serving worker that has `loaded` in memory already. Welcomes it: what is kept and what is
  // being loaded are its preload.
  void AddWorker(WorkerId id, std::shared_ptr<ModelPort> port, const std::vector<ModelKey>& loaded)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // FAILED_PRECONDITION: it tells more than a worker can have to tell; it cannot be trusted.
  absl::Status OnReport(WorkerId id, const ModelReport& report) ABSL_LOCKS_EXCLUDED(mutex_);
  // No effect when it is unknown.
  void RemoveWorker(WorkerId id) ABSL_LOCKS_EXCLUDED(mutex_);

  Ticket Load(const ModelVersion& model, Done done) override ABSL_LOCKS_EXCLUDED(mutex_);
  Ticket Unload(const ModelVersion& model, Done done) override ABSL_LOCKS_EXCLUDED(mutex_);
  void Forget(Ticket ticket) override ABSL_LOCKS_EXCLUDED(mutex_);
  void Withdraw(Ticket ticket) override ABSL_LOCKS_EXCLUDED(mutex_);
  std::uint32_t Workers() const override ABSL_LOCKS_EXCLUDED(mutex_);
  std::uint32_t LoadedWorkers(const ModelVersion& model) const override ABSL_LOCKS_EXCLUDED(mutex_);

  // The checksums of what this worker has in memory.
  std::set<std::string> LoadedBy(WorkerId id) const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Worker {
    std::shared_ptr<ModelPort> port;
    std::set<ModelKey> loaded;
    std::uint32_t repeats = 0;
  };
  struct Operation {
    bool loads = true;  // false: unloads
    ModelVersion model;
    ModelKey key;
    std::set<WorkerId> waiting;  // have not answered
    std::set<WorkerId> fresh;    // were sent the load without having the model
    bool succeeded = false;      // in one worker at least
    bool open = true;            // for equal loads; no unload came since
    bool goes_on = false;        // also when nobody waits for it any more
    std::map<Ticket, Done> waiters;
  };
  using Operations = std::map<Ticket, Operation>;  // by the ticket of the first that asked

  // An answer that is owed once the lock is released.
  struct Answer {
    Done done;
    absl::Status status;
  };
  using Answers = std::vector<Answer>;
  static void Deliver(Answers answers);

  // Whether `report` tells anything new; keeps the books.
  bool Learn(Worker& worker, const ModelReport& report) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // `id` has told of a model. A load is answered only by what carries its ticket: a worker may have
  // the model ready for a task, and not be warm yet. A failure ends it.
  void Advance(WorkerId id, const ModelReport& report, Answers& answers)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Operations::iterator Finish(Operations::iterator operation, const absl::Status& status,
                              Answers& answers) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // A load under way that does all that this one would; nullptr: there is none.
  Operation* FindEqual(const ModelVersion& model) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Takes the ticket's waiter out; the operation goes with the last one.
  Done Leave(Ticket ticket, bool goes_on) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Takes a failed load back where it changed something, unless another load wants the same.
  void TakeBack(const Operation& failed) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const ModelRegistry& models_;
  mutable absl::Mutex mutex_;
  std::map<WorkerId, Worker> workers_ ABSL_GUARDED_BY(mutex_);
  Operations operations_ ABSL_GUARDED_BY(mutex_);
  Ticket next_ticket_ ABSL_GUARDED_BY(mutex_);  // also the number of a load's order
};

}  // namespace atelier::server
