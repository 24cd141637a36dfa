#include "worker/link/session.h"

#include <algorithm>
#include <array>
#include <utility>

#include "common/build_info.h"
#include "common/status_macros.h"

namespace atelier::worker {

using internal::v1::ServerMessage;
using internal::v1::WorkerLink;
using internal::v1::WorkerMessage;

namespace {

// A heartbeat interval outside this range would flood the link or look like a dead worker.
constexpr absl::Duration kShortestHeartbeat = absl::Milliseconds(20);
constexpr absl::Duration kLongestHeartbeat = absl::Minutes(1);

}  // namespace

Session::Session(Options options, SessionHandler& handler)
    : options_(std::move(options)), handler_(handler) {}

absl::StatusOr<std::unique_ptr<Session>> Session::Open(Options options, SessionHandler& handler) {
  std::unique_ptr<Session> session(new Session(std::move(options), handler));
  ATELIER_RETURN_IF_ERROR(session->Greet());
  return session;
}

Session::~Session() { Close(absl::ZeroDuration()); }

absl::Status Session::Greet() {
  const absl::Time deadline = absl::Now() + options_.connect_timeout;
  ATELIER_ASSIGN_OR_RETURN(credentials_, LinkCredentials(options_.tls));
  for (const bool bulk : {false, true}) {
    auto channel =
        NewLinkChannel(options_.address, credentials_, bulk ? LinkLine::kBulk : LinkLine::kControl);
    if (!channel->WaitForConnected(absl::ToChronoTime(deadline))) {
      return absl::UnavailableError(
          options_.tls.used()
              ? "the server does not answer at its link address, or the two do not accept each "
                "other's certificates"
              : "the server does not answer at its link address");
    }
    (bulk ? bulk_stub_ : control_stub_) = WorkerLink::NewStub(channel);
  }

  control_ = StartStream(/*bulk=*/false);
  WorkerMessage hello;
  *hello.mutable_hello() = options_.hello;
  hello.mutable_hello()->set_protocol_min(kProtocolMin);
  hello.mutable_hello()->set_protocol_max(kProtocolMax);
  hello.mutable_hello()->set_build(Version());
  control_->TrySend(std::move(hello));

  {
    absl::MutexLock lock(&mu_);
    if (!mu_.AwaitWithDeadline(absl::Condition(this, &Session::Answered), deadline)) {
      return absl::UnavailableError("the server did not answer the greeting in time");
    }
    if (end_.has_value()) {
      return end_->ok() ? absl::UnavailableError("the server ended the greeting") : *end_;
    }
    answer_ = *std::move(welcome_);
  }

  bulk_ = StartStream(/*bulk=*/true);
  WorkerMessage bulk_hello;
  bulk_hello.mutable_bulk_hello()->set_session(answer_.session());
  bulk_->TrySend(std::move(bulk_hello));

  const absl::Duration interval =
      std::clamp(absl::Milliseconds(answer_.heartbeat_ms()), kShortestHeartbeat, kLongestHeartbeat);
  heartbeats_ = std::thread([this, interval] { Heartbeats(interval); });
  absl::MutexLock lock(&mu_);
  greeted_ = true;
  return end_.has_value() ? absl::UnavailableError("the server went away") : absl::OkStatus();
}

std::unique_ptr<Stream> Session::StartStream(bool bulk) {
  Stream::Options options;
  options.start = [this, bulk](grpc::ClientContext* context, auto* reactor) {
    if (bulk) {
      bulk_stub_->async()->Bulk(context, reactor);
    } else {
      control_stub_->async()->Control(context, reactor);
    }
  };
  if (bulk) {
    options.on_message = [this](ServerMessage message) { handler_.OnMessage(std::move(message)); };
  } else {
    options.on_message = [this](ServerMessage message) { OnControlMessage(std::move(message)); };
  }
  options.on_end = [this](const absl::Status& status) { OnStreamEnd(status); };
  return Stream::Start(std::move(options));
}

Stream* Session::StreamFor(const WorkerMessage& message) {
  const std::size_t bytes = message.ByteSizeLong();
  if (bytes > static_cast<std::size_t>(kMaxMessageBytes)) {
    return nullptr;
  }
  return bytes > kBulkThresholdBytes ? bulk_.get() : control_.get();
}

bool Session::Send(WorkerMessage message) {
  Stream* stream = StreamFor(message);
  return stream != nullptr && stream->Send(std::move(message));
}

bool Session::TrySend(WorkerMessage message) {
  Stream* stream = StreamFor(message);
  return stream != nullptr && stream->TrySend(std::move(message));
}

bool Session::Close(absl::Duration timeout) {
  {
    absl::MutexLock lock(&mu_);
    closing_ = true;
  }
  if (heartbeats_.joinable()) {
    heartbeats_.join();
  }
  const absl::Time deadline = absl::Now() + timeout;
  const std::array<Stream*, 2> streams = {control_.get(), bulk_.get()};
  for (Stream* stream : streams) {
    if (stream != nullptr) {
      stream->FinishWrites();
    }
  }
  bool written = true;
  for (Stream* stream : streams) {
    if (stream == nullptr) {
      continue;
    }
    if (!stream->WaitForEnd(deadline)) {
      stream->Cancel();
      stream->WaitForEnd(absl::InfiniteFuture());
      written = false;
    }
    written = written && stream->AllWritten();
  }
  return written;
}

void Session::OnControlMessage(ServerMessage message) {
  if (message.has_welcome()) {
    absl::MutexLock lock(&mu_);
    if (!welcome_.has_value()) {
      welcome_ = std::move(*message.mutable_welcome());
    }
    return;
  }
  handler_.OnMessage(std::move(message));
}

void Session::OnStreamEnd(const absl::Status& status) {
  bool tell = false;
  {
    absl::MutexLock lock(&mu_);
    tell = greeted_ && !closing_ && !end_.has_value();
    if (!end_.has_value()) {
      end_ = status;
    }
  }
  if (tell) {
    // One stream is no use without the other; cutting both also frees whoever waits in Send.
    control_->Cancel();
    bulk_->Cancel();
    handler_.OnBroken(status);
  }
}

void Session::Heartbeats(absl::Duration interval) {
  absl::MutexLock lock(&mu_);
  while (!mu_.AwaitWithTimeout(absl::Condition(this, &Session::Ending), interval)) {
    mu_.Unlock();
    WorkerMessage message;
    *message.mutable_heartbeat()->mutable_figures() = options_.figures();
    // A full queue means that messages are on their way, which tells the server as much as a
    // heartbeat.
    control_->TrySend(std::move(message));
    mu_.Lock();
  }
}

}  // namespace atelier::worker
