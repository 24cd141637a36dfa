// What a JobSpec must fulfil before it becomes a job.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "atelier/v1/training.pb.h"
#include "common/train_config.h"
#include "server/datasets/dataset_catalog.h"

namespace atelier::server {

// Names and the kind. INVALID_ARGUMENT naming the field. Pure.
absl::Status CheckJobNames(const v1::JobSpec& spec);

// The settings of a spec with a kind, with defaults filled in. INVALID_ARGUMENT naming the field
// ("train.data.style"). Pure.
absl::StatusOr<TrainConfig> CheckJobKind(const v1::JobSpec& spec);

// Both data sets exist and hold pictures. NOT_FOUND; FAILED_PRECONDITION. Reads folder listings.
absl::Status CheckDatasets(const DatasetCatalog& datasets, const TrainConfig& config);

}  // namespace atelier::server
