#include "server/jobs/lease_table.h"

#include <algorithm>

#include "common/check.h"

namespace atelier::server {

void LeaseTable::Add(const internal::v1::StartJob& start, absl::Time dial_deadline) {
  const absl::MutexLock lock(&mutex_);
  const bool added =
      leases_.emplace(start.spec().job_id(), Lease{.start = start, .dial_deadline = dial_deadline})
          .second;
  ATELIER_CHECK(added);
}

bool LeaseTable::Remove(std::string_view job_id, std::uint64_t fence) {
  const absl::MutexLock lock(&mutex_);
  if (Find(job_id, fence) == nullptr) {
    return false;
  }
  leases_.erase(leases_.find(job_id));
  return true;
}

bool LeaseTable::Holds(std::string_view job_id) const {
  const absl::MutexLock lock(&mutex_);
  return leases_.find(job_id) != leases_.end();
}

bool LeaseTable::Holds(std::string_view job_id, std::uint64_t fence) const {
  const absl::MutexLock lock(&mutex_);
  return Find(job_id, fence) != nullptr;
}

std::size_t LeaseTable::size() const {
  const absl::MutexLock lock(&mutex_);
  return leases_.size();
}

absl::StatusOr<internal::v1::StartJob> LeaseTable::Connect(std::string_view job_id,
                                                           std::uint64_t fence) {
  const absl::MutexLock lock(&mutex_);
  const auto lease = leases_.find(job_id);
  if (lease == leases_.end() || lease->second.start.fence() != fence || lease->second.connected ||
      lease->second.order.has_value()) {
    return absl::PermissionDeniedError("this lease of the job is not the present one");
  }
  lease->second.connected = true;
  return lease->second.start;
}

bool LeaseTable::Order(std::string_view job_id, std::uint64_t fence, const StopOrder& order) {
  const absl::MutexLock lock(&mutex_);
  const auto lease = leases_.find(job_id);
  if (lease == leases_.end() || lease->second.start.fence() != fence ||
      (lease->second.order.has_value() &&
       lease->second.order->kill_after_ms <= order.kill_after_ms)) {
    return false;
  }
  lease->second.order = order;
  return true;
}

std::optional<StopOrder> LeaseTable::OrderOf(std::string_view job_id, std::uint64_t fence) const {
  const absl::MutexLock lock(&mutex_);
  const Lease* lease = Find(job_id, fence);
  return lease == nullptr ? std::nullopt : lease->order;
}

std::vector<LeaseName> LeaseTable::All() const {
  const absl::MutexLock lock(&mutex_);
  std::vector<LeaseName> names;
  for (const auto& [job_id, lease] : leases_) {
    names.push_back({.job_id = job_id, .fence = lease.start.fence()});
  }
  return names;
}

std::vector<LeaseName> LeaseTable::Overdue(absl::Time now) const {
  const absl::MutexLock lock(&mutex_);
  std::vector<LeaseName> names;
  for (const auto& [job_id, lease] : leases_) {
    if (!lease.connected && !lease.order.has_value() && lease.dial_deadline <= now) {
      names.push_back({.job_id = job_id, .fence = lease.start.fence()});
    }
  }
  return names;
}

absl::Time LeaseTable::NextDialDeadline() const {
  const absl::MutexLock lock(&mutex_);
  absl::Time next = absl::InfiniteFuture();
  for (const auto& [job_id, lease] : leases_) {
    if (!lease.connected && !lease.order.has_value()) {
      next = std::min(next, lease.dial_deadline);
    }
  }
  return next;
}

const LeaseTable::Lease* LeaseTable::Find(std::string_view job_id, std::uint64_t fence) const {
  const auto lease = leases_.find(job_id);
  return lease == leases_.end() || lease->second.start.fence() != fence ? nullptr : &lease->second;
}

}  // namespace atelier::server
