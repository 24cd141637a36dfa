#include "worker/link/channel.h"

#include <gmock/gmock.h>
#include <grpc/grpc.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "tests/support/certificates.h"
#include "tests/support/temp_dir.h"

namespace atelier::worker {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class LinkCredentialsTest : public ::testing::Test {
 protected:
  LinkCredentialsTest() {
    const TlsIdentity identity = authority_.Issue("worker", "");
    Write("ca.pem", authority_.certificate());
    Write("worker.pem", identity.certificate);
    Write("worker.key", identity.key);
  }

  void Write(const std::string& name, const std::string& contents) const {
    std::ofstream(directory_ / name) << contents;
  }

  absl::Status Read() const {
    return LinkCredentials({.ca = directory_ / "ca.pem",
                            .certificate = directory_ / "worker.pem",
                            .key = directory_ / "worker.key"})
        .status();
  }

  const test::TempDir directory_;
  const test::CertificateAuthority authority_{"workers"};
};

TEST_F(LinkCredentialsTest, WholeFilesAreTaken) { EXPECT_TRUE(Read().ok()) << Read(); }

TEST_F(LinkCredentialsTest, ALinkOnTheServersMachineNeedsNone) {
  EXPECT_TRUE(LinkCredentials({}).ok());
}

TEST_F(LinkCredentialsTest, WhatIsWrongIsToldByTheOption) {
  Write("worker.key", authority_.Issue("another", "").key);
  EXPECT_THAT(std::string(Read().message()), AllOf(StartsWith("--key"), HasSubstr("is not the key"),
                                                   Not(HasSubstr(directory_.path().string()))));
  Write("worker.pem", "nothing");
  EXPECT_THAT(std::string(Read().message()), StartsWith("--cert"));
  std::filesystem::remove(directory_ / "ca.pem");
  EXPECT_TRUE(absl::IsNotFound(Read()));
  EXPECT_THAT(std::string(Read().message()), StartsWith("--ca"));
}

// Ending gRPC with its last channel can take 10 s; see common/rpc/grpc_lifetime.h.
TEST(LinkChannelTest, GrpcOutlivesTheLastChannel) {
  NewLinkChannel("unix:/tmp/atelier-no-such-socket", grpc::InsecureChannelCredentials(),
                 LinkLine::kControl);
  EXPECT_TRUE(grpc_is_initialized());
}

}  // namespace
}  // namespace atelier::worker
