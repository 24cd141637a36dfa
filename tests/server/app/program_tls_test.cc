// The program's port with certificates.
#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>

#include <csignal>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "atelier/v1/models.grpc.pb.h"
#include "client/api/client.h"
#include "tests/server/app/program_fixture.h"
#include "tests/support/certificates.h"
#include "tests/support/process.h"
#include "tests/support/wait_until.h"

namespace atelier::server {
namespace {

using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

class TlsProgramTest : public ProgramTest {
 protected:
  TlsProgramTest() {
    Write("ca.pem", ca_.certificate());
    Write("other-ca.pem", other_ca_.certificate());
    Write("server", ca_.Issue("server"));
    Write("shop", ca_.Issue("shop", ""));
    Write("stranger", other_ca_.Issue("stranger", ""));
  }

  void Write(const std::string& name, const std::string& contents) const {
    std::ofstream(folder_ / name) << contents;
  }
  void Write(const std::string& name, const TlsIdentity& identity) const {
    Write(name + ".pem", identity.certificate);
    Write(name + ".key", identity.key);
  }
  std::string Path(const std::string& name) const { return (folder_ / name).string(); }

  std::vector<std::string> TlsCommand(std::vector<std::string> more = {}) const {
    more.insert(more.end(), {"--tls-cert", Path("server.pem"), "--tls-key", Path("server.key")});
    return Command(std::move(more));
  }

  // `identity`: the name of the certificate to show; empty: none.
  std::unique_ptr<client::Client> ClientOf(const test::Process& server, const std::string& ca,
                                           const std::string& identity = "") const {
    client::Client::Options options;
    options.server = GrpcAddress(server);
    options.ca = Path(ca);
    if (!identity.empty()) {
      options.cert = Path(identity + ".pem");
      options.key = Path(identity + ".key");
    }
    auto client = client::Client::Create(options);
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }

  static absl::Status TryCall(client::Client& client) {
    return client.ListModels(v1::ListModelsRequest()).status();
  }

  static void ExpectRefusal(client::Client& client, const std::string& words) {
    const absl::Status status = TryCall(client);
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(words));
  }

  const test::CertificateAuthority ca_{"ca"};
  const test::CertificateAuthority other_ca_{"other-ca"};
};

TEST_F(TlsProgramTest, WhoTrustsTheCaIsServedAndOthersHearWhyNot) {
  test::Process server({.command = TlsCommand()});
  EXPECT_TRUE(TryCall(*ClientOf(server, "ca.pem")).ok());
  EXPECT_TRUE(TryCall(*ClientOf(server, "ca.pem", "stranger")).ok())
      << "nobody asked for a certificate";
  ExpectRefusal(*ClientOf(server, "other-ca.pem"), "is not signed by the given CA (--ca)");
  const auto plain = *client::Client::Create({.server = GrpcAddress(server)});
  ExpectRefusal(*plain, "it may want TLS (--ca)");
}

TEST_F(TlsProgramTest, ACertificateForAnotherHostIsRefusedByTheClient) {
  Write("server", ca_.Issue("server", "DNS:atelier.example"));
  test::Process server({.command = TlsCommand()});
  ExpectRefusal(*ClientOf(server, "ca.pem"), "is for another host name");
}

TEST_F(TlsProgramTest, AClientThatWantsTlsOfAPlainServerHearsSo) {
  test::Process server({.command = Command()});
  ExpectRefusal(*ClientOf(server, "ca.pem"), "it does not take TLS");
}

TEST_F(TlsProgramTest, WithAClientCaOnlyItsCertificatesAreLetIn) {
  test::Process server({.command = TlsCommand({"--tls-client-ca", Path("ca.pem")})});
  EXPECT_TRUE(TryCall(*ClientOf(server, "ca.pem", "shop")).ok());
  ExpectRefusal(*ClientOf(server, "ca.pem"), "a client certificate");
  ExpectRefusal(*ClientOf(server, "ca.pem", "stranger"), "a client certificate");
}

TEST_F(TlsProgramTest, NewCertificatesServeNewConnectionsAndOldOnesStay) {
  Write("atelier.json",
        R"({"tls":{"certificate":"server.pem","key":"server.key","client_ca":"ca.pem"}})");
  test::Process server({.command = Command({"--config", Path("atelier.json")})});
  const auto old = ClientOf(server, "ca.pem", "shop");
  EXPECT_TRUE(TryCall(*old).ok());

  // A key that does not fit is refused, and nothing changes.
  Write("server.key", other_ca_.Issue("x").key);
  const auto wrong = old->ReloadConfig();
  EXPECT_EQ(wrong.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(wrong.status().message()), HasSubstr("tls.key: "));
  EXPECT_TRUE(TryCall(*ClientOf(server, "ca.pem", "shop")).ok());

  // Another authority's, on both sides.
  Write("server", other_ca_.Issue("server"));
  Write("ca.pem", other_ca_.certificate());
  Write("first-ca.pem", ca_.certificate());
  const auto reply = old->ReloadConfig();
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_THAT(reply->changed(),
              UnorderedElementsAre("tls.certificate", "tls.key", "tls.client_ca"));
  EXPECT_TRUE(TryCall(*old).ok()) << "its connection is still the first one: it would not know the "
                                     "new certificate";
  EXPECT_TRUE(TryCall(*ClientOf(server, "other-ca.pem", "stranger")).ok());
  ExpectRefusal(*ClientOf(server, "first-ca.pem", "shop"), "is not signed by the given CA");
  ExpectRefusal(*ClientOf(server, "other-ca.pem", "shop"), "a client certificate");
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait(), 0);
}

TEST_F(TlsProgramTest, SighupReadsThemToo) {
  Write("atelier.json", R"({"tls":{"certificate":"server.pem","key":"server.key"}})");
  test::Process server({.command = Command({"--config", Path("atelier.json")})});
  EXPECT_TRUE(TryCall(*ClientOf(server, "ca.pem")).ok());
  Write("server", other_ca_.Issue("server"));
  server.Signal(SIGHUP);
  EXPECT_TRUE(test::WaitUntil([&] { return TryCall(*ClientOf(server, "other-ca.pem")).ok(); }));
}

TEST_F(TlsProgramTest, WrongFilesKeepTheServerFromStarting) {
  Write("server.key", ca_.Issue("x").key);
  const test::ProcessResult result = test::RunProcess({.command = TlsCommand()});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("atelier-server: tls.key: \"server.key\" is not the key"));
  const test::ProcessResult half =
      test::RunProcess({.command = Command({"--tls-cert", Path("server.pem")})});
  EXPECT_EQ(half.exit_code, 2);
  EXPECT_THAT(half.err, HasSubstr("tls.key: is required"));
}

TEST_F(TlsProgramTest, TheClientsFilesAreCheckedBeforeAnyConnection) {
  client::Client::Options options;
  options.ca = Path("none.pem");
  EXPECT_EQ(client::Client::Create(options).status().message(), "ca: \"none.pem\" is not there");
  options.ca = Path("ca.pem");
  options.cert = Path("shop.pem");
  EXPECT_EQ(client::Client::Create(options).status().message(),
            "key: is needed as well: a certificate and its key go together");
  options.key = Path("stranger.key");
  EXPECT_THAT(std::string(client::Client::Create(options).status().message()),
              HasSubstr("is not the key of the certificate"));
}

TEST_F(TlsProgramTest, TheCommandLineClientTakesTheSameFiles) {
  test::Process server({.command = TlsCommand({"--tls-client-ca", Path("ca.pem")})});
  const std::string atelier = std::string(ATELIER_BINARY_DIR) + "/bin/atelier";
  const test::ProcessResult good = test::RunProcess(
      {.command = {atelier, "--server", GrpcAddress(server), "--ca", Path("ca.pem"), "--cert",
                   Path("shop.pem"), "--key", Path("shop.key"), "models", "list"}});
  EXPECT_EQ(good.exit_code, 0) << good.err;
  const test::ProcessResult bad =
      test::RunProcess({.command = {atelier, "--server", GrpcAddress(server), "--ca",
                                    Path("none.pem"), "models", "list"}});
  EXPECT_EQ(bad.exit_code, 2);
  EXPECT_THAT(bad.err, HasSubstr("--ca: \"none.pem\" is not there"));
}

}  // namespace
}  // namespace atelier::server
