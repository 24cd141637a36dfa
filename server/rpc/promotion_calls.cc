#include "server/rpc/promotion_calls.h"

#include <utility>

#include "absl/synchronization/notification.h"
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

// Waits, because what is noted of it goes to the disk, for which the manager's thread has no time.
absl::StatusOr<ModelManager::Promotion> Promote(ModelManager& manager, const ModelVersion& model,
                                                const v1::PromoteModelRequest& request,
                                                absl::Time deadline, const std::stop_token& stop) {
  absl::StatusOr<ModelManager::Promotion> answer;
  absl::Notification answered;
  manager.Promote(
      NameAtVersion(model), {request.warmup_sizes().begin(), request.warmup_sizes().end()},
      deadline,
      Reply<ModelManager::Promotion>([&](absl::StatusOr<ModelManager::Promotion> promotion) {
        answer = std::move(promotion);
        answered.Notify();
      }),
      [&stop] { return stop.stop_requested(); });
  answered.WaitForNotification();
  return answer;
}

absl::Status PromoteGated(const PromotionRoom& room, ModelManager& manager,
                          const v1::PromoteModelRequest& request, absl::Time deadline,
                          const FillModel& fill, const std::stop_token& stop,
                          v1::PromoteModelResponse& response) {
  ATELIER_ASSIGN_OR_RETURN(
      JudgedVersion judged,
      room.promotion.Judge(request.model(), request.gate(), request.force(), stop));
  ATELIER_RETURN_IF_ERROR(room.promotion.CheckUnchanged(judged));
  // The very version that was measured, wherever its label points now.
  ATELIER_ASSIGN_OR_RETURN(const ModelManager::Promotion promotion,
                           Promote(manager, judged.model, request, deadline, stop));
  room.promotion.NoteForced(judged);
  fill(promotion.model, *response.mutable_model());
  response.set_previous_version(promotion.previous_version);
  *response.mutable_gate() = std::move(judged.report);
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
    std::move(end)(PromoteGated(room, manager, request, deadline, fill, stop, response));
  });
}

}  // namespace atelier::server
