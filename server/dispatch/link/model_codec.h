// The link's messages about models ↔ the server's plain structs.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "atelier/internal/v1/worker_link.pb.h"
#include "server/dispatch/model_loader.h"
#include "server/models/model_registry.h"

namespace atelier::server {

// Of absl::StatusCode.
inline constexpr std::uint32_t kHighestCode = 16;

void FillSource(const ModelVersion& model, internal::v1::ModelSource& source);
internal::v1::ServerMessage LoadMessage(const LoadOrder& order);
internal::v1::ServerMessage UnloadMessage(const ModelVersion& model);
void AddPreload(const std::vector<LoadOrder>& orders, internal::v1::Welcome& welcome);

// What a worker told of a model. FAILED_PRECONDITION: the message makes no sense (the worker cannot
// be trusted any more).
absl::StatusOr<ModelReport> ReportOf(const internal::v1::ModelState& state);

// What a worker says at its Hello that it has already. INVALID_ARGUMENT naming `loaded`: too many,
// or one that cannot be.
absl::StatusOr<std::vector<ModelKey>> LoadedOf(const internal::v1::Hello& hello);

}  // namespace atelier::server
