#include "tests/proto/compatibility.h"

#include <map>
#include <utility>

namespace atelier::test {
namespace {

using google::protobuf::DescriptorProto;
using google::protobuf::EnumDescriptorProto;
using google::protobuf::FieldDescriptorProto;
using google::protobuf::FileDescriptorProto;
using google::protobuf::FileDescriptorSet;
using google::protobuf::MethodDescriptorProto;
using google::protobuf::ServiceDescriptorProto;

// Everything in a descriptor set by its full name. Points into the set.
struct Index {
  std::map<std::string, const DescriptorProto*> messages;
  std::map<std::string, const EnumDescriptorProto*> enums;
  std::map<std::string, const ServiceDescriptorProto*> services;

  void AddMessage(const std::string& scope, const DescriptorProto& message) {
    const std::string name = scope + "." + message.name();
    messages[name] = &message;
    for (const DescriptorProto& nested : message.nested_type()) {
      AddMessage(name, nested);
    }
    for (const EnumDescriptorProto& nested : message.enum_type()) {
      enums[name + "." + nested.name()] = &nested;
    }
  }

  explicit Index(const FileDescriptorSet& set) {
    for (const FileDescriptorProto& file : set.file()) {
      for (const DescriptorProto& message : file.message_type()) {
        AddMessage(file.package(), message);
      }
      for (const EnumDescriptorProto& type : file.enum_type()) {
        enums[file.package() + "." + type.name()] = &type;
      }
      for (const ServiceDescriptorProto& service : file.service()) {
        services[file.package() + "." + service.name()] = &service;
      }
    }
  }
};

std::string OneofName(const DescriptorProto& message, const FieldDescriptorProto& field) {
  return field.has_oneof_index() ? message.oneof_decl(field.oneof_index()).name() : "";
}

class Comparison final {
 public:
  Comparison(const FileDescriptorSet& kept, const FileDescriptorSet& current)
      : kept_(kept), current_(current) {}

  std::vector<std::string> Run() {
    Each(kept_.messages, current_.messages, "message",
         [this](const std::string& name, const auto& a, const auto& b) { Messages(name, a, b); });
    Each(kept_.enums, current_.enums, "enum",
         [this](const std::string& name, const auto& a, const auto& b) { Enums(name, a, b); });
    Each(kept_.services, current_.services, "service",
         [this](const std::string& name, const auto& a, const auto& b) { Services(name, a, b); });
    for (const auto& [name, type] : current_.enums) {
      CheckZero(name, *type);
    }
    return std::move(found_);
  }

 private:
  template <typename Map, typename Compare>
  void Each(const Map& kept, const Map& current, const std::string& kind, Compare compare) {
    for (const auto& [name, value] : kept) {
      const auto now = current.find(name);
      if (now == current.end()) {
        found_.push_back(std::string(kind).append(" ").append(name).append(" was removed"));
      } else {
        compare(name, *value, *now->second);
      }
    }
  }

  void Expect(bool same, const std::string& what, const char* change) {
    if (!same) {
      found_.push_back(what + " " + change);
    }
  }

  void Messages(const std::string& name, const DescriptorProto& kept,
                const DescriptorProto& current) {
    std::map<int, const FieldDescriptorProto*> now;
    for (const FieldDescriptorProto& field : current.field()) {
      now[field.number()] = &field;
    }
    for (const FieldDescriptorProto& field : kept.field()) {
      const std::string what = "field " + name + "." + field.name();
      const auto found = now.find(field.number());
      if (found == now.end()) {
        found_.push_back(what + " was removed or renumbered");
        continue;
      }
      const FieldDescriptorProto& other = *found->second;
      Expect(field.name() == other.name(), what, "was renamed");
      Expect(field.type() == other.type() && field.type_name() == other.type_name(), what,
             "changed its type");
      Expect(field.label() == other.label(), what, "changed its label");
      Expect(field.json_name() == other.json_name(), what, "changed its JSON name");
      Expect(field.proto3_optional() == other.proto3_optional(), what, "changed its presence");
      Expect(OneofName(kept, field) == OneofName(current, other), what, "moved between oneofs");
    }
  }

  void Enums(const std::string& name, const EnumDescriptorProto& kept,
             const EnumDescriptorProto& current) {
    std::map<std::string, int> now;
    for (const auto& value : current.value()) {
      now[value.name()] = value.number();
    }
    for (const auto& value : kept.value()) {
      const auto found = now.find(value.name());
      const std::string what = "enum value " + name + "." + value.name();
      Expect(found != now.end(), what, "was removed");
      Expect(found == now.end() || found->second == value.number(), what, "changed its number");
    }
  }

  void Services(const std::string& name, const ServiceDescriptorProto& kept,
                const ServiceDescriptorProto& current) {
    std::map<std::string, const MethodDescriptorProto*> now;
    for (const MethodDescriptorProto& method : current.method()) {
      now[method.name()] = &method;
    }
    for (const MethodDescriptorProto& method : kept.method()) {
      const std::string what = "rpc " + name + "." + method.name();
      const auto found = now.find(method.name());
      if (found == now.end()) {
        found_.push_back(what + " was removed");
        continue;
      }
      const MethodDescriptorProto& other = *found->second;
      Expect(method.input_type() == other.input_type(), what, "changed its request");
      Expect(method.output_type() == other.output_type(), what, "changed its response");
      Expect(method.client_streaming() == other.client_streaming() &&
                 method.server_streaming() == other.server_streaming(),
             what, "changed its streaming");
    }
  }

  void CheckZero(const std::string& name, const EnumDescriptorProto& type) {
    constexpr std::string_view kEnd = "UNSPECIFIED";
    if (name.starts_with("google.")) {
      return;  // what we import: NullValue has one value only
    }
    for (const auto& value : type.value()) {
      const std::string& text = value.name();
      Expect(value.number() != 0 || text.ends_with(kEnd), "enum " + name,
             "has a zero that does not end in UNSPECIFIED");
    }
  }

  const Index kept_;
  const Index current_;
  std::vector<std::string> found_;
};

}  // namespace

std::vector<std::string> Incompatibilities(const FileDescriptorSet& kept,
                                           const FileDescriptorSet& current) {
  return Comparison(kept, current).Run();
}

}  // namespace atelier::test
