// The sessions of all connected workers, and the watch over their silence.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string_view>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/dispatch/link/worker_session.h"

namespace atelier::server {

// Thread-safe.
class SessionTable {
 public:
  // Starts the thread that looks for silent workers.
  explicit SessionTable(const WorkerSession::Context& context);
  // Closes every session.
  ~SessionTable();

  std::shared_ptr<WorkerSession> Open(std::shared_ptr<LinkTransport> control, LinkPeer peer = {});
  // nullptr when there is none with this number.
  std::shared_ptr<WorkerSession> Find(WorkerId id) const;
  // See WorkerSession::FindFolder. PERMISSION_DENIED also when there is no such session.
  absl::StatusOr<SharedFolder> FindFolder(WorkerId id, std::string_view name,
                                          const LinkPeer& peer) const;
  void CloseAll(const absl::Status& why);

 private:
  void Watch() ABSL_LOCKS_EXCLUDED(mutex_);
  void Check(absl::Time now, bool overslept) ABSL_LOCKS_EXCLUDED(mutex_);
  void Retire(WorkerId id, WorkerSession& session) ABSL_LOCKS_EXCLUDED(mutex_);
  std::map<WorkerId, std::shared_ptr<WorkerSession>> Sessions() const ABSL_LOCKS_EXCLUDED(mutex_);

  const WorkerSession::Context context_;
  mutable absl::Mutex mutex_;
  absl::CondVar stopped_;
  std::map<WorkerId, std::shared_ptr<WorkerSession>> sessions_ ABSL_GUARDED_BY(mutex_);
  // Those that the last check found closed.
  std::set<WorkerId> closed_ ABSL_GUARDED_BY(mutex_);
  WorkerId next_id_ ABSL_GUARDED_BY(mutex_) = 1;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread watcher_;
};

}  // namespace atelier::server
