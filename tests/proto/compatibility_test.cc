#include "tests/proto/compatibility.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "common/files.h"

namespace atelier::test {
namespace {

using google::protobuf::FileDescriptorSet;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::uint64_t kMaxBytes = 16 << 20;

FileDescriptorSet ReadSet(const std::string& path) {
  FileDescriptorSet set;
  const auto bytes = ReadFile(path, kMaxBytes);
  EXPECT_TRUE(bytes.ok()) << path << ": " << bytes.status();
  EXPECT_TRUE(set.ParseFromString(*bytes)) << path;
  EXPECT_GT(set.file_size(), 0) << path;
  return set;
}

TEST(PublicContractTest, OnlyGrows) {
  const FileDescriptorSet kept = ReadSet(ATELIER_SOURCE_DIR "/tests/golden/atelier_v1.binpb");
  const FileDescriptorSet current = ReadSet(ATELIER_BINARY_DIR "/proto/atelier_v1.binpb");
  EXPECT_THAT(Incompatibilities(kept, current), IsEmpty())
      << "A field, value or rpc of atelier.v1 was taken away or changed, which breaks clients.";
}

TEST(PublicContractTest, TheKeptSetIsUpToDate) {
  const FileDescriptorSet kept = ReadSet(ATELIER_SOURCE_DIR "/tests/golden/atelier_v1.binpb");
  const FileDescriptorSet current = ReadSet(ATELIER_BINARY_DIR "/proto/atelier_v1.binpb");
  EXPECT_THAT(Incompatibilities(current, kept), IsEmpty())
      << "atelier.v1 has grown: run scripts/update-descriptor-set and commit the result.";
}

// A small contract, and the same one with `from` replaced by `to`.
std::vector<std::string> AfterChange(const std::string& from, const std::string& to) {
  const std::string text = R"pb(
    file {
      name: "t.proto"
      package: "t"
      syntax: "proto3"
      message_type {
        name: "M"
        field { name: "a_b" number: 1 type: TYPE_UINT32 label: LABEL_OPTIONAL json_name: "aB" }
        field {
          name: "c"
          number: 2
          type: TYPE_MESSAGE
          type_name: ".t.M"
          label: LABEL_REPEATED
          json_name: "c"
        }
        field {
          name: "d"
          number: 3
          type: TYPE_BOOL
          label: LABEL_OPTIONAL
          json_name: "d"
          oneof_index: 0
        }
        oneof_decl { name: "kind" }
        enum_type {
          name: "E"
          value { name: "E_UNSPECIFIED" number: 0 }
          value { name: "E_ONE" number: 1 }
        }
      }
      service {
        name: "S"
        method { name: "Get" input_type: ".t.M" output_type: ".t.M" server_streaming: true }
      }
    })pb";
  FileDescriptorSet kept;
  FileDescriptorSet current;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &kept));
  std::string changed = text;
  const std::size_t at = changed.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  changed.replace(at, from.size(), to);
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(changed, &current));
  return Incompatibilities(kept, current);
}

TEST(CompatibilityTest, GrowthIsCompatible) {
  EXPECT_THAT(
      AfterChange(
          "oneof_decl",
          R"(field { name: "e" number: 9 type: TYPE_BOOL label: LABEL_OPTIONAL } oneof_decl)"),
      IsEmpty());
  EXPECT_THAT(AfterChange("service {", R"(message_type { name: "N" } service {)"), IsEmpty());
  EXPECT_THAT(AfterChange(R"(value { name: "E_ONE")",
                          R"(value { name: "E_TWO" number: 2 } value { name: "E_ONE")"),
              IsEmpty());
}

TEST(CompatibilityTest, RemovalsAreFound) {
  EXPECT_THAT(AfterChange(R"(name: "M")", R"(name: "X")"),
              ElementsAre("message t.M was removed", "enum t.M.E was removed"));
  EXPECT_THAT(AfterChange("number: 1 type", "number: 7 type"),
              ElementsAre("field t.M.a_b was removed or renumbered"));
  EXPECT_THAT(AfterChange(R"(name: "E_ONE")", R"(name: "E_UNO")"),
              ElementsAre("enum value t.M.E.E_ONE was removed"));
  EXPECT_THAT(AfterChange(R"(name: "Get")", R"(name: "Fetch")"),
              ElementsAre("rpc t.S.Get was removed"));
  EXPECT_THAT(AfterChange(R"(name: "S")", R"(name: "Z")"), ElementsAre("service t.S was removed"));
}

TEST(CompatibilityTest, ChangesAreFound) {
  EXPECT_THAT(AfterChange(R"(name: "a_b")", R"(name: "b_a")"),
              ElementsAre("field t.M.a_b was renamed"));
  EXPECT_THAT(AfterChange("TYPE_UINT32", "TYPE_UINT64"),
              ElementsAre("field t.M.a_b changed its type"));
  EXPECT_THAT(AfterChange("LABEL_REPEATED", "LABEL_OPTIONAL"),
              ElementsAre("field t.M.c changed its label"));
  EXPECT_THAT(AfterChange(R"(json_name: "aB")", R"(json_name: "ab")"),
              ElementsAre("field t.M.a_b changed its JSON name"));
  EXPECT_THAT(AfterChange(R"(json_name: "aB")", R"(json_name: "aB" proto3_optional: true)"),
              ElementsAre("field t.M.a_b changed its presence"));
  EXPECT_THAT(AfterChange("oneof_index: 0", ""), ElementsAre("field t.M.d moved between oneofs"));
  EXPECT_THAT(AfterChange(R"(name: "E_ONE" number: 1)", R"(name: "E_ONE" number: 2)"),
              ElementsAre("enum value t.M.E.E_ONE changed its number"));
  EXPECT_THAT(AfterChange("server_streaming: true", ""),
              ElementsAre("rpc t.S.Get changed its streaming"));
  EXPECT_THAT(AfterChange(R"(output_type: ".t.M")", R"(output_type: ".t.N")"),
              ElementsAre("rpc t.S.Get changed its response"));
}

TEST(CompatibilityTest, AZeroWithAMeaningIsFound) {
  EXPECT_THAT(AfterChange(R"(name: "E_UNSPECIFIED" number: 0)",
                          R"(name: "E_UNSPECIFIED" number: 5 } value { name: "E_NONE" number: 0)"),
              ElementsAre("enum value t.M.E.E_UNSPECIFIED changed its number",
                          "enum t.M.E has a zero that does not end in UNSPECIFIED"));
}

}  // namespace
}  // namespace atelier::test
