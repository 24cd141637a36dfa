// What operators and publications do to models: load, unload, promote, label, delete. One thread
// does one step after the other, so that no two of them meet; it waits for workers without holding
// up the next step.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "server/models/model_catalog.h"
#include "server/models/model_loads.h"
#include "server/models/reply.h"
#include "server/models/serving_settings.h"
#include "server/models/work_list.h"

namespace atelier::server {

// Thread-safe; never blocks. Replies come from the manager's thread and must not block it.
// UNAVAILABLE: it was stopped.
class ModelManager final : public PublicationObserver {
 public:
  struct Options {
    ModelCatalog* catalog = nullptr;  // all outlive the manager
    ModelLoads* loads = nullptr;
    Clock* clock = &SystemClock();
    // Whether requests for "name@version" are not answered yet. Thread-safe, must not block.
    std::function<bool(const std::string& model)> in_use = [](const std::string&) { return false; };
    // No load or unload is waited for longer, whatever its deadline.
    absl::Duration patience = absl::Minutes(2);
    // A version is dropped from memory once nothing has used it for this long: a request that has
    // just been resolved to it may not be accepted yet.
    absl::Duration idle = absl::Seconds(1);
    // The same in spite of its requests, which then load it again.
    absl::Duration drop_limit = absl::Minutes(2);
    // How long NAME goes on meaning the version before while the newest is loaded.
    absl::Duration takeover_limit = absl::Seconds(30);
  };

  struct Promotion {
    ModelVersion model;
    std::uint32_t previous_version = 0;
  };

  explicit ModelManager(Options options);
  ~ModelManager() override;

  // Answers what is under way and everything that comes later with UNAVAILABLE.
  void Stop();

  // How many loads and promotions may be under way, and as many unloads: of one version, so that
  // its callers leave room for others, and in all. RESOURCE_EXHAUSTED with a retry delay above
  // that.
  static constexpr std::size_t kMaxOfVersion = 64;
  static constexpr std::size_t kMaxOrders = 256;

  // Whether the caller has gone; asked from time to time until the reply is called. Empty: nobody
  // can tell.
  using GivenUp = std::function<bool()>;

  // See ModelService in models.proto. An empty `warmup_sizes` means the settings', or 256.
  // DEADLINE_EXCEEDED at `deadline`, CANCELLED when it is given up; what a worker has begun with by
  // then it may go on with, what it has not it does not do unless somebody else waits for it.
  void Load(std::string reference, std::vector<std::uint32_t> warmup_sizes, absl::Time deadline,
            Reply<ModelVersion> reply, GivenUp given_up = nullptr);
  void Unload(std::string reference, absl::Time deadline, Reply<ModelVersion> reply);
  void Promote(std::string reference, std::vector<std::uint32_t> warmup_sizes, absl::Time deadline,
               Reply<Promotion> reply, GivenUp given_up = nullptr);
  void SetLabel(std::string reference, std::string label, double traffic,
                Reply<ModelVersion> reply);
  void RemoveLabel(std::string reference, std::string label, Reply<ModelVersion> reply);
  void Delete(std::string reference, Reply<ModelVersion> reply);

  // ModelCatalog::SetSettings, and what that keeps from now on is loaded, what it keeps no longer
  // is dropped.
  void SetSettings(ServingSettings settings);

  bool IsWarm(const ModelVersion& present) const override;
  void HeldBack(const ModelVersion& next) override;

 private:
  using Then = absl::AnyInvocable<void(const absl::Status&)>;

  // kFollow: a load that no operator asked for.
  enum class Step { kLoad, kPromote, kFollow, kUnload };

  // A load or an unload under way.
  struct Wait {
    Step step = Step::kFollow;
    ModelVersion model;
    ModelLoads::Ticket ticket = 0;
    absl::Time deadline;
    Then then;
    GivenUp given_up;
    bool overtaken = false;  // an operator has ordered the contrary since
  };

  // A version on its way out of memory.
  struct Drop {
    ModelVersion model;
    bool deletes = false;  // its files, too
    absl::Time idle_since;
    absl::Time limit;
  };

  void Run();
  absl::Time NextDue(absl::Time now) const;
  void ExpireWaits(absl::Time now);
  void TendDrops(absl::Time now);
  // False: it has to stay a little longer.
  bool TryDrop(Drop& drop, absl::Time now);

  // `then` gets ABORTED when it was overtaken.
  void Begin(Step step, const ModelVersion& model, absl::Time deadline, Then then,
             GivenUp given_up = nullptr);
  // RESOURCE_EXHAUSTED: too much of the kind is under way.
  absl::Status RoomFor(const ModelVersion& model, bool loads) const;
  // The last order of an operator counts, however long those before it take. These are for one that
  // unloads, and one that makes this version of `name` (0: none) the stable one: what is under way
  // and contradicts it will change nothing.
  void OvertakeLoads(const ModelVersion& unloaded);
  void OvertakePromotions(const std::string& name, std::uint32_t stable);
  void DropWhenIdle(const ModelVersion& model, bool deletes);
  void StayLoaded(const ModelVersion& model);
  void LoadQuietly(const ModelVersion& model);
  // To workers that came while it was loaded elsewhere, before it was kept.
  void LoadWhereMissing(const ModelVersion& model);
  using KeptVersions = std::map<std::pair<std::string, std::uint32_t>, ModelVersion>;
  KeptVersions KeptOf() const;
  // Loads what is kept now and was not before, drops what was and is not.
  void FollowKept(const KeptVersions& before);
  void ChangeLabel(std::string reference,
                   std::function<absl::StatusOr<ModelVersion>(const std::string& reference)> change,
                   Reply<ModelVersion> reply);
  absl::StatusOr<ModelVersion> Find(const std::string& reference,
                                    std::vector<std::uint32_t> warmup_sizes) const;
  absl::StatusOr<ModelVersion> Present(const ModelVersion& model) const;
  void TakeOver(const ModelVersion& next);

  const Options options_;
  // Outlives the manager in callbacks that come late.
  const std::shared_ptr<WorkList> work_;
  // The thread's own.
  std::map<std::uint64_t, Wait> waits_;
  std::uint64_t next_wait_ = 1;
  std::vector<Drop> drops_;
  std::thread thread_;
};

}  // namespace atelier::server
