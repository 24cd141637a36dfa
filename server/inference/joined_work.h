// Several pieces of work that are one request: answered together, or by the first error, which
// cancels the others.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "server/desk/work_desk.h"

namespace atelier::server {

// Thread-safe, never blocks.
class JoinedWork final : public std::enable_shared_from_this<JoinedWork> {
 public:
  // All OK and in the order of the works, or the first error. Called once, on any thread, also
  // before Start returns. Must not block.
  using Done = absl::AnyInvocable<void(absl::StatusOr<std::vector<WorkAnswer>>) &&>;

  // For `works` pieces, at least one; `desk` outlives the object.
  static std::shared_ptr<JoinedWork> Create(WorkDesk& desk, std::size_t works, Done done);

  // Once.
  void Start(std::vector<Work> works, const WorkTerms& terms) ABSL_LOCKS_EXCLUDED(mutex_);

  // See WorkDesk::Awaited; after Start.
  void Awaited();

  // The answer is CANCELLED then, unless all were there already. Also before or during Start.
  void Cancel() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  JoinedWork(WorkDesk& desk, std::size_t works, Done done);

  void OnAnswer(std::size_t place, WorkAnswer answer) ABSL_LOCKS_EXCLUDED(mutex_);
  // Whether an answer is of no use any more.
  bool stopped() const ABSL_LOCKS_EXCLUDED(mutex_);
  void CancelAll();

  WorkDesk& desk_;
  std::vector<RequestId> ids_;  // never changes
  mutable absl::Mutex mutex_;
  std::vector<std::optional<WorkAnswer>> answers_ ABSL_GUARDED_BY(mutex_);
  std::size_t missing_ ABSL_GUARDED_BY(mutex_);
  absl::Status error_ ABSL_GUARDED_BY(mutex_);  // the first
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  Done done_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace atelier::server
