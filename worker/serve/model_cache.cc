#include "worker/serve/model_cache.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "worker/infer/guard.h"

namespace atelier::worker {
namespace {

bool SameModel(const ModelSource& a, const ModelSource& b) {
  return a.directory == b.directory && a.version == b.version &&
         a.weights_sha256 == b.weights_sha256;
}

}  // namespace

absl::StatusOr<std::shared_ptr<infer::Model>> ModelCache::Get(const ModelSource& source) {
  std::shared_ptr<Entry> entry;
  {
    absl::MutexLock lock(&mu_);
    if (const auto found = Find(source); found != entries_.end()) {
      entries_.splice(entries_.begin(), entries_, found);
      entry = *found;
      mu_.Await(absl::Condition(+[](Entry* e) { return !e->loading; }, entry.get()));
      if (!entry->status.ok()) {
        return entry->status;
      }
      return entry->model;
    }
    entry = std::make_shared<Entry>();
    entry->source = source;
    entries_.push_front(entry);
  }

  // Guarded: an exception would leave the entry loading for ever.
  absl::StatusOr<std::unique_ptr<infer::Model>> loaded = infer::Guarded("loading a model", [&] {
    return options_.load({.directory = source.directory,
                          .weights_sha256 = source.weights_sha256,
                          .device = options_.device,
                          .feature_weights = options_.feature_weights});
  });

  // Freed after the lock is released: giving back hundreds of megabytes takes a while.
  std::vector<std::shared_ptr<Entry>> dropped;
  absl::MutexLock lock(&mu_);
  entry->loading = false;
  entry->status = loaded.status();
  if (!loaded.ok()) {
    entries_.remove(entry);
    return loaded.status();
  }
  entry->model = *std::move(loaded);
  Evict(dropped);
  return entry->model;
}

ModelCache::Figures ModelCache::figures() const {
  absl::MutexLock lock(&mu_);
  return Count();
}

ModelCache::Entries::iterator ModelCache::Find(const ModelSource& source) {
  return std::find_if(entries_.begin(), entries_.end(), [&](const std::shared_ptr<Entry>& entry) {
    return SameModel(entry->source, source);
  });
}

void ModelCache::Evict(std::vector<std::shared_ptr<Entry>>& dropped) {
  for (auto entry = entries_.end();
       entry != entries_.begin() && Count().bytes > options_.budget_bytes;) {
    --entry;
    // The first one is what the caller is about to use or somebody just asked for.
    if ((*entry)->model != nullptr && entry != entries_.begin()) {
      dropped.push_back(*entry);
      entry = entries_.erase(entry);
    }
  }
}

ModelCache::Figures ModelCache::Count() const {
  Figures figures;
  for (const std::shared_ptr<Entry>& entry : entries_) {
    if (entry->model != nullptr) {
      ++figures.models;
      figures.bytes += entry->model->bytes();
    }
  }
  return figures;
}

}  // namespace atelier::worker
