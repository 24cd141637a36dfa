#include "server/datasets/dataset_proto.h"

#include <string>

#include "server/store/proto_time.h"

namespace atelier::server {

v1::Dataset ToProto(const Dataset& dataset) {
  v1::Dataset proto;
  proto.set_name(dataset.name);
  proto.set_files(dataset.files);
  proto.set_bytes(dataset.bytes);
  for (const std::string& label : dataset.labels) {
    proto.add_labels(label);
  }
  proto.set_read_only(!dataset.facts.has_value());
  if (dataset.facts.has_value()) {
    proto.set_license(dataset.facts->license);
    proto.set_source(dataset.facts->source);
    proto.set_description(dataset.facts->description);
    *proto.mutable_create_time() = TimeToProto(dataset.facts->created);
    if (dataset.facts->updated.has_value()) {
      *proto.mutable_update_time() = TimeToProto(*dataset.facts->updated);
    }
  }
  return proto;
}

v1::DatasetAddition ToProto(const GatherReport& report) {
  v1::DatasetAddition proto;
  proto.set_added(report.added);
  proto.set_added_bytes(report.added_bytes);
  proto.set_duplicates(report.duplicates);
  proto.set_skipped(report.skipped);
  for (const std::string& note : report.notes) {
    proto.add_notes(note);
  }
  return proto;
}

}  // namespace atelier::server
