#include "common/tls_files.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "common/errors.h"
#include "common/files.h"
#include "common/status_macros.h"

namespace atelier {
namespace {

constexpr std::uint64_t kMaxFileBytes = 1U << 20U;

using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;
using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;
using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

absl::Status Complaint(const TlsFile& file, std::string_view sentence) {
  return InvalidField(file.field,
                      "\"" + file.path.filename().string() + "\" " + std::string(sentence));
}

absl::StatusOr<std::string> Read(const TlsFile& file) {
  const std::string name = std::string(file.field) + ": \"" + file.path.filename().string() + "\" ";
  absl::StatusOr<std::string> contents = ReadFile(file.path, kMaxFileBytes);
  if (contents.ok()) {
    return contents;
  }
  if (absl::IsNotFound(contents.status())) {
    return absl::NotFoundError(name + "is not there");
  }
  if (absl::IsResourceExhausted(contents.status())) {
    return Complaint(file, "is larger than 1 MiB");
  }
  if (::access(file.path.c_str(), R_OK) != 0) {
    return absl::PermissionDeniedError(name + "may not be read by this program");
  }
  return absl::InternalError(name + "cannot be read");
}

Bio Memory(const std::string& pem) {
  return {BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), &BIO_free};
}

std::vector<Certificate> Certificates(const std::string& pem) {
  std::vector<Certificate> certificates;
  const Bio memory = Memory(pem);
  while (X509* next = PEM_read_bio_X509(memory.get(), nullptr, nullptr, nullptr)) {
    certificates.emplace_back(next, &X509_free);
  }
  // The end of the file is an error to OpenSSL, and would be the next caller's.
  ERR_clear_error();
  return certificates;
}

Key PrivateKey(const std::string& pem) {
  const Bio memory = Memory(pem);
  // The default would ask for the password of an encrypted key on the terminal.
  const auto no_password = [](char*, int, int, void*) { return -1; };
  Key key(PEM_read_bio_PrivateKey(memory.get(), nullptr, no_password, nullptr), &EVP_PKEY_free);
  ERR_clear_error();
  return key;
}

absl::Status CheckTime(const TlsFile& file, const X509& certificate, absl::Time now) {
  std::time_t seconds = absl::ToTimeT(now);
  if (X509_cmp_time(X509_get0_notBefore(&certificate), &seconds) > 0) {
    return Complaint(file, "does not hold yet; is this machine's clock right?");
  }
  if (X509_cmp_time(X509_get0_notAfter(&certificate), &seconds) < 0) {
    return Complaint(file, "has expired; renew the certificate");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TlsIdentity> ReadTlsIdentity(const TlsFile& certificate, const TlsFile& key,
                                            absl::Time now) {
  TlsIdentity identity;
  ATELIER_ASSIGN_OR_RETURN(identity.certificate, Read(certificate));
  const std::vector<Certificate> chain = Certificates(identity.certificate);
  if (chain.empty()) {
    return Complaint(certificate, "holds no certificate (PEM)");
  }
  ATELIER_RETURN_IF_ERROR(CheckTime(certificate, *chain.front(), now));
  ATELIER_ASSIGN_OR_RETURN(identity.key, Read(key));
  const Key parsed = PrivateKey(identity.key);
  if (parsed == nullptr) {
    return Complaint(key, "holds no private key (PEM) that can be read without a password");
  }
  const bool match = X509_check_private_key(chain.front().get(), parsed.get()) == 1;
  ERR_clear_error();
  if (!match) {
    return Complaint(
        key, "is not the key of the certificate \"" + certificate.path.filename().string() + "\"");
  }
  return identity;
}

absl::StatusOr<std::string> ReadTlsAuthorities(const TlsFile& file) {
  ATELIER_ASSIGN_OR_RETURN(std::string authorities, Read(file));
  if (Certificates(authorities).empty()) {
    return Complaint(file, "holds no certificate (PEM)");
  }
  return authorities;
}

}  // namespace atelier
