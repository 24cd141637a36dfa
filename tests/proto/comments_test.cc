// Every field, rpc and enum value of atelier.v1 says what it means.
#include <gmock/gmock.h>
#include <google/protobuf/descriptor.pb.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "common/files.h"

namespace atelier::test {
namespace {

using google::protobuf::DescriptorProto;
using google::protobuf::EnumDescriptorProto;
using google::protobuf::FileDescriptorProto;
using google::protobuf::FileDescriptorSet;
using google::protobuf::ServiceDescriptorProto;

using Path = std::vector<int>;

// Finds what has no comment in one file.
class CommentCheck final {
 public:
  explicit CommentCheck(const FileDescriptorProto& file) {
    for (const auto& location : file.source_code_info().location()) {
      has_comment_[Path(location.path().begin(), location.path().end())] =
          !location.leading_comments().empty() || !location.trailing_comments().empty();
    }
    for (int i = 0; i < file.message_type_size(); ++i) {
      Message({FileDescriptorProto::kMessageTypeFieldNumber, i}, file.message_type(i));
    }
    for (int i = 0; i < file.enum_type_size(); ++i) {
      Enum({FileDescriptorProto::kEnumTypeFieldNumber, i}, "", file.enum_type(i));
    }
    for (int i = 0; i < file.service_size(); ++i) {
      const ServiceDescriptorProto& service = file.service(i);
      for (int j = 0; j < service.method_size(); ++j) {
        Need({FileDescriptorProto::kServiceFieldNumber, i,
              ServiceDescriptorProto::kMethodFieldNumber, j},
             service.name() + "." + service.method(j).name());
      }
    }
  }

  const std::vector<std::string>& missing() const { return missing_; }

 private:
  static Path Below(Path path, int field, int index) {
    path.insert(path.end(), {field, index});
    return path;
  }

  void Need(const Path& path, const std::string& name) {
    if (!has_comment_[path]) {
      missing_.push_back(name);
    }
  }

  void Message(const Path& path, const DescriptorProto& message) {
    if (message.options().map_entry()) {
      return;
    }
    for (int i = 0; i < message.field_size(); ++i) {
      Need(Below(path, DescriptorProto::kFieldFieldNumber, i),
           message.name() + "." + message.field(i).name());
    }
    for (int i = 0; i < message.nested_type_size(); ++i) {
      Message(Below(path, DescriptorProto::kNestedTypeFieldNumber, i), message.nested_type(i));
    }
    for (int i = 0; i < message.enum_type_size(); ++i) {
      Enum(Below(path, DescriptorProto::kEnumTypeFieldNumber, i), message.name() + ".",
           message.enum_type(i));
    }
  }

  void Enum(const Path& path, const std::string& scope, const EnumDescriptorProto& type) {
    for (int i = 0; i < type.value_size(); ++i) {
      // Zero is "unspecified" in every enum.
      if (type.value(i).number() != 0) {
        Need(Below(path, EnumDescriptorProto::kValueFieldNumber, i),
             scope + type.name() + "." + type.value(i).name());
      }
    }
  }

  std::map<Path, bool> has_comment_;
  std::vector<std::string> missing_;
};

TEST(CommentsTest, EverythingInThePublicContractIsExplained) {
  const auto bytes = ReadFile(ATELIER_DESCRIBED_SET, 16 << 20);
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  FileDescriptorSet set;
  ASSERT_TRUE(set.ParseFromString(*bytes));
  EXPECT_GE(set.file_size(), 5);
  for (const FileDescriptorProto& file : set.file()) {
    EXPECT_THAT(CommentCheck(file).missing(), ::testing::IsEmpty()) << file.name();
  }
}

}  // namespace
}  // namespace atelier::test
