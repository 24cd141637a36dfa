#include "server/transfer/transfer_folder.h"

#include <cerrno>
#include <cstdlib>
#include <string>
#include <system_error>

#include "server/store/disk_status.h"

namespace atelier::server {

namespace fs = std::filesystem;

absl::Status ClearTransfers(const fs::path& root) {
  std::error_code error;
  fs::remove_all(root, error);
  if (!error) {
    fs::create_directories(root, error);
  }
  return DiskStatus(error);
}

absl::StatusOr<std::unique_ptr<TransferFolder>> TransferFolder::Create(const fs::path& root) {
  std::string path = (root / "XXXXXX").string();
  if (::mkdtemp(path.data()) == nullptr) {
    return DiskStatus({errno, std::generic_category()});
  }
  return std::unique_ptr<TransferFolder>(new TransferFolder(path));
}

TransferFolder::~TransferFolder() {
  std::error_code ignored;  // what stays goes at the next start
  fs::remove_all(path_, ignored);
}

}  // namespace atelier::server
