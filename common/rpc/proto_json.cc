#include "common/rpc/proto_json.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>

#include "common/check.h"
#include "common/errors.h"

namespace atelier {
namespace {

struct Place {
  std::string path;  // of the field; empty: the whole text
  std::string rest;
};

// Protobuf 3.21 writes "(outer.path) name: sentence", "(path): sentence" or "sentence".
Place SplitPlace(const std::string& message) {
  std::string path;
  std::size_t start = 0;
  if (message.starts_with('(')) {
    const std::size_t close = message.find(')');
    if (close == std::string::npos) {
      return {"", message};
    }
    path = message.substr(1, close - 1);
    start = close + 1;
  }
  const std::size_t colon = message.find(": ", start);
  if (colon == std::string::npos) {
    return {path, message.substr(start)};
  }
  std::string name = message.substr(start, colon - start);
  if (!name.empty() && name.front() == ' ') {
    name.erase(0, 1);
  }
  if (name.find(' ') != std::string::npos) {
    return {path, message.substr(start)};
  }
  if (!name.empty()) {
    path += (path.empty() ? "" : ".") + name;
  }
  return {path, message.substr(colon + 2)};
}

// The field of `message` at "outer.path[2].name", in either case; null when there is none.
const google::protobuf::FieldDescriptor* FindField(const google::protobuf::Descriptor* message,
                                                   std::string_view path) {
  const google::protobuf::FieldDescriptor* field = nullptr;
  while (!path.empty()) {
    const std::size_t dot = std::min(path.find('.'), path.size());
    const std::string_view part = path.substr(0, dot);
    const std::string name(part.substr(0, part.find('[')));
    path.remove_prefix(std::min(dot + 1, path.size()));
    if (message == nullptr) {
      return nullptr;
    }
    field = message->FindFieldByName(name);
    field = field != nullptr ? field : message->FindFieldByCamelcaseName(name);
    message = field != nullptr ? field->message_type() : nullptr;
  }
  return field;
}

// "one of \"A\", \"B\"" for a field of an enum's type; the zero value means unset.
std::string Wanted(const google::protobuf::FieldDescriptor* field) {
  if (field == nullptr || field->enum_type() == nullptr) {
    return "what belongs here";
  }
  std::string names;
  for (int i = 0; i < field->enum_type()->value_count(); ++i) {
    const google::protobuf::EnumValueDescriptor& value = *field->enum_type()->value(i);
    if (value.number() != 0) {
      names += (names.empty() ? "\"" : ", \"") + value.name() + "\"";
    }
  }
  return "one of " + names;
}

// "invalid value X for type TYPE_UINT64" without protobuf's own words.
std::optional<std::string> InvalidValue(const std::string& sentence,
                                        const google::protobuf::FieldDescriptor* field) {
  constexpr std::string_view kBegin = "invalid value ";
  constexpr std::string_view kMiddle = " for type ";
  const std::size_t middle = sentence.rfind(kMiddle);
  if (!sentence.starts_with(kBegin) || middle == std::string::npos) {
    return std::nullopt;
  }
  const std::string value = sentence.substr(kBegin.size(), middle - kBegin.size());
  const std::string type = sentence.substr(middle + kMiddle.size());
  std::string wanted = Wanted(field);
  if (type == "TYPE_STRING") {
    wanted = "a string";
  } else if (type.starts_with("TYPE_UINT")) {
    wanted = "a whole number of 0 or above that fits";
  } else if (type == "TYPE_DOUBLE" || type == "TYPE_FLOAT") {
    wanted = "a number";
  } else if (type == "TYPE_BOOL") {
    wanted = "true or false";
  }
  return value + " is not " + wanted;
}

// "; there are a, b and so on": the fields beside the one at "outer.path.name".
std::string KnownFields(const google::protobuf::Descriptor* message, const std::string& path) {
  const std::size_t dot = path.rfind('.');
  if (dot != std::string::npos) {
    const auto* outer = FindField(message, path.substr(0, dot));
    message = outer == nullptr ? nullptr : outer->message_type();
  }
  std::string names;
  for (int i = 0; message != nullptr && i < message->field_count(); ++i) {
    names += (i == 0 ? "; there are " : ", ") + message->field(i)->name();
  }
  return names;
}

absl::Status Explain(const std::string& sentence, const google::protobuf::Message& message) {
  const Place place = SplitPlace(sentence);
  if (place.path.empty()) {
    return absl::InvalidArgumentError("not valid JSON: " +
                                      place.rest.substr(0, place.rest.find('\n')));
  }
  if (place.rest.starts_with("Cannot find field")) {
    return InvalidField(
        place.path, "there is no such field" + KnownFields(message.GetDescriptor(), place.path));
  }
  const auto* field = FindField(message.GetDescriptor(), place.path);
  return InvalidField(place.path, InvalidValue(place.rest, field).value_or(place.rest));
}

}  // namespace

std::string ToJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string json;
  // Fails only for an Any of an unknown type, which our messages do not hold.
  ATELIER_CHECK(google::protobuf::util::MessageToJsonString(message, &json, options).ok());
  return json;
}

absl::Status FromJson(std::string_view json, google::protobuf::Message& message) {
  const auto status = google::protobuf::util::JsonStringToMessage(
      google::protobuf::StringPiece(json.data(), json.size()), &message);
  if (status.ok()) {
    return absl::OkStatus();
  }
  message.Clear();
  return Explain(std::string(status.message()), message);
}

}  // namespace atelier
