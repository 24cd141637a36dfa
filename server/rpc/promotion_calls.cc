#include "server/rpc/promotion_calls.h"

#include <utility>

#include "common/status_macros.h"
#include "server/rpc/model_proto.h"
#include "server/rpc/thread_call.h"

namespace atelier::server {
namespace {

absl::Status Publish(const PromotionRoom& room, const v1::PublishCheckpointRequest& request,
                     const std::stop_token& stop, v1::PublishCheckpointResponse& response) {
  ATELIER_ASSIGN_OR_RETURN(PublishedCheckpoint published,
                           room.promotion.PublishCheckpoint(request, stop));
  ToProto(published.model, *response.mutable_model());
  AddCard(published.model, *response.mutable_model());
  response.set_step(published.step);
  if (published.gate.has_value()) {
    *response.mutable_gate() = *std::move(published.gate);
  }
  return absl::OkStatus();
}

}  // namespace

grpc::ServerUnaryReactor* StartPublishing(const PromotionRoom& room,
                                          const v1::PublishCheckpointRequest& request,
                                          v1::PublishCheckpointResponse& response) {
  // gRPC's request may go before the work's last look at it.
  return StartThreadCall(room.threads,
                         [&room, request, &response](const std::stop_token& stop, EndCall end) {
                           std::move(end)(Publish(room, request, stop, response));
                         });
}

grpc::ServerUnaryReactor* StartGatedPromotion(const PromotionRoom& room, ModelManager& manager,
                                              const v1::PromoteModelRequest& request,
                                              absl::Time deadline, FillModel fill,
                                              v1::PromoteModelResponse& response) {
  return StartThreadCall(room.threads, [&room, &manager, request, deadline, fill = std::move(fill),
                                        &response](const std::stop_token& stop, EndCall end) {
    absl::StatusOr<JudgedVersion> judged =
        room.promotion.Judge(request.model(), request.gate(), request.force(), stop);
    absl::Status ready = judged.status();
    if (ready.ok()) {
      ready = room.promotion.CheckUnchanged(*judged);
    }
    if (!ready.ok()) {
      return std::move(end)(ready);
    }
    // The very version that was measured, wherever its label points now.
    manager.Promote(NameAtVersion(judged->model),
                    {request.warmup_sizes().begin(), request.warmup_sizes().end()}, deadline,
                    Reply<ModelManager::Promotion>(
                        [report = std::move(judged->report), fill, &response, end = std::move(end)](
                            const absl::StatusOr<ModelManager::Promotion>& promotion) mutable {
                          if (promotion.ok()) {
                            fill(promotion->model, *response.mutable_model());
                            response.set_previous_version(promotion->previous_version);
                            *response.mutable_gate() = std::move(report);
                          }
                          std::move(end)(promotion.status());
                        }));
  });
}

}  // namespace atelier::server
