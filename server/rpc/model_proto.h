// Models as messages.
#pragma once

#include "atelier/v1/models.pb.h"
#include "common/weights_format.h"
#include "server/models/model_registry.h"

namespace atelier::server {

// All fields but the card and the number of workers that have it.
void ToProto(const ModelVersion& model, v1::Model& proto);

// Reads card.md; a model without a card, or with an unreadable one, is still a model.
void AddCard(const ModelVersion& model, v1::Model& proto);

// INVALID_ARGUMENT naming `format`: none, or an unknown one.
absl::StatusOr<WeightsFormat> FromProto(v1::WeightsFormat format);

}  // namespace atelier::server
