#include "worker/train/broken_files.h"

#include <utility>

namespace atelier::train {

void BrokenFiles::Add(std::int64_t place, const std::string& sentence) {
  const absl::MutexLock lock(&mutex_);
  if (places_.insert(place).second) {
    new_.push_back(sentence);
    last_ = sentence;
  }
}

bool BrokenFiles::Contains(std::int64_t place) const {
  const absl::MutexLock lock(&mutex_);
  return places_.contains(place);
}

std::int64_t BrokenFiles::count() const {
  const absl::MutexLock lock(&mutex_);
  return static_cast<std::int64_t>(places_.size());
}

std::string BrokenFiles::last() const {
  const absl::MutexLock lock(&mutex_);
  return last_;
}

std::vector<std::string> BrokenFiles::TakeNew() {
  const absl::MutexLock lock(&mutex_);
  return std::exchange(new_, {});
}

}  // namespace atelier::train
