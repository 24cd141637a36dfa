// The two lines of the design: the server links no LibTorch, the library (worker/image …
// worker/train, worker/tools) no gRPC; and no file sees both LibTorch's and protobuf's headers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "tests/integration/service.h"
#include "tests/support/process.h"

namespace atelier::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr std::array<const char*, 10> kLibraryRooms = {
    "image", "kernels", "nn", "models", "infer", "convert", "metrics", "train", "kinds", "tools"};

bool IsTorch(const std::string& header) {
  static const std::regex torch("^(torch|ATen|c10|caffe2)/.*");
  return std::regex_match(header, torch);
}

bool IsLinkSide(const std::string& header) {
  static const std::regex link_side(R"(^(grpc|grpcpp|google/protobuf|google/rpc)/.*|.*\.pb\.h)");
  return std::regex_match(header, link_side);
}

bool IsServerSide(const std::string& header) {
  static const std::regex server_side(R"(^(prometheus|pqxx)/.*|sqlite3\.h|libpq-fe\.h|httplib\.h)");
  return std::regex_match(header, server_side);
}

std::vector<fs::path> SourcesBelow(const fs::path& folder) {
  std::vector<fs::path> sources;
  if (!fs::exists(folder)) {
    return sources;
  }
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string extension = entry.path().extension();
    if (extension == ".h" || extension == ".cc" || extension == ".cu") {
      sources.push_back(entry.path());
    }
  }
  return sources;
}

const std::set<std::string>& IncludesOf(const fs::path& file) {
  static std::map<fs::path, std::set<std::string>> known;
  const auto [entry, is_new] = known.try_emplace(file);
  if (is_new) {
    static const std::regex include(R"re(^\s*#\s*include\s*[<"]([^>"]+)[>"].*)re");
    std::ifstream text(file);
    std::smatch match;
    for (std::string line; std::getline(text, line);) {
      if (std::regex_match(line, match, include)) {
        entry->second.insert(match[1]);
      }
    }
  }
  return entry->second;
}

// Everything a file includes, also by way of the project's own headers.
std::set<std::string> AllIncludesOf(const fs::path& file) {
  const fs::path root = ATELIER_SOURCE_DIR;
  std::set<std::string> seen;
  std::vector<fs::path> to_read = {file};
  while (!to_read.empty()) {
    const fs::path next = to_read.back();
    to_read.pop_back();
    for (const std::string& header : IncludesOf(next)) {
      if (seen.insert(header).second && fs::exists(root / header)) {
        to_read.push_back(root / header);
      }
    }
  }
  return seen;
}

using Predicate = bool (*)(const std::string&);

// "file includes header" for each header that is against the rule.
std::vector<std::string> Offences(const fs::path& folder, const std::vector<Predicate>& forbidden) {
  std::vector<std::string> offences;
  for (const fs::path& file : SourcesBelow(folder)) {
    for (const std::string& header : AllIncludesOf(file)) {
      for (const Predicate is_forbidden : forbidden) {
        if (is_forbidden(header)) {
          offences.push_back(file.string() + " includes " + header);
        }
      }
    }
  }
  return offences;
}

TEST(LayeringTest, TheLibraryIncludesNoGrpcProtobufPrometheusOrDatabase) {
  for (const std::string room : kLibraryRooms) {
    const fs::path folder = fs::path(ATELIER_SOURCE_DIR) / "worker" / room;
    EXPECT_FALSE(SourcesBelow(folder).empty()) << room;
    EXPECT_THAT(Offences(folder, {IsLinkSide, IsServerSide}), IsEmpty());
  }
}

TEST(LayeringTest, TheLibraryIncludesNothingFromTheRoomsAboveIt) {
  const auto above = +[](const std::string& header) {
    static const std::regex above_rooms("^(server|client|worker/(link|files|serve|jobs|app))/.*");
    return std::regex_match(header, above_rooms);
  };
  for (const std::string room : kLibraryRooms) {
    EXPECT_THAT(Offences(fs::path(ATELIER_SOURCE_DIR) / "worker" / room, {above}), IsEmpty());
  }
}

TEST(LayeringTest, ServerClientAndCommonIncludeNoTorch) {
  for (const char* folder : {"server", "client", "common"}) {
    EXPECT_THAT(Offences(fs::path(ATELIER_SOURCE_DIR) / folder, {IsTorch}), IsEmpty());
  }
}

TEST(LayeringTest, NoFileSeesBothTorchAndProtobuf) {
  for (const char* folder : {"common", "server", "worker", "client", "bench", "tests"}) {
    for (const fs::path& file : SourcesBelow(fs::path(ATELIER_SOURCE_DIR) / folder)) {
      const std::set<std::string> headers = AllIncludesOf(file);
      EXPECT_FALSE(std::any_of(headers.begin(), headers.end(), IsTorch) &&
                   std::any_of(headers.begin(), headers.end(), IsLinkSide))
          << file;
    }
  }
}

std::string SharedLibrariesOf(const std::string& program) {
  const ProcessResult ldd = RunProcess({.command = {"/usr/bin/env", "ldd", ProgramPath(program)}});
  EXPECT_EQ(ldd.exit_code, 0) << ldd.err;
  return ldd.out;
}

void ExpectLinksNone(const std::string& program, const std::vector<std::string>& libraries) {
  const std::string linked = SharedLibrariesOf(program);
  EXPECT_THAT(linked, HasSubstr("libgrpc++"));
  for (const std::string& library : libraries) {
    EXPECT_THAT(linked, Not(HasSubstr(library))) << program;
  }
}

TEST(LayeringTest, ServerAndClientLinkNoTorch) {
  ExpectLinksNone("atelier-server", {"libtorch", "libc10", "libopencv"});
  // The sheet of `atelier compare` is drawn with OpenCV, but not with its codecs, which load a
  // hundred libraries at every start.
  ExpectLinksNone("atelier", {"libtorch", "libc10", "libopencv_imgcodecs", "libopencv_dnn"});
  EXPECT_THAT(SharedLibrariesOf("atelier-worker"), HasSubstr("libtorch_cpu"));
}

TEST(LayeringTest, TheLibrarysObjectsNeedNoGrpcOrProtobuf) {
  int archives = 0;
  for (const std::string room : kLibraryRooms) {
    const fs::path archive =
        fs::path(ATELIER_BINARY_DIR) / "worker" / room / ("libatelier_" + room + ".a");
    if (!fs::exists(archive)) {
      continue;  // tools/ has programs only
    }
    ++archives;
    // The mangled names of namespaces grpc and google::protobuf.
    const ProcessResult nm =
        RunProcess({.command = {"/usr/bin/env", "nm", "-u", archive.string()}});
    EXPECT_EQ(nm.exit_code, 0) << nm.err;
    for (const char* name : {"N4grpc", "6google8protobuf", "10prometheus", "sqlite3_"}) {
      EXPECT_THAT(nm.out, Not(HasSubstr(name))) << archive;
    }
  }
  EXPECT_GE(archives, 5);
}

}  // namespace
}  // namespace atelier::test
