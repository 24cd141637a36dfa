// Certificates for tests that talk over TLS.
#pragma once

#include <memory>
#include <string>

#include "absl/time/time.h"
#include "common/tls_files.h"

namespace atelier::test {

// Signs certificates, with keys on the curve P-256. Thread-safe.
class CertificateAuthority final {
 public:
  explicit CertificateAuthority(const std::string& name);
  ~CertificateAuthority();

  // Its own certificate, PEM: what others know it by.
  const std::string& certificate() const { return certificate_; }

  // A certificate that holds from yesterday until now + `valid`, and its key. `alternative_names`
  // as OpenSSL writes them ("IP:127.0.0.1", "DNS:localhost"); either name may be empty: none.
  TlsIdentity Issue(const std::string& common_name,
                    const std::string& alternative_names = "IP:127.0.0.1,DNS:localhost",
                    absl::Duration valid = absl::Hours(24)) const;

 private:
  struct Keys;  // OpenSSL's
  std::unique_ptr<Keys> keys_;
  std::string certificate_;
};

}  // namespace atelier::test
