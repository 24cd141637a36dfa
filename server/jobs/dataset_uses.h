// Which jobs a data set is kept for.
#pragma once

#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "atelier/v1/training.pb.h"
#include "server/datasets/dataset_keeper.h"
#include "server/store/store.h"

namespace atelier::server {

// Whether any part of the spec names the data set: every TrainData, whatever the kind of the job,
// and every field whose name speaks of a data set, results included. Pure.
bool NamesDataset(const v1::JobSpec& spec, std::string_view dataset);

// The jobs that have not ended and name the data set, the oldest first. Errors of the store.
absl::StatusOr<std::vector<DatasetUse>> FindJobsThatUse(store::Store& store,
                                                        std::string_view dataset);

}  // namespace atelier::server
