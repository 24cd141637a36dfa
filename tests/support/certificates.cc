#include "tests/support/certificates.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <cstdint>

#include "common/check.h"

namespace atelier::test {
namespace {

constexpr long kDay = 24L * 60 * 60;

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;
using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;

Key NewKey() { return {EVP_EC_gen("P-256"), &EVP_PKEY_free}; }

std::string Text(const Bio& memory) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

std::string PemOf(X509* certificate) {
  const Bio memory(BIO_new(BIO_s_mem()), &BIO_free);
  ATELIER_CHECK(PEM_write_bio_X509(memory.get(), certificate) == 1);
  return Text(memory);
}

std::string PemOf(EVP_PKEY* key) {
  const Bio memory(BIO_new(BIO_s_mem()), &BIO_free);
  ATELIER_CHECK(
      PEM_write_bio_PrivateKey(memory.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
  return Text(memory);
}

void AddExtension(X509* certificate, int id, const std::string& value) {
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, id, value.c_str());
  ATELIER_CHECK(extension != nullptr);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

// Not signed yet, and without an issuer.
Certificate NewCertificate(const std::string& common_name, EVP_PKEY* key, absl::Duration valid) {
  Certificate certificate(X509_new(), &X509_free);
  X509_set_version(certificate.get(), 2);  // which is version 3
  std::uint32_t serial = 0;
  ATELIER_CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof(serial)) == 1);
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate.get()), serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -kDay);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), absl::ToInt64Seconds(valid));
  X509_set_pubkey(certificate.get(), key);
  if (!common_name.empty()) {
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1,
                               0);
  }
  return certificate;
}

}  // namespace

struct CertificateAuthority::Keys {
  Key key = NewKey();
  Certificate certificate = {nullptr, &X509_free};
};

CertificateAuthority::CertificateAuthority(const std::string& name)
    : keys_(std::make_unique<Keys>()) {
  EVP_PKEY* key = keys_->key.get();
  keys_->certificate = NewCertificate(name, key, absl::Hours(24));
  X509* certificate = keys_->certificate.get();
  X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
  AddExtension(certificate, NID_basic_constraints, "critical,CA:TRUE");
  ATELIER_CHECK(X509_sign(certificate, key, EVP_sha256()) > 0);
  certificate_ = PemOf(certificate);
}

CertificateAuthority::~CertificateAuthority() = default;

TlsIdentity CertificateAuthority::Issue(const std::string& common_name,
                                        const std::string& alternative_names,
                                        absl::Duration valid) const {
  const Key key = NewKey();
  const Certificate certificate = NewCertificate(common_name, key.get(), valid);
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(keys_->certificate.get()));
  if (!alternative_names.empty()) {
    AddExtension(certificate.get(), NID_subject_alt_name, alternative_names);
  }
  ATELIER_CHECK(X509_sign(certificate.get(), keys_->key.get(), EVP_sha256()) > 0);
  return {.certificate = PemOf(certificate.get()), .key = PemOf(key.get())};
}

}  // namespace atelier::test
