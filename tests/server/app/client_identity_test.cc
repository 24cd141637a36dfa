#include "server/rpc/client_identity.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "atelier/v1/admin.grpc.pb.h"
#include "server/app/certificates.h"
#include "server/app/front_port.h"
#include "tests/support/certificates.h"

namespace atelier::server {
namespace {

TEST(ClientIdentityTest, AnAddressIsTakenWithoutItsPort) {
  EXPECT_EQ(AddressOfPeer("ipv4:192.0.2.7:50812"), "192.0.2.7");
  EXPECT_EQ(AddressOfPeer("ipv6:%5B2001:db8::7%5D:50812"), "2001:db8::7");
  EXPECT_EQ(AddressOfPeer("ipv6:[::1]:50812"), "::1");
  EXPECT_EQ(AddressOfPeer("unix:"), "unix");
  EXPECT_EQ(AddressOfPeer("unix:/run/a.sock"), "unix");
  EXPECT_EQ(AddressOfPeer("unknown"), "unknown");
}

// Tells whom it took the caller for.
class WhoAmI final : public v1::AdminService::CallbackService {
 public:
  grpc::ServerUnaryReactor* ReloadConfig(grpc::CallbackServerContext* context,
                                         const v1::ReloadConfigRequest* /*request*/,
                                         v1::ReloadConfigResponse* response) override {
    response->add_changed(ClientOf(*context));
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

std::string NameSeen(const FrontPort& port,
                     const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
  const auto stub =
      v1::AdminService::NewStub(grpc::CreateChannel(FormatHostPort(port.address()), credentials));
  grpc::ClientContext context;
  v1::ReloadConfigResponse response;
  const grpc::Status status = stub->ReloadConfig(&context, {}, &response);
  return status.ok() ? response.changed(0) : status.error_message();
}

class ClientIdentityOnAPortTest : public ::testing::Test {
 protected:
  // A port with TLS; with `client_ca` it asks for certificates.
  std::unique_ptr<FrontPort> Port(const std::string& client_ca) {
    certificates_ = std::make_unique<Certificates>(
        CertificateSet{.identity = ca_.Issue("server"), .client_ca = client_ca});
    return *FrontPort::Create("127.0.0.1:0", {&service_}, certificates_->NewCredentials());
  }

  std::shared_ptr<grpc::ChannelCredentials> Showing(const TlsIdentity& identity) const {
    return grpc::SslCredentials({.pem_root_certs = ca_.certificate(),
                                 .pem_private_key = identity.key,
                                 .pem_cert_chain = identity.certificate});
  }

  const test::CertificateAuthority ca_{"ca"};
  WhoAmI service_;
  std::unique_ptr<Certificates> certificates_;
};

TEST_F(ClientIdentityOnAPortTest, AVerifiedCertificateNamesTheClient) {
  const auto port = Port(ca_.certificate());
  EXPECT_EQ(NameSeen(*port, Showing(ca_.Issue("shop", "DNS:other.example"))), "shop");
  EXPECT_EQ(NameSeen(*port, Showing(ca_.Issue("", "DNS:shop.example"))), "shop.example");
  const std::string long_name(64, 'x');
  EXPECT_EQ(NameSeen(*port, Showing(ca_.Issue(long_name, ""))), long_name);
}

TEST_F(ClientIdentityOnAPortTest, WhereNobodyAsksForACertificateTheAddressDoes) {
  const auto port = Port("");
  EXPECT_EQ(NameSeen(*port, Showing(ca_.Issue("shop"))), "127.0.0.1") << "it was not verified";
}

TEST_F(ClientIdentityOnAPortTest, OnAPlainPortTheAddressDoes) {
  const auto port =
      *FrontPort::Create("127.0.0.1:0", {&service_}, grpc::InsecureServerCredentials());
  EXPECT_EQ(NameSeen(*port, grpc::InsecureChannelCredentials()), "127.0.0.1");
}

}  // namespace
}  // namespace atelier::server
