// A stream whose messages are answered in their order, several under way at a time: bounded and
// flow-controlled.
#pragma once

#include <grpcpp/alarm.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/rpc/grpc_status.h"

namespace atelier::server {

// One message and its answer.
template <typename Request, typename Response>
class StreamTurn {
 public:
  // Called once, on any thread, also before Start returns; must not block. OK: `response` is the
  // answer. Anything else ends the stream with it, once the answers before it are sent.
  using Done = absl::AnyInvocable<void(absl::Status) &&>;

  virtual ~StreamTurn() = default;

  // `request` is needed only during the call, which may take its content. Once.
  virtual void Start(Request& request, Done done) = 0;
  // Answers of later turns are ready and wait for this one's. After Start, perhaps after `done`.
  virtual void Awaited() = 0;
  // Nobody waits any more; `done` is still called, soon. Also before or during Start.
  virtual void Cancel() = 0;

  Response response;
};

struct OrderedStreamOptions {
  // Messages that are read ahead of the answers: a client that does not read its answers is not
  // read from either.
  std::size_t window = 8;
  // A client that sends nothing for so long although it has all its answers loses the stream
  // (DEADLINE_EXCEEDED).
  absl::Duration idle_limit = absl::Seconds(60);
  // As does one that does not read the answer that waits for it (CANCELLED: nothing else ends a
  // write that nobody takes): others may wait until there is room for answers.
  absl::Duration answer_limit = absl::Seconds(60);
};

// Answers come from any thread and may come late, hence the shared ownership: gRPC holds one share
// until OnDone, every turn under way and the alarm another. gRPC never calls a reaction from within
// StartRead, StartWrite or Finish, so these are called under the lock.
template <typename Request, typename Response>
class OrderedStream final : public grpc::ServerBidiReactor<Request, Response>,
                            public std::enable_shared_from_this<OrderedStream<Request, Response>> {
 public:
  using Turn = StreamTurn<Request, Response>;
  using MakeTurn = std::function<std::shared_ptr<Turn>()>;

  // `make_turn` is called for one message after the other. gRPC owns what is returned.
  static grpc::ServerBidiReactor<Request, Response>* Start(grpc::CallbackServerContext& context,
                                                           const OrderedStreamOptions& options,
                                                           MakeTurn make_turn) {
    const auto stream =
        std::shared_ptr<OrderedStream>(new OrderedStream(context, options, std::move(make_turn)));
    const absl::MutexLock lock(&stream->mutex_);
    stream->self_ = stream;
    stream->WatchIdleness();
    stream->GoOn();
    return stream.get();
  }

 private:
  struct Place {
    std::shared_ptr<Turn> turn;
    std::optional<absl::Status> status;  // once it has ended; guarded by the stream's lock
    bool awaited = false;                // was told so; guarded by the stream's lock
  };
  using Places = std::deque<std::shared_ptr<Place>>;

  OrderedStream(grpc::CallbackServerContext& context, const OrderedStreamOptions& options,
                MakeTurn make_turn)
      : context_(context), options_(options), make_turn_(std::move(make_turn)) {}

  void OnReadDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_) {
    std::shared_ptr<Place> place;
    {
      const absl::MutexLock lock(&mutex_);
      moved_at_ = absl::Now();
      if (ok && end_ == std::nullopt) {
        place = std::make_shared<Place>(Place{.turn = make_turn_()});
        places_.push_back(place);
      } else {
        reading_ = false;
        read_all_ = true;
      }
    }
    if (place != nullptr) {
      place->turn->Start(request_, [self = this->shared_from_this(), place](absl::Status status) {
        self->OnAnswer(*place, std::move(status));
      });
      request_ = Request();  // Clear would keep the room of the largest picture so far
      const absl::MutexLock lock(&mutex_);
      reading_ = false;
    }
    Advance();
  }

  void OnAnswer(Place& place, absl::Status status) ABSL_LOCKS_EXCLUDED(mutex_) {
    {
      const absl::MutexLock lock(&mutex_);
      place.status = std::move(status);
    }
    Advance();
  }

  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_) {
    std::shared_ptr<Place> sent;  // whose end others may wait for
    {
      const absl::MutexLock lock(&mutex_);
      moved_at_ = absl::Now();
      writing_ = false;
      sent = std::move(places_.front());
      places_.pop_front();
      if (!ok) {
        Break();
      }
    }
    sent.reset();
    Advance();
  }

  void OnCancel() override ABSL_LOCKS_EXCLUDED(mutex_) {
    {
      const absl::MutexLock lock(&mutex_);
      Break();
    }
    Advance();
  }

  void OnDone() override ABSL_LOCKS_EXCLUDED(mutex_) {
    std::shared_ptr<OrderedStream> self;
    const absl::MutexLock lock(&mutex_);
    self = std::move(self_);
    over_ = true;
    alarm_->Cancel();
  }

  void Break() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (!end_.has_value()) {
      end_ = absl::CancelledError("The client went away.");
    }
  }

  // Begins what can begin now, tells the first turn when others wait for it; after the end, gives
  // up the turns that nobody waits for.
  void Advance() ABSL_LOCKS_EXCLUDED(mutex_) {
    Places abandoned;
    std::shared_ptr<Place> awaited;
    {
      const absl::MutexLock lock(&mutex_);
      GoOn();
      if (finished_) {
        abandoned.swap(places_);
      } else if (FirstIsAwaited()) {
        awaited = places_.front();
        awaited->awaited = true;
      }
    }
    if (awaited != nullptr) {
      awaited->turn->Awaited();
    }
    for (const std::shared_ptr<Place>& place : abandoned) {
      place->turn->Cancel();
    }
  }

  // And was not told so.
  bool FirstIsAwaited() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !places_.empty() && !places_.front()->status.has_value() && !places_.front()->awaited &&
           std::ranges::any_of(places_, [](const std::shared_ptr<Place>& place) {
             return place->status.has_value();
           });
  }

  void GoOn() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (finished_) {
      return;
    }
    if (!writing_) {
      WriteOrEnd();
    }
    if (!reading_ && !read_all_ && !end_.has_value() && places_.size() < options_.window) {
      reading_ = true;
      this->StartRead(&request_);
    }
  }

  void WriteOrEnd() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (!end_.has_value() && places_.empty() && read_all_) {
      end_ = absl::OkStatus();
    }
    if (!end_.has_value() && !places_.empty() && places_.front()->status.has_value()) {
      if (places_.front()->status->ok()) {
        writing_ = true;
        moved_at_ = absl::Now();
        return this->StartWrite(&places_.front()->turn->response);
      }
      end_ = *places_.front()->status;
    }
    if (end_.has_value()) {
      finished_ = true;
      this->Finish(ToGrpcStatus(*end_));
    }
  }

  // How long nothing may move as things are.
  absl::Duration Limit() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return writing_ ? options_.answer_limit : options_.idle_limit;
  }

  // Looks when the limit would be reached, and before, as the other limit may hold by then.
  void WatchIdleness() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const absl::Duration step = std::min(options_.idle_limit, options_.answer_limit);
    // A new one each time: the old one may be running its callback, which must stay as it is.
    alarm_ = std::make_unique<grpc::Alarm>();
    alarm_->Set(absl::ToChronoTime(std::min(absl::Now() + step, moved_at_ + Limit())),
                [self = this->shared_from_this()](bool /*fired*/) { self->OnAlarm(); });
  }

  void OnAlarm() ABSL_LOCKS_EXCLUDED(mutex_) {
    {
      const absl::MutexLock lock(&mutex_);
      if (over_ || finished_) {
        return;
      }
      if (const bool server_is_slow = !places_.empty() && !writing_; server_is_slow) {
        moved_at_ = absl::Now();
      }
      if (absl::Now() < moved_at_ + Limit()) {
        return WatchIdleness();
      }
      if (!end_.has_value()) {
        end_ = absl::DeadlineExceededError(
            absl::StrCat("Nothing was sent or read for ", absl::FormatDuration(Limit()), "."));
      }
      if (writing_) {
        context_.TryCancel();  // nothing else ends a write that nobody reads
      }
    }
    Advance();
  }

  grpc::CallbackServerContext& context_;  // alive until OnDone
  const OrderedStreamOptions options_;
  const MakeTurn make_turn_;
  Request request_;  // in use while reading_

  absl::Mutex mutex_;
  std::shared_ptr<OrderedStream> self_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<grpc::Alarm> alarm_ ABSL_GUARDED_BY(mutex_);
  Places places_ ABSL_GUARDED_BY(mutex_);                    // in the order of their messages
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mutex_);  // how the stream will end
  // When a message was read, or an answer began or ended to be sent.
  absl::Time moved_at_ ABSL_GUARDED_BY(mutex_) = absl::Now();
  bool reading_ ABSL_GUARDED_BY(mutex_) = false;   // until the message is taken
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;   // the first turn's response
  bool read_all_ ABSL_GUARDED_BY(mutex_) = false;  // the client has ended its side
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;  // Finish was called
  bool over_ ABSL_GUARDED_BY(mutex_) = false;      // OnDone was
};

}  // namespace atelier::server
