// One accepted piece of work on its way: its state and the legal moves between states are here and
// nowhere else.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/queue/traits.h"
#include "server/queue/work.h"

namespace atelier::server {

using RequestId = std::uint64_t;

//   kQueued ──► kDispatched ──► kDone
//     │  ▲           │            ▲
//     │  └───────────┘ (lost, or not begun)
//     └───────────────────────────┘ (cancelled, expired)
enum class RequestState { kQueued, kDispatched, kDone };

// Not thread-safe: the queue guards it. An illegal move is a broken invariant (ATELIER_CHECK).
class Request {
 public:
  using Done = absl::AnyInvocable<void(absl::StatusOr<Outcome>) &&>;

  // `done` is called exactly once if the queue accepts the request, otherwise never. It must not
  // block.
  Request(RequestId id, Work work, RequestTraits traits, absl::Time deadline, Done done);

  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  void Dispatch(absl::Time now);
  // Workers that may say that they could not do it; their saying so is no sign that it harms.
  static constexpr int kMaxDeclined = 4;

  // Back to kQueued because its worker was lost. False, without a move, when that has happened
  // before.
  bool TryRequeue();
  // Back to kQueued because its worker could not do it, or left. False, without a move, when that
  // has happened kMaxDeclined times.
  bool TryPassOn();
  // Back to kQueued because the worker never began with it.
  void Return();
  // From now on it has its worker to itself.
  void SetAlone() { alone_ = true; }
  // To kDone; the caller then owes the call of what this returns.
  Done Finish();

  RequestId id() const { return id_; }
  RequestState state() const { return state_; }
  const RequestTraits& traits() const { return traits_; }
  absl::Time deadline() const { return deadline_; }
  absl::Time dispatched_at() const { return dispatched_at_; }
  bool alone() const { return alone_; }
  const std::shared_ptr<const Work>& work() const { return work_; }
  std::uint64_t bytes() const { return BytesOf(*work_); }

 private:
  const RequestId id_;
  // Shared: a worker link may still be copying it when the request is cancelled.
  const std::shared_ptr<const Work> work_;
  const RequestTraits traits_;
  const absl::Time deadline_;
  Done done_;
  RequestState state_ = RequestState::kQueued;
  absl::Time dispatched_at_ = absl::InfinitePast();
  bool lost_once_ = false;
  int declined_ = 0;
  bool alone_ = false;
};

}  // namespace atelier::server
