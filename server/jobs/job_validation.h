// What a JobSpec must fulfil before it becomes a job.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "atelier/v1/training.pb.h"
#include "common/train_config.h"
#include "server/datasets/dataset_catalog.h"

namespace atelier::server {

// Its size, names and priority, and that there is a kind. INVALID_ARGUMENT naming the field. Pure.
absl::Status CheckJobNames(const v1::JobSpec& spec);

// The message of the spec's kind as JSON in snake_case. INVALID_ARGUMENT naming the kind: not
// UTF-8.
absl::StatusOr<std::string> KindJson(const v1::JobSpec& spec);

// Whether every cell of a sweep can be trained on `device`. INVALID_ARGUMENT. Pure.
absl::Status CheckCells(const v1::JobSpec& spec, std::string_view device);

// The settings of a spec with a kind, with defaults filled in. INVALID_ARGUMENT naming the field
// ("train.data.style"). Of a sweep those of its first cell; all have the same data sets and the
// same start. INVALID_ARGUMENT also for a kind that trains nothing (model_job.h). Pure.
absl::StatusOr<TrainConfig> CheckJobKind(const v1::JobSpec& spec);

// Both data sets exist and hold pictures. NOT_FOUND; FAILED_PRECONDITION. Reads folder listings.
absl::Status CheckDatasets(const DatasetCatalog& datasets, const TrainConfig& config);

}  // namespace atelier::server
