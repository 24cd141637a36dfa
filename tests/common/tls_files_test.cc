#include "common/tls_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "common/errors.h"
#include "tests/support/certificates.h"
#include "tests/support/temp_dir.h"

namespace atelier {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class TlsFilesTest : public ::testing::Test {
 protected:
  void Write(const std::string& name, const std::string& contents) const {
    std::ofstream(folder_ / name) << contents;
  }

  absl::StatusOr<TlsIdentity> Read() const {
    return ReadTlsIdentity({.field = "tls.certificate", .path = folder_ / "cert.pem"},
                           {.field = "tls.key", .path = folder_ / "key.pem"}, absl::Now());
  }

  void ExpectRefusal(absl::StatusCode code, const std::string& field,
                     const std::string& words) const {
    const auto identity = Read();
    EXPECT_EQ(identity.status().code(), code) << identity.status();
    EXPECT_THAT(std::string(identity.status().message()), StartsWith(field + ": "));
    EXPECT_THAT(std::string(identity.status().message()), HasSubstr(words));
    EXPECT_THAT(std::string(identity.status().message()), Not(HasSubstr(folder_.path().string())))
        << "clients may read it";
  }

  test::TempDir folder_;
  const test::CertificateAuthority ca_{"test-ca"};
};

TEST_F(TlsFilesTest, AChainAndItsKeyAreReadAsTheyAre) {
  const TlsIdentity issued = ca_.Issue("server");
  Write("cert.pem", issued.certificate + ca_.certificate());
  Write("key.pem", issued.key);
  const auto identity = Read();
  ASSERT_TRUE(identity.ok()) << identity.status();
  EXPECT_EQ(identity->certificate, issued.certificate + ca_.certificate());
  EXPECT_EQ(identity->key, issued.key);
}

TEST_F(TlsFilesTest, AKeyOfAnotherCertificateIsRefused) {
  Write("cert.pem", ca_.Issue("server").certificate);
  Write("key.pem", ca_.Issue("server").key);
  ExpectRefusal(absl::StatusCode::kInvalidArgument, "tls.key",
                "is not the key of the certificate \"cert.pem\"");
}

TEST_F(TlsFilesTest, TheOwnCertificateComesFirstInTheChain) {
  const TlsIdentity issued = ca_.Issue("server");
  Write("cert.pem", ca_.certificate() + issued.certificate);
  Write("key.pem", issued.key);
  ExpectRefusal(absl::StatusCode::kInvalidArgument, "tls.key", "is not the key");
}

TEST_F(TlsFilesTest, WhatIsNoCertificateOrNoKeyIsRefused) {
  const TlsIdentity issued = ca_.Issue("server");
  Write("cert.pem", "junk");
  Write("key.pem", issued.key);
  ExpectRefusal(absl::StatusCode::kInvalidArgument, "tls.certificate", "holds no certificate");
  Write("cert.pem", issued.certificate);
  Write("key.pem", issued.certificate);
  ExpectRefusal(absl::StatusCode::kInvalidArgument, "tls.key", "holds no private key");
  Write("key.pem", std::string((1U << 20U) + 1, 'x'));
  ExpectRefusal(absl::StatusCode::kInvalidArgument, "tls.key", "is larger than 1 MiB");
  std::filesystem::remove(folder_ / "key.pem");
  ExpectRefusal(absl::StatusCode::kNotFound, "tls.key", "\"key.pem\" is not there");
}

TEST_F(TlsFilesTest, ACertificateThatDoesNotHoldNowIsRefused) {
  const TlsIdentity expired = ca_.Issue("server", "IP:127.0.0.1", -absl::Hours(1));
  Write("cert.pem", expired.certificate);
  Write("key.pem", expired.key);
  ExpectRefusal(absl::StatusCode::kInvalidArgument, "tls.certificate", "has expired");
  const auto early =
      ReadTlsIdentity({.field = "cert", .path = folder_ / "cert.pem"},
                      {.field = "key", .path = folder_ / "key.pem"}, absl::Now() - absl::Hours(48));
  EXPECT_THAT(std::string(early.status().message()), HasSubstr("does not hold yet"));
}

TEST_F(TlsFilesTest, AuthoritiesAreOneOrMoreCertificates) {
  const test::CertificateAuthority other("other-ca");
  Write("ca.pem", ca_.certificate() + other.certificate());
  const TlsFile file = {.field = "tls.client_ca", .path = folder_ / "ca.pem"};
  EXPECT_EQ(*ReadTlsAuthorities(file), ca_.certificate() + other.certificate());
  Write("ca.pem", ca_.Issue("x").key);
  EXPECT_EQ(FieldOf(ReadTlsAuthorities(file).status()), "tls.client_ca");
}

}  // namespace
}  // namespace atelier
