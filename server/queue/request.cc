#include "server/queue/request.h"

#include <utility>

#include "common/check.h"

namespace atelier::server {

Request::Request(RequestId id, Work work, RequestTraits traits, absl::Time deadline, Done done)
    : id_(id),
      work_(std::make_shared<const Work>(std::move(work))),
      traits_(std::move(traits)),
      deadline_(deadline),
      done_(std::move(done)) {}

void Request::Dispatch(absl::Time now) {
  ATELIER_CHECK(state_ == RequestState::kQueued);
  state_ = RequestState::kDispatched;
  dispatched_at_ = now;
}

bool Request::TryRequeue() {
  ATELIER_CHECK(state_ == RequestState::kDispatched);
  if (lost_once_) {
    return false;
  }
  lost_once_ = true;
  state_ = RequestState::kQueued;
  return true;
}

bool Request::TryPassOn() {
  ATELIER_CHECK(state_ == RequestState::kDispatched);
  if (declined_ == kMaxDeclined) {
    return false;
  }
  ++declined_;
  state_ = RequestState::kQueued;
  return true;
}

void Request::Return() {
  ATELIER_CHECK(state_ == RequestState::kDispatched);
  state_ = RequestState::kQueued;
}

Request::Done Request::Finish() {
  ATELIER_CHECK(state_ != RequestState::kDone);
  state_ = RequestState::kDone;
  return std::move(done_);
}

}  // namespace atelier::server
