#include "server/dispatch/link/session_table.h"

#include <utility>

namespace atelier::server {
namespace {

// How often silence is looked for, as a part of its limit.
constexpr int kChecksPerLimit = 10;

}  // namespace

SessionTable::SessionTable(const WorkerSession::Context& context)
    : context_(context), watcher_([this] { Watch(); }) {}

SessionTable::~SessionTable() {
  CloseAll(absl::UnavailableError("The server is stopping."));
  {
    const absl::MutexLock lock(&mutex_);
    stopping_ = true;
    stopped_.SignalAll();
  }
  watcher_.join();
}

std::shared_ptr<WorkerSession> SessionTable::Open(std::shared_ptr<LinkTransport> control,
                                                  LinkPeer peer) {
  const absl::MutexLock lock(&mutex_);
  const WorkerId id = next_id_++;
  auto session = std::make_shared<WorkerSession>(id, context_, std::move(control), std::move(peer));
  sessions_.emplace(id, session);
  return session;
}

std::shared_ptr<WorkerSession> SessionTable::Find(WorkerId id) const {
  const absl::MutexLock lock(&mutex_);
  auto session = sessions_.find(id);
  return session == sessions_.end() ? nullptr : session->second;
}

absl::StatusOr<SharedFolder> SessionTable::FindFolder(WorkerId id, std::string_view name,
                                                      const LinkPeer& peer) const {
  const std::shared_ptr<WorkerSession> session = Find(id);
  return session == nullptr ? absl::PermissionDeniedError("There is no such session.")
                            : session->FindFolder(name, peer);
}

void SessionTable::CloseAll(const absl::Status& why) {
  for (const auto& [id, session] : Sessions()) {
    session->Close(why);
  }
}

std::map<WorkerId, std::shared_ptr<WorkerSession>> SessionTable::Sessions() const {
  const absl::MutexLock lock(&mutex_);
  return sessions_;
}

void SessionTable::Watch() {
  const absl::Duration interval = context_.silence_limit / kChecksPerLimit;
  while (true) {
    const absl::Time due = context_.clock->Now() + interval;
    {
      const absl::MutexLock lock(&mutex_);
      while (!stopping_ && context_.clock->Now() < due) {
        context_.clock->WaitUntil(stopped_, mutex_, due);
      }
      if (stopping_) {
        return;
      }
    }
    const absl::Time now = context_.clock->Now();
    // A process that was stopped for a while finds everybody silent, though they were not.
    Check(now, now - due > context_.silence_limit / 2);
  }
}

void SessionTable::Check(absl::Time now, bool overslept) {
  for (const auto& [id, session] : Sessions()) {
    if (overslept) {
      session->ForgiveSilence(now);
    }
    session->CheckSilence(now);
    if (session->closed()) {
      Retire(id, *session);
    }
  }
}

void SessionTable::Retire(WorkerId id, WorkerSession& session) {
  {
    const absl::MutexLock lock(&mutex_);
    // One interval for the streams to end by themselves.
    if (closed_.insert(id).second) {
      return;
    }
    closed_.erase(id);
    sessions_.erase(id);
  }
  session.Abort();
}

}  // namespace atelier::server
