#include "server/models/model_statistics.h"

#include <algorithm>
#include <string>

#include "server/models/identity_model.h"

namespace atelier::server {

void ModelStatisticsTable::Served(const std::string& name, std::uint32_t version,
                                  const ServedPictures& served, absl::Time now) {
  const std::uint32_t size = std::max<std::uint32_t>(1, served.batch_size);
  const absl::MutexLock lock(&mutex_);
  ModelStatistics& entry = Entry(name, version);
  entry.last_inference = std::max(entry.last_inference, now);
  entry.pictures += served.pictures;
  entry.success.Add(served.total);
  entry.queue.Add(served.queue);
  entry.decode.Add(served.decode);
  entry.compute.Add(served.compute);
  entry.encode.Add(served.encode);
  const double share = 1.0 / size;
  entry.executions += share;
  ModelStatistics::Batch& batch = entry.batches[size];
  batch.executions += share;
  batch.decode += served.decode;
  batch.compute += served.compute * share;  // each picture tells the time of the whole batch
  batch.encode += served.encode;
}

void ModelStatisticsTable::ServedFromCache(const std::string& name, std::uint32_t version,
                                           absl::Duration total, absl::Time now) {
  const absl::MutexLock lock(&mutex_);
  ModelStatistics& entry = Entry(name, version);
  entry.last_inference = std::max(entry.last_inference, now);
  entry.success.Add(total);
  entry.queue.Add(absl::ZeroDuration());
  entry.cache_hit.Add(total);
}

void ModelStatisticsTable::CacheMissed(const std::string& name, std::uint32_t version,
                                       absl::Duration time) {
  const absl::MutexLock lock(&mutex_);
  Entry(name, version).cache_miss.Add(time);
}

void ModelStatisticsTable::Failed(const std::string& name, std::uint32_t version,
                                  absl::Duration total) {
  const absl::MutexLock lock(&mutex_);
  Entry(name, version).fail.Add(total);
}

ModelStatistics ModelStatisticsTable::Of(const std::string& name, std::uint32_t version) const {
  const absl::MutexLock lock(&mutex_);
  const auto found = entries_.find(Key(name, version));
  return found == entries_.end() ? ModelStatistics() : found->second;
}

std::size_t ModelStatisticsTable::size() const {
  const absl::MutexLock lock(&mutex_);
  return entries_.size();
}

ModelStatistics& ModelStatisticsTable::Entry(const std::string& name, std::uint32_t version) {
  const auto found = entries_.find(Key(name, version));
  if (found != entries_.end()) {
    return found->second;
  }
  // A new version is rare, and the time to let go of those that were deleted.
  std::erase_if(entries_, [this](const auto& entry) {
    const auto& [of, kept] = entry.first;
    return of != kIdentityModel && !models_.Resolve(NameAtVersion(of, kept)).ok();
  });
  return entries_[Key(name, version)];
}

}  // namespace atelier::server
