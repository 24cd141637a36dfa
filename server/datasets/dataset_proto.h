// Data sets as messages of atelier.v1. Pure functions.
#pragma once

#include "atelier/v1/datasets.pb.h"
#include "common/picture_task.h"
#include "server/datasets/dataset_catalog.h"

namespace atelier::server {

// Without `label_counts`.
v1::Dataset ToProto(const Dataset& dataset);
v1::DatasetAddition ToProto(const GatherReport& report);

}  // namespace atelier::server
