#include "worker/serve/model_cache.h"

#include <algorithm>
#include <iterator>
#include <tuple>
#include <utility>
#include <vector>

#include "common/status_macros.h"
#include "worker/infer/guard.h"
#include "worker/serve/model_errors.h"

namespace atelier::worker {
namespace {

absl::Status GivenUp() { return absl::CancelledError("Nobody waits for this load any more."); }

}  // namespace

std::shared_ptr<infer::Model> ModelCache::InMemory(const ModelSource& source) {
  std::shared_ptr<infer::Model> model;
  std::vector<EntryPtr> dropped;
  {
    absl::MutexLock lock(&mu_);
    const auto found = Find(source);
    if (found == entries_.end() || (*found)->loading) {
      return nullptr;
    }
    entries_.splice(entries_.begin(), entries_, found);
    model = (*found)->model;
    Evict(dropped);  // models grow while they are used: by their weights in bf16
  }
  if (!dropped.empty()) {
    Deliver();
  }
  return model;
}

absl::StatusOr<std::shared_ptr<infer::Model>> ModelCache::Get(const ModelSource& source) {
  EntryPtr entry;
  {
    absl::MutexLock lock(&mu_);
    bool is_new = false;
    std::tie(entry, is_new) = FindOrAdd(source);
    if (!is_new) {
      AwaitLoad(*entry);
      if (!entry->status.ok()) {
        return entry->status;
      }
      return entry->model;
    }
  }
  return Load(entry, nullptr);
}

void ModelCache::Keep(const ModelSource& source, const std::vector<std::uint32_t>& sizes,
                      std::uint64_t order, const std::function<bool()>& still_wanted) {
  EntryPtr entry;
  bool is_new = false;
  {
    absl::MutexLock lock(&mu_);
    std::tie(entry, is_new) = FindOrAdd(source);
  }
  const Wish wish{.sizes = sizes, .order = order, .still_wanted = still_wanted};
  if (is_new) {
    Load(entry, &wish).IgnoreError();
  } else {
    KeepLoaded(entry, wish);
  }
}

void ModelCache::Refuse(const ModelSource& source, const absl::Status& why, std::uint64_t order) {
  {
    absl::MutexLock lock(&mu_);
    Failed(source, why, order);
  }
  Deliver();
}

void ModelCache::KeepLoaded(const EntryPtr& entry, const Wish& wish) {
  Sizes cold;
  absl::Status status;
  std::shared_ptr<infer::Model> model;
  bool was_kept = false;
  {
    absl::MutexLock lock(&mu_);
    AwaitLoad(*entry);
    // At once, so that it is not dropped meanwhile.
    was_kept = std::exchange(entry->kept, true);
    status = entry->status;
    model = entry->model;
    std::ranges::copy_if(wish.sizes, std::back_inserter(cold), [&](std::uint32_t size) {
      return std::ranges::find(entry->warm, size) == entry->warm.end();
    });
  }
  Sizes warm;
  if (status.ok()) {
    status = Warm(*model, cold, wish, warm);
  }
  {
    absl::MutexLock lock(&mu_);
    entry->warm.insert(entry->warm.end(), warm.begin(), warm.end());
    if (status.ok() && std::ranges::find(entries_, entry) == entries_.end()) {
      status = absl::ResourceExhaustedError("it was dropped while it was warmed");
    }
    if (status.ok()) {
      Ready(*entry, wish.order);
    } else {
      entry->kept = was_kept;
      Failed(entry->source, status, wish.order);
    }
  }
  Deliver();
}

void ModelCache::Drop(const ModelSource& source) {
  EntryPtr dropped;  // freed after the lock is released
  {
    absl::MutexLock lock(&mu_);
    if (const auto found = Find(source); found != entries_.end()) {
      dropped = *found;
      AwaitLoad(*dropped);
      entries_.remove(dropped);
    }
    Unloaded(source);
  }
  Deliver();
}

void ModelCache::Watch(const std::vector<ModelSource>& known, Observer observer) {
  absl::MutexLock deliver(&deliver_mu_);
  DeliverAll();
  observer_ = std::move(observer);
  {
    absl::MutexLock lock(&mu_);
    for (const ModelSource& source : known) {
      if (Find(source) == entries_.end()) {
        Unloaded(source);
      }
    }
    for (const EntryPtr& entry : entries_) {
      if (!entry->loading) {
        Ready(*entry, /*order=*/0);
      }
    }
  }
  DeliverAll();
}

std::vector<ModelSource> ModelCache::Loaded() const {
  std::vector<ModelSource> loaded;
  absl::MutexLock lock(&mu_);
  for (const EntryPtr& entry : entries_) {
    if (!entry->loading) {
      loaded.push_back(entry->source);
    }
  }
  return loaded;
}

ModelCache::Figures ModelCache::figures() const {
  absl::MutexLock lock(&mu_);
  return Count();
}

std::pair<ModelCache::EntryPtr, bool> ModelCache::FindOrAdd(const ModelSource& source) {
  if (const auto found = Find(source); found != entries_.end()) {
    entries_.splice(entries_.begin(), entries_, found);
    return {*found, false};
  }
  auto entry = std::make_shared<Entry>();
  entry->source = source;
  entries_.push_front(entry);
  return {std::move(entry), true};
}

absl::StatusOr<std::shared_ptr<infer::Model>> ModelCache::Load(const EntryPtr& entry,
                                                               const Wish* wish) {
  Sizes warm;
  absl::StatusOr<std::shared_ptr<infer::Model>> loaded = LoadWarm(entry->source, wish, warm);
  // Freed after the lock is released: giving back hundreds of megabytes takes a while.
  std::vector<EntryPtr> dropped;
  {
    absl::MutexLock lock(&mu_);
    entry->loading = false;
    entry->status = loaded.status();
    if (loaded.ok()) {
      const bool keep = wish != nullptr && warm.size() == wish->sizes.size();
      entry->model = *loaded;
      entry->kept = entry->kept || keep;
      entry->warm = warm;
      Ready(*entry, keep ? wish->order : 0);
      if (wish != nullptr && !keep) {
        Failed(entry->source, GivenUp(), wish->order);
      }
      Evict(dropped);
    } else {
      entries_.remove(entry);
      // Whoever needed it for a task tells its caller.
      if (wish != nullptr) {
        Failed(entry->source, loaded.status(), wish->order);
      }
    }
  }
  Deliver();
  return loaded;
}

absl::StatusOr<std::shared_ptr<infer::Model>> ModelCache::LoadWarm(const ModelSource& source,
                                                                   const Wish* wish,
                                                                   Sizes& warm) const {
  // Guarded: an exception would leave the entry loading for ever.
  absl::StatusOr<std::unique_ptr<infer::Model>> loaded = infer::Guarded("loading a model", [&] {
    return options_.load({.directory = source.directory,
                          .weights_sha256 = source.weights_sha256,
                          .device = options_.device,
                          .feature_weights = options_.feature_weights});
  });
  ATELIER_RETURN_IF_ERROR(loaded.status());
  if (wish != nullptr) {
    absl::Status warmed = Warm(**loaded, wish->sizes, *wish, warm);
    // Tasks may wait for it, whoever does not any more.
    if (!warmed.ok() && !absl::IsCancelled(warmed)) {
      return warmed;
    }
  }
  return std::shared_ptr<infer::Model>(loaded->release(),
                                       [dispose = options_.dispose](infer::Model* model) {
                                         dispose(std::unique_ptr<infer::Model>(model));
                                       });
}

absl::Status ModelCache::Warm(infer::Model& model, const Sizes& sizes, const Wish& wish,
                              Sizes& warm) const {
  for (const std::uint32_t size : sizes) {
    if (!wish.still_wanted()) {
      return GivenUp();
    }
    if (options_.warm_up != nullptr) {
      ATELIER_RETURN_IF_ERROR(
          infer::Guarded("warming a model", [&] { return options_.warm_up(model, Sizes{size}); }));
    }
    warm.push_back(size);
  }
  return absl::OkStatus();
}

ModelCache::Entries::iterator ModelCache::Find(const ModelSource& source) {
  return std::ranges::find_if(
      entries_, [&](const EntryPtr& entry) { return SameModel(entry->source, source); });
}

void ModelCache::AwaitLoad(const Entry& entry) {
  mu_.Await(absl::Condition(+[](const Entry* e) { return !e->loading; }, &entry));
}

void ModelCache::Evict(std::vector<EntryPtr>& dropped) {
  for (const bool kept : {false, true}) {
    for (auto entry = entries_.end();
         entry != entries_.begin() && Count().bytes > options_.budget_bytes;) {
      --entry;
      // The first one is what the caller is about to use or somebody just asked for.
      if ((*entry)->model != nullptr && (*entry)->kept == kept && entry != entries_.begin()) {
        Unloaded((*entry)->source);
        dropped.push_back(*entry);
        entry = entries_.erase(entry);
      }
    }
  }
}

ModelCache::Figures ModelCache::Count() const {
  Figures figures;
  for (const EntryPtr& entry : entries_) {
    if (entry->model != nullptr) {
      ++figures.models;
      figures.bytes += entry->model->bytes();
    }
  }
  return figures;
}

void ModelCache::Ready(const Entry& entry, std::uint64_t order) {
  events_.push_back({.model = entry.source,
                     .state = ModelEvent::State::kReady,
                     .bytes = entry.model->bytes(),
                     .order = order});
}

void ModelCache::Failed(const ModelSource& source, const absl::Status& error, std::uint64_t order) {
  events_.push_back({.model = source,
                     .state = ModelEvent::State::kFailed,
                     .status = ToldModelError(source, error),
                     .log_detail = std::string(error.message()),
                     .order = order});
}

void ModelCache::Unloaded(const ModelSource& source) {
  events_.push_back({.model = source, .state = ModelEvent::State::kUnloaded});
}

void ModelCache::Deliver() {
  absl::MutexLock deliver(&deliver_mu_);
  DeliverAll();
}

void ModelCache::DeliverAll() {
  while (true) {
    ModelEvent event;
    {
      absl::MutexLock lock(&mu_);
      if (events_.empty()) {
        return;
      }
      event = std::move(events_.front());
      events_.pop_front();
    }
    if (observer_ != nullptr) {
      observer_(event);
    }
  }
}

}  // namespace atelier::worker
