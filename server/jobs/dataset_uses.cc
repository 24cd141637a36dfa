#include "server/jobs/dataset_uses.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <string>

#include "common/status_macros.h"
#include "server/jobs/job_state.h"

namespace atelier::server {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

bool MentionsDataset(const Message& message, const std::string& dataset);

bool FieldMentions(const Message& message, const FieldDescriptor& field,
                   const std::string& dataset) {
  const Reflection& reflection = *message.GetReflection();
  const int count = field.is_repeated() ? reflection.FieldSize(message, &field) : 1;
  const bool speaks_of_sets = message.GetDescriptor() == v1::TrainData::descriptor() ||
                              field.name().find("dataset") != std::string::npos;
  for (int i = 0; i < count; ++i) {
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      const Message& inner = field.is_repeated() ? reflection.GetRepeatedMessage(message, &field, i)
                                                 : reflection.GetMessage(message, &field);
      if (MentionsDataset(inner, dataset)) {
        return true;
      }
    } else if (speaks_of_sets && field.cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      const std::string value = field.is_repeated()
                                    ? reflection.GetRepeatedString(message, &field, i)
                                    : reflection.GetString(message, &field);
      if (value == dataset) {
        return true;
      }
    }
  }
  return false;
}

bool MentionsDataset(const Message& message, const std::string& dataset) {
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (FieldMentions(message, *field, dataset)) {
      return true;
    }
  }
  return false;
}

}  // namespace

bool NamesDataset(const v1::JobSpec& spec, std::string_view dataset) {
  return MentionsDataset(spec, std::string(dataset));
}

absl::StatusOr<std::vector<DatasetUse>> FindJobsThatUse(store::Store& store,
                                                        std::string_view dataset) {
  std::vector<DatasetUse> uses;
  ATELIER_RETURN_IF_ERROR(store.Read([&](store::Reader& reader) -> absl::Status {
    ATELIER_ASSIGN_OR_RETURN(const std::vector<store::JobRecord> jobs,
                             reader.JobsInStates(UnfinishedStates()));
    for (const store::JobRecord& record : jobs) {
      if (NamesDataset(record.job.spec(), dataset)) {
        uses.push_back({.job_id = record.job.spec().job_id(), .begun = record.fence > 0});
      }
    }
    return absl::OkStatus();
  }));
  return uses;
}

}  // namespace atelier::server
