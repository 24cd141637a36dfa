#include "server/rpc/stylize_service.h"

#include <spdlog/spdlog.h>

#include <atomic>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "common/rpc/grpc_status.h"

namespace atelier::server {
namespace {

absl::Time DeadlineOf(const grpc::CallbackServerContext& context, absl::Time now) {
  const absl::Time deadline = absl::FromChrono(context.deadline());
  // gRPC's "no deadline" is the largest time its clock can tell.
  constexpr absl::Duration kNobodyWaitsThatLong = absl::Hours(24 * 365);
  return deadline - now > kNobodyWaitsThatLong ? now + StylizeService::kDefaultDeadline : deadline;
}

v1::ImageFormat ToProto(ImageFormat format) {
  switch (format) {
    case ImageFormat::kJpeg:
      return v1::IMAGE_FORMAT_JPEG;
    case ImageFormat::kPng:
      return v1::IMAGE_FORMAT_PNG;
    case ImageFormat::kWebp:
      return v1::IMAGE_FORMAT_WEBP;
  }
  return v1::IMAGE_FORMAT_UNSPECIFIED;
}

// One call in flight. Alive until gRPC has let go of it and the queue has answered.
class StylizeCall final : public grpc::ServerUnaryReactor,
                          public std::enable_shared_from_this<StylizeCall> {
 public:
  StylizeCall(RequestQueue& queue, StylizeProbe& probe, Clock& clock, v1::StylizeResponse* response)
      : queue_(queue), probe_(probe), clock_(clock), id_(queue.NextId()), response_(response) {}

  void Begin(absl::StatusOr<StylizeWork> work, absl::Time deadline) {
    self_ = shared_from_this();
    const std::shared_ptr<StylizeCall> keep_alive =
        self_;  // the answer may come before the end of this method
    if (!work.ok()) {
      probe_.Refused(work.status());
      return Answer(work.status());
    }
    response_->set_request_id(work->request_id);
    response_->set_model(work->model.name);
    response_->set_model_version(work->model.version);
    auto request =
        std::make_unique<Request>(id_, *std::move(work), deadline,
                                  [this, keep_alive](absl::StatusOr<StylizeOutcome> outcome) {
                                    Finished(std::move(outcome));
                                  });
    if (absl::Status status = queue_.Enqueue(request); !status.ok()) {
      return Answer(status);
    }
    if (cancelled_) {
      queue_.Cancel(id_);  // OnCancel came before the queue knew the request
    }
  }

 private:
  void OnCancel() override {
    cancelled_ = true;
    queue_.Cancel(id_);
  }

  void OnDone() override { self_.reset(); }

  void Finished(absl::StatusOr<StylizeOutcome> outcome) {
    if (!outcome.ok()) {
      return Answer(outcome.status());
    }
    const absl::Duration total = clock_.Now() - accepted_at_;
    probe_.Restyled(*outcome, total);
    Fill(*std::move(outcome), total);
    Answer(absl::OkStatus());
  }

  void Fill(StylizeOutcome outcome, absl::Duration total) {
    v1::StylizedImage& result = *response_->add_results();
    result.set_image(std::move(outcome.image));
    result.set_format(ToProto(outcome.format));
    result.set_width(outcome.width);
    result.set_height(outcome.height);
    response_->set_precision(outcome.precision == Precision::kBf16 ? v1::PRECISION_BF16
                                                                   : v1::PRECISION_FP32);
    for (std::string& warning : outcome.warnings) {
      response_->add_warnings(std::move(warning));
    }
    v1::StylizeTimings& timings = *response_->mutable_timings();
    timings.set_queue(outcome.queue_s);
    timings.set_decode(outcome.decode_s);
    timings.set_load(outcome.load_s);
    timings.set_compute(outcome.compute_s);
    timings.set_encode(outcome.encode_s);
    timings.set_total(absl::ToDoubleSeconds(total));
  }

  void Answer(const absl::Status& status) {
    probe_.Answered(status.code());
    if (!status.ok()) {
      spdlog::debug("stylize {}: {}", response_->request_id(), status.ToString());
    }
    Finish(ToGrpcStatus(status));
  }

  RequestQueue& queue_;
  StylizeProbe& probe_;
  Clock& clock_;
  const RequestId id_;
  v1::StylizeResponse* const response_;  // gRPC's, until Finish
  const absl::Time accepted_at_ = clock_.Now();
  std::atomic<bool> cancelled_ = false;
  std::shared_ptr<StylizeCall> self_;
};

}  // namespace

grpc::ServerUnaryReactor* StylizeService::Stylize(grpc::CallbackServerContext* context,
                                                  const v1::StylizeRequest* request,
                                                  v1::StylizeResponse* response) {
  auto call = std::make_shared<StylizeCall>(queue_, probe_, clock_, response);
  StylizeCall* const reactor = call.get();
  call->Begin(admission_.Admit(*request), DeadlineOf(*context, clock_.Now()));
  return reactor;
}

}  // namespace atelier::server
