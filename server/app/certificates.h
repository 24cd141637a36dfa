// What a port shows its clients, and by what it knows them; new files need no new port.
#pragma once

#include <grpc/grpc_security.h>
#include <grpcpp/security/server_credentials.h>

#include <memory>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "atelier/v1/config.pb.h"
#include "common/tls_files.h"

namespace atelier::server {

struct CertificateSet {
  TlsIdentity identity;
  std::string client_ca;  // PEM; empty: clients need no certificate

  bool operator==(const CertificateSet&) const = default;
};

// The errors of common/tls_files.h, which name the configuration's keys: those below `key`.
absl::StatusOr<CertificateSet> ReadCertificates(const v1::TlsFiles& files, absl::Time now,
                                                std::string_view key = "tls");

// Thread-safe.
class Certificates {
 public:
  explicit Certificates(CertificateSet set) : set_(std::move(set)) {}

  // For connections from now on; those that are open stay as they are. The new set asks clients
  // for certificates exactly if the first did.
  void Replace(CertificateSet set) ABSL_LOCKS_EXCLUDED(mutex_);

  CertificateSet current() const ABSL_LOCKS_EXCLUDED(mutex_);

  // For one port of one server, which *this outlives.
  std::shared_ptr<grpc::ServerCredentials> NewCredentials() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // gRPC calls it before each handshake; `self` is a Certificates.
  static grpc_ssl_certificate_config_reload_status Fetch(
      void* self, grpc_ssl_server_certificate_config** config);

  mutable absl::Mutex mutex_;
  CertificateSet set_ ABSL_GUARDED_BY(mutex_);
  bool fetched_ ABSL_GUARDED_BY(mutex_) = false;  // what the port has is set_
};

}  // namespace atelier::server
