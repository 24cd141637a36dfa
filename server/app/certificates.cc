#include "server/app/certificates.h"

#include <grpc/grpc.h>

#include <utility>

#include "common/status_macros.h"

namespace atelier::server {
namespace {

// gRPC's C++ side has no server credentials whose certificates can be replaced at will (its file
// watcher polls, and takes what it finds unchecked); the C side has.
class ReloadableCredentials final : public grpc::ServerCredentials {
 public:
  ReloadableCredentials(grpc_ssl_client_certificate_request_type request,
                        grpc_ssl_server_certificate_config_callback fetch, void* argument)
      : credentials_(grpc_ssl_server_credentials_create_with_options(
            grpc_ssl_server_credentials_create_options_using_config_fetcher(request, fetch,
                                                                            argument))) {}
  ~ReloadableCredentials() override { grpc_server_credentials_release(credentials_); }
  ReloadableCredentials(const ReloadableCredentials&) = delete;
  ReloadableCredentials& operator=(const ReloadableCredentials&) = delete;

  // For tokens in metadata, which this server does not take.
  void SetAuthMetadataProcessor(
      const std::shared_ptr<grpc::AuthMetadataProcessor>& /*processor*/) override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  grpc_server_credentials* const credentials_;
};

}  // namespace

absl::StatusOr<CertificateSet> ReadCertificates(const v1::TlsFiles& files, absl::Time now,
                                                std::string_view key) {
  const std::string prefix = std::string(key) + ".";
  const std::string certificate = prefix + "certificate";
  const std::string private_key = prefix + "key";
  const std::string client_ca = prefix + "client_ca";
  CertificateSet set;
  ATELIER_ASSIGN_OR_RETURN(set.identity,
                           ReadTlsIdentity({.field = certificate, .path = files.certificate()},
                                           {.field = private_key, .path = files.key()}, now));
  if (!files.client_ca().empty()) {
    ATELIER_ASSIGN_OR_RETURN(set.client_ca,
                             ReadTlsAuthorities({.field = client_ca, .path = files.client_ca()}));
  }
  return set;
}

void Certificates::Replace(CertificateSet set) {
  const absl::MutexLock lock(&mutex_);
  set_ = std::move(set);
  fetched_ = false;
}

CertificateSet Certificates::current() const {
  const absl::MutexLock lock(&mutex_);
  return set_;
}

std::shared_ptr<grpc::ServerCredentials> Certificates::NewCredentials() {
  const absl::MutexLock lock(&mutex_);
  fetched_ = false;
  return std::make_shared<ReloadableCredentials>(
      set_.client_ca.empty() ? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
                             : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY,
      &Certificates::Fetch, this);
}

grpc_ssl_certificate_config_reload_status Certificates::Fetch(
    void* self, grpc_ssl_server_certificate_config** config) {
  Certificates& certificates = *static_cast<Certificates*>(self);
  const absl::MutexLock lock(&certificates.mutex_);
  if (certificates.fetched_) {
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
  }
  const CertificateSet& set = certificates.set_;
  const grpc_ssl_pem_key_cert_pair pair = {set.identity.key.c_str(),
                                           set.identity.certificate.c_str()};
  // gRPC 1.51 aborts without any root, even where it asks for no client's certificate and so has
  // no use for one.
  const std::string& roots = set.client_ca.empty() ? set.identity.certificate : set.client_ca;
  *config = grpc_ssl_server_certificate_config_create(roots.c_str(), &pair, 1);
  certificates.fetched_ = true;
  return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
}

}  // namespace atelier::server
