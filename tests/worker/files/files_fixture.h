#pragma once

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "common/files.h"
#include "tests/support/temp_dir.h"
#include "tests/worker/files/fake_files.h"
#include "worker/files/files_client.h"

namespace atelier::test {

inline constexpr std::uint64_t kSession = 7;

inline std::string ContentsOf(const std::filesystem::path& path) {
  return ReadFile(path, 1U << 30U).value_or("(not there)");
}

inline void WriteContents(const std::filesystem::path& path, const std::string& contents) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary | std::ios::trunc) << contents;
}

// A server with files, a client of it, and a folder on this side.
class FilesTest : public ::testing::Test {
 protected:
  FilesTest() {
    const std::string address = "unix:" + (directory_ / "files.sock").string();
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address, grpc::InsecureServerCredentials());
    builder.RegisterService(&files_);
    server_ = builder.BuildAndStart();
    client_ = std::make_unique<worker::FilesClient>(
        grpc::CreateChannel(address, grpc::InsecureChannelCredentials()), kSession);
  }
  ~FilesTest() override {
    files_.HoldReads(false);
    server_->Shutdown(std::chrono::system_clock::now());
  }

  TempDir directory_;
  FakeFiles files_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<worker::FilesClient> client_;
};

}  // namespace atelier::test
