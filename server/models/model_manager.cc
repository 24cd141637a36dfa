#include "server/models/model_manager.h"

#include <algorithm>

#include "common/errors.h"
#include "common/names.h"
#include "common/status_macros.h"
#include "spdlog/spdlog.h"

namespace atelier::server {
namespace {

constexpr std::size_t kMaxSizes = 8;
constexpr std::uint32_t kLeastSide = 16;
constexpr std::uint32_t kMostSide = 1024;
// How often a version on its way out is looked at.
constexpr absl::Duration kDropInterval = absl::Milliseconds(250);
// How often callers are asked whether they are still there.
constexpr absl::Duration kGivenUpInterval = absl::Milliseconds(250);
// How long the files of a deleted version wait for workers that still have it.
constexpr absl::Duration kLastTasks = absl::Minutes(1);

absl::Status CheckSizes(const std::vector<std::uint32_t>& sizes) {
  const bool in_range = std::ranges::all_of(
      sizes, [](std::uint32_t size) { return size >= kLeastSide && size <= kMostSide; });
  return sizes.size() <= kMaxSizes && in_range
             ? absl::OkStatus()
             : InvalidField("warmup_sizes", "must be at most 8 sizes of 16 to 1024");
}

// For changes that must not depend on what NAME happens to mean now.
absl::Status CheckSaysWhich(const std::string& reference, bool by_number) {
  ATELIER_ASSIGN_OR_RETURN(const ModelRef ref, ParseModelRef("model", reference));
  if (by_number && ref.version == 0) {
    return InvalidField("model", "must be NAME@VERSION");
  }
  if (ref.version == 0 && ref.label.empty()) {
    return InvalidField("model", "must say which version: NAME@VERSION or NAME@LABEL");
  }
  return absl::OkStatus();
}

bool SameVersion(const ModelVersion& a, const ModelVersion& b) {
  return a.name == b.name && a.version == b.version;
}

}  // namespace

ModelManager::ModelManager(Options options)
    : options_(std::move(options)),
      work_(std::make_shared<WorkList>(*options_.clock)),
      thread_([this] { Run(); }) {
  options_.catalog->SetObserver(this);
}

ModelManager::~ModelManager() { Stop(); }

void ModelManager::Stop() {
  options_.catalog->SetObserver(nullptr);
  work_->Close();
  if (thread_.joinable()) {
    thread_.join();
  }
}

void ModelManager::Load(std::string reference, std::vector<std::uint32_t> warmup_sizes,
                        absl::Time deadline, Reply<ModelVersion> reply, GivenUp given_up) {
  work_->Add([this, reference = std::move(reference), sizes = std::move(warmup_sizes), deadline,
              reply = std::move(reply), given_up = std::move(given_up)]() mutable {
    const absl::StatusOr<ModelVersion> model = Find(reference, std::move(sizes));
    if (!model.ok()) {
      return reply(model.status());
    }
    if (absl::Status full = RoomFor(*model, /*loads=*/true); !full.ok()) {
      return reply(std::move(full));
    }
    Begin(
        Step::kLoad, *model, deadline,
        [this, model = *model, reply = std::move(reply)](const absl::Status& loaded) mutable {
          const absl::Status kept = loaded.ok() ? options_.catalog->Keep(model) : loaded;
          if (!kept.ok()) {
            return reply(kept);
          }
          LoadWhereMissing(model);
          reply(Present(model));
        },
        std::move(given_up));
  });
}

void ModelManager::Unload(std::string reference, absl::Time deadline, Reply<ModelVersion> reply) {
  work_->Add([this, reference = std::move(reference), deadline,
              reply = std::move(reply)]() mutable {
    const absl::StatusOr<ModelVersion> model = Find(reference, {});
    if (!model.ok()) {
      return reply(model.status());
    }
    if (absl::Status full = RoomFor(*model, /*loads=*/false); !full.ok()) {
      return reply(std::move(full));
    }
    if (const absl::Status released = options_.catalog->Release(*model); !released.ok()) {
      return reply(released);
    }
    OvertakeLoads(*model);
    Begin(Step::kUnload, *model, deadline,
          [this, model = *model, reply = std::move(reply)](const absl::Status& unloaded) mutable {
            reply(unloaded.ok() ? Present(model) : unloaded);
          });
  });
}

void ModelManager::Promote(std::string reference, std::vector<std::uint32_t> warmup_sizes,
                           absl::Time deadline, Reply<Promotion> reply, GivenUp given_up) {
  work_->Add([this, reference = std::move(reference), sizes = std::move(warmup_sizes), deadline,
              reply = std::move(reply), given_up = std::move(given_up)]() mutable {
    const absl::Status says = CheckSaysWhich(reference, /*by_number=*/false);
    const absl::StatusOr<ModelVersion> model = says.ok() ? Find(reference, std::move(sizes)) : says;
    if (!model.ok()) {
      return reply(model.status());
    }
    if (absl::Status full = RoomFor(*model, /*loads=*/true); !full.ok()) {
      return reply(std::move(full));
    }
    OvertakePromotions(model->name, model->version);
    Begin(
        Step::kPromote, *model, deadline,
        [this, model = *model, reply = std::move(reply)](const absl::Status& loaded) mutable {
          if (!loaded.ok()) {
            return reply(loaded);
          }
          const auto previous = options_.catalog->Promote(model);
          if (!previous.ok()) {
            return reply(previous.status());
          }
          LoadWhereMissing(model);
          Promotion promotion;
          if (previous->has_value()) {
            promotion.previous_version = (*previous)->version;
            DropWhenIdle(**previous, /*deletes=*/false);
          }
          absl::StatusOr<ModelVersion> present = Present(model);
          if (!present.ok()) {
            return reply(present.status());
          }
          promotion.model = *std::move(present);
          reply(std::move(promotion));
        },
        std::move(given_up));
  });
}

void ModelManager::SetLabel(std::string reference, std::string label, double traffic,
                            Reply<ModelVersion> reply) {
  ChangeLabel(
      std::move(reference),
      [this, label = std::move(label), traffic](const std::string& model) {
        auto changed = options_.catalog->SetLabel(model, label, traffic);
        if (changed.ok() && label == kStableLabel) {
          OvertakePromotions(changed->name, changed->version);
        }
        return changed;
      },
      std::move(reply));
}

void ModelManager::RemoveLabel(std::string reference, std::string label,
                               Reply<ModelVersion> reply) {
  ChangeLabel(
      std::move(reference),
      [this, label = std::move(label)](const std::string& model) {
        auto changed = options_.catalog->RemoveLabel(model, label);
        if (changed.ok() && label == kStableLabel) {
          OvertakePromotions(changed->name, 0);
        }
        return changed;
      },
      std::move(reply));
}

void ModelManager::ChangeLabel(
    std::string reference,
    std::function<absl::StatusOr<ModelVersion>(const std::string& reference)> change,
    Reply<ModelVersion> reply) {
  work_->Add([this, reference = std::move(reference), change = std::move(change),
              reply = std::move(reply)]() mutable {
    if (const absl::Status says = CheckSaysWhich(reference, /*by_number=*/false); !says.ok()) {
      return reply(says);
    }
    const auto before = KeptOf();
    const absl::StatusOr<ModelVersion> changed = change(reference);
    FollowKept(before);
    reply(changed.ok() ? Present(*changed) : changed);
  });
}

void ModelManager::Delete(std::string reference, Reply<ModelVersion> reply) {
  work_->Add([this, reference = std::move(reference), reply = std::move(reply)]() mutable {
    if (const absl::Status says = CheckSaysWhich(reference, /*by_number=*/true); !says.ok()) {
      return reply(says);
    }
    absl::StatusOr<ModelVersion> deleted = options_.catalog->Delete(reference);
    if (deleted.ok()) {
      StayLoaded(*deleted);
      DropWhenIdle(*deleted, /*deletes=*/true);
    }
    reply(std::move(deleted));
  });
}

void ModelManager::SetSettings(ServingSettings settings) {
  work_->Add([this, settings = std::move(settings)]() mutable {
    const auto before = KeptOf();
    options_.catalog->SetSettings(std::move(settings));
    FollowKept(before);
  });
}

bool ModelManager::IsWarm(const ModelVersion& present) const {
  return present.kept || options_.loads->LoadedWorkers(present) > 0;
}

void ModelManager::HeldBack(const ModelVersion& next) {
  work_->Add([this, next] { TakeOver(next); });
}

void ModelManager::TakeOver(const ModelVersion& next) {
  const absl::StatusOr<ModelVersion> model = Present(next);
  if (!model.ok()) {
    return;  // deleted already
  }
  Begin(Step::kFollow, *model, options_.clock->Now() + options_.takeover_limit,
        [this, model = *model](const absl::Status& loaded) {
          if (!loaded.ok()) {
            spdlog::warn("{} takes over without having been loaded: {}", NameAtVersion(model),
                         std::string(loaded.message()));
          }
          const auto before = options_.catalog->Announce(model);
          if (!before.ok()) {
            spdlog::error("the server's database does not take what is kept: {}",
                          std::string(before.status().message()));
          } else if (before->has_value()) {
            DropWhenIdle(**before, /*deletes=*/false);
          }
        });
}

void ModelManager::Run() {
  while (!work_->closed()) {
    for (WorkList::Work& work : work_->Take(NextDue(options_.clock->Now()))) {
      work();
      work = nullptr;
    }
    const absl::Time now = options_.clock->Now();
    ExpireWaits(now);
    TendDrops(now);
  }
  for (auto& [id, wait] : waits_) {
    options_.loads->Forget(wait.ticket);
  }
  waits_.clear();  // their replies are UNAVAILABLE
}

absl::Time ModelManager::NextDue(absl::Time now) const {
  absl::Time due = drops_.empty() ? absl::InfiniteFuture() : now + kDropInterval;
  for (const auto& [id, wait] : waits_) {
    due = std::min(
        {due, wait.deadline, wait.given_up == nullptr ? wait.deadline : now + kGivenUpInterval});
  }
  return due;
}

void ModelManager::DropWhenIdle(const ModelVersion& model, bool deletes) {
  const absl::Time now = options_.clock->Now();
  drops_.push_back(
      {.model = model, .deletes = deletes, .idle_since = now, .limit = now + options_.drop_limit});
}

void ModelManager::StayLoaded(const ModelVersion& model) {
  std::erase_if(drops_, [&](const Drop& drop) { return SameVersion(drop.model, model); });
}

void ModelManager::TendDrops(absl::Time now) {
  std::erase_if(drops_, [&](Drop& drop) { return TryDrop(drop, now); });
}

bool ModelManager::TryDrop(Drop& drop, absl::Time now) {
  if (!drop.deletes) {
    const absl::StatusOr<ModelVersion> present = Present(drop.model);
    if (!present.ok() || present->kept || present->traffic > 0) {
      return true;  // wanted again; or deleted, which drops it
    }
  }
  if (options_.in_use(NameAtVersion(drop.model))) {
    drop.idle_since = now;
  }
  if (now < drop.idle_since + options_.idle && now < drop.limit) {
    return false;
  }
  spdlog::info("{} is dropped from memory", NameAtVersion(drop.model));
  Begin(Step::kUnload, drop.model, now + kLastTasks,
        [this, model = drop.model, deletes = drop.deletes](const absl::Status& /*unloaded*/) {
          if (deletes) {
            options_.catalog->RemoveFiles(model);
          }
        });
  return true;
}

void ModelManager::LoadQuietly(const ModelVersion& model) {
  Begin(Step::kFollow, model, options_.clock->Now() + options_.takeover_limit,
        [model](const absl::Status& loaded) {
          if (!loaded.ok()) {
            spdlog::warn("{} is to be kept in memory and was not loaded: {}", NameAtVersion(model),
                         std::string(loaded.message()));
          }
        });
}

void ModelManager::LoadWhereMissing(const ModelVersion& model) {
  if (options_.loads->LoadedWorkers(model) < options_.loads->Workers()) {
    LoadQuietly(model);
  }
}

ModelManager::KeptVersions ModelManager::KeptOf() const {
  KeptVersions kept;
  for (const ModelVersion& model : options_.catalog->List()) {
    if (model.kept) {
      kept.emplace(std::pair(model.name, model.version), model);
    }
  }
  return kept;
}

void ModelManager::FollowKept(const KeptVersions& before) {
  const KeptVersions now = KeptOf();
  for (const auto& [key, model] : now) {
    if (!before.contains(key)) {
      LoadQuietly(model);
    }
  }
  for (const auto& [key, model] : before) {
    if (!now.contains(key)) {
      DropWhenIdle(model, /*deletes=*/false);
    }
  }
}

absl::StatusOr<ModelVersion> ModelManager::Find(const std::string& reference,
                                                std::vector<std::uint32_t> warmup_sizes) const {
  ATELIER_RETURN_IF_ERROR(CheckSizes(warmup_sizes));
  ATELIER_ASSIGN_OR_RETURN(ModelVersion model, options_.catalog->Resolve(reference));
  if (!warmup_sizes.empty()) {
    model.warmup_sizes = std::move(warmup_sizes);
  }
  return model;
}

absl::StatusOr<ModelVersion> ModelManager::Present(const ModelVersion& model) const {
  return options_.catalog->Resolve(NameAtVersion(model));
}

}  // namespace atelier::server
