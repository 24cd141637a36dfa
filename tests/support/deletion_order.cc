#include "tests/support/deletion_order.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <fstream>
#include <iterator>

#include "common/check.h"

namespace atelier::test {
namespace {

namespace fs = std::filesystem;

constexpr int kOthers = 15;

}  // namespace

DeletionOrder::DeletionOrder(const fs::path& folder)
    : events_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
  ATELIER_CHECK(events_.valid());
  ATELIER_CHECK(::inotify_add_watch(events_.get(), folder.c_str(), IN_DELETE) >= 0);
}

std::vector<std::string> DeletionOrder::Take() {
  std::vector<std::string> names;
  std::array<char, 1 << 16> buffer;
  for (ssize_t size = 0; (size = ::read(events_.get(), buffer.data(), buffer.size())) > 0;) {
    for (ssize_t at = 0; at < size;) {
      inotify_event event;
      std::memcpy(&event, buffer.data() + at, sizeof(event));
      if ((event.mask & IN_DELETE) != 0) {
        names.emplace_back(buffer.data() + at + sizeof(event));  // ends with a zero byte
      }
      at += static_cast<ssize_t>(sizeof(event) + event.len);
    }
  }
  return names;
}

void HideAmongOthers(const fs::path& folder, const std::string& name) {
  const auto add = [&folder](const std::string& kind) {
    for (int i = 0; i < kOthers; ++i) {
      std::ofstream(folder / (kind + std::to_string(i))) << "x";
    }
  };
  const fs::path kept = folder / name;
  std::ifstream file(kept, std::ios::binary);
  const std::string contents((std::istreambuf_iterator<char>(file)), {});
  ATELIER_CHECK(fs::remove(kept));
  add("older-");
  std::ofstream(kept, std::ios::binary) << contents;
  add("newer-");
}

}  // namespace atelier::test
