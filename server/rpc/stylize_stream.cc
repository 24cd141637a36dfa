#include "server/rpc/stylize_stream.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "common/errors.h"
#include "server/rpc/queued_call.h"
#include "server/rpc/stylize_kind.h"

namespace atelier::server {
namespace {

using StylizeStream = OrderedStream<grpc::ByteBuffer, grpc::ByteBuffer>;

// What the messages of one stream share. Touched by one message after the other.
struct Shared {
  StylizeRoom room;
  grpc::CallbackServerContext& context;  // alive while turns are started
  v1::StylizeRequest controls;           // of the first message, without its pictures
  std::uint64_t next_index = 0;
};

// The whole request of a message that may have its controls from the first one.
v1::StylizeRequest Completed(const v1::StylizeRequest& own, const v1::StylizeRequest& controls) {
  if (!own.model().empty()) {
    return own;
  }
  v1::StylizeRequest request = controls;
  request.set_image(own.image());
  if (own.has_request_id()) {
    request.set_request_id(own.request_id());
  }
  return request;
}

class StylizeTurn final : public StylizeStream::Turn {
 public:
  explicit StylizeTurn(std::shared_ptr<Shared> shared)
      : shared_(std::move(shared)), id_(shared_->room.desk.NextId()) {}

  void Start(grpc::ByteBuffer& bytes, Done done) override {
    v1::StylizeStreamRequest message;
    if (const absl::Status status = ReadMessage(bytes, message); !status.ok()) {
      return std::move(done)(status);
    }
    const std::uint64_t index = shared_->next_index++;
    reply_.set_index(index);
    if (index == 0) {
      if (message.request().model().empty()) {
        return std::move(done)(InvalidField(
            "request.model", "is required in the first message, whose controls hold for the rest"));
      }
      shared_->controls = message.request();
      shared_->controls.clear_image();
      shared_->controls.clear_request_id();
    }
    const v1::StylizeRequest request = Completed(message.request(), shared_->controls);
    const StylizeRoom& room = shared_->room;
    absl::StatusOr<StylizeWork> work = room.admission.Admit(request);
    if (!work.ok()) {
      room.probe.Refused(work.status());
      return Answer(work.status(), std::move(done));
    }
    if (index == 0) {
      // A video that changed its model on the way, with a canary or a promotion, would flicker.
      shared_->controls.set_model(NameAtVersion(work->model));
    }
    AnnounceReply<StylizeKind>(*work, *reply_.mutable_response());
    const WorkTerms terms = TermsOfCall(shared_->context, *TermsOf(request), room.clock.Now());
    answer_ = room.desk.answers().Open(terms.client);
    // The stream keeps this turn until `done` was called.
    room.desk.Submit(id_, *std::move(work), terms,
                     [this, done = std::move(done)](WorkAnswer answer) mutable {
                       if (!answer.outcome.ok()) {
                         return Answer(answer.outcome.status(), std::move(done));
                       }
                       FillReply<StylizeKind>(std::move(answer), shared_->room.probe,
                                              *reply_.mutable_response());
                       Answer(absl::OkStatus(), std::move(done));
                     });
    if (cancelled_) {
      room.desk.Cancel(id_);  // Cancel came before the queue knew the request
    }
  }

  void Awaited() override { shared_->room.desk.Awaited(id_); }

  void Cancel() override {
    cancelled_ = true;
    shared_->room.desk.Cancel(id_);
  }

 private:
  void Answer(const absl::Status& status, Done done) {
    shared_->room.probe.Answered(status.code());
    if (!status.ok()) {
      *reply_.mutable_error() = ToRpcStatus(status);
    }
    response = BytesOfMessage(reply_);
    reply_ = v1::StylizeStreamResponse();
    if (answer_ != nullptr) {
      // The stream itself cuts what is not read.
      answer_->Sent(response.Length(), [] {});
    }
    std::move(done)(absl::OkStatus());
  }

  const std::shared_ptr<Shared> shared_;
  const RequestId id_;
  v1::StylizeStreamResponse reply_;
  std::unique_ptr<OpenAnswers::Answer> answer_;  // of admitted work, until it is written
  std::atomic<bool> cancelled_ = false;
};

}  // namespace

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* StartStylizeStream(
    const StylizeRoom& room, grpc::CallbackServerContext& context,
    const OrderedStreamOptions& options) {
  const auto shared = std::make_shared<Shared>(Shared{.room = room, .context = context});
  return StylizeStream::Start(context, options,
                              [shared] { return std::make_shared<StylizeTurn>(shared); });
}

}  // namespace atelier::server
