// Certificates and keys in PEM files, read and checked before anything uses them: what is wrong is
// said in a sentence then, not in a failed handshake later.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace atelier {

// PEM, as gRPC takes it. No certificate: empty.
struct TlsIdentity {
  std::string certificate;  // the own one first, then those between it and its CA
  std::string key;

  bool operator==(const TlsIdentity&) const = default;
};

// A file and how errors call it: "tls.certificate" or "--cert".
struct TlsFile {
  std::string_view field;
  std::filesystem::path path;
};

// Messages begin with the field and hold the file's own name, never its folder.
// NOT_FOUND: a file is not there; INVALID_ARGUMENT: it holds no certificate or no key (or one that
// is encrypted), the two do not belong together, or the certificate does not hold at `now`;
// PERMISSION_DENIED, INTERNAL: it cannot be read.
absl::StatusOr<TlsIdentity> ReadTlsIdentity(const TlsFile& certificate, const TlsFile& key,
                                            absl::Time now);

// One or more certificates by which others' are checked; the same errors.
absl::StatusOr<std::string> ReadTlsAuthorities(const TlsFile& file);

}  // namespace atelier
